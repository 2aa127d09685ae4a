/* GET /v1/feed: a page. */
#include "base/text.h"
#include "log/event.h"
#include "log/position.h"
#include "recall/channel.h"
#include "serve/http.h"

extern const struct route route_feed;

enum { AFTER_WAIT_MS = 100 };

enum parameter { P_USER, P_SURFACE, P_N, P_AFTER, P_PREVIEW, P_NOW, P_REQUEST, P_COUNT };
static const char *const NAMES[P_COUNT] = {"user",    "surface", "n",      "after",
                                           "preview", "now",     "request"};

struct feed_request {
    struct feed_query query;
    bool has_after;
    uint64_t after;
};

static leat_status read_surface(const struct config *config, struct slice value, int *out,
                                leat_error *err) {
    *out = value.data ? config_surface_find(config, value) : 0;
    if (*out >= 0) {
        return LEAT_OK;
    }
    const char *known[CONFIG_SURFACES_MAX];
    for (int i = 0; i < config->surface_count; i++) {
        known[i] = config->surfaces[i].name;
    }
    const char *nearest = text_nearest(value, known, config->surface_count);
    return error_set(err, LEAT_INVALID, "surface: '%.*s' is not configured; %s '%s'%s",
                     (int)(value.size < 64 ? value.size : 64), value.data,
                     nearest ? "did you mean" : "the first one is", nearest ? nearest : known[0],
                     nearest ? "?" : "");
}

static leat_status read_after(struct engine *engine, struct slice value,
                              struct feed_request *request, leat_error *err) {
    if (!value.data) {
        return LEAT_OK;
    }
    struct position position;
    leat_status status = position_read(value, &position, err);
    if (status < 0) {
        return error_in(err, status, "after");
    }
    uint32_t log_id = engine_log_id(engine);
    struct position farthest = position_of(log_id, UINT64_MAX);
    if (!position_reached(&farthest, &position)) { /* never, however long it is waited for */
        return error_set(err, LEAT_INVALID, "after: '%.*s' is a position of another log",
                         (int)(value.size < 64 ? value.size : 64), value.data);
    }
    request->has_after = true;
    request->after = position_sequence(&position, log_id);
    return LEAT_OK;
}

static leat_status read_request(struct exchange *exchange, struct feed_request *out,
                                leat_error *err) {
    struct slice values[P_COUNT];
    TRY(http_parameters(exchange, NAMES, P_COUNT, values, err));
    *out = (struct feed_request){.query = {.user = values[P_USER], .request = values[P_REQUEST]}};
    TRY(http_check_id("user", values[P_USER], EVENT_ID_BYTES_MAX, err));
    TRY(http_check_id("request", values[P_REQUEST], PAGE_REQUEST_MAX - 1, err));
    TRY(read_surface(exchange->config, values[P_SURFACE], &out->query.surface, err));
    int64_t count = 0;
    TRY(http_integer("n", values[P_N], 1, PAGE_ITEMS_MAX, &count, err));
    out->query.count = (int)count;
    TRY(http_bool("preview", values[P_PREVIEW], &out->query.preview, err));
    out->query.has_now = values[P_NOW].data != NULL;
    TRY(http_integer("now", values[P_NOW], 0, EVENT_TIME_MAX_MS - 1, &out->query.now_ms, err));
    return read_after(exchange->engine, values[P_AFTER], out, err);
}

static void write_scores(struct json_writer *json, const struct config *config,
                         const struct page_item *item) {
    json_key(json, "scores");
    json_object_open(json);
    for (int task = 0; task < config->action_count; task++) {
        json_key(json, config->actions[task].name);
        json_f32(json, item->scores[task]);
    }
    json_object_close(json);
}

static void write_item(struct json_writer *json, const struct config *config,
                       const struct page_item *item) {
    json_object_open(json);
    json_key(json, "item");
    json_text(json, item->item);
    json_key(json, "score");
    json_f64(json, item->score);
    write_scores(json, config, item);
    json_key(json, "channels");
    json_array_open(json);
    for (int channel = 0; channel < CHANNEL_COUNT; channel++) {
        if (item->channels & 1u << channel) {
            json_cstring(json, channel_name((enum channel)channel));
        }
    }
    json_array_close(json);
    json_key(json, "reason");
    json_cstring(json, item->reason);
    json_object_close(json);
}

/* Of a follower: how far its leader is ahead. */
static void write_behind(struct json_writer *json, struct engine *engine) {
    struct engine_following following;
    if (!engine_following(engine, &following)) {
        return;
    }
    json_key(json, "behind");
    json_object_open(json);
    json_key(json, "rows");
    json_u64(json, following.rows);
    json_key(json, "seconds");
    json_f32(json, (float)following.seconds);
    json_key(json, "learnt_rows");
    json_u64(json, following.learnt_rows);
    json_key(json, "learnt_seconds");
    json_f32(json, (float)following.learnt_seconds);
    json_object_close(json);
}

static leat_status answer_feed(struct exchange *exchange, leat_error *err) {
    struct feed_request request;
    TRY(read_request(exchange, &request, err));
    bool reached =
        !request.has_after || engine_wait(exchange->engine, request.after, false, AFTER_WAIT_MS);
    struct page page;
    TRY(engine_feed(exchange->engine, &request.query, &exchange->workspace->arena, &page, err));
    struct json_writer json;
    json_begin(&json, exchange->answer);
    json_object_open(&json);
    json_key(&json, "request");
    json_cstring(&json, page.request);
    http_put_position(&json, "applied", exchange->engine, page.applied);
    http_put_position(&json, "learnt", exchange->engine, page.learnt);
    write_behind(&json, exchange->engine);
    if (request.has_after) {
        json_key(&json, "reached");
        json_bool(&json, reached);
    }
    json_key(&json, "items");
    json_array_open(&json);
    for (int i = 0; i < page.count; i++) {
        write_item(&json, exchange->config, &page.items[i]);
    }
    json_array_close(&json);
    json_object_close(&json);
    return LEAT_OK;
}

const struct route route_feed = {.path = "/v1/feed", .answer = {[HTTP_GET] = answer_feed}};
