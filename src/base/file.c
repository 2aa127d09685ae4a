/* The front of every disk: hands each call to the implementation, and builds the whole-file calls
 * out of the small ones, so that a simulated disk sees (and may break) every step of them. */
#include "base/file.h"

#include <errno.h>
#include <inttypes.h>

/* The way out of a system's error. */
static const char *way_out(int code) {
    switch (code) {
    case ENOSPC:
    case EDQUOT: return "free space in its file system, then try again";
    case EFBIG: return "raise the limit of file sizes (ulimit -f), then try again";
    case EIO: return "check the disk (the kernel's messages name it), then open the folder again";
    case EACCES:
    case EPERM: return "let this user read and write there, then try again";
    case EROFS: return "mount its file system for writing, then try again";
    case EMFILE:
    case ENFILE: return "raise the limit of open files (ulimit -n), then try again";
    case ENOENT: return "make the folder it stands in, or set another path";
    case EISDIR: return "move the folder away, or set another path";
    case EEXIST:
    case ENOTDIR: return "move the file away that stands where a folder belongs";
    case ENOTEMPTY: return "move away what is in it";
    default: return "check the path and its file system, then try again";
    }
}

leat_status disk_error(leat_error *err, const char *path, const char *verb, int code) {
    if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
        return error_retry(err, LEAT_FULL, "%s: could not %s: %s; %s", path, verb, strerror(code),
                           way_out(code));
    }
    return error_set(err, LEAT_IO, "%s: could not %s: %s; %s", path, verb, strerror(code),
                     way_out(code));
}

leat_status file_open(struct disk *disk, const char *path, enum file_mode mode, struct file **out,
                      leat_error *err) {
    *out = NULL;
    return disk->calls->open(disk, path, mode, out, err);
}

void file_close(struct file *file) {
    if (file) {
        file->disk->calls->close(file);
    }
}

leat_status file_read(struct file *file, void *data, size_t count, uint64_t offset, size_t *got,
                      leat_error *err) {
    *got = 0;
    return file->disk->calls->read(file, data, count, offset, got, err);
}

leat_status file_write(struct file *file, const void *data, size_t count, uint64_t offset,
                       leat_error *err) {
    return file->disk->calls->write(file, data, count, offset, err);
}

leat_status file_sync(struct file *file, leat_error *err) {
    return file->disk->calls->sync(file, err);
}

leat_status file_truncate(struct file *file, uint64_t size, leat_error *err) {
    return file->disk->calls->truncate(file, size, err);
}

leat_status file_size(struct file *file, uint64_t *out, leat_error *err) {
    return file->disk->calls->size(file, out, err);
}

leat_status disk_rename(struct disk *disk, const char *from, const char *to, leat_error *err) {
    return disk->calls->rename(disk, from, to, err);
}

leat_status disk_remove(struct disk *disk, const char *path, leat_error *err) {
    return disk->calls->remove(disk, path, err);
}

leat_status disk_make_folder(struct disk *disk, const char *path, leat_error *err) {
    return disk->calls->make_folder(disk, path, err);
}

leat_status disk_remove_folder(struct disk *disk, const char *path, leat_error *err) {
    return disk->calls->remove_folder(disk, path, err);
}

leat_status disk_sync_folder(struct disk *disk, const char *path, leat_error *err) {
    return disk->calls->sync_folder(disk, path, err);
}

leat_status disk_list(struct disk *disk, const char *path,
                      leat_status (*each)(void *context, const char *name), void *context,
                      leat_error *err) {
    return disk->calls->list(disk, path, each, context, err);
}

leat_status disk_lock(struct disk *disk, const char *path, struct file **out, leat_error *err) {
    *out = NULL;
    return disk->calls->lock(disk, path, out, err);
}

leat_status path_join(char out[PATH_BYTES_MAX], const char *folder, const char *name,
                      leat_error *err) {
    int size = snprintf(out, PATH_BYTES_MAX, "%s/%s", folder, name);
    if (size < 0 || size >= PATH_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "path %.80s.../%.80s: %d bytes, at most %d fit", folder,
                         name, size, PATH_BYTES_MAX - 1);
    }
    return LEAT_OK;
}

static leat_status file_get(struct file *file, const char *path, uint64_t bytes_max,
                            struct bytes *out, leat_error *err) {
    uint64_t size;
    TRY(file_size(file, &size, err));
    if (size > bytes_max) {
        return error_set(err, LEAT_FULL, "%s: %" PRIu64 " bytes, at most %" PRIu64 " are read",
                         path, size, bytes_max);
    }
    uint8_t *room = bytes_reserve(out, size > 0 ? (size_t)size : 1);
    if (!room) {
        return error_memory(err, (size_t)size);
    }
    size_t got;
    TRY(file_read(file, room, (size_t)size, 0, &got, err));
    bytes_extend(out, got);
    return LEAT_OK;
}

leat_status disk_get(struct disk *disk, const char *path, uint64_t bytes_max, struct bytes *out,
                     leat_error *err) {
    struct file *file;
    leat_status status = file_open(disk, path, FILE_READ, &file, err);
    if (status != LEAT_OK) {
        return status;
    }
    status = file_get(file, path, bytes_max, out, err);
    file_close(file);
    return status;
}

/* The folder of a path: "." for a bare name, "/" for a name in the root. */
static void path_folder(const char *path, char out[PATH_BYTES_MAX]) {
    const char *slash = strrchr(path, '/');
    if (!slash) {
        snprintf(out, PATH_BYTES_MAX, ".");
    } else if (slash == path) {
        snprintf(out, PATH_BYTES_MAX, "/");
    } else {
        snprintf(out, PATH_BYTES_MAX, "%.*s", (int)(slash - path), path);
    }
}

static leat_status file_fill(struct file *file, const void *data, size_t count, leat_error *err) {
    /* Truncating first: a crash may have left a longer file of this name. */
    TRY(file_truncate(file, 0, err));
    TRY(file_write(file, data, count, 0, err));
    return file_sync(file, err);
}

leat_status disk_put(struct disk *disk, const char *path, const void *data, size_t count,
                     leat_error *err) {
    char beside[PATH_BYTES_MAX];
    int size = snprintf(beside, sizeof(beside), "%s.new", path);
    if (size < 0 || size >= PATH_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "path %.80s...: %d bytes, at most %d fit", path, size,
                         PATH_BYTES_MAX - 1);
    }
    struct file *file;
    TRY(file_open(disk, beside, FILE_WRITE, &file, err));
    leat_status status = file_fill(file, data, count, err);
    file_close(file);
    if (status >= 0) {
        status = disk_rename(disk, beside, path, err);
    }
    if (status < 0) {
        disk_remove(disk, beside, NULL); /* the first failure is the one to tell */
        return status;
    }
    char folder[PATH_BYTES_MAX];
    path_folder(path, folder);
    return disk_sync_folder(disk, folder, err);
}

/* --- removing a folder with what is in it --- */

/* Names are gathered, each with its NUL, before anything is removed: a listing must not change
 * under its reader. */
static leat_status name_gather(void *names, const char *name) {
    bytes_append(names, name, strlen(name) + 1);
    return LEAT_OK;
}

static leat_status tree_remove(struct disk *disk, const char *path, int depth, leat_error *err);

static leat_status entry_remove(struct disk *disk, const char *path, int depth, leat_error *err) {
    leat_status status = disk_remove(disk, path, err);
    if (status == LEAT_CONFLICT && depth > 0) {
        status = tree_remove(disk, path, depth - 1, err);
    }
    return status < 0 ? status : LEAT_OK;
}

static leat_status tree_remove(struct disk *disk, const char *path, int depth, leat_error *err) {
    struct bytes names;
    bytes_init(&names);
    leat_status status = disk_list(disk, path, name_gather, &names, err);
    if (status == LEAT_OK) {
        status = bytes_status(&names, err);
    }
    for (size_t at = 0; status == LEAT_OK && at < names.size;) {
        const char *name = (const char *)names.data + at;
        char child[PATH_BYTES_MAX];
        status = path_join(child, path, name, err);
        if (status == LEAT_OK) {
            status = entry_remove(disk, child, depth, err);
        }
        at += strlen(name) + 1;
    }
    bytes_deinit(&names);
    return status == LEAT_OK ? disk_remove_folder(disk, path, err) : status;
}

leat_status disk_remove_tree(struct disk *disk, const char *path, leat_error *err) {
    return tree_remove(disk, path, 1, err);
}
