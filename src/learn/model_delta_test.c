/* Deltas of a model that learns, against that model: a replica that begins anywhere, takes them cut
 * anywhere, once or twice, scores as it does. */
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/learn_test.h"
#include "learn/model_delta.h"
#include "learn/model_internal.h"

#include <math.h>

enum { TASKS = 2, DIMENSION = 6, DENSE = 3, KEYS = 5, EXAMPLES = 1500, ASKED = 40 };

/* Of a network that steps in batches, where one is asked for. */
static struct model_spec spec_of(int dimension, bool batches) {
    struct model_spec spec = spec_fixture(TASKS, dimension, DENSE);
    if (batches) {
        spec.network = NETWORK_DEEPFM;
        spec.field_count = 1;
        spec.fields[0] = (struct model_field){.name = "id", .target = -1, .rate = 1, .admit = 1};
        spec.hidden_count = 1;
        spec.hidden[0] = 8;
        spec.batch = 16;
        spec.calibrate = true;
    }
    return spec;
}

static struct model *open_replica(bool batches) {
    struct model_spec spec = spec_of(DIMENSION, batches);
    struct model *model = NULL;
    leat_error err = {.message = ""};
    if (model_open_replica(&spec, NULL, &model, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return model;
}

static struct model *open_model(int dimension, bool batches) {
    struct model_spec spec = spec_of(dimension, batches);
    struct model *model = NULL;
    assert_int_equal(model_open(&spec, NULL, NULL, &model, NULL), LEAT_OK);
    return model;
}

static void learn_one(struct model *model, struct rng *rng, uint64_t sequence) {
    uint64_t keys[KEYS];
    float dense[DENSE];
    for (int i = 0; i < KEYS; i++) {
        keys[i] = rng_below(rng, 300) * 977;
    }
    for (int i = 0; i < DENSE; i++) {
        dense[i] = (float)rng_normal(rng);
    }
    struct example example = {.sequence = sequence,
                              .keys = keys,
                              .key_count = KEYS,
                              .dense = dense,
                              .dense_count = DENSE,
                              .mask = 1 + (uint32_t)rng_below(rng, 3),
                              .labels = (uint32_t)rng_below(rng, 4),
                              .weight = 1};
    model_learn(model, &example);
}

/* Scores of some questions that are the same for every model. */
static void ask(const struct model *model, float out[ASKED * TASKS]) {
    struct arena arena;
    struct scorer *scorer;
    struct rng rng;
    rng_init(&rng, 12);
    arena_init(&arena, 64 << 10, 1 << 20);
    assert_int_equal(scorer_begin(model, &arena, &scorer, NULL), LEAT_OK);
    for (int i = 0; i < ASKED; i++) {
        uint64_t keys[KEYS];
        float dense[DENSE];
        for (int k = 0; k < KEYS; k++) {
            keys[k] = rng_below(&rng, 330) * 977; /* some are unknown */
        }
        for (int d = 0; d < DENSE; d++) {
            dense[d] = (float)rng_normal(&rng);
        }
        scorer_score(scorer, keys, KEYS, dense, out + i * TASKS);
    }
    scorer_end(scorer);
    arena_deinit(&arena);
}

static float apart(const struct model *left, const struct model *right) {
    float a[ASKED * TASKS], b[ASKED * TASKS], most = 0;
    ask(left, a);
    ask(right, b);
    for (int i = 0; i < ASKED * TASKS; i++) {
        most = fabsf(a[i] - b[i]) > most ? fabsf(a[i] - b[i]) : most;
    }
    return most;
}

static leat_status apply(struct model *model, const struct bytes *bytes) {
    struct delta delta;
    TRY(delta_read(bytes->data, bytes->size, &delta, NULL));
    TRY(model_delta_check(model, &delta, NULL));
    return model_delta_apply(model, &delta, NULL);
}

static void copy_model(struct model *from, struct model *to) {
    struct model_snapshot *snapshot;
    struct bytes bytes;
    bytes_init(&bytes);
    assert_int_equal(model_freeze(from, &snapshot, NULL), LEAT_OK);
    assert_int_equal(model_snapshot_write(snapshot, sink_bytes, &bytes, NULL), LEAT_OK);
    model_snapshot_release(snapshot);
    struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
    assert_int_equal(model_restore(to, source_bytes, &reader, NULL), LEAT_OK);
    bytes_deinit(&bytes);
}

struct pair {
    struct model *leader, *replica;
    struct model_changes *changes;
    struct rng rng;
    uint64_t position, from;
    struct bytes bytes;
};

static void pair_open(struct pair *pair, uint64_t seed, bool batches) {
    *pair =
        (struct pair){.leader = open_model(DIMENSION, batches), .replica = open_replica(batches)};
    rng_init(&pair->rng, seed);
    bytes_init(&pair->bytes);
    assert_int_equal(model_changes_create(pair->leader, &pair->changes, NULL), LEAT_OK);
}

static void pair_close(struct pair *pair) {
    model_changes_destroy(pair->changes);
    model_close(pair->replica);
    model_close(pair->leader);
    bytes_deinit(&pair->bytes);
}

static void pair_learn(struct pair *pair, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, pair->position++) {
        learn_one(pair->leader, &pair->rng, pair->position);
        if (rng_below(&pair->rng, 20) == 0) { /* as an expired row goes; it may come again */
            table_remove(pair->leader->table, rng_below(&pair->rng, 300) * 977);
        }
    }
}

/* Of a network scorers see a version that may be a step old. */
static float pair_apart(struct pair *pair) {
    model_dense_changed(pair->leader);
    return apart(pair->leader, pair->replica);
}

static struct delta_head pair_cut(struct pair *pair, enum delta_encoding encoding) {
    struct delta_head head = {.encoding = encoding, .from = pair->from, .to = pair->position};
    bytes_clear(&pair->bytes);
    model_reach(pair->leader, pair->position);
    assert_int_equal(model_delta_take(pair->changes, &head, true, &pair->bytes, NULL), LEAT_OK);
    pair->from = pair->position;
    return head;
}

static void follow_along(uint64_t seeds, bool batches) {
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct pair pair;
        pair_open(&pair, seed, batches);
        pair_learn(&pair, rng_below(&pair.rng, 300));
        if (seed % 2) { /* begins with a checkpoint from the middle of a delta */
            copy_model(pair.leader, pair.replica);
            pair_learn(&pair, rng_below(&pair.rng, 50));
        }
        while (pair.position < EXAMPLES) {
            pair_cut(&pair, DELTA_FP32);
            for (uint64_t i = 0; i <= rng_below(&pair.rng, 2); i++) {
                assert_int_equal(apply(pair.replica, &pair.bytes), LEAT_OK);
            }
            assert_true(pair_apart(&pair) == 0);
            assert_int_equal(model_rows(pair.replica), model_rows(pair.leader));
            pair_learn(&pair, 40 + rng_below(&pair.rng, 200));
            assert_true(pair_apart(&pair) > 0); /* learning moves scores */
        }
        pair_close(&pair);
    }
}

static void test_a_replica_scores_as_its_leader(void **state) {
    (void)state;
    follow_along(8, false);
}

static void test_networks_too(void **state) {
    (void)state;
    follow_along(3, true);
}

static void test_inexact_rows_are_close(void **state) {
    (void)state;
    for (int encoding = DELTA_BF16; encoding <= DELTA_INT8; encoding++) {
        struct pair pair;
        pair_open(&pair, 3, false);
        while (pair.position < EXAMPLES) {
            pair_learn(&pair, 100);
            pair_cut(&pair, (enum delta_encoding)encoding);
            assert_int_equal(apply(pair.replica, &pair.bytes), LEAT_OK);
            float off = apart(pair.leader, pair.replica);
            assert_true(off > 0 && off < 0.01f);
        }
        pair_close(&pair);
    }
}

/* Only what changed: nothing is in the delta of a model that stood still. */
static void test_only_what_changed(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair, 4, false);
    pair_learn(&pair, 500);
    assert_int_equal(pair_cut(&pair, DELTA_INT8).rows, model_rows(pair.leader));
    struct delta_head none = pair_cut(&pair, DELTA_INT8);
    assert_int_equal(none.rows + none.removed, 0);
    learn_one(pair.leader, &pair.rng, pair.position);
    uint32_t rows = pair_cut(&pair, DELTA_INT8).rows;
    assert_true(rows > 0 && rows <= KEYS);
    uint64_t key = 0;
    while (table_find(pair.leader->table, key) == TABLE_NONE) {
        key += 977;
    }
    assert_true(table_remove(pair.leader->table, key));
    struct delta_head gone = pair_cut(&pair, DELTA_INT8);
    assert_int_equal(gone.rows, 0);
    assert_int_equal(gone.removed, 1);
    pair_close(&pair);
}

static void test_another_model_is_refused(void **state) {
    (void)state;
    struct pair pair;
    struct delta delta;
    struct model *other = open_model(DIMENSION + 1, false);
    pair_open(&pair, 5, false);
    pair_learn(&pair, 10);
    pair_cut(&pair, DELTA_FP32);
    assert_int_equal(delta_read(pair.bytes.data, pair.bytes.size, &delta, NULL), LEAT_OK);
    assert_int_equal(model_delta_check(other, &delta, NULL), LEAT_CONFLICT);
    model_close(other);
    pair_close(&pair);
}

/* Whatever finds no memory, the delta is put in again, and then the replica is right. */
static void test_without_memory(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair, 6, false);
    pair_learn(&pair, 400);
    pair_cut(&pair, DELTA_FP32);
    leat_status status = LEAT_MEMORY;
    for (uint64_t n = 1; status != LEAT_OK; n++) {
        memory_fail_at(n);
        status = apply(pair.replica, &pair.bytes);
        memory_fail_at(0);
        assert_true(status == LEAT_OK || status == LEAT_MEMORY || status == LEAT_FULL);
    }
    assert_true(apart(pair.leader, pair.replica) == 0);
    pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_replica_scores_as_its_leader),
        cmocka_unit_test(test_networks_too),
        cmocka_unit_test(test_inexact_rows_are_close),
        cmocka_unit_test(test_only_what_changed),
        cmocka_unit_test(test_another_model_is_refused),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
