#include "app/eval_ctr.h"

#include "app/eval_rows.h"
#include "app/progress.h"
#include "app/quality.h"
#include "app/scratch.h"
#include "app/train_score.h"
#include "base/clock.h"
#include "base/memory.h"

#include <inttypes.h>
#include <math.h>

/* What was predicted of one part of the examples. */
struct part_quality {
    uint64_t examples;
    double auc, loss, calibration; /* auc: NaN where all labels are equal */
};

struct eval {
    const struct eval_ctr_asked *asked;
    struct train_setup *setup;
    struct eval_rows rows;
    struct model *model;
    float *predictions; /* [batch x tasks] */
    struct quality_case *cases[MODEL_TASKS_MAX];
    size_t case_count[MODEL_TASKS_MAX];
    size_t case_capacity; /* of each task */
    struct train_score squares;
    struct bytes lines;
    struct file *out;
    uint64_t out_at;
    struct progress progress;
    uint64_t begun_ns;
    double told_s;
    double best;                               /* mean AUC of the valid part, where there is one */
    struct part_quality kept[MODEL_TASKS_MAX]; /* of the pass whose predictions count */
    int kept_epoch;
};

static double seconds_of(const struct eval *eval) {
    return (double)(clock_monotonic_ns() - eval->begun_ns) / 1e9;
}

/* --- learning --- */

static leat_status learn_pass(struct eval *eval, int epoch, leat_error *err) {
    TRY(eval_rows_seek(&eval->rows, 0, err));
    for (;;) {
        struct minibatch rows;
        const uint64_t *numbers;
        leat_status status = eval_rows_next(&eval->rows, eval->rows.learnt, &rows, &numbers, err);
        if (status != LEAT_OK) {
            return status < 0 ? status : LEAT_OK;
        }
        model_learn_batch(eval->model, &rows, NULL);
        double seconds = seconds_of(eval);
        if (seconds - eval->told_s >= 1) {
            eval->told_s = seconds;
            progress_line(&eval->progress, seconds,
                          "pass %d of %d: %" PRIu64 " of %" PRIu64 " examples (%.0f s)", epoch + 1,
                          eval->setup->epochs, eval->rows.at, eval->rows.learnt, seconds);
        }
    }
}

/* --- scoring --- */

static void keep_cases(struct eval *eval, const struct minibatch *rows) {
    for (int i = 0; i < rows->count * rows->tasks; i++) {
        int task = i % rows->tasks;
        if (rows->weights[i] > 0) {
            eval->cases[task][eval->case_count[task]++] =
                (struct quality_case){eval->predictions[i], rows->targets[i] > 0};
        }
    }
}

static leat_status write_lines(struct eval *eval, const struct minibatch *rows,
                               const uint64_t *numbers, leat_error *err) {
    bytes_clear(&eval->lines);
    train_score_lines(&eval->setup->spec, rows, numbers, eval->predictions, &eval->lines);
    TRY(bytes_status(&eval->lines, err));
    TRY(file_write(eval->out, eval->lines.data, eval->lines.size, eval->out_at, err));
    eval->out_at += eval->lines.size;
    return LEAT_OK;
}

static leat_status predict(struct eval *eval, uint64_t from, uint64_t to, bool write,
                           leat_error *err) {
    for (int t = 0; t < MODEL_TASKS_MAX; t++) {
        eval->case_count[t] = 0;
    }
    eval->squares = (struct train_score){{0}, {0}};
    TRY(eval_rows_seek(&eval->rows, from, err));
    for (;;) {
        struct minibatch rows;
        const uint64_t *numbers;
        leat_status status = eval_rows_next(&eval->rows, to, &rows, &numbers, err);
        if (status != LEAT_OK) {
            return status < 0 ? status : LEAT_OK;
        }
        model_predict_batch(eval->model, &rows, eval->predictions);
        keep_cases(eval, &rows);
        train_score_add(&eval->squares, &eval->setup->spec, &rows, eval->predictions);
        if (write) {
            TRY(write_lines(eval, &rows, numbers, err));
        }
    }
}

static void measure(struct eval *eval, int task, struct part_quality *out) {
    struct quality_case *cases = eval->cases[task];
    size_t count = eval->case_count[task];
    *out = (struct part_quality){.examples = count, .auc = NAN};
    if (eval->setup->spec.tasks[task].head != HEAD_BINARY) {
        out->loss = train_score_mean(&eval->squares, task);
        return;
    }
    double auc;
    out->loss = quality_log_loss(cases, count);
    out->calibration = quality_calibration_error(cases, count);
    if (quality_auc(cases, count, &auc, NULL) == LEAT_OK) {
        out->auc = auc;
    }
}

/* --- telling --- */

static void put_quality(const struct eval *eval, const char *name, int task, int epoch,
                        const struct part_quality *quality) {
    const struct model_task *what = &eval->setup->spec.tasks[task];
    char auc[32] = "null";
    if (isfinite(quality->auc)) {
        snprintf(auc, sizeof(auc), "%.6f", quality->auc);
    }
    if (what->head != HEAD_BINARY) {
        printf(eval->asked->train.json
                   ? "{\"name\":\"%s/%s\",\"epoch\":%d,\"squared_error\":%.6f,\"examples\":%" PRIu64
                     ",\"seconds\":%.3f}\n"
                   : "%s %s: pass %d, squared error %.6f, %" PRIu64 " examples, %.1f s\n",
               name, what->name, epoch + 1, quality->loss, quality->examples, seconds_of(eval));
    } else {
        printf(eval->asked->train.json
                   ? "{\"name\":\"%s/%s\",\"epoch\":%d,\"auc\":%s,\"logloss\":%.6f,\"ece\":%.6f,"
                     "\"examples\":%" PRIu64 ",\"seconds\":%.3f}\n"
                   : "%s %s: pass %d, AUC %s, log loss %.6f, calibration error %.6f, %" PRIu64
                     " examples, %.1f s\n",
               name, what->name, epoch + 1, auc, quality->loss, quality->calibration,
               quality->examples, seconds_of(eval));
    }
    fflush(stdout);
}

/* --- passes --- */

/* Mean AUC over the tasks, of the valid part. */
static leat_status score_valid(struct eval *eval, int epoch, double *mean, leat_error *err) {
    int tasks = eval->setup->spec.task_count;
    *mean = 0;
    TRY(predict(eval, eval->rows.valid_from, eval->rows.valid_to, false, err));
    for (int t = 0; t < tasks; t++) {
        struct part_quality quality;
        measure(eval, t, &quality);
        put_quality(eval, "valid", t, epoch, &quality);
        *mean += (isfinite(quality.auc) ? quality.auc : 0) / tasks;
    }
    return LEAT_OK;
}

static leat_status begin_out(struct eval *eval, leat_error *err) {
    bytes_clear(&eval->lines);
    train_score_header(&eval->lines);
    TRY(bytes_status(&eval->lines, err));
    TRY(file_truncate(eval->out, 0, err));
    eval->out_at = eval->lines.size;
    return file_write(eval->out, eval->lines.data, eval->lines.size, 0, err);
}

/* Scores after a pass. Its predictions count when no pass before was better on the valid part; with
 * no such part, those of the last pass do. */
static leat_status score_pass(struct eval *eval, int epoch, leat_error *err) {
    bool valid = eval->rows.valid_to > eval->rows.valid_from;
    double mean = 0;
    if (valid) {
        TRY(score_valid(eval, epoch, &mean, err));
    }
    bool better = !valid || epoch == 0 || mean > eval->best;
    eval->best = better ? mean : eval->best;
    if (better && eval->out) {
        TRY(begin_out(eval, err));
    }
    TRY(predict(eval, eval->rows.scored_from, eval->rows.scored_to, better && eval->out, err));
    for (int t = 0; t < eval->setup->spec.task_count; t++) {
        struct part_quality quality;
        measure(eval, t, &quality);
        if (better) {
            eval->kept[t] = quality;
            eval->kept_epoch = epoch;
        }
        if (eval->setup->epochs > 1) {
            put_quality(eval, "epoch", t, epoch, &quality);
        }
    }
    return LEAT_OK;
}

static leat_status run_passes(struct eval *eval, leat_error *err) {
    progress_begin(&eval->progress);
    for (int epoch = 0; epoch < eval->setup->epochs; epoch++) {
        TRY(learn_pass(eval, epoch, err));
        progress_end(&eval->progress);
        TRY(score_pass(eval, epoch, err));
    }
    for (int t = 0; t < eval->setup->spec.task_count; t++) {
        put_quality(eval, "ctr", t, eval->kept_epoch, &eval->kept[t]);
    }
    return eval->out ? file_sync(eval->out, err) : LEAT_OK;
}

/* --- the whole --- */

static leat_status allocate(struct eval *eval, leat_error *err) {
    const struct eval_rows *rows = &eval->rows;
    size_t tasks = (size_t)eval->setup->spec.task_count;
    size_t scored = rows->scored_to - rows->scored_from;
    size_t valid = rows->valid_to - rows->valid_from;
    eval->case_capacity = scored > valid ? scored : valid;
    eval->predictions = memory_alloc((size_t)eval->setup->batch * tasks * sizeof(float));
    bool fine = eval->predictions != NULL;
    for (size_t t = 0; t < tasks; t++) {
        eval->cases[t] = memory_alloc(eval->case_capacity * sizeof(struct quality_case));
        fine = fine && eval->cases[t];
    }
    return fine ? LEAT_OK
                : error_memory(err, tasks * eval->case_capacity * sizeof(struct quality_case));
}

static leat_status eval_in(struct eval *eval, const struct eval_files *files, const char *folder,
                           leat_error *err) {
    TRY(eval_rows_make(eval->setup, files, folder, &eval->rows, err));
    refusals_finish(&eval->setup->refusals);
    TRY(allocate(eval, err));
    if (eval->asked->train.out) {
        TRY(file_open(disk_real(), eval->asked->train.out, FILE_WRITE, &eval->out, err));
    }
    TRY(model_open(&eval->setup->spec, NULL, NULL, &eval->model, err));
    TRY(model_threads(eval->model, eval->setup->threads, err));
    eval->begun_ns = clock_monotonic_ns();
    leat_status status = run_passes(eval, err);
    progress_end(&eval->progress);
    return status;
}

static void eval_free(struct eval *eval) {
    eval_rows_close(&eval->rows);
    if (eval->model) {
        model_close(eval->model);
    }
    for (int t = 0; t < MODEL_TASKS_MAX; t++) {
        memory_free(eval->cases[t]);
    }
    memory_free(eval->predictions);
    bytes_deinit(&eval->lines);
    file_close(eval->out);
}

leat_status eval_ctr(const struct eval_ctr_asked *asked, const struct eval_files *files,
                     const char *const *paths, int path_count, leat_error *err) {
    struct eval eval = {.asked = asked};
    char folder[CONFIG_TEXT_MAX];
    TRY(train_setup_make(&asked->train, paths, path_count, &eval.setup, err));
    leat_status status = scratch_make(NULL, folder, err);
    if (status == LEAT_OK) {
        bytes_init(&eval.lines);
        status = eval_in(&eval, files, folder, err);
        eval_free(&eval);
        leat_status removed = scratch_remove(folder, status < 0 ? NULL : err);
        status = status < 0 ? status : removed;
    }
    train_setup_destroy(eval.setup);
    return status < 0 ? status : LEAT_OK;
}
