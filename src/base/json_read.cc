/* The JSON reader: simdjson's document tape behind a C interface. Nothing here throws: simdjson is
 * compiled without exceptions and asks for memory with nothrow.
 *
 *   json_value    = simdjson::dom::element    = { document, index on the tape }
 *   json_iterator = { document, index, index of the end, is it an object }
 *
 * Values are read off the tape word by word, for simdjson's own iterators are copied as a whole at
 * every step, which costs more than what they read. The tape (simdjson, doc/tape.md): a word is a
 * type's letter in the top 8 bits and a payload in the 56 below.
 *
 *   '"'        payload: where the string buffer holds the length, 4 bytes, and the text behind it
 *   'l' 'u' 'd'  the number is the next word
 *   '[' '{'    payload: count of members 55..32, index behind the closing word 31..0
 *   't' 'f' 'n', ']' '}'  nothing more
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

static_assert(sizeof(dom::element) == sizeof(json_value), "a value is an element");
static_assert(std::is_trivially_copyable<dom::element>::value, "copied as bytes");

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

/* --- the tape --- */

enum { TYPE_SHIFT = 56, STRING_LENGTH_BYTES = 4, CONTAINER_END_MASK = 0xFFFFFFFF };

size_t index_of(json_value value) {
    return reinterpret_cast<size_t>(value.opaque[1]);
}

json_value value_at(const void *document, size_t index) {
    return json_value{{document, reinterpret_cast<const void *>(index)}};
}

const dom::document *document_of(json_value value) {
    return static_cast<const dom::document *>(value.opaque[0]);
}

uint64_t word_of(json_value value) {
    return document_of(value)->tape[index_of(value)];
}

char type_of(uint64_t word) {
    return static_cast<char>(word >> TYPE_SHIFT);
}

slice text_at(const dom::document *document, uint64_t word) {
    const uint8_t *at = document->string_buf.get() + (word & ((UINT64_C(1) << TYPE_SHIFT) - 1));
    uint32_t size = 0;
    std::memcpy(&size, at, sizeof(size));
    return slice{reinterpret_cast<const char *>(at) + STRING_LENGTH_BYTES, size};
}

/* Index behind the value at `index`. */
size_t index_after(const dom::document *document, size_t index) {
    uint64_t word = document->tape[index];
    switch (type_of(word)) {
    case '[':
    case '{': return word & CONTAINER_END_MASK;
    case 'l':
    case 'u':
    case 'd': return index + 2;
    default: return index + 1;
    }
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
    switch (type_of(word_of(value))) {
    case 't':
    case 'f': return JSON_BOOL;
    case 'l':
    case 'u': return JSON_INTEGER;
    case 'd': return JSON_NUMBER;
    case '"': return JSON_TEXT;
    case '[': return JSON_ARRAY;
    case '{': return JSON_OBJECT;
    default: return JSON_NULL;
    }
}

extern "C" bool json_to_text(struct json_value value, struct slice *out) {
    if (json_kind_of(value) != JSON_TEXT) {
        return false;
    }
    *out = text_at(document_of(value), word_of(value));
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
    json_iterator iterator = {};
    enum json_kind kind = json_kind_of(container);
    if (kind == JSON_ARRAY || kind == JSON_OBJECT) {
        uint64_t end = (word_of(container) & CONTAINER_END_MASK) - 1;
        iterator.opaque[0] = container.opaque[0];
        iterator.opaque[1] = reinterpret_cast<const void *>(index_of(container) + 1);
        iterator.opaque[2] = reinterpret_cast<const void *>(end);
        iterator.opaque[3] = kind == JSON_OBJECT ? container.opaque[0] : nullptr;
    }
    return iterator;
}

extern "C" bool json_next(struct json_iterator *iterator, struct slice *key,
                          struct json_value *value) {
    const auto *document = static_cast<const dom::document *>(iterator->opaque[0]);
    auto index = reinterpret_cast<size_t>(iterator->opaque[1]);
    if (index >= reinterpret_cast<size_t>(iterator->opaque[2])) {
        return false;
    }
    slice name = {};
    if (iterator->opaque[3]) {
        name = text_at(document, document->tape[index++]);
    }
    if (key) {
        *key = name;
    }
    *value = value_at(document, index);
    iterator->opaque[1] = reinterpret_cast<const void *>(index_after(document, index));
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
