/* Rows into examples, as a plan says (row_plan.h): cells -> ids and numbers -> keys by field.
 *
 *   a cell -> what uses its column: operands (hashes of its values), dense inputs, labels, weight,
 *             time; when all cells are taken, the fields gather the hashes of their operands
 *
 * The only state is that of dense(.., standard): running means and deviations. One thread. */
#ifndef CONNECT_ROW_ENCODER_H
#define CONNECT_ROW_ENCODER_H

#include "connect/row_batch.h"
#include "connect/row_plan.h"
#include "learn/model.h"

enum { ROW_KEYS_MAX = MODEL_KEYS_MAX }; /* keys of one example */

struct row_encoder;

/* Borrows the plan. */
leat_status row_encoder_create(const struct row_plan *plan, struct row_encoder **out,
                               leat_error *err);
void row_encoder_destroy(struct row_encoder *encoder);

/* Rows come from a source with these columns now; borrowed, and may grow. */
void row_encoder_bind(struct row_encoder *encoder, const struct row_columns *columns);
/* Adds one row as an example; `number` is the row's. LEAT_INVALID: the row is malformed, and the
 * batch is as it was. The batch is not full. */
leat_status row_encoder_add(struct row_encoder *encoder, const struct row *row, uint64_t number,
                            struct row_batch *batch, leat_error *err);

/* Whether running means go on with each row (at first they do). */
void row_encoder_learn(struct row_encoder *encoder, bool on);
/* The running means, for who goes on later. LEAT_CORRUPT when they are not of this plan. */
void row_encoder_save(const struct row_encoder *encoder, struct bytes *out);
leat_status row_encoder_load(struct row_encoder *encoder, struct bytes_reader *reader,
                             leat_error *err);

/* A batch of the plan's shape. */
leat_status row_encoder_batch(const struct row_encoder *encoder, int rows_max,
                              struct row_batch *out, leat_error *err);

#endif
