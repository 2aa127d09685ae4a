/* Opening, appending, waiting. How commits reach the disk: log_writer.h. How a log is read back
 * when it is opened: recovery.h. */
#include "log/log.h"

#include "base/memory.h"
#include "base/rng.h"
#include "log/log_internal.h"
#include "log/record.h"
#include "log/recovery.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

/* One call of log_append or log_append_later. */
struct append {
    struct commit commit; /* first, so that the queue's links lead to it */
    bool later;           /* nobody waits: freed when settled */
    bool settled;
    leat_status status;
    leat_error error;
    uint64_t begun_ns;
    struct condition done;
};

static_assert(offsetof(struct append, commit) == 0, "the queue links commits");

static struct append *append_of(struct commit *commit) {
    return (struct append *)(void *)commit;
}

static void append_begin(struct append *append, bool later) {
    append->later = later;
    append->settled = false;
    append->status = LEAT_OK;
    append->begun_ns = clock_monotonic_ns();
}

static leat_status append_init(struct append *append, const struct batch *batches, int count,
                               bool later, leat_error *err) {
    append_begin(append, later);
    TRY(commit_init(&append->commit, batches, count, err));
    condition_init(&append->done);
    return LEAT_OK;
}

static void append_deinit(struct append *append) {
    condition_deinit(&append->done);
    commit_deinit(&append->commit);
}

/* --- the writer's side --- */

/* With the mutex held: tells whoever waits for `first` up to `rest`. */
static void settle(struct log *log, struct commit *first, const struct commit *rest,
                   leat_status status, const leat_error *error) {
    uint64_t now = clock_monotonic_ns();
    log->disk_full = status == LEAT_FULL;
    while (first != rest) {
        struct append *append = append_of(first);
        first = first->next;
        append->status = status;
        append->settled = true;
        if (status < 0) {
            append->error = *error;
        } else {
            metrics_observe_ns(log->options.metrics, METRIC_append_seconds, now - append->begun_ns);
        }
        if (!append->later) {
            condition_signal(&append->done);
            continue;
        }
        if (status < 0 && log->later_error.status == LEAT_OK) {
            log->later_error = *error;
        }
        log->later_settled++;
        append_deinit(append);
        memory_free(append);
    }
    condition_broadcast(&log->settled);
}

/* With the mutex held: the forget rows of commits that are durable. */
static void publish_forgets(struct log *log, const struct commit *first,
                            const struct commit *rest) {
    for (const struct commit *commit = first; commit != rest; commit = commit->next) {
        for (size_t i = 0; i < commit->forget_count; i++) {
            forget_list_add(&log->forgets,
                            (struct forget){commit->receipt.first_sequence + commit->forgets[i],
                                            commit->receipt.append_ms});
        }
    }
}

/* With the mutex held: readers may see what the writer has made durable. */
static void publish(struct log *log) {
    const struct log_writer *writer = &log->writer;
    struct segment_list *list = &log->segments;
    if (list->count == 0 ||
        list->items[list->count - 1].first_sequence != writer->segment.first_sequence) {
        INVARIANT(list->count < list->capacity, "%zu segments, room for %zu", list->count,
                  list->capacity);
        list->items[list->count++] = writer->segment;
    }
    list->items[list->count - 1].bytes = writer->segment.bytes;
    list->items[list->count - 1].newest_ms = writer->segment.newest_ms;
    atomic_store_explicit(&log->end, writer->cursor.sequence, memory_order_release);
    metrics_set(log->options.metrics, METRIC_position_end, (double)writer->cursor.sequence);
}

/* With the mutex held: room for what publishing the list will add. */
static leat_status publish_reserve(struct log *log, const struct commit *first, leat_error *err) {
    size_t forgets = 0;
    for (const struct commit *commit = first; commit; commit = commit->next) {
        forgets += commit->forget_count;
    }
    TRY(forget_list_reserve(&log->forgets, forgets, err));
    return segment_list_reserve(&log->segments, err);
}

/* Writes a list of appends, group by group. Called and left with the mutex held; a writer thread
 * lets go of it while it writes, so that the next group can gather. */
static void write_all(struct log *log, struct commit *first, bool let_go) {
    while (first) {
        struct commit *rest = first->next;
        leat_error error = {.message = ""};
        leat_status status = publish_reserve(log, first, &error);
        if (status == LEAT_OK) {
            if (let_go) {
                mutex_unlock(&log->mutex);
            }
            status = log_writer_write(&log->writer, first, &rest, &error);
            if (let_go) {
                mutex_lock(&log->mutex);
            }
        }
        if (status == LEAT_OK) {
            publish_forgets(log, first, rest);
            publish(log);
            log->written_bytes += log->writer.written;
        }
        settle(log, first, rest, status, &error);
        first = rest;
    }
}

/* Called and left with the mutex held. */
static void write_roll(struct log *log, bool let_go) {
    leat_error error = {.message = ""};
    leat_status status = segment_list_reserve(&log->segments, &error);
    if (status == LEAT_OK) {
        if (let_go) {
            mutex_unlock(&log->mutex);
        }
        status = log_writer_roll(&log->writer, &error);
        if (let_go) {
            mutex_lock(&log->mutex);
        }
    }
    if (status == LEAT_OK) {
        publish(log);
    }
    log->roll_error = status < 0 ? error : (leat_error){.message = ""};
    log->roll_wanted = false;
    condition_broadcast(&log->settled);
}

static void write_beat(struct log *log) {
    struct batch batch = {.schema = schema_beat(), .rows = 1};
    struct append beat;
    if (append_init(&beat, &batch, 1, false, NULL) == LEAT_OK) { /* or else at the next time */
        write_all(log, &beat.commit, true);
        append_deinit(&beat);
    }
}

/* With the mutex held, waits until there is something to write, time for a beat, or the end.
 * `idle_since`: monotonic time of the last commit. */
static void writer_wait(struct log *log, uint64_t idle_since) {
    bool beats = log->options.heartbeat_ms > 0 && !log->options.event_clock;
    while (!log->first && !log->closing && !log->roll_wanted) {
        if (!beats) {
            condition_wait(&log->filled, &log->mutex);
            continue;
        }
        int64_t idle_ms = (int64_t)((clock_monotonic_ns() - idle_since) / 1000000);
        if (idle_ms >= log->options.heartbeat_ms) {
            return;
        }
        condition_wait_ms(&log->filled, &log->mutex, log->options.heartbeat_ms - idle_ms);
    }
}

static void *writer_run(void *arg) {
    struct log *log = arg;
    uint64_t idle_since = clock_monotonic_ns();
    mutex_lock(&log->mutex);
    for (;;) {
        writer_wait(log, idle_since);
        struct commit *first = log->first;
        if (log->roll_wanted) {
            write_roll(log, true);
        } else if (first) {
            log->first = NULL;
            log->last = NULL;
            log->writing_bytes = log->queued_bytes;
            log->queued_bytes = 0;
            condition_broadcast(&log->drained);
            write_all(log, first, true);
            log->writing_bytes = 0;
        } else if (log->closing) {
            break;
        } else {
            write_beat(log);
        }
        idle_since = clock_monotonic_ns();
    }
    mutex_unlock(&log->mutex);
    return NULL;
}

/* --- the appenders' side --- */

static void user_leave(struct log *log) {
    log->users--;
    if (log->users == 0) {
        condition_signal(&log->left);
    }
}

/* With the mutex held: waits until `bytes` fit into the queue. An empty queue takes anything. */
static leat_status queue_wait(struct log *log, size_t bytes, bool for_ever, leat_error *err) {
    const struct log_options *options = &log->options;
    uint64_t begun = clock_monotonic_ns();
    while (!log->closing && log->queued_bytes > 0 &&
           log->queued_bytes + bytes > options->queue_bytes) {
        if (for_ever) {
            condition_wait(&log->drained, &log->mutex);
            continue;
        }
        int64_t waited_ms = (int64_t)((clock_monotonic_ns() - begun) / 1000000);
        if (waited_ms >= options->queue_wait_ms) {
            return error_retry(err, LEAT_FULL,
                               "the log's queue: %zu of %" PRIu64 " bytes (log.queue) wait for the "
                               "disk, and %zu more found no room in %" PRId64 " ms; nothing of "
                               "them was appended",
                               log->queued_bytes, options->queue_bytes, bytes, waited_ms);
        }
        condition_wait_ms(&log->drained, &log->mutex, options->queue_wait_ms - waited_ms);
    }
    return LEAT_OK;
}

/* With the mutex held: gives the append to the writer (or, inline, writes it). */
static leat_status enqueue(struct log *log, struct append *append, leat_error *err) {
    size_t bytes = append->commit.size;
    bool for_ever = append->later || log->options.queue_wait_ms == 0;
    TRY(queue_wait(log, bytes, for_ever, err));
    if (log->closing) {
        return error_set(err, LEAT_CLOSED, "the log is closing and takes no more appends");
    }
    log->later_queued += append->later;
    if (log->options.inline_writer) {
        write_all(log, &append->commit, false);
        return LEAT_OK;
    }
    if (log->last) {
        log->last->next = &append->commit;
    } else {
        log->first = &append->commit;
    }
    log->last = &append->commit;
    log->queued_bytes += bytes;
    condition_signal(&log->filled);
    return LEAT_OK;
}

/* Waits until it is durable, or lost; ends the append. */
static leat_status append_run(struct log *log, struct append *append, struct log_receipt *out,
                              leat_error *err) {
    mutex_lock(&log->mutex);
    log->users++;
    leat_status status = enqueue(log, append, err);
    if (status == LEAT_OK) {
        while (!append->settled) {
            condition_wait(&append->done, &log->mutex);
        }
        status = append->status;
        if (status < 0 && err) {
            *err = append->error;
        }
    }
    user_leave(log);
    mutex_unlock(&log->mutex);
    if (status == LEAT_OK && out) {
        *out = append->commit.receipt;
    }
    append_deinit(append);
    return status;
}

leat_status log_append(struct log *log, const struct batch *batches, int count,
                       struct log_receipt *out, leat_error *err) {
    struct append append;
    TRY(append_init(&append, batches, count, false, err));
    return append_run(log, &append, out, err);
}

leat_status log_append_frames(struct log *log, const void *frames, size_t size,
                              struct log_receipt *out, leat_error *err) {
    struct append append;
    mutex_lock(&log->mutex);
    const struct segment_list *list = &log->segments;
    struct commit_cursor cursor = {log_end(log),
                                   list->count > 0 ? list->items[list->count - 1].newest_ms : 0};
    mutex_unlock(&log->mutex);
    append_begin(&append, false);
    TRY(commit_init_frames(&append.commit, frames, size, &log->writer.rules, &cursor, err));
    condition_init(&append.done);
    return append_run(log, &append, out, err);
}

leat_status log_append_later(struct log *log, const struct batch *batches, int count,
                             leat_error *err) {
    struct append *append = memory_alloc(sizeof(*append));
    if (!append) {
        return error_memory(err, sizeof(*append));
    }
    leat_status status = append_init(append, batches, count, true, err);
    if (status < 0) {
        memory_free(append);
        return status;
    }
    mutex_lock(&log->mutex);
    log->users++;
    status = enqueue(log, append, err);
    user_leave(log);
    mutex_unlock(&log->mutex);
    if (status < 0) {
        append_deinit(append);
        memory_free(append);
    }
    return status;
}

leat_status log_flush(struct log *log, leat_error *err) {
    mutex_lock(&log->mutex);
    log->users++;
    uint64_t queued = log->later_queued;
    while (log->later_settled < queued) {
        condition_wait(&log->settled, &log->mutex);
    }
    leat_status status = log->later_error.status;
    if (status < 0 && err) {
        *err = log->later_error;
    }
    log->later_error.status = LEAT_OK;
    user_leave(log);
    mutex_unlock(&log->mutex);
    return status;
}

leat_status log_roll(struct log *log, leat_error *err) {
    mutex_lock(&log->mutex);
    log->users++;
    log->roll_wanted = true;
    if (log->options.inline_writer) {
        write_roll(log, false);
    } else {
        condition_signal(&log->filled);
    }
    while (log->roll_wanted && !log->closing) {
        condition_wait(&log->settled, &log->mutex);
    }
    leat_error error = log->roll_error;
    if (log->roll_wanted) {
        error_set(&error, LEAT_CLOSED, "the log is closing");
    }
    user_leave(log);
    mutex_unlock(&log->mutex);
    if (error.status < 0 && err) {
        *err = error;
    }
    return error.status;
}

/* --- where the log stands --- */

void log_backlog(struct log *log, struct log_backlog *out) {
    mutex_lock(&log->mutex);
    *out = (struct log_backlog){.queued_bytes = log->queued_bytes,
                                .writing_bytes = log->writing_bytes,
                                .queue_bytes = log->options.queue_bytes,
                                .written_bytes = log->written_bytes,
                                .disk_full = log->disk_full};
    mutex_unlock(&log->mutex);
}

uint32_t log_id(const struct log *log) {
    return log->options.log_id;
}

uint32_t log_salt(const struct log *log) {
    return log->options.salt;
}

uint64_t log_begin(const struct log *log) {
    return atomic_load_explicit(&log->begin, memory_order_acquire);
}

uint64_t log_end(const struct log *log) {
    return atomic_load_explicit(&log->end, memory_order_acquire);
}

uint64_t log_wait(struct log *log, uint64_t sequence, int64_t timeout_ms) {
    if (log_end(log) > sequence) {
        return log_end(log);
    }
    uint64_t begun = clock_monotonic_ns();
    mutex_lock(&log->mutex);
    log->users++;
    uint64_t wakes = log->wakes;
    while (log_end(log) <= sequence && log->wakes == wakes && !log->closing) {
        int64_t left = timeout_ms - (int64_t)((clock_monotonic_ns() - begun) / 1000000);
        if (left <= 0) {
            break;
        }
        condition_wait_ms(&log->settled, &log->mutex, left);
    }
    user_leave(log);
    mutex_unlock(&log->mutex);
    return log_end(log);
}

void log_wake(struct log *log) {
    mutex_lock(&log->mutex);
    log->wakes++;
    condition_broadcast(&log->settled);
    mutex_unlock(&log->mutex);
}

/* --- opening and closing --- */

/* The folder, with a durable name. */
static leat_status folder_make(struct disk *disk, const char *folder, leat_error *err) {
    TRY(disk_make_folder(disk, folder, err));
    char parent[PATH_BYTES_MAX];
    snprintf(parent, sizeof(parent), "%s", folder);
    char *slash = strrchr(parent, '/');
    if (!slash) {
        return disk_sync_folder(disk, ".", err);
    }
    slash[slash == parent ? 1 : 0] = '\0'; /* "/log" stands in "/" */
    return disk_sync_folder(disk, parent, err);
}

static leat_status options_check(const struct log_options *options, leat_error *err) {
    if (strlen(options->folder) >= PATH_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "log folder: %zu bytes, at most %d are allowed",
                         strlen(options->folder), PATH_BYTES_MAX - 1);
    }
    if (!options->event_clock && !options->clock) {
        return error_set(err, LEAT_INVALID, "log: a clock is needed, or event_clock");
    }
    return LEAT_OK;
}

/* A log keeps the salt it was made with. */
static uint32_t salt_choose(const struct log_options *options, uint32_t found) {
    uint32_t salt = found != 0 ? found : options->salt;
    while (salt == 0) {
        salt = (uint32_t)rng_entropy();
    }
    return salt;
}

/* Locks the folder, recovers, and makes the writer ready. */
static leat_status files_open(struct log *log, struct log_recovery *recovery, leat_error *err) {
    struct disk *disk = log->options.disk;
    char path[PATH_BYTES_MAX];
    TRY(folder_make(disk, log->folder, err));
    TRY(path_join(path, log->folder, "lock", err));
    TRY(disk_lock(disk, path, &log->lock, err));
    struct recovered found = {.salt = 0};
    leat_status status =
        recovery_run(disk, log->folder, log->options.log_id, &found, recovery, err);
    log->segments = found.segments; /* taken: released by log_destroy */
    log->forgets = found.forgets;
    TRY(status);
    struct segment_list *list = &log->segments;
    const struct segment *newest = list->count > 0 ? &list->items[list->count - 1] : NULL;
    found.cursor.sequence = newest ? found.cursor.sequence : log->options.first_sequence;
    log->begin = newest ? list->items[0].first_sequence : found.cursor.sequence;
    log->options.salt = salt_choose(&log->options, found.salt);
    TRY(log_writer_init(&log->writer, &log->options, log->folder, newest, found.cursor, err));
    TRY(segment_list_reserve(list, err));
    publish(log);
    return LEAT_OK;
}

static void log_destroy(struct log *log) {
    log_writer_deinit(&log->writer);
    segment_list_deinit(&log->segments);
    forget_list_deinit(&log->forgets);
    file_close(log->lock);
    condition_deinit(&log->left);
    condition_deinit(&log->settled);
    condition_deinit(&log->drained);
    condition_deinit(&log->filled);
    mutex_deinit(&log->mutex);
    mutex_deinit(&log->files);
    memory_free(log);
}

leat_status log_open(const struct log_options *options, struct log **out,
                     struct log_recovery *recovery, leat_error *err) {
    TRY(options_check(options, err));
    struct log *log = memory_zalloc(sizeof(*log));
    if (!log) {
        return error_memory(err, sizeof(*log));
    }
    log->options = *options;
    snprintf(log->folder, sizeof(log->folder), "%s", options->folder);
    log->options.folder = log->folder;
    mutex_init(&log->files);
    mutex_init(&log->mutex);
    condition_init(&log->filled);
    condition_init(&log->drained);
    condition_init(&log->settled);
    condition_init(&log->left);
    struct log_recovery unread;
    leat_status status = files_open(log, recovery ? recovery : &unread, err);
    if (status == LEAT_OK && !options->inline_writer) {
        status = thread_start(&log->thread, "log writer", writer_run, log, err);
    }
    if (status < 0) {
        log_destroy(log);
        return status;
    }
    *out = log;
    return LEAT_OK;
}

void log_close(struct log *log) {
    if (!log) {
        return;
    }
    mutex_lock(&log->mutex);
    log->closing = true;
    condition_broadcast(&log->filled);
    condition_broadcast(&log->drained);
    condition_broadcast(&log->settled);
    mutex_unlock(&log->mutex);
    thread_join(&log->thread);
    mutex_lock(&log->mutex);
    while (log->users > 0) {
        condition_wait(&log->left, &log->mutex);
    }
    mutex_unlock(&log->mutex);
    log_destroy(log);
}
