/* From posted text to rows. Every field of an event is one line of FIELDS: its name, how its JSON
 * value is read, and where it goes in a posted_event. What a field may hold is event_add's to say;
 * here only its JSON kind is checked, and that nothing is there that nobody reads. */
#include "engine/intake.h"

#include "base/memory.h"
#include "base/text.h"
#include "log/event.h"
#include "log/record.h"

#include <math.h>
#include <stddef.h>

enum read_as { AS_TEXT, AS_TIME, AS_VALUE, AS_LIST, AS_CONTEXT };

struct posted_field {
    const char *name;
    enum read_as as;
    size_t at;   /* offset of the value in a posted_event */
    size_t mark; /* offset of its `has_` flag, or of its count */
};

#define POSTED_TEXT(field)                                                                         \
    { #field, AS_TEXT, offsetof(struct posted_event, field), 0 }
#define POSTED_TIME(name, field, has)                                                              \
    { name, AS_TIME, offsetof(struct posted_event, field), offsetof(struct posted_event, has) }
#define POSTED_LIST(name, field, count)                                                            \
    { name, AS_LIST, offsetof(struct posted_event, field), offsetof(struct posted_event, count) }

/* In order of the name's length, so that a name is compared with few; within a length, what is
 * posted most comes first. */
static const struct posted_field FIELDS[] = {
    POSTED_TEXT(id),
    POSTED_TEXT(kind),
    POSTED_TEXT(user),
    POSTED_TEXT(item),
    POSTED_TIME("time", time_ms, has_time),
    POSTED_LIST("tags", tags, tag_count),
    POSTED_TEXT(text),
    {"value", AS_VALUE, offsetof(struct posted_event, value),
     offsetof(struct posted_event, has_value)},
    POSTED_TEXT(author),
    POSTED_TEXT(request),
    POSTED_TEXT(session),
    POSTED_TEXT(surface),
    {"context", AS_CONTEXT, 0, 0},
    POSTED_TIME("created", created_ms, has_created),
    POSTED_TIME("expires", expires_ms, has_expires),
    POSTED_LIST("categories", categories, category_count),
};

enum {
    FIELD_COUNT = sizeof(FIELDS) / sizeof(FIELDS[0]),
    FIELD_NAME_MAX = 10, /* bytes of the longest name; at most 16 (equal_names) */
    SHOWN_BYTES_MAX = 64,
};

struct intake {
    const struct config *config; /* borrowed */
    struct json_parser *parser;
    struct builder *builder;
    struct bytes scratch; /* context values of one event, as JSON */
    struct intake_result result;
    uint8_t first[FIELD_NAME_MAX + 2]; /* by length: index of the first field at least so long */
};

leat_status intake_create(const struct config *config, struct intake **out, leat_error *err) {
    struct intake *intake = memory_zalloc(sizeof(*intake));
    if (!intake) {
        return error_memory(err, sizeof(*intake));
    }
    intake->config = config;
    bytes_init(&intake->scratch);
    for (size_t length = 0, field = 0; length < FIELD_NAME_MAX + 2; length++) {
        while (field < FIELD_COUNT && strlen(FIELDS[field].name) < length) {
            field++;
        }
        intake->first[length] = (uint8_t)field;
    }
    leat_status status;
    size_t bytes = sizeof(*intake->result.rejections) * INTAKE_REJECTIONS_MAX;
    intake->result.rejections = memory_alloc(bytes);
    if (!intake->result.rejections) {
        status = error_memory(err, bytes);
        goto fail;
    }
    TRY_OR(status, json_parser_create(&intake->parser, err), fail);
    TRY_OR(status, builder_create(schema_event(), &intake->builder, err), fail);
    *out = intake;
    return LEAT_OK;
fail:
    intake_destroy(intake);
    return status;
}

void intake_destroy(struct intake *intake) {
    if (!intake) {
        return;
    }
    if (intake->builder) {
        builder_destroy(intake->builder);
    }
    json_parser_destroy(intake->parser);
    memory_free(intake->result.rejections);
    bytes_deinit(&intake->scratch);
    memory_free(intake);
}

/* --- one field --- */

static const char *kind_words(struct json_value value) {
    switch (json_kind_of(value)) {
    case JSON_NULL: return "null (leave the field out)";
    case JSON_BOOL: return "true or false";
    case JSON_INTEGER: return "a number";
    case JSON_NUMBER: return "a number";
    case JSON_TEXT: return "a text";
    case JSON_ARRAY: return "an array";
    case JSON_OBJECT: return "an object";
    }
    return "something else";
}

static leat_status wrong_kind(const char *field, const char *wanted, struct json_value value,
                              leat_error *err) {
    return error_set(err, LEAT_INVALID, "%s: wants %s, not %s", field, wanted, kind_words(value));
}

static leat_status read_time(const struct posted_field *field, struct json_value value,
                             int64_t *out, leat_error *err) {
    if (json_to_i64(value, out)) {
        return LEAT_OK;
    }
    double number;
    if (!json_to_f64(value, &number)) {
        return wrong_kind(field->name, "whole milliseconds since 1970", value, err);
    }
    if (number != floor(number) || fabs(number) >= 0x1p63) {
        return error_set(err, LEAT_INVALID,
                         "%s: %.17g is not a whole number of milliseconds since 1970", field->name,
                         number);
    }
    *out = (int64_t)number;
    return LEAT_OK;
}

static leat_status read_list(const struct posted_field *field, struct json_value value,
                             struct slice *entries, int *count, leat_error *err) {
    if (json_kind_of(value) != JSON_ARRAY) {
        return wrong_kind(field->name, "an array of texts", value, err);
    }
    struct json_value entry;
    for (struct json_iterator it = json_iterate(value); json_next(&it, NULL, &entry);) {
        if (*count == EVENT_LIST_MAX) {
            return error_set(err, LEAT_INVALID, "%s: more than the %d entries that are allowed",
                             field->name, EVENT_LIST_MAX);
        }
        if (!json_to_text(entry, &entries[(*count)++])) {
            return wrong_kind(field->name, "texts in its array", entry, err);
        }
    }
    return LEAT_OK;
}

/* Values are written to the scratch buffer one after the other, and pointed at when it has stopped
 * moving. */
static leat_status read_context(struct intake *intake, struct json_value value,
                                struct posted_event *event, leat_error *err) {
    if (json_kind_of(value) != JSON_OBJECT) {
        return wrong_kind("context", "an object", value, err);
    }
    bytes_clear(&intake->scratch);
    struct slice key;
    struct json_value scalar;
    for (struct json_iterator it = json_iterate(value); json_next(&it, &key, &scalar);) {
        enum json_kind kind = json_kind_of(scalar);
        if (event->context_count == EVENT_LIST_MAX) {
            return error_set(err, LEAT_INVALID, "context: more than the %d pairs that are allowed",
                             EVENT_LIST_MAX);
        }
        if (kind == JSON_NULL || kind == JSON_ARRAY || kind == JSON_OBJECT) {
            return wrong_kind("context", "texts, numbers, true or false as values", scalar, err);
        }
        size_t before = intake->scratch.size;
        json_copy(scalar, &intake->scratch);
        event->context[2 * event->context_count] = key;
        event->context[2 * event->context_count + 1].size = intake->scratch.size - before;
        event->context_count++;
    }
    const char *at = (const char *)intake->scratch.data;
    for (int i = 0; i < event->context_count; i++) {
        event->context[2 * i + 1].data = at;
        at += event->context[2 * i + 1].size;
    }
    return bytes_status(&intake->scratch, err);
}

static leat_status read_field(struct intake *intake, const struct posted_field *field,
                              struct json_value value, struct posted_event *event,
                              leat_error *err) {
    char *at = (char *)event + field->at;
    char *mark = (char *)event + field->mark;
    switch (field->as) {
    case AS_TEXT:
        return json_to_text(value, (struct slice *)at)
                   ? LEAT_OK
                   : wrong_kind(field->name, "a text", value, err);
    case AS_TIME: *(bool *)mark = true; return read_time(field, value, (int64_t *)at, err);
    case AS_VALUE:
        *(bool *)mark = true;
        return json_to_f64(value, (double *)at) ? LEAT_OK
                                                : wrong_kind(field->name, "a number", value, err);
    case AS_LIST: return read_list(field, value, (struct slice *)at, (int *)mark, err);
    case AS_CONTEXT: return read_context(intake, value, event, err);
    }
    return LEAT_OK;
}

/* --- one event --- */

static inline bool equal_words(const char *a, const char *b, size_t size) {
    uint64_t x;
    uint64_t y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    uint64_t head = x ^ y;
    memcpy(&x, a + size - sizeof(x), sizeof(x));
    memcpy(&y, b + size - sizeof(y), sizeof(y));
    return (head | (x ^ y)) == 0;
}

static inline bool equal_halves(const char *a, const char *b, size_t size) {
    uint32_t x;
    uint32_t y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    uint32_t head = x ^ y;
    memcpy(&x, a + size - sizeof(x), sizeof(x));
    memcpy(&y, b + size - sizeof(y), sizeof(y));
    return (head | (x ^ y)) == 0;
}

/* Names of one length, 1 to 16 bytes: head and tail overlap, which costs less than to call memcmp.
 */
static inline bool equal_names(const char *a, const char *b, size_t size) {
    if (size >= sizeof(uint64_t)) {
        return equal_words(a, b, size);
    }
    return size >= sizeof(uint32_t) ? equal_halves(a, b, size) : memcmp(a, b, size) == 0;
}

static int find_field(const struct intake *intake, struct slice name) {
    if (name.size > FIELD_NAME_MAX) {
        return -1;
    }
    for (int i = intake->first[name.size]; i < intake->first[name.size + 1]; i++) {
        if (equal_names(FIELDS[i].name, name.data, name.size)) {
            return i;
        }
    }
    return -1;
}

static leat_status unknown_field(struct slice name, leat_error *err) {
    const char *known[FIELD_COUNT];
    for (int i = 0; i < FIELD_COUNT; i++) {
        known[i] = FIELDS[i].name;
    }
    const char *nearest = text_nearest(name, known, FIELD_COUNT);
    int shown = (int)(name.size < SHOWN_BYTES_MAX ? name.size : SHOWN_BYTES_MAX);
    return error_set(err, LEAT_INVALID, "field '%.*s' is unknown%s%s%s", shown, name.data,
                     nearest ? "; did you mean '" : "; an event holds kind, user, item, time ...",
                     nearest ? nearest : "", nearest ? "'?" : "");
}

static leat_status read_event(struct intake *intake, struct json_value value,
                              struct posted_event *event, leat_error *err) {
    if (json_kind_of(value) != JSON_OBJECT) {
        return wrong_kind("event", "an object", value, err);
    }
    /* The slices of contexts and lists need no clearing, and are most of the struct. */
    memset(event, 0, offsetof(struct posted_event, context));
    event->category_count = 0;
    event->tag_count = 0;
    event->parsed = true;
    uint32_t seen = 0;
    struct slice name;
    struct json_value member;
    for (struct json_iterator it = json_iterate(value); json_next(&it, &name, &member);) {
        int field = find_field(intake, name);
        if (field < 0) {
            return unknown_field(name, err);
        }
        if (seen & 1u << field) {
            return error_set(err, LEAT_INVALID, "%s: given twice", FIELDS[field].name);
        }
        seen |= 1u << field;
        TRY(read_field(intake, &FIELDS[field], member, event, err));
    }
    return LEAT_OK;
}

/* --- the whole text --- */

static void reject(struct intake_result *result, const char *words) {
    if (result->described < INTAKE_REJECTIONS_MAX) {
        result->rejections[result->described].index = result->accepted + result->rejected;
        snprintf(result->rejections[result->described].words, INTAKE_WORDS_MAX, "%s", words);
        result->described++;
    }
    result->rejected++;
}

static leat_status check_bound(const struct intake *intake, leat_error *err) {
    int64_t read = intake->result.accepted + intake->result.rejected;
    if (read >= intake->config->http.events) {
        return error_set(err, LEAT_FULL,
                         "more than %lld events in one request; post them in parts, or raise "
                         "http.events",
                         (long long)intake->config->http.events);
    }
    return LEAT_OK;
}

/* Accepts or rejects; a failure is one of the whole text. */
static leat_status take_event(struct intake *intake, struct json_value value, leat_error *err) {
    struct posted_event event;
    leat_error refusal;
    leat_status status = read_event(intake, value, &event, &refusal);
    if (status == LEAT_OK) {
        status = event_add(intake->builder, intake->config, &event, &refusal);
    }
    if (status == LEAT_OK) {
        intake->result.accepted++;
    } else if (status == LEAT_INVALID) {
        reject(&intake->result, refusal.message);
    } else {
        return error_set(err, status, "%s", refusal.message);
    }
    return LEAT_OK;
}

static leat_status read_array(struct intake *intake, struct slice text, leat_error *err) {
    struct json_value array;
    leat_status status = json_parse(intake->parser, text, &array, err);
    if (status < 0) {
        return error_in(err, status, "the array of events");
    }
    struct json_value event;
    for (struct json_iterator it = json_iterate(array); json_next(&it, NULL, &event);) {
        TRY(check_bound(intake, err));
        TRY(take_event(intake, event, err));
    }
    return LEAT_OK;
}

static leat_status read_line(struct intake *intake, struct slice line, leat_error *err) {
    TRY(check_bound(intake, err));
    leat_error refusal;
    struct json_value event;
    leat_status status = json_parse(intake->parser, line, &event, &refusal);
    if (status == LEAT_INVALID) {
        error_in(&refusal, status, "line is not JSON");
        reject(&intake->result, refusal.message);
        return LEAT_OK;
    }
    if (status < 0) {
        return error_retry(err, status, "%s", refusal.message);
    }
    return take_event(intake, event, err);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice skip_space(struct slice text) {
    while (text.size > 0 && is_space(text.data[0])) {
        text.data++;
        text.size--;
    }
    return text;
}

static leat_status read_lines(struct intake *intake, struct slice text, leat_error *err) {
    for (text = skip_space(text); text.size > 0; text = skip_space(text)) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        TRY(read_line(intake, (struct slice){text.data, size}, err));
        text = (struct slice){text.data + size, text.size - size};
    }
    return LEAT_OK;
}

leat_status intake_read(struct intake *intake, struct slice text, struct intake_result *out,
                        leat_error *err) {
    builder_clear(intake->builder);
    intake->result.accepted = 0;
    intake->result.rejected = 0;
    intake->result.described = 0;
    text = skip_space(text);
    if (text.size > 0 && text.data[0] == '[') {
        TRY(read_array(intake, text, err));
    } else {
        TRY(read_lines(intake, text, err));
    }
    TRY(builder_finish(intake->builder, &intake->result.batch, err));
    *out = intake->result;
    return LEAT_OK;
}
