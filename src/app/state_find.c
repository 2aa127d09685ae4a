/* `leat state find`: whether a text occurs in any byte of any file of the checkpoints, which proves
 * an erasure: what is not found in the raw files is in no record, page or slot that was freed. */
#define _GNU_SOURCE /* memmem */
#include "app/state_folder.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>

#define NO_OFFSET UINT64_MAX

enum { WINDOW = 1 << 20, TEXT_MAX = 1024, PRINTED_MAX = 1000 };

struct find {
    struct slice text;
    bool json;
    uint64_t found; /* places */
    uint64_t files, bytes;
    uint8_t *window; /* WINDOW bytes, and the end of the one before */
    const char *folder;
    uint64_t sequence;
    const char *operator;
};

static leat_status place_print(struct find *find, const char *what, const char *path,
                               uint64_t offset, leat_error *err) {
    struct bytes line;
    struct json_writer json;
    if (find->found++ >= PRINTED_MAX) {
        return LEAT_OK;
    }
    bytes_init(&line);
    json_begin(&json, &line);
    json_object_open(&json);
    json_key(&json, "found");
    json_cstring(&json, what);
    json_key(&json, offset != NO_OFFSET ? "file" : "where");
    json_cstring(&json, path);
    if (offset != NO_OFFSET) {
        json_key(&json, "offset");
        json_u64(&json, offset);
    }
    json_object_close(&json);
    if (!find->json) {
        bytes_clear(&line);
        bytes_printf(&line, "%s", path);
    }
    if (!find->json && offset != NO_OFFSET) {
        bytes_printf(&line, " offset %" PRIu64, offset);
    }
    leat_status status = state_print(&line, err);
    bytes_deinit(&line);
    return status;
}

/* --- raw files --- */

/* The window begins with the end of the one before, one byte too short for a place of its own, so
 * that none is told twice. */
static leat_status window_search(struct find *find, const char *path, uint64_t offset, size_t size,
                                 leat_error *err) {
    const uint8_t *at = find->window;
    const uint8_t *end = find->window + size;
    while ((at = memmem(at, (size_t)(end - at), find->text.data, find->text.size)) != NULL) {
        TRY(place_print(find, "bytes", path, offset + (uint64_t)(at - find->window), err));
        at++;
    }
    return LEAT_OK;
}

static leat_status file_search(struct find *find, const char *path, struct file *file,
                               leat_error *err) {
    size_t overlap = find->text.size - 1;
    size_t kept = 0;
    for (uint64_t offset = 0;;) {
        size_t got;
        TRY(file_read(file, find->window + kept, WINDOW, offset, &got, err));
        TRY(window_search(find, path, offset - kept, kept + got, err));
        find->bytes += got;
        offset += got;
        if (got < WINDOW) {
            return LEAT_OK;
        }
        size_t size = kept + got;
        kept = size < overlap ? size : overlap;
        memmove(find->window, find->window + size - kept, kept);
    }
}

static leat_status path_search(struct find *find, const char *path, leat_error *err) {
    struct file *file;
    leat_status status = file_open(disk_real(), path, FILE_READ, &file, err);
    if (status != LEAT_OK) {
        return status; /* one that has gone meanwhile holds nothing */
    }
    find->files++;
    status = file_search(find, path, file, err);
    file_close(file);
    return status;
}

static leat_status name_gather(void *names, const char *name) {
    bytes_append(names, name, strlen(name) + 1);
    return LEAT_OK;
}

/* Every file of a folder, whether a manifest names it or not. */
static leat_status folder_search(struct find *find, const char *folder, leat_error *err) {
    struct bytes names;
    bytes_init(&names);
    leat_status status = disk_list(disk_real(), folder, name_gather, &names, err);
    if (status == LEAT_OK) {
        status = bytes_status(&names, err);
    }
    for (size_t at = 0; at < names.size && status >= 0;) {
        const char *name = (const char *)names.data + at;
        char path[PATH_BYTES_MAX];
        status = path_join(path, folder, name, err);
        if (status == LEAT_OK) {
            status = path_search(find, path, err);
        }
        at += strlen(name) + 1;
    }
    bytes_deinit(&names);
    return status < 0 ? status : LEAT_OK;
}

/* --- records --- */

static leat_status record_match(void *context, const struct state_record *record) {
    struct find *find = context;
    char place[PATH_BYTES_MAX];
    if (!slice_equal(record->key.id, find->text)) {
        return LEAT_OK;
    }
    snprintf(place, sizeof(place),
             "checkpoint %" PRIu64 ", record of %s, kind %" PRIu32 ", part %" PRIu64,
             find->sequence, find->operator, record->key.kind, record->key.part);
    return place_print(find, "record", place, NO_OFFSET, NULL);
}

/* The one group where records of this id can be. */
static leat_status records_search(struct find *find, struct checkpoint *checkpoint,
                                  leat_error *err) {
    const struct checkpoint_identity *about = checkpoint_about(checkpoint);
    uint32_t group = key_group_of(hash_slice(find->text), about->key_groups);
    find->sequence = about->sequence;
    for (int i = 0; i < checkpoint_part_count(checkpoint); i++) {
        struct checkpoint_part_about part = checkpoint_part_at(checkpoint, i);
        struct state *state;
        bool holds;
        TRY(state_part_is(checkpoint, &part, &holds, err));
        if (holds) {
            find->operator= part.name;
            TRY(state_group_open(checkpoint, part.name, group, &state, err));
            leat_status status = state_visit(state, group, record_match, find, err);
            state_close(state);
            TRY(status);
        }
    }
    return LEAT_OK;
}

/* What cannot be opened as a checkpoint is searched as bytes all the same. */
static leat_status checkpoint_search(struct find *find, const struct state_folder *folder,
                                     uint64_t sequence, leat_error *err) {
    char name[32];
    char path[PATH_BYTES_MAX];
    struct checkpoint *checkpoint;
    leat_error failure = {.message = ""};
    leat_status status =
        checkpoint_open(disk_real(), folder->path, sequence, &checkpoint, &failure);
    if (status == LEAT_OK) {
        status = records_search(find, checkpoint, &failure);
    }
    checkpoint_close(checkpoint);
    if (status < 0 && !state_folder_gone(folder, sequence)) {
        fprintf(stderr, "leat state find: only as bytes: %s\n", failure.message);
    }
    snprintf(name, sizeof(name), "%020" PRIu64, sequence);
    TRY(path_join(path, folder->path, name, err));
    return folder_search(find, path, err);
}

static leat_status run(const struct command_files *files, const char *data, struct find *find,
                       leat_error *err) {
    struct state_folder folder;
    if (find->text.size == 0 || find->text.size > TEXT_MAX) {
        return error_set(err, LEAT_INVALID, "a text of 1 to %d bytes is needed, not of %zu",
                         TEXT_MAX, find->text.size);
    }
    find->window = memory_alloc(WINDOW + TEXT_MAX);
    if (!find->window) {
        return error_memory(err, WINDOW);
    }
    leat_status status = state_folder_open(files, data, &folder, err);
    for (size_t i = 0; i < folder.count && status == LEAT_OK; i++) {
        status = checkpoint_search(find, &folder, state_folder_sequence(&folder, i), err);
    }
    state_folder_close(&folder);
    memory_free(find->window);
    return status;
}

int state_find_run(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    struct find find = {.json = false};
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {"json", 0, NULL, "One JSON object a place.", NULL, &find.json},
    };
    const struct usage usage = {
        "leat state find TEXT [DIR] [-c FILE] [--data DIR] [--json]",
        "Searches the checkpoints of a data folder for an id or any other text: as the key of\n"
        "records, and as raw bytes in every file, records that were removed included. Prints file\n"
        "and offset of each place (at most 1000). Exit code 0: found, 1: nowhere, 2: the search\n"
        "failed. A part of a longer text is found, too. Nothing is locked or changed; a server "
        "may\n"
        "be running.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 2, &rest, &exit_code)) {
        return exit_code;
    }
    if (rest == 0) {
        fprintf(stderr, "leat %s: TEXT is needed; see leat %s --help\n", argv[0], argv[0]);
        return COMMAND_MISUSED;
    }
    leat_error err = {.message = ""};
    find.text = slice_of(argv[1]);
    if (run(&files, rest > 1 ? argv[2] : NULL, &find, &err) < 0) {
        command_fail(argv[0], &err);
        return COMMAND_MISUSED; /* not found is only what was searched whole */
    }
    fprintf(stderr, "leat %s: %" PRIu64 " places in %" PRIu64 " files, %" PRIu64 " bytes\n",
            argv[0], find.found, find.files, find.bytes);
    return find.found ? COMMAND_FINE : COMMAND_FAILED;
}
