/* Slots: the memory of one key group's records, cut from pages by size class. Internal.
 *
 *   page   [head 64 | slot | slot | slot | ... ]       all slots of a page are of one class
 *   head   0 "LPAG"  4 u16 version  6 u16 class  8 u32 bytes  12 u32 group  16 u32 number  20 zero
 *
 *   slot   0        8        16       24            28     29      30      32        round up to 8
 *          | hash   | part   | due_ms | size:17     | kind | id    | place | id bytes | data ...
 *                                     | page:15     |      | size
 *
 * Classes grow by about a quarter, so that about a tenth of a slot is air on average. The first
 * pages of a class in a group are small, later ones of PAGE_BYTES: many groups that hold little
 * cost little. A slot above half a page has a page of its own.
 *
 * A page is a thing that can be written and read back: no pointers, nothing left unset. `place`
 * says where a slot in use lies in its page; it is 0 in a free one, all of whose other bytes are 0
 * but for `part`, which names the free slot after it. What else there is to know of a page stands
 * in its page_ref, so that to write a record the page's head need not be touched.
 *
 * Threads: the group's writer, inside the group. Others read what a slot in use says, inside the
 * group too. */
#ifndef STATE_STATE_PAGES_H
#define STATE_STATE_PAGES_H

#include "state/state.h"

struct slot {
    uint64_t hash;
    uint64_t part;
    int64_t due_ms;
    uint32_t size : 17;
    uint32_t page : 15; /* number in its group */
    uint8_t kind;
    uint8_t id_size;
    uint16_t
        place; /* distance from the page's begin in units of PLACE_UNIT, SLOT_WANTED; 0: free */
    char id[];
};
_Static_assert(sizeof(struct slot) == 32, "drawn above");

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

/* What one state holds, and the budget it shares with others. Any thread. */
struct state_account {
    const char *name;            /* of the state, for messages; borrowed */
    struct state_budget *budget; /* borrowed; NULL: no bound */
    _Atomic uint64_t bytes;
    _Atomic bool soft; /* the budget is kept by trimming, not by refusing */
};

/* LEAT_FULL: nothing was charged. */
leat_status state_account_charge(struct state_account *account, size_t bytes, leat_error *err);
void state_account_refund(struct state_account *account, size_t bytes);

enum {
    STATE_CLASSES = 41,
    PAGE_BYTES = 64 << 10,
    PAGE_BYTES_MAX = 64 + 65824,
    PAGE_HEAD = 64,
    PAGE_UNIT = 4160, /* what a snapshot copies aside at a time; 65 cache lines */
    PAGE_UNITS = 16,
    PAGE_SETTLED = 0xFFFF,
    PAGE_WHOLE = 0,         /* instead of a slot's place */
    PAGE_NUMBERS = 1 << 15, /* pages of one group of one state */
    PLACE_UNIT = 16,
    SLOT_SIZE_MASK = (1 << 17) - 1,
    SLOT_WANTED = 0x8000, /* asked for since the clock's hand came by; see state_spill.h */
};

struct page_head {
    char magic[4];
    uint16_t version;
    uint16_t class;
    uint32_t bytes;
    uint32_t group;
    uint32_t number;
};

struct page_ref {
    struct page_head *page; /* NULL: the number is free */
    uint64_t version;       /* of the state when it was changed last; 0: just begun */
    uint64_t taken;         /* version of the newest snapshot that needs it no more */
    uint32_t bytes;
    uint32_t next, previous; /* of its class's open pages, or of the free numbers: number + 1 */
    uint16_t class;
    uint16_t used;
    uint16_t slots;
    uint16_t fresh; /* slots from here on were never handed out */
    uint16_t freed; /* place of the slot freed last; 0: none */
    /* Holds where `version` is the state's: a bit for each unit that no snapshot needs any more. */
    uint16_t settled;
};
_Static_assert(PAGE_UNITS *PAGE_UNIT >= PAGE_BYTES_MAX, "a bit each");

struct state_pages {
    struct state_account *account;
    struct page_ref *refs; /* by number */
    uint32_t group;
    uint32_t count; /* of numbers ever used */
    uint32_t capacity;
    uint32_t free_numbers;
    bool forced; /* the budget is overdrawn rather than a record lost: see state_spill.c */
    uint32_t open[STATE_CLASSES]; /* number + 1 of a page with a free slot */
    uint16_t held[STATE_CLASSES]; /* pages of the class: the more, the larger the next */
};

void state_pages_init(struct state_pages *pages, struct state_account *account, uint32_t group);
void state_pages_deinit(struct state_pages *pages); /* frees all slots */

/* The page that the next slot of at least `bytes` (head included) will come from. It is about to
 * change: the caller sees to an open snapshot, then takes. */
leat_status state_pages_pick(struct state_pages *pages, size_t bytes, struct page_ref **out,
                             leat_error *err);
uint16_t state_page_place(const struct page_ref *ref); /* of that slot; changed by taking it only */
struct slot *state_pages_take(struct state_pages *pages, struct page_ref *ref); /* all bytes 0 */
/* The last slot of a page gives the page back too, unless the class has no other open one. */
void state_pages_give(struct state_pages *pages, struct slot *slot);

/* To empty a page: how many slots its class has free elsewhere; no slot is taken from it any more;
 * it is empty, and goes. */
uint32_t state_pages_room_beside(const struct state_pages *pages, const struct page_ref *ref);
void state_pages_retire(struct state_pages *pages, struct page_ref *ref);
void state_pages_close(struct state_pages *pages, struct page_ref *ref);

static inline struct page_ref *state_pages_ref(const struct state_pages *pages,
                                               const struct slot *slot) {
    return &pages->refs[slot->page];
}

/* Bytes of the slot, head included; of each slot of a page; of one that would be taken for `bytes`.
 */
size_t state_pages_room(const struct state_pages *pages, const struct slot *slot);
size_t state_page_room(const struct page_ref *ref);
size_t state_pages_room_for(size_t bytes);

/* Copies a page, free slots too, which a sanitizer guards. */
void state_page_copy(void *to, const void *from, size_t bytes);
/* The slot number `index` of a page, NULL if it is free. The page is one of ours or was checked. */
const struct slot *state_page_slot(const struct page_head *page, uint32_t index);
uint32_t state_page_slots(const struct page_head *page);

/* Takes a copy of a page read back; checks head and slots. LEAT_CORRUPT, LEAT_FULL, LEAT_MEMORY:
 * nothing changed. */
leat_status state_pages_adopt(struct state_pages *pages, const struct state_page_image *image,
                              struct page_ref **out, leat_error *err);

#endif
