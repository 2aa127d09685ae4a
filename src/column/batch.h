/* A batch: rows of one schema as columns in Arrow memory layout.
 *
 *   column k: buffer[0] validity bits (LSB first; absent = all valid)
 *             buffer[1..3] as schema.h draws them
 * A nullable column that is null in every row may have no buffers at all ("absent"): all sizes 0.
 * So has every column of a batch without rows. Buffers are 8-byte aligned and their sizes exact;
 * offsets begin at 0; but for validity, no buffer of a present column is NULL, even at size 0. A
 * batch is immutable once built.
 *
 * Canonical (what a builder makes): no validity without a null, absent whenever all is null, zero
 * in null rows' values and in the bits after the last row.
 *
 * A batch is a view: it borrows its buffers. Who owns them is said where a batch is handed over
 * (a builder, a log reader, an imported ArrowArray). Any thread may read. */
#ifndef COLUMN_BATCH_H
#define COLUMN_BATCH_H

#include "base/bytes.h"
#include "column/schema.h"

struct column {
    const void *buffer[COLUMN_BUFFERS];
    size_t size[COLUMN_BUFFERS]; /* bytes */
};

struct batch {
    const struct schema *schema;
    int64_t rows;
    struct column columns[SCHEMA_COLUMNS_MAX];
};

static inline bool column_absent(const struct column *column) {
    return column->size[1] == 0 && column->size[2] == 0;
}

static inline bool batch_is_null(const struct batch *batch, int column, int64_t row) {
    const struct column *c = &batch->columns[column];
    if (column_absent(c)) {
        return true;
    }
    const uint8_t *bits = c->buffer[0];
    return bits && !(bits[row >> 3] >> (row & 7) & 1);
}

/* Values of one row; the caller has checked for null where the column is nullable. */
static inline int32_t batch_i32(const struct batch *batch, int column, int64_t row) {
    return ((const int32_t *)batch->columns[column].buffer[1])[row];
}
static inline int64_t batch_i64(const struct batch *batch, int column, int64_t row) {
    return ((const int64_t *)batch->columns[column].buffer[1])[row];
}
static inline uint64_t batch_u64(const struct batch *batch, int column, int64_t row) {
    return ((const uint64_t *)batch->columns[column].buffer[1])[row];
}
static inline float batch_f32(const struct batch *batch, int column, int64_t row) {
    return ((const float *)batch->columns[column].buffer[1])[row];
}
static inline double batch_f64(const struct batch *batch, int column, int64_t row) {
    return ((const double *)batch->columns[column].buffer[1])[row];
}
/* Borrowed from the batch; absent ({NULL, 0}) when null. */
struct slice batch_text(const struct batch *batch, int column, int64_t row);
/* Elements of a list row: `*count` values at the returned pointer; NULL and 0 when null. */
const uint64_t *batch_list_u64(const struct batch *batch, int column, int64_t row, int *count);
const float *batch_list_f32(const struct batch *batch, int column, int64_t row, int *count);
int batch_list_text_count(const struct batch *batch, int column, int64_t row); /* 0 when null */
struct slice batch_list_text(const struct batch *batch, int column, int64_t row, int index);

/* Everything that reading may rely on: sizes fit the rows, offsets rise and stay inside, texts are
 * UTF-8, non-nullable columns are present and valid. For bytes from a disk or a stranger;
 * LEAT_CORRUPT otherwise. */
leat_status batch_check(const struct batch *batch, leat_error *err);

/* --- the body of a frame ---
 * u64 size of every buffer of every column in order, then the buffers, each at a multiple of 8 with
 * zero padding. Buffers are written as they are: equal canonical batches give equal bodies. */
size_t batch_body_size(const struct batch *batch);
void batch_body_write(const struct batch *batch, uint8_t *out); /* batch_body_size, 8-aligned */
/* Points `out` into `body` (8-byte aligned, borrowed) and checks all of it. `columns_stored`: the
 * columns that the frame's schema version had; later ones read as absent. LEAT_CORRUPT names the
 * column. A body that is accepted need not be canonical, but with all columns stored writing `out`
 * again gives the same bytes: no byte of it is left unread. */
leat_status batch_body_read(const struct schema *schema, int columns_stored, int64_t rows,
                            const uint8_t *body, size_t size, struct batch *out, leat_error *err);

#endif
