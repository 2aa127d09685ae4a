/* Lines of a text together with the places of the separators in them, found for a whole buffer at
 * once: who takes a line apart goes from separator to separator and looks at no byte between.
 *
 *   buffer  [ lines given out | line | line | ... | begin of a line ]
 *   stops   places of all separators in it, line ends among them
 *
 * One thread. */
#ifndef CONNECT_LINE_SCAN_H
#define CONNECT_LINE_SCAN_H

#include "connect/dataset.h"

struct line_scan;

struct line {
    uint64_t number;       /* from 1 */
    const char *base;      /* what the places are counted from; borrowed until the next line */
    uint32_t begin;        /* place of its first byte */
    const uint32_t *stops; /* places of its separators; the last one is that of its line end */
};

/* `set`: the separators besides the line end. */
leat_status line_scan_create(const char *set, struct line_scan **out, leat_error *err);
void line_scan_destroy(struct line_scan *scan);
/* Begins with a new source (borrowed), at line 1. */
void line_scan_begin(struct line_scan *scan, struct byte_source source);

/* LEAT_OK with a line that is not empty; LEAT_END; LEAT_INVALID: a line of more than ROW_BYTES_MAX
 * bytes (line->number says which) was passed over. Anything else is the source's failure. The last
 * line may have no end. */
leat_status line_scan_next(struct line_scan *scan, struct line *out, leat_error *err);

#endif
