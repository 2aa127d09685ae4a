#include "serve/http.h"

#include "base/text.h"
#include "log/position.h"

#include <microhttpd.h>

enum { SHOWN_BYTES_MAX = 64 };

/* A value as a message shows it. */
static int shown(struct slice value) {
    return (int)(value.size < SHOWN_BYTES_MAX ? value.size : SHOWN_BYTES_MAX);
}

/* --- decoding --- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

leat_status http_decode(struct arena *arena, struct slice text, struct slice *out,
                        leat_error *err) {
    char *decoded = arena_alloc(arena, text.size + 1);
    if (!decoded) {
        return error_memory(err, text.size + 1);
    }
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] != '%') {
            decoded[size++] = text.data[i];
            continue;
        }
        int high = i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
        int low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return error_set(err, LEAT_INVALID,
                             "'%.*s': a '%%' wants two hexadecimal digits after it", shown(text),
                             text.data);
        }
        decoded[size++] = (char)(high * 16 + low);
        i += 2;
    }
    *out = (struct slice){decoded, size};
    return LEAT_OK;
}

/* --- parameters --- */

struct parameter_walk {
    struct exchange *exchange;
    const char *const *names;
    int count;
    struct slice *values;
    leat_status status;
    leat_error *err;
};

static leat_status unknown_parameter(const struct parameter_walk *walk, struct slice name) {
    const char *nearest = text_nearest(name, walk->names, walk->count);
    return error_set(walk->err, LEAT_INVALID, "parameter '%.*s' is unknown%s%s%s", shown(name),
                     name.data, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                     nearest ? "'?" : "");
}

static leat_status take_parameter(struct parameter_walk *walk, struct slice key,
                                  struct slice value) {
    struct arena *arena = &walk->exchange->workspace->arena;
    struct slice name;
    TRY(http_decode(arena, key, &name, walk->err));
    int index = 0;
    while (index < walk->count && !slice_is(name, walk->names[index])) {
        index++;
    }
    if (index == walk->count) {
        return unknown_parameter(walk, name);
    }
    if (walk->values[index].data) {
        return error_set(walk->err, LEAT_INVALID, "%s: given twice", walk->names[index]);
    }
    return http_decode(arena, value, &walk->values[index], walk->err);
}

static enum MHD_Result on_parameter(void *context, enum MHD_ValueKind kind, const char *key,
                                    size_t key_size, const char *value, size_t value_size) {
    (void)kind;
    struct parameter_walk *walk = context;
    walk->status = take_parameter(walk, (struct slice){key, key_size},
                                  (struct slice){value ? value : "", value ? value_size : 0});
    return walk->status < 0 ? MHD_NO : MHD_YES;
}

leat_status http_parameters(struct exchange *exchange, const char *const *names, int count,
                            struct slice *values, leat_error *err) {
    memset(values, 0, sizeof(*values) * (size_t)count);
    struct parameter_walk walk = {exchange, names, count, values, LEAT_OK, err};
    MHD_get_connection_values_n(exchange->connection, MHD_GET_ARGUMENT_KIND, on_parameter, &walk);
    return walk.status;
}

leat_status http_integer(const char *name, struct slice value, int64_t low, int64_t high,
                         int64_t *out, leat_error *err) {
    int64_t number;
    if (!value.data) {
        return LEAT_OK;
    }
    if (!text_to_i64(value, &number) || number < low || number > high) {
        return error_set(err, LEAT_INVALID, "%s: '%.*s' is not a whole number from %lld to %lld",
                         name, shown(value), value.data, (long long)low, (long long)high);
    }
    *out = number;
    return LEAT_OK;
}

leat_status http_bool(const char *name, struct slice value, bool *out, leat_error *err) {
    if (!value.data) {
        return LEAT_OK;
    }
    *out = slice_is(value, "1") || slice_is(value, "true");
    if (!*out && !slice_is(value, "0") && !slice_is(value, "false")) {
        return error_set(err, LEAT_INVALID, "%s: '%.*s' is not 0, 1, false or true", name,
                         shown(value), value.data);
    }
    return LEAT_OK;
}

leat_status http_check_id(const char *name, struct slice value, size_t bytes_max, leat_error *err) {
    if (!value.data) {
        return LEAT_OK;
    }
    if (value.size < 1 || value.size > bytes_max) {
        return error_set(err, LEAT_INVALID, "%s: %zu bytes; 1 to %zu are allowed", name, value.size,
                         bytes_max);
    }
    if (!text_utf8_valid(value)) {
        return error_set(err, LEAT_INVALID, "%s: not valid UTF-8", name);
    }
    return LEAT_OK;
}

void http_put_position(struct json_writer *json, const char *key, struct engine *engine,
                       uint64_t sequence) {
    struct position position = position_of(engine_log_id(engine), sequence);
    char text[POSITION_TEXT_MAX];
    position_write(&position, text);
    json_key(json, key);
    json_cstring(json, text);
}
