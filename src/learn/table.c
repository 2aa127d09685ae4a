#include "base/memory.h"
#include "learn/table_epoch.h"
#include "learn/table_internal.h"

#include <string.h>

enum {
    SPARE_MAX = 4096,
    SPARE_SHARE = 64,
    SKETCH_BITS_A_ROW = 2,
    NEW_AHEAD = 8,
    NEW_BYTES = 512,
};

/* --- budget --- */

static bool counts_comings(const struct table *table) {
    for (int i = 0; i < KEY_FIELDS_MAX; i++) {
        if (table->fields[i].admit > 1) {
            return true;
        }
    }
    return false;
}

/* Counters of comings for a table of that many rows: one a row. */
static uint64_t sketch_lines(const struct table *table, uint64_t rows) {
    uint64_t line_rows = SKETCH_LINE_BYTES * 8 / SKETCH_BITS_A_ROW;
    return counts_comings(table) ? (rows + line_rows - 1) / line_rows : 0;
}

/* Memory of a table of `rows` rows, those to be used again included. */
static uint64_t bytes_of_rows(const struct table *table, uint64_t rows) {
    return table->fixed_bytes + (rows * table->row_bits + 7) / 8 + table_index_bytes_of(rows) +
           sketch_lines(table, rows) * SKETCH_LINE_BYTES;
}

/* Most rows that fit: must not depend on the table's history, or a restart would change which ids
 * are refused. */
static uint64_t rows_of_budget(const struct table *table, uint64_t bytes_max) {
    uint64_t low = 0;
    uint64_t high = TABLE_NONE - 1;
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

/* --- life --- */

static void set_shape(struct table *table, const struct table_options *options) {
    table->width = options->width;
    table->stride = sizeof(uint64_t) + ((size_t)options->width * sizeof(float) + 7) / 8 * 8;
    while ((table->stride << (table->page_shift + 1)) <= TABLE_PAGE_BYTES) {
        table->page_shift++;
    }
    table->evict = options->evict;
    table->timed = options->timed;
    table->track = options->track;
    table->narrow = options->narrow;
    for (int i = 0; options->fields && i < KEY_FIELDS_MAX; i++) {
        uint32_t expire_s = options->fields[i].expire_s;
        table->fields[i] = options->fields[i];
        if (expire_s > 0 && (table->expire_min_s == 0 || expire_s < table->expire_min_s)) {
            table->expire_min_s = expire_s;
        }
    }
    table->row_bits = table->stride * 8 + (table->timed ? 32 : 0) + table->track;
    table->fixed_bytes = sizeof(*table);
    table->rows_max =
        rows_of_budget(table, options->bytes_max > 0 ? (uint64_t)options->bytes_max : 0);
    uint64_t spare = table->rows_max / SPARE_SHARE;
    table->spare = (uint32_t)(spare < SPARE_MAX ? spare : SPARE_MAX);
}

static void *new_area(struct table *table, size_t bytes, bool *fine) {
    struct table_area *area = &table->areas[table->area_count++];
    *fine = *fine && table_area_open(area, bytes);
    return area->base;
}

static leat_status open_areas(struct table *table, leat_error *err) {
    uint64_t rows = table->rows_max;
    uint64_t pages = (rows >> table->page_shift) + 1;
    bool fine = table_index_open(&table->index, rows);
    for (table->retired.size = 1; table->retired.size < rows;) {
        table->retired.size *= 2;
    }
    table->sketch.lines = sketch_lines(table, rows);
    table->records = new_area(table, rows * table->stride, &fine);
    table->guarded = new_area(table, pages, &fine);
    table->retired.rows = new_area(table, table->retired.size * sizeof(uint32_t), &fine);
    table->sketch.words = new_area(table, table->sketch.lines * SKETCH_LINE_BYTES, &fine);
    table->marks = new_area(table, table->timed ? rows * sizeof(uint32_t) : 0, &fine);
    table->changed = new_area(table, table->track ? rows / 8 + sizeof(uint64_t) : 0, &fine);
    size_t removed = table->track ? TABLE_REMOVED_MAX * sizeof(uint64_t) : 0;
    table->removed = new_area(table, removed, &fine);
    return fine ? LEAT_OK : error_memory(err, bytes_of_rows(table, rows));
}

leat_status table_create(const struct table_options *options, struct table **out, leat_error *err) {
    INVARIANT(options->width > 0, "width %d", options->width);
    INVARIANT(!options->evict || options->timed, "eviction needs `timed`");
    struct table *table = memory_aligned(_Alignof(struct table), sizeof(*table));
    if (!table) {
        return error_memory(err, sizeof(*table));
    }
    memset(table, 0, sizeof(*table));
    mutex_init(&table->freeze_mutex);
    set_shape(table, options);
    leat_status status = LEAT_OK;
    if (table->rows_max == 0) {
        status = error_set(err, LEAT_INVALID,
                           "a table budget of %lld bytes holds no row of %d floats; raise it",
                           (long long)options->bytes_max, options->width);
    } else {
        status = open_areas(table, err);
    }
    if (status < 0) {
        table_destroy(table);
        return status;
    }
    *out = table;
    return LEAT_OK;
}

void table_destroy(struct table *table) {
    if (!table) {
        return;
    }
    INVARIANT(!table->snapshot, "a snapshot of %llu rows is open",
              (unsigned long long)table_rows(table));
    table_index_close(&table->index);
    for (int i = 0; i < table->area_count; i++) {
        table_area_close(&table->areas[i]);
    }
    mutex_deinit(&table->freeze_mutex);
    memory_free(table);
}

void table_clear(struct table *table, uint64_t rows) {
    INVARIANT(!table->snapshot, "cleared under a snapshot");
    table_index_clear(&table->index, rows);
    for (int i = 0; i < table->area_count; i++) {
        table_area_clear(&table->areas[i]);
    }
    struct table_retired *retired = &table->retired;
    retired->head = retired->safe = retired->asked = retired->tail = 0;
    table->sketch.filled = table->sketch.hand = table->sketch.comings = 0;
    table->base_s = table->now_s = 0;
    table->touches = table->clock_hand = table->expire_hand = 0;
    table->changed_rows = table->changed_hand = table->removed_count = 0;
    table->removed_lost = false;
    atomic_store_explicit(&table->top, 0, memory_order_relaxed);
    atomic_store_explicit(&table->rows, 0, memory_order_relaxed);
}

/* --- reading --- */

void table_enter(const struct table *table) {
    (void)table;
    table_epoch_enter();
}

void table_leave(const struct table *table) {
    (void)table;
    table_epoch_leave();
}

/* The row of a key among the entries of one look, or TABLE_NONE. */
static uint32_t seek_once(const struct table *table, uint64_t key, uint32_t hash, uint64_t word) {
    const struct table_index *index = &table->index;
    uint64_t at = index_home(word, hash);
    for (uint64_t n = 0; n < index->end; n++, at = index_after(index, at)) {
        const struct table_bucket *bucket = &index->buckets[at];
        for (uint32_t match = bucket_match(bucket, hash); match; match &= match - 1) {
            uint32_t row = bucket_row(bucket, __builtin_ctz(match), hash);
            if (row != TABLE_NONE && table_key(table, row) == key) {
                return row;
            }
        }
        if (!bucket_passed(bucket, hash)) {
            break;
        }
    }
    return TABLE_NONE;
}

uint32_t table_seek(const struct table *table, uint64_t key, uint32_t hash) {
    uint64_t word;
    uint32_t row;
    do {
        word = index_word(&table->index);
        row = seek_once(table, key, hash, word);
    } while (row == TABLE_NONE && !index_same(&table->index, word, hash));
    return row;
}

uint32_t table_find(const struct table *table, uint64_t key) {
    return table_seek(table, key, table_hash(key));
}

const float *table_row(const struct table *table, uint32_t row) {
    return table_floats(table, row);
}

void table_read(const struct table *table, uint32_t row, float *out, int count) {
    const float *from = table_floats(table, row);
    for (int i = 0; i < count; i++) {
        __atomic_load(&from[i], &out[i], __ATOMIC_RELAXED);
    }
}

uint64_t table_rows(const struct table *table) {
    return table_tally(&table->rows);
}

uint64_t table_bytes(const struct table *table) {
    return table->fixed_bytes + (table_tally(&table->top) * table->row_bits + 7) / 8 +
           table_index_bytes(&table->index) + table->sketch.lines * SKETCH_LINE_BYTES +
           table_tally(&table->kept_bytes);
}

uint64_t table_refused(const struct table *table) {
    return table_tally(&table->refused);
}

void table_stats(const struct table *table, struct table_stats *out) {
    *out = (struct table_stats){
        .rows = table_rows(table),
        .bytes = table_bytes(table),
        .refused = table_refused(table),
        .waiting = table->sketch.comings,
        .expired = table_tally(&table->expired),
        .evicted = table_tally(&table->evicted),
        .load = table_index_load(&table->index),
    };
}

/* --- writing --- */

bool table_admits(struct table *table, uint64_t key) {
    uint32_t admit = table->fields[key_field(key)].admit;
    return admit <= 1 || table_sketch_admits(&table->sketch, key, admit);
}

/* Rows that come next are written from end to end: their lines are had before. Beyond the last one
 * it is addresses that nobody fetches. */
static void fetch_new(const struct table *table, uint64_t row) {
    const char *at = (const char *)table->records + row * table->stride;
    for (size_t i = 0; i < table->stride && i < NEW_BYTES; i += 64) {
        __builtin_prefetch(at + i, 1);
    }
}

/* Which row it is, is a function of the calls: whether readers have left only says when. Rows that
 * went rest until there are some, so that readers have mostly left by then. */
static uint32_t take_row(struct table *table) {
    uint64_t top = table_tally(&table->top);
    if (table_out_of_use(table) > table->spare) {
        return table_reuse(table);
    }
    if (top < table->rows_max) {
        table_tally_add(&table->top, 1);
        fetch_new(table, top + NEW_AHEAD);
        return (uint32_t)top;
    }
    if (!table->evict && table_out_of_use(table) > 0) {
        return table_reuse(table);
    }
    table_tally_add(&table->refused, 1);
    return TABLE_NONE;
}

uint32_t table_new_row(struct table *table, uint64_t key, uint32_t now_s) {
    uint32_t seen = table_time(table, now_s);
    uint32_t row = take_row(table);
    if (row == TABLE_NONE) {
        return TABLE_NONE;
    }
    table_guard(table, row);
    __atomic_store_n((uint64_t *)(void *)table_record(table, row), key, __ATOMIC_RELAXED);
    if (table->timed) {
        table->marks[row] = seen;
    }
    return row;
}

void table_publish(struct table *table, uint32_t hash, uint32_t row) {
    table_index_add(&table->index, hash, row);
    table_tally_add(&table->rows, 1);
    if (table->track) {
        table_mark_changed(table, row);
    }
}

uint32_t table_at(struct table *table, uint64_t key, uint32_t now_s, table_fresh fresh,
                  void *context) {
    uint32_t hash = table_hash(key);
    uint32_t row = table_seek(table, key, hash);
    if (row != TABLE_NONE) {
        if (table->timed) {
            table_touch(table, row, table_time(table, now_s));
        }
        return row;
    }
    if (!table_admits(table, key)) {
        return TABLE_NONE;
    }
    table_make_room(table, 1);
    row = table_new_row(table, key, now_s);
    if (row != TABLE_NONE) {
        fresh(context, key, table_floats(table, row));
        table_publish(table, hash, row);
    }
    return row;
}

float *table_change(struct table *table, uint32_t row) {
    table_guard(table, row);
    if (table->track) {
        table_mark_changed(table, row);
    }
    return table_floats(table, row);
}

void table_store(struct table *table, uint32_t row, const float *values, int count) {
    float *to = table_change(table, row);
    for (int i = 0; i < count; i++) {
        __atomic_store(&to[i], (float *)&values[i], __ATOMIC_RELAXED);
    }
}

uint32_t table_put(struct table *table, uint64_t key, const float *values) {
    uint32_t hash = table_hash(key);
    uint32_t row = table_seek(table, key, hash);
    if (row != TABLE_NONE) {
        table_store(table, row, values, table->width);
        return row;
    }
    table_make_room(table, 1);
    row = table_new_row(table, key, 0);
    if (row != TABLE_NONE) {
        memcpy(table_floats(table, row), values, (size_t)table->width * sizeof(float));
        table_publish(table, hash, row);
    }
    return row;
}

bool table_remove(struct table *table, uint64_t key) {
    uint32_t row = table_seek(table, key, table_hash(key));
    if (row != TABLE_NONE) {
        table_drop(table, row);
    }
    return row != TABLE_NONE;
}
