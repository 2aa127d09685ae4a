/* A checkpoint as one stream of bytes, to be put down in another folder: every file that its
 * manifest names, older ones included, and the manifest last.
 *
 *   stream   | file | file | ... | manifest |
 *   file      0 u32 magic "lshp"   4 u16 version (1)   6 u16 bytes of the name   8 u64 sequence
 *            16 u64 bytes of the content   24 u64 checksum of bytes 0..23 and the name (XXH3-64)
 *            32 name, then content
 *
 * The sequence is the folder that the file stands in. What it holds is checked by whoever restores
 * from it: manifest -> directory -> image have checksums of their own. */
#ifndef STATE_CHECKPOINT_SHIP_H
#define STATE_CHECKPOINT_SHIP_H

#include "state/checkpoint.h"

struct checkpoint_send;

/* The newest one of a folder, all of its files opened: they may be removed meanwhile.
 * LEAT_NOT_FOUND (positive): there is none. One thread. */
leat_status checkpoint_send_open(struct disk *disk, const char *folder,
                                 struct checkpoint_send **out, leat_error *err);
uint64_t checkpoint_send_sequence(const struct checkpoint_send *send);
uint64_t checkpoint_send_bytes(const struct checkpoint_send *send); /* of the whole stream */
/* The next bytes, at most `count`; `*got` is 0 at the end. */
leat_status checkpoint_send_read(struct checkpoint_send *send, void *data, size_t count,
                                 size_t *got, leat_error *err);
void checkpoint_send_close(struct checkpoint_send *send); /* NULL is fine */

struct checkpoint_receive;

/* `folder` is made, its own name is the caller's to sync; what stands in it already may be written
 * over. Borrows the disk. */
leat_status checkpoint_receive_open(struct disk *disk, const char *folder,
                                    struct checkpoint_receive **out, leat_error *err);
/* The next bytes of the stream, of any count; has the type of state_sink with the receiver as
 * context. LEAT_CORRUPT: not such a stream; it is not to be gone on with. */
leat_status checkpoint_receive_push(void *receive, const void *data, size_t count, leat_error *err);
/* All was pushed: the checkpoint is there, whole and synced. LEAT_CORRUPT: the stream ended early,
 * or its manifest names what it did not bring. */
leat_status checkpoint_receive_end(struct checkpoint_receive *receive, uint64_t *sequence,
                                   leat_error *err);
void checkpoint_receive_close(struct checkpoint_receive *receive); /* NULL is fine */

#endif
