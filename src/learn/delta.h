/* The delta: what changed in a model between two positions of the log, for replicas that score and
 * do not learn. Rows are whole values, not differences: a delta (from, to] may be applied to a
 * model of any position in [from, to], and makes it the model of `to`.
 *
 *    0 u32 magic "ldlt"        40 i64 time when taken, ms    80 u32 dense weights
 *    4 u16 version (1)         48 u64 shape of the model         84 u32 0
 *    6 u8 encoding   7 u8 0    56 u32 width                      88 u64 body bytes
 *    8 u32 log id              60 u32 linear                     96 u64 checksum of the body
 *   12 u32 salt of the log     64 u32 rows                      104 u64 checksum of bytes 0..103
 *   16 u64 number              68 u32 removed keys              112 body
 *   24 u64 from                72 u32 bytes of keys
 *   32 u64 to                  76 u32 bytes of removed keys
 *
 *   body   keys      gaps of the sorted keys, the first as it is, as LEB128
 *          removed   the same
 *          linear    [rows x linear]            f32, or bf16 where the encoding is bf16 or int8
 *          scales    [rows] f32                 int8 only
 *          factors   [rows x (width - linear)]  f32, bf16, or int8 times the row's scale
 *          dense     [dense] f32, all or none of them: a whole version, as of `to`
 *
 * Little-endian, no padding; checksums are XXH3-64. A row is what scoring needs of the table's: the
 * `linear` weights w of the tasks first, which are few and of another size than the factors behind
 * them, so that one scale of both would cost the factors their digits. 100,000 rows of 1 + 32
 * floats are 4.4 MB as int8. Golden file: tests/golden/delta_v1.bin. */
#ifndef LEARN_DELTA_H
#define LEARN_DELTA_H

#include "base/bytes.h"

enum {
    DELTA_VERSION = 1,
    DELTA_HEAD_BYTES = 112,
    DELTA_WIDTH_MAX = 4096,
    DELTA_ROWS_MAX = 1 << 22,  /* and as many removed keys */
    DELTA_DENSE_MAX = 1 << 26, /* floats */
};
#define DELTA_MAGIC 0x746C646Cu

/* In the order of the choices of replica.rows. */
enum delta_encoding { DELTA_FP32, DELTA_BF16, DELTA_INT8, DELTA_ENCODINGS };

struct delta_head {
    enum delta_encoding encoding;
    uint32_t log_id;
    uint32_t salt;   /* of the log (frame.h): two logs of one id are told apart by it */
    uint64_t number; /* rises from one to the next */
    uint64_t from;   /* rows of the log that are in the weights before, and after */
    uint64_t to;
    int64_t time_ms;
    uint64_t shape; /* of the model: another one's rows mean nothing here */
    uint32_t width, linear;
    uint32_t rows, removed;
    uint32_t key_bytes, removed_bytes; /* set by delta_write */
    uint32_t dense;                    /* 0: not in this one */
    uint64_t body_bytes;               /* set by delta_write */
};

/* Fills one row: `width` floats. Values that are not finite are written as 0. */
typedef void (*delta_row)(void *context, uint32_t index, float *out);

/* Appends a delta to `out`. `keys` [rows] and `removed` [removed] rise strictly; `row` is asked for
 * each of `keys` in turn; `dense` [head->dense]. LEAT_FULL beyond the bounds above, LEAT_MEMORY;
 * then `out` holds rubbish. */
leat_status delta_write(struct delta_head *head, const uint64_t *keys, delta_row row, void *context,
                        const uint64_t *removed, const float *dense, struct bytes *out,
                        leat_error *err);

/* One that was read: the head, and where the parts of its body lie. Borrowed. */
struct delta {
    struct delta_head head;
    const uint8_t *keys, *removed, *linear, *scales, *factors, *dense;
};

/* Checks a head of DELTA_HEAD_BYTES, and so tells how long the delta is (delta_size).
 * LEAT_CORRUPT, LEAT_UNSUPPORTED (a newer version). */
leat_status delta_read_head(const uint8_t *data, struct delta_head *out, leat_error *err);
static inline uint64_t delta_size(const struct delta_head *head) {
    return DELTA_HEAD_BYTES + head->body_bytes;
}
/* Checks all of it, at the beginning of `data`: every key rises and every float is finite. */
leat_status delta_read(const void *data, size_t size, struct delta *out, leat_error *err);

/* Of one that delta_read has checked. */
void delta_keys(const struct delta *delta, uint64_t *out);    /* [rows] */
void delta_removed(const struct delta *delta, uint64_t *out); /* [removed] */
void delta_rows(const struct delta *delta, uint32_t first, uint32_t count,
                float *out);                             /* [count x width] */
void delta_dense(const struct delta *delta, float *out); /* [dense] */

#endif
