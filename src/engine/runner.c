#include "engine/engine_internal.h"

#include <stdio.h>

/* How long the runner sleeps without news: bounds the delay of a checkpoint that is due. */
enum { RUNNER_NAP_MS = 100 };

void engine_fail(struct engine *engine, const char *what, const leat_error *err) {
    mutex_lock(&engine->mutex);
    if (!engine->failed) {
        snprintf(engine->failure, sizeof(engine->failure), "%s: %s", what, err->message);
        atomic_store(&engine->failed, true);
    }
    condition_broadcast(&engine->moved);
    mutex_unlock(&engine->mutex);
}

/* Rows of one frame in pieces of options.batch_rows: how they are cut changes no result. */
static leat_status frame_apply(struct engine *engine, const struct log_entry *entry, int64_t from,
                               int64_t to, leat_error *err) {
    int64_t piece = engine->options.batch_rows > 0 ? engine->options.batch_rows : to;
    bool event_clock = (entry->frame.flags & FRAME_EVENT_CLOCK) != 0;
    for (int64_t at = from; at < to; at += piece) {
        int64_t end = at + piece < to ? at + piece : to;
        TRY(flow_apply(engine->flow, &entry->batch, entry->frame.first_sequence,
                       entry->frame.append_ms, event_clock, at, end, err));
    }
    return LEAT_OK;
}

static void applied_set(struct engine *engine, uint64_t sequence) {
    atomic_store_explicit(&engine->applied, sequence, memory_order_release);
    if (!engine->options.inline_mode) {
        mutex_lock(&engine->mutex);
        condition_broadcast(&engine->moved);
        mutex_unlock(&engine->mutex);
    }
}

leat_status runner_step(struct engine *engine, uint64_t until, leat_error *err) {
    uint64_t applied = engine->applied;
    if (applied >= until) {
        return LEAT_AGAIN;
    }
    struct log_entry entry;
    leat_status status = log_read(engine->reader, &entry, err);
    if (status != LEAT_OK) {
        return status;
    }
    uint64_t first = entry.frame.first_sequence;
    uint64_t end = first + entry.frame.rows;
    if (end <= applied) {
        return LEAT_OK; /* lies before the checkpoint that was restored */
    }
    int64_t from = applied > first ? (int64_t)(applied - first) : 0;
    TRY(frame_apply(engine, &entry, from, (int64_t)entry.frame.rows, err));
    if (!engine->options.follow) {
        TRY(trainer_reach(engine->trainer, end, err));
    }
    applied_set(engine, end);
    return LEAT_OK;
}

static bool checkpoint_due(struct engine *engine) {
    if (engine->options.without_checkpoints) {
        return false;
    }
    uint64_t every_ns = (uint64_t)engine->config->checkpoint.every * 1000000u;
    mutex_lock(&engine->mutex);
    bool moved = engine->applied != engine->checkpoint_sequence;
    bool due = !engine->checkpoint_running &&
               (engine->checkpoint_wanted ||
                (moved && clock_monotonic_ns() - engine->checkpoint_ns > every_ns));
    mutex_unlock(&engine->mutex);
    return due;
}

static bool runner_stopping(struct engine *engine) {
    mutex_lock(&engine->mutex);
    bool stopping = engine->stopping || engine->failed;
    mutex_unlock(&engine->mutex);
    return stopping;
}

static void refusals_count(struct engine *engine) {
    uint64_t refused = flow_refused(engine->flow);
    uint64_t collisions = flow_collisions(engine->flow);
    metrics_add(engine->metrics, METRIC_state_refused_total, refused - engine->refused);
    metrics_add(engine->metrics, METRIC_key_collisions_total, collisions - engine->collisions);
    engine->refused = refused;
    engine->collisions = collisions;
}

static void gauges_set(struct engine *engine) {
    refusals_count(engine);
    metrics_set(engine->metrics, METRIC_position_end, (double)log_end(engine->log));
    metrics_set(engine->metrics, METRIC_position_applied, (double)engine->applied);
    metrics_set(engine->metrics, METRIC_position_learnt, (double)trainer_learnt(engine->trainer));
    metrics_set(engine->metrics, METRIC_state_bytes, (double)flow_bytes(engine->flow));
    metrics_set(engine->metrics, METRIC_table_bytes, (double)model_bytes(engine->model));
    metrics_set(engine->metrics, METRIC_table_rows, (double)model_rows(engine->model));
}

/* Flow never waits for the trainer but here: where the overflow file is at its bound. One frame's
 * examples may go beyond it. */
static bool overflow_full(const struct engine *engine) {
    return trainer_overflow(engine->trainer) >= (uint64_t)engine->config->runner.overflow;
}

void *runner_run(void *context) {
    struct engine *engine = context;
    leat_error err = {0};
    while (!runner_stopping(engine)) {
        bool full = overflow_full(engine);
        leat_status status = full ? LEAT_AGAIN : runner_step(engine, UINT64_MAX, &err);
        if (status >= 0 && checkpoint_due(engine) && checkpointer_freeze(engine, &err) < 0) {
            fprintf(stderr, "leat: no checkpoint now, the next one is tried: %s\n", err.message);
        }
        if (status < 0) {
            engine_fail(engine, "the operators stopped", &err);
            break;
        }
        if (status == LEAT_AGAIN && lead_due(engine->lead, trainer_learnt(engine->trainer))) {
            trainer_reach(engine->trainer, engine->applied, NULL); /* else at the next rows */
        }
        if (status == LEAT_AGAIN) {
            gauges_set(engine);
            log_wait(engine->log, full ? UINT64_MAX : engine->applied, RUNNER_NAP_MS);
        }
    }
    return NULL;
}
