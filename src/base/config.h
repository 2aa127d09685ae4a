/* leat.yaml, bound strictly to api/config.def: an unknown key is an error with line, column and the
 * nearest right name; a value out of range names the range. The same table makes the parser, the
 * checks, the reference (docs/reference/config.md) and these structs.
 *
 * Immutable after config_parse; any thread may read. */
#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

#include "base/bytes.h"
#include "base/error.h"

enum {
    CONFIG_NAME_MAX = 64,  /* bytes of a name or path in a list, with its NUL */
    CONFIG_TEXT_MAX = 512, /* bytes of a text value, with its NUL */
    CONFIG_LIST_MAX = 32,  /* names in one list */
    CONFIG_ACTIONS_MAX = 16,
    CONFIG_SURFACES_MAX = 8,
    CONFIG_TASKS_MAX = 16,   /* with settings of their own */
    CONFIG_NUMBERS_MAX = 16, /* in one list */
};

struct config_list {
    int count;
    char names[CONFIG_LIST_MAX][CONFIG_NAME_MAX];
};

struct config_number_list {
    int count;
    double values[CONFIG_NUMBERS_MAX];
};

/* Field types of api/config.def, as C types. */
typedef char config_text[CONFIG_TEXT_MAX];
typedef int64_t config_int;
typedef int64_t config_duration; /* milliseconds */
typedef int64_t config_size;     /* bytes */
typedef double config_number;
typedef bool config_bool;
typedef int config_choice; /* index into the choices of the field */
typedef struct config_list config_names;
typedef struct config_number_list config_numbers;

#define CONFIG_SECTION(section, doc)                                struct config_##section {
#define CONFIG_FIELD(section, name, type, fallback, low, high, doc) config_##type name;
#define CONFIG_CHOICE(section, name, fallback, choices, doc)        config_choice name;
#define CONFIG_SECTION_END(section)                                                                \
    }                                                                                              \
    ;
#include "config.def"
#undef CONFIG_SECTION
#undef CONFIG_FIELD
#undef CONFIG_CHOICE
#undef CONFIG_SECTION_END

struct config_action {
    char name[CONFIG_NAME_MAX];
    struct config_action_fields fields;
};

struct config_surface {
    char name[CONFIG_NAME_MAX];
    struct config_surface_fields fields;
    struct config_channels channels;
};

struct config_field {
    char name[CONFIG_NAME_MAX]; /* a feature, or a column of a file */
    struct config_field_settings settings;
};

struct config_task {
    char name[CONFIG_NAME_MAX];
    struct config_task_settings settings;
};

struct config {
    struct config_root root;
    struct config_log log;
    struct config_checkpoint checkpoint;
    struct config_examples examples;
    struct config_http http;
    struct config_flow flow;
    struct config_runner runner;
    struct config_replica replica;
    struct config_model model;
    struct config_network network;
    int field_count;
    struct config_field fields[CONFIG_LIST_MAX]; /* those with settings, in file order */
    int task_count;
    struct config_task tasks[CONFIG_TASKS_MAX];
    int action_count;
    struct config_action
        actions[CONFIG_ACTIONS_MAX]; /* in file order; the index is the task number */
    int surface_count;
    struct config_surface surfaces[CONFIG_SURFACES_MAX];
};

/* Parses and checks a whole file; `name` is used in messages. Without `actions` or `surfaces` the
 * built-in ones apply (click, hide; for_you). */
leat_status config_parse(struct slice text, const char *name, struct config **out, leat_error *err);
leat_status config_load(const char *path, struct config **out, leat_error *err);
void config_destroy(struct config *config);

int config_action_find(const struct config *config, struct slice name);  /* -1: none */
int config_surface_find(const struct config *config, struct slice name); /* -1: none */

/* The reference as Markdown, from the same table. */
void config_reference(struct bytes *out);

#endif
