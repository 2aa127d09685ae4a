/* Calibration: predictions that are off come right, order stays, wild numbers do no harm. */
#include "base/rng.h"
#include "base/test.h"
#include "learn/calibrate.h"
#include "learn/kernel.h"

#include <math.h>
#include <stdbool.h>

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

enum { BUCKETS = 20 };

struct buckets {
    double predicted[BUCKETS], positive[BUCKETS];
    int count[BUCKETS];
};

/* Mean over the examples of |mean prediction - rate| of their bucket of predictions. */
static double calibration_error(const struct buckets *buckets) {
    double error = 0;
    int total = 0;
    for (int b = 0; b < BUCKETS; b++) {
        error += fabs(buckets->predicted[b] - buckets->positive[b]);
        total += buckets->count[b];
    }
    return error / total;
}

static void put(struct buckets *buckets, double p, bool positive) {
    int b = (int)(p * BUCKETS);
    b = b < BUCKETS ? b : BUCKETS - 1;
    buckets->predicted[b] += p;
    buckets->positive[b] += positive;
    buckets->count[b]++;
}

/* A raw logit that is `slope` z + `shift` where z is true. Errors over the last half. */
static void run(double slope, double shift, double log_odds, double errors[2]) {
    struct calibration calibration = {.correction = {0}};
    struct buckets raw = {.count = {0}}, corrected = {.count = {0}};
    struct rng rng;
    rng_init(&rng, 91);
    for (int n = 0; n < 200000; n++) {
        double z = rng_normal(&rng) * 1.5 - 1.5;
        float logit = (float)(slope * z + shift);
        bool positive = rng_unit(&rng) < sigmoid(z + log_odds);
        float p = kernel_sigmoid(calibrate(&calibration, logit) + (float)log_odds);
        if (n >= 100000) {
            put(&raw, sigmoid((double)logit + log_odds), positive);
            put(&corrected, (double)p, positive);
        }
        calibrate_learn(&calibration, logit, p - (positive ? 1.0f : 0.0f), p * (1 - p));
    }
    errors[0] = calibration_error(&raw);
    errors[1] = calibration_error(&corrected);
}

static void what_is_off_comes_right(void **state) {
    (void)state;
    const double cases[][3] = {
        {1, 1.5, 0}, {0.4, 0, 0}, {1.7, -1, 0}, {1, 0, 0}, {0.5, 1, 1.5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double errors[2];
        run(cases[i][0], cases[i][1], cases[i][2], errors);
        print_message("logit %.1f z %+.1f, log-odds %.1f: error %.4f, corrected %.4f\n",
                      cases[i][0], cases[i][1], cases[i][2], errors[0], errors[1]);
        assert_true(errors[1] < 0.01);
        assert_true(i == 3 || errors[0] > 0.03);
    }
}

/* After any stream whatever a larger logit is never corrected to a smaller one. */
static void order_stays(void **state) {
    (void)state;
    struct calibration calibration = {.correction = {0}};
    struct rng rng;
    rng_init(&rng, 92);
    for (int n = 0; n < 20000; n++) {
        float logit = (float)(rng_normal(&rng) * 4);
        calibrate_learn(&calibration, logit, (float)(rng_normal(&rng) * 3),
                        (float)(rng_unit(&rng) * 0.25));
        if (n % 100 == 0) {
            float before = -1e30f;
            for (int i = -120; i <= 120; i++) {
                float z = calibrate(&calibration, (float)i / 10.0f);
                assert_true(z >= before - 1e-5f);
                before = z;
            }
        }
    }
}

static void wild_logits(void **state) {
    (void)state;
    struct calibration calibration = {.correction = {0}};
    const float wild[] = {INFINITY, -INFINITY, 3e38f, -3e38f, 0.0f, 8.0f, -8.0f};
    for (int n = 0; n < 700; n++) {
        calibrate_learn(&calibration, wild[n % 7], n % 2 ? 1e4f : -1e4f, 0.25f);
    }
    for (int k = 0; k < CALIBRATE_KNOTS; k++) {
        assert_true(isfinite(calibration.correction[k]) && isfinite(calibration.curve[k]));
    }
    assert_true(calibrate(&calibration, INFINITY) == INFINITY);
    assert_true(isnan(calibrate(&calibration, NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_off_comes_right),
        cmocka_unit_test(order_stays),
        cmocka_unit_test(wild_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
