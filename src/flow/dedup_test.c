/* Dedup against a table of when each id was first seen: exact within the window by append time,
 * forgotten after it, so that memory follows the window. */
#include "flow/dedup.h"
#include "flow/flow_fixture.h"

enum { IDS = 24, ROWS = 300, HISTORIES = 300 };
#define NEVER INT64_MIN

static const char short_window[] = "key_groups: 4\nflow: {dedup: 1s}\n";

struct model {
    int64_t first_ms[IDS]; /* NEVER: not within the window */
};

static int model_forget(struct model *model, int64_t now_ms, int64_t window_ms) {
    int held = 0;
    for (int i = 0; i < IDS; i++) {
        if (model->first_ms[i] != NEVER && model->first_ms[i] + window_ms <= now_ms) {
            model->first_ms[i] = NEVER;
        }
        held += model->first_ms[i] != NEVER;
    }
    return held;
}

static void one_row(struct dedup *dedup, struct model *model, struct rng *rng, int64_t now_ms) {
    struct made_row made;
    int id = rng_int(rng, -2, IDS - 1);
    made_begin(&made, ROW_IMPRESSION, now_ms);
    made.row.time_ms = (int64_t)rng_below(rng, FIXTURE_START_MS); /* must not matter */
    made_item(&made, rng_int(rng, 0, 2));
    made.row.id = fixture_id(made.id, 'e', id);
    bool first = id < 0 || model->first_ms[id] == NEVER;
    assert_int_equal(dedup_push(dedup, &made.row), first);
    if (id >= 0 && first) {
        model->first_ms[id] = now_ms;
    }
}

static void one_history(const struct config *config, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    struct dedup *dedup;
    assert_int_equal(dedup_open(config, NULL, &dedup, NULL), LEAT_OK);
    struct model model;
    for (int i = 0; i < IDS; i++) {
        model.first_ms[i] = NEVER;
    }
    int64_t now_ms = FIXTURE_START_MS;
    for (int n = 0; n < ROWS; n++) {
        now_ms += rng_chance(&rng, 2) ? config->flow.dedup : rng_int(&rng, 0, 100);
        dedup_now(dedup, now_ms);
        int held = model_forget(&model, now_ms, config->flow.dedup);
        assert_int_equal(state_count(dedup_state(dedup)), held);
        one_row(dedup, &model, &rng, now_ms);
    }
    dedup_now(dedup, now_ms + config->flow.dedup);
    assert_int_equal(state_count(dedup_state(dedup)), 0);
    dedup_close(dedup);
}

static void test_window(void **context) {
    (void)context;
    struct config *config = fixture_config(short_window);
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        one_history(config, seed);
    }
    config_destroy(config);
}

/* The last moment of the window, and the first one after it. */
static void test_edge(void **context) {
    (void)context;
    struct config *config = fixture_config(short_window);
    struct dedup *dedup;
    assert_int_equal(dedup_open(config, NULL, &dedup, NULL), LEAT_OK);
    const int64_t steps_ms[] = {0, 999, 1000};
    const bool first[] = {true, false, true};
    for (int i = 0; i < 3; i++) {
        struct made_row made;
        made_begin(&made, ROW_IMPRESSION, FIXTURE_START_MS + steps_ms[i]);
        made.row.id = fixture_id(made.id, 'e', 1);
        dedup_now(dedup, made.row.now_ms);
        assert_int_equal(dedup_push(dedup, &made.row), first[i]);
    }
    dedup_close(dedup);
    config_destroy(config);
}

/* Beyond the budget events pass, and nothing that was remembered stays after its window. */
static void test_budget(void **context) {
    (void)context;
    struct config *config = fixture_config(short_window);
    for (int64_t bytes = 0; bytes < 400000; bytes += 9973) {
        struct state_budget budget = {.bytes_max = bytes};
        struct dedup *dedup;
        assert_int_equal(dedup_open(config, &budget, &dedup, NULL), LEAT_OK);
        for (int i = 0; i < 4000; i++) {
            struct made_row made;
            made_begin(&made, ROW_IMPRESSION, FIXTURE_START_MS);
            made.row.id = fixture_id(made.id, 'e', i);
            assert_true(dedup_push(dedup, &made.row));
        }
        dedup_now(dedup, FIXTURE_START_MS + config->flow.dedup);
        assert_int_equal(state_count(dedup_state(dedup)), 0);
        dedup_close(dedup);
    }
    config_destroy(config);
}

/* Rows in batches, time moved in ranges of key groups: the same answers. */
static void test_batches(void **context) {
    (void)context;
    struct config *config = fixture_config(short_window);
    struct rng rng;
    rng_init(&rng, 9);
    struct dedup *batched, *single;
    assert_int_equal(dedup_open(config, NULL, &batched, NULL), LEAT_OK);
    assert_int_equal(dedup_open(config, NULL, &single, NULL), LEAT_OK);
    int64_t now_ms = FIXTURE_START_MS;
    for (int n = 0; n < HISTORIES; n++) {
        struct dedup_row rows[2 * IDS];
        char texts[2 * IDS][FIXTURE_TEXT];
        bool passes[2 * IDS];
        int count = rng_int(&rng, 0, 2 * IDS);
        now_ms += rng_int(&rng, 0, 400);
        for (uint32_t group = 0; group < 4; group++) {
            dedup_now_in(batched, group, group + 1, now_ms);
        }
        dedup_now(single, now_ms);
        for (int i = 0; i < count; i++) {
            struct slice id = fixture_id(texts[i], 'e', rng_int(&rng, -1, 4 * IDS));
            rows[i] = (struct dedup_row){id, dedup_hash(id), now_ms};
        }
        dedup_push_batch(batched, rows, count, passes);
        for (int i = 0; i < count; i++) {
            struct row row = {.id = rows[i].id, .now_ms = now_ms};
            assert_int_equal(passes[i], dedup_push(single, &row));
        }
        assert_int_equal(state_count(dedup_state(batched)), state_count(dedup_state(single)));
    }
    dedup_close(batched);
    dedup_close(single);
    config_destroy(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_edge),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
