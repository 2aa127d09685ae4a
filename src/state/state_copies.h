/* What an open snapshot keeps of pages that changed since: copies of units of them, in blocks that
 * the snapshot has to itself. Internal to this room.
 *
 *   page   [ unit 0 | unit 1 | ... | unit 15 ]     a unit is 1/16 of the largest page; of a small
 *                                                  page there are fewer, and the last one is short
 *   block  [next | unit | data ...              ]  a copy of one; cut from chunks that go together,
 *                                                  when the snapshot goes
 *
 * Blocks in use count as copies of the budget (`copies_used`), and only those: blocks given back
 * are taken again first, so that chunks never hold much more than the most that were in use.
 *
 * Threads: any. */
#ifndef STATE_STATE_COPIES_H
#define STATE_STATE_COPIES_H

#include "base/thread.h"
#include "state/state_pages.h"

struct copy_block {
    struct copy_block *next; /* of the same page */
    uint32_t unit;
    _Alignas(16) uint8_t data[PAGE_UNIT];
};

struct copy_chunk;

struct state_copies {
    struct latch latch;
    struct state_budget *budget; /* borrowed; NULL: nobody counts */
    struct copy_block *free;
    struct copy_chunk *chunks;
    uint32_t fresh; /* blocks of the newest chunk that were never handed out */
};

void state_copies_init(struct state_copies *copies, struct state_budget *budget);
void state_copies_deinit(struct state_copies *copies); /* all were given back */

/* Whether so many blocks more are beyond the reserve. */
bool state_copies_full(const struct state_copies *copies, uint32_t count);
/* So many blocks are worth waiting for at once: at most a sixteenth of the reserve. */
uint32_t state_copies_slack(const struct state_copies *copies);
/* Contents are undefined. NULL: no memory. */
struct copy_block *state_copies_take(struct state_copies *copies);
/* A list of them; NULL is fine. */
void state_copies_give(struct state_copies *copies, struct copy_block *first);

#endif
