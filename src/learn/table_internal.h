/* What table.c and table_snapshot.c share.
 *
 *   slab:  [key of row 0 | ... | key of row n-1 | floats of row 0 | ... | floats of row n-1]
 *
 * `guarded` belongs to the writer: a slab that an open snapshot may still need. The writer's fast
 * path is one byte read; only a guarded slab takes the mutex. */
#ifndef LEARN_TABLE_INTERNAL_H
#define LEARN_TABLE_INTERNAL_H

#include "base/thread.h"
#include "learn/table.h"

#include <stdatomic.h>

struct table_entry {
    _Atomic uint64_t key;
    _Atomic uint32_t row; /* TABLE_NONE: empty */
};

struct table_index {
    struct table_index *older;
    uint64_t mask; /* entries - 1 */
    struct table_entry entries[];
};

struct table {
    int width;
    int slab_shift; /* rows of a slab: 1 << slab_shift */
    size_t slab_bytes;
    uint64_t rows_max; /* what the budget allows: a function of the options only */
    uint32_t slabs_max;
    _Atomic(struct table_index *) index;
    _Atomic(uint8_t *) *slabs;
    uint8_t *guarded;
    _Atomic uint64_t rows;
    _Atomic uint64_t bytes;
    _Atomic uint64_t refused;
    struct mutex freeze_mutex;
    struct table_snapshot *snapshot; /* under freeze_mutex; NULL: none is open */
};

static inline uint32_t table_slab_rows(const struct table *table) {
    return 1u << table->slab_shift;
}
static inline uint64_t *slab_keys(uint8_t *slab) {
    return (uint64_t *)(void *)slab;
}
static inline float *slab_floats(const struct table *table, uint8_t *slab) {
    return (float *)(void *)(slab + sizeof(uint64_t) * table_slab_rows(table));
}
static inline uint8_t *table_slab(const struct table *table, uint32_t slab) {
    return atomic_load_explicit(&table->slabs[slab], memory_order_acquire);
}

/* Writer: moves a guarded slab aside if the snapshot still needs it, and lifts the guard. */
void table_snapshot_save(struct table *table, uint32_t slab);
/* Nobody else uses the table: forgets all rows. Needs no memory, so it cannot fail. */
void table_clear(struct table *table);

#endif
