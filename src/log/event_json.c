#include "base/json.h"
#include "log/event.h"
#include "log/record.h"

static void put_text(struct json_writer *json, const char *key, const struct batch *batch,
                     int column, int64_t row) {
    if (!batch_is_null(batch, column, row)) {
        json_key(json, key);
        json_text(json, batch_text(batch, column, row));
    }
}

static void put_i64(struct json_writer *json, const char *key, const struct batch *batch,
                    int column, int64_t row) {
    if (!batch_is_null(batch, column, row)) {
        json_key(json, key);
        json_i64(json, batch_i64(batch, column, row));
    }
}

static void put_list(struct json_writer *json, const char *key, const struct batch *batch,
                     int column, int64_t row) {
    if (batch_is_null(batch, column, row)) {
        return;
    }
    json_key(json, key);
    json_array_open(json);
    int count = batch_list_text_count(batch, column, row);
    for (int i = 0; i < count; i++) {
        json_text(json, batch_list_text(batch, column, row, i));
    }
    json_array_close(json);
}

/* Keys and values lie one after the other; values are JSON already. */
static void put_context(struct json_writer *json, const struct batch *batch, int64_t row) {
    if (batch_is_null(batch, EVENT_CONTEXT, row)) {
        return;
    }
    json_key(json, "context");
    json_object_open(json);
    int count = batch_list_text_count(batch, EVENT_CONTEXT, row);
    for (int i = 0; i + 1 < count; i += 2) {
        struct slice key = batch_list_text(batch, EVENT_CONTEXT, row, i);
        char name[EVENT_CONTEXT_BYTES_MAX + 1];
        size_t size = key.size < sizeof(name) ? key.size : sizeof(name) - 1;
        memcpy(name, key.data, size);
        name[size] = '\0';
        json_key(json, name);
        json_raw(json, batch_list_text(batch, EVENT_CONTEXT, row, i + 1));
    }
    json_object_close(json);
}

void event_write_json(const struct batch *batch, int64_t row, struct bytes *out) {
    struct json_writer json;
    json_begin(&json, out);
    json_object_open(&json);
    put_text(&json, "kind", batch, EVENT_KIND, row);
    put_i64(&json, "time", batch, EVENT_TIME_POSTED, row);
    put_text(&json, "user", batch, EVENT_USER, row);
    put_text(&json, "item", batch, EVENT_ITEM, row);
    put_text(&json, "id", batch, EVENT_ID, row);
    put_text(&json, "request", batch, EVENT_REQUEST, row);
    put_text(&json, "session", batch, EVENT_SESSION, row);
    put_text(&json, "surface", batch, EVENT_SURFACE, row);
    if (!batch_is_null(batch, EVENT_VALUE, row)) {
        json_key(&json, "value");
        json_f64(&json, batch_f64(batch, EVENT_VALUE, row));
    }
    put_context(&json, batch, row);
    put_text(&json, "author", batch, EVENT_AUTHOR, row);
    put_list(&json, "categories", batch, EVENT_CATEGORIES, row);
    put_list(&json, "tags", batch, EVENT_TAGS, row);
    put_i64(&json, "created", batch, EVENT_CREATED, row);
    put_i64(&json, "expires", batch, EVENT_EXPIRES, row);
    put_text(&json, "text", batch, EVENT_TEXT, row);
    json_object_close(&json);
}
