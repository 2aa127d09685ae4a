/* A minibatch that is being filled: by the encoder row by row, or with parts of others. Grows to
 * the largest batch that it held, and no further. One thread. */
#ifndef CONNECT_ROW_BATCH_H
#define CONNECT_ROW_BATCH_H

#include "base/error.h"
#include "learn/minibatch.h"

#include <stddef.h>

struct row_batch {
    int rows_max;
    int tasks, dense_count;
    bool timed;
    bool valued; /* some value is not 1: `values` is kept */
    int count;
    size_t key_count, key_capacity;
    uint32_t *offsets; /* [rows_max + 1] */
    uint64_t *keys;
    float *values;
    float *dense;
    float *targets;
    float *weights;
    uint32_t *times;
    int64_t *times_ms; /* what `times` is rounded from */
    uint64_t *numbers; /* of the rows in their files, from 0 over all of them */
};

/* `rows_max` above 0; a model takes no more than MINIBATCH_MAX at once. */
leat_status row_batch_init(struct row_batch *batch, int rows_max, int tasks, int dense_count,
                           bool timed, leat_error *err);
void row_batch_deinit(struct row_batch *batch); /* also of one that is all zero */
void row_batch_clear(struct row_batch *batch);
static inline bool row_batch_full(const struct row_batch *batch) {
    return batch->count == batch->rows_max;
}

/* Room for so many more keys. */
leat_status row_batch_reserve(struct row_batch *batch, size_t keys, leat_error *err);
/* After row_batch_reserve. A value other than 1 makes `valued`. */
void row_batch_push(struct row_batch *batch, uint64_t key, float value);
/* What was pushed since the row before is the next row's: its dense inputs, targets, weights, times
 * and number stand at index `count` already. */
void row_batch_end_row(struct row_batch *batch);
/* Forgets what was pushed since the row before. */
void row_batch_drop_row(struct row_batch *batch);

/* Rows [from, to) of another one of the same shape, with their numbers; they fit. */
leat_status row_batch_append(struct row_batch *batch, const struct minibatch *rows,
                             const uint64_t *numbers, int from, int to, leat_error *err);
/* Borrows until the batch changes. */
struct minibatch row_batch_view(const struct row_batch *batch);

/* Rows [from, to) of a minibatch, where it lies. */
struct minibatch minibatch_part(const struct minibatch *rows, int from, int to);

#endif
