#include "flow/clicks.h"

#include "base/hash.h"

#include <math.h>

struct clicks {
    const struct flow *flow;
    const struct row *row;
    const struct flow_moment *moment;
    const struct feature_request *request;
    double from_ring, from_near; /* numbers of draws */
    void (*emit)(void *context, const struct example *example);
    void *context;
};

/* The neighbours of the session's last item: out ones, then in ones. */
static int near_count(const struct pairs_view *last) {
    return last->out_count + last->in_count;
}

static uint64_t near_item(const struct pairs_view *last, int index) {
    return index < last->out_count ? last->out[index].item : last->in[index - last->out_count].item;
}

static double near_share(const struct pairs_view *last, uint64_t item) {
    int found = 0;
    for (int i = 0; i < near_count(last); i++) {
        found += near_item(last, i) == item;
    }
    return (double)found / (double)near_count(last);
}

/* -log of the expected number of draws. An item that is not in the ring may still be the positive:
 * it counts as if it were there a third of a time. */
static float log_odds_of(const struct clicks *clicks, uint64_t item) {
    double ring = (double)flow_config(clicks->flow)->flow.negative_ring;
    double share =
        background_share(flow_background(clicks->flow), clicks->row->surface, item) + 0.3 / ring;
    double expected = clicks->from_ring * share;
    if (clicks->from_near > 0) {
        expected += clicks->from_near * near_share(&clicks->moment->pairs[0], item);
    }
    return (float)-log(expected);
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
    tally_read(flow_tally(clicks->flow), item, row->surface, clicks->moment->feature.region,
               row->time_ms, &tally);
    struct example example = {.sequence = row->sequence,
                              .keys = keys,
                              .dense = dense,
                              .mask = bit,
                              .labels = positive ? bit : 0,
                              .weight = 1.0f,
                              .log_odds = log_odds_of(clicks, item),
                              .user_hash = row->user_hash,
                              .request_hash = row->request_hash,
                              .item_hash = item,
                              .user = row->user,
                              .request = row->request,
                              .item = {view.id_size > 0 ? view.id : NULL, (size_t)view.id_size},
                              .shown_ms = row->time_ms};
    feature_fill(clicks->request, &view, &tally, keys, &example.key_count, dense,
                 &example.dense_count);
    clicks->emit(clicks->context, &example);
}

static bool in_session(const struct profile_view *profile, uint64_t item) {
    for (int i = 0; i < profile->session_count; i++) {
        if (profile->session[i] == item) {
            return true;
        }
    }
    return false;
}

static void emit_negative(const struct clicks *clicks, uint64_t item) {
    if (item != 0 && item != clicks->row->item_hash &&
        !in_session(&clicks->moment->profile, item)) {
        emit_one(clicks, item, false);
    }
}

void clicks_push(const struct flow *flow, const struct row *row, struct arena *arena,
                 void (*emit)(void *context, const struct example *example), void *context) {
    const struct config *config = flow_config(flow);
    int64_t negatives = config->flow.negatives;
    struct flow_moment moment;
    struct feature_request *request;
    flow_moment_before(flow, row, arena, &moment);
    bool first = moment.profile.session_count == 0;
    bool again = in_session(&moment.profile, row->item_hash);
    if (first || again || negatives == 0 ||
        feature_begin(flow_features(flow), &moment.feature, arena, &request, NULL) < 0) {
        return;
    }
    int near = moment.feature.pairs_count > 0 ? near_count(&moment.pairs[0]) : 0;
    int64_t near_draws = near > 0 ? negatives / 2 : 0;
    struct clicks clicks = {flow, row,    &moment, request, (double)negatives, (double)near_draws,
                            emit, context};
    emit_one(&clicks, row->item_hash, true);
    uint64_t chance = hash_mix((uint64_t)config->root.seed, row->sequence);
    for (int64_t k = 0; k < negatives; k++) {
        uint64_t drawn = hash_mix(chance, (uint64_t)k);
        emit_negative(&clicks, background_draw(flow_background(flow), row->surface, drawn));
    }
    for (int64_t k = 0; k < near_draws; k++) {
        uint64_t drawn = hash_mix(chance, (uint64_t)(negatives + k));
        emit_negative(&clicks, near_item(&moment.pairs[0], (int)(drawn % (uint64_t)near)));
    }
}
