/* One append call on its way to the disk: its batches as frames, ready but for what only the writer
 * knows (sequence, append time, and what follows from them).
 *
 * The caller's thread serialises (commit_init); the writer stamps in place (commit_stamp): it sets
 * event times, writes the headers and computes the checksums, so the bytes are copied once.
 * Internal to log/. One thread at a time. */
#ifndef LOG_COMMIT_H
#define LOG_COMMIT_H

#include "column/batch.h"
#include "log/frame.h"
#include "log/log.h"

enum { COMMIT_BATCHES_MAX = 16 };

/* Where the log stands: what the next commit is stamped with. */
struct commit_cursor {
    uint64_t sequence;
    int64_t newest_ms; /* newest append time so far */
};

struct commit_rules {
    uint32_t log_id;
    bool event_clock;
    int64_t oldest_ms;
    int64_t skew_ms;
    uint32_t salt; /* of the log: frame.h */
};

struct commit {
    struct commit *next;
    uint8_t *data; /* the frames, one after the other; owned */
    size_t size;
    int count;
    struct frame frames[COMMIT_BATCHES_MAX];
    bool ready;        /* frames of another log's writer: only FRAME_SYNCED is still to be set */
    uint32_t *forgets; /* forget rows, counted from the commit's first row; NULL: none. Owned */
    size_t forget_count;
    /* set by commit_stamp */
    uint64_t clamped; /* events whose time was moved */
    struct log_receipt receipt;
};

/* Copies the batches. LEAT_INVALID for a batch that is empty, of no log schema or not well formed;
 * LEAT_FULL for one beyond FRAME_BODY_BYTES_MAX. */
leat_status commit_init(struct commit *commit, const struct batch *batches, int count,
                        leat_error *err);
/* Copies whole commits of another log: log_append_frames. They must follow `cursor`. */
leat_status commit_init_frames(struct commit *commit, const void *frames, size_t size,
                               const struct commit_rules *rules, const struct commit_cursor *cursor,
                               leat_error *err);
void commit_deinit(struct commit *commit);
/* The pieces of commit_init and commit_stamp for both. */
leat_status commit_forgets(struct commit *commit, struct bytes *found, leat_error *err);
void commit_pass(struct commit *commit, bool synced, struct commit_cursor *cursor);

/* Makes the frames final and moves the cursor behind them. `clock_ms` is not used with event_clock.
 * `synced`: everything before the cursor is on disk (FRAME_SYNCED). */
void commit_stamp(struct commit *commit, const struct commit_rules *rules, int64_t clock_ms,
                  bool synced, struct commit_cursor *cursor);

#endif
