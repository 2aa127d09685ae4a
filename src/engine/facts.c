/* What is known of one item or one person, as JSON. */
#include "base/json.h"
#include "engine/engine_internal.h"

/* What was not found is not there, unless it could not be read. */
static leat_status missing(const struct engine *engine, leat_error *err) {
    TRY(flow_failure(engine->flow, err));
    return LEAT_NOT_FOUND;
}

static leat_status written(const struct engine *engine, const struct bytes *out, leat_error *err) {
    TRY(flow_failure(engine->flow, err));
    return bytes_status(out, err);
}

static void json_member_i64(struct json_writer *json, const char *key, int64_t value) {
    json_key(json, key);
    json_i64(json, value);
}

static void item_counts(struct engine *engine, struct json_writer *json, uint64_t item) {
    const struct config *config = engine->config;
    struct tally_view tally;
    tally_read(flow_tally(engine->flow), item, 0, 0, engine_now(engine), &tally);
    json_member_i64(json, "shown", (int64_t)tally.total_shown);
    json_key(json, "actions");
    json_object_open(json);
    for (int t = 0; t < config->action_count; t++) {
        json_member_i64(json, config->actions[t].name, tally.positives[t]);
    }
    json_object_close(json);
    json_key(json, "now");
    json_object_open(json);
    json_key(json, "acted_minutes");
    json_f64(json, tally.acted[0]);
    json_key(json, "acted_hour");
    json_f64(json, tally.acted[1]);
    json_key(json, "acted_day");
    json_f64(json, tally.acted[2]);
    json_object_close(json);
}

leat_status engine_item(struct engine *engine, struct slice item, struct bytes *out,
                        leat_error *err) {
    struct catalog_view view;
    if (!catalog_find(flow_catalog(engine->flow), item, &view)) {
        return missing(engine, err);
    }
    struct json_writer json;
    json_begin(&json, out);
    json_object_open(&json);
    json_key(&json, "item");
    json_text(&json, item);
    json_key(&json, "described");
    json_bool(&json, view.described);
    json_key(&json, "deleted");
    json_bool(&json, view.deleted);
    json_member_i64(&json, "first_seen", view.first_ms);
    json_member_i64(&json, "created", view.created_ms);
    if (view.expires_ms != INT64_MAX) {
        json_member_i64(&json, "expires", view.expires_ms);
    }
    item_counts(engine, &json, view.hash);
    struct bytes words;
    bytes_init(&words);
    if (catalog_words(flow_catalog(engine->flow), item, &words)) {
        bytes_append(out, ",", 1);
        bytes_append(out, words.data, words.size);
    }
    bytes_deinit(&words);
    json_object_close(&json);
    return written(engine, out, err);
}

static void items_list(struct engine *engine, struct json_writer *json, const char *key,
                       const uint64_t *items, int count) {
    json_key(json, key);
    json_array_open(json);
    for (int i = 0; i < count; i++) {
        struct catalog_view view;
        if (catalog_read(flow_catalog(engine->flow), items[i], &view)) {
            json_text(json, (struct slice){view.id, (size_t)view.id_size});
        }
    }
    json_array_close(json);
}

leat_status engine_user(struct engine *engine, struct slice user, struct bytes *out,
                        leat_error *err) {
    struct profile_view view;
    if (!profile_read(flow_profile(engine->flow), user, engine_now(engine), &view)) {
        return missing(engine, err);
    }
    struct json_writer json;
    json_begin(&json, out);
    json_object_open(&json);
    json_key(&json, "user");
    json_text(&json, user);
    json_member_i64(&json, "first_seen", view.first_ms);
    json_member_i64(&json, "last_seen", view.last_ms);
    json_member_i64(&json, "not_shown_again", (int64_t)view.seen_count);
    items_list(engine, &json, "session", view.session, view.session_count);
    items_list(engine, &json, "recent", view.recent_items, view.recent_count);
    json_key(&json, "actions");
    json_object_open(&json);
    for (int t = 0; t < engine->config->action_count; t++) {
        json_member_i64(&json, engine->config->actions[t].name, view.positives[t]);
    }
    json_object_close(&json);
    json_member_i64(&json, "context_values", view.context_count);
    json_member_i64(&json, "categories", view.category_count);
    json_member_i64(&json, "authors", view.author_count);
    json_object_close(&json);
    return written(engine, out, err);
}
