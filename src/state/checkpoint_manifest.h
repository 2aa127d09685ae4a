/* The manifest of a checkpoint, as a value and as text. Internal to this room.
 *
 *   leat checkpoint 2
 *   log 7
 *   sequence 123456
 *   generation 0                     of this checkpoint's own files; see checkpoint_file_name
 *   key_groups 128
 *   now_ms 1700000000000
 *   pages join 1234567 0123456789abcdef 42    name, bytes, XXH3-64 of its directory, version of the
 *                                             state; in the order of writing
 *   uses 00000000000000120000 0 7654321       sequence, generation and bytes of an older file of
 *                                             the part above: file 1, 2, ... of its directory
 *   part model 333 0123456789abcdef           name, bytes, XXH3-64 of all
 *   note kernel avx2                          key, the rest of the line
 *   xxh3 0123456789abcdef                     of every byte before this line
 *
 * Version 1 has neither `generation` nor `pages`; a part of a state there is the blocks of its key
 * groups. One text a value: what would be written otherwise is refused. Golden files:
 * tests/golden/manifest_v1.txt, manifest_v2.txt. */
#ifndef STATE_CHECKPOINT_MANIFEST_H
#define STATE_CHECKPOINT_MANIFEST_H

#include "state/checkpoint_pages.h"

enum {
    MANIFEST_VERSION = 2,
    MANIFEST_BYTES_MAX = 256 << 10,
    MANIFEST_NOTES_MAX = 64,
    MANIFEST_VALUE_MAX = 256,  /* bytes of a note's value, with its NUL */
    MANIFEST_FILES_MAX = 2048, /* older files of all parts together */
    CHECKPOINT_DIGITS = 20,
    CHECKPOINT_FILE_MAX = CHECKPOINT_NAME_MAX + 16, /* bytes of a file's name, with its NUL */
};

#define MANIFEST_NAME "MANIFEST"

struct manifest_part {
    char name[CHECKPOINT_NAME_MAX + 1];
    bool pages;
    uint64_t bytes;
    uint64_t hash;    /* pages: of the directory */
    uint64_t version; /* pages: of the state */
    int file_first;   /* pages: older files, in manifest.files */
    int file_count;
};

struct manifest_note {
    char key[CHECKPOINT_NAME_MAX + 1];
    char value[MANIFEST_VALUE_MAX];
};

struct manifest {
    int version;
    struct checkpoint_identity identity;
    uint32_t generation;
    int part_count;
    int note_count;
    int file_count;
    struct manifest_part parts[CHECKPOINT_PARTS_MAX];
    struct manifest_note notes[MANIFEST_NOTES_MAX];
    struct pages_file files[MANIFEST_FILES_MAX];
};

/* Names of parts and keys of notes: 1 to CHECKPOINT_NAME_MAX of [a-z0-9_.-], not beginning with a
 * dot. Values of notes: printable ASCII, so that the text stays lines. */
bool manifest_name_valid(struct slice name);
bool manifest_value_valid(struct slice value);

const struct manifest_part *manifest_part_find(const struct manifest *manifest, const char *name);

void manifest_encode(const struct manifest *manifest, struct bytes *out);
/* LEAT_CORRUPT names the line. */
leat_status manifest_decode(struct slice text, struct manifest *out, leat_error *err);

/* --- folders and files --- */

/* "<folder>/<20 digits>" */
leat_status checkpoint_path(char out[PATH_BYTES_MAX], const char *folder, uint64_t sequence,
                            leat_error *err);
/* The part's name; for a position's second checkpoint and later ones "<name>.g<generation>", so
 * that none writes over files that an older manifest, or another checkpoint, refers to. */
void checkpoint_file_name(char out[CHECKPOINT_FILE_MAX], const char *part, uint32_t generation);
/* The generation in a file's name, 0 where there is none. */
uint32_t checkpoint_file_generation(const char *name);
leat_status checkpoint_file_path(char out[PATH_BYTES_MAX], const char *folder, const char *part,
                                 const struct pages_file *file, leat_error *err);

#endif
