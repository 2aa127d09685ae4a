/* A block: one key group of one state as bytes, equal for equal content. The unit of snapshots,
 * savepoints and digests. Internal to this room. All numbers little-endian, nothing padded.
 *
 *    0  "LSTB"
 *    4  u16 version = 1     6  u16 bytes of the name (1..64)
 *    8  u32 group          12  u32 groups
 *   16  u64 records        24  u64 bytes of all records
 *   32  name
 *       records, strictly ascending by (kind, id bytes, part), each:
 *          u8 kind | u8 bytes of the id | u32 bytes of the data | i64 due, ms, 0: none | u64 part
 *          id | data
 *       u64 XXH3-64 of everything before it
 *
 * Golden file: tests/golden/state_v1.block. */
#ifndef STATE_STATE_FILE_H
#define STATE_STATE_FILE_H

#include "state/state_group.h"

enum {
    BLOCK_VERSION = 1,
    BLOCK_HEAD_BYTES = 32,
    BLOCK_RECORD_HEAD_BYTES = 22,
    BLOCK_CHECKSUM_BYTES = 8,
};

/* Appends the block of sorted items to `out`. LEAT_MEMORY. */
leat_status state_block_items(const struct state *state, uint32_t group,
                              const struct state_group_item *items, uint32_t count,
                              struct bytes *out, leat_error *err);
/* The same for a group as it stands. Nobody changes it meanwhile. */
leat_status state_block_encode(const struct state *state, uint32_t group, struct bytes *out,
                               leat_error *err);

/* Reads one block of this state and group into `out` and checks all of it, so that every record of
 * state_block_next is in range, in order and of this group. LEAT_CORRUPT names what is wrong. */
leat_status state_block_read(const struct state *state, uint32_t group, state_source source,
                             void *context, struct bytes *out, leat_error *err);

/* The records of a block that state_block_read accepted; borrowed from its bytes. */
struct bytes_reader state_block_records(const struct bytes *block);
bool state_block_next(struct bytes_reader *reader, struct state_record *out); /* false: the end */

#endif
