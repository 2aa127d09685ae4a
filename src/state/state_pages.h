/* Slots: the memory of records, cut from pages by size class. Internal to this room.
 *
 *   page   [head 64 | slot | slot | slot | ... ]      64 KiB; all slots of a page are of one class
 *
 *   slot   0        8        16       24     28     29      30      32           round up to 8
 *          | hash   | part   | due_ms | size | kind | id    | place | id bytes   | data ...
 *                                                     size
 *
 * Classes grow by about a quarter, so that about a tenth of a slot is air on average. A slot above
 * 32 KiB has a page of its own, just as large as it needs.
 *
 * Threads: only the writer calls here; page heads, `place` and free slots are touched by nobody
 * else. The rest of a slot in use is guarded by its group. */
#ifndef STATE_STATE_PAGES_H
#define STATE_STATE_PAGES_H

#include "state/state.h"

struct slot {
    uint64_t hash;
    uint64_t part;
    int64_t due_ms;
    uint32_t size;
    uint8_t kind;
    uint8_t id_size;
    uint16_t
        place; /* distance from the page in units of 16 bytes, and SLOT_MARK; the writer's own */
    char id[];
};
_Static_assert(sizeof(struct slot) == 32, "drawn above");

enum { SLOT_MARK = 0x8000 }; /* the due heap's; see state_due.h */

static inline size_t slot_data_offset(size_t id_size) {
    return sizeof(struct slot) + ((id_size + 7) & ~(size_t)7);
}
static inline void *slot_data(struct slot *slot) {
    return (char *)slot + slot_data_offset(slot->id_size);
}
static inline const void *slot_data_const(const struct slot *slot) {
    return (const char *)slot + slot_data_offset(slot->id_size);
}
static inline struct slice slot_id(const struct slot *slot) {
    return (struct slice){slot->id, slot->id_size};
}

/* What one state holds, and the budget it shares with others. Any thread may read `bytes`. */
struct state_account {
    const char *name;            /* of the state, for messages; borrowed */
    struct state_budget *budget; /* borrowed; NULL: no bound */
    _Atomic uint64_t bytes;
};

/* LEAT_FULL: nothing was charged. */
leat_status state_account_charge(struct state_account *account, size_t bytes, leat_error *err);
void state_account_refund(struct state_account *account, size_t bytes);

enum { STATE_CLASSES = 41 };

struct state_page;

struct state_pages {
    struct state_account *account;
    struct state_page *open[STATE_CLASSES]; /* with a free slot */
    struct state_page *full[STATE_CLASSES];
};

void state_pages_init(struct state_pages *pages, struct state_account *account);
void state_pages_deinit(struct state_pages *pages); /* frees all slots */

/* A slot of at least `bytes` (head included); only its `place` is set. */
leat_status state_pages_take(struct state_pages *pages, size_t bytes, struct slot **out,
                             leat_error *err);
void state_pages_give(struct state_pages *pages, struct slot *slot);

/* Bytes of the slot, head included; and of a slot that would be taken for `bytes`. */
size_t state_pages_room(const struct slot *slot);
size_t state_pages_room_for(size_t bytes);

#endif
