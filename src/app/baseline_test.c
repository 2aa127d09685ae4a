/* The baselines against a naive model that keeps every click and sorts every item; and, where DATA
 * is set, against what was measured elsewhere on the real stream. */
#include "app/baseline.h"
#include "app/quality.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "connect/globo.h"

#include <math.h>
#include <stdlib.h>

enum { ITEMS = 30, SESSIONS = 40, CLICKS = 600, SESSION_MAX = 64 };

struct model_click {
    int64_t time_ms;
    uint32_t item;
    int session;
};

struct model {
    struct model_click clicks[CLICKS];
    int count;
    uint32_t own[SESSIONS][SESSION_MAX];
    int own_count[SESSIONS];
};

static struct session_items model_session(const struct model *model, int session) {
    return (struct session_items){model->own[session], model->own_count[session]};
}

static int window_clicks(const struct model *model, int64_t now_ms, uint32_t item) {
    int clicks = 0;
    for (int i = 0; i < model->count; i++) {
        const struct model_click *click = &model->clicks[i];
        clicks += click->item == item && click->time_ms > now_ms - BASELINE_WINDOW_MS;
    }
    return clicks;
}

/* The weight at `now_ms` of all pairs of two items, in either order. */
static double pair_weight(const struct model *model, int64_t now_ms, uint32_t a, uint32_t b) {
    double weight = 0;
    for (int i = 0; i < model->count; i++) {
        const struct model_click *later = &model->clicks[i];
        int back = 0;
        for (int k = i - 1; k >= 0 && back < BASELINE_LAST; k--) {
            const struct model_click *earlier = &model->clicks[k];
            if (earlier->session != later->session) {
                continue;
            }
            back++;
            double fresh = exp2(-(double)(now_ms - later->time_ms) / 14400000);
            weight += (earlier->item == a && later->item == b) ? fresh : 0;
            weight += (earlier->item == b && later->item == a) ? fresh : 0;
        }
    }
    return weight;
}

static double query_score(const struct model *model, int64_t now_ms, int session, uint32_t item) {
    struct session_items own = model_session(model, session);
    double score = 0;
    double step = 1;
    for (int i = own.count - 1; i >= 0 && i >= own.count - BASELINE_LAST; i--) {
        score += step * pair_weight(model, now_ms, own.items[i], item);
        step *= 0.8;
    }
    return score;
}

/* Rank by counting who stands before; by score, then clicks, then id. */
static int naive_rank(const double *scores, const int *clicks, const bool *own, uint32_t item) {
    if (own[item] || (scores[item] <= 0 && clicks[item] == 0)) {
        return 0;
    }
    int rank = 1;
    for (uint32_t i = 0; i < ITEMS; i++) {
        double ahead = scores[i] - scores[item];
        /* sums in another order differ in the last digits */
        bool tied = fabs(ahead) <= 1e-9 * scores[item];
        bool before =
            tied ? (clicks[i] != clicks[item] ? clicks[i] > clicks[item] : i < item) : ahead > 0;
        rank += before && !own[i];
    }
    return rank;
}

static struct baseline_ranks model_rank(const struct model *model, int64_t now_ms, int session,
                                        uint32_t item) {
    double none[ITEMS] = {0};
    double scores[ITEMS];
    int clicks[ITEMS];
    bool own[ITEMS] = {false};
    for (int i = 0; i < model->own_count[session]; i++) {
        own[model->own[session][i]] = true;
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        scores[i] = query_score(model, now_ms, session, i);
        clicks[i] = window_clicks(model, now_ms, i);
    }
    return (struct baseline_ranks){naive_rank(none, clicks, own, item),
                                   naive_rank(scores, clicks, own, item)};
}

static void model_tell(struct model *model, int64_t time_ms, int session, uint32_t item) {
    model->clicks[model->count++] = (struct model_click){time_ms, item, session};
    model->own[session][model->own_count[session]++] = item;
}

static void run_against_model(uint64_t seed, double mean_gap_ms) {
    static struct model model;
    struct rng rng;
    struct baseline *baseline;
    memset(&model, 0, sizeof(model));
    rng_init(&rng, seed);
    assert_int_equal(baseline_create(&baseline, NULL), LEAT_OK);
    int64_t now_ms = 1507690800000;
    for (int i = 0; i < CLICKS; i++) {
        now_ms += (int64_t)rng_exponential(&rng, mean_gap_ms);
        int session = (int)rng_below(&rng, SESSIONS);
        uint32_t item = (uint32_t)(rng_unit(&rng) * rng_unit(&rng) * ITEMS);
        if (model.own_count[session] == SESSION_MAX) {
            continue;
        }
        struct session_items own = model_session(&model, session);
        struct baseline_ranks found = baseline_rank(baseline, now_ms, own, item);
        struct baseline_ranks expected = model_rank(&model, now_ms, session, item);
        assert_int_equal(found.popular, expected.popular);
        assert_int_equal(found.cooccurrence, expected.cooccurrence);
        assert_int_equal(baseline_tell(baseline, now_ms, own, item, NULL), LEAT_OK);
        model_tell(&model, now_ms, session, item);
    }
    baseline_destroy(baseline);
}

static void test_ranks_are_those_of_a_naive_model(void **state) {
    (void)state;
    run_against_model(1, 20000);  /* all within hours */
    run_against_model(2, 300000); /* the window empties and fills */
}

/* Over years the growing weights are scaled back several times, and nothing breaks. */
static void test_long_streams_do_not_overflow(void **state) {
    (void)state;
    struct baseline *baseline;
    assert_int_equal(baseline_create(&baseline, NULL), LEAT_OK);
    int64_t day_ms = 86400000;
    for (int64_t day = 0; day < 3000; day++) {
        const uint32_t own[] = {7};
        struct session_items session = {own, 1};
        int64_t now_ms = day * day_ms;
        uint32_t item = (uint32_t)(1 + day % 3);
        assert_int_equal(baseline_tell(baseline, now_ms, (struct session_items){NULL, 0}, 7, NULL),
                         LEAT_OK);
        assert_int_equal(baseline_tell(baseline, now_ms, session, item, NULL), LEAT_OK);
        struct baseline_ranks newest = baseline_rank(baseline, now_ms, session, item);
        assert_int_equal(newest.cooccurrence, 1);
    }
    baseline_destroy(baseline);
}

static struct session_items real_session(const struct globo_clicks *clicks, const int32_t *previous,
                                         const uint16_t *position, size_t at, uint32_t *items) {
    int count = position[at];
    int32_t click = previous[at];
    for (int i = count - 1; i >= 0; i--, click = previous[click]) {
        items[i] = clicks->clicks[click].item;
    }
    return (struct session_items){items, count};
}

static void measure(const struct globo_clicks *clicks, const int32_t *previous,
                    const uint16_t *position, struct quality_ranks *popular,
                    struct quality_ranks *cooccurrence) {
    const int64_t from_ms = 1507690800000;
    const int64_t to_ms = from_ms + 2 * 86400000;
    static uint32_t items[UINT16_MAX];
    struct baseline *baseline;
    assert_int_equal(baseline_create(&baseline, NULL), LEAT_OK);
    for (size_t i = 0; i < clicks->count && clicks->clicks[i].time_ms < to_ms; i++) {
        const struct globo_click *click = &clicks->clicks[i];
        struct session_items session = real_session(clicks, previous, position, i, items);
        if (session.count > 0 && click->time_ms >= from_ms) {
            struct baseline_ranks ranks =
                baseline_rank(baseline, click->time_ms, session, click->item);
            quality_add(popular, ranks.popular);
            quality_add(cooccurrence, ranks.cooccurrence);
        }
        assert_int_equal(baseline_tell(baseline, click->time_ms, session, click->item, NULL),
                         LEAT_OK);
    }
    baseline_destroy(baseline);
}

static void test_the_measured_values_come_back(void **state) {
    (void)state;
    const char *data = getenv("DATA");
    if (!data) {
        print_message("skipped: DATA is not set\n");
        skip();
    }
    char folder[PATH_BYTES_MAX];
    struct refusals refusals = {.strict = true};
    struct globo_clicks clicks;
    assert_int_equal(path_join(folder, data, "globo-news-clicks", NULL), LEAT_OK);
    assert_int_equal(globo_read(disk_real(), folder, &refusals, &clicks, NULL), LEAT_OK);
    int32_t *previous = memory_alloc(clicks.count * sizeof(*previous));
    uint16_t *position = memory_alloc(clicks.count * sizeof(*position));
    assert_true(previous && position);
    assert_int_equal(globo_link_sessions(&clicks, previous, position, NULL), LEAT_OK);
    struct quality_ranks popular = {0};
    struct quality_ranks cooccurrence = {0};
    measure(&clicks, previous, position, &popular, &cooccurrence);
    print_message("popular-1h %.4f / %.4f, co-occurrence %.4f / %.4f on %d clicks\n",
                  quality_hr(&popular), quality_mrr(&popular), quality_hr(&cooccurrence),
                  quality_mrr(&cooccurrence), (int)popular.count);
    assert_int_equal(popular.count, 232170);
    assert_true(fabs(quality_hr(&popular) - 0.4914) < 0.002);
    assert_true(fabs(quality_mrr(&popular) - 0.2080) < 0.002);
    assert_true(fabs(quality_hr(&cooccurrence) - 0.5082) < 0.002);
    assert_true(fabs(quality_mrr(&cooccurrence) - 0.2292) < 0.002);
    memory_free(previous);
    memory_free(position);
    globo_free(&clicks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks_are_those_of_a_naive_model),
        cmocka_unit_test(test_long_streams_do_not_overflow),
        cmocka_unit_test(test_the_measured_values_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
