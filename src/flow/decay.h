/* Exponentially decayed sums, exact under any batching.
 *
 * Forward decay (Cormode et al., ICDE 2009): an amount at time t is stored as amount * 2^((t -
 * base) / half-life); decaying is then the same factor for all sums of one base and needs no work.
 * When the exponent has grown beyond DECAY_RENEW the owner moves the base and scales its sums once.
 */
#ifndef FLOW_DECAY_H
#define FLOW_DECAY_H

#include <math.h>
#include <stdint.h>

#define DECAY_RENEW 32.0

/* Stored size of an amount at `time_ms`, and back. */
static inline double decay_factor(int64_t time_ms, int64_t base_ms, int64_t half_life_ms) {
    return exp2((double)(time_ms - base_ms) / (double)half_life_ms);
}

/* A sum that decays by itself: {value at `time_ms`}. Adding an older amount decays the amount. */
static inline double decay_at(double value, int64_t value_ms, int64_t now_ms,
                              int64_t half_life_ms) {
    if (now_ms <= value_ms || value == 0) {
        return value;
    }
    return value * exp2(-(double)(now_ms - value_ms) / (double)half_life_ms);
}

#endif
