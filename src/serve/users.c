/* GET and DELETE /v1/users/{id}: what is known of a person, and forgetting it. */
#include "log/event.h"
#include "log/record.h"
#include "serve/http.h"

extern const struct route route_users;

enum { FORGET_WAIT_MS = 1000 };

static const char LOG_WORDS[] = "rows of this person are erased from the log's segments and from "
                                "checkpoints by `complete_by`";

static leat_status answer_user(struct exchange *exchange, leat_error *err) {
    struct slice user = exchange->tail;
    TRY(http_check_id("user", user, EVENT_ID_BYTES_MAX, err));
    leat_status status = engine_user(exchange->engine, user, exchange->answer, err);
    if (status == LEAT_NOT_FOUND) {
        error_set(err, status, "user '%.*s' is unknown", (int)user.size, user.data);
    }
    return status;
}

static leat_status append_forget(struct exchange *exchange, struct builder *builder,
                                 struct log_receipt *receipt, leat_error *err) {
    struct posted_event event = {.kind = slice_of(KIND_FORGET), .user = exchange->tail};
    struct batch batch;
    TRY(event_add(builder, exchange->config, &event, err));
    TRY(builder_finish(builder, &batch, err));
    return engine_append(exchange->engine, &batch, receipt, err);
}

static leat_status forget_user(struct exchange *exchange, leat_error *err) {
    TRY(http_check_id("user", exchange->tail, EVENT_ID_BYTES_MAX, err));
    struct builder *builder;
    TRY(builder_create(schema_event(), &builder, err));
    struct log_receipt receipt;
    leat_status status = append_forget(exchange, builder, &receipt, err);
    builder_destroy(builder);
    TRY(status);
    bool erased = engine_wait(exchange->engine, receipt.end_sequence, false, FORGET_WAIT_MS);
    struct json_writer json;
    json_begin(&json, exchange->answer);
    json_object_open(&json);
    json_key(&json, "forgotten");
    json_text(&json, exchange->tail);
    http_put_position(&json, "position", exchange->engine, receipt.end_sequence);
    json_key(&json, "state");
    json_cstring(&json, erased ? "erased" : "pending");
    json_key(&json, "log");
    json_cstring(&json, LOG_WORDS);
    json_key(&json, "complete_by");
    json_i64(&json, clock_now_ms(clock_wall()) + exchange->config->log.erase_within);
    json_object_close(&json);
    return LEAT_OK;
}

const struct route route_users = {
    .path = "/v1/users/",
    .answer = {[HTTP_GET] = answer_user, [HTTP_DELETE] = forget_user},
};
