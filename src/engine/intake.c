/* From posted text to rows. Events in plain form are read by event_scan.c, all others off the tape
 * of the JSON reader, here: each field as posted_fields says. What a field may hold is event_add's
 * to say; here only its JSON kind is checked, and that nothing is there that nobody reads.
 *
 * An array is gone through event by event. Whether all of it is JSON shows only at its end: where
 * it is not, or an event does not end where its brackets say, the rows made so far are dropped, and
 * the whole is parsed for the words of the refusal. */
#include "engine/intake.h"

#include "base/memory.h"
#include "base/text.h"
#include "engine/event_scan.h"
#include "log/record.h"

#include <math.h>

enum {
    SHOWN_BYTES_MAX = 64,
    SHORT_BYTES_MAX = 4096, /* texts up to this are copied, so that they have padding */
};

struct intake {
    const struct config *config; /* borrowed */
    struct json_parser *parser;
    struct builder *builder;
    struct bytes scratch; /* context values of one event, as JSON */
    struct intake_result result;
    struct event_scan scan;
    int64_t missed; /* events of the text that were scanned in vain */
    bool general_only;
    char short_text[SHORT_BYTES_MAX + EVENT_SCAN_PADDING];
};

leat_status intake_create(const struct config *config, struct intake **out, leat_error *err) {
    struct intake *intake = memory_zalloc(sizeof(*intake));
    if (!intake) {
        return error_memory(err, sizeof(*intake));
    }
    intake->config = config;
    bytes_init(&intake->scratch);
    event_scan_init(&intake->scan);
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

static leat_status unknown_field(struct slice name, leat_error *err) {
    const char *known[POSTED_FIELDS];
    for (int i = 0; i < POSTED_FIELDS; i++) {
        known[i] = posted_fields[i].name;
    }
    const char *nearest = text_nearest(name, known, POSTED_FIELDS);
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
    posted_event_begin(event);
    uint32_t seen = 0;
    struct slice name;
    struct json_value member;
    for (struct json_iterator it = json_iterate(value); json_next(&it, &name, &member);) {
        int field = posted_field_find(name);
        if (field < 0) {
            return unknown_field(name, err);
        }
        if (seen & 1u << field) {
            return error_set(err, LEAT_INVALID, "%s: given twice", posted_fields[field].name);
        }
        seen |= 1u << field;
        TRY(read_field(intake, &posted_fields[field], member, event, err));
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

/* A text of which more than an eighth is not plain is read faster by the general reader alone. */
static bool scan_pays(const struct intake *intake) {
    enum { MISSED_FREE = 8 };
    int64_t read = intake->result.accepted + intake->result.rejected;
    return !intake->general_only && intake->missed <= MISSED_FREE + read / 8;
}

static bool bound_reached(const struct intake *intake) {
    return intake->result.accepted + intake->result.rejected >= intake->config->http.events;
}

static leat_status check_bound(const struct intake *intake, leat_error *err) {
    if (bound_reached(intake)) {
        return error_set(err, LEAT_FULL,
                         "more than %lld events in one request; post them in parts, or raise "
                         "http.events",
                         (long long)intake->config->http.events);
    }
    return LEAT_OK;
}

/* Accepts or rejects, by what came of the reading; a failure is one of the whole text. */
static leat_status take_posted(struct intake *intake, const struct posted_event *event,
                               leat_status status, leat_error *refusal, leat_error *err) {
    if (status == LEAT_OK) {
        status = event_add(intake->builder, intake->config, event, refusal);
    }
    if (status == LEAT_OK) {
        intake->result.accepted++;
    } else if (status == LEAT_INVALID) {
        reject(&intake->result, refusal->message);
    } else {
        return error_set(err, status, "%s", refusal->message);
    }
    return LEAT_OK;
}

static leat_status take_event(struct intake *intake, struct json_value value, leat_error *err) {
    struct posted_event event;
    leat_error refusal;
    leat_status status = read_event(intake, value, &event, &refusal);
    return take_posted(intake, &event, status, &refusal, err);
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

static inline const char *pass_space(const char *at, const char *end) {
    while (at < end && is_space(*at)) {
        at++;
    }
    return at;
}

/* --- an array --- */

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

/* The event of an array at `at`; moves it behind. LEAT_AGAIN: not to be told from here. */
static leat_status read_element(struct intake *intake, const char **at, const char *end,
                                leat_error *err) {
    struct posted_event event;
    leat_error refusal;
    struct json_value value;
    const char *behind = event_scan(&intake->scan, *at, &event);
    if (behind) {
        *at = behind;
        return take_posted(intake, &event, LEAT_OK, &refusal, err);
    }
    intake->missed++;
    behind = scan_pays(intake) ? event_scan_extent(*at, end) : NULL;
    if (!behind) {
        return LEAT_AGAIN;
    }
    struct slice text = {*at, (size_t)(behind - *at)};
    leat_status status = json_parse(intake->parser, text, &value, err);
    if (status < 0) {
        return status == LEAT_INVALID ? LEAT_AGAIN : error_in(err, status, "the array of events");
    }
    *at = behind;
    return take_event(intake, value, err);
}

/* LEAT_AGAIN: the array is to be parsed as a whole. */
static leat_status read_elements(struct intake *intake, struct slice text, leat_error *err) {
    const char *end = text.data + text.size;
    const char *at = pass_space(text.data + 1, end);
    for (bool more = at < end && *at != ']'; more;) {
        if (at == end || *at != '{' || bound_reached(intake)) {
            return LEAT_AGAIN;
        }
        leat_status status = read_element(intake, &at, end, err);
        if (status != LEAT_OK) {
            return status;
        }
        at = pass_space(at, end);
        more = at < end && *at == ',';
        at = more ? pass_space(at + 1, end) : at;
    }
    bool whole = at < end && *at == ']' && pass_space(at + 1, end) == end;
    return whole ? LEAT_OK : LEAT_AGAIN;
}

/* --- lines --- */

static leat_status read_line(struct intake *intake, struct slice line, leat_error *err) {
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

/* Where the line that holds a plain event ends; NULL: there is more on it, or the event is not
 * plain. */
static const char *scan_line(struct intake *intake, const char *at, const char *end,
                             struct posted_event *event) {
    at = event_scan(&intake->scan, at, event);
    while (at && at < end && (*at == ' ' || *at == '\t' || *at == '\r')) {
        at++;
    }
    return at && (at == end || *at == '\n') ? at : NULL;
}

static leat_status read_lines(struct intake *intake, struct slice text, leat_error *err) {
    const char *end = text.data + text.size;
    for (const char *at = text.data; at < end; at = pass_space(at, end)) {
        struct posted_event event;
        leat_error refusal;
        TRY(check_bound(intake, err));
        const char *line_end = scan_pays(intake) ? scan_line(intake, at, end, &event) : NULL;
        if (line_end) {
            TRY(take_posted(intake, &event, LEAT_OK, &refusal, err));
        } else {
            intake->missed++;
            line_end = memchr(at, '\n', (size_t)(end - at));
            line_end = line_end ? line_end : end;
            TRY(read_line(intake, (struct slice){at, (size_t)(line_end - at)}, err));
        }
        at = line_end;
    }
    return LEAT_OK;
}

/* --- the whole text --- */

static void begin(struct intake *intake) {
    builder_clear(intake->builder);
    intake->result.accepted = 0;
    intake->result.rejected = 0;
    intake->result.described = 0;
    intake->missed = 0;
}

/* Has the events scanned out of the text, or a copy of it that has padding. */
static struct slice scan_begin(struct intake *intake, struct slice text, bool lines) {
    if (text.size > SHORT_BYTES_MAX) {
        event_scan_begin(&intake->scan, text, 0, lines);
        return text;
    }
    memcpy(intake->short_text, text.data, text.size);
    memset(intake->short_text + text.size, 0, EVENT_SCAN_PADDING);
    text.data = intake->short_text;
    event_scan_begin(&intake->scan, text, EVENT_SCAN_PADDING, lines);
    return text;
}

static leat_status read_text(struct intake *intake, struct slice text, leat_error *err) {
    bool lines = text.data[0] != '[';
    text = scan_begin(intake, text, lines);
    if (lines) {
        return read_lines(intake, text, err);
    }
    if (!intake->general_only && text.size <= UINT32_MAX) {
        leat_status status = read_elements(intake, text, err);
        if (status != LEAT_AGAIN) {
            return status;
        }
        begin(intake);
    }
    return read_array(intake, text, err);
}

leat_status intake_read(struct intake *intake, struct slice text, struct intake_result *out,
                        leat_error *err) {
    begin(intake);
    text = skip_space(text);
    if (text.size > 0) {
        TRY(read_text(intake, text, err));
    }
    TRY(builder_finish(intake->builder, &intake->result.batch, err));
    *out = intake->result;
    return LEAT_OK;
}

void intake_general_only(struct intake *intake) {
    intake->general_only = true;
}
