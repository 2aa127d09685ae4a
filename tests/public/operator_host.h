/* A host for tests: events and served pages by number, pushed into one or several operators that
 * own the key groups between them, and everything that comes out as lines. Public headers only. */
#ifndef TESTS_PUBLIC_OPERATOR_HOST_H
#define TESTS_PUBLIC_OPERATOR_HOST_H

#include "tests/public/arrow_table.h"

enum { HOST_OPERATORS = 8, HOST_INPUTS = 3, HOST_TEXT = 24 };
#define HOST_START_MS INT64_C(1700000000000)

#define HOST_CONFIG                                                                                \
    "actions:\n"                                                                                   \
    "  click: {window: 1m, weight: 1}\n"                                                           \
    "  like: {window: 5m, weight: 2, value: amount, filter: none}\n"                               \
    "  hide: {window: 1m, weight: -4, filter: forever}\n"                                          \
    "surfaces:\n"                                                                                  \
    "  for_you: {examples: impressions}\n"                                                         \
    "  shop: {examples: served}\n"                                                                 \
    "flow: {dedup: 2m, idle: 1h}\n"

/* splitmix64: the tests see no more of leat than a host does. */
static inline uint64_t host_random(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
static inline int host_below(uint64_t *state, int limit) {
    return (int)(host_random(state) % (uint64_t)limit);
}

/* A row of any input; ids below 0 are null. */
struct host_row {
    int input;
    const char *kind; /* NULL: served */
    int user, item, id, request, surface, category;
    int64_t time_ms;
    double value; /* 0: null */
};

static inline const char *host_name(char text[HOST_TEXT], char letter, int number) {
    snprintf(text, HOST_TEXT, "%c%d", letter, number);
    return number < 0 ? NULL : text;
}

static inline const char *host_surface(int surface) {
    return surface == 0 ? "for_you" : "shop";
}

static inline void host_event(struct table *table, const struct host_row *row) {
    char text[HOST_TEXT];
    table_text(table, "kind", row->kind);
    table_i64(table, "time", row->time_ms);
    table_text(table, "user", host_name(text, 'u', row->user));
    table_text(table, "item", host_name(text, 'i', row->item));
    table_text(table, "id", host_name(text, 'e', row->id));
    table_text(table, "request", host_name(text, 'r', row->request));
    table_text(table, "surface", host_surface(row->surface));
    if (row->value != 0) {
        table_f64(table, "value", row->value);
    }
    if (row->category >= 0) {
        const char *category = host_name(text, 'c', row->category);
        table_texts(table, "categories", &category, 1);
    }
    table_row_end(table);
}

static inline void host_served(struct table *table, const struct host_row *row) {
    char text[HOST_TEXT];
    const uint64_t keys[3] = {(uint64_t)row->user + 7, (uint64_t)row->item + 77, 777};
    const float dense[2] = {(float)row->item * 0.5f, 1.0f};
    table_text(table, "request", host_name(text, 'r', row->request));
    table_text(table, "user", host_name(text, 'u', row->user));
    table_text(table, "item", host_name(text, 'i', row->item));
    table_text(table, "surface", host_surface(row->surface));
    table_i64(table, "time", row->time_ms);
    table_i32(table, "slot", 0);
    table_f64(table, "score", 0.5);
    table_i32(table, "channels", 1);
    table_list(table, "keys", keys, sizeof(keys[0]), 3);
    table_list(table, "dense", dense, sizeof(dense[0]), 2);
    table_row_end(table);
}

/* --- operators over the key groups --- */

struct host {
    const char *kind;
    uint32_t groups;
    int count, inputs;
    leat_operator *operators[HOST_OPERATORS];
    leat_key_groups owned[HOST_OPERATORS];
    struct table tables[HOST_OPERATORS][HOST_INPUTS];
    struct ArrowSchema schemas[HOST_INPUTS];
    struct ArrowSchema output; /* release NULL: there is none */
    struct lines lines;
    int64_t memory; /* as the operators tell it */
};

static inline void host_memory(void *context, int64_t bytes) {
    ((struct host *)context)->memory += bytes;
}

static inline void host_check(leat_status status, const leat_error *err) {
    if (status < 0) {
        fail_msg("%s: %s", leat_status_title(status), err->message);
    }
}

/* `count` operators with about as many key groups each; the output's lines are kept. */
static inline void host_open(struct host *host, const char *kind, const char *config,
                             uint32_t groups, int count) {
    leat_error err = {0};
    host->kind = kind;
    host->groups = groups;
    host->count = count;
    leat_host calls = {.context = host, .memory = host_memory};
    for (int i = 0; i < count; i++) {
        host->owned[i] = (leat_key_groups){groups, groups * (uint32_t)i / (uint32_t)count,
                                           groups * ((uint32_t)i + 1) / (uint32_t)count};
        host_check(
            leat_operator_open(kind, config, &calls, host->owned[i], &host->operators[i], &err),
            &err);
    }
    for (host->inputs = 0; host->inputs < HOST_INPUTS; host->inputs++) {
        struct ArrowSchema *schema = &host->schemas[host->inputs];
        if (leat_operator_schema(host->operators[0], LEAT_INPUT, host->inputs, schema, &err) ==
            LEAT_END) {
            break;
        }
        for (int i = 0; i < count; i++) {
            table_init(&host->tables[i][host->inputs], schema, false);
        }
    }
    if (leat_operator_schema(host->operators[0], LEAT_OUTPUT, 0, &host->output, &err) == LEAT_END) {
        host->output.release = NULL;
    }
}

/* Keeps the lines. */
static inline void host_close(struct host *host) {
    for (int i = 0; i < host->count; i++) {
        leat_operator_close(host->operators[i]);
        for (int input = 0; input < host->inputs; input++) {
            table_deinit(&host->tables[i][input]);
        }
    }
    for (int input = 0; input < host->inputs; input++) {
        host->schemas[input].release(&host->schemas[input]);
    }
    if (host->output.release) {
        host->output.release(&host->output);
    }
    assert_int_equal(host->memory, 0); /* all that was told of is given back */
}

static inline void host_pull(struct host *host, int which) {
    leat_error err = {0};
    struct ArrowArray batch;
    while (host->output.release) {
        leat_status status = leat_operator_pull(host->operators[which], 0, &batch, &err);
        host_check(status, &err);
        if (status != LEAT_OK) {
            return;
        }
        assert_true(batch.length >= 1 && batch.length <= LEAT_PULL_ROWS_MAX);
        for (int64_t row = 0; row < batch.length; row++) {
            lines_add(&host->lines, line_of(&host->output, &batch, row));
        }
        batch.release(&batch);
    }
}

/* The operator that owns a key's group; 0 where there is no key. */
static inline int host_of_group(const struct host *host, uint32_t group) {
    int which = 0;
    while (group >= host->owned[which].end) {
        which++;
    }
    return which;
}

static inline int host_of_key(const struct host *host, const char *key) {
    return key ? host_of_group(host, leat_key_group(key, strlen(key), host->groups)) : 0;
}

static inline const char *host_key(const struct host *host, const struct host_row *row,
                                   char text[HOST_TEXT]) {
    if (strcmp(host->kind, "dedup") == 0) {
        return host_name(text, 'e', row->id);
    }
    return strcmp(host->kind, "tally") == 0 ? host_name(text, 'i', row->item)
                                            : host_name(text, 'u', row->user);
}

static inline bool host_is_shared(const struct host *host, int input) {
    return strcmp(host->kind, "profile") == 0 && input == 2;
}

/* Puts a row into the table of the operator that owns it, or into all. */
static inline void host_row(struct host *host, const struct host_row *row) {
    char text[HOST_TEXT];
    int owner = host_of_key(host, host_key(host, row, text));
    for (int i = 0; i < host->count; i++) {
        if (i == owner || host_is_shared(host, row->input)) {
            struct table *table = &host->tables[i][row->input];
            if (row->kind) {
                host_event(table, row);
            } else {
                host_served(table, row);
            }
        }
    }
}

/* Pushes what the tables hold, and pulls. */
static inline void host_push(struct host *host) {
    leat_error err = {0};
    for (int i = 0; i < host->count; i++) {
        for (int input = 0; input < host->inputs; input++) {
            if (host->tables[i][input].rows > 0) {
                struct ArrowArray batch;
                table_export(&host->tables[i][input], &batch);
                host_check(leat_operator_push(host->operators[i], input, &batch, &err), &err);
                assert_null(batch.release);
                host_pull(host, i);
            }
        }
    }
}

static inline void host_now(struct host *host, int64_t now_ms) {
    leat_error err = {0};
    for (int i = 0; i < host->count; i++) {
        host_check(leat_operator_now(host->operators[i], now_ms, &err), &err);
        host_pull(host, i);
    }
}

static inline void host_watermark(struct host *host, int64_t event_ms) {
    leat_error err = {0};
    for (int i = 0; i < host->count; i++) {
        for (int input = 0; input < host->inputs; input++) {
            host_check(leat_operator_watermark(host->operators[i], input, event_ms, &err), &err);
            host_pull(host, i);
        }
    }
}

static inline void host_end(struct host *host) {
    leat_error err = {0};
    for (int i = 0; i < host->count; i++) {
        for (int input = 0; input < host->inputs; input++) {
            host_check(leat_operator_end(host->operators[i], input, &err), &err);
            host_pull(host, i);
        }
    }
}

/* --- snapshots in memory --- */

struct host_block {
    struct table_bytes bytes;
    size_t at; /* read so far */
};

static inline leat_status host_write(void *context, const void *bytes, size_t n, leat_error *err) {
    (void)err;
    table_add(&((struct host_block *)context)->bytes, bytes, n);
    return LEAT_OK;
}

static inline leat_status host_read(void *context, void *bytes, size_t n, leat_error *err) {
    struct host_block *block = context;
    if (n > block->bytes.size - block->at) {
        if (err) {
            snprintf(err->message, sizeof(err->message), "the block ends");
        }
        return LEAT_CORRUPT;
    }
    memcpy(bytes, block->bytes.data + block->at, n);
    block->at += n;
    return LEAT_OK;
}

/* The blocks of all key groups, and one more for what is shared (empty where there is none). */
static inline struct host_block *host_save(struct host *host) {
    leat_error err = {0};
    struct host_block *blocks = calloc(host->groups + 1, sizeof(*blocks));
    assert_non_null(blocks);
    for (int i = 0; i < host->count; i++) {
        leat_snapshot *snapshot;
        host_check(leat_operator_freeze(host->operators[i], &snapshot, &err), &err);
        for (uint32_t group = host->owned[i].first; group < host->owned[i].end; group++) {
            leat_sink sink = {host_write, &blocks[group]};
            host_check(leat_snapshot_write(snapshot, group, sink, &err), &err);
        }
        if (i == host->count - 1) {
            leat_sink sink = {host_write, &blocks[host->groups]};
            host_check(leat_snapshot_write(snapshot, LEAT_GROUP_SHARED, sink, &err), &err);
        }
        leat_snapshot_release(snapshot);
    }
    return blocks;
}

/* Into operators that have not begun. */
static inline void host_restore(struct host *host, struct host_block *blocks) {
    leat_error err = {0};
    for (int i = 0; i < host->count; i++) {
        for (uint32_t group = host->owned[i].first; group < host->owned[i].end; group++) {
            leat_source source = {host_read, &blocks[group]};
            blocks[group].at = 0;
            host_check(leat_operator_restore(host->operators[i], group, source, &err), &err);
            assert_int_equal(blocks[group].at, blocks[group].bytes.size);
        }
        struct host_block *shared = &blocks[host->groups];
        shared->at = 0;
        if (shared->bytes.size > 0) {
            leat_source source = {host_read, shared};
            host_check(leat_operator_restore(host->operators[i], LEAT_GROUP_SHARED, source, &err),
                       &err);
        }
    }
}

static inline void host_blocks_free(const struct host *host, struct host_block *blocks) {
    for (uint32_t group = 0; group <= host->groups; group++) {
        free(blocks[group].bytes.data);
    }
    free(blocks);
}

/* Goes on with another number of operators: freeze, write, close, open, restore. */
static inline void host_rescale(struct host *host, const char *config, int count) {
    struct host_block *blocks = host_save(host);
    host_close(host);
    host_open(host, host->kind, config, host->groups, count);
    host_restore(host, blocks);
    host_blocks_free(host, blocks);
}

#endif
