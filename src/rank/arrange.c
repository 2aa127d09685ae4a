#include "rank/rank.h"

#include <stdlib.h>

static int by_value(const void *left, const void *right) {
    const struct ranked *a = *(struct ranked *const *)left;
    const struct ranked *b = *(struct ranked *const *)right;
    if (a->value != b->value) {
        return a->value < b->value ? 1 : -1;
    }
    return a->item < b->item ? -1 : a->item > b->item;
}

static int of_author(struct ranked *const *chosen, int count, uint64_t author) {
    int found = 0;
    for (int i = 0; i < count; i++) {
        found += chosen[i]->catalog.author == author;
    }
    return found;
}

/* Moves the chosen to the front, in their order. */
static void bring_forward(struct ranked *candidates, struct ranked **chosen, int count,
                          struct ranked *copies) {
    for (int i = 0; i < count; i++) {
        copies[i] = *chosen[i];
    }
    memcpy(candidates, copies, (size_t)count * sizeof(*candidates));
}

int rank_arrange(const struct rank_request *request, struct ranked *candidates, int count,
                 struct arena *arena) {
    struct ranked **order = ARENA_NEW(arena, struct ranked *, count + 1);
    struct ranked **chosen = ARENA_NEW(arena, struct ranked *, request->count);
    struct ranked *copies = ARENA_NEW(arena, struct ranked, request->count);
    if (!order || !chosen || !copies) {
        return 0;
    }
    for (int i = 0; i < count; i++) {
        order[i] = &candidates[i];
    }
    qsort(order, (size_t)count, sizeof(*order), by_value);
    int64_t cap = request->surface->fields.author_cap;
    int taken = 0;
    for (int i = 0; i < count && taken < request->count; i++) {
        uint64_t author = order[i]->catalog.author;
        if (cap == 0 || author == 0 || of_author(chosen, taken, author) < cap) {
            chosen[taken++] = order[i];
        }
    }
    bring_forward(candidates, chosen, taken, copies);
    return taken;
}
