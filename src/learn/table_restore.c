/* Reading a stored table: table_format.h draws the bytes. */
#include "base/memory.h"
#include "learn/table_format.h"

#include <string.h>

enum { FETCH_AHEAD = 12 };

/* --- heads --- */

static leat_status read_head_v1(struct bytes_reader *reader, struct table_head *out) {
    out->rows = bytes_get_u64(reader);
    out->top = out->rows;
    return LEAT_OK;
}

static void read_head_v2(struct bytes_reader *reader, struct table_head *out) {
    out->top = bytes_get_u64(reader);
    out->rows = bytes_get_u64(reader);
    out->retired = bytes_get_u64(reader);
    out->sketch_lines = bytes_get_u64(reader);
    out->sketch_hand = bytes_get_u64(reader);
    out->comings = bytes_get_u64(reader);
    out->base_s = bytes_get_u32(reader);
    out->now_s = bytes_get_u32(reader);
    out->touches = bytes_get_u64(reader);
    out->clock_hand = bytes_get_u64(reader);
    out->expire_hand = bytes_get_u64(reader);
}

/* What the numbers must be to each other; a head that is not damaged may only be too large. */
static leat_status check_head(const struct table *table, const struct table_head *head,
                              leat_error *err) {
    uint32_t width = (uint32_t)table->width;
    if (head->width != width && !(table->narrow && head->width > width)) {
        return error_set(err, LEAT_CONFLICT, "table rows have %u floats; the model needs %d",
                         head->width, table->width);
    }
    if (head->top > table->rows_max) {
        return error_set(err, LEAT_FULL,
                         "table has %llu rows; the budget holds %llu: raise model.memory",
                         (unsigned long long)head->top, (unsigned long long)table->rows_max);
    }
    uint64_t lines_max = (uint64_t)UINT32_MAX / SKETCH_LINE_WORDS;
    if (head->rows > head->top || head->retired != head->top - head->rows ||
        head->sketch_lines > lines_max ||
        (head->sketch_hand > 0 &&
         head->sketch_hand >= head->sketch_lines * (uint64_t)SKETCH_LINE_WORDS)) {
        return error_set(err, LEAT_CORRUPT,
                         "table head: %llu rows and %llu out of use are not %llu, or a hand is "
                         "outside of %llu lines",
                         (unsigned long long)head->rows, (unsigned long long)head->retired,
                         (unsigned long long)head->top, (unsigned long long)head->sketch_lines);
    }
    return LEAT_OK;
}

static leat_status read_head(const struct table *table, state_source source, void *context,
                             struct table_head *out, leat_error *err) {
    uint8_t head[TABLE_HEAD_BYTES];
    *out = (struct table_head){.width = 0};
    TRY(source(context, head, TABLE_HEAD_V1_BYTES, err));
    struct bytes_reader reader = bytes_reader_of(head, sizeof(head));
    uint32_t magic = bytes_get_u32(&reader);
    uint16_t version = bytes_get_u16(&reader);
    uint16_t flags = bytes_get_u16(&reader);
    out->width = bytes_get_u32(&reader);
    uint32_t zero = bytes_get_u32(&reader);
    if (magic == TABLE_MAGIC && version > TABLE_VERSION) {
        return error_set(err, LEAT_UNSUPPORTED, "table version %u; this build reads %d", version,
                         TABLE_VERSION);
    }
    size_t size = TABLE_HEAD_V1_BYTES;
    if (version == TABLE_VERSION) {
        size = TABLE_HEAD_BYTES;
        TRY(source(context, head + TABLE_HEAD_V1_BYTES, size - TABLE_HEAD_V1_BYTES, err));
        read_head_v2(&reader, out);
    } else {
        TRY(read_head_v1(&reader, out));
    }
    uint64_t checksum = bytes_get_u64(&reader);
    out->marks = flags & TABLE_FLAG_MARKS;
    if (magic != TABLE_MAGIC || version == 0 || zero != 0 ||
        flags > (version == 1 ? 0 : TABLE_FLAG_MARKS) ||
        checksum != hash_bytes(head, size - sizeof(checksum))) {
        return error_set(err, LEAT_CORRUPT, "table head: magic %08x or checksum %016llx is wrong",
                         magic, (unsigned long long)checksum);
    }
    return check_head(table, out, err);
}

/* --- pieces --- */

/* Reads the head of a block and its `count`, of which `bytes_of(count)` is the size. */
static leat_status read_body(state_source source, void *context, size_t unit, uint64_t left,
                             struct bytes *body, uint32_t *count, leat_error *err) {
    uint8_t head[TABLE_BLOCK_HEAD_BYTES];
    TRY(source(context, head, sizeof(head), err));
    struct bytes_reader reader = bytes_reader_of(head, sizeof(head));
    *count = bytes_get_u32(&reader);
    uint32_t zero = bytes_get_u32(&reader);
    uint64_t checksum = bytes_get_u64(&reader);
    size_t bytes = (size_t)*count * unit;
    if (*count == 0 || *count > left || bytes > TABLE_BLOCK_BYTES_MAX || zero != 0) {
        return error_set(err, LEAT_CORRUPT, "table block of %u where %llu are left", *count,
                         (unsigned long long)left);
    }
    bytes_clear(body);
    uint8_t *data = bytes_extend(body, bytes);
    TRY(bytes_status(body, err));
    TRY(source(context, data, bytes, err));
    if (hash_bytes(data, bytes) != checksum) {
        return error_set(err, LEAT_CORRUPT, "table block of %u: checksum %016llx is wrong", *count,
                         (unsigned long long)checksum);
    }
    return LEAT_OK;
}

/* `to` NULL: read and passed over. */
static leat_status read_pieces(state_source source, void *context, void *to, uint64_t bytes,
                               struct bytes *body, leat_error *err) {
    uint64_t at = 0;
    while (at < bytes) {
        uint32_t count = 0;
        TRY(read_body(source, context, 1, bytes - at, body, &count, err));
        if (to) {
            memcpy((uint8_t *)to + at, body->data, count);
        }
        at += count;
    }
    return LEAT_OK;
}

/* Each row number once, below top. */
static leat_status check_retired(const struct table_retired *retired, uint64_t top, uint64_t *bits,
                                 leat_error *err) {
    for (uint64_t i = 0; i < retired->tail; i++) {
        uint32_t row = retired->rows[i];
        if (row >= top || (bits[row / 64] >> (row % 64) & 1)) {
            return error_set(err, LEAT_CORRUPT, "table row %u is out of use twice, or beyond %llu",
                             row, (unsigned long long)top);
        }
        bits[row / 64] |= (uint64_t)1 << (row % 64);
    }
    return LEAT_OK;
}

/* Counters above zero are counted, not believed. A sketch of another size is left: the budget
 * changed, and who waits begins anew. */
static leat_status read_sketch(struct table *table, const struct table_head *head,
                               state_source source, void *context, struct bytes *body,
                               leat_error *err) {
    struct table_sketch *sketch = &table->sketch;
    bool same = head->sketch_lines == sketch->lines;
    TRY(read_pieces(source, context, same ? sketch->words : NULL,
                    head->sketch_lines * SKETCH_LINE_BYTES, body, err));
    uint64_t words = same ? sketch->lines * SKETCH_LINE_WORDS : 0;
    sketch->filled = 0;
    for (uint64_t i = 0; i < words; i++) {
        uint64_t word = sketch->words[i];
        sketch->filled += (uint64_t)__builtin_popcountll((word | word >> 1) & 0x5555555555555555u);
    }
    sketch->hand = same ? head->sketch_hand : 0;
    sketch->comings = head->comings;
    return LEAT_OK;
}

/* --- rows --- */

struct restoring {
    struct table *table;
    const struct table_head *head;
    const uint64_t *retired_bits;
    uint64_t next; /* row number */
    uint32_t seen; /* of rows without a mark: the latest time that the stored table was told */
};

static uint32_t next_row(struct restoring *restoring) {
    const uint64_t *bits = restoring->retired_bits;
    while (bits[restoring->next / 64] >> (restoring->next % 64) & 1) {
        restoring->next++;
    }
    return (uint32_t)restoring->next++;
}

static uint64_t key_in(const uint8_t *body, uint64_t at) {
    uint64_t key;
    memcpy(&key, body + at * sizeof(key), sizeof(key));
    return key;
}

static void fetch_bucket(const struct table *table, uint64_t key) {
    const struct table_index *index = &table->index;
    uint64_t word = atomic_load_explicit(&index->word, memory_order_relaxed);
    __builtin_prefetch(&index->buckets[index_home(word, table_hash(key))], 1);
}

static void put_record(struct restoring *restoring, uint32_t row, uint64_t key, const uint8_t *mark,
                       const uint8_t *floats) {
    struct table *table = restoring->table;
    memcpy(table_record(table, row), &key, sizeof(key));
    memcpy(table_floats(table, row), floats, (size_t)table->width * sizeof(float));
    if (table->timed && restoring->head->marks) {
        memcpy(&table->marks[row], mark, sizeof(uint32_t));
    }
    if (table->timed && (table->marks[row] & SEEN_MAX) == 0) {
        table->marks[row] = restoring->seen; /* of a table that kept none */
    }
}

static leat_status add_rows(struct restoring *restoring, const uint8_t *body, uint32_t rows,
                            leat_error *err) {
    struct table *table = restoring->table;
    const uint8_t *marks = body + (size_t)rows * sizeof(uint64_t);
    const uint8_t *floats = marks + (restoring->head->marks ? (size_t)rows * sizeof(uint32_t) : 0);
    for (uint32_t i = 0; i < rows; i++) {
        uint64_t key = key_in(body, i);
        uint32_t hash = table_hash(key);
        if (i + FETCH_AHEAD < rows) {
            fetch_bucket(table, key_in(body, i + FETCH_AHEAD));
        }
        if (table_seek(table, key, hash) != TABLE_NONE) {
            return error_set(err, LEAT_CORRUPT, "table key %016llx is there twice",
                             (unsigned long long)key);
        }
        uint32_t row = next_row(restoring);
        put_record(restoring, row, key, marks + (size_t)i * sizeof(uint32_t),
                   floats + (size_t)i * (size_t)restoring->head->width * sizeof(float));
        table_index_add(&table->index, hash, row);
    }
    return LEAT_OK;
}

static leat_status read_rows(struct restoring *restoring, state_source source, void *context,
                             struct bytes *body, leat_error *err) {
    const struct table_head *head = restoring->head;
    size_t row_bytes = table_body_bytes(head->width, head->marks, 1);
    for (uint64_t left = head->rows; left > 0;) {
        uint32_t count = 0;
        TRY(read_body(source, context, row_bytes, left, body, &count, err));
        TRY(add_rows(restoring, body->data, count, err));
        left -= count;
    }
    return LEAT_OK;
}

static leat_status read_all(struct table *table, const struct table_head *head, state_source source,
                            void *context, struct bytes *body, leat_error *err) {
    struct table_retired *retired = &table->retired;
    TRY(read_pieces(source, context, retired->rows, head->retired * sizeof(uint32_t), body, err));
    retired->safe = retired->asked = retired->tail = head->retired;
    uint64_t *bits = memory_zalloc(head->top / 8 + 2 * sizeof(*bits));
    if (!bits) {
        return error_memory(err, head->top / 8);
    }
    uint32_t seen = head->now_s > head->base_s ? head->now_s - head->base_s : 1;
    struct restoring restoring = {.table = table,
                                  .head = head,
                                  .retired_bits = bits,
                                  .seen = seen < SEEN_MAX ? seen : SEEN_MAX};
    leat_status status = check_retired(retired, head->top, bits, err);
    if (status >= 0) {
        status = read_sketch(table, head, source, context, body, err);
    }
    if (status >= 0) {
        status = read_rows(&restoring, source, context, body, err);
    }
    memory_free(bits);
    return status;
}

leat_status table_restore(struct table *table, state_source source, void *context,
                          leat_error *err) {
    INVARIANT(table_tally(&table->top) == 0, "restored over %llu rows",
              (unsigned long long)table_rows(table));
    struct table_head head;
    TRY(read_head(table, source, context, &head, err));
    table_clear(table, head.rows);
    struct bytes body;
    bytes_init(&body);
    leat_status status = read_all(table, &head, source, context, &body, err);
    bytes_deinit(&body);
    if (status < 0) {
        table_clear(table, 0);
        return status;
    }
    table->base_s = head.base_s;
    table->now_s = head.now_s;
    table->touches = head.touches;
    table->clock_hand = head.clock_hand;
    table->expire_hand = head.expire_hand;
    atomic_store_explicit(&table->top, head.top, memory_order_relaxed);
    atomic_store_explicit(&table->rows, head.rows, memory_order_relaxed);
    return LEAT_OK;
}
