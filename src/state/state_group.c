#include "state/state_group.h"

#include "base/memory.h"
#include "base/slab.h"
#include "state/state_spill.h"

enum {
    MIX_BITS = 20,
    MIX_MASK = (1 << MIX_BITS) - 1,
    INDEX_CAPACITY_MIN = 16,
    REST_BYTES_MAX = 1024, /* of a longer record the hardware sees where reading goes */
    /* 3/4 of it are 1.6 billion records: a group that large is refused, not wrapped. */
    INDEX_CAPACITY_MAX = 1u << 30,
};

static inline uint64_t key_mix(uint64_t hash, uint32_t kind, uint64_t part) {
    return hash_mix(hash ^ ((uint64_t)(kind + 1) * 0x9E3779B97F4A7C15u), part);
}

static inline uint64_t slot_mix(const struct slot *slot) {
    return key_mix(slot->hash, slot->kind, slot->part);
}

static inline uint64_t entry_of(struct slot *slot, uint64_t mix) {
    return ((uint64_t)(uintptr_t)slot >> 4) << MIX_BITS | (mix & MIX_MASK);
}

static inline struct slot *entry_slot(uint64_t entry) {
    return (struct slot *)(uintptr_t)(entry >> MIX_BITS << 4);
}

/* Where the entry would stand if nothing was in its way. */
static inline uint32_t entry_home(const struct state_group *group, uint64_t entry) {
    uint32_t mask = group->capacity - 1;
    uint64_t mix = mask <= MIX_MASK ? entry : slot_mix(entry_slot(entry));
    return (uint32_t)mix & mask;
}

static uint64_t *entries_alloc(size_t bytes) {
    if (bytes < SLAB_BLOCK) {
        return memory_zalloc(bytes);
    }
    uint64_t *entries = slab_alloc(bytes);
    if (entries) {
        memset(entries, 0, bytes);
    }
    return entries;
}

static void entries_free(uint64_t *entries, size_t bytes) {
    if (bytes < SLAB_BLOCK) {
        memory_free(entries);
    } else {
        slab_free(entries, bytes);
    }
}

void state_group_deinit(struct state_group *group, struct state_account *account) {
    state_account_refund(account, group->capacity * sizeof(*group->entries));
    entries_free(group->entries, group->capacity * sizeof(*group->entries));
    group->entries = NULL;
    group->capacity = 0;
    group->count = 0;
}

struct slot *state_group_find(const struct state_group *group, uint64_t hash, uint32_t kind,
                              uint64_t part) {
    if (group->count == 0) {
        return NULL;
    }
    uint64_t mix = key_mix(hash, kind, part);
    uint32_t mask = group->capacity - 1;
    for (uint32_t at = (uint32_t)mix & mask; group->entries[at]; at = (at + 1) & mask) {
        uint64_t entry = group->entries[at];
        if (((entry ^ mix) & MIX_MASK) != 0) {
            continue;
        }
        if (__builtin_expect(entry_spilled(entry), 0)) {
            struct slot *back = state_spill_fetch(group->spill, at, hash, kind, part);
            if (back) {
                return back;
            }
            continue;
        }
        struct slot *slot = entry_slot(entry);
        if (slot->hash == hash && slot->part == part && slot->kind == kind) {
            return slot;
        }
    }
    return NULL;
}

bool state_group_has(const struct state_group *group, const struct slot *slot, uint64_t entry) {
    if (group->count == 0) {
        return false;
    }
    uint64_t mix = slot_mix(slot);
    uint64_t wanted = entry | (mix & MIX_MASK);
    uint32_t mask = group->capacity - 1;
    uint32_t at = (uint32_t)mix & mask;
    while (group->entries[at] && group->entries[at] != wanted) {
        at = (at + 1) & mask;
    }
    return group->entries[at] == wanted;
}

void state_group_point(struct state_group *group, uint32_t index_at, struct slot *slot) {
    group->entries[index_at] = entry_of(slot, slot_mix(slot));
}

void state_group_prefetch(const struct state_group *group, const struct state_key *key) {
    if (group->count > 0) {
        uint64_t mix = key_mix(key->hash, key->kind, key->part);
        __builtin_prefetch(&group->entries[(uint32_t)mix & (group->capacity - 1)]);
    }
}

const struct slot *state_group_prefetch_slot(const struct state_group *group,
                                             const struct state_key *key) {
    if (group->count == 0) {
        return NULL;
    }
    uint64_t mix = key_mix(key->hash, key->kind, key->part);
    uint32_t mask = group->capacity - 1;
    for (uint32_t at = (uint32_t)mix & mask; group->entries[at]; at = (at + 1) & mask) {
        if (((group->entries[at] ^ mix) & MIX_MASK) == 0 && !entry_spilled(group->entries[at])) {
            const char *slot = (const char *)entry_slot(group->entries[at]);
            __builtin_prefetch(slot, 1);
            __builtin_prefetch(slot + 64, 1);
            return (const struct slot *)slot;
        }
    }
    return NULL;
}

void state_group_prefetch_rest(const struct state_group *group, const struct slot *slot) {
    const char *bytes = (const char *)slot;
    uint32_t size = (uint32_t)slot_data_offset(slot->id_size) + slot->size;
    size = size < REST_BYTES_MAX ? size : REST_BYTES_MAX;
    __builtin_prefetch(state_pages_ref(&group->pages, slot), 1);
    for (uint32_t at = 128; at < size; at += 64) {
        __builtin_prefetch(bytes + at, 1);
    }
}

static void index_add(struct state_group *group, uint64_t entry) {
    uint32_t mask = group->capacity - 1;
    uint32_t at = entry_home(group, entry);
    while (group->entries[at]) {
        at = (at + 1) & mask;
    }
    group->entries[at] = entry;
}

static leat_status index_grow(struct state_group *group, struct state_account *account,
                              leat_error *err) {
    if (group->capacity >= INDEX_CAPACITY_MAX) {
        return error_set(err, LEAT_FULL, "state %s: %u records in one key group, no more fit",
                         account->name, group->count);
    }
    uint32_t capacity = group->capacity ? group->capacity * 2 : INDEX_CAPACITY_MIN;
    if (group->spill && capacity > MIX_MASK + 1) {
        return error_set(
            err, LEAT_FULL,
            "state %s: %u records in one key group, no more fit where some are spilled; "
            "a new data folder with more key_groups has room",
            account->name, group->count);
    }
    size_t bytes = capacity * sizeof(*group->entries);
    TRY(state_account_charge(account, bytes, err));
    uint64_t *entries = entries_alloc(bytes);
    if (!entries) {
        state_account_refund(account, bytes);
        return error_memory(err, bytes);
    }
    struct state_group old = *group;
    group->entries = entries;
    group->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (old.entries[i]) {
            index_add(group, old.entries[i]);
        }
    }
    state_account_refund(account, old.capacity * sizeof(*entries));
    entries_free(old.entries, old.capacity * sizeof(*entries));
    return LEAT_OK;
}

leat_status state_group_reserve(struct state_group *group, struct state_account *account,
                                leat_error *err) {
    bool full = (uint64_t)(group->count + 1) * 4 > (uint64_t)group->capacity * 3;
    return full ? index_grow(group, account, err) : LEAT_OK;
}

void state_group_insert(struct state_group *group, struct slot *slot) {
    index_add(group, entry_of(slot, slot_mix(slot)));
    group->count++;
}

/* Where the slot's entry is; it must be there. */
static uint32_t index_locate(const struct state_group *group, const struct slot *slot) {
    uint32_t mask = group->capacity - 1;
    uint32_t at = (uint32_t)slot_mix(slot) & mask;
    while (entry_slot(group->entries[at]) != slot) {
        INVARIANT(group->entries[at] != 0, "record of hash %016llx is not in its index",
                  (unsigned long long)slot->hash);
        at = (at + 1) & mask;
    }
    return at;
}

void state_group_replace(struct state_group *group, const struct slot *old, struct slot *slot) {
    group->entries[index_locate(group, old)] = entry_of(slot, slot_mix(slot));
}

void state_group_sink(struct state_group *group, const struct slot *slot, uint64_t entry) {
    group->entries[index_locate(group, slot)] = entry | (slot_mix(slot) & MIX_MASK);
}

/* Backward shift: what follows the hole and may stand nearer to its home moves into it. */
void state_group_remove(struct state_group *group, const struct slot *slot) {
    uint32_t mask = group->capacity - 1;
    uint32_t hole = index_locate(group, slot);
    for (uint32_t at = (hole + 1) & mask; group->entries[at]; at = (at + 1) & mask) {
        uint32_t home = entry_home(group, group->entries[at]);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            group->entries[hole] = group->entries[at];
            hole = at;
        }
    }
    group->entries[hole] = 0;
    group->count--;
}

struct slot *state_group_next(const struct state_group *group, uint32_t *at) {
    while (*at < group->capacity) {
        uint64_t entry = group->entries[(*at)++];
        if (entry && !entry_spilled(entry)) {
            return entry_slot(entry);
        }
    }
    return NULL;
}

struct slot *state_group_next_of(const struct state_group *group, uint64_t hash, struct slice id,
                                 uint32_t *at) {
    for (; *at < group->capacity; (*at)++) {
        uint64_t entry = group->entries[*at];
        struct slot *slot = entry && !entry_spilled(entry) ? entry_slot(entry) : NULL;
        if (slot && slot->hash == hash && slice_equal(slot_id(slot), id)) {
            return slot;
        }
    }
    return NULL;
}

/* --- canonical order --- */

int state_order(const struct state_key *a, const struct state_key *b) {
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    size_t shared = a->id.size < b->id.size ? a->id.size : b->id.size;
    int order = shared ? memcmp(a->id.data, b->id.data, shared) : 0;
    if (order != 0) {
        return order;
    }
    if (a->id.size != b->id.size) {
        return a->id.size < b->id.size ? -1 : 1;
    }
    return a->part < b->part ? -1 : a->part > b->part;
}

enum { PREFIX_ID_BYTES = 15 };

/* So that most comparisons of a sort need not visit the records. Ids that end within the prefix may
 * have equal ones with longer ids, never wrongly ordered ones. */
struct state_group_item state_group_item_of(const struct slot *slot) {
    uint8_t text[1 + PREFIX_ID_BYTES] = {slot->kind};
    memcpy(text + 1, slot->id, slot->id_size < PREFIX_ID_BYTES ? slot->id_size : PREFIX_ID_BYTES);
    struct state_group_item item = {.slot = slot};
    memcpy(item.prefix, text, sizeof(text));
    item.prefix[0] = __builtin_bswap64(item.prefix[0]);
    item.prefix[1] = __builtin_bswap64(item.prefix[1]);
    return item;
}

static int item_order(const void *left, const void *right) {
    const struct state_group_item *a = left;
    const struct state_group_item *b = right;
    if (a->prefix[0] != b->prefix[0]) {
        return a->prefix[0] < b->prefix[0] ? -1 : 1;
    }
    if (a->prefix[1] != b->prefix[1]) {
        return a->prefix[1] < b->prefix[1] ? -1 : 1;
    }
    struct state_key a_key = slot_key(a->slot);
    struct state_key b_key = slot_key(b->slot);
    return state_order(&a_key, &b_key);
}

void state_group_items_sort(struct state_group_item *items, size_t count) {
    qsort(items, count, sizeof(*items), item_order);
}

struct sorting {
    struct arena *arena;
    struct state_group_item *items;
    uint32_t count;
};

static leat_status sorting_add(void *context, uint64_t entry, const struct slot *slot,
                               leat_error *err) {
    (void)entry;
    struct sorting *sorting = context;
    size_t bytes = slot_data_offset(slot->id_size) + slot->size;
    struct slot *copy = arena_alloc(sorting->arena, bytes);
    if (!copy) {
        return error_memory(err, bytes);
    }
    memcpy(copy, slot, bytes);
    sorting->items[sorting->count++] = state_group_item_of(copy);
    return LEAT_OK;
}

leat_status state_group_sort(const struct state_group *group, struct arena *arena,
                             struct state_group_item **out, leat_error *err) {
    size_t bytes = group->count * sizeof(**out);
    struct sorting sorting = {.arena = arena, .items = memory_alloc(bytes)};
    if (!sorting.items) {
        return error_memory(err, bytes);
    }
    uint32_t at = 0;
    for (const struct slot *slot; (slot = state_group_next(group, &at)) != NULL;) {
        sorting.items[sorting.count++] = state_group_item_of(slot);
    }
    leat_status status =
        group->spill ? state_spill_each(group->spill, sorting_add, &sorting, err) : LEAT_OK;
    if (status < 0) {
        memory_free(sorting.items);
        return status;
    }
    INVARIANT(sorting.count == group->count, "%u entries, %u counted", sorting.count, group->count);
    state_group_items_sort(sorting.items, sorting.count);
    *out = sorting.items;
    return LEAT_OK;
}
