/* The table against a naive one under all that changes it, its index under growth, its budget, and
 * what it does without memory. */
#include "base/map.h"
#include "learn/table_fixture.h"
#include "learn/table_sum.h"

enum { KEYS_MAX = 4000 };

/* What the table must hold. */
struct naive {
    struct map places; /* key -> place */
    int count;
    bool live[KEYS_MAX];
    uint64_t keys[KEYS_MAX];
    float values[KEYS_MAX][WIDTH];
};

static struct naive naive;

static int naive_place(uint64_t key) {
    uint64_t *known = map_find(&naive.places, key);
    if (known) {
        return (int)*known;
    }
    assert_true(naive.count < KEYS_MAX);
    *map_at(&naive.places, key, NULL) = (uint64_t)naive.count;
    naive.keys[naive.count] = key;
    return naive.count++;
}

static int naive_rows(void) {
    int rows = 0;
    for (int i = 0; i < naive.count; i++) {
        rows += naive.live[i];
    }
    return rows;
}

static void naive_add(int place, const float row[WIDTH]) {
    if (!naive.live[place]) {
        naive.live[place] = true;
        memcpy(naive.values[place], row, sizeof(naive.values[place]));
    }
}

static void step_at(struct table *table, struct rng *rng) {
    float row[WIDTH];
    fill_row(rng, row);
    uint64_t key = draw_key(rng);
    uint32_t at = table_at(table, key, 0, fresh_copy, row);
    assert_int_equal(table_key(table, at), key);
    naive_add(naive_place(key), row);
}

/* Some keys are there twice, some are new, some are old. */
static void step_batch(struct table *table, struct rng *rng) {
    enum { BATCH_MAX = 70 };
    float row[WIDTH];
    uint64_t keys[BATCH_MAX];
    uint32_t rows[BATCH_MAX];
    int count = (int)rng_below(rng, BATCH_MAX + 1);
    fill_row(rng, row);
    for (int i = 0; i < count; i++) {
        keys[i] =
            i > 0 && rng_below(rng, 5) == 0 ? keys[rng_below(rng, (uint64_t)i)] : draw_key(rng);
    }
    table_at_batch(table, keys, count, 0, fresh_copy, row, rows);
    for (int i = 0; i < count; i++) {
        assert_int_equal(table_key(table, rows[i]), keys[i]);
        naive_add(naive_place(keys[i]), row);
    }
}

static void step_store(struct table *table, struct rng *rng) {
    float row[WIDTH];
    int count = (int)rng_below(rng, WIDTH) + 1;
    int place = naive.count > 0 ? (int)rng_below(rng, (uint64_t)naive.count) : 0;
    if (naive.count > 0 && naive.live[place]) {
        fill_row(rng, row);
        table_store(table, table_find(table, naive.keys[place]), row, count);
        memcpy(naive.values[place], row, (size_t)count * sizeof(float));
    }
}

static void step_put(struct table *table, struct rng *rng) {
    float row[WIDTH];
    fill_row(rng, row);
    uint64_t key = draw_key(rng);
    assert_int_not_equal(table_put(table, key, row), TABLE_NONE);
    int place = naive_place(key);
    naive.live[place] = true;
    memcpy(naive.values[place], row, sizeof(row));
}

static void step_remove(struct table *table, struct rng *rng) {
    uint64_t key = draw_key(rng);
    int place = naive_place(key);
    assert_int_equal(table_remove(table, key), naive.live[place]);
    naive.live[place] = false;
}

static void naive_step(struct table *table, struct rng *rng) {
    switch (rng_below(rng, 12)) {
    case 0: step_batch(table, rng); break;
    case 1:
    case 2: step_put(table, rng); break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7: step_remove(table, rng); break;
    case 8:
    case 9: step_store(table, rng); break;
    default: step_at(table, rng); break;
    }
}

static void naive_begin(void) {
    map_init(&naive.places);
    naive.count = 0;
    memset(naive.live, 0, sizeof(naive.live));
}

/* Rows are added up in the order of the keys. */
static void expect_sum(struct table *table) {
    float sum[WIDTH] = {0};
    float expected[WIDTH] = {0};
    int found = table_sum_batch(table, naive.keys, naive.count, sum, WIDTH);
    for (int i = 0; i < naive.count; i++) {
        for (int f = 0; f < WIDTH && naive.live[i]; f++) {
            expected[f] += naive.values[i][f];
        }
    }
    assert_int_equal(found, naive_rows());
    assert_memory_equal(sum, expected, sizeof(sum));
}

static void expect_naive(struct table *table) {
    assert_int_equal(table_rows(table), naive_rows());
    uint32_t rows[KEYS_MAX];
    table_find_batch(table, naive.keys, naive.count, rows);
    for (int i = 0; i < naive.count; i++) {
        float row[WIDTH];
        assert_int_equal(rows[i] != TABLE_NONE, naive.live[i]);
        assert_int_equal(table_find(table, naive.keys[i]), rows[i]);
        if (naive.live[i]) {
            table_read(table, rows[i], row, WIDTH);
            assert_memory_equal(row, naive.values[i], sizeof(row));
            assert_memory_equal(table_row(table, rows[i]), naive.values[i], sizeof(row));
        }
    }
    expect_sum(table);
    assert_int_equal(table_find(table, 0x123456789ABCDEFu), TABLE_NONE);
}

static void equals_naive(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 11);
    naive_begin();
    struct table *table = new_table(1 << 20);
    for (int i = 0; i < 20000; i++) {
        naive_step(table, &rng);
        if (i % 1000 == 10) {
            expect_naive(table);
        }
    }
    expect_naive(table);
    assert_true(naive_rows() > 500 && naive.count > 2000);
    map_deinit(&naive.places);
    table_destroy(table);
}

/* Through some dozens of growths every key stays where it is found, whatever part of the index has
 * been moved; then most keys go, and the others stay. */
static void grows_in_place(void **state) {
    (void)state;
    enum { KEYS = 60000, LOOKS = 40 };
    struct table *table = new_table(8 << 20);
    float row[WIDTH] = {0};
    double lowest = 1;
    for (uint64_t i = 0; i < KEYS; i++) {
        row[0] = (float)i;
        assert_int_equal(table_at(table, hash_mix(i, 1), 0, fresh_copy, row), i);
        if (i > 1000) {
            double load = table_index_load(&table->index);
            lowest = load < lowest ? load : lowest;
        }
        for (uint64_t n = 0; i % 16 == 0 && n < LOOKS; n++) {
            uint64_t j = hash_mix(i, n) % (i + 1);
            assert_int_equal(table_find(table, hash_mix(j, 1)), j);
            assert_int_equal(table_find(table, hash_mix(j, 2)), TABLE_NONE);
        }
    }
    assert_true(lowest >= 0.85);
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_int_equal(table_find(table, hash_mix(i, 1)), i);
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        if (i % 10 != 0) {
            assert_true(table_remove(table, hash_mix(i, 1)));
        }
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        assert_int_equal(table_find(table, hash_mix(i, 1)), i % 10 == 0 ? i : TABLE_NONE);
    }
    assert_int_equal(table_rows(table), KEYS / 10);
    table_destroy(table);
}

/* The inverse of hash_mix(key, 0x1EA7) in its first word: keys that all want one bucket. */
static uint64_t key_of_hash(uint64_t h) {
    uint64_t spread = 0x1EA7u * 0x9E3779B97F4A7C15u + 0x7F4A7C15F39CC060u;
    h ^= h >> 33;
    h *= 0x9CB4B2F8129337DBu;
    h ^= h >> 33;
    h *= 0x4F74430C22A54005u;
    h ^= h >> 33;
    return h ^ (spread << 31 | spread >> 33);
}

/* Who chooses keys so that all hashes are one, or a handful, makes the table slow, not wrong. */
static void crowds_are_found(void **state) {
    (void)state;
    enum { KEYS = 3000 };
    static const uint64_t hashes[] = {UINT32_MAX, 1, 0x80000000u, 0};
    struct table *table = new_table(1 << 20);
    float row[WIDTH] = {0};
    assert_int_equal(table_hash(key_of_hash((uint64_t)0xABCD1234u << 32 | 77)), 0xABCD1234u);
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t key = key_of_hash(hashes[i / 16 % 4] << 32 | i);
        assert_int_equal(table_at(table, key, 0, fresh_copy, row), i);
    }
    for (uint64_t i = 0; i < KEYS; i += 2) {
        assert_true(table_remove(table, key_of_hash(hashes[i / 16 % 4] << 32 | i)));
    }
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t key = key_of_hash(hashes[i / 16 % 4] << 32 | i);
        assert_int_equal(table_find(table, key), i % 2 ? i : TABLE_NONE);
    }
    table_destroy(table);
}

static int fill_up(struct table *table, int keys) {
    float row[WIDTH] = {0};
    int got = 0;
    for (int i = 0; i < keys; i++) {
        uint64_t key = (uint64_t)i * 0x9E3779B97F4A7C15u;
        got += table_at(table, key, 0, fresh_copy, row) != TABLE_NONE;
    }
    return got;
}

/* The budget is never passed, is used to nine tenths, and says the same after a restart. */
static void budget_holds(void **state) {
    (void)state;
    const int64_t budgets[] = {30000, 100000, 1 << 20, 5000000};
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
        struct table *table = new_table(budgets[i]);
        int keys = (int)(budgets[i] / 16);
        int got = fill_up(table, keys);
        assert_true(got > 0 && got < keys);
        assert_int_equal(table_rows(table), got);
        assert_int_equal(table_refused(table), keys - got);
        assert_true(table_bytes(table) <= (uint64_t)budgets[i]);
        assert_true(table_bytes(table) * 10 >= (uint64_t)budgets[i] * 9);
        assert_int_equal(table_find(table, (uint64_t)(keys - 1) * 0x9E3779B97F4A7C15u), TABLE_NONE);
        assert_true(table_remove(table, 0));
        assert_int_equal(fill_up(table, 1), 1);
        table_destroy(table);
    }
    struct table_options none = {.width = WIDTH, .bytes_max = 1000};
    struct table *table = NULL;
    leat_error err;
    assert_int_equal(table_create(&none, &table, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "1000"));
}

/* All memory is had when the table is made; a freeze that finds none says so and leaves the table
 * as it was. An index that finds no room for the list of what it moves waits with growing. */
static void memory_may_end(void **state) {
    (void)state;
    struct table_options options = {.width = WIDTH, .bytes_max = 1 << 20, .track = true};
    struct table *table = NULL;
    uint64_t blocks = memory_blocks();
    leat_status status = LEAT_MEMORY;
    uint64_t n = 0;
    while (status != LEAT_OK) {
        memory_fail_at(++n);
        status = table_create(&options, &table, NULL);
        assert_true(status == LEAT_OK || (status == LEAT_MEMORY && memory_blocks() == blocks));
    }
    assert_true(n > 5);
    memory_fail_at(1);
    assert_int_equal(fill_up(table, 1000), 1000);
    assert_int_equal(memory_fail_left(), 0);
    struct table_snapshot *snapshot = NULL;
    memory_fail_at(1);
    assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_MEMORY);
    assert_int_equal(table_freeze(table, &snapshot, NULL), LEAT_OK);
    memory_fail_at(1); /* the copy aside: the writer goes on, the snapshot is lost and says so */
    table_store(table, 0, (float[]){1}, 1);
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(table_snapshot_write(snapshot, sink_bytes, &out, NULL), LEAT_MEMORY);
    bytes_deinit(&out);
    table_snapshot_release(snapshot);
    table_destroy(table);
}

/* --- changes --- */

/* A copy that is told of the changes now and then is equal each time. */
static void changes_make_a_copy(void **state) {
    (void)state;
    enum { ROUNDS = 60, TOLD = 50 };
    struct rng rng;
    rng_init(&rng, 5);
    naive_begin();
    struct table_options options = {.width = WIDTH, .bytes_max = 1 << 20, .track = true};
    struct table *table = table_of(&options);
    struct table *copy = new_table(1 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t keys[TOLD];
        uint32_t rows[TOLD];
        int count;
        for (uint64_t n = rng_below(&rng, 200); n > 0; n--) {
            naive_step(table, &rng);
        }
        while ((count = table_changed(table, keys, rows, TOLD)) > 0) {
            for (int i = 0; i < count; i++) {
                if (rows[i] == TABLE_NONE) {
                    table_remove(copy, keys[i]);
                } else {
                    table_put(copy, keys[i], table_row(table, rows[i]));
                }
            }
        }
        assert_int_equal(count, 0);
        assert_int_equal(digest_of(copy), digest_of(table));
    }
    map_deinit(&naive.places);
    table_destroy(table);
    table_destroy(copy);
}

static void lost_changes_are_told(void **state) {
    (void)state;
    struct table_options options = {.width = 1, .bytes_max = 1 << 20, .track = true};
    struct table *table = table_of(&options);
    uint64_t key;
    uint32_t row;
    float value = 1;
    for (uint64_t i = 0; i <= TABLE_REMOVED_MAX; i++) {
        table_put(table, i, &value);
        table_remove(table, i);
    }
    table_put(table, 5, &value);
    assert_int_equal(table_changed(table, &key, &row, 1), LEAT_FULL);
    assert_int_equal(table_changed(table, &key, &row, 1), 1);
    assert_int_equal(key, 5);
    assert_int_equal(table_changed(table, &key, &row, 1), 0);
    table_destroy(table);
}

/* --- sums --- */

static void sums_are_the_same(void **state) {
    (void)state;
    enum { ROWS = 9, FLOATS = 150 };
    struct rng rng;
    rng_init(&rng, 3);
    float values[ROWS][FLOATS + 1];
    const float *rows[ROWS];
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i <= FLOATS; i++) {
            values[r][i] = (float)rng_normal(&rng);
        }
        rows[r] = values[r] + r % 2;
    }
    for (int floats = 0; floats <= FLOATS; floats++) {
        for (int count = 0; count <= ROWS; count += 3) {
            float expected[FLOATS];
            float sum[FLOATS];
            for (int i = 0; i < FLOATS; i++) {
                expected[i] = sum[i] = (float)i;
            }
            table_sum_scalar(rows, count, floats, expected);
            table_sum_best()(rows, count, floats, sum);
            assert_memory_equal(sum, expected, sizeof(sum));
        }
    }
}

static void buckets_match_the_same(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 4);
    for (int round = 0; round < 5000; round++) {
        struct table_bucket bucket;
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            uint64_t entry = rng_below(&rng, 4) << 32 | rng_below(&rng, 4);
            atomic_init(&bucket.entries[i], entry);
        }
        atomic_init(&bucket.meta, rng_below(&rng, 4) << 32);
        for (uint32_t hash = 0; hash < 4; hash++) {
            assert_int_equal(bucket_match(&bucket, hash), bucket_match_plain(&bucket, hash));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_naive),           cmocka_unit_test(grows_in_place),
        cmocka_unit_test(crowds_are_found),       cmocka_unit_test(budget_holds),
        cmocka_unit_test(memory_may_end),         cmocka_unit_test(changes_make_a_copy),
        cmocka_unit_test(lost_changes_are_told),  cmocka_unit_test(sums_are_the_same),
        cmocka_unit_test(buckets_match_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
