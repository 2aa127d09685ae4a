#include "app/quality.h"
#include "base/rng.h"
#include "base/test.h"

#include <math.h>

static void assert_near(double value, double expected) {
    if (fabs(value - expected) > 1e-9 * fmax(1, fabs(expected))) {
        fail_msg("%.12g is not %.12g", value, expected);
    }
}

static void test_ranks_beyond_the_page_do_not_count(void **state) {
    (void)state;
    struct quality_ranks ranks = {0};
    assert_near(quality_hr(&ranks), 0);
    const int given[] = {1, 2, 10, 11, 0, 4};
    for (int i = 0; i < 6; i++) {
        quality_add(&ranks, given[i]);
    }
    assert_int_equal(ranks.count, 6);
    assert_near(quality_hr(&ranks), 4.0 / 6);
    assert_near(quality_mrr(&ranks), (1 + 0.5 + 0.1 + 0.25) / 6);
}

static void test_a_paired_difference_has_its_error(void **state) {
    (void)state;
    struct quality_pair pair = {0};
    const int ours[] = {1, 3, 0, 2};
    const int theirs[] = {2, 0, 0, 2};
    assert_near(quality_mean_error(&pair.hr), 0);
    for (int i = 0; i < 4; i++) {
        quality_pair_add(&pair, ours[i], theirs[i]);
    }
    /* hits differ by 0 1 0 0; reciprocals by 1/2 1/3 0 0 */
    assert_near(pair.hr.mean, 0.25);
    assert_near(quality_mean_error(&pair.hr), sqrt(0.75 / 3 / 4));
    double mean = (0.5 + 1.0 / 3) / 4;
    double squares = pow(0.5 - mean, 2) + pow(1.0 / 3 - mean, 2) + 2 * mean * mean;
    assert_near(pair.mrr.mean, mean);
    assert_near(quality_mean_error(&pair.mrr), sqrt(squares / 3 / 4));
}

static void test_a_mean_does_not_lose_digits(void **state) {
    (void)state;
    struct quality_mean mean = {0};
    for (int i = 0; i < 1000; i++) {
        quality_mean_add(&mean, 1e9 + (i % 2));
    }
    assert_near(mean.mean, 1e9 + 0.5);
    assert_near(quality_mean_error(&mean), sqrt(250.0 / 999 / 1000));
}

/* The share of pairs (positive, negative) in the right order, ties half: by comparing all. */
static double naive_auc(const struct quality_case *cases, int count) {
    double right = 0;
    double pairs = 0;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < count; k++) {
            if (cases[i].positive && !cases[k].positive) {
                float difference = cases[i].probability - cases[k].probability;
                right += difference > 0 ? 1 : difference < 0 ? 0 : 0.5;
                pairs++;
            }
        }
    }
    return right / pairs;
}

static void test_auc_is_the_share_of_ordered_pairs(void **state) {
    (void)state;
    enum { CASES = 60 };
    struct rng rng;
    rng_init(&rng, 5);
    for (int turn = 0; turn < 500; turn++) {
        struct quality_case cases[CASES];
        int count = 2 + (int)rng_below(&rng, CASES - 1);
        uint64_t levels = 1 + rng_below(&rng, 40); /* few levels: many ties */
        for (int i = 0; i < count; i++) {
            cases[i].probability = (float)rng_below(&rng, levels) / 40;
            cases[i].positive = i == 0 || (i != 1 && rng_below(&rng, 3) == 0);
        }
        double expected = naive_auc(cases, count);
        double found;
        assert_int_equal(quality_auc(cases, (size_t)count, &found, NULL), LEAT_OK);
        assert_near(found, expected);
    }
}

static void test_auc_needs_both_kinds(void **state) {
    (void)state;
    struct quality_case cases[] = {{0.5f, true}, {0.25f, true}};
    double found;
    leat_error err;
    assert_int_equal(quality_auc(cases, 2, &found, &err), LEAT_INVALID);
    assert_int_equal(quality_auc(cases, 0, &found, &err), LEAT_INVALID);
}

static void test_log_loss(void **state) {
    (void)state;
    struct quality_case cases[] = {{0.5f, true}, {0.25f, false}, {0.0f, true}, {1.0f, false}};
    assert_near(quality_log_loss(cases, 0), 0);
    assert_near(quality_log_loss(cases, 2), -(log(0.5) + log(0.75)) / 2);
    assert_near(quality_log_loss(cases, 4), -(log(0.5) + log(0.75) + 2 * log(1e-7)) / 4);
}

/* As the definition says it, for cases without ties. */
static double naive_calibration(const struct quality_case *cases, int count) {
    double sum = 0;
    for (int bin = 0; bin < QUALITY_BINS; bin++) {
        double difference = 0;
        for (int i = 0; i < count; i++) {
            int below = 0;
            for (int k = 0; k < count; k++) {
                below += cases[k].probability < cases[i].probability;
            }
            if (below >= count * bin / QUALITY_BINS && below < count * (bin + 1) / QUALITY_BINS) {
                difference += (double)cases[i].probability - cases[i].positive;
            }
        }
        sum += fabs(difference);
    }
    return sum / count;
}

static void test_calibration(void **state) {
    (void)state;
    struct quality_case cases[517];
    struct rng rng;
    rng_init(&rng, 8);
    for (int count = 1; count <= 517; count += 43) {
        for (int i = 0; i < count; i++) {
            cases[i].probability = (float)rng_unit(&rng);
            cases[i].positive = rng_unit(&rng) < 0.7 * (double)cases[i].probability;
        }
        double naive = naive_calibration(cases, count);
        assert_true(fabs(quality_calibration_error(cases, (size_t)count) - naive) < 1e-9);
    }
    /* Equal ones are one bin: half of them positive at a half is no error. */
    for (int i = 0; i < 100; i++) {
        cases[i] = (struct quality_case){0.5f, i % 2};
    }
    assert_true(quality_calibration_error(cases, 100) == 0);
    assert_true(quality_calibration_error(cases, 0) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_beyond_the_page_do_not_count),
        cmocka_unit_test(test_a_paired_difference_has_its_error),
        cmocka_unit_test(test_a_mean_does_not_lose_digits),
        cmocka_unit_test(test_auc_is_the_share_of_ordered_pairs),
        cmocka_unit_test(test_auc_needs_both_kinds),
        cmocka_unit_test(test_log_loss),
        cmocka_unit_test(test_calibration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
