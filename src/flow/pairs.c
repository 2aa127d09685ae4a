#include "flow/pairs.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/decay.h"

/* A record is one side of an item, so that a side grows on its own; its kind is enum
 * pairs_side. Weights are forward-decayed from the record's base, `near` with its longer half-life.
 */
struct side_record {
    int64_t base_ms;
    double next, near; /* totals of all weights ever added */
    uint64_t count;
    struct pairs_kept neighbours[];
};

struct pairs {
    struct state *state;
    int64_t half_life_ms;
    uint64_t kept_max;
};

leat_status pairs_open(const struct config *config, struct state_budget *budget, struct pairs **out,
                       leat_error *err) {
    struct pairs *pairs = memory_zalloc(sizeof(*pairs));
    if (!pairs) {
        return error_memory(err, sizeof(*pairs));
    }
    pairs->half_life_ms = config->flow.pair_half_life;
    pairs->kept_max = (uint64_t)config->flow.neighbours;
    struct state_options options = {
        .name = "pairs", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = state_open(&options, &pairs->state, err);
    if (status < 0) {
        memory_free(pairs);
        return status;
    }
    *out = pairs;
    return LEAT_OK;
}

void pairs_close(struct pairs *pairs) {
    if (pairs) {
        state_close(pairs->state);
        memory_free(pairs);
    }
}

struct state *pairs_state(struct pairs *pairs) {
    return pairs->state;
}

static uint32_t side_size(uint64_t capacity) {
    return (uint32_t)(sizeof(struct side_record) + capacity * sizeof(struct pairs_kept));
}

static uint64_t side_capacity(uint32_t size) {
    return (size - sizeof(struct side_record)) / sizeof(struct pairs_kept);
}

static void side_renew(struct side_record *side, int64_t time_ms, int64_t half_life_ms) {
    double next = 1.0 / decay_factor(time_ms, side->base_ms, half_life_ms);
    double near = 1.0 / decay_factor(time_ms, side->base_ms, PAIRS_NEAR_LIVES * half_life_ms);
    for (uint64_t i = 0; i < side->count; i++) {
        side->neighbours[i].next *= next;
        side->neighbours[i].near *= near;
    }
    side->next *= next;
    side->near *= near;
    side->base_ms = time_ms;
}

/* What one unit of each weight that is added now is stored as. */
struct units {
    double next, near;
};

static double heaviness(const struct pairs_kept *neighbour, struct units worth) {
    return neighbour->next * worth.next + neighbour->near * worth.near;
}

/* The place for a neighbour that is not there yet: a free one, or the lightest one's. Stored sizes
 * of the two weights cannot be added up, for their half-lives differ: they are weighed as of the
 * row's time, or as of the base where the row is older. */
static struct pairs_kept *side_place(struct side_record *side, uint64_t kept_max,
                                     struct units unit) {
    if (side->count < kept_max) {
        return &side->neighbours[side->count++];
    }
    const struct units worth = {1.0 / fmax(unit.next, 1.0),
                                PAIRS_NEAR_WEIGHT / fmax(unit.near, 1.0)};
    struct pairs_kept *lightest = &side->neighbours[0];
    double least = heaviness(lightest, worth);
    for (uint64_t i = 1; i < side->count; i++) {
        double weight = heaviness(&side->neighbours[i], worth);
        if (weight < least) {
            lightest = &side->neighbours[i];
            least = weight;
        }
    }
    return lightest;
}

static void side_add(struct side_record *side, uint64_t kept_max, uint64_t item, int distance,
                     double fade, struct units unit) {
    double next = distance == 0 ? unit.next : 0;
    double near = fade * unit.near;
    side->next += next;
    side->near += near;
    for (uint64_t i = 0; i < side->count; i++) {
        if (side->neighbours[i].item == item) {
            side->neighbours[i].next += next;
            side->neighbours[i].near += near;
            return;
        }
    }
    *side_place(side, kept_max, unit) = (struct pairs_kept){item, next, near};
}

/* `id` is absent where only the hash is known: then the record must be there already. */
static struct side_record *side_at(struct pairs *pairs, const struct state_key *key,
                                   int64_t time_ms) {
    uint32_t size = 0;
    void *record = state_edit(pairs->state, key, &size);
    uint64_t count = record ? ((struct side_record *)record)->count : 0;
    bool full = record && count == side_capacity(size) && count < pairs->kept_max;
    if (!record || full) {
        uint64_t capacity = count == 0 ? 4 : 2 * count;
        capacity = capacity < pairs->kept_max ? capacity : pairs->kept_max;
        if (state_put(pairs->state, key, side_size(capacity), &record, NULL) < 0) {
            return NULL;
        }
    }
    struct side_record *side = record;
    if (side->count == 0) {
        side->base_ms = time_ms;
    }
    if ((double)(time_ms - side->base_ms) > DECAY_RENEW * (double)pairs->half_life_ms) {
        side_renew(side, time_ms, pairs->half_life_ms);
    }
    return side;
}

static void side_push(struct pairs *pairs, const struct state_key *key, uint64_t neighbour,
                      int distance, double fade, int64_t time_ms) {
    state_enter(pairs->state, key->hash);
    struct side_record *side = side_at(pairs, key, time_ms);
    if (side) {
        struct units unit = {
            decay_factor(time_ms, side->base_ms, pairs->half_life_ms),
            decay_factor(time_ms, side->base_ms, PAIRS_NEAR_LIVES * pairs->half_life_ms)};
        side_add(side, pairs->kept_max, neighbour, distance, fade, unit);
    }
    state_leave(pairs->state, key->hash);
}

/* An item of the session has both records already, made when it was acted on itself. */
void pairs_begin(struct pairs *pairs, struct slice item, uint64_t hash, int64_t time_ms) {
    state_enter(pairs->state, hash);
    for (uint32_t kind = PAIRS_OUT; kind <= PAIRS_IN; kind++) {
        struct state_key key = {hash, item, kind, 0};
        side_at(pairs, &key, time_ms);
    }
    state_leave(pairs->state, hash);
}

void pairs_link(struct pairs *pairs, struct slice item, uint64_t hash, enum pairs_side side,
                uint64_t neighbour, int distance, int64_t time_ms) {
    double fade = 1.0;
    for (int i = 0; i < distance; i++) {
        fade *= PAIRS_FADE;
    }
    struct state_key key = {hash, item, side, 0};
    side_push(pairs, &key, neighbour, distance, fade, time_ms);
}

void pairs_push(struct pairs *pairs, const struct row *row, const uint64_t *session, int count) {
    const struct slice unknown = {NULL, 0};
    pairs_begin(pairs, row->item, row->item_hash, row->time_ms);
    int distance = 0;
    for (int i = 0; i < count && distance < PAIRS_BACK; i++) {
        if (session[i] == row->item_hash) {
            continue;
        }
        pairs_link(pairs, unknown, session[i], PAIRS_OUT, row->item_hash, distance, row->time_ms);
        pairs_link(pairs, row->item, row->item_hash, PAIRS_IN, session[i], distance, row->time_ms);
        distance++;
    }
}

void pairs_ahead(const struct pairs *pairs, const uint64_t *items, int count) {
    struct state_key keys[ROW_AHEAD_MAX];
    for (uint32_t kind = PAIRS_OUT; kind <= PAIRS_IN; kind++) {
        for (int i = 0; i < count; i++) {
            keys[i] = (struct state_key){.hash = items[i], .kind = kind};
        }
        state_prefetch(pairs->state, keys, count);
    }
}

static bool copy_side(const struct side_record *side, struct arena *arena,
                      struct pairs_copied *out) {
    *out = (struct pairs_copied){0};
    if (!side || side->count == 0) {
        return true;
    }
    size_t bytes = side->count * sizeof(struct pairs_kept);
    struct pairs_kept *kept = arena_alloc(arena, bytes);
    if (!kept) {
        return false;
    }
    memcpy(kept, side->neighbours, bytes);
    *out = (struct pairs_copied){(int)side->count, side->next, side->near, kept};
    return true;
}

bool pairs_copy(struct pairs *pairs, uint64_t item, struct arena *arena,
                struct pairs_copied out[2]) {
    bool fits = true;
    uint32_t size;
    state_enter(pairs->state, item);
    for (uint32_t kind = PAIRS_OUT; kind <= PAIRS_IN; kind++) {
        struct state_key key = {item, {NULL, 0}, kind, 0};
        const void *side = state_get(pairs->state, &key, &size, NULL);
        fits = copy_side(side, arena, &out[kind]) && fits;
    }
    state_leave(pairs->state, item);
    return fits;
}

static const struct pairs_neighbour *view_side(const struct side_record *side, struct arena *arena,
                                               int *count) {
    *count = 0;
    if (!side || side->count == 0) {
        return NULL;
    }
    struct pairs_neighbour *out = ARENA_NEW(arena, struct pairs_neighbour, side->count);
    for (uint64_t i = 0; out && i < side->count; i++) {
        const struct pairs_kept *neighbour = &side->neighbours[i];
        out[i].item = neighbour->item;
        out[i].next = pairs_share(neighbour->next, side->next);
        out[i].near = pairs_share(neighbour->near, side->near);
        *count = (int)i + 1;
    }
    return out;
}

bool pairs_read(struct pairs *pairs, uint64_t item, struct arena *arena, struct pairs_view *out) {
    *out = (struct pairs_view){.item = item};
    struct state_key key = {item, {NULL, 0}, PAIRS_OUT, 0};
    uint32_t size;
    state_enter(pairs->state, item);
    out->out = view_side(state_get(pairs->state, &key, &size, NULL), arena, &out->out_count);
    key.kind = PAIRS_IN;
    out->in = view_side(state_get(pairs->state, &key, &size, NULL), arena, &out->in_count);
    state_leave(pairs->state, item);
    return out->out_count > 0 || out->in_count > 0;
}
