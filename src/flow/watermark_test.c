#include "base/rng.h"
#include "base/test.h"
#include "flow/watermark.h"

#include <stdlib.h>

enum { STEPS = 100, SEEDS = 400, IDLE_MS = 50 };

/* The naive model keeps the whole history and works every answer out from its beginning. */
enum step_kind { STEP_PUSH, STEP_ROW, STEP_NOW, STEP_END };
struct step {
    enum step_kind kind;
    int input;
    int64_t time_ms;
};

/* What one input knows after the first `count` steps. */
static bool model_idle(const struct step *steps, int count, int input) {
    int64_t now_ms = INT64_MIN, active_ms = INT64_MIN;
    for (int i = 0; i < count; i++) {
        if (steps[i].kind == STEP_NOW && steps[i].time_ms > now_ms) {
            now_ms = steps[i].time_ms;
            active_ms = active_ms == INT64_MIN ? now_ms : active_ms;
        } else if (steps[i].kind != STEP_NOW && steps[i].input == input) {
            active_ms = now_ms;
        }
    }
    return active_ms != INT64_MIN && now_ms - active_ms >= IDLE_MS;
}

static int64_t model_input(const struct step *steps, int count, int input) {
    int64_t most = INT64_MIN;
    for (int i = 0; i < count; i++) {
        if (steps[i].input == input && steps[i].kind == STEP_END) {
            most = INT64_MAX;
        }
        if (steps[i].input == input && steps[i].kind == STEP_PUSH && steps[i].time_ms > most) {
            most = steps[i].time_ms;
        }
    }
    return most;
}

/* The least of those that count, at this step alone. */
static int64_t model_least(const struct step *steps, int count, int inputs) {
    int64_t least = INT64_MAX;
    int ended = 0, counted = 0;
    for (int input = 0; input < inputs; input++) {
        int64_t time_ms = model_input(steps, count, input);
        if (time_ms == INT64_MAX) {
            ended++;
        } else if (!model_idle(steps, count, input)) {
            counted++;
            least = time_ms < least ? time_ms : least;
        }
    }
    return ended == inputs ? INT64_MAX : counted > 0 ? least : INT64_MIN;
}

static struct step random_step(struct rng *rng, int inputs, int64_t *now_ms) {
    struct step step = {(enum step_kind)rng_below(rng, 3), (int)rng_below(rng, (uint64_t)inputs),
                        (int64_t)rng_below(rng, 1000)};
    if (step.kind == STEP_NOW) {
        *now_ms += (int64_t)rng_below(rng, 40) - 5; /* now and then it goes back */
        step.time_ms = *now_ms;
    }
    if (rng_below(rng, 150) == 0) {
        step.kind = STEP_END;
    }
    return step;
}

static bool apply(struct watermark *watermark, struct step step) {
    switch (step.kind) {
    case STEP_PUSH: return watermark_push(watermark, step.input, step.time_ms);
    case STEP_ROW: return watermark_row(watermark, step.input);
    case STEP_NOW: return watermark_now(watermark, step.time_ms);
    default: return watermark_end(watermark, step.input);
    }
}

static void test_against_a_model(void **state) {
    (void)state;
    int moves = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        int inputs = 1 + (int)rng_below(&rng, 4);
        struct step steps[STEPS];
        struct watermark watermark;
        watermark_init(&watermark, inputs, IDLE_MS);
        int64_t now_ms = 0, combined = INT64_MIN;
        for (int i = 0; i < STEPS; i++) {
            steps[i] = random_step(&rng, inputs, &now_ms);
            bool moved = apply(&watermark, steps[i]);
            int64_t least = model_least(steps, i + 1, inputs);
            assert_int_equal(moved, least > combined);
            combined = least > combined ? least : combined;
            assert_true(watermark.combined_ms == combined);
            for (int input = 0; input < inputs; input++) {
                assert_int_equal(watermark_idle(&watermark, input),
                                 model_idle(steps, i + 1, input));
            }
            moves += moved;
        }
    }
    assert_true(moves > SEEDS); /* the streams do move it */
}

static void test_idle_input_comes_back(void **state) {
    (void)state;
    struct watermark watermark;
    watermark_init(&watermark, 2, IDLE_MS);
    watermark_now(&watermark, 1000);
    watermark_push(&watermark, 0, 100);
    assert_true(watermark.combined_ms == WATERMARK_NONE); /* input 1 may still bring anything */
    watermark_now(&watermark, 1000 + IDLE_MS - 1);
    watermark_push(&watermark, 0, 200);
    assert_true(watermark.combined_ms == WATERMARK_NONE);
    assert_true(watermark_now(&watermark, 1000 + IDLE_MS));
    assert_int_equal(watermark.combined_ms, 200);
    watermark_push(&watermark, 1, 150); /* awake, and behind: it holds, and nothing goes back */
    watermark_push(&watermark, 0, 300);
    assert_int_equal(watermark.combined_ms, 200);
    watermark_push(&watermark, 1, 250);
    assert_int_equal(watermark.combined_ms, 250);
}

static void test_end(void **state) {
    (void)state;
    struct watermark watermark;
    watermark_init(&watermark, 2, IDLE_MS);
    watermark_now(&watermark, 0);
    watermark_push(&watermark, 1, 10);
    watermark_end(&watermark, 0);
    assert_int_equal(watermark.combined_ms, 10);
    watermark_now(&watermark, 10 * IDLE_MS); /* one ended and one idle is not the end of time */
    assert_int_equal(watermark.combined_ms, 10);
    watermark_end(&watermark, 1);
    assert_true(watermark.combined_ms == WATERMARK_END);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_idle_input_comes_back),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
