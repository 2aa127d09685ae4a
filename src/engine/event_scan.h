/* The fields of a posted event, and a reader of events in plain form: from the text straight into a
 * posted_event, with no tape between.
 *
 * Plain is what machines write: an object of known names, each once, without escapes; times that
 * are whole numbers of at most 15 digits, a `value` that is one with or without a point in it,
 * lists and contexts within their limits. Of any other event this reader says nothing but that: the
 * general one (json_read.cc, intake.c) reads it, and every refusal is its. What is read here is
 * what the general one reads; intake_test and intake_fuzz compare them. One thread at a time. */
#ifndef ENGINE_EVENT_SCAN_H
#define ENGINE_EVENT_SCAN_H

#include "engine/scan_block.h"
#include "log/event.h"

/* --- fields --- */

enum posted_as { AS_TEXT, AS_TIME, AS_VALUE, AS_LIST, AS_CONTEXT };

struct posted_field {
    const char *name;
    size_t name_size;
    enum posted_as as;
    size_t at;   /* offset of the value in a posted_event */
    size_t mark; /* offset of its `has_` flag, or of its count */
};

enum { POSTED_FIELDS = 16 };

extern const struct posted_field posted_fields[POSTED_FIELDS];

int posted_field_find(struct slice name);            /* index in posted_fields; -1: none */
void posted_event_begin(struct posted_event *event); /* names nothing yet; parsed */

/* --- the reader --- */

enum { EVENT_SCAN_PADDING = 64 };

/* What stood between two values the last time. A producer writes all its events alike, so one
 * comparison of a block usually says which value comes next, and where:
 *
 *   "kind":"click","user":"u1","context":{"device":1}}
 *                 ^^^^^^^^^ the step behind `kind`: to `user`, a text
 */
struct scan_step {
    char text[SCAN_BLOCK];    /* from behind a value to the next; the quote of a text included */
    uint32_t wanted;          /* a bit for each byte of it; any more: nothing is learnt yet */
    uint8_t size;             /* bytes */
    uint8_t value_size;       /* bytes of the value behind it, the last time */
    uint8_t to;               /* field, or kind of a context's value; or the end */
    uint8_t key_at, key_size; /* of a context's key, in `text` */
};

enum { SCAN_PAIRS = 8 }; /* pairs of a context that have a step */

struct event_scan {
    const char *limit; /* no value may begin behind it */
    bool lines;        /* a line break is the end of an event, not white space */
    struct scan_step steps[POSTED_FIELDS + 1]; /* by the field before; last: the first one */
    struct scan_step pairs[SCAN_PAIRS];        /* by the number of pairs before */
};

void event_scan_init(struct event_scan *scan);
/* The text that the next events lie in, borrowed while they are used. `padding`: zero bytes behind
 * it that can be read, at most EVENT_SCAN_PADDING. The last bytes of a text without are not read
 * here: an event that reaches into them is not plain. */
void event_scan_begin(struct event_scan *scan, struct slice text, size_t padding, bool lines);
/* Reads the object at `at`. Returns the place behind its end; NULL: not plain. `event` borrows from
 * the text. */
const char *event_scan(struct event_scan *scan, const char *at, struct posted_event *event);
/* The place behind the object at `at`, by its brackets: whether it is JSON is not looked at. NULL:
 * it has no end, or is nested deeper than any event that is taken. */
const char *event_scan_extent(const char *at, const char *end);

#endif
