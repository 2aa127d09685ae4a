/* Flow as a whole: its states depend on the order within a key group only; no result depends on how
 * rows are cut into batches, on heartbeats, or on a restart in between. */
#include "flow/flow.h"
#include "flow/flow_fixture.h"

enum { WORLDS = 2, USERS = 4, ITEMS = 8, REQUESTS = 5, STEPS = 60, ROWS = 150 };

static const char flow_text[] =
    "key_groups: 8\n"
    "flow: {dedup: 2m, session_gap: 3m, negatives: 3, negative_ring: 16, neighbours: 4, seen: 16}\n"
    "model: {features: [user, item, last, device, category]}\n" FIXTURE_ACTIONS "surfaces:\n"
    "  for_you: {examples: impressions}\n"
    "  shop: {examples: served}\n"
    "  news: {examples: clicks}\n";

/* A flow with its stream of examples, folded into one number. */
struct stream {
    struct config *config;
    struct flow *flow;
    struct builder *events, *served, *beats;
    uint64_t sequence, examples, fold, newest_sequence;
};

static void emit(void *context, const struct example *example) {
    struct stream *s = context;
    assert_true(example->sequence >= s->newest_sequence);
    s->newest_sequence = example->sequence;
    s->examples++;
    uint64_t key_bytes = (uint64_t)example->key_count * sizeof(*example->keys);
    uint64_t dense_bytes = (uint64_t)example->dense_count * sizeof(*example->dense);
    uint64_t log_odds = 0;
    memcpy(&log_odds, &example->log_odds, sizeof(example->log_odds));
    s->fold = hash_mix(s->fold, example->sequence);
    s->fold = hash_mix(s->fold, hash_bytes(example->keys, key_bytes));
    s->fold = hash_mix(s->fold, hash_bytes(example->dense, dense_bytes));
    s->fold = hash_mix(s->fold, (uint64_t)example->mask << 32 | example->labels);
    s->fold = hash_mix(s->fold, log_odds ^ (uint64_t)example->flags << 32);
}

static void stream_open(struct stream *s, const char *text) {
    memset(s, 0, sizeof(*s));
    s->config = fixture_config(text);
    struct flow_options options = {.config = s->config, .emit = emit, .context = s};
    leat_error err = {0};
    if (flow_open(&options, &s->flow, &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(builder_create(schema_event(), &s->events, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_served(), &s->served, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_beat(), &s->beats, NULL), LEAT_OK);
}

static void stream_close(struct stream *s) {
    builder_destroy(s->events);
    builder_destroy(s->served);
    builder_destroy(s->beats);
    flow_close(s->flow);
    config_destroy(s->config);
}

/* --- rows of two worlds without a person, item, surface, request or id in common --- */

struct fact {
    int world, kind, user, item, request, session, id, surface, device;
    int64_t time_ms;
    double rating;
};

enum fact_kind {
    FACT_SERVED = FIXTURE_TASKS,
    FACT_IMPRESSION,
    FACT_ITEM,
    FACT_DELETE,
    FACT_USER,
    FACT_FORGET,
    FACT_KINDS
};
static const char *const fact_names[FACT_KINDS] = {
    "click", "like", "hide", "rate", "", "impression", "item", "item_delete", "user", "forget"};

/* Which surfaces there are for a world: the last one has click logs. */
static struct fact random_fact(struct rng *rng, int world, int surface, int64_t now_ms) {
    int kind =
        rng_chance(rng, 80) ? rng_int(rng, 0, FACT_IMPRESSION) : rng_int(rng, FACT_ITEM, FACT_USER);
    struct fact fact = {.world = world,
                        .kind = rng_chance(rng, 1) ? FACT_FORGET : kind,
                        .user = world * 100 + rng_int(rng, 0, USERS - 1),
                        .item = world * 100 + rng_int(rng, 0, ITEMS - 1),
                        .request = world * 100 + rng_int(rng, 0, REQUESTS - 1),
                        .session = rng_chance(rng, 30) ? rng_int(rng, 0, 1) : -1,
                        .id = rng_chance(rng, 50) ? world * 100 + rng_int(rng, 0, 60) : -1,
                        .surface = surface,
                        .device = rng_int(rng, -1, 2),
                        .time_ms = now_ms - (rng_chance(rng, 20) ? rng_int(rng, 0, 100000) : 0),
                        .rating = rng_chance(rng, 50) ? (double)rng_int(rng, 1, 5) : 0};
    fact.request = rng_chance(rng, 30) && kind != FACT_SERVED ? -1 : fact.request;
    return fact;
}

struct names {
    char user[FIXTURE_TEXT], item[FIXTURE_TEXT], request[FIXTURE_TEXT], session[FIXTURE_TEXT],
        id[FIXTURE_TEXT], device[FIXTURE_TEXT], category[FIXTURE_TEXT];
};

static void add_event(struct stream *s, const struct fact *fact) {
    struct names names;
    bool item_only = fact->kind == FACT_ITEM || fact->kind == FACT_DELETE;
    bool user_only = fact->kind == FACT_USER || fact->kind == FACT_FORGET;
    struct posted_event event = {
        .kind = slice_of(fact_names[fact->kind]),
        .user = fixture_id(names.user, 'u', item_only ? -1 : fact->user),
        .item = fixture_id(names.item, 'i', user_only ? -1 : fact->item),
        .request = fixture_id(names.request, 'r', fact->request),
        .session = fixture_id(names.session, 's', fact->session),
        .id = fixture_id(names.id, 'e', fact->id),
        .surface = slice_of(s->config->surfaces[fact->surface].name),
        .has_time = true,
        .time_ms = fact->time_ms,
        .has_value = fact->rating > 0,
        .value = fact->rating,
        .context_count = fact->device < 0 ? 0 : 2,
        .context = {slice_of("device"), fixture_id(names.device, '1', fact->device),
                    slice_of("region"), fixture_id(names.device, '1', fact->device)},
    };
    if (fact->kind == FACT_ITEM) {
        event.category_count = 1;
        event.categories[0] = fixture_id(names.category, 'c', fact->item % 3);
        event.author = event.categories[0];
    }
    leat_error err = {0};
    if (event_add(s->events, s->config, &event, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void add_served(struct stream *s, const struct fact *fact) {
    struct names names;
    uint64_t keys[2] = {(uint64_t)fact->time_ms, (uint64_t)fact->item};
    float dense[1] = {0.5f};
    builder_text(s->served, SERVED_REQUEST, fixture_id(names.request, 'r', fact->request));
    builder_text(s->served, SERVED_USER, fixture_id(names.user, 'u', fact->user));
    builder_text(s->served, SERVED_ITEM, fixture_id(names.item, 'i', fact->item));
    builder_text(s->served, SERVED_SURFACE, slice_of(s->config->surfaces[fact->surface].name));
    builder_i64(s->served, SERVED_TIME, fact->time_ms);
    builder_i32(s->served, SERVED_SLOT, 0);
    builder_f64(s->served, SERVED_SCORE, 1);
    builder_i32(s->served, SERVED_CHANNELS, 1);
    builder_list_u64(s->served, SERVED_KEYS, keys, 2);
    builder_list_f32(s->served, SERVED_DENSE, dense, 1);
    builder_row_end(s->served);
}

/* Applies what was added to a builder, in pieces of `cut` rows. */
static void apply(struct stream *s, struct builder *builder, int64_t now_ms, bool event_clock,
                  int64_t cut) {
    struct batch batch;
    assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
    for (int64_t from = 0; from < batch.rows; from += cut) {
        int64_t to = from + cut < batch.rows ? from + cut : batch.rows;
        assert_int_equal(
            flow_apply(s->flow, &batch, s->sequence, now_ms, event_clock, from, to, NULL), LEAT_OK);
    }
    s->sequence += (uint64_t)batch.rows;
    builder_clear(builder);
}

static void apply_fact(struct stream *s, const struct fact *fact, int64_t now_ms) {
    if (fact->kind == FACT_SERVED) {
        add_served(s, fact);
        apply(s, s->served, now_ms, false, 1);
    } else {
        add_event(s, fact);
        apply(s, s->events, now_ms, false, 1);
    }
}

static void beat(struct stream *s, int64_t now_ms) {
    builder_row_end(s->beats);
    apply(s, s->beats, now_ms, false, 1);
}

static struct state *state_named(const struct stream *s, const char *name) {
    for (int i = 0; i < FLOW_STATES; i++) {
        if (strcmp(flow_state_name(i), name) == 0) {
            return flow_state(s->flow, i);
        }
    }
    fail_msg("no state %s", name);
    return NULL;
}

static void assert_equal_states(const struct stream *a, const struct stream *b) {
    for (int i = 0; i < FLOW_STATES; i++) {
        if (fixture_digest(flow_state(a->flow, i)) != fixture_digest(flow_state(b->flow, i))) {
            fail_msg("state %s differs", flow_state_name(i));
        }
    }
}

/* --- the order within a key group --- */

enum { STEP_FACTS = 4 };

struct step {
    int64_t now_ms;
    int count[WORLDS];
    struct fact facts[WORLDS][STEP_FACTS];
};

/* World 0 lives on the first two surfaces, world 1 on the third. */
static void make_steps(struct rng *rng, struct step steps[STEPS]) {
    int64_t now_ms = FIXTURE_START_MS;
    for (int n = 0; n < STEPS; n++) {
        now_ms += rng_int(rng, 1, rng_chance(rng, 90) ? 20000 : 300000);
        steps[n].now_ms = now_ms;
        for (int w = 0; w < WORLDS; w++) {
            steps[n].count[w] = rng_int(rng, 0, STEP_FACTS);
            for (int i = 0; i < steps[n].count[w]; i++) {
                int surface = w ? 2 : rng_int(rng, 0, 1);
                steps[n].facts[w][i] = random_fact(rng, w, surface, now_ms);
            }
        }
    }
}

/* Both worlds' rows of each step, shuffled into each other; the order within a world stays. */
static void apply_steps(struct stream *s, const struct step steps[STEPS], struct rng *rng) {
    for (int n = 0; n < STEPS; n++) {
        int at[WORLDS] = {0};
        while (at[0] < steps[n].count[0] || at[1] < steps[n].count[1]) {
            int w = rng_int(rng, 0, 1);
            if (at[w] < steps[n].count[w]) {
                apply_fact(s, &steps[n].facts[w][at[w]++], steps[n].now_ms);
            }
        }
    }
}

static void test_interleaving(void **context) {
    (void)context;
    static const char *const keyed[] = {"dedup", "profile", "tally", "pairs", "background", "join"};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        static struct step steps[STEPS];
        make_steps(&rng, steps);
        static struct stream one;
        static struct stream other;
        stream_open(&one, flow_text);
        stream_open(&other, flow_text);
        apply_steps(&one, steps, &rng);
        apply_steps(&other, steps, &rng);
        assert_true(one.examples > 0);
        for (size_t k = 0; k < sizeof(keyed) / sizeof(keyed[0]); k++) {
            assert_int_equal(fixture_digest(state_named(&one, keyed[k])),
                             fixture_digest(state_named(&other, keyed[k])));
        }
        stream_close(&one);
        stream_close(&other);
    }
}

/* --- batches --- */

/* One batch of events of all worlds and surfaces, whose times rise and fall. */
static void add_rows(struct stream *s, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    int64_t now_ms = FIXTURE_START_MS;
    for (int n = 0; n < ROWS; n++) {
        now_ms += rng_int(&rng, 0, 30000);
        struct fact fact = random_fact(&rng, 0, rng_int(&rng, 0, 2), now_ms);
        if (fact.kind != FACT_SERVED) {
            add_event(s, &fact);
        }
    }
}

static void test_batch_cuts(void **context) {
    (void)context;
    const int64_t cuts[] = {1, 2, 5, 64};
    for (uint64_t seed = 0; seed < 30; seed++) {
        bool event_clock = seed % 2 == 0;
        static struct stream whole;
        stream_open(&whole, flow_text);
        add_rows(&whole, seed);
        apply(&whole, whole.events, FIXTURE_START_MS + 5000000, event_clock, ROWS);
        assert_true(whole.examples > 0);
        for (size_t c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
            static struct stream cut;
            stream_open(&cut, flow_text);
            add_rows(&cut, seed);
            apply(&cut, cut.events, FIXTURE_START_MS + 5000000, event_clock, cuts[c]);
            assert_int_equal(cut.examples, whole.examples);
            assert_int_equal(cut.fold, whole.fold);
            assert_int_equal(flow_now(cut.flow), flow_now(whole.flow));
            assert_equal_states(&cut, &whole);
            stream_close(&cut);
        }
        stream_close(&whole);
    }
}

/* --- time --- */

/* Heartbeats move time, so that what is due settles, and change nothing else. */
static void test_beats(void **context) {
    (void)context;
    struct rng rng;
    rng_init(&rng, 6);
    static struct step steps[STEPS];
    make_steps(&rng, steps);
    static struct stream plain;
    static struct stream beaten;
    stream_open(&plain, flow_text);
    stream_open(&beaten, flow_text);
    for (int n = 0; n < STEPS; n++) {
        for (int i = 0; i < steps[n].count[0]; i++) {
            apply_fact(&plain, &steps[n].facts[0][i], steps[n].now_ms);
            apply_fact(&beaten, &steps[n].facts[0][i], steps[n].now_ms);
        }
        beat(&beaten, steps[n].now_ms + 1);
        beat(&beaten, steps[n].now_ms); /* time never goes back */
        assert_int_equal(flow_now(beaten.flow), steps[n].now_ms + 1);
    }
    /* Dedup and join forget at the next moment they hear of: the last one is the same for both. */
    beat(&plain, FIXTURE_START_MS + 100000000);
    beat(&beaten, FIXTURE_START_MS + 100000000);
    assert_int_equal(plain.examples, beaten.examples);
    assert_int_equal(state_count(state_named(&plain, "join")), 0);
    assert_int_equal(state_count(state_named(&plain, "dedup")), 0);
    assert_equal_states(&plain, &beaten);
    stream_close(&plain);
    stream_close(&beaten);
}

/* Under the events' own clock append time is the newest event time so far. */
static void test_event_clock(void **context) {
    (void)context;
    static struct stream s;
    stream_open(&s, flow_text);
    const int64_t times_ms[] = {1000, 5000, 3000, 7000};
    const int64_t now_ms[] = {1000, 5000, 5000, 7000};
    for (int i = 0; i < 4; i++) {
        struct fact fact = {.kind = FIXTURE_CLICK,
                            .request = -1,
                            .session = -1,
                            .id = -1,
                            .device = -1,
                            .time_ms = FIXTURE_START_MS + times_ms[i]};
        add_event(&s, &fact);
        apply(&s, s.events, 42, true, 1);
        assert_int_equal(flow_now(s.flow), FIXTURE_START_MS + now_ms[i]);
    }
    builder_row_end(s.beats);
    apply(&s, s.beats, 42, true, 1);
    assert_int_equal(flow_now(s.flow), FIXTURE_START_MS + 7000);
    stream_close(&s);
}

/* --- rows that say nothing --- */

/* Kinds and surfaces that the configuration does not know are as if they had not been there. */
static void test_unknown_kinds(void **context) {
    (void)context;
    char longer[2048];
    snprintf(longer, sizeof(longer), "%s  gone: {}\n", flow_text);
    char *actions = strstr(longer, "surfaces:");
    char text[2048];
    snprintf(text, sizeof(text), "%.*s  lost: {}\n%s", (int)(actions - longer), longer, actions);
    static struct stream known; /* only to build its rows */
    static struct stream with;
    static struct stream without;
    stream_open(&known, text);
    stream_open(&with, flow_text);
    stream_open(&without, flow_text);
    struct rng rng;
    rng_init(&rng, 9);
    for (int n = 0; n < ROWS; n++) {
        int64_t now_ms = FIXTURE_START_MS + n * 1000;
        struct fact fact = random_fact(&rng, 0, rng_int(&rng, 0, 1), now_ms);
        apply_fact(&with, &fact, now_ms);
        apply_fact(&without, &fact, now_ms);
        struct posted_event event = {.kind = slice_of(n % 2 ? "lost" : "click"),
                                     .user = slice_of("u0"),
                                     .item = slice_of("i0"),
                                     .id = slice_of("e0"),
                                     .surface = slice_of(n % 2 ? "shop" : "gone"),
                                     .has_time = true,
                                     .time_ms = now_ms};
        assert_int_equal(event_add(known.events, known.config, &event, NULL), LEAT_OK);
        struct batch batch;
        assert_int_equal(builder_finish(known.events, &batch, NULL), LEAT_OK);
        assert_int_equal(flow_apply(with.flow, &batch, with.sequence, now_ms, false, 0, 1, NULL),
                         LEAT_OK);
        builder_clear(known.events);
    }
    assert_equal_states(&with, &without);
    assert_int_equal(with.fold, without.fold);
    stream_close(&known);
    stream_close(&with);
    stream_close(&without);
}

/* The same id twice within the window counts once, whatever else the second row says. */
static void test_duplicates(void **context) {
    (void)context;
    static struct stream once;
    static struct stream twice;
    stream_open(&once, flow_text);
    stream_open(&twice, flow_text);
    for (int n = 0; n < 20; n++) {
        struct fact fact = {.kind = n % FIXTURE_RATE,
                            .user = n % 3,
                            .item = n % 5,
                            .request = -1,
                            .session = -1,
                            .id = n,
                            .device = -1,
                            .time_ms = FIXTURE_START_MS + n};
        apply_fact(&once, &fact, fact.time_ms);
        apply_fact(&twice, &fact, fact.time_ms);
        fact.kind = FIXTURE_LIKE;
        fact.item = 7;
        apply_fact(&twice, &fact, fact.time_ms);
    }
    assert_equal_states(&once, &twice);
    stream_close(&once);
    stream_close(&twice);
}

/* --- restart --- */

/* Frozen anywhere and restored, a flow goes on as the one that was not stopped. */
static void test_restart(void **context) {
    (void)context;
    for (uint64_t seed = 100; seed < 115; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        static struct step steps[STEPS];
        make_steps(&rng, steps);
        static struct stream lasting;
        static struct stream again;
        stream_open(&lasting, flow_text);
        stream_open(&again, flow_text);
        int stop = rng_int(&rng, 1, STEPS - 1);
        for (int n = 0; n < STEPS; n++) {
            if (n == stop) {
                for (int i = 0; i < FLOW_STATES; i++) {
                    fixture_copy_state(flow_state(lasting.flow, i), flow_state(again.flow, i));
                }
                flow_set_now(again.flow, flow_now(lasting.flow));
                assert_int_equal(flow_restored(again.flow, NULL), LEAT_OK);
                again.sequence = lasting.sequence;
                lasting.fold = lasting.examples = 0;
            }
            for (int w = 0; w < WORLDS; w++) {
                for (int i = 0; i < steps[n].count[w]; i++) {
                    apply_fact(&lasting, &steps[n].facts[w][i], steps[n].now_ms);
                    if (n >= stop) {
                        apply_fact(&again, &steps[n].facts[w][i], steps[n].now_ms);
                    }
                }
            }
        }
        assert_int_equal(lasting.examples, again.examples);
        assert_int_equal(lasting.fold, again.fold);
        assert_int_equal(catalog_count(flow_catalog(lasting.flow)),
                         catalog_count(flow_catalog(again.flow)));
        assert_equal_states(&lasting, &again);
        assert_true(flow_bytes(again.flow) > 0);
        stream_close(&lasting);
        stream_close(&again);
    }
}

/* --- the moment of a request and of a row --- */

static void test_moments(void **context) {
    (void)context;
    static struct stream s;
    stream_open(&s, flow_text);
    for (int item = 0; item < 3; item++) {
        struct fact fact = {.kind = FIXTURE_CLICK,
                            .item = item,
                            .request = -1,
                            .session = -1,
                            .id = -1,
                            .device = 2,
                            .time_ms = FIXTURE_START_MS + item};
        apply_fact(&s, &fact, fact.time_ms);
    }
    struct arena arena;
    arena_init(&arena, 1 << 16, 1 << 20);
    struct flow_moment moment;
    flow_moment_read(s.flow, slice_of("u0"), 0, FIXTURE_START_MS + 10, NULL, 0, &arena, &moment);
    assert_int_equal(moment.profile.session_count, 3);
    assert_int_equal(moment.feature.pairs_count, 3);
    assert_int_equal(moment.pairs[0].item, fixture_hash('i', 2));
    assert_int_equal(moment.feature.region, row_value_hash(slice_of("12")));
    const struct slice context_pairs[] = {slice_of("region"), slice_of("\"north\"")};
    flow_moment_read(s.flow, slice_of("u0"), 0, FIXTURE_START_MS, context_pairs, 1, &arena,
                     &moment);
    assert_int_equal(moment.feature.region, hash_slice(slice_of("north")));
    flow_moment_read(s.flow, (struct slice){NULL, 0}, 0, FIXTURE_START_MS, NULL, 0, &arena,
                     &moment);
    assert_int_equal(moment.profile.hash, 0);
    assert_true(moment.background.volume[0] > 2.9);
    arena_deinit(&arena);
    stream_close(&s);
}

/* A checkpoint may lack the ratings where nobody rates, and nothing else. */
static void test_unused_states(void **context) {
    (void)context;
    static const char *const texts[] = {fixture_text, "actions: {click: {}, hide: {}}\n"};
    for (int rates = 0; rates < 2; rates++) {
        struct config *config = fixture_config(texts[1 - rates]);
        const struct flow_options options = {.config = config};
        struct flow *flow;
        int unused = 0;
        assert_int_equal(flow_open(&options, &flow, NULL), LEAT_OK);
        for (int i = 0; i < FLOW_STATES; i++) {
            bool is = flow_state_unused(flow, i);
            assert_true(!is || strcmp(flow_state_name(i), "ratings") == 0);
            unused += is;
        }
        assert_int_equal(unused, !rates);
        flow_close(flow);
        config_destroy(config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaving),  cmocka_unit_test(test_batch_cuts),
        cmocka_unit_test(test_beats),         cmocka_unit_test(test_event_clock),
        cmocka_unit_test(test_unknown_kinds), cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_restart),       cmocka_unit_test(test_moments),
        cmocka_unit_test(test_unused_states),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
