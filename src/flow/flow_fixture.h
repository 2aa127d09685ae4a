/* What the tests of flow, recall and rank share: configurations from text, rows and batches of
 * numbered people and items, and states digested, counted and copied. */
#ifndef FLOW_FLOW_FIXTURE_H
#define FLOW_FLOW_FIXTURE_H

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "column/builder.h"
#include "flow/row.h"
#include "log/event.h"
#include "log/record.h"
#include "state/state.h"

#include <math.h>
#include <stdio.h>

/* Task numbers of the actions below. `rate` is a whole example by itself. */
enum { FIXTURE_CLICK, FIXTURE_LIKE, FIXTURE_HIDE, FIXTURE_RATE, FIXTURE_TASKS };
enum { FIXTURE_TEXT = 16, FIXTURE_FOR_YOU = 0, FIXTURE_SHOP = 1 };
#define FIXTURE_START_MS 1700000000000

#define FIXTURE_ACTIONS                                                                            \
    "actions:\n"                                                                                   \
    "  click: {window: 1m, weight: 1}\n"                                                           \
    "  like: {window: 5m, weight: 2, value: amount, filter: none}\n"                               \
    "  hide: {window: 1m, weight: -4, filter: forever}\n"                                          \
    "  rate: {weight: 1, threshold: 4}\n"

static const char fixture_text[] = "key_groups: 4\n" FIXTURE_ACTIONS "surfaces:\n"
                                   "  for_you: {examples: impressions}\n"
                                   "  shop: {examples: served}\n";

static inline struct config *fixture_config(const char *text) {
    struct config *config;
    leat_error err = {0};
    if (config_parse(slice_of(text), "fixture", &config, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return config;
}

/* "u7", "i12": absent for numbers below 0. */
static inline struct slice fixture_id(char text[FIXTURE_TEXT], char letter, int number) {
    if (number < 0) {
        return (struct slice){NULL, 0};
    }
    snprintf(text, FIXTURE_TEXT, "%c%d", letter, number);
    return slice_of(text);
}

static inline uint64_t fixture_hash(char letter, int number) {
    char text[FIXTURE_TEXT];
    return hash_slice(fixture_id(text, letter, number));
}

/* --- a row by hand --- */

struct made_row {
    struct row row;
    char user[FIXTURE_TEXT], item[FIXTURE_TEXT], id[FIXTURE_TEXT], request[FIXTURE_TEXT],
        session[FIXTURE_TEXT];
};

static inline void made_begin(struct made_row *made, enum row_kind kind, int64_t time_ms) {
    memset(made, 0, sizeof(*made));
    made->row.kind = kind;
    made->row.now_ms = made->row.time_ms = time_ms;
}

static inline void made_user(struct made_row *made, int user) {
    made->row.user = fixture_id(made->user, 'u', user);
    made->row.user_hash = user < 0 ? 0 : hash_slice(made->row.user);
}

static inline void made_item(struct made_row *made, int item) {
    made->row.item = fixture_id(made->item, 'i', item);
    made->row.item_hash = item < 0 ? 0 : hash_slice(made->row.item);
}

static inline void made_request(struct made_row *made, int request) {
    made->row.request = fixture_id(made->request, 'r', request);
    made->row.request_hash = request < 0 ? 0 : hash_slice(made->row.request);
}

static inline void made_session(struct made_row *made, int session) {
    made->row.session = fixture_id(made->session, 's', session);
}

/* Kind ROW_ACTION with an action; the value of `rate` says whether it is positive. */
static inline void made_action(struct made_row *made, int action, int user, int item,
                               int64_t time_ms) {
    made_begin(made, ROW_ACTION, time_ms);
    made->row.action = action;
    made_user(made, user);
    made_item(made, item);
}

/* --- states --- */

static inline uint64_t fixture_digest(struct state *state) {
    uint64_t digest;
    assert_int_equal(state_digest(state, &digest, NULL), LEAT_OK);
    return digest;
}

struct fixture_count {
    struct slice id;
    int count;
};

static inline leat_status fixture_count_one(void *context, const struct state_record *record) {
    struct fixture_count *count = context;
    count->count += slice_equal(record->key.id, count->id);
    return LEAT_OK;
}

/* Records of a state under one id, of all kinds and parts. */
static inline int fixture_records_of(struct state *state, struct slice id) {
    struct fixture_count count = {id, 0};
    for (uint32_t group = 0; group < state_groups(state); group++) {
        assert_int_equal(state_visit(state, group, fixture_count_one, &count, NULL), LEAT_OK);
    }
    return count.count;
}

static inline leat_status fixture_sink(void *context, const void *data, size_t count,
                                       leat_error *err) {
    bytes_append(context, data, count);
    return bytes_status(context, err);
}

static inline leat_status fixture_source(void *context, void *data, size_t count, leat_error *err) {
    const uint8_t *from = bytes_get_raw(context, count);
    if (!from) {
        return error_set(err, LEAT_CORRUPT, "the source ends");
    }
    memcpy(data, from, count);
    return LEAT_OK;
}

/* As a checkpoint and a restart do it. */
static inline void fixture_copy_state(struct state *from, struct state *to) {
    struct state_snapshot *snapshot;
    assert_int_equal(state_freeze(from, &snapshot, NULL), LEAT_OK);
    for (uint32_t group = 0; group < state_groups(from); group++) {
        struct bytes block;
        bytes_init(&block);
        assert_int_equal(state_snapshot_write(snapshot, group, fixture_sink, &block, NULL),
                         LEAT_OK);
        struct bytes_reader reader = bytes_reader_of(block.data, block.size);
        assert_int_equal(state_restore(to, group, fixture_source, &reader, NULL), LEAT_OK);
        bytes_deinit(&block);
    }
    state_snapshot_release(snapshot);
}

/* --- numbers --- */

static inline double naive_decay(int64_t time_ms, int64_t now_ms, int64_t half_life_ms) {
    return exp2(-(double)(now_ms - time_ms) / (double)half_life_ms);
}

static inline void assert_near(double have, double want, double tolerance) {
    if (!(fabs(have - want) <= tolerance * (1.0 + fabs(want)))) {
        fail_msg("%.17g is not near %.17g", have, want);
    }
}

static inline bool rng_chance(struct rng *rng, int percent) {
    return rng_below(rng, 100) < (uint64_t)percent;
}

static inline int rng_int(struct rng *rng, int low, int high) {
    return low + (int)rng_below(rng, (uint64_t)(high - low + 1));
}

#endif
