/* A model by itself as a file: what model_snapshot_write writes, and nothing else. */
#include "base/memory.h"
#include "learn/model_internal.h"

#include <string.h>

/* --- writing: beside, synced, renamed --- */

enum { BUFFER_BYTES = 1 << 20 };

struct writing {
    struct file *file;
    uint64_t offset;
    struct bytes buffer;
};

static leat_status flush(struct writing *writing, leat_error *err) {
    TRY(bytes_status(&writing->buffer, err));
    TRY(file_write(writing->file, writing->buffer.data, writing->buffer.size, writing->offset,
                   err));
    writing->offset += writing->buffer.size;
    bytes_clear(&writing->buffer);
    return LEAT_OK;
}

static leat_status sink_file(void *context, const void *data, size_t count, leat_error *err) {
    struct writing *writing = context;
    bytes_append(&writing->buffer, data, count);
    return writing->buffer.size < BUFFER_BYTES ? bytes_status(&writing->buffer, err)
                                               : flush(writing, err);
}

static leat_status write_snapshot(struct model_snapshot *snapshot, struct disk *disk,
                                  const char *path, leat_error *err) {
    struct writing writing = {.offset = 0};
    TRY(file_open(disk, path, FILE_WRITE, &writing.file, err));
    bytes_init(&writing.buffer);
    leat_status status = file_truncate(writing.file, 0, err);
    if (status >= 0) {
        status = model_snapshot_write(snapshot, sink_file, &writing, err);
    }
    if (status >= 0) {
        status = flush(&writing, err);
    }
    if (status >= 0) {
        status = file_sync(writing.file, err);
    }
    bytes_deinit(&writing.buffer);
    file_close(writing.file);
    return status;
}

/* The folder of a path, "." where it names none. */
static void folder_of(const char *path, char out[PATH_BYTES_MAX]) {
    const char *slash = strrchr(path, '/');
    int size = slash ? (int)(slash - path) : 0;
    snprintf(out, PATH_BYTES_MAX, "%.*s", size, path);
    if (size == 0) {
        snprintf(out, PATH_BYTES_MAX, "%s", slash ? "/" : ".");
    }
}

static leat_status put_in_place(struct disk *disk, const char *beside, const char *path,
                                leat_error *err) {
    char folder[PATH_BYTES_MAX];
    folder_of(path, folder);
    TRY(disk_rename(disk, beside, path, err));
    return disk_sync_folder(disk, folder, err);
}

leat_status model_save(struct model *model, struct disk *disk, const char *path, leat_error *err) {
    char beside[PATH_BYTES_MAX];
    int size = snprintf(beside, sizeof(beside), "%s.new", path);
    if (size >= (int)sizeof(beside)) {
        return error_set(err, LEAT_INVALID, "a path of %zu bytes; %d are possible", strlen(path),
                         PATH_BYTES_MAX - 5);
    }
    struct model_snapshot *snapshot = NULL;
    leat_status status = model_freeze(model, &snapshot, err);
    if (status != LEAT_OK) {
        return status < 0
                   ? status
                   : error_retry(err, LEAT_CONFLICT, "%s: the model is being saved already", path);
    }
    status = write_snapshot(snapshot, disk, beside, err);
    model_snapshot_release(snapshot);
    if (status >= 0) {
        status = put_in_place(disk, beside, path, err);
    }
    if (status < 0) {
        (void)disk_remove(disk, beside, NULL);
    }
    return status;
}

/* --- reading --- */

struct reading {
    struct file *file;
    const char *path;
    uint64_t offset; /* of the buffer's end in the file */
    size_t at, filled;
    uint8_t *buffer;
};

static leat_status refill(struct reading *reading, leat_error *err) {
    TRY(file_read(reading->file, reading->buffer, BUFFER_BYTES, reading->offset, &reading->filled,
                  err));
    reading->at = 0;
    reading->offset += reading->filled;
    return reading->filled > 0 ? LEAT_OK
                               : error_set(err, LEAT_CORRUPT, "%s ends too early, at byte %llu",
                                           reading->path, (unsigned long long)reading->offset);
}

static leat_status source_file(void *context, void *data, size_t count, leat_error *err) {
    struct reading *reading = context;
    uint8_t *to = data;
    while (count > 0) {
        if (reading->at == reading->filled) {
            TRY(refill(reading, err));
        }
        size_t left = reading->filled - reading->at;
        size_t piece = count < left ? count : left;
        memcpy(to, reading->buffer + reading->at, piece);
        reading->at += piece;
        to += piece;
        count -= piece;
    }
    return LEAT_OK;
}

static leat_status reading_open(struct disk *disk, const char *path, struct reading *out,
                                leat_error *err) {
    *out = (struct reading){.path = path};
    leat_status status = file_open(disk, path, FILE_READ, &out->file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_IO, "%s: there is no such file", path);
    }
    out->buffer = memory_alloc(BUFFER_BYTES);
    if (!out->buffer) {
        file_close(out->file);
        return error_memory(err, BUFFER_BYTES);
    }
    return LEAT_OK;
}

static void reading_close(struct reading *reading) {
    memory_free(reading->buffer);
    file_close(reading->file);
}

static void rewind_file(struct reading *reading) {
    reading->offset = 0;
    reading->at = 0;
    reading->filled = 0;
}

static leat_status open_from(struct reading *reading, struct metrics *metrics, bool replica,
                             struct model **out, leat_error *err) {
    struct model_spec spec;
    struct model *model = NULL;
    TRY(model_describe(source_file, reading, &spec, err));
    rewind_file(reading);
    TRY(replica ? model_open_replica(&spec, metrics, &model, err)
                : model_open(&spec, NULL, metrics, &model, err));
    leat_status status = model_restore(model, source_file, reading, err);
    if (status < 0) {
        model_close(model);
        return status;
    }
    *out = model;
    return LEAT_OK;
}

static leat_status load(struct disk *disk, const char *path, struct metrics *metrics, bool replica,
                        struct model **out, leat_error *err) {
    struct reading reading;
    TRY(reading_open(disk, path, &reading, err));
    leat_status status = open_from(&reading, metrics, replica, out, err);
    reading_close(&reading);
    return status < 0 ? error_in(err, status, "%s", path) : LEAT_OK;
}

leat_status model_load(struct disk *disk, const char *path, struct metrics *metrics,
                       struct model **out, leat_error *err) {
    return load(disk, path, metrics, false, out, err);
}

leat_status model_load_replica(struct disk *disk, const char *path, struct metrics *metrics,
                               struct model **out, leat_error *err) {
    return load(disk, path, metrics, true, out, err);
}
