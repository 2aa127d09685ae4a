#include "flow/flow.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/clicks.h"
#include "flow/dedup.h"
#include "flow/join.h"
#include "log/record.h"

#include <inttypes.h>
#include <stdatomic.h>

struct flow {
    struct flow_options options;
    const struct config *config;
    struct state_budget budget;
    struct features *features;
    struct dedup *dedup;
    struct catalog *catalog;
    struct profile *profile;
    struct tally *tally;
    struct pairs *pairs;
    struct background *background;
    struct join *join;
    struct arena arena; /* of one row */
    struct row row;
    _Atomic int64_t now_ms;
};

enum { FLOW_ARENA_BLOCK = 256 << 10, FLOW_ARENA_MAX = 16 << 20 };

static void flow_emit(void *context, const struct example *example) {
    struct flow *flow = context;
    flow->options.emit(flow->options.context, example);
}

/* Features that were not served, looked up at the row: the same function serves pages. */
static bool flow_lookup(struct flow *flow, const struct row *row, uint64_t *keys, int *key_count,
                        float *dense, int *dense_count) {
    struct flow_moment moment;
    struct feature_request *request;
    struct catalog_view item;
    struct tally_view tally;
    flow_moment_before(flow, row, &flow->arena, &moment);
    if (feature_begin(flow->features, &moment.feature, &flow->arena, &request, NULL) < 0) {
        return false;
    }
    if (!catalog_find(flow->catalog, row->item, &item)) {
        item = (struct catalog_view){.hash = row->item_hash, .created_ms = row->time_ms};
    }
    tally_read(flow->tally, row->item_hash, row->surface, moment.feature.region, row->time_ms,
               &tally);
    feature_fill(request, &item, &tally, keys, key_count, dense, dense_count);
    return true;
}

static leat_status operators_open(struct flow *flow, leat_error *err) {
    const struct config *config = flow->config;
    struct state_budget *budget = &flow->budget;
    TRY(features_create(config, &flow->features, err));
    TRY(dedup_open(config, budget, &flow->dedup, err));
    TRY(catalog_open(config, budget, &flow->catalog, err));
    TRY(profile_open(config, budget, &flow->profile, err));
    TRY(tally_open(config, budget, &flow->tally, err));
    TRY(pairs_open(config, budget, &flow->pairs, err));
    TRY(background_open(config, budget, &flow->background, err));
    return join_open(config, budget, flow->options.metrics, &flow->join, err);
}

leat_status flow_open(const struct flow_options *options, struct flow **out, leat_error *err) {
    struct flow *flow = memory_zalloc(sizeof(*flow));
    if (!flow) {
        return error_memory(err, sizeof(*flow));
    }
    flow->options = *options;
    flow->config = options->config;
    flow->budget.bytes_max = options->config->flow.memory;
    arena_init(&flow->arena, FLOW_ARENA_BLOCK, FLOW_ARENA_MAX);
    leat_status status = operators_open(flow, err);
    if (status < 0) {
        flow_close(flow);
        return status;
    }
    *out = flow;
    return LEAT_OK;
}

void flow_close(struct flow *flow) {
    if (!flow) {
        return;
    }
    join_close(flow->join);
    background_close(flow->background);
    pairs_close(flow->pairs);
    tally_close(flow->tally);
    profile_close(flow->profile);
    catalog_close(flow->catalog);
    dedup_close(flow->dedup);
    features_destroy(flow->features);
    arena_deinit(&flow->arena);
    memory_free(flow);
}

/* --- one row --- */

/* A liked action on a surface of click logs is a positive, with negatives drawn beside it. */
static bool makes_click_examples(const struct flow *flow, const struct row *row) {
    return row->kind == ROW_ACTION &&
           flow->config->surfaces[row->surface].fields.examples == ROW_EXAMPLES_CLICKS &&
           flow->config->actions[row->action].fields.threshold == 0 &&
           row_is_liked(flow->config, row);
}

static void row_examples(struct flow *flow, const struct row *row) {
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    struct join_features features = {.keys = keys, .dense = dense};
    bool looked_up =
        join_wants_features(flow->join, row) &&
        flow_lookup(flow, row, keys, &features.key_count, dense, &features.dense_count);
    const struct join_out out = {flow_emit, flow};
    bool found = join_push(flow->join, row, looked_up ? &features : NULL, &out);
    if (found || row->kind != ROW_ACTION) {
        return;
    }
    if (makes_click_examples(flow, row)) {
        clicks_push(flow, row, &flow->arena, flow_emit, flow);
    } else {
        metrics_add(flow->options.metrics, METRIC_actions_orphan_total, 1);
    }
}

static void row_person(struct flow *flow, const struct row *row) {
    struct catalog_view item = {0};
    if (row->item.data) {
        catalog_find(flow->catalog, row->item, &item);
    }
    struct profile_item described = {item.author, item.category_count, item.categories};
    uint64_t session[PROFILE_SESSION];
    bool liked = row->kind == ROW_ACTION && row_is_liked(flow->config, row);
    int count = liked && row->user.data ? profile_session_before(flow->profile, row, session) : 0;
    profile_push(flow->profile, row, &described);
    if (liked) {
        pairs_push(flow->pairs, row, session, count);
    }
}

static void row_item(struct flow *flow, const struct row *row) {
    uint64_t region = 0;
    if (row->kind == ROW_ACTION) {
        struct profile_view profile;
        profile_read(flow->profile, row->user, row->time_ms, &profile);
        region = feature_context(&profile, row->context, row->context_count, feature_region_name());
    }
    tally_push(flow->tally, row, region);
    background_push(flow->background, row);
}

static void flow_row(struct flow *flow, const struct row *row) {
    if (!dedup_push(flow->dedup, row)) {
        metrics_add(flow->options.metrics, METRIC_events_duplicate_total, 1);
        return;
    }
    arena_reset(&flow->arena);
    row_examples(flow, row);
    catalog_push(flow->catalog, row);
    row_person(flow, row);
    row_item(flow, row);
}

static void flow_time(struct flow *flow, int64_t now_ms, uint64_t sequence) {
    if (now_ms > flow->now_ms) {
        dedup_now(flow->dedup, now_ms);
        const struct join_out out = {flow_emit, flow};
        join_now(flow->join, 0, (uint32_t)flow->config->root.key_groups, now_ms, sequence, &out);
        atomic_store_explicit(&flow->now_ms, now_ms, memory_order_release);
    }
}

static int64_t row_time(const struct batch *batch, int64_t index) {
    return batch->schema->id == SCHEMA_EVENT ? batch_i64(batch, EVENT_TIME, index) : 0;
}

leat_status flow_apply(struct flow *flow, const struct batch *batch, uint64_t first_sequence,
                       int64_t append_ms, bool event_clock, int64_t from, int64_t to,
                       leat_error *err) {
    uint64_t refusals = memory_refusals();
    for (int64_t i = from; i < to; i++) {
        uint64_t sequence = first_sequence + (uint64_t)i;
        int64_t now_ms = event_clock ? row_time(batch, i) : append_ms;
        flow_time(flow, now_ms, sequence);
        if (row_decode(flow->config, batch, i, sequence, flow->now_ms, &flow->row) &&
            flow->row.kind != ROW_BEAT) {
            flow_row(flow, &flow->row);
        }
    }
    if (memory_refusals() != refusals) { /* what is known would not follow from the log any more */
        return error_set(err, LEAT_MEMORY,
                         "the operators found no memory for rows %" PRIu64 " to %" PRIu64
                         "; add memory or lower the budgets, then start again",
                         first_sequence + (uint64_t)from, first_sequence + (uint64_t)to);
    }
    return LEAT_OK;
}

/* --- reading --- */

static void moment_fill(const struct flow *flow, int surface, int64_t now_ms,
                        const struct slice *context, int context_count, struct arena *arena,
                        struct flow_moment *out) {
    background_read(flow->background, surface, now_ms, &out->background);
    int count = 0;
    for (int i = 0; i < out->profile.session_count && count < PAIRS_BACK; i++) {
        if (pairs_read(flow->pairs, out->profile.session[i], arena, &out->pairs[count])) {
            count++;
        }
    }
    out->feature = (struct feature_moment){
        .now_ms = now_ms,
        .surface = surface,
        .region = feature_context(&out->profile, context, context_count, feature_region_name()),
        .profile = &out->profile,
        .background = &out->background,
        .pairs = out->pairs,
        .pairs_count = count,
        .context_count = context_count,
        .context = context,
    };
}

void flow_moment_read(const struct flow *flow, struct slice user, int surface, int64_t now_ms,
                      const struct slice *context, int context_count, struct arena *arena,
                      struct flow_moment *out) {
    profile_read(flow->profile, user, now_ms, &out->profile);
    moment_fill(flow, surface, now_ms, context, context_count, arena, out);
}

void flow_moment_before(const struct flow *flow, const struct row *row, struct arena *arena,
                        struct flow_moment *out) {
    profile_read(flow->profile, row->user, row->time_ms, &out->profile);
    if (row->user.data && profile_session_before(flow->profile, row, out->profile.session) == 0) {
        out->profile.session_count = 0;
    }
    moment_fill(flow, row->surface, row->time_ms, row->context, row->context_count, arena, out);
}

int64_t flow_now(const struct flow *flow) {
    return atomic_load_explicit(&flow->now_ms, memory_order_acquire);
}

void flow_set_now(struct flow *flow, int64_t now_ms) {
    atomic_store(&flow->now_ms, now_ms);
}

static const char *const state_names[FLOW_STATES] = {"dedup", "catalog",    "profile", "tally",
                                                     "pairs", "background", "join"};

const char *flow_state_name(int index) {
    return state_names[index];
}

struct state *flow_state(const struct flow *flow, int index) {
    struct state *const states[FLOW_STATES] = {
        dedup_state(flow->dedup), catalog_state(flow->catalog), profile_state(flow->profile),
        tally_state(flow->tally), pairs_state(flow->pairs),     background_state(flow->background),
        join_state(flow->join)};
    return states[index];
}

uint64_t flow_bytes(const struct flow *flow) {
    uint64_t bytes = 0;
    for (int i = 0; i < FLOW_STATES; i++) {
        bytes += state_bytes(flow_state(flow, i));
    }
    return bytes;
}

uint64_t flow_refused(const struct flow *flow) {
    return atomic_load_explicit(&flow->budget.refused, memory_order_relaxed);
}

uint64_t flow_collisions(const struct flow *flow) {
    return atomic_load_explicit(&flow->budget.collisions, memory_order_relaxed);
}

leat_status flow_restored(struct flow *flow, leat_error *err) {
    catalog_restored(flow->catalog);
    return background_restored(flow->background, err);
}

struct catalog *flow_catalog(const struct flow *flow) {
    return flow->catalog;
}
struct profile *flow_profile(const struct flow *flow) {
    return flow->profile;
}
struct tally *flow_tally(const struct flow *flow) {
    return flow->tally;
}
struct pairs *flow_pairs(const struct flow *flow) {
    return flow->pairs;
}
struct background *flow_background(const struct flow *flow) {
    return flow->background;
}
const struct features *flow_features(const struct flow *flow) {
    return flow->features;
}
const struct config *flow_config(const struct flow *flow) {
    return flow->config;
}

struct flow_times flow_times(const struct flow *flow) {
    (void)flow;
    return (struct flow_times){{0}};
}
const char *flow_phase_name(int phase) {
    (void)phase;
    return "x";
}
