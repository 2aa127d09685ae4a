/* A simulated audience: people with hidden tastes, items that are born and age, and who comes when.
 *
 * The chance of a click is sigmoid(a + taste . vector + quality - ln 2 * age / day): an item's odds
 * halve every day. `a` is set so that a page of random items is clicked at AUDIENCE_CLICK_RATE.
 * Tastes drift by a mean-reverting walk with a step an hour, so that their spread stays as it was.
 * Every draw hashes (seed, what it is about): the same seed gives the same audience, and the same
 * person looking at the same item on the same page number makes the same choice, whoever chose the
 * item. So arms that are compared meet the same luck.
 *
 * Items and visits are fixed once made. A person's own fields (taste, bits) belong to the thread
 * that plays the person; everything else may be read by any thread. */
#ifndef WORLD_AUDIENCE_H
#define WORLD_AUDIENCE_H

#include "base/error.h"

#include <stdint.h>

enum {
    AUDIENCE_DIMENSION = 8,
    AUDIENCE_CATEGORIES = 24,
    AUDIENCE_PEOPLE_MAX = 1000000,
    AUDIENCE_ITEMS_MAX = 1000000,
    AUDIENCE_SPAN_MAX_MS = 14 * 86400000,
    AUDIENCE_VISITS_MAX = 100000000,
};
#define AUDIENCE_CLICK_RATE   0.09
#define AUDIENCE_ITEM_LIFE_MS (INT64_C(2) * 86400000) /* then it expires */

struct audience_options {
    uint64_t seed;
    int people;
    int items;        /* live at any time; as many are born in a life as expire */
    int64_t start_ms; /* a midnight, for the daily curve to fit the server's hours */
    int64_t span_ms;
};

struct audience_item {
    int64_t created_ms;
    int64_t expires_ms;
    float vector[AUDIENCE_DIMENSION]; /* length 1 */
    float quality;
    int category;
    int author;
};

struct audience_person {
    float taste[AUDIENCE_DIMENSION];
    int64_t hours;   /* of drift done */
    uint64_t *shown; /* bits of items on pages so far */
    uint64_t *gone;  /* bits of items clicked or hidden */
};

struct audience {
    struct audience_options options;
    double intercept;
    int item_count;              /* with those not yet born */
    struct audience_item *items; /* by rising creation time */
    struct audience_person *people;
    uint64_t *bits;
};

/* One page that somebody comes for. */
struct visit {
    int64_t time_ms;
    uint32_t person;
    uint32_t page; /* the person's pages before this one */
};

/* LEAT_INVALID names the option out of range. */
leat_status audience_create(const struct audience_options *options, struct audience **out,
                            leat_error *err);
void audience_destroy(struct audience *audience);

/* `count` visits over the span, by rising time: sessions of a few pages, at hours as the daily
 * curve has it, some people coming more often than others. Released with memory_free. */
leat_status audience_visits(const struct audience *audience, int64_t count, struct visit **out,
                            leat_error *err);

/* Items [*first, *end) are live: created, and not expired. */
void audience_live(const struct audience *audience, int64_t now_ms, int *first, int *end);

/* Moves a person's taste to `now_ms`; never backwards. */
void audience_drift(struct audience *audience, uint32_t person, int64_t now_ms);

/* The truth, of a taste that has drifted to now. */
double audience_logit(const struct audience *audience, uint32_t person, int item, int64_t now_ms);
bool audience_clicks(const struct audience *audience, const struct visit *visit, int item);
/* Among what is not clicked: strongly disliked, and said so. */
bool audience_hides(const struct audience *audience, const struct visit *visit, int item);

static inline bool audience_bit(const uint64_t *bits, int item) {
    return bits[item >> 6] >> (item & 63) & 1;
}
static inline void audience_mark(uint64_t *bits, int item) {
    bits[item >> 6] |= UINT64_C(1) << (item & 63);
}

/* Relative load by hour of the day, UTC. */
extern const int audience_hour_weights[24];

#endif
