/* ratings: how people value items, and which items are valued alike. Of the first action with a
 * threshold (ratings, shares watched): its events carry a value and are whole examples, so that
 * what somebody thought is known at once. Without such an action there is no state at all.
 *
 * A value is taken in quarters of the threshold, and cut to RATINGS_VALUE_MAX. Its deviation is
 * what it is above the person's mean until then, which starts at the threshold.
 *
 *   person   sum and count of values, a fading mean of deviations and the last one, and the newest
 *            RATINGS_RECENT items with their deviations, each item once
 *   item     sum and count of deviations; and for RATINGS_NEIGHBOURS items that people rated before
 *            this one: over those people the sums x, y, xx, yy, xy of this item's deviations (x)
 * and the other's (y)
 *
 * An item's deviation for a person is expected from what the person thought of its neighbours
 * (Sarwar et al., Item-based collaborative filtering, WWW 2001): the mean of those deviations, each
 * less the neighbour's own mean, weighted by their correlation with this item's, which is shrunk by
 * the number of people (Bell and Koren, ICDM 2007). A neighbour is listed at the later item only:
 * one record a row, at a small loss (movielens-100k: .001 of AUC against both ways).
 *
 * State: keyed by person, and by item; by the same hash where they have the same name. */
#ifndef FLOW_RATINGS_H
#define FLOW_RATINGS_H

#include "base/config.h"
#include "flow/row.h"
#include "state/state.h"

struct ratings;

enum {
    RATINGS_RECENT = 64,
    RATINGS_NEIGHBOURS = 512,
    RATINGS_VALUE_MAX = 16,
    RATINGS_SLOTS = 256,
};

leat_status ratings_open(const struct config *config, struct state_budget *budget,
                         struct ratings **out, leat_error *err);
void ratings_close(struct ratings *ratings);
struct state *ratings_state(struct ratings *ratings);

/* Whether there is anything to know at all: the configuration has an action with a threshold. */
bool ratings_any(const struct ratings *ratings);
/* Whether a row is a value that a person gave an item. */
bool ratings_is(const struct ratings *ratings, const struct row *row);

struct rated {
    uint64_t item;
    float deviation;
    float zero;
};

struct ratings_person {
    int count;  /* of `recent`, newest first */
    float mean; /* above the threshold */
    float lately, last;
    uint64_t values;                     /* how many in all */
    struct rated recent[RATINGS_RECENT]; /* beyond the count it says nothing */
    uint8_t slots[RATINGS_SLOTS];        /* places in `recent` plus one, by hash of the item */
};

/* Any thread. False: nothing is known (`out` is that of nobody). */
bool ratings_read_person(struct ratings *ratings, struct slice user, struct ratings_person *out);

struct ratings_view {
    float mean;    /* of the item's deviations, shrunk */
    float near;    /* expected deviation, weighted by correlation */
    float nearest; /* the same, by its square */
};
/* Any thread. `person`: NULL for nobody. */
void ratings_read_item(struct ratings *ratings, uint64_t item, const struct ratings_person *person,
                       struct ratings_view *out);

/* A row that ratings_is true of, in two steps; `before`: the person as read before the first one.
 * Threads: each alone in the key groups of the users, then of the items, that it pushes. Gives the
 * deviation. */
float ratings_push_person(struct ratings *ratings, const struct row *row);
void ratings_push_item(struct ratings *ratings, const struct row *row, float deviation,
                       const struct ratings_person *before);
/* ROW_FORGET, as ratings_push_person. */
void ratings_forget(struct ratings *ratings, const struct row *row);

#endif
