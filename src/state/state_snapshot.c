/* Copy on first write, a page at a time. A page is of the version at which it was changed last; a
 * snapshot holds all pages of its version and before. Whoever comes first copies: the thread that
 * writes the snapshot takes a page from under the latch of its group, the writer copies a page
 * aside before it changes it. So nobody waits for more than the copying of one page, unless copies
 * aside fill their reserve: then the writer waits for the snapshot to be written.
 *
 * Copies aside are the snapshot's, and not charged to the state's budget: whether a put fits must
 * not depend on how fast a snapshot is written. */
#include "state/state_snapshot.h"

#include "base/memory.h"
#include "state/state_file.h"
#include "state/state_spill.h"

#include <time.h>

struct page_copy {
    struct page_head *data; /* NULL: none, or not wanted */
    uint64_t version;       /* 0: no copy */
    uint32_t bytes;
};

/* Guarded by the latch of the group of the same number. */
struct snapshot_group {
    bool given;
    uint32_t capacity;
    struct page_copy *copies; /* by page number */
};

struct state_snapshot {
    struct state *state;
    uint64_t version;
    uint64_t since;     /* pages of it and before are asked for without data */
    atomic_bool failed; /* a copy found no memory */
    atomic_bool active; /* a thread is writing */
    struct snapshot_group groups[];
};

/* --- the reserve --- */

static void copies_add(struct state *state, int64_t bytes) {
    struct state_budget *budget = state->account.budget;
    if (!budget) {
        return;
    }
    int64_t used =
        bytes + atomic_fetch_add_explicit(&budget->copies_used, bytes, memory_order_relaxed);
    int64_t most = atomic_load_explicit(&budget->copies_most, memory_order_relaxed);
    while (used > most &&
           !atomic_compare_exchange_weak_explicit(&budget->copies_most, &most, used,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static bool copies_full(const struct state *state, int64_t bytes) {
    const struct state_budget *budget = state->account.budget;
    return budget && budget->copies_max > 0 &&
           atomic_load_explicit(&budget->copies_used, memory_order_relaxed) + bytes >
               budget->copies_max;
}

static void copy_drop(struct state *state, struct page_copy *copy) {
    if (copy->data) {
        copies_add(state, -(int64_t)copy->bytes);
        memory_free(copy->data);
    }
    *copy = (struct page_copy){0};
}

/* --- the writer's side --- */

static bool is_frozen(const struct state_snapshot *snapshot, const struct page_ref *ref) {
    return ref->version != 0 && ref->version <= snapshot->version &&
           ref->taken != snapshot->version;
}

/* The open snapshot if it needs the page still. Inside the group: it is not freed meanwhile. */
static struct state_snapshot *snapshot_of(const struct state *state, const struct page_ref *ref) {
    struct state_snapshot *snapshot = atomic_load_explicit(&state->snapshot, memory_order_acquire);
    return snapshot && is_frozen(snapshot, ref) ? snapshot : NULL;
}

/* Gives up the latch while there is no room and somebody makes some. */
static struct state_snapshot *copy_wait(struct state *state, struct state_group *group,
                                        const struct page_ref *ref) {
    struct state_snapshot *snapshot;
    /* Where readers bring records back, pages come to be while nobody is inside: no waiting. */
    while ((snapshot = snapshot_of(state, ref)) && copies_full(state, ref->bytes) &&
           !state->spill && atomic_load_explicit(&snapshot->active, memory_order_relaxed)) {
        latch_unlock(&group->latch);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        latch_lock(&group->latch);
    }
    return snapshot;
}

static bool copies_reserve(struct snapshot_group *kept, uint32_t number) {
    if (number < kept->capacity) {
        return true;
    }
    uint32_t capacity = kept->capacity ? kept->capacity * 2 : 16;
    capacity = capacity > number ? capacity : number + 1;
    struct page_copy *copies = memory_resize(kept->copies, capacity * sizeof(*copies));
    if (!copies) {
        return false;
    }
    memset(copies + kept->capacity, 0, (capacity - kept->capacity) * sizeof(*copies));
    kept->copies = copies;
    kept->capacity = capacity;
    return true;
}

static bool copy_aside(struct state_snapshot *snapshot, const struct state_group *group,
                       const struct page_ref *ref) {
    struct state *state = snapshot->state;
    struct snapshot_group *kept = &snapshot->groups[group - state->group];
    uint32_t number = (uint32_t)(ref - group->pages.refs);
    if (!copies_reserve(kept, number)) {
        return false;
    }
    struct page_head *data = NULL;
    if (ref->version > snapshot->since) {
        data = memory_alloc(ref->bytes);
        if (!data) {
            return false;
        }
        state_page_copy(data, ref->page, ref->bytes);
        copies_add(state, ref->bytes);
    }
    kept->copies[number] = (struct page_copy){data, ref->version, ref->bytes};
    return true;
}

void state_snapshot_touch_now(struct state *state, struct state_group *group,
                              struct page_ref *ref) {
    struct state_snapshot *snapshot =
        ref->version != state->version ? snapshot_of(state, ref) : NULL;
    if (snapshot && !copy_aside(snapshot, group, ref)) {
        atomic_store_explicit(&snapshot->failed, true, memory_order_relaxed);
    }
    ref->version = state->version;
}

void state_snapshot_touch_slow(struct state *state, struct state_group *group,
                               struct page_ref *ref) {
    struct state_snapshot *snapshot = copy_wait(state, group, ref);
    if (snapshot && !copy_aside(snapshot, group, ref)) {
        atomic_store_explicit(&snapshot->failed, true, memory_order_relaxed);
    }
    ref->version = state->version;
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

/* Inside the group: copies the page that stands in the table to `room`, where it is wanted. */
static struct page_copy ref_take(struct state_snapshot *snapshot, struct page_ref *ref,
                                 struct page_head *room) {
    bool wanted = ref->version > snapshot->since;
    if (wanted) {
        state_page_copy(room, ref->page, ref->bytes);
    }
    ref->taken = snapshot->version;
    return (struct page_copy){wanted ? room : NULL, ref->version, ref->bytes};
}

/* Page `number` of a group as it was at the freeze, in `room` (PAGE_BYTES_MAX), or as
 * the copy that was made: out->data != room then, and is to be dropped. */
static enum take page_take(struct state_snapshot *snapshot, uint32_t group_number, uint32_t number,
                           struct page_head *room, struct page_copy *out) {
    struct state_group *group = &snapshot->state->group[group_number];
    struct snapshot_group *kept = &snapshot->groups[group_number];
    enum take took = TAKE_NONE;
    latch_lock(&group->latch);
    if (number < kept->capacity && kept->copies[number].version) {
        *out = kept->copies[number];
        kept->copies[number] = (struct page_copy){0};
        took = TAKE_ONE;
    } else if (number < group->pages.count) {
        struct page_ref *ref = &group->pages.refs[number];
        if (ref->page && is_frozen(snapshot, ref)) {
            *out = ref_take(snapshot, ref, room);
            took = TAKE_ONE;
        }
    } else if (number >= kept->capacity) {
        took = TAKE_END;
    }
    latch_unlock(&group->latch);
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
                                         .data = copy.version > since ? copy.data : NULL,
                                         .bytes = copy.bytes};
        status = sink(context, &image, err);
        if (copy.data != room) {
            copy_drop(snapshot->state, &copy);
        }
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
        for (uint32_t n = 0; n < kept.capacity; n++) {
            copy_drop(state, &kept.copies[n]);
        }
        memory_free(kept.copies);
    }
    memory_free(snapshot);
}
