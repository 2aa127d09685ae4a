/* Back-fill: the examples of a part of a log, made again by the same flow that made them live. Goes
 * on from the newest checkpoint at or before the part, or else from the log's begin. Reads beside a
 * running server: takes no lock, writes nothing. One thread. */
#ifndef APP_BACKFILL_H
#define APP_BACKFILL_H

#include "base/config.h"
#include "base/file.h"
#include "column/batch.h"

struct backfill;

struct backfill_options {
    struct disk *disk;
    const struct config *config; /* borrowed; root.data is the folder */
    uint64_t from, to;           /* sequences of the examples: from <= sequence < to */
    bool grouped;                /* batches of schema_example_group instead of schema_example */
    int batch_rows;              /* examples of a batch at most; those of a group lie in one */
    /* Asked between two pieces of the log; true ends with LEAT_CLOSED. May be NULL. */
    bool (*stopping)(void *context, const struct backfill *backfill);
    void *context;
};

/* What there is to say about how far it is. */
struct backfill_progress {
    uint64_t restored; /* position of the checkpoint; 0: the log's begin */
    uint64_t applied;  /* the next row */
    uint64_t examples; /* made so far, within the part */
};

/* LEAT_INVALID where the log no longer has the rows that are needed. */
leat_status backfill_open(const struct backfill_options *options, struct backfill **out,
                          leat_error *err);
/* The next batch, which has rows; borrowed until the next call. LEAT_END after the last one. */
leat_status backfill_next(struct backfill *backfill, struct batch *out, leat_error *err);
struct backfill_progress backfill_progress(const struct backfill *backfill);
uint32_t backfill_log_id(const struct backfill *backfill);
void backfill_close(struct backfill *backfill); /* NULL is fine */

#endif
