/* Recall: where candidates come from. One file a channel, one interface; each candidate keeps which
 * channels brought it (bits) and the first one's reason. */
#ifndef RECALL_CHANNEL_H
#define RECALL_CHANNEL_H

#include "base/arena.h"
#include "flow/flow.h"

/* The bit of channel c in `channels` is 1 << c. */
enum channel {
    CHANNEL_SIMILAR,
    CHANNEL_TRENDING,
    CHANNEL_FRESH,
    CHANNEL_EXPLORE,
    CHANNEL_COUNT,
};
const char *channel_name(enum channel channel);

/* What a request is about, read once before recall. */
struct recall_request {
    const struct flow *flow;
    const struct config_surface *surface;
    int surface_index;
    uint64_t region;                    /* 0: unknown */
    const struct profile_view *profile; /* all zero for an unknown or anonymous person */
    const struct pairs_view *pairs;     /* of the newest session items, newest first */
    int pairs_count;
    int64_t now_ms;
    uint64_t chance; /* hash of (seed, request): the request's randomness */
};

struct candidate {
    uint64_t item;     /* hash of the id */
    uint32_t channels; /* bits */
    uint64_t because;  /* `similar`: hash of the item it is similar to; else 0 */
};

/* Candidates of one request: no item twice, in order of arrival, bounded. */
struct candidate_set {
    struct candidate *items;
    int count;
    int capacity;
    uint32_t *slots; /* hash table of item -> index + 1 */
    uint32_t slot_mask;
};

leat_status candidate_set_init(struct candidate_set *set, struct arena *arena, int capacity,
                               leat_error *err);
/* Adds or merges; false when the set is full. */
bool candidate_set_add(struct candidate_set *set, uint64_t item, enum channel channel,
                       uint64_t because);

/* Gathers from all channels with the surface's quotas. Memory from the request's arena. */
leat_status recall_gather(const struct recall_request *request, struct arena *arena,
                          struct candidate_set *set, leat_error *err);

/* The channels; each adds at most `quota` candidates. */
leat_status recall_similar(const struct recall_request *request, int quota, struct arena *arena,
                           struct candidate_set *set, leat_error *err);
leat_status recall_trending(const struct recall_request *request, int quota, struct arena *arena,
                            struct candidate_set *set, leat_error *err);
leat_status recall_fresh(const struct recall_request *request, int quota, struct arena *arena,
                         struct candidate_set *set, leat_error *err);
void recall_explore(const struct recall_request *request, int quota, struct candidate_set *set);

#endif
