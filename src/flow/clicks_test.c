/* Examples from click logs: what is drawn, how often, and that the correction in log-odds is what
 * the draws are expected to be. */
#include "flow/flow.h"
#include "flow/flow_fixture.h"

enum { USERS = 5, ITEMS = 40, HISTORY = 400, ROWS = 200, EXAMPLES = 256, NEGATIVES = 6, RING = 64 };

static const char clicks_text[] = "key_groups: 4\n"
                                  "flow: {negatives: 6, negative_ring: 64, session_gap: 1m}\n"
                                  "model: {features: [item]}\n"
                                  "actions:\n  click: {weight: 1}\n  hide: {weight: -1}\n"
                                  "surfaces:\n  news: {examples: clicks}\n";

struct seen {
    uint64_t key;
    uint32_t mask, labels;
    float weight, log_odds;
};

struct stream {
    struct config *config;
    struct flow *flow;
    struct builder *builder;
    struct arena arena;
    uint64_t sequence;
    int count;
    struct seen seen[EXAMPLES];
};

static void emit(void *context, const struct example *example) {
    struct stream *s = context;
    assert_true(s->count < EXAMPLES);
    assert_int_equal(example->key_count, 1);
    s->seen[s->count++] = (struct seen){example->keys[0], example->mask, example->labels,
                                        example->weight, example->log_odds};
}

static void stream_open(struct stream *s, const char *text) {
    memset(s, 0, sizeof(*s));
    s->config = fixture_config(text);
    struct flow_options options = {.config = s->config, .emit = emit, .context = s};
    assert_int_equal(flow_open(&options, &s->flow, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_event(), &s->builder, NULL), LEAT_OK);
    arena_init(&s->arena, 1 << 18, 1 << 22);
}

static void stream_close(struct stream *s) {
    arena_deinit(&s->arena);
    builder_destroy(s->builder);
    flow_close(s->flow);
    config_destroy(s->config);
}

static void act(struct stream *s, const char *kind, int user, int item, int64_t time_ms) {
    char user_id[FIXTURE_TEXT];
    char item_id[FIXTURE_TEXT];
    struct posted_event event = {.kind = slice_of(kind),
                                 .user = fixture_id(user_id, 'u', user),
                                 .item = fixture_id(item_id, 'i', item),
                                 .has_time = true,
                                 .time_ms = time_ms};
    struct batch batch;
    s->count = 0;
    assert_int_equal(event_add(s->builder, s->config, &event, NULL), LEAT_OK);
    assert_int_equal(builder_finish(s->builder, &batch, NULL), LEAT_OK);
    assert_int_equal(flow_apply(s->flow, &batch, s->sequence++, time_ms, false, 0, 1, NULL),
                     LEAT_OK);
    builder_clear(s->builder);
}

/* Popular items have low numbers. */
static int random_item(struct rng *rng) {
    double u = rng_unit(rng);
    return (int)(u * u * ITEMS);
}

/* The only key of an item's example. */
static uint64_t key_of(struct stream *s, uint64_t item) {
    struct profile_view profile = {0};
    struct background_view background = {0};
    struct feature_moment moment = {.profile = &profile, .background = &background};
    struct feature_request *request;
    struct catalog_view view = {.hash = item};
    struct tally_view tally = {0};
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    int key_count;
    int dense_count;
    arena_reset(&s->arena);
    assert_int_equal(feature_begin(flow_features(s->flow), &moment, &s->arena, &request, NULL),
                     LEAT_OK);
    feature_fill(request, &view, &tally, keys, &key_count, dense, &dense_count);
    return keys[0];
}

/* --- what is expected --- */

struct expectation {
    bool makes; /* examples at all */
    uint64_t keys[ITEMS];
    double drawn[ITEMS]; /* expected number of draws, without those of the floor */
    bool excluded[ITEMS];
    int near_draws;
};

static double ring_share(struct stream *s, uint64_t item) {
    int held = 0;
    int found = 0;
    uint64_t first = background_draw(flow_background(s->flow), 0, 0);
    for (uint64_t k = 0; k < RING && first != 0; k++) {
        /* Chances below the ring's length name places while it is full. */
        found += background_draw(flow_background(s->flow), 0, k) == item;
        held++;
    }
    return held ? (double)found / held : 0;
}

static void expect(struct stream *s, const struct row *row, struct expectation *out) {
    uint64_t session[PROFILE_SESSION];
    int count = profile_session_before(flow_profile(s->flow), row, session);
    struct pairs_view last = {0};
    memset(out, 0, sizeof(*out));
    arena_reset(&s->arena);
    if (count > 0) {
        pairs_read(flow_pairs(s->flow), session[0], &s->arena, &last);
    }
    int near = last.out_count + last.in_count;
    out->near_draws = near ? NEGATIVES / 2 : 0;
    out->makes = count > 0;
    for (int i = 0; i < ITEMS; i++) {
        uint64_t hash = fixture_hash('i', i);
        int neighbour = 0;
        for (int k = 0; k < last.out_count; k++) {
            neighbour += last.out[k].item == hash;
        }
        for (int k = 0; k < last.in_count; k++) {
            neighbour += last.in[k].item == hash;
        }
        out->drawn[i] = NEGATIVES * ring_share(s, hash);
        out->drawn[i] += near ? (double)out->near_draws * neighbour / near : 0;
        out->excluded[i] = hash == row->item_hash;
        for (int k = 0; k < count; k++) {
            out->excluded[i] = out->excluded[i] || session[k] == hash;
            out->makes = out->makes && session[k] != row->item_hash;
        }
    }
    for (int i = 0; i < ITEMS; i++) {
        out->keys[i] = key_of(s, fixture_hash('i', i));
    }
}

static int item_of(const struct expectation *expected, uint64_t key) {
    int item = 0;
    while (expected->keys[item] != key) {
        item++;
        assert_true(item < ITEMS);
    }
    return item;
}

static void check_examples(const struct stream *s, const struct expectation *expected, int item) {
    if (!expected->makes) {
        assert_int_equal(s->count, 0);
        return;
    }
    assert_in_range(s->count, 1, 1 + NEGATIVES + expected->near_draws);
    for (int i = 0; i < s->count; i++) {
        const struct seen *seen = &s->seen[i];
        int drawn = item_of(expected, seen->key);
        assert_int_equal(seen->mask, 1);
        assert_int_equal(seen->labels, i == 0);
        assert_true(seen->weight == 1.0f);
        assert_int_equal(i == 0 ? drawn == item : expected->excluded[drawn], i == 0);
        assert_true(i == 0 || expected->drawn[drawn] > 0);
        double floor = NEGATIVES * 0.3 / RING;
        assert_near((double)seen->log_odds, -log(expected->drawn[drawn] + floor), 1e-5);
    }
}

static void fill_history(struct stream *s, struct rng *rng, int64_t *time_ms) {
    for (int n = 0; n < HISTORY; n++) {
        *time_ms += rng_int(rng, 0, 20000);
        act(s, "click", rng_int(rng, 0, USERS - 1), random_item(rng), *time_ms);
    }
}

/* --- tests --- */

static void test_examples(void **context) {
    (void)context;
    static struct stream s;
    stream_open(&s, clicks_text);
    struct rng rng;
    rng_init(&rng, 1);
    int64_t time_ms = FIXTURE_START_MS;
    fill_history(&s, &rng, &time_ms);
    int made_some = 0;
    for (int n = 0; n < ROWS; n++) {
        static struct expectation expected;
        struct made_row made;
        int user = rng_int(&rng, 0, USERS - 1);
        int item = random_item(&rng);
        time_ms += rng_int(&rng, 0, 20000);
        made_action(&made, 0, user, item, time_ms);
        expect(&s, &made.row, &expected);
        act(&s, "click", user, item, time_ms);
        check_examples(&s, &expected, item);
        made_some += s.count > 0;
    }
    assert_in_range(made_some, ROWS / 4, ROWS - 1);
    act(&s, "hide", 1, 1, time_ms); /* says nothing for an item: no example */
    assert_int_equal(s.count, 0);
    stream_close(&s);
}

/* How often each item was drawn, against what was expected of each row: within five deviations. */
static void test_frequencies(void **context) {
    (void)context;
    enum { TRIES = 3000 };
    static struct stream s;
    static struct expectation expected;
    stream_open(&s, clicks_text);
    struct rng rng;
    rng_init(&rng, 2);
    int64_t time_ms = FIXTURE_START_MS;
    fill_history(&s, &rng, &time_ms);
    double drawn[ITEMS] = {0};
    double want[ITEMS] = {0};
    for (int n = 0; n < TRIES; n++) {
        struct made_row made;
        int user = rng_int(&rng, 0, USERS - 1);
        int item = random_item(&rng);
        time_ms += rng_int(&rng, 0, 20000);
        made_action(&made, 0, user, item, time_ms);
        expect(&s, &made.row, &expected);
        act(&s, "click", user, item, time_ms);
        for (int i = 1; i < s.count; i++) {
            drawn[item_of(&expected, s.seen[i].key)]++;
        }
        for (int i = 0; i < ITEMS && expected.makes; i++) {
            want[i] += expected.excluded[i] ? 0 : expected.drawn[i];
        }
    }
    for (int i = 0; i < ITEMS; i++) {
        assert_true(fabs(drawn[i] - want[i]) <= 5 * sqrt(want[i]));
    }
    stream_close(&s);
}

/* The same rows at the same places make the same draws; at other places others. */
static void test_deterministic(void **context) {
    (void)context;
    static struct stream s[3];
    struct rng rng[3];
    int64_t time_ms[3];
    for (int k = 0; k < 3; k++) {
        stream_open(&s[k], clicks_text);
        s[k].sequence = k == 2 ? 1 : 0;
        rng_init(&rng[k], 3);
        time_ms[k] = FIXTURE_START_MS;
        fill_history(&s[k], &rng[k], &time_ms[k]);
    }
    int same = 0;
    int different = 0;
    for (int n = 0; n < 100; n++) {
        for (int k = 0; k < 3; k++) {
            int user = rng_int(&rng[k], 0, USERS - 1);
            time_ms[k] += 1000;
            act(&s[k], "click", user, random_item(&rng[k]), time_ms[k]);
        }
        size_t bytes = (size_t)s[0].count * sizeof(s[0].seen[0]);
        assert_int_equal(s[0].count, s[1].count);
        assert_memory_equal(s[0].seen, s[1].seen, bytes);
        bool equal = s[0].count == s[2].count && memcmp(s[0].seen, s[2].seen, bytes) == 0;
        same += s[0].count > 0 && equal;
        different += s[0].count > 0 && !equal;
    }
    assert_true(different > 20 && same <= different / 10);
    for (int k = 0; k < 3; k++) {
        stream_close(&s[k]);
    }
}

/* Without negatives there is nothing to tell a positive from. */
static void test_no_negatives(void **context) {
    (void)context;
    static struct stream s;
    stream_open(&s, "flow: {negatives: 0}\nmodel: {features: [item]}\nactions:\n  click: {}\n"
                    "surfaces:\n  news: {examples: clicks}\n");
    for (int n = 0; n < 20; n++) {
        act(&s, "click", 1, n, FIXTURE_START_MS + n);
        assert_int_equal(s.count, 0);
    }
    stream_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_no_negatives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
