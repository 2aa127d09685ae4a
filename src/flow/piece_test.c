/* Pieces against rows one by one: the same examples in the same order, the same states, however
 * rows are cut, divided over key-group ranges, and spread over threads. */
#include "flow/flow.h"
#include "flow/flow_reference.h"

enum {
    USERS = 24,
    ITEMS = 60,
    REQUESTS = 12,
    IDS = 400,
    BATCHES = 14,
    BATCH_ROWS = 300,
    EXAMPLES_MAX = 120000,
    SEEDS = 3,
};

#define SURFACES                                                                                   \
    "surfaces:\n"                                                                                  \
    "  for_you: {examples: impressions}\n"                                                         \
    "  shop: {examples: served}\n"                                                                 \
    "  news: {examples: clicks}\n"                                                                 \
    "  blog: {examples: clicks}\n"
#define MODEL "model: {features: [user, item, last, device, category, author*hour, tag*user]}\n"

/* Windows of minutes among rows that are seconds apart, so that much settles within a piece. */
static const char *const texts[] = {
    "key_groups: 16\n" MODEL FIXTURE_ACTIONS SURFACES
    "flow: {dedup: 2m, session_gap: 3m, negatives: 5, negative_ring: 40, neighbours: 4, seen: 16,\n"
    "  lateness: 0s}\n",
    "key_groups: 5\n" MODEL FIXTURE_ACTIONS SURFACES
    "flow: {session_gap: 10m, negatives: 8, negative_ring: 16, neighbours: 32, lateness: 20s,\n"
    "  keep_negatives: 3}\nlog: {skew: 10s}\n",
    "key_groups: 64\n" MODEL FIXTURE_ACTIONS "surfaces:\n"
    "  for_you: {examples: impressions, labels: sliding, slide: 30s}\n"
    "  shop: {examples: served, labels: fake_negative}\n"
    "  news: {examples: clicks}\n"
    "  blog: {examples: clicks, labels: sliding, slide: 1m}\n"
    "flow: {session_gap: 1m, negatives: 1, negative_ring: 16}\n",
};
enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

/* --- examples, as a list of hashes --- */

struct heard {
    int count;
    uint64_t newest_sequence;
    uint64_t *hashes;
};

static uint64_t hash_text(uint64_t hash, struct slice text) {
    return hash_mix(hash, text.data ? hash_slice(text) : 7);
}

static uint64_t hash_number(uint64_t hash, float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof(bits));
    return hash_mix(hash, bits);
}

static void hear(void *context, const struct example *e) {
    struct heard *heard = context;
    assert_true(heard->count < EXAMPLES_MAX);
    assert_true(e->sequence >= heard->newest_sequence);
    heard->newest_sequence = e->sequence;
    uint64_t hash = hash_mix(e->sequence, (uint64_t)e->mask << 32 | e->labels);
    hash = hash_mix(hash, hash_bytes(e->keys, (size_t)e->key_count * sizeof(*e->keys)));
    hash = hash_mix(hash, hash_bytes(e->dense, (size_t)e->dense_count * sizeof(*e->dense)));
    hash = hash_number(hash_number(hash, e->weight), e->log_odds);
    hash = hash_mix(hash_mix(hash, e->flags), e->user_hash);
    hash = hash_mix(hash_mix(hash, e->request_hash), e->item_hash);
    hash = hash_text(hash_text(hash_text(hash, e->user), e->request), e->item);
    hash = hash_mix(hash_mix(hash, (uint64_t)e->shown_ms), (uint64_t)e->due_ms);
    heard->hashes[heard->count++] = hash_mix(hash, e->part);
}

static void heard_clear(struct heard *heard) {
    heard->count = 0;
    heard->newest_sequence = 0;
}

/* --- a stream of batches --- */

struct part {
    struct builder *builder;
    struct batch batch;
    int64_t append_ms;
    bool event_clock;
};

struct stream {
    struct config *config;
    struct part parts[BATCHES];
};

struct names {
    char user[FIXTURE_TEXT], item[FIXTURE_TEXT], request[FIXTURE_TEXT], session[FIXTURE_TEXT],
        id[FIXTURE_TEXT], device[FIXTURE_TEXT], region[FIXTURE_TEXT], values[4][FIXTURE_TEXT];
};

static const char *random_kind(struct rng *rng) {
    static const char *const others[] = {"like",       "hide", "rate", "impression",
                                         "impression", "item", "user"};
    int dice = rng_int(rng, 0, 99);
    if (dice < 45) {
        return "click";
    }
    if (dice < 47) {
        return dice == 45 ? "item_delete" : "forget";
    }
    return others[rng_int(rng, 0, 6)];
}

/* Low numbers are popular. */
static int random_low(struct rng *rng, int count) {
    double u = rng_unit(rng);
    return (int)(u * u * count);
}

static void describe(struct rng *rng, struct names *names, struct posted_event *event) {
    event->category_count = rng_int(rng, 0, 2);
    for (int i = 0; i < event->category_count; i++) {
        event->categories[i] = fixture_id(names->values[i], 'c', rng_int(rng, 0, 5));
    }
    event->tag_count = rng_int(rng, 0, 1);
    event->tags[0] = fixture_id(names->values[2], 't', rng_int(rng, 0, 5));
    event->author = fixture_id(names->values[3], 'a', rng_int(rng, -1, 3));
    event->has_created = rng_chance(rng, 50);
    event->created_ms = FIXTURE_START_MS - rng_int(rng, 0, 10000000);
}

static void add_event(const struct stream *s, struct builder *builder, struct rng *rng,
                      int64_t now_ms) {
    struct names names;
    struct posted_event event = {.kind = slice_of(random_kind(rng)), .has_time = true};
    bool of_item = slice_is(event.kind, "item") || slice_is(event.kind, "item_delete");
    bool of_user = slice_is(event.kind, "user") || slice_is(event.kind, "forget");
    event.user = fixture_id(names.user, 'u', of_item ? -1 : random_low(rng, USERS));
    event.item = fixture_id(names.item, 'i', of_user ? -1 : random_low(rng, ITEMS));
    event.request = fixture_id(names.request, 'r', rng_int(rng, -REQUESTS, REQUESTS));
    event.session = fixture_id(names.session, 's', rng_int(rng, -8, 1));
    event.id = fixture_id(names.id, 'e', rng_int(rng, -IDS, IDS));
    event.surface = slice_of(s->config->surfaces[rng_int(rng, 0, 3)].name);
    event.time_ms = now_ms - (rng_chance(rng, 20) ? rng_int(rng, 0, 100000) : 0);
    event.has_value = rng_chance(rng, 30);
    event.value = event.has_value ? (double)rng_int(rng, 1, 5) : 0;
    event.context_count = rng_int(rng, 0, 2);
    event.context[0] = slice_of("device");
    event.context[1] = fixture_id(names.device, '1', rng_int(rng, 0, 2));
    event.context[2] = slice_of("region");
    event.context[3] = fixture_id(names.region, '2', rng_int(rng, 0, 3));
    if (slice_is(event.kind, "item")) {
        describe(rng, &names, &event);
    }
    leat_error err = {0};
    if (event_add(builder, s->config, &event, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

static void add_served(const struct stream *s, struct builder *builder, struct rng *rng,
                       int64_t now_ms) {
    struct names names;
    uint64_t keys[2] = {rng_next(rng), 5};
    float dense[3] = {0.5f, (float)rng_unit(rng), 0};
    int request = rng_int(rng, 0, REQUESTS);
    builder_text(builder, SERVED_REQUEST, fixture_id(names.request, 'r', request));
    builder_text(builder, SERVED_USER, fixture_id(names.user, 'u', random_low(rng, USERS)));
    builder_text(builder, SERVED_ITEM, fixture_id(names.item, 'i', random_low(rng, ITEMS)));
    builder_text(builder, SERVED_SURFACE, slice_of(s->config->surfaces[rng_int(rng, 0, 3)].name));
    builder_i32(builder, SERVED_SLOT, 0);
    builder_f64(builder, SERVED_SCORE, 1);
    builder_i32(builder, SERVED_CHANNELS, 1);
    builder_i64(builder, SERVED_TIME, now_ms);
    builder_list_u64(builder, SERVED_KEYS, keys, rng_int(rng, 1, 2));
    builder_list_f32(builder, SERVED_DENSE, dense, rng_int(rng, 1, 3));
    builder_row_end(builder);
}

static void part_make(const struct stream *s, struct part *part, struct rng *rng, int64_t *now_ms) {
    int dice = rng_int(rng, 0, 9);
    int rows = dice == 0 ? 1 : rng_int(rng, 1, BATCH_ROWS);
    const struct schema *schema = dice == 0  ? schema_beat()
                                  : dice < 3 ? schema_served()
                                             : schema_event();
    assert_int_equal(builder_create(schema, &part->builder, NULL), LEAT_OK);
    part->event_clock = dice > 6;
    *now_ms += rng_int(rng, 1, 60000);
    for (int i = 0; i < rows; i++) {
        *now_ms += part->event_clock ? rng_int(rng, 0, rng_chance(rng, 90) ? 1500 : 20000) : 0;
        if (dice == 0) {
            builder_row_end(part->builder);
        } else if (dice < 3) {
            add_served(s, part->builder, rng, *now_ms);
        } else {
            add_event(s, part->builder, rng, *now_ms);
        }
    }
    part->append_ms = *now_ms;
    assert_int_equal(builder_finish(part->builder, &part->batch, NULL), LEAT_OK);
}

static void stream_make(struct stream *s, const char *text, uint64_t seed) {
    struct rng rng;
    int64_t now_ms = FIXTURE_START_MS;
    rng_init(&rng, seed);
    s->config = fixture_config(text);
    for (int i = 0; i < BATCHES; i++) {
        part_make(s, &s->parts[i], &rng, &now_ms);
    }
}

static void stream_free(struct stream *s) {
    for (int i = 0; i < BATCHES; i++) {
        builder_destroy(s->parts[i].builder);
    }
    config_destroy(s->config);
}

/* --- the comparison --- */

static const enum metric counted[] = {METRIC_events_duplicate_total, METRIC_actions_orphan_total,
                                      METRIC_impressions_unserved_total};
enum { COUNTS = sizeof(counted) / sizeof(counted[0]) };

struct truth {
    struct heard heard;
    uint64_t digests[FLOW_STATES];
    double counts[COUNTS];
    int64_t now_ms;
};

static void truth_make(const struct stream *s, struct truth *truth) {
    static struct reference reference;
    heard_clear(&truth->heard);
    reference_open(&reference, s->config, (struct join_out){hear, &truth->heard});
    uint64_t sequence = 0;
    for (int i = 0; i < BATCHES; i++) {
        const struct part *part = &s->parts[i];
        reference_apply(&reference, &part->batch, sequence, part->append_ms, part->event_clock);
        sequence += (uint64_t)part->batch.rows;
    }
    for (int i = 0; i < FLOW_STATES; i++) {
        truth->digests[i] = fixture_digest(reference_state(&reference, i));
    }
    for (int i = 0; i < COUNTS; i++) {
        truth->counts[i] = metrics_value(reference.metrics, counted[i]);
    }
    truth->now_ms = reference.now_ms;
    reference_close(&reference);
}

struct way {
    int threads, ranges;
    int64_t batch_rows;
};

static void apply_all(struct flow *flow, const struct stream *s, int64_t batch_rows) {
    uint64_t sequence = 0;
    for (int i = 0; i < BATCHES; i++) {
        const struct part *part = &s->parts[i];
        for (int64_t at = 0; at < part->batch.rows; at += batch_rows) {
            int64_t end = at + batch_rows < part->batch.rows ? at + batch_rows : part->batch.rows;
            leat_error err = {0};
            if (flow_apply(flow, &part->batch, sequence, part->append_ms, part->event_clock, at,
                           end, &err) < 0) {
                fail_msg("%s", err.message);
            }
        }
        sequence += (uint64_t)part->batch.rows;
    }
}

static void check_way(const struct stream *s, const struct truth *truth, struct way way,
                      struct heard *heard) {
    struct pool *pool;
    struct flow *flow;
    struct metrics *metrics = metrics_create();
    assert_int_equal(pool_create(way.threads, &pool, NULL), LEAT_OK);
    struct flow_options options = {.config = s->config,
                                   .metrics = metrics,
                                   .emit = hear,
                                   .context = heard,
                                   .pool = pool,
                                   .ranges = way.ranges};
    assert_int_equal(flow_open(&options, &flow, NULL), LEAT_OK);
    heard_clear(heard);
    apply_all(flow, s, way.batch_rows);
    for (int i = 0; i < heard->count && i < truth->heard.count; i++) {
        if (heard->hashes[i] != truth->heard.hashes[i]) {
            fail_msg("example %d of %d differs (%d threads, %d ranges, batches of %d)", i,
                     truth->heard.count, way.threads, way.ranges, (int)way.batch_rows);
        }
    }
    assert_int_equal(heard->count, truth->heard.count);
    for (int i = 0; i < FLOW_STATES; i++) {
        if (fixture_digest(flow_state(flow, i)) != truth->digests[i]) {
            fail_msg("state %s differs (%d threads, %d ranges, batches of %d)", flow_state_name(i),
                     way.threads, way.ranges, (int)way.batch_rows);
        }
    }
    assert_int_equal(flow_now(flow), truth->now_ms);
    for (int i = 0; i < COUNTS; i++) {
        assert_true(metrics_value(metrics, counted[i]) == truth->counts[i]);
    }
    flow_close(flow);
    pool_destroy(pool);
    metrics_destroy(metrics);
}

static void check_ways(const struct way *ways, int count) {
    static struct stream s;
    static struct truth truth;
    struct heard heard = {0};
    truth.heard.hashes = memory_zalloc(EXAMPLES_MAX * sizeof(uint64_t));
    heard.hashes = memory_zalloc(EXAMPLES_MAX * sizeof(uint64_t));
    uint64_t seeds = getenv("LEAT_TEST_LONG") ? 100 * SEEDS : SEEDS;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        stream_make(&s, texts[seed % TEXTS], seed);
        truth_make(&s, &truth);
        assert_true(truth.heard.count > 500);
        assert_true(truth.counts[0] > 10 && truth.counts[1] > 10 && truth.counts[2] > 10);
        for (int i = 0; i < count; i++) {
            check_way(&s, &truth, ways[i], &heard);
        }
        stream_free(&s);
    }
    memory_free(heard.hashes);
    memory_free(truth.heard.hashes);
}

/* One thread, cut every way. */
static void test_cuts(void **context) {
    (void)context;
    const struct way ways[] = {{1, 1, 1}, {1, 1, 3}, {1, 1, 64}, {1, 1, INT64_MAX / 2}};
    check_ways(ways, sizeof(ways) / sizeof(ways[0]));
}

/* One thread, divided every way. */
static void test_ranges(void **context) {
    (void)context;
    const struct way ways[] = {{1, 2, 64}, {1, 5, 100}, {1, 128, INT64_MAX / 2}};
    check_ways(ways, sizeof(ways) / sizeof(ways[0]));
}

static void test_threads(void **context) {
    (void)context;
    const struct way ways[] = {{2, 0, INT64_MAX / 2}, {4, 0, 64}, {8, 0, 150}, {8, 8, 3}};
    check_ways(ways, sizeof(ways) / sizeof(ways[0]));
}

static struct builder *part_begin(struct part *part, const struct schema *schema, int hour) {
    assert_int_equal(builder_create(schema, &part->builder, NULL), LEAT_OK);
    part->append_ms = FIXTURE_START_MS + hour * 3600000;
    part->event_clock = false;
    return part->builder;
}

/* What an impression finds, another one of the same batch has changed: once seen, a showing is
 * another one a minute later. */
static void seen_make(struct stream *s) {
    leat_error err = {0};
    s->config = fixture_config(texts[0]);
    for (int i = 0; i < BATCHES; i++) {
        const struct schema *schema = i == 0   ? schema_served()
                                      : i == 1 ? schema_event()
                                               : schema_beat();
        struct builder *builder = part_begin(&s->parts[i], schema, i == 1 ? 0 : i);
        if (i == 0) {
            builder_text(builder, SERVED_REQUEST, slice_of("r1"));
            builder_text(builder, SERVED_USER, slice_of("u1"));
            builder_text(builder, SERVED_ITEM, slice_of("i1"));
            builder_text(builder, SERVED_SURFACE, slice_of("for_you"));
            builder_i32(builder, SERVED_SLOT, 0);
            builder_f64(builder, SERVED_SCORE, 1);
            builder_i32(builder, SERVED_CHANNELS, 1);
            builder_i64(builder, SERVED_TIME, FIXTURE_START_MS - 200000);
            builder_list_u64(builder, SERVED_KEYS, (const uint64_t[]){7}, 1);
            builder_list_f32(builder, SERVED_DENSE, (const float[]){0.5f}, 1);
        }
        for (int k = 0; i == 1 && k < 2; k++) {
            struct posted_event event = {.kind = slice_of("impression"),
                                         .user = slice_of("u1"),
                                         .item = slice_of("i1"),
                                         .request = k == 0 ? slice_of("r1") : (struct slice){0},
                                         .surface = slice_of("for_you"),
                                         .has_time = true,
                                         .time_ms = FIXTURE_START_MS - 180000 + k * 80000};
            assert_int_equal(event_add(builder, s->config, &event, &err), LEAT_OK);
        }
        if (i != 1) {
            builder_row_end(builder);
        }
        assert_int_equal(builder_finish(builder, &s->parts[i].batch, NULL), LEAT_OK);
    }
}

static void test_seen_before(void **context) {
    (void)context;
    static struct stream s;
    static struct truth truth;
    uint64_t hashes[2][64];
    truth.heard.hashes = hashes[0];
    struct heard heard = {.hashes = hashes[1]};
    seen_make(&s);
    truth_make(&s, &truth);
    assert_true(truth.counts[2] == 1); /* the second showing, which nobody served */
    check_way(&s, &truth, (struct way){1, 1, 1}, &heard);
    check_way(&s, &truth, (struct way){1, 1, INT64_MAX / 2}, &heard);
    stream_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_seen_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
