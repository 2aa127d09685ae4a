#include "app/page_file.h"

#include "base/json.h"

enum { FLUSH_BYTES = 1 << 16 };

leat_status page_file_open(struct page_file *pages, const char *path, leat_error *err) {
    *pages = (struct page_file){0};
    bytes_init(&pages->text);
    if (!path) {
        return LEAT_OK;
    }
    TRY(file_open(disk_real(), path, FILE_WRITE, &pages->file, err));
    return file_truncate(pages->file, 0, err);
}

leat_status page_file_add(struct page_file *pages, const struct page_line *line, leat_error *err) {
    if (!pages->file) {
        return LEAT_OK;
    }
    struct json_writer json;
    json_begin(&json, &pages->text);
    json_object_open(&json);
    json_key(&json, "session");
    json_u64(&json, line->session);
    json_key(&json, "position");
    json_i64(&json, line->position);
    json_key(&json, "time");
    json_i64(&json, line->time_ms);
    json_key(&json, "item");
    json_text(&json, line->item);
    json_key(&json, "page");
    json_array_open(&json);
    for (int i = 0; i < line->count; i++) {
        json_text(&json, line->page[i]);
    }
    json_array_close(&json);
    json_object_close(&json);
    bytes_put_u8(&pages->text, '\n');
    return pages->text.size < FLUSH_BYTES ? LEAT_OK : page_file_flush(pages, err);
}

leat_status page_file_flush(struct page_file *pages, leat_error *err) {
    TRY(bytes_status(&pages->text, err));
    if (!pages->file || pages->text.size == 0) {
        return LEAT_OK;
    }
    TRY(file_write(pages->file, pages->text.data, pages->text.size, pages->offset, err));
    pages->offset += pages->text.size;
    bytes_clear(&pages->text);
    return LEAT_OK;
}

void page_file_close(struct page_file *pages) {
    file_close(pages->file);
    bytes_deinit(&pages->text);
}
