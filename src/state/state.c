/* The calls of state.h on keys: find or place a record, keep the due heap and an open snapshot in
 * step with it. */
#include "state/state.h"

#include "base/memory.h"
#include "state/state_file.h"
#include "state/state_group.h"
#include "state/state_snapshot.h"

#define XXH_STATIC_LINKING_ONLY /* a hash in progress on the stack */
#include <inttypes.h>
#include <xxhash.h>

enum { STATE_KINDS = 256 };

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
    return LEAT_OK;
}

leat_status state_open(const struct state_options *options, struct state **out, leat_error *err) {
    *out = NULL;
    TRY(options_check(options, err));
    struct state *state = memory_zalloc(sizeof(*state));
    if (!state) {
        return error_memory(err, sizeof(*state));
    }
    size_t group_bytes = options->groups * sizeof(*state->group);
    state->group = memory_aligned(_Alignof(struct state_group), group_bytes);
    if (!state->group) {
        memory_free(state);
        return error_memory(err, group_bytes);
    }
    for (uint32_t i = 0; i < options->groups; i++) {
        state->group[i] = (struct state_group){.freeze = GROUP_OPEN};
        latch_init(&state->group[i].latch);
    }
    memcpy(state->name, options->name, strlen(options->name) + 1);
    state->groups = options->groups;
    state->account.name = state->name;
    state->account.budget = options->budget;
    state_pages_init(&state->pages, &state->account);
    state_due_init(&state->due, &state->account);
    *out = state;
    return LEAT_OK;
}

void state_close(struct state *state) {
    if (!state) {
        return;
    }
    INVARIANT(!atomic_load(&state->snapshot), "state %s: a snapshot is still open", state->name);
    for (uint32_t i = 0; i < state->groups; i++) {
        state_group_deinit(&state->group[i], &state->account);
    }
    state_due_deinit(&state->due);
    state_pages_deinit(&state->pages);
    INVARIANT(state_bytes(state) == 0, "state %s: %" PRIu64 " bytes left", state->name,
              state_bytes(state));
    memory_free(state->group);
    memory_free(state);
}

/* --- finding --- */

static inline struct state_group *group_of(const struct state *state, uint64_t hash) {
    return &state->group[key_group_of(hash, state->groups)];
}

void state_enter(struct state *state, uint64_t hash) {
    latch_lock(&group_of(state, hash)->latch);
}

void state_leave(struct state *state, uint64_t hash) {
    latch_unlock(&group_of(state, hash)->latch);
}

/* The group of a key that the caller entered. Under a sanitizer it is checked that somebody did:
 * elsewhere an atomic operation a call would cost as much as the look-up. */
static inline struct state_group *group_entered(const struct state *state, uint64_t hash) {
    struct state_group *group = group_of(state, hash);
#if defined(__SANITIZE_ADDRESS__)
    INVARIANT(atomic_flag_test_and_set(&group->latch.taken),
              "state %s: group %" PRIu64 " is not entered", state->name,
              (uint64_t)(group - state->group));
#endif
    return group;
}

static inline struct slot *key_find(const struct state_group *group, const struct state_key *key,
                                    bool *collision) {
    struct slot *slot = state_group_find(group, key->hash, key->kind, key->part);
    *collision = slot && key->id.data && !slice_equal(slot_id(slot), key->id);
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
    state_snapshot_thaw(state, group);
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
    TRY(state_pages_take(&state->pages, slot_data_offset(key->id.size) + size, &slot, err));
    slot->hash = key->hash;
    slot->part = key->part;
    slot->due_ms = 0;
    slot->size = size;
    slot->kind = (uint8_t)key->kind;
    slot->id_size = (uint8_t)key->id.size;
    if (key->id.size) {
        memcpy(slot->id, key->id.data, key->id.size);
    }
    memset(slot_data(slot), 0, size);
    state_group_insert(group, slot);
    atomic_fetch_add_explicit(&state->count, 1, memory_order_relaxed);
    *out = slot;
    return LEAT_OK;
}

static leat_status slot_move(struct state *state, struct state_group *group, struct slot *old,
                             uint32_t size, struct slot **out, leat_error *err) {
    size_t offset = slot_data_offset(old->id_size);
    struct slot *slot;
    TRY(state_pages_take(&state->pages, offset + size, &slot, err));
    uint16_t place = slot->place;
    memcpy(slot, old, offset + (size < old->size ? size : old->size));
    slot->place = (uint16_t)(place | (old->place & SLOT_MARK));
    state_group_replace(group, old, slot);
    state_pages_give(&state->pages, old);
    *out = slot;
    return LEAT_OK;
}

/* A record that shrinks stays where it is until that wastes half of its slot, so that one that
 * breathes does not move at every change. */
static leat_status slot_resize(struct state *state, struct state_group *group, struct slot **slot,
                               uint32_t size, leat_error *err) {
    uint32_t old_size = (*slot)->size;
    size_t needed = slot_data_offset((*slot)->id_size) + size;
    size_t room = state_pages_room(*slot);
    if (needed > room) {
        TRY(slot_move(state, group, *slot, size, slot, err));
    } else if (size < old_size && state_pages_room_for(needed) <= room / 2) {
        slot_move(state, group, *slot, size, slot, NULL); /* without memory it stays */
    }
    if (size > old_size) {
        memset((char *)slot_data(*slot) + old_size, 0, size - old_size);
    }
    (*slot)->size = size;
    return LEAT_OK;
}

static leat_status record_put(struct state *state, const struct state_key *key, uint32_t size,
                              void **out, leat_error *err) {
    *out = NULL;
    TRY(key_check(state, key, size, err));
    struct state_group *group = group_entered(state, key->hash);
    bool other;
    struct slot *slot = key_find(group, key, &other);
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
    state_snapshot_thaw(state, group);
    if (!slot) {
        TRY(slot_create(state, group, key, size, &slot, err));
    } else if (slot->size != size) {
        TRY(slot_resize(state, group, &slot, size, err));
    }
    *out = slot_data(slot);
    return LEAT_OK;
}

leat_status state_put(struct state *state, const struct state_key *key, uint32_t size, void **out,
                      leat_error *err) {
    leat_status status = record_put(state, key, size, out, err);
    struct state_budget *budget = state->account.budget;
    if (status < 0 && budget) {
        bool collision = status == LEAT_CONFLICT;
        atomic_fetch_add_explicit(collision ? &budget->collisions : &budget->refused, 1,
                                  memory_order_relaxed);
    }
    return status;
}

static void slot_remove(struct state *state, struct state_group *group, struct slot *slot) {
    state_snapshot_thaw(state, group);
    state->due.live -= slot->due_ms != 0;
    state_group_remove(group, slot);
    state_pages_give(&state->pages, slot);
    atomic_fetch_sub_explicit(&state->count, 1, memory_order_relaxed);
}

bool state_remove(struct state *state, const struct state_key *key) {
    struct state_group *group = group_entered(state, key->hash);
    bool other;
    struct slot *slot = key_find(group, key, &other);
    if (slot) {
        slot_remove(state, group, slot);
    }
    return slot != NULL;
}

/* Removing moves later entries back, so the place of a removed one is looked at again. Entries that
 * come round from the index's begin to its end were looked at there. */
uint32_t state_remove_all(struct state *state, uint64_t hash, struct slice id) {
    struct state_group *group = group_entered(state, hash);
    uint32_t removed = 0;
    uint32_t at = 0;
    struct slot *slot;
    while ((slot = state_group_next_of(group, hash, id, &at)) != NULL) {
        slot_remove(state, group, slot);
        removed++;
    }
    return removed;
}

/* --- due times --- */

/* The heap must name the record at its due time or earlier; see state_due.h. */
static leat_status slot_set_due(struct state *state, struct slot *slot, int64_t due_ms) {
    int64_t old_ms = slot->due_ms;
    if (due_ms != 0 && (old_ms == 0 || due_ms < old_ms)) {
        struct state_due_entry entry = {
            .time_ms = due_ms, .hash = slot->hash, .part = slot->part, .kind = slot->kind};
        TRY(state_due_push(&state->due, &entry, NULL));
        slot->place = (uint16_t)((slot->place & ~SLOT_MARK) | state->due.mark);
    }
    state->due.live += due_ms != 0;
    state->due.live -= old_ms != 0;
    slot->due_ms = due_ms;
    return LEAT_OK;
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
    state_snapshot_thaw(state, group);
    leat_status status = slot_set_due(state, slot, due_ms);
    if (status < 0 && state->account.budget) {
        atomic_fetch_add_explicit(&state->account.budget->refused, 1, memory_order_relaxed);
    }
    return status;
}

/* Keeps the first entry that names a record with a due time, at that time. */
static bool due_keep(void *context, struct state_due_entry *entry) {
    struct state *state = context;
    struct state_group *group = group_of(state, entry->hash);
    latch_lock(&group->latch);
    struct slot *slot = state_group_find(group, entry->hash, entry->kind, entry->part);
    bool keep = slot && slot->due_ms != 0 && (slot->place & SLOT_MARK) != state->due.mark;
    if (keep) {
        slot->place ^= SLOT_MARK;
        entry->time_ms = slot->due_ms;
    }
    latch_unlock(&group->latch);
    return keep;
}

/* The top entry, inside its group: true if it is what its record says. Else it is moved to the time
 * of the record, or dropped. */
static bool due_take(struct state *state, struct state_group *group, struct state_key *out,
                     char id[STATE_ID_MAX + 1]) {
    struct state_due_entry entry = *state_due_top(&state->due);
    struct slot *slot = state_group_find(group, entry.hash, entry.kind, entry.part);
    if (slot && slot->due_ms > entry.time_ms && slot->due_ms != 0) {
        state_due_move(&state->due, slot->due_ms);
        return false;
    }
    state_due_drop(&state->due);
    if (!slot || slot->due_ms != entry.time_ms) {
        return false;
    }
    state_snapshot_thaw(state, group);
    slot_set_due(state, slot, 0); /* clearing needs no memory */
    memcpy(id, slot->id, slot->id_size);
    id[slot->id_size] = '\0';
    *out = slot_key(slot);
    out->id.data = id;
    return true;
}

bool state_next_due(struct state *state, int64_t now_ms, struct state_key *out,
                    char id[STATE_ID_MAX + 1], int64_t *due_ms) {
    if (state_due_is_stale(&state->due)) {
        state_due_filter(&state->due, due_keep, state);
    }
    const struct state_due_entry *top;
    while ((top = state_due_top(&state->due)) && top->time_ms <= now_ms) {
        struct state_group *group = group_of(state, top->hash);
        *due_ms = top->time_ms;
        latch_lock(&group->latch);
        bool taken = due_take(state, group, out, id);
        latch_unlock(&group->latch);
        if (taken) {
            return true;
        }
    }
    return false;
}

/* --- sizes and tools --- */

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
    leat_status status = state_group_sort(entered, &items, err);
    if (status == LEAT_OK) {
        for (uint32_t i = 0; status == LEAT_OK && i < entered->count; i++) {
            struct state_record record = slot_record(items[i].slot);
            status = visit(context, &record);
        }
        memory_free(items);
    }
    latch_unlock(&entered->latch);
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

/* --- restoring --- */

static leat_status record_restore(struct state *state, const struct state_record *record,
                                  leat_error *err) {
    const struct state_key *key = &record->key;
    void *data;
    state_enter(state, key->hash);
    leat_status status = state_put(state, key, record->size, &data, err);
    if (status == LEAT_OK) {
        memcpy(data, record->data, record->size);
        status = state_set_due(state, key, record->due_ms);
        if (status < 0) {
            error_retry(err, status, "no room for the due time of a record");
        }
    }
    state_leave(state, key->hash);
    return status;
}

/* Takes back the records of a block that are there. */
static void block_withdraw(struct state *state, const struct bytes *block) {
    struct bytes_reader reader = state_block_records(block);
    struct state_record record;
    while (state_block_next(&reader, &record)) {
        state_enter(state, record.key.hash);
        state_remove(state, &record.key);
        state_leave(state, record.key.hash);
    }
}

static leat_status block_restore(struct state *state, const struct bytes *block, leat_error *err) {
    struct bytes_reader reader = state_block_records(block);
    struct state_record record;
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && state_block_next(&reader, &record)) {
        status = record_restore(state, &record, err);
    }
    if (status < 0) {
        block_withdraw(state, block);
    }
    return status == LEAT_CONFLICT ? LEAT_CORRUPT : status; /* two ids of one hash in a block */
}

leat_status state_restore(struct state *state, uint32_t group, state_source source, void *context,
                          leat_error *err) {
    TRY(group_check(state, group, err));
    if (state->group[group].count != 0) {
        return error_set(err, LEAT_CONFLICT, "state %s: group %u is not empty", state->name, group);
    }
    struct bytes block;
    bytes_init(&block);
    leat_status status = state_block_read(state, group, source, context, &block, err);
    if (status == LEAT_OK) {
        status = block_restore(state, &block, err);
    }
    if (status < 0) {
        error_in(err, status, "restoring state %s, group %u", state->name, group);
    }
    bytes_deinit(&block);
    return status;
}
