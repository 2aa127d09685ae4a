/* Page files: the images of a state's pages that changed, and a directory of all that live, be they
 * in this file or in older ones. Internal to this room. All numbers little-endian.
 *
 *    0  "LSTP"  4 u16 version = 1  6 u16 bytes of the name  8 u32 groups  12 u32 0
 *   16  u64 version of the state   24 name, zeros up to a multiple of 8
 *       images, each at a multiple of 8:
 *          u32 "IMAG" | u32 bytes | u32 group | u32 number | u64 version | u64 XXH3-64 of the bytes
 *          bytes, zeros up to a multiple of 8
 *       directory, strictly ascending by (group, number), each entry:
 *          u32 group | u32 number | u64 version | u64 offset of the image | u64 its XXH3-64
 *          u32 bytes | u32 file: 0 this one, else as the manifest counts them
 *       "LSTPDIR1" | u64 entries | u64 offset of the directory | u64 version of the state
 *       u64 XXH3-64 of the directory up to here
 *
 * The manifest holds the directory's checksum, the directory those of the images: a page is right
 * if the manifest is. Golden file: tests/golden/pages_v1.part. */
#ifndef STATE_CHECKPOINT_PAGES_H
#define STATE_CHECKPOINT_PAGES_H

#include "state/checkpoint.h"

enum {
    PAGES_VERSION = 1,
    PAGES_HEAD_BYTES = 24, /* and the name */
    PAGES_IMAGE_HEAD_BYTES = 32,
    PAGES_ENTRY_BYTES = 40,
    PAGES_TAIL_BYTES = 40,
    PAGES_IMAGE_MAX = 1 << 20, /* bytes of a page */
    PAGES_FILES_MAX = 128,     /* that a directory refers to, its own included */
    PAGES_ENTRIES_MAX = 1 << 28,
};

/* One place of a page file: the folder of its checkpoint and the generation of its name. */
struct pages_file {
    uint64_t sequence;
    uint64_t bytes;
    uint32_t generation;
};

struct pages_entry {
    uint32_t group, number;
    uint64_t version;
    uint64_t offset;
    uint64_t checksum;
    uint32_t bytes;
    uint32_t file;
};
_Static_assert(sizeof(struct pages_entry) == PAGES_ENTRY_BYTES, "drawn above");

/* A directory in memory. */
struct pages_directory {
    char name[CHECKPOINT_NAME_MAX + 1];
    uint32_t groups;
    uint64_t version;
    int file_count; /* files[0] holds the directory itself */
    struct pages_file files[PAGES_FILES_MAX + 1];
    struct bytes entries; /* struct pages_entry */
};

static inline size_t pages_count(const struct pages_directory *directory) {
    return directory->entries.size / sizeof(struct pages_entry);
}
static inline struct pages_entry *pages_at(const struct pages_directory *directory, size_t index) {
    return (struct pages_entry *)(void *)directory->entries.data + index;
}
/* Bytes of an image in a file, its head included. */
static inline uint64_t pages_stored(uint32_t bytes) {
    return PAGES_IMAGE_HEAD_BYTES + ((uint64_t)bytes + 7) / 8 * 8;
}
static inline int pages_order(uint32_t group, uint32_t number, uint32_t other_group,
                              uint32_t other_number) {
    uint64_t a = (uint64_t)group << 32 | number;
    uint64_t b = (uint64_t)other_group << 32 | other_number;
    return (a > b) - (a < b);
}

/* The head of a file: at most PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX bytes; returns how many. */
size_t pages_head_encode(const struct pages_directory *directory,
                         uint8_t out[PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX]);
/* Compares; LEAT_CORRUPT. */
leat_status pages_head_check(const struct pages_directory *directory, const uint8_t *head,
                             leat_error *err);

void pages_image_head_encode(const struct pages_entry *entry, uint8_t out[PAGES_IMAGE_HEAD_BYTES]);
/* An image as it is stored against its entry: head, checksum and the zeros behind it. */
leat_status pages_image_check(const struct pages_entry *entry, const uint8_t *stored,
                              leat_error *err);

/* Appends what follows the images: entries and tail. `offset`: where they will stand in the file.
 * Returns the checksum that the manifest is to hold; it is good only if `out` did not fail. */
uint64_t pages_directory_encode(const struct pages_directory *directory, uint64_t offset,
                                struct bytes *out);
/* `data`: the last `size` bytes of the file of `file_bytes` bytes, from where the directory stands.
 * `out` has its name, groups, version and files already, its entries are replaced. LEAT_CORRUPT:
 * anything that pages_directory_encode would not have written for these files. */
leat_status pages_directory_decode(const uint8_t *data, size_t size, uint64_t file_bytes,
                                   struct pages_directory *out, leat_error *err);
/* From the last PAGES_TAIL_BYTES of a file: bytes of directory and tail, and their checksum. */
leat_status pages_tail_decode(const uint8_t tail[PAGES_TAIL_BYTES], uint64_t file_bytes,
                              uint64_t *bytes, uint64_t *hash, leat_error *err);

#endif
