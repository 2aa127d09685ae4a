/* One thread of the closed loop: plays its own people, visit by visit. Internal to the loop. */
#ifndef WORLD_PLAYER_H
#define WORLD_PLAYER_H

#include "base/histogram.h"
#include "world/client.h"
#include "world/loop.h"
#include "world/pace.h"

/* What all threads share; the loop owns it. Counters are for the progress line. */
struct stage {
    const struct loop_options *options;
    struct audience *audience;
    struct arms *arms;
    const struct visit *visits;
    struct pace pace;
    struct histogram page_ns;
    _Atomic int64_t pages;
    _Atomic int64_t events;
    _Atomic int64_t clicks;
    _Atomic int64_t popular_clicks;
};

struct player; /* driven by its own thread between start and join */

leat_status player_create(struct stage *stage, int number, struct player **out, leat_error *err);
/* Plays every visit of its people, then says done to the pace; a failure stops all. */
leat_status player_start(struct player *player, leat_error *err);
/* Waits for the thread; its status, and its words in `err`. */
leat_status player_join(struct player *player, leat_error *err);
void player_destroy(struct player *player);

/* Adds what it counted to a report. After player_join. */
void player_report(const struct player *player, struct loop_report *report);

/* An item's event as one line of NDJSON. */
void player_write_item(const struct audience *audience, int item, int64_t time_ms,
                       struct bytes *out);

#endif
