/* A key group: its latch, its index of slots, its pages and due times; and the state that holds the
 * groups. Internal to this room.
 *
 *   index   [bucket | bucket | ...]               one cache line each; at most 4.5 entries a bucket
 *   bucket  [tags | entry | entry | ... 7]
 *   tags    63    56 55  48        7    0
 *           | over | tag 6 | ... | tag 0 |         tag 0: the entry is free
 *   entry   63            20 19         0
 *           | slot / 16     | mix       |
 *
 * `mix` are 20 bits of a mixed (hash, kind, part), the tag 8 more; never 0. Together they are the
 * fraction of the index at which an entry is at home, so that the index may have any number of
 * buckets, growing by a third moves entries in the order in which they lie, and growing and
 * removing read the index only. An entry whose home is full goes to the next bucket with room;
 * `over` counts those that went beyond a bucket (255: that or more, until the index grows), so that
 * a look-up reads the home's line, compares its 7 tags at once, and as a rule no other line but the
 * record's. What is removed leaves room for one that had gone beyond: without that, records that
 * come and go by age leave half of the look-ups that find nothing going on at 4.8 entries a bucket;
 * with it, a fifth.
 *
 * Sources: the chunks of F14 (folly/container/F14.md): tags, and counts of what overflowed instead
 * of tombstones. Tags are compared within a plain word, which needs no instructions of one machine.
 */
#ifndef STATE_STATE_GROUP_H
#define STATE_STATE_GROUP_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/thread.h"
#include "state/state_due.h"
#include "state/state_pages.h"

struct spill_group;
struct state_spill;

enum { BUCKET_ENTRIES = 7 };

struct index_bucket {
    uint64_t tags;
    uint64_t entries[BUCKET_ENTRIES];
};
_Static_assert(sizeof(struct index_bucket) == 64, "a cache line");

enum { MEMO_NONE = 0xFFFF };

/* The last look-up and what it found, since one record is often asked for several times in turn. */
struct group_memo {
    uint64_t hash, part;
    struct slot *slot; /* NULL: it is not there */
};

struct state_group {
    _Alignas(64) struct latch latch; /* a cache line for what a look-up reads */
    uint16_t memo_kind;              /* MEMO_NONE: there was none, or it holds no more */
    uint32_t count;
    uint32_t bucket_count;
    struct index_bucket *buckets;
    struct spill_group *spill; /* NULL: all records are in memory */
    struct group_memo memo;
    struct state_pages pages;
    struct state_due due[STATE_CLOCKS];
};

enum {
    STATE_NAME_MAX = 64,
    STATE_GROUPS_MAX = 32768,
    STATE_KINDS = 256,
    SORT_BLOCK_BYTES = 1 << 20
};

struct state {
    char name[STATE_NAME_MAX + 1];
    uint32_t groups;
    uint64_t version; /* of what is changed now; a freeze ends it */
    struct state_account account;
    struct state_kind kinds[STATE_KINDS];
    _Atomic int64_t *now_ms[STATE_CLOCKS];      /* by group: what its writer was told */
    _Atomic int64_t *due_ms[STATE_CLOCKS];      /* by group: nothing is due before; its writer's */
    _Atomic int64_t due_least_ms[STATE_CLOCKS]; /* of all of them, or less */
    _Atomic bool failed;
    struct state_snapshot *_Atomic snapshot; /* the open one, or NULL */
    _Atomic uint64_t count;
    struct state_spill *spill; /* NULL: none */
    struct state_group *group; /* `groups` of them */
};

void state_group_deinit(struct state_group *group, struct state_account *account);

static inline struct state_group *state_group_of(const struct state *state, uint64_t hash) {
    return &state->group[key_group_of(hash, state->groups)];
}

/* By (hash, kind, part); the caller compares the id. NULL: not there. */
struct slot *state_group_find(struct state_group *group, uint64_t hash, uint32_t kind,
                              uint64_t part);
/* Brings the index line of a key near; once it is, the begin of the record (which may be another's;
 * NULL: there is none); and once that is, what changes when the record goes. */
void state_group_prefetch(const struct state_group *group, const struct state_key *key);
const struct slot *state_group_prefetch_slot(const struct state_group *group,
                                             const struct state_key *key);
void state_group_prefetch_rest(const struct state_group *group, const struct slot *slot);
/* A place in the index (`index_at`, `*at`) is bucket * 8 + entry. What it holds: */
static inline uint64_t state_group_entry(const struct state_group *group, uint32_t index_at) {
    return group->buckets[index_at / 8].entries[index_at % 8];
}
/* Entries of spilled records. Is `slot`, as it lies in the file, the one at `entry` (mix left out)?
 * The record is back in memory; the record of a slot lies in the file. */
bool state_group_has(const struct state_group *group, const struct slot *slot, uint64_t entry);
void state_group_point(struct state_group *group, uint32_t index_at, struct slot *slot);
void state_group_sink(struct state_group *group, const struct slot *slot, uint64_t entry);

/* The first slot in memory of an id at or after `*at`, which becomes its place in the index; NULL:
 * no more. After its removal the same place is to be looked at again. */
struct slot *state_group_next_of(const struct state_group *group, uint64_t hash, struct slice id,
                                 uint32_t *at);
/* The slots in memory in the order of the index: `*at` moves on. NULL: no more. */
struct slot *state_group_next(const struct state_group *group, uint32_t *at);
/* Room for one more entry. LEAT_FULL, LEAT_MEMORY: nothing changed. */
leat_status state_group_reserve(struct state_group *group, struct state_account *account,
                                leat_error *err);
void state_group_insert(struct state_group *group, struct slot *slot); /* reserved, not there yet */
void state_group_replace(struct state_group *group, const struct slot *old, struct slot *slot);
void state_group_remove(struct state_group *group, const struct slot *slot);

/* Slots in canonical order (kind, id bytes, part). */
struct state_group_item {
    uint64_t prefix[2]; /* kind and the first 15 bytes of the id, as they compare */
    const struct slot *slot;
};
struct state_group_item state_group_item_of(const struct slot *slot);
void state_group_items_sort(struct state_group_item *items, size_t count);
/* All slots of a group in that order; an array of `count`, for memory_free. `arena` takes copies of
 * records that lie in the spill file. */
leat_status state_group_sort(const struct state_group *group, struct arena *arena,
                             struct state_group_item **out, leat_error *err);
int state_order(const struct state_key *a, const struct state_key *b); /* <0, 0, >0 */

static inline struct state_key slot_key(const struct slot *slot) {
    return (struct state_key){
        .hash = slot->hash, .id = slot_id(slot), .kind = slot->kind, .part = slot->part};
}
static inline struct state_record slot_record(const struct slot *slot) {
    return (struct state_record){.key = slot_key(slot),
                                 .data = slot_data_const(slot),
                                 .size = slot->size,
                                 .due_ms = slot->due_ms};
}

#endif
