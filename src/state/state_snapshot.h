/* What a writer owes an open snapshot. Internal to this room. */
#ifndef STATE_STATE_SNAPSHOT_H
#define STATE_STATE_SNAPSHOT_H

#include "state/state_group.h"

/* `place` is that of the slot whose bytes change (all of its room), or PAGE_WHOLE. */
void state_snapshot_touch_slow(struct state *state, struct state_group *group, struct page_ref *ref,
                               uint16_t place);

/* The same without waiting for room or giving up the latch. Also for a reader that brings a record
 * back: a page that gets a record changes. */
void state_snapshot_touch_now(struct state *state, struct state_group *group, struct page_ref *ref,
                              uint16_t place);

/* Writer, inside the group, before each change of a page. The latch may be given up and taken again
 * meanwhile; nothing of the group changes. */
static inline void state_snapshot_touch(struct state *state, struct state_group *group,
                                        struct page_ref *ref, uint16_t place) {
    if (__builtin_expect(ref->version != state->version || ref->settled != PAGE_SETTLED, 0)) {
        state_snapshot_touch_slow(state, group, ref, place);
    }
}

#endif
