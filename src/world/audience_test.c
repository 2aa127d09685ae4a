#include "base/memory.h"
#include "base/test.h"
#include "world/audience.h"

#include <math.h>
#include <string.h>

#define DAY_MS   INT64_C(86400000)
#define START_MS INT64_C(1767225600000)

static const struct audience_options OPTIONS = {
    .seed = 5, .people = 500, .items = 700, .start_ms = START_MS, .span_ms = DAY_MS};

static struct audience *make(struct audience_options options) {
    struct audience *audience = NULL;
    leat_error err;
    assert_int_equal(audience_create(&options, &audience, &err), LEAT_OK);
    return audience;
}

static struct visit *make_visits(const struct audience *audience, int64_t count) {
    struct visit *visits = NULL;
    leat_error err;
    assert_int_equal(audience_visits(audience, count, &visits, &err), LEAT_OK);
    return visits;
}

static void test_a_seed_repeats_and_another_differs(void **state) {
    (void)state;
    enum { VISITS = 3000 };
    struct audience_options other = OPTIONS;
    other.seed = 6;
    struct audience *worlds[] = {make(OPTIONS), make(OPTIONS), make(other)};
    struct visit *visits[3];
    for (int w = 0; w < 3; w++) {
        visits[w] = make_visits(worlds[w], VISITS);
    }
    size_t bytes = (size_t)worlds[0]->item_count * sizeof(struct audience_item);
    assert_memory_equal(worlds[0]->items, worlds[1]->items, bytes);
    assert_memory_equal(visits[0], visits[1], VISITS * sizeof(struct visit));
    assert_true(memcmp(worlds[0]->items, worlds[2]->items, bytes) != 0);
    assert_true(memcmp(visits[0], visits[2], VISITS * sizeof(struct visit)) != 0);
    for (int i = 0; i < VISITS; i++) {
        const struct visit *visit = &visits[0][i];
        for (int w = 0; w < 2; w++) {
            audience_drift(worlds[w], visit->person, visit->time_ms);
        }
        int item = i % worlds[0]->item_count;
        assert_true(audience_logit(worlds[0], visit->person, item, visit->time_ms) ==
                    audience_logit(worlds[1], visit->person, item, visit->time_ms));
        assert_int_equal(audience_clicks(worlds[0], visit, item),
                         audience_clicks(worlds[1], visit, item));
    }
    for (int w = 0; w < 3; w++) {
        memory_free(visits[w]);
        audience_destroy(worlds[w]);
    }
}

/* At any time of the span, for tastes that have drifted. */
static void test_random_pages_are_clicked_as_calibrated(void **state) {
    (void)state;
    enum { VISITS = 20000 };
    struct audience *audience = make(OPTIONS);
    struct visit *visits = make_visits(audience, VISITS);
    int clicks[2] = {0};
    int hides = 0;
    for (int i = 0; i < VISITS; i++) {
        int first;
        int end;
        audience_drift(audience, visits[i].person, visits[i].time_ms);
        audience_live(audience, visits[i].time_ms, &first, &end);
        int item = first + i * 37 % (end - first);
        clicks[i >= VISITS / 2] += audience_clicks(audience, &visits[i], item);
        hides += audience_hides(audience, &visits[i], item);
    }
    for (int half = 0; half < 2; half++) {
        double rate = 2.0 * clicks[half] / VISITS;
        assert_true(rate > 0.08 && rate < 0.10);
    }
    assert_in_range(hides, VISITS / 500, VISITS / 50);
    memory_free(visits);
    audience_destroy(audience);
}

static void test_visits_are_in_order_and_counted(void **state) {
    (void)state;
    enum { VISITS = 5000 };
    struct audience *audience = make(OPTIONS);
    struct visit *visits = make_visits(audience, VISITS);
    uint32_t pages[500] = {0};
    for (int i = 0; i < VISITS; i++) {
        assert_in_range(visits[i].time_ms, START_MS, START_MS + DAY_MS - 1);
        assert_true(i == 0 || visits[i].time_ms >= visits[i - 1].time_ms);
        assert_in_range(visits[i].person, 0, 499);
        assert_int_equal(visits[i].page, pages[visits[i].person]++);
    }
    memory_free(visits);
    audience_destroy(audience);
}

/* Sessions come in clumps, so an hour's count spreads more than a Poisson's: three pages a time. */
static void test_visits_follow_the_day(void **state) {
    (void)state;
    enum { VISITS = 100000 };
    struct audience_options options = OPTIONS;
    options.span_ms = 2 * DAY_MS;
    struct audience *audience = make(options);
    struct visit *visits = make_visits(audience, VISITS);
    int counts[24] = {0};
    double weights = 0;
    for (int i = 0; i < VISITS; i++) {
        counts[visits[i].time_ms / 3600000 % 24]++;
    }
    for (int hour = 0; hour < 24; hour++) {
        weights += audience_hour_weights[hour];
    }
    for (int hour = 0; hour < 24; hour++) {
        double expected = VISITS * audience_hour_weights[hour] / weights;
        assert_true(fabs(counts[hour] - expected) < 6 * sqrt(5 * expected));
    }
    memory_free(visits);
    audience_destroy(audience);
}

static void test_live_items_are_those_born_and_not_expired(void **state) {
    (void)state;
    struct audience *audience = make(OPTIONS);
    for (int64_t now = START_MS; now < START_MS + DAY_MS; now += 777777) {
        int first;
        int end;
        audience_live(audience, now, &first, &end);
        assert_in_range(end - first, 699, 701);
        for (int item = 0; item < audience->item_count; item++) {
            const struct audience_item *it = &audience->items[item];
            bool live = it->created_ms <= now && it->expires_ms > now;
            assert_int_equal(live, item >= first && item < end);
        }
    }
    audience_destroy(audience);
}

static void test_tastes_drift_and_keep_their_spread(void **state) {
    (void)state;
    struct audience_options options = OPTIONS;
    options.people = 4000;
    struct audience *audience = make(options);
    double before = 0;
    double after = 0;
    double both = 0;
    for (uint32_t p = 0; p < 4000; p++) {
        const float *taste = audience->people[p].taste;
        float old[AUDIENCE_DIMENSION];
        memcpy(old, taste, sizeof(old));
        audience_drift(audience, p, START_MS + 3599999);
        assert_memory_equal(old, taste, sizeof(old));
        audience_drift(audience, p, START_MS + DAY_MS);
        for (int d = 0; d < AUDIENCE_DIMENSION; d++) {
            before += old[d] * old[d];
            after += taste[d] * taste[d];
            both += old[d] * taste[d];
        }
    }
    assert_true(fabs(after / before - 1) < 0.05);
    assert_true(fabs(both / sqrt(before * after) - 0.8) < 0.02);
    audience_destroy(audience);
}

static void test_an_item_loses_half_its_odds_a_day(void **state) {
    (void)state;
    struct audience *audience = make(OPTIONS);
    double young = audience_logit(audience, 3, 600, START_MS);
    double old = audience_logit(audience, 3, 600, START_MS + DAY_MS);
    assert_true(fabs(exp(young - old) - 2) < 1e-6);
    audience_destroy(audience);
}

static void test_wrong_options_are_refused(void **state) {
    (void)state;
    struct audience *audience = NULL;
    leat_error err;
    struct audience_options options = OPTIONS;
    options.people = 0;
    assert_int_equal(audience_create(&options, &audience, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "people: 0"));
    options = OPTIONS;
    options.items = AUDIENCE_ITEMS_MAX + 1;
    assert_int_equal(audience_create(&options, &audience, &err), LEAT_INVALID);
    options = OPTIONS;
    options.span_ms = 0;
    assert_int_equal(audience_create(&options, &audience, &err), LEAT_INVALID);
    audience = make(OPTIONS);
    struct visit *visits = NULL;
    assert_int_equal(audience_visits(audience, 0, &visits, &err), LEAT_INVALID);
    audience_destroy(audience);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_repeats_and_another_differs),
        cmocka_unit_test(test_random_pages_are_clicked_as_calibrated),
        cmocka_unit_test(test_visits_are_in_order_and_counted),
        cmocka_unit_test(test_visits_follow_the_day),
        cmocka_unit_test(test_live_items_are_those_born_and_not_expired),
        cmocka_unit_test(test_tastes_drift_and_keep_their_spread),
        cmocka_unit_test(test_an_item_loses_half_its_odds_a_day),
        cmocka_unit_test(test_wrong_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
