/* Delayed positives: fake negatives with the weights of FNW are calibrated where plain ones are
 * not, with thinned negatives too; and thinning by itself moves no prediction. */
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/learn_test.h"

#include <math.h>
#include <stdio.h>

enum { GROUPS = 8, SHOWINGS = 120000, SHOWINGS_MAX = 5 * SHOWINGS, DELAY = 2000 };

struct stream {
    bool weighted, fake; /* fake: a negative at once; else the label when it is known */
    int keep;            /* 1 of so many negatives */
    int showings;        /* 0: SHOWINGS */
};

static double true_p(int group) {
    return 0.02 + 0.05 * group; /* 0.02 .. 0.37 */
}

static struct model *open_model(void) {
    struct model_spec spec = spec_fixture(1, 1, 0);
    spec.rate = 0.15f;
    spec.rate_dense = 0.01f;
    spec.memory = 1 << 20;
    struct model *model = NULL;
    assert_int_equal(model_open(&spec, NULL, NULL, &model, NULL), LEAT_OK);
    return model;
}

static void learn(struct model *model, const struct stream *stream, int group, bool positive) {
    uint64_t key = (uint64_t)group + 1;
    struct example example = {.keys = &key,
                              .key_count = 1,
                              .mask = 1,
                              .labels = positive,
                              .weight = 1.0f,
                              .log_odds = (float)log(stream->keep),
                              .flags = stream->weighted ? EXAMPLE_FAKE : 0};
    model_learn(model, &example);
}

/* Mean of |predicted - true| / true over the groups. */
static double calibration_error(struct model *model) {
    struct arena arena;
    struct scorer *scorer = NULL;
    double error = 0;
    arena_init(&arena, 1 << 16, 1 << 20);
    assert_int_equal(scorer_begin(model, &arena, &scorer, NULL), LEAT_OK);
    for (int group = 0; group < GROUPS; group++) {
        uint64_t key = (uint64_t)group + 1;
        float p;
        scorer_score(scorer, &key, 1, NULL, &p);
        error += fabs((double)p - true_p(group)) / true_p(group) / GROUPS;
    }
    scorer_end(scorer);
    arena_deinit(&arena);
    return error;
}

/* Showings of random groups; positives come DELAY showings later. */
static double run(const struct stream *stream) {
    static signed char late[SHOWINGS_MAX]; /* group of the positive that comes, or -1 */
    struct model *model = open_model();
    struct rng rng;
    rng_init(&rng, 5);
    int showings = stream->showings > 0 ? stream->showings : SHOWINGS;
    for (int i = 0; i < showings; i++) {
        int group = (int)rng_below(&rng, GROUPS);
        bool positive = rng_unit(&rng) < true_p(group);
        bool kept = rng_below(&rng, (uint64_t)stream->keep) == 0;
        late[i] = (signed char)(positive ? group : -1);
        if (kept && (stream->fake || !positive)) {
            learn(model, stream, group, false);
        }
        if (i >= DELAY && late[i - DELAY] >= 0) {
            learn(model, stream, late[i - DELAY], true);
        }
    }
    double error = calibration_error(model);
    model_close(model);
    return error;
}

static void weights_undo_fake_negatives(void **context) {
    (void)context;
    double plain = run(&(struct stream){.weighted = false, .fake = true, .keep = 1});
    double weighted = run(&(struct stream){.weighted = true, .fake = true, .keep = 1});
    double thinned = run(&(struct stream){.weighted = true, .fake = true, .keep = 10});
    print_message("calibration error: plain %.4f, weighted %.4f, and thinned %.4f\n", plain,
                  weighted, thinned);
    assert_true(plain > 0.1);
    assert_true(weighted < plain / 2);
    assert_true(thinned < plain / 2);
}

static void thinning_moves_nothing(void **context) {
    (void)context;
    double all = run(&(struct stream){.keep = 1});
    double tenth = run(&(struct stream){.keep = 10});
    double hundredth = run(&(struct stream){.keep = 100, .showings = SHOWINGS_MAX});
    print_message("calibration error: all %.4f, 1 of 10 negatives %.4f, 1 of 100 %.4f\n", all,
                  tenth, hundredth);
    assert_true(all < 0.06);
    assert_true(tenth < 0.06);
    assert_true(hundredth < 0.15);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_undo_fake_negatives),
                                       cmocka_unit_test(thinning_moves_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
