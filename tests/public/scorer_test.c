/* What scorer.h promises of every call, seen by who has a saved model: with the public headers
 * only. */
#include <leat/operator.h>
#include <leat/scorer.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
/* clang-format on */

/* Each of two fields, a dense input and two tasks; and what they predict of candidate i, whose keys
 * are those of key_at, at a dense input of 1/2. */
enum { CANDIDATES = 4, KEYS_MAX = 3, TASKS = 2 };

static const struct saved {
    const char *path;
    float expected[CANDIDATES * TASKS];
} MODELS[] = {
    {LEAT_SOURCE_DIR "/tests/golden/model_v2.bin",
     {0.478600621f, 0.523409188f, 0.460891753f, 0.516871929f, 0.462945074f, 0.482222617f,
      0.456647217f, 0.481671959f}},
    {LEAT_SOURCE_DIR "/tests/golden/model_v2_network.bin",
     {0.490014017f, 0.5198071f, 0.494091511f, 0.516499758f, 0.494635999f, 0.499113262f,
      0.490001559f, 0.503789783f}},
};
enum { MODEL_COUNT = sizeof(MODELS) / sizeof(MODELS[0]) };

static uint64_t key_at(uint64_t field, uint64_t i) {
    return field << 58 | (field == 0 ? i : i + 5) * 977;
}

static const float HALVES[CANDIDATES] = {0.5f, 0.5f, 0.5f, 0.5f};

static leat_model *open_model(const char *path) {
    leat_model *model = NULL;
    leat_error err = {0};
    if (leat_model_open(path, &model, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    return model;
}

static leat_scorer *open_scorer(leat_model *model) {
    leat_scorer *scorer = NULL;
    assert_int_equal(leat_scorer_open(model, CANDIDATES, KEYS_MAX, &scorer, NULL), LEAT_OK);
    return scorer;
}

static void assert_refused(leat_status status, const leat_error *err, const char *words) {
    assert_int_equal(status, LEAT_INVALID);
    if (!strstr(err->message, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err->message, words);
    }
}

static bool near(const float *out, const float *expected, int count) {
    for (int i = 0; i < count; i++) {
        if (!(fabsf(out[i] - expected[i]) < 1e-5f)) {
            return false;
        }
    }
    return true;
}

/* --- scores --- */

/* All at once, each with all its keys. */
static bool scores_together(leat_scorer *scorer, const struct saved *saved) {
    static const uint32_t offsets[CANDIDATES + 1] = {1, 3, 5, 7, 9};
    uint64_t keys[1 + 2 * CANDIDATES] = {UINT64_MAX};
    float out[CANDIDATES * TASKS];
    for (uint64_t i = 0; i < CANDIDATES; i++) {
        keys[1 + 2 * i] = key_at(0, i);
        keys[2 + 2 * i] = key_at(1, i);
    }
    return leat_scorer_prepare(scorer, NULL, 0, NULL) == LEAT_OK &&
           leat_scorer_score(scorer, CANDIDATES, offsets, keys, HALVES, out, NULL) == LEAT_OK &&
           near(out, saved->expected, CANDIDATES * TASKS);
}

/* One by one: the first key is the request's, and `also` one that the model does not know. */
static bool scores_apart(leat_scorer *scorer, const struct saved *saved, uint64_t also) {
    bool fine = true;
    for (uint64_t i = 0; i < CANDIDATES; i++) {
        const uint32_t offsets[] = {0, 2};
        const uint64_t request = key_at(0, i), keys[] = {key_at(1, i), also};
        float out[TASKS];
        fine = fine && leat_scorer_prepare(scorer, &request, 1, NULL) == LEAT_OK &&
               leat_scorer_score(scorer, 1, offsets, keys, HALVES, out, NULL) == LEAT_OK &&
               near(out, saved->expected + i * TASKS, TASKS);
    }
    return fine;
}

static void test_a_saved_model_scores(void **state) {
    (void)state;
    for (int m = 0; m < MODEL_COUNT; m++) {
        leat_model *model = open_model(MODELS[m].path);
        assert_int_equal(leat_model_fields(model), 2);
        assert_int_equal(leat_model_tasks(model), TASKS);
        assert_int_equal(leat_model_dense_count(model), 1);
        assert_non_null(leat_model_field_name(model, 1));
        assert_non_null(leat_model_task_name(model, 1));
        assert_null(leat_model_field_name(model, 2));
        assert_null(leat_model_field_name(model, -1));
        assert_null(leat_model_task_name(model, TASKS));
        leat_scorer *scorer = open_scorer(model);
        leat_model_close(model); /* the scorer goes on */
        for (int round = 0; round < 3; round++) {
            assert_true(scores_together(scorer, &MODELS[m]));
            assert_true(scores_apart(scorer, &MODELS[m], leat_model_key(1, "nobody", 6)));
        }
        assert_int_equal(leat_scorer_score(scorer, 0, NULL, NULL, NULL, NULL, NULL), LEAT_OK);
        leat_scorer_close(scorer);
    }
    leat_scorer_close(NULL);
    leat_model_close(NULL);
}

/* --- keys --- */

static void test_keys_are_field_and_hash(void **state) {
    (void)state;
    const uint64_t low = (UINT64_C(1) << 58) - 1;
    const uint64_t hashes[] = {leat_key_hash("ada", 3), leat_key_hash("tide", 4)};
    const uint64_t turned[] = {hashes[1], hashes[0]};
    assert_true(leat_model_key(3, "ada", 3) == (UINT64_C(3) << 58 | (hashes[0] & low)));
    assert_true(leat_model_cross_key(3, hashes, 1) == leat_model_key(3, "ada", 3));
    uint64_t cross = leat_model_cross_key(63, hashes, 2);
    assert_true(cross >> 58 == 63);
    assert_true(cross != leat_model_cross_key(63, turned, 2));
    assert_true(cross != leat_model_cross_key(63, hashes, 1));
}

/* --- threads --- */

struct worker {
    leat_scorer *scorer;
    const struct saved *saved;
    bool fine;
};

static void *score_on(void *context) {
    struct worker *worker = context;
    worker->fine = true;
    for (int round = 0; round < 200 && worker->fine; round++) {
        worker->fine = scores_together(worker->scorer, worker->saved) &&
                       scores_apart(worker->scorer, worker->saved, key_at(1, 99999));
    }
    return NULL;
}

static void test_threads_share_a_model(void **state) {
    (void)state;
    enum { THREADS = 3 };
    for (int m = 0; m < MODEL_COUNT; m++) {
        leat_model *model = open_model(MODELS[m].path);
        struct worker workers[THREADS];
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            workers[i] = (struct worker){open_scorer(model), &MODELS[m], false};
            assert_int_equal(pthread_create(&threads[i], NULL, score_on, &workers[i]), 0);
        }
        leat_model_close(model);
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
            assert_true(workers[i].fine);
            leat_scorer_close(workers[i].scorer);
        }
    }
}

/* --- what is refused --- */

static void test_opening_refuses(void **state) {
    (void)state;
    leat_error err = {0};
    leat_model *none = NULL;
    assert_int_equal(leat_model_open("no/such.model", &none, &err), LEAT_IO);
    assert_non_null(strstr(err.message, "no/such.model"));
    assert_null(none);
    leat_model *model = open_model(MODELS[0].path);
    leat_scorer *scorer = NULL;
    assert_refused(leat_scorer_open(model, 0, 1, &scorer, &err), &err, "0 candidates; 1 to");
    assert_refused(leat_scorer_open(model, LEAT_CANDIDATES_MAX + 1, 1, &scorer, &err), &err,
                   "candidates; 1 to");
    assert_refused(leat_scorer_open(model, 1, 0, &scorer, &err), &err, "0 keys; 1 to 256");
    assert_refused(leat_scorer_open(model, 1, LEAT_EXAMPLE_KEYS_MAX + 1, &scorer, &err), &err,
                   "257 keys");
    assert_null(scorer);
    leat_model_close(model);
}

static void refuse_candidates(leat_scorer *scorer) {
    static const uint32_t one[] = {0, 1}, two[] = {0, 2}, four[] = {0, 4}, falling[] = {0, 2, 1},
                          none[] = {0, 0, 0, 0, 0, 0};
    const uint64_t keys[] = {key_at(0, 1), UINT64_C(2) << 58, 0, 0};
    float out[(CANDIDATES + 1) * TASKS];
    leat_error err = {0};
    assert_refused(leat_scorer_score(scorer, 5, none, keys, HALVES, out, &err), &err,
                   "5 candidates; the scorer was opened for 4");
    assert_refused(leat_scorer_score(scorer, -1, none, keys, HALVES, out, &err), &err, "-1 cand");
    assert_refused(leat_scorer_score(scorer, 1, NULL, keys, HALVES, out, &err), &err, "offsets");
    assert_refused(leat_scorer_score(scorer, 1, one, keys, HALVES, NULL, &err), &err,
                   "predictions");
    assert_refused(leat_scorer_score(scorer, 1, one, NULL, HALVES, out, &err), &err, "no array");
    assert_refused(leat_scorer_score(scorer, 1, one, keys, NULL, out, &err), &err,
                   "no dense inputs; the model has 1");
    assert_refused(leat_scorer_score(scorer, 1, two, keys, HALVES, out, &err), &err,
                   "key 1 of the candidates is of field 2; the model has 2");
    assert_refused(leat_scorer_score(scorer, 1, four, keys, HALVES, out, &err), &err,
                   "candidate 0 has 4 keys, the request 0");
    assert_refused(leat_scorer_score(scorer, 2, falling, keys, HALVES, out, &err), &err,
                   "offset 2 is 1, below the one before it, 2");
    assert_int_equal(leat_scorer_score(scorer, 1, two, keys, HALVES, out, NULL), LEAT_INVALID);
}

/* A refused request leaves the one before it. */
static void test_scoring_refuses(void **state) {
    (void)state;
    leat_error err = {0};
    for (int m = 0; m < MODEL_COUNT; m++) {
        leat_model *model = open_model(MODELS[m].path);
        leat_scorer *scorer = open_scorer(model);
        refuse_candidates(scorer);
        const uint64_t keys[] = {key_at(0, 0), UINT64_C(9) << 58, 0, 0};
        const uint64_t item = key_at(1, 0);
        const uint32_t offsets[] = {0, 1};
        float out[TASKS];
        assert_int_equal(leat_scorer_prepare(scorer, keys, 1, NULL), LEAT_OK);
        assert_refused(leat_scorer_prepare(scorer, keys, 4, &err), &err, "a request of 4 keys");
        assert_refused(leat_scorer_prepare(scorer, keys, -1, &err), &err, "-1 keys");
        assert_refused(leat_scorer_prepare(scorer, NULL, 1, &err), &err, "no array");
        assert_refused(leat_scorer_prepare(scorer, keys, 2, &err), &err,
                       "key 1 of the request is of field 9");
        assert_int_equal(leat_scorer_score(scorer, 1, offsets, &item, HALVES, out, NULL), LEAT_OK);
        assert_true(near(out, MODELS[m].expected, TASKS));
        leat_scorer_close(scorer);
        leat_model_close(model);
    }
}

/* --- damage --- */

static size_t read_whole(const char *path, unsigned char *bytes, size_t bytes_max) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, bytes_max, file);
    fclose(file);
    assert_true(size > 0 && size < bytes_max);
    return size;
}

static leat_status open_bytes(const char *path, const unsigned char *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    leat_model *model = NULL;
    leat_error err = {0};
    leat_status status = leat_model_open(path, &model, &err);
    assert_true((status == LEAT_OK) == (model != NULL));
    assert_true((status == LEAT_OK) == (err.message[0] == '\0'));
    leat_model_close(model);
    return status;
}

static void test_damaged_files_are_refused(void **state) {
    (void)state;
    enum { BYTES_MAX = 1 << 20, PLACES = 41 };
    unsigned char *bytes = malloc(BYTES_MAX);
    assert_non_null(bytes);
    char path[] = "/tmp/leat-scorer-XXXXXX";
    int made = mkstemp(path);
    assert_true(made >= 0);
    close(made);
    for (int m = 0; m < MODEL_COUNT; m++) {
        size_t size = read_whole(MODELS[m].path, bytes, BYTES_MAX);
        assert_int_equal(open_bytes(path, bytes, size), LEAT_OK);
        for (size_t place = 0; place < PLACES; place++) {
            size_t at = place * (size - 1) / (PLACES - 1);
            assert_true(open_bytes(path, bytes, at) < 0);
            bytes[at] ^= 0x10;
            assert_true(open_bytes(path, bytes, size) < 0);
            bytes[at] ^= 0x10;
        }
    }
    unlink(path);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_saved_model_scores),
        cmocka_unit_test(test_keys_are_field_and_hash),
        cmocka_unit_test(test_threads_share_a_model),
        cmocka_unit_test(test_opening_refuses),
        cmocka_unit_test(test_scoring_refuses),
        cmocka_unit_test(test_damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
