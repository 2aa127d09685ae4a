#include "base/json.h"
#include "base/text.h"

/* Places the comma that the value before this one asks for. At depth 0 there is one value only. */
static void json_separate(struct json_writer *json) {
    if (json->depth == 0) {
        return;
    }
    bool *comma = &json->comma[json->depth - 1];
    if (*comma) {
        bytes_put_u8(json->out, ',');
    }
    *comma = true;
}

static void json_put(struct json_writer *json, const char *text, size_t size) {
    json_separate(json);
    bytes_append(json->out, text, size);
}

static void json_open(struct json_writer *json, char bracket) {
    INVARIANT(json->depth < JSON_DEPTH_MAX, "depth %d", json->depth);
    json_put(json, &bracket, 1);
    json->comma[json->depth++] = false;
}

static void json_close(struct json_writer *json, char bracket) {
    INVARIANT(json->depth > 0, "'%c' without its opening", bracket);
    json->depth--;
    bytes_append(json->out, &bracket, 1);
}

void json_begin(struct json_writer *json, struct bytes *out) {
    json->out = out;
    json->depth = 0;
}

void json_object_open(struct json_writer *json) {
    json_open(json, '{');
}

void json_object_close(struct json_writer *json) {
    json_close(json, '}');
}

void json_array_open(struct json_writer *json) {
    json_open(json, '[');
}

void json_array_close(struct json_writer *json) {
    json_close(json, ']');
}

/* --- text --- */

/* What follows the backslash for a byte that may not stand in a JSON string; 'u' for the long
 * form; 0 for bytes that stand as they are. */
static char escape_of(uint8_t byte) {
    switch (byte) {
    case '"': return '"';
    case '\\': return '\\';
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return byte < 0x20 ? 'u' : 0;
    }
}

static void put_escape(struct bytes *out, uint8_t byte, char escape) {
    if (escape == 'u') {
        bytes_printf(out, "\\u%04x", byte);
    } else {
        bytes_put_u8(out, '\\');
        bytes_put_u8(out, (uint8_t)escape);
    }
}

/* `text` is valid UTF-8; runs that need no escape are copied whole. */
static void put_escaped(struct bytes *out, struct slice text) {
    size_t copied = 0;
    for (size_t i = 0; i < text.size; i++) {
        char escape = escape_of((uint8_t)text.data[i]);
        if (escape) {
            bytes_append(out, text.data + copied, i - copied);
            put_escape(out, (uint8_t)text.data[i], escape);
            copied = i + 1;
        }
    }
    bytes_append(out, text.data + copied, text.size - copied);
}

/* Length of the one valid sequence that `text` starts with, or 0. */
static size_t valid_prefix(struct slice text) {
    for (size_t length = 1; length <= 4 && length <= text.size; length++) {
        if (text_utf8_valid((struct slice){text.data, length})) {
            return length;
        }
    }
    return 0;
}

/* Rare: a text from outside that nobody checked. One U+FFFD for each byte that fits nowhere. */
static void put_repaired(struct bytes *out, struct slice text) {
    while (text.size > 0) {
        size_t length = valid_prefix(text);
        if (length > 0) {
            put_escaped(out, (struct slice){text.data, length});
        } else {
            bytes_append(out, "\xEF\xBF\xBD", 3);
            length = 1;
        }
        text = (struct slice){text.data + length, text.size - length};
    }
}

static void put_quoted(struct bytes *out, struct slice text) {
    bytes_put_u8(out, '"');
    if (text_utf8_valid(text)) {
        put_escaped(out, text);
    } else {
        put_repaired(out, text);
    }
    bytes_put_u8(out, '"');
}

void json_key(struct json_writer *json, const char *key) {
    INVARIANT(json->depth > 0, "key \"%s\" outside of an object", key);
    json_separate(json);
    put_quoted(json->out, slice_of(key));
    bytes_put_u8(json->out, ':');
    json->comma[json->depth - 1] = false; /* none between the key and its value */
}

void json_text(struct json_writer *json, struct slice value) {
    json_separate(json);
    put_quoted(json->out, value);
}

void json_cstring(struct json_writer *json, const char *value) {
    json_text(json, slice_of(value));
}

/* --- the rest --- */

void json_u64(struct json_writer *json, uint64_t value) {
    char text[20];
    size_t at = sizeof(text);
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    json_put(json, text + at, sizeof(text) - at);
}

void json_i64(struct json_writer *json, int64_t value) {
    if (value >= 0) {
        json_u64(json, (uint64_t)value);
        return;
    }
    char text[24];
    int size = snprintf(text, sizeof(text), "%lld", (long long)value);
    json_put(json, text, (size_t)size);
}

void json_f64(struct json_writer *json, double value) {
    char text[32];
    if (!__builtin_isfinite(value)) {
        json_null(json);
        return;
    }
    size_t size = text_from_f64(value, text);
    json_put(json, text, size);
}

void json_f32(struct json_writer *json, float value) {
    char text[32];
    if (!__builtin_isfinite(value)) {
        json_null(json);
        return;
    }
    size_t size = text_from_f32(value, text);
    json_put(json, text, size);
}

void json_bool(struct json_writer *json, bool value) {
    struct slice text = slice_of(value ? "true" : "false");
    json_put(json, text.data, text.size);
}

void json_null(struct json_writer *json) {
    json_put(json, "null", 4);
}

void json_raw(struct json_writer *json, struct slice value) {
    json_put(json, value.data, value.size);
}
