/* `leat state dump`: the records of one operator as JSON lines. */
#include "app/state_folder.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

#include <inttypes.h>

struct dump {
    const char *operator;
    const char *key; /* NULL: all */
    uint32_t group;
    struct bytes line;
};

static void put_hex(struct bytes *out, const void *data, uint32_t size) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = data;
    uint8_t *to = bytes_extend(out, (size_t)size * 2);
    for (uint32_t i = 0; to && i < size; i++) {
        to[2 * i] = (uint8_t)digits[from[i] >> 4];
        to[2 * i + 1] = (uint8_t)digits[from[i] & 15];
    }
}

/* Text that people can read, as names and lists of ids often are. */
static bool is_plain_text(struct slice data) {
    for (size_t i = 0; i < data.size; i++) {
        if ((unsigned char)data.data[i] < ' ') {
            return false;
        }
    }
    return data.size > 0 && text_utf8_valid(data);
}

static leat_status record_print(void *context, const struct state_record *record) {
    struct dump *dump = context;
    struct json_writer json;
    struct slice data = {record->data, record->size};
    if (dump->key && !slice_is(record->key.id, dump->key)) {
        return LEAT_OK;
    }
    bytes_clear(&dump->line);
    json_begin(&json, &dump->line);
    json_object_open(&json);
    json_key(&json, "operator");
    json_cstring(&json, dump->operator);
    json_key(&json, "group");
    json_u64(&json, dump->group);
    json_key(&json, "kind");
    json_u64(&json, record->key.kind);
    json_key(&json, "key");
    json_text(&json, record->key.id);
    json_key(&json, "part");
    json_u64(&json, record->key.part);
    json_key(&json, "due");
    json_i64(&json, record->due_ms);
    json_key(&json, "bytes");
    json_raw(&json, (struct slice){"\"", 1});
    put_hex(&dump->line, record->data, record->size);
    bytes_put_u8(&dump->line, '"');
    if (is_plain_text(data)) {
        json_key(&json, "text");
        json_text(&json, data);
    }
    json_object_close(&json);
    return state_print(&dump->line, NULL);
}

static leat_status dump_group(struct dump *dump, struct checkpoint *checkpoint, uint32_t group,
                              leat_error *err) {
    struct state *state;
    dump->group = group;
    TRY(state_group_open(checkpoint, dump->operator, group, &state, err));
    leat_status status = state_visit(state, group, record_print, dump, err);
    state_close(state);
    return status < 0 && err->status == 0
               ? error_set(err, status, "standard output cannot be written")
               : status;
}

static leat_status dump_all(struct dump *dump, struct checkpoint *checkpoint, const char *group,
                            leat_error *err) {
    uint32_t groups = checkpoint_about(checkpoint)->key_groups;
    int64_t chosen = -1;
    TRY(state_part_check(checkpoint, dump->operator, err));
    TRY(options_integer("group", group, 0, groups - 1, &chosen, err));
    if (chosen < 0 && dump->key) {
        chosen = key_group_of(hash_slice(slice_of(dump->key)), groups);
    }
    uint32_t first = chosen < 0 ? 0 : (uint32_t)chosen;
    uint32_t end = chosen < 0 ? groups : first + 1;
    for (uint32_t i = first; i < end; i++) {
        TRY(dump_group(dump, checkpoint, i, err));
    }
    return LEAT_OK;
}

static leat_status run(const struct command_files *files, const char *data, const char *at,
                       const char *group, struct dump *dump, leat_error *err) {
    struct state_folder folder;
    struct checkpoint *checkpoint = NULL;
    leat_status status = state_folder_open(files, data, &folder, err);
    if (status == LEAT_OK) {
        status = state_folder_choose(&folder, at, &checkpoint, err);
    }
    if (status == LEAT_OK) {
        status = dump_all(dump, checkpoint, group, err);
    }
    checkpoint_close(checkpoint);
    state_folder_close(&folder);
    return status;
}

int state_dump_run(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    struct dump dump = {.operator= NULL };
    const char *group = NULL;
    const char *at = NULL;
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {
            "operator",
            0,
            "NAME",
            "Whose records (leat state list --json names them).",
            &dump.operator,
            NULL },
            {"group", 0, "N", "Only this key group.", &group, NULL},
            {"key", 0, "ID", "Only the records of this id.", &dump.key, NULL},
            {"at", 0, "SEQUENCE", "Of this checkpoint; without it, of the newest.", &at, NULL},
        };
    const struct usage usage = {
        "leat state dump --operator NAME [--group N] [--key ID] [--at SEQUENCE] [DIR] [-c FILE]\n"
        "                [--data DIR]",
        "Prints the records of an operator in a checkpoint, one JSON object a line: operator, "
        "group,\n"
        "kind, key, part, due time in ms (0: none) and bytes in hex, in order of (group, kind, "
        "key,\n"
        "part). Nothing is locked or changed; a server may be running.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    if (!dump.operator) {
        fprintf(stderr, "leat %s: --operator NAME is needed; see leat %s --help\n", argv[0],
                argv[0]);
        return COMMAND_MISUSED;
    }
    leat_error err = {.message = ""};
    bytes_init(&dump.line);
    leat_status status = run(&files, rest ? argv[1] : NULL, at, group, &dump, &err);
    bytes_deinit(&dump.line);
    return status < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
