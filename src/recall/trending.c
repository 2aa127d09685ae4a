/* trending: what is acted on most right now, in the person's region first, then anywhere. */
#include "recall/channel.h"

static int add_top(const struct recall_request *request, uint64_t region, int quota,
                   uint64_t *items, struct candidate_set *set) {
    struct tally *tally = flow_tally(request->flow);
    int count = tally_top(tally, request->surface_index, region, items, quota);
    for (int i = 0; i < count; i++) {
        candidate_set_add(set, items[i], CHANNEL_TRENDING, 0);
    }
    return count;
}

leat_status recall_trending(const struct recall_request *request, int quota, struct arena *arena,
                            struct candidate_set *set, leat_error *err) {
    uint64_t *items = ARENA_NEW(arena, uint64_t, quota + 1);
    if (!items) {
        return error_memory(err, (size_t)quota * sizeof(*items));
    }
    int anywhere = quota;
    if (request->region != 0) {
        anywhere -= add_top(request, request->region, quota / 2, items, set);
    }
    add_top(request, 0, anywhere, items, set);
    return LEAT_OK;
}
