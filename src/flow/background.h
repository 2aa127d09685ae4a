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
void background_push(struct background *background, const struct row *row); /* flow's thread */
struct state *background_state(struct background *background);

/* Flow's thread. 0 when the ring is empty. */
uint64_t background_draw(struct background *background, int surface, uint64_t chance);
double background_share(struct background *background, int surface, uint64_t item);
/* Any thread. */
void background_read(struct background *background, int surface, int64_t now_ms,
                     struct background_view *out);
/* Rebuilds what is derived, after a restore. */
leat_status background_restored(struct background *background, leat_error *err);

#endif
