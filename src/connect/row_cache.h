/* Encoded examples as a file: what a second pass reads instead of text. Batches lie in it as they
 * are used, so that reading is reading.
 *
 *   file    | head | block | block | ... | end |
 *   head    0 magic "LTRC"  4 version  8 bytes of the head  12 tasks  16 dense inputs
 *          20 bytes of the description  24 fingerprint of what it was made from
 *          32 description, zeros to a multiple of 8 | checksum of all before
 *   block   0 magic "LTRB"  4 rows  8 keys  12 flags  16 bytes of the body  24 first row's number
 *          32 examples before it  40 checksum of the body  48 zeros  56 checksum of bytes 0..55
 *          64 body, each part at a multiple of 8: keys u64 | numbers u64 | offsets u32 (count + 1)
 *             | values f32 | dense f32 | targets f32 | weights f32 | times u32
 *   end     a block of no rows: 32 says how many examples the file has
 *
 * Flags: 1 as many keys in every row (no offsets); 2 values; 4 weights (else all 1); 8 times;
 * 16 numbers (else they follow each other). Checksums are XXH3-64, numbers little-endian. A file
 * without its end is of an unfinished run, and is not read but continued. One thread. */
#ifndef CONNECT_ROW_CACHE_H
#define CONNECT_ROW_CACHE_H

#include "base/file.h"
#include "learn/minibatch.h"

enum { ROW_CACHE_DESCRIPTION_MAX = 65536, ROW_CACHE_BODY_MAX = 256 << 20 };

struct row_cache_shape {
    int tasks, dense_count;
    uint64_t fingerprint;
    struct slice description; /* what the columns are; words of the maker */
};

/* --- writing --- */

struct row_cache_writer;

/* A new file, or (`at` above 0) one that is cut there and continued. */
leat_status row_cache_create(struct disk *disk, const char *path,
                             const struct row_cache_shape *shape, uint64_t at,
                             uint64_t examples_before, struct row_cache_writer **out,
                             leat_error *err);
leat_status row_cache_write(struct row_cache_writer *writer, const struct minibatch *rows,
                            const uint64_t *numbers, leat_error *err);
/* Where the file ends now, with all written so far on disk: what `at` may be later. */
leat_status row_cache_sync(struct row_cache_writer *writer, uint64_t *at, leat_error *err);
leat_status row_cache_finish(struct row_cache_writer *writer, leat_error *err);
void row_cache_writer_close(struct row_cache_writer *writer); /* NULL is fine */

/* --- reading --- */

struct row_cache;

/* LEAT_NOT_FOUND (positive): there is no such file. LEAT_INVALID: it is no cache, or unfinished;
 * LEAT_CORRUPT: it is damaged. */
leat_status row_cache_open(struct disk *disk, const char *path, struct row_cache **out,
                           leat_error *err);
void row_cache_close(struct row_cache *cache);                                /* NULL is fine */
const struct row_cache_shape *row_cache_shape(const struct row_cache *cache); /* borrowed */
uint64_t row_cache_examples(const struct row_cache *cache);
uint64_t row_cache_bytes(const struct row_cache *cache);
uint64_t row_cache_bytes_read(const struct row_cache *cache);
/* The next block: `rows` and `numbers` are borrowed until the next call. LEAT_END. */
leat_status row_cache_next(struct row_cache *cache, struct minibatch *rows,
                           const uint64_t **numbers, leat_error *err);
/* Goes to the block that holds example `example` (0: the first), whose own first is `*first`; at
 * the end for one that is not there. */
leat_status row_cache_seek(struct row_cache *cache, uint64_t example, uint64_t *first,
                           leat_error *err);

#endif
