/* explore: uniformly drawn items, by the request's own chance. */
#include "base/hash.h"
#include "recall/channel.h"

void recall_explore(const struct recall_request *request, int quota, struct candidate_set *set) {
    for (int i = 0; i < quota; i++) {
        uint64_t item =
            catalog_draw(flow_catalog(request->flow), hash_mix(request->chance, (uint64_t)i));
        if (item != 0) {
            candidate_set_add(set, item, CHANNEL_EXPLORE, 0);
        }
    }
}
