/* Asks every channel for its share of the candidates. */
#include "recall/channel.h"

/* Channels in the order of what they know about the person: what is specific has room first. */
leat_status recall_gather(const struct recall_request *request, struct arena *arena,
                          struct candidate_set *set, leat_error *err) {
    const struct config_channels *quota = &request->surface->channels;
    TRY(recall_similar(request, (int)quota->similar, arena, set, err));
    TRY(recall_trending(request, (int)quota->trending, arena, set, err));
    TRY(recall_fresh(request, (int)quota->fresh, arena, set, err));
    recall_explore(request, (int)quota->explore, set);
    return LEAT_OK;
}
