/* Join under any order of arrival within the lateness: the labels, folded by (user, request, item),
 * end the same, with duplicates, clocks ahead and any cut of rows into batches; and, where no
 * showing ends among the rows, they are what a naive model says of the set of rows. */
#include "flow/flow_fixture.h"
#include "flow/join.h"

enum { USERS = 2, ITEMS = 2, REQUESTS = 3, EVENTS = 36, ORDERS = 12, SETS = 50 };
enum { WINDOWED = 3, SKEW_MS = 5000, REPEAT_MS = 60000, SERVED_MARK = 1000, ARRIVALS = 2 * EVENTS };
enum { KEYS = USERS * ITEMS * (REQUESTS + 1), SHOWINGS = KEYS * EVENTS };
static const int64_t windows_ms[WINDOWED] = {60000, 300000, 60000};
static const char *const policies[] = {"window", "fake_negative", "sliding"};

struct event {
    enum row_kind kind;
    int action, user, item, request, surface;
    int64_t time_ms;
};

/* Folded: what is the newest word on each task of a key. -1: none. */
struct labels {
    int of[KEYS][WINDOWED];
};

static int key_of(int user, int item, int request) {
    return (user * ITEMS + item) * (REQUESTS + 1) + request + 1;
}

struct run {
    struct config *config;
    struct join *join;
    struct labels labels;
    bool served[KEYS]; /* the key begins with a served row */
    bool failed_mark;
};

static int number_of(struct slice text) {
    return text.data ? (int)(text.data[1] - '0') : -1;
}

static void emit(void *context, const struct example *example) {
    struct run *run = context;
    int key =
        key_of(number_of(example->user), number_of(example->item), number_of(example->request));
    for (int t = 0; t < WINDOWED; t++) {
        if (example->mask >> t & 1u) {
            run->labels.of[key][t] = (int)(example->labels >> t & 1u);
        }
    }
    /* What time settles is learnt with what was served. */
    bool by_time = example->due_ms != 0 && example->labels == 0;
    run->failed_mark |= by_time && run->served[key] && example->keys[0] < SERVED_MARK;
}

/* --- one order of arrival --- */

struct arrival {
    int event;
    int64_t now_ms;
    uint64_t chance;
};

static int arrival_compare(const void *left, const void *right) {
    const struct arrival *a = left;
    const struct arrival *b = right;
    return a->now_ms != b->now_ms ? (a->now_ms > b->now_ms) - (a->now_ms < b->now_ms)
                                  : (a->chance > b->chance) - (a->chance < b->chance);
}

/* Each event comes once or twice, less than the lateness after its time, or before it; in
 * frames whose rows share their append time. */
static int arrive(struct rng *rng, const struct event *events, int64_t lateness_ms,
                  int64_t ahead_ms, struct arrival *out) {
    int64_t frame_ms = rng_chance(rng, 50) ? 1 : 5000;
    int count = 0;
    for (int i = 0; i < EVENTS; i++) {
        int copies = rng_chance(rng, 20) ? 2 : 1;
        for (int c = 0; c < copies; c++) {
            int64_t earliest_ms = events[i].time_ms - (rng_chance(rng, 10) ? ahead_ms : 0);
            int64_t latest_ms = events[i].time_ms + lateness_ms - 1;
            int64_t span_ms = rng_chance(rng, 30) ? lateness_ms / 20 : latest_ms - earliest_ms;
            int64_t now_ms = earliest_ms + (int64_t)rng_below(rng, (uint64_t)span_ms + 1);
            int64_t framed_ms = (now_ms + frame_ms - 1) / frame_ms * frame_ms;
            out[count++] =
                (struct arrival){i, framed_ms <= latest_ms ? framed_ms : now_ms, rng_next(rng)};
        }
    }
    qsort(out, (size_t)count, sizeof(*out), arrival_compare);
    return count;
}

static struct slice text_of(char store[FIXTURE_TEXT], char letter, int number) {
    return fixture_id(store, letter, number);
}

struct texts {
    char user[FIXTURE_TEXT], item[FIXTURE_TEXT], request[FIXTURE_TEXT];
};

static void row_of(const struct run *run, const struct event *e, int64_t now_ms, uint64_t *key,
                   struct texts *texts, struct join_row *out) {
    static const float dense[1] = {0.5f};
    *out = (struct join_row){
        .kind = e->kind,
        .action = e->action,
        .surface = e->surface,
        .time_ms = e->time_ms,
        .watermark_ms = join_watermark(run->join, now_ms),
        .user = text_of(texts->user, 'u', e->user),
        .item = text_of(texts->item, 'i', e->item),
        .request = text_of(texts->request, 'r', e->request),
        .user_hash = fixture_hash('u', e->user),
        .item_hash = fixture_hash('i', e->item),
        .request_hash = e->request < 0 ? 0 : fixture_hash('r', e->request),
        .featured = e->kind != ROW_ACTION,
        .keys = e->kind != ROW_ACTION ? key : NULL,
        .dense = dense,
        .key_count = e->kind != ROW_ACTION,
        .dense_count = e->kind != ROW_ACTION,
    };
}

static void push_all(struct run *run, struct rng *rng, const struct event *events,
                     const struct arrival *arrivals, int count) {
    const struct join_out out = {emit, run};
    uint32_t groups = state_groups(join_state(run->join));
    int from = 0;
    while (from < count) {
        struct join_row rows[ARRIVALS];
        struct texts texts[ARRIVALS];
        uint64_t keys[ARRIVALS];
        int64_t now_ms = arrivals[from].now_ms;
        int size = 0;
        while (from + size < count && arrivals[from + size].now_ms == now_ms &&
               (size == 0 || rng_chance(rng, 80))) {
            int i = arrivals[from + size].event;
            keys[size] = (uint64_t)i + (events[i].kind == ROW_SERVED ? SERVED_MARK : 0);
            row_of(run, &events[i], now_ms, &keys[size], &texts[size], &rows[size]);
            size++;
        }
        join_now(run->join, 0, groups / 2, now_ms, 0, &out);
        join_now(run->join, groups / 2, groups, now_ms, 0, &out);
        join_push_batch(run->join, rows, size, NULL, &out);
        from += size;
    }
    join_now(run->join, 0, groups, arrivals[count - 1].now_ms + 100 * 3600000LL, 0, &out);
    assert_int_equal(state_count(join_state(run->join)), 0);
}

static void one_order(struct run *run, struct rng *rng, const struct event *events,
                      int64_t ahead_ms) {
    struct arrival arrivals[ARRIVALS];
    int count = arrive(rng, events, run->config->flow.lateness, ahead_ms, arrivals);
    memset(&run->labels, -1, sizeof(run->labels));
    assert_int_equal(join_open(run->config, NULL, NULL, &run->join, NULL), LEAT_OK);
    push_all(run, rng, events, arrivals, count);
    join_close(run->join);
}

/* --- the model: a set of rows, in plain arrays --- */

struct shown {
    int key; /* -1: not there */
    int64_t begun_ms, shown_ms;
    int64_t positive_ms[WINDOWED]; /* when that was decided; 0: never */
};

struct model {
    struct shown showings[SHOWINGS];
    int count;
};

static int event_compare(const void *left, const void *right) {
    const struct event *a = left;
    const struct event *b = right;
    return (a->time_ms > b->time_ms) - (a->time_ms < b->time_ms);
}

static struct shown *model_make(struct model *model, int key, int64_t time_ms) {
    assert_true(model->count < SHOWINGS);
    struct shown *made = &model->showings[model->count++];
    *made = (struct shown){.key = key, .begun_ms = time_ms};
    return made;
}

static struct shown *model_of_request(struct model *model, const struct event *e) {
    int key = key_of(e->user, e->item, e->request);
    for (int i = 0; e->request >= 0 && i < model->count; i++) {
        if (model->showings[i].key == key) {
            return &model->showings[i];
        }
    }
    return NULL;
}

static struct shown *model_newest(struct model *model, const struct event *e) {
    int first_key = key_of(e->user, e->item, -1);
    struct shown *before = NULL;
    struct shown *after = NULL;
    for (int i = 0; i < model->count; i++) {
        struct shown *s = &model->showings[i];
        if (s->key < first_key || s->key > first_key + REQUESTS) {
            continue;
        }
        if (s->begun_ms <= e->time_ms && (!before || s->begun_ms > before->begun_ms)) {
            before = s;
        }
        if (s->begun_ms > e->time_ms && s->begun_ms <= e->time_ms + SKEW_MS &&
            (!after || s->begun_ms < after->begun_ms)) {
            after = s;
        }
    }
    return before ? before : after;
}

static void model_row(struct model *model, const struct event *e) {
    struct shown *s = model_of_request(model, e);
    bool sees = e->kind != ROW_SERVED || e->surface == FIXTURE_SHOP;
    if (e->kind == ROW_ACTION && (!s || s->begun_ms > e->time_ms + SKEW_MS)) {
        s = model_newest(model, e);
    } else if (e->kind == ROW_IMPRESSION && e->request < 0) {
        s = model_newest(model, e);
        bool repeats = s && (s->shown_ms == 0 || e->time_ms - s->shown_ms < REPEAT_MS);
        s = repeats ? s : model_make(model, key_of(e->user, e->item, -1), e->time_ms);
    }
    if (s && sees && s->shown_ms == 0) {
        s->shown_ms = e->time_ms;
    }
    if (s && e->kind == ROW_ACTION && s->positive_ms[e->action] == 0) {
        s->positive_ms[e->action] = e->time_ms + SKEW_MS;
    }
}

/* Showings of requests begin by the set alone; then every row in order of time. */
static void model_labels(const struct event *events, struct labels *out) {
    static struct model model;
    model.count = 0;
    for (int i = 0; i < EVENTS; i++) {
        const struct event *e = &events[i];
        if (e->kind != ROW_ACTION && e->request >= 0 && !model_of_request(&model, e)) {
            model_make(&model, key_of(e->user, e->item, e->request), e->time_ms);
        }
    }
    for (int i = 0; i < EVENTS; i++) {
        model_row(&model, &events[i]);
    }
    int64_t word_ms[KEYS][WINDOWED] = {{0}};
    memset(out, -1, sizeof(*out));
    for (int i = 0; i < model.count; i++) {
        const struct shown *s = &model.showings[i];
        for (int t = 0; s->shown_ms != 0 && t < WINDOWED; t++) {
            bool positive = s->positive_ms[t] != 0;
            int64_t at_ms = positive ? s->positive_ms[t] : s->shown_ms + windows_ms[t] + SKEW_MS;
            if (at_ms > word_ms[s->key][t]) { /* showings without a request share a key */
                word_ms[s->key][t] = at_ms;
                out->of[s->key][t] = positive;
            }
        }
    }
}

/* --- sets of rows --- */

static void random_events(struct rng *rng, int64_t span_ms, struct event *out) {
    static const enum row_kind kinds[] = {ROW_SERVED, ROW_IMPRESSION, ROW_ACTION, ROW_ACTION};
    for (int i = 0; i < EVENTS; i++) {
        out[i] = (struct event){.kind = kinds[rng_below(rng, 4)],
                                .action = rng_int(rng, 0, WINDOWED - 1),
                                .user = rng_int(rng, 0, USERS - 1),
                                .item = rng_int(rng, 0, ITEMS - 1),
                                .request = rng_int(rng, -1, REQUESTS - 1),
                                .surface = rng_int(rng, 0, 1)};
        /* No two at one time: which of them is first would be a matter of taste. */
        int64_t step_ms = span_ms / EVENTS;
        out[i].time_ms = FIXTURE_START_MS + i * step_ms +
                         (int64_t)rng_below(rng, rng_chance(rng, 50) ? 1 : (uint64_t)step_ms);
        out[i].action = out[i].kind == ROW_ACTION ? out[i].action : 0;
        out[i].request = out[i].kind == ROW_SERVED && out[i].request < 0 ? 0 : out[i].request;
        out[i].surface = out[i].kind == ROW_SERVED ? out[i].surface : FIXTURE_FOR_YOU;
    }
    qsort(out, EVENTS, sizeof(*out), event_compare);
}

static struct config *config_of(const char *policy, const char *lateness) {
    char text[1024];
    snprintf(text, sizeof(text),
             "key_groups: 4\nlog: {skew: 5s}\nflow: {lateness: %s}\n" FIXTURE_ACTIONS "surfaces:\n"
             "  for_you: {examples: impressions, labels: %s}\n"
             "  shop: {examples: served, labels: %s}\n",
             lateness, policy, policy);
    return fixture_config(text);
}

static void expect_same(const struct labels *have, const struct labels *want, bool plain,
                        uint64_t seed, int order) {
    for (int key = 0; key < KEYS; key++) {
        bool skip = !plain && key % (REQUESTS + 1) == 0;
        for (int t = 0; t < WINDOWED && !skip; t++) {
            if (have->of[key][t] != want->of[key][t]) {
                fail_msg("seed %d, order %d: key %d, task %d is %d, not %d", (int)seed, order, key,
                         t, have->of[key][t], want->of[key][t]);
            }
        }
    }
}

/* Keys whose first row is a served one. */
static void served_first(const struct event *events, bool modelled, bool out[KEYS]) {
    bool begun[KEYS] = {false};
    memset(out, 0, KEYS * sizeof(*out));
    for (int i = 0; i < EVENTS && modelled; i++) {
        int key = key_of(events[i].user, events[i].item, events[i].request);
        out[key] |= !begun[key] && events[i].kind == ROW_SERVED;
        begun[key] |= events[i].kind != ROW_ACTION;
    }
}

/* All orders against the first one; and against the model, where it speaks. */
static void one_set(struct run *run, uint64_t seed, int64_t span_ms, bool modelled, bool windows) {
    struct rng rng;
    struct event events[EVENTS];
    struct labels first, model;
    rng_init(&rng, seed);
    random_events(&rng, span_ms, events);
    served_first(events, modelled, run->served);
    model_labels(events, &model);
    for (int order = 0; order < ORDERS; order++) {
        one_order(run, &rng, events, modelled ? SKEW_MS : 100 * SKEW_MS);
        if (order == 0) {
            first = run->labels;
        }
        expect_same(&run->labels, &first, true, seed, order);
        if (modelled) {
            expect_same(&run->labels, &model, windows, seed, order);
            assert_false(run->failed_mark);
        }
    }
}

static void test_orders(void **context) {
    (void)context;
    static const char *const lateness[] = {"20s", "2m", "10m"};
    int sets = getenv("LEAT_TEST_LONG") ? 100 * SETS : SETS;
    for (int policy = 0; policy < 3; policy++) {
        for (int l = 0; l < 3; l++) {
            struct run run = {.config = config_of(policies[policy], lateness[l])};
            for (int set = 0; set < sets; set++) {
                one_set(&run, (uint64_t)set, 280000, true, policy == 0);
                one_set(&run, (uint64_t)set, 2400000, false, policy == 0);
            }
            one_set(&run, 1521, 2400000, false, policy == 0); /* two showings of a request */
            one_set(&run, 1553, 2400000, false, policy == 0);
            config_destroy(run.config);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_orders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
