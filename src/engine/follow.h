/* A follower: an engine whose log is a copy of its leader's, and whose model takes the leader's
 * deltas. Flow runs here, on the copied rows; nothing is learnt, and nothing is appended but what
 * the leader wrote.
 *
 *   leader's log ----> log ----> flow ----> profiles, tallies, pairs ...   position `applied`
 *   leader's deltas -----------> model                                     position `learnt`
 *
 * Both positions are the leader's, and either may be ahead of the other. A page is scored by the
 * model of one position: a delta is put in while no page is being made (follow_enter).
 *
 *   <data>/FOLLOWING           text: whose copy the folder is; written when it holds a checkpoint
 *   <data>/incoming/           a checkpoint on its way; with READY in it, it takes the place of
 * what is there at the next start
 *
 * The engine does not know how its leader is reached: struct leader_calls does. */
#ifndef ENGINE_FOLLOW_H
#define ENGINE_FOLLOW_H

#include "engine/engine.h"
#include "state/state.h"

/* --- the way to the leader --- */

struct leader_line;

/* One line is used by one thread at a time. */
struct leader_calls {
    /* `stop`: when it becomes true, whatever a line waits for is given up. Borrowed. */
    leat_status (*open)(void *context, const _Atomic bool *stop, struct leader_line **out,
                        leat_error *err);
    /* GET of a path with its query; what is answered goes to `sink`, piece by piece. LEAT_IO with
     * `retry`: no answer, or none for now; LEAT_CONFLICT, LEAT_INVALID, LEAT_UNSUPPORTED as the
     * leader's problem says, in its words. */
    leat_status (*get)(struct leader_line *line, const char *path, state_sink sink,
                       void *sink_context, leat_error *err);
    void (*close)(struct leader_line *line); /* NULL is fine */
    void *context;
};

/* --- before the engine is opened --- */

struct follow_options {
    const struct config *config;
    struct disk *disk;  /* NULL: the real one */
    const char *leader; /* its address, for words */
    const struct leader_calls *calls;
    const _Atomic bool *stop;
};

/* Makes the folder a follower's: with the leader's newest checkpoint where it is empty, or with one
 * that was on its way. Waits for a leader that does not answer, until `stop` (LEAT_CLOSED).
 * LEAT_CONFLICT: the folder holds data of its own. `out` is what engine_options.follow wants. */
leat_status follow_prepare(const struct follow_options *options, struct follow_identity *out,
                           leat_error *err);

/* --- while it is open --- */

struct follow;

/* Starts to copy and to apply; all is borrowed until follow_stop, which comes before the engine is
 * closed. */
leat_status follow_start(struct engine *engine, const struct follow_options *options,
                         struct follow **out, leat_error *err);
void follow_stop(struct follow *follow); /* NULL is fine */
/* The leader's log or deltas do not reach back to here, and its checkpoint lies ready: to go on,
 * the engine is to be closed, prepared and opened again. */
bool follow_wants_restart(struct follow *follow);

/* --- the engine's own: both do nothing where the engine is no follower --- */

/* Around reading the model: no delta is put in meanwhile. Does not nest. */
void follow_enter(struct engine *engine);
void follow_leave(struct engine *engine);
/* What /healthz, /metrics and answers say: engine_following. */
void follow_describe(struct follow *follow, struct engine_following *out);

#endif
