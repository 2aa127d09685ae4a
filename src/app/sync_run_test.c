#include "app/quality.h"
#include "app/scratch.h"
#include "app/sync_feed.h"
#include "app/sync_run.h"
#include "base/test.h"

#include <math.h>

enum { FIRST_ROWS = 30000, SECOND_ROWS = 12000, BATCH = 16 };

static struct drift_options stream(void) {
    struct drift_options options;
    drift_defaults(&options);
    options.rows = FIRST_ROWS + SECOND_ROWS;
    options.ids = 500;
    options.spread = 2; /* much to learn from few rows */
    options.mortal = 0.2;
    options.birth = 20;
    return options;
}

struct fixture {
    char folder[CONFIG_TEXT_MAX];
    char base[PATH_BYTES_MAX];
    struct sync_feed *feed;
    struct sync_rows rows;
    leat_error err;
};

#define FINE(f, call)                                                                              \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            fail_msg("%s", (f)->err.message);                                                      \
        }                                                                                          \
    } while (0)

static struct model *open_model(struct fixture *f) {
    struct model_spec spec = {
        .network = NETWORK_FM,
        .dimension = 4,
        .optimiser = MODEL_ADAGRAD,
        .rate = 0.05f,
        .rate_dense = 0.05f,
        .spread = 0.01f,
        .batch = BATCH,
        .shards = 1,
        .seed = 1,
        .memory = 1 << 26,
    };
    struct model *model;
    FINE(f, plan_into_spec(sync_feed_plan(f->feed), &spec, &f->err));
    FINE(f, model_open(&spec, NULL, NULL, &model, &f->err));
    return model;
}

/* A model that has learnt the first part, as a file, and the second part's rows. */
static void fixture_open(struct fixture *f) {
    struct drift_options options = stream();
    struct minibatch rows;
    const float *truth;
    *f = (struct fixture){.feed = NULL};
    FINE(f, scratch_make(NULL, f->folder, &f->err));
    FINE(f, path_join(f->base, f->folder, "base.model", &f->err));
    FINE(f, sync_feed_drift(&options, &f->feed, &f->err));
    assert_int_equal(sync_feed_rows(f->feed), FIRST_ROWS + SECOND_ROWS);
    struct model *model = open_model(f);
    for (int i = 0; i < FIRST_ROWS; i += BATCH) {
        FINE(f, sync_feed_next(f->feed, BATCH, &rows, &truth, &f->err));
        assert_int_equal(rows.count, BATCH);
        model_learn_batch(model, &rows, NULL);
    }
    while (sync_feed_next(f->feed, 100, &rows, &truth, &f->err) == LEAT_OK) {
        for (int i = 0; i < rows.count; i++) {
            uint32_t first = rows.offsets[i];
            FINE(f, sync_rows_add(&f->rows, rows.keys + first, (int)(rows.offsets[i + 1] - first),
                                  rows.targets[i] > 0, truth[i], &f->err));
        }
    }
    assert_int_equal(f->rows.count, SECOND_ROWS);
    FINE(f, model_save(model, disk_real(), f->base, &f->err));
    model_close(model);
}

static void fixture_close(struct fixture *f) {
    sync_rows_deinit(&f->rows);
    sync_feed_close(f->feed);
    FINE(f, scratch_remove(f->folder, &f->err));
}

static void test_more_copies_gain_more(void **state) {
    (void)state;
    const int shards[] = {3, 30, 300};
    struct fixture f;
    struct sync_run *run;
    struct sync_result last = {.shards = 0};
    fixture_open(&f);
    FINE(&f, sync_open(disk_real(), f.base, &f.rows, &run, &f.err));
    for (int i = 0; i < 3; i++) {
        struct sync_result result;
        FINE(&f, sync_shards(run, shards[i], NULL, NULL, &result, &f.err));
        assert_int_equal(result.shards, shards[i]);
        assert_true(result.scored > shards[i] * 9 / 10);
        assert_true(result.mean_oracle > result.mean_online);
        assert_true(result.mean_online > result.mean_batch);
        assert_true(fabs(result.gain - 100 * (result.mean_online - result.mean_batch)) < 1e-9);
        assert_true(result.gain > last.gain + 0.1);
        assert_true(result.pooled_gain > last.pooled_gain + 0.1);
        assert_true(i == 0 || result.pooled_batch == last.pooled_batch);
        last = result;
    }
    assert_int_equal(sync_shards(run, SECOND_ROWS + 1, NULL, NULL, &last, &f.err), LEAT_INVALID);
    assert_int_equal(sync_shards(run, 0, NULL, NULL, &last, &f.err), LEAT_INVALID);
    sync_close(run);
    fixture_close(&f);
}

/* --- against the paper's loop, with its copies --- */

static struct minibatch part(const struct sync_rows *rows, uint64_t begin, uint64_t end,
                             uint32_t *offsets, float *targets, float *weights) {
    uint64_t first = begin > 0 ? rows->ends[begin - 1] : 0;
    offsets[0] = 0;
    for (uint64_t i = begin; i < end; i++) {
        offsets[i - begin + 1] = (uint32_t)(rows->ends[i] - first);
        targets[i - begin] = rows->labels[i];
        weights[i - begin] = 1;
    }
    return (struct minibatch){.count = (int)(end - begin),
                              .tasks = 1,
                              .offsets = offsets,
                              .keys = rows->keys + first,
                              .targets = targets,
                              .weights = weights};
}

static void test_scores_are_those_of_copies(void **state) {
    (void)state;
    enum { SHARDS = 7 };
    static uint32_t offsets[SECOND_ROWS + 1];
    static float targets[SECOND_ROWS], weights[SECOND_ROWS], scores[SECOND_ROWS];
    static struct quality_case cases[SECOND_ROWS];
    struct fixture f;
    struct model *train;
    struct quality_mean mean = {.count = 0};
    double auc;
    fixture_open(&f);
    FINE(&f, model_load(disk_real(), f.base, NULL, &train, &f.err));
    for (uint64_t s = 0; s < SHARDS; s++) {
        uint64_t begin = s * SECOND_ROWS / SHARDS;
        uint64_t end = (s + 1) * SECOND_ROWS / SHARDS;
        char copy[PATH_BYTES_MAX];
        struct model *serve;
        FINE(&f, path_join(copy, f.folder, "copy.model", &f.err));
        FINE(&f, model_save(train, disk_real(), copy, &f.err));
        FINE(&f, model_load(disk_real(), copy, NULL, &serve, &f.err));
        for (uint64_t at = begin; at < end; at += BATCH) { /* learnt before the copy is asked */
            uint64_t stop = at + BATCH < end ? at + BATCH : end;
            struct minibatch step = part(&f.rows, at, stop, offsets, targets, weights);
            model_learn_batch(train, &step, NULL);
        }
        struct minibatch all = part(&f.rows, begin, end, offsets, targets, weights);
        model_predict_batch(serve, &all, scores);
        for (int i = 0; i < all.count; i++) {
            cases[i] = (struct quality_case){scores[i], targets[i] > 0};
        }
        FINE(&f, quality_auc(cases, (size_t)all.count, &auc, &f.err));
        quality_mean_add(&mean, auc);
        model_close(serve);
    }
    model_close(train);
    struct sync_run *run;
    struct sync_result result;
    FINE(&f, sync_open(disk_real(), f.base, &f.rows, &run, &f.err));
    FINE(&f, sync_shards(run, SHARDS, NULL, NULL, &result, &f.err));
    assert_true(fabs(result.mean_online - mean.mean) < 1e-9);
    sync_close(run);
    fixture_close(&f);
}

/* The generator's rows are those of the file that it writes. */
static void test_a_file_gives_the_generators_rows(void **state) {
    (void)state;
    struct drift_options options = stream();
    struct drift *drift;
    struct drift_row row;
    struct fixture f = {.feed = NULL};
    struct bytes text;
    struct sync_feed *file;
    struct minibatch a;
    struct minibatch b;
    const float *truth;
    const float *none;
    options.rows = 1000;
    options.fields = 20; /* columns that are empty throughout, too */
    bytes_init(&text);
    FINE(&f, drift_open(&options, &drift, &f.err));
    while (drift_next(drift, &row) == LEAT_OK) {
        char line[DRIFT_LINE_MAX];
        bytes_append(&text, line, drift_write(drift, &row, line));
    }
    drift_close(drift);
    FINE(&f, scratch_make(NULL, f.folder, &f.err));
    FINE(&f, path_join(f.base, f.folder, "rows.tsv", &f.err));
    FINE(&f, disk_put(disk_real(), f.base, text.data, text.size, &f.err));
    FINE(&f, sync_feed_drift(&options, &f.feed, &f.err));
    FINE(&f, sync_feed_criteo(f.base, &file, &f.err));
    assert_int_equal(sync_feed_rows(file), 1000);
    assert_int_equal(sync_feed_plan(file)->field_count, sync_feed_plan(f.feed)->field_count);
    for (int i = 0; i < 10; i++) {
        FINE(&f, sync_feed_next(f.feed, 100, &a, &truth, &f.err));
        FINE(&f, sync_feed_next(file, 100, &b, &none, &f.err));
        assert_int_equal(a.count, 100);
        assert_int_equal(b.count, 100);
        assert_memory_equal(a.offsets, b.offsets, 101 * sizeof(uint32_t));
        assert_memory_equal(a.keys, b.keys, a.offsets[100] * sizeof(uint64_t));
        assert_memory_equal(a.targets, b.targets, 100 * sizeof(float));
        assert_true(isnan(none[0]) && truth[0] > 0 && truth[0] < 1);
    }
    assert_int_equal(sync_feed_next(file, 100, &b, &none, &f.err), LEAT_END);
    assert_int_equal(sync_feed_next(f.feed, 100, &a, &truth, &f.err), LEAT_END);
    sync_feed_close(file);
    bytes_deinit(&text);
    fixture_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_copies_gain_more),
        cmocka_unit_test(test_scores_are_those_of_copies),
        cmocka_unit_test(test_a_file_gives_the_generators_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
