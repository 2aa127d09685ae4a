/* Arbitrary bytes as the body of a schema with every type: refused, or every accessor stays inside
 * and writing the batch again gives the same bytes.
 *
 * Input: a byte of rows, a byte of columns stored, six bytes unused, then the body. */
#include "base/memory.h"
#include "column/batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_COLUMNS = 12, FUZZ_HEADER_BYTES = 8 };

static const struct field fuzz_fields[FUZZ_COLUMNS] = {
    {"i32", COLUMN_I32, false},
    {"text", COLUMN_TEXT, false},
    {"texts", COLUMN_LIST_TEXT, false},
    {"i64", COLUMN_I64, true},
    {"u64", COLUMN_U64, true},
    {"f32", COLUMN_F32, true},
    {"f64", COLUMN_F64, true},
    {"text_null", COLUMN_TEXT, true},
    {"u64s", COLUMN_LIST_U64, true},
    {"f32s", COLUMN_LIST_F32, true},
    {"texts_null", COLUMN_LIST_TEXT, true},
    {"i32_null", COLUMN_I32, true},
};
static const struct schema fuzz_schema = {9, 1, "fuzz", fuzz_fields, FUZZ_COLUMNS};

/* Sums what is read, so that no read is left out by the compiler. */
static volatile uint64_t fuzz_sum;

static void touch(const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        fuzz_sum += bytes[i];
    }
}

static void touch_value(const struct batch *batch, int column, int64_t row) {
    int count;
    switch (batch->schema->fields[column].type) {
    case COLUMN_I32: fuzz_sum += (uint64_t)batch_i32(batch, column, row); break;
    case COLUMN_I64: fuzz_sum += (uint64_t)batch_i64(batch, column, row); break;
    case COLUMN_U64: fuzz_sum += batch_u64(batch, column, row); break;
    case COLUMN_F32: fuzz_sum += batch_f32(batch, column, row) > 0; break;
    case COLUMN_F64: fuzz_sum += batch_f64(batch, column, row) > 0; break;
    case COLUMN_TEXT: {
        struct slice text = batch_text(batch, column, row);
        touch(text.data, text.size);
        break;
    }
    case COLUMN_LIST_U64: {
        const uint64_t *values = batch_list_u64(batch, column, row, &count);
        touch(values, (size_t)count * sizeof(*values));
        break;
    }
    case COLUMN_LIST_F32: {
        const float *values = batch_list_f32(batch, column, row, &count);
        touch(values, (size_t)count * sizeof(*values));
        break;
    }
    case COLUMN_LIST_TEXT:
        for (int i = 0; i < batch_list_text_count(batch, column, row); i++) {
            struct slice text = batch_list_text(batch, column, row, i);
            touch(text.data, text.size);
        }
        break;
    }
}

static void check_accepted(const struct batch *batch, const uint8_t *body, size_t size,
                           int columns_stored) {
    for (int column = 0; column < FUZZ_COLUMNS; column++) {
        for (int64_t row = 0; row < batch->rows; row++) {
            if (!batch_is_null(batch, column, row)) {
                touch_value(batch, column, row);
            }
        }
    }
    size_t again_size = batch_body_size(batch);
    INVARIANT(columns_stored < FUZZ_COLUMNS || again_size == size, "%zu bytes became %zu", size,
              again_size);
    uint8_t *again = memory_alloc(again_size);
    batch_body_write(batch, again);
    INVARIANT(columns_stored < FUZZ_COLUMNS || memcmp(again, body, size) == 0,
              "%zu bytes became others", size);
    memory_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < FUZZ_HEADER_BYTES) {
        return 0;
    }
    int64_t rows = data[0];
    int columns_stored = data[1] % 16 == 0 ? data[1] / 16 : FUZZ_COLUMNS;
    size -= FUZZ_HEADER_BYTES;
    uint8_t *body = memory_alloc(size > 0 ? size : 8); /* its own block: aligned, and guarded */
    memcpy(body, data + FUZZ_HEADER_BYTES, size);
    struct batch batch;
    if (batch_body_read(&fuzz_schema, columns_stored, rows, body, size, &batch, NULL) == LEAT_OK) {
        check_accepted(&batch, body, size, columns_stored);
    }
    memory_free(body);
    return 0;
}
