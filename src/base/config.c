/* Binds the tree of leat.yaml to the structs of config.h.
 *
 * A `shape` says which section of the table names the keys of a map, where its struct stands in its
 * owner, and which maps are within; a `roster` is a map whose keys are names that the user chooses.
 * Defaults and binding walk the same shapes: a new key is one line in config.def, a new section one
 * more line below. */
#include "base/config.h"

#include "base/config_table.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/yaml.h"

#include <assert.h>
#include <stdarg.h>

enum {
    FILE_BYTES_MAX = 1 << 20,
    ARENA_BYTES_MAX = 64 << 20, /* 100,000 nodes, their texts, and sorting */
    ARENA_BLOCK_BYTES = 64 << 10,
    SCOPE_PATH_MAX = 160, /* "surfaces.<name>.channels", with its NUL */
    KEYS_MAX = 64,        /* keys of one map */
};

/* --- how maps stand in one another --- */

struct roster;

struct shape {
    const char *key;
    enum section_id section;
    size_t offset; /* of the section's struct in the owner */
    const struct shape *inner;
    int inner_count;
    bool brief;                  /* a single value stands for the section's first key */
    const struct roster *roster; /* set: the keys are names, and `section` says nothing */
};

/* Elements stand in an array of the config, each beginning with its name. */
struct roster {
    const struct shape *element;
    bool features; /* named as features are; else as events are */
    size_t first, stride;
    size_t count; /* offset of the int that counts them */
    int max;
};

static_assert(offsetof(struct config_action, name) == 0, "a roster's element begins with its name");
static_assert(offsetof(struct config_surface, name) == 0,
              "a roster's element begins with its name");
static_assert(offsetof(struct config_field, name) == 0, "a roster's element begins with its name");
static_assert(offsetof(struct config_task, name) == 0, "a roster's element begins with its name");

static const struct shape SURFACE_INNER[] = {
    {.key = "channels",
     .section = SECTION_channels,
     .offset = offsetof(struct config_surface, channels)},
};
static const struct shape SURFACE = {.section = SECTION_surface_fields,
                                     .offset = offsetof(struct config_surface, fields),
                                     .inner = SURFACE_INNER,
                                     .inner_count = 1};
static const struct shape ACTION = {.section = SECTION_action_fields,
                                    .offset = offsetof(struct config_action, fields)};
static const struct roster ACTIONS = {.element = &ACTION,
                                      .first = offsetof(struct config, actions),
                                      .stride = sizeof(struct config_action),
                                      .count = offsetof(struct config, action_count),
                                      .max = CONFIG_ACTIONS_MAX};
static const struct roster SURFACES = {.element = &SURFACE,
                                       .first = offsetof(struct config, surfaces),
                                       .stride = sizeof(struct config_surface),
                                       .count = offsetof(struct config, surface_count),
                                       .max = CONFIG_SURFACES_MAX};
static const struct shape FIELD = {.section = SECTION_field_settings,
                                   .offset = offsetof(struct config_field, settings)};
static const struct shape TASK = {.section = SECTION_task_settings,
                                  .offset = offsetof(struct config_task, settings)};
static const struct roster FIELDS = {.element = &FIELD,
                                     .features = true,
                                     .first = offsetof(struct config, fields),
                                     .stride = sizeof(struct config_field),
                                     .count = offsetof(struct config, field_count),
                                     .max = CONFIG_LIST_MAX};
static const struct roster TASKS = {.element = &TASK,
                                    .features = true,
                                    .first = offsetof(struct config, tasks),
                                    .stride = sizeof(struct config_task),
                                    .count = offsetof(struct config, task_count),
                                    .max = CONFIG_TASKS_MAX};
static const struct shape MODEL_INNER[] = {
    {.key = "network",
     .section = SECTION_network,
     .offset = offsetof(struct config, network),
     .brief = true},
    {.key = "fields", .roster = &FIELDS},
    {.key = "tasks", .roster = &TASKS},
};
static const struct shape ROOT_INNER[] = {
    {.key = "log", .section = SECTION_log, .offset = offsetof(struct config, log)},
    {.key = "checkpoint",
     .section = SECTION_checkpoint,
     .offset = offsetof(struct config, checkpoint)},
    {.key = "examples", .section = SECTION_examples, .offset = offsetof(struct config, examples)},
    {.key = "http", .section = SECTION_http, .offset = offsetof(struct config, http)},
    {.key = "flow", .section = SECTION_flow, .offset = offsetof(struct config, flow)},
    {.key = "runner", .section = SECTION_runner, .offset = offsetof(struct config, runner)},
    {.key = "replica", .section = SECTION_replica, .offset = offsetof(struct config, replica)},
    {.key = "model",
     .section = SECTION_model,
     .offset = offsetof(struct config, model),
     .inner = MODEL_INNER,
     .inner_count = sizeof(MODEL_INNER) / sizeof(MODEL_INNER[0])},
    {.key = "actions", .roster = &ACTIONS},
    {.key = "surfaces", .roster = &SURFACES},
};
static const struct shape ROOT = {.section = SECTION_root,
                                  .offset = offsetof(struct config, root),
                                  .inner = ROOT_INNER,
                                  .inner_count = sizeof(ROOT_INNER) / sizeof(ROOT_INNER[0])};

/* --- faults --- */

/* Where binding stands: the file, and the path of the map ("" at the top). */
struct scope {
    const char *file;
    const char *path;
    leat_error *err;
};

/* A piece of the user's text fit for a message: short, without control bytes, whole characters. */
struct quoted {
    char text[68];
};

static struct quoted quote(struct slice text) {
    struct quoted out;
    size_t size = text.size < 60 ? text.size : 60;
    while (size > 0 && size < text.size && ((unsigned char)text.data[size] & 0xC0u) == 0x80u) {
        size--;
    }
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        out.text[i] = byte < 0x20 || byte == 0x7F ? '?' : text.data[i];
    }
    snprintf(out.text + size, sizeof(out.text) - size, "%s", size < text.size ? "..." : "");
    return out;
}

static leat_status fault(const struct scope *scope, int line, int column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static leat_status fault(const struct scope *scope, int line, int column, const char *format, ...) {
    char words[sizeof(scope->err->message)];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    return error_set(scope->err, LEAT_INVALID, "%s:%d:%d: %s", scope->file, line, column, words);
}

static leat_status fault_value(const struct scope *scope, const struct field *field,
                               const struct yaml_node *node) {
    char wanted[CONFIG_WORDS_MAX];
    config_field_wanted(field, wanted);
    const char *dot = scope->path[0] ? "." : "";
    if (node->kind != YAML_SCALAR) {
        const char *found = node->kind == YAML_LIST ? "list" : "map";
        return fault(scope, node->line, node->column, "'%s%s%s' wants %s, not a %s", scope->path,
                     dot, field->key, wanted, found);
    }
    return fault(scope, node->line, node->column, "'%s%s%s' wants %s, not '%s'", scope->path, dot,
                 field->key, wanted, quote(node->text).text);
}

static leat_status fault_key(const struct scope *scope, const struct shape *shape,
                             const struct yaml_node *node) {
    const struct section *section = &config_sections[shape->section];
    INVARIANT(section->field_count + shape->inner_count <= KEYS_MAX, "%d keys",
              section->field_count + shape->inner_count);
    const char *keys[KEYS_MAX];
    int count = 0;
    for (int i = 0; i < section->field_count; i++) {
        keys[count++] = section->fields[i].key;
    }
    for (int i = 0; i < shape->inner_count; i++) {
        keys[count++] = shape->inner[i].key;
    }
    const char *quotes = scope->path[0] ? "'" : "";
    const char *place = scope->path[0] ? scope->path : "the top level";
    const char *nearest = text_nearest(node->key, keys, count);
    return fault(scope, node->key_line, node->key_column, "unknown key '%s' in %s%s%s; %s%s%s",
                 quote(node->key).text, quotes, place, quotes,
                 nearest ? "did you mean '" : "docs/reference/config.md lists the keys",
                 nearest ? nearest : "", nearest ? "'?" : "");
}

/* --- names --- */

static bool name_valid(struct slice name) {
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_')) {
            return false;
        }
    }
    return name.size > 0 && name.size < CONFIG_NAME_MAX;
}

/* name(word,word ...) with words of names and numbers. */
static bool call_valid(struct slice text, size_t name_size) {
    for (size_t i = name_size + 1; i + 1 < text.size; i++) {
        char c = text.data[i];
        if (c != ',' && c != '.' && c != '-' && !name_valid((struct slice){&c, 1})) {
            return false;
        }
    }
    return text.data[text.size - 1] == ')' && name_valid((struct slice){text.data, name_size});
}

/* A name, a cross a*b of two, or a name with words in parentheses, whose meaning others know. The
 * built-in ids are names themselves, and a name that is none of them is looked for in context, so
 * there is nothing more to tell apart. */
static bool feature_valid(struct slice text) {
    const char *star = text.size > 0 ? memchr(text.data, '*', text.size) : NULL;
    const char *open = text.size > 0 ? memchr(text.data, '(', text.size) : NULL;
    if (text.size >= CONFIG_NAME_MAX) {
        return false;
    }
    if (open) {
        return call_valid(text, (size_t)(open - text.data));
    }
    if (!star) {
        return name_valid(text);
    }
    size_t left = (size_t)(star - text.data);
    return name_valid((struct slice){text.data, left}) &&
           name_valid((struct slice){star + 1, text.size - left - 1});
}

/* The text of a list's item without its spaces; inside [..] YAML cuts a name with words in
 * parentheses at their commas, so the items up to the closing one are joined. Gives the last item
 * taken. A text that is too long is cut, and is valid no more. */
static const struct yaml_node *join_items(const struct yaml_node *item, char out[CONFIG_NAME_MAX],
                                          size_t *size) {
    bool open = false;
    *size = 0;
    for (;; item = item->next) {
        for (size_t i = 0; i < item->text.size && *size < CONFIG_NAME_MAX; i++) {
            char c = item->text.data[i];
            open = c == '(' || (open && c != ')');
            if (c != ' ' || !open) {
                out[(*size)++] = c;
            }
        }
        if (!open || !item->next || item->next->kind != YAML_SCALAR || *size == CONFIG_NAME_MAX) {
            return item;
        }
        out[(*size)++] = ',';
    }
}

static bool list_has(const struct config_list *list, struct slice name) {
    for (int i = 0; i < list->count; i++) {
        if (slice_is(name, list->names[i])) {
            return true;
        }
    }
    return false;
}

static leat_status bind_names(const struct scope *scope, const struct field *field,
                              const struct yaml_node *node, struct config_list *list) {
    if (node->kind != YAML_LIST || !node->first) {
        return fault_value(scope, field, node);
    }
    list->count = 0;
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        if (list->count == CONFIG_LIST_MAX) {
            return fault(scope, item->line, item->column, "'%s.%s' has more than %d names",
                         scope->path, field->key, CONFIG_LIST_MAX);
        }
        char joined[CONFIG_NAME_MAX];
        struct slice text = {joined, 0};
        const struct yaml_node *first = item;
        if (item->kind == YAML_SCALAR) {
            item = join_items(item, joined, &text.size);
        }
        if (!feature_valid(text)) {
            return fault(scope, first->line, first->column,
                         "'%s' in '%s.%s' is no name: write 1 to %d of a-z, 0-9 and _, or two "
                         "names crossed as a*b",
                         quote(text.size > 0 ? text : first->text).text, scope->path, field->key,
                         CONFIG_NAME_MAX - 1);
        }
        if (list_has(list, text)) {
            return fault(scope, first->line, first->column, "'%s' stands in '%s.%s' twice",
                         quote(text).text, scope->path, field->key);
        }
        config_list_add(list, text);
    }
    return LEAT_OK;
}

static leat_status bind_numbers(const struct scope *scope, const struct field *field,
                                const struct yaml_node *node, struct config_number_list *list) {
    if (node->kind != YAML_LIST || !node->first) {
        return fault_value(scope, field, node);
    }
    list->count = 0;
    for (const struct yaml_node *item = node->first; item; item = item->next) {
        if (list->count == CONFIG_NUMBERS_MAX) {
            return fault(scope, item->line, item->column, "'%s.%s' has more than %d numbers",
                         scope->path, field->key, CONFIG_NUMBERS_MAX);
        }
        if (item->kind != YAML_SCALAR || !config_number_add(field, item->text, list)) {
            return fault_value(scope, field, item);
        }
    }
    return LEAT_OK;
}

static leat_status bind_field(const struct scope *scope, const struct field *field,
                              const struct yaml_node *node, void *at) {
    if (field->type == FIELD_names) {
        return bind_names(scope, field, node, at);
    }
    if (field->type == FIELD_numbers) {
        return bind_numbers(scope, field, node, at);
    }
    if (node->kind != YAML_SCALAR || !config_field_set(field, node->text, at)) {
        return fault_value(scope, field, node);
    }
    return LEAT_OK;
}

/* --- binding maps --- */

static void default_map(const struct shape *shape, char *owner) {
    if (shape->roster) {
        return;
    }
    const struct section *section = &config_sections[shape->section];
    for (int i = 0; i < section->field_count; i++) {
        config_field_default(&section->fields[i],
                             owner + shape->offset + section->fields[i].offset);
    }
    for (int i = 0; i < shape->inner_count; i++) {
        default_map(&shape->inner[i], owner);
    }
}

static const struct field *field_find(const struct section *section, struct slice key) {
    for (int i = 0; i < section->field_count; i++) {
        if (slice_is(key, section->fields[i].key)) {
            return &section->fields[i];
        }
    }
    return NULL;
}

static const struct shape *inner_find(const struct shape *shape, struct slice key) {
    for (int i = 0; i < shape->inner_count; i++) {
        if (slice_is(key, shape->inner[i].key)) {
            return &shape->inner[i];
        }
    }
    return NULL;
}

/* A map, or nothing at all: "log:" with every line below commented out. */
static leat_status check_map(const struct scope *scope, const struct yaml_node *node) {
    if (node->kind == YAML_MAP || (node->kind == YAML_SCALAR && node->text.size == 0)) {
        return LEAT_OK;
    }
    return fault(scope, node->line, node->column, "%s%s%s wants keys and values, not a %s",
                 scope->path[0] ? "'" : "", scope->path[0] ? scope->path : "the file",
                 scope->path[0] ? "'" : "", node->kind == YAML_LIST ? "list" : "single value");
}

static struct scope scope_of(const struct scope *outer, struct slice key,
                             char path[SCOPE_PATH_MAX]) {
    int used = snprintf(path, SCOPE_PATH_MAX, "%s%s%.*s", outer->path, outer->path[0] ? "." : "",
                        (int)key.size, key.data);
    INVARIANT(used < SCOPE_PATH_MAX, "a path of %d bytes", used); /* keys were checked before */
    return (struct scope){.file = outer->file, .path = path, .err = outer->err};
}

static leat_status bind_map(const struct scope *scope, const struct shape *shape,
                            const struct yaml_node *node, char *owner);

static leat_status check_feature(const struct scope *scope, const struct yaml_node *node) {
    return feature_valid(node->key)
               ? LEAT_OK
               : fault(scope, node->key_line, node->key_column,
                       "'%s' in '%s' is no name of a feature: write it as in model.features",
                       quote(node->key).text, scope->path);
}

static leat_status check_name(const struct scope *scope, const struct yaml_node *node) {
    if (!name_valid(node->key)) {
        return fault(scope, node->key_line, node->key_column,
                     "'%s' in '%s' is no name: write 1 to %d of a-z, 0-9 and _",
                     quote(node->key).text, scope->path, CONFIG_NAME_MAX - 1);
    }
    for (int i = 0; config_reserved[i]; i++) {
        if (slice_is(node->key, config_reserved[i])) {
            return fault(scope, node->key_line, node->key_column,
                         "'%s' in '%s' is a kind of event that leat keeps for itself; choose "
                         "another name",
                         config_reserved[i], scope->path);
        }
    }
    return LEAT_OK;
}

static leat_status bind_roster(const struct scope *scope, const struct roster *roster,
                               const struct yaml_node *node, char *config) {
    int *count = (int *)(void *)(config + roster->count);
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        TRY(roster->features ? check_feature(scope, child) : check_name(scope, child));
        if (*count == roster->max) {
            return fault(scope, child->key_line, child->key_column, "'%s' has more than %d names",
                         scope->path, roster->max);
        }
        char *element = config + roster->first + roster->stride * (size_t)(*count)++;
        memcpy(element, child->key.data, child->key.size);
        element[child->key.size] = 0;
        default_map(roster->element, element);
        char path[SCOPE_PATH_MAX];
        struct scope inner = scope_of(scope, child->key, path);
        TRY(check_map(&inner, child));
        TRY(bind_map(&inner, roster->element, child, element));
    }
    if (*count == 0) {
        return fault(scope, node->line, node->column,
                     "'%s' is empty; name at least one, or leave the key out", scope->path);
    }
    return LEAT_OK;
}

static leat_status bind_inner(const struct scope *scope, const struct shape *shape,
                              const struct yaml_node *node, char *owner) {
    char path[SCOPE_PATH_MAX];
    struct scope inner = scope_of(scope, node->key, path);
    if (shape->brief && node->kind == YAML_SCALAR && node->text.size > 0) {
        const struct field *first = &config_sections[shape->section].fields[0];
        return bind_field(&inner, first, node, owner + shape->offset + first->offset);
    }
    TRY(check_map(&inner, node));
    return shape->roster ? bind_roster(&inner, shape->roster, node, owner)
                         : bind_map(&inner, shape, node, owner);
}

static leat_status bind_map(const struct scope *scope, const struct shape *shape,
                            const struct yaml_node *node, char *owner) {
    const struct section *section = &config_sections[shape->section];
    for (const struct yaml_node *child = node->first; child; child = child->next) {
        const struct field *field = field_find(section, child->key);
        const struct shape *inner = inner_find(shape, child->key);
        if (field) {
            TRY(bind_field(scope, field, child, owner + shape->offset + field->offset));
        } else if (inner) {
            TRY(bind_inner(scope, inner, child, owner));
        } else {
            return fault_key(scope, shape, child);
        }
    }
    return LEAT_OK;
}

/* --- whole files --- */

static bool has_key(const struct yaml_node *map, struct slice key) {
    for (const struct yaml_node *child = map->first; child; child = child->next) {
        if (slice_equal(child->key, key)) {
            return true;
        }
    }
    return false;
}

static leat_status parse_tree(const struct scope *scope, struct arena *arena, struct slice text,
                              struct yaml_node **out) {
    leat_error inner = {.message = ""};
    leat_status status = yaml_parse(arena, text, out, &inner);
    if (status == LEAT_INVALID) {
        return error_set(scope->err, status, "%s:%s", scope->file, inner.message);
    }
    if (status < 0 && scope->err) {
        *scope->err = inner;
    }
    return status;
}

static leat_status bind_file(const struct scope *scope, struct arena *arena, struct slice text,
                             struct config *config) {
    struct yaml_node *root, *built_in;
    TRY(parse_tree(scope, arena, text, &root));
    TRY(parse_tree(scope, arena, slice_of(config_built_in), &built_in));
    TRY(check_map(scope, root));
    default_map(&ROOT, (char *)config);
    TRY(bind_map(scope, &ROOT, root, (char *)config));
    for (const struct yaml_node *child = built_in->first; child; child = child->next) {
        if (!has_key(root, child->key)) {
            TRY(bind_inner(scope, inner_find(&ROOT, child->key), child, (char *)config));
        }
    }
    return LEAT_OK;
}

leat_status config_parse(struct slice text, const char *name, struct config **out,
                         leat_error *err) {
    if (text.size > FILE_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "%s: %zu bytes; a configuration has at most %d", name,
                         text.size, FILE_BYTES_MAX);
    }
    struct config *config = memory_zalloc(sizeof(*config));
    if (!config) {
        return error_memory(err, sizeof(*config));
    }
    struct arena arena;
    arena_init(&arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    struct scope scope = {.file = name, .path = "", .err = err};
    leat_status status = bind_file(&scope, &arena, text, config);
    arena_deinit(&arena);
    if (status < 0) {
        config_destroy(config);
        return status;
    }
    *out = config;
    return LEAT_OK;
}

leat_status config_load(const char *path, struct config **out, leat_error *err) {
    struct bytes text;
    bytes_init(&text);
    leat_status status = disk_get(disk_real(), path, FILE_BYTES_MAX, &text, err);
    if (status == LEAT_NOT_FOUND) {
        status = error_set(err, LEAT_IO, "%s: there is no such file", path);
    }
    if (status == LEAT_OK) {
        struct slice slice = {(const char *)text.data, text.size};
        status = config_parse(slice, path, out, err);
    }
    bytes_deinit(&text);
    return status;
}

void config_destroy(struct config *config) {
    memory_free(config);
}

int config_action_find(const struct config *config, struct slice name) {
    for (int i = 0; i < config->action_count; i++) {
        if (slice_is(name, config->actions[i].name)) {
            return i;
        }
    }
    return -1;
}

int config_surface_find(const struct config *config, struct slice name) {
    for (int i = 0; i < config->surface_count; i++) {
        if (slice_is(name, config->surfaces[i].name)) {
            return i;
        }
    }
    return -1;
}
