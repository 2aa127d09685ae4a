/* `leat train`: a model out of files, with predictions before each example. */
#include "app/progress.h"
#include "app/train_notes.h"
#include "base/clock.h"
#include "base/memory.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

enum { SAVE_EVERY = 5000000 };

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number) {
    (void)signal_number;
    stop_asked = 1;
}

struct asked {
    struct train_asked train;
    const char *model, *save_every;
    bool resume;
};

/* A run, and how it is told. */
struct train {
    struct train_run run;
    const struct asked *asked;
    float *predictions; /* [batch x tasks] */
    struct bytes lines;
    int64_t save_every;
    uint64_t saved_at; /* examples */
    struct progress progress;
    uint64_t begun_ns;
    uint64_t begun_examples; /* a resumed run has some */
    double told_s;
};

static double seconds_of(const struct train *train) {
    return (double)(clock_monotonic_ns() - train->begun_ns) / 1e9;
}

/* --- telling --- */

static void tell(struct train *train) {
    const struct train_run *run = &train->run;
    double seconds = seconds_of(train);
    if (seconds < 1 || seconds - train->told_s < 1) {
        return;
    }
    uint64_t read;
    uint64_t all;
    train_rows_progress(run->rows, &read, &all);
    double part = all ? (double)read / (double)all : 1;
    double passes = run->epoch + part;
    double left = passes > 0 ? seconds * (run->setup->epochs - passes) / passes : 0;
    train->told_s = seconds;
    progress_line(&train->progress, seconds,
                  "pass %d of %d, %.0f %%: %" PRIu64 " examples, %.0f/s, %s %.5f, %.0f s left",
                  run->epoch + 1, run->setup->epochs, 100 * part, run->examples,
                  (double)(run->examples - train->begun_examples) / seconds,
                  run->setup->spec.tasks[0].name, train_score_mean(&run->score, 0), left);
}

static void print_pass(const struct train *train, const char *name, const struct train_score *score,
                       uint64_t examples) {
    const struct train_run *run = &train->run;
    const struct model_spec *spec = &run->setup->spec;
    double seconds = seconds_of(train);
    for (int t = 0; t < spec->task_count; t++) {
        const char *loss = spec->tasks[t].head == HEAD_BINARY ? "logloss" : "squared_error";
        printf(train->asked->train.json
                   ? "{\"name\":\"%s/%s\",\"epoch\":%d,\"%s\":%.6f,\"examples\":%" PRIu64
                     ",\"seconds\":%.3f,\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64
                     ",\"refused\":%" PRIu64 "}\n"
                   : "%s %s: pass %d, %s %.6f, %" PRIu64 " examples, %.1f s, %" PRIu64
                     " rows of the table, %" PRIu64 " bytes, %" PRIu64 " malformed rows\n",
               name, spec->tasks[t].name, run->epoch + 1, loss, train_score_mean(score, t),
               examples, seconds, model_rows(run->model), model_bytes(run->model),
               run->setup->refusals.count);
    }
    fflush(stdout);
}

/* --- learning --- */

static leat_status write_lines(struct train *train, const struct minibatch *rows,
                               const uint64_t *numbers, leat_error *err) {
    struct train_run *run = &train->run;
    bytes_clear(&train->lines);
    train_score_lines(&run->setup->spec, rows, numbers, train->predictions, &train->lines);
    TRY(bytes_status(&train->lines, err));
    TRY(file_write(run->out, train->lines.data, train->lines.size, run->out_at, err));
    run->out_at += train->lines.size;
    return LEAT_OK;
}

static leat_status learn(struct train *train, const struct minibatch *rows, const uint64_t *numbers,
                         leat_error *err) {
    struct train_run *run = &train->run;
    model_learn_batch(run->model, rows, train->predictions);
    train_score_add(&run->score, &run->setup->spec, rows, train->predictions);
    run->examples += (uint64_t)rows->count;
    if (run->out) {
        TRY(write_lines(train, rows, numbers, err));
    }
    if (run->path && run->examples - train->saved_at >= (uint64_t)train->save_every) {
        TRY(train_notes_write(run, err));
        train->saved_at = run->examples;
    }
    tell(train);
    return LEAT_OK;
}

/* LEAT_AGAIN (positive): asked to stop. */
static leat_status learn_pass(struct train *train, leat_error *err) {
    struct train_run *run = &train->run;
    for (;;) {
        struct minibatch rows;
        const uint64_t *numbers;
        leat_status status = train_rows_next(run->rows, &rows, &numbers, err);
        if (status != LEAT_OK) {
            return status < 0 ? status : LEAT_OK;
        }
        TRY(learn(train, &rows, numbers, err));
        if (stop_asked) {
            return LEAT_AGAIN;
        }
    }
}

static leat_status stopped(struct train *train, leat_error *err) {
    struct train_run *run = &train->run;
    progress_end(&train->progress);
    if (!run->path) {
        return error_set(err, LEAT_INVALID, "stopped; nothing was saved, as there is no --model");
    }
    TRY(train_notes_write(run, err));
    TRY(model_save(run->model, disk_real(), run->path, err));
    return error_set(err, LEAT_INVALID,
                     "stopped after %" PRIu64 " examples; the model is saved as it is now, and the "
                     "same command with --resume goes on",
                     run->examples);
}

static leat_status learn_all(struct train *train, leat_error *err) {
    struct train_run *run = &train->run;
    for (; run->epoch < run->setup->epochs; run->epoch++) {
        leat_status status = learn_pass(train, err);
        TRY(status);
        if (status == LEAT_AGAIN) {
            return stopped(train, err);
        }
        progress_end(&train->progress);
        print_pass(train, "train", &run->score, train_rows_examples(run->rows));
        train_score_sum(&run->score_all, &run->score);
        run->score = (struct train_score){{0}, {0}};
        TRY(train_rows_again(run->rows, err));
    }
    refusals_finish(&run->setup->refusals);
    if (run->path) {
        TRY(model_save(run->model, disk_real(), run->path, err));
        TRY(train_notes_remove(run, err));
    }
    return run->out ? file_sync(run->out, err) : LEAT_OK;
}

/* --- beginning --- */

static leat_status begin_out(struct train_run *run, leat_error *err) {
    struct bytes header;
    TRY(file_truncate(run->out, 0, err));
    bytes_init(&header);
    train_score_header(&header);
    leat_status status = bytes_status(&header, err);
    if (status == LEAT_OK) {
        status = file_write(run->out, header.data, header.size, 0, err);
        run->out_at = header.size;
    }
    bytes_deinit(&header);
    return status;
}

static leat_status begin(struct train *train, leat_error *err) {
    struct train_run *run = &train->run;
    if (train->asked->resume) {
        leat_status status = train_notes_read(run, err);
        if (status != LEAT_NOT_FOUND) {
            train->saved_at = run->examples;
            train->begun_examples = run->examples;
            return status;
        }
    }
    if (run->out) {
        TRY(begin_out(run, err));
    }
    return model_open(&run->setup->spec, NULL, NULL, &run->model, err);
}

static leat_status train_with(struct train *train, leat_error *err) {
    struct train_run *run = &train->run;
    const char *out = train->asked->train.out;
    size_t bytes = (size_t)run->setup->batch * (size_t)run->setup->spec.task_count * sizeof(float);
    TRY(train_rows_open(run->setup, train->asked->train.cache, &run->rows, err));
    if (out) {
        TRY(file_open(disk_real(), out, FILE_WRITE, &run->out, err));
    }
    train->predictions = memory_alloc(bytes);
    if (!train->predictions) {
        return error_memory(err, bytes);
    }
    TRY(begin(train, err));
    TRY(model_threads(run->model, run->setup->threads, err));
    signal(SIGINT, ask_to_stop);
    signal(SIGTERM, ask_to_stop);
    progress_begin(&train->progress);
    train->begun_ns = clock_monotonic_ns();
    leat_status status = learn_all(train, err);
    progress_end(&train->progress);
    return status;
}

static leat_status train_files(const struct asked *asked, char **paths, int count,
                               leat_error *err) {
    struct train train = {.asked = asked, .run = {.path = asked->model}, .save_every = SAVE_EVERY};
    TRY(options_integer("save-every", asked->save_every, 1, INT64_C(1) << 50, &train.save_every,
                        err));
    if (asked->resume && !asked->model) {
        return error_set(err, LEAT_INVALID, "--resume goes on from what --model names");
    }
    bytes_init(&train.lines);
    leat_status status =
        train_setup_make(&asked->train, (const char *const *)paths, count, &train.run.setup, err);
    if (status == LEAT_OK) {
        status = train_with(&train, err);
    }
    file_close(train.run.out);
    if (train.run.model) {
        model_close(train.run.model);
    }
    train_rows_close(train.run.rows);
    train_setup_destroy(train.run.setup);
    bytes_deinit(&train.lines);
    memory_free(train.predictions);
    return status;
}

int command_train(int argc, char **argv) {
    struct asked asked = {.resume = false};
    const struct option own[] = {
        {"out", 0, "FILE", "The prediction of each example, made before it was learnt.",
         &asked.train.out, NULL},
        {"model", 0, "FILE", "Where the model is saved.", &asked.model, NULL},
        {"save-every", 0, "N", "Examples between two places to go on from (default 5000000).",
         &asked.save_every, NULL},
        {"resume", 0, NULL, "Go on where the same command was stopped or killed.", NULL,
         &asked.resume},
    };
    struct option options[TRAIN_OPTIONS_MAX + sizeof(own) / sizeof(own[0])];
    int count = train_options(&asked.train, options);
    memcpy(options + count, own, sizeof(own));
    count += (int)(sizeof(own) / sizeof(own[0]));
    const struct usage usage = {
        "leat train FILE... --format WORD [OPTION]...",
        "Learns the rows of files in their order, and says how well each was predicted before it\n"
        "was learnt. Malformed rows are named and passed over. What neither option nor\n"
        "configuration says is as docs/reference/config.md has it, but for the rates: 0.1 where "
        "the\n"
        "network steps example by example, 0.001 for adam and rmsprop.",
        options, count};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, TRAIN_PATHS_MAX, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    return train_files(&asked, argv + 1, rest, &err) < 0 ? command_fail(argv[0], &err)
                                                         : COMMAND_FINE;
}
