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

static leat_status fill_one(const struct rank_request *request,
                            const struct feature_request *features, struct ranked *candidate,
                            struct arena *arena, leat_error *err) {
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
    return LEAT_OK;
}

/* Candidates that the model scores together: a network takes them as one matrix. */
enum { TOGETHER = 64 };

struct columns {
    uint32_t offsets[TOGETHER + 1];
    uint64_t keys[TOGETHER * EXAMPLE_KEYS_MAX];
    float dense[TOGETHER * EXAMPLE_DENSE_MAX];
    float scores[TOGETHER * EXAMPLE_TASKS_MAX];
};

static void score_some(const struct rank_request *request, struct scorer *scorer,
                       struct columns *columns, struct ranked *candidates, int count) {
    int tasks = model_tasks(request->model);
    int dense_count = model_spec(request->model)->dense_count;
    columns->offsets[0] = 0;
    for (int i = 0; i < count; i++) {
        const struct ranked *candidate = &candidates[i];
        uint32_t used = columns->offsets[i];
        memcpy(columns->keys + used, candidate->keys,
               (size_t)candidate->key_count * sizeof(*columns->keys));
        memcpy(columns->dense + i * dense_count, candidate->dense,
               (size_t)dense_count * sizeof(*columns->dense));
        columns->offsets[i + 1] = used + (uint32_t)candidate->key_count;
    }
    const struct minibatch items = {.count = count,
                                    .tasks = tasks,
                                    .dense_count = dense_count,
                                    .offsets = columns->offsets,
                                    .keys = columns->keys,
                                    .dense = columns->dense};
    scorer_score_wholes(scorer, &items, columns->scores);
    for (int i = 0; i < count; i++) {
        memcpy(candidates[i].scores, columns->scores + i * tasks,
               (size_t)tasks * sizeof(*columns->scores));
        candidates[i].value =
            rank_value(flow_config(request->flow), candidates[i].scores, &candidates[i].tally);
    }
}

leat_status rank_score(const struct rank_request *request, struct ranked *candidates, int count,
                       struct arena *arena, leat_error *err) {
    struct feature_request *features;
    struct scorer *scorer;
    struct columns *columns = arena_alloc(arena, sizeof(*columns));
    if (!columns) {
        return error_memory(err, sizeof(*columns));
    }
    TRY(feature_begin(flow_features(request->flow), &request->moment->feature, arena, &features,
                      err));
    for (int i = 0; i < count; i++) {
        TRY(fill_one(request, features, &candidates[i], arena, err));
    }
    TRY(scorer_begin(request->model, arena, &scorer, err));
    for (int i = 0; i < count; i += TOGETHER) {
        score_some(request, scorer, columns, candidates + i,
                   count - i < TOGETHER ? count - i : TOGETHER);
    }
    scorer_end(scorer);
    return LEAT_OK;
}
