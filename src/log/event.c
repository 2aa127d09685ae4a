/* Checks a posted event, then sets its columns: nothing is set before all is found right, so a
 * refusal leaves the builder as it was. */
#include "log/event.h"

#include "base/text.h"
#include "log/record.h"

#include <inttypes.h>
#include <math.h>

/* What a kind of event must name. */
struct kind_needs {
    const char *kind;
    bool user, item;
};

static const struct kind_needs BUILT_IN[] = {
    {KIND_IMPRESSION, true, true}, {KIND_ITEM, false, true},   {KIND_ITEM_DELETE, false, true},
    {KIND_USER, true, false},      {KIND_FORGET, true, false},
};
enum { BUILT_IN_COUNT = sizeof(BUILT_IN) / sizeof(BUILT_IN[0]) };

/* --- words --- */

enum { QUOTED_BYTES_MAX = 64 }; /* of a wrong value shown in a message */

/* A value as a message shows it: cut to a length, never inside a UTF-8 character. */
static struct slice quoted(struct slice text) {
    if (text.size <= QUOTED_BYTES_MAX) {
        return text;
    }
    size_t size = QUOTED_BYTES_MAX;
    while (size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80) {
        size--;
    }
    return (struct slice){text.data, size};
}

static leat_status unknown_word(const char *field, struct slice word, const char *const *known,
                                int count, leat_error *err) {
    struct slice shown = quoted(word);
    const char *nearest = text_nearest(word, known, count);
    if (nearest) {
        return error_set(err, LEAT_INVALID, "%s '%.*s' is unknown; did you mean '%s'?", field,
                         (int)shown.size, shown.data, nearest);
    }
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; i < count && used < sizeof(list); i++) {
        used +=
            (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", known[i]);
    }
    return error_set(err, LEAT_INVALID, "%s '%.*s' is unknown; known are %s%s", field,
                     (int)shown.size, shown.data, list, used >= sizeof(list) ? " ..." : "");
}

/* --- one field --- */

/* Builds for tests look whether trust was right: gcc's and clang's, which the fuzzers use. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRUST_CHECKED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define TRUST_CHECKED 1
#endif
#ifndef TRUST_CHECKED
#define TRUST_CHECKED 0
#endif

static leat_status check_text_there(const char *field, struct slice text, size_t low, size_t high,
                                    bool parsed, leat_error *err) {
    if (text.size < low) {
        return error_set(err, LEAT_INVALID, "%s: empty; leave it out or give 1 to %zu bytes", field,
                         high);
    }
    if (text.size > high) {
        return error_set(err, LEAT_INVALID, "%s: %zu bytes, at most %zu are allowed", field,
                         text.size, high);
    }
    if (parsed) {
        INVARIANT(!TRUST_CHECKED || text_utf8_valid(text), "%s: parsed, but not UTF-8", field);
    } else if (!text_utf8_valid(text)) {
        return error_set(err, LEAT_INVALID, "%s: not valid UTF-8", field);
    }
    return LEAT_OK;
}

/* Fields may be absent; those that are there have `low` to `high` bytes of UTF-8. `parsed`: they
 * are known to be UTF-8 (event.h). */
static inline leat_status check_text(const char *field, struct slice text, size_t low, size_t high,
                                     bool parsed, leat_error *err) {
    bool right = parsed && !TRUST_CHECKED && text.size - low <= high - low;
    return right || !text.data ? LEAT_OK : check_text_there(field, text, low, high, parsed, err);
}

static inline leat_status check_id(const char *field, struct slice text, bool parsed,
                                   leat_error *err) {
    return check_text(field, text, 1, EVENT_ID_BYTES_MAX, parsed, err);
}

static leat_status check_time(const char *field, bool there, int64_t time_ms, leat_error *err) {
    if (there && (time_ms < 0 || time_ms >= EVENT_TIME_MAX_MS)) {
        return error_set(err, LEAT_INVALID,
                         "%s: %" PRId64 " ms is outside [0, %" PRId64 "); times are milliseconds "
                         "since 1970",
                         field, time_ms, (int64_t)EVENT_TIME_MAX_MS);
    }
    return LEAT_OK;
}

static leat_status check_list(const char *field, const struct slice *entries, int count,
                              bool parsed, leat_error *err) {
    if (count < 0 || count > EVENT_LIST_MAX) {
        return error_set(err, LEAT_INVALID, "%s: %d entries, at most %d are allowed", field, count,
                         EVENT_LIST_MAX);
    }
    for (int i = 0; i < count; i++) {
        if (!entries[i].data) {
            return error_set(err, LEAT_INVALID, "%s: entry %d is missing", field, i + 1);
        }
        TRY(check_id(field, entries[i], parsed, err));
    }
    return LEAT_OK;
}

/* --- context values: JSON scalars, written back as they are --- */

static bool json_string_valid(struct slice text) {
    if (text.size < 2 || text.data[text.size - 1] != '"') {
        return false;
    }
    size_t end = text.size - 1;
    size_t i = 1;
    while (i < end) {
        unsigned char c = (unsigned char)text.data[i++];
        if (c < 0x20 || c == '"') {
            return false;
        }
        if (c != '\\') {
            continue;
        }
        if (i >= end || !memchr("\"\\/bfnrtu", text.data[i], 9)) {
            return false;
        }
        if (text.data[i++] == 'u') {
            for (size_t digit = 0; digit < 4; digit++, i++) {
                if (i >= end || !memchr("0123456789abcdefABCDEF", text.data[i], 22)) {
                    return false;
                }
            }
        }
    }
    return true;
}

static size_t skip_digits(struct slice text, size_t at) {
    while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') {
        at++;
    }
    return at;
}

static bool json_number_valid(struct slice text) {
    size_t begin = text.size > 0 && text.data[0] == '-' ? 1 : 0;
    size_t at = skip_digits(text, begin);
    if (at == begin || (text.data[begin] == '0' && at > begin + 1)) {
        return false;
    }
    if (at < text.size && text.data[at] == '.') {
        size_t fraction = at + 1;
        at = skip_digits(text, fraction);
        if (at == fraction) {
            return false;
        }
    }
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && (text.data[at] == '+' || text.data[at] == '-')) {
            at++;
        }
        size_t exponent = at;
        at = skip_digits(text, exponent);
        if (at == exponent) {
            return false;
        }
    }
    return at == text.size;
}

static bool json_scalar_valid(struct slice text) {
    if (text.size > 0 && text.data[0] == '"') {
        return json_string_valid(text);
    }
    return slice_is(text, "true") || slice_is(text, "false") || slice_is(text, "null") ||
           json_number_valid(text);
}

static leat_status check_context(const struct posted_event *event, leat_error *err) {
    if (event->context_count < 0 || event->context_count > EVENT_LIST_MAX) {
        return error_set(err, LEAT_INVALID, "context: %d pairs, at most %d are allowed",
                         event->context_count, EVENT_LIST_MAX);
    }
    for (int i = 0; i < event->context_count; i++) {
        struct slice key = event->context[2 * i];
        struct slice value = event->context[2 * i + 1];
        if (!key.data || !value.data) {
            return error_set(err, LEAT_INVALID, "context: pair %d is missing", i + 1);
        }
        TRY(check_text("context key", key, 1, EVENT_CONTEXT_BYTES_MAX, event->parsed, err));
        if (memchr(key.data, '\0', key.size)) {
            return error_set(err, LEAT_INVALID, "context key: holds a NUL character");
        }
        TRY(check_text("context value", value, 1, EVENT_CONTEXT_BYTES_MAX, event->parsed, err));
        if (event->parsed) {
            INVARIANT(!TRUST_CHECKED || json_scalar_valid(value), "context: parsed, but no scalar");
        } else if (!json_scalar_valid(value)) {
            struct slice shown = quoted(key);
            return error_set(err, LEAT_INVALID,
                             "context '%.*s': not a JSON text, number, true, false or null",
                             (int)shown.size, shown.data);
        }
    }
    return LEAT_OK;
}

/* --- the whole event --- */

static leat_status unknown_kind(const struct config *config, struct slice kind, leat_error *err) {
    const char *known[BUILT_IN_COUNT + CONFIG_ACTIONS_MAX];
    int count = 0;
    for (int i = 0; i < BUILT_IN_COUNT; i++) {
        known[count++] = BUILT_IN[i].kind;
    }
    for (int i = 0; i < config->action_count; i++) {
        known[count++] = config->actions[i].name;
    }
    return unknown_word("kind", kind, known, count, err);
}

static leat_status find_kind(const struct config *config, const struct posted_event *event,
                             struct kind_needs *needs, leat_error *err) {
    struct slice kind = event->kind;
    if (!kind.data) {
        return error_set(err, LEAT_INVALID, "kind: missing");
    }
    TRY(check_id("kind", kind, event->parsed, err));
    for (int i = 0; i < BUILT_IN_COUNT; i++) {
        if (kind.data[0] == BUILT_IN[i].kind[0] && slice_is(kind, BUILT_IN[i].kind)) {
            *needs = BUILT_IN[i];
            return LEAT_OK;
        }
    }
    int action = config_action_find(config, kind);
    if (action < 0) {
        return unknown_kind(config, kind, err);
    }
    *needs = (struct kind_needs){config->actions[action].name, true, true};
    return LEAT_OK;
}

static leat_status check_needs(const struct posted_event *event, const struct kind_needs *needs,
                               leat_error *err) {
    bool no_user = needs->user && !event->user.data;
    bool no_item = needs->item && !event->item.data;
    if (no_user || no_item) {
        return error_set(err, LEAT_INVALID, "%s: missing; an event of kind %s needs %s",
                         no_user ? "user" : "item", needs->kind,
                         needs->user && needs->item ? "user and item"
                         : needs->user              ? "user"
                                                    : "item");
    }
    return LEAT_OK;
}

static leat_status check_surface(const struct config *config, const struct posted_event *event,
                                 leat_error *err) {
    struct slice surface = event->surface;
    TRY(check_id("surface", surface, event->parsed, err));
    if (!surface.data || config_surface_find(config, surface) >= 0) {
        return LEAT_OK;
    }
    const char *known[CONFIG_SURFACES_MAX];
    for (int i = 0; i < config->surface_count; i++) {
        known[i] = config->surfaces[i].name;
    }
    return unknown_word("surface", surface, known, config->surface_count, err);
}

static leat_status event_check(const struct config *config, const struct posted_event *event,
                               leat_error *err) {
    struct kind_needs needs = {0};
    TRY(find_kind(config, event, &needs, err));
    TRY(check_needs(event, &needs, err));
    TRY(check_id("user", event->user, event->parsed, err));
    TRY(check_id("item", event->item, event->parsed, err));
    TRY(check_id("id", event->id, event->parsed, err));
    TRY(check_id("request", event->request, event->parsed, err));
    TRY(check_id("session", event->session, event->parsed, err));
    TRY(check_surface(config, event, err));
    TRY(check_id("author", event->author, event->parsed, err));
    TRY(check_text("text", event->text, 0, EVENT_TEXT_BYTES_MAX, event->parsed, err));
    TRY(check_time("time", event->has_time, event->time_ms, err));
    TRY(check_time("created", event->has_created, event->created_ms, err));
    TRY(check_time("expires", event->has_expires, event->expires_ms, err));
    if (event->has_value && !isfinite(event->value)) {
        return error_set(err, LEAT_INVALID, "value: not a finite number");
    }
    TRY(check_context(event, err));
    TRY(check_list("categories", event->categories, event->category_count, event->parsed, err));
    return check_list("tags", event->tags, event->tag_count, event->parsed, err);
}

static void set_text(struct builder *builder, int column, struct slice text) {
    if (text.data) {
        builder_text(builder, column, text);
    }
}

static void set_time(struct builder *builder, int column, bool there, int64_t time_ms) {
    if (there) {
        builder_i64(builder, column, time_ms);
    }
}

static void set_list(struct builder *builder, int column, const struct slice *values, int count) {
    if (count > 0) {
        builder_list_text(builder, column, values, count);
    }
}

leat_status event_add(struct builder *builder, const struct config *config,
                      const struct posted_event *event, leat_error *err) {
    TRY(event_check(config, event, err));
    builder_text(builder, EVENT_KIND, event->kind);
    builder_i64(builder, EVENT_TIME, event->has_time ? event->time_ms : EVENT_TIME_AT_APPEND);
    set_time(builder, EVENT_TIME_POSTED, event->has_time, event->time_ms);
    set_text(builder, EVENT_USER, event->user);
    set_text(builder, EVENT_ITEM, event->item);
    set_text(builder, EVENT_ID, event->id);
    set_text(builder, EVENT_REQUEST, event->request);
    set_text(builder, EVENT_SESSION, event->session);
    set_text(builder, EVENT_SURFACE, event->surface);
    if (event->has_value) {
        builder_f64(builder, EVENT_VALUE, event->value);
    }
    set_list(builder, EVENT_CONTEXT, event->context, 2 * event->context_count);
    set_text(builder, EVENT_AUTHOR, event->author);
    set_list(builder, EVENT_CATEGORIES, event->categories, event->category_count);
    set_list(builder, EVENT_TAGS, event->tags, event->tag_count);
    set_time(builder, EVENT_CREATED, event->has_created, event->created_ms);
    set_time(builder, EVENT_EXPIRES, event->has_expires, event->expires_ms);
    set_text(builder, EVENT_TEXT, event->text);
    builder_row_end(builder);
    return LEAT_OK;
}
