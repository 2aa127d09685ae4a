#include "flow/dedup.h"

#include "base/memory.h"

struct dedup {
    struct state *state;
    int64_t window_ms;
};

enum { DEDUP_ID = 0, DEDUP_BATCH = 32 };

leat_status dedup_open(const struct config *config, struct state_budget *budget, struct dedup **out,
                       leat_error *err) {
    struct dedup *dedup = memory_zalloc(sizeof(*dedup));
    if (!dedup) {
        return error_memory(err, sizeof(*dedup));
    }
    dedup->window_ms = config->flow.dedup;
    struct state_options options = {
        .name = "dedup", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = state_open(&options, &dedup->state, err);
    if (status < 0) {
        memory_free(dedup);
        return status;
    }
    *out = dedup;
    return LEAT_OK;
}

void dedup_close(struct dedup *dedup) {
    if (dedup) {
        state_close(dedup->state);
        memory_free(dedup);
    }
}

struct state *dedup_state(struct dedup *dedup) {
    return dedup->state;
}

static bool push_one(struct dedup *dedup, const struct dedup_row *row) {
    if (!row->id.data) {
        return true;
    }
    const struct state_key key = {row->hash, row->id, DEDUP_ID, 0};
    state_enter(dedup->state, key.hash);
    uint32_t size;
    bool first = state_get(dedup->state, &key, &size, NULL) == NULL;
    void *record;
    /* An empty record is enough: that it is there says that the id was seen. Without a due time it
     * would never be forgotten. */
    if (first && state_put(dedup->state, &key, 0, &record, NULL) >= 0 &&
        state_set_due(dedup->state, &key, row->now_ms + dedup->window_ms) < 0) {
        state_remove(dedup->state, &key);
    }
    state_leave(dedup->state, key.hash);
    return first;
}

bool dedup_push(struct dedup *dedup, const struct row *row) {
    return push_one(dedup, &(struct dedup_row){row->id, dedup_hash(row->id), row->now_ms});
}

void dedup_push_batch(struct dedup *dedup, const struct dedup_row *rows, int count, bool *passes) {
    struct state_key keys[DEDUP_BATCH];
    for (int from = 0; from < count; from += DEDUP_BATCH) {
        int end = from + DEDUP_BATCH < count ? from + DEDUP_BATCH : count;
        for (int i = from; i < end; i++) {
            keys[i - from] = (struct state_key){rows[i].hash, rows[i].id, DEDUP_ID, 0};
        }
        state_prefetch(dedup->state, keys, end - from);
        for (int i = from; i < end; i++) {
            passes[i] = push_one(dedup, &rows[i]);
        }
    }
}

void dedup_now_in(struct dedup *dedup, uint32_t first_group, uint32_t end_group, int64_t now_ms) {
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    while (state_next_due_in(dedup->state, STATE_APPEND_TIME, first_group, end_group, now_ms, &key,
                             id, &due_ms)) {
        state_enter(dedup->state, key.hash);
        state_remove(dedup->state, &key);
        state_leave(dedup->state, key.hash);
    }
}

void dedup_now(struct dedup *dedup, int64_t now_ms) {
    dedup_now_in(dedup, 0, state_groups(dedup->state), now_ms);
}
