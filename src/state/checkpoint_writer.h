/* A checkpoint that is being written, and the chain. Internal to this room. */
#ifndef STATE_CHECKPOINT_WRITER_H
#define STATE_CHECKPOINT_WRITER_H

#include "state/checkpoint_manifest.h"

#define XXH_STATIC_LINKING_ONLY /* a hash in progress inside the writer */
#include <xxhash.h>

enum { WRITE_BUFFER = 1 << 20 };

struct checkpoint_chain {
    int count;
    struct pages_directory *parts[CHECKPOINT_PARTS_MAX];
};

/* NULL: none of that name. */
struct pages_directory *chain_find(const struct checkpoint_chain *chain, const char *name);
void pages_directory_destroy(struct pages_directory *directory); /* NULL is fine */

struct checkpoint_writer {
    XXH3_state_t hash; /* of the current part, a stream; wants 64-byte alignment */
    struct disk *disk;
    struct checkpoint_options options;
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX]; /* of this checkpoint */
    struct file *file;         /* the current part, or NULL */
    uint64_t flushed;          /* bytes of the current part in the file */
    uint64_t synced;           /* of those, how many were synced */
    size_t buffered;           /* bytes of it in `buffer`, after those */
    bool settled;              /* the manifest may be in place: nothing is taken back any more */
    leat_status status;        /* of the first failure; every later call answers it */
    leat_error failure;

    struct pages_directory *pages;      /* of the current part, or NULL */
    const struct pages_directory *base; /* the same of the chain, or NULL */
    size_t base_at;                     /* entries of it that were passed */
    uint64_t fresh_bytes;               /* of this part's changed images, as stored */
    struct checkpoint_chain next;       /* what the chain becomes */

    struct checkpoint_progress progress;
    uint64_t begun_ns; /* when writing began, for the rate */
    struct manifest manifest;
    uint8_t buffer[WRITE_BUFFER];
};

/* Keeps the first failure; answers it. */
leat_status writer_fail(struct checkpoint_writer *writer, leat_status status,
                        const leat_error *failure, leat_error *err);
/* Finishes the part before and begins the file of the next. */
leat_status writer_part(struct checkpoint_writer *writer, const char *name, leat_error *err);
/* Appends to the file of the current part. */
leat_status writer_append(struct checkpoint_writer *writer, const void *data, size_t count,
                          leat_error *err);
/* Where the next byte of the current part will stand. */
static inline uint64_t writer_offset(const struct checkpoint_writer *writer) {
    return writer->flushed + writer->buffered;
}
/* The end of a part of pages: what is worth it is moved here, then the directory. */
leat_status writer_pages_end(struct checkpoint_writer *writer, leat_error *err);

#endif
