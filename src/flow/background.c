#include "flow/background.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include "flow/decay.h"

enum { BACKGROUND_TOTALS = 0, BACKGROUND_RING = 1 };

struct totals_record {
    int64_t time_ms; /* volume is as of this time */
    double volume[TALLY_SCALES];
    uint64_t chances[CONFIG_ACTIONS_MAX], positives[CONFIG_ACTIONS_MAX];
};

struct ring_record {
    uint64_t added; /* in all; the newest is at (added - 1) % length */
    uint64_t items[];
};

struct background {
    const struct config *config;
    struct state *state;
    uint64_t length;                        /* of a ring */
    uint64_t hashes[CONFIG_SURFACES_MAX];   /* of the surfaces' names */
    struct map counts[CONFIG_SURFACES_MAX]; /* item -> times in the ring; derived */
};

leat_status background_open(const struct config *config, struct state_budget *budget,
                            struct background **out, leat_error *err) {
    struct background *background = memory_zalloc(sizeof(*background));
    if (!background) {
        return error_memory(err, sizeof(*background));
    }
    background->config = config;
    background->length = (uint64_t)config->flow.negative_ring;
    for (int s = 0; s < CONFIG_SURFACES_MAX; s++) {
        map_init(&background->counts[s]);
    }
    for (int s = 0; s < config->surface_count; s++) {
        background->hashes[s] = hash_slice(slice_of(config->surfaces[s].name));
    }
    struct state_options options = {
        .name = "background", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = state_open(&options, &background->state, err);
    if (status < 0) {
        memory_free(background);
        return status;
    }
    *out = background;
    return LEAT_OK;
}

void background_close(struct background *background) {
    if (background) {
        for (int s = 0; s < CONFIG_SURFACES_MAX; s++) {
            map_deinit(&background->counts[s]);
        }
        state_close(background->state);
        memory_free(background);
    }
}

struct state *background_state(struct background *background) {
    return background->state;
}

static struct state_key surface_key(const struct background *background, int surface,
                                    uint32_t kind) {
    struct slice name = slice_of(background->config->surfaces[surface].name);
    return (struct state_key){background->hashes[surface], name, kind, 0};
}

static void *record_at(struct background *background, const struct state_key *key, uint32_t size) {
    uint32_t have;
    void *record = state_edit(background->state, key, &have);
    if (!record && state_put(background->state, key, size, &record, NULL) < 0) {
        return NULL;
    }
    return record;
}

/* --- the ring --- */

static void count_add(struct map *counts, uint64_t item, int64_t change) {
    uint64_t *count = map_at(counts, item, NULL);
    if (count) {
        *count = (uint64_t)((int64_t)*count + change);
        if (*count == 0) {
            map_remove(counts, item);
        }
    }
}

static struct background_change ring_push(struct background *background, const struct row *row) {
    struct background_change change = {0};
    struct state_key key = surface_key(background, row->surface, BACKGROUND_RING);
    struct ring_record *ring =
        record_at(background, &key,
                  (uint32_t)(sizeof(struct ring_record) + background->length * sizeof(uint64_t)));
    if (!ring) {
        return change;
    }
    uint64_t *place = &ring->items[ring->added % background->length];
    change.entered = true;
    change.left = ring->added >= background->length ? *place : 0;
    *place = row->item_hash;
    ring->added++;
    return change;
}

static uint64_t ring_held(const struct background *background, const struct ring_record *ring) {
    return ring->added < background->length ? ring->added : background->length;
}

uint64_t background_draws(struct background *background, int surface, const uint64_t *chances,
                          int count, uint64_t *items) {
    struct state_key key = surface_key(background, surface, BACKGROUND_RING);
    uint32_t size;
    state_enter(background->state, key.hash);
    const struct ring_record *ring = state_get(background->state, &key, &size, NULL);
    uint64_t held = ring ? ring_held(background, ring) : 0;
    for (int i = 0; i < count; i++) {
        items[i] = held > 0 ? ring->items[chances[i] % held] : 0;
    }
    state_leave(background->state, key.hash);
    return held;
}

uint64_t background_draw(struct background *background, int surface, uint64_t chance) {
    uint64_t item;
    background_draws(background, surface, &chance, 1, &item);
    return item;
}

uint64_t background_times(const struct background *background, int surface, uint64_t item) {
    const uint64_t *count = map_find(&background->counts[surface], item);
    return count ? *count : 0;
}

double background_share(struct background *background, int surface, uint64_t item) {
    uint64_t held = background_draws(background, surface, NULL, 0, NULL);
    uint64_t times = background_times(background, surface, item);
    return held > 0 ? (double)times / (double)held : 0;
}

/* --- totals --- */

static void volume_add(const struct background *background, struct totals_record *totals,
                       const struct row *row) {
    const int64_t longer[TALLY_SCALES] = {background->config->flow.trending_half_life, 3600000,
                                          86400000};
    for (int s = 0; s < TALLY_SCALES; s++) {
        if (row->time_ms > totals->time_ms) {
            totals->volume[s] *= decay_at(1.0, totals->time_ms, row->time_ms, longer[s]);
            totals->volume[s] += 1.0;
        } else {
            totals->volume[s] += decay_at(1.0, row->time_ms, totals->time_ms, longer[s]);
        }
    }
    totals->time_ms = row->time_ms > totals->time_ms ? row->time_ms : totals->time_ms;
}

static void totals_push(struct background *background, const struct row *row) {
    const struct config *config = background->config;
    struct state_key key = surface_key(background, row->surface, BACKGROUND_TOTALS);
    struct totals_record *totals = record_at(background, &key, sizeof(struct totals_record));
    if (!totals) {
        return;
    }
    for (int t = 0; t < config->action_count; t++) {
        bool whole = config->actions[t].fields.threshold > 0;
        totals->chances[t] += row->kind == ROW_ACTION ? whole && t == row->action : !whole;
    }
    if (row->kind == ROW_ACTION && row_is_positive(config, row)) {
        totals->positives[row->action]++;
    }
    if (row->kind == ROW_ACTION && row_is_liked(config, row)) {
        volume_add(background, totals, row);
    }
}

struct background_change background_push_kept(struct background *background,
                                              const struct row *row) {
    struct background_change change = {0};
    if (!row->item.data || (row->kind != ROW_ACTION && !row_is_showing(background->config, row))) {
        return change;
    }
    uint64_t hash = background->hashes[row->surface];
    state_enter(background->state, hash);
    totals_push(background, row);
    if (row->kind == ROW_ACTION && row_is_liked(background->config, row)) {
        change = ring_push(background, row);
    }
    state_leave(background->state, hash);
    return change;
}

void background_push_counts(struct background *background, const struct row *row,
                            struct background_change change) {
    struct map *counts = &background->counts[row->surface];
    if (change.left != 0) {
        count_add(counts, change.left, -1);
    }
    if (change.entered) {
        count_add(counts, row->item_hash, 1);
    }
}

void background_push(struct background *background, const struct row *row) {
    background_push_counts(background, row, background_push_kept(background, row));
}

void background_read(struct background *background, int surface, int64_t now_ms,
                     struct background_view *out) {
    memset(out, 0, sizeof(*out));
    const int64_t longer[TALLY_SCALES] = {background->config->flow.trending_half_life, 3600000,
                                          86400000};
    struct state_key key = surface_key(background, surface, BACKGROUND_TOTALS);
    uint32_t size;
    state_enter(background->state, key.hash);
    const struct totals_record *totals = state_get(background->state, &key, &size, NULL);
    if (totals) {
        for (int s = 0; s < TALLY_SCALES; s++) {
            out->volume[s] = decay_at(totals->volume[s], totals->time_ms, now_ms, longer[s]);
        }
        memcpy(out->chances, totals->chances, sizeof(out->chances));
        memcpy(out->positives, totals->positives, sizeof(out->positives));
    }
    state_leave(background->state, key.hash);
}

leat_status background_restored(struct background *background, leat_error *err) {
    for (int s = 0; s < background->config->surface_count; s++) {
        struct map *counts = &background->counts[s];
        map_clear(counts);
        struct state_key key = surface_key(background, s, BACKGROUND_RING);
        uint32_t size;
        state_enter(background->state, key.hash);
        const struct ring_record *ring = state_get(background->state, &key, &size, NULL);
        bool fits = !ring || size == sizeof(*ring) + background->length * sizeof(uint64_t);
        for (uint64_t i = 0; ring && fits && i < ring_held(background, ring); i++) {
            count_add(counts, ring->items[i], 1);
        }
        state_leave(background->state, key.hash);
        if (!fits) {
            return error_set(err, LEAT_CONFLICT,
                             "flow.negative_ring: the checkpoint was made with another length; set "
                             "it back, or remove the checkpoints to replay the log");
        }
    }
    return LEAT_OK;
}
