/* `leat state export`: a checkpoint as a savepoint, one block file per operator and key group. */
#include "app/state_folder.h"

#include <inttypes.h>

struct target {
    struct file *file;
    uint64_t offset;
};

static leat_status block_write(void *context, const void *data, size_t count, leat_error *err) {
    struct target *target = context;
    TRY(file_write(target->file, data, count, target->offset, err));
    target->offset += count;
    return LEAT_OK;
}

static leat_status state_write(struct state *state, uint32_t group, struct file *file,
                               leat_error *err) {
    struct target target = {.file = file};
    struct state_snapshot *snapshot;
    TRY(state_freeze(state, &snapshot, err));
    leat_status status = state_snapshot_write(snapshot, group, block_write, &target, err);
    state_snapshot_release(snapshot);
    return status == LEAT_OK ? file_sync(file, err) : status;
}

static leat_status export_group(struct checkpoint *checkpoint, const char *part, uint32_t group,
                                const char *folder, leat_error *err) {
    char name[32];
    char path[PATH_BYTES_MAX];
    struct state *state;
    struct file *file = NULL;
    snprintf(name, sizeof(name), "%05" PRIu32 ".block", group);
    TRY(path_join(path, folder, name, err));
    TRY(state_group_open(checkpoint, part, group, &state, err));
    leat_status status = file_open(disk_real(), path, FILE_CREATE, &file, err);
    if (status == LEAT_OK) {
        status = state_write(state, group, file, err);
    }
    file_close(file);
    state_close(state);
    return status;
}

static leat_status export_part(struct checkpoint *checkpoint, const char *part, const char *to,
                               leat_error *err) {
    char folder[PATH_BYTES_MAX];
    TRY(path_join(folder, to, part, err));
    TRY(disk_make_folder(disk_real(), folder, err));
    for (uint32_t group = 0; group < checkpoint_about(checkpoint)->key_groups; group++) {
        TRY(export_group(checkpoint, part, group, folder, err));
    }
    return disk_sync_folder(disk_real(), folder, err);
}

static leat_status export_all(struct checkpoint *checkpoint, const char *to, leat_error *err) {
    TRY(disk_make_folder(disk_real(), to, err));
    for (int i = 0; i < checkpoint_part_count(checkpoint); i++) {
        struct checkpoint_part_about part = checkpoint_part_at(checkpoint, i);
        bool holds;
        TRY(state_part_is(checkpoint, &part, &holds, err));
        TRY(holds ? export_part(checkpoint, part.name, to, err) : LEAT_OK);
    }
    return disk_sync_folder(disk_real(), to, err);
}

static leat_status run(const struct command_files *files, const char *data, const char *at,
                       const char *to, leat_error *err) {
    struct state_folder folder;
    struct checkpoint *checkpoint = NULL;
    leat_status status = state_folder_open(files, data, &folder, err);
    if (status == LEAT_OK) {
        status = state_folder_choose(&folder, at, &checkpoint, err);
    }
    if (status == LEAT_OK) {
        status = export_all(checkpoint, to, err);
    }
    if (status == LEAT_OK) {
        fprintf(stderr, "leat state export: %s holds the state at sequence %" PRIu64 "\n", to,
                checkpoint_about(checkpoint)->sequence);
    }
    checkpoint_close(checkpoint);
    state_folder_close(&folder);
    return status;
}

int state_export_run(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    const char *to = NULL;
    const char *at = NULL;
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {"to", 0, "FOLDER", "Where the savepoint is made; its files must not be there yet.", &to,
         NULL},
        {"at", 0, "SEQUENCE", "Of this checkpoint; without it, of the newest.", &at, NULL},
    };
    const struct usage usage = {
        "leat state export [DIR] --to FOLDER [--at SEQUENCE] [-c FILE] [--data DIR]",
        "Writes a checkpoint as a savepoint: FOLDER/<operator>/<key group>.block, records sorted "
        "by\n"
        "key, the same bytes whatever the history of the state. The data folder is not locked or\n"
        "changed; a server may be running.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    if (!to) {
        fprintf(stderr, "leat %s: --to FOLDER is needed; see leat %s --help\n", argv[0], argv[0]);
        return COMMAND_MISUSED;
    }
    leat_error err = {.message = ""};
    return run(&files, rest ? argv[1] : NULL, at, to, &err) < 0 ? command_fail(argv[0], &err)
                                                                : COMMAND_FINE;
}
