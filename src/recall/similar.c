/* similar: neighbours of what the person did last, both directions, faded by distance. */
#include "base/order.h"
#include "recall/channel.h"

/* Neighbours of the other direction (what people did before this) say less. */
#define BACKWARD 0.2

/* `because`: place of the session's item, kept in the entry's index. */
static int collect(struct order_entry *out, const struct pairs_neighbour *neighbours, int count,
                   int because, double factor) {
    for (int i = 0; i < count; i++) {
        double share = (double)neighbours[i].next + (double)neighbours[i].near;
        out[i] = (struct order_entry){share * factor, neighbours[i].item, (uint64_t)because};
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
    struct order_entry *scored = ARENA_NEW(arena, struct order_entry, total);
    if (!scored) {
        return error_memory(err, (size_t)total * sizeof(*scored));
    }
    int count = 0;
    double fade = 1.0;
    for (int p = 0; p < request->pairs_count; p++, fade *= PAIRS_FADE) {
        const struct pairs_view *view = &request->pairs[p];
        count += collect(scored + count, view->out, view->out_count, p, fade);
        count += collect(scored + count, view->in, view->in_count, p, fade * BACKWARD);
    }
    order_heaviest(scored, count, count);
    int before = set->count;
    for (int i = 0; i < count && set->count - before < quota; i++) {
        if (!candidate_set_add(set, scored[i].key, CHANNEL_SIMILAR,
                               request->pairs[scored[i].index].item)) {
            break;
        }
    }
    return LEAT_OK;
}
