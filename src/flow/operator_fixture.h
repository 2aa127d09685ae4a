/* What the tests of hosted operators share that may look inside: rows by number in builders, and
 * batches handed over as Arrow arrays. */
#ifndef FLOW_OPERATOR_FIXTURE_H
#define FLOW_OPERATOR_FIXTURE_H

#include "flow/flow_fixture.h"
#include "flow/operator_internal.h"

static const char operator_text[] =
    "key_groups: 8\n"
    "actions:\n"
    "  click: {window: 1m, weight: 1}\n"
    "  like: {window: 5m, weight: 2, value: amount, filter: none}\n"
    "  hide: {window: 1m, weight: -4, filter: forever}\n"
    "surfaces:\n"
    "  for_you: {examples: impressions}\n"
    "  shop: {examples: served}\n"
    "flow: {dedup: 2m, session_gap: 3m, neighbours: 4, seen: 16, lateness: 10s, idle: 1h}\n";

/* Ids below 0 are null. */
struct operator_row {
    const char *kind; /* NULL: served */
    int user, item, id, request, category, region;
    bool shop;
    int64_t time_ms;
};

static inline void operator_event(struct builder *builder, const struct operator_row *row) {
    char text[FIXTURE_TEXT];
    builder_text(builder, EVENT_KIND, slice_of(row->kind));
    builder_i64(builder, EVENT_TIME, row->time_ms);
    builder_text(builder, EVENT_USER, fixture_id(text, 'u', row->user));
    builder_text(builder, EVENT_ITEM, fixture_id(text, 'i', row->item));
    builder_text(builder, EVENT_ID, fixture_id(text, 'e', row->id));
    builder_text(builder, EVENT_REQUEST, fixture_id(text, 'r', row->request));
    builder_text(builder, EVENT_SURFACE, slice_of(row->shop ? "shop" : "for_you"));
    if (row->category >= 0) {
        struct slice category = fixture_id(text, 'c', row->category);
        builder_list_text(builder, EVENT_CATEGORIES, &category, 1);
    }
    if (row->region >= 0) {
        char region[FIXTURE_TEXT];
        snprintf(region, sizeof(region), "\"r%d\"", row->region);
        const struct slice context[2] = {slice_of("region"), slice_of(region)};
        builder_list_text(builder, EVENT_CONTEXT, context, 2);
    }
    builder_row_end(builder);
}

static inline void operator_served(struct builder *builder, const struct operator_row *row) {
    char text[FIXTURE_TEXT];
    const uint64_t keys[2] = {(uint64_t)row->user + 100, (uint64_t)row->item + 200};
    const float dense[3] = {1.0f, (float)row->item, 0.25f};
    builder_text(builder, SERVED_REQUEST, fixture_id(text, 'r', row->request));
    builder_text(builder, SERVED_USER, fixture_id(text, 'u', row->user));
    builder_text(builder, SERVED_ITEM, fixture_id(text, 'i', row->item));
    builder_text(builder, SERVED_SURFACE, slice_of(row->shop ? "shop" : "for_you"));
    builder_i64(builder, SERVED_TIME, row->time_ms);
    builder_i32(builder, SERVED_SLOT, 0);
    builder_f64(builder, SERVED_SCORE, 0.5);
    builder_i32(builder, SERVED_CHANNELS, 1);
    builder_list_u64(builder, SERVED_KEYS, keys, 2);
    builder_list_f32(builder, SERVED_DENSE, dense, 3);
    builder_row_end(builder);
}

/* A view of one row, in a builder that is cleared for it. */
static inline void operator_batch(struct builder *builder, const struct operator_row *row,
                                  struct batch *out) {
    builder_clear(builder);
    (row->kind ? operator_event : operator_served)(builder, row);
    assert_int_equal(builder_finish(builder, out, NULL), LEAT_OK);
}

static inline leat_status operator_push_batch(leat_operator *op, int input,
                                              const struct batch *batch, leat_error *err) {
    struct ArrowArray array;
    assert_int_equal(arrow_export_batch(batch, NULL, NULL, &array, NULL), LEAT_OK);
    return leat_operator_push(op, input, &array, err);
}

static inline leat_operator *operator_open(const char *kind, uint32_t groups) {
    leat_operator *op = NULL;
    leat_error err = {0};
    if (leat_operator_open(kind, operator_text, NULL, (leat_key_groups){groups, 0, groups}, &op,
                           &err) < 0) {
        fail_msg("%s", err.message);
    }
    return op;
}

/* Sink and source of a block in memory. */
static inline leat_status bytes_write(void *context, const void *bytes, size_t n, leat_error *err) {
    bytes_append(context, bytes, n);
    return bytes_status(context, err);
}

static inline leat_status bytes_read(void *context, void *bytes, size_t n, leat_error *err) {
    const uint8_t *from = bytes_get_raw(context, n);
    if (!from) {
        return error_set(err, LEAT_CORRUPT, "the block ends");
    }
    memcpy(bytes, from, n);
    return LEAT_OK;
}

#endif
