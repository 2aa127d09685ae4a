/* `leat state check`: reads everything that a restart would read, and says what is bad. */
#include "app/state_folder.h"
#include "base/json.h"

#include <inttypes.h>

struct check {
    uint64_t parts, groups, records;
    int faults;
    bool json;
};

static leat_status fault_print(struct check *check, uint64_t sequence, const char *part,
                               const char *words, leat_error *err) {
    struct bytes line;
    struct json_writer json;
    check->faults++;
    bytes_init(&line);
    json_begin(&json, &line);
    json_object_open(&json);
    json_key(&json, "sequence");
    json_u64(&json, sequence);
    json_key(&json, "part");
    json_cstring(&json, part);
    json_key(&json, "fault");
    json_cstring(&json, words);
    json_object_close(&json);
    if (!check->json) {
        bytes_clear(&line);
        bytes_printf(&line, "bad: checkpoint %" PRIu64 "%s%s: %s", sequence, part[0] ? ", " : "",
                     part, words);
    }
    leat_status status = state_print(&line, err);
    bytes_deinit(&line);
    return status;
}

/* Every group is restored, which compares every checksum and builds its index; the first fault of
 * each group is told. */
static leat_status check_state(struct check *check, struct checkpoint *checkpoint, const char *part,
                               leat_error *err) {
    uint64_t sequence = checkpoint_about(checkpoint)->sequence;
    for (uint32_t group = 0; group < checkpoint_about(checkpoint)->key_groups; group++) {
        struct state *state;
        leat_error failure = {.message = ""};
        leat_status status = state_group_open(checkpoint, part, group, &state, &failure);
        if (status == LEAT_CORRUPT) {
            TRY(fault_print(check, sequence, part, failure.message, err));
            continue;
        }
        if (status < 0) {
            *err = failure;
            return status;
        }
        check->records += state_count(state);
        check->groups++;
        state_close(state);
    }
    return LEAT_OK;
}

/* A stream to its end, where its checksum is compared. */
static leat_status read_stream(struct checkpoint *checkpoint,
                               const struct checkpoint_part_about *part, leat_error *err) {
    char piece[16 << 10];
    TRY(checkpoint_read_part(checkpoint, part->name, err));
    for (uint64_t left = part->bytes; left > 0;) {
        size_t count = left < sizeof(piece) ? (size_t)left : sizeof(piece);
        TRY(checkpoint_read(checkpoint, piece, count, err));
        left -= count;
    }
    return checkpoint_read_end(checkpoint, err);
}

static leat_status check_part(struct check *check, struct checkpoint *checkpoint,
                              const struct checkpoint_part_about *part, leat_error *err) {
    leat_error failure = {.message = ""};
    leat_status status;
    bool holds = true;
    uint64_t pages;
    uint64_t bytes;
    check->parts++;
    status = part->pages ? checkpoint_count_pages(checkpoint, part->name, &pages, &bytes, &failure)
                         : read_stream(checkpoint, part, &failure);
    if (status == LEAT_OK) {
        status = state_part_is(checkpoint, part, &holds, &failure);
    }
    if (status == LEAT_CORRUPT) {
        return fault_print(check, checkpoint_about(checkpoint)->sequence, part->name,
                           failure.message, err);
    }
    if (status < 0) {
        *err = failure;
        return status;
    }
    return holds ? check_state(check, checkpoint, part->name, err) : LEAT_OK;
}

static leat_status check_parts(struct check *check, struct checkpoint *checkpoint,
                               leat_error *err) {
    for (int i = 0; i < checkpoint_part_count(checkpoint); i++) {
        struct checkpoint_part_about part = checkpoint_part_at(checkpoint, i);
        TRY(check_part(check, checkpoint, &part, err));
    }
    return LEAT_OK;
}

static leat_status check_one(struct check *check, const struct state_folder *folder,
                             uint64_t sequence, leat_error *err) {
    struct checkpoint *checkpoint;
    leat_error failure = {.message = ""};
    struct check before = *check;
    leat_status status =
        checkpoint_open(disk_real(), folder->path, sequence, &checkpoint, &failure);
    if (status == LEAT_OK) {
        status = check_parts(check, checkpoint, err);
        checkpoint_close(checkpoint);
    } else if (status == LEAT_CORRUPT) {
        status = fault_print(check, sequence, "", failure.message, err);
    } else if (status < 0) {
        *err = failure;
    }
    if (check->faults > before.faults && state_folder_gone(folder, sequence)) {
        *check = before;
        fprintf(stderr, "leat state check: checkpoint %" PRIu64 " went while it was read\n",
                sequence);
    } else if (status == LEAT_OK && check->faults == before.faults && !check->json) {
        printf("good: checkpoint %" PRIu64 ", %" PRIu64 " parts, %" PRIu64 " records\n", sequence,
               check->parts - before.parts, check->records - before.records);
    }
    return status;
}

static leat_status run(const struct command_files *files, const char *data, struct check *check,
                       leat_error *err) {
    struct state_folder folder;
    leat_status status = state_folder_open(files, data, &folder, err);
    for (size_t i = 0; i < folder.count && status >= 0; i++) {
        status = check_one(check, &folder, state_folder_sequence(&folder, i), err);
    }
    state_folder_close(&folder);
    return status;
}

int state_check_run(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    struct check check = {.json = false};
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {"json", 0, NULL, "One JSON object a fault.", NULL, &check.json},
    };
    const struct usage usage = {
        "leat state check [DIR] [-c FILE] [--data DIR] [--json]",
        "Reads every checkpoint as a restart would: manifest, files that it refers to, checksums,\n"
        "pages and records, key group by key group. Says which file and offset is bad. Exit code\n"
        "0: all is good, 1: something is bad. Nothing is locked or changed; a server may be\n"
        "running.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    if (run(&files, rest ? argv[1] : NULL, &check, &err) < 0) {
        return command_fail(argv[0], &err);
    }
    return check.faults ? COMMAND_FAILED : COMMAND_FINE;
}
