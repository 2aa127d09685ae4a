/* Folds libyaml's events into the tree of yaml.h, without recursion: `levels` is the chain of open
 * lists and maps. Names are looked for twice when a map closes, by sorting, so that a map of many
 * keys costs n log n. */
#include "base/yaml.h"

#include <yaml.h>

enum { YAML_NODES_MAX = 100000, YAML_DEPTH_MAX = 32 };

/* An open list or map, and the key that waits for its value. */
struct level {
    struct yaml_node *node;
    struct yaml_node *last;
    int count;
    bool has_key;
    struct slice key;
    int key_line, key_column;
};

struct reader {
    yaml_parser_t parser;
    struct slice text;
    struct arena *arena;
    leat_error *err;
    struct yaml_node *root;
    int documents;
    int nodes;
    int depth;
    struct level levels[YAML_DEPTH_MAX];
};

static int line_of(yaml_mark_t mark) {
    return (int)mark.line + 1;
}

static int column_of(yaml_mark_t mark) {
    return (int)mark.column + 1;
}

static leat_status refuse(struct reader *reader, yaml_mark_t mark, const char *words) {
    return error_set(reader->err, LEAT_INVALID, "%d:%d: %s", line_of(mark), column_of(mark), words);
}

static struct level *top_of(struct reader *reader) {
    return reader->depth > 0 ? &reader->levels[reader->depth - 1] : NULL;
}

/* libyaml counts bytes, not lines, when bytes are no UTF-8 or no printable characters. */
static yaml_mark_t mark_of_offset(struct slice text, size_t offset) {
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset && i < text.size; i++) {
        bool continues = ((unsigned char)text.data[i] & 0xC0u) == 0x80u;
        mark.column = text.data[i] == '\n' ? 0 : mark.column + (continues ? 0 : 1);
        mark.line += text.data[i] == '\n';
    }
    return mark;
}

static leat_status refuse_syntax(struct reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    switch (parser->error) {
    case YAML_MEMORY_ERROR: return error_memory(reader->err, reader->text.size);
    case YAML_READER_ERROR:
        return refuse(reader, mark_of_offset(reader->text, parser->problem_offset),
                      "not printable UTF-8 text; save the file as UTF-8");
    default: break;
    }
    const char *context = parser->context ? parser->context : "";
    return error_set(reader->err, LEAT_INVALID, "%d:%d: not YAML: %s%s%s",
                     line_of(parser->problem_mark), column_of(parser->problem_mark), context,
                     context[0] ? ", " : "", parser->problem ? parser->problem : "syntax error");
}

/* Hangs a new node below the innermost open list or map, or makes it the root. */
static leat_status node_add(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark,
                            struct yaml_node **out) {
    if (++reader->nodes > YAML_NODES_MAX) {
        return error_set(reader->err, LEAT_INVALID, "%d:%d: more than %d values; split the file",
                         line_of(mark), column_of(mark), YAML_NODES_MAX);
    }
    struct yaml_node *node = ARENA_NEW(reader->arena, struct yaml_node, 1);
    if (!node) {
        return error_memory(reader->err, sizeof(*node));
    }
    *node = (struct yaml_node){.kind = kind, .line = line_of(mark), .column = column_of(mark)};
    *out = node;
    struct level *top = top_of(reader);
    if (!top) {
        reader->root = node;
        return LEAT_OK;
    }
    node->key = top->key;
    node->key_line = top->key_line;
    node->key_column = top->key_column;
    top->key = (struct slice){NULL, 0};
    top->has_key = false;
    *(top->last ? &top->last->next : &top->node->first) = node;
    top->last = node;
    top->count++;
    return LEAT_OK;
}

static bool wants_key(const struct level *top) {
    return top && top->node->kind == YAML_MAP && !top->has_key;
}

static leat_status on_scalar(struct reader *reader, const yaml_event_t *event) {
    const char *value = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    const char *copy = arena_copy(reader->arena, value, size);
    if (!copy) {
        return error_memory(reader->err, size + 1);
    }
    struct level *top = top_of(reader);
    if (wants_key(top)) {
        top->has_key = true;
        top->key = (struct slice){copy, size};
        top->key_line = line_of(event->start_mark);
        top->key_column = column_of(event->start_mark);
        return LEAT_OK;
    }
    struct yaml_node *node = NULL;
    TRY(node_add(reader, YAML_SCALAR, event->start_mark, &node));
    node->text = (struct slice){copy, size};
    return LEAT_OK;
}

static leat_status on_open(struct reader *reader, enum yaml_kind kind, yaml_mark_t mark) {
    if (wants_key(top_of(reader))) {
        return refuse(reader, mark, "a key must be a word, not a list or a map");
    }
    if (reader->depth == YAML_DEPTH_MAX) {
        return error_set(reader->err, LEAT_INVALID,
                         "%d:%d: lists and maps stand in one another more than %d deep",
                         line_of(mark), column_of(mark), YAML_DEPTH_MAX);
    }
    struct yaml_node *node = NULL;
    TRY(node_add(reader, kind, mark, &node));
    reader->levels[reader->depth++] = (struct level){.node = node};
    return LEAT_OK;
}

static int compare_keys(const void *left, const void *right) {
    const struct yaml_node *a = *(struct yaml_node *const *)left;
    const struct yaml_node *b = *(struct yaml_node *const *)right;
    size_t shared = a->key.size < b->key.size ? a->key.size : b->key.size;
    int order = memcmp(a->key.data, b->key.data, shared);
    if (order == 0) {
        order = (a->key.size > b->key.size) - (a->key.size < b->key.size);
    }
    if (order == 0) {
        order = (a->key_line > b->key_line) - (a->key_line < b->key_line);
    }
    return order != 0 ? order : (a->key_column > b->key_column) - (a->key_column < b->key_column);
}

static leat_status refuse_twice(struct reader *reader, const struct yaml_node *first,
                                const struct yaml_node *second) {
    int shown = second->key.size < 64 ? (int)second->key.size : 64;
    return error_set(reader->err, LEAT_INVALID,
                     "%d:%d: key '%.*s' stands here a second time; the first is in line %d",
                     second->key_line, second->key_column, shown, second->key.data,
                     first->key_line);
}

static leat_status on_close(struct reader *reader) {
    const struct level *top = &reader->levels[--reader->depth];
    if (top->node->kind != YAML_MAP || top->count < 2) {
        return LEAT_OK;
    }
    struct yaml_node **sorted = ARENA_NEW(reader->arena, struct yaml_node *, top->count);
    if (!sorted) {
        return error_memory(reader->err, sizeof(*sorted) * (size_t)top->count);
    }
    int count = 0;
    for (struct yaml_node *node = top->node->first; node; node = node->next) {
        sorted[count++] = node;
    }
    qsort(sorted, (size_t)count, sizeof(struct yaml_node *), compare_keys);
    for (int i = 1; i < count; i++) {
        if (slice_equal(sorted[i - 1]->key, sorted[i]->key)) {
            return refuse_twice(reader, sorted[i - 1], sorted[i]);
        }
    }
    return LEAT_OK;
}

/* Anchors and tags would let a short file mean something long, or something else. */
static leat_status check_plain(struct reader *reader, const yaml_event_t *event,
                               const yaml_char_t *anchor, const yaml_char_t *tag) {
    if (anchor) {
        return refuse(reader, event->start_mark, "anchors (&name) are not supported; write it out");
    }
    if (tag) {
        return refuse(reader, event->start_mark, "tags (!name) are not supported; leave it out");
    }
    return LEAT_OK;
}

static leat_status on_event(struct reader *reader, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (++reader->documents > 1) {
            return refuse(reader, event->start_mark, "a second document begins; one is allowed");
        }
        return LEAT_OK;
    case YAML_ALIAS_EVENT:
        return refuse(reader, event->start_mark,
                      "aliases (*name) are not supported; write it out, or quote the '*'");
    case YAML_SCALAR_EVENT:
        TRY(check_plain(reader, event, event->data.scalar.anchor, event->data.scalar.tag));
        return on_scalar(reader, event);
    case YAML_SEQUENCE_START_EVENT:
        TRY(check_plain(reader, event, event->data.sequence_start.anchor,
                        event->data.sequence_start.tag));
        return on_open(reader, YAML_LIST, event->start_mark);
    case YAML_MAPPING_START_EVENT:
        TRY(check_plain(reader, event, event->data.mapping_start.anchor,
                        event->data.mapping_start.tag));
        return on_open(reader, YAML_MAP, event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return on_close(reader);
    case YAML_STREAM_END_EVENT: return LEAT_END;
    default: return LEAT_OK;
    }
}

static leat_status next_event(struct reader *reader) {
    yaml_event_t event;
    if (!yaml_parser_parse(&reader->parser, &event)) {
        return refuse_syntax(reader);
    }
    leat_status status = on_event(reader, &event);
    yaml_event_delete(&event);
    return status;
}

/* Some editors begin a file with a byte order mark; it would count as a column. */
static struct slice without_mark(struct slice text) {
    bool marked = text.size >= 3 && memcmp(text.data, "\xEF\xBB\xBF", 3) == 0;
    return marked ? (struct slice){text.data + 3, text.size - 3} : text;
}

leat_status yaml_parse(struct arena *arena, struct slice text, struct yaml_node **out,
                       leat_error *err) {
    struct reader reader = {.text = without_mark(text), .arena = arena, .err = err};
    if (!yaml_parser_initialize(&reader.parser)) {
        return error_memory(err, sizeof(reader.parser));
    }
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    const char *data = reader.text.data ? reader.text.data : "";
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)data, reader.text.size);
    leat_status status = LEAT_OK;
    while (status == LEAT_OK) {
        status = next_event(&reader);
    }
    if (status == LEAT_END && !reader.root) {
        yaml_mark_t start = {.index = 0};
        struct yaml_node *empty = NULL;
        leat_status added = node_add(&reader, YAML_MAP, start, &empty);
        status = added < 0 ? added : status;
    }
    yaml_parser_delete(&reader.parser);
    if (status < 0) {
        return status;
    }
    *out = reader.root;
    return LEAT_OK;
}
