/* Ranking: what is filtered, what a page is worth, and how it is arranged, each against a plain way
 * to say the same. */
#include "flow/flow_fixture.h"
#include "rank/rank.h"

enum { ITEMS = 30, ROWS = 120, HISTORIES = 300, MANY = 60 };

static const char rank_text[] = "key_groups: 4\n"
                                "flow: {session_gap: 10m, seen: 16}\n"
                                "actions:\n"
                                "  click: {weight: 1, filter: session}\n"
                                "  save: {weight: 2, filter: session}\n"
                                "  watch: {weight: 0.5, value: seconds, filter: seen}\n"
                                "  hide: {weight: -4, filter: forever}\n"
                                "surfaces:\n  page: {author_cap: 2}\n";

struct world {
    struct config *config;
    struct flow *flow;
    struct builder *builder;
    struct arena arena;
    struct flow_moment moment;
    struct rank_request request;
    uint64_t sequence;
    int64_t now_ms;
};

static void ignore(void *context, const struct example *example) {
    (void)context;
    (void)example;
}

static void world_open(struct world *w, const char *text) {
    memset(w, 0, sizeof(*w));
    w->config = fixture_config(text);
    struct flow_options options = {.config = w->config, .emit = ignore};
    assert_int_equal(flow_open(&options, &w->flow, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_event(), &w->builder, NULL), LEAT_OK);
    arena_init(&w->arena, 1 << 18, 1 << 24);
    w->now_ms = FIXTURE_START_MS;
}

static void world_close(struct world *w) {
    arena_deinit(&w->arena);
    builder_destroy(w->builder);
    flow_close(w->flow);
    config_destroy(w->config);
}

/* `expires_ms` 0: never; `value` below 0: none. */
static void world_act(struct world *w, const char *kind, int user, int item, int64_t expires_ms,
                      double value) {
    char user_id[FIXTURE_TEXT];
    char item_id[FIXTURE_TEXT];
    struct posted_event event = {.kind = slice_of(kind),
                                 .user = fixture_id(user_id, 'u', user),
                                 .item = fixture_id(item_id, 'i', item),
                                 .has_time = true,
                                 .time_ms = w->now_ms,
                                 .has_expires = expires_ms != 0,
                                 .expires_ms = expires_ms,
                                 .has_value = value >= 0,
                                 .value = value};
    struct batch batch;
    assert_int_equal(event_add(w->builder, w->config, &event, NULL), LEAT_OK);
    assert_int_equal(builder_finish(w->builder, &batch, NULL), LEAT_OK);
    assert_int_equal(flow_apply(w->flow, &batch, w->sequence++, w->now_ms, false, 0, 1, NULL),
                     LEAT_OK);
    builder_clear(w->builder);
}

static void world_request(struct world *w, const char *user, int count) {
    arena_reset(&w->arena);
    flow_moment_read(w->flow, slice_of(user), 0, w->now_ms, NULL, 0, &w->arena, &w->moment);
    w->request = (struct rank_request){.flow = w->flow,
                                       .surface = &w->config->surfaces[0],
                                       .user = slice_of(user),
                                       .moment = &w->moment,
                                       .count = count};
}

/* --- filters --- */

struct filter_model {
    bool known, deleted, seen, hidden, in_session;
    int64_t expires_ms;
};

/* One row of person 0 or of the catalogue, in both. */
static void filter_step(struct world *w, struct filter_model model[ITEMS], struct rng *rng) {
    static const char *const kinds[] = {"impression", "click", "save",       "watch",
                                        "hide",       "item",  "item_delete"};
    int kind = rng_int(rng, 0, 6);
    int item = rng_int(rng, 0, ITEMS - 1);
    struct filter_model *m = &model[item];
    int64_t expires_ms = kind == 5 && rng_chance(rng, 50) ? w->now_ms + 60000 : 0;
    w->now_ms += rng_int(rng, 1, 3000);
    world_act(w, kinds[kind], kind >= 5 ? -1 : 0, item, expires_ms, -1);
    if (kind == 6) {
        m->deleted = m->known; /* nothing to delete before */
        return;
    }
    m->known = true;
    m->seen = m->seen || kind == 0 || kind == 3;
    m->hidden = m->hidden || kind == 4;
    m->in_session = m->in_session || (kind >= 1 && kind <= 3);
    if (kind == 5) {
        m->deleted = false;
        m->expires_ms = expires_ms;
    }
}

/* At most PROFILE_SESSION items are of the session, and 16 seen: fewer are used here. */
static void filter_history(uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    static struct world w;
    struct filter_model model[ITEMS] = {0};
    world_open(&w, rank_text);
    for (int n = 0; n < 16; n++) {
        filter_step(&w, model, &rng);
    }
    w.now_ms += rng_int(&rng, 0, 100000);
    world_request(&w, "u0", ITEMS);
    static struct ranked candidates[ITEMS];
    int want[ITEMS];
    int want_count = 0;
    int count = ITEMS;
    int sessions = 0;
    for (int i = 0; i < ITEMS; i++) {
        const struct filter_model *m = &model[i];
        candidates[i] = (struct ranked){.item = fixture_hash('i', i), .because = (uint64_t)i};
        bool expired = m->expires_ms != 0 && m->expires_ms <= w.now_ms;
        sessions += m->in_session;
        if (m->known && !m->deleted && !m->seen && !m->hidden && !m->in_session && !expired) {
            want[want_count++] = i;
        }
    }
    assert_true(sessions <= PROFILE_SESSION);
    assert_int_equal(rank_filter(&w.request, candidates, &count, &w.arena, NULL), LEAT_OK);
    assert_int_equal(count, want_count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(candidates[i].because, want[i]); /* the order stays */
        assert_int_equal(candidates[i].catalog.hash, fixture_hash('i', want[i]));
    }
    world_close(&w);
}

static void test_filter(void **context) {
    (void)context;
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        filter_history(seed);
    }
}

/* The moment of expiry is too late already. */
static void test_expiry(void **context) {
    (void)context;
    static struct world w;
    world_open(&w, rank_text);
    world_act(&w, "item", -1, 1, w.now_ms + 1000, -1);
    for (int64_t after_ms = 999; after_ms <= 1001; after_ms++) {
        w.now_ms = FIXTURE_START_MS + after_ms;
        world_request(&w, "u0", 1);
        struct ranked candidate = {.item = fixture_hash('i', 1)};
        int count = 1;
        assert_int_equal(rank_filter(&w.request, &candidate, &count, &w.arena, NULL), LEAT_OK);
        assert_int_equal(count, after_ms < 1000);
    }
    world_close(&w);
}

/* --- value --- */

static void test_value(void **context) {
    (void)context;
    struct config *config = fixture_config(rank_text);
    struct tally_view tally = {.value = 59, .acted = {9, 9, 5}};
    const float scores[] = {0.5f, 0.25f, 0.125f, 0.0625f};
    double want = 1 * 0.5 + 2 * 0.25 + 0.5 * 0.125 * (60.0 / 6.0) - 4 * 0.0625;
    assert_near(rank_value(config, scores, &tally), want, 1e-12);
    tally = (struct tally_view){0}; /* nothing is known: one second, one amount */
    assert_near(rank_value(config, scores, &tally), 0.5 + 0.5 + 0.0625 - 0.25, 1e-12);
    config_destroy(config);
}

/* --- arranging --- */

static void random_candidates(struct rng *rng, struct ranked *candidates, int count) {
    for (int i = 0; i < count; i++) {
        candidates[i] = (struct ranked){.item = hash_mix(3, (uint64_t)i),
                                        .because = (uint64_t)i,
                                        .value = (double)rng_int(rng, -3, 3)};
        candidates[i].catalog.author = (uint64_t)rng_int(rng, 0, 6); /* 0: unknown */
    }
}

/* The best that is left and allowed, again and again. */
static int naive_arrange(const struct ranked *candidates, int count, int wanted, int64_t cap,
                         int *out) {
    bool used[MANY] = {false};
    int64_t of_author[8] = {0};
    int taken = 0;
    while (taken < wanted) {
        int best = -1;
        for (int i = 0; i < count; i++) {
            uint64_t author = candidates[i].catalog.author;
            bool capped = cap > 0 && author > 0 && of_author[author] >= cap;
            if (used[i] || capped) {
                continue;
            }
            if (best < 0 || candidates[i].value > candidates[best].value ||
                (candidates[i].value == candidates[best].value &&
                 candidates[i].item < candidates[best].item)) {
                best = i;
            }
        }
        if (best < 0) {
            return taken;
        }
        used[best] = true;
        of_author[candidates[best].catalog.author]++;
        out[taken++] = best;
    }
    return taken;
}

static void test_arrange(void **context) {
    (void)context;
    struct config *config = fixture_config(rank_text);
    struct arena arena;
    arena_init(&arena, 1 << 18, 1 << 22);
    static struct ranked candidates[MANY];
    for (uint64_t seed = 0; seed < 1000; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        int count = rng_int(&rng, 0, MANY);
        struct rank_request request = {.surface = &config->surfaces[0],
                                       .count = rng_int(&rng, 0, MANY + 5)};
        config->surfaces[0].fields.author_cap = rng_int(&rng, 0, 4);
        random_candidates(&rng, candidates, count);
        int want[MANY];
        int taken = naive_arrange(candidates, count, request.count,
                                  config->surfaces[0].fields.author_cap, want);
        arena_reset(&arena);
        assert_int_equal(rank_arrange(&request, candidates, &count, &arena, NULL), LEAT_OK);
        assert_int_equal(count, taken);
        for (int i = 0; i < taken; i++) {
            assert_int_equal(candidates[i].because, want[i]);
        }
    }
    arena_deinit(&arena);
    config_destroy(config);
}

/* --- scores --- */

/* Features and scores of each candidate are those that the rooms below give for it. */
static void check_scored(struct world *w, const struct model *model, const struct ranked *c) {
    struct feature_request *features;
    struct scorer *scorer;
    struct catalog_view item;
    struct tally_view tally;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    float scores[EXAMPLE_TASKS_MAX];
    int key_count;
    int dense_count;
    assert_true(catalog_read(flow_catalog(w->flow), c->item, &item));
    tally_read(flow_tally(w->flow), c->item, 0, 0, w->now_ms, &tally);
    assert_int_equal(
        feature_begin(flow_features(w->flow), &w->moment.feature, &w->arena, &features, NULL),
        LEAT_OK);
    feature_fill(features, &item, &tally, keys, &key_count, dense, &dense_count);
    assert_int_equal(c->key_count, key_count);
    assert_int_equal(c->dense_count, dense_count);
    assert_memory_equal(c->keys, keys, (size_t)key_count * sizeof(*keys));
    assert_memory_equal(c->dense, dense, (size_t)dense_count * sizeof(*dense));
    assert_int_equal(scorer_begin(model, &w->arena, &scorer, NULL), LEAT_OK);
    scorer_score(scorer, keys, key_count, dense, scores);
    scorer_end(scorer);
    for (int t = 0; t < w->config->action_count; t++) {
        assert_true(c->scores[t] == scores[t]);
        assert_true(scores[t] > 0 && scores[t] < 1);
    }
    assert_true(c->value == rank_value(w->config, scores, &tally));
}

static void test_score(void **context) {
    (void)context;
    static struct world w;
    struct rng rng;
    rng_init(&rng, 5);
    world_open(&w, rank_text);
    for (int n = 0; n < ROWS; n++) {
        static const char *const kinds[] = {"impression", "click", "watch"};
        w.now_ms += 500;
        world_act(&w, kinds[rng_int(&rng, 0, 2)], rng_int(&rng, 0, 3), rng_int(&rng, 0, ITEMS - 1),
                  0, (double)rng_int(&rng, 0, 60));
    }
    struct model *model;
    int dense_count = features_dense_count(flow_features(w.flow));
    struct model_spec spec;
    assert_int_equal(model_spec_of_config(w.config, dense_count, &spec, NULL), LEAT_OK);
    assert_int_equal(model_open(&spec, NULL, NULL, &model, NULL), LEAT_OK);
    static struct ranked candidates[ITEMS];
    int count = ITEMS;
    for (int i = 0; i < ITEMS; i++) {
        candidates[i] = (struct ranked){.item = fixture_hash('i', i)};
    }
    world_request(&w, "u9", ITEMS);
    w.request.model = model;
    assert_int_equal(rank_filter(&w.request, candidates, &count, &w.arena, NULL), LEAT_OK);
    assert_true(count > ITEMS / 2);
    assert_int_equal(rank_score(&w.request, candidates, count, &w.arena, NULL), LEAT_OK);
    for (int i = 0; i < count; i++) {
        check_scored(&w, model, &candidates[i]);
    }
    model_close(model);
    world_close(&w);
}

/* A request without memory fails; it does not answer with less. */
static void test_no_memory(void **context) {
    (void)context;
    static struct world w;
    world_open(&w, rank_text);
    world_act(&w, "click", 1, 1, 0, -1);
    world_request(&w, "u0", 1);
    struct arena none;
    arena_init(&none, 64, 64);
    struct ranked candidate = {.item = fixture_hash('i', 1)};
    int count = 1;
    assert_int_equal(rank_filter(&w.request, &candidate, &count, &none, NULL), LEAT_MEMORY);
    assert_int_equal(rank_score(&w.request, &candidate, 1, &none, NULL), LEAT_MEMORY);
    arena_deinit(&none);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter), cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_value),  cmocka_unit_test(test_arrange),
        cmocka_unit_test(test_score),  cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
