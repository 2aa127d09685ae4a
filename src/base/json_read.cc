/* The JSON reader: simdjson's document tape behind a C interface. Nothing here throws: simdjson is
 * compiled without exceptions and asks for memory with nothrow.
 *
 *   json_value    = simdjson::dom::element    = { document, index on the tape }
 *   json_iterator = { document, index, index of the end, is it an object }
 *
 * Texts of values are valid UTF-8: simdjson refuses invalid bytes and escapes of lone surrogates.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

extern "C" {
#include "base/json.h"
#include "base/memory.h"
}

namespace dom = simdjson::dom;

struct json_parser {
    dom::parser parser;
    char *text; /* padded copy of the document */
    size_t capacity;
};

namespace {

/* A place on the tape, as simdjson's element and its iterators are laid out. */
struct tape_place {
    const dom::document *document;
    size_t index;
};

struct iterator_state {
    tape_place at;
    size_t end;
    size_t is_object;
};

static_assert(sizeof(dom::element) == sizeof(json_value), "a value is an element");
static_assert(sizeof(dom::array::iterator) == sizeof(tape_place), "a place on the tape");
static_assert(sizeof(dom::object::iterator) == sizeof(tape_place), "a place on the tape");
static_assert(sizeof(iterator_state) == sizeof(json_iterator), "fits the C iterator");
static_assert(std::is_trivially_copyable<dom::element>::value, "copied as bytes");
static_assert(std::is_trivially_copyable<dom::array::iterator>::value, "copied as bytes");
static_assert(std::is_trivially_copyable<dom::object::iterator>::value, "copied as bytes");

/* simdjson counts the level of the innermost values too, unless their container is empty; one more
 * lets it read whatever the writer may write. */
enum { DOCUMENT_BYTES_MIN = 1024, SIMDJSON_DEPTH_MAX = JSON_DEPTH_MAX + 1 };

template <typename To, typename From> To same_bytes(const From &from) {
    static_assert(sizeof(To) == sizeof(From), "same bytes");
    To to;
    std::memcpy(static_cast<void *>(&to), static_cast<const void *>(&from), sizeof(to));
    return to;
}

dom::element element_of(json_value value) {
    return same_bytes<dom::element>(value);
}

/* Grows in powers of two, so that a stream of documents settles after a few. */
leat_status parser_reserve(json_parser *parser, size_t size, leat_error *err) {
    if (size <= parser->capacity && parser->text) {
        return LEAT_OK;
    }
    size_t capacity = DOCUMENT_BYTES_MIN;
    while (capacity < size) {
        capacity *= 2;
    }
    capacity = capacity > simdjson::SIMDJSON_MAXSIZE_BYTES ? size : capacity;
    auto *text =
        static_cast<char *>(memory_resize(parser->text, capacity + simdjson::SIMDJSON_PADDING));
    if (!text) {
        return error_memory(err, capacity);
    }
    parser->text = text;
    parser->capacity = 0; /* until all three parts have grown */
    if (parser->parser.allocate(capacity, SIMDJSON_DEPTH_MAX) != simdjson::SUCCESS ||
        parser->parser.doc.allocate(capacity) != simdjson::SUCCESS) {
        return error_memory(err, capacity);
    }
    parser->capacity = capacity;
    return LEAT_OK;
}

leat_status parse_failed(simdjson::error_code code, leat_error *err) {
    if (code == simdjson::MEMALLOC) {
        return error_retry(err, LEAT_MEMORY, "no memory to parse a JSON document");
    }
    if (code == simdjson::DEPTH_ERROR) {
        return error_set(err, LEAT_INVALID, "JSON is nested deeper than %d levels", JSON_DEPTH_MAX);
    }
    return error_set(err, LEAT_INVALID, "not valid JSON: %s", simdjson::error_message(code));
}

void copy_container(json_value value, bool is_object, struct bytes *out) {
    json_iterator iterator = json_iterate(value);
    slice key = {};
    json_value child = {};
    bytes_put_u8(out, is_object ? '{' : '[');
    for (bool first = true; json_next(&iterator, &key, &child); first = false) {
        if (!first) {
            bytes_put_u8(out, ',');
        }
        if (is_object) {
            json_writer writer;
            json_begin(&writer, out);
            json_text(&writer, key);
            bytes_put_u8(out, ':');
        }
        json_copy(child, out); /* no deeper than SIMDJSON_DEPTH_MAX, which json_parse checked */
    }
    bytes_put_u8(out, is_object ? '}' : ']');
}

void copy_integer(dom::element element, json_writer *writer) {
    int64_t value = 0;
    uint64_t large = 0;
    if (element.get_int64().get(value) == simdjson::SUCCESS) {
        json_i64(writer, value);
    } else if (element.get_uint64().get(large) == simdjson::SUCCESS) {
        json_u64(writer, large);
    }
}

} // namespace

extern "C" leat_status json_parser_create(struct json_parser **out, leat_error *err) {
    void *memory = memory_aligned(alignof(json_parser), sizeof(json_parser));
    if (!memory) {
        return error_memory(err, sizeof(json_parser));
    }
    *out = new (memory) json_parser{dom::parser(), nullptr, 0};
    return LEAT_OK;
}

extern "C" void json_parser_destroy(struct json_parser *parser) {
    if (parser) {
        memory_free(parser->text);
        parser->~json_parser();
        memory_free(parser);
    }
}

extern "C" leat_status json_parse(struct json_parser *parser, struct slice text,
                                  struct json_value *out, leat_error *err) {
    if (text.size > simdjson::SIMDJSON_MAXSIZE_BYTES) {
        return error_set(err, LEAT_INVALID, "JSON of %zu bytes; at most %zu fit", text.size,
                         simdjson::SIMDJSON_MAXSIZE_BYTES);
    }
    TRY(parser_reserve(parser, text.size, err));
    if (text.size > 0) {
        std::memcpy(parser->text, text.data, text.size);
    }
    std::memset(parser->text + text.size, 0, simdjson::SIMDJSON_PADDING);
    dom::element root;
    simdjson::error_code code = parser->parser.parse(parser->text, text.size, false).get(root);
    if (code != simdjson::SUCCESS) {
        return parse_failed(code, err);
    }
    *out = same_bytes<json_value>(root);
    return LEAT_OK;
}

extern "C" enum json_kind json_kind_of(struct json_value value) {
    if (!value.opaque[0]) {
        return JSON_NULL;
    }
    switch (element_of(value).type()) {
    case dom::element_type::BOOL: return JSON_BOOL;
    case dom::element_type::INT64: return JSON_INTEGER;
    case dom::element_type::UINT64: return JSON_INTEGER;
    case dom::element_type::DOUBLE: return JSON_NUMBER;
    case dom::element_type::STRING: return JSON_TEXT;
    case dom::element_type::ARRAY: return JSON_ARRAY;
    case dom::element_type::OBJECT: return JSON_OBJECT;
    case dom::element_type::NULL_VALUE: return JSON_NULL;
    }
    return JSON_NULL;
}

extern "C" bool json_to_text(struct json_value value, struct slice *out) {
    std::string_view text;
    if (json_kind_of(value) != JSON_TEXT || element_of(value).get_string().get(text)) {
        return false;
    }
    *out = slice{text.data(), text.size()};
    return true;
}

extern "C" bool json_to_i64(struct json_value value, int64_t *out) {
    return json_kind_of(value) == JSON_INTEGER && !element_of(value).get_int64().get(*out);
}

extern "C" bool json_to_f64(struct json_value value, double *out) {
    enum json_kind kind = json_kind_of(value);
    return (kind == JSON_INTEGER || kind == JSON_NUMBER) &&
           !element_of(value).get_double().get(*out);
}

extern "C" bool json_to_bool(struct json_value value, bool *out) {
    return json_kind_of(value) == JSON_BOOL && !element_of(value).get_bool().get(*out);
}

extern "C" bool json_find(struct json_value object, const char *key, struct json_value *out) {
    dom::object members;
    dom::element found;
    if (json_kind_of(object) != JSON_OBJECT || element_of(object).get_object().get(members) ||
        members.at_key(key).get(found)) {
        return false;
    }
    *out = same_bytes<json_value>(found);
    return true;
}

extern "C" struct json_iterator json_iterate(struct json_value container) {
    iterator_state state = {};
    enum json_kind kind = json_kind_of(container);
    dom::array array;
    dom::object object;
    if (kind == JSON_ARRAY && !element_of(container).get_array().get(array)) {
        state.at = same_bytes<tape_place>(array.begin());
        state.end = same_bytes<tape_place>(array.end()).index;
    } else if (kind == JSON_OBJECT && !element_of(container).get_object().get(object)) {
        state.at = same_bytes<tape_place>(object.begin());
        state.end = same_bytes<tape_place>(object.end()).index;
        state.is_object = 1;
    }
    return same_bytes<json_iterator>(state);
}

extern "C" bool json_next(struct json_iterator *iterator, struct slice *key,
                          struct json_value *value) {
    auto state = same_bytes<iterator_state>(*iterator);
    if (state.at.index >= state.end) {
        return false;
    }
    std::string_view name;
    if (state.is_object) {
        auto at = same_bytes<dom::object::iterator>(state.at);
        name = at.key();
        *value = same_bytes<json_value>(at.value());
        state.at = same_bytes<tape_place>(++at);
    } else {
        auto at = same_bytes<dom::array::iterator>(state.at);
        *value = same_bytes<json_value>(*at);
        state.at = same_bytes<tape_place>(++at);
    }
    if (key) {
        *key = slice{name.data(), name.size()};
    }
    *iterator = same_bytes<json_iterator>(state);
    return true;
}

extern "C" void json_copy(struct json_value value, struct bytes *out) {
    json_writer writer;
    json_begin(&writer, out);
    slice text = {};
    double number = 0;
    bool flag = false;
    switch (json_kind_of(value)) {
    case JSON_NULL: json_null(&writer); break;
    case JSON_BOOL: json_bool(&writer, json_to_bool(value, &flag) && flag); break;
    case JSON_INTEGER: copy_integer(element_of(value), &writer); break;
    case JSON_NUMBER: json_f64(&writer, json_to_f64(value, &number) ? number : 0); break;
    case JSON_TEXT: json_text(&writer, json_to_text(value, &text) ? text : slice{}); break;
    case JSON_ARRAY: copy_container(value, false, out); break;
    case JSON_OBJECT: copy_container(value, true, out); break;
    }
}
