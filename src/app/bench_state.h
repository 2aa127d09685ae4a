/* What the benchmarks of the state share: a state of 256-byte records, keys by number, and numbers
 * that are drawn evenly or by Zipf's law. */
#ifndef APP_BENCH_STATE_H
#define APP_BENCH_STATE_H

#include "app/bench.h"
#include "base/rng.h"
#include "state/checkpoint.h"

enum {
    BENCH_STATE_GROUPS = 128,
    BENCH_RECORD_BYTES = 256, /* of a slot: its head, an id of 16 bytes, and the data */
    BENCH_DATA_BYTES = 208,
    BENCH_ID_BYTES = 16,
};

/* The number of records that make a state of about `bytes`. */
static inline uint64_t bench_state_records(uint64_t bytes) {
    return bytes / BENCH_RECORD_BYTES;
}
/* `id` holds BENCH_ID_BYTES. */
struct state_key bench_state_key(uint64_t number, char id[BENCH_ID_BYTES]);
/* A state with all records; `budget` as in state_options. */
leat_status bench_state_open(uint64_t records, struct state_budget *budget, struct state **out,
                             leat_error *err);
/* The same, empty. */
leat_status bench_state_empty(struct state_budget *budget, struct state **out, leat_error *err);

/* Draws of 0..count-1: `theta` 0: evenly; else rank r comes with a probability like 1 / r^theta,
 * and which number has which rank is mixed. Gray and others, Quickly Generating Billion-Record
 * Synthetic Databases, 1994. */
struct bench_draw {
    struct rng rng;
    uint64_t count;
    double theta, alpha, zeta, eta, half;
};
void bench_draw_init(struct bench_draw *draw, uint64_t seed, uint64_t count, double theta);
uint64_t bench_draw_next(struct bench_draw *draw);

#endif
