/* Builds a batch row by row. Row protocol: set columns in any order, each at most once, then
 * builder_row_end; columns that were not set are null. A failed allocation is remembered and
 * reported by builder_finish. Memory is kept from batch to batch (builder_clear). One thread.
 *
 * Values are copied. Texts must be UTF-8: that is not checked here, and a reader refuses a frame
 * where it is not so. What is built is canonical: equal rows give equal bytes (batch.h). Setting a
 * column twice in a row, or as another type, breaks an invariant. */
#ifndef COLUMN_BUILDER_H
#define COLUMN_BUILDER_H

#include "column/batch.h"

struct builder;

leat_status builder_create(const struct schema *schema, struct builder **out, leat_error *err);
void builder_destroy(struct builder *builder);
void builder_clear(struct builder *builder);
int64_t builder_rows(const struct builder *builder);
/* What builder_finish would answer of the values set so far: LEAT_OK, LEAT_MEMORY or LEAT_FULL. */
leat_status builder_status(const struct builder *builder);
size_t builder_bytes(const struct builder *builder); /* about what the batch holds so far */

void builder_i32(struct builder *builder, int column, int32_t value);
void builder_i64(struct builder *builder, int column, int64_t value);
void builder_u64(struct builder *builder, int column, uint64_t value);
void builder_f32(struct builder *builder, int column, float value);
void builder_f64(struct builder *builder, int column, double value);
void builder_text(struct builder *builder, int column, struct slice value); /* absent: null */
void builder_list_u64(struct builder *builder, int column, const uint64_t *values, int count);
void builder_list_f32(struct builder *builder, int column, const float *values, int count);
void builder_list_text(struct builder *builder, int column, const struct slice *values, int count);
void builder_row_end(struct builder *builder);
void builder_row_undo(struct builder *builder); /* forgets what was set since the last row_end */

/* A view of what was built, valid until the builder is changed. LEAT_INVALID when a non-nullable
 * column was left out in some row; LEAT_MEMORY; LEAT_FULL beyond BATCH_ROWS_MAX or 2 GiB in one
 * buffer. The last row must have been ended or undone. */
leat_status builder_finish(struct builder *builder, struct batch *out, leat_error *err);

/* Appends a row of a batch of the same schema (not of this builder), and ends it. */
void builder_copy_row(struct builder *builder, const struct batch *batch, int64_t row);

#endif
