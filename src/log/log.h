/* The durable log: frames in segment files, one writer thread, group commit, reading by position.
 *
 *   <folder>/00000000000000000000.seg    named by the first sequence number (20 digits)
 *   <folder>/00000000000000131072.seg    a commit never spans two segments
 *
 * Acknowledged means on disk (fdatasync), unless durability is `none`. Opening recovers: damage in
 * the last group of commits (those of one sync) is a torn tail, cut and reported; damage before a
 * frame that was written later (FRAME_SYNCED) is corruption, refused with segment and offset. A gap
 * in the sequence numbers, a frame of another log id, or an unknown schema are corruption too.
 *
 * log_append*, log_flush, log_wait and log_wake may be called by any thread; a reader is used by
 * one thread at a time, and is closed before the log is. The folder is locked while the log is
 * open. */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/clock.h"
#include "base/file.h"
#include "base/metrics.h"
#include "column/batch.h"
#include "log/frame.h"

struct log;

struct log_options {
    struct disk *disk;
    const char *folder; /* made if it is not there */
    uint32_t log_id;
    const struct clock *clock; /* append time (ignored with event_clock) */
    bool event_clock;          /* append time is the newest event time so far */
    bool sync;                 /* fdatasync before acknowledging */
    bool inline_writer;        /* no thread: log_append writes and syncs itself (replay,
                                  simulation); no beats then */
    uint64_t segment_bytes;
    uint64_t queue_bytes;    /* appends wait while this much waits for the writer */
    int64_t oldest_ms;       /* event times are clamped to [now - oldest, now + skew] (not with */
    int64_t skew_ms;         /* event_clock) */
    int64_t heartbeat_ms;    /* idle time after which a beat is appended; 0: never */
    struct metrics *metrics; /* may be NULL */
};

/* What opening found; words for the operator in `report` (empty when all was well). */
struct log_recovery {
    uint64_t segments;
    uint64_t commits;
    uint64_t bytes_cut;
    char report[256];
};

leat_status log_open(const struct log_options *options, struct log **out,
                     struct log_recovery *recovery, leat_error *err);
/* Commits what waits, stops the writer, closes. */
void log_close(struct log *log);

struct log_receipt {
    uint64_t first_sequence; /* of the first row */
    uint64_t end_sequence;   /* after the last row: the position to wait for */
    int64_t append_ms;
};

/* Appends `count` batches (1..16, of any log schema) as one commit and returns when it is durable.
 * Times of event rows are set and clamped in the written copy. `out` may be NULL.
 *   LEAT_INVALID  a batch has no rows, is of another schema or not well formed
 *   LEAT_FULL     a batch exceeds the frame bound; with `retry`, as LEAT_MEMORY: no room now, and
 *                 the log is as it was
 *   LEAT_IO       no reader will see any of it, and the log refuses appends until it is opened
 *                 again; the words say whether the rows may be found then
 *   LEAT_CLOSED   log_close has begun */
leat_status log_append(struct log *log, const struct batch *batches, int count,
                       struct log_receipt *out, leat_error *err);
/* The same without waiting for the disk: the batches are copied, and follow in order. What is lost
 * later is reported by the next log_flush. */
leat_status log_append_later(struct log *log, const struct batch *batches, int count,
                             leat_error *err);

uint32_t log_id(const struct log *log);
uint64_t log_begin(const struct log *log); /* first sequence still held */
uint64_t log_end(const struct log *log);   /* after the last durable row */
/* Waits until log_end > `sequence`, or `timeout_ms`, or log_wake; returns log_end. */
uint64_t log_wait(struct log *log, uint64_t sequence, int64_t timeout_ms);
void log_wake(struct log *log);
/* Waits until everything queued by log_append_later before the call is durable; the failure of the
 * first that was lost since the last log_flush. */
leat_status log_flush(struct log *log, leat_error *err);

struct log_reader;

/* One frame: its header and its rows. Borrowed until the next log_read of this reader. */
struct log_entry {
    struct frame frame;
    struct batch batch;
    uint64_t offset; /* in its segment */
};

/* Starts at the frame that holds row `from` (LEAT_INVALID before log_begin or after log_end). The
 * first entry may begin before `from`: the caller skips. */
leat_status log_reader_open(struct log *log, uint64_t from, struct log_reader **out,
                            leat_error *err);
/* LEAT_AGAIN when all durable frames were read. Only whole commits are seen. */
leat_status log_read(struct log_reader *reader, struct log_entry *out, leat_error *err);
void log_reader_close(struct log_reader *reader);

#endif
