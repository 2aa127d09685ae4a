/* JSON: a writer into bytes, and a reader (simdjson, behind json_read.cc).
 *
 * The reader parses one document into a handle that is used again for the next one; values are
 * small copies that borrow from the handle until its next parse. One thread at a time a handle. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/bytes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- writing --- */

enum { JSON_DEPTH_MAX = 32 };

struct json_writer {
    struct bytes *out;
    int depth;
    bool comma[JSON_DEPTH_MAX];
};

void json_begin(struct json_writer *json, struct bytes *out);
void json_object_open(struct json_writer *json);
void json_object_close(struct json_writer *json);
void json_array_open(struct json_writer *json);
void json_array_close(struct json_writer *json);
void json_key(struct json_writer *json, const char *key);
void json_text(struct json_writer *json, struct slice value); /* escapes; invalid UTF-8 -> U+FFFD */
void json_cstring(struct json_writer *json, const char *value);
void json_i64(struct json_writer *json, int64_t value);
void json_u64(struct json_writer *json, uint64_t value);
void json_f64(struct json_writer *json, double value); /* shortest; NaN and infinity -> null */
void json_f32(struct json_writer *json, float value);
void json_bool(struct json_writer *json, bool value);
void json_null(struct json_writer *json);
void json_raw(struct json_writer *json, struct slice value); /* already JSON */

/* --- reading --- */

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_INTEGER,
    JSON_NUMBER,
    JSON_TEXT,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_parser; /* parsing memory, kept between documents */

struct json_value {
    const void *opaque[2];
};

struct json_iterator {
    const void *opaque[4];
};

leat_status json_parser_create(struct json_parser **out, leat_error *err);
void json_parser_destroy(struct json_parser *parser);

/* `text` is copied; depth is limited to JSON_DEPTH_MAX. A failure names the fault in words. */
leat_status json_parse(struct json_parser *parser, struct slice text, struct json_value *out,
                       leat_error *err);

enum json_kind json_kind_of(struct json_value value);
bool json_to_text(struct json_value value, struct slice *out); /* borrowed from the parser */
bool json_to_i64(struct json_value value, int64_t *out);       /* integers within range only */
bool json_to_f64(struct json_value value, double *out);        /* any number */
bool json_to_bool(struct json_value value, bool *out);
bool json_find(struct json_value object, const char *key, struct json_value *out);

/* for (it = json_iterate(v); json_next(&it, &key, &value);) over an object, or with key == NULL
 * over an array. */
struct json_iterator json_iterate(struct json_value container);
bool json_next(struct json_iterator *iterator, struct slice *key, struct json_value *value);
/* Writes the value as minified JSON. */
void json_copy(struct json_value value, struct bytes *out);

#ifdef __cplusplus
}
#endif
#endif
