/* Due times and expiry: the calls of state.h on time, over the wheels of all groups. */
#include "state/state_slot.h"
#include "state/state_spill.h"

/* Tells that something of the group is due at `due_ms`. */
static void due_tell(struct state *state, struct state_group *group, enum state_clock clock,
                     int64_t due_ms) {
    _Atomic int64_t *least[] = {&state->due_ms[clock][group - state->group],
                                &state->due_least_ms[clock]};
    for (int i = 0; i < 2; i++) {
        int64_t now = atomic_load_explicit(least[i], memory_order_relaxed);
        while (due_ms < now &&
               !atomic_compare_exchange_weak_explicit(least[i], &now, due_ms, memory_order_relaxed,
                                                      memory_order_relaxed)) {
        }
    }
}

static leat_status slot_push(struct state_due *due, const struct slot *slot, int64_t due_ms,
                             leat_error *err) {
    return state_due_push(due, due_ms, slot->hash, slot->part, slot->kind, err);
}

struct renewal {
    const struct state *state;
    struct state_due *due;
    enum state_clock clock;
};

static leat_status renewal_push(void *context, uint64_t entry, const struct slot *slot,
                                leat_error *err) {
    (void)entry;
    struct renewal *renewal = context;
    if (slot->due_ms != 0 && renewal->state->kinds[slot->kind].clock == renewal->clock) {
        return slot_push(renewal->due, slot, slot->due_ms, err);
    }
    return LEAT_OK;
}

/* Clears the wheel and pushes each record's due time once, which needs no more memory than there
 * was. */
static void due_renew(struct state *state, struct state_group *group, enum state_clock clock) {
    struct renewal renewal = {state, &group->due[clock], clock};
    state_due_clear(renewal.due);
    uint32_t at = 0;
    for (const struct slot *slot; (slot = state_group_next(group, &at)) != NULL;) {
        renewal_push(&renewal, 0, slot, NULL);
    }
    leat_status status =
        group->spill ? state_spill_each(group->spill, renewal_push, &renewal, NULL) : LEAT_OK;
    if (status < 0) {
        state_spill_fail(group->spill, status);
    }
}

/* The wheel must name the record at its due time or earlier; see state_due.h. */
leat_status state_slot_set_due(struct state *state, struct state_group *group, struct slot *slot,
                               int64_t due_ms) {
    struct state_due *due = state_slot_due(state, group, slot);
    int64_t old_ms = slot->due_ms;
    if (due_ms != 0 && (old_ms == 0 || due_ms < old_ms)) {
        if (state_due_is_stale(due)) {
            due_renew(state, group, state->kinds[slot->kind].clock);
        }
        TRY(slot_push(due, slot, due_ms, NULL));
        due_tell(state, group, state->kinds[slot->kind].clock, due_ms);
    }
    due->live += due_ms != 0;
    due->live -= old_ms != 0;
    slot->due_ms = due_ms;
    return LEAT_OK;
}

/* Inside the group: drops what is of no use before `now_ms` and removes what expired, until an
 * entry stands at the top that is what its record says. NULL: none. */
static const struct state_due_entry *due_settle(struct state *state, struct state_group *group,
                                                enum state_clock clock, int64_t now_ms,
                                                struct slot **record) {
    struct state_due *due = &group->due[clock];
    const struct state_due_entry *top;
    while ((top = state_due_peek(due, now_ms)) != NULL) {
        struct slot *slot = state_group_find(group, top->hash, top->kind, top->part);
        bool due_now = slot && slot->due_ms != 0 && slot->due_ms == top->time_ms;
        if (due_now && state->kinds[top->kind].expire_ms == 0) {
            *record = slot;
            return top;
        }
        bool later = slot && slot->due_ms > top->time_ms;
        state_due_drop(due); /* its node is free: the push cannot fail */
        if (due_now) {
            state_slot_remove(state, group, slot);
        } else if (later) {
            slot_push(due, slot, slot->due_ms, NULL);
        }
    }
    return NULL;
}

static void due_publish(struct state *state, struct state_group *group, enum state_clock clock) {
    atomic_store_explicit(&state->due_ms[clock][group - state->group],
                          state_due_bound(&group->due[clock]), memory_order_relaxed);
}

/* Settles every group of the range that may have something due; the one whose top is first. */
static struct state_group *due_first(struct state *state, enum state_clock clock, uint32_t first,
                                     uint32_t end, int64_t now_ms) {
    struct state_group *best = NULL;
    struct state_due_entry best_top;
    for (uint32_t i = first; i < end; i++) {
        int64_t bound = atomic_load_explicit(&state->due_ms[clock][i], memory_order_relaxed);
        if (bound > now_ms || (best && bound > best_top.time_ms)) {
            continue;
        }
        struct state_group *group = &state->group[i];
        /* Wheels are the writer's own, so this needs no latch. What is settled comes no earlier. */
        const struct state_due_entry *raw = state_due_peek(&group->due[clock], now_ms);
        if (raw && best && state_due_order(raw, &best_top) >= 0) {
            continue;
        }
        latch_lock(&group->latch);
        struct slot *slot;
        const struct state_due_entry *top = due_settle(state, group, clock, now_ms, &slot);
        due_publish(state, group, clock);
        if (top && (!best || state_due_order(top, &best_top) < 0)) {
            best = group;
            best_top = *top;
        }
        latch_unlock(&group->latch);
    }
    return best;
}

static int64_t due_least(const struct state *state, enum state_clock clock) {
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < state->groups; i++) {
        int64_t bound = atomic_load_explicit(&state->due_ms[clock][i], memory_order_relaxed);
        least = bound < least ? bound : least;
    }
    return least;
}

/* Inside the group: clears the due time of the record at the top. */
static void due_take(struct state *state, struct state_group *group, enum state_clock clock,
                     struct slot *slot, struct state_due_record *out) {
    state_due_drop(&group->due[clock]);
    state_slot_touch(state, group, slot);
    out->due_ms = slot->due_ms;
    state_slot_set_due(state, group, slot, 0); /* clearing needs no memory */
    memcpy(out->id, slot->id, slot->id_size);
    out->id[slot->id_size] = '\0';
    out->key = slot_key(slot);
    out->key.id.data = out->id;
    out->data = slot_data(slot);
    out->size = slot->size;
}

/* Of one group: it need not be looked for. */
static bool group_enter_due(struct state *state, struct state_group *group, enum state_clock clock,
                            int64_t now_ms, struct state_due_record *out) {
    const _Atomic int64_t *bound = &state->due_ms[clock][group - state->group];
    if (atomic_load_explicit(bound, memory_order_relaxed) > now_ms) {
        return false;
    }
    latch_lock(&group->latch);
    struct slot *slot;
    bool found = due_settle(state, group, clock, now_ms, &slot) != NULL;
    if (found) {
        due_take(state, group, clock, slot, out);
    }
    due_publish(state, group, clock);
    if (!found) {
        latch_unlock(&group->latch);
    }
    return found;
}

bool state_enter_due(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                     int64_t now_ms, struct state_due_record *out) {
    if (end - first == 1) {
        return group_enter_due(state, &state->group[first], clock, now_ms, out);
    }
    bool all = first == 0 && end == state->groups;
    if (all && atomic_load_explicit(&state->due_least_ms[clock], memory_order_relaxed) > now_ms) {
        return false;
    }
    struct state_group *group = due_first(state, clock, first, end, now_ms);
    if (!group) {
        if (all) {
            atomic_store_explicit(&state->due_least_ms[clock], due_least(state, clock),
                                  memory_order_relaxed);
        }
        return false;
    }
    latch_lock(&group->latch);
    const struct state_due_entry *top = state_due_peek(&group->due[clock], now_ms);
    struct slot *slot = state_group_find(group, top->hash, top->kind, top->part);
    due_take(state, group, clock, slot, out);
    due_publish(state, group, clock);
    return true;
}

bool state_next_due_in(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                       int64_t now_ms, struct state_key *out, char id[STATE_ID_MAX + 1],
                       int64_t *due_ms) {
    struct state_due_record record;
    if (!state_enter_due(state, clock, first, end, now_ms, &record)) {
        return false;
    }
    state_leave(state, record.key.hash);
    memcpy(id, record.id, record.key.id.size + 1);
    *out = record.key;
    out->id.data = id;
    *due_ms = record.due_ms;
    return true;
}

/* What is due goes, as a rule: all of the record is read and cleared. */
static void prefetch_whole(const struct state *state, const struct state_key *keys, int count) {
    const struct slot *slots[STATE_AHEAD_MAX];
    for (int i = 0; i < count; i++) {
        state_group_prefetch(state_group_of(state, keys[i].hash), &keys[i]);
    }
    for (int i = 0; i < count; i++) {
        slots[i] = state_group_prefetch_slot(state_group_of(state, keys[i].hash), &keys[i]);
    }
    for (int i = 0; i < count; i++) {
        if (slots[i]) {
            state_group_prefetch_rest(state_group_of(state, keys[i].hash), slots[i]);
        }
    }
}

int state_prefetch_due(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                       int64_t now_ms) {
    struct state_key keys[STATE_AHEAD_MAX];
    const struct state_due_entry *entries[STATE_AHEAD_MAX];
    int count = 0;
    for (uint32_t i = first; i < end && count < STATE_AHEAD_MAX; i++) {
        if (atomic_load_explicit(&state->due_ms[clock][i], memory_order_relaxed) > now_ms) {
            continue;
        }
        struct state_due *due = &state->group[i].due[clock];
        if (state_due_peek(due, now_ms)) {
            int found = state_due_ahead(due, now_ms, entries, STATE_AHEAD_MAX - count);
            for (int e = 0; e < found; e++) {
                keys[count++] = (struct state_key){
                    .hash = entries[e]->hash, .kind = entries[e]->kind, .part = entries[e]->part};
            }
        }
    }
    prefetch_whole(state, keys, count);
    return count;
}

bool state_next_due(struct state *state, int64_t now_ms, struct state_key *out,
                    char id[STATE_ID_MAX + 1], int64_t *due_ms) {
    return state_next_due_in(state, STATE_APPEND_TIME, 0, state->groups, now_ms, out, id, due_ms);
}

void state_now_in(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                  int64_t now_ms) {
    for (uint32_t i = first; i < end; i++) {
        _Atomic int64_t *now = &state->now_ms[clock][i];
        if (atomic_load_explicit(now, memory_order_relaxed) < now_ms) {
            atomic_store_explicit(now, now_ms, memory_order_relaxed);
        }
    }
}

void state_now(struct state *state, enum state_clock clock, int64_t now_ms) {
    state_now_in(state, clock, 0, state->groups, now_ms);
}

/* --- expiry --- */

/* Looked at anew only when 1/16 of its life is over. */
leat_status state_slot_extend(struct state *state, struct state_group *group, struct slot *slot) {
    const struct state_kind *kind = &state->kinds[slot->kind];
    if (kind->expire_ms == 0) {
        return LEAT_OK;
    }
    int64_t now_ms = atomic_load_explicit(&state->now_ms[kind->clock][group - state->group],
                                          memory_order_relaxed);
    if (now_ms == INT64_MIN || slot->due_ms >= now_ms + kind->expire_ms) {
        return LEAT_OK;
    }
    return state_slot_set_due(state, group, slot, now_ms + kind->expire_ms + kind->expire_ms / 16);
}
