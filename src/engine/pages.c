#include "base/hash.h"
#include "engine/engine_internal.h"
#include "engine/follow.h"
#include "log/record.h"
#include "rank/rank.h"
#include "recall/channel.h"

#include <inttypes.h>
#include <stdio.h>

/* --- the request's name --- */

static void request_name(struct engine *engine, const struct feed_query *query, int64_t now_ms,
                         char out[PAGE_REQUEST_MAX]) {
    uint64_t name;
    if (query->request.data) {
        snprintf(out, PAGE_REQUEST_MAX, "%.*s", (int)query->request.size, query->request.data);
        return;
    }
    if (query->preview) { /* the same question has the same answer */
        name =
            hash_mix(hash_slice(query->user), hash_mix((uint64_t)query->surface, (uint64_t)now_ms));
    } else {
        name = hash_mix(engine->nonce, atomic_fetch_add(&engine->requests, 1));
    }
    snprintf(out, PAGE_REQUEST_MAX, "r%016" PRIx64, name);
}

/* --- reasons --- */

static void reason_write(const struct engine *engine, const struct ranked *ranked,
                         struct page_item *item) {
    struct catalog_view because;
    if (ranked->because != 0 &&
        catalog_read(flow_catalog(engine->flow), ranked->because, &because)) {
        snprintf(item->reason, sizeof(item->reason), "others went on to it from %s", because.id);
    } else if (ranked->channels & 1u << CHANNEL_TRENDING) {
        snprintf(item->reason, sizeof(item->reason), "many people choose it right now");
    } else if (ranked->channels & 1u << CHANNEL_FRESH) {
        snprintf(item->reason, sizeof(item->reason), "it is new");
    } else {
        snprintf(item->reason, sizeof(item->reason), "something to explore");
    }
}

static leat_status item_write(const struct engine *engine, const struct ranked *ranked,
                              struct arena *arena, struct page_item *item, leat_error *err) {
    const struct catalog_view *catalog = &ranked->catalog;
    item->item.data = arena_copy(arena, catalog->id, (size_t)catalog->id_size);
    item->item.size = (size_t)catalog->id_size;
    if (!item->item.data) {
        return error_memory(err, (size_t)catalog->id_size);
    }
    item->hash = ranked->item;
    item->score = ranked->value;
    memcpy(item->scores, ranked->scores, sizeof(item->scores));
    item->channels = ranked->channels;
    item->keys = ranked->keys;
    item->key_count = ranked->key_count;
    item->dense = ranked->dense;
    item->dense_count = ranked->dense_count;
    reason_write(engine, ranked, item);
    return LEAT_OK;
}

/* --- what was served --- */

static void served_row(struct builder *builder, const struct config *config,
                       const struct feed_query *query, const struct page *page, int slot) {
    const struct page_item *item = &page->items[slot];
    builder_text(builder, SERVED_REQUEST, slice_of(page->request));
    if (query->user.data) {
        builder_text(builder, SERVED_USER, query->user);
    }
    builder_text(builder, SERVED_ITEM, item->item);
    builder_text(builder, SERVED_SURFACE, slice_of(config->surfaces[query->surface].name));
    builder_i64(builder, SERVED_TIME, page->now_ms);
    builder_i32(builder, SERVED_SLOT, slot);
    builder_f64(builder, SERVED_SCORE, item->score);
    builder_i32(builder, SERVED_CHANNELS, (int32_t)item->channels);
    builder_list_u64(builder, SERVED_KEYS, item->keys, item->key_count);
    builder_list_f32(builder, SERVED_DENSE, item->dense, item->dense_count);
    builder_row_end(builder);
}

static leat_status served_log(struct engine *engine, const struct feed_query *query,
                              const struct page *page, leat_error *err) {
    if (page->count == 0) {
        return LEAT_OK;
    }
    mutex_lock(&engine->served_mutex);
    builder_clear(engine->served_builder);
    for (int i = 0; i < page->count; i++) {
        served_row(engine->served_builder, engine->config, query, page, i);
    }
    struct batch batch;
    leat_status status = builder_finish(engine->served_builder, &batch, err);
    if (status >= 0) {
        status = log_append_later(engine->log, &batch, 1, err);
    }
    mutex_unlock(&engine->served_mutex);
    return status;
}

/* --- the page --- */

static leat_status gather(struct engine *engine, const struct rank_request *request,
                          const struct page *page, struct arena *arena, struct ranked **out,
                          int *count, leat_error *err) {
    const struct feature_moment *moment = &request->moment->feature;
    struct recall_request recall = {
        .flow = engine->flow,
        .surface = request->surface,
        .surface_index = request->surface_index,
        .region = moment->region,
        .profile = moment->profile,
        .pairs = moment->pairs,
        .pairs_count = moment->pairs_count,
        .now_ms = moment->now_ms,
        .chance =
            hash_mix((uint64_t)engine->config->root.seed, hash_slice(slice_of(page->request))),
    };
    struct candidate_set set;
    TRY(candidate_set_init(&set, arena, (int)request->surface->fields.candidates, err));
    TRY(recall_gather(&recall, arena, &set, err));
    struct ranked *ranked = ARENA_NEW(arena, struct ranked, set.count + 1);
    if (!ranked) {
        return error_memory(err, (size_t)set.count * sizeof(*ranked));
    }
    for (int i = 0; i < set.count; i++) {
        ranked[i].item = set.items[i].item;
        ranked[i].channels = set.items[i].channels;
        ranked[i].because = set.items[i].because;
    }
    *out = ranked;
    *count = set.count;
    return LEAT_OK;
}

static leat_status page_make(struct engine *engine, const struct rank_request *request,
                             struct arena *arena, struct page *page, leat_error *err) {
    struct ranked *ranked = NULL;
    int count = 0;
    TRY(gather(engine, request, page, arena, &ranked, &count, err));
    page->gathered = count;
    TRY(rank_filter(request, ranked, &count, arena, err));
    page->filtered = page->gathered - count;
    TRY(rank_score(request, ranked, count, arena, err));
    page->scored = count;
    TRY(rank_arrange(request, ranked, &count, arena, err));
    page->count = count;
    page->items = ARENA_NEW(arena, struct page_item, page->count + 1);
    if (!page->items) {
        return error_memory(err, sizeof(struct page_item) * (size_t)page->count);
    }
    for (int i = 0; i < page->count; i++) {
        TRY(item_write(engine, &ranked[i], arena, &page->items[i], err));
    }
    return LEAT_OK;
}

leat_status engine_feed(struct engine *engine, const struct feed_query *query, struct arena *arena,
                        struct page *out, leat_error *err) {
    uint64_t start_ns = clock_monotonic_ns();
    const struct config_surface *surface = &engine->config->surfaces[query->surface];
    struct flow_moment *moment = ARENA_NEW(arena, struct flow_moment, 1);
    if (!moment) {
        return error_memory(err, sizeof(*moment));
    }
    *out = (struct page){.now_ms = query->has_now ? query->now_ms : engine_now(engine),
                         .applied = engine_applied(engine)};
    request_name(engine, query, out->now_ms, out->request);
    flow_moment_read(engine->flow, query->user, query->surface, out->now_ms, query->context,
                     query->context_count, arena, moment);
    struct rank_request request = {
        .flow = engine->flow,
        .model = engine->model,
        .surface = surface,
        .surface_index = query->surface,
        .user = query->user,
        .moment = moment,
        .count = query->count > 0 ? query->count : (int)surface->fields.show,
    };
    follow_enter(engine);
    out->learnt = engine_learnt(engine);
    leat_status status = page_make(engine, &request, arena, out, err);
    follow_leave(engine);
    TRY(status);
    TRY(flow_failure(engine->flow, err)); /* a page from half of the state shows what was seen */
    if (!query->preview && !engine->options.follow) {
        TRY(served_log(engine, query, out, err));
    }
    metrics_add(engine->metrics, METRIC_pages_total, 1);
    metrics_add(engine->metrics, METRIC_page_items_total, (uint64_t)out->count);
    metrics_observe_ns(engine->metrics, METRIC_page_seconds, clock_monotonic_ns() - start_ns);
    return LEAT_OK;
}

enum { SCORE_ARENA_BLOCK = 64 << 10, SCORE_ARENA_MAX = 16 << 20 };

leat_status engine_score(struct engine *engine, struct slice user, int surface, int64_t now_ms,
                         struct slice item, float *out, leat_error *err) {
    struct arena arena;
    arena_init(&arena, SCORE_ARENA_BLOCK, SCORE_ARENA_MAX);
    struct flow_moment moment;
    flow_moment_read(engine->flow, user, surface, now_ms, NULL, 0, &arena, &moment);
    struct ranked candidate = {.item = hash_slice(item)};
    if (!catalog_find(flow_catalog(engine->flow), item, &candidate.catalog)) {
        candidate.catalog = (struct catalog_view){.hash = candidate.item, .created_ms = now_ms};
    }
    struct rank_request request = {.flow = engine->flow,
                                   .model = engine->model,
                                   .surface = &engine->config->surfaces[surface],
                                   .surface_index = surface,
                                   .user = user,
                                   .moment = &moment,
                                   .count = 1};
    follow_enter(engine);
    leat_status status = rank_score(&request, &candidate, 1, &arena, err);
    follow_leave(engine);
    status = status < 0 ? status : flow_failure(engine->flow, err);
    memcpy(out, candidate.scores, sizeof(candidate.scores));
    arena_deinit(&arena);
    return status;
}
