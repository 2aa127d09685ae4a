#include "engine/eraser.h"

#include "base/memory.h"
#include "engine/engine_internal.h"
#include "log/log_erase.h"
#include "log/segment.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    TICK_MS = 1000,      /* between two looks at what is due */
    TICK_MS_MIN = 50,    /* with a very short log.erase_within */
    BEGIN_PART = 4,      /* of erase_within, until a pass begins */
    HURRY_PART = 2,      /* of erase_within, until it no longer rests */
    REST_FACTOR = 4,     /* rests so many times as long as the step before took */
    REST_MS_MAX = 10000, /* at most */
    CHECKPOINT_NAME_DIGITS = 20,
};

struct eraser {
    struct engine *engine;
    struct thread thread;
    struct mutex mutex;
    struct condition wake;
    bool stopping;
    uint64_t since_ns; /* monotonic: how long this process knows of a forget row; 0: of none */
    _Atomic uint64_t rows;
    bool failed; /* said so once */
};

/* --- stopping and resting --- */

static bool eraser_stopping(struct eraser *eraser) {
    mutex_lock(&eraser->mutex);
    bool stopping = eraser->stopping;
    mutex_unlock(&eraser->mutex);
    return stopping;
}

static void eraser_rest(struct eraser *eraser, int64_t rest_ms) {
    mutex_lock(&eraser->mutex);
    if (!eraser->stopping) {
        condition_wait_ms(&eraser->wake, &eraser->mutex, rest_ms);
    }
    mutex_unlock(&eraser->mutex);
}

/* --- retention --- */

struct oldest {
    uint64_t sequence;
    bool found;
};

/* A folder that is no whole checkpoint counts too: that only keeps more. */
static leat_status oldest_name(void *context, const char *name) {
    struct oldest *oldest = context;
    char segment[SEGMENT_NAME_BYTES];
    uint64_t sequence;
    if (strlen(name) != CHECKPOINT_NAME_DIGITS) {
        return LEAT_OK;
    }
    snprintf(segment, sizeof(segment), "%s.seg", name);
    if (segment_name_read(segment, &sequence) && (!oldest->found || sequence < oldest->sequence)) {
        *oldest = (struct oldest){sequence, true};
    }
    return LEAT_OK;
}

static leat_status retain(struct eraser *eraser, leat_error *err) {
    struct engine *engine = eraser->engine;
    const struct config_log *config = &engine->config->log;
    if (engine->options.without_checkpoints || (config->retain == 0 && config->retain_age == 0)) {
        return LEAT_OK;
    }
    struct oldest oldest = {0, false};
    TRY(disk_list(engine->disk, engine->checkpoint_folder, oldest_name, &oldest, err));
    uint64_t removed = 0;
    leat_status status =
        oldest.found ? log_retain(engine->log, oldest.sequence, engine_now(engine), &removed, err)
                     : LEAT_OK;
    metrics_add(engine->metrics, METRIC_segments_removed_total, removed);
    return status;
}

/* --- erasing --- */

/* How long the oldest forget row has waited. With `clock: event` its append time says nothing about
 * that: then what this process has seen counts. */
static int64_t waited_ms(struct eraser *eraser, const struct log_forgotten *forgotten) {
    const struct engine *engine = eraser->engine;
    uint64_t now_ns = clock_monotonic_ns();
    if (eraser->since_ns == 0) {
        eraser->since_ns = now_ns;
    }
    int64_t known_ms = (int64_t)((now_ns - eraser->since_ns) / 1000000);
    int64_t age_ms = engine->event_clock ? 0 : clock_now_ms(engine->clock) - forgotten->oldest_ms;
    return age_ms > known_ms ? age_ms : known_ms;
}

/* Waits until flow has run every forget row of the pass: then the state holds nothing of them. */
static leat_status wait_applied(struct eraser *eraser, uint64_t until, leat_error *err) {
    struct engine *engine = eraser->engine;
    if (engine->options.inline_mode) {
        return engine_run(engine, until, err);
    }
    while (!engine_wait(engine, until, true, TICK_MS)) {
        if (engine_failure(engine)) {
            return error_set(err, LEAT_IO, "%s", engine_failure(engine));
        }
        if (eraser_stopping(eraser)) {
            return error_set(err, LEAT_CLOSED, "the engine is closing");
        }
    }
    return LEAT_OK;
}

static leat_status drop_checkpoints(struct eraser *eraser, uint64_t until, leat_error *err) {
    uint64_t sequence = 0;
    if (eraser->engine->options.without_checkpoints) {
        return LEAT_OK;
    }
    TRY(checkpointer_whole(eraser->engine, &sequence, err));
    if (sequence < until) {
        return error_retry(err, LEAT_IO,
                           "the checkpoint at %" PRIu64 " lies before the forget row at %" PRIu64,
                           sequence, until - 1);
    }
    /* A power cut must not bring the older ones back when the forget row is no longer there. */
    return disk_sync_folder(eraser->engine->disk, eraser->engine->checkpoint_folder, err);
}

/* One pass, from segment to segment. */
static leat_status pass_run(struct eraser *eraser, struct log_erasure *erasure, bool paced,
                            int64_t rested_ms, leat_error *err) {
    int64_t hurry_ms = eraser->engine->config->log.erase_within / HURRY_PART;
    while (true) {
        uint64_t begun_ns = clock_monotonic_ns();
        uint64_t before = log_erase_rows(erasure);
        leat_status status = log_erase_step(erasure, err);
        uint64_t rows = log_erase_rows(erasure) - before;
        atomic_fetch_add(&eraser->rows, rows);
        metrics_add(eraser->engine->metrics, METRIC_rows_erased_total, rows);
        if (status != LEAT_OK) {
            return status == LEAT_END ? LEAT_OK : status;
        }
        if (!paced) {
            continue;
        }
        int64_t took_ms = (int64_t)((clock_monotonic_ns() - begun_ns) / 1000000);
        int64_t rest_ms = took_ms * REST_FACTOR < REST_MS_MAX ? took_ms * REST_FACTOR : REST_MS_MAX;
        if (rested_ms + rest_ms < hurry_ms) {
            eraser_rest(eraser, rest_ms);
        }
        rested_ms += took_ms + rest_ms;
        if (eraser_stopping(eraser)) {
            return error_set(err, LEAT_CLOSED, "the engine is closing");
        }
    }
}

/* All forget rows of now. */
static leat_status erase(struct eraser *eraser, bool paced, int64_t waited, leat_error *err) {
    struct log *log = eraser->engine->log;
    struct log_forgotten forgotten;
    log_forgotten(log, &forgotten);
    uint64_t until = forgotten.end_sequence;
    if (forgotten.count == 0) {
        return LEAT_OK;
    }
    TRY(wait_applied(eraser, until, err));
    TRY(drop_checkpoints(eraser, until, err));
    leat_status status = LEAT_OK;
    while (status == LEAT_OK) { /* each pass takes a bounded number of persons */
        struct log_erasure *erasure;
        status = log_erase_begin(log, until, &erasure, err);
        if (status == LEAT_OK) {
            status = pass_run(eraser, erasure, paced, waited, err);
            log_erase_end(erasure);
        }
    }
    return status < 0 ? status : LEAT_OK;
}

/* --- the thread --- */

static void gauges_set(struct eraser *eraser, const struct log_forgotten *forgotten) {
    struct engine *engine = eraser->engine;
    metrics_set(engine->metrics, METRIC_erasures_pending, (double)forgotten->count);
    metrics_set(engine->metrics, METRIC_position_begin, (double)log_begin(engine->log));
}

static leat_status tick(struct eraser *eraser, leat_error *err) {
    struct log_forgotten forgotten;
    log_forgotten(eraser->engine->log, &forgotten);
    leat_status status = LEAT_OK;
    int64_t retry_after_s;
    engine_admit(eraser->engine, &retry_after_s, NULL); /* so that its rates are known when asked */
    if (forgotten.count == 0) {
        eraser->since_ns = 0;
    } else {
        int64_t waited = waited_ms(eraser, &forgotten);
        if (waited >= eraser->engine->config->log.erase_within / BEGIN_PART) {
            status = erase(eraser, true, waited, err);
        }
    }
    if (status >= 0) {
        status = retain(eraser, err);
    }
    log_forgotten(eraser->engine->log, &forgotten);
    gauges_set(eraser, &forgotten);
    return status;
}

static int64_t tick_ms(const struct eraser *eraser) {
    int64_t part = eraser->engine->config->log.erase_within / (2 * BEGIN_PART);
    return part > TICK_MS ? TICK_MS : part < TICK_MS_MIN ? TICK_MS_MIN : part;
}

static void *eraser_run(void *context) {
    struct eraser *eraser = context;
    while (!eraser_stopping(eraser)) {
        leat_error err = {.message = ""};
        leat_status status = tick(eraser, &err);
        if (status < 0 && status != LEAT_CLOSED && !eraser->failed) {
            fprintf(stderr,
                    "leat: rows that are to go are still in the log, it is tried again: %s\n",
                    err.message);
        }
        eraser->failed = status < 0;
        eraser_rest(eraser, tick_ms(eraser));
    }
    return NULL;
}

leat_status eraser_tidy(struct eraser *eraser, leat_error *err) {
    TRY(erase(eraser, false, 0, err));
    TRY(retain(eraser, err));
    struct log_forgotten forgotten;
    log_forgotten(eraser->engine->log, &forgotten);
    gauges_set(eraser, &forgotten);
    return LEAT_OK;
}

uint64_t eraser_rows(struct eraser *eraser) {
    return atomic_load(&eraser->rows);
}

/* --- life --- */

leat_status eraser_create(struct engine *engine, struct eraser **out, leat_error *err) {
    struct eraser *eraser = memory_zalloc(sizeof(*eraser));
    if (!eraser) {
        return error_memory(err, sizeof(*eraser));
    }
    eraser->engine = engine;
    mutex_init(&eraser->mutex);
    condition_init(&eraser->wake);
    *out = eraser;
    return LEAT_OK;
}

leat_status eraser_start(struct eraser *eraser, leat_error *err) {
    return thread_start(&eraser->thread, "leat-eraser", eraser_run, eraser, err);
}

void eraser_destroy(struct eraser *eraser) {
    if (!eraser) {
        return;
    }
    mutex_lock(&eraser->mutex);
    eraser->stopping = true;
    condition_broadcast(&eraser->wake);
    mutex_unlock(&eraser->mutex);
    thread_join(&eraser->thread);
    condition_deinit(&eraser->wake);
    mutex_deinit(&eraser->mutex);
    memory_free(eraser);
}
