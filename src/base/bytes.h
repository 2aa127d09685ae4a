/* Slices (borrowed bytes) and growing byte buffers, with little-endian reading and writing.
 * All of leat's formats are little-endian; leat runs on little-endian machines only. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes, not NUL-terminated. {NULL, 0} is absent; {p, 0} is empty. */
struct slice {
    const char *data;
    size_t size;
};

static inline struct slice slice_of(const char *text) {
    return (struct slice){text, text ? strlen(text) : 0};
}
static inline bool slice_equal(struct slice a, struct slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline bool slice_is(struct slice a, const char *text) {
    return slice_equal(a, slice_of(text));
}

/* An owned, growing buffer. After a failed append `failed` stays set and later appends do nothing,
 * so that a writer checks once, at its end (bytes_status). */
struct bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed;
};

void bytes_init(struct bytes *bytes);
void bytes_deinit(struct bytes *bytes);
void bytes_clear(struct bytes *bytes); /* keeps the memory */
leat_status bytes_status(const struct bytes *bytes, leat_error *err);

/* Room for `count` more bytes; NULL when memory is out. bytes_extend makes them part of the size
 * (contents undefined). */
uint8_t *bytes_reserve(struct bytes *bytes, size_t count);
uint8_t *bytes_extend(struct bytes *bytes, size_t count);
void bytes_append(struct bytes *bytes, const void *data, size_t count);
void bytes_fill(struct bytes *bytes, uint8_t value, size_t count);
void bytes_align(struct bytes *bytes, size_t alignment); /* zero bytes up to a multiple */
void bytes_put_u8(struct bytes *bytes, uint8_t value);
void bytes_put_u16(struct bytes *bytes, uint16_t value);
void bytes_put_u32(struct bytes *bytes, uint32_t value);
void bytes_put_u64(struct bytes *bytes, uint64_t value);
void bytes_put_i64(struct bytes *bytes, int64_t value);
void bytes_put_f64(struct bytes *bytes, double value);
void bytes_put_text(struct bytes *bytes, struct slice text); /* u32 size, then the bytes */
void bytes_printf(struct bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads a format; after the first short read `failed` stays set and every later read gives zeros.
 */
struct bytes_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

struct bytes_reader bytes_reader_of(const void *data, size_t size);
uint8_t bytes_get_u8(struct bytes_reader *reader);
uint16_t bytes_get_u16(struct bytes_reader *reader);
uint32_t bytes_get_u32(struct bytes_reader *reader);
uint64_t bytes_get_u64(struct bytes_reader *reader);
int64_t bytes_get_i64(struct bytes_reader *reader);
double bytes_get_f64(struct bytes_reader *reader);
struct slice bytes_get_text(struct bytes_reader *reader); /* borrowed */
const uint8_t *bytes_get_raw(struct bytes_reader *reader,
                             size_t count); /* borrowed; NULL if short */

#endif
