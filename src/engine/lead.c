#include "engine/lead.h"

#include "base/memory.h"
#include "engine/engine_internal.h"
#include "learn/model_delta.h"

#include <inttypes.h>

enum {
    READERS_MAX = 8,        /* of the log, kept between two requests */
    FRAMES_BYTES = 4 << 20, /* of one answer, or one commit */
    DELTAS_BYTES = 8 << 20, /* of one answer, or one delta */
    WAIT_SLICE_MS = 50,     /* how soon a wait sees that it is to stop */
};
/* Nobody asked for so long: no deltas are made any more. */
#define IDLE_NS ((uint64_t)60 * 1000000000)

struct lead_delta {
    struct lead_delta *next;
    uint64_t from, to;
    uint32_t users; /* answers it is copied to just now, and one while it is in the ring */
    struct bytes bytes;
};

struct lead {
    struct engine *engine;
    struct model_changes *changes; /* the learning thread's, as the next three */
    struct bytes scratch;
    uint64_t dense_ns, number;
    _Atomic uint64_t asked_ns; /* monotonic; 0: never */
    _Atomic uint64_t taken_ns; /* when the newest delta was */

    struct mutex mutex; /* guards all below */
    struct condition added;
    struct lead_delta *first, *last;
    uint64_t bytes;
    uint64_t from, to; /* of the whole ring */
    struct {
        struct log_reader *reader;
        uint64_t used; /* rises with each use */
    } readers[READERS_MAX];
    uint64_t uses;
};

/* --- the learning thread --- */

static void delta_release(struct lead_delta *delta) {
    if (--delta->users == 0) {
        bytes_deinit(&delta->bytes);
        memory_free(delta);
    }
}

/* With the mutex held. */
static void ring_drop_first(struct lead *lead) {
    struct lead_delta *delta = lead->first;
    lead->first = delta->next;
    lead->last = lead->first ? lead->last : NULL;
    lead->bytes -= delta->bytes.size;
    lead->from = delta->to;
    delta_release(delta);
}

/* What changed is in no delta: the ring begins anew. */
static void ring_break(struct lead *lead, uint64_t learnt) {
    mutex_lock(&lead->mutex);
    while (lead->first) {
        ring_drop_first(lead);
    }
    lead->from = learnt;
    lead->to = learnt;
    mutex_unlock(&lead->mutex);
}

static void ring_add(struct lead *lead, struct lead_delta *delta) {
    mutex_lock(&lead->mutex);
    if (lead->last) {
        lead->last->next = delta;
    } else {
        lead->first = delta;
    }
    lead->last = delta;
    lead->to = delta->to;
    lead->bytes += delta->bytes.size;
    while (lead->first != lead->last &&
           lead->bytes > (uint64_t)lead->engine->config->replica.ring) {
        ring_drop_first(lead);
    }
    metrics_set(lead->engine->metrics, METRIC_delta_ring_bytes, (double)lead->bytes);
    condition_broadcast(&lead->added);
    mutex_unlock(&lead->mutex);
}

static leat_status delta_take(struct lead *lead, uint64_t learnt, struct lead_delta *delta,
                              leat_error *err) {
    const struct config_replica *config = &lead->engine->config->replica;
    uint64_t now_ns = clock_monotonic_ns();
    bool dense = now_ns - lead->dense_ns >= (uint64_t)config->dense * 1000000u;
    struct delta_head head = {.encoding = (enum delta_encoding)config->rows,
                              .log_id = log_id(lead->engine->log),
                              .salt = log_salt(lead->engine->log),
                              .number = lead->number + 1,
                              .from = delta->from,
                              .to = learnt,
                              .time_ms = clock_now_ms(lead->engine->clock)};
    bytes_clear(&lead->scratch);
    TRY(model_delta_take(lead->changes, &head, dense, &lead->scratch, err));
    bytes_append(&delta->bytes, lead->scratch.data, lead->scratch.size); /* no larger than it is */
    TRY(bytes_status(&delta->bytes, err));
    lead->dense_ns = dense ? now_ns : lead->dense_ns;
    lead->number++;
    metrics_add(lead->engine->metrics, METRIC_deltas_total, 1);
    metrics_add(lead->engine->metrics, METRIC_delta_rows_total, head.rows);
    metrics_add(lead->engine->metrics, METRIC_delta_bytes_total, delta->bytes.size);
    return LEAT_OK;
}

static bool is_asked(struct lead *lead, uint64_t now_ns) {
    uint64_t asked_ns = atomic_load_explicit(&lead->asked_ns, memory_order_relaxed);
    return asked_ns != 0 && now_ns - asked_ns < IDLE_NS;
}

static bool is_time(struct lead *lead) {
    uint64_t now_ns = clock_monotonic_ns();
    uint64_t taken_ns = atomic_load_explicit(&lead->taken_ns, memory_order_relaxed);
    return is_asked(lead, now_ns) &&
           now_ns - taken_ns >= (uint64_t)lead->engine->config->replica.interval * 1000000u;
}

bool lead_due(struct lead *lead, uint64_t learnt) {
    if (!lead || !is_time(lead)) {
        return false;
    }
    mutex_lock(&lead->mutex);
    bool moved = learnt > lead->to;
    mutex_unlock(&lead->mutex);
    return moved;
}

/* A delta that fails is no failure of the leader: its followers take a checkpoint. */
void lead_reached(struct lead *lead, uint64_t learnt) {
    if (!lead_due(lead, learnt)) {
        return;
    }
    leat_error err = {.message = ""};
    leat_status status = LEAT_MEMORY;
    struct lead_delta *delta = memory_zalloc(sizeof(*delta));
    if (delta) {
        bytes_init(&delta->bytes);
        delta->users = 1;
        delta->from = lead->to; /* only this thread moves it */
        delta->to = learnt;
        status = delta_take(lead, learnt, delta, &err);
    }
    atomic_store_explicit(&lead->taken_ns, clock_monotonic_ns(), memory_order_relaxed);
    if (status == LEAT_OK) {
        ring_add(lead, delta);
        return;
    }
    if (delta) {
        delta_release(delta);
    }
    fprintf(stderr, "leat: no delta at %" PRIu64 ", followers take a checkpoint: %s\n", learnt,
            err.message);
    ring_break(lead, learnt);
}

/* --- life --- */

leat_status lead_open(struct engine *engine, struct lead **out, leat_error *err) {
    *out = NULL;
    if (!engine->config->replica.lead || engine->options.follow) {
        return LEAT_OK;
    }
    struct lead *lead = memory_zalloc(sizeof(*lead));
    if (!lead) {
        return error_memory(err, sizeof(*lead));
    }
    lead->engine = engine;
    lead->from = trainer_learnt(engine->trainer);
    lead->to = lead->from;
    bytes_init(&lead->scratch);
    mutex_init(&lead->mutex);
    condition_init(&lead->added);
    leat_status status = model_changes_create(engine->model, &lead->changes, err);
    if (status < 0) {
        lead_close(lead);
        return status;
    }
    *out = lead;
    return LEAT_OK;
}

void lead_close(struct lead *lead) {
    if (!lead) {
        return;
    }
    ring_break(lead, 0);
    for (int i = 0; i < READERS_MAX; i++) {
        log_reader_close(lead->readers[i].reader);
    }
    model_changes_destroy(lead->changes);
    bytes_deinit(&lead->scratch);
    condition_deinit(&lead->added);
    mutex_deinit(&lead->mutex);
    memory_free(lead);
}

/* --- answers --- */

static leat_status lead_check(struct engine *engine, leat_error *err) {
    if (engine->options.follow) {
        return error_set(err, LEAT_UNSUPPORTED, "this server is a follower itself, of %s",
                         engine->options.follow->leader);
    }
    if (!engine->lead) {
        return error_set(err, LEAT_UNSUPPORTED, "replica.lead is off here");
    }
    atomic_store_explicit(&engine->lead->asked_ns, clock_monotonic_ns(), memory_order_relaxed);
    return LEAT_OK;
}

static leat_status query_check(struct engine *engine, const struct lead_query *query,
                               leat_error *err) {
    TRY(lead_check(engine, err));
    if (query->salt != log_salt(engine->log)) {
        return error_set(err, LEAT_CONFLICT,
                         "this log is not the one that was asked for (salt %" PRIu32
                         ", not %" PRIu32 "): it was made anew, or another server listens here",
                         log_salt(engine->log), query->salt);
    }
    return LEAT_OK;
}

leat_status lead_state(struct engine *engine, struct lead_state *out, leat_error *err) {
    TRY(lead_check(engine, err));
    struct lead *lead = engine->lead;
    *out = (struct lead_state){.log_id = log_id(engine->log),
                               .salt = log_salt(engine->log),
                               .begin = log_begin(engine->log),
                               .end = log_end(engine->log),
                               .applied = engine_applied(engine),
                               .learnt = engine_learnt(engine),
                               .now_ms = clock_now_ms(engine->clock)};
    mutex_lock(&lead->mutex);
    out->deltas_from = lead->from;
    out->deltas_to = lead->to;
    mutex_unlock(&lead->mutex);
    mutex_lock(&engine->mutex);
    out->checkpoint = engine->checkpoint_sequence;
    mutex_unlock(&engine->mutex);
    return LEAT_OK;
}

static bool is_stopped(const struct lead_query *query) {
    return query->stop && atomic_load(query->stop);
}

/* --- rows --- */

/* Takes out the reader that stands at `from`; NULL: there is none. */
static struct log_reader *reader_take(struct lead *lead, uint64_t from) {
    struct log_reader *found = NULL;
    mutex_lock(&lead->mutex);
    for (int i = 0; i < READERS_MAX && !found; i++) {
        if (lead->readers[i].reader && log_reader_at(lead->readers[i].reader) == from) {
            found = lead->readers[i].reader;
            lead->readers[i].reader = NULL;
        }
    }
    mutex_unlock(&lead->mutex);
    return found;
}

/* Keeps a reader for the request that goes on where it stands, in place of the one that was used
 * the longest ago. */
static void reader_keep(struct lead *lead, struct log_reader *reader) {
    mutex_lock(&lead->mutex);
    int slot = 0;
    for (int i = 0; i < READERS_MAX; i++) {
        if (!lead->readers[i].reader) {
            slot = i;
            break;
        }
        slot = lead->readers[i].used < lead->readers[slot].used ? i : slot;
    }
    struct log_reader *old = lead->readers[slot].reader;
    lead->readers[slot].reader = reader;
    lead->readers[slot].used = ++lead->uses;
    mutex_unlock(&lead->mutex);
    log_reader_close(old);
}

leat_status lead_frames(struct engine *engine, const struct lead_query *query, struct bytes *out,
                        leat_error *err) {
    TRY(query_check(engine, query, err));
    uint64_t until_ns = clock_monotonic_ns() + (uint64_t)query->wait_ms * 1000000u;
    while (log_end(engine->log) == query->from && clock_monotonic_ns() < until_ns &&
           !is_stopped(query)) {
        log_wait(engine->log, query->from, WAIT_SLICE_MS);
    }
    struct log_reader *reader = reader_take(engine->lead, query->from);
    if (!reader) {
        TRY(log_reader_open(engine->log, query->from, &reader, err));
    }
    leat_status status = log_read_frames(reader, FRAMES_BYTES, out, err);
    if (status < 0) {
        log_reader_close(reader);
        return status;
    }
    reader_keep(engine->lead, reader);
    return status;
}

/* --- deltas --- */

/* With the mutex held: those for a model at `from`, each kept from being freed. */
static int deltas_take(struct lead *lead, uint64_t from, struct lead_delta **out, int max) {
    int count = 0;
    size_t bytes = 0;
    for (struct lead_delta *delta = lead->first; delta && count < max; delta = delta->next) {
        if (delta->to <= from) {
            continue;
        }
        if (count > 0 && bytes + delta->bytes.size > DELTAS_BYTES) {
            break;
        }
        bytes += delta->bytes.size;
        delta->users++;
        out[count++] = delta;
    }
    return count;
}

static leat_status refuse_old(const struct lead *lead, uint64_t from, leat_error *err) {
    return error_set(err, LEAT_INVALID,
                     "deltas reach back to %" PRIu64 ", a model at %" PRIu64
                     " needs a checkpoint first",
                     lead->from, from);
}

/* With the mutex held: waits until there is a delta that ends behind `from`. */
static void deltas_wait(struct lead *lead, const struct lead_query *query) {
    uint64_t until_ns = clock_monotonic_ns() + (uint64_t)query->wait_ms * 1000000u;
    while (lead->to <= query->from && clock_monotonic_ns() < until_ns && !is_stopped(query)) {
        condition_wait_ms(&lead->added, &lead->mutex, WAIT_SLICE_MS);
    }
}

leat_status lead_deltas(struct engine *engine, const struct lead_query *query, struct bytes *out,
                        leat_error *err) {
    enum { DELTAS_MAX = 64 };
    struct lead_delta *taken[DELTAS_MAX];
    int count = 0;
    TRY(query_check(engine, query, err));
    struct lead *lead = engine->lead;
    leat_status status = LEAT_OK;
    mutex_lock(&lead->mutex);
    deltas_wait(lead, query);
    if (query->from < lead->from) {
        status = refuse_old(lead, query->from, err);
    } else {
        count = deltas_take(lead, query->from, taken, DELTAS_MAX);
    }
    mutex_unlock(&lead->mutex);
    for (int i = 0; i < count; i++) {
        bytes_append(out, taken[i]->bytes.data, taken[i]->bytes.size);
    }
    mutex_lock(&lead->mutex);
    for (int i = 0; i < count; i++) {
        delta_release(taken[i]);
    }
    mutex_unlock(&lead->mutex);
    TRY(status);
    TRY(bytes_status(out, err));
    return count > 0 ? LEAT_OK : LEAT_AGAIN;
}

/* --- checkpoints --- */

leat_status lead_checkpoint(struct engine *engine, const struct lead_query *query,
                            struct checkpoint_send **out, leat_error *err) {
    TRY(query_check(engine, query, err));
    leat_status status = checkpoint_send_open(engine->disk, engine->checkpoint_folder, out, err);
    TRY(status);
    if (status == LEAT_OK && checkpoint_send_sequence(*out) >= query->from) {
        return LEAT_OK;
    }
    if (status == LEAT_OK) {
        checkpoint_send_close(*out);
    }
    TRY(engine_checkpoint(engine, err));
    status = checkpoint_send_open(engine->disk, engine->checkpoint_folder, out, err);
    return status == LEAT_NOT_FOUND
               ? error_retry(err, LEAT_IO, "the checkpoint that was written has gone already")
               : status;
}
