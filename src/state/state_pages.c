#include "state/state_pages.h"

#include "base/memory.h"
#include "base/poison.h"
#include "base/slab.h"

#include <inttypes.h>
#include <stdatomic.h>

enum {
    PAGE_VERSION = 1,
    PAGE_FIRST_BYTES = 1024,
    PAGE_FIRST_SLOTS = 4,
    PAGE_DOUBLINGS = 6,
    PAGES_MIN = 4,
    PREFETCH_BYTES_MAX = 1024
};

static const char page_magic[4] = {'L', 'P', 'A', 'G'};

_Static_assert(sizeof(struct page_head) <= PAGE_HEAD, "drawn in state_pages.h");

/* Steps of a quarter; from 2.5 KiB on, what a whole number of slots makes of a page; above half a
 * page, a page for each. The last one holds the largest record: 32 + 256 + 64 KiB. */
static const uint32_t class_bytes[STATE_CLASSES] = {
    48,   64,   80,   96,   112,   128,   160,   192,   224,   256,   320,   384,   448,   512,
    640,  768,  896,  1024, 1280,  1536,  1792,  2048,  2512,  3104,  3632,  4080,  5024,  5936,
    6544, 7264, 8176, 9344, 10912, 13088, 16368, 21824, 32736, 40960, 49152, 65472, 65824,
};
_Static_assert(sizeof(struct slot) + 256 + STATE_RECORD_MAX == 65824, "the last class");

static leat_status account_charge(struct state_account *account, size_t bytes, bool forced,
                                  leat_error *err) {
    struct state_budget *budget = account->budget;
    if (budget) {
        int64_t more = (int64_t)bytes;
        int64_t used = atomic_fetch_add_explicit(&budget->bytes_used, more, memory_order_relaxed);
        if (used > budget->bytes_max - more && !forced &&
            !atomic_load_explicit(&account->soft, memory_order_relaxed)) {
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

leat_status state_account_charge(struct state_account *account, size_t bytes, leat_error *err) {
    return account_charge(account, bytes, false, err);
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

static uint32_t slots_of(uint32_t class, uint32_t bytes) {
    return (bytes - PAGE_HEAD) / class_bytes[class];
}

/* --- the refs --- */

static uint32_t ref_number(const struct state_pages *pages, const struct page_ref *ref) {
    return (uint32_t)(ref - pages->refs);
}

static void ref_link(struct state_pages *pages, struct page_ref *ref) {
    uint32_t *first = &pages->open[ref->class];
    ref->previous = 0;
    ref->next = *first;
    *first = ref_number(pages, ref) + 1;
    if (ref->next) {
        pages->refs[ref->next - 1].previous = *first;
    }
}

static void ref_unlink(struct state_pages *pages, struct page_ref *ref) {
    if (ref->previous) {
        pages->refs[ref->previous - 1].next = ref->next;
    } else {
        pages->open[ref->class] = ref->next;
    }
    if (ref->next) {
        pages->refs[ref->next - 1].previous = ref->previous;
    }
}

/* Numbers up to `least` - 1 have a ref; those that come to be are free. */
static leat_status refs_grow(struct state_pages *pages, uint32_t least, leat_error *err) {
    if (least > PAGE_NUMBERS) {
        return error_set(err, LEAT_FULL,
                         "state %s: %u pages in one key group, no more fit; a new data folder with "
                         "more key_groups has room",
                         pages->account->name, pages->count);
    }
    if (least > pages->capacity) {
        uint32_t capacity = pages->capacity ? pages->capacity * 2 : PAGES_MIN;
        capacity = capacity < least ? least : capacity;
        size_t more = (capacity - pages->capacity) * sizeof(*pages->refs);
        TRY(account_charge(pages->account, more, pages->forced, err));
        void *refs = memory_resize(pages->refs, capacity * sizeof(*pages->refs));
        if (!refs) {
            state_account_refund(pages->account, more);
            return error_memory(err, more);
        }
        pages->refs = refs;
        pages->capacity = capacity;
    }
    for (; pages->count < least; pages->count++) {
        pages->refs[pages->count] = (struct page_ref){.next = pages->free_numbers};
        pages->free_numbers = pages->count + 1;
    }
    return LEAT_OK;
}

/* Takes a number out of the free ones: mostly the first of them. */
static void number_take(struct state_pages *pages, uint32_t number) {
    uint32_t *at = &pages->free_numbers;
    while (*at != number + 1) {
        at = &pages->refs[*at - 1].next;
    }
    *at = pages->refs[number].next;
}

/* --- pages --- */

/* Doubled from page to page of a class, so that at most about half of what a class holds is air. */
static uint32_t page_bytes_next(const struct state_pages *pages, uint32_t class) {
    uint32_t slot_bytes = class_bytes[class];
    if (slot_bytes > PAGE_BYTES / 2) {
        return PAGE_HEAD + slot_bytes;
    }
    uint32_t bytes = PAGE_FIRST_BYTES;
    while (bytes < PAGE_HEAD + PAGE_FIRST_SLOTS * slot_bytes && bytes < PAGE_BYTES) {
        bytes *= 2;
    }
    uint32_t held = pages->held[class];
    bytes <<= held < PAGE_DOUBLINGS ? held : PAGE_DOUBLINGS;
    return bytes < PAGE_BYTES ? bytes : PAGE_BYTES;
}

static leat_status page_alloc(struct state_pages *pages, uint32_t bytes, struct page_head **out,
                              leat_error *err) {
    TRY(account_charge(pages->account, bytes, pages->forced, err));
    *out = bytes == PAGE_BYTES ? slab_alloc(bytes) : memory_aligned(PAGE_HEAD, bytes);
    if (!*out) {
        state_account_refund(pages->account, bytes);
        return error_memory(err, bytes);
    }
    return LEAT_OK;
}

static leat_status page_open(struct state_pages *pages, uint32_t class, leat_error *err) {
    uint32_t bytes = page_bytes_next(pages, class);
    if (!pages->free_numbers) {
        TRY(refs_grow(pages, pages->count + 1, err));
    }
    struct page_head *page;
    TRY(page_alloc(pages, bytes, &page, err));
    uint32_t number = pages->free_numbers - 1;
    number_take(pages, number);
    memset(page, 0, bytes);
    *page = (struct page_head){
        .version = PAGE_VERSION, .class = (uint16_t) class, .bytes = bytes, .group = pages->group};
    page->number = number;
    memcpy(page->magic, page_magic, sizeof(page_magic));
    ASAN_POISON_MEMORY_REGION((char *)page + PAGE_HEAD, bytes - PAGE_HEAD);
    struct page_ref *ref = &pages->refs[number];
    *ref = (struct page_ref){.page = page,
                             .bytes = bytes,
                             .class = (uint16_t) class,
                             .slots = (uint16_t)slots_of(class, bytes)};
    pages->held[class]++;
    ref_link(pages, ref);
    return LEAT_OK;
}

static void page_free(struct page_head *page, uint32_t bytes) {
    ASAN_UNPOISON_MEMORY_REGION(page, bytes);
    if (bytes == PAGE_BYTES) {
        slab_free(page, bytes);
    } else {
        memory_free(page);
    }
}

static void page_close(struct state_pages *pages, struct page_ref *ref) {
    pages->held[ref->class]--;
    state_account_refund(pages->account, ref->bytes);
    page_free(ref->page, ref->bytes);
    *ref = (struct page_ref){.next = pages->free_numbers};
    pages->free_numbers = ref_number(pages, ref) + 1;
}

void state_pages_init(struct state_pages *pages, struct state_account *account, uint32_t group) {
    *pages = (struct state_pages){.account = account, .group = group};
}

void state_pages_deinit(struct state_pages *pages) {
    for (uint32_t i = 0; i < pages->count; i++) {
        struct page_ref *ref = &pages->refs[i];
        if (ref->page) {
            state_account_refund(pages->account, ref->bytes);
            page_free(ref->page, ref->bytes);
        }
    }
    state_account_refund(pages->account, pages->capacity * sizeof(*pages->refs));
    memory_free(pages->refs);
    state_pages_init(pages, pages->account, pages->group);
}

/* --- slots --- */

leat_status state_pages_pick(struct state_pages *pages, size_t bytes, struct page_ref **out,
                             leat_error *err) {
    uint32_t class = class_of(bytes);
    if (!pages->open[class]) {
        TRY(page_open(pages, class, err));
    }
    *out = &pages->refs[pages->open[class] - 1];
    return LEAT_OK;
}

static struct slot *place_slot(struct page_head *page, uint16_t place) {
    return (struct slot *)((char *)page + (size_t)place * PLACE_UNIT);
}

static uint16_t index_place(uint32_t class, uint32_t index) {
    return (uint16_t)((PAGE_HEAD + index * class_bytes[class]) / PLACE_UNIT);
}

uint16_t state_page_place(const struct page_ref *ref) {
    return ref->freed ? ref->freed : index_place(ref->class, ref->fresh);
}

struct slot *state_pages_take(struct state_pages *pages, struct page_ref *ref) {
    uint16_t place = state_page_place(ref);
    struct slot *slot = place_slot(ref->page, place);
    ASAN_UNPOISON_MEMORY_REGION(slot, class_bytes[ref->class]);
    if (ref->freed) {
        ref->freed = (uint16_t)slot->part;
        slot->part = 0;
    } else {
        ref->fresh++;
    }
    if (ref->freed) { /* the next one that is taken, other groups' work later */
        const char *next = (const char *)place_slot(ref->page, ref->freed);
        uint32_t bytes = class_bytes[ref->class];
        for (uint32_t at = 0; at < bytes && at < PREFETCH_BYTES_MAX; at += 64) {
            __builtin_prefetch(next + at, 1);
        }
    }
    slot->place = place;
    slot->page = ref_number(pages, ref) & (PAGE_NUMBERS - 1);
    if (++ref->used == ref->slots) {
        ref_unlink(pages, ref);
    }
    return slot;
}

/* The next slot comes from here: it is in the cache, and of a page that has changed already, which
 * a snapshot need not copy once more. (A page that is retired stands in no list, and stays so.) The
 * last open page of a class stays, even empty: a record that comes and goes must not cost a page
 * each time. */
void state_pages_give(struct state_pages *pages, struct slot *slot) {
    struct page_ref *ref = state_pages_ref(pages, slot);
    if (ref->used == ref->slots) {
        ref_link(pages, ref);
    } else if (ref->previous) {
        ref_unlink(pages, ref);
        ref_link(pages, ref);
    }
    uint16_t place = slot->place & (uint16_t)~SLOT_WANTED;
    memset(slot, 0, slot_data_offset(slot->id_size) + slot->size); /* what is behind is 0 */
    slot->part = ref->freed;
    ref->freed = place;
    ref->used--;
    ASAN_POISON_MEMORY_REGION(slot, class_bytes[ref->class]);
    ASAN_UNPOISON_MEMORY_REGION(&slot->part, sizeof(slot->part));
    ASAN_UNPOISON_MEMORY_REGION(&slot->place, sizeof(slot->place));
    if (ref->used == 0 && (ref->next || ref->previous)) {
        ref_unlink(pages, ref);
        page_close(pages, ref);
    }
}

uint32_t state_pages_room_beside(const struct state_pages *pages, const struct page_ref *ref) {
    uint32_t room = 0;
    for (uint32_t at = pages->open[ref->class]; at; at = pages->refs[at - 1].next) {
        const struct page_ref *other = &pages->refs[at - 1];
        room += other != ref ? (uint32_t)(other->slots - other->used) : 0;
    }
    return room;
}

void state_pages_retire(struct state_pages *pages, struct page_ref *ref) {
    ref_unlink(pages, ref);
    ref->next = ref->previous = 0;
}

void state_pages_close(struct state_pages *pages, struct page_ref *ref) {
    INVARIANT(ref->used == 0, "a page of %u records is closed", ref->used);
    page_close(pages, ref);
}

size_t state_pages_room(const struct state_pages *pages, const struct slot *slot) {
    return class_bytes[state_pages_ref(pages, slot)->class];
}

size_t state_page_room(const struct page_ref *ref) {
    return class_bytes[ref->class];
}

size_t state_pages_room_for(size_t bytes) {
    return class_bytes[class_of(bytes)];
}

/* --- pages as bytes --- */

__attribute__((no_sanitize("address"))) void state_page_copy(void *to, const void *from,
                                                             size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
    volatile uint64_t *words = to; /* volatile, or it becomes the memcpy that is to be avoided */
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++) {
        words[i] = ((const uint64_t *)from)[i];
    }
#else
    memcpy(to, from, bytes);
#endif
}

uint32_t state_page_slots(const struct page_head *page) {
    return slots_of(page->class, page->bytes);
}

/* Reads free slots, too. */
__attribute__((no_sanitize("address"))) const struct slot *
state_page_slot(const struct page_head *page, uint32_t index) {
    uint16_t place = index_place(page->class, index);
    const struct slot *slot =
        (const struct slot *)((const char *)page + (size_t)place * PLACE_UNIT);
    return slot->place ? slot : NULL;
}

/* --- pages that come back --- */

static leat_status head_check(const struct state_pages *pages, const struct state_page_image *image,
                              leat_error *err) {
    struct page_head head;
    if (image->bytes < PAGE_HEAD || image->bytes > PAGE_BYTES_MAX || image->bytes % 8 != 0) {
        return error_set(err, LEAT_CORRUPT, "page of %u bytes", image->bytes);
    }
    memcpy(&head, image->data, sizeof(head));
    if (memcmp(head.magic, page_magic, sizeof(page_magic)) != 0 || head.version != PAGE_VERSION) {
        return error_set(err, LEAT_CORRUPT, "not a page of version %d", PAGE_VERSION);
    }
    if (head.class >= STATE_CLASSES || head.bytes != image->bytes ||
        slots_of(head.class, head.bytes) == 0) {
        return error_set(err, LEAT_CORRUPT, "page of class %u with %u bytes", head.class,
                         head.bytes);
    }
    if (head.group != pages->group || head.number != image->number ||
        image->number >= PAGE_NUMBERS) {
        return error_set(err, LEAT_CORRUPT, "page is number %u of group %u, not %u of %u",
                         head.number, head.group, image->number, pages->group);
    }
    for (uint32_t i = sizeof(head); i < PAGE_HEAD; i++) {
        if (((const char *)image->data)[i] != 0) {
            return error_set(err, LEAT_CORRUPT, "byte %u of the page's head is not 0", i);
        }
    }
    return LEAT_OK;
}

static bool bytes_zero(const char *data, size_t from, size_t to) {
    while (from < to && data[from] == 0) {
        from++;
    }
    return from >= to;
}

/* A slot in use is where it says, within its room, and nothing stands behind its data. */
static bool slot_right(const struct page_head *page, const struct slot *slot, uint32_t index) {
    size_t end = slot_data_offset(slot->id_size) + slot->size;
    size_t room = class_bytes[page->class];
    return (slot->place & ~SLOT_WANTED) == index_place(page->class, index) &&
           slot->page == page->number && slot->size <= STATE_RECORD_MAX && end <= room &&
           bytes_zero((const char *)slot, end, room);
}

/* Of a free slot all but the link, which is made anew. */
static bool slot_empty(const struct page_head *page, uint32_t index) {
    const char *slot = (const char *)page + (size_t)index_place(page->class, index) * PLACE_UNIT;
    size_t link = offsetof(struct slot, part);
    return bytes_zero(slot, 0, link) &&
           bytes_zero(slot, link + sizeof(uint64_t), class_bytes[page->class]);
}

static leat_status slots_check(const struct page_head *page, leat_error *err) {
    for (uint32_t i = 0; i < state_page_slots(page); i++) {
        const struct slot *slot = state_page_slot(page, i);
        if (slot ? !slot_right(page, slot, i) : !slot_empty(page, i)) {
            return error_set(err, LEAT_CORRUPT, "slot %u of page %u of group %u is damaged", i,
                             page->number, page->group);
        }
    }
    return LEAT_OK;
}

/* What the ref knows and the bytes do not say; free slots are linked in one order. */
static void ref_count(struct page_ref *ref) {
    for (uint32_t i = ref->slots; i-- > 0;) {
        struct slot *slot = place_slot(ref->page, index_place(ref->class, i));
        if (slot->place) {
            ref->used++;
            continue;
        }
        slot->part = ref->freed;
        ref->freed = index_place(ref->class, i);
        ASAN_POISON_MEMORY_REGION(slot, class_bytes[ref->class]);
        ASAN_UNPOISON_MEMORY_REGION(&slot->part, sizeof(slot->part));
        ASAN_UNPOISON_MEMORY_REGION(&slot->place, sizeof(slot->place));
    }
    ref->fresh = ref->slots;
}

leat_status state_pages_adopt(struct state_pages *pages, const struct state_page_image *image,
                              struct page_ref **out, leat_error *err) {
    TRY(head_check(pages, image, err));
    TRY(refs_grow(pages, image->number + 1 > pages->count ? image->number + 1 : pages->count, err));
    if (pages->refs[image->number].page) {
        return error_set(err, LEAT_CORRUPT, "page %u of group %u comes twice", image->number,
                         pages->group);
    }
    struct page_head *page;
    TRY(page_alloc(pages, image->bytes, &page, err));
    memcpy(page, image->data, image->bytes);
    leat_status status = slots_check(page, err);
    if (status < 0) {
        state_account_refund(pages->account, image->bytes);
        memory_free(page);
        return status;
    }
    number_take(pages, image->number);
    struct page_ref *ref = &pages->refs[image->number];
    *ref = (struct page_ref){.page = page,
                             .version = image->version,
                             .bytes = image->bytes,
                             .class = page->class,
                             .slots = (uint16_t)slots_of(page->class, page->bytes)};
    ref_count(ref);
    pages->held[page->class]++;
    if (ref->used < ref->slots) {
        ref_link(pages, ref);
    }
    *out = ref;
    return LEAT_OK;
}
