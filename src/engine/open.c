#include "base/hash.h"
#include "base/memory.h"
#include "engine/engine_internal.h"
#include "log/record.h"

#include <inttypes.h>
#include <stdio.h>

static void on_example(void *context, const struct example *example) {
    struct engine *engine = context;
    leat_error err = {0};
    if (engine->options.follow) {
        return; /* its leader learns from it */
    }
    if (engine->options.watch) {
        engine->options.watch(engine->options.watch_context, example);
    }
    if (engine->emitted && emitted_push(engine->emitted, example, &err) < 0) {
        engine_fail(engine, "examples could not be written", &err);
    }
    if (trainer_push(engine->trainer, example, &err) < 0) {
        engine_fail(engine, "the trainer stopped", &err);
    }
}

static void on_reach(void *context, uint64_t learnt) {
    struct engine *engine = context;
    if (engine->lead) {
        lead_reached(engine->lead, learnt);
    }
}

/* --- parts --- */

leat_status parts_open(struct engine *engine, leat_error *err) {
    TRY(pool_create((int)engine->config->runner.threads, &engine->pool, err));
    struct flow_options flow = {.config = engine->config,
                                .metrics = engine->metrics,
                                .emit = on_example,
                                .context = engine,
                                .pool = engine->pool,
                                .spill_disk = engine->disk,
                                .spill_folder = engine->config->root.data};
    TRY(flow_open(&flow, &engine->flow, err));
    const struct features *features = flow_features(engine->flow);
    int dense = features_dense_count(features);
    float start[EXAMPLE_TASKS_MAX * EXAMPLE_DENSE_MAX];
    for (int t = 0; t < engine->config->action_count; t++) {
        features_dense_start(features, t, start + t * dense);
    }
    struct model_spec spec;
    TRY(model_spec_of_config(engine->config, dense, &spec, err));
    TRY(engine->options.follow ? model_open_replica(&spec, engine->metrics, &engine->model, err)
                               : model_open(&spec, start, engine->metrics, &engine->model, err));
    struct trainer_options trainer = {.disk = engine->disk,
                                      .spill_path = engine->spill_path,
                                      .queue_max = (int)engine->config->model.queue,
                                      .inline_learning =
                                          engine->options.inline_mode || engine->options.follow,
                                      .on_reach = on_reach,
                                      .context = engine,
                                      .metrics = engine->metrics};
    return trainer_open(&trainer, engine->model, &engine->trainer, err);
}

void parts_close(struct engine *engine) {
    if (engine->trainer) {
        trainer_close(engine->trainer);
    }
    if (engine->model) {
        model_close(engine->model);
    }
    flow_close(engine->flow);
    pool_destroy(engine->pool);
    engine->pool = NULL;
    engine->trainer = NULL;
    engine->model = NULL;
    engine->flow = NULL;
}

/* --- opening --- */

/* Where the log of a follower begins that has none yet: at the checkpoint that it was given. */
static leat_status copy_begin(struct engine *engine, uint64_t *sequence, leat_error *err) {
    struct checkpoint *checkpoint;
    leat_status status =
        checkpoint_newest(engine->disk, engine->checkpoint_folder, &checkpoint, NULL, err);
    if (status == LEAT_OK) {
        *sequence = checkpoint_about(checkpoint)->sequence;
        checkpoint_close(checkpoint);
    }
    return status;
}

static leat_status log_start(struct engine *engine, struct log_recovery *recovery,
                             leat_error *err) {
    const struct config_log *config = &engine->config->log;
    struct log_options options = {
        .disk = engine->disk,
        .folder = engine->log_folder,
        .clock = engine->clock,
        .event_clock = engine->event_clock,
        .sync = config->durability == 0,
        .inline_writer = engine->options.inline_mode,
        .segment_bytes = (uint64_t)config->segment,
        .queue_bytes = (uint64_t)config->queue,
        .queue_wait_ms = engine->options.append_wait_ms,
        .retain_bytes = (uint64_t)config->retain,
        .retain_ms = config->retain_age,
        .oldest_ms = config->oldest,
        .skew_ms = config->skew,
        .heartbeat_ms = config->heartbeat,
        .metrics = engine->metrics,
    };
    if (engine->event_clock || engine->options.inline_mode || engine->options.follow) {
        options.heartbeat_ms = 0;
    }
    if (engine->options.follow) {
        options.salt = engine->options.follow->salt;
        TRY(copy_begin(engine, &options.first_sequence, err));
    }
    TRY(log_open(&options, &engine->log, recovery, err));
    return engine->options.follow && log_salt(engine->log) != options.salt
               ? error_set(err, LEAT_CONFLICT,
                           "%s is a copy of another log (salt %" PRIu32 ", not %" PRIu32
                           "); a follower wants an empty folder (--data)",
                           engine->log_folder, log_salt(engine->log), options.salt)
               : LEAT_OK;
}

/* What retention removed is in checkpoints only: without one, and with the first rows gone, there
 * is nothing to start from. A state of a part of the log would be another state. */
static leat_status refuse_begin(const struct engine *engine, const char *why, leat_error *err) {
    return error_set(
        err, LEAT_CONFLICT,
        "the log begins at %" PRIu64 ", older segments were removed (log.retain, "
        "log.retain_age), and no checkpoint leads up to there: %.200s. Set back what "
        "was changed in leat.yaml; or put a copy of %s back, or, where it holds an "
        "older one, move the newest aside; or, to begin anew, use another folder (data) "
        "and post the items again",
        log_begin(engine->log), why, engine->checkpoint_folder);
}

/* What the log holds no more lives on in counts and weights, which a replay from its start would
 * not give: a disk or a memory that fails just now must not lead there. */
static leat_status refuse_erased(const struct engine *engine, leat_status status, const char *why,
                                 leat_error *err) {
    return error_set(err, status,
                     "the newest checkpoint is needed, as rows of forgotten persons were erased "
                     "from the log, and could not be read: %.300s. Start again; or, to have the "
                     "log replayed without what they gave to counts and weights, move %s aside",
                     why, engine->checkpoint_folder);
}

/* A replay would need to learn; a follower does not. */
static leat_status refuse_copy(const struct engine *engine, leat_status status, const char *why,
                               leat_error *err) {
    return error_set(err, status < 0 ? status : LEAT_CORRUPT,
                     "no checkpoint of the leader %s can be used: %.300s. Start with the leader's "
                     "configuration, and where that is so, with an empty folder (--data)",
                     engine->options.follow->leader, status < 0 ? why : "there is none");
}

/* A checkpoint that cannot be used costs time, not truth: the log is replayed from its start. */
static leat_status restore(struct engine *engine, struct engine_report *report, leat_error *err) {
    uint64_t begin = log_begin(engine->log);
    if (engine->options.without_checkpoints) {
        return begin == 0 ? LEAT_OK : refuse_begin(engine, "none is to be used", err);
    }
    leat_error why = {0};
    leat_status status = checkpointer_restore(engine, &report->checkpoint_sequence, &why);
    if (engine->options.follow && status != LEAT_OK) {
        return refuse_copy(engine, status, why.message, err);
    }
    if (report->checkpoint_sequence < begin || (status != LEAT_OK && begin > 0)) {
        return refuse_begin(engine,
                            status < 0          ? why.message
                            : status == LEAT_OK ? "the newest one is older"
                                                : "there is none",
                            err);
    }
    if ((status == LEAT_IO || status == LEAT_MEMORY) && report->log.frames_rewritten > 0) {
        return refuse_erased(engine, status, why.message, err);
    }
    if (status < 0) {
        report->checkpoint_sequence = 0;
        snprintf(report->words, sizeof(report->words),
                 "checkpoint not used, the log is replayed from its start: %.300s", why.message);
        parts_close(engine);
        return parts_open(engine, err);
    }
    return LEAT_OK;
}

static void report_write(struct engine *engine, struct engine_report *report) {
    report->end_sequence = log_end(engine->log);
    size_t used = strlen(report->words);
    snprintf(report->words + used, sizeof(report->words) - used,
             "%slog: %" PRIu64 " rows in %" PRIu64 " segments%s%s; checkpoint at %" PRIu64
             ", %" PRIu64 " rows to replay",
             used ? "\n" : "", report->end_sequence, report->log.segments,
             report->log.report[0] ? "; " : "", report->log.report, report->checkpoint_sequence,
             report->end_sequence - report->checkpoint_sequence);
    used = strlen(report->words);
    if (report->checkpoint_sequence == 0 && report->log.frames_rewritten > 0) {
        snprintf(report->words + used, sizeof(report->words) - used,
                 "\nrows of forgotten persons were erased: this replay from the start gives other "
                 "counts and weights than those that lived on");
    }
}

static leat_status emitted_start(struct engine *engine, leat_error *err) {
    if (engine->options.follow || !engine->options.emit_examples ||
        engine->config->examples.folder[0] == '\0') {
        return LEAT_OK;
    }
    const struct emitted_options options = {.disk = engine->disk,
                                            .config = &engine->config->examples,
                                            .log_id = log_id(engine->log),
                                            .metrics = engine->metrics};
    return emitted_open(&options, engine->applied, engine->emitted_note, &engine->emitted, err);
}

static leat_status threads_start(struct engine *engine, leat_error *err) {
    if (engine->options.inline_mode) {
        return engine_run(engine, UINT64_MAX, err);
    }
    TRY(thread_start(&engine->runner_thread, "leat-flow", runner_run, engine, err));
    TRY(eraser_start(engine->eraser, err));
    if (engine->options.without_checkpoints) {
        return LEAT_OK;
    }
    return thread_start(&engine->checkpoint_thread, "leat-checkpoint", checkpointer_run, engine,
                        err);
}

static leat_status engine_start(struct engine *engine, struct engine_report *report,
                                leat_error *err) {
    TRY(builder_create(schema_served(), &engine->served_builder, err));
    TRY(folder_open(engine, err));
    TRY(log_start(engine, &report->log, err));
    /* Two openings of one log differ in time or in the log's end. */
    engine->nonce = hash_mix((uint64_t)clock_now_ms(engine->clock), log_end(engine->log));
    TRY(eraser_create(engine, &engine->eraser, err));
    TRY(parts_open(engine, err));
    TRY(restore(engine, report, err));
    report_write(engine, report);
    engine->applied = report->checkpoint_sequence;
    engine->checkpoint_sequence = report->checkpoint_sequence;
    engine->opening_end = report->end_sequence;
    engine->checkpoint_ns = clock_monotonic_ns();
    TRY(lead_open(engine, &engine->lead, err));
    TRY(emitted_start(engine, err));
    TRY(log_reader_open(engine->log, engine->applied, &engine->reader, err));
    return threads_start(engine, err);
}

static void engine_init(struct engine *engine, const struct engine_options *options) {
    engine->options = *options;
    engine->config = options->config;
    engine->disk = options->disk ? options->disk : disk_real();
    engine->clock = options->clock ? options->clock : clock_wall();
    engine->metrics = options->metrics;
    engine->event_clock = options->config->root.clock == 1;
    mutex_init(&engine->served_mutex);
    mutex_init(&engine->mutex);
    mutex_init(&engine->gate_mutex);
    condition_init(&engine->gate_moved);
    condition_init(&engine->moved);
    condition_init(&engine->work);
}

leat_status engine_open(const struct engine_options *options, struct engine **out,
                        struct engine_report *report, leat_error *err) {
    struct engine_report own;
    report = report ? report : &own;
    *report = (struct engine_report){0};
    struct engine *engine = memory_zalloc(sizeof(*engine));
    if (!engine) {
        return error_memory(err, sizeof(*engine));
    }
    engine_init(engine, options);
    leat_status status = engine_start(engine, report, err);
    if (status < 0) {
        engine_abandon(engine);
        return status;
    }
    *out = engine;
    return LEAT_OK;
}

/* --- closing --- */

static void threads_stop(struct engine *engine) {
    mutex_lock(&engine->mutex);
    engine->stopping = true;
    atomic_store_explicit(&engine->checkpoint_hurry, true, memory_order_relaxed);
    condition_broadcast(&engine->work);
    condition_broadcast(&engine->moved);
    mutex_unlock(&engine->mutex);
    if (engine->log) {
        log_wake(engine->log);
    }
    eraser_destroy(engine->eraser);
    engine->eraser = NULL;
    thread_join(&engine->runner_thread);
    if (engine->trainer) {
        trainer_close(engine->trainer);
        engine->trainer = NULL;
    }
    thread_join(&engine->checkpoint_thread);
    checkpointer_drop(engine);
}

void engine_abandon(struct engine *engine) {
    threads_stop(engine);
    lead_close(engine->lead);
    if (engine->reader) {
        log_reader_close(engine->reader);
    }
    parts_close(engine);
    emitted_close(engine->emitted);
    if (engine->log) {
        log_close(engine->log);
    }
    builder_destroy(engine->served_builder);
    checkpoint_chain_destroy(engine->chain);
    file_close(engine->lock);
    condition_deinit(&engine->gate_moved);
    mutex_deinit(&engine->gate_mutex);
    condition_deinit(&engine->work);
    condition_deinit(&engine->moved);
    mutex_deinit(&engine->mutex);
    mutex_deinit(&engine->served_mutex);
    memory_free(engine);
}

/* What is durable is applied and learnt before the last checkpoint. */
static leat_status engine_settle(struct engine *engine, leat_error *err) {
    if (engine->options.inline_mode) {
        TRY(engine_run(engine, UINT64_MAX, err));
    } else {
        while (!engine_wait(engine, log_end(engine->log), false, 1000)) {
            if (engine_failure(engine)) {
                return error_set(err, LEAT_IO, "%s", engine_failure(engine));
            }
        }
    }
    mutex_lock(&engine->mutex); /* one may just be written */
    bool written = engine->applied == engine->checkpoint_sequence;
    mutex_unlock(&engine->mutex);
    return engine->options.without_checkpoints || written ? LEAT_OK
                                                          : engine_checkpoint(engine, err);
}

leat_status engine_close(struct engine *engine, leat_error *err) {
    atomic_store_explicit(&engine->checkpoint_hurry, true, memory_order_relaxed);
    leat_error lost = {.message = ""}; /* served rows were: what is there is settled all the same */
    leat_status flushed = log_flush(engine->log, &lost);
    leat_status status = engine_settle(engine, err);
    engine_abandon(engine);
    if (status >= 0 && flushed < 0 && err) {
        *err = lost;
    }
    return status < 0 ? status : flushed;
}
