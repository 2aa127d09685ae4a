/* The calls of state.h on keys: find or place a record, keep the due heap and an open snapshot in
 * step with it. */
#include "state/state.h"

#include "base/memory.h"
#include "state/state_file.h"
#include "state/state_slot.h"
#include "state/state_spill.h"

#define XXH_STATIC_LINKING_ONLY /* a hash in progress on the stack */
#include <inttypes.h>
#include <xxhash.h>

/* --- opening --- */

static leat_status options_check(const struct state_options *options, leat_error *err) {
    size_t name_size = options->name ? strlen(options->name) : 0;
    if (name_size == 0 || name_size > STATE_NAME_MAX) {
        return error_set(err, LEAT_INVALID, "state: a name of %zu bytes, it must have 1 to %d",
                         name_size, STATE_NAME_MAX);
    }
    if (options->groups == 0 || options->groups > STATE_GROUPS_MAX) {
        return error_set(err, LEAT_INVALID, "state %s: %u key groups, it must have 1 to %d",
                         options->name, options->groups, STATE_GROUPS_MAX);
    }
    if (options->kind_count > STATE_KINDS) {
        return error_set(err, LEAT_INVALID, "state %s: %u kinds, at most %d", options->name,
                         options->kind_count, STATE_KINDS);
    }
    return LEAT_OK;
}

static leat_status groups_alloc(struct state *state, leat_error *err) {
    size_t bytes = state->groups * sizeof(*state->group);
    state->group = memory_aligned(_Alignof(struct state_group), bytes);
    for (int c = 0; state->group && c < STATE_CLOCKS; c++) {
        bytes = state->groups * sizeof(*state->due_ms[c]);
        state->due_ms[c] = memory_alloc(bytes);
        state->now_ms[c] = memory_alloc(bytes);
        if (!state->due_ms[c] || !state->now_ms[c]) {
            return error_memory(err, bytes);
        }
    }
    return state->group ? LEAT_OK : error_memory(err, bytes);
}

static void groups_init(struct state *state) {
    for (uint32_t i = 0; i < state->groups; i++) {
        struct state_group *group = &state->group[i];
        *group = (struct state_group){.count = 0};
        latch_init(&group->latch);
        state_pages_init(&group->pages, &state->account, i);
        for (int c = 0; c < STATE_CLOCKS; c++) {
            state_due_init(&group->due[c], &state->account);
            atomic_init(&state->due_ms[c][i], INT64_MAX);
            atomic_init(&state->now_ms[c][i], INT64_MIN);
        }
    }
    for (int c = 0; c < STATE_CLOCKS; c++) {
        atomic_init(&state->due_least_ms[c], INT64_MAX);
    }
}

static void state_free(struct state *state) {
    for (int c = 0; c < STATE_CLOCKS; c++) {
        memory_free(state->due_ms[c]);
        memory_free(state->now_ms[c]);
    }
    memory_free(state->group);
    memory_free(state);
}

leat_status state_open(const struct state_options *options, struct state **out, leat_error *err) {
    *out = NULL;
    TRY(options_check(options, err));
    struct state *state = memory_zalloc(sizeof(*state));
    if (!state) {
        return error_memory(err, sizeof(*state));
    }
    memcpy(state->name, options->name, strlen(options->name) + 1);
    state->groups = options->groups;
    state->version = 1;
    state->account.name = state->name;
    state->account.budget = options->budget;
    for (uint32_t k = 0; k < options->kind_count; k++) {
        state->kinds[k] = options->kinds[k];
    }
    leat_status status = groups_alloc(state, err);
    if (status < 0) {
        state_free(state);
        return status;
    }
    groups_init(state);
    if (options->budget && options->budget->spill_disk) {
        status = state_spill_open(state, err);
        if (status < 0) {
            state_close(state);
            return status;
        }
    }
    *out = state;
    return LEAT_OK;
}

void state_close(struct state *state) {
    if (!state) {
        return;
    }
    INVARIANT(!atomic_load(&state->snapshot), "state %s: a snapshot is still open", state->name);
    for (uint32_t i = 0; i < state->groups; i++) {
        struct state_group *group = &state->group[i];
        state_group_deinit(group, &state->account);
        state_pages_deinit(&group->pages);
        for (int c = 0; c < STATE_CLOCKS; c++) {
            state_due_deinit(&group->due[c]);
        }
    }
    state_spill_close(state);
    INVARIANT(state_bytes(state) == 0, "state %s: %" PRIu64 " bytes left", state->name,
              state_bytes(state));
    state_free(state);
}

/* --- finding --- */

void state_enter(struct state *state, uint64_t hash) {
    latch_lock(&state_group_of(state, hash)->latch);
}

void state_leave(struct state *state, uint64_t hash) {
    latch_unlock(&state_group_of(state, hash)->latch);
}

/* The group of a key that the caller entered. Under a sanitizer it is checked that somebody did:
 * elsewhere an atomic operation a call would cost as much as the look-up. */
static inline struct state_group *group_entered(const struct state *state, uint64_t hash) {
    struct state_group *group = state_group_of(state, hash);
#if defined(__SANITIZE_ADDRESS__)
    INVARIANT(atomic_flag_test_and_set(&group->latch.taken),
              "state %s: group %" PRIu64 " is not entered", state->name,
              (uint64_t)(group - state->group));
#endif
    return group;
}

static inline struct slot *key_find(struct state_group *group, const struct state_key *key,
                                    bool *collision) {
    struct slot *slot = state_group_find(group, key->hash, key->kind, key->part);
    *collision = slot && key->id.data && !slice_equal(slot_id(slot), key->id);
    if (slot && group->spill) {
        slot->place |= SLOT_WANTED;
    }
    return *collision ? NULL : slot;
}

const void *state_get(const struct state *state, const struct state_key *key, uint32_t *size,
                      bool *collision) {
    bool other;
    const struct slot *slot = key_find(group_entered(state, key->hash), key, &other);
    if (collision) {
        *collision = other;
    }
    *size = slot ? slot->size : 0;
    return slot ? slot_data_const(slot) : NULL;
}

const void *state_get_id(const struct state *state, const struct state_key *key, uint32_t *size,
                         struct slice *id) {
    bool other;
    const struct slot *slot = key_find(group_entered(state, key->hash), key, &other);
    *size = slot ? slot->size : 0;
    *id = slot ? slot_id(slot) : (struct slice){NULL, 0};
    return slot ? slot_data_const(slot) : NULL;
}

void *state_edit(struct state *state, const struct state_key *key, uint32_t *size) {
    bool other;
    struct state_group *group = group_entered(state, key->hash);
    struct slot *slot = key_find(group, key, &other);
    *size = slot ? slot->size : 0;
    if (!slot) {
        return NULL;
    }
    state_slot_touch(state, group, slot);
    if (state_slot_extend(state, group, slot) < 0) {
        /* It would live for ever: only a record of before its kind expired needs memory here. */
        atomic_store_explicit(&state->failed, true, memory_order_relaxed);
    }
    return slot_data(slot);
}

/* --- creating and resizing --- */

static leat_status key_check(const struct state *state, const struct state_key *key, uint32_t size,
                             leat_error *err) {
    if (size > STATE_RECORD_MAX) {
        return error_set(err, LEAT_INVALID,
                         "state %s: a record of %u bytes, at most %d fit; split it into parts",
                         state->name, size, STATE_RECORD_MAX);
    }
    if (key->id.size > STATE_ID_MAX || key->kind >= STATE_KINDS) {
        return error_set(
            err, LEAT_INVALID,
            "state %s: kind %u and an id of %zu bytes, must be below %d and at most %d",
            state->name, key->kind, key->id.size, STATE_KINDS, STATE_ID_MAX);
    }
    return LEAT_OK;
}

static leat_status slot_create(struct state *state, struct state_group *group,
                               const struct state_key *key, uint32_t size, struct slot **out,
                               leat_error *err) {
    TRY(state_group_reserve(group, &state->account, err));
    struct slot *slot;
    struct page_ref *ref;
    TRY(state_pages_pick(&group->pages, slot_data_offset(key->id.size) + size, &ref, err));
    state_snapshot_touch(state, group, ref, state_page_place(ref));
    slot = state_pages_take(&group->pages, ref);
    slot->hash = key->hash;
    slot->part = key->part;
    slot->size = size & SLOT_SIZE_MASK;
    slot->kind = (uint8_t)key->kind;
    slot->id_size = (uint8_t)key->id.size;
    if (key->id.size) {
        memcpy(slot->id, key->id.data, key->id.size);
    }
    state_group_insert(group, slot);
    atomic_fetch_add_explicit(&state->count, 1, memory_order_relaxed);
    *out = slot;
    return LEAT_OK;
}

static leat_status slot_move(struct state *state, struct state_group *group, struct slot *old,
                             uint32_t size, struct slot **out, leat_error *err) {
    size_t offset = slot_data_offset(old->id_size);
    struct page_ref *ref;
    TRY(state_pages_pick(&group->pages, offset + size, &ref, err));
    state_snapshot_touch(state, group, ref, state_page_place(ref));
    struct page_ref *left = state_pages_ref(&group->pages, old);
    state_snapshot_touch(state, group, left, state_slot_place_given(left, old));
    struct slot *slot = state_pages_take(&group->pages, ref);
    uint16_t place = (uint16_t)(slot->place | (old->place & SLOT_WANTED));
    uint32_t page = slot->page;
    memcpy(slot, old, offset + (size < old->size ? size : old->size));
    slot->place = place;
    slot->page = page & (PAGE_NUMBERS - 1);
    state_group_replace(group, old, slot);
    state_pages_give(&group->pages, old);
    *out = slot;
    return LEAT_OK;
}

void state_slot_repage(struct state *state, struct state_group *group, struct slot *slot) {
    struct page_ref *ref;
    size_t bytes = state_pages_room(&group->pages, slot);
    leat_status status = state_pages_pick(&group->pages, bytes, &ref, NULL);
    INVARIANT(status == LEAT_OK, "no room of %zu bytes beside a page", bytes);
    state_snapshot_touch_now(state, group, ref, state_page_place(ref));
    state_snapshot_touch_now(state, group, state_pages_ref(&group->pages, slot), slot->place);
    struct slot *moved = state_pages_take(&group->pages, ref);
    uint16_t place = (uint16_t)(moved->place | (slot->place & SLOT_WANTED));
    uint32_t page = moved->page;
    memcpy(moved, slot, slot_data_offset(slot->id_size) + slot->size);
    moved->place = place;
    moved->page = page & (PAGE_NUMBERS - 1);
    state_group_replace(group, slot, moved);
    state_pages_give(&group->pages, slot);
}

/* A record that shrinks stays where it is until that wastes half of its slot, so that one that
 * breathes does not move at every change. What it no longer holds is zero. */
static leat_status slot_resize(struct state *state, struct state_group *group, struct slot **slot,
                               uint32_t size, leat_error *err) {
    uint32_t old_size = (*slot)->size;
    size_t needed = slot_data_offset((*slot)->id_size) + size;
    size_t room = state_pages_room(&group->pages, *slot);
    if (needed > room) {
        TRY(slot_move(state, group, *slot, size, slot, err));
    } else if (size < old_size) {
        memset((char *)slot_data(*slot) + size, 0, old_size - size);
        if (state_pages_room_for(needed) <= room / 2) {
            slot_move(state, group, *slot, size, slot, NULL); /* without memory it stays */
        }
    }
    (*slot)->size = size & SLOT_SIZE_MASK;
    return LEAT_OK;
}

/* Where the kind expires, with its due time or not at all. */
static leat_status record_create(struct state *state, struct state_group *group,
                                 const struct state_key *key, uint32_t size, void **out,
                                 leat_error *err) {
    struct slot *slot;
    TRY(slot_create(state, group, key, size, &slot, err));
    leat_status status = state_slot_extend(state, group, slot);
    if (status < 0) {
        state_slot_remove(state, group, slot);
        return error_retry(err, status, "state %s: no room for the time at which a record expires",
                           state->name);
    }
    *out = slot_data(slot);
    return LEAT_OK;
}

static leat_status record_put(struct state *state, const struct state_key *key, uint32_t size,
                              void **out, leat_error *err) {
    *out = NULL;
    TRY(key_check(state, key, size, err));
    struct state_group *group = group_entered(state, key->hash);
    bool other;
    struct slot *slot = key_find(group, key, &other);
    if (!slot && state->spill && state_failed(state)) {
        return state_failure(state, err); /* it may be there, and of another size */
    }
    if (other) {
        return error_set(err, LEAT_CONFLICT,
                         "state %s: '%.*s' has the hash %016" PRIx64 " of another id", state->name,
                         (int)key->id.size, key->id.data, key->hash);
    }
    if (!slot && !key->id.data) {
        return error_set(err, LEAT_INVALID,
                         "state %s: no record of hash %016" PRIx64
                         ", and none is made without its id",
                         state->name, key->hash);
    }
    if (!slot) {
        return record_create(state, group, key, size, out, err);
    }
    state_slot_touch(state, group, slot);
    TRY(state_slot_extend(state, group, slot));
    if (slot->size != size) {
        TRY(slot_resize(state, group, &slot, size, err));
    }
    *out = slot_data(slot);
    return LEAT_OK;
}

leat_status state_put(struct state *state, const struct state_key *key, uint32_t size, void **out,
                      leat_error *err) {
    leat_status status = record_put(state, key, size, out, err);
    if (status == LEAT_MEMORY) {
        atomic_store_explicit(&state->failed, true, memory_order_relaxed);
    }
    struct state_budget *budget = state->account.budget;
    if (status < 0 && budget) {
        bool collision = status == LEAT_CONFLICT;
        atomic_fetch_add_explicit(collision ? &budget->collisions : &budget->refused, 1,
                                  memory_order_relaxed);
    }
    return status;
}

void state_slot_remove(struct state *state, struct state_group *group, struct slot *slot) {
    struct page_ref *ref = state_pages_ref(&group->pages, slot);
    state_snapshot_touch(state, group, ref, state_slot_place_given(ref, slot));
    state_slot_due(state, group, slot)->live -= slot->due_ms != 0;
    state_group_remove(group, slot);
    state_pages_give(&group->pages, slot);
    atomic_fetch_sub_explicit(&state->count, 1, memory_order_relaxed);
}

bool state_remove(struct state *state, const struct state_key *key) {
    struct state_group *group = group_entered(state, key->hash);
    bool other;
    struct slot *slot = key_find(group, key, &other);
    if (slot) {
        state_slot_remove(state, group, slot);
    }
    return slot != NULL;
}

/* Removing moves later entries back, so the place of a removed one is looked at again. Entries that
 * come round from the index's begin to its end were looked at there. */
struct person {
    struct state_group *group;
    uint64_t hash;
    struct slice id;
};

/* Brings the records of an id back into memory. */
static leat_status person_fetch(void *context, uint64_t entry, const struct slot *slot,
                                leat_error *err) {
    (void)entry;
    (void)err;
    struct person *person = context;
    if (slot->hash == person->hash && slice_equal(slot_id(slot), person->id)) {
        state_group_find(person->group, slot->hash, slot->kind, slot->part);
    }
    return LEAT_OK;
}

uint32_t state_remove_all(struct state *state, uint64_t hash, struct slice id) {
    struct state_group *group = group_entered(state, hash);
    struct person person = {group, hash, id};
    leat_status status =
        group->spill ? state_spill_each(group->spill, person_fetch, &person, NULL) : LEAT_OK;
    if (status < 0) {
        state_spill_fail(group->spill, status);
    }
    uint32_t removed = 0;
    uint32_t at = 0;
    struct slot *slot;
    while ((slot = state_group_next_of(group, hash, id, &at)) != NULL) {
        state_slot_remove(state, group, slot);
        removed++;
    }
    return removed;
}

leat_status state_set_due(struct state *state, const struct state_key *key, int64_t due_ms) {
    struct state_group *group = group_entered(state, key->hash);
    bool other;
    struct slot *slot = key_find(group, key, &other);
    if (!slot) {
        return LEAT_NOT_FOUND;
    }
    if (slot->due_ms == due_ms) {
        return LEAT_OK;
    }
    state_slot_touch(state, group, slot);
    leat_status status = state_slot_set_due(state, group, slot, due_ms);
    if (status == LEAT_MEMORY) {
        atomic_store_explicit(&state->failed, true, memory_order_relaxed);
    }
    if (status < 0 && state->account.budget) {
        atomic_fetch_add_explicit(&state->account.budget->refused, 1, memory_order_relaxed);
    }
    return status;
}

/* --- hints, sizes and tools --- */

void state_prefetch(const struct state *state, const struct state_key *keys, int count) {
    for (int i = 0; i < count; i++) {
        struct state_group *group = state_group_of(state, keys[i].hash);
        state_group_prefetch(group, &keys[i]);
        state_due_prefetch(&group->due[state->kinds[keys[i].kind].clock]);
    }
    for (int i = 0; i < count; i++) {
        struct state_group *group = state_group_of(state, keys[i].hash);
        state_group_prefetch_slot(group, &keys[i]);
        state_due_prefetch_place(&group->due[state->kinds[keys[i].kind].clock]);
    }
}

bool state_failed(const struct state *state) {
    return atomic_load_explicit(&state->failed, memory_order_relaxed);
}

uint64_t state_count(const struct state *state) {
    return atomic_load_explicit(&state->count, memory_order_relaxed);
}

uint64_t state_bytes(const struct state *state) {
    return atomic_load_explicit(&state->account.bytes, memory_order_relaxed);
}

uint32_t state_groups(const struct state *state) {
    return state->groups;
}

static leat_status group_check(const struct state *state, uint32_t group, leat_error *err) {
    return group < state->groups ? LEAT_OK
                                 : error_set(err, LEAT_INVALID, "state %s: no group %u, it has %u",
                                             state->name, group, state->groups);
}

leat_status state_visit(struct state *state, uint32_t group, state_visitor visit, void *context,
                        leat_error *err) {
    TRY(group_check(state, group, err));
    struct state_group *entered = &state->group[group];
    latch_lock(&entered->latch);
    struct state_group_item *items;
    struct arena arena;
    arena_init(&arena, SORT_BLOCK_BYTES, SIZE_MAX);
    leat_status status = state_group_sort(entered, &arena, &items, err);
    if (status == LEAT_OK) {
        for (uint32_t i = 0; status == LEAT_OK && i < entered->count; i++) {
            struct state_record record = slot_record(items[i].slot);
            status = visit(context, &record);
        }
        memory_free(items);
    }
    latch_unlock(&entered->latch);
    arena_deinit(&arena);
    return status;
}

leat_status state_digest(struct state *state, uint64_t *out, leat_error *err) {
    XXH3_state_t hash;
    XXH3_64bits_reset(&hash);
    struct bytes block;
    bytes_init(&block);
    leat_status status = LEAT_OK;
    for (uint32_t i = 0; status == LEAT_OK && i < state->groups; i++) {
        /* To see what the writer did, should it be another thread that has come to rest. */
        latch_lock(&state->group[i].latch);
        latch_unlock(&state->group[i].latch);
        bytes_clear(&block);
        status = state_block_encode(state, i, &block, err);
        XXH3_64bits_update(&hash, block.data, block.size);
    }
    bytes_deinit(&block);
    *out = XXH3_64bits_digest(&hash);
    return status;
}
