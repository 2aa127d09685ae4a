/* GET /v1/items/{id}: what is known of an item. */
#include "log/event.h"
#include "serve/http.h"

extern const struct route route_items;

static leat_status answer_item(struct exchange *exchange, leat_error *err) {
    struct slice item = exchange->tail;
    TRY(http_check_id("item", item, EVENT_ID_BYTES_MAX, err));
    leat_status status = engine_item(exchange->engine, item, exchange->answer, err);
    if (status == LEAT_NOT_FOUND) {
        error_set(err, status, "item '%.*s' is unknown", (int)item.size, item.data);
    }
    return status;
}

const struct route route_items = {.path = "/v1/items/", .answer = {[HTTP_GET] = answer_item}};
