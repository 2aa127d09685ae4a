/* `leat replay --format movielens`: is this rating 4 or more? Predicted, then told, rating after
 * rating in order of time. */
#include "app/quality.h"
#include "app/replay.h"
#include "base/json.h"
#include "base/memory.h"
#include "connect/movielens.h"

#include <inttypes.h>

#define FEATURES "[user, item, category, age, gender, occupation, user*category]"

static const char built_in[] = "actions: {rate: {threshold: 4, filter: none}}\n"
                               "surfaces: {for_you: {}}\n"
                               "model: {rate: 0.05, rate_dense: 0.1, features: " FEATURES "}\n";

enum { POSITIVE = 4, TEXT_MAX = 24, QUOTED_MAX = MOVIELENS_NAME_MAX * 2 + 4 };

struct movielens_run {
    const struct replay_options *options;
    struct movielens data;
    uint64_t refused;
    struct replay replay;
    struct quality_case *cases; /* one a rating, in order */
    int task;
};

struct movielens_result {
    double auc, auc_second_half, log_loss;
};

static struct slice number_text(char out[TEXT_MAX], uint64_t number) {
    int size = snprintf(out, TEXT_MAX, "%" PRIu64, number);
    return (struct slice){out, (size_t)size};
}

/* People and movies are known a second before the first rating. */
static int64_t known_ms(const struct movielens_run *run) {
    int64_t first_s = run->data.ratings[0].time_s;
    return first_s > 0 ? (first_s - 1) * 1000 : 0;
}

static leat_status tell_items(struct movielens_run *run, leat_error *err) {
    const struct movielens *data = &run->data;
    for (size_t i = 0; i < data->item_count; i++) {
        char id[TEXT_MAX];
        struct posted_event event = {
            .kind = slice_of("item"),
            .item = number_text(id, data->items[i].item),
            .has_time = true,
            .time_ms = known_ms(run),
            .text = slice_of(movielens_title(data, &data->items[i])),
        };
        for (int g = 0; g < data->genre_count; g++) {
            if (data->items[i].genres >> g & 1) {
                event.categories[event.category_count++] = slice_of(data->genres[g]);
            }
        }
        TRY(replay_tell(&run->replay, &event, err));
    }
    return LEAT_OK;
}

/* The ranges that the set's larger sisters use. */
static const char *age_bucket(int age) {
    static const struct {
        int below;
        const char *name;
    } buckets[] = {{18, "\"0-17\""},  {25, "\"18-24\""}, {35, "\"25-34\""},
                   {45, "\"35-44\""}, {50, "\"45-49\""}, {56, "\"50-55\""}};
    for (size_t i = 0; i < sizeof(buckets) / sizeof(buckets[0]); i++) {
        if (age < buckets[i].below) {
            return buckets[i].name;
        }
    }
    return "\"56-\"";
}

static leat_status tell_user(struct movielens_run *run, const struct movielens_user *user,
                             struct bytes *occupation, leat_error *err) {
    char id[TEXT_MAX];
    struct json_writer json;
    bytes_clear(occupation);
    json_begin(&json, occupation);
    json_cstring(&json, user->occupation);
    TRY(bytes_status(occupation, err));
    struct posted_event event = {
        .kind = slice_of("user"),
        .user = number_text(id, user->user),
        .has_time = true,
        .time_ms = known_ms(run),
        .context_count = 3,
        .context = {slice_of("age"),
                    slice_of(age_bucket(user->age)),
                    slice_of("gender"),
                    slice_of(user->gender[0] == 'F' ? "\"F\"" : "\"M\""),
                    slice_of("occupation"),
                    {(const char *)occupation->data, occupation->size}},
    };
    return replay_tell(&run->replay, &event, err);
}

static leat_status tell_users(struct movielens_run *run, leat_error *err) {
    struct bytes occupation;
    leat_status status = LEAT_OK;
    bytes_init(&occupation);
    for (size_t i = 0; i < run->data.user_count && status == LEAT_OK; i++) {
        status = tell_user(run, &run->data.users[i], &occupation, err);
    }
    bytes_deinit(&occupation);
    return status;
}

/* Predicts, then tells. */
static leat_status play_rating(struct movielens_run *run, size_t at, leat_error *err) {
    const struct movielens_rating *rating = &run->data.ratings[at];
    char user[TEXT_MAX];
    char item[TEXT_MAX];
    float probabilities[EXAMPLE_TASKS_MAX];
    struct posted_event event = {
        .kind = slice_of("rate"),
        .user = number_text(user, rating->user),
        .item = number_text(item, rating->item),
        .has_time = true,
        .time_ms = rating->time_s * 1000,
        .has_value = true,
        .value = rating->rating,
    };
    TRY(replay_flush(&run->replay, err));
    TRY(engine_score(run->replay.engine, event.user, run->replay.surface, event.time_ms, event.item,
                     probabilities, err));
    run->cases[at] = (struct quality_case){probabilities[run->task], rating->rating >= POSITIVE};
    return replay_tell(&run->replay, &event, err);
}

static leat_status play(struct movielens_run *run, leat_error *err) {
    struct replay *replay = &run->replay;
    TRY(tell_items(run, err));
    TRY(tell_users(run, err));
    for (size_t i = 0; i < run->data.rating_count; i++) {
        TRY(play_rating(run, i, err));
        if (i % 64 == 0 && replay_progress_due(replay)) {
            progress_line(&replay->progress, replay_seconds(replay),
                          "%zu of %zu ratings, log loss %.4f", i + 1, run->data.rating_count,
                          quality_log_loss(run->cases, i + 1));
        }
    }
    progress_end(&replay->progress);
    return replay_flush(replay, err);
}

/* The second half first: measuring sorts. */
static leat_status measure(struct movielens_run *run, struct movielens_result *result,
                           leat_error *err) {
    size_t count = run->data.rating_count;
    result->log_loss = quality_log_loss(run->cases, count);
    TRY(quality_auc(run->cases + count / 2, count - count / 2, &result->auc_second_half, err));
    return quality_auc(run->cases, count, &result->auc, err);
}

static leat_status print_results(struct movielens_run *run, leat_error *err) {
    struct movielens_result result;
    TRY(measure(run, &result, err));
    if (run->options->json) {
        printf("{\"name\":\"rating>=4\",\"auc\":%.6f,\"auc_second_half\":%.6f,"
               "\"log_loss\":%.6f,\"n\":%zu,\"refused\":%" PRIu64 "}\n",
               result.auc, result.auc_second_half, result.log_loss, run->data.rating_count,
               run->refused);
    } else {
        printf("rating >= 4, predicted before it is told: AUC %.4f (second half %.4f), "
               "log loss %.4f, %zu ratings, %" PRIu64 " rows refused\n",
               result.auc, result.auc_second_half, result.log_loss, run->data.rating_count,
               run->refused);
    }
    return LEAT_OK;
}

static leat_status read_set(struct movielens_run *run, leat_error *err) {
    struct refusals refusals = {.show = stderr, .strict = run->options->strict};
    TRY(movielens_read(disk_real(), run->options->folder, &refusals, &run->data, err));
    refusals_finish(&refusals);
    run->refused = refusals.count;
    if (run->data.rating_count == 0) {
        return error_set(err, LEAT_INVALID, "%s: holds no ratings", run->options->folder);
    }
    run->cases = memory_alloc(run->data.rating_count * sizeof(*run->cases));
    return run->cases ? LEAT_OK : error_memory(err, run->data.rating_count * sizeof(*run->cases));
}

leat_status replay_movielens(const struct replay_options *options, leat_error *err) {
    struct movielens_run run = {.options = options};
    leat_status status;
    TRY_OR(status, read_set(&run, err), out);
    TRY_OR(status, replay_open(options, built_in, "rate", &run.replay, err), out);
    run.task = config_action_find(run.replay.config, slice_of("rate"));
    TRY_OR(status, play(&run, err), out);
    status = print_results(&run, err);
out:
    status = replay_close(&run.replay, status, err);
    movielens_free(&run.data);
    memory_free(run.cases);
    return status;
}
