#include "state/state_spill.h"

#include "base/memory.h"
#include "state/state_slot.h"

#include <stdatomic.h>

enum { GROW_MIN = 16, PLACES_MAX = 1 << 30, TRIM_ROUNDS_MAX = 1 << 16 };

static uint32_t slot_bytes(const struct slot *slot) {
    size_t bytes = slot_data_offset(slot->id_size) + slot->size;
    return (uint32_t)((bytes + PLACE_UNIT - 1) & ~(size_t)(PLACE_UNIT - 1));
}

/* Room for `count` elements of `bytes` each; doubles. */
static bool array_reserve(void **array, uint32_t *capacity, uint32_t count, size_t bytes) {
    if (count <= *capacity) {
        return true;
    }
    uint32_t grown = *capacity ? *capacity * 2 : GROW_MIN;
    grown = grown < count ? count : grown;
    void *more = memory_resize(*array, grown * bytes);
    if (!more) {
        return false;
    }
    *array = more;
    *capacity = grown;
    return true;
}

/* --- opening --- */

static leat_status spill_path(struct state *state, char out[PATH_BYTES_MAX], leat_error *err) {
    char name[STATE_NAME_MAX + sizeof(".spill")];
    snprintf(name, sizeof(name), "%s.spill", state->name);
    return path_join(out, state->account.budget->spill_folder, name, err);
}

leat_status state_spill_open(struct state *state, leat_error *err) {
    const struct state_budget *budget = state->account.budget;
    size_t bytes = sizeof(struct state_spill) + state->groups * sizeof(struct spill_group);
    struct state_spill *spill = memory_zalloc(bytes);
    if (!spill) {
        return error_memory(err, bytes);
    }
    state->spill = spill;
    spill->disk = budget->spill_disk;
    mutex_init(&spill->mutex);
    int64_t places = budget->spill_bytes_max / SPILL_EXTENT;
    spill->places_max = places < PLACES_MAX ? (uint32_t)places : PLACES_MAX;
    for (uint32_t g = 0; g < state->groups; g++) {
        spill->groups[g].state = state;
        state->group[g].spill = &spill->groups[g];
    }
    TRY(spill_path(state, spill->path, err));
    spill->staging = memory_aligned(SPILL_UNIT, SPILL_EXTENT);
    if (!spill->staging) {
        return error_memory(err, SPILL_EXTENT);
    }
    leat_status removed =
        disk_remove(spill->disk, spill->path, err); /* what a killed process left */
    if (removed < 0) {
        return removed;
    }
    TRY(file_open(spill->disk, spill->path, FILE_DIRECT, &spill->file, err));
    atomic_store(&state->account.soft, true);
    return LEAT_OK;
}

void state_spill_close(struct state *state) {
    struct state_spill *spill = state->spill;
    if (!spill) {
        return;
    }
    if (spill->file) {
        file_close(spill->file);
        disk_remove(spill->disk, spill->path, NULL);
    }
    for (uint32_t g = 0; g < state->groups; g++) {
        memory_free(spill->groups[g].extents);
        memory_free(spill->groups[g].died);
    }
    mutex_deinit(&spill->mutex);
    memory_free(spill->free_places);
    memory_free(spill->staging);
    memory_free(spill);
    state->spill = NULL;
}

/* --- places --- */

/* False: the file is full. */
static bool place_take(struct state_spill *spill, uint32_t *place) {
    mutex_lock(&spill->mutex);
    bool found = spill->free_count > 0 || spill->places < spill->places_max;
    if (found) {
        *place = spill->free_count > 0 ? spill->free_places[--spill->free_count] : spill->places++;
    }
    mutex_unlock(&spill->mutex);
    return found;
}

/* Without memory for the list the place is lost until the file is closed: the file has a bound. */
static void place_give(struct state_spill *spill, uint32_t place) {
    mutex_lock(&spill->mutex);
    if (array_reserve((void **)&spill->free_places, &spill->free_capacity, spill->free_count + 1,
                      sizeof(*spill->free_places))) {
        spill->free_places[spill->free_count++] = place;
    }
    mutex_unlock(&spill->mutex);
}

static const struct state_snapshot *open_snapshot(const struct spill_group *group) {
    return atomic_load_explicit(&group->state->snapshot, memory_order_acquire);
}

/* The open snapshot, if it needs the extent still. */
static bool extent_frozen(const struct spill_group *group, const struct spill_extent *extent) {
    const struct state_snapshot *snapshot = open_snapshot(group);
    return snapshot && extent->created <= state_snapshot_version(snapshot) &&
           extent->taken != state_snapshot_version(snapshot);
}

static void extent_free(struct spill_group *group, struct spill_extent *extent) {
    place_give(group->state->spill, extent->place);
    *extent = (struct spill_extent){0};
}

/* A record of the extent came back or is gone. False: no memory to remember it for the snapshot. */
static bool extent_lose(struct spill_group *group, uint32_t number, uint32_t place,
                        uint32_t bytes) {
    struct spill_extent *extent = &group->extents[number];
    bool frozen = extent_frozen(group, extent);
    if (frozen) {
        if (!array_reserve((void **)&group->died, &group->died_capacity, group->died_count + 1,
                           sizeof(*group->died))) {
            return false;
        }
        group->died[group->died_count++] = (struct spill_died){number, place};
        if (extent->version <= state_snapshot_version(open_snapshot(group))) {
            extent->before = extent->version;
        }
    }
    extent->version = group->state->version;
    extent->lost = true;
    extent->live--;
    extent->bytes -= bytes;
    if (extent->live == 0 && !frozen) {
        extent_free(group, extent);
    }
    return true;
}

void state_spill_settled(struct spill_group *group) {
    group->died_count = 0;
    for (uint32_t i = 0; i < group->count; i++) {
        struct spill_extent *extent = &group->extents[i];
        extent->before = 0;
        if (extent->created && extent->live == 0) {
            extent_free(group, extent);
        }
    }
}

void state_spill_restored(struct spill_group *group, uint64_t version) {
    for (uint32_t i = 0; i < group->count; i++) {
        struct spill_extent *extent = &group->extents[i];
        if (extent->created) {
            extent->created = extent->version = version;
        }
    }
}

/* --- coming back --- */

static leat_status spill_read(const struct state_spill *spill, const struct spill_extent *extent,
                              uint32_t offset, void *data, size_t bytes, leat_error *err) {
    size_t got = 0;
    TRY(file_read(spill->file, data, bytes, (uint64_t)extent->place * SPILL_EXTENT + offset, &got,
                  err));
    return got == bytes ? LEAT_OK
                        : error_set(err, LEAT_CORRUPT, "%s: ends at extent %u, before its data",
                                    spill->path, extent->place);
}

void state_spill_fail(const struct spill_group *group, leat_status status) {
    if (status != LEAT_MEMORY) {
        atomic_store_explicit(&group->state->spill->unread, true, memory_order_relaxed);
    }
    atomic_store_explicit(&group->state->failed, true, memory_order_relaxed);
}

leat_status state_failure(const struct state *state, leat_error *err) {
    if (!state_failed(state)) {
        return LEAT_OK;
    }
    if (state->spill && atomic_load_explicit(&state->spill->unread, memory_order_relaxed)) {
        return error_set(err, LEAT_IO,
                         "%s: could not be read, so state %s is not whole; start again where the "
                         "disk can be read: the file is made anew, and the log is whole",
                         state->spill->path, state->name);
    }
    return error_set(err, LEAT_MEMORY,
                     "state %s found no memory; add memory or lower the budgets, then start again: "
                     "the log is whole",
                     state->name);
}

static struct slot *slot_back(struct spill_group *group, uint32_t index_at,
                              const struct slot *read) {
    struct state *state = group->state;
    struct state_group *home = &state->group[group - state->spill->groups];
    uint64_t entry = state_group_entry(home, index_at);
    struct page_ref *ref;
    home->pages.forced = true;
    leat_status status =
        state_pages_pick(&home->pages, slot_data_offset(read->id_size) + read->size, &ref, NULL);
    home->pages.forced = false;
    if (status < 0 ||
        !extent_lose(group, entry_extent(entry), entry_place(entry), slot_bytes(read))) {
        state_spill_fail(group, LEAT_MEMORY);
        return NULL;
    }
    state_snapshot_touch_now(state, home, ref, state_page_place(ref));
    struct slot *slot = state_pages_take(&home->pages, ref);
    uint16_t place = slot->place;
    uint32_t page = slot->page;
    memcpy(slot, read, slot_data_offset(read->id_size) + read->size);
    slot->place = place | SLOT_WANTED;
    slot->page = page & (PAGE_NUMBERS - 1);
    state_group_point(home, index_at, slot);
    atomic_fetch_add_explicit(&state->spill->fetched, 1, memory_order_relaxed);
    return slot;
}

struct slot *state_spill_fetch(struct spill_group *group, uint32_t index_at, uint64_t hash,
                               uint32_t kind, uint64_t part) {
    _Alignas(SPILL_UNIT) uint8_t unit[SPILL_UNIT];
    const struct state_group *home = &group->state->group[group - group->state->spill->groups];
    uint64_t entry = state_group_entry(home, index_at);
    uint32_t place = entry_place(entry);
    const struct spill_extent *extent = &group->extents[entry_extent(entry)];
    if (state_failed(group->state)) {
        return NULL;
    }
    leat_status status = spill_read(group->state->spill, extent,
                                    place & ~(uint32_t)(SPILL_UNIT - 1), unit, SPILL_UNIT, NULL);
    if (status < 0) {
        state_spill_fail(group, status);
        return NULL;
    }
    const struct slot *slot = (const struct slot *)(unit + place % SPILL_UNIT);
    if (slot->hash != hash || slot->part != part || slot->kind != kind) {
        return NULL; /* the mix alone was equal */
    }
    return slot_back(group, index_at, slot);
}

/* --- all of a group --- */

/* Where the next slot of an extent may begin: a unit's last bytes hold none. */
static uint32_t place_next(uint32_t place) {
    bool fits = place % SPILL_UNIT + sizeof(struct slot) <= SPILL_UNIT;
    return fits ? place : (place + SPILL_UNIT - 1) & ~(uint32_t)(SPILL_UNIT - 1);
}

/* The slot at `*place` of an extent in memory or the next one; NULL: no more. Moves behind it. Free
 * bytes stand at the end of a unit only. */
static const struct slot *extent_next(const uint8_t *data, uint32_t *place) {
    while ((*place = place_next(*place)) < SPILL_EXTENT) {
        const struct slot *slot = (const struct slot *)(data + *place);
        if (!slot->place) {
            *place = (*place / SPILL_UNIT + 1) * SPILL_UNIT;
            continue;
        }
        *place += slot_bytes(slot);
        if (*place > SPILL_EXTENT) {
            return NULL;
        }
        if (slot->page != SPILL_DEAD) {
            return slot;
        }
    }
    return NULL;
}

/* What stays of a record that is gone is how long it was. */
static void slot_kill(struct slot *slot) {
    uint32_t size = slot->size;
    uint8_t id_size = slot->id_size;
    uint16_t place = slot->place;
    memset(slot, 0, slot_bytes(slot));
    slot->size = size & SLOT_SIZE_MASK;
    slot->id_size = id_size;
    slot->place = place;
    slot->page = SPILL_DEAD;
}

static uint32_t slot_at(const uint8_t *data, const struct slot *slot) {
    return (uint32_t)((const uint8_t *)slot - data);
}

leat_status state_spill_each(const struct spill_group *group,
                             leat_status (*each)(void *context, uint64_t entry,
                                                 const struct slot *slot, leat_error *err),
                             void *context, leat_error *err) {
    const struct state *state = group->state;
    const struct state_group *home = &state->group[group - state->spill->groups];
    uint8_t *data = memory_aligned(SPILL_UNIT, SPILL_EXTENT);
    if (!data) {
        return error_memory(err, SPILL_EXTENT);
    }
    leat_status status = LEAT_OK;
    for (uint32_t e = 0; e < group->count && status >= 0; e++) {
        if (group->extents[e].live == 0) {
            continue;
        }
        status = spill_read(state->spill, &group->extents[e], 0, data, SPILL_EXTENT, err);
        uint32_t place = PAGE_HEAD;
        const struct slot *slot;
        while (status >= 0 && (slot = extent_next(data, &place)) != NULL) {
            uint64_t entry = spill_entry(e, slot_at(data, slot), 0);
            if (state_group_has(home, slot, entry)) {
                status = each(context, entry, slot, err);
            }
        }
    }
    memory_free(data);
    return status;
}

const struct slot *state_image_next(const struct page_head *page, uint32_t *cursor) {
    if (page->class == SPILL_CLASS) {
        *cursor = *cursor ? *cursor : PAGE_HEAD;
        return extent_next((const uint8_t *)page, cursor);
    }
    while (*cursor < state_page_slots(page)) {
        const struct slot *slot = state_page_slot(page, (*cursor)++);
        if (slot) {
            return slot;
        }
    }
    return NULL;
}

leat_status state_spill_check(const struct state_page_image *image, uint32_t group,
                              leat_error *err) {
    struct page_head head;
    memcpy(&head, image->data, sizeof(head));
    if (memcmp(head.magic, "LPAG", 4) != 0 || head.version != 1 || head.class != SPILL_CLASS ||
        head.bytes != SPILL_EXTENT || image->bytes != SPILL_EXTENT || head.group != group ||
        head.number != image->number) {
        return error_set(err, LEAT_CORRUPT, "not extent %u of group %u", image->number, group);
    }
    for (uint32_t place = PAGE_HEAD; (place = place_next(place)) < SPILL_EXTENT;) {
        const struct slot *slot = (const struct slot *)((const char *)image->data + place);
        if (!slot->place) {
            place = (place / SPILL_UNIT + 1) * SPILL_UNIT;
            continue;
        }
        uint32_t end = slot->size <= STATE_RECORD_MAX ? place + slot_bytes(slot) : UINT32_MAX;
        if ((end - 1) / SPILL_UNIT != place / SPILL_UNIT) {
            return error_set(err, LEAT_CORRUPT, "a record of extent %u crosses its unit",
                             image->number);
        }
        place = end;
    }
    return LEAT_OK;
}

/* --- snapshots --- */

static bool died_since(const struct spill_group *group, uint32_t extent, uint32_t place) {
    for (uint32_t i = 0; i < group->died_count; i++) {
        if (group->died[i].extent == extent && group->died[i].place == place) {
            return true;
        }
    }
    return false;
}

/* Inside the group: zeroes what was dead at the freeze. */
static void image_clear_dead(const struct spill_group *group, uint32_t number, uint8_t *data) {
    const struct state *state = group->state;
    const struct state_group *home = &state->group[group - state->spill->groups];
    uint32_t place = PAGE_HEAD;
    const struct slot *slot;
    while ((slot = extent_next(data, &place)) != NULL) {
        uint32_t at = slot_at(data, slot);
        if (!state_group_has(home, slot, spill_entry(number, at, 0)) &&
            !died_since(group, number, at)) {
            slot_kill((struct slot *)(data + at));
        }
    }
}

/* Takes extent `number`: true when it is part of the snapshot. */
static leat_status image_take(struct spill_group *group, uint32_t number, uint64_t version,
                              uint64_t since, uint8_t *data, struct state_page_image *out,
                              leat_error *err) {
    struct state *state = group->state;
    struct state_group *home = &state->group[group - state->spill->groups];
    leat_status status = LEAT_NOT_FOUND;
    latch_lock(&home->latch);
    struct spill_extent *extent = number < group->count ? &group->extents[number] : NULL;
    if (!extent) {
        status = LEAT_END;
    } else if (extent->created && extent_frozen(group, extent)) {
        out->version = extent->version <= version ? extent->version : extent->before;
        status = LEAT_OK;
        if (out->version > since) {
            status = spill_read(state->spill, extent, 0, data, SPILL_EXTENT, err);
        }
        if (status >= 0 && out->version > since) {
            image_clear_dead(group, number, data);
        }
        extent->taken = version;
        if (extent->live == 0) {
            extent_free(group, extent);
        }
    }
    latch_unlock(&home->latch);
    return status;
}

leat_status state_spill_images(struct spill_group *group, uint64_t version, uint64_t since,
                               state_page_sink sink, void *context, leat_error *err) {
    uint8_t *data = memory_aligned(SPILL_UNIT, SPILL_EXTENT);
    if (!data) {
        return error_memory(err, SPILL_EXTENT);
    }
    leat_status status = LEAT_OK;
    for (uint32_t number = 0; status >= 0; number++) {
        struct state_page_image image = {.group = (uint32_t)(group - group->state->spill->groups),
                                         .number = PAGE_NUMBERS + number,
                                         .bytes = SPILL_EXTENT};
        status = image_take(group, number, version, since, data, &image, err);
        if (status == LEAT_END) {
            break;
        }
        if (status == LEAT_OK) {
            struct page_head *head = (struct page_head *)data;
            head->number = image.number;
            image.data = image.version > since ? data : NULL;
            status = sink(context, &image, err);
        }
    }
    memory_free(data);
    return status < 0 ? status : LEAT_OK;
}

/* --- trimming --- */

/* What one turn of the hand found: cold slots, and where each will lie. */
struct trim {
    struct spill_group *group;
    struct state_group *home;
    uint32_t number; /* of the extent that it becomes */
    uint32_t place;  /* end of what is staged */
    uint32_t count;
    struct {
        struct slot *slot;
        uint32_t place;
    } cold[(SPILL_EXTENT - PAGE_HEAD) / sizeof(struct slot)];
};

/* Where `bytes` more would lie: not across a unit. False: the extent is full. */
static bool stage_place(const struct trim *trim, uint32_t bytes, uint32_t *place) {
    *place = trim->place;
    if (*place / SPILL_UNIT != (*place + bytes - 1) / SPILL_UNIT) {
        *place = (*place + SPILL_UNIT - 1) & ~(uint32_t)(SPILL_UNIT - 1);
    }
    return *place + bytes <= SPILL_EXTENT;
}

/* Stages what nobody asked for lately; a record that was asked for is given another round. */
static bool page_stage(struct trim *trim, const struct page_ref *ref, uint8_t *staging) {
    for (uint32_t i = 0; i < ref->slots; i++) {
        struct slot *slot = (struct slot *)state_page_slot(ref->page, i);
        if (!slot) {
            continue;
        }
        uint32_t bytes = slot_bytes(slot);
        if (slot->place & SLOT_WANTED || bytes > SPILL_UNIT - PAGE_HEAD) {
            slot->place &= (uint16_t)~SLOT_WANTED;
            continue;
        }
        uint32_t place;
        if (!stage_place(trim, bytes, &place)) {
            return false;
        }
        memset(staging + trim->place, 0, place - trim->place);
        memset(staging + place, 0, bytes);
        memcpy(staging + place, slot, slot_data_offset(slot->id_size) + slot->size);
        ((struct slot *)(staging + place))->page = 0;
        trim->cold[trim->count].slot = slot;
        trim->cold[trim->count++].place = place;
        trim->place = place + bytes;
    }
    return true;
}

/* Turns the hand over the group's pages, once at most, until an extent is full. */
static void trim_stage(struct trim *trim, uint8_t *staging) {
    struct state_pages *pages = &trim->home->pages;
    trim->place = PAGE_HEAD;
    latch_lock(&trim->home->latch);
    bool room = true;
    for (uint32_t turned = 0; turned < pages->count && room; turned++) {
        trim->group->hand = (trim->group->hand + 1) % pages->count;
        const struct page_ref *ref = &pages->refs[trim->group->hand];
        if (ref->page && ref->used > 0) {
            room = page_stage(trim, ref, staging);
        }
    }
    latch_unlock(&trim->home->latch);
    memset(staging + trim->place, 0, SPILL_EXTENT - trim->place);
}

/* A free number, or a new one; the caller fills it. */
static struct spill_extent *extent_new(struct spill_group *group, uint32_t *number) {
    for (*number = 0; *number < group->count; (*number)++) {
        if (!group->extents[*number].created) {
            return &group->extents[*number];
        }
    }
    if (!array_reserve((void **)&group->extents, &group->capacity, group->count + 1,
                       sizeof(*group->extents))) {
        return NULL;
    }
    group->extents[group->count] = (struct spill_extent){0};
    return &group->extents[group->count++];
}

/* The file holds them: the index points there, and their slots are free. */
static bool trim_publish(struct trim *trim, uint32_t place) {
    struct state *state = trim->group->state;
    latch_lock(&trim->home->latch);
    struct spill_extent *extent = extent_new(trim->group, &trim->number);
    if (extent) {
        *extent = (struct spill_extent){.place = place,
                                        .live = trim->count,
                                        .created = state->version,
                                        .version = state->version};
        for (uint32_t i = 0; i < trim->count; i++) {
            struct slot *slot = trim->cold[i].slot;
            extent->bytes += slot_bytes(slot);
            struct page_ref *ref = state_pages_ref(&trim->home->pages, slot);
            state_snapshot_touch_now(state, trim->home, ref, state_slot_place_given(ref, slot));
            state_group_sink(trim->home, slot, spill_entry(trim->number, trim->cold[i].place, 0));
            state_pages_give(&trim->home->pages, slot);
        }
    }
    latch_unlock(&trim->home->latch);
    return extent != NULL;
}

/* Moves the records of a page to the free slots of others, and gives the page back. */
static void page_empty(struct state *state, struct state_group *home, struct page_ref *ref) {
    state_pages_retire(&home->pages, ref);
    for (uint32_t i = 0; i < ref->slots; i++) {
        struct slot *slot = (struct slot *)state_page_slot(ref->page, i);
        if (slot) {
            state_slot_repage(state, home, slot);
        }
    }
    state_snapshot_touch_now(state, home, ref, PAGE_WHOLE);
    state_pages_close(&home->pages, ref);
}

/* Every page whose records find room on the others of its class goes, so that what trimming freed
 * are pages and not holes. */
static void group_pack(struct state *state, struct state_group *home) {
    latch_lock(&home->latch);
    struct state_pages *pages = &home->pages;
    for (uint32_t n = 0; n < pages->count; n++) {
        struct page_ref *ref = &pages->refs[n];
        if (ref->page && ref->used < ref->slots &&
            state_pages_room_beside(pages, ref) >= ref->used) {
            page_empty(state, home, ref);
        }
    }
    latch_unlock(&home->latch);
}

/* An extent that holds little, but for the one just written, comes back as a whole, to be written
 * again with others. */
static leat_status group_compact(struct state *state, const struct trim *trim, uint8_t *data,
                                 leat_error *err) {
    struct spill_group *group = trim->group;
    struct state_group *home = trim->home;
    leat_status status = LEAT_OK;
    latch_lock(&home->latch);
    for (uint32_t e = 0; e < group->count; e++) {
        const struct spill_extent *extent = &group->extents[e];
        if (e == trim->number || extent->live == 0 || extent->bytes >= SPILL_EXTENT / 4) {
            continue;
        }
        status = spill_read(state->spill, extent, 0, data, SPILL_EXTENT, err);
        uint32_t place = PAGE_HEAD;
        const struct slot *slot;
        while (status >= 0 && (slot = extent_next(data, &place)) != NULL) {
            if (state_group_has(home, slot, spill_entry(e, slot_at(data, slot), 0))) {
                struct slot *back = state_group_find(home, slot->hash, slot->kind, slot->part);
                if (!back) {
                    status = state_failure(state, err);
                    break;
                }
                back->place &= (uint16_t)~SLOT_WANTED;
            }
        }
        break;
    }
    latch_unlock(&home->latch);
    return status;
}

/* An extent of cold records of one group, and how full it is. LEAT_END: it had none. */
static leat_status group_trim(struct state *state, uint32_t number, uint32_t *bytes,
                              leat_error *err) {
    struct state_spill *spill = state->spill;
    struct trim trim = {.group = &spill->groups[number], .home = &state->group[number]};
    trim_stage(&trim, spill->staging);
    if (trim.count == 0) {
        return LEAT_END;
    }
    uint32_t place;
    if (!place_take(spill, &place)) {
        return LEAT_END;
    }
    struct page_head head = {
        .magic = "LPA", .version = 1, .class = SPILL_CLASS, .bytes = SPILL_EXTENT, .group = number};
    head.magic[3] = 'G';
    memcpy(spill->staging, &head, sizeof(head));
    memset(spill->staging + sizeof(head), 0, PAGE_HEAD - sizeof(head));
    leat_status status =
        file_write(spill->file, spill->staging, SPILL_EXTENT, (uint64_t)place * SPILL_EXTENT, err);
    if (status < 0 || !trim_publish(&trim, place)) {
        place_give(spill, place);
        return status < 0 ? status : error_memory(err, sizeof(struct spill_extent));
    }
    atomic_fetch_add_explicit(&spill->written, SPILL_EXTENT, memory_order_relaxed);
    *bytes = trim.place;
    group_pack(state, trim.home);
    return group_compact(state, &trim, spill->staging, err);
}

void state_spill_counts(const struct state *state, uint64_t *fetched, uint64_t *bytes_written) {
    const struct state_spill *spill = state->spill;
    *fetched = spill ? atomic_load_explicit(&spill->fetched, memory_order_relaxed) : 0;
    *bytes_written = spill ? atomic_load_explicit(&spill->written, memory_order_relaxed) : 0;
}

static int64_t budget_used(const struct state_budget *budget) {
    return atomic_load_explicit(&budget->bytes_used, memory_order_relaxed);
}

/* One round over the groups of a state. False: it freed nothing worth a round. A full extent is
 * worth one although readers may have brought as much back meanwhile. */
static leat_status state_trim_round(struct state *state, int64_t wanted, bool *freed,
                                    leat_error *err) {
    const struct state_budget *budget = state->account.budget;
    int64_t before = budget_used(budget);
    uint32_t fullest = 0;
    for (uint32_t i = 0; i < state->groups && budget_used(budget) > wanted; i++) {
        uint32_t bytes = 0;
        leat_status status =
            group_trim(state, state->spill->next_group++ % state->groups, &bytes, err);
        fullest = bytes > fullest ? bytes : fullest;
        if (status < 0) {
            return status;
        }
    }
    *freed =
        before - budget_used(budget) >= SPILL_EXTENT || fullest >= SPILL_EXTENT - SPILL_EXTENT / 4;
    return LEAT_OK;
}

/* The largest state that may still give something; -1: none. */
static int trim_choose(struct state *const *states, int count, const int *idle) {
    int chosen = -1;
    for (int i = 0; i < count; i++) {
        bool gives = states[i]->spill && idle[i] < 2;
        if (gives && (chosen < 0 || state_bytes(states[i]) > state_bytes(states[chosen]))) {
            chosen = i;
        }
    }
    return chosen;
}

/* Until a state's round frees nothing twice (a record that was asked for is cold at the second
 * visit): what is left is not for the file (indexes, due times, large records), or the file is
 * full. Then the budget refuses, until there is room. */
leat_status state_trim(struct state *const *states, int count, leat_error *err) {
    int idle[STATE_TRIM_MAX] = {0};
    struct state_budget *budget = count > 0 ? states[0]->account.budget : NULL;
    if (!budget || !budget->spill_disk) {
        return LEAT_OK;
    }
    INVARIANT(count <= STATE_TRIM_MAX, "%d states share a budget, at most %d", count,
              STATE_TRIM_MAX);
    int64_t wanted = budget->bytes_max - budget->bytes_max / 64;
    int chosen = 0;
    for (int round = 0; round < TRIM_ROUNDS_MAX && budget_used(budget) > wanted; round++) {
        chosen = trim_choose(states, count, idle);
        if (chosen < 0) {
            break;
        }
        bool freed;
        TRY(state_trim_round(states[chosen], wanted, &freed, err));
        idle[chosen] += !freed;
    }
    /* Readers may have overdrawn it since: the next trim's to mend, not the next put's. */
    bool soft = chosen >= 0 || budget_used(budget) <= budget->bytes_max;
    for (int i = 0; i < count; i++) {
        if (states[i]->spill) {
            atomic_store(&states[i]->account.soft, soft);
        }
    }
    return LEAT_OK;
}

/* --- scrubbing --- */

static leat_status extent_scrub(struct spill_group *group, uint32_t number, uint8_t *data,
                                leat_error *err) {
    struct state *state = group->state;
    struct state_group *home = &state->group[group - state->spill->groups];
    leat_status status = LEAT_OK;
    latch_lock(&home->latch);
    const struct spill_extent *extent = &group->extents[number];
    if (extent->created && extent->lost) {
        status = spill_read(state->spill, extent, 0, data, SPILL_EXTENT, err);
        if (status >= 0) {
            image_clear_dead(group, number, data);
            status = file_write(state->spill->file, data, SPILL_EXTENT,
                                (uint64_t)extent->place * SPILL_EXTENT, err);
        }
    }
    latch_unlock(&home->latch);
    return status;
}

static leat_status places_scrub(struct state_spill *spill, leat_error *err) {
    memset(spill->staging, 0, SPILL_EXTENT);
    leat_status status = LEAT_OK;
    mutex_lock(&spill->mutex);
    for (uint32_t i = 0; i < spill->free_count && status >= 0; i++) {
        status = file_write(spill->file, spill->staging, SPILL_EXTENT,
                            (uint64_t)spill->free_places[i] * SPILL_EXTENT, err);
    }
    mutex_unlock(&spill->mutex);
    return status;
}

leat_status state_scrub(struct state *state, leat_error *err) {
    struct state_spill *spill = state->spill;
    if (!spill) {
        return LEAT_OK;
    }
    for (uint32_t g = 0; g < state->groups; g++) {
        for (uint32_t e = 0; e < spill->groups[g].count; e++) {
            TRY(extent_scrub(&spill->groups[g], e, spill->staging, err));
        }
    }
    return places_scrub(spill, err);
}
