/* What followers of this engine are given: rows of the log as they lie in its segments, deltas of
 * the model, and the newest checkpoint to begin with.
 *
 *   learning thread --(a delta every replica.interval)--> ring, bounded by bytes --> followers
 *
 * Deltas are taken only while somebody asks: what changed since the last one is remembered by the
 * table, so the first delta after a pause covers it. The ring is a chain: each delta begins where
 * the one before it ends. Any thread, unless a comment says otherwise; nothing is held while a
 * caller waits or a file is read. */
#ifndef ENGINE_LEAD_H
#define ENGINE_LEAD_H

#include "engine/engine.h"
#include "state/checkpoint_ship.h"

struct lead;

/* Where a leader stands; a follower asks for it again and again. */
struct lead_state {
    uint32_t log_id;
    uint32_t salt; /* of the log: another one is another log, whatever its id */
    uint64_t begin, end;
    uint64_t applied, learnt;
    uint64_t deltas_from, deltas_to; /* a model between these is served by deltas */
    uint64_t checkpoint;             /* of the newest one; 0: there is none yet */
    int64_t now_ms;
};

/* LEAT_UNSUPPORTED, in words, where replica.lead is off, or this is a follower itself. */
leat_status lead_state(struct engine *engine, struct lead_state *out, leat_error *err);

/* Whoever asks says which log he means: LEAT_CONFLICT for another one. `stop` (may be NULL): the
 * wait ends when it becomes true. All append to `out`; LEAT_AGAIN: nothing came in `wait_ms`. */
struct lead_query {
    uint32_t salt;
    uint64_t from;
    int64_t wait_ms;
    const _Atomic bool *stop;
};

/* Whole commits from the row `from` on (log_append_frames), some MiB or one commit. LEAT_INVALID:
 * those rows are not in the log. */
leat_status lead_frames(struct engine *engine, const struct lead_query *query, struct bytes *out,
                        leat_error *err);
/* Deltas, one after the other, for a model that stands at `from`; the first begins there or before.
 * LEAT_INVALID: the ring does not reach back so far. */
leat_status lead_deltas(struct engine *engine, const struct lead_query *query, struct bytes *out,
                        leat_error *err);
/* The newest checkpoint of `from` or later; without one it is written now. */
leat_status lead_checkpoint(struct engine *engine, const struct lead_query *query,
                            struct checkpoint_send **out, leat_error *err);

/* --- the engine's own --- */

/* After a restore, before the threads start; NULL where replica.lead is off. */
leat_status lead_open(struct engine *engine, struct lead **out, leat_error *err);
void lead_close(struct lead *lead); /* NULL is fine; flow and trainer have stopped */
/* Learning thread: the model stands at `learnt`, between two examples. */
void lead_reached(struct lead *lead, uint64_t learnt);
/* Whether the model has moved since the newest delta, and it is time for another one: when flow has
 * nothing to do, it lets the learning thread know. */
bool lead_due(struct lead *lead, uint64_t learnt);

#endif
