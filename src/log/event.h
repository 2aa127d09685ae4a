/* Building event rows: the one place where a posted event is checked.
 *
 * Whoever receives events (HTTP, a data-set reader, the engine's callers) fills a posted_event and
 * adds it; a refusal says which field and why, and leaves the builder as it was. */
#ifndef LOG_EVENT_H
#define LOG_EVENT_H

#include "base/config.h"
#include "column/builder.h"

enum {
    EVENT_ID_BYTES_MAX = 128, /* user, item, id, request, session, author, category, tag */
    EVENT_TEXT_BYTES_MAX = 16384,
    EVENT_LIST_MAX = 32,           /* categories, tags, context pairs */
    EVENT_CONTEXT_BYTES_MAX = 256, /* one context key or value */
};
#define EVENT_TIME_MAX_MS 7258118400000 /* 2200-01-01: later times are refused, not clamped */

/* Absent fields are {NULL, 0}; times below 0 with has_time false are absent. Borrowed. */
struct posted_event {
    struct slice kind, user, item, id, request, session, surface, author, text;
    bool has_time, has_value, has_created, has_expires;
    /* Every text is from a JSON document that json_parse took, every context value is what
     * json_copy wrote: so they are known to be valid UTF-8 and valid scalars, and are not checked
     * again (the log checks all text of a batch once more, buffer by buffer). */
    bool parsed;
    int64_t time_ms, created_ms, expires_ms;
    double value;
    int context_count;                        /* pairs */
    struct slice context[2 * EVENT_LIST_MAX]; /* key, JSON scalar, key, JSON scalar ... */
    int category_count, tag_count;
    struct slice categories[EVENT_LIST_MAX], tags[EVENT_LIST_MAX];
};

/* Adds one row to a builder of schema_event. Needs by kind: impression and actions: user, item;
 * item, item_delete: item; user, forget: user. LEAT_INVALID with the field, the value and the
 * limit: unknown kind or surface (with the nearest right name), missing or empty or too long field,
 * invalid UTF-8, a context value that is no JSON scalar, a value that is not finite, a time outside
 * [0, EVENT_TIME_MAX_MS). Only `text` may be empty. An event that names no time gets
 * EVENT_TIME_AT_APPEND (record.h). */
leat_status event_add(struct builder *builder, const struct config *config,
                      const struct posted_event *event, leat_error *err);

/* One row as a JSON object with the fields it was posted with (no line break):
 * {"kind":..,"user":..,...}; appends to `out`. */
void event_write_json(const struct batch *batch, int64_t row, struct bytes *out);

#endif
