/* An open checkpoint. Internal to this room. */
#ifndef STATE_CHECKPOINT_READER_H
#define STATE_CHECKPOINT_READER_H

#include "state/checkpoint_manifest.h"

#define XXH_STATIC_LINKING_ONLY /* a hash in progress inside the reader */
#include <xxhash.h>

enum { READ_BUFFER = 2 << 20 };
_Static_assert((int)READ_BUFFER >= PAGES_IMAGE_HEAD_BYTES + PAGES_IMAGE_MAX, "an image fits");

struct checkpoint {
    XXH3_state_t hash; /* of what was read of the part; wants 64-byte alignment */
    struct disk *disk;
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    struct manifest manifest;
    const struct manifest_part *part; /* a stream being read, or NULL */
    struct file *file;
    uint64_t offset;  /* in the part, of what is handed out next */
    size_t buffer_at; /* within the buffer, likewise */
    size_t buffer_end;
    struct pages_directory *pages;           /* of the part of pages read last, or NULL */
    struct file *files[PAGES_FILES_MAX + 1]; /* its files, opened when they are needed */
    uint8_t buffer[READ_BUFFER];
};

/* File `number` of a part of pages, as the manifest counts them: 0 is the part's own. */
struct pages_file checkpoint_file_of(const struct checkpoint *checkpoint,
                                     const struct manifest_part *part, int number);
/* Reads the directory of a part of pages into checkpoint->pages; LEAT_NOT_FOUND. */
leat_status checkpoint_read_directory(struct checkpoint *checkpoint, const char *name,
                                      leat_error *err);
void checkpoint_close_pages(struct checkpoint *checkpoint);

/* Appends the sequences as checkpoint_sequences does; and one of them. */
static inline uint64_t checkpoint_sequence_at(const struct bytes *sequences, size_t index) {
    uint64_t sequence;
    memcpy(&sequence, sequences->data + index * sizeof(sequence), sizeof(sequence));
    return sequence;
}
static inline size_t checkpoint_sequence_count(const struct bytes *sequences) {
    return sequences->size / sizeof(uint64_t);
}
/* Words of a failure that is passed over must not stay in the caller's error. */
static inline leat_status checkpoint_failure_pass(leat_status status, const leat_error *failure,
                                                  leat_error *err) {
    if (status < 0 && err) {
        *err = *failure;
    }
    return status;
}

#endif
