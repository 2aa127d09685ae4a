/* Copy on first write, a unit of a page at a time (state_copies.h). A page is of the version at
 * which it was changed last; a snapshot holds all pages of its version and before. Whoever comes
 * first copies: the thread that writes the snapshot takes a page from under the latch of its group,
 * the writer copies aside the units that it is about to change. A page that changed meanwhile is
 * put together from both. So a writer pays for a unit, nobody waits for more than the copying of
 * one page, unless copies aside fill their reserve: then the writer waits for the snapshot to be
 * written, until there is room for the units that it needs.
 *
 * Copies aside are the snapshot's, and not charged to the state's budget: whether a put fits must
 * not depend on how fast a snapshot is written. */
#include "state/state_snapshot.h"

#include "base/memory.h"
#include "state/state_copies.h"
#include "state/state_file.h"
#include "state/state_spill.h"

#include <time.h>

struct page_copy {
    uint64_t version;          /* 0: no copy */
    struct copy_block *blocks; /* what changed since; what did not lies in the page still */
    uint32_t bytes;
};

/* Guarded by the latch of the group of the same number. */
struct snapshot_group {
    bool given;
    uint32_t count;
    struct page_copy *copies; /* by page number; NULL: none yet */
};

struct state_snapshot {
    struct state *state;
    uint64_t version;
    uint64_t since;     /* pages of it and before are asked for without data */
    atomic_bool failed; /* a copy found no memory */
    atomic_bool active; /* a thread is writing */
    struct state_copies copies;
    struct snapshot_group groups[];
};

static uint32_t unit_bytes(uint32_t page_bytes, uint32_t unit) {
    uint32_t rest = page_bytes - unit * PAGE_UNIT;
    return rest < PAGE_UNIT ? rest : PAGE_UNIT;
}

/* --- the writer's side --- */

static bool is_frozen(const struct state_snapshot *snapshot, const struct page_ref *ref) {
    return ref->version != 0 && ref->version <= snapshot->version &&
           ref->taken != snapshot->version;
}

/* The open snapshot if it needs something of the page still. Inside the group: it is not freed
 * meanwhile. */
static struct state_snapshot *snapshot_of(const struct state *state, const struct page_ref *ref) {
    struct state_snapshot *snapshot = atomic_load_explicit(&state->snapshot, memory_order_acquire);
    bool begun = ref->version == state->version;
    bool needs = snapshot && (begun ? ref->settled != PAGE_SETTLED : is_frozen(snapshot, ref));
    return needs ? snapshot : NULL;
}

static uint16_t units_between(uint32_t begin, uint32_t end) {
    return (uint16_t)((2u << (end - 1) / PAGE_UNIT) - (1u << begin / PAGE_UNIT));
}

/* Units that hold the slot at `place`, and that are not kept yet. */
static uint16_t units_missing(const struct state *state, const struct state_snapshot *snapshot,
                              const struct page_ref *ref, uint16_t place) {
    if (ref->version <= snapshot->since) {
        return 0;
    }
    uint32_t begin = (place & ~(uint32_t)SLOT_WANTED) * PLACE_UNIT;
    uint16_t units = place == PAGE_WHOLE
                         ? units_between(0, ref->bytes)
                         : units_between(begin, begin + (uint32_t)state_page_room(ref));
    return ref->version == state->version ? units & (uint16_t)~ref->settled : units;
}

/* Gives up the latch while there is no room and somebody makes some. Who had to wait waits for more
 * than it needs, or the next change would wait again. */
static struct state_snapshot *copy_wait(struct state *state, struct state_group *group,
                                        const struct page_ref *ref, uint16_t place) {
    struct state_snapshot *snapshot;
    uint32_t more = 0;
    /* Where readers bring records back, pages come to be while nobody is inside: no waiting. */
    while ((snapshot = snapshot_of(state, ref)) && !state->spill &&
           atomic_load_explicit(&snapshot->active, memory_order_relaxed)) {
        uint16_t missing = units_missing(state, snapshot, ref, place);
        if (!missing ||
            !state_copies_full(&snapshot->copies, (uint32_t)__builtin_popcount(missing) + more)) {
            break;
        }
        more = state_copies_slack(&snapshot->copies);
        latch_unlock(&group->latch);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        latch_lock(&group->latch);
    }
    return snapshot;
}

/* Pages that come to be later are not the snapshot's. */
static bool copies_reserve(struct snapshot_group *kept, const struct state_pages *pages) {
    if (!kept->copies) {
        kept->copies = memory_zalloc(pages->count * sizeof(*kept->copies));
        kept->count = kept->copies ? pages->count : 0;
    }
    return kept->copies != NULL;
}

static bool units_keep(struct state_snapshot *snapshot, struct page_copy *copy,
                       struct page_ref *ref, uint16_t units) {
    for (; units; units &= (uint16_t)(units - 1)) {
        struct copy_block *block = state_copies_take(&snapshot->copies);
        if (!block) {
            return false;
        }
        block->unit = (uint32_t)__builtin_ctz(units);
        block->next = copy->blocks;
        copy->blocks = block;
        state_page_copy(block->data, (const char *)ref->page + block->unit * PAGE_UNIT,
                        unit_bytes(ref->bytes, block->unit));
    }
    return true;
}

/* Copies aside what the snapshot needs of the units at `place`. False: no memory; the page is no
 * part of the snapshot any more. */
static bool copy_aside(struct state_snapshot *snapshot, const struct state_group *group,
                       struct page_ref *ref, uint16_t place) {
    const struct state *state = snapshot->state;
    struct snapshot_group *kept = &snapshot->groups[group - state->group];
    if (!copies_reserve(kept, &group->pages)) {
        return false;
    }
    struct page_copy *copy = &kept->copies[ref - group->pages.refs];
    uint16_t missing = units_missing(state, snapshot, ref, place);
    if (ref->version != state->version) {
        *copy = (struct page_copy){.version = ref->version, .bytes = ref->bytes};
        ref->settled =
            ref->version > snapshot->since ? (uint16_t)~units_between(0, ref->bytes) : PAGE_SETTLED;
    }
    if (!units_keep(snapshot, copy, ref, missing)) {
        state_copies_give(&snapshot->copies, copy->blocks);
        *copy = (struct page_copy){0};
        return false;
    }
    ref->settled |= missing;
    return true;
}

static void page_touch(struct state *state, struct state_snapshot *snapshot,
                       const struct state_group *group, struct page_ref *ref, uint16_t place) {
    bool kept = snapshot && copy_aside(snapshot, group, ref, place);
    if (snapshot && !kept) {
        atomic_store_explicit(&snapshot->failed, true, memory_order_relaxed);
    }
    if (!kept) {
        ref->settled = PAGE_SETTLED;
    }
    ref->version = state->version;
}

void state_snapshot_touch_now(struct state *state, struct state_group *group, struct page_ref *ref,
                              uint16_t place) {
    if (ref->version != state->version || ref->settled != PAGE_SETTLED) {
        page_touch(state, snapshot_of(state, ref), group, ref, place);
    }
}

void state_snapshot_touch_slow(struct state *state, struct state_group *group, struct page_ref *ref,
                               uint16_t place) {
    page_touch(state, copy_wait(state, group, ref, place), group, ref, place);
}

leat_status state_freeze(struct state *state, struct state_snapshot **out, leat_error *err) {
    *out = NULL;
    if (atomic_load_explicit(&state->snapshot, memory_order_acquire)) {
        return LEAT_AGAIN;
    }
    size_t bytes = sizeof(struct state_snapshot) + state->groups * sizeof(struct snapshot_group);
    struct state_snapshot *snapshot = memory_zalloc(bytes);
    if (!snapshot) {
        return error_memory(err, bytes);
    }
    snapshot->state = state;
    snapshot->version = state->version++;
    state_copies_init(&snapshot->copies, state->account.budget);
    atomic_init(&snapshot->failed, false);
    atomic_init(&snapshot->active, false);
    atomic_store_explicit(&state->snapshot, snapshot, memory_order_release);
    *out = snapshot;
    return LEAT_OK;
}

uint64_t state_snapshot_version(const struct state_snapshot *snapshot) {
    return snapshot->version;
}

void state_snapshot_since(struct state_snapshot *snapshot, uint64_t since) {
    snapshot->since = since;
}

/* --- the other thread's side --- */

static leat_status snapshot_failed(const struct state_snapshot *snapshot, leat_error *err) {
    return error_retry(err, LEAT_MEMORY,
                       "state %s: no memory to keep what a snapshot needs; the state is whole, "
                       "release the snapshot and freeze again",
                       snapshot->state->name);
}

static leat_status group_begin(struct state_snapshot *snapshot, uint32_t number, leat_error *err) {
    struct state *state = snapshot->state;
    if (number >= state->groups) {
        return error_set(err, LEAT_INVALID, "state %s: no group %u, it has %u", state->name, number,
                         state->groups);
    }
    if (atomic_load_explicit(&snapshot->failed, memory_order_relaxed)) {
        return snapshot_failed(snapshot, err);
    }
    latch_lock(&state->group[number].latch);
    bool given = snapshot->groups[number].given;
    snapshot->groups[number].given = true;
    latch_unlock(&state->group[number].latch);
    if (given) {
        return error_set(err, LEAT_INVALID, "state %s: group %u of this snapshot was written",
                         state->name, number);
    }
    atomic_store_explicit(&snapshot->active, true, memory_order_relaxed);
    return LEAT_OK;
}

static leat_status group_end(struct state_snapshot *snapshot, leat_status status, leat_error *err) {
    atomic_store_explicit(&snapshot->active, false, memory_order_relaxed);
    if (status >= 0 && atomic_load_explicit(&snapshot->failed, memory_order_relaxed)) {
        return snapshot_failed(snapshot, err);
    }
    return status;
}

enum take { TAKE_NONE, TAKE_ONE, TAKE_END };

/* Inside the group: what of the page has not changed, to `room`. Of a page that is gone by now all
 * was kept. */
static void rest_take(const struct page_copy *copy, const struct page_ref *ref,
                      struct page_head *room) {
    uint32_t kept = 0;
    for (const struct copy_block *block = copy->blocks; block; block = block->next) {
        kept |= 1u << block->unit;
    }
    for (uint32_t unit = 0; unit * PAGE_UNIT < copy->bytes; unit++) {
        if (!(kept & 1u << unit)) {
            state_page_copy((char *)room + unit * PAGE_UNIT,
                            (const char *)ref->page + unit * PAGE_UNIT,
                            unit_bytes(copy->bytes, unit));
        }
    }
}

/* Inside the group: page `number` of it, if the snapshot has one. */
static enum take group_take(struct state_snapshot *snapshot, struct state_group *group,
                            uint32_t number, struct page_head *room, struct page_copy *out) {
    struct snapshot_group *kept = &snapshot->groups[group - snapshot->state->group];
    if (number >= group->pages.count) {
        return TAKE_END;
    }
    struct page_ref *ref = &group->pages.refs[number];
    if (number < kept->count && kept->copies[number].version) {
        *out = kept->copies[number];
        kept->copies[number] = (struct page_copy){0};
        ref->settled = PAGE_SETTLED;
    } else if (ref->page && is_frozen(snapshot, ref)) {
        *out = (struct page_copy){.version = ref->version, .bytes = ref->bytes};
        ref->taken = snapshot->version;
    } else {
        return TAKE_NONE;
    }
    if (out->version > snapshot->since) {
        rest_take(out, ref, room);
    }
    return TAKE_ONE;
}

/* The page as it was at the freeze, in `room` (PAGE_BYTES_MAX) where it is wanted with data. */
static enum take page_take(struct state_snapshot *snapshot, uint32_t group_number, uint32_t number,
                           struct page_head *room, struct page_copy *out) {
    struct state_group *group = &snapshot->state->group[group_number];
    latch_lock(&group->latch);
    enum take took = group_take(snapshot, group, number, room, out);
    latch_unlock(&group->latch);
    if (took == TAKE_ONE) {
        for (const struct copy_block *block = out->blocks; block; block = block->next) {
            memcpy((char *)room + block->unit * PAGE_UNIT, block->data,
                   unit_bytes(out->bytes, block->unit));
        }
        state_copies_give(&snapshot->copies, out->blocks);
        out->blocks = NULL;
    }
    return took;
}

static leat_status pages_write(struct state_snapshot *snapshot, uint32_t group, uint64_t since,
                               struct page_head *room, state_page_sink sink, void *context,
                               leat_error *err) {
    struct page_copy copy;
    leat_status status = LEAT_OK;
    enum take took = TAKE_NONE;
    for (uint32_t number = 0; status >= 0 && took != TAKE_END; number++) {
        took = page_take(snapshot, group, number, room, &copy);
        if (took != TAKE_ONE) {
            continue;
        }
        struct state_page_image image = {.group = group,
                                         .number = number,
                                         .version = copy.version,
                                         .data = copy.version > since ? room : NULL,
                                         .bytes = copy.bytes};
        status = sink(context, &image, err);
    }
    return status;
}

leat_status state_snapshot_pages(struct state_snapshot *snapshot, uint32_t group, uint64_t since,
                                 state_page_sink sink, void *context, leat_error *err) {
    if (since < snapshot->since) {
        return error_set(err, LEAT_INVALID,
                         "state %s: pages since %llu are asked for, those since %llu were kept",
                         snapshot->state->name, (unsigned long long)since,
                         (unsigned long long)snapshot->since);
    }
    struct page_head *room = memory_aligned(PAGE_HEAD, (PAGE_BYTES_MAX + 63) & ~(size_t)63);
    if (!room) {
        return error_memory(err, PAGE_BYTES_MAX);
    }
    leat_status status = group_begin(snapshot, group, err);
    if (status >= 0) {
        status = pages_write(snapshot, group, since, room, sink, context, err);
        struct spill_group *spill = snapshot->state->group[group].spill;
        if (status >= 0 && spill) {
            status = state_spill_images(spill, snapshot->version, since, sink, context, err);
        }
        status = group_end(snapshot, status, err);
    }
    memory_free(room);
    return status;
}

/* --- blocks --- */

/* All pages of a group as they were, kept together: records are sorted over all of them. */
struct gathered {
    struct page_head **pages;
    uint32_t count, capacity;
    uint64_t slots; /* in use */
};

static leat_status gathered_add(struct gathered *gathered, struct page_head *page,
                                leat_error *err) {
    if (gathered->count == gathered->capacity) {
        uint32_t capacity = gathered->capacity ? gathered->capacity * 2 : 16;
        void *pages = memory_resize(gathered->pages, capacity * sizeof(*gathered->pages));
        if (!pages) {
            memory_free(page);
            return error_memory(err, capacity * sizeof(*gathered->pages));
        }
        gathered->pages = pages;
        gathered->capacity = capacity;
    }
    gathered->pages[gathered->count++] = page;
    uint32_t cursor = 0;
    while (state_image_next(page, &cursor)) {
        gathered->slots++;
    }
    return LEAT_OK;
}

static void gathered_free(struct gathered *gathered) {
    for (uint32_t i = 0; i < gathered->count; i++) {
        memory_free(gathered->pages[i]);
    }
    memory_free(gathered->pages);
}

static leat_status gather_page(void *context, const struct state_page_image *image,
                               leat_error *err) {
    struct page_head *page = memory_alloc(image->bytes);
    if (!page) {
        return error_memory(err, image->bytes);
    }
    memcpy(page, image->data, image->bytes);
    return gathered_add(context, page, err);
}

static leat_status gathered_encode(const struct state *state, uint32_t group,
                                   const struct gathered *gathered, struct bytes *out,
                                   leat_error *err) {
    size_t bytes = gathered->slots * sizeof(struct state_group_item);
    struct state_group_item *items = memory_alloc(bytes);
    if (!items) {
        return error_memory(err, bytes);
    }
    uint32_t count = 0;
    for (uint32_t p = 0; p < gathered->count; p++) {
        uint32_t cursor = 0;
        const struct slot *slot;
        while ((slot = state_image_next(gathered->pages[p], &cursor)) != NULL) {
            items[count++] = state_group_item_of(slot);
        }
    }
    state_group_items_sort(items, count);
    leat_status status = state_block_items(state, group, items, count, out, err);
    memory_free(items);
    return status;
}

leat_status state_snapshot_write(struct state_snapshot *snapshot, uint32_t group, state_sink sink,
                                 void *context, leat_error *err) {
    if (snapshot->since > 0) {
        return error_set(err, LEAT_INVALID,
                         "state %s: a snapshot of what changed only gives no blocks",
                         snapshot->state->name);
    }
    struct gathered gathered = {0};
    struct bytes block;
    bytes_init(&block);
    leat_status status = state_snapshot_pages(snapshot, group, 0, gather_page, &gathered, err);
    if (status >= 0) {
        status = gathered_encode(snapshot->state, group, &gathered, &block, err);
    }
    gathered_free(&gathered);
    if (status >= 0) {
        status = sink(context, block.data, block.size, err);
    }
    bytes_deinit(&block);
    return status;
}

void state_snapshot_release(struct state_snapshot *snapshot) {
    if (!snapshot) {
        return;
    }
    struct state *state = snapshot->state;
    atomic_store_explicit(&state->snapshot, NULL, memory_order_release);
    for (uint32_t i = 0; i < state->groups; i++) {
        /* A writer that saw the snapshot is inside its group until it is done with it. */
        latch_lock(&state->group[i].latch);
        struct snapshot_group kept = snapshot->groups[i];
        snapshot->groups[i] = (struct snapshot_group){0};
        if (state->group[i].spill) {
            state_spill_settled(state->group[i].spill);
        }
        latch_unlock(&state->group[i].latch);
        for (uint32_t n = 0; n < kept.count; n++) {
            state_copies_give(&snapshot->copies, kept.copies[n].blocks);
        }
        memory_free(kept.copies);
    }
    state_copies_deinit(&snapshot->copies);
    memory_free(snapshot);
}
