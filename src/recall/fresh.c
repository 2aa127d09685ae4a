/* fresh: the newest items that were hardly shown yet: each new item gets its first showings. */
#include "recall/channel.h"

/* An item is fresh until it was shown this often: enough to see a click rate of a few per cent. */
enum { FRESH_SHOWN_MAX = 100 };

/* Shown little, and still to be shown: what was deleted or has expired takes nobody's place. */
static bool is_fresh(const struct recall_request *request, uint64_t item) {
    struct tally_view tally;
    struct catalog_view catalog;
    tally_read(flow_tally(request->flow), item, request->surface_index, 0, request->now_ms, &tally);
    return tally.total_shown < FRESH_SHOWN_MAX &&
           catalog_read(flow_catalog(request->flow), item, &catalog) && !catalog.deleted &&
           catalog.expires_ms > request->now_ms;
}

leat_status recall_fresh(const struct recall_request *request, int quota, struct arena *arena,
                         struct candidate_set *set, leat_error *err) {
    uint64_t *items = ARENA_NEW(arena, uint64_t, CATALOG_NEWEST);
    if (!items) {
        return error_memory(err, CATALOG_NEWEST * sizeof(*items));
    }
    int count = catalog_newest(flow_catalog(request->flow), items, CATALOG_NEWEST);
    int added = 0;
    for (int i = 0; i < count && added < quota; i++) {
        if (is_fresh(request, items[i])) {
            candidate_set_add(set, items[i], CHANNEL_FRESH, 0);
            added++;
        }
    }
    return LEAT_OK;
}
