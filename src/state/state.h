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
 * Threads: writers are each alone in their key groups (one thread, or several over ranges of
 * groups). A writer enters the group of a key, works on at most 64 records, and leaves; any thread
 * may enter a group to read. Pointers are valid while inside. Nobody blocks
 * inside.
 *
 * Freeze is short: it counts a version up and returns. Of a page of an older version the writer
 * copies aside what it is about to change, in units of 4 KiB, unless the snapshot was given the
 * page before. */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "base/bytes.h"
#include "base/error.h"

struct disk;
struct state;
struct state_snapshot;

enum { STATE_RECORD_MAX = 64 << 10, STATE_ID_MAX = 255, STATE_AHEAD_MAX = 64 };

/* Accounting shared by all states of an engine; relaxed atomics. */
struct state_budget {
    int64_t bytes_max;
    _Atomic int64_t bytes_used;
    _Atomic uint64_t refused;    /* records refused beyond the budget or for want of memory */
    _Atomic uint64_t collisions; /* records refused because their hash belongs to another id */

    /* Copies of what changes on pages while a snapshot of them is written: beyond the bound a
     * writer waits for the snapshot, as long as that of its state is being written. */
    int64_t copies_max; /* 0: no bound */
    _Atomic int64_t copies_used;
    _Atomic int64_t copies_most; /* the highest so far */

    /* Larger than memory: beyond bytes_max cold records go to <folder>/<name of the state>.spill
     * (made empty, removed at state_close), and come back when they are asked for. */
    struct disk *spill_disk; /* NULL: none; all three are borrowed, and set before state_open */
    const char *spill_folder;
    int64_t spill_bytes_max; /* of each state; when they are used up, the budget refuses again */
};

/* Which time a due time is of: append time as it is pushed, or event time (a watermark). */
enum state_clock { STATE_APPEND_TIME, STATE_EVENT_TIME, STATE_CLOCKS };

/* What holds for all records of a kind. With `expire_ms` a record that was not put or edited for
 * that long (never earlier; up to 1/16 of it later) is removed by state_next_due itself. */
struct state_kind {
    enum state_clock clock; /* of due times and expiry */
    int64_t expire_ms;      /* 0: lives until it is removed; then state_set_due is the operator's */
};

struct state_options {
    const char *name; /* of the operator; part of the files */
    uint32_t groups;
    struct state_budget *budget;    /* borrowed; may be NULL: no bound */
    const struct state_kind *kinds; /* by kind, copied; kinds beyond are {STATE_APPEND_TIME, 0} */
    uint32_t kind_count;
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
/* Writer of the groups, outside any: tells the time from which expiry of a put or edit counts. Time
 * that goes back is passed over. */
void state_now(struct state *state, enum state_clock clock, int64_t now_ms);
/* The same for key groups [first, end): each of several writers tells its own groups the time of
 * its own row, so that what expires does not hang on how far the others are. */
void state_now_in(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                  int64_t now_ms);
/* A record whose time has come: open to change, as by state_edit. */
struct state_due_record {
    struct state_key key;
    char id[STATE_ID_MAX + 1]; /* key.id is its text, and ends with a NUL */
    int64_t due_ms;
    void *data;
    uint32_t size;
};
/* The same as state_next_due_in, and stays inside the record's group, which the caller leaves. */
bool state_enter_due(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                     int64_t now_ms, struct state_due_record *out);
/* Writer, outside any group: the same as state_next_due for one clock and key groups [first, end);
 * state_next_due is all groups by append time. */
bool state_next_due_in(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                       int64_t now_ms, struct state_key *out, char id[STATE_ID_MAX + 1],
                       int64_t *due_ms);
/* Writer, outside any group: the next record due at or before `now_ms` in order of (time, kind,
 * hash, part), over all groups; its due time is cleared. The id is copied to `id`. False: none. */
bool state_next_due(struct state *state, int64_t now_ms, struct state_key *out,
                    char id[STATE_ID_MAX + 1], int64_t *due_ms);

/* A hint, outside any group: the records of these keys are wanted next, so that their index lines
 * and bytes come into the cache together. At most 64 keys a call pay. The groups' writer, or any
 * thread while nobody writes. */
void state_prefetch(const struct state *state, const struct state_key *keys, int count);

/* The same for the records that state_next_due_in will give next; the groups' writer. Answers how
 * many they are, STATE_AHEAD_MAX at most: so many later it is worth another call. */
int state_prefetch_due(struct state *state, enum state_clock clock, uint32_t first, uint32_t end,
                       int64_t now_ms);

/* Writer of all groups of these states, which share one budget, outside any group, now and then
 * (once a batch): where they spill, brings memory back within the budget, which puts and look-ups
 * may overdraw in between; the largest state gives first. A failure of a file leaves the records in
 * memory. */
leat_status state_trim(struct state *const *states, int count, leat_error *err);
/* The same thread, with no snapshot open: what the file still holds of records that came back or
 * are gone is overwritten, so that it can be found nowhere. Reads and writes what is not whole. */
leat_status state_scrub(struct state *state, leat_error *err);
/* Records brought back and bytes written since the opening. Any thread. */
void state_spill_counts(const struct state *state, uint64_t *fetched, uint64_t *bytes_written);

/* A put was refused because memory could not be had, not because of the budget: what is kept does
 * not follow from the log alone any more; or the spill file could not be read. To be closed, and
 * made again from checkpoint and log. */
bool state_failed(const struct state *state);
/* The same in words: LEAT_OK, LEAT_MEMORY, or LEAT_IO where it was the file. Any thread; who read
 * records without being told of an error asks afterwards. */
leat_status state_failure(const struct state *state, leat_error *err);

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
/* Any one thread: the block of a group as it was at the freeze. Each group is given out once, as a
 * block or as pages, in any order. Layout: state_file.h of this room draws it (version, checksum,
 * sorted records). Needs memory for the group's pages and the block. */
leat_status state_snapshot_write(struct state_snapshot *snapshot, uint32_t group, state_sink sink,
                                 void *context, leat_error *err);
void state_snapshot_release(struct state_snapshot *snapshot);

/* --- pages: the same snapshot as it lies in memory, for checkpoints that write what changed ---
 *
 * A page belongs to one key group and has a number that is its own while it lives. A version is the
 * number of a freeze; a page is of the version at which it was last found changed. */
struct state_page_image {
    uint32_t group, number;
    uint64_t version;
    const void *data; /* NULL: unchanged since the version that was asked for */
    uint32_t bytes;
};
typedef leat_status (*state_page_sink)(void *context, const struct state_page_image *page,
                                       leat_error *err);

uint64_t state_snapshot_version(const struct state_snapshot *snapshot);
/* Right after the freeze, by the writer: pages of this version and before will not be asked for
 * with data, so that nobody need copy them. May be left out. */
void state_snapshot_since(struct state_snapshot *snapshot, uint64_t since);
/* Any one thread: every page of a group as it was at the freeze, in order of number; those of
 * `since` or older come without data (0: all with data), but never less than state_snapshot_since
 * said. */
leat_status state_snapshot_pages(struct state_snapshot *snapshot, uint32_t group, uint64_t since,
                                 state_page_sink sink, void *context, leat_error *err);

/* Copies a page into an empty state, and the records on it into the index; LEAT_CORRUPT names what
 * is wrong. After the last one state_restore_end says of which version the state is, so that the
 * next snapshot knows what changed since; a failure leaves a state that is to be closed. */
leat_status state_restore_page(struct state *state, const struct state_page_image *page,
                               leat_error *err);
leat_status state_restore_end(struct state *state, uint64_t version, leat_error *err);

/* Reads one block written by state_snapshot_write into an empty group; LEAT_CORRUPT names what is
 * wrong; nothing of a bad block stays. */
leat_status state_restore(struct state *state, uint32_t group, state_source source, void *context,
                          leat_error *err);

/* XXH3-64 over the canonical blocks of all groups in order: equal for equal content, whatever the
 * history of pages, resizes and restarts. Writer, or nobody writing. */
leat_status state_digest(struct state *state, uint64_t *out, leat_error *err);

#endif
