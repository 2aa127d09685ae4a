#include "app/replay.h"

#include "app/scratch.h"
#include "log/record.h"

#include <inttypes.h>
#include <signal.h>

enum {
    TOLD_MAX = 1024, /* events in one append */
    CLOCK_EVENT = 1,
    DURABILITY_NONE = 1,
};
#define LOOK_EVERY_NS 1000000000u

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number) {
    (void)signal_number;
    stop_asked = 1;
}

/* The loss of every other task weighs nothing. */
static void learn_only(struct config *config, const char *only) {
    for (int a = 0; a < config->action_count; a++) {
        const char *name = config->actions[a].name;
        int at = 0;
        while (at < config->task_count && strcmp(config->tasks[at].name, name) != 0) {
            at++;
        }
        if (strcmp(name, only) != 0 && at < CONFIG_TASKS_MAX) {
            if (at == config->task_count) {
                config->tasks[config->task_count++] = (struct config_task){.settings = {0}};
                memcpy(config->tasks[at].name, name, CONFIG_NAME_MAX);
            }
            config->tasks[at].settings.weight = 0;
        }
    }
}

static leat_status load_config(const struct replay_options *options, const char *built_in,
                               struct replay *replay, leat_error *err) {
    if (options->files.config) {
        TRY(config_load(options->files.config, &replay->config, err));
    } else {
        TRY(config_parse(slice_of(built_in), "built-in", &replay->config, err));
    }
    struct config *config = replay->config;
    config->root.clock = CLOCK_EVENT;
    config->log.durability = DURABILITY_NONE;
    if (options->only) {
        learn_only(config, options->only);
    }
    if (!options->files.data || options->only) {
        TRY(scratch_make(NULL, config->root.data, err));
        replay->temporary = true;
        return LEAT_OK;
    }
    if (snprintf(config->root.data, CONFIG_TEXT_MAX, "%s", options->files.data) >=
        CONFIG_TEXT_MAX) {
        return error_set(err, LEAT_INVALID, "--data: longer than %d bytes", CONFIG_TEXT_MAX - 1);
    }
    return LEAT_OK;
}

leat_status replay_open(const struct replay_options *options, const char *built_in,
                        const char *action, struct replay *replay, leat_error *err) {
    *replay = (struct replay){.told = 0};
    progress_begin(&replay->progress);
    signal(SIGINT, ask_to_stop);
    signal(SIGTERM, ask_to_stop);
    TRY(load_config(options, built_in, replay, err));
    if (action && config_action_find(replay->config, slice_of(action)) < 0) {
        return error_set(err, LEAT_INVALID, "%s: a replay of this format needs the action '%s'",
                         options->files.config, action);
    }
    int for_you = config_surface_find(replay->config, slice_of("for_you"));
    replay->surface = for_you < 0 ? 0 : for_you;
    TRY(builder_create(schema_event(), &replay->builder, err));
    struct engine_report report;
    struct engine_options engine = {
        .config = replay->config,
        .inline_mode = true,
        .without_checkpoints = replay->temporary,
    };
    TRY(engine_open(&engine, &replay->engine, &report, err));
    replay->begun_ns = clock_monotonic_ns();
    replay->looked_ns = replay->begun_ns;
    return LEAT_OK;
}

leat_status replay_tell(struct replay *replay, struct posted_event *event, leat_error *err) {
    event->surface = slice_of(replay->config->surfaces[replay->surface].name);
    TRY(event_add(replay->builder, replay->config, event, err));
    replay->told++;
    return builder_rows(replay->builder) < TOLD_MAX ? LEAT_OK : replay_flush(replay, err);
}

leat_status replay_flush(struct replay *replay, leat_error *err) {
    if (stop_asked) {
        return error_set(err, LEAT_CLOSED, "stopped by a signal after %" PRIu64 " events",
                         replay->told);
    }
    if (builder_rows(replay->builder) == 0) {
        return LEAT_OK;
    }
    struct batch batch;
    TRY(builder_finish(replay->builder, &batch, err));
    TRY(engine_append(replay->engine, &batch, NULL, err));
    builder_clear(replay->builder);
    return engine_run(replay->engine, UINT64_MAX, err);
}

leat_status replay_close(struct replay *replay, leat_status status, leat_error *err) {
    leat_error *words = status < 0 ? NULL : err;
    if (replay->engine) {
        leat_status closed = engine_close(replay->engine, words);
        status = status < 0 ? status : closed;
        words = status < 0 ? NULL : err;
    }
    if (replay->temporary) {
        leat_status removed = scratch_remove(replay->config->root.data, words);
        status = status < 0 ? status : removed;
    }
    builder_destroy(replay->builder);
    config_destroy(replay->config);
    return status < 0 ? status : LEAT_OK;
}

bool replay_progress_due(struct replay *replay) {
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns - replay->looked_ns < LOOK_EVERY_NS) {
        return false;
    }
    replay->looked_ns = now_ns;
    return true;
}

double replay_seconds(const struct replay *replay) {
    return (double)(clock_monotonic_ns() - replay->begun_ns) * 1e-9;
}
