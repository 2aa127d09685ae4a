#define _DEFAULT_SOURCE /* madvise */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/table_internal.h"

#include <string.h>
#include <sys/mman.h>

enum {
    INDEX_ENTRIES_FIRST = 64,
    SLAB_BYTES_MAX = 1 << 20,
    SLAB_ROWS_MIN = 8, /* keeps the floats of a slab 64-byte aligned */
    PAGE_BYTES = 4096,
    HUGE_BYTES = 2 << 20,
    LINE_BYTES = 64,
    PREFETCH_LINES_MAX = 4,
};

static size_t index_bytes(uint64_t entries) {
    return sizeof(struct table_index) + entries * sizeof(struct table_entry);
}

/* --- budget --- */

/* Bytes that a table of `rows` rows takes, old index arrays included. */
static uint64_t bytes_of_rows(const struct table *table, uint64_t rows) {
    uint64_t bytes = sizeof(*table) + table->slabs_max * (sizeof(*table->slabs) + 1ull);
    uint64_t slab_rows = table_slab_rows(table);
    bytes += (rows + slab_rows - 1) / slab_rows * table->slab_bytes;
    uint64_t entries = INDEX_ENTRIES_FIRST;
    bytes += index_bytes(entries);
    while (rows > entries / 4 * 3) {
        entries *= 2;
        bytes += index_bytes(entries);
    }
    return bytes;
}

/* Most rows that fit: must not depend on the table's history, or a restart would change which ids
 * are refused. */
static uint64_t rows_of_budget(const struct table *table, uint64_t bytes_max) {
    uint64_t low = 0;
    uint64_t high = (uint64_t)table->slabs_max << table->slab_shift;
    high = high < TABLE_NONE ? high : TABLE_NONE;
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        if (bytes_of_rows(table, middle) <= bytes_max) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

/* Slabs of at most 1 MiB, and at least eight of them within the budget. */
static void size_slabs(struct table *table, uint64_t bytes_max) {
    uint64_t target = bytes_max / 8 < SLAB_BYTES_MAX ? bytes_max / 8 : SLAB_BYTES_MAX;
    size_t row_bytes = (size_t)table->width * sizeof(float) + sizeof(uint64_t);
    table->slab_shift = 3;
    while ((row_bytes << (table->slab_shift + 1)) <= target) {
        table->slab_shift++;
    }
    table->slab_bytes = row_bytes << table->slab_shift;
    uint64_t slabs = bytes_max / table->slab_bytes;
    table->slabs_max = (uint32_t)(slabs < TABLE_NONE ? slabs : TABLE_NONE);
}

/* Large blocks on huge pages where the system has them: rows and entries are read at random, and
 * with small pages most reads would miss the address cache too. Only a hint. */
static void *new_block(size_t bytes) {
    size_t alignment = bytes >= HUGE_BYTES   ? HUGE_BYTES
                       : bytes >= PAGE_BYTES ? PAGE_BYTES
                                             : LINE_BYTES;
    void *block = memory_aligned(alignment, bytes);
#ifdef MADV_HUGEPAGE
    if (block && bytes >= PAGE_BYTES) {
        (void)madvise(block, bytes / PAGE_BYTES * PAGE_BYTES, MADV_HUGEPAGE);
    }
#endif
    return block;
}

/* --- index --- */

static void index_empty(struct table_index *index) {
    for (uint64_t i = 0; i <= index->mask; i++) {
        atomic_init(&index->entries[i].key, 0);
        atomic_init(&index->entries[i].row, TABLE_NONE);
    }
}

static struct table_index *index_create(uint64_t entries) {
    struct table_index *index = new_block(index_bytes(entries));
    if (!index) {
        return NULL;
    }
    index->older = NULL;
    index->mask = entries - 1;
    index_empty(index);
    return index;
}

static void index_destroy(struct table_index *index) {
    while (index) {
        struct table_index *older = index->older;
        memory_free(index);
        index = older;
    }
}

/* Keys are hashes in production, but any 64-bit value is allowed: a run of near ones must not
 * become one long probe. */
static inline uint64_t bucket_of(const struct table_index *index, uint64_t key) {
    return hash_mix(key, 0x1EA7u) & index->mask;
}

/* The key first, then the row with release: who sees the row sees its key and its floats. */
static void index_insert(struct table_index *index, uint64_t key, uint32_t row) {
    uint64_t at = bucket_of(index, key);
    while (atomic_load_explicit(&index->entries[at].row, memory_order_relaxed) != TABLE_NONE) {
        at = (at + 1) & index->mask;
    }
    atomic_store_explicit(&index->entries[at].key, key, memory_order_relaxed);
    atomic_store_explicit(&index->entries[at].row, row, memory_order_release);
}

static inline uint32_t index_find(const struct table_index *index, uint64_t key) {
    for (uint64_t at = bucket_of(index, key);; at = (at + 1) & index->mask) {
        const struct table_entry *entry = &index->entries[at];
        uint32_t row = atomic_load_explicit(&entry->row, memory_order_acquire);
        if (row == TABLE_NONE || atomic_load_explicit(&entry->key, memory_order_relaxed) == key) {
            return row;
        }
    }
}

static struct table_index *table_index(const struct table *table) {
    return atomic_load_explicit(&table->index, memory_order_acquire);
}

/* --- life --- */

static leat_status table_allocate(struct table *table, leat_error *err) {
    size_t pointers = (size_t)table->slabs_max * sizeof(*table->slabs);
    table->slabs = memory_zalloc(pointers);
    table->guarded = memory_zalloc(table->slabs_max);
    struct table_index *index = index_create(INDEX_ENTRIES_FIRST);
    atomic_init(&table->index, index);
    if (!table->slabs || !table->guarded || !index) {
        return error_memory(err, pointers + table->slabs_max + index_bytes(INDEX_ENTRIES_FIRST));
    }
    atomic_init(&table->bytes, bytes_of_rows(table, 0));
    return LEAT_OK;
}

leat_status table_create(const struct table_options *options, struct table **out, leat_error *err) {
    INVARIANT(options->width > 0, "width %d", options->width);
    struct table *table = memory_zalloc(sizeof(*table));
    if (!table) {
        return error_memory(err, sizeof(*table));
    }
    mutex_init(&table->freeze_mutex);
    uint64_t bytes_max = options->bytes_max > 0 ? (uint64_t)options->bytes_max : 0;
    table->width = options->width;
    size_slabs(table, bytes_max);
    table->rows_max = rows_of_budget(table, bytes_max);
    leat_status status = LEAT_OK;
    if (table->rows_max == 0) {
        status = error_set(err, LEAT_INVALID,
                           "a table budget of %llu bytes holds no row of %d floats; raise it",
                           (unsigned long long)bytes_max, options->width);
    } else {
        status = table_allocate(table, err);
    }
    if (status < 0) {
        table_destroy(table);
        return status;
    }
    *out = table;
    return LEAT_OK;
}

static void free_slabs(struct table *table) {
    for (uint32_t i = 0; table->slabs && i < table->slabs_max && table_slab(table, i); i++) {
        memory_free(table_slab(table, i));
        atomic_store_explicit(&table->slabs[i], NULL, memory_order_relaxed);
    }
}

void table_destroy(struct table *table) {
    if (!table) {
        return;
    }
    INVARIANT(!table->snapshot, "a snapshot of %llu rows is open",
              (unsigned long long)table_rows(table));
    free_slabs(table);
    index_destroy(atomic_load(&table->index));
    memory_free(table->slabs);
    memory_free(table->guarded);
    mutex_deinit(&table->freeze_mutex);
    memory_free(table);
}

void table_clear(struct table *table) {
    INVARIANT(!table->snapshot, "cleared under a snapshot");
    struct table_index *first = table_index(table);
    while (first->older) {
        struct table_index *older = first->older;
        memory_free(first);
        first = older;
    }
    index_empty(first);
    atomic_store_explicit(&table->index, first, memory_order_release);
    free_slabs(table);
    memset(table->guarded, 0, table->slabs_max);
    atomic_store_explicit(&table->rows, 0, memory_order_relaxed);
    atomic_store_explicit(&table->bytes, bytes_of_rows(table, 0), memory_order_relaxed);
}

/* --- reading --- */

uint32_t table_find(const struct table *table, uint64_t key) {
    return index_find(table_index(table), key);
}

const float *table_row(const struct table *table, uint32_t row) {
    uint8_t *slab = table_slab(table, row >> table->slab_shift);
    uint32_t within = row & (table_slab_rows(table) - 1);
    return slab_floats(table, slab) + (size_t)within * (size_t)table->width;
}

static inline void prefetch_row(const struct table *table, uint32_t row) {
    const char *at = (const char *)table_row(table, row);
    int lines = (int)((size_t)table->width * sizeof(float) / LINE_BYTES) + 1;
    lines = lines < PREFETCH_LINES_MAX ? lines : PREFETCH_LINES_MAX;
    for (int i = 0; i < lines; i++) {
        __builtin_prefetch(at + (size_t)i * LINE_BYTES);
    }
}

/* Three waits for memory that overlap, instead of one chain of them for each key. */
void table_find_batch(const struct table *table, const uint64_t *keys, int count, uint32_t *rows) {
    const struct table_index *index = table_index(table);
    for (int i = 0; i < count; i++) {
        __builtin_prefetch(&index->entries[bucket_of(index, keys[i])]);
    }
    for (int i = 0; i < count; i++) {
        rows[i] = index_find(index, keys[i]);
        if (rows[i] != TABLE_NONE) {
            prefetch_row(table, rows[i]);
        }
    }
}

void table_read(const struct table *table, uint32_t row, float *out, int count) {
    const float *from = table_row(table, row);
    for (int i = 0; i < count; i++) {
        __atomic_load(&from[i], &out[i], __ATOMIC_RELAXED);
    }
}

/* --- writing --- */

static void add_bytes(struct table *table, size_t bytes) {
    atomic_fetch_add_explicit(&table->bytes, bytes, memory_order_relaxed);
}

static bool grow_index(struct table *table) {
    struct table_index *old = table_index(table);
    uint64_t entries = (old->mask + 1) * 2;
    struct table_index *index = index_create(entries);
    if (!index) {
        return false;
    }
    for (uint64_t i = 0; i <= old->mask; i++) {
        uint32_t row = atomic_load_explicit(&old->entries[i].row, memory_order_relaxed);
        if (row != TABLE_NONE) {
            index_insert(index, atomic_load_explicit(&old->entries[i].key, memory_order_relaxed),
                         row);
        }
    }
    index->older = old;
    atomic_store_explicit(&table->index, index, memory_order_release);
    add_bytes(table, index_bytes(entries));
    return true;
}

static bool add_slab(struct table *table, uint32_t slab) {
    uint8_t *block = new_block(table->slab_bytes);
    if (!block) {
        return false;
    }
    atomic_store_explicit(&table->slabs[slab], block, memory_order_release);
    add_bytes(table, table->slab_bytes);
    return true;
}

/* Room in index and slabs for row number `row`. */
static bool make_room(struct table *table, uint64_t row) {
    if (row >= table->rows_max) {
        return false;
    }
    uint32_t slab = (uint32_t)(row >> table->slab_shift);
    if (!table_slab(table, slab) && !add_slab(table, slab)) {
        return false;
    }
    uint64_t entries = table_index(table)->mask + 1;
    return row + 1 <= entries / 4 * 3 || grow_index(table);
}

uint32_t table_at(struct table *table, uint64_t key, const float *fresh, bool *added) {
    *added = false;
    uint32_t found = table_find(table, key);
    if (found != TABLE_NONE) {
        return found;
    }
    uint64_t rows = atomic_load_explicit(&table->rows, memory_order_relaxed);
    if (!make_room(table, rows)) {
        atomic_fetch_add_explicit(&table->refused, 1, memory_order_relaxed);
        return TABLE_NONE;
    }
    uint32_t row = (uint32_t)rows;
    uint32_t within = row & (table_slab_rows(table) - 1);
    uint8_t *slab = table_slab(table, row >> table->slab_shift);
    slab_keys(slab)[within] = key;
    memcpy(slab_floats(table, slab) + (size_t)within * (size_t)table->width, fresh,
           (size_t)table->width * sizeof(float));
    index_insert(table_index(table), key, row);
    atomic_store_explicit(&table->rows, rows + 1, memory_order_relaxed);
    *added = true;
    return row;
}

void table_at_batch(struct table *table, const uint64_t *keys, int count, uint32_t now_s,
                    table_fresh fresh, void *context, uint32_t *rows) {
    (void)now_s;
    float row[1024];
    INVARIANT(table->width <= (int)(sizeof(row) / sizeof(row[0])), "width %d", table->width);
    table_find_batch(table, keys, count, rows);
    for (int i = 0; i < count; i++) {
        if (rows[i] == TABLE_NONE) {
            bool added = false;
            fresh(context, keys[i], row);
            rows[i] = table_at(table, keys[i], row, &added);
        }
    }
}

float *table_change(struct table *table, uint32_t row) {
    uint32_t slab = row >> table->slab_shift;
    if (__builtin_expect(table->guarded[slab], 0)) {
        table_snapshot_save(table, slab);
    }
    uint32_t within = row & (table_slab_rows(table) - 1);
    return slab_floats(table, table_slab(table, slab)) + (size_t)within * (size_t)table->width;
}

void table_store(struct table *table, uint32_t row, const float *values, int count) {
    uint32_t slab = row >> table->slab_shift;
    if (__builtin_expect(table->guarded[slab], 0)) {
        table_snapshot_save(table, slab);
    }
    uint32_t within = row & (table_slab_rows(table) - 1);
    float *to = slab_floats(table, table_slab(table, slab)) + (size_t)within * (size_t)table->width;
    for (int i = 0; i < count; i++) {
        __atomic_store(&to[i], (float *)&values[i], __ATOMIC_RELAXED);
    }
}

uint64_t table_rows(const struct table *table) {
    return atomic_load_explicit(&table->rows, memory_order_relaxed);
}

uint64_t table_bytes(const struct table *table) {
    return atomic_load_explicit(&table->bytes, memory_order_relaxed);
}

uint64_t table_refused(const struct table *table) {
    return atomic_load_explicit(&table->refused, memory_order_relaxed);
}
