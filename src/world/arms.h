/* The arms that a served page is compared with: what random, most-popular and an oracle would have
 * shown the same person at the same moment, out of the live items that this person has not seen.
 *
 * Their choices change nothing in the world. Most-popular learns from the clicks on served pages,
 * whoever made them, decayed with a half-life of a day. */
#ifndef WORLD_ARMS_H
#define WORLD_ARMS_H

#include "world/audience.h"

enum arm { ARM_RANDOM, ARM_POPULAR, ARM_ORACLE, ARM_COUNT };

struct arms;         /* what most-popular knows; shared by all threads */
struct arms_scratch; /* one a thread */

leat_status arms_create(const struct audience *audience, struct arms **out, leat_error *err);
void arms_destroy(struct arms *arms);
leat_status arms_scratch_create(const struct audience *audience, struct arms_scratch **out,
                                leat_error *err);
void arms_scratch_destroy(struct arms_scratch *scratch);

/* Any thread. */
void arms_click(struct arms *arms, int item, int64_t time_ms);

/* Writes at most `count` items, best first, and returns how many. The person has drifted to the
 * visit's time. Any thread that plays the person. */
int arms_choose(struct arms *arms, struct arms_scratch *scratch, enum arm arm,
                const struct visit *visit, int count, int *out);

#endif
