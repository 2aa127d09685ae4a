/* fresh: the newest items that were hardly shown yet: each new item gets its first showings. */
#include "recall/channel.h"

/* An item is fresh until it was shown this often: enough to see a click rate of a few per cent. */
enum { FRESH_SHOWN_MAX = 100 };

leat_status recall_fresh(const struct recall_request *request, int quota, struct arena *arena,
                         struct candidate_set *set, leat_error *err) {
    uint64_t *items = ARENA_NEW(arena, uint64_t, CATALOG_NEWEST);
    if (!items) {
        return error_memory(err, CATALOG_NEWEST * sizeof(*items));
    }
    int count = catalog_newest(flow_catalog(request->flow), items, CATALOG_NEWEST);
    int added = 0;
    for (int i = 0; i < count && added < quota; i++) {
        struct tally_view tally;
        tally_read(flow_tally(request->flow), items[i], request->surface_index, 0, request->now_ms,
                   &tally);
        if (tally.total_shown < FRESH_SHOWN_MAX) {
            candidate_set_add(set, items[i], CHANNEL_FRESH, 0);
            added++;
        }
    }
    return LEAT_OK;
}
