/* `train/deepfm`: DeepFM learnt on two threads, rows of the shape of Criteo's advertising data, and
 * what share of the machine's rate of matrix products that is. The two are measured in turns, a few
 * steps and a few products, so that what else runs on the machine slows both.
 *
 * 13 fields of few values (numbers in buckets) and 26 with as many values as there are in that
 * data's fields, drawn by Zipf's law; labels follow the values of eight of them. Every run learns
 * rows that were not there before, in a model that goes on. */
#include "app/bench.h"
#include "app/train_score.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "learn/model.h"
#include "learn/net.h"
#include "learn/net_matrix.h"

#include <math.h>

enum {
    FIELDS = 39,
    NUMBERS = 13,
    TELLING = 8, /* fields that the labels follow */
    BATCH = 2048,
    STEPS = 48, /* of a run */
    TURN = 6,   /* steps of a turn */
    THREADS = 2,
    PRODUCT_ROWS = 1024,
    PRODUCT_WIDTH = 400,
    PRODUCTS = 40, /* of a thread in a turn */
};

/* Distinct values of the fields of Criteo's 46 million rows, as its users have counted them. */
static const double VALUES[FIELDS] = {
    50,   50,    50,       50,      50,   50,   50,    50,      50, 50,    50,     50,      50,
    1460, 583,   10131227, 2202608, 305,  24,   12517, 633,     3,  93145, 5683,   8351593, 3194,
    27,   14992, 5461306,  10,      5652, 2173, 4,     7046547, 18, 15,    286181, 105,     142572};

struct deepfm_rows {
    uint32_t offsets[BATCH + 1];
    uint64_t keys[STEPS][BATCH * FIELDS];
    float targets[STEPS][BATCH];
    float weights[BATCH];
    float predictions[BATCH];
};

struct product_thread {
    float *a, *b, *c;
};

struct deepfm_bench {
    struct model *model;
    struct deepfm_rows *rows;
    struct product_thread products[THREADS];
    uint64_t examples;
    double operations; /* of an example's products, forwards and backwards */
};

/* --- rows --- */

/* log-uniform: the n-th value comes about as often as 1 / n says. */
static uint64_t draw_value(uint64_t example, int field) {
    double u = hash_unit(hash_mix(example, (uint64_t)field));
    return (uint64_t)exp(u * log(VALUES[field] + 1.0));
}

static void make_rows(struct deepfm_bench *bench) {
    struct deepfm_rows *rows = bench->rows;
    for (int i = 0; i < STEPS * BATCH; i++) {
        uint64_t example = hash_mix(11, bench->examples++);
        uint64_t *keys = rows->keys[i / BATCH] + (size_t)(i % BATCH) * FIELDS;
        double logit = -1.5;
        for (int f = 0; f < FIELDS; f++) {
            uint64_t value = hash_mix((uint64_t)f + 1, draw_value(example, f));
            keys[f] = key_make(f, value);
            bool tells = f >= NUMBERS && f < NUMBERS + TELLING;
            logit += tells ? 1.5 * hash_unit(hash_mix(value, 5)) - 0.75 : 0.0;
        }
        double p = 1.0 / (1.0 + exp(-logit));
        rows->targets[i / BATCH][i % BATCH] = hash_unit(hash_mix(example, 99)) < p ? 1.0f : 0.0f;
    }
}

static void learn_step(struct deepfm_bench *bench, int step, struct train_score *score) {
    struct deepfm_rows *rows = bench->rows;
    const struct minibatch batch = {.count = BATCH,
                                    .tasks = 1,
                                    .offsets = rows->offsets,
                                    .keys = rows->keys[step],
                                    .targets = rows->targets[step],
                                    .weights = rows->weights};
    model_learn_batch(bench->model, &batch, rows->predictions);
    train_score_add(score, model_spec(bench->model), &batch, rows->predictions);
}

/* --- the machine's products --- */

static leat_status multiply(struct bench_worker *worker, leat_error *err) {
    (void)err;
    struct product_thread *own = (struct product_thread *)worker->shared + worker->index;
    for (int i = 0; i < PRODUCTS; i++) {
        matrix_by_rows(PRODUCT_ROWS, PRODUCT_WIDTH, PRODUCT_WIDTH, own->a, PRODUCT_WIDTH, own->b,
                       PRODUCT_WIDTH, own->c, PRODUCT_WIDTH, 0);
    }
    return LEAT_OK;
}

/* All threads at once, as they learn; floating-point operations. */
static leat_status multiply_all(struct deepfm_bench *bench, double *operations, leat_error *err) {
    struct bench_worker workers[THREADS] = {{.index = 0}};
    for (int t = 0; t < THREADS; t++) {
        workers[t].run = multiply;
        workers[t].shared = bench->products;
        workers[t].index = t;
    }
    *operations += 2.0 * THREADS * PRODUCTS * PRODUCT_ROWS * PRODUCT_WIDTH * PRODUCT_WIDTH;
    return bench_work(workers, THREADS, err);
}

static float *random_floats(uint64_t seed, size_t count) {
    float *floats = memory_aligned(64, count * sizeof(*floats));
    for (size_t i = 0; floats && i < count; i++) {
        floats[i] = (float)(2.0 * hash_unit(hash_mix(seed, i)) - 1.0);
    }
    return floats;
}

static leat_status products_make(struct deepfm_bench *bench, leat_error *err) {
    size_t large = (size_t)PRODUCT_ROWS * PRODUCT_WIDTH;
    size_t square = (size_t)PRODUCT_WIDTH * PRODUCT_WIDTH;
    for (int t = 0; t < THREADS; t++) {
        struct product_thread *own = &bench->products[t];
        own->a = random_floats(1, large);
        own->b = random_floats(2, square);
        own->c = random_floats(3, large);
        if (!own->a || !own->b || !own->c) {
            return error_memory(err, (2 * large + square) * sizeof(float));
        }
    }
    return matrix_begin(err);
}

/* --- the model --- */

static const char deepfm_config[] =
    "model: {dimension: 10, optimiser: adam, rate: 0.001, rate_dense: 0.001, l2: 0, batch: 2048,\n"
    "        shards: 2, memory: 4GiB, network: {kind: deepfm, hidden: [400, 400, 400]}}\n";

static leat_status model_make(struct deepfm_bench *bench, leat_error *err) {
    static char names[FIELDS][8];
    const char *fields[FIELDS];
    static const char *const tasks[] = {"click"};
    for (int f = 0; f < FIELDS; f++) {
        snprintf(names[f], sizeof(names[f]), "%c%d", f < NUMBERS ? 'n' : 'c', f + 1);
        fields[f] = names[f];
    }
    const struct model_names all = {
        .field_count = FIELDS, .task_count = 1, .fields = fields, .tasks = tasks};
    struct model_spec spec;
    struct config *config;
    TRY(config_parse(slice_of(deepfm_config), "bench", &config, err));
    leat_status status = model_spec_of_names(config, &all, &spec, err);
    config_destroy(config);
    TRY(status);
    int width = FIELDS * spec.dimension;
    for (int l = 0; l < spec.hidden_count; l++) {
        bench->operations += 3 * 2.0 * (double)width * (double)spec.hidden[l];
        width = spec.hidden[l];
    }
    TRY(model_open(&spec, NULL, NULL, &bench->model, err));
    return model_threads(bench->model, THREADS, err);
}

/* --- the case --- */

/* One run: examples a second, products in operations a second. */
static leat_status run_once(struct deepfm_bench *bench, double *rate, double *products,
                            struct train_score *score, leat_error *err) {
    uint64_t learnt_ns = 0;
    uint64_t multiplied_ns = 0;
    double operations = 0;
    make_rows(bench);
    *score = (struct train_score){{0}, {0}};
    for (int step = 0; step < STEPS;) {
        uint64_t begun_ns = clock_monotonic_ns();
        TRY(multiply_all(bench, &operations, err));
        uint64_t between_ns = clock_monotonic_ns();
        for (int end = step + TURN; step < end; step++) {
            learn_step(bench, step, score);
        }
        multiplied_ns += between_ns - begun_ns;
        learnt_ns += clock_monotonic_ns() - between_ns;
    }
    *rate = STEPS * BATCH / ((double)learnt_ns / 1e9);
    *products = operations / ((double)multiplied_ns / 1e9);
    return LEAT_OK;
}

static leat_status measure(struct deepfm_bench *bench, const struct bench_options *options,
                           leat_error *err) {
    struct bench_runs runs = {.name = "train/deepfm", .unit = "examples/s", .count = BENCH_RUNS};
    struct train_score score;
    double products[BENCH_RUNS];
    double shares[BENCH_RUNS];
    TRY(run_once(bench, &runs.values[0], &products[0], &score, err));
    for (int i = 0; i < BENCH_RUNS; i++) {
        TRY(run_once(bench, &runs.values[i], &products[i], &score, err));
        shares[i] = runs.values[i] * bench->operations / products[i];
    }
    qsort(shares, BENCH_RUNS, sizeof(double), bench_compare);
    qsort(products, BENCH_RUNS, sizeof(double), bench_compare);
    char more[300];
    snprintf(more, sizeof(more),
             options->json ? ",\"threads\":%d,\"sgemm_gflops\":%.1f,\"sgemm_share\":%.3f,"
                             "\"logloss\":%.5f,\"rows\":%llu,\"kernel\":\"%s\""
                           : "; %d threads; sgemm %.1f GFLOP/s, of which %.3f; log loss %.5f; "
                             "%llu rows in the table; %s",
             THREADS, products[BENCH_RUNS / 2] / 1e9, shares[BENCH_RUNS / 2],
             train_score_mean(&score, 0), (unsigned long long)model_rows(bench->model),
             net_kernel());
    bench_print_runs(options, &runs, more);
    return LEAT_OK;
}

leat_status bench_deepfm(const struct bench_options *options, leat_error *err) {
    if (options->out) {
        return LEAT_OK; /* the rows of `train` alone are wanted */
    }
    struct deepfm_bench bench = {.rows = memory_zalloc(sizeof(*bench.rows))};
    if (!bench.rows) {
        return error_memory(err, sizeof(*bench.rows));
    }
    for (int i = 0; i <= BATCH; i++) {
        bench.rows->offsets[i] = (uint32_t)(i * FIELDS);
    }
    for (int i = 0; i < BATCH; i++) {
        bench.rows->weights[i] = 1.0f;
    }
    leat_status status = products_make(&bench, err);
    if (status == LEAT_OK) {
        status = model_make(&bench, err);
    }
    if (status == LEAT_OK) {
        status = measure(&bench, options, err);
    }
    if (bench.model) {
        model_close(bench.model);
    }
    for (int t = 0; t < THREADS; t++) {
        memory_free(bench.products[t].a);
        memory_free(bench.products[t].b);
        memory_free(bench.products[t].c);
    }
    memory_free(bench.rows);
    return status;
}
