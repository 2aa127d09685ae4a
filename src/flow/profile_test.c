/* Profiles against the list of all rows of a person: sessions, recent actions, tastes, counts and
 * context recomputed from the whole history; what was seen, item by item; and forgetting. */
#include "flow/flow_fixture.h"
#include "flow/profile.h"

enum { USERS = 3, ITEMS = 20, CATEGORIES = 6, AUTHORS = 4, NAMES = 14, ROWS = 100 };
enum { HISTORIES = 200, GAP_MS = 60000, HALF_LIFE_MS = 3600000 };

static const char profile_text[] =
    "key_groups: 4\n"
    "flow: {session_gap: 1m, profile_half_life: 1h}\n" FIXTURE_ACTIONS
    "model: {features: [item, history(click, 3), history(rate, 9), history(click, 5, target)]}\n"
    "surfaces:\n  for_you: {examples: impressions}\n";

struct event {
    int user, item, action, session; /* action -1: an impression; session -1: none named */
    int name, value;                 /* of context; name -1: none */
    int64_t time_ms;
    double rating;
};

struct history {
    struct config *config;
    struct profile *profile;
    struct arena arena;
    int count;
    struct event events[ROWS];
};

static void history_open(struct history *h, const char *text) {
    memset(h, 0, sizeof(*h));
    h->config = fixture_config(text);
    arena_init(&h->arena, 1 << 16, 1 << 20);
    assert_int_equal(profile_open(h->config, NULL, &h->profile, NULL), LEAT_OK);
}

static void history_close(struct history *h) {
    profile_close(h->profile);
    arena_deinit(&h->arena);
    config_destroy(h->config);
}

/* Item i has the author i % AUTHORS and the categories i and i + 1, modulo CATEGORIES. */
static uint64_t category_of(int item, int k) {
    return (uint64_t)((item + k) % CATEGORIES) + 1;
}
static uint64_t author_of(int item) {
    return (uint64_t)(item % AUTHORS) + 1;
}

static bool is_liked(const struct event *e) {
    return e->action == FIXTURE_CLICK || e->action == FIXTURE_LIKE ||
           (e->action == FIXTURE_RATE && e->rating >= 4);
}

static void event_row(const struct event *e, struct made_row *made) {
    static char context[2][FIXTURE_TEXT];
    made_begin(made, e->action < 0 ? ROW_IMPRESSION : ROW_ACTION, e->time_ms);
    made_user(made, e->user);
    made_item(made, e->item);
    made_session(made, e->session);
    made->row.action = e->action < 0 ? 0 : e->action;
    made->row.has_value = e->action == FIXTURE_RATE;
    made->row.value = e->rating;
    if (e->name >= 0) {
        made->row.context_count = 1;
        made->row.context[0] = fixture_id(context[0], 'n', e->name);
        made->row.context[1] = fixture_id(context[1], 'v', e->value);
    }
}

static void push(struct history *h, const struct event *e) {
    struct made_row made;
    event_row(e, &made);
    uint64_t categories[2] = {category_of(e->item, 0), category_of(e->item, 1)};
    struct profile_item item = {author_of(e->item), 2, categories};
    profile_push(h->profile, &made.row, &item);
    h->events[h->count++] = *e;
}

static struct event random_event(struct rng *rng, int64_t time_ms) {
    struct event e = {.user = rng_int(rng, 0, USERS - 1),
                      .item = rng_int(rng, 0, ITEMS - 1),
                      .action = rng_int(rng, -2, FIXTURE_RATE),
                      .session = rng_chance(rng, 40) ? rng_int(rng, 0, 1) : -1,
                      .name = rng_chance(rng, 30) ? rng_int(rng, 0, NAMES - 1) : -1,
                      .value = rng_int(rng, 0, 3),
                      .time_ms = time_ms};
    e.rating = e.action == FIXTURE_RATE ? (double)rng_int(rng, 1, 5) : 0;
    return e;
}

/* --- naive answers --- */

static bool of_user(const struct history *h, int i, int user) {
    return h->events[i].user == user;
}

/* Newest first; items of the session as it stands after event `last`, seen at `now_ms`. */
static int naive_session(const struct history *h, int user, int last, int64_t now_ms,
                         int items[ROWS]) {
    int count = 0;
    int session = -1;
    int64_t newest_ms = 0;
    for (int i = 0; i <= last; i++) {
        const struct event *e = &h->events[i];
        if (!of_user(h, i, user)) {
            continue;
        }
        bool idle = e->session < 0 && e->time_ms - newest_ms > GAP_MS;
        if (idle || (e->session >= 0 && e->session != session)) {
            count = 0;
            session = -1;
        }
        session = e->session >= 0 ? e->session : session;
        newest_ms = e->time_ms > newest_ms ? e->time_ms : newest_ms;
        int kept = 0;
        for (int k = 0; k < count && is_liked(e); k++) {
            items[kept] = items[k];
            kept += items[k] != e->item;
        }
        if (is_liked(e)) {
            memmove(items + 1, items, (size_t)kept * sizeof(*items));
            items[0] = e->item;
            count = kept + 1;
        }
        /* What fell off the end does not come back. */
        count = count < PROFILE_SESSION ? count : PROFILE_SESSION;
    }
    return session < 0 && now_ms - newest_ms > GAP_MS ? 0 : count;
}

static void check_session(const struct history *h, int user, int64_t now_ms,
                          const struct profile_view *view) {
    int items[ROWS];
    int count = naive_session(h, user, h->count - 1, now_ms, items);
    assert_int_equal(view->session_count, count);
    for (int i = 0; i < PROFILE_SESSION; i++) {
        uint64_t want = i < count ? fixture_hash('i', items[i]) : 0;
        assert_int_equal(i < view->session_count ? view->session[i] : 0, want);
    }
}

static void check_recent(const struct history *h, int user, const struct profile_view *view) {
    int count = 0;
    for (int i = h->count - 1; i >= 0 && count < PROFILE_RECENT; i--) {
        if (of_user(h, i, user) && h->events[i].action >= 0) {
            assert_int_equal(view->recent_items[count], fixture_hash('i', h->events[i].item));
            assert_int_equal(view->recent_ms[count], h->events[i].time_ms);
            assert_int_equal(view->recent_actions[count++], h->events[i].action);
        }
    }
    assert_int_equal(view->recent_count, count);
}

/* The newest `max` items on which the action was positive, each once. */
static void check_history(const struct history *h, int user, int action, int max,
                          const struct profile_view *view) {
    const uint64_t *items = view->history_items + view->histories[action].first;
    int count = 0;
    for (int i = h->count - 1; i >= 0 && count < max; i--) {
        const struct event *e = &h->events[i];
        bool again = false;
        for (int k = i + 1; k < h->count; k++) {
            const struct event *later = &h->events[k];
            again = again || (of_user(h, k, user) && later->action == action && is_liked(later) &&
                              later->item == e->item);
        }
        if (of_user(h, i, user) && e->action == action && is_liked(e) && !again) {
            assert_int_equal(items[count++], fixture_hash('i', e->item));
        }
    }
    assert_int_equal(view->histories[action].count, count);
}

static bool has_value(int item, uint64_t value, bool category) {
    return category ? category_of(item, 0) == value || category_of(item, 1) == value
                    : author_of(item) == value;
}

static void check_taste(const struct history *h, int user, int64_t now_ms, bool category,
                        const struct profile_taste *taste) {
    double acted = 0;
    double shown = 0;
    for (int i = 0; i < h->count; i++) {
        const struct event *e = &h->events[i];
        if (of_user(h, i, user) && has_value(e->item, taste->value, category)) {
            double amount = naive_decay(e->time_ms, now_ms, HALF_LIFE_MS);
            acted += is_liked(e) ? amount : 0;
            shown += e->action < 0 || e->action == FIXTURE_RATE ? amount : 0;
        }
    }
    assert_near((double)taste->acted, acted, 1e-5);
    assert_near((double)taste->shown, shown, 1e-5);
}

/* Values without any weight have no entry. */
static int naive_values(const struct history *h, int user, bool category) {
    int count = 0;
    for (uint64_t value = 1; value <= CATEGORIES; value++) {
        bool found = false;
        for (int i = 0; i < h->count; i++) {
            const struct event *e = &h->events[i];
            bool counts = is_liked(e) || e->action < 0 || e->action == FIXTURE_RATE;
            found = found || (of_user(h, i, user) && counts && has_value(e->item, value, category));
        }
        count += found;
    }
    return count;
}

static void check_tastes(const struct history *h, int user, int64_t now_ms,
                         const struct profile_view *view) {
    assert_int_equal(view->category_count, naive_values(h, user, true));
    assert_int_equal(view->author_count, naive_values(h, user, false));
    for (int i = 0; i < view->category_count; i++) {
        check_taste(h, user, now_ms, true, &view->categories[i]);
        assert_true(i == 0 || view->categories[i].value != view->categories[i - 1].value);
    }
    for (int i = 0; i < view->author_count; i++) {
        check_taste(h, user, now_ms, false, &view->authors[i]);
    }
}

static void check_counts(const struct history *h, int user, const struct profile_view *view) {
    for (int t = 0; t < FIXTURE_TASKS; t++) {
        uint32_t chances = 0;
        uint32_t positives = 0;
        double lately_chances = 0;
        double lately_positives = 0;
        for (int i = 0; i < h->count; i++) {
            const struct event *e = &h->events[i];
            bool mine = of_user(h, i, user);
            if (mine && (t == FIXTURE_RATE ? e->action == t : e->action < 0)) {
                chances++;
                lately_chances = lately_chances * (1 - 1.0 / PROFILE_LATELY) + 1;
                lately_positives *= 1 - 1.0 / PROFILE_LATELY;
            }
            if (mine && e->action == t && (t != FIXTURE_RATE || e->rating >= 4)) {
                positives++;
                lately_positives++;
            }
        }
        assert_int_equal(view->chances[t], chances);
        assert_int_equal(view->positives[t], positives);
        assert_near((double)view->lately_chances[t], lately_chances, 1e-5);
        assert_near((double)view->lately_positives[t], lately_positives, 1e-5);
    }
}

/* The first PROFILE_CONTEXT names have a place, each its newest value. */
static void check_context(const struct history *h, int user, const struct profile_view *view) {
    int names[NAMES];
    int value_of[NAMES];
    int count = 0;
    for (int i = 0; i < h->count; i++) {
        const struct event *e = &h->events[i];
        int place = 0;
        while (place < count && names[place] != e->name) {
            place++;
        }
        if (of_user(h, i, user) && e->name >= 0 && place < PROFILE_CONTEXT) {
            names[place] = e->name;
            value_of[place] = e->value;
            count = place == count ? count + 1 : count;
        }
    }
    assert_int_equal(view->context_count, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(view->context_names[i], fixture_hash('n', names[i]));
        assert_int_equal(view->context_values[i], fixture_hash('v', value_of[i]));
    }
}

static void check_user(const struct history *h, int user, int64_t now_ms) {
    struct profile_view view;
    char text[FIXTURE_TEXT];
    int64_t first_ms = 0;
    int64_t last_ms = 0;
    for (int i = 0; i < h->count; i++) {
        if (of_user(h, i, user)) {
            int64_t time_ms = h->events[i].time_ms;
            first_ms = first_ms ? first_ms : time_ms;
            last_ms = time_ms > last_ms ? time_ms : last_ms;
        }
    }
    bool known = profile_read(h->profile, fixture_id(text, 'u', user), now_ms, &view);
    assert_int_equal(known, first_ms != 0);
    assert_int_equal(view.first_ms, first_ms);
    assert_int_equal(view.last_ms, last_ms);
    assert_int_equal(view.hash, known ? fixture_hash('u', user) : 0);
    check_session(h, user, now_ms, &view);
    check_recent(h, user, &view);
    check_history(h, user, FIXTURE_CLICK, 5, &view);
    check_history(h, user, FIXTURE_RATE, 9, &view);
    assert_int_equal(view.histories[FIXTURE_LIKE].count, 0); /* no feature asks for it */
    check_tastes(h, user, now_ms, &view);
    check_counts(h, user, &view);
    check_context(h, user, &view);
}

/* --- random histories --- */

static void one_history(uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    static struct history h;
    history_open(&h, profile_text);
    int64_t time_ms = FIXTURE_START_MS;
    for (int n = 0; n < ROWS; n++) {
        time_ms += rng_int(&rng, 0, rng_chance(&rng, 80) ? GAP_MS / 10 : 2 * GAP_MS);
        struct event e = random_event(&rng, time_ms);
        push(&h, &e);
        if (n % 10 == 0) {
            check_user(&h, e.user, time_ms + rng_int(&rng, 0, 100000));
        }
    }
    for (int user = 0; user < USERS; user++) {
        check_user(&h, user, time_ms);
    }
    history_close(&h);
}

static void test_model(void **context) {
    (void)context;
    for (uint64_t seed = 0; seed < HISTORIES; seed++) {
        one_history(seed);
    }
}

/* Late rows too: the session that a row finds is what the model finds when the row ends it or not.
 */
static void test_session_before(void **context) {
    (void)context;
    struct rng rng;
    rng_init(&rng, 77);
    static struct history h;
    for (int round = 0; round < 100; round++) {
        history_open(&h, profile_text);
        int64_t time_ms = FIXTURE_START_MS;
        for (int n = 0; n < ROWS; n++) {
            time_ms += rng_int(&rng, 0, GAP_MS);
            struct event e = random_event(&rng, time_ms - rng_int(&rng, 0, 2) * GAP_MS);
            struct made_row made;
            uint64_t items[PROFILE_SESSION];
            event_row(&e, &made);
            int before = profile_session_before(h.profile, &made.row, items);
            h.events[h.count++] = e; /* as an impression, to see what the row itself ends */
            h.events[h.count - 1].action = -1;
            int want[ROWS];
            assert_int_equal(before, naive_session(&h, e.user, h.count - 1, INT64_MIN / 2, want));
            for (int i = 0; i < before; i++) {
                assert_int_equal(items[i], fixture_hash('i', want[i]));
            }
            h.count--;
            push(&h, &e);
        }
        history_close(&h);
    }
}

/* A person who comes back sees something first: that must not hide the gap. */
static void test_gap_before_showing(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, profile_text);
    struct event e = {.action = FIXTURE_CLICK, .session = -1, .name = -1, .item = 1};
    e.time_ms = FIXTURE_START_MS;
    push(&h, &e);
    e.time_ms += 2 * GAP_MS;
    e.action = -1;
    push(&h, &e);
    e.time_ms += 1000;
    e.action = FIXTURE_CLICK;
    e.item = 2;
    push(&h, &e);
    struct profile_view view;
    assert_true(profile_read(h.profile, slice_of("u0"), e.time_ms, &view));
    assert_int_equal(view.session_count, 1);
    assert_int_equal(view.session[0], fixture_hash('i', 2));
    history_close(&h);
}

/* The PROFILE_TASTES heaviest stay; what adds nothing takes nobody's place. */
static void test_taste_places(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, profile_text);
    struct made_row made;
    for (uint64_t c = 1; c <= PROFILE_TASTES; c++) {
        struct profile_item item = {0, 1, &c};
        made_action(&made, FIXTURE_CLICK, 1, 1, FIXTURE_START_MS);
        for (int times = c == 5 ? 1 : 2; times > 0; times--) {
            profile_push(h.profile, &made.row, &item);
        }
    }
    struct profile_view view;
    uint64_t other = 99;
    struct profile_item item = {0, 1, &other};
    made_action(&made, FIXTURE_HIDE, 1, 1, FIXTURE_START_MS);
    profile_push(h.profile, &made.row, &item);
    profile_read(h.profile, made.row.user, FIXTURE_START_MS, &view);
    for (uint64_t c = 1; c <= PROFILE_TASTES; c++) {
        assert_int_equal(view.categories[c - 1].value, c);
    }
    made_action(&made, FIXTURE_CLICK, 1, 1, FIXTURE_START_MS);
    profile_push(h.profile, &made.row, &item);
    profile_read(h.profile, made.row.user, FIXTURE_START_MS, &view);
    assert_int_equal(view.category_count, PROFILE_TASTES);
    for (uint64_t c = 1; c <= PROFILE_TASTES; c++) {
        assert_int_equal(view.categories[c - 1].value, c == 5 ? other : c);
    }
    history_close(&h);
}

/* --- what was seen --- */

enum { SEEN_ITEMS = 3000, SEEN_ROWS = 2500 };

/* Items in the order in which they were added; only the newest `keep` count. */
struct seen_model {
    int keep, count, hidden_count;
    int added[SEEN_ROWS], hidden[SEEN_ROWS];
};

static int seen_from(const struct seen_model *model) {
    return model->count > model->keep ? model->count - model->keep : 0;
}

static bool model_seen(const struct seen_model *model, int item) {
    for (int i = seen_from(model); i < model->count; i++) {
        if (model->added[i] == item) {
            return true;
        }
    }
    return false;
}

static bool model_hidden(const struct seen_model *model, int item) {
    for (int i = 0; i < model->hidden_count; i++) {
        if (model->hidden[i] == item) {
            return true;
        }
    }
    return false;
}

static void seen_push(struct history *h, struct seen_model *model, int action, int item) {
    struct made_row made;
    made_action(&made, action < 0 ? 0 : action, 1, item, FIXTURE_START_MS);
    made.row.kind = action < 0 ? ROW_IMPRESSION : ROW_ACTION;
    profile_push(h->profile, &made.row, &(struct profile_item){0});
    if ((action < 0 || action == FIXTURE_CLICK || action == FIXTURE_RATE) &&
        !model_seen(model, item)) {
        model->added[model->count++] = item;
    }
    if (action == FIXTURE_HIDE && !model_hidden(model, item)) {
        model->hidden[model->hidden_count++] = item;
    }
}

static void check_seen(struct history *h, const struct seen_model *model, int items) {
    struct seen_set set;
    struct profile_view view;
    arena_reset(&h->arena);
    assert_int_equal(profile_seen(h->profile, slice_of("u1"), &h->arena, &set, NULL), LEAT_OK);
    uint32_t want = 0;
    for (int item = 0; item < items; item++) {
        bool seen = model_seen(model, item) || model_hidden(model, item);
        assert_int_equal(seen_has(&set, fixture_hash('i', item)), seen);
        want += seen;
    }
    assert_int_equal(set.count, want);
    profile_read(h->profile, slice_of("u1"), FIXTURE_START_MS, &view);
    assert_int_equal(view.seen_count, model->count - seen_from(model) + model->hidden_count);
}

static void seen_history(int keep, int items, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    char text[1024];
    snprintf(text, sizeof(text), "key_groups: 4\nflow: {seen: %d}\n%s", keep, FIXTURE_ACTIONS);
    static struct history h;
    static struct seen_model model;
    history_open(&h, text);
    memset(&model, 0, sizeof(model));
    model.keep = keep;
    for (int n = 0; n < SEEN_ROWS; n++) {
        int action = rng_chance(&rng, 80) ? -1 : rng_int(&rng, 0, FIXTURE_RATE);
        seen_push(&h, &model, action, rng_int(&rng, 0, items - 1));
        if (n % 600 == 599 || (keep == 16 && n % 100 == 0)) {
            check_seen(&h, &model, items);
        }
    }
    check_seen(&h, &model, items);
    /* Core, context-free: parts of 512 of what counts, and one that is left in part. */
    int parts = fixture_records_of(profile_state(h.profile), slice_of("u1")) - 1;
    assert_true(parts <= model.keep / 512 + 2 + model.hidden_count / 512 + 1);
    history_close(&h);
}

static void test_seen(void **context) {
    (void)context;
    const int keeps[] = {16, 17, 511, 512, 513, 1024, 2000};
    for (size_t k = 0; k < sizeof(keeps) / sizeof(keeps[0]); k++) {
        seen_history(keeps[k], SEEN_ITEMS, k);
        seen_history(keeps[k], 64, k);
    }
}

/* Nobody, and a person who is not known, have seen nothing. */
static void test_nobody(void **context) {
    (void)context;
    static struct history h;
    history_open(&h, profile_text);
    struct seen_set set;
    struct slice nobody = {NULL, 0};
    struct profile_view view;
    struct profile_view zero;
    memset(&zero, 0, sizeof(zero));
    for (int i = 0; i < 2; i++) {
        struct slice user = i ? slice_of("u9") : nobody;
        assert_int_equal(profile_seen(h.profile, user, &h.arena, &set, NULL), LEAT_OK);
        assert_int_equal(set.count, 0);
        assert_false(seen_has(&set, fixture_hash('i', 1)));
        assert_false(profile_read(h.profile, user, FIXTURE_START_MS, &view));
        assert_memory_equal(&view, &zero, sizeof(view));
    }
    struct made_row made;
    made_action(&made, FIXTURE_CLICK, -1, 1, FIXTURE_START_MS);
    profile_push(h.profile, &made.row, &(struct profile_item){0});
    assert_int_equal(state_count(profile_state(h.profile)), 0);
    history_close(&h);
}

/* --- forgetting --- */

static void test_forget(void **context) {
    (void)context;
    struct rng rng;
    rng_init(&rng, 8);
    static struct history h;
    for (int round = 0; round < 20; round++) {
        history_open(&h, "key_groups: 4\nflow: {seen: 600}\n" FIXTURE_ACTIONS);
        int rows = rng_int(&rng, 1, 2000);
        for (int n = 0; n < rows; n++) {
            struct event e = random_event(&rng, FIXTURE_START_MS + n);
            e.item = rng_int(&rng, 0, 4000);
            e.action = rng_chance(&rng, 50) ? FIXTURE_HIDE : e.action;
            h.count = 0;
            push(&h, &e);
        }
        int others = fixture_records_of(profile_state(h.profile), slice_of("u0"));
        struct made_row made;
        made_begin(&made, ROW_FORGET, FIXTURE_START_MS + rows);
        made_user(&made, 1);
        profile_push(h.profile, &made.row, &(struct profile_item){0});
        assert_int_equal(fixture_records_of(profile_state(h.profile), made.row.user), 0);
        assert_int_equal(fixture_records_of(profile_state(h.profile), slice_of("u0")), others);
        struct profile_view view;
        assert_false(profile_read(h.profile, made.row.user, FIXTURE_START_MS, &view));
        history_close(&h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_session_before),
        cmocka_unit_test(test_gap_before_showing),
        cmocka_unit_test(test_taste_places),
        cmocka_unit_test(test_seen),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
