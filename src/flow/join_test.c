/* Join against a plain list of showings: for each showing and task the label and the moment at
 * which it settles, once, in order of time; and each case of the header by hand. */
#include "flow/flow_fixture.h"
#include "flow/join.h"

enum { USERS = 3, ITEMS = 3, REQUESTS = 4, ROWS = 200, HISTORIES = 250, EXAMPLES = 4096 };
enum { WINDOWED = 3, LONGEST_MS = 300000, LOOKED_UP = 1000000, REPEAT_MS = 60000 };
static const int64_t windows_ms[WINDOWED] = {60000, 300000, 60000};

/* `marker` is the showing's only key: the sequence of the row that brought its features, plus
 * LOOKED_UP where they were not served. */
struct got {
    uint64_t sequence, marker;
    uint32_t mask, labels, flags;
};

struct showing {
    int user, item, request;
    bool alive, seen;
    int64_t begun_ms, shown_ms;
    uint32_t settled, positive;
    uint64_t marker;
};

struct history {
    struct config *config;
    struct join *join;
    bool features_fail;
    uint64_t sequence;
    int64_t now_ms;
    int got_count, showing_count;
    struct got got[EXAMPLES];
    struct showing showings[ROWS];
};

static void emit(void *context, const struct example *example) {
    struct history *h = context;
    assert_true(h->got_count < EXAMPLES);
    assert_int_equal(example->key_count, 1);
    assert_int_equal(example->dense_count, 2);
    assert_true(example->dense[0] == 0.25f && example->dense[1] == -1.5f);
    assert_true(example->weight == 1.0f && example->log_odds == 0.0f);
    h->got[h->got_count++] = (struct got){example->sequence, example->keys[0], example->mask,
                                          example->labels, example->flags};
}

static const float dense_of_all[2] = {0.25f, -1.5f};

/* Pushes a row as flow does: with looked-up features where they are wanted. */
static bool push(struct history *h, const struct row *row) {
    uint64_t key = LOOKED_UP + row->sequence;
    const struct join_features features = {&key, dense_of_all, 1, 2};
    const struct join_out out = {emit, h};
    bool wanted = join_wants_features(h->join, row) && !h->features_fail;
    return join_push(h->join, row, wanted ? &features : NULL, &out);
}

static void settle_until(struct history *h, int64_t now_ms, uint64_t sequence) {
    const struct join_out out = {emit, h};
    join_now(h->join, 0, (uint32_t)h->config->root.key_groups, now_ms, sequence, &out);
}

static void history_open(struct history *h, struct state_budget *budget) {
    memset(h, 0, sizeof(*h));
    h->config = fixture_config(fixture_text);
    h->now_ms = FIXTURE_START_MS;
    assert_int_equal(join_open(h->config, budget, NULL, &h->join, NULL), LEAT_OK);
}

static void history_close(struct history *h) {
    join_close(h->join);
    config_destroy(h->config);
}

/* --- rows --- */

struct event {
    enum row_kind kind;
    int action, user, item, request, surface;
    int64_t time_ms;
    double rating;
};

static bool join_row(struct history *h, const struct event *e) {
    struct made_row made;
    uint64_t key = h->sequence;
    made_begin(&made, e->kind, e->time_ms);
    made_user(&made, e->user);
    made_item(&made, e->item);
    made_request(&made, e->request);
    made.row.now_ms = h->now_ms;
    made.row.sequence = h->sequence++;
    made.row.action = e->action;
    made.row.surface = e->surface;
    made.row.has_value = e->rating > 0;
    made.row.value = e->rating;
    if (e->kind == ROW_SERVED) {
        made.row.keys = &key;
        made.row.key_count = 1;
        made.row.dense = dense_of_all;
        made.row.dense_count = 2;
    }
    return push(h, &made.row);
}

/* --- the model --- */

static bool is_newer(const struct showing *a, const struct showing *b) {
    uint64_t left = a->request < 0 ? 0 : fixture_hash('r', a->request);
    uint64_t right = b->request < 0 ? 0 : fixture_hash('r', b->request);
    return a->begun_ms != b->begun_ms ? a->begun_ms > b->begun_ms : left > right;
}

static struct showing *model_of_request(struct history *h, const struct event *e) {
    for (int i = 0; i < h->showing_count; i++) {
        struct showing *s = &h->showings[i];
        if (s->alive && s->user == e->user && s->item == e->item && s->request == e->request) {
            return s;
        }
    }
    return NULL;
}

/* Newest of those that began until the event; else the first of the others. */
static struct showing *model_newest(struct history *h, const struct event *e) {
    struct showing *before = NULL;
    struct showing *after = NULL;
    for (int i = 0; i < h->showing_count; i++) {
        struct showing *s = &h->showings[i];
        if (!s->alive || s->user != e->user || s->item != e->item) {
            continue;
        }
        if (s->begun_ms <= e->time_ms) {
            before = !before || is_newer(s, before) ? s : before;
        } else {
            after = !after || is_newer(after, s) ? s : after;
        }
    }
    return before ? before : after;
}

static struct showing *model_find(struct history *h, const struct event *e) {
    struct showing *found = e->request >= 0 ? model_of_request(h, e) : model_newest(h, e);
    if (e->kind == ROW_ACTION && !found) {
        found = model_newest(h, e); /* an orphan */
    }
    bool again = found && e->kind == ROW_IMPRESSION && e->request < 0 && found->seen &&
                 e->time_ms - found->shown_ms >= REPEAT_MS;
    return again ? NULL : found;
}

static struct showing *model_make(struct history *h, const struct event *e, uint64_t marker) {
    struct showing *made = &h->showings[h->showing_count++];
    *made = (struct showing){.user = e->user,
                             .item = e->item,
                             .request = e->request,
                             .alive = true,
                             .begun_ms = e->time_ms,
                             .marker = marker};
    return made;
}

static void model_see(struct showing *showing, int64_t time_ms) {
    if (!showing->seen) {
        showing->seen = true;
        showing->shown_ms = time_ms;
    }
}

static void expect(struct history *h, int at, uint64_t marker, uint32_t mask, uint32_t labels,
                   uint32_t flags) {
    assert_int_equal(h->got_count, at + 1);
    assert_int_equal(h->got[at].marker, marker);
    assert_int_equal(h->got[at].mask, mask);
    assert_int_equal(h->got[at].labels, labels);
    assert_int_equal(h->got[at].flags, flags);
    assert_int_equal(h->got[at].sequence, h->sequence - 1);
}

static void model_forget(struct history *h, int user) {
    for (int i = 0; i < h->showing_count; i++) {
        h->showings[i].alive = h->showings[i].alive && h->showings[i].user != user;
    }
}

static void action_both(struct history *h, const struct event *e) {
    struct showing *showing = model_find(h, e);
    uint64_t looked_up = LOOKED_UP + h->sequence;
    int at = h->got_count;
    uint32_t bit = 1u << e->action;
    bool found = join_row(h, e);
    assert_int_equal(found, showing || e->action == FIXTURE_RATE);
    if (e->action == FIXTURE_RATE) {
        expect(h, at, looked_up, bit, e->rating >= 4 ? bit : 0, 0);
    } else if (showing && !(showing->positive & bit)) {
        expect(h, at, showing->marker, bit, bit, showing->settled & bit ? EXAMPLE_CORRECTION : 0);
    } else {
        assert_int_equal(h->got_count, at);
    }
    if (showing && e->action != FIXTURE_RATE) {
        model_see(showing, e->time_ms);
        showing->positive |= bit;
        showing->settled |= bit;
    }
}

static void push_both(struct history *h, const struct event *e) {
    if (e->kind == ROW_ACTION) {
        action_both(h, e);
        return;
    }
    int at = h->got_count;
    uint64_t sequence = h->sequence;
    struct showing *showing = e->kind == ROW_FORGET ? NULL : model_find(h, e);
    bool found = join_row(h, e);
    assert_int_equal(found,
                     e->kind == ROW_FORGET || e->kind == ROW_SERVED || e->kind == ROW_IMPRESSION);
    assert_int_equal(h->got_count, at); /* nothing settles by these */
    if (e->kind == ROW_FORGET) {
        model_forget(h, e->user);
    } else if (e->kind == ROW_SERVED) {
        showing = showing ? showing : model_make(h, e, sequence);
        if (e->surface == FIXTURE_SHOP) {
            model_see(showing, e->time_ms);
        }
    } else if (e->kind == ROW_IMPRESSION) {
        model_see(showing ? showing : model_make(h, e, LOOKED_UP + sequence), e->time_ms);
    }
}

/* --- time --- */

struct due {
    int64_t time_ms;
    uint64_t hash, marker;
    uint32_t mask;
    bool got;
};

/* The open tasks of a showing whose windows have passed, one due a moment. */
static int showing_due(struct showing *s, int64_t now_ms, struct due *due) {
    int count = 0;
    for (int t = 0; s->seen && t < WINDOWED; t++) {
        int64_t end_ms = s->shown_ms + windows_ms[t];
        if (end_ms > now_ms || s->settled & 1u << t) {
            continue;
        }
        int same = 0;
        while (same < count && due[same].time_ms != end_ms) {
            same++;
        }
        due[same].mask = same < count ? due[same].mask : 0;
        due[same] = (struct due){end_ms, fixture_hash('u', s->user), s->marker,
                                 due[same].mask | 1u << t, false};
        count = same == count ? count + 1 : count;
        s->settled |= 1u << t;
    }
    s->alive = (s->seen ? s->shown_ms : s->begun_ms) + LONGEST_MS > now_ms;
    return count;
}

/* Which of the dues an example is. */
static int due_find(const struct due *due, int count, const struct got *got) {
    for (int i = 0; i < count; i++) {
        if (!due[i].got && due[i].marker == got->marker && due[i].mask == got->mask) {
            return i;
        }
    }
    return -1;
}

/* Moves time on in both: everything that is due settles, in order of (time, key), and no more. */
static void time_both(struct history *h, int64_t now_ms) {
    static struct due due[WINDOWED * ROWS];
    int count = 0;
    for (int i = 0; i < h->showing_count; i++) {
        if (h->showings[i].alive) {
            count += showing_due(&h->showings[i], now_ms, due + count);
        }
    }
    int from = h->got_count;
    h->now_ms = now_ms;
    settle_until(h, now_ms, h->sequence);
    assert_int_equal(h->got_count - from, count);
    struct due before = {0};
    for (int i = from; i < h->got_count; i++) {
        int found = due_find(due, count, &h->got[i]);
        assert_true(found >= 0);
        due[found].got = true;
        assert_int_equal(h->got[i].labels, 0);
        assert_int_equal(h->got[i].flags, 0);
        assert_int_equal(h->got[i].sequence, h->sequence);
        assert_true(due[found].time_ms > before.time_ms ||
                    (due[found].time_ms == before.time_ms && due[found].hash >= before.hash));
        before = due[found];
    }
}

/* --- random histories --- */

static struct event random_event(struct rng *rng, int64_t now_ms) {
    static const enum row_kind kinds[] = {ROW_SERVED, ROW_SERVED, ROW_IMPRESSION, ROW_IMPRESSION,
                                          ROW_ACTION, ROW_ACTION, ROW_ACTION};
    struct event e = {.kind = kinds[rng_below(rng, sizeof(kinds) / sizeof(kinds[0]))],
                      .action = rng_int(rng, 0, FIXTURE_RATE),
                      .user = rng_int(rng, 0, USERS - 1),
                      .item = rng_int(rng, 0, ITEMS - 1),
                      .request = rng_int(rng, -1, REQUESTS - 1),
                      .surface = rng_int(rng, 0, 1),
                      .time_ms = now_ms};
    if (rng_chance(rng, 2)) {
        e.kind = ROW_FORGET;
    }
    if (rng_chance(rng, 20)) {
        e.time_ms -= rng_int(rng, 0, 400000);
    }
    e.request = e.kind == ROW_SERVED && e.request < 0 ? 0 : e.request;
    e.rating = e.kind == ROW_ACTION && e.action == FIXTURE_RATE ? (double)rng_int(rng, 1, 5) : 0;
    return e;
}

static void one_history(uint64_t seed, int step_ms) {
    struct rng rng;
    rng_init(&rng, seed);
    static struct history h;
    history_open(&h, NULL);
    for (int n = 0; n < ROWS; n++) {
        if (rng_chance(&rng, 70)) {
            int64_t now_ms = h.now_ms + rng_int(&rng, 1, rng_chance(&rng, 90) ? step_ms : 400000);
            time_both(&h, now_ms);
        }
        struct event e = random_event(&rng, h.now_ms);
        push_both(&h, &e);
    }
    time_both(&h, h.now_ms + 2 * LONGEST_MS);
    assert_int_equal(state_count(join_state(h.join)), 0);
    for (int i = 1; i < h.got_count; i++) {
        assert_true(h.got[i].sequence >= h.got[i - 1].sequence);
    }
    history_close(&h);
}

static void test_model(void **context) {
    (void)context;
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        one_history(seed, seed % 2 ? 5000 : 60000);
    }
}

/* --- by hand --- */

static const struct event served_row = {.kind = ROW_SERVED, .time_ms = FIXTURE_START_MS};

static struct event event_at(enum row_kind kind, int action, int request, int after_ms) {
    struct event e = served_row;
    e.kind = kind;
    e.action = action;
    e.request = request;
    e.time_ms += after_ms;
    return e;
}

/* Served, seen, clicked: the click at once, the others when their windows have passed since it was
 * seen; a late like corrects what was settled. */
static void test_one_showing(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, NULL);
    const int64_t seen_ms = FIXTURE_START_MS + 10000;
    push_both(&h, &served_row);
    struct event seen = event_at(ROW_IMPRESSION, 0, 0, 10000);
    struct event click = event_at(ROW_ACTION, FIXTURE_CLICK, 0, 20000);
    struct event hide = event_at(ROW_ACTION, FIXTURE_HIDE, 0, 100000);
    push_both(&h, &seen);
    push_both(&h, &seen); /* once more */
    push_both(&h, &click);
    push_both(&h, &click);
    assert_int_equal(h.got_count, 1);
    settle_until(&h, seen_ms + 59999, 100);
    assert_int_equal(h.got_count, 1);
    settle_until(&h, seen_ms + 60000, 101);
    assert_int_equal(h.got_count, 2);
    assert_int_equal(h.got[1].mask, 1u << FIXTURE_HIDE);
    assert_int_equal(h.got[1].labels, 0);
    assert_int_equal(h.got[1].sequence, 101);
    assert_true(join_row(&h, &hide));
    assert_int_equal(h.got_count, 3);
    assert_int_equal(h.got[2].flags, EXAMPLE_CORRECTION);
    assert_int_equal(h.got[2].labels, 1u << FIXTURE_HIDE);
    settle_until(&h, seen_ms + LONGEST_MS, 200);
    assert_int_equal(h.got_count, 4);
    assert_int_equal(h.got[3].mask, 1u << FIXTURE_LIKE);
    assert_int_equal(state_count(join_state(h.join)), 0);
    assert_false(join_row(&h, &click)); /* forgotten */
    history_close(&h);
}

/* What was served and never seen teaches nothing, but where served is seen. */
static void test_unseen(void **context) {
    (void)context;
    for (int surface = FIXTURE_FOR_YOU; surface <= FIXTURE_SHOP; surface++) {
        static struct history h;
        history_open(&h, NULL);
        struct event e = served_row;
        e.surface = surface;
        push_both(&h, &e);
        time_both(&h, FIXTURE_START_MS + LONGEST_MS);
        assert_int_equal(h.got_count, surface == FIXTURE_SHOP ? 2 : 0);
        assert_int_equal(state_count(join_state(h.join)), 0);
        history_close(&h);
    }
}

/* Nobody's rows make no examples and no records; nor do rows of kinds that join has no use for. */
static void test_nobody(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, NULL);
    const enum row_kind kinds[] = {ROW_SERVED, ROW_IMPRESSION, ROW_ACTION, ROW_FORGET};
    for (int k = 0; k < 4; k++) {
        struct event e = event_at(kinds[k], FIXTURE_RATE, 1, 0);
        e.rating = 5;
        e.user = -1;
        assert_false(join_row(&h, &e));
    }
    const enum row_kind others[] = {ROW_ITEM, ROW_ITEM_DELETE, ROW_USER};
    for (int k = 0; k < 3; k++) {
        struct event e = event_at(others[k], 0, 1, 0);
        assert_false(join_row(&h, &e));
    }
    assert_int_equal(h.got_count, 0);
    assert_int_equal(state_count(join_state(h.join)), 0);
    history_close(&h);
}

/* Where features cannot be looked up there is no example, and no showing. */
static void test_no_features(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, NULL);
    h.features_fail = true;
    struct event impression = event_at(ROW_IMPRESSION, 0, 1, 0);
    struct event rate = event_at(ROW_ACTION, FIXTURE_RATE, 1, 0);
    rate.rating = 5;
    assert_false(join_row(&h, &impression));
    assert_false(join_row(&h, &rate));
    assert_int_equal(h.got_count, 0);
    assert_int_equal(state_count(join_state(h.join)), 0);
    history_close(&h);
}

/* A late showing is made last and forgotten first; the one without a request that lives on keeps
 * what it has settled, and is found again. */
static void test_newest_forgotten_first(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, NULL);
    struct event plain = event_at(ROW_IMPRESSION, 0, -1, 100000);
    struct event late = event_at(ROW_IMPRESSION, 0, 1, 0);
    time_both(&h, FIXTURE_START_MS + 100000);
    push_both(&h, &plain);
    push_both(&h, &late);
    time_both(&h, FIXTURE_START_MS + LONGEST_MS);
    struct event again = event_at(ROW_IMPRESSION, 0, -1, LONGEST_MS + 1000);
    push_both(&h, &again);
    time_both(&h, FIXTURE_START_MS + 3 * LONGEST_MS);
    uint32_t settled = 0;
    for (int i = 0; i < h.got_count; i++) {
        if (h.got[i].marker == LOOKED_UP) {
            assert_int_equal(settled & h.got[i].mask, 0);
            settled |= h.got[i].mask;
        }
    }
    assert_int_equal(settled, 7);
    history_close(&h);
}

static void test_forget(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, NULL);
    for (int user = 0; user < USERS; user++) {
        for (int request = 0; request < REQUESTS; request++) {
            struct event e = event_at(ROW_IMPRESSION, 0, request, 0);
            e.user = user;
            e.item = request % ITEMS;
            push_both(&h, &e);
        }
    }
    int others = fixture_records_of(join_state(h.join), slice_of("u0"));
    struct event e = event_at(ROW_FORGET, 0, -1, 0);
    e.user = 1;
    push_both(&h, &e);
    assert_int_equal(fixture_records_of(join_state(h.join), slice_of("u1")), 0);
    assert_int_equal(fixture_records_of(join_state(h.join), slice_of("u0")), others);
    time_both(&h, FIXTURE_START_MS + LONGEST_MS);
    assert_int_equal(h.got_count, 2 * (USERS - 1) * REQUESTS);
    history_close(&h);
}

/* Beyond the budget showings are refused; none that was taken stays for ever. */
static void test_budget(void **context) {
    (void)context;
    for (int64_t bytes = 0; bytes < 400000; bytes += 29989) {
        struct state_budget budget = {.bytes_max = bytes};
        static struct history h;
        history_open(&h, &budget);
        int taken = 0;
        for (int i = 0; i < 1500; i++) {
            struct event e = event_at(ROW_IMPRESSION, 0, i, 0);
            e.item = i;
            taken += join_row(&h, &e);
        }
        settle_until(&h, FIXTURE_START_MS + LONGEST_MS, h.sequence);
        assert_int_equal(h.got_count, 2 * taken);
        assert_int_equal(state_count(join_state(h.join)), 0);
        history_close(&h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),       cmocka_unit_test(test_one_showing),
        cmocka_unit_test(test_unseen),      cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_no_features), cmocka_unit_test(test_newest_forgotten_first),
        cmocka_unit_test(test_forget),      cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
