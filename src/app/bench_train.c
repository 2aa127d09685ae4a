/* Learning from files on one thread: planted rows (train_planted.h), one pass, AdaGrad, with the
 * prediction before each example scored. */
#include "app/bench.h"
#include "app/scratch.h"
#include "app/train_planted.h"
#include "app/train_rows.h"
#include "app/train_score.h"
#include "base/clock.h"
#include "base/memory.h"

#include <inttypes.h>

enum { ROWS = 10000000, SEED = 5, WRITE_BYTES = 1 << 20, DIMENSION_FM = 8 };

struct train_bench {
    const struct bench_options *options;
    uint64_t rows;
    char text[PATH_BYTES_MAX];
    char cache[PATH_BYTES_MAX];
    const char *paths[1];
    double bayes;
    double cpu_rate;   /* examples a second of CPU, the best run of the case */
    uint64_t resident; /* with what the last run learnt still there */
    float predictions[TRAIN_BATCH];
};

/* --- rows --- */

static leat_status write_rows(struct train_bench *bench, struct file *file, struct bytes *lines,
                              leat_error *err) {
    uint64_t at = 0;
    double loss = 0;
    for (uint64_t i = 0; i < bench->rows; i++) {
        struct planted_row row;
        planted_row_make(SEED, i, &row);
        planted_row_write(&row, lines);
        loss += planted_row_loss(&row);
        if (lines->size >= WRITE_BYTES || i + 1 == bench->rows) {
            TRY(bytes_status(lines, err));
            TRY(file_write(file, lines->data, lines->size, at, err));
            at += lines->size;
            bytes_clear(lines);
        }
    }
    bench->bayes = loss / (double)bench->rows;
    return LEAT_OK;
}

static leat_status make_text(struct train_bench *bench, leat_error *err) {
    struct file *file;
    struct bytes lines;
    TRY(file_open(disk_real(), bench->text, FILE_WRITE, &file, err));
    bytes_init(&lines);
    leat_status status = file_truncate(file, 0, err);
    if (status == LEAT_OK) {
        status = write_rows(bench, file, &lines, err);
    }
    bytes_deinit(&lines);
    file_close(file);
    return status;
}

/* --- a case --- */

struct train_case {
    const char *name;
    const char *network;
    const char *dimension;
    bool cached;
};

static leat_status learn_rows(struct train_bench *bench, struct train_rows *rows,
                              struct model *model, uint64_t most, struct train_score *score,
                              leat_error *err) {
    *score = (struct train_score){{0}, {0}};
    while (train_rows_examples(rows) < most) {
        struct minibatch batch;
        const uint64_t *numbers;
        leat_status status = train_rows_next(rows, &batch, &numbers, err);
        if (status != LEAT_OK) {
            return status < 0 ? status : LEAT_OK;
        }
        model_learn_batch(model, &batch, bench->predictions);
        train_score_add(score, model_spec(model), &batch, bench->predictions);
    }
    return LEAT_OK;
}

/* A model that has learnt nothing learns up to `most` rows. */
static leat_status run_once(struct train_bench *bench, struct train_setup *setup, bool cached,
                            uint64_t most, double *rate, double *loss, leat_error *err) {
    struct train_rows *rows = NULL;
    struct model *model = NULL;
    struct train_score score;
    leat_status status;
    TRY_OR(status, train_rows_open(setup, cached ? bench->cache : NULL, &rows, err), out);
    TRY_OR(status, model_open(&setup->spec, NULL, NULL, &model, err), out);
    uint64_t begun_ns = clock_monotonic_ns();
    uint64_t cpu_begun_ns = clock_thread_cpu_ns();
    TRY_OR(status, learn_rows(bench, rows, model, most, &score, err), out);
    double seconds = (double)(clock_monotonic_ns() - begun_ns) / 1e9;
    double cpu_seconds = (double)(clock_thread_cpu_ns() - cpu_begun_ns) / 1e9;
    double cpu_rate = (double)train_rows_examples(rows) / cpu_seconds;
    *rate = (double)train_rows_examples(rows) / seconds;
    bench->cpu_rate = cpu_rate > bench->cpu_rate ? cpu_rate : bench->cpu_rate;
    *loss = train_score_mean(&score, 0);
    bench->resident = memory_resident();
out:
    if (model) {
        model_close(model);
    }
    train_rows_close(rows);
    return status;
}

static leat_status fill_cache(struct train_bench *bench, struct train_setup *setup,
                              leat_error *err) {
    struct train_rows *rows;
    struct minibatch batch;
    const uint64_t *numbers;
    leat_status status;
    TRY(train_rows_open(setup, bench->cache, &rows, err));
    while ((status = train_rows_next(rows, &batch, &numbers, err)) == LEAT_OK) {
    }
    if (status == LEAT_END) {
        status = train_rows_again(rows, err);
    }
    train_rows_close(rows);
    return status;
}

static leat_status run_case(struct train_bench *bench, const struct train_case *what,
                            leat_error *err) {
    const struct train_asked asked = {.format = "vw",
                                      .network = what->network,
                                      .dimension = what->dimension,
                                      .interactions = "AB"};
    struct bench_runs runs = {.name = what->name, .unit = "examples/s", .count = BENCH_RUNS};
    struct train_setup *setup;
    double loss = 0;
    double unused;
    bench->cpu_rate = 0;
    TRY(train_setup_make(&asked, bench->paths, 1, &setup, err));
    leat_status status = what->cached ? fill_cache(bench, setup, err) : LEAT_OK;
    if (status == LEAT_OK) {
        status = run_once(bench, setup, what->cached, bench->rows / 10, &unused, &loss, err);
    }
    for (int i = 0; i < BENCH_RUNS && status == LEAT_OK; i++) {
        status = run_once(bench, setup, what->cached, UINT64_MAX, &runs.values[i], &loss, err);
    }
    train_setup_destroy(setup);
    TRY(status);
    char more[300];
    const char *words = bench->options->json
                            ? ",\"examples\":%" PRIu64 ",\"cpu_max\":%.0f,\"logloss\":%.5f,"
                              "\"bayes\":%.5f,\"resident\":%" PRIu64
                            : "; %" PRIu64 " examples, at most %.0f a second of CPU, log loss %.5f "
                              "(Bayes %.5f), %" PRIu64 " bytes resident";
    snprintf(more, sizeof(more), words, bench->rows, bench->cpu_rate, loss, bench->bayes,
             bench->resident);
    bench_print_runs(bench->options, &runs, more);
    return LEAT_OK;
}

static leat_status run_cases(struct train_bench *bench, leat_error *err) {
    static const struct train_case cases[] = {
        {"train/logistic-text", "logistic", NULL, false},
        {"train/logistic-cached", "logistic", NULL, true},
        {"train/fm", "fm", "8", true},
    };
    TRY(make_text(bench, err));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        TRY(run_case(bench, &cases[i], err));
    }
    return LEAT_OK;
}

leat_status bench_train(const struct bench_options *options, leat_error *err) {
    struct train_bench bench = {
        .options = options, .rows = options->rows ? options->rows : ROWS, .paths = {bench.text}};
    char folder[CONFIG_TEXT_MAX];
    if (options->out) {
        if (snprintf(bench.text, sizeof(bench.text), "%s", options->out) >= PATH_BYTES_MAX) {
            return error_set(err, LEAT_INVALID, "--out: a path of more than %d bytes",
                             PATH_BYTES_MAX - 1);
        }
        TRY(make_text(&bench, err));
        printf(options->json ? "{\"name\":\"train/rows\",\"examples\":%" PRIu64 ",\"bayes\":%.5f}\n"
                             : "%" PRIu64 " rows written; Bayes log loss %.5f\n",
               bench.rows, bench.bayes);
        return LEAT_OK;
    }
    TRY(scratch_make(options->folder, folder, err));
    leat_status status = path_join(bench.text, folder, "rows.vw", err);
    if (status == LEAT_OK) {
        status = path_join(bench.cache, folder, "rows.cache", err);
    }
    if (status == LEAT_OK) {
        status = run_cases(&bench, err);
    }
    leat_status removed = scratch_remove(folder, status < 0 ? NULL : err);
    return status < 0 ? status : removed;
}
