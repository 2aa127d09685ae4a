/* Rank: from candidates to a page: filter, features, score, value, arrange. */
#ifndef RANK_RANK_H
#define RANK_RANK_H

#include "base/arena.h"
#include "flow/flow.h"
#include "learn/model.h"
#include "rank/page.h"

/* One candidate on its way. `because` and `channels` come from recall and are only carried. */
struct ranked {
    uint64_t item;
    uint32_t channels;
    uint64_t because;
    struct catalog_view catalog;
    struct tally_view tally;
    const uint64_t *keys;
    const float *dense;
    int key_count, dense_count;
    float scores[EXAMPLE_TASKS_MAX];
    double value;
};

struct rank_request {
    const struct flow *flow;
    const struct model *model;
    const struct config_surface *surface;
    int surface_index;
    struct slice user;
    const struct flow_moment *moment;
    int count; /* items wanted */
};

/* Removes what must not be shown: seen, hidden, of this session where an action filters by session,
 * unknown, deleted, expired. Fills `catalog`; `*count` says how many stay. */
leat_status rank_filter(const struct rank_request *request, struct ranked *candidates, int *count,
                        struct arena *arena, leat_error *err);
/* Fills features, scores and value of every candidate. */
leat_status rank_score(const struct rank_request *request, struct ranked *candidates, int count,
                       struct arena *arena, leat_error *err);
/* The value formula: sum over the tasks of weight x probability (x expected amount). */
double rank_value(const struct config *config, const float *scores, const struct tally_view *tally);
/* Orders by value (ties by item) and picks `request->count`, at most author_cap of one author: they
 * stand first, `*count` says how many. */
leat_status rank_arrange(const struct rank_request *request, struct ranked *candidates, int *count,
                         struct arena *arena, leat_error *err);

#endif
