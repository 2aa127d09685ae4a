/* A key group: its latch, its index of slots, and where it stands in a snapshot; and the state that
 * holds the groups. Internal to this room.
 *
 *   index  [entry | entry | 0 | entry | ...]     a power of two; linear probing; load <= 3/4
 *   entry  63            20 19         0         0: free
 *          | slot / 16     | mix       |
 *
 * `mix` are the low 20 bits of a mixed (hash, kind, part). They say where the entry is at home as
 * long as there are at most 2^20 entries, so that growing and deleting read the index only; and
 * they filter, so that a look-up reads as a rule one line of the index and the record.
 *
 * A snapshot takes a group through these steps; the latch guards `freeze`:
 *
 *   OPEN --freeze--> FROZEN --whoever serialises first--> WRITING --done--> OPEN
 *
 * While a group is WRITING nobody holds its latch for long and nobody changes it: readers go on,
 * the writer waits. */
#ifndef STATE_STATE_GROUP_H
#define STATE_STATE_GROUP_H

#include "base/hash.h"
#include "base/thread.h"
#include "state/state_due.h"
#include "state/state_pages.h"

enum state_group_freeze { GROUP_OPEN, GROUP_FROZEN, GROUP_WRITING };

struct state_group {
    _Alignas(64) struct latch latch; /* a cache line a group */
    enum state_group_freeze freeze;
    uint32_t count;
    uint32_t capacity;
    uint64_t *entries;
};

enum { STATE_NAME_MAX = 64, STATE_GROUPS_MAX = 32768 };

struct state {
    char name[STATE_NAME_MAX + 1];
    uint32_t groups;
    _Atomic uint64_t count;
    struct state_account account;
    struct state_pages pages;
    struct state_due due;
    struct state_snapshot *_Atomic snapshot; /* the open one, or NULL */
    struct state_group *group;               /* `groups` of them */
};

void state_group_deinit(struct state_group *group, struct state_account *account);

/* By (hash, kind, part); the caller compares the id. NULL: not there. */
struct slot *state_group_find(const struct state_group *group, uint64_t hash, uint32_t kind,
                              uint64_t part);
/* The first slot of an id at or after `*at`, which becomes its place in the index; NULL: no more.
 * After its removal the same place is to be looked at again. */
struct slot *state_group_next_of(const struct state_group *group, uint64_t hash, struct slice id,
                                 uint32_t *at);
/* Room for one more entry. LEAT_FULL, LEAT_MEMORY: nothing changed. */
leat_status state_group_reserve(struct state_group *group, struct state_account *account,
                                leat_error *err);
void state_group_insert(struct state_group *group, struct slot *slot); /* reserved, not there yet */
void state_group_replace(struct state_group *group, const struct slot *old, struct slot *slot);
void state_group_remove(struct state_group *group, const struct slot *slot);

/* All slots in canonical order (kind, id bytes, part); an array of `count`, for memory_free. */
struct state_group_item {
    uint64_t prefix[2]; /* kind and the first 15 bytes of the id, as they compare */
    const struct slot *slot;
};
leat_status state_group_sort(const struct state_group *group, struct state_group_item **out,
                             leat_error *err);
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
