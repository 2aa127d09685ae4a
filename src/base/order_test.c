#include "base/order.h"
#include "base/rng.h"
#include "base/test.h"

#include <stdlib.h>
#include <string.h>

static int by_weight(const void *left, const void *right) {
    const struct order_entry *a = left;
    const struct order_entry *b = right;
    if (a->weight != b->weight) {
        return a->weight < b->weight ? 1 : -1;
    }
    return a->key < b->key ? -1 : a->key > b->key;
}

/* The front is what sorting everything gives; nothing is lost behind it. */
static void test_heaviest(void **state) {
    (void)state;
    enum { MAX = 200 };
    struct rng rng;
    rng_init(&rng, 5);
    for (int round = 0; round < 3000; round++) {
        struct order_entry have[MAX];
        struct order_entry want[MAX];
        int count = (int)rng_below(&rng, MAX);
        int wanted = (int)rng_below(&rng, MAX);
        for (int i = 0; i < count; i++) {
            have[i] =
                (struct order_entry){(double)rng_below(&rng, 20), rng_next(&rng), (uint64_t)i};
        }
        memcpy(want, have, sizeof(want));
        order_heaviest(have, count, wanted);
        qsort(want, (size_t)count, sizeof(want[0]), by_weight);
        int front = wanted < count ? wanted : count;
        assert_memory_equal(have, want, (size_t)front * sizeof(have[0]));
        qsort(have, (size_t)count, sizeof(have[0]), by_weight);
        assert_memory_equal(have, want, (size_t)count * sizeof(have[0]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heaviest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
