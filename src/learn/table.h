/* The embedding table: rows of floats by 64-bit key, none merged. One thread writes; any number of
 * threads read at the same time without locks.
 *
 *   index: open addressing of {key, row number}, load <= .75; grown by publishing a new array with
 *          release; old arrays are kept until the table closes (together smaller than the newest)
 *   slabs: 2^k rows each, never moved; row = [`width` floats], slab pointers published with release
 *
 * Writers store and readers load floats as relaxed atomics: a reader may see a row half-way through
 * a step, never a torn float. A row is initialised before its index entry is published. */
#ifndef LEARN_TABLE_H
#define LEARN_TABLE_H

#include "base/error.h"
#include "state/state.h"

struct table;
struct table_snapshot;

#define TABLE_NONE UINT32_MAX

/* `bytes_max` is for slabs, index and directory. How many rows it holds depends on these options
 * only, so a restart refuses the same ids. What an open snapshot keeps aside comes on top: at most
 * as much as the slabs that change meanwhile. */
struct table_options {
    int width; /* floats a row, optimiser state included */
    int64_t bytes_max;
};

leat_status table_create(const struct table_options *options, struct table **out, leat_error *err);
void table_destroy(struct table *table);

/* Any thread. Row number, or TABLE_NONE. table_find_batch prefetches: rows[i] for keys[i]. */
uint32_t table_find(const struct table *table, uint64_t key);
void table_find_batch(const struct table *table, const uint64_t *keys, int count, uint32_t *rows);
/* Any thread: copies the first `count` floats of a row (relaxed loads). */
void table_read(const struct table *table, uint32_t row, float *out, int count);
/* Pointer to a row: the writer may read plainly and must store with table_store; other threads must
 * load relaxed. */
const float *table_row(const struct table *table, uint32_t row);

/* Writer only. Finds or adds a row; a new row is filled with `fresh` (width floats). TABLE_NONE
 * when the budget is reached or memory is out (counted). */
uint32_t table_at(struct table *table, uint64_t key, const float *fresh, bool *added);
/* Writer only: replaces the first `count` floats of a row (relaxed stores; copies a frozen slab
 * aside first). */
void table_store(struct table *table, uint32_t row, const float *values, int count);

/* What a key that has no row gets: fills `width` floats. A function of the key only. */
typedef void (*table_fresh)(void *context, uint64_t key, float *row);
/* Finds or adds rows: rows[i] for keys[i], TABLE_NONE where one is refused (counted). */
void table_at_batch(struct table *table, const uint64_t *keys, int count, uint32_t now_s,
                    table_fresh fresh, void *context, uint32_t *rows);
/* For who changes a row in place by relaxed stores: announces the change first. */
float *table_change(struct table *table, uint32_t row);

/* Around look-ups of other threads and the use of the rows found. */
static inline void table_enter(const struct table *table) {
    (void)table;
}
static inline void table_leave(const struct table *table) {
    (void)table;
}

uint64_t table_rows(const struct table *table);
uint64_t table_bytes(const struct table *table);
uint64_t table_refused(const struct table *table);

/* Writer: short; copy on write by slab. One snapshot at a time: LEAT_AGAIN (positive) while one is
 * open. Written once, released by any thread before the table is destroyed. The snapshot is written
 * by another thread: rows in row order (which is the order of first sight, a function of the log),
 * keys beside them, checksummed blocks. */
leat_status table_freeze(struct table *table, struct table_snapshot **out, leat_error *err);
leat_status table_snapshot_write(struct table_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err);
void table_snapshot_release(struct table_snapshot *snapshot);
/* Into an empty table that nobody else uses; LEAT_CORRUPT, LEAT_CONFLICT (another width) or
 * LEAT_FULL (more rows than the budget holds) leave it empty. */
leat_status table_restore(struct table *table, state_source source, void *context, leat_error *err);
/* Over keys and XXH3-64 of their rows, sorted by key: equal for equal content. The writer, or
 * nobody writing. */
leat_status table_digest(struct table *table, uint64_t *out, leat_error *err);

#endif
