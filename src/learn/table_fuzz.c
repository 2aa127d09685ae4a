/* Checks: bytes given to table_restore are refused, and then leave an empty table, or give a table
 * that, written and restored again, is the same bytes. Either way it goes on: rows are added,
 * found, removed and expire.
 *
 * Checksums would keep the fuzzer out, so the first byte of the input says whether to put right
 * those that a walk over the stored layout (table_format.h) finds. */
#include "learn/learn_test.h"
#include "learn/table_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WIDTH = 7, BUDGET = 100000 }; /* those of tests/golden/table_v2.bin */

static struct table *open_table(void) {
    static const struct table_field fields[KEY_FIELDS_MAX] = {
        [0] = {.expire_s = 100}, [1] = {.admit = 2}, [2] = {.expire_s = 90, .admit = 9}};
    struct table_options options = {.width = WIDTH,
                                    .bytes_max = BUDGET,
                                    .evict = true,
                                    .timed = true,
                                    .track = true,
                                    .fields = fields};
    struct table *table = NULL;
    INVARIANT(table_create(&options, &table, NULL) == LEAT_OK, "no table");
    return table;
}

/* Writes the checksum of `count` bytes at `from` to `to`; false when it does not fit. */
static bool mend(struct bytes *bytes, size_t from, size_t count, size_t to) {
    if (count > bytes->size || from > bytes->size - count || to + sizeof(uint64_t) > bytes->size) {
        return false;
    }
    uint64_t checksum = hash_bytes(bytes->data + from, count);
    memcpy(bytes->data + to, &checksum, sizeof(checksum));
    return true;
}

static uint64_t word_at(const struct bytes *bytes, size_t at) {
    uint64_t word;
    memcpy(&word, bytes->data + at, sizeof(word));
    return word;
}

/* Of blocks whose count is of `unit` bytes, until `left` of them were met. */
static bool mend_blocks(struct bytes *bytes, size_t *at, uint64_t left, size_t unit) {
    while (left > 0 && *at + TABLE_BLOCK_HEAD_BYTES <= bytes->size) {
        uint32_t count;
        memcpy(&count, bytes->data + *at, sizeof(count));
        size_t body = (size_t)count * unit;
        if (count > left || !mend(bytes, *at + TABLE_BLOCK_HEAD_BYTES, body, *at + 8)) {
            return false;
        }
        *at += TABLE_BLOCK_HEAD_BYTES + body;
        left -= count;
    }
    return left == 0;
}

static void mend_all(struct bytes *bytes) {
    size_t at = TABLE_HEAD_BYTES;
    if (!mend(bytes, 0, at - sizeof(uint64_t), at - sizeof(uint64_t))) {
        return;
    }
    uint64_t rows = word_at(bytes, 24);
    uint64_t retired = word_at(bytes, 32);
    uint64_t lines = word_at(bytes, 40);
    bool marks = bytes->data[6] & TABLE_FLAG_MARKS;
    if (mend_blocks(bytes, &at, retired * sizeof(uint32_t), 1) &&
        mend_blocks(bytes, &at, lines * SKETCH_LINE_BYTES, 1)) {
        mend_blocks(bytes, &at, rows, table_body_bytes(WIDTH, marks, 1));
    }
}

static void write_table(struct table *table, struct bytes *out) {
    struct table_snapshot *snapshot = NULL;
    bytes_init(out);
    INVARIANT(table_freeze(table, &snapshot, NULL) == LEAT_OK, "no freeze");
    INVARIANT(table_snapshot_write(snapshot, sink_bytes, out, NULL) == LEAT_OK, "no write");
    table_snapshot_release(snapshot);
}

static void check_rewrite(struct table *table) {
    struct bytes bytes;
    struct bytes again;
    write_table(table, &bytes);
    struct table *copy = open_table();
    struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
    INVARIANT(table_restore(copy, source_bytes, &reader, NULL) == LEAT_OK, "own bytes refused");
    write_table(copy, &again);
    INVARIANT(again.size == bytes.size && memcmp(again.data, bytes.data, bytes.size) == 0,
              "%zu bytes are not the %zu before", again.size, bytes.size);
    table_destroy(copy);
    bytes_deinit(&bytes);
    bytes_deinit(&again);
}

static void fresh_row(void *context, uint64_t key, float *row) {
    (void)context;
    for (int i = 0; i < WIDTH; i++) {
        row[i] = (float)(key >> 40) + (float)i;
    }
}

static void go_on(struct table *table) {
    uint32_t now_s = table->now_s;
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t key = key_make((int)(i % 3), i / 2);
        uint32_t row = table_at(table, key, now_s + (uint32_t)i, fresh_row, NULL);
        INVARIANT(row == table_find(table, key), "row %u is not found", row);
    }
    table_remove(table, key_make(0, 3));
    table_expire(table, now_s + 150, 1000);
    check_rewrite(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct bytes bytes;
    bytes_init(&bytes);
    bytes_append(&bytes, data + 1, size - 1);
    if (data[0] & 1) {
        mend_all(&bytes);
    }
    struct table *table = open_table();
    struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
    leat_error err = {.status = LEAT_OK};
    leat_status status = table_restore(table, source_bytes, &reader, &err);
    if (status < 0) {
        INVARIANT(err.status == status && err.message[0] != '\0', "status %d", status);
        INVARIANT(table_rows(table) == 0 && table_rows(table) == table_out_of_use(table),
                  "a refused table left traces");
    } else {
        check_rewrite(table);
    }
    go_on(table);
    table_destroy(table);
    bytes_deinit(&bytes);
    return 0;
}
