#include "base/histogram.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/thread.h"

#include <math.h>

#define VALUE_MAX (UINT64_C(1) << 40)

enum { VALUES = 3000 };

static int compare_u64(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t draw(struct rng *rng, int shape) {
    switch (shape) {
    case 0: return rng_below(rng, 64);
    case 1: return rng_next(rng) >> (24 + rng_below(rng, 40));
    case 2: return (uint64_t)rng_exponential(rng, 1e6);
    case 3: return UINT64_C(1) << rng_below(rng, 41);
    default: return rng_next(rng) >> rng_below(rng, 64); /* beyond the bound too */
    }
}

static void check_quantile(const struct histogram *histogram, const uint64_t *sorted, double q) {
    double exact_rank = ceil(q * VALUES);
    size_t rank = exact_rank < 1 ? 1 : (size_t)exact_rank;
    uint64_t exact = sorted[rank - 1];
    uint64_t got = histogram_quantile(histogram, q);
    assert_true(got >= exact);
    assert_true((double)(got - exact) * 32 <= (double)exact);
}

static void test_quantiles_like_sorting(void **state) {
    (void)state;
    static struct histogram histogram;
    static uint64_t values[VALUES];
    struct rng rng;
    rng_init(&rng, 1);
    for (int shape = 0; shape < 5; shape++) {
        histogram_init(&histogram);
        double sum = 0;
        for (int i = 0; i < VALUES; i++) {
            uint64_t value = draw(&rng, shape);
            histogram_record(&histogram, value);
            values[i] = value < VALUE_MAX ? value : VALUE_MAX;
            sum += (double)values[i];
        }
        qsort(values, VALUES, sizeof(values[0]), compare_u64);
        for (int i = 0; i <= 200; i++) {
            check_quantile(&histogram, values, i / 200.0);
        }
        assert_int_equal(histogram_count(&histogram), VALUES);
        assert_true(histogram_max(&histogram) == values[VALUES - 1]);
        assert_true(fabs(histogram_mean(&histogram) - sum / VALUES) <= sum / VALUES * 1e-12);
    }
}

/* One value alone, at both sides of every power of two: no bucket is missed or too wide. */
static void test_every_bucket_edge(void **state) {
    (void)state;
    static struct histogram histogram;
    for (int bit = 0; bit < 64; bit++) {
        for (int64_t step = -1; step <= 1; step++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)step;
            uint64_t kept = value < VALUE_MAX ? value : VALUE_MAX;
            histogram_init(&histogram);
            histogram_record(&histogram, value);
            uint64_t got = histogram_quantile(&histogram, 0.5);
            assert_true(got >= kept && (double)(got - kept) * 32 <= (double)kept);
            assert_true(histogram_max(&histogram) == kept);
        }
    }
}

static void test_small_values_are_exact(void **state) {
    (void)state;
    static struct histogram histogram;
    for (uint64_t value = 0; value < 2 * HISTOGRAM_SUB; value++) {
        histogram_init(&histogram);
        histogram_record(&histogram, value);
        assert_int_equal(histogram_quantile(&histogram, 1), value);
    }
}

static void test_an_empty_histogram(void **state) {
    (void)state;
    static struct histogram histogram;
    histogram_init(&histogram);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    assert_int_equal(histogram_count(&histogram), 0);
    assert_int_equal(histogram_max(&histogram), 0);
    assert_true(histogram_mean(&histogram) == 0);
}

static void *record_thousands(void *arg) {
    for (uint64_t i = 0; i < 5000; i++) {
        histogram_record(arg, i);
    }
    return NULL;
}

static void test_threads_lose_nothing(void **state) {
    (void)state;
    static struct histogram histogram;
    struct thread threads[4];
    histogram_init(&histogram);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(thread_start(&threads[i], "record", record_thousands, &histogram, NULL),
                         LEAT_OK);
    }
    for (int i = 0; i < 4; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(histogram_count(&histogram), 20000);
    assert_int_equal(histogram_max(&histogram), 4999);
    assert_true(histogram_mean(&histogram) == 2499.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles_like_sorting), cmocka_unit_test(test_every_bucket_edge),
        cmocka_unit_test(test_small_values_are_exact), cmocka_unit_test(test_an_empty_histogram),
        cmocka_unit_test(test_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
