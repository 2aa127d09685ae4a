/* Keyed state: where every operator keeps what it knows, by key, in key groups.
 *
 *   state ── group 0: latch, index (open addressing) ──┐
 *         ── group 1: ...                              ──┴─> pages of records by size class
 *         ── due times of all groups (one heap)
 *
 * A key lives in the group of its hash (hash.h). A record is a kind, the key's text, a part number
 * and up to STATE_RECORD_MAX bytes that belong to the operator; records must be canonical bytes (no
 * pointers, no padding left unset), because they are written, compared and digested as they are.
 *
 * Threads: one thread writes. It enters the group of a key, works on at most 64 records, and
 * leaves; any thread may enter a group to read. Pointers are valid while inside. Nobody blocks
 * inside.
 *
 * Freeze is short: it marks the groups and returns. A frozen group is serialised by whoever comes
 * first: the thread that writes the snapshot, or the writer just before it first changes the group.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "base/bytes.h"
#include "base/error.h"

struct state;
struct state_snapshot;

enum { STATE_RECORD_MAX = 64 << 10, STATE_ID_MAX = 255 };

/* Accounting shared by all states of an engine; relaxed atomics. */
struct state_budget {
    int64_t bytes_max;
    _Atomic int64_t bytes_used;
    _Atomic uint64_t refused;    /* records refused beyond the budget or for want of memory */
    _Atomic uint64_t collisions; /* records refused because their hash belongs to another id */
};

struct state_options {
    const char *name; /* of the operator; part of the files */
    uint32_t groups;
    struct state_budget *budget; /* borrowed; may be NULL: no bound */
};

/* `hash` is hash_slice(id) and places the key; the index is by (hash, kind, part) and compares id.
 * Who knows only the hash leaves the id absent ({NULL, 0}): any id then matches, but nothing is
 * made. */
struct state_key {
    uint64_t hash;
    struct slice id; /* 0..STATE_ID_MAX bytes; empty is not absent */
    uint32_t kind;   /* the operator's own numbering, below 256 */
    uint64_t part;   /* distinguishes records of one key and kind */
};

leat_status state_open(const struct state_options *options, struct state **out, leat_error *err);
void state_close(struct state *state);

/* Every call below that takes a key needs its group entered by the calling thread. */
void state_enter(struct state *state, uint64_t hash);
void state_leave(struct state *state, uint64_t hash);

/* NULL: not there, or (with *collision set, when given) the hash belongs to another id. */
const void *state_get(const struct state *state, const struct state_key *key, uint32_t *size,
                      bool *collision);
/* The same, and the key's text (borrowed like the record). */
const void *state_get_id(const struct state *state, const struct state_key *key, uint32_t *size,
                         struct slice *id);
/* Writer: the record to change in place; NULL as state_get. */
void *state_edit(struct state *state, const struct state_key *key, uint32_t *size);
/* Writer: finds or creates the record and gives it `size` bytes: old content kept up to the smaller
 * size, new bytes zero. A change of size may move the record: pointers to it from before are
 * invalid. LEAT_FULL beyond the budget, LEAT_CONFLICT on a hash collision, LEAT_INVALID beyond
 * STATE_RECORD_MAX; then nothing changed. */
leat_status state_put(struct state *state, const struct state_key *key, uint32_t size, void **out,
                      leat_error *err);
bool state_remove(struct state *state, const struct state_key *key);
/* Writer: removes every record of an id, whatever its kind and part; returns how many. Reads the
 * index of the whole group, so it is for forgetting; it needs no memory and cannot fail. */
uint32_t state_remove_all(struct state *state, uint64_t hash, struct slice id);

/* One due time a record, in ms of whatever time the operator pushes; 0: none. Writer.
 * LEAT_NOT_FOUND without the record. Setting one may need memory: LEAT_FULL beyond the budget,
 * LEAT_MEMORY; then nothing changed. Clearing or moving later never fails. */
leat_status state_set_due(struct state *state, const struct state_key *key, int64_t due_ms);
/* Writer, outside any group: the next record due at or before `now_ms` in order of (time, kind,
 * hash, part), over all groups; its due time is cleared. The id is copied to `id`. False: none. */
bool state_next_due(struct state *state, int64_t now_ms, struct state_key *out,
                    char id[STATE_ID_MAX + 1], int64_t *due_ms);

uint64_t state_count(const struct state *state); /* records; relaxed */
uint64_t state_bytes(const struct state *state); /* pages, indexes and all; relaxed */
uint32_t state_groups(const struct state *state);

/* One record as it stands in a visit, a dump or a file. */
struct state_record {
    struct state_key key;
    const void *data;
    uint32_t size;
    int64_t due_ms;
};
typedef leat_status (*state_visitor)(void *context, const struct state_record *record);
/* All records of one group in canonical order (kind, id, part); enters the group for the whole
 * visit, so: for tools, tests and restart, not for requests. */
leat_status state_visit(struct state *state, uint32_t group, state_visitor visit, void *context,
                        leat_error *err);

/* --- snapshots --- */

typedef leat_status (*state_sink)(void *context, const void *data, size_t count, leat_error *err);
typedef leat_status (*state_source)(void *context, void *data, size_t count, leat_error *err);

/* Writer, outside any group. One snapshot at a time (LEAT_AGAIN while one is open). */
leat_status state_freeze(struct state *state, struct state_snapshot **out, leat_error *err);
/* Any one thread: the block of a group as it was at the freeze. Blocks may be written once each, in
 * any order. Layout: state_file.h of this room draws it (version, checksum, sorted records). */
leat_status state_snapshot_write(struct state_snapshot *snapshot, uint32_t group, state_sink sink,
                                 void *context, leat_error *err);
void state_snapshot_release(struct state_snapshot *snapshot);

/* Reads one block written by state_snapshot_write into an empty group; LEAT_CORRUPT names what is
 * wrong; nothing of a bad block stays. */
leat_status state_restore(struct state *state, uint32_t group, state_source source, void *context,
                          leat_error *err);

/* XXH3-64 over the canonical blocks of all groups in order: equal for equal content, whatever the
 * history of pages, resizes and restarts. Writer, or nobody writing. */
leat_status state_digest(struct state *state, uint64_t *out, leat_error *err);

#endif
