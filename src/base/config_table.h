/* api/config.def as data: what config.c binds and config_reference.c prints. Internal to the
 * configuration. Any thread; nothing here changes. */
#ifndef BASE_CONFIG_TABLE_H
#define BASE_CONFIG_TABLE_H

#include "base/config.h"

enum { CONFIG_WORDS_MAX = 160 }; /* what a field wants, in words, with its NUL */

enum field_type {
    FIELD_text,
    FIELD_int,
    FIELD_number,
    FIELD_bool,
    FIELD_duration,
    FIELD_size,
    FIELD_names,
    FIELD_numbers,
    FIELD_choice,
};

struct field {
    const char *key;
    enum field_type type;
    size_t offset; /* in the struct of its section */
    double low, high;
    double fallback;           /* of numbers, bools and choices; exact up to 2^53 */
    const char *fallback_text; /* of texts and names */
    const char *choices;       /* words between '|' */
    const char *doc;
};

struct section {
    const char *doc;
    const struct field *fields;
    int field_count;
};

#define CONFIG_FIELD(section, name, kind, value, lowest, highest, words)
#define CONFIG_CHOICE(section, name, value, list, words)
#define CONFIG_SECTION_END(section)
enum section_id {
#define CONFIG_SECTION(section, words) SECTION_##section,
#include "config.def"
#undef CONFIG_SECTION
    CONFIG_SECTION_COUNT
};
#undef CONFIG_FIELD
#undef CONFIG_CHOICE
#undef CONFIG_SECTION_END

extern const struct section config_sections[CONFIG_SECTION_COUNT];

/* Where a file gives no actions or no surfaces, these stand in, as YAML. */
extern const char config_built_in[];

/* Kinds of events that leat gives a meaning to itself; ends with NULL. */
extern const char *const config_reserved[];

/* `at`: the field's place in its struct. Lists are bound item by item, by config.c. */
bool config_field_set(const struct field *field, struct slice text, void *at); /* false: refused */
void config_field_default(const struct field *field, void *at);
void config_list_add(struct config_list *list, struct slice name); /* room was checked */
/* Of a list of numbers; false: no number, or out of its range. Room was checked. */
bool config_number_add(const struct field *field, struct slice text,
                       struct config_number_list *list);

void config_field_wanted(const struct field *field, char out[CONFIG_WORDS_MAX]);
/* Durations and sizes in the largest unit that divides them, as a person would write them. */
void config_value_format(enum field_type type, double value, char out[32]);
/* Walks the words of "a|b|c", `*at` first being the whole; false after the last one. */
bool config_choice_next(const char **at, struct slice *word);

#endif
