#define _GNU_SOURCE /* O_DIRECT */
/* The disk of the operating system: POSIX calls, each with its interruptions and short counts
 * handled and its failure put into words. */
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Linux moves at most this much in one call; asking for less keeps the counts unambiguous. */
enum { TRANSFER_BYTES_MAX = 1 << 30 };

struct real_file {
    struct file file;
    int descriptor;
    char path[]; /* for messages */
};

static int open_uninterrupted(const char *path, int flags, mode_t mode) {
    int descriptor;
    do {
        descriptor = open(path, flags | O_CLOEXEC, mode);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

/* Takes the descriptor, also when it fails. */
static leat_status real_wrap(struct disk *disk, const char *path, int descriptor, struct file **out,
                             leat_error *err) {
    size_t path_bytes = strlen(path) + 1;
    struct real_file *file = memory_alloc(sizeof(*file) + path_bytes);
    if (!file) {
        close(descriptor);
        return error_memory(err, sizeof(*file) + path_bytes);
    }
    file->file.disk = disk;
    file->descriptor = descriptor;
    memcpy(file->path, path, path_bytes);
    *out = &file->file;
    return LEAT_OK;
}

/* Opening a folder to read works, and only reading fails: refused here, with the better words. */
static bool descriptor_is_folder(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
}

static leat_status real_open(struct disk *disk, const char *path, enum file_mode mode,
                             struct file **out, leat_error *err) {
    static const int flags[] = {
        [FILE_READ] = O_RDONLY,
        [FILE_WRITE] = O_RDWR | O_CREAT,
        [FILE_CREATE] = O_RDWR | O_CREAT | O_EXCL,
        [FILE_DIRECT] = O_RDWR | O_CREAT | O_EXCL | O_DIRECT,
    };
    int descriptor = open_uninterrupted(path, flags[mode], 0666);
    if (descriptor < 0 && errno == EINVAL && mode == FILE_DIRECT) {
        disk_remove(disk, path, NULL); /* made before it was refused */
        descriptor = open_uninterrupted(path, flags[FILE_CREATE], 0666);
    }
    if (descriptor >= 0 && descriptor_is_folder(descriptor)) {
        close(descriptor);
        return disk_error(err, path, "open", EISDIR);
    }
    if (descriptor >= 0) {
        return real_wrap(disk, path, descriptor, out, err);
    }
    if (errno == ENOENT && mode == FILE_READ) {
        return LEAT_NOT_FOUND;
    }
    if (errno == EEXIST && (mode == FILE_CREATE || mode == FILE_DIRECT)) {
        return error_set(err, LEAT_CONFLICT, "%s: could not create: it is there already", path);
    }
    return disk_error(err, path, mode == FILE_READ ? "open" : "create", errno);
}

static void real_close(struct file *file) {
    struct real_file *real = (struct real_file *)file;
    close(real->descriptor);
    memory_free(real);
}

static leat_status real_read(struct file *file, void *data, size_t count, uint64_t offset,
                             size_t *got, leat_error *err) {
    const struct real_file *real = (const struct real_file *)file;
    uint8_t *to = data;
    while (*got < count) {
        size_t part = count - *got < TRANSFER_BYTES_MAX ? count - *got : TRANSFER_BYTES_MAX;
        ssize_t moved = pread(real->descriptor, to + *got, part, (off_t)(offset + *got));
        if (moved == 0) {
            return LEAT_OK;
        }
        if (moved > 0) {
            *got += (size_t)moved;
        } else if (errno != EINTR) {
            return disk_error(err, real->path, "read", errno);
        }
    }
    return LEAT_OK;
}

static leat_status real_write(struct file *file, const void *data, size_t count, uint64_t offset,
                              leat_error *err) {
    const struct real_file *real = (const struct real_file *)file;
    const uint8_t *from = data;
    size_t done = 0;
    while (done < count) {
        size_t part = count - done < TRANSFER_BYTES_MAX ? count - done : TRANSFER_BYTES_MAX;
        ssize_t moved = pwrite(real->descriptor, from + done, part, (off_t)(offset + done));
        if (moved > 0) {
            done += (size_t)moved;
        } else if (moved == 0) {
            /* No progress without a reason would loop for ever. */
            return disk_error(err, real->path, "write", ENOSPC);
        } else if (errno != EINTR) {
            return disk_error(err, real->path, "write", errno);
        }
    }
    return LEAT_OK;
}

static leat_status real_sync(struct file *file, leat_error *err) {
    const struct real_file *real = (const struct real_file *)file;
    while (fdatasync(real->descriptor) != 0) {
        if (errno != EINTR) {
            return disk_error(err, real->path, "sync", errno);
        }
    }
    return LEAT_OK;
}

static leat_status real_truncate(struct file *file, uint64_t size, leat_error *err) {
    const struct real_file *real = (const struct real_file *)file;
    while (ftruncate(real->descriptor, (off_t)size) != 0) {
        if (errno != EINTR) {
            return disk_error(err, real->path, "truncate", errno);
        }
    }
    return LEAT_OK;
}

static leat_status real_size(struct file *file, uint64_t *out, leat_error *err) {
    const struct real_file *real = (const struct real_file *)file;
    struct stat status;
    if (fstat(real->descriptor, &status) != 0) {
        return disk_error(err, real->path, "size", errno);
    }
    *out = (uint64_t)status.st_size;
    return LEAT_OK;
}

static leat_status real_rename(struct disk *disk, const char *from, const char *to,
                               leat_error *err) {
    (void)disk;
    return rename(from, to) == 0 ? LEAT_OK : disk_error(err, from, "rename", errno);
}

static leat_status real_remove(struct disk *disk, const char *path, leat_error *err) {
    (void)disk;
    if (unlink(path) == 0) {
        return LEAT_OK;
    }
    if (errno == EISDIR) {
        return error_set(err, LEAT_CONFLICT, "%s: could not remove: it is a folder", path);
    }
    return errno == ENOENT ? LEAT_NOT_FOUND : disk_error(err, path, "remove", errno);
}

static leat_status real_make_folder(struct disk *disk, const char *path, leat_error *err) {
    (void)disk;
    if (mkdir(path, 0777) == 0) {
        return LEAT_OK;
    }
    int code = errno;
    struct stat status;
    if (code == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return LEAT_OK;
    }
    return disk_error(err, path, "make a folder", code);
}

static leat_status real_remove_folder(struct disk *disk, const char *path, leat_error *err) {
    (void)disk;
    return rmdir(path) == 0 ? LEAT_OK : disk_error(err, path, "remove the folder", errno);
}

static leat_status real_sync_folder(struct disk *disk, const char *path, leat_error *err) {
    (void)disk;
    int descriptor = open_uninterrupted(path, O_RDONLY | O_DIRECTORY, 0);
    if (descriptor < 0) {
        return disk_error(err, path, "open the folder", errno);
    }
    int failed;
    do {
        failed = fsync(descriptor);
    } while (failed != 0 && errno == EINTR);
    int code = errno;
    close(descriptor);
    return failed == 0 ? LEAT_OK : disk_error(err, path, "sync the folder", code);
}

static int entry_is_name(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* Bytewise: the same order on every machine, whatever its locale. */
static int entry_compare(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static leat_status real_list(struct disk *disk, const char *path,
                             leat_status (*each)(void *context, const char *name), void *context,
                             leat_error *err) {
    (void)disk;
    struct dirent **entries;
    int count = scandir(path, &entries, entry_is_name, entry_compare);
    if (count < 0) {
        return errno == ENOENT ? LEAT_NOT_FOUND : disk_error(err, path, "list", errno);
    }
    leat_status status = LEAT_OK;
    for (int i = 0; i < count; i++) {
        if (status >= 0) {
            status = each(context, entries[i]->d_name);
        }
        free(entries[i]); /* scandir's, from the C library's heap */
    }
    free(entries);
    return status < 0 ? status : LEAT_OK;
}

static leat_status real_lock(struct disk *disk, const char *path, struct file **out,
                             leat_error *err) {
    int descriptor = open_uninterrupted(path, O_RDWR | O_CREAT, 0666);
    if (descriptor < 0) {
        return disk_error(err, path, "create", errno);
    }
    int failed;
    do {
        failed = flock(descriptor, LOCK_EX | LOCK_NB);
    } while (failed != 0 && errno == EINTR);
    if (failed == 0) {
        return real_wrap(disk, path, descriptor, out, err);
    }
    int code = errno;
    close(descriptor);
    if (code == EWOULDBLOCK) {
        return error_set(err, LEAT_CONFLICT,
                         "%s: could not lock: another process uses this folder; stop it or choose "
                         "another folder",
                         path);
    }
    return disk_error(err, path, "lock", code);
}

struct disk *disk_real(void) {
    static const struct disk_calls calls = {
        .open = real_open,
        .close = real_close,
        .read = real_read,
        .write = real_write,
        .sync = real_sync,
        .truncate = real_truncate,
        .size = real_size,
        .rename = real_rename,
        .remove = real_remove,
        .make_folder = real_make_folder,
        .remove_folder = real_remove_folder,
        .sync_folder = real_sync_folder,
        .list = real_list,
        .lock = real_lock,
    };
    static struct disk disk = {.calls = &calls, .context = NULL};
    return &disk;
}
