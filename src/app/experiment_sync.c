/* `leat experiment sync`: what copying the learning model to the serving one more often is worth,
 * on a stream that drifts (sync_run.h). */
#include "app/experiment.h"
#include "app/plot.h"
#include "app/progress.h"
#include "app/scratch.h"
#include "app/sync_feed.h"
#include "app/sync_run.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>

enum { SHARDS_MAX = 16, OWN_OPTIONS = 15, READ_ROWS = 4096 };

struct sync_words {
    const char *shards, *part, *format, *plot, *plot_auc;
    const char *network, *dimension, *hidden, *cross, *optimiser, *rate, *rate_dense, *l2, *batch;
    bool json;
    struct drift_words drift;
};

struct sync_asked {
    const char *path; /* of a Criteo file; NULL: the generator */
    struct drift_options drift;
    double part; /* learnt in one pass, of all rows */
    int shards[SHARDS_MAX];
    int shard_count;
};

struct sync_state {
    struct sync_asked asked;
    struct model_spec spec;
    struct sync_feed *feed;
    struct sync_rows rows; /* of the second part */
    char folder[CONFIG_TEXT_MAX];
    char base[PATH_BYTES_MAX];
    struct progress progress;
    uint64_t begun_ns;
    int run;
    uint64_t first_rows, model_rows, model_bytes;
    double first_seconds;
    struct sync_result results[SHARDS_MAX];
};

/* --- what is asked for --- */

static leat_status read_integers(const char *name, const char *text, int64_t high, int max,
                                 int *out, int *count, leat_error *err) {
    *count = 0;
    for (const char *at = text; at;) {
        const char *comma = strchr(at, ',');
        char word[32];
        int64_t value = 0;
        snprintf(word, sizeof(word), "%.*s", (int)(comma ? (size_t)(comma - at) : strlen(at)), at);
        TRY(options_integer(name, word, 1, high, &value, err));
        if (*count == max) {
            return error_set(err, LEAT_INVALID, "--%s: at most %d numbers", name, max);
        }
        out[(*count)++] = (int)value;
        at = comma ? comma + 1 : NULL;
    }
    return LEAT_OK;
}

static leat_status read_number(const char *name, const char *text, double low, double high,
                               double *out, leat_error *err) {
    if (text && (!text_to_f64(slice_of(text), out) || !(*out >= low && *out <= high))) {
        return error_set(err, LEAT_INVALID, "--%s '%s': a number from %g to %g is wanted", name,
                         text, low, high);
    }
    return LEAT_OK;
}

static leat_status read_asked(const struct sync_words *words, const char *path,
                              struct sync_asked *out, leat_error *err) {
    out->path = path;
    out->part = 5.0 / 7;
    if (path && words->format && strcmp(words->format, "criteo") != 0) {
        return error_set(err, LEAT_INVALID, "--format %s: only criteo is possible", words->format);
    }
    if (!path && words->format) {
        return error_set(err, LEAT_INVALID, "--format: which file?");
    }
    TRY(read_number("part", words->part, 0.01, 0.99, &out->part, err));
    TRY(drift_words_read(&words->drift, &out->drift, err));
    return read_integers("shards", words->shards ? words->shards : "10,50,100,1000,10000",
                         100000000, SHARDS_MAX, out->shards, &out->shard_count, err);
}

/* --- the model --- */

static leat_status find_name(const char *name, const char *text, const char *(*at)(int), int count,
                             int *out, leat_error *err) {
    for (int i = 0; text && i < count; i++) {
        if (strcmp(text, at(i)) == 0) {
            *out = i;
            return LEAT_OK;
        }
    }
    return text ? error_set(err, LEAT_INVALID, "--%s '%s' is unknown", name, text) : LEAT_OK;
}

static const char *network_at(int index) {
    return model_network_name((enum model_network)index);
}
static const char *optimiser_at(int index) {
    return model_optimiser_name((enum model_optimiser)index);
}

/* Small enough to follow the stream on one core; the same for every N. */
static void usual_spec(struct model_spec *spec) {
    spec->network = NETWORK_DEEPFM;
    spec->dimension = 8;
    spec->hidden_count = 2;
    spec->hidden[0] = 64;
    spec->hidden[1] = 32;
    spec->cross = 2;
    spec->optimiser = MODEL_ADAGRAD;
    spec->rate = 0.05f;
    spec->rate_dense = 0.02f;
    spec->l2 = 0;
    spec->batch = 32;
    spec->calibrate = false;
    spec->memory = INT64_C(16) << 30;
}

static leat_status change_spec(const struct sync_words *words, struct model_spec *spec,
                               leat_error *err) {
    int network = (int)spec->network;
    int optimiser = (int)spec->optimiser;
    int64_t dimension = spec->dimension;
    int64_t cross = spec->cross;
    int64_t batch = spec->batch;
    double rate = (double)spec->rate;
    double rate_dense = (double)spec->rate_dense;
    double l2 = (double)spec->l2;
    TRY(find_name("network", words->network, network_at, NETWORK_TOWERS, &network, err));
    TRY(find_name("optimiser", words->optimiser, optimiser_at, MODEL_RMSPROP + 1, &optimiser, err));
    TRY(options_integer("dimension", words->dimension, 1, MODEL_DIMENSION_MAX, &dimension, err));
    TRY(options_integer("cross", words->cross, 0, MODEL_LAYERS_MAX, &cross, err));
    TRY(options_integer("batch", words->batch, 1, MODEL_BATCH_MAX, &batch, err));
    TRY(read_number("learning-rate", words->rate, 1e-6, 10, &rate, err));
    TRY(read_number("rate-dense", words->rate_dense, 1e-6, 10, &rate_dense, err));
    TRY(read_number("l2", words->l2, 0, 1, &l2, err));
    if (words->hidden) {
        TRY(read_integers("hidden", words->hidden, MODEL_HIDDEN_MAX, MODEL_LAYERS_MAX, spec->hidden,
                          &spec->hidden_count, err));
    }
    spec->network = (enum model_network)network;
    spec->optimiser = (enum model_optimiser)optimiser;
    spec->dimension = network == NETWORK_LOGISTIC ? 0 : (int)dimension;
    spec->cross = (int)cross;
    spec->batch = (int)batch;
    spec->rate = (float)rate;
    spec->rate_dense = (float)rate_dense;
    spec->l2 = (float)l2;
    return LEAT_OK;
}

static leat_status make_spec(const struct sync_words *words, struct sync_state *state,
                             leat_error *err) {
    struct config *config = NULL;
    const char *const none[] = {"f"};
    const struct model_names names = {
        .field_count = 1, .task_count = 1, .fields = none, .tasks = none};
    TRY(config_parse(slice_of(""), "defaults", &config, err));
    leat_status status = model_spec_of_names(config, &names, &state->spec, err);
    config_destroy(config);
    TRY(status);
    TRY(plan_into_spec(sync_feed_plan(state->feed), &state->spec, err));
    usual_spec(&state->spec);
    state->spec.seed = (uint64_t)state->asked.drift.seed;
    TRY(change_spec(words, &state->spec, err));
    return model_spec_check(&state->spec, err);
}

/* --- the two parts --- */

static void tell(struct sync_state *state, const char *what, double share) {
    double seconds = (double)(clock_monotonic_ns() - state->begun_ns) / 1e9;
    progress_line(&state->progress, seconds, "%s: %.0f %% (%.0f s)", what, 100 * share, seconds);
}

static bool tell_run(void *context, double share) {
    struct sync_state *state = context;
    char what[32];
    snprintf(what, sizeof(what), "%d shards", state->asked.shards[state->run]);
    tell(state, what, share);
    return false;
}

static leat_status learn_first(struct sync_state *state, struct model *model, leat_error *err) {
    uint64_t batch = (uint64_t)state->spec.batch;
    uint64_t told = 0;
    while (state->first_rows > told) {
        uint64_t left = state->first_rows - told;
        struct minibatch rows;
        const float *truth;
        leat_status status =
            sync_feed_next(state->feed, (int)(left < batch ? left : batch), &rows, &truth, err);
        if (status != LEAT_OK) {
            return status;
        }
        model_learn_batch(model, &rows, NULL);
        told += (uint64_t)rows.count;
        if (told % READ_ROWS < batch) {
            tell(state, "first part", (double)told / (double)state->first_rows);
        }
    }
    return LEAT_OK;
}

static leat_status keep_second(struct sync_state *state, leat_error *err) {
    leat_status status;
    struct minibatch rows;
    const float *truth;
    while ((status = sync_feed_next(state->feed, READ_ROWS, &rows, &truth, err)) == LEAT_OK) {
        for (int i = 0; i < rows.count; i++) {
            uint32_t first = rows.offsets[i];
            TRY(sync_rows_add(&state->rows, rows.keys + first, (int)(rows.offsets[i + 1] - first),
                              rows.targets[i] > 0, truth[i], err));
        }
    }
    return status == LEAT_END ? LEAT_OK : status;
}

static leat_status prepare(struct sync_state *state, leat_error *err) {
    struct model *model = NULL;
    leat_status status;
    state->first_rows = (uint64_t)((double)sync_feed_rows(state->feed) * state->asked.part);
    TRY(model_open(&state->spec, NULL, NULL, &model, err));
    uint64_t begun_ns = clock_monotonic_ns();
    TRY_OR(status, learn_first(state, model, err), fail);
    state->first_seconds = (double)(clock_monotonic_ns() - begun_ns) / 1e9;
    state->model_rows = model_rows(model);
    state->model_bytes = model_bytes(model);
    TRY_OR(status, model_save(model, disk_real(), state->base, err), fail);
    status = keep_second(state, err);
fail:
    model_close(model);
    return status;
}

static leat_status run_all(struct sync_state *state, leat_error *err) {
    struct sync_run *run = NULL;
    TRY(sync_open(disk_real(), state->base, &state->rows, &run, err));
    leat_status status = LEAT_OK;
    for (int i = 0; i < state->asked.shard_count && status == LEAT_OK; i++) {
        state->run = i;
        status = sync_shards(run, state->asked.shards[i], tell_run, state, &state->results[i], err);
    }
    sync_close(run);
    return status;
}

/* --- results --- */

static void describe(const struct sync_state *state, struct bytes *out) {
    const struct model_spec *spec = &state->spec;
    if (state->asked.path) {
        bytes_printf(out, "rows of %s", state->asked.path);
    } else {
        drift_words_print(&state->asked.drift, out);
    }
    bytes_printf(out, "; %s, dimension %d", model_network_name(spec->network), spec->dimension);
    for (int i = 0; i < spec->hidden_count; i++) {
        bytes_printf(out, "%s%d", i == 0 ? ", hidden " : "x", spec->hidden[i]);
    }
    bytes_printf(out, ", %s, rate %g, rate_dense %g, l2 %g, batch %d",
                 model_optimiser_name(spec->optimiser), (double)spec->rate,
                 (double)spec->rate_dense, (double)spec->l2, spec->batch);
}

static void put_number(struct json_writer *json, const char *key, double value) {
    json_key(json, key);
    json_f64(json, value);
}

static void result_json(const struct sync_state *state, const struct sync_result *result,
                        struct bytes *out) {
    struct json_writer json;
    json_begin(&json, out);
    json_object_open(&json);
    json_key(&json, "name");
    json_cstring(&json, "sync");
    json_key(&json, "shards");
    json_i64(&json, result->shards);
    json_key(&json, "scored");
    json_i64(&json, result->scored);
    put_number(&json, "rows_a_shard", (double)state->rows.count / result->shards);
    put_number(&json, "online_auc", result->mean_online);
    put_number(&json, "batch_auc", result->mean_batch);
    put_number(&json, "oracle_auc", result->mean_oracle);
    put_number(&json, "gain_points", result->gain);
    put_number(&json, "gain_error", result->gain_error);
    put_number(&json, "pooled_online_auc", result->pooled_online);
    put_number(&json, "pooled_batch_auc", result->pooled_batch);
    put_number(&json, "pooled_gain_points", result->pooled_gain);
    put_number(&json, "seconds", result->seconds);
    json_object_close(&json);
    bytes_put_u8(out, '\n');
}

static void result_text(const struct sync_state *state, const struct sync_result *result,
                        struct bytes *out) {
    bytes_printf(out, "%7d %9.0f   %.4f  %.4f  %.4f  %+.3f +- %.3f   %.4f  %.4f  %+.3f  %6.1f\n",
                 result->shards, (double)state->rows.count / result->shards, result->mean_online,
                 result->mean_batch, result->mean_oracle, result->gain, result->gain_error,
                 result->pooled_online, result->pooled_batch, result->pooled_gain, result->seconds);
}

static leat_status print_results(const struct sync_state *state, bool json, leat_error *err) {
    struct bytes out;
    bytes_init(&out);
    if (!json) {
        describe(state, &out);
        bytes_printf(&out,
                     "\nfirst part: %" PRIu64 " rows in one pass, %.1f s, %" PRIu64
                     " ids, %.0f MB; then %" PRIu64 " rows in shards\n\n"
                     "                    AUC, mean over shards             gain       AUC, all "
                     "rows   gain\n"
                     " shards      rows   online   batch  oracle  points  +- error   online   batch"
                     "  points       s\n",
                     state->first_rows, state->first_seconds, state->model_rows,
                     (double)state->model_bytes / 1e6, state->rows.count);
    }
    for (int i = 0; i < state->asked.shard_count; i++) {
        (json ? result_json : result_text)(state, &state->results[i], &out);
    }
    leat_status status = bytes_status(&out, err);
    if (status == LEAT_OK) {
        printf("%.*s", (int)out.size, (const char *)out.data);
    }
    bytes_deinit(&out);
    return status;
}

/* The paper's table 2: Criteo, DeepFM. */
static double published_gain(int shards) {
    return shards == 10 ? 0.24 : shards == 50 ? 0.34 : shards == 100 ? 0.37 : NAN;
}

static leat_status draw(const struct sync_state *state, const char *path, bool gains,
                        leat_error *err) {
    double x[SHARDS_MAX];
    double y[3][SHARDS_MAX];
    struct plot plot = {
        .title = gains ? "Gain of copying N times over not copying at all" : "AUC over copies",
        .x_label = "shards N: the model is copied after each",
        .y_label = gains ? "gain in AUC points (0.01 AUC)" : "AUC, mean over shards",
        .log_x = true,
        .point_count = state->asked.shard_count,
        .x = x,
        .series_count = 3,
    };
    const char *const names[2][3] = {
        {"online", "batch", "oracle (true probabilities)"},
        {"mean over shards", "all rows pooled", "Monolith on Criteo, as published"}};
    for (int i = 0; i < plot.point_count; i++) {
        const struct sync_result *result = &state->results[i];
        x[i] = result->shards;
        y[0][i] = gains ? result->gain : result->mean_online;
        y[1][i] = gains ? result->pooled_gain : result->mean_batch;
        y[2][i] = gains ? published_gain(result->shards) : result->mean_oracle;
    }
    for (int s = 0; s < 3; s++) {
        plot.series[s] = (struct plot_series){names[gains][s], y[s]};
    }
    struct bytes out;
    bytes_init(&out);
    leat_status status = plot_svg(&plot, &out, err);
    if (status == LEAT_OK) {
        status = disk_put(disk_real(), path, out.data, out.size, err);
    }
    bytes_deinit(&out);
    return status;
}

static leat_status report(const struct sync_words *words, struct sync_state *state,
                          leat_error *err) {
    progress_end(&state->progress);
    if (sync_feed_refused(state->feed) > 0) {
        fprintf(stderr, "leat experiment sync: %" PRIu64 " malformed rows were passed over\n",
                sync_feed_refused(state->feed));
    }
    TRY(print_results(state, words->json, err));
    if (words->plot) {
        TRY(draw(state, words->plot, true, err));
    }
    return words->plot_auc ? draw(state, words->plot_auc, false, err) : LEAT_OK;
}

/* --- the command --- */

static leat_status run_in_folder(const struct sync_words *words, struct sync_state *state,
                                 leat_error *err) {
    TRY(path_join(state->base, state->folder, "base.model", err));
    TRY(prepare(state, err));
    TRY(run_all(state, err));
    return report(words, state, err);
}

static leat_status run_sync(const struct sync_words *words, struct sync_state *state,
                            leat_error *err) {
    const char *path = state->asked.path;
    TRY(path ? sync_feed_criteo(path, &state->feed, err)
             : sync_feed_drift(&state->asked.drift, &state->feed, err));
    TRY(make_spec(words, state, err));
    TRY(scratch_make(NULL, state->folder, err));
    leat_status status = run_in_folder(words, state, err);
    progress_end(&state->progress);
    leat_status removed = scratch_remove(state->folder, status < 0 ? NULL : err);
    return status < 0 ? status : removed;
}

static leat_status sync_experiment(const struct sync_words *words, const char *path,
                                   leat_error *err) {
    struct sync_state *state = memory_zalloc(sizeof(*state));
    if (!state) {
        return error_memory(err, sizeof(*state));
    }
    state->begun_ns = clock_monotonic_ns();
    progress_begin(&state->progress);
    leat_status status = read_asked(words, path, &state->asked, err);
    if (status == LEAT_OK) {
        status = run_sync(words, state, err);
    }
    sync_rows_deinit(&state->rows);
    sync_feed_close(state->feed);
    memory_free(state);
    return status;
}

int experiment_sync_run(int argc, char **argv) {
    struct sync_words words = {.json = false};
    struct option options[OWN_OPTIONS + DRIFT_WORDS_MAX] = {
        {"shards", 0, "N,N", "Into how many shards (10,50,100,1000,10000).", &words.shards, NULL},
        {"part", 0, "X", "Share of the rows that is learnt first, in one pass (5/7).", &words.part,
         NULL},
        {"format", 0, "criteo", "What FILE is.", &words.format, NULL},
        {"json", 0, NULL, "One line of JSON a number of shards.", NULL, &words.json},
        {"plot", 0, "FILE", "Draws the gains, an SVG.", &words.plot, NULL},
        {"plot-auc", 0, "FILE", "Draws both AUCs, an SVG.", &words.plot_auc, NULL},
        {"network", 0, "WORD", "fm, logistic, fwfm, deepfm or dcn (deepfm).", &words.network, NULL},
        {"dimension", 0, "N", "Of embeddings (8).", &words.dimension, NULL},
        {"hidden", 0, "N,N", "Widths of the layers (64,32).", &words.hidden, NULL},
        {"cross", 0, "N", "Cross layers of dcn (2).", &words.cross, NULL},
        {"optimiser", 0, "WORD", "adagrad, ftrl, adam or rmsprop (adagrad).", &words.optimiser,
         NULL},
        {"learning-rate", 0, "X", "Of rows (0.05).", &words.rate, NULL},
        {"rate-dense", 0, "X", "Of the network's parameters (0.02).", &words.rate_dense, NULL},
        {"l2", 0, "X", "Penalty of embeddings (0).", &words.l2, NULL},
        {"batch", 0, "N", "Examples of a step (32).", &words.batch, NULL},
    };
    int count = OWN_OPTIONS + drift_words_options(&words.drift, options + OWN_OPTIONS);
    const struct usage usage = {
        "leat experiment sync [FILE --format criteo] [--shards N,N] [--network WORD] ...",
        "Monolith's experiment on the interval of parameter synchronisation (arXiv 2209.07663,\n"
        "table 2): the first part of a stream is learnt in one pass, the rest is cut into N\n"
        "shards; the model is copied, the copy scores a shard, then the shard is learnt. Prints\n"
        "the mean AUC over shards, and what is gained over the model that stays as it was. Rows\n"
        "come from a generator, or from Criteo's train.txt.",
        options, count};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    return sync_experiment(&words, rest > 0 ? argv[1] : NULL, &err) < 0
               ? command_fail(argv[0], &err)
               : COMMAND_FINE;
}
