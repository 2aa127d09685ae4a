/* Freezing, writing, restoring and digesting a table.
 *
 *   head    0 u32 magic "ltbl"   4 u16 version (1)   6 u16 0    8 u32 width   12 u32 0
 *          16 u64 rows          24 u64 checksum of bytes 0..23 (XXH3-64)
 *   block   0 u32 rows (n >= 1)  4 u32 0             8 u64 checksum of the rest of the block
 *          16 u64 keys[n]        16 + 8 n f32 floats[n][width]
 *
 * Blocks follow until all rows are there, in row order; how rows are cut into blocks means nothing.
 *
 * A slab that is frozen is copied by whoever comes first, under the table's freeze mutex: the
 * thread that writes the snapshot, or the writer just before it changes the slab. What the writer
 * copied aside counts in table_bytes until it is written; it may exceed the budget of rows by as
 * much as is changed while the snapshot is open. */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/table_internal.h"

#include <string.h>

#define TABLE_MAGIC 0x6C62746Cu
enum {
    TABLE_VERSION = 1,
    HEAD_BYTES = 32,
    BLOCK_HEAD_BYTES = 16,
    BLOCK_BYTES_MAX = 16 << 20,
};

struct table_snapshot {
    struct table *table;
    uint64_t rows; /* at the freeze; later ones are not part of it */
    uint32_t slabs;
    bool failed; /* under the freeze mutex: a slab could not be moved aside */
    bool written;
    uint8_t *done;    /* under the freeze mutex: the slab may change, its rows are safe */
    uint8_t **copies; /* under the freeze mutex: what the writer moved aside */
};

static uint32_t rows_in_slab(const struct table_snapshot *snapshot, uint32_t slab) {
    uint64_t first = (uint64_t)slab << snapshot->table->slab_shift;
    uint64_t left = snapshot->rows - first;
    uint32_t whole = table_slab_rows(snapshot->table);
    return left < whole ? (uint32_t)left : whole;
}

static size_t body_bytes(int width, uint32_t rows) {
    return (size_t)rows * (sizeof(uint64_t) + (size_t)width * sizeof(float));
}

/* Body of a block: the keys and floats of a slab's first rows. */
static void copy_slab(const struct table *table, uint32_t slab, uint32_t rows, uint8_t *out) {
    uint8_t *from = table_slab(table, slab);
    size_t keys = (size_t)rows * sizeof(uint64_t);
    memcpy(out, slab_keys(from), keys);
    memcpy(out + keys, slab_floats(table, from), body_bytes(table->width, rows) - keys);
}

/* --- freezing --- */

static struct table_snapshot *snapshot_create(struct table *table) {
    struct table_snapshot *snapshot = memory_zalloc(sizeof(*snapshot));
    if (!snapshot) {
        return NULL;
    }
    snapshot->table = table;
    snapshot->rows = table_rows(table);
    uint64_t whole = table_slab_rows(table);
    snapshot->slabs = (uint32_t)((snapshot->rows + whole - 1) / whole);
    snapshot->done = memory_zalloc(snapshot->slabs);
    snapshot->copies = memory_zalloc(snapshot->slabs * sizeof(*snapshot->copies));
    if (!snapshot->done || !snapshot->copies) {
        memory_free(snapshot->done);
        memory_free(snapshot->copies);
        memory_free(snapshot);
        return NULL;
    }
    return snapshot;
}

leat_status table_freeze(struct table *table, struct table_snapshot **out, leat_error *err) {
    mutex_lock(&table->freeze_mutex);
    bool open = table->snapshot != NULL;
    mutex_unlock(&table->freeze_mutex);
    if (open) {
        return LEAT_AGAIN;
    }
    struct table_snapshot *snapshot = snapshot_create(table);
    if (!snapshot) {
        return error_memory(err, sizeof(*snapshot));
    }
    memset(table->guarded, 1, snapshot->slabs);
    mutex_lock(&table->freeze_mutex);
    table->snapshot = snapshot;
    mutex_unlock(&table->freeze_mutex);
    *out = snapshot;
    return LEAT_OK;
}

/* Under the freeze mutex. */
static void move_aside(struct table_snapshot *snapshot, uint32_t slab) {
    uint32_t rows = rows_in_slab(snapshot, slab);
    size_t bytes = body_bytes(snapshot->table->width, rows);
    uint8_t *copy = memory_alloc(bytes);
    if (copy) {
        copy_slab(snapshot->table, slab, rows, copy);
        snapshot->copies[slab] = copy;
        atomic_fetch_add_explicit(&snapshot->table->bytes, bytes, memory_order_relaxed);
    } else {
        snapshot->failed = true;
    }
    snapshot->done[slab] = 1;
}

void table_snapshot_save(struct table *table, uint32_t slab) {
    mutex_lock(&table->freeze_mutex);
    struct table_snapshot *snapshot = table->snapshot;
    if (snapshot && slab < snapshot->slabs && !snapshot->done[slab]) {
        move_aside(snapshot, slab);
    }
    mutex_unlock(&table->freeze_mutex);
    table->guarded[slab] = 0;
}

/* Under the freeze mutex. */
static void drop_copy(struct table_snapshot *snapshot, uint32_t slab) {
    if (snapshot->copies[slab]) {
        size_t bytes = body_bytes(snapshot->table->width, rows_in_slab(snapshot, slab));
        memory_free(snapshot->copies[slab]);
        snapshot->copies[slab] = NULL;
        atomic_fetch_sub_explicit(&snapshot->table->bytes, bytes, memory_order_relaxed);
    }
}

void table_snapshot_release(struct table_snapshot *snapshot) {
    if (!snapshot) {
        return;
    }
    mutex_lock(&snapshot->table->freeze_mutex);
    snapshot->table->snapshot = NULL;
    for (uint32_t slab = 0; slab < snapshot->slabs; slab++) {
        drop_copy(snapshot, slab);
    }
    mutex_unlock(&snapshot->table->freeze_mutex);
    memory_free(snapshot->done);
    memory_free(snapshot->copies);
    memory_free(snapshot);
}

/* --- writing --- */

/* The body of a slab's block into `out`; false when it was lost for want of memory. */
static bool take_slab(struct table_snapshot *snapshot, uint32_t slab, uint8_t *out) {
    const struct table *table = snapshot->table;
    uint32_t rows = rows_in_slab(snapshot, slab);
    mutex_lock(&snapshot->table->freeze_mutex);
    bool fine = !snapshot->failed;
    if (snapshot->copies[slab]) {
        memcpy(out, snapshot->copies[slab], body_bytes(table->width, rows));
        drop_copy(snapshot, slab);
    } else if (fine) {
        copy_slab(table, slab, rows, out);
        snapshot->done[slab] = 1;
    }
    mutex_unlock(&snapshot->table->freeze_mutex);
    return fine;
}

static leat_status write_head(const struct table_snapshot *snapshot, state_sink sink, void *context,
                              leat_error *err) {
    struct bytes head;
    bytes_init(&head);
    bytes_put_u32(&head, TABLE_MAGIC);
    bytes_put_u16(&head, TABLE_VERSION);
    bytes_put_u16(&head, 0);
    bytes_put_u32(&head, (uint32_t)snapshot->table->width);
    bytes_put_u32(&head, 0);
    bytes_put_u64(&head, snapshot->rows);
    bytes_put_u64(&head, head.failed ? 0 : hash_bytes(head.data, head.size));
    leat_status status = bytes_status(&head, err);
    if (status >= 0) {
        status = sink(context, head.data, head.size, err);
    }
    bytes_deinit(&head);
    return status;
}

static leat_status write_slab(struct table_snapshot *snapshot, uint32_t slab, uint8_t *block,
                              state_sink sink, void *context, leat_error *err) {
    uint32_t rows = rows_in_slab(snapshot, slab);
    size_t bytes = body_bytes(snapshot->table->width, rows);
    if (!take_slab(snapshot, slab, block + BLOCK_HEAD_BYTES)) {
        return error_in(err, error_memory(err, bytes), "table snapshot");
    }
    uint64_t checksum = hash_bytes(block + BLOCK_HEAD_BYTES, bytes);
    memcpy(block, &rows, sizeof(rows));
    memset(block + 4, 0, 4);
    memcpy(block + 8, &checksum, sizeof(checksum));
    return sink(context, block, BLOCK_HEAD_BYTES + bytes, err);
}

leat_status table_snapshot_write(struct table_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err) {
    INVARIANT(!snapshot->written, "a table snapshot is written once");
    snapshot->written = true;
    TRY(write_head(snapshot, sink, context, err));
    size_t block_bytes = BLOCK_HEAD_BYTES + snapshot->table->slab_bytes;
    uint8_t *block = memory_alloc(block_bytes);
    if (!block) {
        return error_memory(err, block_bytes);
    }
    leat_status status = LEAT_OK;
    for (uint32_t slab = 0; slab < snapshot->slabs && status >= 0; slab++) {
        status = write_slab(snapshot, slab, block, sink, context, err);
    }
    memory_free(block);
    return status < 0 ? status : LEAT_OK;
}

/* --- restoring --- */

static leat_status read_head(const struct table *table, state_source source, void *context,
                             uint64_t *rows, leat_error *err) {
    uint8_t head[HEAD_BYTES];
    TRY(source(context, head, sizeof(head), err));
    struct bytes_reader reader = bytes_reader_of(head, sizeof(head));
    uint32_t magic = bytes_get_u32(&reader);
    uint16_t version = bytes_get_u16(&reader);
    uint16_t zero16 = bytes_get_u16(&reader);
    uint32_t width = bytes_get_u32(&reader);
    uint32_t zero32 = bytes_get_u32(&reader);
    *rows = bytes_get_u64(&reader);
    uint64_t checksum = bytes_get_u64(&reader);
    if (magic != TABLE_MAGIC || zero16 != 0 || zero32 != 0 ||
        checksum != hash_bytes(head, HEAD_BYTES - sizeof(checksum))) {
        return error_set(err, LEAT_CORRUPT, "table head: magic %08x or checksum %016llx is wrong",
                         magic, (unsigned long long)checksum);
    }
    if (version != TABLE_VERSION) {
        return error_set(err, LEAT_UNSUPPORTED, "table version %u; this build reads %d", version,
                         TABLE_VERSION);
    }
    if (width != (uint32_t)table->width) {
        return error_set(err, LEAT_CONFLICT, "table rows have %u floats; the model needs %d", width,
                         table->width);
    }
    if (*rows > table->rows_max) {
        return error_set(err, LEAT_FULL,
                         "table has %llu rows; the budget holds %llu: raise model.memory",
                         (unsigned long long)*rows, (unsigned long long)table->rows_max);
    }
    return LEAT_OK;
}

static leat_status add_rows(struct table *table, const uint8_t *body, uint32_t rows, float *row,
                            leat_error *err) {
    size_t row_bytes = (size_t)table->width * sizeof(float);
    const uint8_t *floats = body + (size_t)rows * sizeof(uint64_t);
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t key;
        memcpy(&key, body + (size_t)i * sizeof(key), sizeof(key));
        memcpy(row, floats + (size_t)i * row_bytes, row_bytes);
        bool added = false;
        if (table_at(table, key, row, &added) == TABLE_NONE) {
            return error_memory(err, table->slab_bytes);
        }
        if (!added) {
            return error_set(err, LEAT_CORRUPT, "table key %016llx is there twice",
                             (unsigned long long)key);
        }
    }
    return LEAT_OK;
}

/* Reads one block of at most `left` rows into `body`, which grows as needed. */
static leat_status read_block(const struct table *table, state_source source, void *context,
                              uint64_t left, struct bytes *body, uint32_t *rows, leat_error *err) {
    uint8_t head[BLOCK_HEAD_BYTES];
    TRY(source(context, head, sizeof(head), err));
    struct bytes_reader reader = bytes_reader_of(head, sizeof(head));
    *rows = bytes_get_u32(&reader);
    uint32_t zero = bytes_get_u32(&reader);
    uint64_t checksum = bytes_get_u64(&reader);
    size_t bytes = body_bytes(table->width, *rows);
    if (*rows == 0 || *rows > left || bytes > BLOCK_BYTES_MAX || zero != 0) {
        return error_set(err, LEAT_CORRUPT, "table block of %u rows where %llu are left", *rows,
                         (unsigned long long)left);
    }
    bytes_clear(body);
    uint8_t *data = bytes_extend(body, bytes);
    TRY(bytes_status(body, err));
    TRY(source(context, data, bytes, err));
    if (hash_bytes(data, bytes) != checksum) {
        return error_set(err, LEAT_CORRUPT, "table block of %u rows: checksum %016llx is wrong",
                         *rows, (unsigned long long)checksum);
    }
    return LEAT_OK;
}

static leat_status read_rows(struct table *table, state_source source, void *context, uint64_t rows,
                             struct bytes *body, leat_error *err) {
    float *row = memory_alloc((size_t)table->width * sizeof(float));
    if (!row) {
        return error_memory(err, (size_t)table->width * sizeof(float));
    }
    leat_status status = LEAT_OK;
    while (rows > 0 && status >= 0) {
        uint32_t count = 0;
        status = read_block(table, source, context, rows, body, &count, err);
        if (status >= 0) {
            status = add_rows(table, body->data, count, row, err);
            rows -= count;
        }
    }
    memory_free(row);
    return status;
}

leat_status table_restore(struct table *table, state_source source, void *context,
                          leat_error *err) {
    INVARIANT(table_rows(table) == 0, "restored over %llu rows",
              (unsigned long long)table_rows(table));
    uint64_t rows = 0;
    TRY(read_head(table, source, context, &rows, err));
    struct bytes body;
    bytes_init(&body);
    leat_status status = read_rows(table, source, context, rows, &body, err);
    bytes_deinit(&body);
    if (status < 0) {
        table_clear(table);
        return status;
    }
    return LEAT_OK;
}

/* --- digest --- */

struct keyed_row {
    uint64_t key;
    uint32_t row;
};

static int compare_keys(const void *a, const void *b) {
    uint64_t x = ((const struct keyed_row *)a)->key;
    uint64_t y = ((const struct keyed_row *)b)->key;
    return (x > y) - (x < y);
}

leat_status table_digest(struct table *table, uint64_t *out, leat_error *err) {
    uint64_t rows = table_rows(table);
    struct keyed_row *sorted = memory_alloc(rows * sizeof(*sorted));
    if (!sorted) {
        return error_memory(err, rows * sizeof(*sorted));
    }
    for (uint64_t row = 0; row < rows; row++) {
        uint8_t *slab = table_slab(table, (uint32_t)(row >> table->slab_shift));
        uint64_t key = slab_keys(slab)[row & (table_slab_rows(table) - 1)];
        sorted[row] = (struct keyed_row){.key = key, .row = (uint32_t)row};
    }
    qsort(sorted, rows, sizeof(*sorted), compare_keys);
    uint64_t digest = rows;
    for (uint64_t i = 0; i < rows; i++) {
        size_t bytes = (size_t)table->width * sizeof(float);
        digest = hash_mix(digest, sorted[i].key);
        digest = hash_mix(digest, hash_bytes(table_row(table, sorted[i].row), bytes));
    }
    memory_free(sorted);
    *out = digest;
    return LEAT_OK;
}
