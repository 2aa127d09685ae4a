#include "rank/rank.h"

double rank_value(const struct config *config, const float *scores,
                  const struct tally_view *tally) {
    double value = 0;
    for (int t = 0; t < config->action_count; t++) {
        const struct config_action_fields *action = &config->actions[t].fields;
        double amount = 1.0;
        if (action->value != 0) { /* seconds or amount: what one of them brings for this item */
            double acted = tally->acted[TALLY_SCALES - 1];
            amount = (tally->value + 1.0) / (acted + 1.0);
        }
        value += action->weight * (double)scores[t] * amount;
    }
    return value;
}

static leat_status score_one(const struct rank_request *request,
                             const struct feature_request *features, struct scorer *scorer,
                             struct ranked *candidate, struct arena *arena, leat_error *err) {
    const struct feature_moment *moment = &request->moment->feature;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    tally_read(flow_tally(request->flow), candidate->item, request->surface_index, moment->region,
               moment->now_ms, &candidate->tally);
    feature_fill(features, &candidate->catalog, &candidate->tally, keys, &candidate->key_count,
                 dense, &candidate->dense_count);
    size_t key_bytes = (size_t)candidate->key_count * sizeof(*keys);
    size_t dense_bytes = (size_t)candidate->dense_count * sizeof(*dense);
    char *kept = arena_alloc(arena, key_bytes + dense_bytes);
    if (!kept) {
        return error_memory(err, key_bytes + dense_bytes);
    }
    memcpy(kept, keys, key_bytes);
    memcpy(kept + key_bytes, dense, dense_bytes);
    candidate->keys = (const uint64_t *)kept;
    candidate->dense = (const float *)(kept + key_bytes);
    scorer_score(scorer, keys, candidate->key_count, dense, candidate->scores);
    candidate->value = rank_value(flow_config(request->flow), candidate->scores, &candidate->tally);
    return LEAT_OK;
}

leat_status rank_score(const struct rank_request *request, struct ranked *candidates, int count,
                       struct arena *arena, leat_error *err) {
    struct feature_request *features;
    struct scorer *scorer;
    TRY(feature_begin(flow_features(request->flow), &request->moment->feature, arena, &features,
                      err));
    TRY(scorer_begin(request->model, arena, &scorer, err));
    leat_status status = LEAT_OK;
    for (int i = 0; status >= 0 && i < count; i++) {
        status = score_one(request, features, scorer, &candidates[i], arena, err);
    }
    scorer_end(scorer);
    return status;
}
