/* Background against the list of all events: what the ring holds, shares and draws from it, decayed
 * volume and whole counts; and all of it after a restart. */
#include "flow/background.h"
#include "flow/flow_fixture.h"

enum { ITEMS = 15, RING = 16, ROWS = 120, HISTORIES = 300, SURFACES = 2 };

static const char ring_config[] =
    "key_groups: 4\n"
    "flow: {negative_ring: 16}\n" FIXTURE_ACTIONS "surfaces:\n  for_you: {examples: impressions}\n"
    "  shop: {examples: served}\n";

struct model {
    int count[SURFACES];
    int liked[SURFACES][ROWS]; /* items, in order */
    int64_t liked_ms[SURFACES][ROWS];
    uint64_t chances[SURFACES][FIXTURE_TASKS], positives[SURFACES][FIXTURE_TASKS];
};

static struct background *open_background(const struct config *config) {
    struct background *background;
    assert_int_equal(background_open(config, NULL, &background, NULL), LEAT_OK);
    return background;
}

static void model_push(struct model *model, const struct row *row, int item) {
    int s = row->surface;
    bool action = row->kind == ROW_ACTION;
    bool showing = row->kind == ROW_IMPRESSION || (row->kind == ROW_SERVED && s == FIXTURE_SHOP);
    bool positive = action && (row->action != FIXTURE_RATE || row->value >= 4);
    for (int t = 0; t < FIXTURE_TASKS; t++) {
        bool chance = t == FIXTURE_RATE ? action && row->action == t : showing;
        model->chances[s][t] += chance;
        model->positives[s][t] += positive && row->action == t;
    }
    if (positive && row->action != FIXTURE_HIDE) {
        model->liked[s][model->count[s]] = item;
        model->liked_ms[s][model->count[s]++] = row->time_ms;
    }
}

static void push_random(struct background *background, struct model *model, struct rng *rng,
                        int64_t time_ms) {
    static const enum row_kind kinds[] = {ROW_ACTION, ROW_ACTION, ROW_IMPRESSION, ROW_SERVED,
                                          ROW_ITEM};
    struct made_row made;
    int item = rng_int(rng, 0, ITEMS - 1);
    made_begin(&made, kinds[rng_below(rng, 5)], time_ms - rng_int(rng, 0, 1) * 50000);
    made_item(&made, item);
    made.row.surface = rng_int(rng, 0, SURFACES - 1);
    made.row.action = made.row.kind == ROW_ACTION ? rng_int(rng, 0, FIXTURE_RATE) : 0;
    made.row.has_value = made.row.action == FIXTURE_RATE;
    made.row.value = made.row.has_value ? (double)rng_int(rng, 1, 5) : 0;
    background_push(background, &made.row);
    model_push(model, &made.row, item);
}

static void check_ring(struct background *background, const struct model *model, int surface) {
    int held = model->count[surface] < RING ? model->count[surface] : RING;
    int want[ITEMS] = {0};
    for (int i = model->count[surface] - held; i < model->count[surface]; i++) {
        want[model->liked[surface][i]]++;
    }
    int drawn = 0;
    for (int item = 0; item < ITEMS; item++) {
        double share = background_share(background, surface, fixture_hash('i', item));
        assert_near(share, held ? (double)want[item] / held : 0, 1e-12);
        /* As many chances in a row as the ring holds draw each place of it once. */
        int have = 0;
        for (int k = 0; k < held; k++) {
            have += background_draw(background, surface, (uint64_t)(7 * held + k)) ==
                    fixture_hash('i', item);
        }
        assert_int_equal(have, want[item]);
        drawn += have;
    }
    assert_int_equal(drawn, held);
    if (held == 0) {
        assert_int_equal(background_draw(background, surface, 3), 0);
    }
}

static void check_totals(struct background *background, const struct model *model, int surface,
                         int64_t now_ms) {
    const int64_t lives_ms[TALLY_SCALES] = {600000, 3600000, 86400000};
    struct background_view view;
    background_read(background, surface, now_ms, &view);
    for (int s = 0; s < TALLY_SCALES; s++) {
        double volume = 0;
        for (int i = 0; i < model->count[surface]; i++) {
            volume += naive_decay(model->liked_ms[surface][i], now_ms, lives_ms[s]);
        }
        assert_near(view.volume[s], volume, 1e-9);
    }
    for (int t = 0; t < FIXTURE_TASKS; t++) {
        assert_int_equal(view.chances[t], model->chances[surface][t]);
        assert_int_equal(view.positives[t], model->positives[surface][t]);
    }
}

/* Counts are derived: after a restart they are there again. */
static void check_restart(const struct config *config, struct background *background,
                          const struct model *model, int64_t now_ms) {
    struct background *again = open_background(config);
    fixture_copy_state(background_state(background), background_state(again));
    assert_int_equal(background_restored(again, NULL), LEAT_OK);
    assert_int_equal(background_restored(again, NULL), LEAT_OK); /* and not twice */
    for (int s = 0; s < SURFACES; s++) {
        check_ring(again, model, s);
        check_totals(again, model, s, now_ms);
    }
    background_close(again);
}

static void one_history(const struct config *config, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    struct background *background = open_background(config);
    static struct model model;
    memset(&model, 0, sizeof(model));
    int64_t now_ms = FIXTURE_START_MS;
    for (int n = 0; n < ROWS; n++) {
        now_ms += rng_int(&rng, 0, 100000);
        push_random(background, &model, &rng, now_ms);
        if (n % 30 == 0 || n == ROWS - 1) {
            for (int s = 0; s < SURFACES; s++) {
                check_ring(background, &model, s);
                check_totals(background, &model, s, now_ms + rng_int(&rng, 0, 1000000));
            }
        }
    }
    check_restart(config, background, &model, now_ms);
    background_close(background);
}

static void test_model(void **context) {
    (void)context;
    struct config *config = fixture_config(ring_config);
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        one_history(config, seed);
    }
    config_destroy(config);
}

/* Hashes as chances: 16 places, 48000 draws of 3000 each; six deviations are 320. */
static void test_draws(void **context) {
    (void)context;
    struct config *config = fixture_config(ring_config);
    struct background *background = open_background(config);
    int drawn[RING] = {0};
    for (int i = 0; i < RING; i++) {
        struct made_row made;
        made_action(&made, FIXTURE_CLICK, 1, i, FIXTURE_START_MS + i);
        background_push(background, &made.row);
    }
    for (uint64_t k = 0; k < 48000; k++) {
        uint64_t item = background_draw(background, 0, hash_mix(5, k));
        int number = 0;
        while (fixture_hash('i', number) != item) {
            number++;
        }
        drawn[number]++;
    }
    for (int i = 0; i < RING; i++) {
        assert_true(abs(drawn[i] - 3000) < 320);
    }
    background_close(background);
    config_destroy(config);
}

/* A ring of another length is not guessed at. */
static void test_other_length(void **context) {
    (void)context;
    struct config *config = fixture_config(ring_config);
    struct config *other = fixture_config("key_groups: 4\nflow: {negative_ring: 17}\n");
    struct background *background = open_background(config);
    struct background *longer = open_background(other);
    struct made_row made;
    made_action(&made, FIXTURE_CLICK, 1, 1, FIXTURE_START_MS);
    background_push(background, &made.row);
    fixture_copy_state(background_state(background), background_state(longer));
    leat_error err = {0};
    assert_int_equal(background_restored(longer, &err), LEAT_CONFLICT);
    assert_non_null(strstr(err.message, "flow.negative_ring"));
    background_close(background);
    background_close(longer);
    config_destroy(config);
    config_destroy(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_other_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
