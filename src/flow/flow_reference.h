/* The oracle of flow's tests: rows applied one by one, every operator taking each row before the
 * next one comes, and features made the way pages make them. What pieces do in phases and on many
 * threads must come out the same, digit for digit. For tests only. */
#ifndef FLOW_FLOW_REFERENCE_H
#define FLOW_FLOW_REFERENCE_H

#include "flow/clicks.h"
#include "flow/flow_fixture.h"
#include "flow/piece.h"

struct reference {
    struct operators operators;
    struct state_budget budget;
    struct arena arena; /* of one row */
    struct row row;
    int64_t now_ms;
    struct metrics *metrics;
    struct join_out out;
};

static inline void reference_open(struct reference *r, const struct config *config,
                                  struct join_out out) {
    memset(r, 0, sizeof(*r));
    struct operators *o = &r->operators;
    o->config = config;
    o->metrics = r->metrics = metrics_create();
    assert_non_null(r->metrics);
    r->out = out;
    r->budget.bytes_max = config->flow.memory;
    arena_init(&r->arena, 1 << 18, 1 << 24);
    assert_int_equal(features_create(config, &o->features, NULL), LEAT_OK);
    assert_int_equal(dedup_open(config, &r->budget, &o->dedup, NULL), LEAT_OK);
    assert_int_equal(catalog_open(config, &r->budget, &o->catalog, NULL), LEAT_OK);
    assert_int_equal(profile_open(config, &r->budget, &o->profile, NULL), LEAT_OK);
    assert_int_equal(tally_open(config, &r->budget, &o->tally, NULL), LEAT_OK);
    assert_int_equal(pairs_open(config, &r->budget, &o->pairs, NULL), LEAT_OK);
    assert_int_equal(background_open(config, &r->budget, &o->background, NULL), LEAT_OK);
    assert_int_equal(ratings_open(config, &r->budget, &o->ratings, NULL), LEAT_OK);
    assert_int_equal(join_open(config, &r->budget, r->metrics, &o->join, NULL), LEAT_OK);
}

static inline void reference_close(struct reference *r) {
    struct operators *o = &r->operators;
    join_close(o->join);
    ratings_close(o->ratings);
    background_close(o->background);
    pairs_close(o->pairs);
    tally_close(o->tally);
    profile_close(o->profile);
    catalog_close(o->catalog);
    dedup_close(o->dedup);
    features_destroy(o->features);
    arena_deinit(&r->arena);
    metrics_destroy(r->metrics);
}

/* In the order of flow_state. */
static inline struct state *reference_state(struct reference *r, int index) {
    struct operators *o = &r->operators;
    struct state *const states[] = {dedup_state(o->dedup),     catalog_state(o->catalog),
                                    profile_state(o->profile), tally_state(o->tally),
                                    pairs_state(o->pairs),     background_state(o->background),
                                    join_state(o->join),       ratings_state(o->ratings)};
    return states[index];
}

/* --- what a row reads --- */

static inline void reference_moment(struct reference *r, const struct row *row,
                                    struct flow_moment *out) {
    struct operators *o = &r->operators;
    profile_read(o->profile, row->user, row->time_ms, &out->profile);
    ratings_read_person(o->ratings, row->user, &out->rated);
    if (row->user.data && profile_session_before(o->profile, row, out->profile.session) == 0) {
        out->profile.session_count = 0;
    }
    background_read(o->background, row->surface, row->time_ms, &out->background);
    int count = 0;
    for (int i = 0; i < out->profile.session_count && i < PAIRS_BACK; i++) {
        count += pairs_read(o->pairs, out->profile.session[i], &r->arena, &out->pairs[count]);
    }
    out->feature = (struct feature_moment){
        .now_ms = row->time_ms,
        .surface = row->surface,
        .region =
            feature_context(&out->profile, row->context, row->context_count, feature_region_name()),
        .profile = &out->profile,
        .background = &out->background,
        .pairs = out->pairs,
        .pairs_count = count,
        .context_count = row->context_count,
        .context = row->context,
        .ratings = o->ratings,
        .rated = &out->rated,
    };
}

static inline struct feature_request *reference_begin(struct reference *r,
                                                      const struct flow_moment *moment) {
    struct feature_request *request;
    assert_int_equal(
        feature_begin(r->operators.features, &moment->feature, &r->arena, &request, NULL), LEAT_OK);
    return request;
}

static inline void reference_lookup(struct reference *r, const struct row *row, uint64_t *keys,
                                    float *dense, struct join_features *out) {
    struct operators *o = &r->operators;
    struct flow_moment moment;
    struct catalog_view item;
    struct tally_view tally;
    reference_moment(r, row, &moment);
    if (!catalog_find(o->catalog, row->item, &item)) {
        item = (struct catalog_view){.hash = row->item_hash, .created_ms = row->time_ms};
    }
    tally_read(o->tally, row->item_hash, row->surface, moment.feature.region, row->time_ms, &tally);
    *out = (struct join_features){.keys = keys, .dense = dense};
    feature_fill(reference_begin(r, &moment), &item, &tally, keys, &out->key_count, dense,
                 &out->dense_count);
}

/* --- click logs --- */

struct reference_clicks {
    const struct row *row;
    const struct flow_moment *moment;
    const struct feature_request *request;
    int near_draws;
};

static inline uint64_t reference_near(const struct pairs_view *last, int place) {
    return place < last->out_count ? last->out[place].item : last->in[place - last->out_count].item;
}

static inline float reference_log_odds(struct reference *r, const struct reference_clicks *clicks,
                                       uint64_t item) {
    const struct config *config = r->operators.config;
    double share = background_share(r->operators.background, clicks->row->surface, item) +
                   0.3 / (double)config->flow.negative_ring;
    double expected = (double)config->flow.negatives * share;
    if (clicks->near_draws > 0) {
        const struct pairs_view *last = &clicks->moment->pairs[0];
        int near = last->out_count + last->in_count;
        int found = 0;
        for (int i = 0; i < near; i++) {
            found += reference_near(last, i) == item;
        }
        expected += (double)clicks->near_draws * ((double)found / (double)near);
    }
    return (float)-log(expected);
}

static inline bool reference_in_session(const struct flow_moment *moment, uint64_t item) {
    bool in = false;
    for (int i = 0; i < moment->profile.session_count; i++) {
        in = in || moment->profile.session[i] == item;
    }
    return in;
}

static inline void reference_click(struct reference *r, const struct reference_clicks *clicks,
                                   uint64_t item, bool positive) {
    struct operators *o = &r->operators;
    const struct row *row = clicks->row;
    struct catalog_view view;
    struct tally_view tally;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    uint32_t bit = 1u << row->action;
    bool own = item == row->item_hash || reference_in_session(clicks->moment, item);
    if (!positive && (item == 0 || own)) {
        return;
    }
    if (!catalog_read(o->catalog, item, &view)) {
        view = (struct catalog_view){.hash = item, .created_ms = row->time_ms};
    }
    tally_read(o->tally, item, row->surface, clicks->moment->feature.region, row->time_ms, &tally);
    struct example example = {.sequence = row->sequence,
                              .keys = keys,
                              .dense = dense,
                              .mask = bit,
                              .labels = positive ? bit : 0,
                              .weight = 1.0f,
                              .log_odds = reference_log_odds(r, clicks, item),
                              .user_hash = row->user_hash,
                              .request_hash = row->request_hash,
                              .item_hash = item,
                              .user = row->user,
                              .request = row->request,
                              .item = {view.id_size > 0 ? view.id : NULL, (size_t)view.id_size},
                              .shown_ms = row->time_ms};
    feature_fill(clicks->request, &view, &tally, keys, &example.key_count, dense,
                 &example.dense_count);
    r->out.emit(r->out.context, &example);
}

static inline void reference_clicks(struct reference *r, const struct row *row) {
    const struct config *config = r->operators.config;
    int64_t negatives = config->flow.negatives;
    struct flow_moment moment;
    reference_moment(r, row, &moment);
    if (moment.profile.session_count == 0 || negatives == 0 ||
        reference_in_session(&moment, row->item_hash)) {
        return;
    }
    int near =
        moment.feature.pairs_count > 0 ? moment.pairs[0].out_count + moment.pairs[0].in_count : 0;
    struct reference_clicks clicks = {row, &moment, reference_begin(r, &moment),
                                      near > 0 ? (int)negatives / 2 : 0};
    reference_click(r, &clicks, row->item_hash, true);
    uint64_t chance = hash_mix((uint64_t)config->root.seed, row->sequence);
    for (int64_t k = 0; k < negatives; k++) {
        uint64_t drawn = hash_mix(chance, (uint64_t)k);
        uint64_t item = background_draw(r->operators.background, row->surface, drawn);
        reference_click(r, &clicks, item, false);
    }
    for (int64_t k = 0; k < clicks.near_draws; k++) {
        uint64_t drawn = hash_mix(chance, (uint64_t)(negatives + k));
        uint64_t item = reference_near(&moment.pairs[0], (int)(drawn % (uint64_t)near));
        reference_click(r, &clicks, item, false);
    }
}

/* --- a row --- */

static inline void reference_examples(struct reference *r, const struct row *row) {
    struct operators *o = &r->operators;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    struct join_features features;
    bool wanted = join_wants_features(o->join, row);
    if (wanted) {
        reference_lookup(r, row, keys, dense, &features);
    }
    bool found = join_push(o->join, row, wanted ? &features : NULL, &r->out);
    if (!found && clicks_is(o->config, row)) {
        reference_clicks(r, row);
    } else if (!found && row->kind == ROW_ACTION) {
        metrics_add(r->metrics, METRIC_actions_orphan_total, 1);
    }
}

static inline void reference_row(struct reference *r, const struct row *row) {
    struct operators *o = &r->operators;
    if (!dedup_push(o->dedup, row)) {
        metrics_add(r->metrics, METRIC_events_duplicate_total, 1);
        return;
    }
    arena_reset(&r->arena);
    reference_examples(r, row);
    catalog_push(o->catalog, row);
    struct catalog_view item = {0};
    if (row->item.data) {
        catalog_find(o->catalog, row->item, &item);
    }
    const struct profile_item described = {item.author, item.category_count, item.categories};
    uint64_t session[PROFILE_SESSION];
    bool liked = row->kind == ROW_ACTION && row_is_liked(o->config, row);
    int count = liked && row->user.data ? profile_session_before(o->profile, row, session) : 0;
    profile_push(o->profile, row, &described);
    if (liked) {
        pairs_push(o->pairs, row, session, count);
    }
    struct profile_view profile;
    profile_read(o->profile, row->user, row->time_ms, &profile);
    uint64_t region =
        row->kind == ROW_ACTION
            ? feature_context(&profile, row->context, row->context_count, feature_region_name())
            : 0;
    tally_push(o->tally, row, region);
    background_push(o->background, row);
    if (ratings_is(o->ratings, row)) {
        struct ratings_person before;
        ratings_read_person(o->ratings, row->user, &before);
        ratings_push_item(o->ratings, row, ratings_push_person(o->ratings, row), &before);
    } else if (row->kind == ROW_FORGET && row->user.data) {
        ratings_forget(o->ratings, row);
    }
}

/* As flow_apply. */
static inline void reference_apply(struct reference *r, const struct batch *batch,
                                   uint64_t first_sequence, int64_t append_ms, bool event_clock) {
    struct operators *o = &r->operators;
    uint32_t groups = (uint32_t)o->config->root.key_groups;
    for (int64_t i = 0; i < batch->rows; i++) {
        uint64_t sequence = first_sequence + (uint64_t)i;
        int64_t event_ms = batch->schema->id == SCHEMA_EVENT ? batch_i64(batch, EVENT_TIME, i) : 0;
        int64_t now_ms = event_clock ? event_ms : append_ms;
        if (now_ms > r->now_ms) {
            dedup_now(o->dedup, now_ms);
            join_now(o->join, 0, groups, now_ms, sequence, &r->out);
            r->now_ms = now_ms;
        }
        if (row_decode(o->config, batch, i, sequence, r->now_ms, &r->row) &&
            r->row.kind != ROW_BEAT) {
            reference_row(r, &r->row);
        }
    }
}

#endif
