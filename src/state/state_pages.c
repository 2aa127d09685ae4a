#include "state/state_pages.h"

#include "base/memory.h"

#include <inttypes.h>
#include <sanitizer/asan_interface.h>
#include <stdatomic.h>

enum {
    PAGE_BYTES = 64 << 10,
    PAGE_HEAD = 64,
    PLACE_UNIT = 16, /* slots begin at multiples of it */
    PLACE_BITS = 0x1FFF,
};

struct state_page {
    struct state_page *next;
    struct state_page *previous;
    uint32_t bytes; /* of the page */
    uint16_t class;
    uint16_t used;
    uint16_t slots;
    uint16_t fresh; /* slots from here on were never handed out */
    uint16_t freed; /* place of the slot freed last, 0: none; each names the one before it */
};
_Static_assert(sizeof(struct state_page) <= PAGE_HEAD, "drawn in state_pages.h");

/* Steps of a quarter; from 2.5 KiB on, what a whole number of slots makes of a page; above half a
 * page, a page for each. The last one holds the largest record: 32 + 256 + 64 KiB. */
static const uint32_t class_bytes[STATE_CLASSES] = {
    48,   64,   80,   96,   112,   128,   160,   192,   224,   256,   320,   384,   448,   512,
    640,  768,  896,  1024, 1280,  1536,  1792,  2048,  2512,  3104,  3632,  4080,  5024,  5936,
    6544, 7264, 8176, 9344, 10912, 13088, 16368, 21824, 32736, 40960, 49152, 65472, 65824,
};
_Static_assert(sizeof(struct slot) + 256 + STATE_RECORD_MAX == 65824, "the last class");

leat_status state_account_charge(struct state_account *account, size_t bytes, leat_error *err) {
    struct state_budget *budget = account->budget;
    if (budget) {
        int64_t more = (int64_t)bytes;
        int64_t used = atomic_fetch_add_explicit(&budget->bytes_used, more, memory_order_relaxed);
        if (used > budget->bytes_max - more) {
            atomic_fetch_sub_explicit(&budget->bytes_used, more, memory_order_relaxed);
            return error_set(err, LEAT_FULL,
                             "state %s: %zu bytes more do not fit the budget: %" PRId64
                             " of %" PRId64 " are used; raise flow.memory, or keep less",
                             account->name, bytes, used, budget->bytes_max);
        }
    }
    atomic_fetch_add_explicit(&account->bytes, bytes, memory_order_relaxed);
    return LEAT_OK;
}

void state_account_refund(struct state_account *account, size_t bytes) {
    if (account->budget) {
        atomic_fetch_sub_explicit(&account->budget->bytes_used, (int64_t)bytes,
                                  memory_order_relaxed);
    }
    atomic_fetch_sub_explicit(&account->bytes, bytes, memory_order_relaxed);
}

/* The smallest class that holds `bytes`. */
static uint32_t class_of(size_t bytes) {
    uint32_t low = 0;
    uint32_t high = STATE_CLASSES - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (class_bytes[middle] < bytes) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void page_link(struct state_page **list, struct state_page *page) {
    page->previous = NULL;
    page->next = *list;
    if (page->next) {
        page->next->previous = page;
    }
    *list = page;
}

static void page_unlink(struct state_page **list, struct state_page *page) {
    if (page->previous) {
        page->previous->next = page->next;
    } else {
        *list = page->next;
    }
    if (page->next) {
        page->next->previous = page->previous;
    }
}

static leat_status page_open(struct state_pages *pages, uint32_t class, leat_error *err) {
    uint32_t slot_bytes = class_bytes[class];
    uint32_t bytes = slot_bytes > PAGE_BYTES / 2 ? PAGE_HEAD + slot_bytes : PAGE_BYTES;
    TRY(state_account_charge(pages->account, bytes, err));
    struct state_page *page = memory_aligned(PAGE_HEAD, bytes);
    if (!page) {
        state_account_refund(pages->account, bytes);
        return error_memory(err, bytes);
    }
    *page = (struct state_page){
        .bytes = bytes,
        .class = (uint16_t) class,
        .slots = (uint16_t)((bytes - PAGE_HEAD) / slot_bytes),
    };
    ASAN_POISON_MEMORY_REGION((char *)page + PAGE_HEAD, bytes - PAGE_HEAD);
    page_link(&pages->open[class], page);
    return LEAT_OK;
}

static void page_free(struct state_pages *pages, struct state_page *page) {
    state_account_refund(pages->account, page->bytes);
    ASAN_UNPOISON_MEMORY_REGION(page, page->bytes);
    memory_free(page);
}

static struct state_page *slot_page(const struct slot *slot) {
    return (struct state_page *)((uintptr_t)slot - (size_t)(slot->place & PLACE_BITS) * PLACE_UNIT);
}

static struct slot *page_slot(struct state_page *page, uint16_t place) {
    return (struct slot *)((char *)page + (size_t)place * PLACE_UNIT);
}

void state_pages_init(struct state_pages *pages, struct state_account *account) {
    *pages = (struct state_pages){.account = account};
}

static void pages_free_list(struct state_pages *pages, struct state_page *page) {
    while (page) {
        struct state_page *next = page->next;
        page_free(pages, page);
        page = next;
    }
}

void state_pages_deinit(struct state_pages *pages) {
    for (uint32_t class = 0; class < STATE_CLASSES; class ++) {
        pages_free_list(pages, pages->open[class]);
        pages_free_list(pages, pages->full[class]);
    }
    state_pages_init(pages, pages->account);
}

/* The page has a free slot: one that was freed, or else the next fresh one. */
static struct slot *page_take(struct state_page *page) {
    uint16_t place = page->freed;
    struct slot *slot;
    if (place) {
        slot = page_slot(page, place);
        page->freed = slot->place;
    } else {
        uint32_t offset = PAGE_HEAD + page->fresh * class_bytes[page->class];
        place = (uint16_t)(offset / PLACE_UNIT);
        slot = page_slot(page, place);
        page->fresh++;
    }
    ASAN_UNPOISON_MEMORY_REGION(slot, class_bytes[page->class]);
    slot->place = place;
    page->used++;
    return slot;
}

leat_status state_pages_take(struct state_pages *pages, size_t bytes, struct slot **out,
                             leat_error *err) {
    uint32_t class = class_of(bytes);
    if (!pages->open[class]) {
        TRY(page_open(pages, class, err));
    }
    struct state_page *page = pages->open[class];
    *out = page_take(page);
    if (page->used == page->slots) {
        page_unlink(&pages->open[class], page);
        page_link(&pages->full[class], page);
    }
    return LEAT_OK;
}

/* The last open page of a class stays, even empty: a record that comes and goes must not cost a
 * page each time. */
void state_pages_give(struct state_pages *pages, struct slot *slot) {
    struct state_page *page = slot_page(slot);
    uint32_t class = page->class;
    if (page->used == page->slots) {
        page_unlink(&pages->full[class], page);
        page_link(&pages->open[class], page);
    }
    uint16_t place = slot->place & PLACE_BITS;
    slot->place = page->freed;
    page->freed = place;
    page->used--;
    ASAN_POISON_MEMORY_REGION((char *)slot + sizeof(*slot), class_bytes[class] - sizeof(*slot));
    if (page->used == 0 && (page->next || page->previous)) {
        page_unlink(&pages->open[class], page);
        page_free(pages, page);
    }
}

size_t state_pages_room(const struct slot *slot) {
    return class_bytes[slot_page(slot)->class];
}

size_t state_pages_room_for(size_t bytes) {
    return class_bytes[class_of(bytes)];
}
