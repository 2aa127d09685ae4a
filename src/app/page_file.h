/* Pages as lines of JSON, so that anyone can score them:
 * {"session":8,"position":2,"time":1507690800000,"item":"the true one","page":["a","b"]} */
#ifndef APP_PAGE_FILE_H
#define APP_PAGE_FILE_H

#include "app/quality.h"
#include "base/file.h"

struct page_file {
    struct file *file; /* NULL: nothing is written */
    uint64_t offset;
    struct bytes text; /* not yet written */
};

struct page_line {
    uint64_t session;
    int position; /* of the true click in its session; the first is 0 */
    int64_t time_ms;
    struct slice item;
    int count;
    struct slice page[QUALITY_PAGE];
};

/* `path` NULL: page_file_add does nothing. What was in the file is lost. */
leat_status page_file_open(struct page_file *pages, const char *path, leat_error *err);
leat_status page_file_add(struct page_file *pages, const struct page_line *line, leat_error *err);
leat_status page_file_flush(struct page_file *pages, leat_error *err);
void page_file_close(struct page_file *pages);

#endif
