/* What a simulated disk holds: of everything a current and a durable side, and between them the
 * list of what was done since and not synced.
 *
 *   inode    current bytes, durable bytes, the writes and truncations between them
 *            current place, durable place (a folder's inode and a name; no hard links)
 *   image    all inodes, and the name changes between the two sides
 *
 * A restart takes the durable side and does each pending change again, or not, by a hash of
 * (seed, step). Part of disk_fake.c, which serialises all calls and counts the steps. */
#ifndef BASE_DISK_IMAGE_H
#define BASE_DISK_IMAGE_H

#include "base/bytes.h"

enum { SECTOR_BYTES = 512, NAME_BYTES_MAX = 256 };

struct place {
    struct inode *folder; /* NULL: no name */
    char name[NAME_BYTES_MAX];
};

struct content_change {
    uint64_t step;
    uint64_t offset; /* of a write; the new size of a truncation */
    uint8_t *data;   /* NULL: a truncation */
    size_t count;
};

struct inode {
    bool is_folder;
    bool locked;
    bool exposed; /* a test may have changed `content` in place: durable_content follows */
    int handles;  /* open files */
    int pending;  /* name changes that refer to it */
    struct place current;
    struct place durable;
    struct bytes content;
    struct bytes durable_content;
    struct content_change *changes;
    size_t change_count;
    size_t change_capacity;
};

struct name_change {
    uint64_t step;
    struct inode *inode;
    struct place from;      /* without folder: created */
    struct place to;        /* without folder: removed */
    struct inode *replaced; /* what had the name `to`, or NULL */
};

struct image {
    struct inode *root;
    struct inode **inodes;
    size_t inode_count;
    size_t inode_capacity;
    struct name_change *changes;
    size_t change_count;
    size_t change_capacity;
};

leat_status image_init(struct image *image, leat_error *err);
void image_deinit(struct image *image);

/* The inode of a name on the current side; NULL when there is none. */
struct inode *image_find(const struct image *image, const struct inode *folder, const char *name);
bool image_folder_empty(const struct image *image, const struct inode *folder);
/* Whether `inode` is `folder` or holds it, however deep, on the current side. */
bool inode_holds(const struct inode *inode, const struct inode *folder);

/* Changes of the current side, remembered as pending. LEAT_MEMORY: nothing was changed. */
leat_status image_create(struct image *image, uint64_t step, bool is_folder,
                         const struct place *place, struct inode **out, leat_error *err);
leat_status image_move(struct image *image, uint64_t step, struct inode *inode,
                       const struct place *to, leat_error *err);
leat_status image_remove(struct image *image, uint64_t step, struct inode *inode, leat_error *err);
leat_status inode_write(struct inode *inode, uint64_t step, const void *data, size_t count,
                        uint64_t offset, leat_error *err);
leat_status inode_truncate(struct inode *inode, uint64_t step, uint64_t size, leat_error *err);

/* Pending changes become durable: of a file's bytes; of the names in a folder (a rename between
 * two folders with the first of them that is synced). */
leat_status inode_sync(struct inode *inode, leat_error *err);
/* Pending changes of a file's bytes will never be durable; they may be read until a restart. */
void inode_lose(struct inode *inode);
/* Syncs, and from now to the next call on the inode its content may be changed in place: such a
 * change is durable at once. */
leat_status inode_expose(struct inode *inode, leat_error *err);
void image_sync_folder(struct image *image, const struct inode *folder);

/* The power comes back. */
leat_status image_restart(struct image *image, uint64_t seed, leat_error *err);
/* Gives back inodes that nothing can reach any more. */
void image_sweep(struct image *image);

#endif
