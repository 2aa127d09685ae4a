/* Writing a checkpoint. The order is what makes it hold: parts and their names first, each synced;
 * then the folder's name; then the manifest, which says that all of it is there. */
#include "state/checkpoint.h"

#include "base/memory.h"
#include "state/checkpoint_manifest.h"

#define XXH_STATIC_LINKING_ONLY /* a hash in progress inside the writer */
#include <xxhash.h>

enum { WRITE_BUFFER = 1 << 20 };

struct checkpoint_writer {
    XXH3_state_t hash; /* of the current part; wants 64-byte alignment */
    struct disk *disk;
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX]; /* of this checkpoint */
    struct file *file;         /* the current part, or NULL */
    uint64_t flushed;          /* bytes of the current part in the file */
    size_t buffered;           /* bytes of it in `buffer`, after those */
    leat_status status;        /* of the first failure; every later call answers it */
    leat_error failure;
    struct manifest manifest;
    uint8_t buffer[WRITE_BUFFER];
};

static void writer_destroy(struct checkpoint_writer *writer) {
    file_close(writer->file);
    memory_free(writer);
}

/* Keeps the first failure; answers it. */
static leat_status writer_fail(struct checkpoint_writer *writer, leat_status status,
                               const leat_error *failure, leat_error *err) {
    if (writer->status == LEAT_OK) {
        writer->status = status;
        writer->failure = *failure;
    }
    if (err) {
        *err = writer->failure;
    }
    return writer->status;
}

/* --- beginning --- */

/* The folder that holds the folder of checkpoints, so that its name can be made durable. */
static void path_parent(const char *path, char out[PATH_BYTES_MAX]) {
    const char *slash = strrchr(path, '/');
    if (!slash) {
        snprintf(out, PATH_BYTES_MAX, ".");
    } else {
        snprintf(out, PATH_BYTES_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    }
}

static leat_status folders_make(struct checkpoint_writer *writer, leat_error *err) {
    char parent[PATH_BYTES_MAX];
    path_parent(writer->folder, parent);
    TRY(disk_make_folder(writer->disk, writer->folder, err));
    TRY(disk_sync_folder(writer->disk, parent, err));
    TRY(checkpoint_remove(writer->disk, writer->path, err));
    TRY(disk_make_folder(writer->disk, writer->path, err));
    return disk_sync_folder(writer->disk, writer->folder, err);
}

leat_status checkpoint_begin(struct disk *disk, const char *folder,
                             const struct checkpoint_identity *identity,
                             struct checkpoint_writer **out, leat_error *err) {
    *out = NULL;
    char path[PATH_BYTES_MAX];
    TRY(checkpoint_path(path, folder, identity->sequence, err));
    struct checkpoint_writer *writer = memory_aligned(64, sizeof(*writer));
    if (!writer) {
        return error_memory(err, sizeof(*writer));
    }
    memset(writer, 0, offsetof(struct checkpoint_writer, buffer));
    writer->disk = disk;
    memcpy(writer->path, path, sizeof(path));
    snprintf(writer->folder, sizeof(writer->folder), "%s", folder);
    writer->manifest.identity = *identity;
    leat_status status = folders_make(writer, err);
    if (status < 0) {
        writer_destroy(writer);
        return status;
    }
    *out = writer;
    return LEAT_OK;
}

/* --- parts --- */

static leat_status part_flush(struct checkpoint_writer *writer, leat_error *err) {
    TRY(file_write(writer->file, writer->buffer, writer->buffered, writer->flushed, err));
    writer->flushed += writer->buffered;
    writer->buffered = 0;
    return LEAT_OK;
}

/* Makes the current part durable, if there is one, and notes what the manifest says about it. */
static leat_status part_finish(struct checkpoint_writer *writer, leat_error *err) {
    if (!writer->file) {
        return LEAT_OK;
    }
    if (writer->buffered > 0) {
        TRY(part_flush(writer, err));
    }
    TRY(file_sync(writer->file, err));
    file_close(writer->file);
    writer->file = NULL;
    struct manifest_part *part = &writer->manifest.parts[writer->manifest.part_count - 1];
    part->bytes = writer->flushed;
    part->hash = XXH3_64bits_digest(&writer->hash);
    return LEAT_OK;
}

static leat_status part_begin(struct checkpoint_writer *writer, const char *name, leat_error *err) {
    struct manifest *manifest = &writer->manifest;
    if (!manifest_name_valid(slice_of(name)) || manifest_part_find(manifest, name)) {
        return error_set(
            err, LEAT_INVALID,
            "checkpoint part '%s': a name of up to %d of [a-z0-9_.-], used once, is needed", name,
            CHECKPOINT_NAME_MAX);
    }
    if (manifest->part_count == CHECKPOINT_PARTS_MAX) {
        return error_set(err, LEAT_FULL, "checkpoint part '%s': there are %d already, no more fit",
                         name, CHECKPOINT_PARTS_MAX);
    }
    TRY(part_finish(writer, err));
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, writer->path, name, err));
    TRY(file_open(writer->disk, path, FILE_CREATE, &writer->file, err));
    snprintf(manifest->parts[manifest->part_count++].name, CHECKPOINT_NAME_MAX + 1, "%s", name);
    writer->flushed = 0;
    writer->buffered = 0;
    XXH3_64bits_reset(&writer->hash);
    return LEAT_OK;
}

leat_status checkpoint_part(struct checkpoint_writer *writer, const char *name, leat_error *err) {
    leat_error failure = {0};
    leat_status status = writer->status;
    if (status == LEAT_OK) {
        status = part_begin(writer, name, &failure);
    }
    return status == LEAT_OK ? LEAT_OK : writer_fail(writer, status, &failure, err);
}

static leat_status part_append(struct checkpoint_writer *writer, const uint8_t *data, size_t count,
                               leat_error *err) {
    if (!writer->file) {
        return error_set(err, LEAT_INVALID, "checkpoint %s: %zu bytes before the first part",
                         writer->path, count);
    }
    XXH3_64bits_update(&writer->hash, data, count);
    while (count > 0) {
        size_t room = WRITE_BUFFER - writer->buffered;
        size_t piece = count < room ? count : room;
        memcpy(writer->buffer + writer->buffered, data, piece);
        writer->buffered += piece;
        data += piece;
        count -= piece;
        if (writer->buffered == WRITE_BUFFER) {
            TRY(part_flush(writer, err));
        }
    }
    return LEAT_OK;
}

leat_status checkpoint_write(void *context, const void *data, size_t count, leat_error *err) {
    struct checkpoint_writer *writer = context;
    leat_error failure = {0};
    leat_status status = writer->status;
    if (status == LEAT_OK) {
        status = part_append(writer, data, count, &failure);
    }
    return status == LEAT_OK ? LEAT_OK : writer_fail(writer, status, &failure, err);
}

void checkpoint_note(struct checkpoint_writer *writer, const char *key, const char *value) {
    struct manifest *manifest = &writer->manifest;
    if (!manifest_name_valid(slice_of(key)) || !manifest_value_valid(slice_of(value)) ||
        manifest->note_count == MANIFEST_NOTES_MAX) {
        leat_error failure;
        leat_status status = error_set(&failure, LEAT_INVALID,
                                       "checkpoint note '%.64s': at most %d notes, keys of "
                                       "[a-z0-9_.-], values below %d printable characters",
                                       key, MANIFEST_NOTES_MAX, MANIFEST_VALUE_MAX);
        writer_fail(writer, status, &failure, NULL);
        return;
    }
    struct manifest_note *note = &manifest->notes[manifest->note_count++];
    snprintf(note->key, sizeof(note->key), "%s", key);
    snprintf(note->value, sizeof(note->value), "%s", value);
}

/* --- the end --- */

static leat_status writer_commit(struct checkpoint_writer *writer, leat_error *err) {
    TRY(part_finish(writer, err));
    TRY(disk_sync_folder(writer->disk, writer->path, err));
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, writer->path, MANIFEST_NAME, err));
    struct bytes text;
    bytes_init(&text);
    manifest_encode(&writer->manifest, &text);
    leat_status status = bytes_status(&text, err);
    if (status == LEAT_OK) {
        status = disk_put(writer->disk, path, text.data, text.size, err);
    }
    bytes_deinit(&text);
    return status;
}

leat_status checkpoint_commit(struct checkpoint_writer *writer, leat_error *err) {
    leat_error failure = {0};
    leat_status status = writer->status;
    if (status == LEAT_OK) {
        status = writer_commit(writer, &failure);
    }
    if (status != LEAT_OK) {
        status = writer_fail(writer, status, &failure, err);
        checkpoint_abandon(writer);
        return status;
    }
    writer_destroy(writer);
    return LEAT_OK;
}

void checkpoint_abandon(struct checkpoint_writer *writer) {
    if (!writer) {
        return;
    }
    file_close(writer->file);
    writer->file = NULL;
    /* What cannot be removed now has no manifest, and is removed at the next start. */
    checkpoint_remove(writer->disk, writer->path, NULL);
    writer_destroy(writer);
}
