/* GET / and GET /openapi.yaml: what paths there are, and what they mean. */
#include "serve/http.h"

extern const struct route route_index, route_openapi;

/* api/openapi.yaml as it was when this was built (leat_embed in cmake/rooms.cmake). */
extern const unsigned char openapi_yaml[];
extern const size_t openapi_yaml_size;

static leat_status answer_index(struct exchange *exchange, leat_error *err) {
    static const char *const methods[HTTP_METHODS] = {"GET", "POST", "DELETE"};
    (void)err;
    struct json_writer json;
    json_begin(&json, exchange->answer);
    json_object_open(&json);
    json_key(&json, "name");
    json_cstring(&json, "leat");
    json_key(&json, "paths");
    json_object_open(&json);
    for (int i = 0; route_at(i); i++) {
        json_key(&json, route_at(i)->path);
        json_array_open(&json);
        for (int method = 0; method < HTTP_METHODS; method++) {
            if (route_at(i)->answer[method]) {
                json_cstring(&json, methods[method]);
            }
        }
        json_array_close(&json);
    }
    json_object_close(&json);
    json_object_close(&json);
    return LEAT_OK;
}

static leat_status answer_openapi(struct exchange *exchange, leat_error *err) {
    (void)err;
    exchange->content_type = "application/yaml";
    bytes_append(exchange->answer, openapi_yaml, openapi_yaml_size);
    return LEAT_OK;
}

const struct route route_index = {.path = "/", .answer = {[HTTP_GET] = answer_index}};
const struct route route_openapi = {.path = "/openapi.yaml",
                                    .answer = {[HTTP_GET] = answer_openapi}};
