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
 * What is in the log stays as it is, but for two calls: log_retain removes oldest segments, and an
 * erasure (log_erase.h) rewrites those that hold rows of a forgotten person.
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
    int64_t queue_wait_ms;   /* log_append waits so long for room, then LEAT_FULL; 0: for ever */
    uint64_t retain_bytes;   /* log_retain: keep about so much; 0: no bound */
    int64_t retain_ms;       /* log_retain: keep rows of this age; 0: no bound */
    uint32_t salt;           /* of a new log: frame.h; 0: drawn by chance */
    uint64_t first_sequence; /* of a new log: that of its first row */
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
    uint64_t frames_rewritten; /* because persons were forgotten: a replay from the log's start
                                  gives another state than the one that lived on */
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
 *   LEAT_FULL     a batch exceeds the frame bound; with `retry`, as LEAT_MEMORY: no room now (on
 *                 the disk, or in the queue for longer than queue_wait_ms), the log is as it was
 *   LEAT_IO       no reader will see any of it, and the log refuses appends until it is opened
 *                 again; the words say whether the rows may be found then
 *   LEAT_CLOSED   log_close has begun */
leat_status log_append(struct log *log, const struct batch *batches, int count,
                       struct log_receipt *out, leat_error *err);
/* The same without waiting for the disk: the batches are copied, and follow in order. What is lost
 * later is reported by the next log_flush. */
leat_status log_append_later(struct log *log, const struct batch *batches, int count,
                             leat_error *err);

/* A copy of another log: appends whole commits as that one wrote them, `size` bytes of frames from
 * its log_reader (log_frames), as they are: sequence numbers, append times and generations. Only
 * FRAME_SYNCED is set anew, as it speaks of this disk. A log that takes frames takes nothing else.
 *   LEAT_CONFLICT  frames of another log (id or salt), or not those that come next
 *   LEAT_CORRUPT   frames that are damaged, or a commit that is not whole
 * and as log_append. One thread at a time. `out` may be NULL. */
leat_status log_append_frames(struct log *log, const void *frames, size_t size,
                              struct log_receipt *out, leat_error *err);

uint32_t log_id(const struct log *log);
uint32_t log_salt(const struct log *log);  /* frame.h; tells two logs of one id apart */
uint64_t log_begin(const struct log *log); /* first sequence still held; moves by log_retain */
uint64_t log_end(const struct log *log);   /* after the last durable row */
/* Waits until log_end > `sequence`, or `timeout_ms`, or log_wake; returns log_end. */
uint64_t log_wait(struct log *log, uint64_t sequence, int64_t timeout_ms);
void log_wake(struct log *log);
/* Waits until everything queued by log_append_later before the call is durable; the failure of the
 * first that was lost since the last log_flush. */
leat_status log_flush(struct log *log, leat_error *err);

/* How much waits for the disk, and how fast it goes there. Any thread. */
struct log_backlog {
    uint64_t queued_bytes;  /* waiting for the writer */
    uint64_t writing_bytes; /* the writer is at them now */
    uint64_t queue_bytes;   /* the bound of the first */
    uint64_t written_bytes; /* since the log was opened */
    bool disk_full;         /* the newest commit found no room on the disk */
};
void log_backlog(struct log *log, struct log_backlog *out);

/* Removes oldest segments while the log is larger than `retain_bytes`, and those whose newest row
 * is older than `retain_ms` before `now_ms`; never the newest segment, nor one that holds a row at
 * or after `before` (where the oldest checkpoint stands that somebody may start from). `removed`
 * (may be NULL) counts them. On a failure the log is whole, and the call may be repeated. Any
 * thread. */
leat_status log_retain(struct log *log, uint64_t before, int64_t now_ms, uint64_t *removed,
                       leat_error *err);

struct log_reader;

/* One frame: its header and its rows. Borrowed until the next log_read of this reader. */
struct log_entry {
    struct frame frame;
    struct batch batch;
    uint64_t offset; /* in its segment */
};

/* Starts at the frame that holds row `from` (LEAT_INVALID before log_begin or after log_end). The
 * first entry may begin before `from`: the caller skips. Rows that were erased since are there as
 * erased ones (record.h), or, in the segment at hand, as they were. */
leat_status log_reader_open(struct log *log, uint64_t from, struct log_reader **out,
                            leat_error *err);
/* LEAT_AGAIN when all durable frames were read. Only whole commits are seen. LEAT_INVALID when the
 * rows that are next were removed by log_retain: the words say where the log begins now. */
leat_status log_read(struct log_reader *reader, struct log_entry *out, leat_error *err);
/* The same frames as bytes, for log_append_frames of a copy: appends whole commits to `out` until
 * it holds `bytes` more, one at least. LEAT_AGAIN when there is none. */
leat_status log_read_frames(struct log_reader *reader, size_t bytes, struct bytes *out,
                            leat_error *err);
uint64_t log_reader_at(const struct log_reader *reader); /* of the row that is read next */
void log_reader_close(struct log_reader *reader);

#endif
