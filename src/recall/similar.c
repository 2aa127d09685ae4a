/* similar: neighbours of what the person did last, both directions, faded by distance. */
#include "recall/channel.h"

#include <stdlib.h>

/* Neighbours of the other direction (what people did before this) say less. */
#define BACKWARD 0.2

struct scored {
    uint64_t item;
    uint64_t because;
    double weight;
};

static int by_weight(const void *left, const void *right) {
    const struct scored *a = left;
    const struct scored *b = right;
    if (a->weight != b->weight) {
        return a->weight < b->weight ? 1 : -1;
    }
    return a->item < b->item ? -1 : a->item > b->item;
}

static int collect(struct scored *out, const struct pairs_neighbour *neighbours, int count,
                   uint64_t because, double factor) {
    for (int i = 0; i < count; i++) {
        out[i] =
            (struct scored){neighbours[i].item, because,
                            ((double)neighbours[i].next + (double)neighbours[i].near) * factor};
    }
    return count;
}

/* Several neighbours of one item count by their best: merging them is ranking's work. */
leat_status recall_similar(const struct recall_request *request, int quota, struct arena *arena,
                           struct candidate_set *set, leat_error *err) {
    int total = 0;
    for (int p = 0; p < request->pairs_count; p++) {
        total += request->pairs[p].out_count + request->pairs[p].in_count;
    }
    if (total == 0 || quota == 0) {
        return LEAT_OK;
    }
    struct scored *scored = ARENA_NEW(arena, struct scored, total);
    if (!scored) {
        return error_memory(err, (size_t)total * sizeof(*scored));
    }
    int count = 0;
    double fade = 1.0;
    for (int p = 0; p < request->pairs_count; p++, fade *= PAIRS_FADE) {
        const struct pairs_view *view = &request->pairs[p];
        count += collect(scored + count, view->out, view->out_count, view->item, fade);
        count += collect(scored + count, view->in, view->in_count, view->item, fade * BACKWARD);
    }
    qsort(scored, (size_t)count, sizeof(*scored), by_weight);
    int before = set->count;
    for (int i = 0; i < count && set->count - before < quota; i++) {
        if (!candidate_set_add(set, scored[i].item, CHANNEL_SIMILAR, scored[i].because)) {
            break;
        }
    }
    return LEAT_OK;
}
