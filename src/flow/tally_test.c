/* Tally against the list of all events: decayed sums recomputed from the whole history, late events
 * included, and the list of what is acted on most. */
#include "flow/decay.h"
#include "flow/flow_fixture.h"
#include "flow/tally.h"

enum { ITEMS = 12, REGIONS = 3, SURFACES = 2, ROWS = 120, HISTORIES = 200 };

struct event {
    int item, surface, action; /* action -1: a showing */
    uint64_t region;
    int64_t time_ms;
    bool has_value;
    double value;
};

struct history {
    struct config *config;
    struct tally *tally;
    int count;
    struct event events[ROWS];
    int64_t newest_ms;
};

/* Weights are compared to 1 in 10^9: sums of the same numbers in another order. */
#define TOLERANCE 1e-9

static bool is_liked(const struct event *event) {
    return event->action == FIXTURE_CLICK || event->action == FIXTURE_LIKE ||
           (event->action == FIXTURE_RATE && event->value >= 4);
}

static void push(struct history *h, const struct event *event) {
    struct made_row made;
    made_begin(&made, event->action < 0 ? ROW_IMPRESSION : ROW_ACTION, event->time_ms);
    made.row.action = event->action < 0 ? 0 : event->action;
    made_item(&made, event->item);
    made.row.surface = event->surface;
    made.row.has_value = event->has_value;
    made.row.value = event->value;
    tally_push(h->tally, &made.row, event->region);
    h->events[h->count++] = *event;
    h->newest_ms = event->time_ms > h->newest_ms ? event->time_ms : h->newest_ms;
}

/* Steps of up to `step_ms`; some events are late by up to ten steps. */
static void push_random(struct history *h, struct rng *rng, int step_ms) {
    int64_t time_ms = h->newest_ms + rng_int(rng, 0, step_ms);
    if (rng_chance(rng, 20)) {
        time_ms -= rng_int(rng, 0, 10 * step_ms);
    }
    struct event event = {.item = rng_int(rng, 0, ITEMS - 1),
                          .surface = rng_int(rng, 0, SURFACES - 1),
                          .action = rng_int(rng, -2, FIXTURE_RATE),
                          .region = (uint64_t)rng_int(rng, 0, REGIONS - 1),
                          .time_ms = time_ms};
    event.has_value = event.action == FIXTURE_RATE || rng_chance(rng, 30);
    event.value = event.has_value ? (double)rng_int(rng, 1, 5) : 0;
    push(h, &event);
}

static void history_open(struct history *h) {
    memset(h, 0, sizeof(*h));
    h->config = fixture_config(fixture_text);
    h->newest_ms = FIXTURE_START_MS;
    assert_int_equal(tally_open(h->config, NULL, &h->tally, NULL), LEAT_OK);
}

static void history_close(struct history *h) {
    tally_close(h->tally);
    config_destroy(h->config);
}

/* --- items --- */

static void naive_counts(const struct history *h, int item, struct tally_view *out) {
    for (int i = 0; i < h->count; i++) {
        const struct event *event = &h->events[i];
        if (event->item != item) {
            continue;
        }
        out->first_ms = out->first_ms ? out->first_ms : event->time_ms;
        out->total_acted += is_liked(event);
        out->total_shown += event->action < 0;
        for (int t = 0; t < FIXTURE_TASKS; t++) {
            bool whole = t == FIXTURE_RATE;
            out->chances[t] += whole ? event->action == t : event->action < 0;
            out->positives[t] += event->action == t && (!whole || event->value >= 4);
        }
    }
}

static void naive_sums(const struct history *h, int item, int surface, uint64_t region,
                       int64_t now_ms, struct tally_view *out) {
    const int64_t lives_ms[TALLY_SCALES] = {600000, 3600000, 86400000};
    for (int i = 0; i < h->count; i++) {
        const struct event *event = &h->events[i];
        for (int s = 0; s < TALLY_SCALES && event->item == item; s++) {
            double amount = naive_decay(event->time_ms, now_ms, lives_ms[s]);
            out->acted[s] += is_liked(event) ? amount : 0;
            out->shown[s] += event->action < 0 ? amount : 0;
            if (is_liked(event) && s == 0 && event->surface == surface && event->region == region) {
                out->acted_here += amount;
            }
            if (is_liked(event) && s == TALLY_SCALES - 1) {
                out->value += event->value * amount;
            }
        }
    }
}

static void check_item(const struct history *h, int item, int surface, uint64_t region,
                       int64_t now_ms) {
    struct tally_view have = {0};
    struct tally_view want = {.item = fixture_hash('i', item)};
    naive_counts(h, item, &want);
    naive_sums(h, item, surface, region, now_ms, &want);
    bool known = tally_read(h->tally, fixture_hash('i', item), surface, region, now_ms, &have);
    assert_int_equal(known, want.first_ms != 0);
    for (int s = 0; s < TALLY_SCALES; s++) {
        assert_near(have.acted[s], want.acted[s], TOLERANCE);
        assert_near(have.shown[s], want.shown[s], TOLERANCE);
    }
    assert_near(have.value, want.value, TOLERANCE);
    assert_near(have.acted_here, want.acted_here, TOLERANCE);
    assert_memory_equal(have.chances, want.chances, sizeof(have.chances));
    assert_memory_equal(have.positives, want.positives, sizeof(have.positives));
    assert_int_equal(have.total_acted, want.total_acted);
    assert_int_equal(have.total_shown, want.total_shown);
    assert_int_equal(have.first_ms, want.first_ms);
    assert_int_equal(have.item, want.item);
}

/* --- what is acted on most --- */

/* Region 0 is any region. Returns how many items have a weight. */
static int naive_top(const struct history *h, int surface, uint64_t region, double weights[ITEMS]) {
    bool there[ITEMS] = {false};
    int count = 0;
    for (int i = 0; i < ITEMS; i++) {
        weights[i] = 0;
    }
    for (int i = 0; i < h->count; i++) {
        const struct event *event = &h->events[i];
        if (is_liked(event) && event->surface == surface &&
            (region == 0 || event->region == region)) {
            count += !there[event->item];
            there[event->item] = true;
            weights[event->item] +=
                naive_decay(event->time_ms, h->newest_ms, tally_half_life(h->tally, 0));
        }
    }
    return count;
}

static int item_of(uint64_t hash) {
    int item = 0;
    while (fixture_hash('i', item) != hash) {
        item++;
        assert_true(item < ITEMS);
    }
    return item;
}

/* Each place holds the weight that belongs there, so equal weights may stand in any order. */
static void check_top(const struct history *h, int surface, uint64_t region) {
    double weights[ITEMS];
    uint64_t items[TALLY_TOP];
    int want = naive_top(h, surface, region, weights);
    assert_int_equal(tally_top(h->tally, surface, region, items, TALLY_TOP), want);
    assert_int_equal(tally_top(h->tally, surface, region, items, want / 2), want / 2);
    tally_top(h->tally, surface, region, items, TALLY_TOP);
    bool listed[ITEMS] = {false};
    double before = INFINITY;
    for (int k = 0; k < want; k++) {
        int item = item_of(items[k]);
        assert_false(listed[item]);
        listed[item] = true;
        assert_true(weights[item] <= before * (1 + TOLERANCE) + 1e-300);
        before = weights[item];
    }
}

/* --- tests --- */

static void one_history(uint64_t seed, int step_ms) {
    struct rng rng;
    rng_init(&rng, seed);
    static struct history h;
    history_open(&h);
    for (int n = 0; n < ROWS; n++) {
        push_random(&h, &rng, step_ms);
        if (n % 20 == 19) {
            check_item(&h, rng_int(&rng, 0, ITEMS - 1), rng_int(&rng, 0, 1),
                       (uint64_t)rng_int(&rng, 0, REGIONS - 1),
                       h.newest_ms + rng_int(&rng, 0, 1000000));
            check_top(&h, rng_int(&rng, 0, 1), (uint64_t)rng_int(&rng, 0, REGIONS - 1));
        }
    }
    for (int item = 0; item < ITEMS; item++) {
        check_item(&h, item, FIXTURE_SHOP, 1, h.newest_ms);
    }
    history_close(&h);
}

/* Steps of a minute, and of five hours: then the list's base moves again and again. */
static void test_model(void **context) {
    (void)context;
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        one_history(seed, seed % 2 ? 60000 : 18000000);
    }
}

/* After years nothing but the newest event is left, and everything is still a number. */
static void test_years(void **context) {
    (void)context;
    static struct history h;
    history_open(&h);
    for (int n = 0; n < 40; n++) {
        struct event event = {.item = n % 2,
                              .action = FIXTURE_CLICK,
                              .time_ms = FIXTURE_START_MS + n * INT64_C(31536000000) * (n % 3 + 1)};
        push(&h, &event);
        uint64_t items[2];
        assert_true(tally_top(h.tally, 0, 0, items, 2) > 0);
        check_item(&h, 0, 0, 0, h.newest_ms);
        check_item(&h, 1, 0, 0, h.newest_ms);
    }
    history_close(&h);
}

/* Beyond TALLY_TOP items the newest one has a place, and the heavy ones keep theirs. */
static void test_full(void **context) {
    (void)context;
    static struct history h;
    history_open(&h);
    uint64_t items[TALLY_TOP];
    for (int n = 0; n < 3 * TALLY_TOP; n++) {
        h.count = 0; /* the model is not asked */
        for (int times = n < 10 ? 20 : 1; times > 0; times--) {
            h.count = 0;
            push(&h, &(struct event){
                         .item = n, .action = FIXTURE_CLICK, .time_ms = FIXTURE_START_MS + n});
        }
        int want = n + 1 < TALLY_TOP ? n + 1 : TALLY_TOP;
        assert_int_equal(tally_top(h.tally, 0, 0, items, TALLY_TOP), want);
        bool found = false;
        for (int k = 0; k < want; k++) {
            found = found || items[k] == fixture_hash('i', n);
        }
        assert_true(found);
    }
    for (int k = 0; k < 10; k++) {
        assert_int_equal(items[k], fixture_hash('i', 9 - k));
    }
    history_close(&h);
}

/* What says nothing of an item leaves no record. */
static void test_passed_over(void **context) {
    (void)context;
    static struct history h;
    history_open(&h);
    const enum row_kind kinds[] = {ROW_SERVED, ROW_ITEM, ROW_ITEM_DELETE, ROW_USER, ROW_FORGET};
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct made_row made;
        made_begin(&made, kinds[k], FIXTURE_START_MS);
        made_item(&made, 1);
        made.row.surface = FIXTURE_FOR_YOU;
        tally_push(h.tally, &made.row, 1);
    }
    assert_int_equal(state_count(tally_state(h.tally)), 0);
    struct made_row made;
    made_begin(&made, ROW_SERVED, FIXTURE_START_MS);
    made_item(&made, 1);
    made.row.surface = FIXTURE_SHOP; /* where served is seen */
    tally_push(h.tally, &made.row, 1);
    struct tally_view view;
    assert_true(tally_read(h.tally, made.row.item_hash, 0, 0, FIXTURE_START_MS, &view));
    assert_int_equal(view.total_shown, 1);
    history_close(&h);
}

/* The two ways to decay agree, and neither makes anything but a number in [0, 1] of an amount. */
static void test_decay(void **context) {
    (void)context;
    struct rng rng;
    rng_init(&rng, 3);
    for (int n = 0; n < 10000; n++) {
        int64_t half_life_ms = rng_int(&rng, 1000, 1000000);
        int64_t base_ms = FIXTURE_START_MS - rng_int(&rng, 0, 30000);
        int64_t time_ms = base_ms + rng_int(&rng, 0, 30000);
        int64_t now_ms = time_ms + rng_int(&rng, 0, 30000);
        double by_itself = decay_at(2.0, time_ms, now_ms, half_life_ms);
        double forward = 2.0 * decay_factor(time_ms, base_ms, half_life_ms) /
                         decay_factor(now_ms, base_ms, half_life_ms);
        assert_near(by_itself, forward, 1e-12);
        assert_near(by_itself, 2.0 * naive_decay(time_ms, now_ms, half_life_ms), 1e-12);
        assert_true(decay_at(2.0, now_ms, time_ms, half_life_ms) == 2.0);
    }
    assert_true(decay_at(1.0, 0, EVENT_TIME_MAX_MS, 1000) == 0);
    assert_true(decay_at(0.0, 0, EVENT_TIME_MAX_MS, 1000) == 0);
    assert_true(decay_at(1.0, 0, 1000, 1000) == 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decay),       cmocka_unit_test(test_model),
        cmocka_unit_test(test_years),       cmocka_unit_test(test_full),
        cmocka_unit_test(test_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
