/* Batches of examples made from a seed, for whoever tests what is done with them. */
#ifndef CONNECT_ROW_CACHE_FIXTURE_H
#define CONNECT_ROW_CACHE_FIXTURE_H

#include "base/rng.h"
#include "connect/row_batch.h"

/* What `kind` has: 1 ragged rows, 2 values, 4 weights, 8 numbers that jump. */
static inline void fixture_fill(struct row_batch *batch, struct rng *rng, int rows, int kind,
                                uint64_t *number) {
    row_batch_clear(batch);
    for (int i = 0; i < rows; i++) {
        uint64_t keys = kind & 1 ? rng_below(rng, 5) : 3;
        INVARIANT(row_batch_reserve(batch, keys, NULL) == LEAT_OK, "%d", i);
        for (uint64_t k = 0; k < keys; k++) {
            row_batch_push(batch, rng_next(rng), kind & 2 ? (float)rng_unit(rng) : 1);
        }
        for (int t = 0; t < batch->tasks; t++) {
            batch->targets[i * batch->tasks + t] = (float)rng_below(rng, 2);
            batch->weights[i * batch->tasks + t] = kind & 4 ? (float)rng_unit(rng) : 1;
        }
        for (int d = 0; d < batch->dense_count; d++) {
            batch->dense[i * batch->dense_count + d] = (float)rng_normal(rng);
        }
        batch->times[i] = (uint32_t)rng_below(rng, 1u << 31);
        batch->numbers[i] = *number;
        *number += 1 + (kind & 8 ? rng_below(rng, 3) : 0);
        row_batch_end_row(batch);
    }
}

#endif
