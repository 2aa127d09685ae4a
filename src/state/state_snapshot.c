/* Copy on first write, a group at a time. Whoever serialises a group gives up its latch meanwhile
 * (GROUP_WRITING): readers never wait for a snapshot, and the writer waits for at most one group.
 *
 * The copies a writer makes are the snapshot's, and not charged to the budget: whether a put fits
 * must not depend on how fast a snapshot is written. They are bounded by the size of the state, and
 * each is freed as soon as it is written. */
#include "state/state_snapshot.h"

#include "base/memory.h"
#include "state/state_file.h"

#include <sched.h>

enum block_step { BLOCK_PENDING, BLOCK_COPIED, BLOCK_WRITTEN };

/* Guarded by the latch of the group of the same number. */
struct snapshot_block {
    enum block_step step;
    struct bytes copy;
};

struct state_snapshot {
    struct state *state;
    atomic_bool failed; /* a copy found no memory */
    struct snapshot_block blocks[];
};

/* Enters a group that nobody is serialising. */
static void group_enter_settled(struct state_group *group) {
    latch_lock(&group->latch);
    while (group->freeze == GROUP_WRITING) {
        latch_unlock(&group->latch);
        sched_yield();
        latch_lock(&group->latch);
    }
}

/* Inside the frozen group: serialises it with the latch given up. On failure the group is in step
 * `on_failure`. */
static leat_status group_serialise(struct state *state, uint32_t number, struct bytes *out,
                                   enum state_group_freeze on_failure, leat_error *err) {
    struct state_group *group = &state->group[number];
    group->freeze = GROUP_WRITING;
    latch_unlock(&group->latch);
    leat_status status = state_block_encode(state, number, out, err);
    latch_lock(&group->latch);
    group->freeze = status == LEAT_OK ? GROUP_OPEN : on_failure;
    return status;
}

void state_snapshot_thaw_slow(struct state *state, struct state_group *group) {
    if (group->freeze == GROUP_WRITING) {
        latch_unlock(&group->latch);
        group_enter_settled(group);
    }
    if (group->freeze == GROUP_OPEN) {
        return;
    }
    struct state_snapshot *snapshot = atomic_load_explicit(&state->snapshot, memory_order_acquire);
    uint32_t number = (uint32_t)(group - state->group);
    struct snapshot_block *block = &snapshot->blocks[number];
    if (group_serialise(state, number, &block->copy, GROUP_OPEN, NULL) == LEAT_OK) {
        block->step = BLOCK_COPIED;
    } else {
        bytes_deinit(&block->copy);
        atomic_store_explicit(&snapshot->failed, true, memory_order_relaxed);
    }
}

leat_status state_freeze(struct state *state, struct state_snapshot **out, leat_error *err) {
    *out = NULL;
    if (atomic_load_explicit(&state->snapshot, memory_order_acquire)) {
        return LEAT_AGAIN;
    }
    size_t bytes = sizeof(struct state_snapshot) + state->groups * sizeof(struct snapshot_block);
    struct state_snapshot *snapshot = memory_zalloc(bytes);
    if (!snapshot) {
        return error_memory(err, bytes);
    }
    snapshot->state = state;
    atomic_init(&snapshot->failed, false);
    atomic_store_explicit(&state->snapshot, snapshot, memory_order_release);
    for (uint32_t i = 0; i < state->groups; i++) {
        struct state_group *group = &state->group[i];
        latch_lock(&group->latch);
        group->freeze = GROUP_FROZEN;
        latch_unlock(&group->latch);
    }
    *out = snapshot;
    return LEAT_OK;
}

static leat_status snapshot_failed(const struct state_snapshot *snapshot, leat_error *err) {
    return error_retry(err, LEAT_MEMORY,
                       "state %s: no memory to keep what a snapshot needs; the state is whole, "
                       "release the snapshot and freeze again",
                       snapshot->state->name);
}

/* Moves the block of a group as it was at the freeze to `out`. */
static leat_status snapshot_take(struct state_snapshot *snapshot, uint32_t number,
                                 struct bytes *out, leat_error *err) {
    struct state *state = snapshot->state;
    struct state_group *group = &state->group[number];
    struct snapshot_block *block = &snapshot->blocks[number];
    group_enter_settled(group);
    leat_status status = LEAT_OK;
    if (group->freeze == GROUP_FROZEN) {
        status = group_serialise(state, number, out, GROUP_FROZEN, err);
    } else if (block->step == BLOCK_COPIED) {
        *out = block->copy;
        bytes_init(&block->copy);
    } else if (block->step == BLOCK_WRITTEN) {
        status = error_set(err, LEAT_INVALID, "state %s: group %u of this snapshot was written",
                           state->name, number);
    } else {
        status = snapshot_failed(snapshot, err);
    }
    if (status == LEAT_OK) {
        block->step = BLOCK_WRITTEN;
    }
    latch_unlock(&group->latch);
    return status;
}

leat_status state_snapshot_write(struct state_snapshot *snapshot, uint32_t group, state_sink sink,
                                 void *context, leat_error *err) {
    if (group >= snapshot->state->groups) {
        return error_set(err, LEAT_INVALID, "state %s: no group %u, it has %u",
                         snapshot->state->name, group, snapshot->state->groups);
    }
    if (atomic_load_explicit(&snapshot->failed, memory_order_relaxed)) {
        return snapshot_failed(snapshot, err);
    }
    struct bytes block;
    bytes_init(&block);
    leat_status status = snapshot_take(snapshot, group, &block, err);
    if (status == LEAT_OK) {
        status = sink(context, block.data, block.size, err);
    }
    bytes_deinit(&block);
    return status;
}

void state_snapshot_release(struct state_snapshot *snapshot) {
    if (!snapshot) {
        return;
    }
    struct state *state = snapshot->state;
    for (uint32_t i = 0; i < state->groups; i++) {
        group_enter_settled(&state->group[i]);
        state->group[i].freeze = GROUP_OPEN;
        latch_unlock(&state->group[i].latch);
        bytes_deinit(&snapshot->blocks[i].copy);
    }
    atomic_store_explicit(&state->snapshot, NULL, memory_order_release);
    memory_free(snapshot);
}
