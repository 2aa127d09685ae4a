/* /v1/replica/...: what followers ask of this server. Whoever may ask here reads every row: for
 * private networks only (docs/replicas.md). */
#include "engine/lead.h"
#include "serve/http.h"

extern const struct route route_replica_state, route_replica_log, route_replica_delta,
    route_replica_checkpoint;

enum { WAIT_MS_MAX = 5000 };

enum parameter { P_SALT, P_FROM, P_WAIT, P_COUNT };
static const char *const NAMES[P_COUNT] = {"salt", "from", "wait"};

static leat_status read_query(struct exchange *exchange, struct lead_query *out, leat_error *err) {
    struct slice values[P_COUNT];
    int64_t salt = 0, from = 0, wait_ms = 0;
    TRY(http_parameters(exchange, NAMES, P_COUNT, values, err));
    if (!values[P_SALT].data) {
        return error_set(err, LEAT_INVALID, "salt: it is missing; /v1/replica/state says it");
    }
    TRY(http_integer("salt", values[P_SALT], 0, UINT32_MAX, &salt, err));
    TRY(http_integer("from", values[P_FROM], 0, INT64_MAX, &from, err));
    TRY(http_integer("wait", values[P_WAIT], 0, WAIT_MS_MAX, &wait_ms, err));
    *out = (struct lead_query){.salt = (uint32_t)salt,
                               .from = (uint64_t)from,
                               .wait_ms = wait_ms,
                               .stop = exchange->stopping};
    return LEAT_OK;
}

static void put(struct json_writer *json, const char *key, uint64_t value) {
    json_key(json, key);
    json_u64(json, value);
}

static leat_status answer_state(struct exchange *exchange, leat_error *err) {
    struct lead_state state;
    TRY(lead_state(exchange->engine, &state, err));
    struct json_writer json;
    json_begin(&json, exchange->answer);
    json_object_open(&json);
    put(&json, "log_id", state.log_id);
    put(&json, "salt", state.salt);
    put(&json, "begin", state.begin);
    put(&json, "end", state.end);
    put(&json, "applied", state.applied);
    put(&json, "learnt", state.learnt);
    put(&json, "deltas_from", state.deltas_from);
    put(&json, "deltas_to", state.deltas_to);
    put(&json, "checkpoint", state.checkpoint);
    put(&json, "now", (uint64_t)state.now_ms);
    json_object_close(&json);
    return LEAT_OK;
}

/* Nothing in time is an empty answer. */
static leat_status answer_bytes(struct exchange *exchange,
                                leat_status (*take)(struct engine *engine,
                                                    const struct lead_query *query,
                                                    struct bytes *out, leat_error *err),
                                leat_error *err) {
    struct lead_query query;
    TRY(read_query(exchange, &query, err));
    exchange->content_type = "application/octet-stream";
    leat_status status = take(exchange->engine, &query, exchange->answer, err);
    return status < 0 ? status : LEAT_OK;
}

static leat_status answer_log(struct exchange *exchange, leat_error *err) {
    return answer_bytes(exchange, lead_frames, err);
}

static leat_status answer_delta(struct exchange *exchange, leat_error *err) {
    return answer_bytes(exchange, lead_deltas, err);
}

static leat_status checkpoint_next(void *context, void *data, size_t count, size_t *got,
                                   leat_error *err) {
    return checkpoint_send_read(context, data, count, got, err);
}

static void checkpoint_end(void *context) {
    checkpoint_send_close(context);
}

static leat_status answer_checkpoint(struct exchange *exchange, leat_error *err) {
    struct lead_query query;
    struct checkpoint_send *send;
    TRY(read_query(exchange, &query, err));
    TRY(lead_checkpoint(exchange->engine, &query, &send, err));
    exchange->content_type = "application/octet-stream";
    exchange->stream = (struct http_stream){.next = checkpoint_next,
                                            .end = checkpoint_end,
                                            .context = send,
                                            .bytes = checkpoint_send_bytes(send)};
    return LEAT_OK;
}

const struct route route_replica_state = {.path = "/v1/replica/state",
                                          .answer = {[HTTP_GET] = answer_state}};
const struct route route_replica_log = {.path = "/v1/replica/log",
                                        .answer = {[HTTP_GET] = answer_log}};
const struct route route_replica_delta = {.path = "/v1/replica/delta",
                                          .answer = {[HTTP_GET] = answer_delta}};
const struct route route_replica_checkpoint = {.path = "/v1/replica/checkpoint",
                                               .answer = {[HTTP_GET] = answer_checkpoint}};
