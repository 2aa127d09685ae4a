#include "engine/engine_internal.h"
#include "log/log_erase.h"

leat_status engine_refuse_following(const struct engine *engine, leat_error *err) {
    return engine->options.follow
               ? error_set(err, LEAT_CONFLICT,
                           "this server follows %s and takes no events itself; post them there",
                           engine->options.follow->leader)
               : LEAT_OK;
}

leat_status engine_append(struct engine *engine, const struct batch *events,
                          struct log_receipt *out, leat_error *err) {
    TRY(engine_refuse_following(engine, err));
    leat_error own;
    leat_error *words = err ? err : &own;
    leat_status status = log_append(engine->log, events, 1, out, words);
    if (status >= 0) {
        metrics_add(engine->metrics, METRIC_events_accepted_total, (uint64_t)events->rows);
    } else if (status == LEAT_IO) {
        engine_fail(engine, "the log stopped", words);
    }
    return status;
}

bool engine_ready(const struct engine *engine) {
    bool learnt = engine->options.follow || engine_learnt(engine) >= engine->opening_end;
    return learnt && engine_applied(engine) >= engine->opening_end;
}

const char *engine_failure(const struct engine *engine) {
    return atomic_load(&engine->failed) ? engine->failure : NULL;
}

uint64_t engine_end(const struct engine *engine) {
    return log_end(engine->log);
}

uint64_t engine_state_bytes(const struct engine *engine) {
    return flow_bytes(engine->flow);
}

uint64_t engine_applied(const struct engine *engine) {
    return atomic_load_explicit(&engine->applied, memory_order_acquire);
}

uint64_t engine_learnt(const struct engine *engine) {
    return trainer_learnt(engine->trainer);
}

uint32_t engine_log_id(const struct engine *engine) {
    return log_id(engine->log);
}

struct log *engine_log(struct engine *engine) {
    return engine->log;
}

static bool wait_applied(struct engine *engine, uint64_t sequence, int64_t timeout_ms) {
    uint64_t end_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
    mutex_lock(&engine->mutex);
    while (engine->applied < sequence && !engine->failed && !engine->stopping) {
        uint64_t now_ns = clock_monotonic_ns();
        if (now_ns >= end_ns) {
            break;
        }
        condition_wait_ms(&engine->moved, &engine->mutex,
                          (int64_t)((end_ns - now_ns) / 1000000u) + 1);
    }
    mutex_unlock(&engine->mutex);
    return engine_applied(engine) >= sequence;
}

bool engine_wait(struct engine *engine, uint64_t sequence, bool learnt, int64_t timeout_ms) {
    uint64_t start_ns = clock_monotonic_ns();
    if (engine_applied(engine) < sequence && !wait_applied(engine, sequence, timeout_ms)) {
        return false;
    }
    if (!learnt) {
        return true;
    }
    int64_t used_ms = (int64_t)((clock_monotonic_ns() - start_ns) / 1000000u);
    return trainer_wait(engine->trainer, sequence, timeout_ms > used_ms ? timeout_ms - used_ms : 0);
}

leat_status engine_run(struct engine *engine, uint64_t until, leat_error *err) {
    leat_status status;
    do {
        status = runner_step(engine, until, err);
    } while (status == LEAT_OK);
    if (status >= 0 && engine_failure(engine)) {
        return error_set(err, LEAT_IO, "%s", engine_failure(engine));
    }
    return status < 0 ? status : LEAT_OK;
}

void engine_erasures(struct engine *engine, struct engine_erasures *out) {
    struct log_forgotten forgotten;
    log_forgotten(engine->log, &forgotten);
    *out = (struct engine_erasures){.pending = forgotten.count,
                                    .rows_erased = eraser_rows(engine->eraser)};
    if (forgotten.count > 0) {
        out->complete_by_ms = forgotten.oldest_ms + engine->config->log.erase_within;
    }
}

leat_status engine_tidy(struct engine *engine, leat_error *err) {
    return eraser_tidy(engine->eraser, err);
}

int64_t engine_now(const struct engine *engine) {
    return engine->event_clock ? flow_now(engine->flow) : clock_now_ms(engine->clock);
}

leat_status engine_digest(struct engine *engine, struct engine_digest *out, leat_error *err) {
    *out = (struct engine_digest){.sequence = engine_applied(engine)};
    for (int i = 0; i < FLOW_STATES; i++) {
        out->parts[i].name = flow_state_name(i);
        TRY(state_digest(flow_state(engine->flow, i), &out->parts[i].value, err));
    }
    out->parts[FLOW_STATES].name = "model";
    TRY(model_digest(engine->model, &out->parts[FLOW_STATES].value, err));
    out->count = FLOW_STATES + 1;
    return LEAT_OK;
}
