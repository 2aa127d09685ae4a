/* What join says, and when, by hand: the three policies, thinning, rows that wait, and the bounds.
 * Order and labels against a model: join_order_test.c. */
#include "flow/flow_fixture.h"
#include "flow/join.h"
#include "flow/join_record.h"

enum { SAID = 65536, SHOWINGS = 6000 };
enum { CLICK = 1u << FIXTURE_CLICK, LIKE = 1u << FIXTURE_LIKE, HIDE = 1u << FIXTURE_HIDE };
enum { ALL = CLICK | LIKE | HIDE };

struct said {
    uint32_t mask, labels, flags;
    int64_t due_ms;
    float log_odds;
    int item, request;
};

struct stage {
    struct config *config;
    struct metrics *metrics;
    struct join *join;
    int64_t now_ms;
    int count;
    struct said said[SAID];
};

static int number_of(struct slice text) {
    return text.data ? atoi(text.data + 1) : -1;
}

static void hear(void *context, const struct example *example) {
    struct stage *stage = context;
    char item[FIXTURE_TEXT] = {0}, request[FIXTURE_TEXT] = {0};
    assert_true(stage->count < SAID);
    memcpy(item, example->item.data, example->item.size);
    if (example->request.data) {
        memcpy(request, example->request.data, example->request.size);
    }
    struct slice of_request = {example->request.data ? request : NULL, example->request.size};
    stage->said[stage->count++] = (struct said){
        example->mask,        example->labels,
        example->flags,       example->due_ms != 0 ? example->due_ms - FIXTURE_START_MS : 0,
        example->log_odds,    number_of(slice_of(item)),
        number_of(of_request)};
}

/* `flow` and `labels`: as in leat.yaml. */
static void stage_open(struct stage *stage, const char *flow, const char *labels) {
    char text[1024];
    snprintf(text, sizeof(text),
             "key_groups: 4\nlog: {skew: 5s}\nflow: {%s}\n" FIXTURE_ACTIONS "surfaces:\n"
             "  for_you: {examples: impressions, labels: %s}\n"
             "  shop: {examples: served, labels: %s, slide: 50s}\n",
             flow, labels, labels);
    stage->config = fixture_config(text);
    stage->metrics = metrics_create();
    stage->now_ms = FIXTURE_START_MS;
    stage->count = 0;
    assert_int_equal(join_open(stage->config, NULL, stage->metrics, &stage->join, NULL), LEAT_OK);
}

static void stage_close(struct stage *stage) {
    join_close(stage->join);
    metrics_destroy(stage->metrics);
    config_destroy(stage->config);
}

static void until(struct stage *stage, int64_t after_ms) {
    const struct join_out out = {hear, stage};
    stage->now_ms = FIXTURE_START_MS + after_ms;
    join_now(stage->join, 0, 4, stage->now_ms, 0, &out);
}

/* A row of `item` for u0 on the shop, with event time `after_ms`. */
static bool row(struct stage *stage, enum row_kind kind, int action, int item, int request,
                int64_t after_ms) {
    const struct join_out out = {hear, stage};
    struct made_row made;
    uint64_t key = 1;
    const struct join_features features = {&key, NULL, 1, 0};
    made_begin(&made, kind, FIXTURE_START_MS + after_ms);
    made_user(&made, 0);
    made_item(&made, item);
    made_request(&made, request);
    made.row.now_ms = stage->now_ms;
    made.row.surface = FIXTURE_SHOP;
    made.row.action = action;
    made.row.keys = &key;
    made.row.key_count = kind == ROW_SERVED;
    bool wanted = join_wants_features(stage->join, &made.row);
    return join_push(stage->join, &made.row, wanted ? &features : NULL, &out);
}

static void expect_said(const struct stage *stage, int at, uint32_t mask, uint32_t labels,
                        uint32_t flags, int64_t due_ms) {
    assert_true(at < stage->count);
    assert_int_equal(stage->said[at].mask, mask);
    assert_int_equal(stage->said[at].labels, labels);
    assert_int_equal(stage->said[at].flags, flags);
    assert_int_equal(stage->said[at].due_ms, due_ms);
}

static double orphans(const struct stage *stage) {
    return metrics_value(stage->metrics, METRIC_actions_orphan_total);
}

static struct stage stage;

static void test_fake_negative(void **context) {
    (void)context;
    stage_open(&stage, "dedup: 1s", "fake_negative");
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    until(&stage, 100000);
    row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 1, 100000); /* after its window */
    row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 1, 100000);
    until(&stage, 400000);
    assert_int_equal(stage.count, 2);
    expect_said(&stage, 0, ALL, 0, EXAMPLE_FAKE, 0);
    expect_said(&stage, 1, CLICK, CLICK, EXAMPLE_FAKE, 0);
    assert_int_equal(state_count(join_state(stage.join)), 0);
    stage_close(&stage);
}

/* Every 50 s until 300 s; the last word holds. */
static void test_sliding(void **context) {
    (void)context;
    stage_open(&stage, "dedup: 1s", "sliding");
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    until(&stage, 120000);
    row(&stage, ROW_ACTION, FIXTURE_LIKE, 1, 1, 120000);
    assert_int_equal(stage.count, 2);
    until(&stage, 400000);
    assert_int_equal(stage.count, 6);
    for (int i = 0; i < 6; i++) {
        expect_said(&stage, i, ALL, i < 2 ? 0 : LIKE, EXAMPLE_SLIDE, (i + 1) * 50000);
    }
    stage_close(&stage);
}

/* With lateness a positive may come after the last slide. */
static void test_sliding_corrected(void **context) {
    (void)context;
    stage_open(&stage, "lateness: 10m", "sliding");
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    until(&stage, 600000 + 305000);
    assert_int_equal(stage.count, 6);
    row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 1, 310000);
    assert_int_equal(stage.count, 7);
    expect_said(&stage, 6, CLICK, CLICK, EXAMPLE_CORRECTION, 0);
    stage_close(&stage);
}

/* An action that came first is joined with its showing, not only when its time has passed. */
static void test_waiting_joins_early(void **context) {
    (void)context;
    stage_open(&stage, "lateness: 1m", "window");
    assert_true(row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 1, 10));
    assert_true(row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 2, 10)); /* of another one */
    assert_int_equal(stage.count, 0);
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    assert_int_equal(stage.count, 1);
    expect_said(&stage, 0, CLICK, CLICK, 0, 0);
    assert_true(orphans(&stage) == 0);
    until(&stage, 60000 + 5010); /* the other one is an orphan, of the newest showing */
    assert_int_equal(stage.count, 1);
    assert_true(orphans(&stage) == 1);
    until(&stage, 1000000);
    assert_int_equal(state_count(join_state(stage.join)), 0);
    stage_close(&stage);
}

/* What finds nothing is counted once, however often it came; and is forgotten. */
static void test_orphan_waits_once(void **context) {
    (void)context;
    stage_open(&stage, "lateness: 1m", "window");
    for (int i = 0; i < 3; i++) {
        assert_true(row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 1, 0));
    }
    until(&stage, 70000);
    assert_true(orphans(&stage) == 1);
    assert_int_equal(stage.count, 0);
    assert_int_equal(state_count(join_state(stage.join)), 0);
    stage_close(&stage);
}

static void test_forget_waiting(void **context) {
    (void)context;
    stage_open(&stage, "lateness: 1m", "window");
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    row(&stage, ROW_ACTION, FIXTURE_CLICK, 2, 5, 0);
    row(&stage, ROW_IMPRESSION, 0, 3, -1, 0);
    assert_int_equal(state_count(join_state(stage.join)), 3);
    row(&stage, ROW_FORGET, 0, -1, -1, 0);
    assert_int_equal(state_count(join_state(stage.join)), 0);
    until(&stage, 1000000);
    assert_int_equal(stage.count, 0);
    stage_close(&stage);
}

/* A late showing is the newest to come, not as of event time; the older one lives on and is found
 * when the other is forgotten. */
static void test_older_is_found(void **context) {
    (void)context;
    stage_open(&stage, "dedup: 1s", "window");
    row(&stage, ROW_SERVED, 0, 1, 1, 100000);
    row(&stage, ROW_SERVED, 0, 1, 2, 0);
    until(&stage, 310000); /* the second one is over */
    stage.count = 0;
    assert_true(row(&stage, ROW_ACTION, FIXTURE_HIDE, 1, -1, 310000));
    assert_int_equal(stage.count, 1);
    assert_int_equal(stage.said[0].request, 1);
    stage_close(&stage);
}

/* An orphan on a surface without lateness: counted, and of the newest showing. */
static void test_orphan_at_once(void **context) {
    (void)context;
    stage_open(&stage, "dedup: 1s", "window");
    assert_false(row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 9, 0));
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    row(&stage, ROW_SERVED, 0, 1, 2, 10);
    assert_true(row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 9, 20));
    assert_int_equal(stage.said[0].request, 2);
    assert_true(orphans(&stage) == 1);
    stage_close(&stage);
}

/* An item shown without end: the first ones settle early, once each, and the record stays bounded.
 */
static void test_bound(void **context) {
    (void)context;
    stage_open(&stage, "dedup: 1s", "window");
    for (int i = 0; i < 3 * JOIN_ENTRIES_MAX; i++) {
        assert_true(row(&stage, ROW_SERVED, 0, 1, i, i));
    }
    assert_int_equal(stage.count, 2 * JOIN_ENTRIES_MAX);
    expect_said(&stage, 0, ALL, 0, 0, 0);
    assert_int_equal(stage.said[0].request, 0);
    until(&stage, 1000000);
    assert_int_equal(stage.count, 2 * JOIN_ENTRIES_MAX + 2 * JOIN_ENTRIES_MAX);
    assert_int_equal(state_count(join_state(stage.join)), 0);
    stage_close(&stage);
}

/* --- thinning --- */

/* Logit of one group from the examples said of it, by the balance sum(y - p) = 0. */
static double fitted(const struct stage *said, int group, uint32_t task) {
    double logit = 0;
    for (int step = 0; step < 60; step++) {
        double slope = 0, curve = 1e-9;
        for (int i = 0; i < said->count; i++) {
            const struct said *s = &said->said[i];
            if (s->item % 3 != group || !(s->mask & task)) {
                continue;
            }
            double p = 1 / (1 + exp(-(logit + (double)s->log_odds)));
            slope += (s->labels & task ? 1.0 : 0.0) - p;
            curve += p * (1 - p);
        }
        logit += slope / curve > 1 ? 1 : slope / curve < -1 ? -1 : slope / curve;
    }
    return logit;
}

/* Clicks of a third of the items each at 5, 10 and 20 %; likes mostly where there are clicks. */
static void act_all(struct stage *to) {
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < SHOWINGS; i++) {
        bool click = rng_chance(&rng, 5 << i % 3);
        bool like = rng_chance(&rng, click ? 50 : 4);
        row(to, ROW_SERVED, 0, i, i, 0);
        if (click) {
            row(to, ROW_ACTION, FIXTURE_CLICK, i, i, 1);
        }
        if (like) {
            row(to, ROW_ACTION, FIXTURE_LIKE, i, i, 2);
        }
    }
    until(to, 1000000);
}

static void one_thinning(const char *labels, const char *flow, int keep) {
    static struct stage whole;
    stage_open(&whole, "dedup: 1s", labels);
    stage_open(&stage, flow, labels);
    act_all(&whole);
    act_all(&stage);
    int positives[2] = {0}, negatives[2] = {0};
    for (int s = 0; s < 2; s++) {
        const struct stage *of = s == 0 ? &whole : &stage;
        for (int i = 0; i < of->count; i++) {
            positives[s] += of->said[i].labels != 0;
            negatives[s] += of->said[i].labels == 0;
        }
    }
    assert_int_equal(positives[0], positives[1]);
    assert_true(negatives[1] < 2 * negatives[0] / keep);
    assert_true(negatives[1] > negatives[0] / keep / 2);
    assert_near((double)stage.said[0].log_odds, log(keep), 1e-6);
    for (int group = 0; group < 3; group++) {
        double spread = keep > 10 ? 0.5 : 0.2; /* of the few negatives that are left */
        assert_true(fabs(fitted(&whole, group, CLICK) - fitted(&stage, group, CLICK)) < spread);
        assert_true(fabs(fitted(&whole, group, LIKE) - fitted(&stage, group, LIKE)) < spread);
    }
    stage_close(&whole);
    stage_close(&stage);
}

static void test_thinning(void **context) {
    (void)context;
    one_thinning("window", "keep_negatives: 10", 10);
    one_thinning("window", "keep_negatives: 100", 100);
}

/* A showing that is thinned out says only what is positive, and a late positive is right. */
static void test_thinned_positive(void **context) {
    (void)context;
    stage_open(&stage, "keep_negatives: 1000", "sliding");
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    until(&stage, 60000);
    row(&stage, ROW_ACTION, FIXTURE_LIKE, 1, 1, 60000);
    until(&stage, 110000);
    assert_int_equal(stage.count, 1);
    expect_said(&stage, 0, LIKE, LIKE, EXAMPLE_SLIDE, 100000);
    stage_close(&stage);
    stage_open(&stage, "keep_negatives: 1000", "window");
    row(&stage, ROW_SERVED, 0, 1, 1, 0);
    until(&stage, 60000);
    row(&stage, ROW_ACTION, FIXTURE_CLICK, 1, 1, 60000);
    assert_int_equal(stage.count, 1);
    expect_said(&stage, 0, CLICK, CLICK, EXAMPLE_CORRECTION, 0);
    stage_close(&stage);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fake_negative),
        cmocka_unit_test(test_sliding),
        cmocka_unit_test(test_sliding_corrected),
        cmocka_unit_test(test_waiting_joins_early),
        cmocka_unit_test(test_orphan_waits_once),
        cmocka_unit_test(test_forget_waiting),
        cmocka_unit_test(test_older_is_found),
        cmocka_unit_test(test_orphan_at_once),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_thinning),
        cmocka_unit_test(test_thinned_positive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
