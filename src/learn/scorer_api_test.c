/* The public face of scoring against predicting: every network, requests and candidates on their
 * own sides and mixed, without an allocation. */
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/learn_test.h"

#include <leat/scorer.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More candidates than are put together at once. */
enum { FIELDS = 4, DENSE = 2, TASKS = 2, IDS = 40, CANDIDATES = 150, KEYS = 12 };

/* user and item by sum, a history by mean that has the item's rows, and one by attention. */
static struct model_spec spec_of(enum model_network network) {
    struct model_spec spec = spec_fixture(network == NETWORK_TOWERS ? 1 : TASKS,
                                          network == NETWORK_LOGISTIC ? 0 : 4, DENSE);
    bool batches = network >= NETWORK_FWFM;
    bool deep = network >= NETWORK_DEEPFM;
    spec.network = network;
    spec.field_count = FIELDS;
    for (int f = 0; f < FIELDS; f++) {
        spec.fields[f] = (struct model_field){.target = -1, .shares = f, .rate = 1.0f};
        snprintf(spec.fields[f].name, sizeof(spec.fields[f].name), "field%d", f);
    }
    spec.fields[1].of_item = true;
    if (batches) {
        bool towers = network == NETWORK_TOWERS;
        spec.fields[2].pool = POOL_MEAN;
        spec.fields[2].shares = 1;
        spec.fields[3].pool = towers ? POOL_MEAN : POOL_TARGET;
        spec.fields[3].target = towers ? -1 : 1;
    }
    spec.hidden_count = deep ? 1 : 0;
    spec.hidden[0] = deep ? 8 : 0;
    spec.cross = network == NETWORK_DCN ? 2 : 0;
    spec.experts = network == NETWORK_MMOE || network == NETWORK_PLE ? 2 : 0;
    spec.spread = 0.3f;
    spec.batch = batches ? 16 : 1;
    if (network == NETWORK_TOWERS) {
        spec.tasks[0].head = HEAD_RETRIEVAL;
    }
    return spec;
}

/* A request's keys, those of its candidates, and both together. */
struct drawn {
    int request_count;
    uint64_t request[KEYS];
    uint32_t offsets[CANDIDATES + 1], whole_offsets[CANDIDATES + 1];
    uint64_t keys[CANDIDATES * KEYS], whole_keys[CANDIDATES * KEYS];
    float dense[CANDIDATES * DENSE], targets[CANDIDATES * TASKS], weights[CANDIDATES * TASKS];
};

static uint64_t draw_key(struct rng *rng, int field) {
    return key_make(field, rng_below(rng, IDS) * 977);
}

/* `mixed`: keys of any field on both sides. */
static void draw(struct rng *rng, bool mixed, int tasks, struct drawn *out) {
    static const int of_request[] = {0, 2, 3};
    memset(out, 0, sizeof(*out));
    out->request_count = (int)rng_below(rng, 6);
    for (int k = 0; k < out->request_count; k++) {
        int field = mixed ? (int)rng_below(rng, FIELDS) : of_request[rng_below(rng, 3)];
        out->request[k] = draw_key(rng, field);
    }
    for (int i = 0; i < CANDIDATES; i++) {
        uint32_t at = out->offsets[i], whole = out->whole_offsets[i];
        for (int k = 0; k < out->request_count; k++) {
            out->whole_keys[whole++] = out->request[k];
        }
        for (uint64_t k = rng_below(rng, 4); k > 0; k--) {
            out->keys[at] = draw_key(rng, mixed ? (int)rng_below(rng, FIELDS) : 1);
            out->whole_keys[whole++] = out->keys[at++];
        }
        out->offsets[i + 1] = at;
        out->whole_offsets[i + 1] = whole;
        for (int d = 0; d < DENSE; d++) {
            out->dense[i * DENSE + d] = (float)rng_normal(rng);
        }
        for (int t = 0; t < tasks; t++) {
            out->targets[i * tasks + t] = (float)rng_below(rng, 2);
            out->weights[i * tasks + t] = 1;
        }
    }
}

static struct minibatch whole_of(const struct drawn *drawn, int tasks) {
    return (struct minibatch){.count = CANDIDATES,
                              .tasks = tasks,
                              .dense_count = DENSE,
                              .offsets = drawn->whole_offsets,
                              .keys = drawn->whole_keys,
                              .dense = drawn->dense,
                              .targets = drawn->targets,
                              .weights = drawn->weights};
}

static struct model *learnt_model(const struct model_spec *spec, struct rng *rng,
                                  struct drawn *drawn) {
    struct model *model = NULL;
    leat_error err = {.message = ""};
    if (model_open(spec, NULL, NULL, &model, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    for (int round = 0; round < 6; round++) {
        draw(rng, round & 1, spec->task_count, drawn);
        struct minibatch batch = whole_of(drawn, spec->task_count);
        model_learn_batch(model, &batch, NULL);
    }
    return model;
}

static leat_model *saved_and_opened(struct model *model) {
    char folder[] = "/tmp/leat-scorer-XXXXXX";
    char path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.model", folder);
    assert_int_equal(model_save(model, disk_real(), path, NULL), LEAT_OK);
    leat_model *opened = NULL;
    leat_error err = {.message = ""};
    if (leat_model_open(path, &opened, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    unlink(path);
    rmdir(folder);
    return opened;
}

static void expect_predictions(struct model *model, leat_scorer *scorer, const struct drawn *drawn,
                               int tasks) {
    float expected[CANDIDATES * TASKS], out[CANDIDATES * TASKS];
    struct minibatch whole = whole_of(drawn, tasks);
    model_predict_batch(model, &whole, expected);
    uint64_t allocations = memory_allocations();
    assert_int_equal(leat_scorer_prepare(scorer, drawn->request, drawn->request_count, NULL),
                     LEAT_OK);
    assert_int_equal(
        leat_scorer_score(scorer, CANDIDATES, drawn->offsets, drawn->keys, drawn->dense, out, NULL),
        LEAT_OK);
    assert_int_equal(memory_allocations(), allocations);
    bool moves = false;
    for (int i = 0; i < CANDIDATES * tasks; i++) {
        assert_true(fabsf(out[i] - expected[i]) < 1e-5f);
        moves = moves || fabsf(out[i] - out[i % tasks]) > 1e-3f;
    }
    assert_true(moves); /* else nothing was compared */
}

static void scores_are_predictions(void **state) {
    (void)state;
    struct drawn *drawn = memory_alloc(sizeof(*drawn));
    assert_non_null(drawn);
    for (int network = NETWORK_FM; network <= NETWORK_TOWERS; network++) {
        struct rng rng;
        rng_init(&rng, 7 + (uint64_t)network);
        struct model_spec spec = spec_of((enum model_network)network);
        struct model *model = learnt_model(&spec, &rng, drawn);
        leat_model *opened = saved_and_opened(model);
        leat_scorer *scorer = NULL;
        assert_int_equal(leat_scorer_open(opened, CANDIDATES, KEYS, &scorer, NULL), LEAT_OK);
        for (int round = 0; round < 8; round++) {
            draw(&rng, round & 1, spec.task_count, drawn);
            expect_predictions(model, scorer, drawn, spec.task_count);
        }
        leat_scorer_close(scorer);
        leat_model_close(opened);
        model_close(model);
    }
    memory_free(drawn);
}

/* Opening gives everything back when memory ends anywhere. */
static void every_failed_allocation_is_an_error(void **state) {
    (void)state;
    const char *path = LEAT_SOURCE_DIR "/tests/golden/model_v2_network.bin";
    uint64_t blocks = memory_blocks();
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        leat_model *model = NULL;
        leat_scorer *scorer = NULL;
        memory_fail_at(n);
        leat_status status = leat_model_open(path, &model, NULL);
        if (status == LEAT_OK) {
            status = leat_scorer_open(model, 8, 8, &scorer, NULL);
        }
        failed = memory_fail_left() == 0;
        memory_fail_at(0);
        assert_int_equal(status, failed ? LEAT_MEMORY : LEAT_OK);
        leat_scorer_close(scorer);
        leat_model_close(model);
        assert_int_equal(memory_blocks(), blocks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_predictions),
        cmocka_unit_test(every_failed_allocation_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
