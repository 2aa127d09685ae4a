/* Putting commits on disk: one group = one run of commits in one segment, one sync.
 *
 *   segment file: [ ........ durable ........ | commit | commit | commit ]
 *                                             ^ end                      ^ end, once synced
 *
 * A group that fails is taken back whole. Then either the log is as before (a full disk), or the
 * writer has failed for good: after a failed sync the system may have thrown dirty pages away and
 * call the next sync fine, so only reading the file again tells what is in it.
 * Internal to log/. One thread at a time. */
#ifndef LOG_LOG_WRITER_H
#define LOG_LOG_WRITER_H

#include "log/commit.h"
#include "log/segment.h"

struct log_writer {
    struct disk *disk;
    const char *folder; /* borrowed */
    const struct clock *clock;
    struct commit_rules rules;
    bool sync;
    uint64_t segment_bytes;
    struct metrics *metrics;
    struct file *file;           /* the newest segment */
    struct segment segment;      /* its first sequence and durable bytes */
    struct commit_cursor cursor; /* behind the last durable commit */
    bool on_disk;                /* all before the cursor is (false only without sync) */
    bool failed;
    uint8_t *buffer; /* gathers small commits into one write */
    size_t buffered;
    uint64_t written; /* of the group at hand, without what is in the buffer */
};

/* Continues behind what recovery found: `segment` is the newest one, or NULL when there is none. */
leat_status log_writer_init(struct log_writer *writer, const struct log_options *options,
                            const char *folder, const struct segment *segment,
                            struct commit_cursor cursor, leat_error *err);
/* Syncs what a log without `sync` has only written. */
void log_writer_deinit(struct log_writer *writer);

/* Commits a first part of the list, at least one, as one group; `*rest` is what comes after it, on
 * failure too. LEAT_FULL, LEAT_MEMORY: no room, all is as before. LEAT_IO: failed for good. */
leat_status log_writer_write(struct log_writer *writer, struct commit *first, struct commit **rest,
                             leat_error *err);

/* Begins a new segment unless the newest one is empty. LEAT_IO: failed for good. */
leat_status log_writer_roll(struct log_writer *writer, leat_error *err);

#endif
