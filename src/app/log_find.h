/* `leat log find`: proof that a text stands, or does not stand, in a data folder. */
#ifndef APP_LOG_FIND_H
#define APP_LOG_FIND_H

#include "base/file.h"

enum { LOG_FIND_TEXT_MAX = 1024 };

/* What was found. */
struct log_find {
    uint64_t files, bytes; /* that were read */
    uint64_t places;       /* in their raw bytes */
    uint64_t columns;      /* values of the log's rows that hold the text */
};

/* Reads every file of `folder` and below, byte by byte, and every row of the log in `<folder>/log`;
 * prints a line to `out` for each of the first places and values. A server may be running.
 * LEAT_INVALID: no such folder, or a text that is empty or too long. */
leat_status log_find(struct disk *disk, const char *folder, struct slice text, FILE *out,
                     struct log_find *result, leat_error *err);

#endif
