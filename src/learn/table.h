/* The embedding table: rows of floats by 64-bit key, none merged. One thread writes; any number of
 * threads read at the same time without locks.
 *
 *   index     buckets of 64 bytes in the order of the keys' hashes: 7 x {32 bits of the hash, row}
 *             and what passed the bucket; grows by a twelfth, in place and a few buckets an
 *             insert, and stays .85 full or more (table_index.h)
 *   records   [key | floats x width], row after row in one reserved range of addresses: never moved
 *   beside    the writer's own: [uses | seen] a row, and a bit a row for what changed
 *
 * Writers store and readers load floats as relaxed atomics: a reader may see a row half-way through
 * a step, never a torn float. A row is initialised before its index entry is published with
 * release. A row that is given up (expired, evicted, removed) is used again only when no reader
 * that might have found it is still inside (table_enter, table_leave).
 *
 * What is admitted, expired and evicted, and which row a key gets, is a function of the options and
 * of the writer's calls only, so a replay does the same. Memory is taken from the system as it is
 * first used; it is all reserved in table_create, so that nothing but that and a freeze can fail
 * for want of it. */
#ifndef LEARN_TABLE_H
#define LEARN_TABLE_H

#include "base/error.h"
#include "flow/feature_key.h"
#include "state/state.h"

struct table;
struct table_snapshot;

#define TABLE_NONE UINT32_MAX

/* Settings of one field (feature_key.h). */
struct table_field {
    uint32_t expire_s; /* a row not touched for so long goes; 0: never */
    uint32_t admit;    /* a key gets a row at its n-th coming; 0 and 1: at the first */
};

/* `bytes_max` is for records, index, sketch and what is beside. How many rows it holds depends on
 * these options only, so a restart refuses the same ids. What an open snapshot keeps aside comes on
 * top: at most as much as the pages of 64 KiB that change meanwhile. */
struct table_options {
    int width; /* floats a row, optimiser state included */
    int64_t bytes_max;
    bool evict; /* at the budget: the least useful rows make room (needs `timed`); else new keys are
                 * refused */
    bool timed; /* `seen` and `uses` are kept (4 bytes a row): needed for expiry and eviction */
    bool track; /* changed rows are remembered, for deltas (a bit a row) */
    bool narrow; /* takes the first floats of wider rows where it is restored: a replica's */
    const struct table_field *fields; /* KEY_FIELDS_MAX of them, copied; NULL: no rule */
};

leat_status table_create(const struct table_options *options, struct table **out, leat_error *err);
void table_destroy(struct table *table);

/* --- any thread --- */

/* Around look-ups and the use of the rows found; short (a request's scoring): a writer that has
 * used up the rows it keeps spare waits for who is inside. Nests; a thread leaves what it entered.
 * The writer's own look-ups need neither, and it must not add rows while it is inside. */
void table_enter(const struct table *table);
void table_leave(const struct table *table);

/* Row number, or TABLE_NONE. table_find_batch keeps many waits for memory on their way at once and
 * leaves the rows prefetched: rows[i] for keys[i]. */
uint32_t table_find(const struct table *table, uint64_t key);
void table_find_batch(const struct table *table, const uint64_t *keys, int count, uint32_t *rows);
/* Copies the first `count` floats of a row (relaxed loads). */
void table_read(const struct table *table, uint32_t row, float *out, int count);
/* out[0..count) += the first `count` floats of the rows found; returns how many were found. */
int table_sum_batch(const struct table *table, const uint64_t *keys, int count, float *out,
                    int floats);
/* Pointer to a row: the writer may read plainly and must store with table_store; other threads must
 * load relaxed, between enter and leave. */
const float *table_row(const struct table *table, uint32_t row);

uint64_t table_rows(const struct table *table);
uint64_t table_bytes(const struct table *table);
uint64_t table_refused(const struct table *table); /* for want of budget */

struct table_stats {
    uint64_t rows, bytes, refused;
    uint64_t waiting; /* comings of keys that were not admitted, so far */
    uint64_t expired, evicted;
    double load; /* of the index */
};
/* The writer, or nobody writing. */
void table_stats(const struct table *table, struct table_stats *out);

/* --- the writer --- */

/* What a key that has no row gets: fills all `width` floats. A function of the key only. */
typedef void (*table_fresh)(void *context, uint64_t key, float *row);

/* Finds or adds rows: rows[i] for keys[i], TABLE_NONE where a key is not admitted yet or refused
 * (counted). Keys that are there twice get one row. `now_s`: event time in seconds, for `seen`; 0:
 * as before. Whoever is found counts as used. With `evict` rows go before the first key is looked
 * at, so the rows of one call are good together, until the next one that adds, removes or expires.
 */
void table_at_batch(struct table *table, const uint64_t *keys, int count, uint32_t now_s,
                    table_fresh fresh, void *context, uint32_t *rows);
/* One of them. */
uint32_t table_at(struct table *table, uint64_t key, uint32_t now_s, table_fresh fresh,
                  void *context);
/* Replaces the first `count` floats of a row (relaxed stores; copies what is frozen aside first).
 */
void table_store(struct table *table, uint32_t row, const float *values, int count);
/* The same for who changes a row in place by relaxed stores: announces the change first. Holds
 * until the next freeze. */
float *table_change(struct table *table, uint32_t row);
/* A replica: the row of a key from outside, added or replaced without admission. */
uint32_t table_put(struct table *table, uint64_t key, const float *values);
bool table_remove(struct table *table, uint64_t key);

/* Gives up rows that have not been touched since their field's time; looks at a bounded number of
 * rows a call (a slice of the table), so that calling it every so many examples, by log position,
 * sweeps the whole. Returns how many went. */
int table_expire(struct table *table, uint32_t now_s, int rows_max);

/* Keys that went and rows that changed (added, stored) since they were last asked for, at most
 * `max`: how many; 0 when there are none. Only where `track`. What went comes first, with
 * TABLE_NONE in `rows`, and may have come again: then it is among the rows too. Rows go round in
 * order of number. LEAT_FULL (negative): more than 2^20 keys went since the last call, which are
 * not known any more; who follows needs the whole table. A restored table has no changes. */
int table_changed(struct table *table, uint64_t *keys, uint32_t *rows, int max);

/* --- freezing --- */

/* Writer: short; copy on write by page. One snapshot at a time: LEAT_AGAIN (positive) while one is
 * open. Written once, released by any thread before the table is destroyed. The snapshot is written
 * by another thread: rows in row order, keys beside them, checksummed blocks; and the sketch. */
leat_status table_freeze(struct table *table, struct table_snapshot **out, leat_error *err);
leat_status table_snapshot_write(struct table_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err);
void table_snapshot_release(struct table_snapshot *snapshot);
/* Into an empty table that nobody else uses; LEAT_CORRUPT, LEAT_CONFLICT (another width) or
 * LEAT_FULL (more rows than the budget holds) leave it empty. Reads what every older version wrote.
 */
leat_status table_restore(struct table *table, state_source source, void *context, leat_error *err);
/* Over keys and XXH3-64 of their rows, sorted by key: equal for equal content. The writer, or
 * nobody writing. */
leat_status table_digest(struct table *table, uint64_t *out, leat_error *err);

#endif
