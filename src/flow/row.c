#include "flow/row.h"

#include "base/hash.h"
#include "log/record.h"

static int surface_of(const struct config *config, struct slice name) {
    return name.data ? config_surface_find(config, name) : 0;
}

static bool kind_decode(const struct config *config, struct slice kind, struct row *out) {
    static const struct {
        const char *name;
        enum row_kind kind;
    } built_in[] = {
        {KIND_IMPRESSION, ROW_IMPRESSION},   {KIND_ITEM, ROW_ITEM},
        {KIND_ITEM_DELETE, ROW_ITEM_DELETE}, {KIND_USER, ROW_USER},
        {KIND_FORGET, ROW_FORGET},
    };
    out->action = config_action_find(config, kind);
    if (out->action >= 0) {
        out->kind = ROW_ACTION;
        return true;
    }
    for (size_t i = 0; i < sizeof(built_in) / sizeof(built_in[0]); i++) {
        if (slice_is(kind, built_in[i].name)) {
            out->kind = built_in[i].kind;
            return true;
        }
    }
    return false;
}

static uint64_t hash_or_zero(struct slice text) {
    return text.data ? hash_slice(text) : 0;
}

static int list_decode(const struct batch *batch, int column, int64_t index, int max,
                       struct slice *out) {
    int count = batch_list_text_count(batch, column, index);
    count = count < max ? count : max;
    for (int i = 0; i < count; i++) {
        out[i] = batch_list_text(batch, column, index, i);
    }
    return count;
}

static bool optional_i64(const struct batch *batch, int column, int64_t index, int64_t *out) {
    bool has = !batch_is_null(batch, column, index);
    *out = has ? batch_i64(batch, column, index) : 0;
    return has;
}

static void item_decode(const struct batch *batch, int64_t index, struct row *out) {
    out->author = batch_text(batch, EVENT_AUTHOR, index);
    out->text = batch_text(batch, EVENT_TEXT, index);
    out->has_created = optional_i64(batch, EVENT_CREATED, index, &out->created_ms);
    out->has_expires = optional_i64(batch, EVENT_EXPIRES, index, &out->expires_ms);
    out->category_count =
        list_decode(batch, EVENT_CATEGORIES, index, EVENT_LIST_MAX, out->categories);
    out->tag_count = list_decode(batch, EVENT_TAGS, index, EVENT_LIST_MAX, out->tags);
}

static bool event_decode(const struct config *config, const struct batch *batch, int64_t index,
                         struct row *out) {
    if (!kind_decode(config, batch_text(batch, EVENT_KIND, index), out)) {
        return false;
    }
    out->surface = surface_of(config, batch_text(batch, EVENT_SURFACE, index));
    if (out->surface < 0) {
        return false;
    }
    out->time_ms = batch_i64(batch, EVENT_TIME, index);
    out->user = batch_text(batch, EVENT_USER, index);
    out->item = batch_text(batch, EVENT_ITEM, index);
    out->id = batch_text(batch, EVENT_ID, index);
    out->request = batch_text(batch, EVENT_REQUEST, index);
    out->session = batch_text(batch, EVENT_SESSION, index);
    out->has_value = !batch_is_null(batch, EVENT_VALUE, index);
    out->value = out->has_value ? batch_f64(batch, EVENT_VALUE, index) : 0;
    out->context_count =
        list_decode(batch, EVENT_CONTEXT, index, 2 * EVENT_LIST_MAX, out->context) / 2;
    if (out->kind == ROW_ITEM) {
        item_decode(batch, index, out);
    }
    return true;
}

static bool served_decode(const struct config *config, const struct batch *batch, int64_t index,
                          struct row *out) {
    out->kind = ROW_SERVED;
    out->surface = surface_of(config, batch_text(batch, SERVED_SURFACE, index));
    out->time_ms = batch_i64(batch, SERVED_TIME, index);
    out->user = batch_text(batch, SERVED_USER, index);
    out->item = batch_text(batch, SERVED_ITEM, index);
    out->request = batch_text(batch, SERVED_REQUEST, index);
    out->slot = batch_i32(batch, SERVED_SLOT, index);
    out->keys = batch_list_u64(batch, SERVED_KEYS, index, &out->key_count);
    out->dense = batch_list_f32(batch, SERVED_DENSE, index, &out->dense_count);
    return out->surface >= 0 && out->key_count <= EXAMPLE_KEYS_MAX &&
           out->dense_count <= EXAMPLE_DENSE_MAX;
}

bool row_decode(const struct config *config, const struct batch *batch, int64_t index,
                uint64_t sequence, int64_t now_ms, struct row *out) {
    /* The wide arrays are left as they are: their counts say how much of them holds. */
    memset(out, 0, offsetof(struct row, context));
    out->author = out->text = (struct slice){NULL, 0};
    out->has_created = out->has_expires = false;
    out->category_count = out->tag_count = 0;
    out->keys = NULL;
    out->dense = NULL;
    out->key_count = out->dense_count = 0;
    out->sequence = sequence;
    out->now_ms = now_ms;
    out->time_ms = now_ms;
    switch (batch->schema->id) {
    case SCHEMA_EVENT:
        if (!event_decode(config, batch, index, out)) {
            return false;
        }
        break;
    case SCHEMA_SERVED:
        if (!served_decode(config, batch, index, out)) {
            return false;
        }
        break;
    default: out->kind = ROW_BEAT; break;
    }
    out->user_hash = hash_or_zero(out->user);
    out->item_hash = hash_or_zero(out->item);
    out->request_hash = hash_or_zero(out->request);
    return true;
}

uint64_t row_value_hash(struct slice json_scalar) {
    if (json_scalar.size >= 2 && json_scalar.data[0] == '"') {
        json_scalar.data++;
        json_scalar.size -= 2;
    }
    return hash_slice(json_scalar);
}
