/* A histogram of durations or sizes: log-linear buckets, relative error <= 1/32, fixed memory.
 * Recording is one relaxed atomic add; any thread. Values above 2^40 count as 2^40. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum { HISTOGRAM_SUB = 32, HISTOGRAM_BUCKETS = 37 * HISTOGRAM_SUB };

struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t max;
};

void histogram_init(struct histogram *histogram);
void histogram_record(struct histogram *histogram, uint64_t value);
uint64_t histogram_count(const struct histogram *histogram);
uint64_t histogram_max(const struct histogram *histogram);
double histogram_mean(const struct histogram *histogram);
/* Upper edge of the bucket that holds quantile q in [0, 1]; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double q);

#endif
