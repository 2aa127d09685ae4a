/* Everything that touches a disk goes through a `struct disk`, so that a test can make it fail,
 * tear, drop, reorder or repeat. The real one is disk_real(); the simulated one is disk_fake.h.
 *
 * Rules of the contract, and what the simulated disk does to callers that forget them:
 * - A write is durable after file_sync of that file (fdatasync) and not before. At a power cut each
 *   unsynced write may be kept, dropped or torn at a 512-byte boundary, in any order.
 * - A created, renamed or removed name is durable after disk_sync_folder of its folder.
 * Paths are NUL-terminated. Errors name the path and the system's words. Any thread may use
 * different files of one disk; one file is written by one thread at a time and read by any. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/bytes.h"
#include "base/error.h"

struct file;

enum file_mode {
    FILE_READ,   /* must exist */
    FILE_WRITE,  /* read and write; created if it is not there */
    FILE_CREATE, /* read and write; LEAT_CONFLICT if it is there already */
    FILE_DIRECT, /* as FILE_CREATE, past the system's page cache where the file system can: counts,
                    offsets and addresses are multiples of 4096 */
};

/* One implementation of a disk. `context` is the implementation's own. */
struct disk {
    const struct disk_calls *calls;
    void *context;
};

struct disk_calls {
    leat_status (*open)(struct disk *disk, const char *path, enum file_mode mode, struct file **out,
                        leat_error *err);
    void (*close)(struct file *file);
    leat_status (*read)(struct file *file, void *data, size_t count, uint64_t offset, size_t *got,
                        leat_error *err);
    leat_status (*write)(struct file *file, const void *data, size_t count, uint64_t offset,
                         leat_error *err);
    leat_status (*sync)(struct file *file, leat_error *err);
    leat_status (*truncate)(struct file *file, uint64_t size, leat_error *err);
    leat_status (*size)(struct file *file, uint64_t *out, leat_error *err);
    leat_status (*rename)(struct disk *disk, const char *from, const char *to, leat_error *err);
    leat_status (*remove)(struct disk *disk, const char *path, leat_error *err);
    leat_status (*make_folder)(struct disk *disk, const char *path, leat_error *err);
    leat_status (*remove_folder)(struct disk *disk, const char *path, leat_error *err);
    leat_status (*sync_folder)(struct disk *disk, const char *path, leat_error *err);
    leat_status (*list)(struct disk *disk, const char *path,
                        leat_status (*each)(void *context, const char *name), void *context,
                        leat_error *err);
    leat_status (*lock)(struct disk *disk, const char *path, struct file **out, leat_error *err);
};

/* Every implementation's file begins with this. */
struct file {
    struct disk *disk;
};

struct disk *disk_real(void);
/* For implementations: LEAT_FULL where there is no room, else LEAT_IO, with the path, what was
 * wanted, the system's words for `code` (an errno), and the way out. */
leat_status disk_error(leat_error *err, const char *path, const char *verb, int code);

leat_status file_open(struct disk *disk, const char *path, enum file_mode mode, struct file **out,
                      leat_error *err); /* LEAT_NOT_FOUND (positive) when FILE_READ finds nothing */
void file_close(struct file *file);     /* NULL is fine */
/* Reads up to `count` bytes; `*got` is smaller only at the end of the file. */
leat_status file_read(struct file *file, void *data, size_t count, uint64_t offset, size_t *got,
                      leat_error *err);
leat_status file_write(struct file *file, const void *data, size_t count, uint64_t offset,
                       leat_error *err); /* all or an error */
leat_status file_sync(struct file *file, leat_error *err);
leat_status file_truncate(struct file *file, uint64_t size, leat_error *err);
leat_status file_size(struct file *file, uint64_t *out, leat_error *err);

leat_status disk_rename(struct disk *disk, const char *from, const char *to, leat_error *err);
/* Removes a file. LEAT_NOT_FOUND (positive) when there is none, LEAT_CONFLICT for a folder. */
leat_status disk_remove(struct disk *disk, const char *path, leat_error *err);
leat_status disk_make_folder(struct disk *disk, const char *path, leat_error *err); /* may exist */
leat_status disk_remove_folder(struct disk *disk, const char *path, leat_error *err); /* empty */
leat_status disk_sync_folder(struct disk *disk, const char *path, leat_error *err);
/* Calls `each` for every name in a folder, sorted; a negative status from it ends the listing and
 * is returned. LEAT_NOT_FOUND (positive) when there is no such folder. */
leat_status disk_list(struct disk *disk, const char *path,
                      leat_status (*each)(void *context, const char *name), void *context,
                      leat_error *err);
/* An exclusive lock file held until file_close (or the process's end); LEAT_CONFLICT if taken. */
leat_status disk_lock(struct disk *disk, const char *path, struct file **out, leat_error *err);

/* Whole small files. disk_put writes beside, syncs, renames and syncs the folder: after it returns
 * the new content is durable, and at no moment is a half-written file to be seen. disk_get appends
 * to `out`: LEAT_NOT_FOUND (positive) without the file, LEAT_FULL beyond `bytes_max`. */
leat_status disk_get(struct disk *disk, const char *path, uint64_t bytes_max, struct bytes *out,
                     leat_error *err);
leat_status disk_put(struct disk *disk, const char *path, const void *data, size_t count,
                     leat_error *err);
/* Removes a folder, the files in it and one level of folders. LEAT_NOT_FOUND without it. */
leat_status disk_remove_tree(struct disk *disk, const char *path, leat_error *err);

enum { PATH_BYTES_MAX = 1024 };
/* "<folder>/<name>" into `out`; LEAT_INVALID when it does not fit. */
leat_status path_join(char out[PATH_BYTES_MAX], const char *folder, const char *name,
                      leat_error *err);

#endif
