#include "flow/flow.h"

#include "base/memory.h"
#include "flow/piece.h"
#include "log/record.h"

#include <stdatomic.h>

struct flow {
    struct flow_options options;
    struct state_budget budget;
    struct operators operators;
    struct state *states[FLOW_STATES]; /* of the operators, as flow_state numbers them */
    struct piece *piece;
    _Atomic int64_t now_ms;
};

static leat_status operators_open(struct operators *operators, struct state_budget *budget,
                                  leat_error *err) {
    const struct config *config = operators->config;
    TRY(features_create(config, &operators->features, err));
    TRY(dedup_open(config, budget, &operators->dedup, err));
    TRY(catalog_open(config, budget, &operators->catalog, err));
    TRY(profile_open(config, budget, &operators->profile, err));
    TRY(tally_open(config, budget, &operators->tally, err));
    TRY(pairs_open(config, budget, &operators->pairs, err));
    TRY(background_open(config, budget, &operators->background, err));
    TRY(ratings_open(config, budget, &operators->ratings, err));
    return join_open(config, budget, operators->metrics, &operators->join, err);
}

static void operators_close(struct operators *operators) {
    join_close(operators->join);
    ratings_close(operators->ratings);
    background_close(operators->background);
    pairs_close(operators->pairs);
    tally_close(operators->tally);
    profile_close(operators->profile);
    catalog_close(operators->catalog);
    dedup_close(operators->dedup);
    features_destroy(operators->features);
}

leat_status flow_open(const struct flow_options *options, struct flow **out, leat_error *err) {
    struct flow *flow = memory_zalloc(sizeof(*flow));
    if (!flow) {
        return error_memory(err, sizeof(*flow));
    }
    flow->options = *options;
    flow->budget.bytes_max = options->config->flow.memory;
    flow->budget.copies_max = options->config->checkpoint.reserve;
    if (options->config->runner.spill > 0 && options->spill_disk) {
        flow->budget.spill_disk = options->spill_disk;
        flow->budget.spill_folder = options->spill_folder;
        flow->budget.spill_bytes_max = options->config->runner.spill / FLOW_STATES;
    }
    flow->operators.config = options->config;
    flow->operators.metrics = options->metrics;
    leat_status status = operators_open(&flow->operators, &flow->budget, err);
    if (status == LEAT_OK) {
        status = piece_open(&flow->operators, options, &flow->piece, err);
    }
    if (status < 0) {
        flow_close(flow);
        return status;
    }
    for (int i = 0; i < FLOW_STATES; i++) {
        flow->states[i] = flow_state(flow, i);
    }
    *out = flow;
    return LEAT_OK;
}

void flow_close(struct flow *flow) {
    if (!flow) {
        return;
    }
    piece_close(flow->piece);
    operators_close(&flow->operators);
    memory_free(flow);
}

/* --- applying --- */

/* Showings that a piece may settle at once are kept until they are emitted. Where there are many,
 * and time leaps, they are settled one by one before the piece instead. */
enum { DUE_MANY = 64 << 10, LEAP_MS = 100 };

static bool leaps(const struct flow *flow, int64_t from_ms, int64_t to_ms) {
    return to_ms - from_ms > LEAP_MS && state_count(join_state(flow->operators.join)) > DUE_MANY;
}

static int64_t row_time(const struct batch *batch, int64_t index) {
    return batch->schema->id == SCHEMA_EVENT ? batch_i64(batch, EVENT_TIME, index) : 0;
}

/* How many of the rows [from, to) make the next piece; fills the times of its rows. */
static int piece_cut(struct flow *flow, const struct batch *batch, int64_t append_ms,
                     bool event_clock, int64_t from, int64_t to) {
    int64_t before_ms = flow->now_ms;
    int count = 0;
    while (from + count < to && count < PIECE_ROWS) {
        int64_t now_ms = event_clock ? row_time(batch, from + count) : append_ms;
        now_ms = now_ms > before_ms ? now_ms : before_ms;
        if (count > 0 && leaps(flow, before_ms, now_ms)) {
            break;
        }
        flow->piece->now_ms[count] = now_ms;
        flow->piece->moved[count] = now_ms > before_ms;
        before_ms = now_ms;
        count++;
    }
    return count;
}

static void time_leap(struct flow *flow, uint64_t sequence) {
    const struct join_out out = {flow->options.emit, flow->options.context};
    int64_t now_ms = flow->piece->now_ms[0];
    join_now(flow->operators.join, 0, (uint32_t)flow->operators.config->root.key_groups, now_ms,
             sequence, &out);
    flow->piece->moved[0] = false;
}

leat_status flow_apply(struct flow *flow, const struct batch *batch, uint64_t first_sequence,
                       int64_t append_ms, bool event_clock, int64_t from, int64_t to,
                       leat_error *err) {
    struct piece *piece = flow->piece;
    uint64_t refusals = memory_refusals();
    while (from < to) {
        int count = piece_cut(flow, batch, append_ms, event_clock, from, to);
        uint64_t sequence = first_sequence + (uint64_t)from;
        if (leaps(flow, flow->now_ms, piece->now_ms[0])) {
            time_leap(flow, sequence);
            piece->failed = memory_refusals() != refusals;
        }
        TRY(piece_run(piece, batch, from, count, sequence, flow->options.emit,
                      flow->options.context, err));
        TRY(state_trim(flow->states, FLOW_STATES, err));
        atomic_store_explicit(&flow->now_ms, piece->now_ms[count - 1], memory_order_release);
        from += count;
    }
    return LEAT_OK;
}

leat_status flow_scrub(struct flow *flow, leat_error *err) {
    for (int i = 0; i < FLOW_STATES; i++) {
        TRY(state_scrub(flow->states[i], err));
    }
    return LEAT_OK;
}

leat_status flow_failure(const struct flow *flow, leat_error *err) {
    for (int i = 0; i < FLOW_STATES; i++) {
        TRY(state_failure(flow->states[i], err));
    }
    return LEAT_OK;
}

struct flow_times flow_times(const struct flow *flow) {
    struct flow_times times;
    memcpy(times.ns, flow->piece->ns, sizeof(times.ns));
    return times;
}

_Static_assert((int)FLOW_PHASES == (int)PIECE_PHASES, "flow_times has every phase");

const char *flow_phase_name(int phase) {
    static const char *const names[FLOW_PHASES] = {"decode", "dedup", "catalog", "profile", "pairs",
                                                   "begin",  "fill",  "join",    "emit"};
    return names[phase];
}

/* --- reading --- */

static void moment_fill(const struct flow *flow, int surface, int64_t now_ms,
                        const struct slice *context, int context_count, struct arena *arena,
                        struct flow_moment *out) {
    background_read(flow->operators.background, surface, now_ms, &out->background);
    int count = 0;
    for (int i = 0; i < out->profile.session_count && i < PAIRS_BACK; i++) {
        if (pairs_read(flow->operators.pairs, out->profile.session[i], arena, &out->pairs[count])) {
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
        .ratings = flow->operators.ratings,
        .rated = &out->rated,
    };
}

void flow_moment_read(const struct flow *flow, struct slice user, int surface, int64_t now_ms,
                      const struct slice *context, int context_count, struct arena *arena,
                      struct flow_moment *out) {
    profile_read(flow->operators.profile, user, now_ms, &out->profile);
    ratings_read_person(flow->operators.ratings, user, &out->rated);
    moment_fill(flow, surface, now_ms, context, context_count, arena, out);
}

int64_t flow_now(const struct flow *flow) {
    return atomic_load_explicit(&flow->now_ms, memory_order_acquire);
}

void flow_set_now(struct flow *flow, int64_t now_ms) {
    atomic_store(&flow->now_ms, now_ms);
}

static const char *const state_names[FLOW_STATES] = {"dedup", "catalog",    "profile", "tally",
                                                     "pairs", "background", "join",    "ratings"};

const char *flow_state_name(int index) {
    return state_names[index];
}

bool flow_state_unused(const struct flow *flow, int index) {
    return strcmp(state_names[index], "ratings") == 0 && !ratings_any(flow->operators.ratings);
}

struct state *flow_state(const struct flow *flow, int index) {
    struct state *const states[FLOW_STATES] = {
        dedup_state(flow->operators.dedup),     catalog_state(flow->operators.catalog),
        profile_state(flow->operators.profile), tally_state(flow->operators.tally),
        pairs_state(flow->operators.pairs),     background_state(flow->operators.background),
        join_state(flow->operators.join),       ratings_state(flow->operators.ratings)};
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
    catalog_restored(flow->operators.catalog);
    return background_restored(flow->operators.background, err);
}

struct catalog *flow_catalog(const struct flow *flow) {
    return flow->operators.catalog;
}
struct profile *flow_profile(const struct flow *flow) {
    return flow->operators.profile;
}
struct tally *flow_tally(const struct flow *flow) {
    return flow->operators.tally;
}
struct pairs *flow_pairs(const struct flow *flow) {
    return flow->operators.pairs;
}
struct background *flow_background(const struct flow *flow) {
    return flow->operators.background;
}
struct ratings *flow_ratings(const struct flow *flow) {
    return flow->operators.ratings;
}
const struct features *flow_features(const struct flow *flow) {
    return flow->operators.features;
}
const struct config *flow_config(const struct flow *flow) {
    return flow->options.config;
}
