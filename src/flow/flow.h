/* Flow: the operators wired together. What it computes is this, row by row in log order:
 *
 *   row -> dedup -> [features looked up] -> join -> catalog -> profile -> pairs -> tally,
 *          background, ratings               |
 *                                            +-> examples (in rising order of sequence)
 *
 * Time moves first: before a row is applied, everything due at its append time has fired. The keyed
 * records of dedup, profile, pairs, ratings, join and of tally's items depend only on the order of
 * rows within their key group. What is kept for a whole surface (the background, tally's top lists)
 * or for the whole catalogue (its lists) has one key, so its group sees every row of that surface.
 * Examples are made at their row, from the state as it stood before the row was counted.
 *
 * How it is computed (piece.h): some hundred rows at a time, in phases, in parallel over key-group
 * ranges. Examples, their order and all states are the same bytes for any number of threads and any
 * cut into batches; but where flow.memory is used up, which record is refused first may hang on the
 * number of threads, and on their timing.
 *
 * One thread applies and emits; others of the pool work while it is inside flow_apply. The views
 * (profile_read and the like) may be read by any thread. */
#ifndef FLOW_FLOW_H
#define FLOW_FLOW_H

#include "base/metrics.h"
#include "base/pool.h"
#include "flow/background.h"
#include "flow/catalog.h"
#include "flow/example.h"
#include "flow/feature.h"
#include "flow/pairs.h"
#include "flow/profile.h"
#include "flow/ratings.h"
#include "flow/tally.h"
#include "state/state.h"

struct flow;

enum { FLOW_STATES = 8 };

struct flow_options {
    const struct config *config; /* borrowed for the flow's life */
    struct metrics *metrics;     /* may be NULL */
    void (*emit)(void *context, const struct example *example);
    void *context;
    struct pool *pool; /* borrowed for the flow's life; NULL: the caller's thread alone */
    int ranges;        /* of key groups, into which work is divided; 0: as suits the pool */
    /* Where runner.spill allows it: cold state goes to files in this folder, removed at the end. */
    struct disk *spill_disk; /* NULL: all state stays in memory */
    const char *spill_folder;
    uint64_t (*stopwatch)(void); /* to measure: ns, whose differences flow_times sums; or NULL */
};

/* Where the time goes, phase by phase, as the stopwatch says. */
enum { FLOW_PHASES = 9 };
struct flow_times {
    uint64_t ns[FLOW_PHASES];
};

leat_status flow_open(const struct flow_options *options, struct flow **out, leat_error *err);
void flow_close(struct flow *flow);

/* Applies rows [from, to) of a batch of any log schema, whose first row has `first_sequence`.
 * `event_clock`: append time of a row is the newest event time so far, else `append_ms`. A failure
 * (LEAT_MEMORY) leaves rows half applied: the flow is to be closed, and the log replayed. */
leat_status flow_apply(struct flow *flow, const struct batch *batch, uint64_t first_sequence,
                       int64_t append_ms, bool event_clock, int64_t from, int64_t to,
                       leat_error *err);

/* Flow's thread, with no snapshot open: spill files hold nothing any more of what is gone. */
leat_status flow_scrub(struct flow *flow, leat_error *err);

struct flow_times flow_times(const struct flow *flow); /* zero without a stopwatch */
const char *flow_phase_name(int phase);

/* LEAT_OK, or in words what keeps the states from being whole (LEAT_MEMORY, LEAT_IO of a spill
 * file): what was just read from them may be half of what there is, then. Any thread. */
leat_status flow_failure(const struct flow *flow, leat_error *err);

/* Append time of the newest row applied. Any thread. */
int64_t flow_now(const struct flow *flow);
void flow_set_now(struct flow *flow, int64_t now_ms); /* after a restore */
uint64_t flow_bytes(const struct flow *flow);         /* of all state */
/* Records refused since the start: beyond the budget, and because of a hash collision. Any thread.
 */
uint64_t flow_refused(const struct flow *flow);
uint64_t flow_collisions(const struct flow *flow);

/* The operators' states in a fixed order, for checkpoints and digests. */
struct state *flow_state(const struct flow *flow, int index); /* 0..FLOW_STATES */
const char *flow_state_name(int index);
/* A checkpoint without this state is whole: nothing of it would ever be kept. (Checkpoints from
 * before there were ratings, where nobody rates.) */
bool flow_state_unused(const struct flow *flow, int index);
/* After all states were restored: rebuilds what is derived. */
leat_status flow_restored(struct flow *flow, leat_error *err);

/* The operators, to read. */
struct catalog *flow_catalog(const struct flow *flow);
struct profile *flow_profile(const struct flow *flow);
struct tally *flow_tally(const struct flow *flow);
struct pairs *flow_pairs(const struct flow *flow);
struct background *flow_background(const struct flow *flow);
struct ratings *flow_ratings(const struct flow *flow);
const struct features *flow_features(const struct flow *flow);
const struct config *flow_config(const struct flow *flow);

/* Everything a request needs to know of a person and a moment, read once. */
struct flow_moment {
    struct profile_view profile;
    struct background_view background;
    struct pairs_view pairs[PAIRS_BACK];
    struct ratings_person rated;
    struct feature_moment feature; /* points into the above */
};
/* `context` (pairs) wins over what is known of the person. */
void flow_moment_read(const struct flow *flow, struct slice user, int surface, int64_t now_ms,
                      const struct slice *context, int context_count, struct arena *arena,
                      struct flow_moment *out);

#endif
