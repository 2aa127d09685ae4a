/* Buckets, by the five bits behind the leading one:
 *
 *   group 0:  0 .. 31            one value a bucket
 *   group g:  2^(g+4) .. 2^(g+5) 32 buckets of 2^(g-1) values each,   g = 1 .. 36
 *
 * A bucket from 2^(g+4) on is at most 1/32 of its values wide: that is the relative error. */
#include "base/histogram.h"

enum { SUB_BITS = 5 };
#define VALUE_MAX (UINT64_C(1) << 40)

_Static_assert(HISTOGRAM_SUB == 1 << SUB_BITS, "a group is the bits behind the leading one");

static uint32_t bucket_of(uint64_t value) {
    if (value < HISTOGRAM_SUB) {
        return (uint32_t)value;
    }
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - SUB_BITS;
    return (shift << SUB_BITS) + (uint32_t)(value >> shift);
}

/* The largest value that falls into the bucket. */
static uint64_t bucket_upper(uint32_t bucket) {
    if (bucket < HISTOGRAM_SUB) {
        return bucket;
    }
    uint32_t shift = (bucket >> SUB_BITS) - 1;
    uint64_t head = HISTOGRAM_SUB + bucket % HISTOGRAM_SUB;
    uint64_t upper = ((head + 1) << shift) - 1;
    return upper < VALUE_MAX ? upper : VALUE_MAX;
}

static void add(_Atomic uint64_t *to, uint64_t count) {
    atomic_fetch_add_explicit(to, count, memory_order_relaxed);
}

static uint64_t load(const _Atomic uint64_t *from) {
    return atomic_load_explicit(from, memory_order_relaxed);
}

void histogram_init(struct histogram *histogram) {
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        atomic_init(&histogram->buckets[i], 0);
    }
    atomic_init(&histogram->count, 0);
    atomic_init(&histogram->sum, 0);
    atomic_init(&histogram->max, 0);
}

void histogram_record(struct histogram *histogram, uint64_t value) {
    value = value < VALUE_MAX ? value : VALUE_MAX;
    add(&histogram->buckets[bucket_of(value)], 1);
    add(&histogram->count, 1);
    add(&histogram->sum, value);
    uint64_t max = load(&histogram->max);
    while (max < value &&
           !atomic_compare_exchange_weak_explicit(&histogram->max, &max, value,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

uint64_t histogram_count(const struct histogram *histogram) {
    return load(&histogram->count);
}

uint64_t histogram_max(const struct histogram *histogram) {
    return load(&histogram->max);
}

double histogram_mean(const struct histogram *histogram) {
    uint64_t count = load(&histogram->count);
    return count ? (double)load(&histogram->sum) / (double)count : 0.0;
}

/* The number of values at or below quantile q: at least one, so that q = 0 is the smallest. */
static uint64_t rank_of(double q, uint64_t count) {
    double exact = q * (double)count;
    uint64_t rank = exact > 0 ? (uint64_t)exact : 0;
    rank += (double)rank < exact;
    rank = rank < 1 ? 1 : rank;
    return rank < count ? rank : count;
}

uint64_t histogram_quantile(const struct histogram *histogram, double q) {
    /* Counted from the buckets themselves: `count` may be ahead or behind while others record. */
    uint64_t copy[HISTOGRAM_BUCKETS];
    uint64_t count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        copy[i] = load(&histogram->buckets[i]);
        count += copy[i];
    }
    if (count == 0) {
        return 0;
    }
    uint64_t left = rank_of(q, count);
    uint32_t bucket = 0;
    while (left > copy[bucket]) {
        left -= copy[bucket++];
    }
    return bucket_upper(bucket);
}
