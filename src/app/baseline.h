/* The two built-in rankers that leat is measured against, on a stream of clicks in sessions.
 *
 * popular        items by their clicks of the last hour (now - 1 h, now]
 * co-occurrence  every click is paired, both ways, with each of the 5 clicks before it in its
 *                session; pairs fade with a half-life of 4 h. An item's score is the sum of its
 * pairs with the session's last 5 clicks, the k-th from the end weighing .8^k; what has no score
 * follows by popularity. Equal ones stand by popularity, then by rising id. A session's own items
 * are left out. One thread; times never fall. */
#ifndef APP_BASELINE_H
#define APP_BASELINE_H

#include "base/error.h"

#include <stdint.h>

enum { BASELINE_WINDOW_MS = 3600000, BASELINE_LAST = 5 };

struct baseline;

/* A session so far: its clicked items in order, repeats included. Borrowed. */
struct session_items {
    const uint32_t *items;
    int count;
};

struct baseline_ranks {
    int popular; /* place of the true item, 1 is the top; 0: it would not be shown at all */
    int cooccurrence;
};

leat_status baseline_create(struct baseline **out, leat_error *err);
void baseline_destroy(struct baseline *baseline); /* NULL is fine */

/* Where `item` would stand if the session were shown everything at `now_ms`. */
struct baseline_ranks baseline_rank(struct baseline *baseline, int64_t now_ms,
                                    struct session_items session, uint32_t item);
/* Learns that the session clicked `item`; `session` is what it clicked before. */
leat_status baseline_tell(struct baseline *baseline, int64_t time_ms, struct session_items session,
                          uint32_t item, leat_error *err);

#endif
