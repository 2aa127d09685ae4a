/* pairs: which items follow which within a session. Keyed by item.
 *
 * When a person acts on b, each of the last PAIRS_BACK different items a of the session gets b among
 * its `out` neighbours with weight PAIRS_FADE^distance (distance 0: the one just before), and b gets
 * a among its `in` neighbours. Weights decay with half-life flow.pair_half_life. The heaviest
 * flow.neighbours of each side are kept: a new one takes the place of the lightest. */
#ifndef FLOW_PAIRS_H
#define FLOW_PAIRS_H

#include "base/arena.h"
#include "base/config.h"
#include "flow/row.h"
#include "state/state.h"

struct pairs;

enum { PAIRS_BACK = 5, PAIRS_KEPT_MAX = 1000 };
#define PAIRS_FADE 0.8

struct pairs_neighbour {
    uint64_t item;
    double share; /* of the side's whole weight, kept or not */
};

struct pairs_view {
    uint64_t item;
    int out_count, in_count;
    const struct pairs_neighbour *out, *in; /* in stored order */
    double out_weight;                      /* whole decayed weight as of the view's time */
    double in_weight;
};

leat_status pairs_open(const struct config *config, struct state_budget *budget,
                       struct pairs **out, leat_error *err);
void pairs_close(struct pairs *pairs);
/* Flow's thread. `session`: the session's items before the row, newest first. */
void pairs_push(struct pairs *pairs, const struct row *row, const uint64_t *session, int count);
struct state *pairs_state(struct pairs *pairs);

/* Any thread; neighbours are copied to the arena. False: none yet. */
bool pairs_read(struct pairs *pairs, uint64_t item, int64_t now_ms, struct arena *arena,
                struct pairs_view *out);

#endif
