#include "state/state_group.h"

#include "base/memory.h"
#include "base/slab.h"
#include "state/state_spill.h"

enum {
    MIX_BITS = 20,
    MIX_MASK = (1 << MIX_BITS) - 1,
    TAG_BITS = 8,
    TAG_MASK = (1 << TAG_BITS) - 1,
    KEY_BITS = MIX_BITS + TAG_BITS,
    OVER_SHIFT = BUCKET_ENTRIES * TAG_BITS,
    OVER_MAX = 255,
    LOAD_ENTRIES = 9, /* at most, for LOAD_BUCKETS */
    LOAD_BUCKETS = 2,
    SLAB_BUCKETS = SLAB_BLOCK / sizeof(struct index_bucket),
    /* 75 million records, more than the pages of a group hold; homes differ by 1/16 in size. */
    BUCKETS_MAX = 1 << (KEY_BITS - 4),
    PULLS_MAX = 16,        /* so that no removal is long */
    REST_BYTES_MAX = 1024, /* of a longer record the hardware sees where reading goes */
};

#define EACH_TAG 0x0001010101010101u /* the lowest bit of each */

/* --- bits of a key: mix << TAG_BITS | tag --- */

static inline uint32_t key_bits(uint64_t hash, uint32_t kind, uint64_t part) {
    uint64_t mixed = hash_mix(hash ^ ((uint64_t)(kind + 1) * 0x9E3779B97F4A7C15u), part);
    uint32_t bits = (uint32_t)mixed & ((1u << KEY_BITS) - 1);
    return bits + ((bits & TAG_MASK) == 0);
}

static inline uint32_t slot_bits(const struct slot *slot) {
    return key_bits(slot->hash, slot->kind, slot->part);
}

static inline uint64_t entry_of(const struct slot *slot, uint32_t bits) {
    return ((uint64_t)(uintptr_t)slot >> 4) << MIX_BITS | bits >> TAG_BITS;
}

static inline struct slot *entry_slot(uint64_t entry) {
    return (struct slot *)(uintptr_t)(entry >> MIX_BITS << 4);
}

static inline uint32_t bits_home(uint32_t bits, uint32_t bucket_count) {
    return (uint32_t)((uint64_t)bits * bucket_count >> KEY_BITS);
}

/* --- buckets --- */

/* The highest bit of each of the tags that are `tag`. */
static inline uint64_t tags_equal(uint64_t tags, uint32_t tag) {
    uint64_t differ = tags ^ tag * EACH_TAG;
    uint64_t low = EACH_TAG * 0x7F;
    return ~(((differ & low) + low) | differ) & EACH_TAG << 7;
}

static inline uint32_t tags_first(uint64_t found) {
    return (uint32_t)__builtin_ctzll(found) / TAG_BITS;
}

static inline uint32_t bucket_over(const struct index_bucket *bucket) {
    return (uint32_t)(bucket->tags >> OVER_SHIFT);
}

/* How many there are is not known any more once the count is full. */
static inline void bucket_over_add(struct index_bucket *bucket) {
    bucket->tags += (uint64_t)(bucket_over(bucket) < OVER_MAX) << OVER_SHIFT;
}

static inline void bucket_over_sub(struct index_bucket *bucket) {
    bucket->tags -= (uint64_t)(bucket_over(bucket) < OVER_MAX) << OVER_SHIFT;
}

static inline void bucket_set(struct index_bucket *bucket, uint32_t i, uint64_t entry,
                              uint32_t tag) {
    bucket->entries[i] = entry;
    bucket->tags |= (uint64_t)tag << i * TAG_BITS;
}

static inline void bucket_clear(struct index_bucket *bucket, uint32_t i) {
    bucket->entries[i] = 0;
    bucket->tags &= ~((uint64_t)TAG_MASK << i * TAG_BITS);
}

static inline uint32_t bucket_bits(const struct index_bucket *bucket, uint32_t i) {
    uint32_t tag = (uint32_t)(bucket->tags >> i * TAG_BITS) & TAG_MASK;
    return (uint32_t)(bucket->entries[i] & MIX_MASK) << TAG_BITS | tag;
}

static inline uint32_t bucket_next(const struct state_group *group, uint32_t at) {
    return at + 1 < group->bucket_count ? at + 1 : 0;
}

/* --- looking up --- */

/* The entries of some bits, one after the other. */
struct probe {
    const struct state_group *group;
    uint64_t found; /* tags not looked at yet */
    uint32_t bits;
    uint32_t at;    /* bucket */
    uint32_t left;  /* buckets not seen */
    uint32_t entry; /* of the bucket */
};

static inline uint32_t probe_place(const struct probe *probe) {
    return probe->at * 8 + probe->entry;
}

/* The group is not empty. */
static inline struct probe probe_begin(const struct state_group *group, uint32_t bits) {
    uint32_t home = bits_home(bits, group->bucket_count);
    return (struct probe){.group = group,
                          .found = tags_equal(group->buckets[home].tags, bits & TAG_MASK),
                          .bits = bits,
                          .at = home,
                          .left = group->bucket_count};
}

static inline bool probe_next(struct probe *probe, uint64_t *entry) {
    for (;;) {
        const struct index_bucket *bucket = &probe->group->buckets[probe->at];
        while (probe->found) {
            probe->entry = tags_first(probe->found);
            probe->found &= probe->found - 1;
            *entry = bucket->entries[probe->entry];
            if ((*entry & MIX_MASK) == probe->bits >> TAG_BITS) {
                return true;
            }
        }
        if (__builtin_expect(bucket_over(bucket) == 0, 1) || --probe->left == 0) {
            return false;
        }
        probe->at = bucket_next(probe->group, probe->at);
        probe->found = tags_equal(probe->group->buckets[probe->at].tags, probe->bits & TAG_MASK);
    }
}

static void memo_set(struct state_group *group, uint64_t hash, uint32_t kind, uint64_t part,
                     struct slot *slot) {
    group->memo = (struct group_memo){hash, part, slot};
    group->memo_kind = (uint16_t)kind;
}

/* Before the record of a slot goes elsewhere. */
static void memo_clear(struct state_group *group) {
    group->memo_kind = MEMO_NONE;
}

static struct slot *index_find(const struct state_group *group, uint64_t hash, uint32_t kind,
                               uint64_t part) {
    if (group->count == 0) {
        return NULL;
    }
    struct probe probe = probe_begin(group, key_bits(hash, kind, part));
    uint64_t entry;
    while (probe_next(&probe, &entry)) {
        if (__builtin_expect(entry_spilled(entry), 0)) {
            struct slot *back =
                state_spill_fetch(group->spill, probe_place(&probe), hash, kind, part);
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

struct slot *state_group_find(struct state_group *group, uint64_t hash, uint32_t kind,
                              uint64_t part) {
    if (group->memo.hash == hash && group->memo.part == part && group->memo_kind == kind) {
        return group->memo.slot;
    }
    struct slot *slot = index_find(group, hash, kind, part);
    if (slot || !group->spill) { /* what could not be read is not absent */
        memo_set(group, hash, kind, part, slot);
    }
    return slot;
}

bool state_group_has(const struct state_group *group, const struct slot *slot, uint64_t entry) {
    if (group->count == 0) {
        return false;
    }
    struct probe probe = probe_begin(group, slot_bits(slot));
    uint64_t there;
    while (probe_next(&probe, &there)) {
        if (there >> MIX_BITS == entry >> MIX_BITS) {
            return true;
        }
    }
    return false;
}

void state_group_prefetch(const struct state_group *group, const struct state_key *key) {
    if (group->count > 0) {
        uint32_t bits = key_bits(key->hash, key->kind, key->part);
        __builtin_prefetch(&group->buckets[bits_home(bits, group->bucket_count)]);
    }
}

const struct slot *state_group_prefetch_slot(const struct state_group *group,
                                             const struct state_key *key) {
    if (group->count == 0) {
        return NULL;
    }
    struct probe probe = probe_begin(group, key_bits(key->hash, key->kind, key->part));
    uint64_t entry;
    while (probe_next(&probe, &entry)) {
        if (!entry_spilled(entry)) {
            const char *slot = (const char *)entry_slot(entry);
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

/* --- room --- */

static struct index_bucket *buckets_alloc(size_t bytes) {
    struct index_bucket *buckets =
        bytes < SLAB_BLOCK ? memory_aligned(sizeof(struct index_bucket), bytes) : slab_alloc(bytes);
    if (buckets) {
        memset(buckets, 0, bytes);
    }
    return buckets;
}

static void buckets_free(struct index_bucket *buckets, size_t bytes) {
    if (bytes < SLAB_BLOCK) {
        memory_free(buckets);
    } else {
        slab_free(buckets, bytes);
    }
}

void state_group_deinit(struct state_group *group, struct state_account *account) {
    size_t bytes = group->bucket_count * sizeof(*group->buckets);
    state_account_refund(account, bytes);
    buckets_free(group->buckets, bytes);
    group->buckets = NULL;
    group->bucket_count = 0;
    group->count = 0;
}

/* The load leaves free entries, so that the loop ends. */
static void index_add(struct state_group *group, uint64_t entry, uint32_t bits) {
    uint32_t at = bits_home(bits, group->bucket_count);
    uint64_t room;
    while ((room = tags_equal(group->buckets[at].tags, 0)) == 0) {
        bucket_over_add(&group->buckets[at]);
        at = bucket_next(group, at);
    }
    bucket_set(&group->buckets[at], tags_first(room), entry, bits & TAG_MASK);
}

/* By a third, in whole blocks as soon as it is made of them. */
static uint32_t buckets_more(uint32_t count) {
    uint32_t more = count + count / 3 + 1;
    if (more >= SLAB_BUCKETS) {
        more = (more + SLAB_BUCKETS - 1) / SLAB_BUCKETS * SLAB_BUCKETS;
    }
    return more < BUCKETS_MAX ? more : BUCKETS_MAX;
}

static leat_status index_grow(struct state_group *group, struct state_account *account,
                              leat_error *err) {
    if (group->bucket_count >= BUCKETS_MAX) {
        return error_set(err, LEAT_FULL,
                         "state %s: %u records in one key group, no more fit; a new data folder "
                         "with more key_groups has room",
                         account->name, group->count);
    }
    struct state_group old = *group;
    uint32_t bucket_count = buckets_more(old.bucket_count);
    size_t bytes = bucket_count * sizeof(*group->buckets);
    TRY(state_account_charge(account, bytes, err));
    struct index_bucket *buckets = buckets_alloc(bytes);
    if (!buckets) {
        state_account_refund(account, bytes);
        return error_memory(err, bytes);
    }
    group->buckets = buckets;
    group->bucket_count = bucket_count;
    for (uint32_t at = 0; at < old.bucket_count; at++) {
        for (uint32_t i = 0; i < BUCKET_ENTRIES; i++) {
            if (old.buckets[at].entries[i]) {
                index_add(group, old.buckets[at].entries[i], bucket_bits(&old.buckets[at], i));
            }
        }
    }
    state_account_refund(account, old.bucket_count * sizeof(*buckets));
    buckets_free(old.buckets, old.bucket_count * sizeof(*buckets));
    return LEAT_OK;
}

leat_status state_group_reserve(struct state_group *group, struct state_account *account,
                                leat_error *err) {
    bool full =
        (uint64_t)(group->count + 1) * LOAD_BUCKETS > (uint64_t)group->bucket_count * LOAD_ENTRIES;
    return full ? index_grow(group, account, err) : LEAT_OK;
}

/* --- changing --- */

void state_group_insert(struct state_group *group, struct slot *slot) {
    uint32_t bits = slot_bits(slot);
    index_add(group, entry_of(slot, bits), bits);
    group->count++;
    memo_set(group, slot->hash, slot->kind, slot->part, slot);
}

/* Where the slot's entry is; it must be there. */
static inline struct probe index_locate(const struct state_group *group, const struct slot *slot) {
    struct probe probe = probe_begin(group, slot_bits(slot));
    uint64_t entry;
    bool there;
    do {
        there = probe_next(&probe, &entry);
    } while (there && entry_slot(entry) != slot);
    INVARIANT(there, "record of hash %016llx is not in its index", (unsigned long long)slot->hash);
    return probe;
}

/* The key of the entry stays, so do its tag and its place. */
static void index_set(struct state_group *group, const struct probe *probe, uint64_t entry) {
    group->buckets[probe->at].entries[probe->entry] = entry;
}

void state_group_replace(struct state_group *group, const struct slot *old, struct slot *slot) {
    struct probe probe = index_locate(group, old);
    index_set(group, &probe, entry_of(slot, probe.bits));
    memo_set(group, slot->hash, slot->kind, slot->part, slot);
}

void state_group_sink(struct state_group *group, const struct slot *slot, uint64_t entry) {
    struct probe probe = index_locate(group, slot);
    memo_clear(group);
    index_set(group, &probe, entry | probe.bits >> TAG_BITS);
}

void state_group_point(struct state_group *group, uint32_t index_at, struct slot *slot) {
    memo_clear(group);
    group->buckets[index_at / 8].entries[index_at % 8] = entry_of(slot, slot_bits(slot));
}

/* The first entry of a bucket that has its home before it; BUCKET_ENTRIES: none. */
static uint32_t bucket_guest(const struct state_group *group, uint32_t at) {
    const struct index_bucket *bucket = &group->buckets[at];
    uint32_t i = 0;
    while (i < BUCKET_ENTRIES &&
           (!bucket->entries[i] || bits_home(bucket_bits(bucket, i), group->bucket_count) == at)) {
        i++;
    }
    return i;
}

/* Entry `i` of bucket `at` is free, which some had to go beyond: one that went no further than the
 * next one comes back, and leaves its own place to be filled. */
static void index_pull(struct state_group *group, uint32_t at, uint32_t i) {
    for (int pulls = 0; pulls < PULLS_MAX && bucket_over(&group->buckets[at]) > 0; pulls++) {
        uint32_t next = bucket_next(group, at);
        uint32_t guest = bucket_guest(group, next);
        if (guest == BUCKET_ENTRIES) {
            return;
        }
        struct index_bucket *from = &group->buckets[next];
        bucket_set(&group->buckets[at], i, from->entries[guest],
                   bucket_bits(from, guest) & TAG_MASK);
        bucket_over_sub(&group->buckets[at]);
        bucket_clear(from, guest);
        at = next;
        i = guest;
    }
}

void state_group_remove(struct state_group *group, const struct slot *slot) {
    struct probe probe = index_locate(group, slot);
    memo_clear(group);
    uint32_t home = bits_home(probe.bits, group->bucket_count);
    for (uint32_t at = home; at != probe.at; at = bucket_next(group, at)) {
        bucket_over_sub(&group->buckets[at]);
    }
    bucket_clear(&group->buckets[probe.at], probe.entry);
    group->count--;
    if (__builtin_expect(bucket_over(&group->buckets[probe.at]) > 0, 0)) {
        index_pull(group, probe.at, probe.entry);
    }
}

/* --- all --- */

/* The slot in memory at a place, or NULL. */
static struct slot *place_slot(const struct state_group *group, uint32_t at) {
    uint64_t entry = at % 8 < BUCKET_ENTRIES ? state_group_entry(group, at) : 0;
    return entry && !entry_spilled(entry) ? entry_slot(entry) : NULL;
}

struct slot *state_group_next(const struct state_group *group, uint32_t *at) {
    while (*at < group->bucket_count * 8) {
        struct slot *slot = place_slot(group, (*at)++);
        if (slot) {
            return slot;
        }
    }
    return NULL;
}

struct slot *state_group_next_of(const struct state_group *group, uint64_t hash, struct slice id,
                                 uint32_t *at) {
    for (; *at < group->bucket_count * 8; (*at)++) {
        struct slot *slot = place_slot(group, *at);
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
