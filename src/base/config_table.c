/* The table, its values as words, and one value of it from text. */
#include "base/config_table.h"

#include "base/text.h"

const char config_built_in[] = "actions:\n"
                               "  click: {window: 10m, weight: 1}\n"
                               "  hide: {window: 10m, weight: -10, filter: forever}\n"
                               "surfaces:\n"
                               "  for_you: {}\n";

const char *const config_reserved[] = {"impression", "item",      "item_delete", "user",
                                       "forget",     "heartbeat", NULL};

/* --- the table --- */

#define FALLBACK_text(value)     .fallback_text = (value)
#define FALLBACK_names(value)    .fallback_text = (value)
#define FALLBACK_numbers(value)  .fallback_text = (value)
#define FALLBACK_int(value)      .fallback = (double)(value)
#define FALLBACK_number(value)   .fallback = (double)(value)
#define FALLBACK_bool(value)     .fallback = (double)(value)
#define FALLBACK_duration(value) .fallback = (double)(value)
#define FALLBACK_size(value)     .fallback = (double)(value)

/* clang-format off */
#define CONFIG_SECTION(section, words) static const struct field section##_table[] = {
#define CONFIG_FIELD(section, name, kind, value, lowest, highest, words)                           \
    {.key = #name, .type = FIELD_##kind, .offset = offsetof(struct config_##section, name),        \
     .low = (double)(lowest), .high = (double)(highest), FALLBACK_##kind(value), .doc = (words)},
#define CONFIG_CHOICE(section, name, value, list, words)                                           \
    {.key = #name, .type = FIELD_choice, .offset = offsetof(struct config_##section, name),        \
     .fallback = (value), .choices = (list), .doc = (words)},
#define CONFIG_SECTION_END(section) };
#include "config.def"
#undef CONFIG_SECTION
#undef CONFIG_FIELD
#undef CONFIG_CHOICE
#undef CONFIG_SECTION_END

#define CONFIG_FIELD(section, name, kind, value, lowest, highest, words)
#define CONFIG_CHOICE(section, name, value, list, words)
#define CONFIG_SECTION_END(section)
const struct section config_sections[CONFIG_SECTION_COUNT] = {
#define CONFIG_SECTION(section, words)                                                             \
    {(words), section##_table, (int)(sizeof(section##_table) / sizeof(section##_table[0]))},
#include "config.def"
#undef CONFIG_SECTION
};
#undef CONFIG_FIELD
#undef CONFIG_CHOICE
#undef CONFIG_SECTION_END
/* clang-format on */

/* --- values as words --- */

struct unit {
    const char *name;
    int64_t scale;
};

static const struct unit DURATION_UNITS[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit SIZE_UNITS[] = {
    {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};

/* In the largest unit that divides it, as a person would write it. The last unit has scale 1. */
static void format_units(int64_t value, const struct unit *unit, char out[32]) {
    while (unit->scale > 1 && (value == 0 || value % unit->scale != 0)) {
        unit++;
    }
    snprintf(out, 32, "%lld%s", (long long)(value / unit->scale), unit->name);
}

void config_value_format(enum field_type type, double value, char out[32]) {
    switch (type) {
    case FIELD_duration: format_units((int64_t)value, DURATION_UNITS, out); break;
    case FIELD_size: format_units((int64_t)value, SIZE_UNITS, out); break;
    case FIELD_bool: snprintf(out, 32, "%s", value != 0 ? "true" : "false"); break;
    case FIELD_number:
    case FIELD_numbers: out[text_from_f64(value, out)] = 0; break;
    default: snprintf(out, 32, "%lld", (long long)value); break;
    }
}

bool config_choice_next(const char **at, struct slice *word) {
    if (!*at) {
        return false;
    }
    const char *end = strchr(*at, '|');
    *word = (struct slice){*at, end ? (size_t)(end - *at) : strlen(*at)};
    *at = end ? end + 1 : NULL;
    return true;
}

static void describe_choices(const struct field *field, char out[CONFIG_WORDS_MAX]) {
    const char *at = field->choices;
    struct slice word;
    size_t used = (size_t)snprintf(out, CONFIG_WORDS_MAX, "one of");
    for (const char *comma = ""; config_choice_next(&at, &word) && used < CONFIG_WORDS_MAX;
         comma = ",") {
        used += (size_t)snprintf(out + used, CONFIG_WORDS_MAX - used, "%s %.*s", comma,
                                 (int)word.size, word.data);
    }
}

static const char *const RANGE_NOUNS[] = {
    [FIELD_int] = "a whole number",
    [FIELD_number] = "a number",
    [FIELD_duration] = "a duration such as 10m,",
    [FIELD_size] = "a size such as 64MiB,",
    [FIELD_numbers] = "a list of numbers, such as [1, 2],",
};

void config_field_wanted(const struct field *field, char out[CONFIG_WORDS_MAX]) {
    char low[32], high[32];
    switch (field->type) {
    case FIELD_text:
        snprintf(out, CONFIG_WORDS_MAX, "a text of 1 to %d printable bytes", CONFIG_TEXT_MAX - 1);
        break;
    case FIELD_names:
        snprintf(out, CONFIG_WORDS_MAX, "a list of 1 to %d names, such as [user, item]",
                 CONFIG_LIST_MAX);
        break;
    case FIELD_bool: snprintf(out, CONFIG_WORDS_MAX, "true or false"); break;
    case FIELD_choice: describe_choices(field, out); break;
    default:
        config_value_format(field->type, field->low, low);
        config_value_format(field->type, field->high, high);
        snprintf(out, CONFIG_WORDS_MAX, "%s from %s to %s", RANGE_NOUNS[field->type], low, high);
        break;
    }
}

/* --- one value from text --- */

static bool set_text(const struct field *field, struct slice text, void *at) {
    (void)field;
    if (text.size == 0 || text.size >= CONFIG_TEXT_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte < 0x20 || byte == 0x7F) {
            return false;
        }
    }
    char *out = at;
    memcpy(out, text.data, text.size);
    out[text.size] = 0;
    return true;
}

static bool set_choice(const struct field *field, struct slice text, void *at) {
    const char *rest = field->choices;
    struct slice word;
    for (int i = 0; config_choice_next(&rest, &word); i++) {
        if (slice_equal(word, text)) {
            *(config_choice *)at = i;
            return true;
        }
    }
    return false;
}

static bool set_bool(const struct field *field, struct slice text, void *at) {
    (void)field;
    bool yes = slice_is(text, "true");
    *(config_bool *)at = yes;
    return yes || slice_is(text, "false");
}

static bool set_number(const struct field *field, struct slice text, void *at) {
    double value;
    if (!text_to_f64(text, &value) || value < field->low || value > field->high) {
        return false;
    }
    *(config_number *)at = value;
    return true;
}

static bool set_integer(const struct field *field, struct slice text, void *at) {
    int64_t value = 0;
    uint64_t size = 0;
    bool read = false;
    if (field->type == FIELD_int) {
        read = text_to_i64(text, &value);
    } else if (field->type == FIELD_duration) {
        read = text_to_duration_ms(text, &value);
    } else {
        read = text_to_size(text, &size) && size <= INT64_MAX;
        value = (int64_t)size;
    }
    if (!read || (double)value < field->low || (double)value > field->high) {
        return false;
    }
    *(int64_t *)at = value;
    return true;
}

static bool (*const SETTERS[])(const struct field *field, struct slice text, void *at) = {
    [FIELD_text] = set_text,     [FIELD_int] = set_integer,      [FIELD_number] = set_number,
    [FIELD_bool] = set_bool,     [FIELD_duration] = set_integer, [FIELD_size] = set_integer,
    [FIELD_choice] = set_choice,
};

bool config_field_set(const struct field *field, struct slice text, void *at) {
    INVARIANT(field->type != FIELD_names && field->type != FIELD_numbers,
              "'%s' is bound item by item", field->key);
    return SETTERS[field->type](field, text, at);
}

/* --- one value from the table --- */

void config_list_add(struct config_list *list, struct slice name) {
    char *out = list->names[list->count++];
    memcpy(out, name.data, name.size);
    out[name.size] = 0;
}

static void default_names(const char *text, struct config_list *list) {
    list->count = 0;
    for (const char *at = text; *at;) {
        size_t size = strcspn(at, ",");
        INVARIANT(list->count < CONFIG_LIST_MAX && size < CONFIG_NAME_MAX, "default '%s'", text);
        config_list_add(list, (struct slice){at, size});
        at += size + (at[size] == ',');
    }
}

bool config_number_add(const struct field *field, struct slice text,
                       struct config_number_list *list) {
    bool right = set_number(field, text, &list->values[list->count]);
    list->count += right;
    return right;
}

static void default_numbers(const struct field *field, struct config_number_list *list) {
    struct config_list words;
    default_names(field->fallback_text, &words);
    list->count = 0;
    for (int i = 0; i < words.count; i++) {
        bool right = config_number_add(field, slice_of(words.names[i]), list);
        INVARIANT(right, "default '%s'", field->fallback_text);
    }
}

void config_field_default(const struct field *field, void *at) {
    switch (field->type) {
    case FIELD_text: snprintf(at, CONFIG_TEXT_MAX, "%s", field->fallback_text); break;
    case FIELD_names: default_names(field->fallback_text, at); break;
    case FIELD_numbers: default_numbers(field, at); break;
    case FIELD_number: *(config_number *)at = field->fallback; break;
    case FIELD_bool: *(config_bool *)at = field->fallback != 0; break;
    case FIELD_choice: *(config_choice *)at = (config_choice)field->fallback; break;
    default: *(int64_t *)at = (int64_t)field->fallback; break;
    }
}
