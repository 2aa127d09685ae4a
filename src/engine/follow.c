#include "engine/follow.h"

#include "base/memory.h"
#include "engine/engine_internal.h"
#include "engine/follow_internal.h"
#include "learn/model_delta.h"

#include <inttypes.h>
#include <time.h>

enum {
    POLL_MS = 250,  /* between two questions where the leader stands */
    WAIT_MS = 1000, /* that an answer waits for something to come */
    RETRY_MS = 200, /* after a failure */
    NAP_MS = 20,
    TRAIL_MAX = 64,
    ANSWER_BYTES_MAX = 320 << 20, /* the largest frame, and some */
};

/* When the leader stood where: so that "behind" needs no clock but one's own. Full, every second
 * entry goes, so that it spans any time with less and less detail. */
struct trail {
    int count;
    uint64_t ns[TRAIL_MAX], position[TRAIL_MAX];
    uint64_t reached_ns; /* when the leader stood where this follower has come to */
};

struct follow {
    struct engine *engine;
    struct follow_options options;
    struct thread watcher, copier, applier;
    _Atomic bool stop; /* of all lines */
    _Atomic bool restart;

    struct mutex mutex; /* guards all below */
    bool connected, refused;
    char words[300]; /* of what is wrong */
    struct lead_state leader;
    struct trail applied, learnt;
};

/* --- the gate of the model --- */

void follow_enter(struct engine *engine) {
    if (!engine->options.follow) {
        return;
    }
    mutex_lock(&engine->gate_mutex);
    while (engine->gate_closing) {
        condition_wait(&engine->gate_moved, &engine->gate_mutex);
    }
    engine->gate_inside++;
    mutex_unlock(&engine->gate_mutex);
}

void follow_leave(struct engine *engine) {
    if (!engine->options.follow) {
        return;
    }
    mutex_lock(&engine->gate_mutex);
    engine->gate_inside--;
    if (engine->gate_inside == 0) {
        condition_broadcast(&engine->gate_moved);
    }
    mutex_unlock(&engine->gate_mutex);
}

/* Whoever comes from now on waits, so that a crowd of readers does not hold a delta up. */
static void gate_close(struct engine *engine) {
    mutex_lock(&engine->gate_mutex);
    engine->gate_closing = true;
    while (engine->gate_inside > 0) {
        condition_wait(&engine->gate_moved, &engine->gate_mutex);
    }
    mutex_unlock(&engine->gate_mutex);
}

static void gate_open(struct engine *engine) {
    mutex_lock(&engine->gate_mutex);
    engine->gate_closing = false;
    condition_broadcast(&engine->gate_moved);
    mutex_unlock(&engine->gate_mutex);
}

/* --- how far behind --- */

static void trail_add(struct trail *trail, uint64_t now_ns, uint64_t position) {
    if (trail->count == TRAIL_MAX) {
        for (int i = 0; i < TRAIL_MAX / 2; i++) {
            trail->ns[i] = trail->ns[2 * i];
            trail->position[i] = trail->position[2 * i];
        }
        trail->count = TRAIL_MAX / 2;
    }
    trail->ns[trail->count] = now_ns;
    trail->position[trail->count++] = position;
}

static double trail_seconds(struct trail *trail, uint64_t position, uint64_t now_ns) {
    int reached = 0;
    while (reached < trail->count && trail->position[reached] <= position) {
        trail->reached_ns = trail->ns[reached++];
    }
    trail->count -= reached;
    memmove(trail->ns, trail->ns + reached, (size_t)trail->count * sizeof(trail->ns[0]));
    memmove(trail->position, trail->position + reached,
            (size_t)trail->count * sizeof(trail->position[0]));
    return (double)(now_ns - trail->reached_ns) * 1e-9;
}

static uint64_t rows_between(uint64_t from, uint64_t to) {
    return to > from ? to - from : 0;
}

void follow_describe(struct follow *follow, struct engine_following *out) {
    struct engine *engine = follow->engine;
    uint64_t applied = engine_applied(engine);
    uint64_t learnt = engine_learnt(engine);
    uint64_t now_ns = clock_monotonic_ns();
    mutex_lock(&follow->mutex);
    *out = (struct engine_following){
        .leader = engine->options.follow->leader,
        .connected = follow->connected,
        .refused = follow->refused,
        .leader_end = follow->leader.end,
        .leader_learnt = follow->leader.learnt,
        .rows = rows_between(applied, follow->leader.end),
        .learnt_rows = rows_between(learnt, follow->leader.learnt),
        .seconds = trail_seconds(&follow->applied, applied, now_ns),
        .learnt_seconds = trail_seconds(&follow->learnt, learnt, now_ns),
    };
    snprintf(out->words, sizeof(out->words), "%s", follow->words);
    mutex_unlock(&follow->mutex);
}

bool engine_following(struct engine *engine, struct engine_following *out) {
    *out = (struct engine_following){.leader = ""};
    struct follow *follow = atomic_load(&engine->following);
    if (!engine->options.follow) {
        return false;
    }
    out->leader = engine->options.follow->leader;
    if (follow) {
        follow_describe(follow, out);
    }
    return true;
}

/* --- what goes wrong --- */

/* LEAT_CONFLICT: there is no way on from here; else it is tried again. */
static void follow_trouble(struct follow *follow, leat_status status, const char *what,
                           const leat_error *err) {
    if (atomic_load(&follow->stop)) {
        return;
    }
    metrics_add(follow->engine->metrics, METRIC_leader_errors_total, 1);
    mutex_lock(&follow->mutex);
    bool news = follow->connected || (status == LEAT_CONFLICT && !follow->refused);
    follow->connected = false;
    if (!follow->refused) {
        snprintf(follow->words, sizeof(follow->words), "%s: %.250s", what, err->message);
    }
    follow->refused = follow->refused || status == LEAT_CONFLICT;
    mutex_unlock(&follow->mutex);
    if (news) {
        fprintf(stderr, "leat: following %s: %s: %s\n", follow->options.leader, what, err->message);
    }
}

static bool is_refused(struct follow *follow) {
    mutex_lock(&follow->mutex);
    bool refused = follow->refused;
    mutex_unlock(&follow->mutex);
    return refused;
}

static void nap(struct follow *follow, int64_t ms) {
    for (int64_t slept = 0; slept < ms && !atomic_load(&follow->stop); slept += NAP_MS) {
        nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000}, NULL);
    }
}

static leat_status line_open(struct follow *follow, struct leader_line **out) {
    leat_error err = {.message = ""};
    const struct leader_calls *calls = follow->options.calls;
    leat_status status = calls->open(calls->context, &follow->stop, out, &err);
    if (status < 0) {
        follow_trouble(follow, status, "no line", &err);
    }
    return status;
}

static leat_status into_bytes(void *context, const void *data, size_t count, leat_error *err) {
    struct bytes *bytes = context;
    if (bytes->size + count > ANSWER_BYTES_MAX) {
        return error_set(err, LEAT_CORRUPT, "an answer of more than %d bytes", ANSWER_BYTES_MAX);
    }
    bytes_append(bytes, data, count);
    return bytes_status(bytes, err);
}

static leat_status get_from(struct follow *follow, struct leader_line *line, const char *what,
                            uint64_t from, struct bytes *out, leat_error *err) {
    char path[160];
    snprintf(path, sizeof(path), "/v1/replica/%s?salt=%" PRIu32 "&from=%" PRIu64 "&wait=%d", what,
             follow->engine->options.follow->salt, from, (int)WAIT_MS);
    bytes_clear(out);
    return follow->options.calls->get(line, path, into_bytes, out, err);
}

/* --- rows --- */

static leat_status copy_once(struct follow *follow, struct leader_line *line, struct bytes *answer,
                             leat_error *err) {
    struct engine *engine = follow->engine;
    TRY(get_from(follow, line, "log", log_end(engine->log), answer, err));
    if (answer->size == 0) {
        return LEAT_OK;
    }
    leat_status status = log_append_frames(engine->log, answer->data, answer->size, NULL, err);
    if (status == LEAT_IO) {
        engine_fail(engine, "the log stopped", err);
    }
    return status;
}

/* Where flow is too far behind, rows wait at the leader. */
static bool flow_behind(const struct engine *engine) {
    return rows_between(engine_applied(engine), log_end(engine->log)) >
           (uint64_t)engine->config->log.behind;
}

static void *copier_run(void *context) {
    struct follow *follow = context;
    struct leader_line *line = NULL;
    struct bytes answer;
    bytes_init(&answer);
    leat_status status = line_open(follow, &line);
    while (status >= 0 && !atomic_load(&follow->stop)) {
        leat_error err = {.message = ""};
        if (is_refused(follow) || flow_behind(follow->engine)) {
            nap(follow, NAP_MS);
        } else if (copy_once(follow, line, &answer, &err) < 0) {
            follow_trouble(follow, err.status, "rows", &err);
            nap(follow, RETRY_MS);
        }
    }
    bytes_deinit(&answer);
    follow->options.calls->close(line);
    return NULL;
}

/* --- deltas --- */

static leat_status delta_fits(struct follow *follow, const struct delta *delta, leat_error *err) {
    const struct follow_identity *identity = follow->engine->options.follow;
    const struct delta_head *head = &delta->head;
    if (head->log_id != identity->log_id || head->salt != identity->salt) {
        return error_set(err, LEAT_CONFLICT, "a delta of another log");
    }
    if (head->from > engine_learnt(follow->engine)) {
        return error_retry(err, LEAT_INVALID, "a delta from %" PRIu64 " for a model at %" PRIu64,
                           head->from, engine_learnt(follow->engine));
    }
    return model_delta_check(follow->engine->model, delta, err);
}

/* The model and what is said of it move together: nobody is inside meanwhile. */
static leat_status delta_put(struct follow *follow, const struct delta *delta, leat_error *err) {
    struct engine *engine = follow->engine;
    gate_close(engine);
    leat_status status = model_delta_apply(engine->model, delta, err);
    while (status == LEAT_MEMORY && !atomic_load(&follow->stop)) { /* half of it may be in */
        nap(follow, RETRY_MS);
        status = model_delta_apply(engine->model, delta, err);
    }
    if (status == LEAT_OK || status == LEAT_FULL) {
        trainer_set_learnt(engine->trainer, delta->head.to);
    }
    gate_open(engine);
    if (status == LEAT_FULL) {
        fprintf(stderr, "leat: %s\n", err->message);
        status = LEAT_OK;
    }
    metrics_add(engine->metrics, METRIC_delta_rows_total, delta->head.rows);
    metrics_add(engine->metrics, METRIC_delta_bytes_total, delta_size(&delta->head));
    return status;
}

static leat_status apply_once(struct follow *follow, struct leader_line *line, struct bytes *answer,
                              leat_error *err) {
    TRY(get_from(follow, line, "delta", engine_learnt(follow->engine), answer, err));
    for (size_t at = 0; at < answer->size;) {
        struct delta delta;
        TRY(delta_read(answer->data + at, answer->size - at, &delta, err));
        TRY(delta_fits(follow, &delta, err));
        at += delta_size(&delta.head);
        if (delta.head.to > engine_learnt(follow->engine)) {
            TRY(delta_put(follow, &delta, err));
        }
    }
    return LEAT_OK;
}

static void *applier_run(void *context) {
    struct follow *follow = context;
    struct leader_line *line = NULL;
    struct bytes answer;
    bytes_init(&answer);
    leat_status status = line_open(follow, &line);
    while (status >= 0 && !atomic_load(&follow->stop)) {
        leat_error err = {.message = ""};
        if (is_refused(follow)) {
            nap(follow, NAP_MS);
        } else if (apply_once(follow, line, &answer, &err) < 0) {
            follow_trouble(follow, err.status, "deltas", &err);
            nap(follow, RETRY_MS);
        }
    }
    bytes_deinit(&answer);
    follow->options.calls->close(line);
    return NULL;
}

/* --- where the leader stands --- */

static leat_status leader_fits(const struct engine *engine, const struct lead_state *leader,
                               uint64_t end, leat_error *err) {
    const struct follow_identity *identity = engine->options.follow;
    if (leader->log_id != identity->log_id || leader->salt != identity->salt) {
        return error_set(err, LEAT_CONFLICT,
                         "its log is another one now (made anew, or another server): what is here "
                         "is served on as it is. To follow the new one start with an empty folder");
    }
    if (leader->end < end) {
        return error_set(err, LEAT_CONFLICT,
                         "its log ends at %" PRIu64 ", the copy here at %" PRIu64
                         ": it lost rows. To follow it on, start with an empty folder",
                         leader->end, end);
    }
    return LEAT_OK;
}

static void leader_note(struct follow *follow, const struct lead_state *leader) {
    struct metrics *metrics = follow->engine->metrics;
    uint64_t now_ns = clock_monotonic_ns();
    mutex_lock(&follow->mutex);
    follow->connected = true;
    follow->words[0] = '\0';
    follow->leader = *leader;
    trail_add(&follow->applied, now_ns, leader->end);
    trail_add(&follow->learnt, now_ns, leader->learnt);
    mutex_unlock(&follow->mutex);
    metrics_set(metrics, METRIC_leader_end, (double)leader->end);
    metrics_set(metrics, METRIC_leader_learnt, (double)leader->learnt);
}

static bool reaches_back(const struct engine *engine, const struct lead_state *leader) {
    return log_end(engine->log) >= leader->begin && engine_learnt(engine) >= leader->deltas_from;
}

static leat_status watch_once(struct follow *follow, struct leader_line *line,
                              struct json_parser *parser, leat_error *err) {
    struct engine *engine = follow->engine;
    struct lead_state leader;
    uint64_t end = log_end(engine->log); /* before the question: rows come meanwhile */
    TRY(follow_ask(&follow->options, line, parser, &leader, err));
    TRY(leader_fits(engine, &leader, end, err));
    leader_note(follow, &leader);
    if (!reaches_back(engine, &leader)) {
        fprintf(stderr,
                "leat: following %s: rows from %" PRIu64 " and deltas from %" PRIu64
                " on are wanted, it has those from %" PRIu64 " and %" PRIu64
                " on: taking its checkpoint\n",
                follow->options.leader, log_end(engine->log), engine_learnt(engine), leader.begin,
                leader.deltas_from);
        TRY(follow_fetch(&follow->options, line, engine->options.follow, leader.deltas_from, err));
        atomic_store(&follow->restart, true);
    }
    return LEAT_OK;
}

static void *watcher_run(void *context) {
    struct follow *follow = context;
    struct leader_line *line = NULL;
    struct json_parser *parser = NULL;
    leat_error err = {.message = ""};
    leat_status status = json_parser_create(&parser, &err);
    if (status < 0) {
        follow_trouble(follow, status, "no parser", &err);
    } else {
        status = line_open(follow, &line);
    }
    while (status >= 0 && !atomic_load(&follow->stop) && !atomic_load(&follow->restart)) {
        err = (leat_error){.message = ""};
        if (!is_refused(follow) && watch_once(follow, line, parser, &err) < 0) {
            follow_trouble(follow, err.status, "its state", &err);
        }
        nap(follow, POLL_MS);
    }
    follow->options.calls->close(line);
    json_parser_destroy(parser);
    return NULL;
}

/* --- life --- */

bool follow_wants_restart(struct follow *follow) {
    return atomic_load(&follow->restart);
}

leat_status follow_start(struct engine *engine, const struct follow_options *options,
                         struct follow **out, leat_error *err) {
    struct follow *follow = memory_zalloc(sizeof(*follow));
    if (!follow) {
        return error_memory(err, sizeof(*follow));
    }
    follow->engine = engine;
    follow->options = *options;
    follow->applied.reached_ns = clock_monotonic_ns();
    follow->learnt.reached_ns = follow->applied.reached_ns;
    mutex_init(&follow->mutex);
    leat_status status;
    TRY_OR(status, thread_start(&follow->watcher, "leat-watch", watcher_run, follow, err), fail);
    TRY_OR(status, thread_start(&follow->copier, "leat-copy", copier_run, follow, err), fail);
    TRY_OR(status, thread_start(&follow->applier, "leat-deltas", applier_run, follow, err), fail);
    atomic_store(&engine->following, follow);
    *out = follow;
    return LEAT_OK;
fail:
    follow_stop(follow);
    return status;
}

void follow_stop(struct follow *follow) {
    if (!follow) {
        return;
    }
    atomic_store(&follow->stop, true);
    thread_join(&follow->watcher);
    thread_join(&follow->copier);
    thread_join(&follow->applier);
    atomic_store(&follow->engine->following, NULL);
    mutex_deinit(&follow->mutex);
    memory_free(follow);
}
