/* Writing a checkpoint. The order is what makes it hold: parts and their names first, each synced;
 * then the folder's name; then the manifest, which says that all of it is there. Nothing that an
 * older manifest may name is ever written over: a position's next checkpoint has other file names.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "state/checkpoint_writer.h"

#include <time.h>

enum {
    /* A sync now and then: not all of them at the end, and none so long that one who waits for room
     * beside the copies (state_budget) waits for long. */
    SYNC_BYTES = 8 << 20,
    NAP_NS = 50000000, /* how long a hurry may go unseen */
};

static void writer_destroy(struct checkpoint_writer *writer) {
    file_close(writer->file);
    pages_directory_destroy(writer->pages);
    checkpoint_chain_clear(&writer->next);
    memory_free(writer);
}

leat_status writer_fail(struct checkpoint_writer *writer, leat_status status,
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

/* Whatever stands there, a file or a leftover of one, keeps its name for itself. */
static leat_status generation_pass(void *context, const char *name) {
    uint32_t *next = context;
    uint32_t taken = checkpoint_file_generation(name);
    if (taken >= *next && taken < UINT32_MAX) {
        *next = taken + 1;
    }
    return LEAT_OK;
}

static leat_status folders_make(struct checkpoint_writer *writer, leat_error *err) {
    char parent[PATH_BYTES_MAX];
    path_parent(writer->folder, parent);
    TRY(disk_make_folder(writer->disk, writer->folder, err));
    TRY(disk_sync_folder(writer->disk, parent, err));
    TRY(disk_list(writer->disk, writer->path, generation_pass, &writer->manifest.generation, err));
    TRY(disk_make_folder(writer->disk, writer->path, err));
    return disk_sync_folder(writer->disk, writer->folder, err);
}

leat_status checkpoint_begin(struct disk *disk, const char *folder,
                             const struct checkpoint_identity *identity,
                             const struct checkpoint_options *options,
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
    if (options) {
        writer->options = *options;
    }
    writer->begun_ns = clock_monotonic_ns();
    writer->manifest.version = MANIFEST_VERSION;
    writer->manifest.identity = *identity;
    leat_status status = folders_make(writer, err);
    if (status < 0) {
        writer_destroy(writer);
        return status;
    }
    *out = writer;
    return LEAT_OK;
}

/* --- files --- */

static bool writer_hurries(const struct checkpoint_writer *writer) {
    return writer->options.hurry &&
           atomic_load_explicit(writer->options.hurry, memory_order_relaxed);
}

/* Sleeps until what was written is within the rate. */
static void writer_pace(const struct checkpoint_writer *writer) {
    if (writer->options.write_rate == 0) {
        return;
    }
    double seconds = (double)writer->progress.written_bytes / (double)writer->options.write_rate;
    uint64_t due_ns = writer->begun_ns + (uint64_t)(seconds * 1e9);
    uint64_t now_ns;
    while (!writer_hurries(writer) && (now_ns = clock_monotonic_ns()) < due_ns) {
        uint64_t left_ns = due_ns - now_ns;
        struct timespec nap = {.tv_nsec = (long)(left_ns < NAP_NS ? left_ns : NAP_NS)};
        nanosleep(&nap, NULL);
    }
}

static leat_status writer_flush(struct checkpoint_writer *writer, leat_error *err) {
    TRY(file_write(writer->file, writer->buffer, writer->buffered, writer->flushed, err));
    writer->flushed += writer->buffered;
    writer->progress.written_bytes += writer->buffered;
    writer->buffered = 0;
    if (writer->flushed - writer->synced >= SYNC_BYTES) {
        TRY(file_sync(writer->file, err));
        writer->synced = writer->flushed;
    }
    writer_pace(writer);
    return LEAT_OK;
}

leat_status writer_append(struct checkpoint_writer *writer, const void *data, size_t count,
                          leat_error *err) {
    const uint8_t *from = data;
    while (count > 0) {
        size_t room = WRITE_BUFFER - writer->buffered;
        size_t piece = count < room ? count : room;
        memcpy(writer->buffer + writer->buffered, from, piece);
        writer->buffered += piece;
        from += piece;
        count -= piece;
        if (writer->buffered == WRITE_BUFFER) {
            TRY(writer_flush(writer, err));
        }
    }
    return LEAT_OK;
}

/* --- parts --- */

/* Makes the current part durable, if there is one, and notes what the manifest says about it. */
static leat_status part_finish(struct checkpoint_writer *writer, leat_error *err) {
    if (!writer->file) {
        return LEAT_OK;
    }
    if (writer->pages) {
        TRY(writer_pages_end(writer, err));
    }
    if (writer->buffered > 0) {
        TRY(writer_flush(writer, err));
    }
    TRY(file_sync(writer->file, err));
    file_close(writer->file);
    writer->file = NULL;
    struct manifest_part *part = &writer->manifest.parts[writer->manifest.part_count - 1];
    part->bytes = writer->flushed;
    if (!writer->pages) {
        part->hash = XXH3_64bits_digest(&writer->hash);
        return LEAT_OK;
    }
    writer->pages->files[0].bytes = writer->flushed;
    writer->next.parts[writer->next.count++] = writer->pages;
    writer->pages = NULL;
    return LEAT_OK;
}

static leat_status part_check(const struct checkpoint_writer *writer, const char *name,
                              leat_error *err) {
    const struct manifest *manifest = &writer->manifest;
    if (!manifest_name_valid(slice_of(name)) || checkpoint_file_generation(name) > 0 ||
        manifest_part_find(manifest, name)) {
        return error_set(err, LEAT_INVALID,
                         "checkpoint part '%s': a name of up to %d of [a-z0-9_.-], used once and "
                         "not ending in .g and a number, is needed",
                         name, CHECKPOINT_NAME_MAX);
    }
    if (manifest->part_count == CHECKPOINT_PARTS_MAX) {
        return error_set(err, LEAT_FULL, "checkpoint part '%s': there are %d already, no more fit",
                         name, CHECKPOINT_PARTS_MAX);
    }
    return LEAT_OK;
}

leat_status writer_part(struct checkpoint_writer *writer, const char *name, leat_error *err) {
    struct manifest *manifest = &writer->manifest;
    TRY(part_check(writer, name, err));
    TRY(part_finish(writer, err));
    char path[PATH_BYTES_MAX];
    struct pages_file own = {.sequence = manifest->identity.sequence,
                             .generation = manifest->generation};
    TRY(checkpoint_file_path(path, writer->folder, name, &own, err));
    TRY(file_open(writer->disk, path, FILE_CREATE, &writer->file, err));
    snprintf(manifest->parts[manifest->part_count++].name, CHECKPOINT_NAME_MAX + 1, "%s", name);
    writer->flushed = 0;
    writer->synced = 0;
    writer->buffered = 0;
    XXH3_64bits_reset(&writer->hash);
    return LEAT_OK;
}

leat_status checkpoint_part(struct checkpoint_writer *writer, const char *name, leat_error *err) {
    leat_error failure = {0};
    leat_status status = writer->status;
    if (status == LEAT_OK) {
        status = writer_part(writer, name, &failure);
    }
    return status == LEAT_OK ? LEAT_OK : writer_fail(writer, status, &failure, err);
}

static leat_status stream_append(struct checkpoint_writer *writer, const void *data, size_t count,
                                 leat_error *err) {
    if (!writer->file || writer->pages) {
        return error_set(err, LEAT_INVALID,
                         "checkpoint %s: %zu bytes that belong to no part of bytes", writer->path,
                         count);
    }
    XXH3_64bits_update(&writer->hash, data, count);
    return writer_append(writer, data, count, err);
}

leat_status checkpoint_write(void *context, const void *data, size_t count, leat_error *err) {
    struct checkpoint_writer *writer = context;
    leat_error failure = {0};
    leat_status status = writer->status;
    if (status == LEAT_OK) {
        status = stream_append(writer, data, count, &failure);
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

struct checkpoint_progress checkpoint_progress_of(const struct checkpoint_writer *writer) {
    return writer->progress;
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
        writer->settled = true;
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
    struct checkpoint_chain *chain = writer->options.chain;
    if (chain) {
        struct checkpoint_chain old = *chain;
        *chain = writer->next;
        writer->next = old;
    }
    writer_destroy(writer);
    return LEAT_OK;
}

/* What cannot be removed now is named by no manifest, and goes when the folder is cleaned. */
static void files_remove(const struct checkpoint_writer *writer) {
    const struct manifest *manifest = &writer->manifest;
    struct pages_file own = {.sequence = manifest->identity.sequence,
                             .generation = manifest->generation};
    for (int i = 0; i < manifest->part_count; i++) {
        char path[PATH_BYTES_MAX];
        if (checkpoint_file_path(path, writer->folder, manifest->parts[i].name, &own, NULL) >= 0) {
            disk_remove(writer->disk, path, NULL);
        }
    }
    disk_remove_folder(writer->disk, writer->path, NULL); /* unless another one's files are there */
}

void checkpoint_abandon(struct checkpoint_writer *writer) {
    if (!writer) {
        return;
    }
    file_close(writer->file);
    writer->file = NULL;
    if (!writer->settled) {
        files_remove(writer);
    }
    if (writer->status == LEAT_CORRUPT && writer->options.chain) {
        checkpoint_chain_clear(writer->options.chain);
    }
    writer_destroy(writer);
}
