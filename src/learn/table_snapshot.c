/* Freezing, writing and digesting a table. table_format.h draws the bytes.
 *
 * A page that is frozen is copied by whoever comes first, under the table's freeze mutex: the
 * thread that writes the snapshot, or the writer just before it changes the page. What the writer
 * copied aside counts in table_bytes until it is written; it may exceed the budget of rows by as
 * much as is changed while the snapshot is open. What is small beside the rows, which rows are out
 * of use and the sketch, is copied at the freeze. */
#include "base/memory.h"
#include "learn/table_format.h"

#include <string.h>

struct table_snapshot {
    struct table *table;
    struct table_head head; /* as it was at the freeze; later rows are not part of it */
    uint32_t pages;
    bool failed; /* under the freeze mutex: a page could not be moved aside */
    bool written;
    uint8_t *done;    /* under the freeze mutex: the page may change, its rows are safe */
    uint8_t **copies; /* under the freeze mutex: what the writer moved aside */
    uint64_t *retired_bits;
    uint32_t *retired; /* oldest first */
    uint64_t *sketch;
};

static uint32_t rows_in_page(const struct table_snapshot *snapshot, uint32_t page) {
    uint64_t first = (uint64_t)page << snapshot->table->page_shift;
    uint64_t left = snapshot->head.top - first;
    uint32_t whole = 1u << snapshot->table->page_shift;
    return left < whole ? (uint32_t)left : whole;
}

/* Records of the rows of a page as they lie in memory, and their marks. */
static size_t image_bytes(const struct table_snapshot *snapshot, uint32_t rows) {
    size_t mark = snapshot->head.marks ? sizeof(uint32_t) : 0;
    return rows * (snapshot->table->stride + mark);
}

static void copy_page(const struct table_snapshot *snapshot, uint32_t page, uint8_t *out) {
    const struct table *table = snapshot->table;
    uint32_t first = page << table->page_shift;
    uint32_t rows = rows_in_page(snapshot, page);
    memcpy(out, table_record(table, first), rows * table->stride);
    if (snapshot->head.marks) {
        memcpy(out + rows * table->stride, table->marks + first, rows * sizeof(uint32_t));
    }
}

/* --- freezing --- */

uint64_t *table_retired_bits(const struct table *table) {
    const struct table_retired *retired = &table->retired;
    uint64_t *bits = memory_zalloc(table_tally(&table->top) / 8 + sizeof(*bits));
    for (uint64_t i = retired->head; bits && i < retired->tail; i++) {
        uint32_t row = retired->rows[i & (retired->size - 1)];
        bits[row / 64] |= (uint64_t)1 << (row % 64);
    }
    return bits;
}

static struct table_head head_of(const struct table *table) {
    return (struct table_head){
        .marks = table->timed,
        .width = (uint32_t)table->width,
        .top = table_tally(&table->top),
        .rows = table_rows(table),
        .retired = table_out_of_use(table),
        .sketch_lines = table->sketch.lines,
        .sketch_hand = table->sketch.hand,
        .comings = table->sketch.comings,
        .base_s = table->base_s,
        .now_s = table->now_s,
        .touches = table->touches,
        .clock_hand = table->clock_hand,
        .expire_hand = table->expire_hand,
    };
}

static void snapshot_destroy(struct table_snapshot *snapshot) {
    memory_free(snapshot->done);
    memory_free(snapshot->copies);
    memory_free(snapshot->retired_bits);
    memory_free(snapshot->retired);
    memory_free(snapshot->sketch);
    memory_free(snapshot);
}

static void copy_small(struct table_snapshot *snapshot) {
    const struct table *table = snapshot->table;
    const struct table_retired *retired = &table->retired;
    for (uint64_t i = 0; i < snapshot->head.retired; i++) {
        snapshot->retired[i] = retired->rows[(retired->head + i) & (retired->size - 1)];
    }
    if (table->sketch.lines > 0) {
        memcpy(snapshot->sketch, table->sketch.words, table->sketch.lines * SKETCH_LINE_BYTES);
    }
}

static struct table_snapshot *snapshot_create(struct table *table) {
    struct table_snapshot *snapshot = memory_zalloc(sizeof(*snapshot));
    if (!snapshot) {
        return NULL;
    }
    snapshot->table = table;
    snapshot->head = head_of(table);
    uint64_t whole = 1ull << table->page_shift;
    snapshot->pages = (uint32_t)((snapshot->head.top + whole - 1) / whole);
    snapshot->done = memory_zalloc(snapshot->pages);
    snapshot->copies = memory_zalloc(snapshot->pages * sizeof(*snapshot->copies));
    snapshot->retired_bits = table_retired_bits(table);
    snapshot->retired = memory_alloc(snapshot->head.retired * sizeof(uint32_t));
    snapshot->sketch = memory_alloc(table->sketch.lines * SKETCH_LINE_BYTES);
    if (!snapshot->done || !snapshot->copies || !snapshot->retired_bits || !snapshot->retired ||
        !snapshot->sketch) {
        snapshot_destroy(snapshot);
        return NULL;
    }
    copy_small(snapshot);
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
    memset(table->guarded, 1, snapshot->pages);
    mutex_lock(&table->freeze_mutex);
    table->snapshot = snapshot;
    mutex_unlock(&table->freeze_mutex);
    *out = snapshot;
    return LEAT_OK;
}

static void count_kept(struct table *table, size_t bytes, bool more) {
    atomic_fetch_add_explicit(&table->kept_bytes, more ? bytes : (uint64_t)0 - bytes,
                              memory_order_relaxed);
}

/* Under the freeze mutex. */
static void move_aside(struct table_snapshot *snapshot, uint32_t page) {
    size_t bytes = image_bytes(snapshot, rows_in_page(snapshot, page));
    uint8_t *copy = memory_alloc(bytes);
    if (copy) {
        copy_page(snapshot, page, copy);
        snapshot->copies[page] = copy;
        count_kept(snapshot->table, bytes, true);
    } else {
        snapshot->failed = true;
    }
    snapshot->done[page] = 1;
}

void table_snapshot_save(struct table *table, uint32_t page) {
    mutex_lock(&table->freeze_mutex);
    struct table_snapshot *snapshot = table->snapshot;
    if (snapshot && page < snapshot->pages && !snapshot->done[page]) {
        move_aside(snapshot, page);
    }
    mutex_unlock(&table->freeze_mutex);
    table->guarded[page] = 0;
}

/* Under the freeze mutex. */
static void drop_copy(struct table_snapshot *snapshot, uint32_t page) {
    if (snapshot->copies[page]) {
        memory_free(snapshot->copies[page]);
        snapshot->copies[page] = NULL;
        count_kept(snapshot->table, image_bytes(snapshot, rows_in_page(snapshot, page)), false);
    }
}

void table_snapshot_release(struct table_snapshot *snapshot) {
    if (!snapshot) {
        return;
    }
    mutex_lock(&snapshot->table->freeze_mutex);
    snapshot->table->snapshot = NULL;
    for (uint32_t page = 0; page < snapshot->pages; page++) {
        drop_copy(snapshot, page);
    }
    mutex_unlock(&snapshot->table->freeze_mutex);
    snapshot_destroy(snapshot);
}

/* --- writing --- */

/* Where a page is gathered, and the block that is made of it. */
struct page_space {
    uint8_t *image;
    uint8_t *block;
};

/* The image of a page; false when it was lost for want of memory. */
static bool take_page(struct table_snapshot *snapshot, uint32_t page, uint8_t *out) {
    mutex_lock(&snapshot->table->freeze_mutex);
    bool fine = !snapshot->failed;
    if (snapshot->copies[page]) {
        memcpy(out, snapshot->copies[page], image_bytes(snapshot, rows_in_page(snapshot, page)));
        drop_copy(snapshot, page);
    } else if (fine) {
        copy_page(snapshot, page, out);
        snapshot->done[page] = 1;
    }
    mutex_unlock(&snapshot->table->freeze_mutex);
    return fine;
}

static leat_status write_head(const struct table_snapshot *snapshot, state_sink sink, void *context,
                              leat_error *err) {
    const struct table_head *head = &snapshot->head;
    struct bytes out;
    bytes_init(&out);
    bytes_put_u32(&out, TABLE_MAGIC);
    bytes_put_u16(&out, TABLE_VERSION);
    bytes_put_u16(&out, head->marks ? TABLE_FLAG_MARKS : 0);
    bytes_put_u32(&out, head->width);
    bytes_put_u32(&out, 0);
    const uint64_t counts[] = {head->top,          head->rows,        head->retired,
                               head->sketch_lines, head->sketch_hand, head->comings};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        bytes_put_u64(&out, counts[i]);
    }
    bytes_put_u32(&out, head->base_s);
    bytes_put_u32(&out, head->now_s);
    bytes_put_u64(&out, head->touches);
    bytes_put_u64(&out, head->clock_hand);
    bytes_put_u64(&out, head->expire_hand);
    bytes_put_u64(&out, out.failed ? 0 : hash_bytes(out.data, out.size));
    leat_status status = bytes_status(&out, err);
    if (status >= 0) {
        status = sink(context, out.data, out.size, err);
    }
    bytes_deinit(&out);
    return status;
}

static void block_head(uint8_t head[TABLE_BLOCK_HEAD_BYTES], uint32_t count, const void *body,
                       size_t bytes) {
    uint64_t checksum = hash_bytes(body, bytes);
    memcpy(head, &count, sizeof(count));
    memset(head + 4, 0, 4);
    memcpy(head + 8, &checksum, sizeof(checksum));
}

static leat_status write_pieces(const void *data, size_t bytes, state_sink sink, void *context,
                                leat_error *err) {
    const uint8_t *at = data;
    while (bytes > 0) {
        size_t piece = bytes < TABLE_PIECE_BYTES ? bytes : TABLE_PIECE_BYTES;
        uint8_t head[TABLE_BLOCK_HEAD_BYTES];
        block_head(head, (uint32_t)piece, at, piece);
        TRY(sink(context, head, sizeof(head), err));
        TRY(sink(context, at, piece, err));
        at += piece;
        bytes -= piece;
    }
    return LEAT_OK;
}

/* Keys, marks and floats of the rows of a page that are in use. */
static uint32_t gather_rows(const struct table_snapshot *snapshot, uint32_t page,
                            const struct page_space *space) {
    const struct table *table = snapshot->table;
    uint32_t first = page << table->page_shift;
    uint32_t rows = rows_in_page(snapshot, page);
    uint32_t live[TABLE_PAGE_BYTES / 16];
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t bits = snapshot->retired_bits[(first + i) / 64];
        live[count] = i;
        count += (bits >> ((first + i) % 64) & 1) == 0;
    }
    uint8_t *key = space->block + TABLE_BLOCK_HEAD_BYTES;
    uint8_t *mark = key + count * sizeof(uint64_t);
    uint8_t *floats = mark + (snapshot->head.marks ? count * sizeof(uint32_t) : 0);
    const uint8_t *marks = space->image + rows * table->stride;
    size_t row_bytes = (size_t)table->width * sizeof(float);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *record = space->image + live[i] * table->stride;
        memcpy(key + i * sizeof(uint64_t), record, sizeof(uint64_t));
        memcpy(floats + i * row_bytes, record + sizeof(uint64_t), row_bytes);
        if (snapshot->head.marks) {
            memcpy(mark + i * sizeof(uint32_t), marks + live[i] * sizeof(uint32_t),
                   sizeof(uint32_t));
        }
    }
    return count;
}

static leat_status write_page(struct table_snapshot *snapshot, uint32_t page,
                              const struct page_space *space, state_sink sink, void *context,
                              leat_error *err) {
    if (!take_page(snapshot, page, space->image)) {
        size_t bytes = image_bytes(snapshot, rows_in_page(snapshot, page));
        return error_in(err, error_memory(err, bytes), "table snapshot");
    }
    uint32_t rows = gather_rows(snapshot, page, space);
    if (rows == 0) {
        return LEAT_OK;
    }
    size_t bytes = table_body_bytes(snapshot->head.width, snapshot->head.marks, rows);
    block_head(space->block, rows, space->block + TABLE_BLOCK_HEAD_BYTES, bytes);
    return sink(context, space->block, TABLE_BLOCK_HEAD_BYTES + bytes, err);
}

static leat_status write_pages(struct table_snapshot *snapshot, state_sink sink, void *context,
                               leat_error *err) {
    size_t image = image_bytes(snapshot, 1u << snapshot->table->page_shift);
    uint8_t *memory = memory_alloc(2 * image + TABLE_BLOCK_HEAD_BYTES);
    if (!memory) {
        return error_memory(err, 2 * image + TABLE_BLOCK_HEAD_BYTES);
    }
    struct page_space space = {.image = memory, .block = memory + image};
    leat_status status = LEAT_OK;
    for (uint32_t page = 0; page < snapshot->pages && status >= 0; page++) {
        status = write_page(snapshot, page, &space, sink, context, err);
    }
    memory_free(memory);
    return status < 0 ? status : LEAT_OK;
}

leat_status table_snapshot_write(struct table_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err) {
    INVARIANT(!snapshot->written, "a table snapshot is written once");
    snapshot->written = true;
    const struct table_head *head = &snapshot->head;
    TRY(write_head(snapshot, sink, context, err));
    TRY(write_pieces(snapshot->retired, head->retired * sizeof(uint32_t), sink, context, err));
    TRY(write_pieces(snapshot->sketch, head->sketch_lines * SKETCH_LINE_BYTES, sink, context, err));
    return write_pages(snapshot, sink, context, err);
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

static uint64_t digest_rows(const struct table *table, const struct keyed_row *sorted,
                            uint64_t rows) {
    uint64_t digest = rows;
    for (uint64_t i = 0; i < rows; i++) {
        size_t bytes = (size_t)table->width * sizeof(float);
        digest = hash_mix(digest, sorted[i].key);
        digest = hash_mix(digest, hash_bytes(table_floats(table, sorted[i].row), bytes));
    }
    return digest;
}

leat_status table_digest(struct table *table, uint64_t *out, leat_error *err) {
    uint64_t rows = table_rows(table);
    struct keyed_row *sorted = memory_alloc(rows * sizeof(*sorted));
    uint64_t *retired = table_retired_bits(table);
    if (!sorted || !retired) {
        memory_free(sorted);
        memory_free(retired);
        return error_memory(err, rows * sizeof(*sorted));
    }
    uint64_t count = 0;
    for (uint64_t row = 0; row < table_tally(&table->top); row++) {
        if ((retired[row / 64] >> (row % 64) & 1) == 0) {
            sorted[count++] = (struct keyed_row){table_key(table, (uint32_t)row), (uint32_t)row};
        }
    }
    INVARIANT(count == rows, "%llu rows in use, %llu counted", (unsigned long long)count,
              (unsigned long long)rows);
    qsort(sorted, rows, sizeof(*sorted), compare_keys);
    *out = digest_rows(table, sorted, rows);
    memory_free(sorted);
    memory_free(retired);
    return LEAT_OK;
}
