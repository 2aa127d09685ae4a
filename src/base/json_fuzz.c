/* Checks: no document crashes the reader; the texts of an accepted one are valid UTF-8; and what
 * json_copy writes of it is accepted again and copies to the same bytes. */
#include "base/json.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(struct json_value value) {
    struct json_iterator it = json_iterate(value);
    struct slice text;
    struct json_value child;
    if (json_to_text(value, &text)) {
        INVARIANT(text_utf8_valid(text), "text of %zu bytes", text.size);
    }
    while (json_next(&it, &text, &child)) {
        INVARIANT(text_utf8_valid(text), "key of %zu bytes", text.size);
        check_texts(child);
    }
}

static void check_copy(struct json_parser *parser, struct slice document) {
    struct json_value value;
    struct bytes again;
    leat_error err = {0};
    bytes_init(&again);
    leat_status status = json_parse(parser, document, &value, &err);
    INVARIANT(status == LEAT_OK, "a copy is refused: %s", err.message);
    json_copy(value, &again);
    INVARIANT(slice_equal(document, (struct slice){(const char *)again.data, again.size}),
              "copies of %zu and %zu bytes differ", document.size, again.size);
    bytes_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json_parser *parser;
    struct json_value value;
    leat_error err = {0};
    INVARIANT(json_parser_create(&parser, &err) == LEAT_OK, "%s", err.message);
    if (json_parse(parser, (struct slice){(const char *)data, size}, &value, &err) == LEAT_OK) {
        struct bytes copy;
        bytes_init(&copy);
        check_texts(value);
        json_copy(value, &copy);
        check_copy(parser, (struct slice){(const char *)copy.data, copy.size});
        bytes_deinit(&copy);
    }
    json_parser_destroy(parser);
    return 0;
}
