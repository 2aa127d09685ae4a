#include "flow/feature_spec.h"

#include "base/text.h"
#include "flow/catalog.h"

/* --- the words of one feature --- */

static leat_status refuse(struct slice text, const char *why, leat_error *err) {
    return error_set(err, LEAT_INVALID, "model.features: '%.*s': %s", (int)text.size, text.data,
                     why);
}

static struct feature_operand operand_of(struct slice text) {
    static const char *const names[] = {
        [SOURCE_USER] = "user",         [SOURCE_ITEM] = "item", [SOURCE_AUTHOR] = "author",
        [SOURCE_CATEGORY] = "category", [SOURCE_TAG] = "tag",   [SOURCE_HOUR] = "hour",
        [SOURCE_SURFACE] = "surface",   [SOURCE_LAST] = "last", [SOURCE_SECOND] = "second",
    };
    for (int k = SOURCE_USER; k <= SOURCE_SECOND; k++) {
        if (slice_is(text, names[k])) {
            return (struct feature_operand){(enum feature_source)k, text};
        }
    }
    return (struct feature_operand){SOURCE_CONTEXT, text};
}

static struct slice trimmed(struct slice text) {
    while (text.size > 0 && text.data[0] == ' ') {
        text = (struct slice){text.data + 1, text.size - 1};
    }
    while (text.size > 0 && text.data[text.size - 1] == ' ') {
        text.size--;
    }
    return text;
}

/* Takes what stands before the next ',' (or all) off the text. */
static struct slice next_argument(struct slice *rest) {
    const char *comma = rest->size > 0 ? memchr(rest->data, ',', rest->size) : NULL;
    size_t size = comma ? (size_t)(comma - rest->data) : rest->size;
    struct slice argument = {rest->data, size};
    size_t past = size + (comma != NULL);
    *rest = (struct slice){rest->data + past, rest->size - past};
    return trimmed(argument);
}

static leat_status parse_history(struct slice arguments, struct feature_spec *out,
                                 leat_error *err) {
    int64_t length;
    out->kind = FEATURE_HISTORY;
    out->of = next_argument(&arguments);
    if (out->of.size == 0 || !text_to_i64(next_argument(&arguments), &length) || length < 1 ||
        length > EXAMPLE_KEYS_MAX) {
        return refuse(out->text,
                      "write history(action, n), n from 1 to 64, or history(action, n, "
                      "target)",
                      err);
    }
    out->length = (int)length;
    struct slice word = next_argument(&arguments);
    out->target = slice_is(word, "target");
    if (arguments.size > 0 || (word.size > 0 && !out->target)) {
        return refuse(out->text, "after action and n only 'target' may follow", err);
    }
    return LEAT_OK;
}

static leat_status parse_bucket(struct slice arguments, struct feature_spec *out, leat_error *err) {
    out->kind = FEATURE_BUCKET;
    out->of = next_argument(&arguments);
    while (arguments.size > 0) {
        double bound;
        if (out->bound_count == FEATURE_BOUNDS_MAX) {
            return refuse(out->text, "more than 24 bounds", err);
        }
        if (!text_to_f64(next_argument(&arguments), &bound)) {
            return refuse(out->text, "a bound is no number", err);
        }
        out->bounds[out->bound_count++] = (float)bound;
    }
    for (int i = 1; i < out->bound_count; i++) {
        if (!(out->bounds[i - 1] < out->bounds[i])) {
            return refuse(out->text, "bounds must rise", err);
        }
    }
    return out->of.size > 0 && out->bound_count > 0
               ? LEAT_OK
               : refuse(out->text, "write bucket(dense feature, bound, bound ...)", err);
}

leat_status feature_spec_parse(struct slice text, struct feature_spec *out, leat_error *err) {
    *out = (struct feature_spec){.text = text};
    const char *open = text.size > 0 ? memchr(text.data, '(', text.size) : NULL;
    const char *star = text.size > 0 ? memchr(text.data, '*', text.size) : NULL;
    if (open) {
        struct slice name = trimmed((struct slice){text.data, (size_t)(open - text.data)});
        if (text.data[text.size - 1] != ')') {
            return refuse(text, "a parenthesis is not closed", err);
        }
        struct slice arguments = {open + 1, (size_t)(text.data + text.size - open) - 2};
        return slice_is(name, "history")  ? parse_history(arguments, out, err)
               : slice_is(name, "bucket") ? parse_bucket(arguments, out, err)
                                          : refuse(text,
                                                   "only history and bucket take words in "
                                                   "parentheses",
                                                   err);
    }
    if (!star) {
        out->a = operand_of(trimmed(text));
        return out->a.text.size > 0 ? LEAT_OK : refuse(text, "no name", err);
    }
    size_t before = (size_t)(star - text.data);
    out->kind = FEATURE_CROSS;
    out->a = operand_of(trimmed((struct slice){text.data, before}));
    out->b = operand_of(trimmed((struct slice){star + 1, text.size - before - 1}));
    return out->a.text.size > 0 && out->b.text.size > 0
               ? LEAT_OK
               : refuse(text, "a cross has a name on both sides of its '*'", err);
}

/* --- dense features by name --- */

static const char *const DENSE_NAMES[DENSE_FIXED] = {
    [DENSE_NEXT] = "next",
    [DENSE_LAST_NEXT] = "last_next",
    [DENSE_LAST_NEAR] = "last_near",
    [DENSE_SECOND_NEXT] = "second_next",
    [DENSE_SESSION_NEAR] = "session_near",
    [DENSE_LAST_BEFORE] = "last_before",
    [DENSE_SESSION_BEFORE] = "session_before",
    [DENSE_UNPAIRED] = "unpaired",
    [DENSE_MINUTES] = "minutes",
    [DENSE_HOUR] = "hour",
    [DENSE_DAY] = "day",
    [DENSE_HERE] = "here",
    [DENSE_AGE] = "age",
    [DENSE_YOUNG] = "young",
    [DENSE_AGAIN] = "again",
    [DENSE_USER_COUNT] = "user_count",
    [DENSE_ITEM_COUNT] = "item_count",
    [DENSE_USER_CATEGORY] = "user_category",
    [DENSE_USER_AUTHOR] = "user_author",
    [DENSE_RATING_USER] = "rating_user",
    [DENSE_RATING_LATELY] = "rating_lately",
    [DENSE_RATING_LAST] = "rating_last",
    [DENSE_RATING_ITEM] = "rating_item",
    [DENSE_RATING_NEAR] = "rating_near",
    [DENSE_RATING_NEAREST] = "rating_nearest",
};

static const char *const TASK_NAMES[TASK_DENSE] = {
    [TASK_PRIOR] = "prior",
    [TASK_USER] = "user",
    [TASK_USER_LATELY] = "user_lately",
    [TASK_ITEM] = "item",
};

int features_dense_number(const struct config *config) {
    int tasks = config->action_count < FEATURE_TASKS ? config->action_count : FEATURE_TASKS;
    return DENSE_FIXED + TASK_DENSE * tasks;
}

void features_dense_name(const struct config *config, int index, char out[FEATURE_NAME_MAX]) {
    if (index < DENSE_FIXED) {
        snprintf(out, FEATURE_NAME_MAX, "%s", DENSE_NAMES[index]);
        return;
    }
    int task = (index - DENSE_FIXED) / TASK_DENSE;
    snprintf(out, FEATURE_NAME_MAX, "%s_%s", config->actions[task].name,
             TASK_NAMES[(index - DENSE_FIXED) % TASK_DENSE]);
}

int features_dense_find(const struct config *config, struct slice name) {
    char text[FEATURE_NAME_MAX];
    int found = -1;
    for (int i = features_dense_number(config) - 1; i >= 0; i--) {
        features_dense_name(config, i, text);
        found = slice_is(name, text) ? i : found;
    }
    return found;
}

static bool dense_of_item(int dense) {
    if (dense >= DENSE_FIXED) {
        return (dense - DENSE_FIXED) % TASK_DENSE == TASK_ITEM;
    }
    return dense != DENSE_USER_COUNT && dense != DENSE_RATING_USER &&
           dense != DENSE_RATING_LATELY && dense != DENSE_RATING_LAST;
}

/* --- the list --- */

static bool source_of_item(enum feature_source source) {
    return source == SOURCE_ITEM || source == SOURCE_AUTHOR || source == SOURCE_CATEGORY ||
           source == SOURCE_TAG;
}

static int source_values_max(enum feature_source source) {
    return source == SOURCE_CATEGORY || source == SOURCE_TAG ? CATALOG_VALUES_MAX : 1;
}

static int find_item(const struct config *config) {
    for (int i = 0; i < config->model.features.count; i++) {
        if (strcmp(config->model.features.names[i], "item") == 0) {
            return i;
        }
    }
    return -1;
}

static leat_status resolve_history(const struct config *config, struct feature_field *field,
                                   leat_error *err) {
    field->action = config_action_find(config, field->spec.of);
    field->shares = find_item(config);
    field->keys_max = field->spec.length;
    field->pool = field->spec.target ? FEATURE_TARGET : FEATURE_MEAN;
    field->target = field->spec.target ? field->shares : -1;
    if (field->action < 0) {
        return refuse(field->spec.text, "there is no such action", err);
    }
    return field->shares < 0
               ? refuse(field->spec.text, "a history shares the rows of 'item': add it", err)
               : LEAT_OK;
}

static leat_status resolve_bucket(const struct config *config, struct feature_field *field,
                                  leat_error *err) {
    field->dense = features_dense_find(config, field->spec.of);
    field->of_item = dense_of_item(field->dense);
    return field->dense < 0 ? refuse(field->spec.text, "there is no such dense feature", err)
                            : LEAT_OK;
}

static leat_status resolve(const struct config *config, int place, struct feature_field *field,
                           leat_error *err) {
    const struct feature_spec *spec = &field->spec;
    field->shares = place;
    field->target = -1;
    field->keys_max = 1;
    switch (spec->kind) {
    case FEATURE_HISTORY: return resolve_history(config, field, err);
    case FEATURE_BUCKET: return resolve_bucket(config, field, err);
    case FEATURE_CROSS:
        field->of_item = source_of_item(spec->a.source) || source_of_item(spec->b.source);
        field->keys_max = source_values_max(spec->a.source) * source_values_max(spec->b.source);
        return LEAT_OK;
    default:
        field->of_item = source_of_item(spec->a.source);
        field->keys_max = source_values_max(spec->a.source);
        return LEAT_OK;
    }
}

leat_status features_fields(const struct config *config, struct feature_fields *out,
                            leat_error *err) {
    memset(out, 0, sizeof(*out));
    out->count = config->model.features.count;
    for (int i = 0; i < out->count; i++) {
        struct feature_field *field = &out->fields[i];
        TRY(feature_spec_parse(slice_of(config->model.features.names[i]), &field->spec, err));
        TRY(resolve(config, i, field, err));
        out->keys_max += field->keys_max;
    }
    if (out->keys_max > EXAMPLE_KEYS_MAX) {
        return error_set(err, LEAT_INVALID,
                         "model.features: an example could have %d keys, and %d are the most: "
                         "shorten histories, or leave out crosses of category and tag (up to %d "
                         "values each)",
                         out->keys_max, EXAMPLE_KEYS_MAX, CATALOG_VALUES_MAX);
    }
    return LEAT_OK;
}

int features_history_max(const struct feature_fields *fields, int action) {
    int longest = 0;
    for (int i = 0; i < fields->count; i++) {
        const struct feature_field *field = &fields->fields[i];
        if (field->spec.kind == FEATURE_HISTORY && field->action == action) {
            longest = field->spec.length > longest ? field->spec.length : longest;
        }
    }
    return longest;
}
