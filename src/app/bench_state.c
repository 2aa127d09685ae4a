#include "app/bench_state.h"

#include "base/hash.h"

#include <inttypes.h>
#include <math.h>

struct state_key bench_state_key(uint64_t number, char id[BENCH_ID_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < BENCH_ID_BYTES; i++) {
        id[i] = digits[number >> (4 * (BENCH_ID_BYTES - 1 - i)) & 15];
    }
    struct slice text = {id, BENCH_ID_BYTES};
    return (struct state_key){.hash = hash_slice(text), .id = text};
}

leat_status bench_state_empty(struct state_budget *budget, struct state **out, leat_error *err) {
    struct state_options options = {
        .name = "bench", .groups = BENCH_STATE_GROUPS, .budget = budget};
    return state_open(&options, out, err);
}

leat_status bench_state_open(uint64_t records, struct state_budget *budget, struct state **out,
                             leat_error *err) {
    TRY(bench_state_empty(budget, out, err));
    leat_status status = LEAT_OK;
    for (uint64_t number = 0; number < records && status == LEAT_OK; number++) {
        char id[BENCH_ID_BYTES];
        struct state_key key = bench_state_key(number, id);
        void *data;
        state_enter(*out, key.hash);
        status = state_put(*out, &key, BENCH_DATA_BYTES, &data, err);
        if (status == LEAT_OK) {
            memset(data, (int)(key.hash & 127) + 1, BENCH_DATA_BYTES);
        }
        state_leave(*out, key.hash);
    }
    if (status < 0) {
        state_close(*out);
        *out = NULL;
    }
    return status;
}

/* The first terms, and the integral for the rest: far below the noise of any draw. */
static double zeta(uint64_t count, double theta) {
    enum { TERMS = 100000 };
    uint64_t terms = count < TERMS ? count : TERMS;
    double sum = 0;
    for (uint64_t i = 1; i <= terms; i++) {
        sum += pow((double)i, -theta);
    }
    double from = (double)terms + 0.5;
    double to = (double)count + 0.5;
    return sum + (pow(to, 1 - theta) - pow(from, 1 - theta)) / (1 - theta);
}

void bench_draw_init(struct bench_draw *draw, uint64_t seed, uint64_t count, double theta) {
    *draw = (struct bench_draw){.count = count, .theta = theta};
    rng_init(&draw->rng, seed);
    if (theta > 0) {
        draw->zeta = zeta(count, theta);
        draw->alpha = 1 / (1 - theta);
        draw->half = 1 + pow(0.5, theta);
        draw->eta = (1 - pow(2.0 / (double)count, 1 - theta)) / (1 - draw->half / draw->zeta);
    }
}

static uint64_t rank_draw(struct bench_draw *draw) {
    double unit = rng_unit(&draw->rng);
    double scaled = unit * draw->zeta;
    if (scaled < 1) {
        return 0;
    }
    if (scaled < draw->half) {
        return 1;
    }
    double rank = (double)draw->count * pow(draw->eta * unit - draw->eta + 1, draw->alpha);
    return (uint64_t)rank < draw->count ? (uint64_t)rank : draw->count - 1;
}

uint64_t bench_draw_next(struct bench_draw *draw) {
    if (draw->theta <= 0) {
        return rng_below(&draw->rng, draw->count);
    }
    return hash_mix(7, rank_draw(draw)) % draw->count;
}
