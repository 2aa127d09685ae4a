/* What the files of the table share.
 *
 *   record   [u64 key | floats x width]               row r at r x stride; stride a multiple of 8
 *   mark     [uses: 5 bits | seen: 27 bits]           where `timed`; 0: no row
 *
 *   row numbers    0 .. top      have been in use; those of rows that went stand in `retired`
 *   retired        ring of row numbers, oldest first: [head, safe) may be used again, for
 *                  [safe, asked) a grace is under way, [asked, tail) went since
 *
 * A page is as many rows as make at most 64 KiB: what a snapshot keeps aside at a time. `guarded`
 * belongs to the writer: a page that an open snapshot may still need. The writer's fast path is one
 * byte read; only a guarded page takes the mutex. */
#ifndef LEARN_TABLE_INTERNAL_H
#define LEARN_TABLE_INTERNAL_H

#include "base/hash.h"
#include "base/thread.h"
#include "learn/table.h"
#include "learn/table_index.h"
#include "learn/table_sketch.h"

enum {
    TABLE_PAGE_BYTES = 64 << 10,
    TABLE_REMOVED_MAX = 1 << 20,
    SEEN_BITS = 27,
    USES_MAX = 31,
};
#define SEEN_MAX ((1u << SEEN_BITS) - 1)

/* Ring of the rows that went; places count on and are taken modulo `size`. */
struct table_retired {
    uint32_t *rows;
    uint64_t size; /* a power of two */
    uint64_t head, safe, asked, tail;
    uint64_t ticket; /* of the grace under way */
};

struct table {
    /* Readers; fixed. */
    uint8_t *records;
    size_t stride;
    int width;
    int page_shift; /* rows of a page: 1 << page_shift */
    struct table_index index;

    /* The writer's own. */
    bool evict, timed, track, narrow;
    uint32_t spare;    /* rows out of use before one is used again: by then it is safe */
    uint64_t rows_max; /* what the budget allows: a function of the options only */
    uint64_t fixed_bytes, row_bits; /* of memory: whatever the rows, and a row */
    struct table_field fields[KEY_FIELDS_MAX];
    uint32_t expire_min_s; /* over the fields; 0: none expires */
    uint32_t base_s;       /* event time of `seen` = 1 */
    uint32_t now_s;        /* the latest event time that was told; 0: none */
    uint64_t touches;      /* chance hangs on it */
    uint64_t clock_hand;   /* of eviction */
    uint64_t expire_hand;
    uint32_t *marks;
    uint8_t *guarded;
    struct table_retired retired;
    struct table_sketch sketch;
    uint64_t *changed; /* a bit a row, where `track` */
    uint64_t changed_rows;
    uint64_t changed_hand; /* word */
    uint64_t *removed;     /* keys that went since they were asked for */
    uint64_t removed_count;
    bool removed_lost;
    struct table_area areas[8];
    int area_count;

    /* Written by the writer, read by any thread; relaxed. */
    _Atomic uint64_t top;
    _Atomic uint64_t rows;
    _Atomic uint64_t refused;
    _Atomic uint64_t expired;
    _Atomic uint64_t evicted;
    _Atomic uint64_t kept_bytes; /* that snapshots keep aside */

    struct mutex freeze_mutex;
    struct table_snapshot *snapshot; /* under freeze_mutex; NULL: none is open */
};

static inline uint64_t table_tally(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}
static inline void table_tally_add(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, table_tally(counter) + n, memory_order_relaxed);
}

/* Keys are hashes in production, but any 64-bit value is allowed. Never 0: that is a free entry. */
static inline uint32_t table_hash(uint64_t key) {
    uint32_t hash = (uint32_t)(hash_mix(key, 0x1EA7u) >> 32);
    return hash + (hash == 0);
}

static inline uint8_t *table_record(const struct table *table, uint32_t row) {
    return table->records + (size_t)row * table->stride;
}
static inline uint64_t table_key(const struct table *table, uint32_t row) {
    return __atomic_load_n((uint64_t *)(void *)table_record(table, row), __ATOMIC_RELAXED);
}
static inline float *table_floats(const struct table *table, uint32_t row) {
    return (float *)(void *)(table_record(table, row) + sizeof(uint64_t));
}

/* --- table.c --- */

/* Writer: a row for a key that has none; its floats are the caller's to fill (plainly: no reader
 * sees it) before table_publish. TABLE_NONE: refused and counted. */
uint32_t table_new_row(struct table *table, uint64_t key, uint32_t now_s);
void table_publish(struct table *table, uint32_t hash, uint32_t row);
/* Whether a key that has no row gets one at this coming. */
bool table_admits(struct table *table, uint64_t key);
/* Nobody else uses the table: forgets all rows. Needs no memory, so it cannot fail. `rows` are
 * expected to come. */
void table_clear(struct table *table, uint64_t rows);
/* The same look-up without waiting for memory ahead. */
uint32_t table_seek(const struct table *table, uint64_t key, uint32_t hash);

/* --- table_age.c --- */

/* Tells the event time; answers the `seen` of it. */
uint32_t table_time(struct table *table, uint32_t now_s);
/* A row was asked for by the writer. */
void table_touch(struct table *table, uint32_t row, uint32_t seen);
/* Takes a row out of the index and retires it. */
void table_drop(struct table *table, uint32_t row);
/* Room for `count` more rows, or for half of all, where the table evicts: the least useful of some
 * rows go, and again. Before they are asked for, so that none goes that was just given out. */
void table_evict(struct table *table, uint64_t count);
/* The row that went first, once no reader can have it any more; there is one. */
uint32_t table_reuse(struct table *table);

static inline uint64_t table_out_of_use(const struct table *table) {
    return table->retired.tail - table->retired.head;
}
static inline void table_make_room(struct table *table, uint64_t count) {
    if (table->evict) {
        table_evict(table, count);
    }
}

/* --- table_changes.c --- */

void table_mark_changed(struct table *table, uint32_t row);
void table_mark_removed(struct table *table, uint32_t row, uint64_t key);

/* --- table_snapshot.c --- */

/* Writer: copies a guarded page aside if the snapshot still needs it, and lifts the guard. */
void table_snapshot_save(struct table *table, uint32_t page);

/* Writer: before anything of a row is changed, its record or its mark. */
static inline void table_guard(struct table *table, uint32_t row) {
    uint32_t page = row >> table->page_shift;
    if (__builtin_expect(table->guarded[page], 0)) {
        table_snapshot_save(table, page);
    }
}

#endif
