#include "base/memory.h"
#include "base/rng.h"
#include "base/slab.h"
#include "base/test.h"
#include "base/thread.h"

#include <string.h>

enum { HELD = 300, BLOCKS_MAX = 40 };

struct held {
    uint8_t *block;
    size_t bytes;
    uint8_t fill;
};

static void held_take(struct held *held, struct rng *rng) {
    held->bytes = (rng_below(rng, 4) ? 1 : 1 + rng_below(rng, BLOCKS_MAX)) * SLAB_BLOCK -
                  rng_below(rng, 1000);
    held->fill = (uint8_t)rng_below(rng, 256);
    held->block = slab_alloc(held->bytes);
    assert_non_null(held->block);
    assert_int_equal((uintptr_t)held->block % SLAB_BLOCK, 0);
    memset(held->block, held->fill, held->bytes);
}

static void held_give(struct held *held) {
    for (size_t i = 0; i < held->bytes; i += 509) {
        assert_int_equal(held->block[i], held->fill);
    }
    assert_int_equal(held->block[held->bytes - 1], held->fill);
    slab_free(held->block, held->bytes);
    held->block = NULL;
}

static void churn(uint64_t seed, int steps) {
    struct rng rng;
    rng_init(&rng, seed);
    struct held held[HELD] = {0};
    for (int step = 0; step < steps; step++) {
        struct held *one = &held[rng_below(&rng, HELD)];
        if (one->block) {
            held_give(one);
        } else {
            held_take(one, &rng);
        }
    }
    for (int i = 0; i < HELD; i++) {
        if (held[i].block) {
            held_give(&held[i]);
        }
    }
}

/* Nobody's block is another's, and all goes back. */
static void test_blocks_are_ones_own(void **state) {
    (void)state;
    uint64_t before = memory_blocks();
    churn(1, 4000);
    assert_int_equal(memory_blocks(), before);
    assert_int_equal(slab_bytes(), 0);
}

/* Blocks that were given back are taken again, before there is another region. */
static void test_reuse(void **state) {
    (void)state;
    void *blocks[64];
    for (int i = 0; i < 64; i++) {
        blocks[i] = slab_alloc(SLAB_BLOCK);
    }
    assert_int_equal(slab_bytes(), 2 * SLAB_REGION);
    for (int i = 0; i < 64; i += 2) {
        slab_free(blocks[i], SLAB_BLOCK);
    }
    for (int i = 0; i < 64; i += 2) {
        blocks[i] = slab_alloc(SLAB_BLOCK);
    }
    assert_int_equal(slab_bytes(), 2 * SLAB_REGION);
    for (int i = 0; i < 64; i++) {
        slab_free(blocks[i], SLAB_BLOCK);
    }
    assert_int_equal(slab_bytes(), 0);
}

static void test_failures(void **state) {
    (void)state;
    uint64_t before = memory_blocks();
    int failed = 0;
    for (uint64_t n = 1; n <= 6; n++) {
        memory_fail_at(n);
        void *small = slab_alloc(SLAB_BLOCK);
        void *large = slab_alloc(SLAB_REGION + 1);
        failed += !small + !large;
        memory_fail_at(0);
        slab_free(small, SLAB_BLOCK);
        slab_free(large, SLAB_REGION + 1);
        assert_int_equal(memory_blocks(), before);
    }
    assert_int_equal(failed, 6);
}

static void *churn_along(void *context) {
    churn(*(uint64_t *)context, 1500);
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    struct thread threads[3];
    uint64_t seeds[3] = {5, 6, 7};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(thread_start(&threads[i], "churn", churn_along, &seeds[i], NULL), LEAT_OK);
    }
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(slab_bytes(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_ones_own),
        cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
