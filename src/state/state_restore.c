/* Reading a state back: blocks of records, and pages. */
#include "state/state_file.h"
#include "state/state_slot.h"
#include "state/state_spill.h"

#include <inttypes.h>

static leat_status group_check(const struct state *state, uint32_t group, leat_error *err) {
    return group < state->groups ? LEAT_OK
                                 : error_set(err, LEAT_INVALID, "state %s: no group %u, it has %u",
                                             state->name, group, state->groups);
}

/* --- blocks --- */

static leat_status record_restore(struct state *state, const struct state_record *record,
                                  leat_error *err) {
    const struct state_key *key = &record->key;
    void *data;
    state_enter(state, key->hash);
    leat_status status = state_put(state, key, record->size, &data, err);
    if (status == LEAT_OK) {
        memcpy(data, record->data, record->size);
        status = state_set_due(state, key, record->due_ms);
        if (status < 0) {
            error_retry(err, status, "no room for the due time of a record");
        }
    }
    state_leave(state, key->hash);
    return status;
}

/* Takes back the records of a block that are there. */
static void block_withdraw(struct state *state, const struct bytes *block) {
    struct bytes_reader reader = state_block_records(block);
    struct state_record record;
    while (state_block_next(&reader, &record)) {
        state_enter(state, record.key.hash);
        state_remove(state, &record.key);
        state_leave(state, record.key.hash);
    }
}

static leat_status block_restore(struct state *state, const struct bytes *block, leat_error *err) {
    struct bytes_reader reader = state_block_records(block);
    struct state_record record;
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && state_block_next(&reader, &record)) {
        status = record_restore(state, &record, err);
    }
    if (status < 0) {
        block_withdraw(state, block);
    }
    return status == LEAT_CONFLICT ? LEAT_CORRUPT : status; /* two ids of one hash in a block */
}

leat_status state_restore(struct state *state, uint32_t group, state_source source, void *context,
                          leat_error *err) {
    TRY(group_check(state, group, err));
    if (state->group[group].count != 0) {
        return error_set(err, LEAT_CONFLICT, "state %s: group %u is not empty", state->name, group);
    }
    struct bytes block;
    bytes_init(&block);
    leat_status status = state_block_read(state, group, source, context, &block, err);
    if (status == LEAT_OK) {
        status = block_restore(state, &block, err);
    }
    if (status < 0) {
        error_in(err, status, "restoring state %s, group %u", state->name, group);
    }
    bytes_deinit(&block);
    return status;
}

/* --- pages --- */

static leat_status slot_adopt(struct state *state, struct state_group *group, struct slot *slot,
                              leat_error *err) {
    if (slot->hash != hash_slice(slot_id(slot)) || state_group_of(state, slot->hash) != group) {
        return error_set(err, LEAT_CORRUPT, "a record of page %u does not belong to group %u",
                         (uint32_t)slot->page, group->pages.group);
    }
    if (state_group_find(group, slot->hash, slot->kind, slot->part)) {
        return error_set(err, LEAT_CORRUPT, "a record of page %u of group %u was there before",
                         (uint32_t)slot->page, group->pages.group);
    }
    TRY(state_group_reserve(group, &state->account, err));
    state_group_insert(group, slot);
    atomic_fetch_add_explicit(&state->count, 1, memory_order_relaxed);
    if (slot->due_ms != 0) {
        int64_t due_ms = slot->due_ms;
        slot->due_ms = 0;
        leat_status status = state_slot_set_due(state, group, slot, due_ms);
        return status < 0 ? error_retry(err, status, "no room for the due time of a record")
                          : status;
    }
    return LEAT_OK;
}

static leat_status page_adopt(struct state *state, struct state_group *group,
                              const struct state_page_image *page, leat_error *err) {
    struct page_ref *ref;
    TRY(state_pages_adopt(&group->pages, page, &ref, err));
    for (uint32_t i = 0; i < ref->slots; i++) {
        const struct slot *slot = state_page_slot(ref->page, i);
        if (slot) {
            TRY(slot_adopt(state, group, (struct slot *)slot, err));
        }
    }
    return LEAT_OK;
}

/* Records of an extent become records of pages, which count as changed. */
static leat_status extent_adopt(struct state *state, const struct state_page_image *image,
                                leat_error *err) {
    TRY(state_spill_check(image, image->group, err));
    uint32_t cursor = 0;
    const struct slot *slot;
    while ((slot = state_image_next(image->data, &cursor)) != NULL) {
        struct state_record record = slot_record(slot);
        uint32_t size;
        if (slot->hash != hash_slice(slot_id(slot)) ||
            key_group_of(slot->hash, state->groups) != image->group) {
            return error_set(err, LEAT_CORRUPT, "a record does not belong to the group");
        }
        state_enter(state, slot->hash);
        bool there = state_get(state, &record.key, &size, NULL) != NULL;
        state_leave(state, slot->hash);
        if (there) {
            return error_set(err, LEAT_CORRUPT, "a record was there before");
        }
        TRY(record_restore(state, &record, err));
    }
    return LEAT_OK;
}

/* A version that no state comes to: pages changed while pages are restored. */
#define RESTORE_VERSION ((uint64_t)1 << 62)

leat_status state_restore_page(struct state *state, const struct state_page_image *page,
                               leat_error *err) {
    TRY(group_check(state, page->group, err));
    state->version = RESTORE_VERSION;
    struct state_group *group = &state->group[page->group];
    leat_status status;
    if (page->number >= PAGE_NUMBERS) {
        status = extent_adopt(state, page, err);
    } else {
        latch_lock(&group->latch);
        status = page_adopt(state, group, page, err);
        latch_unlock(&group->latch);
    }
    if (status >= 0) {
        status = state_trim(&state, 1, err);
    }
    if (status < 0) {
        error_in(err, status, "restoring state %s, group %u, page %u", state->name, page->group,
                 page->number);
    }
    return status;
}

leat_status state_restore_end(struct state *state, uint64_t version, leat_error *err) {
    if (version >= RESTORE_VERSION) {
        return error_set(err, LEAT_CORRUPT, "state %s: version %" PRIu64, state->name, version);
    }
    for (uint32_t g = 0; g < state->groups; g++) {
        const struct state_pages *pages = &state->group[g].pages;
        for (uint32_t i = 0; i < pages->count; i++) {
            struct page_ref *ref = &pages->refs[i];
            if (ref->page && ref->version > version && ref->version != RESTORE_VERSION) {
                return error_set(err, LEAT_CORRUPT,
                                 "state %s: page %u of group %u is newer than version %" PRIu64,
                                 state->name, i, g, version);
            }
            ref->version = ref->version == RESTORE_VERSION ? version + 1 : ref->version;
        }
        if (state->group[g].spill) {
            state_spill_restored(state->group[g].spill, version + 1);
        }
    }
    state->version = version + 1;
    return LEAT_OK;
}
