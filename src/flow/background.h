/* background: what everybody does on a surface right now. Keyed by surface.
 *
 * - ring: the newest flow.negative_ring items acted on (positive weight), from which negatives are
 *   drawn; `share` of an item in it is the probability of drawing it.
 * - volume: decayed count of the same actions at tally's half-lives.
 * - tasks: whole counts of chances and positives, the prior of every smoothed rate. */
#ifndef FLOW_BACKGROUND_H
#define FLOW_BACKGROUND_H

#include "base/config.h"
#include "flow/row.h"
#include "flow/tally.h"
#include "state/state.h"

struct background;

struct background_view {
    double volume[TALLY_SCALES]; /* as of the view's time */
    uint64_t chances[CONFIG_ACTIONS_MAX], positives[CONFIG_ACTIONS_MAX];
};

leat_status background_open(const struct config *config, struct state_budget *budget,
                            struct background **out, leat_error *err);
void background_close(struct background *background);
void background_push(struct background *background, const struct row *row); /* both steps */
struct state *background_state(struct background *background);

/* A row in two steps: to what is kept, and to the counts behind `share`, which are derived and may
 * follow later, in the order of rows. One thread at a time for each of the steps, which may be two
 * threads side by side. */
struct background_change {
    bool entered;  /* the row's item is in the ring */
    uint64_t left; /* the item that gave its place; 0: none */
};
struct background_change background_push_kept(struct background *background, const struct row *row);
void background_push_counts(struct background *background, const struct row *row,
                            struct background_change change);

/* Thread of background_push_kept. Items of the ring by `count` chances, 0 when it is empty; returns
 * how many the ring holds. */
uint64_t background_draws(struct background *background, int surface, const uint64_t *chances,
                          int count, uint64_t *items);
uint64_t background_draw(struct background *background, int surface, uint64_t chance);
/* Thread of background_push_counts: how often an item is in the ring. */
uint64_t background_times(const struct background *background, int surface, uint64_t item);
/* Where nobody pushes. */
double background_share(struct background *background, int surface, uint64_t item);
/* Any thread. */
void background_read(struct background *background, int surface, int64_t now_ms,
                     struct background_view *out);
/* Rebuilds what is derived, after a restore. */
leat_status background_restored(struct background *background, leat_error *err);

#endif
