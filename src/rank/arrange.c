#include "base/order.h"
#include "rank/rank.h"

static int of_author(const struct ranked *chosen, int count, uint64_t author) {
    int found = 0;
    for (int i = 0; i < count; i++) {
        found += chosen[i].catalog.author == author;
    }
    return found;
}

/* Copies the best of `order` that the author cap allows; returns how many. */
static int choose(const struct rank_request *request, const struct ranked *candidates,
                  const struct order_entry *order, int count, struct ranked *chosen) {
    int64_t cap = request->surface->fields.author_cap;
    int taken = 0;
    for (int i = 0; i < count && taken < request->count; i++) {
        const struct ranked *next = &candidates[order[i].index];
        uint64_t author = next->catalog.author;
        if (cap == 0 || author == 0 || of_author(chosen, taken, author) < cap) {
            chosen[taken++] = *next;
        }
    }
    return taken;
}

leat_status rank_arrange(const struct rank_request *request, struct ranked *candidates, int *count,
                         struct arena *arena, leat_error *err) {
    struct order_entry *order = ARENA_NEW(arena, struct order_entry, *count + 1);
    struct ranked *chosen = ARENA_NEW(arena, struct ranked, request->count);
    if (!order || !chosen) {
        return error_memory(err, (size_t)request->count * sizeof(*chosen));
    }
    for (int i = 0; i < *count; i++) {
        order[i] = (struct order_entry){candidates[i].value, candidates[i].item, (uint64_t)i};
    }
    bool capped = request->surface->fields.author_cap > 0;
    order_heaviest(order, *count, capped ? *count : request->count);
    int taken = choose(request, candidates, order, *count, chosen);
    memcpy(candidates, chosen, (size_t)taken * sizeof(*candidates));
    *count = taken;
    return LEAT_OK;
}
