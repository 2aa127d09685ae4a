/* The table against a naive array, its budget, its snapshots under change, and readers beside the
 * writer (run under the thread sanitizer too). */
#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/thread.h"
#include "learn/learn_test.h"
#include "learn/table.h"

enum { WIDTH = 7, ROWS_MAX = 4000 };

/* What the table must hold: rows in order of arrival. */
struct naive {
    struct map rows; /* key -> row */
    int count;
    uint64_t keys[ROWS_MAX];
    float values[ROWS_MAX][WIDTH];
};

static struct naive naive;

static struct table *new_table(int64_t bytes_max) {
    struct table_options options = {.width = WIDTH, .bytes_max = bytes_max};
    struct table *table = NULL;
    assert_int_equal(table_create(&options, &table, NULL), LEAT_OK);
    return table;
}

static uint64_t digest_of(struct table *table) {
    uint64_t digest = 0;
    assert_int_equal(table_digest(table, &digest, NULL), LEAT_OK);
    return digest;
}

static void fill_row(struct rng *rng, float row[WIDTH]) {
    for (int i = 0; i < WIDTH; i++) {
        row[i] = (float)rng_normal(rng);
    }
}

/* Extremes, a dense range and far ones: any 64-bit value is a key. */
static uint64_t draw_key(struct rng *rng) {
    switch (rng_below(rng, 4)) {
    case 0: return 0 - rng_below(rng, 3);
    case 1: return rng_below(rng, 500);
    case 2: return rng_below(rng, 1000) << 50;
    default: return hash_mix(rng_below(rng, 1500), 3);
    }
}

static void naive_step(struct table *table, struct rng *rng) {
    float row[WIDTH];
    fill_row(rng, row);
    uint64_t key = draw_key(rng);
    uint64_t *known = map_find(&naive.rows, key);
    bool added = false;
    uint32_t at = table_at(table, key, row, &added);
    assert_int_equal(added, known == NULL);
    if (!known) {
        *map_at(&naive.rows, key, NULL) = (uint64_t)naive.count;
        naive.keys[naive.count] = key;
        memcpy(naive.values[naive.count++], row, sizeof(row));
        known = map_find(&naive.rows, key);
    }
    assert_int_equal(at, *known);
    if (rng_below(rng, 2)) {
        int count = (int)rng_below(rng, WIDTH) + 1;
        fill_row(rng, row);
        table_store(table, at, row, count);
        memcpy(naive.values[at], row, (size_t)count * sizeof(float));
    }
}

static void expect_naive(struct table *table) {
    assert_int_equal(table_rows(table), naive.count);
    uint32_t rows[ROWS_MAX];
    table_find_batch(table, naive.keys, naive.count, rows);
    for (int i = 0; i < naive.count; i++) {
        float row[WIDTH];
        assert_int_equal(rows[i], i);
        assert_int_equal(table_find(table, naive.keys[i]), i);
        table_read(table, rows[i], row, WIDTH);
        assert_memory_equal(row, naive.values[i], sizeof(row));
        assert_memory_equal(table_row(table, rows[i]), naive.values[i], sizeof(row));
    }
    assert_int_equal(table_find(table, 0x123456789ABCDEFu), TABLE_NONE);
}

static void equals_naive(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    map_init(&naive.rows);
    naive.count = 0;
    struct table *table = new_table(1 << 20);
    for (int i = 0; i < 12000; i++) {
        naive_step(table, &rng);
        if (i % 3000 == 10) {
            expect_naive(table);
        }
    }
    expect_naive(table);
    assert_true(naive.count > 2000);
    map_deinit(&naive.rows);
    table_destroy(table);
}

/* Freezes, changes much, writes the snapshot in the middle of changes, restores: the restored table
 * is the one at the freeze, row numbers and all. */
static void snapshot_is_the_freeze(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 12);
    map_init(&naive.rows);
    naive.count = 0;
    struct table *table = new_table(1 << 20);
    for (int round = 0; round < 8; round++) {
        struct table_snapshot *snapshot = NULL;
        struct table_snapshot *second = NULL;
        uint64_t frozen = digest_of(table);
        uint64_t rows = table_rows(table);
        uint64_t bytes = table_bytes(table);
        assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_OK);
        assert_int_equal(table_freeze(table, &second, NULL), LEAT_AGAIN);
        for (int i = 0; i < 100 * round; i++) {
            naive_step(table, &rng);
        }
        struct bytes out;
        bytes_init(&out);
        assert_int_equal(table_snapshot_write(snapshot, sink_bytes, &out, NULL), LEAT_OK);
        for (int i = 0; i < 300; i++) {
            naive_step(table, &rng);
        }
        table_snapshot_release(snapshot);
        expect_naive(table);
        struct table *copy = new_table(1 << 20);
        struct bytes_reader reader = bytes_reader_of(out.data, out.size);
        assert_int_equal(table_restore(copy, source_bytes, &reader, NULL), LEAT_OK);
        assert_true(reader.at == reader.end);
        assert_int_equal(digest_of(copy), frozen);
        assert_int_equal(table_rows(copy), rows);
        assert_int_equal(table_bytes(copy), bytes);
        for (uint32_t row = 0; row < rows; row++) {
            assert_int_equal(table_find(copy, naive.keys[row]), row);
        }
        table_destroy(copy);
        bytes_deinit(&out);
    }
    map_deinit(&naive.rows);
    table_destroy(table);
}

/* Two tables with the same rows in another order have the same digest; one float apart, another. */
static void digest_ignores_order(void **state) {
    (void)state;
    struct table *a = new_table(1 << 20);
    struct table *b = new_table(1 << 22);
    bool added;
    for (uint64_t i = 0; i < 1000; i++) {
        float row[WIDTH] = {(float)i};
        float reversed[WIDTH] = {(float)(999 - i)};
        table_at(a, i, row, &added);
        table_at(b, 999 - i, reversed, &added);
    }
    assert_int_equal(digest_of(a), digest_of(b));
    float other = 0.5f;
    table_store(b, 7, &other, 1);
    assert_int_not_equal(digest_of(a), digest_of(b));
    table_destroy(a);
    table_destroy(b);
}

static int fill_up(struct table *table, int keys) {
    const float row[WIDTH] = {0};
    int got = 0;
    for (int i = 0; i < keys; i++) {
        bool added;
        got += table_at(table, (uint64_t)i * 0x9E3779B97F4A7C15u, row, &added) != TABLE_NONE;
    }
    return got;
}

/* The budget is never passed, is used to nine tenths at least, and says the same after a restart.
 */
static void budget_holds(void **state) {
    (void)state;
    const int64_t budgets[] = {20000, 100000, 1 << 20, 5000000};
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
        struct table *table = new_table(budgets[i]);
        int keys = (int)(budgets[i] / 16);
        int got = fill_up(table, keys);
        assert_true(got > 0 && got < keys);
        assert_int_equal(table_rows(table), got);
        assert_int_equal(table_refused(table), keys - got);
        assert_true(table_bytes(table) <= (uint64_t)budgets[i]);
        assert_true(table_bytes(table) * 2 >= (uint64_t)budgets[i]);
        assert_int_equal(table_find(table, (uint64_t)(keys - 1) * 0x9E3779B97F4A7C15u), TABLE_NONE);
        table_destroy(table);
    }
    struct table_options none = {.width = WIDTH, .bytes_max = 1000};
    struct table *table = NULL;
    leat_error err;
    assert_int_equal(table_create(&none, &table, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "1000"));
}

/* Out of memory is a refusal, not a crash, and leaves the table as it was. */
static void memory_may_end(void **state) {
    (void)state;
    struct table_options options = {.width = WIDTH, .bytes_max = 1 << 20};
    for (uint64_t n = 1; n <= 4; n++) {
        struct table *table = NULL;
        memory_fail_at(n);
        assert_int_equal(table_create(&options, &table, NULL), LEAT_MEMORY);
    }
    memory_fail_at(0);
    struct table *table = new_table(1 << 20);
    const float row[WIDTH] = {1};
    bool added;
    memory_fail_at(1);
    assert_int_equal(table_at(table, 9, row, &added), TABLE_NONE);
    assert_int_equal(table_refused(table), 1);
    assert_int_equal(table_at(table, 9, row, &added), 0);
    struct table_snapshot *snapshot = NULL;
    memory_fail_at(1);
    assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_MEMORY);
    assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_OK);
    memory_fail_at(1); /* the copy aside: the writer goes on, the snapshot is lost and says so */
    table_store(table, 0, row, 1);
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(table_snapshot_write(snapshot, sink_bytes, &out, NULL), LEAT_MEMORY);
    bytes_deinit(&out);
    table_snapshot_release(snapshot);
    table_destroy(table);
}

static leat_status restore_from(const struct bytes *bytes, size_t size, int64_t budget, int width) {
    struct table_options options = {.width = width, .bytes_max = budget};
    struct table *table = NULL;
    assert_int_equal(table_create(&options, &table, NULL), LEAT_OK);
    struct bytes_reader reader = bytes_reader_of(bytes->data, size);
    leat_error err = {.status = LEAT_OK};
    leat_status status = table_restore(table, source_bytes, &reader, &err);
    if (status < 0) {
        assert_int_equal(err.status, status);
        assert_int_equal(table_rows(table), 0);
        assert_int_equal(table_find(table, 3), TABLE_NONE);
    }
    table_destroy(table);
    return status;
}

static void damage_is_refused(void **state) {
    (void)state;
    struct table *table = new_table(20000);
    assert_int_equal(fill_up(table, 40), 40);
    struct table_snapshot *snapshot = NULL;
    assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_OK);
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(table_snapshot_write(snapshot, sink_bytes, &out, NULL), LEAT_OK);
    table_snapshot_release(snapshot);
    table_destroy(table);
    assert_int_equal(restore_from(&out, out.size, 20000, WIDTH), LEAT_OK);
    for (size_t at = 0; at < out.size; at++) {
        out.data[at] ^= 0x10;
        assert_true(restore_from(&out, out.size, 20000, WIDTH) < 0);
        out.data[at] ^= 0x10;
        assert_int_equal(restore_from(&out, at, 20000, WIDTH), LEAT_CORRUPT);
    }
    assert_int_equal(restore_from(&out, out.size, 20000, WIDTH + 1), LEAT_CONFLICT);
    assert_int_equal(restore_from(&out, out.size, 2000, WIDTH), LEAT_FULL);
    bytes_deinit(&out);
}

/* --- readers, a snapshot and the writer at the same time --- */

enum { SHARED_KEYS = 3000, WRITES = 30000 };

struct shared {
    struct table *table;
    _Atomic bool stop;
    _Atomic uint64_t seen;
    struct bytes out;
    struct table_snapshot *snapshot;
};

/* Every float of key k is k + n / 16 for some n < 16: a torn or foreign float shows. */
static void check_row(const float *row, uint64_t key) {
    for (int i = 0; i < WIDTH; i++) {
        INVARIANT((uint64_t)row[i] == key, "float %f of key %llu", (double)row[i],
                  (unsigned long long)key);
    }
}

static void *read_rows(void *argument) {
    struct shared *shared = argument;
    struct rng rng;
    rng_init(&rng, (uint64_t)(uintptr_t)&rng);
    while (!atomic_load(&shared->stop)) {
        uint64_t keys[8];
        uint32_t rows[8];
        for (int i = 0; i < 8; i++) {
            keys[i] = rng_below(&rng, SHARED_KEYS);
        }
        table_find_batch(shared->table, keys, 8, rows);
        for (int i = 0; i < 8; i++) {
            float row[WIDTH];
            if (rows[i] != TABLE_NONE) {
                table_read(shared->table, rows[i], row, WIDTH);
                check_row(row, keys[i]);
                atomic_fetch_add_explicit(&shared->seen, 1, memory_order_relaxed);
            }
        }
    }
    return NULL;
}

static void *write_snapshot(void *argument) {
    struct shared *shared = argument;
    leat_status status = table_snapshot_write(shared->snapshot, sink_bytes, &shared->out, NULL);
    INVARIANT(status == LEAT_OK, "status %d", status);
    table_snapshot_release(shared->snapshot);
    return NULL;
}

static void write_rows(struct table *table, struct rng *rng, int writes) {
    for (int n = 0; n < writes; n++) {
        uint64_t key = rng_below(rng, SHARED_KEYS);
        float row[WIDTH];
        for (int i = 0; i < WIDTH; i++) {
            row[i] = (float)key + (float)rng_below(rng, 16) / 16.0f;
        }
        bool added;
        uint32_t at = table_at(table, key, row, &added);
        if (!added) {
            table_store(table, at, row, WIDTH);
        }
    }
}

static void readers_never_wait(void **state) {
    (void)state;
    struct shared shared = {.table = new_table(1 << 20)};
    struct thread readers[2] = {0};
    struct thread snapshots = {0};
    struct rng rng;
    rng_init(&rng, 5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(thread_start(&readers[i], "reader", read_rows, &shared, NULL), LEAT_OK);
    }
    for (int round = 0; round < 6; round++) {
        write_rows(shared.table, &rng, WRITES / 12);
        uint64_t frozen = digest_of(shared.table);
        bytes_init(&shared.out);
        assert_int_equal(table_freeze(shared.table, &shared.snapshot, NULL), LEAT_OK);
        assert_int_equal(thread_start(&snapshots, "snapshot", write_snapshot, &shared, NULL),
                         LEAT_OK);
        write_rows(shared.table, &rng, WRITES / 12);
        thread_join(&snapshots);
        struct table *copy = new_table(1 << 20);
        struct bytes_reader reader = bytes_reader_of(shared.out.data, shared.out.size);
        assert_int_equal(table_restore(copy, source_bytes, &reader, NULL), LEAT_OK);
        assert_int_equal(digest_of(copy), frozen);
        table_destroy(copy);
        bytes_deinit(&shared.out);
    }
    while (atomic_load(&shared.seen) == 0) { /* one core may not have run a reader yet */
    }
    atomic_store(&shared.stop, true);
    thread_join(&readers[0]);
    thread_join(&readers[1]);
    table_destroy(shared.table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_naive),         cmocka_unit_test(snapshot_is_the_freeze),
        cmocka_unit_test(digest_ignores_order), cmocka_unit_test(budget_holds),
        cmocka_unit_test(memory_may_end),       cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(readers_never_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
