/* Snapshots under change, damage to what is stored, older versions, and that a restored table goes
 * on as the first one would have. */
#include "learn/table_fixture.h"

static const struct table_field fields[KEY_FIELDS_MAX] = {
    [0] = {.expire_s = 100}, [1] = {.admit = 2}, [2] = {.expire_s = 90, .admit = 9}};

static const struct table_options full = {.width = WIDTH,
                                          .bytes_max = 100000,
                                          .evict = true,
                                          .timed = true,
                                          .track = true,
                                          .fields = fields};

/* Everything that a writer may do, from a stream of chance. */
static void change(struct table *table, struct rng *rng, uint32_t now_s) {
    float row[WIDTH];
    uint64_t keys[20];
    uint32_t rows[20];
    for (int i = 0; i < 20; i++) {
        keys[i] = key_make((int)rng_below(rng, 3), hash_mix(rng_below(rng, 4000), 5));
    }
    table_at_batch(table, keys, 20, now_s, fresh_of_key, NULL, rows);
    for (int i = 0; i < 20; i++) {
        if (rows[i] != TABLE_NONE) {
            fill_row(rng, row);
            table_store(table, rows[i], row, 1 + (int)rng_below(rng, WIDTH));
        }
    }
    if (rng_below(rng, 3) == 0) {
        table_remove(table, keys[0]);
        table_expire(table, now_s, 100);
    }
}

static void expect_same_rows(struct table *a, struct table *b) {
    struct bytes left;
    struct bytes right;
    assert_int_equal(digest_of(a), digest_of(b));
    write_table(a, &left);
    write_table(b, &right);
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
    bytes_deinit(&left);
    bytes_deinit(&right);
}

/* Freezes, changes much, writes the snapshot in the middle of changes, restores: the restored table
 * is the one at the freeze, and after the same calls it is the first one again, row numbers, marks,
 * sketch and all. */
static void snapshot_is_the_freeze(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 12);
    struct table *table = table_of(&full);
    uint32_t now_s = 1600000000;
    for (int round = 0; round < 12; round++) {
        struct table_snapshot *snapshot = NULL;
        struct table_snapshot *second = NULL;
        uint64_t frozen = digest_of(table);
        assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_OK);
        assert_int_equal(table_freeze(table, &second, NULL), LEAT_AGAIN);
        struct rng again = rng;
        uint32_t again_s = now_s;
        for (int i = 0; i < 30 * round; i++) {
            change(table, &rng, ++now_s);
        }
        struct bytes out;
        bytes_init(&out);
        assert_int_equal(table_snapshot_write(snapshot, sink_bytes, &out, NULL), LEAT_OK);
        for (int i = 0; i < 10; i++) {
            change(table, &rng, ++now_s);
        }
        table_snapshot_release(snapshot);
        struct table *copy = read_table(&out, &full);
        assert_int_equal(digest_of(copy), frozen);
        while (again_s < now_s) {
            change(copy, &again, ++again_s);
        }
        expect_same_rows(copy, table);
        table_destroy(copy);
        bytes_deinit(&out);
    }
    struct table_stats stats;
    table_stats(table, &stats);
    assert_true(stats.evicted > 100 && stats.expired > 100 && stats.waiting > 100);
    table_destroy(table);
}

/* What a snapshot keeps aside is told, bounded by what changed, and given back. */
static void copies_are_counted(void **state) {
    (void)state;
    struct table *table = new_table(8 << 20);
    float row[WIDTH] = {0};
    for (uint64_t i = 0; i < 50000; i++) {
        table_at(table, i, 0, fresh_copy, row);
    }
    uint64_t bytes = table_bytes(table);
    struct table_snapshot *snapshot = NULL;
    assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_OK);
    for (uint32_t i = 0; i < 100; i++) {
        table_store(table, i * 10, row, WIDTH);
    }
    assert_true(table_bytes(table) > bytes);
    assert_true(table_bytes(table) <= bytes + TABLE_PAGE_BYTES);
    table_store(table, 49999, row, WIDTH);
    assert_true(table_bytes(table) <= bytes + 2ull * TABLE_PAGE_BYTES);
    table_snapshot_release(snapshot);
    assert_int_equal(table_bytes(table), bytes);
    table_destroy(table);
}

/* Two tables with the same rows in another order have the same digest; one float apart, another. */
static void digest_ignores_order(void **state) {
    (void)state;
    struct table *a = new_table(1 << 20);
    struct table *b = new_table(1 << 22);
    for (uint64_t i = 0; i < 1000; i++) {
        float row[WIDTH] = {(float)i};
        float reversed[WIDTH] = {(float)(999 - i)};
        table_at(a, i, 0, fresh_copy, row);
        table_at(b, 999 - i, 0, fresh_copy, reversed);
    }
    assert_int_equal(digest_of(a), digest_of(b));
    assert_true(table_remove(a, 17));
    assert_int_not_equal(digest_of(a), digest_of(b));
    assert_true(table_remove(b, 17));
    assert_int_equal(digest_of(a), digest_of(b));
    float other = 0.5f;
    table_store(b, 7, &other, 1);
    assert_int_not_equal(digest_of(a), digest_of(b));
    table_destroy(a);
    table_destroy(b);
}

/* --- what is stored --- */

static leat_status restore_from(const struct bytes *bytes, size_t size,
                                const struct table_options *options) {
    struct table *table = table_of(options);
    struct bytes_reader reader = bytes_reader_of(bytes->data, size);
    leat_error err = {.status = LEAT_OK};
    leat_status status = table_restore(table, source_bytes, &reader, &err);
    if (status < 0) {
        assert_int_equal(err.status, status);
        assert_int_equal(table_rows(table), 0);
        assert_int_equal(table_find(table, 3), TABLE_NONE);
        table_put(table, 3, (float[WIDTH + 1]){0});
        assert_int_equal(table_find(table, 3), 0);
    }
    table_destroy(table);
    return status;
}

/* A small table with all there is: rows out of use, marks, counts of comings. */
static struct table *sample_table(void) {
    struct table *table = table_of(&full);
    for (uint64_t i = 0; i < 90; i++) {
        uint64_t key = key_make((int)(i % 3), i / 3);
        table_at(table, key, 1000 + (uint32_t)i, fresh_of_key, NULL);
    }
    for (uint64_t i = 0; i < 10; i++) {
        assert_true(table_remove(table, key_make(0, i * 2)));
    }
    table_at(table, key_make(0, 29), 1100, fresh_of_key, NULL);
    return table;
}

static void damage_is_refused(void **state) {
    (void)state;
    struct table *table = sample_table();
    struct bytes out;
    write_table(table, &out);
    table_destroy(table);
    assert_int_equal(restore_from(&out, out.size, &full), LEAT_OK);
    for (size_t at = 0; at < out.size; at++) {
        out.data[at] ^= 0x10;
        assert_true(restore_from(&out, out.size, &full) < 0);
        out.data[at] ^= 0x10;
        assert_int_equal(restore_from(&out, at, &full), LEAT_CORRUPT);
    }
    struct table_options wider = full;
    wider.width++;
    assert_int_equal(restore_from(&out, out.size, &wider), LEAT_CONFLICT);
    struct table_options smaller = full;
    smaller.bytes_max = 11000;
    assert_int_equal(restore_from(&out, out.size, &smaller), LEAT_FULL);
    bytes_deinit(&out);
}

/* Other settings of the fields are no other rows: marks are left or begin anew. */
static void settings_may_change(void **state) {
    (void)state;
    struct table *table = sample_table();
    struct bytes out;
    write_table(table, &out);
    struct table *plain =
        read_table(&out, &(struct table_options){.width = WIDTH, .bytes_max = 1 << 20});
    assert_int_equal(digest_of(plain), digest_of(table));
    bytes_deinit(&out);
    write_table(plain, &out);
    struct table *timed = read_table(&out, &full);
    assert_int_equal(digest_of(timed), digest_of(table));
    assert_int_equal(table_expire(timed, 1180, 1000), 0); /* as if all was seen at 1100 */
    assert_true(table_expire(timed, 1700, 1000) > 0);
    bytes_deinit(&out);
    table_destroy(plain);
    table_destroy(timed);
    table_destroy(table);
}

/* --- versions --- */

static void read_golden(const char *name, struct bytes *out) {
    char path[300];
    snprintf(path, sizeof(path), LEAT_SOURCE_DIR "/tests/golden/%s", name);
    FILE *file = fopen(path, "rb");
    bytes_init(out);
    assert_non_null(file);
    uint8_t data[4096];
    size_t size;
    while ((size = fread(data, 1, sizeof(data), file)) > 0) {
        bytes_append(out, data, size);
    }
    fclose(file);
}

/* The same table is the same bytes, and those bytes are that table. */
static void golden_v2(void **state) {
    (void)state;
    struct table *table = sample_table();
    struct bytes out;
    struct bytes golden;
    write_table(table, &out);
    read_golden("table_v2.bin", &golden);
    assert_int_equal(out.size, golden.size);
    assert_memory_equal(out.data, golden.data, out.size);
    struct table *copy = read_table(&golden, &full);
    expect_same_rows(copy, table);
    table_destroy(copy);
    table_destroy(table);
    bytes_deinit(&golden);
    bytes_deinit(&out);
}

static void put_block(struct bytes *out, const struct bytes *body, uint32_t rows) {
    bytes_put_u32(out, rows);
    bytes_put_u32(out, 0);
    bytes_put_u64(out, hash_bytes(body->data, body->size));
    bytes_append(out, body->data, body->size);
}

/* As version 1 was written: `rows` keys from 100 on, floats of the key. */
static void write_v1(uint32_t rows, struct bytes *out) {
    bytes_init(out);
    bytes_put_u32(out, 0x6C62746Cu);
    bytes_put_u16(out, 1);
    bytes_put_u16(out, 0);
    bytes_put_u32(out, WIDTH);
    bytes_put_u32(out, 0);
    bytes_put_u64(out, rows);
    bytes_put_u64(out, hash_bytes(out->data, out->size));
    for (uint32_t first = 0; first < rows; first += 8) {
        uint32_t count = rows - first < 8 ? rows - first : 8;
        struct bytes body;
        bytes_init(&body);
        for (uint32_t i = 0; i < count; i++) {
            bytes_put_u64(&body, 100 + first + i);
        }
        for (uint32_t i = 0; i < count; i++) {
            float row[WIDTH];
            fresh_of_key(NULL, 100 + first + i, row);
            bytes_append(&body, row, sizeof(row));
        }
        put_block(out, &body, count);
        bytes_deinit(&body);
    }
}

static void version_1_is_read(void **state) {
    (void)state;
    struct bytes old;
    write_v1(21, &old);
    struct table *table = read_table(&old, &full);
    assert_int_equal(table_rows(table), 21);
    for (uint32_t row = 0; row < 21; row++) {
        float expected[WIDTH];
        fresh_of_key(NULL, 100 + row, expected);
        assert_int_equal(table_find(table, 100 + row), row);
        assert_memory_equal(table_row(table, row), expected, sizeof(expected));
    }
    for (size_t at = 0; at < old.size; at++) {
        old.data[at] ^= 0x40;
        assert_true(restore_from(&old, old.size, &full) < 0);
        old.data[at] ^= 0x40;
        assert_int_equal(restore_from(&old, at, &full), LEAT_CORRUPT);
    }
    table_destroy(table);
    bytes_deinit(&old);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_is_the_freeze), cmocka_unit_test(copies_are_counted),
        cmocka_unit_test(digest_ignores_order),   cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(settings_may_change),    cmocka_unit_test(golden_v2),
        cmocka_unit_test(version_1_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
