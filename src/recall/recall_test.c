/* Recall: a merged set without an item twice, channels that keep to their quotas and their order,
 * and exploration that is a function of chance. */
#include "flow/flow_fixture.h"
#include "recall/channel.h"

enum { USERS = 6, ITEMS = 60, ROWS = 400, FRESH_ENOUGH = 100 };

static const char recall_text[] =
    "key_groups: 4\n"
    "flow: {session_gap: 10m}\n"
    "actions:\n  click: {weight: 1}\n"
    "surfaces:\n"
    "  page: {channels: {similar: 20, trending: 10, fresh: 8, explore: 5}}\n"
    "  other: {}\n";

/* A flow with a history, and the moment of one person. */
struct world {
    struct config *config;
    struct flow *flow;
    struct builder *builder;
    struct arena arena;
    struct flow_moment moment;
    struct recall_request request;
    struct candidate_set set;
    uint64_t sequence;
    int64_t now_ms;
};

static void ignore(void *context, const struct example *example) {
    (void)context;
    (void)example;
}

static void world_act(struct world *w, const char *kind, int user, int item, const char *region) {
    char user_id[FIXTURE_TEXT];
    char item_id[FIXTURE_TEXT];
    struct posted_event event = {.kind = slice_of(kind),
                                 .user = fixture_id(user_id, 'u', user),
                                 .item = fixture_id(item_id, 'i', item),
                                 .has_time = true,
                                 .time_ms = w->now_ms,
                                 .context_count = region ? 1 : 0,
                                 .context = {slice_of("region"), slice_of(region)}};
    struct batch batch;
    assert_int_equal(event_add(w->builder, w->config, &event, NULL), LEAT_OK);
    assert_int_equal(builder_finish(w->builder, &batch, NULL), LEAT_OK);
    assert_int_equal(flow_apply(w->flow, &batch, w->sequence++, w->now_ms, false, 0, 1, NULL),
                     LEAT_OK);
    builder_clear(w->builder);
}

static void world_open(struct world *w) {
    memset(w, 0, sizeof(*w));
    w->config = fixture_config(recall_text);
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

static void world_fill(struct world *w, struct rng *rng) {
    for (int n = 0; n < ROWS; n++) {
        w->now_ms += rng_int(rng, 0, 5000);
        double u = rng_unit(rng);
        world_act(w, rng_chance(rng, 70) ? "click" : "impression", rng_int(rng, 0, USERS - 1),
                  (int)(u * u * ITEMS), rng_chance(rng, 50) ? "\"north\"" : NULL);
    }
}

static void world_request(struct world *w, int user, int capacity, uint64_t chance) {
    char text[FIXTURE_TEXT];
    arena_reset(&w->arena);
    flow_moment_read(w->flow, fixture_id(text, 'u', user), 0, w->now_ms, NULL, 0, &w->arena,
                     &w->moment);
    w->request = (struct recall_request){.flow = w->flow,
                                         .surface = &w->config->surfaces[0],
                                         .region = w->moment.feature.region,
                                         .profile = &w->moment.profile,
                                         .pairs = w->moment.pairs,
                                         .pairs_count = w->moment.feature.pairs_count,
                                         .now_ms = w->now_ms,
                                         .chance = chance};
    assert_int_equal(candidate_set_init(&w->set, &w->arena, capacity, NULL), LEAT_OK);
}

static int of_channel(const struct candidate_set *set, enum channel channel) {
    int count = 0;
    for (int i = 0; i < set->count; i++) {
        count += (set->items[i].channels & 1u << channel) != 0;
    }
    return count;
}

/* --- the set --- */

/* Against an array: in order of arrival, channels joined, the first reason kept, bounded. */
static void test_set(void **context) {
    (void)context;
    enum { CAPACITY = 50, NUMBERS = 80 };
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        struct arena arena;
        arena_init(&arena, 1 << 14, 1 << 16);
        struct candidate_set set;
        int capacity = rng_int(&rng, 1, CAPACITY);
        assert_int_equal(candidate_set_init(&set, &arena, capacity, NULL), LEAT_OK);
        struct candidate want[CAPACITY];
        int count = 0;
        for (int n = 0; n < 200; n++) {
            uint64_t item = 1 + rng_below(&rng, NUMBERS);
            int channel = rng_int(&rng, 0, CHANNEL_COUNT - 1);
            uint64_t because = rng_below(&rng, 3);
            int at = 0;
            while (at < count && want[at].item != item) {
                at++;
            }
            bool room = at < count || count < capacity;
            assert_int_equal(candidate_set_add(&set, item, (enum channel)channel, because), room);
            if (at == count && room) {
                want[count++] = (struct candidate){item, 0, 0};
            }
            if (room) {
                want[at].channels |= 1u << channel;
                want[at].because = want[at].because ? want[at].because : because;
            }
        }
        assert_int_equal(set.count, count);
        for (int i = 0; i < count; i++) {
            assert_int_equal(set.items[i].item, want[i].item);
            assert_int_equal(set.items[i].channels, want[i].channels);
            assert_int_equal(set.items[i].because, want[i].because);
        }
        arena_deinit(&arena);
    }
}

/* --- channels --- */

/* What an item is worth to `similar`: its best neighbour's shares, faded. */
static double naive_similar(const struct world *w, uint64_t item, uint64_t *because) {
    double best = -1;
    for (int p = 0; p < w->request.pairs_count; p++) {
        const struct pairs_view *view = &w->request.pairs[p];
        for (int i = 0; i < view->out_count + view->in_count; i++) {
            bool out = i < view->out_count;
            const struct pairs_neighbour *n = out ? &view->out[i] : &view->in[i - view->out_count];
            double weight = ((double)n->next + (double)n->near) * pow(0.8, p) * (out ? 1 : 0.2);
            if (n->item == item && weight > best * (1 + 1e-12)) {
                best = weight;
                *because = view->item;
            }
        }
    }
    return best;
}

static void test_similar(void **context) {
    (void)context;
    static struct world w;
    struct rng rng;
    rng_init(&rng, 1);
    world_open(&w);
    world_fill(&w, &rng);
    int found = 0;
    for (int user = 0; user < USERS; user++) {
        for (int quota = 0; quota < 60; quota += 7) {
            world_request(&w, user, 500, 1);
            assert_int_equal(recall_similar(&w.request, quota, &w.arena, &w.set, NULL), LEAT_OK);
            assert_true(w.set.count <= quota);
            double before = INFINITY;
            for (int i = 0; i < w.set.count; i++) {
                uint64_t because = 0;
                double weight = naive_similar(&w, w.set.items[i].item, &because);
                assert_true(weight >= 0 && weight <= before * (1 + 1e-9));
                assert_true(w.set.items[i].because != 0);
                before = weight;
                found++;
            }
            for (int i = 0; i < ITEMS && w.set.count == quota && quota > 0; i++) {
                uint64_t because = 0; /* who was left out is not heavier than who was not */
                bool listed = false;
                for (int k = 0; k < w.set.count; k++) {
                    listed = listed || w.set.items[k].item == fixture_hash('i', i);
                }
                double weight = naive_similar(&w, fixture_hash('i', i), &because);
                assert_true(listed || weight <= before * (1 + 1e-9));
            }
        }
    }
    assert_true(found > 100);
    world_close(&w);
}

/* The reason is the item of the session whose neighbour weighs most. */
static void test_because(void **context) {
    (void)context;
    static struct world w;
    world_open(&w);
    for (int user = 0; user < 3; user++) {
        world_act(&w, "click", user, 1, NULL);
        world_act(&w, "click", user, 2, NULL);
    }
    world_act(&w, "click", 9, 1, NULL);
    world_request(&w, 9, 100, 1);
    assert_int_equal(recall_gather(&w.request, &w.arena, &w.set, NULL), LEAT_OK);
    assert_int_equal(w.set.items[0].item, fixture_hash('i', 2));
    assert_int_equal(w.set.items[0].because, fixture_hash('i', 1));
    assert_true(w.set.items[0].channels & 1u << CHANNEL_SIMILAR);
    assert_true(w.set.items[0].channels & 1u << CHANNEL_TRENDING);
    world_close(&w);
}

/* Half of the quota from the region, the others from anywhere, each in tally's order. */
static void test_trending(void **context) {
    (void)context;
    static struct world w;
    struct rng rng;
    rng_init(&rng, 2);
    world_open(&w);
    world_fill(&w, &rng);
    for (int quota = 0; quota < 50; quota += 3) {
        world_request(&w, 0, 500, 1);
        w.request.region = quota % 2 ? row_value_hash(slice_of("north")) : 0;
        uint64_t here[TALLY_TOP];
        uint64_t anywhere[TALLY_TOP];
        int in_region = w.request.region
                            ? tally_top(flow_tally(w.flow), 0, w.request.region, here, quota / 2)
                            : 0;
        int others = tally_top(flow_tally(w.flow), 0, 0, anywhere, quota - in_region);
        assert_int_equal(recall_trending(&w.request, quota, &w.arena, &w.set, NULL), LEAT_OK);
        assert_true(w.set.count <= quota);
        int at = 0;
        for (int i = 0; i < in_region; i++) {
            assert_int_equal(w.set.items[at++].item, here[i]);
        }
        for (int i = 0; i < others; i++) {
            bool twice = false;
            for (int k = 0; k < in_region; k++) {
                twice = twice || here[k] == anywhere[i];
            }
            assert_true(twice || w.set.items[at++].item == anywhere[i]);
        }
        assert_int_equal(at, w.set.count);
    }
    world_close(&w);
}

/* The newest ones that were shown too little and still exist, newest first. */
static void test_fresh(void **context) {
    (void)context;
    static struct world w;
    world_open(&w);
    for (int item = 0; item < 20; item++) {
        for (int times = item % 3 ? 1 : FRESH_ENOUGH; times > 0; times--) {
            world_act(&w, "impression", times, item, NULL);
        }
    }
    world_act(&w, "item_delete", -1, 19, NULL);
    world_request(&w, 0, 100, 1);
    assert_int_equal(recall_fresh(&w.request, 8, &w.arena, &w.set, NULL), LEAT_OK);
    assert_int_equal(w.set.count, 8);
    int item = 20;
    for (int i = 0; i < 8; i++) {
        do {
            item--;
        } while (item % 3 == 0 || item == 19);
        assert_int_equal(w.set.items[i].item, fixture_hash('i', item));
    }
    world_close(&w);
}

/* The same chance draws the same items, another one others; all of them in the end. */
static void test_explore(void **context) {
    (void)context;
    static struct world w;
    struct rng rng;
    rng_init(&rng, 3);
    world_open(&w);
    world_request(&w, 0, 100, 1);
    recall_explore(&w.request, 5, &w.set);
    assert_int_equal(w.set.count, 0); /* there is nothing yet */
    world_fill(&w, &rng);
    int different = 0;
    uint64_t count = catalog_count(flow_catalog(w.flow));
    bool drawn[ITEMS] = {false};
    for (uint64_t chance = 0; chance < 500; chance++) {
        struct candidate first[5];
        for (int round = 0; round < 3; round++) {
            world_request(&w, 0, 100, chance + (uint64_t)(round == 2));
            recall_explore(&w.request, 5, &w.set);
            assert_in_range(w.set.count, 1, 5);
            size_t bytes = (size_t)w.set.count * sizeof(first[0]);
            assert_true(round != 1 || memcmp(first, w.set.items, bytes) == 0);
            different += round == 2 && memcmp(first, w.set.items, bytes) != 0;
            memcpy(first, w.set.items, round == 0 ? bytes : 0);
        }
        for (int i = 0; i < ITEMS; i++) {
            drawn[i] = drawn[i] || w.set.items[0].item == fixture_hash('i', i);
        }
    }
    assert_true(different > 480);
    uint64_t seen = 0;
    for (int i = 0; i < ITEMS; i++) {
        seen += drawn[i];
    }
    assert_int_equal(seen, count);
    world_close(&w);
}

/* All channels together: quotas, no item twice, the same answer for the same request, bounded. */
static void test_gather(void **context) {
    (void)context;
    static struct world w;
    struct rng rng;
    rng_init(&rng, 4);
    world_open(&w);
    world_fill(&w, &rng);
    for (int user = 0; user < USERS + 1; user++) { /* the last one is unknown */
        for (int capacity = 1; capacity < 120; capacity += 17) {
            struct candidate first[128];
            for (int round = 0; round < 2; round++) {
                world_request(&w, user, capacity, 77);
                assert_int_equal(recall_gather(&w.request, &w.arena, &w.set, NULL), LEAT_OK);
                assert_in_range(w.set.count, 1, capacity);
                size_t bytes = (size_t)w.set.count * sizeof(first[0]);
                assert_true(round == 0 || memcmp(first, w.set.items, bytes) == 0);
                memcpy(first, w.set.items, bytes);
            }
            assert_true(of_channel(&w.set, CHANNEL_SIMILAR) <= (user == USERS ? 0 : 20));
            assert_true(of_channel(&w.set, CHANNEL_TRENDING) <= 10);
            assert_true(of_channel(&w.set, CHANNEL_FRESH) <= 8);
            assert_true(of_channel(&w.set, CHANNEL_EXPLORE) <= 5);
            for (int i = 0; i < w.set.count; i++) {
                assert_true(w.set.items[i].item != 0 && w.set.items[i].channels != 0);
                for (int k = 0; k < i; k++) {
                    assert_true(w.set.items[i].item != w.set.items[k].item);
                }
            }
        }
    }
    world_close(&w);
}

static void test_names(void **context) {
    (void)context;
    assert_string_equal(channel_name(CHANNEL_SIMILAR), "similar");
    assert_string_equal(channel_name(CHANNEL_TRENDING), "trending");
    assert_string_equal(channel_name(CHANNEL_FRESH), "fresh");
    assert_string_equal(channel_name(CHANNEL_EXPLORE), "explore");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),     cmocka_unit_test(test_similar),
        cmocka_unit_test(test_because), cmocka_unit_test(test_trending),
        cmocka_unit_test(test_fresh),   cmocka_unit_test(test_explore),
        cmocka_unit_test(test_gather),  cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
