/* `leat state list`: the checkpoints of a folder. */
#include "app/state_folder.h"
#include "base/json.h"
#include "base/text.h"
#include "log/position.h"

#include <inttypes.h>

struct totals {
    uint64_t own_bytes, referred_bytes, pages;
    int operators;
};

static leat_status part_json(struct json_writer *json, struct checkpoint *checkpoint,
                             const struct checkpoint_part_about *part, struct totals *totals,
                             leat_error *err) {
    uint64_t pages;
    uint64_t page_bytes;
    bool holds;
    TRY(state_part_is(checkpoint, part, &holds, err));
    TRY(checkpoint_count_pages(checkpoint, part->name, &pages, &page_bytes, err));
    totals->own_bytes += part->bytes;
    totals->referred_bytes += part->referred_bytes;
    totals->pages += pages;
    totals->operators += holds ? 1 : 0;
    json_object_open(json);
    json_key(json, "name");
    json_cstring(json, part->name);
    json_key(json, "kind");
    json_cstring(json, part->pages ? "pages" : holds ? "blocks" : "bytes");
    json_key(json, "bytes");
    json_u64(json, part->bytes);
    if (part->pages) {
        json_key(json, "pages");
        json_u64(json, pages);
        json_key(json, "page_bytes");
        json_u64(json, page_bytes);
        json_key(json, "version");
        json_u64(json, part->version);
        json_key(json, "referred_files");
        json_i64(json, part->referred_files);
        json_key(json, "referred_bytes");
        json_u64(json, part->referred_bytes);
    }
    json_object_close(json);
    return LEAT_OK;
}

static leat_status parts_json(struct json_writer *json, struct checkpoint *checkpoint,
                              struct totals *totals, leat_error *err) {
    json_array_open(json);
    for (int i = 0; i < checkpoint_part_count(checkpoint); i++) {
        struct checkpoint_part_about part = checkpoint_part_at(checkpoint, i);
        TRY(part_json(json, checkpoint, &part, totals, err));
    }
    json_array_close(json);
    return LEAT_OK;
}

/* Both forms come from the same reading. */
static leat_status checkpoint_describe(struct checkpoint *checkpoint, bool as_json,
                                       struct bytes *out, leat_error *err) {
    const struct checkpoint_identity *about = checkpoint_about(checkpoint);
    struct position position = position_of(about->log_id, about->sequence);
    char place[POSITION_TEXT_MAX];
    char time[32];
    struct totals totals = {0};
    struct json_writer json;
    position_write(&position, place);
    text_from_time_ms(about->now_ms, time);
    json_begin(&json, out);
    json_object_open(&json);
    json_key(&json, "position");
    json_cstring(&json, place);
    json_key(&json, "sequence");
    json_u64(&json, about->sequence);
    json_key(&json, "time");
    json_cstring(&json, time);
    json_key(&json, "key_groups");
    json_u64(&json, about->key_groups);
    json_key(&json, "parts");
    TRY(parts_json(&json, checkpoint, &totals, err));
    json_key(&json, "own_bytes");
    json_u64(&json, totals.own_bytes);
    json_key(&json, "referred_bytes");
    json_u64(&json, totals.referred_bytes);
    json_object_close(&json);
    if (!as_json) {
        bytes_clear(out);
        bytes_printf(out,
                     "%-24s %s  own %" PRIu64 " bytes, refers to %" PRIu64 ", %" PRIu64
                     " pages of %d operators",
                     place, time, totals.own_bytes, totals.referred_bytes, totals.pages,
                     totals.operators);
    }
    return LEAT_OK;
}

/* One that cannot be read is said so, and is no failure of the listing. */
static leat_status list_one(const struct state_folder *folder, uint64_t sequence, bool as_json,
                            leat_error *err) {
    struct checkpoint *checkpoint;
    struct bytes line;
    leat_error failure = {.message = ""};
    bytes_init(&line);
    leat_status status =
        checkpoint_open(disk_real(), folder->path, sequence, &checkpoint, &failure);
    if (status == LEAT_OK) {
        status = checkpoint_describe(checkpoint, as_json, &line, &failure);
    }
    checkpoint_close(checkpoint);
    if (status < 0 && !state_folder_gone(folder, sequence)) {
        fprintf(stderr, "leat state list: not usable: %s\n", failure.message);
    }
    status = status == LEAT_OK ? state_print(&line, err) : LEAT_OK;
    bytes_deinit(&line);
    return status;
}

static leat_status run(const struct command_files *files, const char *data, bool json,
                       leat_error *err) {
    struct state_folder folder;
    leat_status status = state_folder_open(files, data, &folder, err);
    for (size_t i = 0; i < folder.count && status == LEAT_OK; i++) {
        status = list_one(&folder, state_folder_sequence(&folder, i), json, err);
    }
    state_folder_close(&folder);
    return status;
}

int state_list_run(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    bool json = false;
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {"json", 0, NULL, "One JSON object a line, with every part.", NULL, &json},
    };
    const struct usage usage = {"leat state list [DIR] [-c FILE] [--data DIR] [--json]",
                                "Prints the checkpoints of a data folder, oldest first: position, "
                                "append time there, bytes\n"
                                "of its own files and of the older ones that it refers to, pages "
                                "and operators. Nothing is\n"
                                "locked or changed; a server may be running.",
                                options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    return run(&files, rest ? argv[1] : NULL, json, &err) < 0 ? command_fail(argv[0], &err)
                                                              : COMMAND_FINE;
}
