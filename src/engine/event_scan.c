/* One pass over the bytes of an event: step, value, step, value. Texts are passed over in blocks;
 * what is borrowed is the posted text itself.
 *
 * Bounds: from any place up to `limit`, EVENT_SCAN_PADDING bytes can be read. A value begins no
 * later than there; its last block ends within 34 bytes of it, and the block of the step behind it
 * within 50. White space and texts are gone through no further than to `limit`. */
#include "engine/event_scan.h"

#include "base/text.h"

#include <stddef.h>

/* --- fields --- */

#define POSTED(name, as, at, mark)                                                                 \
    {                                                                                              \
        name, sizeof(name) - 1, as, offsetof(struct posted_event, at),                             \
            offsetof(struct posted_event, mark)                                                    \
    }
#define POSTED_TEXT(field) POSTED(#field, AS_TEXT, field, field)

const struct posted_field posted_fields[POSTED_FIELDS] = {
    POSTED_TEXT(kind),
    POSTED_TEXT(user),
    POSTED_TEXT(item),
    POSTED("time", AS_TIME, time_ms, has_time),
    POSTED_TEXT(id),
    POSTED_TEXT(request),
    POSTED_TEXT(session),
    POSTED_TEXT(surface),
    POSTED("value", AS_VALUE, value, has_value),
    POSTED("context", AS_CONTEXT, context, context_count),
    POSTED_TEXT(author),
    POSTED("categories", AS_LIST, categories, category_count),
    POSTED("tags", AS_LIST, tags, tag_count),
    POSTED("created", AS_TIME, created_ms, has_created),
    POSTED("expires", AS_TIME, expires_ms, has_expires),
    POSTED_TEXT(text),
};

int posted_field_find(struct slice name) {
    for (int i = 0; i < POSTED_FIELDS; i++) {
        if (name.size == posted_fields[i].name_size &&
            memcmp(name.data, posted_fields[i].name, name.size) == 0) {
            return i;
        }
    }
    return -1;
}

/* The slices of contexts and lists need no clearing, and are most of the struct. The rest in
 * pieces: for more at once gcc takes `rep stos`, which costs as much as three fields. */
void posted_event_begin(struct posted_event *event) {
    const size_t piece = 64;
    char *bytes = (char *)event;
    _Static_assert(offsetof(struct posted_event, context) <= 192, "three pieces");
    memset(bytes, 0, piece);
    memset(bytes + piece, 0, piece);
    memset(bytes + 2 * piece, 0, offsetof(struct posted_event, context) - 2 * piece);
    event->category_count = 0;
    event->tag_count = 0;
    event->parsed = true;
}

static void steps_forget(struct event_scan *scan) {
    for (int i = 0; i <= POSTED_FIELDS; i++) {
        scan->steps[i].wanted = UINT32_MAX;
    }
    for (int i = 0; i < SCAN_PAIRS; i++) {
        scan->pairs[i].wanted = UINT32_MAX;
    }
}

void event_scan_init(struct event_scan *scan) {
    memset(scan, 0, sizeof(*scan));
    steps_forget(scan);
}

void event_scan_begin(struct event_scan *scan, struct slice text, size_t padding, bool lines) {
    size_t room = text.size + padding;
    scan->limit = room >= EVENT_SCAN_PADDING ? text.data + (room - EVENT_SCAN_PADDING) : NULL;
    if (scan->lines != lines) {
        steps_forget(scan); /* they may hold line breaks */
        scan->lines = lines;
    }
}

/* --- white space and texts --- */

static const char *space_pass(const struct event_scan *scan, const char *at) {
    while (at < scan->limit && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n') &&
           !(*at == '\n' && scan->lines)) {
        at++;
    }
    return at;
}

/* A text of any length, with any character that needs no escape. */
static const char *text_scan_long(const struct event_scan *scan, const char *at,
                                  struct slice *out) {
    const char *begin = at;
    unsigned stops;
    while ((stops = scan_stops(at, false)) == 0) {
        at += SCAN_BLOCK;
        if (at > scan->limit) {
            return NULL;
        }
    }
    at += __builtin_ctz(stops);
    *out = (struct slice){begin, (size_t)(at - begin)};
    return *at == '"' && text_utf8_valid(*out) ? at + 1 : NULL;
}

/* `size`, by way of a guess. Where an event's next value begins hangs on the size of this one, and
 * that takes some 15 cycles to find. A right guess is a branch foreseen: the CPU goes on with the
 * next value meanwhile. The barrier hides from the compiler
 * that both are the same: it would return `size`. */
static inline unsigned size_guessed(unsigned size, uint8_t *guess) {
    unsigned guessed = *guess;
    unsigned compared = guessed;
    __asm__("" : "+r"(compared));
    if (compared == size) {
        return guessed;
    }
    *guess = (uint8_t)size;
    return size;
}

/* From behind the opening quote to behind the closing one. */
static inline const char *text_scan(const struct event_scan *scan, const char *at, uint8_t *guess,
                                    struct slice *out) {
    unsigned stops = scan_stops(at, true);
    unsigned size = stops ? (unsigned)__builtin_ctz(stops) : 0;
    if (at[size] != '"') {
        return text_scan_long(scan, at, out);
    }
    size = size_guessed(size, guess);
    *out = (struct slice){at, size};
    return at + size + 1;
}

/* --- numbers --- */

enum { DIGITS_MAX = 15 }; /* such a number is exact as an integer and as a double */

/* As JSON writes them: no zero leads. */
static inline const char *digits_scan(const char *at, uint8_t *guess, int64_t *out) {
    unsigned digits = scan_digits(at);
    if (digits - 1 >= DIGITS_MAX || (*at == '0' && digits > 1)) {
        return NULL;
    }
    digits = size_guessed(digits, guess);
    *out = (int64_t)scan_whole(at, digits);
    return at + digits;
}

static inline const char *whole_scan(const char *at, uint8_t *guess, int64_t *out) {
    if (*at != '-') {
        return digits_scan(at, guess, out);
    }
    at = digits_scan(at + 1, guess, out);
    *out = -*out;
    return at && *out != 0 ? at : NULL; /* -0 is not what is written for it */
}

/* A quotient of two exact doubles is rounded once: it is the double nearest to the decimal (Clinger
 * 1990). */
static const char *decimal_scan(const char *at, uint8_t *guess, double *out) {
    static const double POWERS[DIGITS_MAX + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool minus = *at == '-';
    const char *begin = at + minus;
    int64_t whole;
    const char *end = digits_scan(begin, guess, &whole);
    if (!end) {
        return NULL;
    }
    double number = (double)whole;
    if (*end == '.') {
        unsigned after = scan_digits(end + 1);
        if (after == 0 || (size_t)(end - begin) + after > DIGITS_MAX) {
            return NULL;
        }
        number = number * POWERS[after] + (double)scan_whole(end + 1, after);
        number /= POWERS[after];
        end += 1 + after;
    }
    *out = minus ? -number : number;
    return minus && number == 0 ? NULL : end; /* -0 and -0.0 are not the same */
}

/* --- lists --- */

static const char *list_scan(const struct event_scan *scan, const char *at, uint8_t *guess,
                             struct slice *entries, int *count) {
    if (*at != '[') {
        return NULL;
    }
    at = space_pass(scan, at + 1);
    if (*at == ']') {
        return at + 1;
    }
    while (at && at <= scan->limit && *at == '"' && *count < EVENT_LIST_MAX) {
        at = text_scan(scan, at + 1, guess, &entries[(*count)++]);
        at = at ? space_pass(scan, at) : at;
        if (!at || *at != ',') {
            return at && *at == ']' ? at + 1 : NULL;
        }
        at = space_pass(scan, at + 1);
    }
    return NULL;
}

/* --- steps --- */

/* Where a step leads: posted_fields' index in an event; in a context the first two. */
enum { TO_TEXT, TO_OTHER, TO_END = POSTED_FIELDS, TO_NOTHING };

/* Keeps what was just stepped over, where it fits; a context's key is borrowed from it. */
static void step_keep(struct scan_step *step, const char *from, const char *at, unsigned to,
                      struct slice key) {
    step->wanted = UINT32_MAX;
    if (at - from <= SCAN_BLOCK) {
        step->size = (uint8_t)(at - from);
        step->wanted = (1u << step->size) - 1;
        step->to = (uint8_t)to;
        step->key_at = (uint8_t)(to == TO_END ? 0 : key.data - from);
        step->key_size = (uint8_t)key.size;
        memcpy(step->text, from, step->size);
    }
}

static inline bool step_fits(const struct scan_step *step, const char *at) {
    return (scan_equal(at, step->text) & step->wanted) == step->wanted;
}

/* Steps to the next member of an object: the place of its value, and its key; or behind the end of
 * the object, without a key. NULL: neither. */
static const char *member_step(const struct event_scan *scan, const char *at, bool first,
                               struct slice *key) {
    *key = (struct slice){NULL, 0};
    at = space_pass(scan, at);
    if (*at == '}') {
        return at + 1;
    }
    if (!first) {
        if (*at != ',') {
            return NULL;
        }
        at = space_pass(scan, at + 1);
    }
    if (at > scan->limit || *at != '"') {
        return NULL;
    }
    at = text_scan_long(scan, at + 1, key);
    if (!at) {
        return NULL;
    }
    at = space_pass(scan, at);
    return *at == ':' ? space_pass(scan, at + 1) : NULL;
}

/* --- contexts --- */

/* As `step_learn`, from behind the opening bracket or the last value. */
static unsigned pair_learn(struct event_scan *scan, const char **at, int before,
                           struct slice *key) {
    const char *behind = member_step(scan, *at, before == 0, key);
    if (!behind) {
        return TO_NOTHING;
    }
    unsigned to = !key->data ? TO_END : *behind == '"' ? TO_TEXT : TO_OTHER;
    behind += to == TO_TEXT;
    if (before < SCAN_PAIRS) {
        step_keep(&scan->pairs[before], *at, behind, to, *key);
    }
    *at = behind;
    return to;
}

static inline unsigned pair_step(struct event_scan *scan, const char **at, int before,
                                 struct slice *key) {
    if (before >= SCAN_PAIRS || !step_fits(&scan->pairs[before], *at)) {
        return pair_learn(scan, at, before, key);
    }
    const struct scan_step *step = &scan->pairs[before];
    key->data = *at + step->key_at;
    key->size = step->key_size;
    *at += step->size;
    return step->to;
}

/* A number or word that json_copy would write as it stands. */
static const char *scalar_scan(const char *at, uint8_t *guess) {
    int64_t number;
    if (*at == 't') {
        return memcmp(at, "true", 4) == 0 ? at + 4 : NULL;
    }
    if (*at == 'f') {
        return memcmp(at, "false", 5) == 0 ? at + 5 : NULL;
    }
    return whole_scan(at, guess, &number);
}

static const char *context_scan(struct event_scan *scan, const char *at,
                                struct posted_event *event) {
    if (*at++ != '{') {
        return NULL;
    }
    for (int count = 0; at; count++) {
        struct slice behind_all[2];
        struct slice *pair = count < EVENT_LIST_MAX ? &event->context[2 * count] : behind_all;
        unsigned to = pair_step(scan, &at, count, pair);
        if (to == TO_END) {
            event->context_count = count;
            return at;
        }
        if (to == TO_NOTHING || at > scan->limit || count == EVENT_LIST_MAX) {
            return NULL;
        }
        const char *begin = at - (to == TO_TEXT);
        uint8_t *guess = &scan->pairs[count % SCAN_PAIRS].value_size;
        at = to == TO_TEXT ? text_scan(scan, at, guess, &pair[1]) : scalar_scan(at, guess);
        pair[1].data = begin;
        pair[1].size = at ? (size_t)(at - begin) : 0;
    }
    return NULL;
}

/* --- events --- */

/* Steps from the end of the value of field `before`, or from the '{', to the value of another; a
 * text's begins behind its quote. The index of that field, TO_END or TO_NOTHING. */
static unsigned step_learn(struct event_scan *scan, const char **at, unsigned before) {
    struct slice key;
    bool first = before == POSTED_FIELDS;
    if (first && **at != '{') {
        return TO_NOTHING;
    }
    const char *behind = member_step(scan, *at + first, first, &key);
    if (!behind) {
        return TO_NOTHING;
    }
    unsigned to = TO_END;
    if (key.data) {
        int field = posted_field_find(key);
        if (field < 0 || (posted_fields[field].as == AS_TEXT && *behind != '"')) {
            return TO_NOTHING;
        }
        to = (unsigned)field;
        behind += posted_fields[field].as == AS_TEXT;
    }
    step_keep(&scan->steps[before], *at, behind, to, key);
    *at = behind;
    return to;
}

static inline unsigned step_take(struct event_scan *scan, const char **at, unsigned before) {
    const struct scan_step *step = &scan->steps[before];
    if (!step_fits(step, *at)) {
        return step_learn(scan, at, before);
    }
    *at += step->size;
    return step->to;
}

static inline const char *value_scan(struct event_scan *scan, const struct posted_field *field,
                                     const char *at, uint8_t *guess, struct posted_event *event) {
    char *to = (char *)event + field->at;
    char *mark = (char *)event + field->mark;
    switch (field->as) {
    case AS_TEXT: return text_scan(scan, at, guess, (struct slice *)to);
    case AS_TIME: *(bool *)mark = true; return whole_scan(at, guess, (int64_t *)to);
    case AS_VALUE: *(bool *)mark = true; return decimal_scan(at, guess, (double *)to);
    case AS_LIST: return list_scan(scan, at, guess, (struct slice *)to, (int *)mark);
    case AS_CONTEXT: return context_scan(scan, at, event);
    }
    return NULL;
}

const char *event_scan(struct event_scan *scan, const char *at, struct posted_event *event) {
    if (at > scan->limit) {
        return NULL;
    }
    posted_event_begin(event);
    uint32_t seen = 0;
    unsigned field = POSTED_FIELDS; /* none yet */
    while (at) {
        uint8_t *guess = &scan->steps[field].value_size;
        field = step_take(scan, &at, field);
        if (field == TO_END) {
            return at;
        }
        if (field == TO_NOTHING || at > scan->limit || seen & 1u << field) {
            return NULL;
        }
        seen |= 1u << field;
        at = value_scan(scan, &posted_fields[field], at, guess, event);
    }
    return NULL;
}

/* --- extents --- */

enum { EXTENT_DEPTH_MAX = 8 };

/* From behind the opening quote to behind the closing one; escapes are passed over. */
static const char *text_extent(const char *at, const char *end) {
    while (at < end && *at != '"') {
        if ((size_t)(end - at) >= SCAN_BLOCK) {
            unsigned stops = scan_stops(at, false);
            at += stops ? (unsigned)__builtin_ctz(stops) : SCAN_BLOCK;
            if (stops == 0 || *at == '"') {
                continue;
            }
        }
        at += *at == '\\' ? 2 : 1;
    }
    return at < end ? at + 1 : NULL;
}

const char *event_scan_extent(const char *at, const char *end) {
    int depth = 0;
    while (at && at < end) {
        char c = *at++;
        if (c == '"') {
            at = text_extent(at, end);
        } else if (c == '{' || c == '[') {
            if (++depth > EXTENT_DEPTH_MAX) {
                return NULL;
            }
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return at;
        }
    }
    return NULL;
}
