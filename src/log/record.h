/* The schemas of the log: every fact is a row of one of these.
 *
 * event   what people and producers post (kinds below), in the order it was posted
 * served  one row an item of an answered page, with the features as they were served
 * beat    a heartbeat: one row without columns that says "time has come this far" */
#ifndef LOG_RECORD_H
#define LOG_RECORD_H

#include "column/batch.h"

enum { SCHEMA_EVENT = 1, SCHEMA_SERVED = 2, SCHEMA_BEAT = 3 };

/* Built-in event kinds, as stored in the `kind` column. An action's kind is its name as text. */
#define KIND_IMPRESSION  "impression"
#define KIND_ITEM        "item"
#define KIND_ITEM_DELETE "item_delete"
#define KIND_USER        "user"
#define KIND_FORGET      "forget"
/* What a row becomes when its person is forgotten: an event of no kind, with its time and nothing
 * else; a served row without a surface. Flow passes both over, as it does with any kind or surface
 * that leat.yaml does not know. Never posted: a kind has at least one byte. */
#define KIND_ERASED ""

enum event_column {
    EVENT_KIND,        /* text */
    EVENT_TIME,        /* i64 ms, clamped at append; never null, and in a log never the marker */
    EVENT_TIME_POSTED, /* i64 ms as posted; null when the event named none */
    EVENT_USER,        /* text, 1..128 bytes */
    EVENT_ITEM,        /* text, 1..128 bytes */
    EVENT_ID,          /* text, for dedup */
    EVENT_REQUEST,     /* text */
    EVENT_SESSION,     /* text */
    EVENT_SURFACE,     /* text */
    EVENT_VALUE,       /* f64 */
    EVENT_CONTEXT,     /* list of text: key, value, key, value; values as JSON scalars */
    EVENT_AUTHOR,      /* text; items */
    EVENT_CATEGORIES,  /* list of text; items */
    EVENT_TAGS,        /* list of text; items */
    EVENT_CREATED,     /* i64 ms; items */
    EVENT_EXPIRES,     /* i64 ms; items */
    EVENT_TEXT,        /* text; items */
    EVENT_COLUMNS
};

/* In a batch on its way to the log: this event named no time and gets its append time. */
#define EVENT_TIME_AT_APPEND INT64_MIN

enum served_column {
    SERVED_REQUEST,  /* text; never null */
    SERVED_USER,     /* text; null for an anonymous page */
    SERVED_ITEM,     /* text; never null */
    SERVED_SURFACE,  /* text; never null */
    SERVED_TIME,     /* i64 ms: the `now` the page was made with; never null */
    SERVED_SLOT,     /* i32, 0 is the top; never null */
    SERVED_SCORE,    /* f64: the value the page was ordered by; never null */
    SERVED_CHANNELS, /* i32: bit set of recall channels; never null */
    SERVED_KEYS,     /* list of u64: the model's ids, as served; never null */
    SERVED_DENSE,    /* list of f32: the model's dense features, as served; never null */
    SERVED_COLUMNS
};

/* A row of any log schema that was erased. */
bool record_is_erased(const struct batch *batch, int64_t row);

const struct schema *schema_event(void);
const struct schema *schema_served(void);
const struct schema *schema_beat(void);
const struct schema *schema_by_id(uint16_t id); /* NULL: unknown */

#endif
