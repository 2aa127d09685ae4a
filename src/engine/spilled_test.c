/* An engine whose state is larger than its memory beside one that has enough: the same digests, the
 * same pages; over a checkpoint and a start; and a forgotten person is in no file. */
#include "engine/engine_fixture.h"

enum { PERSONS = 20000, ITEMS = 3000, COMMITS = 60, ROWS = 1000 };

#define REST                                                                                       \
    "data: d\nkey_groups: 8\nlog: {segment: 16777216, heartbeat: 1h}\n"                            \
    "actions: {click: {window: 1m, weight: 1}, hide: {window: 5m, weight: -4, filter: forever}}\n" \
    "surfaces: {for_you: {show: 10, candidates: 100}}\n"

static const char small[] = REST "flow: {negatives: 2, negative_ring: 64, memory: 16777216}\n"
                                 "runner: {spill: 1073741824}\n";
static const char large[] = REST "flow: {negatives: 2, negative_ring: 64, memory: 1073741824}\n";

static void feed_in(struct fixture *f, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    for (int commit = 0; commit < COMMITS; commit++) {
        manual_clock_set(&f->clock, clock_now_ms(&f->clock.clock) + 5000);
        for (int row = 0; row < ROWS; row++) {
            int user = (int)rng_below(&rng, PERSONS);
            int item = (int)rng_below(&rng, ITEMS);
            const char *kinds[] = {"impression", "click", "impression", "hide", "item"};
            fixture_add(f, kinds[rng_below(&rng, 5)], user, item);
        }
        assert_int_equal(fixture_append(f), LEAT_OK);
        assert_int_equal(engine_run(f->engine, UINT64_MAX, &f->err), LEAT_OK);
    }
}

static void digests_equal(struct fixture *a, struct fixture *b) {
    struct engine_digest digest[2];
    assert_int_equal(engine_digest(a->engine, &digest[0], &a->err), LEAT_OK);
    assert_int_equal(engine_digest(b->engine, &digest[1], &b->err), LEAT_OK);
    assert_int_equal(digest[0].count, digest[1].count);
    for (int i = 0; i < digest[0].count; i++) {
        if (digest[0].parts[i].value != digest[1].parts[i].value) {
            fail_msg("%s differs", digest[0].parts[i].name);
        }
    }
}

static void pages_equal(struct fixture *a, struct fixture *b) {
    for (int user = 0; user < 40; user++) {
        struct page page[2];
        assert_int_equal(fixture_page(a, user * 37, 10, true, &page[0]), LEAT_OK);
        assert_int_equal(fixture_page(b, user * 37, 10, true, &page[1]), LEAT_OK);
        assert_int_equal(page[0].count, page[1].count);
        for (int i = 0; i < page[0].count; i++) {
            assert_true(slice_equal(page[0].items[i].item, page[1].items[i].item));
        }
    }
}

static void test_same(void **context) {
    (void)context;
    struct fixture spilled;
    struct fixture whole;
    fixture_init(&spilled, small, 1);
    fixture_init(&whole, large, 1);
    fixture_open(&spilled, false, 0);
    fixture_open(&whole, false, 0);
    for (int life = 0; life < 2; life++) {
        feed_in(&spilled, 3 + (uint64_t)life);
        feed_in(&whole, 3 + (uint64_t)life);
        assert_true(engine_state_bytes(whole.engine) > 20 << 20);
        assert_true(engine_state_bytes(spilled.engine) <= 16 << 20);
        digests_equal(&spilled, &whole);
        pages_equal(&spilled, &whole);
        assert_int_equal(engine_close(spilled.engine, &spilled.err), LEAT_OK);
        assert_int_equal(engine_close(whole.engine, &whole.err), LEAT_OK);
        fixture_open(&spilled, false, 0); /* from its checkpoint */
        fixture_open(&whole, false, 0);
        digests_equal(&spilled, &whole);
    }
    engine_abandon(spilled.engine);
    engine_abandon(whole.engine);
    fixture_deinit(&spilled);
    fixture_deinit(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
