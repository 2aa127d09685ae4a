/* What a writer owes an open snapshot. Internal to this room. */
#ifndef STATE_STATE_SNAPSHOT_H
#define STATE_STATE_SNAPSHOT_H

#include "state/state_group.h"

void state_snapshot_thaw_slow(struct state *state, struct state_group *group);

/* Writer, inside the group, before the first change since it entered: a frozen group is serialised
 * first. The latch may be given up and taken again meanwhile; nothing of the group changes. */
static inline void state_snapshot_thaw(struct state *state, struct state_group *group) {
    if (__builtin_expect(group->freeze != GROUP_OPEN, 0)) {
        state_snapshot_thaw_slow(state, group);
    }
}

#endif
