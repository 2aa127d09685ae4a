#include "app/baseline.h"

#include "base/map.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>

#define HALF_LIFE_MS 14400000.0
#define STEP_WEIGHT  0.8

/* Pairs grow with time instead of fading one by one; beyond 2^GROWTH_MAX all are scaled back. */
#define GROWTH_MAX 500.0

struct edge {
    uint32_t to;
    double weight; /* times 2^((now - base) / half-life) */
};

struct item {
    uint32_t id;
    uint32_t clicks; /* in the window */
    uint32_t active; /* its place among the active, when it has clicks */
    uint32_t edge_count;
    uint32_t edge_capacity;
    struct edge *edges;
    double score; /* of the query under way; 0 between queries */
};

struct window_click {
    int64_t time_ms;
    uint32_t item;
};

struct baseline {
    struct map numbers; /* id -> index in items */
    struct item *items;
    uint32_t item_count, item_capacity;
    uint32_t *active; /* items with clicks in the window; as large as items */
    uint32_t active_count;
    uint32_t *scored; /* items that the query under way gave a score; as large as items */
    uint32_t scored_count;
    struct window_click *window; /* [begin, end) is the last hour */
    size_t window_begin, window_end, window_capacity;
    struct map edge_at; /* from << 32 | to -> index in the item's edges */
    int64_t base_ms;
    bool started;
};

leat_status baseline_create(struct baseline **out, leat_error *err) {
    struct baseline *baseline = memory_zalloc(sizeof(*baseline));
    if (!baseline) {
        return error_memory(err, sizeof(*baseline));
    }
    map_init(&baseline->numbers);
    map_init(&baseline->edge_at);
    *out = baseline;
    return LEAT_OK;
}

void baseline_destroy(struct baseline *baseline) {
    if (!baseline) {
        return;
    }
    for (uint32_t i = 0; i < baseline->item_count; i++) {
        memory_free(baseline->items[i].edges);
    }
    map_deinit(&baseline->numbers);
    map_deinit(&baseline->edge_at);
    memory_free(baseline->items);
    memory_free(baseline->active);
    memory_free(baseline->scored);
    memory_free(baseline->window);
    memory_free(baseline);
}

/* --- items --- */

static bool resize(void **array, size_t bytes) {
    void *moved = memory_resize(*array, bytes);
    if (moved) {
        *array = moved;
    }
    return moved != NULL;
}

static leat_status items_grow(struct baseline *baseline, leat_error *err) {
    uint32_t capacity = baseline->item_capacity ? 2 * baseline->item_capacity : 1024;
    if (!resize((void **)&baseline->items, capacity * sizeof(struct item)) ||
        !resize((void **)&baseline->active, capacity * sizeof(uint32_t)) ||
        !resize((void **)&baseline->scored, capacity * sizeof(uint32_t))) {
        return error_memory(err, capacity * sizeof(struct item));
    }
    baseline->item_capacity = capacity;
    return LEAT_OK;
}

static leat_status item_at(struct baseline *baseline, uint32_t id, uint32_t *out, leat_error *err) {
    uint64_t *known = map_find(&baseline->numbers, id);
    if (known) {
        *out = (uint32_t)*known;
        return LEAT_OK;
    }
    if (baseline->item_count == baseline->item_capacity) {
        TRY(items_grow(baseline, err));
    }
    uint64_t *number = map_at(&baseline->numbers, id, NULL);
    if (!number) {
        return error_memory(err, sizeof(*number));
    }
    *out = baseline->item_count++;
    *number = *out;
    baseline->items[*out] = (struct item){.id = id};
    return LEAT_OK;
}

/* --- the last hour --- */

static void count_click(struct baseline *baseline, uint32_t number) {
    struct item *item = &baseline->items[number];
    if (item->clicks++ == 0) {
        item->active = baseline->active_count;
        baseline->active[baseline->active_count++] = number;
    }
}

static void discount_click(struct baseline *baseline, uint32_t number) {
    struct item *item = &baseline->items[number];
    if (--item->clicks == 0) {
        uint32_t last = baseline->active[--baseline->active_count];
        baseline->active[item->active] = last;
        baseline->items[last].active = item->active;
    }
}

static void window_expire(struct baseline *baseline, int64_t now_ms) {
    while (baseline->window_begin < baseline->window_end &&
           baseline->window[baseline->window_begin].time_ms <= now_ms - BASELINE_WINDOW_MS) {
        discount_click(baseline, baseline->window[baseline->window_begin++].item);
    }
}

static leat_status window_add(struct baseline *baseline, int64_t time_ms, uint32_t number,
                              leat_error *err) {
    if (baseline->window_end == baseline->window_capacity) {
        size_t held = baseline->window_end - baseline->window_begin;
        if (held > baseline->window_capacity / 2 || held == 0) {
            size_t capacity = baseline->window_capacity ? 2 * baseline->window_capacity : 4096;
            if (!resize((void **)&baseline->window, capacity * sizeof(struct window_click))) {
                return error_memory(err, capacity * sizeof(struct window_click));
            }
            baseline->window_capacity = capacity;
        }
        memmove(baseline->window, baseline->window + baseline->window_begin,
                held * sizeof(struct window_click));
        baseline->window_begin = 0;
        baseline->window_end = held;
    }
    baseline->window[baseline->window_end++] = (struct window_click){time_ms, number};
    count_click(baseline, number);
    return LEAT_OK;
}

/* --- pairs --- */

static double growth_at(const struct baseline *baseline, int64_t time_ms) {
    return (double)(time_ms - baseline->base_ms) / HALF_LIFE_MS;
}

static void scale_back(struct baseline *baseline, int64_t time_ms) {
    double scale = exp2(-growth_at(baseline, time_ms));
    for (uint32_t i = 0; i < baseline->item_count; i++) {
        for (uint32_t k = 0; k < baseline->items[i].edge_count; k++) {
            baseline->items[i].edges[k].weight *= scale;
        }
    }
    baseline->base_ms = time_ms;
}

static leat_status edge_add(struct baseline *baseline, uint32_t from, uint32_t to, double weight,
                            leat_error *err) {
    struct item *item = &baseline->items[from];
    if (item->edge_count == item->edge_capacity) {
        uint32_t capacity = item->edge_capacity ? 2 * item->edge_capacity : 4;
        if (!resize((void **)&item->edges, capacity * sizeof(struct edge))) {
            return error_memory(err, capacity * sizeof(struct edge));
        }
        item->edge_capacity = capacity;
    }
    bool added;
    uint64_t *at = map_at(&baseline->edge_at, (uint64_t)from << 32 | to, &added);
    if (!at) {
        return error_memory(err, sizeof(*at));
    }
    if (added) {
        *at = item->edge_count++;
        item->edges[*at] = (struct edge){to, 0};
    }
    item->edges[*at].weight += weight;
    return LEAT_OK;
}

static struct session_items last_of(struct session_items session) {
    int count = session.count < BASELINE_LAST ? session.count : BASELINE_LAST;
    return (struct session_items){session.items + session.count - count, count};
}

static leat_status pairs_add(struct baseline *baseline, int64_t time_ms,
                             struct session_items session, uint32_t number, leat_error *err) {
    if (growth_at(baseline, time_ms) > GROWTH_MAX) {
        scale_back(baseline, time_ms);
    }
    double weight = exp2(growth_at(baseline, time_ms));
    struct session_items last = last_of(session);
    for (int i = 0; i < last.count; i++) {
        uint32_t other;
        TRY(item_at(baseline, last.items[i], &other, err));
        TRY(edge_add(baseline, other, number, weight, err));
        TRY(edge_add(baseline, number, other, weight, err));
    }
    return LEAT_OK;
}

leat_status baseline_tell(struct baseline *baseline, int64_t time_ms, struct session_items session,
                          uint32_t item, leat_error *err) {
    if (!baseline->started) {
        baseline->base_ms = time_ms;
        baseline->started = true;
    }
    uint32_t number;
    window_expire(baseline, time_ms);
    TRY(item_at(baseline, item, &number, err));
    TRY(window_add(baseline, time_ms, number, err));
    return pairs_add(baseline, time_ms, session, number, err);
}

/* --- ranks --- */

static void score_query(struct baseline *baseline, struct session_items session) {
    struct session_items last = last_of(session);
    double weight = 1;
    for (int i = last.count - 1; i >= 0; i--, weight *= STEP_WEIGHT) {
        const uint64_t *number = map_find(&baseline->numbers, last.items[i]);
        const struct item *item = number ? &baseline->items[*number] : NULL;
        for (uint32_t k = 0; item && k < item->edge_count; k++) {
            struct item *other = &baseline->items[item->edges[k].to];
            if (!(other->score > 0)) {
                baseline->scored[baseline->scored_count++] = item->edges[k].to;
            }
            other->score += weight * item->edges[k].weight;
        }
    }
}

static void score_clear(struct baseline *baseline) {
    for (uint32_t i = 0; i < baseline->scored_count; i++) {
        baseline->items[baseline->scored[i]].score = 0;
    }
    baseline->scored_count = 0;
}

static bool more_popular(const struct item *a, const struct item *b) {
    return a->clicks != b->clicks ? a->clicks > b->clicks : a->id < b->id;
}

static bool stands_before(const struct item *a, const struct item *b) {
    if (a->score > b->score || a->score < b->score) {
        return a->score > b->score;
    }
    return more_popular(a, b);
}

static bool is_own(struct session_items session, uint32_t id) {
    for (int i = 0; i < session.count; i++) {
        if (session.items[i] == id) {
            return true;
        }
    }
    return false;
}

static int rank_popular(const struct baseline *baseline, struct session_items session,
                        const struct item *item) {
    int rank = 1;
    for (uint32_t i = 0; i < baseline->active_count; i++) {
        const struct item *other = &baseline->items[baseline->active[i]];
        rank += more_popular(other, item) && !is_own(session, other->id);
    }
    return item->clicks > 0 ? rank : 0;
}

static int rank_cooccurrence(const struct baseline *baseline, struct session_items session,
                             const struct item *item) {
    int rank = 1;
    for (uint32_t i = 0; i < baseline->scored_count; i++) {
        const struct item *other = &baseline->items[baseline->scored[i]];
        rank += stands_before(other, item) && !is_own(session, other->id);
    }
    if (item->score > 0) {
        return rank;
    }
    for (uint32_t i = 0; i < baseline->active_count; i++) {
        const struct item *other = &baseline->items[baseline->active[i]];
        rank += !(other->score > 0) && more_popular(other, item) && !is_own(session, other->id);
    }
    return item->clicks > 0 ? rank : 0;
}

struct baseline_ranks baseline_rank(struct baseline *baseline, int64_t now_ms,
                                    struct session_items session, uint32_t item) {
    struct baseline_ranks ranks = {0, 0};
    window_expire(baseline, now_ms);
    const uint64_t *number = map_find(&baseline->numbers, item);
    if (!number || is_own(session, item)) {
        return ranks;
    }
    const struct item *true_item = &baseline->items[*number];
    ranks.popular = rank_popular(baseline, session, true_item);
    score_query(baseline, session);
    ranks.cooccurrence = rank_cooccurrence(baseline, session, true_item);
    score_clear(baseline);
    return ranks;
}
