#include "log/log_writer.h"

#include "base/memory.h"

#include <inttypes.h>

enum {
    GATHER_BYTES = 1 << 20,
    GATHER_ALIGNMENT = 4096,
    /* A sync takes the longer the more there is to write, and all of a group wait for it: beyond
     * some MiB a larger group waits longer and writes no faster. */
    GROUP_BYTES_MAX = 4 << 20,
};

/* --- life --- */

static leat_status newest_open(struct log_writer *writer, const struct segment *segment,
                               leat_error *err) {
    if (!segment) {
        writer->segment = (struct segment){.first_sequence = writer->cursor.sequence};
        return segment_create(writer->disk, writer->folder, writer->cursor.sequence, &writer->file,
                              err);
    }
    writer->segment = *segment;
    char name[SEGMENT_NAME_BYTES];
    char path[PATH_BYTES_MAX];
    segment_name(segment->first_sequence, name);
    TRY(path_join(path, writer->folder, name, err));
    return file_open(writer->disk, path, FILE_WRITE, &writer->file, err);
}

leat_status log_writer_init(struct log_writer *writer, const struct log_options *options,
                            const char *folder, const struct segment *segment,
                            struct commit_cursor cursor, leat_error *err) {
    *writer = (struct log_writer){
        .disk = options->disk,
        .folder = folder,
        .clock = options->clock,
        .rules = {options->log_id, options->event_clock, options->oldest_ms, options->skew_ms,
                  options->salt},
        .sync = options->sync,
        .segment_bytes = options->segment_bytes,
        .metrics = options->metrics,
        .cursor = cursor,
        .on_disk = true,
    };
    writer->buffer = memory_aligned(GATHER_ALIGNMENT, GATHER_BYTES);
    if (!writer->buffer) {
        return error_memory(err, GATHER_BYTES);
    }
    return newest_open(writer, segment, err);
}

void log_writer_deinit(struct log_writer *writer) {
    if (writer->file && !writer->on_disk && !writer->failed) {
        file_sync(writer->file, NULL); /* nobody was promised it, so nobody is told */
    }
    file_close(writer->file);
    memory_free(writer->buffer);
    writer->file = NULL;
    writer->buffer = NULL;
}

/* --- one group --- */

static leat_status group_flush(struct log_writer *writer, leat_error *err) {
    if (writer->buffered == 0) {
        return LEAT_OK;
    }
    TRY(file_write(writer->file, writer->buffer, writer->buffered,
                   writer->segment.bytes + writer->written, err));
    writer->written += writer->buffered;
    writer->buffered = 0;
    return LEAT_OK;
}

static leat_status group_put(struct log_writer *writer, const struct commit *commit,
                             leat_error *err) {
    if (writer->buffered + commit->size > GATHER_BYTES) {
        TRY(group_flush(writer, err));
    }
    bool alone = commit->size > GATHER_BYTES / 2 || (!commit->next && writer->buffered == 0);
    if (alone) { /* as it is: a copy would save no write */
        TRY(group_flush(writer, err));
        TRY(file_write(writer->file, commit->data, commit->size,
                       writer->segment.bytes + writer->written, err));
        writer->written += commit->size;
        return LEAT_OK;
    }
    memcpy(writer->buffer + writer->buffered, commit->data, commit->size);
    writer->buffered += commit->size;
    return LEAT_OK;
}

/* A failure is LEAT_IO whatever the disk calls it: which pages reached it is not known any more. */
static leat_status segment_sync(struct log_writer *writer, leat_error *err) {
    uint64_t begun = clock_monotonic_ns();
    if (file_sync(writer->file, err) < 0) {
        return LEAT_IO;
    }
    metrics_observe_ns(writer->metrics, METRIC_sync_seconds, clock_monotonic_ns() - begun);
    writer->on_disk = true;
    return LEAT_OK;
}

/* Begins a new segment. The old one is on disk before the new one is there: recovery relies on it.
 */
static leat_status segment_begin(struct log_writer *writer, leat_error *err) {
    if (!writer->on_disk) {
        TRY(segment_sync(writer, err));
    }
    struct file *file;
    TRY(segment_create(writer->disk, writer->folder, writer->cursor.sequence, &file, err));
    file_close(writer->file);
    writer->file = file;
    writer->segment = (struct segment){.first_sequence = writer->cursor.sequence};
    return LEAT_OK;
}

/* Begins a new segment when the next commit does not fit. */
static leat_status segment_roll(struct log_writer *writer, size_t bytes, leat_error *err) {
    bool fits = writer->segment.bytes + bytes <= writer->segment_bytes;
    return fits || writer->segment.bytes == 0 ? LEAT_OK : segment_begin(writer, err);
}

/* Takes a failed group back. Only a want of room, and when the disk lets go of what it took, leaves
 * the log as it was before. */
static leat_status group_undo(struct log_writer *writer, leat_status status,
                              const leat_error *cause, leat_error *err) {
    bool back = file_truncate(writer->file, writer->segment.bytes, NULL) == LEAT_OK &&
                file_sync(writer->file, NULL) == LEAT_OK;
    if (back && (status == LEAT_FULL || status == LEAT_MEMORY)) {
        return error_retry(err, status,
                           "the log could not grow and is as before; make room and append again: "
                           "%s",
                           cause->message);
    }
    writer->failed = true;
    return error_set(err, LEAT_IO,
                     "the log could not be written and refuses appends until it is opened again, "
                     "which checks what is on disk; this append is %s: %s",
                     back ? "not in it" : "not acknowledged, and may or may not be found then",
                     cause->message);
}

/* Stamps and writes the commits of one group; the cursor comes back behind the last. */
static leat_status group_write(struct log_writer *writer, struct commit *first,
                               const struct commit *rest, struct commit_cursor *cursor,
                               leat_error *err) {
    int64_t clock_ms = writer->rules.event_clock ? 0 : clock_now_ms(writer->clock);
    for (struct commit *commit = first; commit != rest; commit = commit->next) {
        bool synced = commit == first && writer->on_disk;
        commit_stamp(commit, &writer->rules, clock_ms, synced, cursor);
        TRY(group_put(writer, commit, err));
    }
    return group_flush(writer, err);
}

/* The first commit that does not fit the segment, or one group, with those before it. */
static struct commit *group_end(const struct log_writer *writer, struct commit *first) {
    uint64_t bytes = writer->segment.bytes + first->size;
    uint64_t most = writer->segment.bytes + GROUP_BYTES_MAX;
    most = most < writer->segment_bytes ? most : writer->segment_bytes;
    struct commit *commit = first->next;
    while (commit && bytes + commit->size <= most) {
        bytes += commit->size;
        commit = commit->next;
    }
    return commit;
}

static void group_count(const struct log_writer *writer, const struct commit *first,
                        const struct commit *rest) {
    uint64_t commits = 0;
    uint64_t clamped = 0;
    for (const struct commit *commit = first; commit != rest; commit = commit->next) {
        commits++;
        clamped += commit->clamped;
    }
    metrics_add(writer->metrics, METRIC_commits_total, commits);
    metrics_add(writer->metrics, METRIC_events_clamped_total, clamped);
    metrics_add(writer->metrics, METRIC_log_bytes_total, writer->written);
}

static leat_status refuse_failed(leat_error *err) {
    return error_set(err, LEAT_IO,
                     "the log could not be written before and refuses appends until it is opened "
                     "again");
}

leat_status log_writer_roll(struct log_writer *writer, leat_error *err) {
    if (writer->failed) {
        return refuse_failed(err);
    }
    bool unsynced = !writer->on_disk;
    leat_status status = writer->segment.bytes == 0 ? LEAT_OK : segment_begin(writer, err);
    writer->failed = status < 0 && unsynced && !writer->on_disk; /* the sync failed */
    return status;
}

leat_status log_writer_write(struct log_writer *writer, struct commit *first, struct commit **rest,
                             leat_error *err) {
    *rest = first->next;
    if (writer->failed) {
        return refuse_failed(err);
    }
    struct commit_cursor cursor = writer->cursor;
    writer->written = 0;
    writer->buffered = 0;
    leat_error cause = {.message = ""};
    leat_status status = segment_roll(writer, first->size, &cause);
    if (status == LEAT_OK) {
        *rest = group_end(writer, first);
        status = group_write(writer, first, *rest, &cursor, &cause);
    }
    if (status == LEAT_OK && writer->sync) {
        status = segment_sync(writer, &cause);
    }
    if (status < 0) {
        return group_undo(writer, status, &cause, err);
    }
    writer->on_disk = writer->sync;
    writer->cursor = cursor;
    writer->segment.bytes += writer->written;
    writer->segment.newest_ms = cursor.newest_ms;
    group_count(writer, first, *rest);
    return LEAT_OK;
}
