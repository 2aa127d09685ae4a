#include "base/bytes.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/test.h"
#include "world/drift.h"

#include <math.h>
#include <string.h>

static struct drift_options usual(void) {
    struct drift_options options;
    drift_defaults(&options);
    options.rows = 20000;
    options.ids = 2000;
    return options;
}

static struct drift *make(struct drift_options options) {
    struct drift *drift = NULL;
    leat_error err;
    assert_int_equal(drift_open(&options, &drift, &err), LEAT_OK);
    return drift;
}

static uint64_t digest(struct drift_options options) {
    struct drift *drift = make(options);
    struct drift_row row;
    char line[DRIFT_LINE_MAX];
    uint64_t digest = 0;
    while (drift_next(drift, &row) == LEAT_OK) {
        digest = hash_mix(digest, hash_bytes(line, drift_write(drift, &row, line)));
    }
    drift_close(drift);
    return digest;
}

static void test_a_stream_is_a_function_of_every_option(void **state) {
    (void)state;
    struct drift_options options = usual();
    options.rows = 2000;
    uint64_t plain = digest(options);
    assert_int_equal(digest(options), plain);
    for (int i = 0; i < drift_parameter_count; i++) {
        const struct drift_parameter *p = &drift_parameters[i];
        struct drift_options other = options;
        double *value = (double *)((char *)&other + p->offset);
        double half = p->whole ? floor(*value / 2) : *value * 0.7;
        *value = half >= p->low ? half : *value + 1;
        if (digest(other) == plain) {
            fail_msg("%s changes nothing", p->name);
        }
    }
}

static void test_what_is_out_of_range_is_named(void **state) {
    (void)state;
    for (int i = 0; i < drift_parameter_count; i++) {
        const struct drift_parameter *p = &drift_parameters[i];
        const double wrong[] = {p->low - 1, p->high * 1.01 + 1, NAN,
                                p->whole ? p->low + 0.5 : INFINITY};
        for (int w = 0; w < 4; w++) {
            struct drift_options options = usual();
            struct drift *drift = NULL;
            leat_error err = {.message = ""};
            *(double *)((char *)&options + p->offset) = wrong[w];
            assert_int_equal(drift_open(&options, &drift, &err), LEAT_INVALID);
            assert_non_null(strstr(err.message, p->name));
            assert_null(drift);
        }
    }
}

/* Clicks come as the logits say, overall and among the likely and the unlikely; and at the rate
 * that was asked for. */
static void test_labels_follow_the_truth(void **state) {
    (void)state;
    enum { BINS = 4 };
    struct drift_options options = usual();
    struct drift *drift = make(options);
    struct drift_row row;
    double expected[BINS] = {0};
    double clicked[BINS] = {0};
    double variance[BINS] = {0};
    double total = 0;
    while (drift_next(drift, &row) == LEAT_OK) {
        double p = 1 / (1 + exp(-row.logit));
        int bin = p < 0.1 ? 0 : p < 0.25 ? 1 : p < 0.5 ? 2 : 3;
        expected[bin] += p;
        variance[bin] += p * (1 - p);
        clicked[bin] += row.label;
        total += row.label;
    }
    drift_close(drift);
    for (int b = 0; b < BINS; b++) {
        assert_true(expected[b] > 100);
        assert_true(fabs(clicked[b] - expected[b]) < 4 * sqrt(variance[b]));
    }
    assert_true(fabs(total / options.rows - options.clicks) < 0.05);
}

/* Of one small field of ids and no numbers, so that ids come again: `*births` of them, and how far
 * apart the logits of an id's meetings lie at most. */
static double widest_move(struct drift_options options, uint64_t *births) {
    enum { NAMES = 4096 };
    struct seen {
        uint32_t name;
        double low, high;
    };
    struct seen *seen = memory_zalloc(NAMES * sizeof(struct seen));
    int names = 0;
    double widest = 0;
    struct drift_row row;
    options.numbers = 0;
    options.fields = 1;
    options.ids = 8;
    options.missing = 0;
    struct drift *drift = make(options);
    while (drift_next(drift, &row) == LEAT_OK) {
        int at = 0;
        while (at < names && seen[at].name != row.ids[0]) {
            at++;
        }
        if (at == names) {
            assert_true(names < NAMES);
            seen[names++] = (struct seen){row.ids[0], row.logit, row.logit};
        }
        seen[at].low = fmin(seen[at].low, row.logit);
        seen[at].high = fmax(seen[at].high, row.logit);
        widest = fmax(widest, seen[at].high - seen[at].low);
    }
    *births = drift_ids(drift);
    assert_int_equal(*births, names); /* no name twice */
    drift_close(drift);
    memory_free(seen);
    return widest;
}

static void test_weights_stand_or_walk_and_ids_die(void **state) {
    (void)state;
    struct drift_options still = usual();
    still.drift = still.mortal = still.shift = 0;
    uint64_t births;
    assert_true(widest_move(still, &births) == 0);
    assert_int_equal(births, 8);

    struct drift_options walking = still;
    walking.drift = 0.5;
    double half = widest_move(walking, &births);
    assert_int_equal(births, 8);
    assert_true(half > 0.1);

    struct drift_options dying = still;
    dying.mortal = 1;
    dying.birth = 1; /* 8 places over 7 days, at 1/30 to 30 a day: 247 expected */
    assert_true(widest_move(dying, &births) == 0);
    assert_true(births > 8 + 50 && births < 8 + 8 * 7 * 30);
    dying.birth = 0;
    assert_true(widest_move(dying, &births) == 0);
    assert_int_equal(births, 8);
}

/* Ranks by Zipf's law: share of rank r is r^-skew over their sum; met within 5 deviations. */
static void test_popularity_is_zipfs(void **state) {
    (void)state;
    enum { IDS = 50 };
    struct drift_options options = usual();
    options.drift = options.mortal = options.shift = options.missing = 0;
    options.fields = 1;
    options.ids = IDS;
    options.skew = 1.3;
    double counts[IDS] = {0};
    uint32_t names[IDS];
    int met = 0;
    double total = 0;
    struct drift *drift = make(options);
    struct drift_row row;
    while (drift_next(drift, &row) == LEAT_OK) {
        int at = 0;
        while (at < met && names[at] != row.ids[0]) {
            at++;
        }
        assert_true(at < IDS);
        met += at == met;
        names[at] = row.ids[0];
        counts[at]++;
    }
    drift_close(drift);
    assert_int_equal(met, IDS);
    for (int i = 1; i < IDS; i++) { /* by falling count */
        for (int j = i; j > 0 && counts[j] > counts[j - 1]; j--) {
            double held = counts[j];
            counts[j] = counts[j - 1];
            counts[j - 1] = held;
        }
    }
    for (int i = 0; i < IDS; i++) {
        total += pow(i + 1, -options.skew);
    }
    for (int i = 0; i < 5; i++) {
        double expected = options.rows * pow(i + 1, -options.skew) / total;
        assert_true(fabs(counts[i] - expected) < 5 * sqrt(expected));
    }
}

/* 40 columns whatever the options; those that are not there are empty; numbers and ids read back.
 */
static void test_a_line_is_criteos(void **state) {
    (void)state;
    struct drift_options options = usual();
    options.rows = 500;
    options.numbers = 5;
    options.fields = 7;
    struct drift *drift = make(options);
    struct drift_row row;
    char line[DRIFT_LINE_MAX + 1];
    while (drift_next(drift, &row) == LEAT_OK) {
        size_t size = drift_write(drift, &row, line);
        assert_true(size < DRIFT_LINE_MAX);
        line[size] = '\0';
        assert_int_equal(line[size - 1], '\n');
        char *at = line;
        assert_int_equal(strtol(at, &at, 10), row.label);
        for (int c = 0; c < 39; c++) {
            int f = c - DRIFT_NUMBERS_MAX;
            bool there = f < 0 ? c < 5 && row.numbers[c] != DRIFT_ABSENT : f < 7 && row.present[f];
            assert_int_equal(*at++, '\t');
            assert_int_equal(*at != '\t' && *at != '\n', there);
            if (there && f < 0) {
                assert_int_equal(strtoll(at, &at, 10), row.numbers[c]);
            } else if (there) {
                char *begin = at;
                assert_int_equal(strtoul(at, &at, 16), row.ids[f]);
                assert_int_equal(at - begin, 8);
            }
        }
        assert_ptr_equal(at, line + size - 1);
    }
    drift_close(drift);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream_is_a_function_of_every_option),
        cmocka_unit_test(test_what_is_out_of_range_is_named),
        cmocka_unit_test(test_labels_follow_the_truth),
        cmocka_unit_test(test_weights_stand_or_walk_and_ids_die),
        cmocka_unit_test(test_popularity_is_zipfs),
        cmocka_unit_test(test_a_line_is_criteos),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
