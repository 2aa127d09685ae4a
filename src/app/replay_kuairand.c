/* `leat replay --format kuairand`: what will the person do with this video? All tasks predicted,
 * then told, showing after showing in order of time; beside a logistic model for each task on the
 * same rows, and beside the rarest task learnt alone. */
#include "app/bootstrap.h"
#include "app/logistic.h"
#include "app/page_file.h"
#include "app/replay.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/map.h"
#include "base/memory.h"
#include "connect/kuairand.h"

#include <inttypes.h>

#define FEATURES "[user, item, category, hour, user*category]"

static const char built_in[] = "actions:\n"
                               "  click: {window: 1s, filter: none}\n"
                               "  long_view: {window: 1s, filter: none}\n"
                               "  profile_enter: {window: 1s, filter: none}\n"
                               "surfaces: {for_you: {examples: impressions}}\n"
                               "model:\n"
                               "  features: " FEATURES "\n"
                               "  network: {kind: ple, hidden: [32], experts: 2}\n"
                               "  batch: 4\n"
                               "  rate: 0.05\n"
                               "  rate_dense: 0.03\n";

/* The baseline's ids are those of the built-in features; its rate is the best of .05 .1 .2 .5 1 and
 * 2 on all of the rows. */
enum { ID_USER, ID_ITEM, ID_LENGTH, ID_HOUR, ID_USER_LENGTH, IDS };
#define BASELINE_RATE 0.5f

enum { TEXT_MAX = 24, LENGTHS = 10 };

/* One engine's way through the rows. */
struct kuairand_pass {
    struct replay replay;
    int tasks;
    int signal[EXAMPLE_TASKS_MAX]; /* of each task */
    float *predictions;            /* [rows][tasks] */
};

struct kuairand_run {
    const struct replay_options *options;
    struct kuairand_rows data;
    uint64_t refused;
    struct kuairand_pass together, alone;
    int rarest; /* task that `alone` learns; -1: there is only one */
    struct logistic *logistic;
    float *baseline; /* [rows][tasks of `together`] */
    struct page_file out;
};

static struct slice number_text(char out[TEXT_MAX], uint64_t number) {
    int size = snprintf(out, TEXT_MAX, "%" PRIu64, number);
    return (struct slice){out, (size_t)size};
}

/* How long a video is, by doubling from 5 s on; 0 is a picture. */
static int length_of(uint32_t duration_ms) {
    int length = duration_ms > 0;
    for (uint32_t ms = 5000; length > 0 && length < LENGTHS - 1 && duration_ms >= ms; ms *= 2) {
        length++;
    }
    return length;
}

/* --- telling --- */

/* Videos are known a second before the first row, with what their first row says of them. */
static leat_status tell_items(struct kuairand_run *run, struct kuairand_pass *pass,
                              leat_error *err) {
    struct map known;
    leat_status status = LEAT_OK;
    map_init(&known);
    for (size_t i = 0; i < run->data.count && status == LEAT_OK; i++) {
        const struct kuairand_row *row = &run->data.rows[i];
        char id[TEXT_MAX];
        char length[TEXT_MAX];
        bool added;
        if (!map_at(&known, row->item, &added)) {
            status = error_memory(err, sizeof(uint64_t));
        } else if (added) {
            int64_t first_ms = run->data.rows[0].time_ms;
            struct posted_event event = {
                .kind = slice_of("item"),
                .item = number_text(id, row->item),
                .has_time = true,
                .time_ms = first_ms > 1000 ? first_ms - 1000 : 0,
                .category_count = 1,
                .categories = {number_text(length, (uint64_t)length_of(row->duration_ms))},
            };
            status = replay_tell(&pass->replay, &event, err);
        }
    }
    map_deinit(&known);
    return status;
}

/* The showing, then what the person did, all at the row's time. */
static leat_status tell_row(struct kuairand_run *run, struct kuairand_pass *pass, size_t at,
                            leat_error *err) {
    const struct kuairand_row *row = &run->data.rows[at];
    char user[TEXT_MAX];
    char item[TEXT_MAX];
    char request[TEXT_MAX];
    struct posted_event event = {
        .kind = slice_of("impression"),
        .user = number_text(user, row->user),
        .item = number_text(item, row->item),
        .request = number_text(request, at),
        .has_time = true,
        .time_ms = row->time_ms,
    };
    TRY(replay_tell(&pass->replay, &event, err));
    for (int t = 0; t < pass->tasks; t++) {
        if (row->signals >> pass->signal[t] & 1u) {
            event.kind = slice_of(pass->replay.config->actions[t].name);
            TRY(replay_tell(&pass->replay, &event, err));
        }
    }
    return LEAT_OK;
}

/* --- predicting --- */

static leat_status predict(struct kuairand_run *run, struct kuairand_pass *pass, size_t at,
                           leat_error *err) {
    const struct kuairand_row *row = &run->data.rows[at];
    char user[TEXT_MAX];
    char item[TEXT_MAX];
    float probabilities[EXAMPLE_TASKS_MAX];
    TRY(replay_flush(&pass->replay, err));
    TRY(engine_score(pass->replay.engine, number_text(user, row->user), pass->replay.surface,
                     row->time_ms, number_text(item, row->item), probabilities, err));
    memcpy(pass->predictions + at * (size_t)pass->tasks, probabilities,
           (size_t)pass->tasks * sizeof(float));
    return LEAT_OK;
}

static uint32_t labels_of(const struct kuairand_pass *pass, const struct kuairand_row *row) {
    uint32_t labels = 0;
    for (int t = 0; t < pass->tasks; t++) {
        labels |= (row->signals >> pass->signal[t] & 1u) << t;
    }
    return labels;
}

static void step_baseline(struct kuairand_run *run, size_t at) {
    const struct kuairand_row *row = &run->data.rows[at];
    uint64_t length = (uint64_t)length_of(row->duration_ms) + 1;
    uint64_t user = hash_mix(row->user, 1);
    const uint64_t ids[IDS] = {
        [ID_USER] = user,
        [ID_ITEM] = hash_mix(row->item, 2),
        [ID_LENGTH] = length,
        [ID_HOUR] = (uint64_t)(row->time_ms / 3600000 % 24) + 1,
        [ID_USER_LENGTH] = hash_mix(user, length),
    };
    logistic_step(run->logistic, ids, labels_of(&run->together, row),
                  run->baseline + at * (size_t)run->together.tasks);
}

static leat_status play(struct kuairand_run *run, struct kuairand_pass *pass, leat_error *err) {
    struct replay *replay = &pass->replay;
    TRY(tell_items(run, pass, err));
    for (size_t i = 0; i < run->data.count; i++) {
        TRY(predict(run, pass, i, err));
        if (pass == &run->together) {
            step_baseline(run, i);
        }
        TRY(tell_row(run, pass, i, err));
        if (i % 64 == 0 && replay_progress_due(replay)) {
            progress_line(&replay->progress, replay_seconds(replay), "%zu of %zu showings%s", i + 1,
                          run->data.count, pass == &run->alone ? ", the rarest task alone" : "");
        }
    }
    progress_end(&replay->progress);
    return replay_flush(replay, err);
}

/* --- results --- */

/* Person numbers 0, 1, 2 ... in order of their first rows. */
static leat_status number_people(const struct kuairand_run *run, struct bootstrap_case *cases,
                                 leat_error *err) {
    struct map numbers;
    leat_status status = LEAT_OK;
    uint64_t people = 0;
    map_init(&numbers);
    for (size_t i = 0; i < run->data.count && status == LEAT_OK; i++) {
        bool added;
        uint64_t *number = map_at(&numbers, run->data.rows[i].user, &added);
        if (number) {
            *number = added ? people++ : *number;
            cases[i].cluster = (uint32_t)*number;
        } else {
            status = error_memory(err, sizeof(*number));
        }
    }
    map_deinit(&numbers);
    return status;
}

static void print_result(const struct kuairand_run *run, const char *task, const char *than,
                         uint64_t positives, const struct bootstrap_result *result) {
    if (run->options->json) {
        printf("{\"name\":\"%s\",\"than\":\"%s\",\"auc\":%.6f,\"auc_than\":%.6f,"
               "\"difference\":%.6f,\"low\":%.6f,\"high\":%.6f,\"positives\":%" PRIu64
               ",\"n\":%zu,\"refused\":%" PRIu64 "}\n",
               task, than, result->ours, result->theirs, result->ours - result->theirs, result->low,
               result->high, positives, run->data.count, run->refused);
    } else {
        printf("%s, predicted before it is told: AUC %.4f, %s %.4f: %+.4f (95 %% of draws of "
               "people: %+.4f to %+.4f), %" PRIu64 " of %zu\n",
               task, result->ours, than, result->theirs, result->ours - result->theirs, result->low,
               result->high, positives, run->data.count);
    }
}

/* Task number `task` against column `column` of other predictions. */
static leat_status compare(const struct kuairand_run *run, int task, const char *than,
                           const float *others, int columns, int column, leat_error *err) {
    const struct kuairand_pass *pass = &run->together;
    size_t count = run->data.count;
    struct bootstrap_result result;
    uint64_t positives = 0;
    struct bootstrap_case *cases = memory_alloc(count * sizeof(*cases));
    if (!cases) {
        return error_memory(err, count * sizeof(*cases));
    }
    for (size_t i = 0; i < count; i++) {
        bool positive = run->data.rows[i].signals >> pass->signal[task] & 1u;
        cases[i].ours = pass->predictions[i * (size_t)pass->tasks + (size_t)task];
        cases[i].theirs = others[i * (size_t)columns + (size_t)column];
        cases[i].positive = positive;
        positives += positive;
    }
    leat_status status = number_people(run, cases, err);
    if (status == LEAT_OK) {
        uint64_t seed = (uint64_t)pass->replay.config->root.seed;
        status = bootstrap_auc(cases, count, seed, &result, err);
    }
    if (status == LEAT_OK) {
        print_result(run, pass->replay.config->actions[task].name, than, positives, &result);
    }
    memory_free(cases);
    return status;
}

static leat_status print_results(const struct kuairand_run *run, leat_error *err) {
    for (int t = 0; t < run->together.tasks; t++) {
        TRY(compare(run, t, "logistic", run->baseline, run->together.tasks, t, err));
    }
    return run->rarest < 0 ? LEAT_OK
                           : compare(run, run->rarest, "alone", run->alone.predictions,
                                     run->alone.tasks, run->rarest, err);
}

static void write_prediction(struct kuairand_run *run, size_t at) {
    const struct kuairand_pass *pass = &run->together;
    const struct kuairand_row *row = &run->data.rows[at];
    struct json_writer json;
    json_begin(&json, &run->out.text);
    json_object_open(&json);
    json_key(&json, "time");
    json_i64(&json, row->time_ms);
    json_key(&json, "user");
    json_u64(&json, row->user);
    json_key(&json, "item");
    json_u64(&json, row->item);
    for (int t = 0; t < pass->tasks; t++) {
        size_t place = at * (size_t)pass->tasks + (size_t)t;
        json_key(&json, pass->replay.config->actions[t].name);
        json_object_open(&json);
        json_key(&json, "label");
        json_u64(&json, row->signals >> pass->signal[t] & 1u);
        json_key(&json, "leat");
        json_f32(&json, pass->predictions[place]);
        json_key(&json, "logistic");
        json_f32(&json, run->baseline[place]);
        if (t == run->rarest) {
            json_key(&json, "alone");
            json_f32(&json, run->alone.predictions[place]);
        }
        json_object_close(&json);
    }
    json_object_close(&json);
    bytes_put_u8(&run->out.text, '\n');
}

static leat_status write_predictions(struct kuairand_run *run, leat_error *err) {
    for (size_t i = 0; run->out.file && i < run->data.count; i++) {
        write_prediction(run, i);
        if (i % 256 == 0) {
            TRY(page_file_flush(&run->out, err));
        }
    }
    return page_file_flush(&run->out, err);
}

/* --- opening --- */

static leat_status read_set(struct kuairand_run *run, leat_error *err) {
    struct refusals refusals = {.show = stderr, .strict = run->options->strict};
    TRY(kuairand_read(disk_real(), run->options->folder, &refusals, &run->data, err));
    refusals_finish(&refusals);
    run->refused = refusals.count;
    return run->data.count > 0
               ? LEAT_OK
               : error_set(err, LEAT_INVALID, "%s: holds no showings", run->options->folder);
}

/* Each action of the configuration must be a signal that the files have. */
static leat_status open_pass(struct kuairand_run *run, struct kuairand_pass *pass, const char *only,
                             leat_error *err) {
    struct replay_options options = *run->options;
    options.only = only;
    TRY(replay_open(&options, built_in, NULL, &pass->replay, err));
    const struct config *config = pass->replay.config;
    pass->tasks = config->action_count;
    for (int t = 0; t < pass->tasks; t++) {
        pass->signal[t] = kuairand_signal_find(slice_of(config->actions[t].name));
        if (pass->signal[t] < 0 || !(run->data.signals >> pass->signal[t] & 1u)) {
            return error_set(err, LEAT_INVALID,
                             "action '%s': %s has no such signal; name those that are to be "
                             "predicted, such as click, long_view and profile_enter",
                             config->actions[t].name, run->options->folder);
        }
    }
    size_t floats = run->data.count * (size_t)pass->tasks;
    pass->predictions = memory_alloc(floats * sizeof(float));
    return pass->predictions ? LEAT_OK : error_memory(err, floats * sizeof(float));
}

/* The task with the fewest positives, where there are others. */
static int rarest_task(const struct kuairand_run *run) {
    uint64_t fewest = UINT64_MAX;
    int rarest = -1;
    for (int t = 0; t < run->together.tasks && run->together.tasks > 1; t++) {
        uint64_t positives = 0;
        for (size_t i = 0; i < run->data.count; i++) {
            positives += run->data.rows[i].signals >> run->together.signal[t] & 1u;
        }
        rarest = positives < fewest ? t : rarest;
        fewest = positives < fewest ? positives : fewest;
    }
    return rarest;
}

static leat_status play_all(struct kuairand_run *run, leat_error *err) {
    TRY(read_set(run, err));
    TRY(open_pass(run, &run->together, NULL, err));
    int tasks = run->together.tasks;
    size_t floats = run->data.count * (size_t)tasks;
    run->baseline = memory_alloc(floats * sizeof(float));
    if (!run->baseline) {
        return error_memory(err, floats * sizeof(float));
    }
    TRY(logistic_create(IDS, tasks, BASELINE_RATE, &run->logistic, err));
    TRY(play(run, &run->together, err));
    run->rarest = rarest_task(run);
    if (run->rarest >= 0) {
        const char *only = run->together.replay.config->actions[run->rarest].name;
        TRY(open_pass(run, &run->alone, only, err));
        TRY(play(run, &run->alone, err));
    }
    TRY(write_predictions(run, err));
    return print_results(run, err);
}

leat_status replay_kuairand(const struct replay_options *options, leat_error *err) {
    struct kuairand_run run = {.options = options, .rarest = -1};
    leat_status status = page_file_open(&run.out, options->out, err);
    if (status >= 0) {
        status = play_all(&run, err);
    }
    status = replay_close(&run.alone.replay, status, err);
    status = replay_close(&run.together.replay, status, err);
    page_file_close(&run.out);
    logistic_destroy(run.logistic);
    kuairand_free(&run.data);
    memory_free(run.together.predictions);
    memory_free(run.alone.predictions);
    memory_free(run.baseline);
    return status;
}
