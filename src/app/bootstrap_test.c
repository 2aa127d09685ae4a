/* Intervals of differences that are known: none, clear, and one that hangs on a single person. */
#include "app/bootstrap.h"
#include "app/quality.h"
#include "base/rng.h"
#include "base/test.h"

enum { CASES = 2000, PEOPLE = 100 };

/* `ours`, `theirs`: noise of the models around the truth. */
static void make(struct bootstrap_case *cases, uint64_t seed, double ours, double theirs) {
    struct rng rng;
    rng_init(&rng, seed);
    for (int i = 0; i < CASES; i++) {
        double truth = rng_normal(&rng);
        cases[i] = (struct bootstrap_case){
            .ours = (float)(truth + ours * rng_normal(&rng)),
            .theirs = (float)(truth + theirs * rng_normal(&rng)),
            .cluster = (uint32_t)rng_below(&rng, PEOPLE),
            .positive = truth + rng_normal(&rng) > 0,
        };
    }
}

static void test_areas(void **state) {
    (void)state;
    static struct bootstrap_case cases[CASES];
    static struct quality_case ours[CASES];
    struct bootstrap_result result;
    double auc;
    make(cases, 1, 1, 1);
    for (int i = 0; i < CASES; i++) {
        cases[i].ours = (float)((int)(cases[i].ours * 4)); /* ties */
        ours[i] = (struct quality_case){cases[i].ours, cases[i].positive};
    }
    assert_int_equal(bootstrap_auc(cases, CASES, 1, &result, NULL), LEAT_OK);
    assert_int_equal(quality_auc(ours, CASES, &auc, NULL), LEAT_OK);
    assert_true(result.ours - auc < 1e-12 && auc - result.ours < 1e-12);
}

static void test_equal_models(void **state) {
    (void)state;
    static struct bootstrap_case cases[CASES];
    struct bootstrap_result result;
    int holds_0 = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        make(cases, seed, 1, 1);
        assert_int_equal(bootstrap_auc(cases, CASES, seed, &result, NULL), LEAT_OK);
        assert_true(result.low < result.high);
        holds_0 += result.low <= 0 && result.high >= 0;
    }
    assert_true(holds_0 >= 16); /* 19 are expected */
    for (int i = 0; i < CASES; i++) {
        cases[i].theirs = cases[i].ours;
    }
    assert_int_equal(bootstrap_auc(cases, CASES, 1, &result, NULL), LEAT_OK);
    assert_true(result.low == 0 && result.high == 0);
}

static void test_a_better_model(void **state) {
    (void)state;
    static struct bootstrap_case cases[CASES];
    struct bootstrap_result result;
    struct bootstrap_result again;
    make(cases, 3, 0.5, 2);
    assert_int_equal(bootstrap_auc(cases, CASES, 9, &result, NULL), LEAT_OK);
    assert_true(result.low > 0);
    assert_true(result.ours - result.theirs > result.low);
    assert_true(result.ours - result.theirs < result.high);
    assert_int_equal(bootstrap_auc(cases, CASES, 9, &again, NULL), LEAT_OK);
    assert_memory_equal(&result, &again, sizeof(result));
}

/* Better for one person of many cases only: by person that is no evidence. */
static void test_people_are_drawn_whole(void **state) {
    (void)state;
    static struct bootstrap_case cases[CASES];
    struct bootstrap_result by_person;
    struct bootstrap_result by_case;
    make(cases, 5, 1, 1);
    for (int i = 0; i < CASES; i++) {
        cases[i].theirs = cases[i].ours;
        cases[i].cluster = (uint32_t)(i < 300 ? 0 : i % 10 + 1);
        cases[i].ours += i >= 300 ? 0.0f : cases[i].positive ? 2.0f : -2.0f;
    }
    assert_int_equal(bootstrap_auc(cases, CASES, 5, &by_person, NULL), LEAT_OK);
    for (int i = 0; i < CASES; i++) {
        cases[i].cluster = (uint32_t)i;
    }
    assert_int_equal(bootstrap_auc(cases, CASES, 5, &by_case, NULL), LEAT_OK);
    assert_true(by_case.low > 0);
    assert_true(by_person.low <= 0); /* in a third of the draws that person is missing */
}

static void test_one_kind(void **state) {
    (void)state;
    struct bootstrap_case cases[2] = {{1, 2, 0, true}, {2, 3, 1, true}};
    struct bootstrap_result result;
    assert_int_equal(bootstrap_auc(cases, 2, 1, &result, NULL), LEAT_INVALID);
    assert_int_equal(bootstrap_auc(cases, 0, 1, &result, NULL), LEAT_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_areas),          cmocka_unit_test(test_equal_models),
        cmocka_unit_test(test_a_better_model), cmocka_unit_test(test_people_are_drawn_whole),
        cmocka_unit_test(test_one_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
