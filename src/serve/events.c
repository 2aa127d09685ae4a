/* POST /v1/events: what people saw and did, and what there is to see. */
#include "serve/http.h"

extern const struct route route_events;

static void write_rejections(struct json_writer *json, const struct intake_result *result) {
    json_key(json, "rejected");
    json_array_open(json);
    for (int i = 0; i < result->described; i++) {
        json_object_open(json);
        json_key(json, "index");
        json_i64(json, result->rejections[i].index);
        json_key(json, "error");
        json_cstring(json, result->rejections[i].words);
        json_object_close(json);
    }
    json_array_close(json);
    if (result->rejected > result->described) {
        json_key(json, "rejected_total");
        json_i64(json, result->rejected);
    }
}

static leat_status check_body(struct slice body, leat_error *err) {
    for (size_t i = 0; i < body.size; i++) {
        if (!memchr(" \t\r\n", body.data[i], 4)) {
            return LEAT_OK;
        }
    }
    return error_set(err, LEAT_INVALID,
                     "the body is empty; post a JSON array of events, or one event a line");
}

static leat_status admit_events(struct exchange *exchange, leat_error *err) {
    leat_status status = engine_admit(exchange->engine, &exchange->retry_after_s, err);
    metrics_add(exchange->metrics, METRIC_posts_busy_total, status < 0);
    return status;
}

/* What found no room in the log's queue comes back when what waits now is likely to be on disk. */
static leat_status append(struct exchange *exchange, const struct batch *batch,
                          struct log_receipt *receipt, leat_error *err) {
    leat_status status = engine_append(exchange->engine, batch, receipt, err);
    if (status == LEAT_FULL && !engine_disk_full(exchange->engine)) {
        engine_admit(exchange->engine, &exchange->retry_after_s, NULL);
        metrics_add(exchange->metrics, METRIC_posts_busy_total, 1);
    }
    return status;
}

static leat_status answer_events(struct exchange *exchange, leat_error *err) {
    TRY(check_body(exchange->body, err));
    struct intake *intake;
    TRY(workspace_intake(exchange->workspace, exchange->config, &intake, err));
    struct intake_result result;
    TRY(intake_read(intake, exchange->body, &result, err));
    uint64_t end = engine_end(exchange->engine);
    if (result.accepted > 0) {
        struct log_receipt receipt;
        TRY(append(exchange, &result.batch, &receipt, err));
        end = receipt.end_sequence;
    }
    metrics_add(exchange->metrics, METRIC_events_rejected_total, (uint64_t)result.rejected);
    struct json_writer json;
    json_begin(&json, exchange->answer);
    json_object_open(&json);
    json_key(&json, "accepted");
    json_i64(&json, result.accepted);
    http_put_position(&json, "position", exchange->engine, end);
    write_rejections(&json, &result);
    json_object_close(&json);
    return LEAT_OK;
}

const struct route route_events = {
    .path = "/v1/events", .admit = admit_events, .answer = {[HTTP_POST] = answer_events}};
