/* The manifest of a checkpoint, as a value and as text. Internal to this room.
 *
 *   leat checkpoint 1
 *   log 7
 *   sequence 123456
 *   key_groups 128
 *   now_ms 1700000000000
 *   part join.state 1234567 0123456789abcdef     name, bytes, XXH3-64; in the order of writing
 *   note kernel avx2                             key, the rest of the line
 *   xxh3 0123456789abcdef                        of every byte before this line
 *
 * One text a value: what would be written otherwise is refused. Golden file:
 * tests/golden/manifest_v1.txt. */
#ifndef STATE_CHECKPOINT_MANIFEST_H
#define STATE_CHECKPOINT_MANIFEST_H

#include "state/checkpoint.h"

enum {
    MANIFEST_BYTES_MAX = 64 << 10,
    MANIFEST_NOTES_MAX = 64,
    MANIFEST_VALUE_MAX = 256, /* bytes of a note's value, with its NUL */
    CHECKPOINT_DIGITS = 20,
};

#define MANIFEST_NAME "MANIFEST"

struct manifest_part {
    char name[CHECKPOINT_NAME_MAX + 1];
    uint64_t bytes;
    uint64_t hash;
};

struct manifest_note {
    char key[CHECKPOINT_NAME_MAX + 1];
    char value[MANIFEST_VALUE_MAX];
};

struct manifest {
    struct checkpoint_identity identity;
    int part_count;
    int note_count;
    struct manifest_part parts[CHECKPOINT_PARTS_MAX];
    struct manifest_note notes[MANIFEST_NOTES_MAX];
};

/* Names of parts and keys of notes: 1 to CHECKPOINT_NAME_MAX of [a-z0-9_.-], not beginning with a
 * dot. Values of notes: printable ASCII, so that the text stays lines. */
bool manifest_name_valid(struct slice name);
bool manifest_value_valid(struct slice value);

const struct manifest_part *manifest_part_find(const struct manifest *manifest, const char *name);

void manifest_encode(const struct manifest *manifest, struct bytes *out);
/* LEAT_CORRUPT names the line. */
leat_status manifest_decode(struct slice text, struct manifest *out, leat_error *err);

/* "<folder>/<20 digits>" */
leat_status checkpoint_path(char out[PATH_BYTES_MAX], const char *folder, uint64_t sequence,
                            leat_error *err);
/* Removes a checkpoint so that at no moment, whatever a power cut keeps, a manifest stands beside
 * parts that are not its own. Fine if it is not there. */
leat_status checkpoint_remove(struct disk *disk, const char *path, leat_error *err);

#endif
