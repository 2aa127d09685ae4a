/* Checkpoints: a folder per position, a file per operator, table and model, the manifest last.
 *
 *   <folder>/<20 digits of the sequence>/MANIFEST        written last: write, sync, rename, sync
 *   <folder>/<20 digits of the sequence>/<part>          blocks, each with version and checksum
 *
 * A folder without a valid manifest is not a checkpoint: it is removed after the next one is
 * written. The manifest is text: version, position, log id, key groups, a line
 * `part <name> <bytes> <xxh3>` each, free `note <key> <value>` lines (kernel name, shape of the
 * configuration ...), and its own checksum. */
#ifndef STATE_CHECKPOINT_H
#define STATE_CHECKPOINT_H

#include "base/file.h"

enum { CHECKPOINT_PARTS_MAX = 64, CHECKPOINT_NAME_MAX = 64 };

struct checkpoint_identity {
    uint32_t log_id;
    uint64_t sequence; /* everything before it is inside */
    uint32_t key_groups;
    int64_t now_ms; /* append time at the position */
};

struct checkpoint_writer;

/* Begins a checkpoint; one at a time. A leftover folder of the same position is replaced. */
leat_status checkpoint_begin(struct disk *disk, const char *folder,
                             const struct checkpoint_identity *identity,
                             struct checkpoint_writer **out, leat_error *err);
/* Begins the next part; the one before it is finished. Names: [a-z0-9_.-]. */
leat_status checkpoint_part(struct checkpoint_writer *writer, const char *name, leat_error *err);
/* Appends to the current part; has the type of state_sink with the writer as context. */
leat_status checkpoint_write(void *writer, const void *data, size_t count, leat_error *err);
void checkpoint_note(struct checkpoint_writer *writer, const char *key, const char *value);
/* Syncs the parts, writes the manifest, syncs the folders. Ends the writer in every case. */
leat_status checkpoint_commit(struct checkpoint_writer *writer, leat_error *err);
void checkpoint_abandon(struct checkpoint_writer *writer); /* NULL is fine */

struct checkpoint;

/* The newest folder with a valid manifest whose parts have the right sizes; LEAT_NOT_FOUND
 * (positive) if there is none. Parts' checksums are verified while they are read. `skipped` (may be
 * NULL) counts folders that were passed over. */
leat_status checkpoint_newest(struct disk *disk, const char *folder, struct checkpoint **out,
                              int *skipped, leat_error *err);
leat_status checkpoint_open(struct disk *disk, const char *folder, uint64_t sequence,
                            struct checkpoint **out, leat_error *err);
void checkpoint_close(struct checkpoint *checkpoint);
const struct checkpoint_identity *checkpoint_about(const struct checkpoint *checkpoint);
const char *checkpoint_get_note(const struct checkpoint *checkpoint, const char *key); /* or NULL */

/* Begins to read a part; LEAT_NOT_FOUND if it is not there. */
leat_status checkpoint_read_part(struct checkpoint *checkpoint, const char *name, leat_error *err);
/* Has the type of state_source with the checkpoint as context: exactly `count` bytes, or
 * LEAT_CORRUPT. At the end of a part its checksum is compared. */
leat_status checkpoint_read(void *checkpoint, void *data, size_t count, leat_error *err);
/* The part must be at its end; compares the checksum. */
leat_status checkpoint_read_end(struct checkpoint *checkpoint, leat_error *err);

/* Removes all but the newest `keep` checkpoints, and folders without a manifest. */
leat_status checkpoint_clean(struct disk *disk, const char *folder, int keep, leat_error *err);

#endif
