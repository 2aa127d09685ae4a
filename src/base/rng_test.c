#include "base/rng.h"
#include "base/test.h"

#include <math.h>

/* Outputs of the authors' programs: splitmix64 from 0, xoshiro256** from the state 1, 2, 3, 4. */
static void test_reference_outputs(void **state) {
    (void)state;
    static const uint64_t split[] = {0xe220a8397b1dcdafu, 0x6e789e6aa1b965f4u, 0x06c45d188009454fu,
                                     0xf88bb8a8724c81ecu};
    static const uint64_t outputs[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    struct rng rng;
    rng_init(&rng, 0);
    assert_memory_equal(rng.word, split, sizeof(split));
    rng = (struct rng){{1, 2, 3, 4}};
    for (int i = 0; i < 4; i++) {
        assert_true(rng_next(&rng) == outputs[i]);
    }
}

static void test_seeds_repeat_and_differ(void **state) {
    (void)state;
    struct rng a;
    struct rng b;
    struct rng c;
    rng_init(&a, 7);
    rng_init(&b, 7);
    rng_init(&c, 8);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        uint64_t word = rng_next(&a);
        assert_true(word == rng_next(&b));
        same += word == rng_next(&c);
    }
    assert_int_equal(same, 0);
}

/* Pearson's statistic stays within six deviations of its mean for a fair draw. */
static void test_below_is_fair(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 3);
    for (uint64_t bound = 1; bound <= 20; bound++) {
        enum { DRAWS = 20000 };
        int counts[20] = {0};
        for (int i = 0; i < DRAWS; i++) {
            uint64_t drawn = rng_below(&rng, bound);
            assert_true(drawn < bound);
            counts[drawn]++;
        }
        double expected = (double)DRAWS / (double)bound;
        double chi = 0;
        for (uint64_t i = 0; i < bound; i++) {
            chi += (counts[i] - expected) * (counts[i] - expected) / expected;
        }
        double freedom = (double)bound - 1;
        assert_true(fabs(chi - freedom) <= 6 * sqrt(2 * freedom));
    }
}

/* With three quarters of the range as bound, plain multiplication would give the multiples of three
 * half of the draws. */
static void test_below_is_fair_for_large_bounds(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 4);
    uint64_t bound = UINT64_C(3) << 62;
    int counts[3] = {0};
    for (int i = 0; i < 30000; i++) {
        uint64_t drawn = rng_below(&rng, bound);
        assert_true(drawn < bound);
        counts[drawn % 3]++;
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
}

struct moments {
    double mean;
    double variance;
    double skew;
};

static struct moments moments_of(const double *values, int count) {
    struct moments m = {0};
    for (int i = 0; i < count; i++) {
        m.mean += values[i] / count;
    }
    for (int i = 0; i < count; i++) {
        double d = values[i] - m.mean;
        m.variance += d * d / count;
        m.skew += d * d * d / count;
    }
    return m;
}

static void test_distributions_have_their_moments(void **state) {
    (void)state;
    enum { DRAWS = 100000 };
    static double values[DRAWS];
    struct rng rng;
    rng_init(&rng, 5);
    for (int i = 0; i < DRAWS; i++) {
        values[i] = rng_unit(&rng);
        assert_true(values[i] >= 0 && values[i] < 1);
    }
    struct moments unit = moments_of(values, DRAWS);
    assert_true(fabs(unit.mean - 0.5) < 0.01 && fabs(unit.variance - 1.0 / 12) < 0.002);
    for (int i = 0; i < DRAWS; i++) {
        values[i] = rng_normal(&rng);
    }
    struct moments normal = moments_of(values, DRAWS);
    assert_true(fabs(normal.mean) < 0.02 && fabs(normal.variance - 1) < 0.03);
    assert_true(fabs(normal.skew) < 0.06);
    for (int i = 0; i < DRAWS; i++) {
        values[i] = rng_exponential(&rng, 3);
        assert_true(values[i] >= 0);
    }
    struct moments exponential = moments_of(values, DRAWS);
    assert_true(fabs(exponential.mean - 3) < 0.06 && fabs(exponential.variance - 9) < 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_outputs),
        cmocka_unit_test(test_seeds_repeat_and_differ),
        cmocka_unit_test(test_below_is_fair),
        cmocka_unit_test(test_below_is_fair_for_large_bounds),
        cmocka_unit_test(test_distributions_have_their_moments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
