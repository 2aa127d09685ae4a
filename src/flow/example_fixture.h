/* For tests: examples that are a function of a seed, and comparing two member by member. */
#ifndef FLOW_EXAMPLE_FIXTURE_H
#define FLOW_EXAMPLE_FIXTURE_H

#include "base/hash.h"
#include "base/rng.h"
#include "base/test.h"
#include "flow/example.h"

#include <stdio.h>

/* The example's lists and texts point into this: it must not move. */
struct made_example {
    struct example example;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    char user[24], request[24], item[24];
};

/* Any bits but those of a NaN: what is compared is compared as bits too, negative zero and all. */
static inline float made_float(struct rng *rng) {
    static const float odd[] = {0.0f, -0.0f, 1.0f, 1e-42f, -3e38f};
    return rng_below(rng, 4) == 0 ? odd[rng_below(rng, 5)] : (float)rng_normal(rng);
}

/* Text and hash, only the hash, or neither. */
static inline void made_id(struct rng *rng, char letter, uint64_t among, char out[24],
                           struct slice *text, uint64_t *hash) {
    uint64_t kind = rng_below(rng, 8);
    snprintf(out, 24, "%c%d", letter, (int)rng_below(rng, among));
    *text = kind < 6 ? slice_of(out) : (struct slice){NULL, 0};
    *hash = kind < 7 ? hash_slice(slice_of(out)) : 0;
}

static inline void made_example(struct rng *rng, uint64_t sequence, struct made_example *out) {
    struct example *example = &out->example;
    *example = (struct example){.sequence = sequence, .keys = out->keys, .dense = out->dense};
    example->key_count = (int)rng_below(rng, EXAMPLE_KEYS_MAX + 1);
    example->dense_count = (int)rng_below(rng, EXAMPLE_DENSE_MAX + 1);
    for (int i = 0; i < example->key_count; i++) {
        out->keys[i] = rng_next(rng);
    }
    for (int i = 0; i < example->dense_count; i++) {
        out->dense[i] = made_float(rng);
    }
    example->mask = (uint32_t)rng_below(rng, 1 << EXAMPLE_TASKS_MAX);
    example->labels = (uint32_t)rng_next(rng) & example->mask;
    example->weight = made_float(rng);
    example->log_odds = made_float(rng);
    example->flags = (uint32_t)rng_below(rng, 8);
    made_id(rng, 'u', 50, out->user, &example->user, &example->user_hash);
    made_id(rng, 'r', 50, out->request, &example->request, &example->request_hash);
    made_id(rng, 'i', 50, out->item, &example->item, &example->item_hash);
    example->shown_ms = (int64_t)rng_below(rng, 1u << 20) - (1 << 10);
    example->due_ms = rng_below(rng, 2) ? (int64_t)rng_below(rng, 1u << 20) : 0;
    example->part = rng_below(rng, 2) ? rng_next(rng) : 0;
}

static inline void same_id(struct slice a, struct slice b) {
    assert_int_equal(!a.data, !b.data);
    assert_true(slice_equal(a, b));
}

static inline void same_floats(const float *a, const float *b, int count) {
    for (int i = 0; i < count; i++) {
        assert_memory_equal(&a[i], &b[i], sizeof(a[i]));
    }
}

static inline void same_example(const struct example *a, const struct example *b) {
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->key_count, b->key_count);
    for (int i = 0; i < a->key_count; i++) {
        assert_int_equal(a->keys[i], b->keys[i]);
    }
    assert_int_equal(a->dense_count, b->dense_count);
    same_floats(a->dense, b->dense, a->dense_count);
    assert_int_equal(a->mask, b->mask);
    assert_int_equal(a->labels, b->labels);
    same_floats(&a->weight, &b->weight, 1);
    same_floats(&a->log_odds, &b->log_odds, 1);
    assert_int_equal(a->flags, b->flags);
    same_id(a->user, b->user);
    same_id(a->request, b->request);
    same_id(a->item, b->item);
    assert_int_equal(a->user_hash, b->user_hash);
    assert_int_equal(a->request_hash, b->request_hash);
    assert_int_equal(a->item_hash, b->item_hash);
    assert_int_equal(a->shown_ms, b->shown_ms);
    assert_int_equal(a->due_ms, b->due_ms);
    assert_int_equal(a->part, b->part);
}

#endif
