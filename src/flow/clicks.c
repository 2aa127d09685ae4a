#include "flow/clicks.h"

#include "base/hash.h"

#include <math.h>

struct clicks {
    const struct flow *flow;
    const struct row *row;
    const struct feature_request *request;
    uint64_t region;
    void (*emit)(void *context, const struct example *example);
    void *context;
};

/* An item that was never in the ring can still be the positive: as if it were in it half a time. */
static float log_odds_of(const struct clicks *clicks, uint64_t item) {
    const struct config *config = flow_config(clicks->flow);
    double share = background_share(flow_background(clicks->flow), clicks->row->surface, item);
    double least = 0.5 / (double)config->flow.negative_ring;
    share = share > least ? share : least;
    return (float)-log((double)config->flow.negatives * share);
}

static void emit_one(const struct clicks *clicks, uint64_t item, bool positive) {
    const struct row *row = clicks->row;
    struct catalog_view view;
    struct tally_view tally;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    uint32_t bit = 1u << row->action;
    if (!catalog_read(flow_catalog(clicks->flow), item, &view)) {
        view = (struct catalog_view){.hash = item, .created_ms = row->time_ms};
    }
    tally_read(flow_tally(clicks->flow), item, row->surface, clicks->region, row->time_ms, &tally);
    struct example example = {.sequence = row->sequence,
                              .keys = keys,
                              .dense = dense,
                              .mask = bit,
                              .labels = positive ? bit : 0,
                              .weight = 1.0f,
                              .log_odds = log_odds_of(clicks, item)};
    feature_fill(clicks->request, &view, &tally, keys, &example.key_count, dense,
                 &example.dense_count);
    clicks->emit(clicks->context, &example);
}

void clicks_push(const struct flow *flow, const struct row *row, struct arena *arena,
                 void (*emit)(void *context, const struct example *example), void *context) {
    const struct config *config = flow_config(flow);
    struct flow_moment moment;
    struct feature_request *request;
    int64_t negatives = config->flow.negatives;
    flow_moment_read(flow, row->user, row->surface, row->time_ms, row->context, row->context_count,
                     arena, &moment);
    if (negatives == 0 ||
        feature_begin(flow_features(flow), &moment.feature, arena, &request, NULL) < 0) {
        return;
    }
    struct clicks clicks = {flow, row, request, moment.feature.region, emit, context};
    emit_one(&clicks, row->item_hash, true);
    uint64_t chance = hash_mix((uint64_t)config->root.seed, row->sequence);
    for (int64_t k = 0; k < negatives; k++) {
        uint64_t item = background_draw(flow_background(flow), row->surface,
                                        hash_mix(chance, (uint64_t)k));
        if (item != 0 && item != row->item_hash) {
            emit_one(&clicks, item, false);
        }
    }
}
