/* Erasing the rows of forgotten persons from a log that is open.
 *
 * A pass takes the forget rows that stand in the log before some position and goes over the
 * segments in order. One that holds rows of these persons is written anew: the same sequence
 * numbers, append times and frame boundaries, one generation more in each header (frame.h), and in
 * the rows:
 *
 *   event rows with that user, before its forget row   time alone stays; kind becomes KIND_ERASED
 *   item rows with that user                           user, id, request, session, context go; the
 *                                                      item's own facts stay
 *   served rows with that user                         time alone stays
 *   the forget rows of this pass                       as event rows: nobody is named any more
 *
 * What names the person elsewhere (free text, another person's context, an item's id) is not
 * searched for. The new segment is written beside the old one, synced, renamed over it, and the
 * folder synced, before the next one is begun: a crash leaves each segment old or new. The forget
 * row is in the last of its person's segments, so while it stands the work is not done, and a pass
 * begun again does the rest: nothing else needs to be remembered.
 *
 * Whoever replays the log from before the forget row gets another state than before: checkpoints
 * from before it must be gone before a pass begins.
 *
 * One thread drives a pass, one pass a log at a time; others append and read meanwhile. */
#ifndef LOG_LOG_ERASE_H
#define LOG_LOG_ERASE_H

#include "log/log.h"

enum { LOG_ERASE_PERSONS_MAX = 1 << 16 }; /* in one pass; the others wait for the next */

/* What is still to be done. Any thread. */
struct log_forgotten {
    uint64_t count;        /* of forget rows that stand */
    uint64_t end_sequence; /* behind the newest of them */
    int64_t oldest_ms;     /* append time of the oldest */
};
void log_forgotten(struct log *log, struct log_forgotten *out);

struct log_erasure;

/* Begins a pass for the forget rows before `until` (the oldest LOG_ERASE_PERSONS_MAX of them).
 * LEAT_NOT_FOUND (positive): there are none. */
leat_status log_erase_begin(struct log *log, uint64_t until, struct log_erasure **out,
                            leat_error *err);
/* Looks at one segment more and rewrites it where it must. LEAT_END: all is done and durable. On a
 * failure the log is whole; the same step may be tried again. */
leat_status log_erase_step(struct log_erasure *erasure, leat_error *err);
uint64_t log_erase_rows(const struct log_erasure *erasure); /* erased so far */
void log_erase_end(struct log_erasure *erasure);            /* NULL is fine */

#endif
