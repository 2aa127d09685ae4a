/* Pairs against the list of all of them: shares recomputed from the whole history while nothing is
 * evicted, bases that move on, and the heaviest that stay when there is no room for all. */
#include "flow/flow_fixture.h"
#include "flow/pairs.h"

enum { ITEMS = 10, ROWS = 120, HISTORIES = 150, PAIRS_MAX = ROWS * PAIRS_BACK };

/* `to` followed `from`. */
struct pair {
    int from, to, distance;
    int64_t time_ms;
};

struct history {
    struct pairs *pairs;
    int64_t half_life_ms;
    struct arena arena;
    int count;
    struct pair made[PAIRS_MAX];
    int64_t touched_ms[ITEMS]; /* newest time at which an item's weights moved */
    bool known[ITEMS];
};

static void history_open(struct history *h, const char *text) {
    memset(h, 0, sizeof(*h));
    struct config *config = fixture_config(text);
    assert_int_equal(pairs_open(config, NULL, &h->pairs, NULL), LEAT_OK);
    h->half_life_ms = config->flow.pair_half_life;
    arena_init(&h->arena, 1 << 16, 1 << 20);
    config_destroy(config);
}

static void history_close(struct history *h) {
    arena_deinit(&h->arena);
    pairs_close(h->pairs);
}

static void touch(struct history *h, int item, int64_t time_ms) {
    h->touched_ms[item] = time_ms > h->touched_ms[item] ? time_ms : h->touched_ms[item];
}

/* `session`: item numbers, newest first. */
static void push(struct history *h, int item, const int *session, int count, int64_t time_ms) {
    struct made_row made;
    uint64_t hashes[16];
    made_action(&made, FIXTURE_CLICK, 1, item, time_ms);
    for (int i = 0; i < count; i++) {
        hashes[i] = fixture_hash('i', session[i]);
    }
    pairs_push(h->pairs, &made.row, hashes, count);
    h->known[item] = true;
    touch(h, item, time_ms);
    int distance = 0;
    for (int i = 0; i < count && distance < PAIRS_BACK; i++) {
        if (session[i] != item) {
            h->made[h->count++] = (struct pair){session[i], item, distance++, time_ms};
            touch(h, session[i], time_ms);
        }
    }
}

/* A session of different items that were acted on before, as profile keeps it. */
static int random_session(const struct history *h, struct rng *rng, int session[ITEMS]) {
    int count = 0;
    int want = rng_int(rng, 0, ITEMS);
    for (int i = 0, at = rng_int(rng, 0, ITEMS - 1); i < want; i++, at = (at + 3) % ITEMS) {
        if (h->known[at]) {
            session[count++] = at;
        }
    }
    return count;
}

/* Weights on one side of an item as of `now_ms`; the last place of each is the total. */
static void naive_side(const struct history *h, int item, bool out, int64_t now_ms,
                       double next[ITEMS + 1], double near[ITEMS + 1]) {
    memset(next, 0, (ITEMS + 1) * sizeof(*next));
    memset(near, 0, (ITEMS + 1) * sizeof(*near));
    for (int i = 0; i < h->count; i++) {
        const struct pair *pair = &h->made[i];
        if ((out ? pair->from : pair->to) != item) {
            continue;
        }
        int other = out ? pair->to : pair->from;
        double direct =
            pair->distance == 0 ? naive_decay(pair->time_ms, now_ms, h->half_life_ms) : 0;
        double around = pow(PAIRS_FADE, pair->distance) *
                        naive_decay(pair->time_ms, now_ms, PAIRS_NEAR_LIVES * h->half_life_ms);
        next[other] += direct;
        next[ITEMS] += direct;
        near[other] += around;
        near[ITEMS] += around;
    }
}

/* 1e-200: what has decayed so far may be 0, and its shares with it. */
static void check_share(double have, double weight, double total) {
    if (total > 1e-200) {
        assert_near(have, weight / total, 1e-6);
    } else {
        assert_true(have >= 0 && have <= 1);
    }
}

static void check_side(const struct history *h, int item, bool out, const struct pairs_view *view) {
    double next[ITEMS + 1];
    double near[ITEMS + 1];
    naive_side(h, item, out, h->touched_ms[item], next, near);
    const struct pairs_neighbour *neighbours = out ? view->out : view->in;
    int count = out ? view->out_count : view->in_count;
    bool listed[ITEMS] = {false};
    for (int i = 0; i < count; i++) {
        int other = 0;
        while (fixture_hash('i', other) != neighbours[i].item) {
            other++;
            assert_true(other < ITEMS);
        }
        assert_false(listed[other]);
        listed[other] = true;
        check_share((double)neighbours[i].next, next[other], next[ITEMS]);
        check_share((double)neighbours[i].near, near[other], near[ITEMS]);
    }
    for (int other = 0; other < ITEMS; other++) {
        assert_true(listed[other] || near[other] == 0);
    }
}

static void check_all(struct history *h) {
    for (int item = 0; item < ITEMS; item++) {
        struct pairs_view view;
        arena_reset(&h->arena);
        bool any = pairs_read(h->pairs, fixture_hash('i', item), &h->arena, &view);
        assert_int_equal(view.item, fixture_hash('i', item));
        assert_int_equal(any, view.out_count + view.in_count > 0);
        check_side(h, item, true, &view);
        check_side(h, item, false, &view);
    }
}

/* --- tests --- */

/* Steps in half-lives; every tenth row is late by some. */
static void one_history(uint64_t seed, int64_t step_ms) {
    struct rng rng;
    rng_init(&rng, seed);
    static struct history h;
    history_open(&h, "key_groups: 4\nflow: {pair_half_life: 1s}\n");
    int64_t time_ms = FIXTURE_START_MS;
    for (int n = 0; n < ROWS; n++) {
        int session[ITEMS];
        time_ms += (int64_t)rng_below(&rng, (uint64_t)step_ms);
        int64_t late_ms = rng_chance(&rng, 10) ? rng_int(&rng, 0, 5000) : 0;
        int count = random_session(&h, &rng, session);
        push(&h, rng_int(&rng, 0, ITEMS - 1), session, count, time_ms - late_ms);
        if (n % 40 == 39) {
            check_all(&h);
        }
    }
    history_close(&h);
}

/* From many rows a half-life to one in hours, so that a history lasts days and every row renews. */
static void test_model(void **context) {
    (void)context;
    static const int64_t steps_ms[] = {50, 2000, 20000, 200000, 7200000};
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        one_history(seed, steps_ms[seed % 5]);
    }
}

/* Of a to b: out of a, into b, and nowhere else. */
static void test_directions(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, "key_groups: 4\n");
    push(&h, 1, NULL, 0, FIXTURE_START_MS);
    push(&h, 2, (const int[]){1}, 1, FIXTURE_START_MS);
    struct pairs_view view;
    assert_true(pairs_read(h.pairs, fixture_hash('i', 1), &h.arena, &view));
    assert_int_equal(view.in_count, 0);
    assert_int_equal(view.out_count, 1);
    assert_int_equal(view.out[0].item, fixture_hash('i', 2));
    assert_true(pairs_read(h.pairs, fixture_hash('i', 2), &h.arena, &view));
    assert_int_equal(view.out_count, 0);
    assert_int_equal(view.in_count, 1);
    assert_int_equal(view.in[0].item, fixture_hash('i', 1));
    assert_false(pairs_read(h.pairs, fixture_hash('i', 3), &h.arena, &view));
    push(&h, 3, (const int[]){3}, 1, FIXTURE_START_MS); /* never beside itself */
    assert_false(pairs_read(h.pairs, fixture_hash('i', 3), &h.arena, &view));
    history_close(&h);
}

/* --- eviction --- */

enum { KEPT = 4, OTHERS = 12 };

/* What one side keeps: weights as of the newest row. */
struct kept {
    int count, item[KEPT];
    double next[KEPT], near[KEPT], total_next, total_near;
};

static void kept_decay(struct kept *kept, int64_t passed_ms, int64_t half_life_ms) {
    double next = naive_decay(0, passed_ms, half_life_ms);
    double near = naive_decay(0, passed_ms, PAIRS_NEAR_LIVES * half_life_ms);
    for (int i = 0; i < kept->count; i++) {
        kept->next[i] *= next;
        kept->near[i] *= near;
    }
    kept->total_next *= next;
    kept->total_near *= near;
}

static double kept_weight(const struct kept *kept, int i) {
    return kept->next[i] + PAIRS_NEAR_WEIGHT * kept->near[i];
}

static void kept_add(struct kept *kept, int item, double next, double near) {
    int place = 0;
    kept->total_next += next;
    kept->total_near += near;
    while (place < kept->count && kept->item[place] != item) {
        place++;
    }
    if (place == KEPT) {
        place = 0;
        for (int i = 1; i < KEPT; i++) {
            place = kept_weight(kept, i) < kept_weight(kept, place) ? i : place;
        }
        kept->count--;
    }
    if (place == kept->count || kept->item[place] != item) {
        kept->count++;
        kept->item[place] = item;
        kept->next[place] = kept->near[place] = 0;
    }
    kept->next[place] += next;
    kept->near[place] += near;
}

static void check_kept(struct history *h, const struct kept *kept) {
    struct pairs_view view;
    arena_reset(&h->arena);
    pairs_read(h->pairs, fixture_hash('i', 0), &h->arena, &view);
    assert_int_equal(view.out_count, kept->count);
    for (int i = 0; i < kept->count; i++) {
        assert_int_equal(view.out[i].item, fixture_hash('i', kept->item[i]));
        assert_near((double)view.out[i].next,
                    kept->total_next > 0 ? kept->next[i] / kept->total_next : 0, 1e-6);
        assert_near((double)view.out[i].near, kept->near[i] / kept->total_near, 1e-6);
    }
}

/* Item 0 is followed by others, directly or two steps later, over many half-lives. */
static void evict_history(uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    static struct history h;
    struct kept kept = {0};
    history_open(&h, "key_groups: 4\nflow: {pair_half_life: 1s, neighbours: 4}\n");
    struct made_row made;
    const uint64_t session[2] = {fixture_hash('i', 99), fixture_hash('i', 0)};
    made_action(&made, FIXTURE_CLICK, 1, 0, FIXTURE_START_MS);
    pairs_push(h.pairs, &made.row, NULL, 0);
    for (int n = 0; n < 100; n++) {
        int step_ms = rng_int(&rng, 0, 1500);
        int item = rng_int(&rng, 1, rng_chance(&rng, 50) ? 3 : OTHERS);
        bool direct = rng_chance(&rng, 40);
        made_action(&made, FIXTURE_CLICK, 1, item, made.row.time_ms + step_ms);
        pairs_push(h.pairs, &made.row, direct ? session + 1 : session, direct ? 1 : 2);
        kept_decay(&kept, step_ms, h.half_life_ms);
        kept_add(&kept, item, direct ? 1 : 0, direct ? 1 : PAIRS_FADE);
        check_kept(&h, &kept);
    }
    history_close(&h);
}

static void test_eviction(void **context) {
    (void)context;
    for (uint64_t seed = 0; seed < 100; seed++) {
        evict_history(seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_directions),
        cmocka_unit_test(test_eviction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
