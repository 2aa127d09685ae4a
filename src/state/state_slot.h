/* What a change of a record brings with it. Internal to this room; writer, inside the group. */
#ifndef STATE_STATE_SLOT_H
#define STATE_STATE_SLOT_H

#include "state/state_snapshot.h"

/* Before each change of a slot's bytes. */
static inline void state_slot_touch(struct state *state, struct state_group *group,
                                    const struct slot *slot) {
    state_snapshot_touch(state, group, state_pages_ref(&group->pages, slot), slot->place);
}

/* What is to be touched before a slot is given back: with the last one its page may go. */
static inline uint16_t state_slot_place_given(const struct page_ref *ref, const struct slot *slot) {
    return ref->used == 1 ? PAGE_WHOLE : slot->place;
}

static inline struct state_due *state_slot_due(const struct state *state, struct state_group *group,
                                               const struct slot *slot) {
    return &group->due[state->kinds[slot->kind].clock];
}

/* Puts the slot elsewhere, as it is; without waiting. Its page has room beside it. */
void state_slot_repage(struct state *state, struct state_group *group, struct slot *slot);
void state_slot_remove(struct state *state, struct state_group *group, struct slot *slot);
/* The slot was touched. LEAT_FULL, LEAT_MEMORY: nothing changed; clearing and moving later cannot
 * fail. */
leat_status state_slot_set_due(struct state *state, struct state_group *group, struct slot *slot,
                               int64_t due_ms);
/* The record was put or edited, and touched: where its kind expires it lives on. */
leat_status state_slot_extend(struct state *state, struct state_group *group, struct slot *slot);

#endif
