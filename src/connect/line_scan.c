#include "connect/line_scan.h"

#include "base/memory.h"
#include "connect/row_source.h"
#include "connect/separators.h"

/* Stays in the processor's own memory together with the stops. */
enum { SCAN_BYTES = 256 << 10 };

struct line_scan {
    struct byte_source source;
    struct separators separators;
    bool ended;
    uint64_t line;
    size_t at;    /* of the buffer: the next line */
    size_t end;   /* what is there */
    size_t whole; /* what ends with a line end: lines are given out up to here */
    const uint32_t *stop;
    char buffer[SCAN_BYTES + 1]; /* one more for the end of a last line that has none */
    uint32_t stops[SCAN_BYTES + 1];
};

leat_status line_scan_create(const char *set, struct line_scan **out, leat_error *err) {
    char all[16];
    struct line_scan *scan = memory_alloc(sizeof(*scan));
    if (!scan) {
        return error_memory(err, sizeof(*scan));
    }
    snprintf(all, sizeof(all), "\n%s", set);
    separators_init(&scan->separators, all);
    line_scan_begin(scan, (struct byte_source){NULL, NULL});
    scan->ended = true;
    *out = scan;
    return LEAT_OK;
}

void line_scan_destroy(struct line_scan *scan) {
    memory_free(scan);
}

void line_scan_begin(struct line_scan *scan, struct byte_source source) {
    scan->source = source;
    scan->ended = false;
    scan->line = 1;
    scan->at = 0;
    scan->end = 0;
    scan->whole = 0;
    scan->stop = scan->stops;
}

/* Reads on until the buffer is full or the source has ended, and finds what separates. */
static leat_status fill(struct line_scan *scan, leat_error *err) {
    memmove(scan->buffer, scan->buffer + scan->at, scan->end - scan->at);
    scan->end -= scan->at;
    scan->at = 0;
    while (!scan->ended && scan->end < SCAN_BYTES) {
        size_t got = 0;
        TRY(scan->source.read(scan->source.context, scan->buffer + scan->end,
                              SCAN_BYTES - scan->end, &got, err));
        scan->end += got;
        scan->ended = got == 0;
    }
    if (scan->ended && scan->end > 0 && scan->buffer[scan->end - 1] != '\n') {
        scan->buffer[scan->end++] = '\n';
    }
    scan->whole = scan->end;
    while (scan->whole > 0 && scan->buffer[scan->whole - 1] != '\n') {
        scan->whole--;
    }
    separators_find(&scan->separators, scan->buffer, scan->whole, scan->stops);
    scan->stop = scan->stops;
    return LEAT_OK;
}

/* A line that is longer than the buffer is passed over in pieces. */
static leat_status pass_over(struct line_scan *scan, leat_error *err) {
    do {
        scan->at = scan->end;
        TRY(fill(scan, err));
    } while (scan->whole == 0 && scan->end > 0);
    char *end = scan->end ? memchr(scan->buffer, '\n', scan->end) : NULL;
    if (end) {
        scan->at = (size_t)(end - scan->buffer) + 1;
        while (*scan->stop++ < scan->at - 1) {
        }
    }
    return LEAT_OK;
}

leat_status line_scan_next(struct line_scan *scan, struct line *out, leat_error *err) {
    for (;;) {
        if (scan->at == scan->whole && !(scan->ended && scan->at == scan->end)) {
            TRY(fill(scan, err));
        }
        out->number = scan->line;
        if (scan->at == scan->whole) {
            if (scan->end == 0 || scan->at == scan->end) {
                return LEAT_END;
            }
            scan->line++;
            TRY(pass_over(scan, err));
            return error_set(err, LEAT_INVALID, "a line of more than %d bytes", ROW_BYTES_MAX);
        }
        const char *begin = scan->buffer + scan->at;
        const char *end = memchr(begin, '\n', scan->whole - scan->at);
        *out = (struct line){scan->line++, scan->buffer, (uint32_t)scan->at, scan->stop};
        scan->at = (size_t)(end - scan->buffer) + 1;
        while (*scan->stop++ < scan->at - 1) {
        }
        if (end - begin > ROW_BYTES_MAX) {
            return error_set(err, LEAT_INVALID, "a line of more than %d bytes", ROW_BYTES_MAX);
        }
        if (end > begin && !(end == begin + 1 && *begin == '\r')) {
            return LEAT_OK;
        }
    }
}
