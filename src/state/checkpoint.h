/* Checkpoints: a folder per position, a file per operator, table and model, the manifest last.
 *
 *   <folder>/<20 digits of the sequence>/MANIFEST        written last: write, sync, rename, sync
 *   <folder>/<20 digits of the sequence>/<part>          a stream of bytes (the model), or
 *                                                        pages of a state (checkpoint_pages.h)
 *
 * A part of pages holds the pages that changed since the checkpoint before it, and names the files
 * of older ones for the rest; those files stay as long as a kept manifest names them. What a file
 * still has alive is written anew, a little in each checkpoint, when that is little of it, so that
 * all files together stay at about twice the state. A folder without a valid manifest is not a
 * checkpoint; what no manifest names is removed after the next one is written.
 *
 * One process writes; any number may read meanwhile, and may find that a checkpoint has gone. */
#ifndef STATE_CHECKPOINT_H
#define STATE_CHECKPOINT_H

#include "base/file.h"
#include "state/state.h"

enum { CHECKPOINT_PARTS_MAX = 64, CHECKPOINT_NAME_MAX = 64 };

struct checkpoint_identity {
    uint32_t log_id;
    uint64_t sequence; /* everything before it is inside */
    uint32_t key_groups;
    int64_t now_ms; /* append time at the position */
};

/* --- what the newest checkpoint holds, for the next one --- */

/* The pages of the last checkpoint that this process wrote or restored from. One thread. */
struct checkpoint_chain;
leat_status checkpoint_chain_create(struct checkpoint_chain **out, leat_error *err);
void checkpoint_chain_destroy(struct checkpoint_chain *chain); /* NULL is fine */
void checkpoint_chain_clear(struct checkpoint_chain *chain);   /* the next one is whole */
/* The version of a part's pages in the chain; 0: none. */
uint64_t checkpoint_chain_version(const struct checkpoint_chain *chain, const char *name);
/* After every state was restored whole from these pages: the next one may refer to them. A
 * checkpoint without pages (version 1) clears the chain. On a failure it is clear. */
struct checkpoint;
leat_status checkpoint_chain_adopt(struct checkpoint_chain *chain, struct checkpoint *checkpoint,
                                   leat_error *err);

/* --- writing --- */

struct checkpoint_writer;

struct checkpoint_options {
    struct checkpoint_chain *chain; /* borrowed until commit; NULL: nothing older is referred to */
    bool whole;                     /* refers to no older file all the same */
    uint64_t write_rate;            /* bytes a second at most; 0: no bound */
    const _Atomic bool *hurry;      /* when true, the rate is no bound; NULL: never */
};

/* Begins a checkpoint; one at a time. One of the same position is replaced when this one commits,
 * and stays whole until then. `options` may be NULL. */
leat_status checkpoint_begin(struct disk *disk, const char *folder,
                             const struct checkpoint_identity *identity,
                             const struct checkpoint_options *options,
                             struct checkpoint_writer **out, leat_error *err);
/* Begins the next part; the one before it is finished. Names: [a-z0-9_.-]. */
leat_status checkpoint_part(struct checkpoint_writer *writer, const char *name, leat_error *err);
/* Appends to the current part; has the type of state_sink with the writer as context. */
leat_status checkpoint_write(void *writer, const void *data, size_t count, leat_error *err);
/* Begins a part of pages of a snapshot of that version. `*since`: pages of this version or older
 * may come without data; 0: none. */
leat_status checkpoint_pages(struct checkpoint_writer *writer, const char *name, uint64_t version,
                             uint64_t *since, leat_error *err);
/* The next page, in rising order of (group, number); has the type of state_page_sink with the
 * writer as context. */
leat_status checkpoint_page(void *writer, const struct state_page_image *page, leat_error *err);
/* A part of all pages of a snapshot: checkpoint_pages and every group. */
leat_status checkpoint_state(struct checkpoint_writer *writer, const char *name,
                             struct state_snapshot *snapshot, uint32_t groups, leat_error *err);
void checkpoint_note(struct checkpoint_writer *writer, const char *key, const char *value);
/* Bytes of images so far: written because they changed, because their old file is to go, and not
 * written because an older file has them. */
struct checkpoint_progress {
    uint64_t changed_bytes, moved_bytes, referred_bytes;
    uint64_t written_bytes; /* of all files, heads and directories included */
};
struct checkpoint_progress checkpoint_progress_of(const struct checkpoint_writer *writer);
/* Syncs the parts, writes the manifest, syncs the folders. Ends the writer in every case. The chain
 * moves on if all is well; else it stays, and so do all older checkpoints. A failure that shows an
 * older file to be damaged (LEAT_CORRUPT) clears the chain: the next one is whole. */
leat_status checkpoint_commit(struct checkpoint_writer *writer, leat_error *err);
void checkpoint_abandon(struct checkpoint_writer *writer); /* NULL is fine */

/* --- reading --- */

/* The newest folder with a valid manifest whose files are there and have the right sizes;
 * LEAT_NOT_FOUND (positive) if there is none. Checksums are verified while parts are read.
 * `skipped` (may be NULL) counts folders that were passed over. */
leat_status checkpoint_newest(struct disk *disk, const char *folder, struct checkpoint **out,
                              int *skipped, leat_error *err);
/* The same among those before a sequence; UINT64_MAX: among all. */
leat_status checkpoint_newest_before(struct disk *disk, const char *folder, uint64_t sequence,
                                     struct checkpoint **out, int *skipped, leat_error *err);
leat_status checkpoint_open(struct disk *disk, const char *folder, uint64_t sequence,
                            struct checkpoint **out, leat_error *err);
void checkpoint_close(struct checkpoint *checkpoint);
const struct checkpoint_identity *checkpoint_about(const struct checkpoint *checkpoint);
const char *checkpoint_get_note(const struct checkpoint *checkpoint, const char *key); /* or NULL */

/* Begins to read a part; LEAT_NOT_FOUND if it is not there or is of pages. */
leat_status checkpoint_read_part(struct checkpoint *checkpoint, const char *name, leat_error *err);
/* Has the type of state_source with the checkpoint as context: exactly `count` bytes, or
 * LEAT_CORRUPT. At the end of a part its checksum is compared. */
leat_status checkpoint_read(void *checkpoint, void *data, size_t count, leat_error *err);
/* The part must be at its end; compares the checksum. */
leat_status checkpoint_read_end(struct checkpoint *checkpoint, leat_error *err);
/* Every page of the groups [first, end), each with data and checked, in order of (group, number);
 * LEAT_NOT_FOUND if there is no such part of pages. LEAT_CORRUPT names file and offset. */
leat_status checkpoint_read_pages(struct checkpoint *checkpoint, const char *name, uint32_t first,
                                  uint32_t end, state_page_sink sink, void *context,
                                  leat_error *err);
/* Restores the groups [first, end) of an empty state from its part, be it of pages or of blocks (as
 * version 1 wrote them). LEAT_NOT_FOUND: no such part. */
leat_status checkpoint_restore_state(struct checkpoint *checkpoint, const char *name,
                                     uint32_t first, uint32_t end, struct state *state,
                                     leat_error *err);

/* What a checkpoint consists of, for tools. */
struct checkpoint_part_about {
    const char *name;
    bool pages;
    uint64_t version;        /* of the state */
    uint64_t bytes;          /* of its own file */
    uint64_t hash;           /* as the manifest says */
    int referred_files;      /* older files it needs */
    uint64_t referred_bytes; /* their sizes */
};
int checkpoint_part_count(const struct checkpoint *checkpoint);
struct checkpoint_part_about checkpoint_part_at(const struct checkpoint *checkpoint, int index);
/* Pages of a part and the bytes of their images; reads the directory. */
leat_status checkpoint_count_pages(struct checkpoint *checkpoint, const char *name, uint64_t *pages,
                                   uint64_t *bytes, leat_error *err);

/* --- the folder of checkpoints --- */

/* Appends the sequences (u64) of all folders named like checkpoints, rising; valid or not. */
leat_status checkpoint_sequences(struct disk *disk, const char *folder, struct bytes *out,
                                 leat_error *err);
/* Removes all but the newest `keep` checkpoints, and every file that none of those needs. */
leat_status checkpoint_clean(struct disk *disk, const char *folder, int keep, leat_error *err);
/* Removes all checkpoints before a sequence, and every file that no later one needs. LEAT_INVALID
 * if there is no checkpoint at it or after it. A later one may need older files, with whatever they
 * hold: for an erasure it is written `whole`. */
leat_status checkpoint_drop_before(struct disk *disk, const char *folder, uint64_t sequence,
                                   leat_error *err);

#endif
