#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "world/arms.h"
#include "world/paired.h"

#include <math.h>

#define DAY_MS   INT64_C(86400000)
#define START_MS INT64_C(1767225600000)

enum { PEOPLE = 40, ITEMS = 120, PAGE = 10 };

struct fixture {
    struct audience *audience;
    struct arms *arms;
    struct arms_scratch *scratch;
    struct rng rng;
    double clicks[2 * ITEMS]; /* the naive model of most-popular, at `clicks_ms` */
    int64_t clicks_ms;
};

static int set_up(void **state) {
    static struct fixture f;
    f = (struct fixture){.clicks_ms = START_MS};
    struct audience_options options = {
        .seed = 9, .people = PEOPLE, .items = ITEMS, .start_ms = START_MS, .span_ms = DAY_MS};
    leat_error err;
    assert_int_equal(audience_create(&options, &f.audience, &err), LEAT_OK);
    assert_int_equal(arms_create(f.audience, &f.arms, &err), LEAT_OK);
    assert_int_equal(arms_scratch_create(f.audience, &f.scratch, &err), LEAT_OK);
    rng_init(&f.rng, 1);
    *state = &f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    arms_scratch_destroy(f->scratch);
    arms_destroy(f->arms);
    audience_destroy(f->audience);
    return 0;
}

static struct visit random_visit(struct fixture *f, int step, int steps) {
    struct visit visit = {.time_ms = START_MS + DAY_MS * step / steps,
                          .person = (uint32_t)rng_below(&f->rng, PEOPLE),
                          .page = (uint32_t)step};
    audience_drift(f->audience, visit.person, visit.time_ms);
    for (int i = 0; i < 8; i++) {
        int item = (int)rng_below(&f->rng, (uint64_t)f->audience->item_count);
        audience_mark(f->audience->people[visit.person].shown, item);
    }
    return visit;
}

static bool may_show(const struct fixture *f, const struct visit *visit, int item) {
    const struct audience_item *it = &f->audience->items[item];
    return it->created_ms <= visit->time_ms && it->expires_ms > visit->time_ms &&
           !audience_bit(f->audience->people[visit->person].shown, item);
}

static void naive_click(struct fixture *f, int item, int64_t time_ms) {
    double kept = exp2(-(double)(time_ms - f->clicks_ms) / (double)DAY_MS);
    for (int i = 0; i < f->audience->item_count; i++) {
        f->clicks[i] *= kept;
    }
    f->clicks_ms = time_ms;
    f->clicks[item]++;
}

static double score_of(const struct fixture *f, enum arm arm, const struct visit *visit, int item) {
    return arm == ARM_POPULAR ? f->clicks[item]
                              : audience_logit(f->audience, visit->person, item, visit->time_ms);
}

/* Nothing that may be shown and is not on the page is better than what is. */
static void check_best(const struct fixture *f, enum arm arm, const struct visit *visit,
                       const int *page, int count) {
    bool on_page[2 * ITEMS] = {false};
    int may = 0;
    double worst = INFINITY;
    for (int i = 0; i < count; i++) {
        assert_true(may_show(f, visit, page[i]));
        assert_false(on_page[page[i]]);
        on_page[page[i]] = true;
        double score = score_of(f, arm, visit, page[i]);
        assert_true(arm == ARM_RANDOM || score <= worst + 1e-9);
        worst = score;
    }
    for (int item = 0; item < f->audience->item_count; item++) {
        if (may_show(f, visit, item)) {
            may++;
            assert_true(arm == ARM_RANDOM || on_page[item] ||
                        score_of(f, arm, visit, item) <= worst + 1e-9);
        }
    }
    assert_int_equal(count, may < PAGE ? may : PAGE);
}

static void test_arms_against_a_naive_model(void **state) {
    struct fixture *f = *state;
    enum { STEPS = 3000 };
    int shorter = 0;
    for (int step = 0; step < STEPS; step++) {
        struct visit visit = random_visit(f, step, STEPS);
        for (int arm = 0; arm < ARM_COUNT; arm++) {
            int page[PAGE];
            int count = arms_choose(f->arms, f->scratch, (enum arm)arm, &visit, PAGE, page);
            check_best(f, (enum arm)arm, &visit, page, count);
            shorter += count < PAGE;
        }
        int item = (int)rng_below(&f->rng, (uint64_t)f->audience->item_count);
        arms_click(f->arms, item, visit.time_ms);
        naive_click(f, item, visit.time_ms);
    }
    assert_true(shorter > 0); /* people who have seen nearly all are among the cases */
}

static void test_random_is_uniform(void **state) {
    struct fixture *f = *state;
    enum { PAGES = 6000 };
    int counts[ITEMS] = {0};
    for (uint32_t n = 0; n < PAGES; n++) {
        struct visit visit = {.time_ms = START_MS, .person = n % PEOPLE, .page = n};
        int page[PAGE];
        assert_int_equal(arms_choose(f->arms, f->scratch, ARM_RANDOM, &visit, PAGE, page), PAGE);
        for (int i = 0; i < PAGE; i++) {
            counts[page[i]]++;
        }
    }
    double expected = (double)PAGES * PAGE / ITEMS;
    double chi = 0;
    for (int item = 0; item < ITEMS; item++) {
        chi += (counts[item] - expected) * (counts[item] - expected) / expected;
    }
    assert_true(fabs(chi - (ITEMS - 1)) < 6 * sqrt(2.0 * (ITEMS - 1)));
}

/* The truth is worth more than popularity, and that more than chance; the same item on two arms'
 * pages is clicked on both or on neither. */
static void test_knowing_more_earns_more(void **state) {
    struct fixture *f = *state;
    struct paired paired = {0};
    for (int step = 0; step < 2000; step++) {
        struct visit visit = {.time_ms = START_MS + step * 1000,
                              .person = (uint32_t)rng_below(&f->rng, PEOPLE),
                              .page = (uint32_t)step};
        int clicks[ARM_COUNT] = {0};
        for (int arm = 0; arm < ARM_COUNT; arm++) {
            int page[PAGE];
            int count = arms_choose(f->arms, f->scratch, (enum arm)arm, &visit, PAGE, page);
            for (int i = 0; i < count; i++) {
                bool clicked = audience_clicks(f->audience, &visit, page[i]);
                clicks[arm] += clicked;
                if (arm == ARM_RANDOM && clicked) {
                    arms_click(f->arms, page[i], visit.time_ms);
                }
            }
        }
        paired_add(&paired, clicks[ARM_POPULAR], clicks);
    }
    assert_true(paired_minus(&paired, ARM_RANDOM) > 3 * paired_error(&paired, ARM_RANDOM));
    assert_true(-paired_minus(&paired, ARM_ORACLE) > 3 * paired_error(&paired, ARM_ORACLE));
    assert_true(paired_minus(&paired, ARM_POPULAR) == 0 && paired_error(&paired, ARM_POPULAR) == 0);
    assert_true(paired_gap_share(&paired) == 0);
}

static void test_paired_sums_by_hand(void **state) {
    (void)state;
    struct paired a = {0};
    struct paired b = {0};
    paired_add(&a, 3, (int[]){1, 2, 4});
    assert_true(isnan(paired_error(&a, ARM_RANDOM)));
    paired_add(&b, 5, (int[]){1, 4, 6});
    paired_add(&b, 1, (int[]){1, 3, 8});
    paired_merge(&a, &b);
    assert_int_equal(a.pages, 3);
    assert_true(paired_served(&a) == 3 && paired_arm(&a, ARM_ORACLE) == 6);
    assert_true(fabs(paired_minus(&a, ARM_POPULAR) - 0) < 1e-12);
    /* differences 1, 1, -2: variance 3, of the mean 1 */
    assert_true(fabs(paired_error(&a, ARM_POPULAR) - 1) < 1e-12);
    assert_true(fabs(paired_gap_share(&a) - 0) < 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arms_against_a_naive_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_is_uniform, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_knowing_more_earns_more, set_up, tear_down),
        cmocka_unit_test(test_paired_sums_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
