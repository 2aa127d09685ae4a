/* One row of the log, decoded once and read by every operator. Everything is borrowed from the
 * batch for the time of the call. Hashes are hash_slice of the text, 0 where the text is absent. */
#ifndef FLOW_ROW_H
#define FLOW_ROW_H

#include "base/config.h"
#include "column/batch.h"
#include "flow/example.h"
#include "log/event.h"

enum row_kind {
    ROW_BEAT,
    ROW_ACTION,
    ROW_IMPRESSION,
    ROW_ITEM,
    ROW_ITEM_DELETE,
    ROW_USER,
    ROW_FORGET,
    ROW_SERVED,
};

enum {
    ROW_AHEAD_MAX = 64
}; /* records that a runner tells an operator of before it comes to them */

struct row {
    enum row_kind kind;
    int action;  /* ROW_ACTION: index in the configuration */
    int surface; /* index; 0 (the first one) where the row names none */
    uint64_t sequence;
    int64_t now_ms;  /* append time of the row */
    int64_t time_ms; /* event time */
    struct slice user, item, id, request, session;
    uint64_t user_hash, item_hash, request_hash;
    bool has_value;
    double value;

    int context_count; /* pairs */
    struct slice context[2 * EVENT_LIST_MAX];

    /* ROW_ITEM */
    struct slice author, text;
    bool has_created, has_expires;
    int64_t created_ms, expires_ms;
    int category_count, tag_count;
    struct slice categories[EVENT_LIST_MAX], tags[EVENT_LIST_MAX];

    /* ROW_SERVED */
    int32_t slot;
    const uint64_t *keys;
    int key_count;
    const float *dense;
    int dense_count;
};

/* Decodes row `index` of a batch of any log schema. False for a row that the configuration does not
 * know (a kind or surface that was taken out of leat.yaml): it is passed over. */
bool row_decode(const struct config *config, const struct batch *batch, int64_t index,
                uint64_t sequence, int64_t now_ms, struct row *out);

/* In the order of the `filter`, `examples` and `value` choices of api/config.def. */
enum row_filter { ROW_FILTER_SEEN, ROW_FILTER_FOREVER, ROW_FILTER_SESSION, ROW_FILTER_NONE };
enum row_examples { ROW_EXAMPLES_IMPRESSIONS, ROW_EXAMPLES_SERVED, ROW_EXAMPLES_CLICKS };

/* An action whose value reaches its threshold, or any action without one. */
static inline bool row_is_positive(const struct config *config, const struct row *row) {
    double threshold = config->actions[row->action].fields.threshold;
    return threshold == 0 || (row->has_value && row->value >= threshold);
}
/* A positive action that is worth something: it speaks for the item. */
static inline bool row_is_liked(const struct config *config, const struct row *row) {
    return config->actions[row->action].fields.weight > 0 && row_is_positive(config, row);
}
/* The row says that the person saw the item: an impression, or a served item where that counts. */
static inline bool row_is_showing(const struct config *config, const struct row *row) {
    return row->kind == ROW_IMPRESSION ||
           (row->kind == ROW_SERVED &&
            config->surfaces[row->surface].fields.examples == ROW_EXAMPLES_SERVED);
}

/* Hash of a context value as models see it: quotes of a JSON text do not count, so "21" and 21 are
 * one value. */
uint64_t row_value_hash(struct slice json_scalar);

#endif
