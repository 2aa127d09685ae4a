/* pairs: which items follow which within a session. Keyed by item.
 *
 * When a person acts on b, each of the last PAIRS_BACK different items a of the session gets b
 * among its `out` neighbours, and b gets a among its `in` neighbours, with two weights: next  1 for
 * the item just before, 0 for the others; half-life flow.pair_half_life near  PAIRS_FADE^distance
 * (distance 0: the one just before); half-life PAIRS_NEAR_LIVES times that The flow.neighbours
 * heaviest (next + PAIRS_NEAR_WEIGHT near) of each side are kept: a new one takes the place of the
 * lightest and starts at nothing. The totals count what was evicted too. */
#ifndef FLOW_PAIRS_H
#define FLOW_PAIRS_H

#include "base/arena.h"
#include "base/config.h"
#include "flow/row.h"
#include "state/state.h"

struct pairs;

enum { PAIRS_BACK = 5, PAIRS_NEAR_LIVES = 4 };
#define PAIRS_FADE        0.8
#define PAIRS_NEAR_WEIGHT 0.3

/* Shares are of the side's whole weight, evicted neighbours included. */
struct pairs_neighbour {
    uint64_t item;
    float next, near;
};

struct pairs_view {
    uint64_t item;
    int out_count, in_count;
    const struct pairs_neighbour *out, *in; /* in stored order */
};

leat_status pairs_open(const struct config *config, struct state_budget *budget, struct pairs **out,
                       leat_error *err);
void pairs_close(struct pairs *pairs);
/* Flow's thread. `session`: the session's items before the row, newest first. */
void pairs_push(struct pairs *pairs, const struct row *row, const uint64_t *session, int count);
struct state *pairs_state(struct pairs *pairs);

/* The parts of pairs_push, for hosts that keep the groups of a session's items apart: pairs_begin
 * of the row's item, then for each item of the session a pairs_link of either side. */
enum pairs_side { PAIRS_OUT, PAIRS_IN };
void pairs_begin(struct pairs *pairs, struct slice item, uint64_t hash, int64_t time_ms);
/* `item` is absent where only its hash is known: then pairs_begin came before, or nothing is done.
 * `distance`: 0 to PAIRS_BACK - 1. */
void pairs_link(struct pairs *pairs, struct slice item, uint64_t hash, enum pairs_side side,
                uint64_t neighbour, int distance, int64_t time_ms);

/* The neighbours of one side as they are kept, for who asks for the shares of a few of them only.
 */
struct pairs_kept {
    uint64_t item;
    double next, near;
};
struct pairs_copied {
    int count;
    double next, near; /* totals */
    const struct pairs_kept *kept;
};
static inline float pairs_share(double weight, double total) {
    return total > 0 ? (float)(weight / total) : 0.0f;
}
/* A hint: these items are read or pushed next. At most ROW_AHEAD_MAX of them.
 * Threads: as state_prefetch. */
void pairs_ahead(const struct pairs *pairs, const uint64_t *items, int count);
/* Any thread; copied to the arena, by enum pairs_side. False: the arena is full. */
bool pairs_copy(struct pairs *pairs, uint64_t item, struct arena *arena,
                struct pairs_copied out[2]);

/* Any thread; neighbours are copied to the arena. False: none yet. */
bool pairs_read(struct pairs *pairs, uint64_t item, struct arena *arena, struct pairs_view *out);

#endif
