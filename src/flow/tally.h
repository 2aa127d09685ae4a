/* tally: what happened to an item, decayed. Keyed by item; and, keyed by surface and region, the
 * items that are acted on most right now.
 *
 * Per item: decayed counts of actions with a positive weight at TALLY_SCALES half-lives, decayed
 * impressions at the same, whole counts of chances and positives by task, decayed value, and the
 * shortest scale again for the TALLY_CELLS busiest (surface, region) cells.
 * Per (surface, region), and (surface, any region): the TALLY_TOP items with the largest decayed
 * count at `flow.trending_half_life`; a new item takes the place of the lightest one. */
#ifndef FLOW_TALLY_H
#define FLOW_TALLY_H

#include "base/config.h"
#include "flow/row.h"
#include "state/state.h"

struct tally;

enum { TALLY_SCALES = 3, TALLY_CELLS = 6, TALLY_TOP = 400 };

/* Half-lives in ms: minutes (flow.trending_half_life), an hour, a day. */
int64_t tally_half_life(const struct tally *tally, int scale);

struct tally_view {
    uint64_t item;
    double acted[TALLY_SCALES]; /* as of the view's time */
    double shown[TALLY_SCALES];
    double value;      /* decayed by a day */
    double acted_here; /* shortest scale, in the asked surface and region */
    uint32_t chances[CONFIG_ACTIONS_MAX], positives[CONFIG_ACTIONS_MAX]; /* of actions there are */
    uint64_t total_acted, total_shown;
    int64_t first_ms;
};

leat_status tally_open(const struct config *config, struct state_budget *budget, struct tally **out,
                       leat_error *err);
void tally_close(struct tally *tally);
void tally_push(struct tally *tally, const struct row *row, uint64_t region); /* flow's thread */
/* The same for the item alone, without what is acted on most: for hosts that keep groups of items
 * apart. True: it was acted on. */
bool tally_push_item(struct tally *tally, const struct row *row, uint64_t region);
/* What tally_push does beyond that for an item that was acted on: one thread for all rows, while
 * nobody pushes items. */
void tally_push_lists(struct tally *tally, const struct row *row, uint64_t region);
struct state *tally_state(struct tally *tally);

/* A hint: these items are read or pushed next. At most ROW_AHEAD_MAX of them.
 * Threads: as state_prefetch. */
void tally_ahead(const struct tally *tally, const uint64_t *items, int count);
/* Any thread. False: nothing happened to it yet (`out` is zero but for the item). */
bool tally_read(struct tally *tally, uint64_t item, int surface, uint64_t region, int64_t now_ms,
                struct tally_view *out);
/* Largest first; returns how many (<= max). region 0: any region. */
int tally_top(struct tally *tally, int surface, uint64_t region, uint64_t *items, int max);

#endif
