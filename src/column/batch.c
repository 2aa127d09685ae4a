/* Reading a batch, and checking all that reading relies on.
 *
 * The accessors do not check: they run per row in every inner loop. batch_check is what stands
 * between them and bytes from a disk, so everything an accessor dereferences is checked there. */
#include "column/batch.h"

#include "base/text.h"

#include <inttypes.h>

/* --- reading --- */

struct slice batch_text(const struct batch *batch, int column, int64_t row) {
    if (batch_is_null(batch, column, row)) {
        return (struct slice){NULL, 0};
    }
    const struct column *c = &batch->columns[column];
    const int32_t *offsets = c->buffer[1];
    const char *bytes = c->buffer[2];
    return (struct slice){bytes + offsets[row], (size_t)(offsets[row + 1] - offsets[row])};
}

/* The range of list row `row` in the child's values: its first index, and `*count`. */
static int32_t list_range(const struct batch *batch, int column, int64_t row, int *count) {
    const int32_t *offsets = batch->columns[column].buffer[1];
    *count = offsets[row + 1] - offsets[row];
    return offsets[row];
}

const uint64_t *batch_list_u64(const struct batch *batch, int column, int64_t row, int *count) {
    *count = 0;
    if (batch_is_null(batch, column, row)) {
        return NULL;
    }
    const uint64_t *values = batch->columns[column].buffer[2];
    return values + list_range(batch, column, row, count);
}

const float *batch_list_f32(const struct batch *batch, int column, int64_t row, int *count) {
    *count = 0;
    if (batch_is_null(batch, column, row)) {
        return NULL;
    }
    const float *values = batch->columns[column].buffer[2];
    return values + list_range(batch, column, row, count);
}

int batch_list_text_count(const struct batch *batch, int column, int64_t row) {
    int count = 0;
    if (!batch_is_null(batch, column, row)) {
        list_range(batch, column, row, &count);
    }
    return count;
}

struct slice batch_list_text(const struct batch *batch, int column, int64_t row, int index) {
    const struct column *c = &batch->columns[column];
    const int32_t *rows = c->buffer[1];
    const int32_t *offsets = (const int32_t *)c->buffer[2] + rows[row] + index;
    return (struct slice){(const char *)c->buffer[3] + offsets[0],
                          (size_t)(offsets[1] - offsets[0])};
}

/* --- checking --- */

static leat_status size_check(const struct field *field, const char *what, size_t size,
                              size_t expected, leat_error *err) {
    if (size != expected) {
        return error_set(err, LEAT_CORRUPT, "column %s: %zu bytes of %s where %zu are needed",
                         field->name, size, what, expected);
    }
    return LEAT_OK;
}

static leat_status pointers_check(const struct field *field, const struct column *column,
                                  leat_error *err) {
    int buffers = column_type_buffers(field->type);
    for (int i = 0; i < buffers; i++) {
        const void *buffer = column->buffer[i];
        bool needed = i > 0 || column->size[i] > 0;
        if ((needed && !buffer) || (uintptr_t)buffer % 8 != 0) {
            return error_set(err, LEAT_CORRUPT, "column %s: buffer %d is missing or not aligned",
                             field->name, i);
        }
    }
    for (int i = buffers; i < COLUMN_BUFFERS; i++) {
        TRY(size_check(field, "a buffer that its type has not", column->size[i], 0, err));
    }
    return LEAT_OK;
}

/* Whether the first `rows` bits are all set; the bits after them do not matter. */
static bool bits_all_set(const uint8_t *bits, int64_t rows) {
    int64_t whole = rows / 8;
    for (int64_t i = 0; i < whole; i++) {
        if (bits[i] != 0xFF) {
            return false;
        }
    }
    unsigned tail = (1u << (rows % 8)) - 1u;
    return tail == 0 || (bits[whole] & tail) == tail;
}

static leat_status validity_check(const struct field *field, const struct column *column,
                                  int64_t rows, leat_error *err) {
    const uint8_t *bits = column->buffer[0];
    if (!bits) {
        return LEAT_OK;
    }
    TRY(size_check(field, "validity bits", column->size[0], (size_t)(rows + 7) / 8, err));
    if (!field->nullable && !bits_all_set(bits, rows)) {
        return error_set(err, LEAT_CORRUPT, "column %s: a null where none is allowed", field->name);
    }
    return LEAT_OK;
}

static bool offsets_rise(const int32_t *offsets, int64_t count) {
    unsigned falls = 0; /* no branch in the loop: it becomes vector code */
    for (int64_t i = 0; i < count; i++) {
        falls |= offsets[i] > offsets[i + 1];
    }
    return offsets[0] == 0 && falls == 0;
}

/* `count` + 1 offsets in buffer `index`, from 0 and rising; `*end` is the last of them. */
static leat_status offsets_check(const struct field *field, const struct column *column, int index,
                                 int64_t count, int64_t *end, leat_error *err) {
    size_t expected = ((size_t)count + 1) * sizeof(int32_t);
    TRY(size_check(field, "offsets", column->size[index], expected, err));
    const int32_t *offsets = column->buffer[index];
    if (!offsets_rise(offsets, count)) {
        return error_set(err, LEAT_CORRUPT, "column %s: offsets do not rise from 0", field->name);
    }
    *end = offsets[count];
    return LEAT_OK;
}

/* The texts between `count` + 1 checked offsets. All bytes are checked at once: if the whole is
 * UTF-8 and no text begins inside a character, each text is UTF-8. */
static leat_status texts_check(const struct field *field, const int32_t *offsets, int64_t count,
                               const char *bytes, size_t size, leat_error *err) {
    TRY(size_check(field, "text", size, (size_t)offsets[count], err));
    bool valid = text_utf8_valid((struct slice){bytes, size});
    for (int64_t i = 0; valid && i < count; i++) {
        bool inside = (size_t)offsets[i] < size && ((uint8_t)bytes[offsets[i]] & 0xC0) == 0x80;
        valid = !inside;
    }
    if (!valid) {
        return error_set(err, LEAT_CORRUPT, "column %s: a text is not UTF-8", field->name);
    }
    return LEAT_OK;
}

static leat_status values_check(const struct field *field, const struct column *column,
                                int64_t rows, leat_error *err) {
    size_t width = column_type_width(field->type);
    if (width > 0) {
        return size_check(field, "values", column->size[1], (size_t)rows * width, err);
    }
    int64_t end = 0;
    TRY(offsets_check(field, column, 1, rows, &end, err));
    switch (field->type) {
    case COLUMN_TEXT:
        return texts_check(field, column->buffer[1], rows, column->buffer[2], column->size[2], err);
    case COLUMN_LIST_U64:
        return size_check(field, "values", column->size[2], (size_t)end * sizeof(uint64_t), err);
    case COLUMN_LIST_F32:
        return size_check(field, "values", column->size[2], (size_t)end * sizeof(float), err);
    default: break;
    }
    int64_t texts = end;
    TRY(offsets_check(field, column, 2, texts, &end, err));
    return texts_check(field, column->buffer[2], texts, column->buffer[3], column->size[3], err);
}

static leat_status column_check(const struct field *field, const struct column *column,
                                int64_t rows, leat_error *err) {
    if (!column_absent(column)) {
        TRY(pointers_check(field, column, err));
        TRY(validity_check(field, column, rows, err));
        if (rows == 0) {
            return error_set(err, LEAT_CORRUPT, "column %s: buffers without rows", field->name);
        }
        return values_check(field, column, rows, err);
    }
    TRY(size_check(field, "an absent column's validity", column->size[0], 0, err));
    TRY(size_check(field, "an absent column's text", column->size[3], 0, err));
    if (!field->nullable && rows > 0) {
        return error_set(err, LEAT_CORRUPT, "column %s: absent, and no null is allowed",
                         field->name);
    }
    return LEAT_OK;
}

leat_status batch_check(const struct batch *batch, leat_error *err) {
    if (batch->rows < 0 || batch->rows > BATCH_ROWS_MAX) {
        return error_set(err, LEAT_CORRUPT, "a batch of %" PRId64 " rows; 0 to %d are allowed",
                         batch->rows, BATCH_ROWS_MAX);
    }
    for (int i = 0; i < batch->schema->field_count; i++) {
        TRY(column_check(&batch->schema->fields[i], &batch->columns[i], batch->rows, err));
    }
    return LEAT_OK;
}
