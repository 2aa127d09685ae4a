#include "base/bytes.h"

#include "base/memory.h"

#include <stdarg.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "formats are copied as they lie in memory");

enum { BYTES_CAPACITY_MIN = 64 };

void bytes_init(struct bytes *bytes) {
    *bytes = (struct bytes){0};
}

void bytes_deinit(struct bytes *bytes) {
    memory_free(bytes->data);
    bytes_init(bytes);
}

void bytes_clear(struct bytes *bytes) {
    bytes->size = 0;
    bytes->failed = false;
}

leat_status bytes_status(const struct bytes *bytes, leat_error *err) {
    return bytes->failed ? error_memory(err, bytes->size) : LEAT_OK;
}

/* Half of the address space as the bound keeps size + count and the doubling from overflow. */
static bool bytes_grow(struct bytes *bytes, size_t count) {
    if (count > SIZE_MAX / 2 - bytes->size) {
        return false;
    }
    size_t needed = bytes->size + count;
    size_t capacity = bytes->capacity ? bytes->capacity * 2 : BYTES_CAPACITY_MIN;
    capacity = capacity < needed ? needed : capacity;
    uint8_t *data = memory_resize(bytes->data, capacity);
    if (!data) {
        return false;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return true;
}

uint8_t *bytes_reserve(struct bytes *bytes, size_t count) {
    if (bytes->failed) {
        return NULL;
    }
    if (!bytes->data || bytes->capacity - bytes->size < count) {
        if (!bytes_grow(bytes, count)) {
            bytes->failed = true;
            return NULL;
        }
    }
    return bytes->data + bytes->size;
}

uint8_t *bytes_extend(struct bytes *bytes, size_t count) {
    uint8_t *at = bytes_reserve(bytes, count);
    if (at) {
        bytes->size += count;
    }
    return at;
}

void bytes_append(struct bytes *bytes, const void *data, size_t count) {
    uint8_t *at = bytes_extend(bytes, count);
    if (at && count > 0) {
        memcpy(at, data, count);
    }
}

void bytes_fill(struct bytes *bytes, uint8_t value, size_t count) {
    uint8_t *at = bytes_extend(bytes, count);
    if (at) {
        memset(at, value, count);
    }
}

void bytes_align(struct bytes *bytes, size_t alignment) {
    size_t over = bytes->size % alignment;
    if (over > 0) {
        bytes_fill(bytes, 0, alignment - over);
    }
}

void bytes_put_u8(struct bytes *bytes, uint8_t value) {
    bytes_append(bytes, &value, sizeof(value));
}

void bytes_put_u16(struct bytes *bytes, uint16_t value) {
    bytes_append(bytes, &value, sizeof(value));
}

void bytes_put_u32(struct bytes *bytes, uint32_t value) {
    bytes_append(bytes, &value, sizeof(value));
}

void bytes_put_u64(struct bytes *bytes, uint64_t value) {
    bytes_append(bytes, &value, sizeof(value));
}

void bytes_put_i64(struct bytes *bytes, int64_t value) {
    bytes_append(bytes, &value, sizeof(value));
}

void bytes_put_f64(struct bytes *bytes, double value) {
    bytes_append(bytes, &value, sizeof(value));
}

void bytes_put_text(struct bytes *bytes, struct slice text) {
    if (text.size > UINT32_MAX) {
        bytes->failed = true;
        return;
    }
    bytes_put_u32(bytes, (uint32_t)text.size);
    bytes_append(bytes, text.data, text.size);
}

void bytes_printf(struct bytes *bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    uint8_t *at = length < 0 ? NULL : bytes_reserve(bytes, (size_t)length + 1); /* with its NUL */
    if (!at) {
        bytes->failed = true;
        return;
    }
    va_start(args, format);
    vsnprintf((char *)at, (size_t)length + 1, format, args);
    va_end(args);
    bytes->size += (size_t)length;
}

struct bytes_reader bytes_reader_of(const void *data, size_t size) {
    const uint8_t *at = data;
    return (struct bytes_reader){.at = at, .end = at ? at + size : at};
}

const uint8_t *bytes_get_raw(struct bytes_reader *reader, size_t count) {
    if (reader->failed || (size_t)(reader->end - reader->at) < count) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at = at ? at + count : at;
    return at;
}

/* Copies the next `count` bytes, or leaves the zeros that are there. */
static void reader_copy(struct bytes_reader *reader, void *out, size_t count) {
    const uint8_t *at = bytes_get_raw(reader, count);
    if (at) {
        memcpy(out, at, count);
    }
}

uint8_t bytes_get_u8(struct bytes_reader *reader) {
    uint8_t value = 0;
    reader_copy(reader, &value, sizeof(value));
    return value;
}

uint16_t bytes_get_u16(struct bytes_reader *reader) {
    uint16_t value = 0;
    reader_copy(reader, &value, sizeof(value));
    return value;
}

uint32_t bytes_get_u32(struct bytes_reader *reader) {
    uint32_t value = 0;
    reader_copy(reader, &value, sizeof(value));
    return value;
}

uint64_t bytes_get_u64(struct bytes_reader *reader) {
    uint64_t value = 0;
    reader_copy(reader, &value, sizeof(value));
    return value;
}

int64_t bytes_get_i64(struct bytes_reader *reader) {
    int64_t value = 0;
    reader_copy(reader, &value, sizeof(value));
    return value;
}

double bytes_get_f64(struct bytes_reader *reader) {
    double value = 0;
    reader_copy(reader, &value, sizeof(value));
    return value;
}

struct slice bytes_get_text(struct bytes_reader *reader) {
    uint32_t size = bytes_get_u32(reader);
    const uint8_t *data = bytes_get_raw(reader, size);
    return data ? (struct slice){(const char *)data, size} : (struct slice){0};
}
