/* A batch as the body of a frame: sizes first, so that reading is one pass of pointer arithmetic.
 */
#include "column/batch.h"

#include <inttypes.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bodies are read where they lie");

static size_t round_up_8(size_t size) {
    return (size + 7) & ~(size_t)7;
}

static size_t body_sizes_bytes(const struct schema *schema, int columns) {
    size_t buffers = 0;
    for (int i = 0; i < columns; i++) {
        buffers += (size_t)column_type_buffers(schema->fields[i].type);
    }
    return buffers * sizeof(uint64_t);
}

size_t batch_body_size(const struct batch *batch) {
    const struct schema *schema = batch->schema;
    size_t size = body_sizes_bytes(schema, schema->field_count);
    for (int i = 0; i < schema->field_count; i++) {
        for (int k = 0; k < column_type_buffers(schema->fields[i].type); k++) {
            size += round_up_8(batch->columns[i].size[k]);
        }
    }
    return size;
}

static uint8_t *buffer_write(const void *buffer, size_t size, uint8_t *out) {
    if (size == 0) {
        return out;
    }
    memcpy(out, buffer, size);
    size_t padded = round_up_8(size);
    memset(out + size, 0, padded - size);
    return out + padded;
}

void batch_body_write(const struct batch *batch, uint8_t *out) {
    INVARIANT((uintptr_t)out % 8 == 0, "body at %p", (void *)out);
    const struct schema *schema = batch->schema;
    uint64_t *sizes = (uint64_t *)(void *)out;
    uint8_t *at = out + body_sizes_bytes(schema, schema->field_count);
    for (int i = 0; i < schema->field_count; i++) {
        const struct column *column = &batch->columns[i];
        for (int k = 0; k < column_type_buffers(schema->fields[i].type); k++) {
            *sizes++ = column->size[k];
            at = buffer_write(column->buffer[k], column->size[k], at);
        }
    }
}

struct body_reader {
    const uint64_t *sizes; /* of the next buffer */
    const uint8_t *at;     /* the next buffer */
    const uint8_t *end;
};

static bool all_zero(const uint8_t *bytes, size_t count) {
    uint8_t any = 0;
    for (size_t i = 0; i < count; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

/* Takes the next buffer into `column`. Its size is a stranger's: compared before it is added. */
static leat_status buffer_take(struct body_reader *reader, struct column *column, int index,
                               leat_error *err) {
    uint64_t size = *reader->sizes++;
    size_t left = (size_t)(reader->end - reader->at);
    if (size > left || round_up_8(size) > left) {
        return error_set(err, LEAT_CORRUPT, "buffer %d of %" PRIu64 " bytes; the body has %zu left",
                         index, size, left);
    }
    size_t padded = round_up_8(size);
    if (!all_zero(reader->at + size, padded - size)) {
        return error_set(err, LEAT_CORRUPT, "buffer %d: its padding is not zero", index);
    }
    /* An empty validity buffer means "all valid" and has no address; an empty text buffer has. */
    column->buffer[index] = index == 0 && size == 0 ? NULL : reader->at;
    column->size[index] = size;
    reader->at += padded;
    return LEAT_OK;
}

static leat_status columns_take(struct body_reader *reader, int columns, struct batch *out,
                                leat_error *err) {
    for (int i = 0; i < columns; i++) {
        const struct field *field = &out->schema->fields[i];
        for (int k = 0; k < column_type_buffers(field->type); k++) {
            leat_status status = buffer_take(reader, &out->columns[i], k, err);
            if (status < 0) {
                return error_in(err, status, "column %s", field->name);
            }
        }
    }
    if (reader->at != reader->end) {
        return error_set(err, LEAT_CORRUPT, "%zu bytes after the last buffer",
                         (size_t)(reader->end - reader->at));
    }
    return LEAT_OK;
}

leat_status batch_body_read(const struct schema *schema, int columns_stored, int64_t rows,
                            const uint8_t *body, size_t size, struct batch *out, leat_error *err) {
    INVARIANT((uintptr_t)body % 8 == 0, "body at %p", (const void *)body);
    if (columns_stored < 0 || columns_stored > schema->field_count) {
        return error_set(err, LEAT_CORRUPT, "%d columns stored; schema %s has %d", columns_stored,
                         schema->name, schema->field_count);
    }
    size_t sizes_bytes = body_sizes_bytes(schema, columns_stored);
    if (size < sizes_bytes) {
        return error_set(err, LEAT_CORRUPT, "a body of %zu bytes; its sizes alone need %zu", size,
                         sizes_bytes);
    }
    memset(out, 0, sizeof(*out));
    out->schema = schema;
    out->rows = rows;
    struct body_reader reader = {
        .sizes = (const uint64_t *)(const void *)body,
        .at = body + sizes_bytes,
        .end = body + size,
    };
    TRY(columns_take(&reader, columns_stored, out, err));
    return batch_check(out, err);
}
