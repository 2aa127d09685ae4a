/* Layout of a stored table: what writing and restoring share. All numbers little-endian.
 *
 *   head     0 u32 magic "ltbl"    4 u16 version (2)   6 u16 flags: 1: rows have marks
 *            8 u32 width          12 u32 0
 *           16 u64 top            24 u64 rows          32 u64 retired = top - rows
 *           40 u64 sketch lines   48 u64 its hand      56 u64 comings
 *           64 u32 base_s         68 u32 now_s         72 u64 touches
 *           80 u64 hand of eviction   88 u64 hand of expiry
 *           96 u64 checksum of bytes 0..95 (XXH3-64)
 *   pieces   u32 row numbers of the retired, oldest first; then the words of the sketch; of each as
 *            many pieces as are needed:  0 u32 bytes  4 u32 0  8 u64 checksum  16 bytes
 *   block    0 u32 rows (n >= 1)  4 u32 0             8 u64 checksum of the rest of the block
 *           16 u64 keys[n]        16 + 8 n u32 marks[n], where there are any   then
 *              f32 floats[n][width]
 *
 * Blocks follow until all rows are there, in row order, without the retired ones; how rows and
 * pieces are cut means nothing. (table_internal.h says what top, marks and retired rows are.)
 *
 * Version 1 has the head  magic  version  0 u16  width  0 u32  u64 rows  u64 checksum  and blocks
 * without marks. Golden file: tests/golden/table_v2.bin. */
#ifndef LEARN_TABLE_FORMAT_H
#define LEARN_TABLE_FORMAT_H

#include "learn/table_internal.h"

#define TABLE_MAGIC 0x6C62746Cu
enum {
    TABLE_VERSION = 2,
    TABLE_HEAD_BYTES = 104,
    TABLE_HEAD_V1_BYTES = 32,
    TABLE_BLOCK_HEAD_BYTES = 16,
    TABLE_PIECE_BYTES = 64 << 10,
    TABLE_BLOCK_BYTES_MAX = 16 << 20,
    TABLE_FLAG_MARKS = 1,
};

struct table_head {
    bool marks;
    uint32_t width;
    uint64_t top, rows, retired;
    uint64_t sketch_lines, sketch_hand, comings;
    uint32_t base_s, now_s;
    uint64_t touches, clock_hand, expire_hand;
};

/* Bytes of a block behind its head. */
static inline size_t table_body_bytes(uint32_t width, bool marks, uint64_t rows) {
    return rows * (sizeof(uint64_t) + (marks ? sizeof(uint32_t) : 0) + width * sizeof(float));
}

/* A bit for each row number below `top` that is out of use; NULL: no memory. Released by
 * memory_free. */
uint64_t *table_retired_bits(const struct table *table);

#endif
