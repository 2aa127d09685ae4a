/* Removing what is not needed: the manifests of checkpoints first, each made durable before any
 * file goes that it names, so that at no moment, whatever a power cut keeps, a manifest stands that
 * lacks a file; then every file that no kept manifest names. */
#include "state/checkpoint_reader.h"

#include <inttypes.h>
#include <limits.h>

/* Files that stay. */
struct needed_file {
    uint64_t sequence;
    char name[CHECKPOINT_FILE_MAX];
};

struct needed {
    struct bytes sequences; /* of the kept checkpoints */
    struct bytes files;     /* struct needed_file */
};

static bool sequence_needed(const struct needed *needed, uint64_t sequence) {
    for (size_t i = 0; i < checkpoint_sequence_count(&needed->sequences); i++) {
        if (checkpoint_sequence_at(&needed->sequences, i) == sequence) {
            return true;
        }
    }
    return false;
}

static bool file_needed(const struct needed *needed, uint64_t sequence, const char *name) {
    const struct needed_file *files = (const void *)needed->files.data;
    for (size_t i = 0; i < needed->files.size / sizeof(*files); i++) {
        if (files[i].sequence == sequence && strcmp(files[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void need_file(struct needed *needed, uint64_t sequence, const char *part,
                      uint32_t generation) {
    struct needed_file file = {.sequence = sequence};
    checkpoint_file_name(file.name, part, generation);
    if (!file_needed(needed, sequence, file.name)) {
        bytes_append(&needed->files, &file, sizeof(file));
    }
}

static void need_checkpoint(struct needed *needed, const struct checkpoint *checkpoint) {
    const struct manifest *manifest = &checkpoint->manifest;
    bytes_put_u64(&needed->sequences, manifest->identity.sequence);
    for (int i = 0; i < manifest->part_count; i++) {
        const struct manifest_part *part = &manifest->parts[i];
        for (int f = 0; f <= part->file_count; f++) {
            struct pages_file file = checkpoint_file_of(checkpoint, part, f);
            need_file(needed, file.sequence, part->name, file.generation);
        }
    }
}

/* --- one folder --- */

/* Names are gathered, each with its NUL, before anything is removed. */
static leat_status name_gather(void *names, const char *name) {
    bytes_append(names, name, strlen(name) + 1);
    return LEAT_OK;
}

/* What the disk would keep of a folder after a power cut may be older than what is to be seen in
 * it: a manifest that was removed, or replaced, before a failure. So the folder is synced in any
 * case.
 */
static leat_status folder_settle(struct disk *disk, const char *path, bool kept, leat_error *err) {
    char manifest[PATH_BYTES_MAX];
    TRY(path_join(manifest, path, MANIFEST_NAME, err));
    TRY(kept ? LEAT_OK : disk_remove(disk, manifest, err));
    return disk_sync_folder(disk, path, err);
}

/* Removes the files that are not needed; `*left`: something stays. */
static leat_status files_remove(struct disk *disk, const char *path, uint64_t sequence,
                                const struct needed *needed, const struct bytes *names, bool *left,
                                leat_error *err) {
    bool kept = sequence_needed(needed, sequence);
    *left = false;
    for (size_t at = 0; at < names->size; at += strlen((const char *)names->data + at) + 1) {
        const char *name = (const char *)names->data + at;
        if ((kept && strcmp(name, MANIFEST_NAME) == 0) || file_needed(needed, sequence, name)) {
            *left = true;
            continue;
        }
        char file[PATH_BYTES_MAX];
        TRY(path_join(file, path, name, err));
        TRY(disk_remove(disk, file, err));
    }
    return LEAT_OK;
}

static leat_status folder_clean(struct disk *disk, const char *folder, uint64_t sequence,
                                const struct needed *needed, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct bytes names;
    bool left;
    TRY(checkpoint_path(path, folder, sequence, err));
    bytes_init(&names);
    leat_status status = disk_list(disk, path, name_gather, &names, err);
    if (status == LEAT_OK) {
        status = bytes_status(&names, err);
    }
    if (status == LEAT_OK) {
        status = files_remove(disk, path, sequence, needed, &names, &left, err);
    }
    if (status == LEAT_OK && !left) {
        status = disk_remove_folder(disk, path, err);
    }
    bytes_deinit(&names);
    return status < 0 ? status : LEAT_OK;
}

/* --- all of them --- */

static leat_status folders_clean(struct disk *disk, const char *folder,
                                 const struct bytes *sequences, const struct needed *needed,
                                 leat_error *err) {
    for (size_t i = 0; i < checkpoint_sequence_count(sequences); i++) {
        uint64_t sequence = checkpoint_sequence_at(sequences, i);
        char path[PATH_BYTES_MAX];
        TRY(checkpoint_path(path, folder, sequence, err));
        TRY(folder_settle(disk, path, sequence_needed(needed, sequence), err));
    }
    for (size_t i = 0; i < checkpoint_sequence_count(sequences); i++) {
        TRY(folder_clean(disk, folder, checkpoint_sequence_at(sequences, i), needed, err));
    }
    return LEAT_OK;
}

/* Finds the newest `keep` checkpoints from `least` on. */
static leat_status needed_find(struct disk *disk, const char *folder, const struct bytes *sequences,
                               int keep, uint64_t least, struct needed *needed, leat_error *err) {
    int kept = 0;
    for (size_t i = checkpoint_sequence_count(sequences); i-- > 0 && kept < keep;) {
        struct checkpoint *checkpoint;
        leat_error failure;
        uint64_t sequence = checkpoint_sequence_at(sequences, i);
        if (sequence < least) {
            break;
        }
        leat_status status = checkpoint_open(disk, folder, sequence, &checkpoint, &failure);
        if (status == LEAT_CORRUPT || status == LEAT_NOT_FOUND) {
            continue;
        }
        TRY(checkpoint_failure_pass(status, &failure, err));
        need_checkpoint(needed, checkpoint);
        checkpoint_close(checkpoint);
        kept++;
    }
    TRY(bytes_status(&needed->sequences, err));
    return bytes_status(&needed->files, err);
}

static leat_status checkpoints_keep(struct disk *disk, const char *folder, int keep, uint64_t least,
                                    leat_error *err) {
    struct bytes sequences;
    struct needed needed;
    bytes_init(&sequences);
    bytes_init(&needed.sequences);
    bytes_init(&needed.files);
    leat_status status = checkpoint_sequences(disk, folder, &sequences, err);
    if (status == LEAT_OK) {
        status = needed_find(disk, folder, &sequences, keep, least, &needed, err);
    }
    if (status == LEAT_OK && least > 0 && needed.sequences.size == 0) {
        status = error_set(err, LEAT_INVALID,
                           "%s: no checkpoint at or after %" PRIu64
                           "; write one before the older ones are dropped",
                           folder, least);
    }
    if (status == LEAT_OK) {
        status = folders_clean(disk, folder, &sequences, &needed, err);
    }
    bytes_deinit(&needed.files);
    bytes_deinit(&needed.sequences);
    bytes_deinit(&sequences);
    return status;
}

leat_status checkpoint_clean(struct disk *disk, const char *folder, int keep, leat_error *err) {
    return checkpoints_keep(disk, folder, keep, 0, err);
}

leat_status checkpoint_drop_before(struct disk *disk, const char *folder, uint64_t sequence,
                                   leat_error *err) {
    return checkpoints_keep(disk, folder, INT_MAX, sequence, err);
}
