/* Admission, expiry and eviction: what goes and what stays, and that all of it is a function of the
 * calls. */
#include "learn/table_fixture.h"

#include <math.h>

/* --- admission --- */

static struct table *admitting_table(int64_t bytes_max, uint32_t admit) {
    struct table_field fields[KEY_FIELDS_MAX] = {[1] = {.admit = admit}};
    return table_of(
        &(struct table_options){.width = WIDTH, .bytes_max = bytes_max, .fields = fields});
}

/* Alone in the sketch, a key gets its row at exactly the n-th coming up to four; beyond that at
 * about the n-th. A field without a rule gets its row at the first. */
static void admitted_at_the_nth(void **state) {
    (void)state;
    enum { KEYS = 200 };
    for (uint32_t admit = 2; admit <= 20; admit++) {
        struct table *table = admitting_table(1 << 20, admit);
        uint64_t comings = 0;
        for (uint64_t i = 0; i < KEYS; i++) {
            uint64_t key = key_make(1, hash_mix(i, admit));
            uint32_t n = 1;
            while (table_at(table, key, 0, fresh_of_key, NULL) == TABLE_NONE) {
                n++;
            }
            assert_true(admit > 4 || n == admit);
            comings += n;
        }
        double mean = (double)comings / KEYS;
        assert_true(fabs(mean - admit) < 0.15 * admit);
        assert_int_equal(table_rows(table), KEYS);
        assert_int_not_equal(table_at(table, key_make(0, 1), 0, fresh_of_key, NULL), TABLE_NONE);
        table_destroy(table);
    }
}

/* A long tail of keys that come once, among some that come often: the sketch takes at most 2 bits a
 * key that it keeps out, it keeps most of them out though it is full all the time, and who comes
 * often within a while gets a row. */
static void sketch_keeps_the_tail_out(void **state) {
    (void)state;
    enum { TAIL = 60000, OFTEN = 400, EVERY = 8 };
    struct table *table = admitting_table(1 << 20, 2);
    for (uint64_t i = 0; i < TAIL; i++) {
        table_at(table, key_make(1, hash_mix(i, 1)), 0, fresh_of_key, NULL);
        if (i % EVERY == 0) {
            table_at(table, key_make(1, hash_mix(i / EVERY % OFTEN, 2)), 0, fresh_of_key, NULL);
        }
    }
    int often = 0;
    for (uint64_t i = 0; i < OFTEN; i++) {
        often += table_find(table, key_make(1, hash_mix(i, 2))) != TABLE_NONE;
    }
    uint64_t admitted = table_rows(table) - (uint64_t)often;
    uint64_t refused = TAIL - admitted;
    double bits = (double)(table->sketch.lines * SKETCH_LINE_BYTES * 8) / (double)refused;
    print_message("%.2f bits a refused key, %.1f %% of the tail admitted\n", bits,
                  100.0 * (double)admitted / TAIL);
    assert_int_equal(often, OFTEN);
    assert_true(bits <= 2.0);
    assert_true(admitted * 3 < TAIL);
    table_destroy(table);
}

/* Aging never leaves counters that are not counted. */
static void sketch_counts_what_it_holds(void **state) {
    (void)state;
    enum { LINES = 3 };
    uint64_t words[LINES * SKETCH_LINE_WORDS] = {0};
    struct table_sketch sketch = {.words = words, .lines = LINES};
    for (uint64_t i = 0; i < 20000; i++) {
        table_sketch_admits(&sketch, hash_mix(i % 700, i / 5000), 2 + (uint32_t)(i % 7));
        if (i % 97 == 0) {
            uint64_t filled = 0;
            for (int n = 0; n < LINES * SKETCH_LINE_WORDS * 32; n++) {
                filled += (words[n / 32] >> (n % 32 * 2) & 3) != 0;
            }
            assert_int_equal(filled, sketch.filled);
            assert_true(filled <= LINES * 256 / 2 + 2);
        }
    }
    assert_true(sketch.hand > 0);
}

/* --- expiry --- */

enum { NAIVE_KEYS = 300 };

struct naive_age {
    bool live[NAIVE_KEYS];
    uint32_t seen_s[NAIVE_KEYS];
};

static const uint32_t expire_s[3] = {0, 50, 400};

/* Rows that were not touched for their field's time go, none before, whatever slices are swept;
 * time that goes back makes nobody younger or older. */
static void expires_by_field(void **state) {
    (void)state;
    struct table_field fields[KEY_FIELDS_MAX] = {
        [1] = {.expire_s = expire_s[1]}, [2] = {.expire_s = expire_s[2]}};
    struct table *table = table_of(&(struct table_options){
        .width = WIDTH, .bytes_max = 1 << 20, .timed = true, .fields = fields});
    struct naive_age naive = {.live = {false}};
    struct rng rng;
    rng_init(&rng, 8);
    uint32_t now_s = 1700000000;
    uint64_t expected = 0;
    for (int round = 0; round < 3000; round++) {
        uint64_t k = rng_below(&rng, NAIVE_KEYS);
        now_s += (uint32_t)rng_below(&rng, 5);
        uint32_t told_s = rng_below(&rng, 10) == 0 ? now_s - 30 : now_s;
        table_at(table, key_make((int)(k % 3), k), told_s, fresh_of_key, NULL);
        uint32_t before = naive.live[k] ? naive.seen_s[k] : 0;
        naive.live[k] = true;
        naive.seen_s[k] = told_s > before ? told_s : before;
        if (round % 100 == 99) {
            for (int slice = 0; slice < 4 * NAIVE_KEYS; slice += 60) {
                table_expire(table, now_s, 60);
            }
            for (int i = 0; i < NAIVE_KEYS; i++) {
                uint32_t after = expire_s[i % 3];
                bool went = naive.live[i] && after > 0 && naive.seen_s[i] + after <= now_s;
                expected += went;
                naive.live[i] = naive.live[i] && !went;
                uint32_t row = table_find(table, key_make(i % 3, (uint64_t)i));
                assert_int_equal(row != TABLE_NONE, naive.live[i]);
            }
        }
    }
    struct table_stats stats;
    table_stats(table, &stats);
    assert_int_equal(stats.expired, expected);
    assert_true(expected > 500);
    table_destroy(table);
}

/* Nine years in steps of a month: the zero of `seen` moves on, and ages stay right. */
static void time_goes_on_for_years(void **state) {
    (void)state;
    enum { MONTH_S = 30 * 24 * 3600, MONTHS = 108 };
    struct table_field fields[KEY_FIELDS_MAX] = {[0] = {.expire_s = 3 * MONTH_S}};
    struct table *table = table_of(&(struct table_options){
        .width = WIDTH, .bytes_max = 1 << 20, .timed = true, .fields = fields});
    uint32_t now_s = 1000000000;
    for (uint64_t month = 0; month < MONTHS; month++, now_s += MONTH_S) {
        table_at(table, key_make(0, month), now_s, fresh_of_key, NULL);
        table_at(table, key_make(0, 1000), now_s, fresh_of_key, NULL);
        table_expire(table, now_s, 1000);
        assert_int_equal(table_rows(table), month < 3 ? month + 2 : 4);
        assert_int_not_equal(table_find(table, key_make(0, 1000)), TABLE_NONE);
    }
    table_destroy(table);
}

/* --- eviction --- */

/* By Zipf's law over ten times as many keys as there is room for: most of the most used keys
 * are there at the end, and hits come near to those of the best choice. */
static void keeps_the_most_used(void **state) {
    (void)state;
    enum { DRAWS = 200000, TOP_SHARE = 4 };
    struct table *table = table_of(
        &(struct table_options){.width = WIDTH, .bytes_max = 100000, .evict = true, .timed = true});
    struct rng rng;
    rng_init(&rng, 9);
    uint64_t room = table->rows_max;
    uint64_t keys = room * 10;
    uint64_t hits = 0;
    uint64_t best = 0;
    for (int i = 0; i < DRAWS; i++) {
        /* rank by a density of 1 / rank, from 1 to `keys` */
        uint64_t rank = (uint64_t)exp(rng_unit(&rng) * log((double)keys));
        uint64_t key = hash_mix(rank, 4);
        if (i > DRAWS / 2) {
            hits += table_find(table, key) != TABLE_NONE;
            best += rank <= room;
        }
        assert_int_not_equal(table_at(table, key, 1000 + (uint32_t)i / 50, fresh_of_key, NULL),
                             TABLE_NONE);
        assert_true(table_bytes(table) <= 100000);
    }
    uint64_t kept = 0;
    for (uint64_t rank = 1; rank <= room / TOP_SHARE; rank++) {
        kept += table_find(table, hash_mix(rank, 4)) != TABLE_NONE;
    }
    print_message("%.1f %% of the best choice's hits, %.1f %% of the top quarter kept\n",
                  100.0 * (double)hits / (double)best,
                  100.0 * (double)kept / (double)(room / TOP_SHARE));
    assert_true(kept * 100 >= room / TOP_SHARE * 80);
    assert_true(hits * 100 >= best * 85);
    assert_true(table_rows(table) * 100 >= room * 90);
    table_destroy(table);
}

/* The rows of one call are good together, even where it brings more keys than the table holds. */
static void a_batch_keeps_its_rows(void **state) {
    (void)state;
    enum { BATCH = 3000 };
    struct table *table = table_of(
        &(struct table_options){.width = WIDTH, .bytes_max = 30000, .evict = true, .timed = true});
    static uint64_t keys[BATCH];
    static uint32_t rows[BATCH];
    struct rng rng;
    rng_init(&rng, 10);
    for (int round = 0; round < 50; round++) {
        int count = round % 10 == 9 ? BATCH : 40;
        int got = 0;
        for (int i = 0; i < count; i++) {
            keys[i] = rng_below(&rng, BATCH * 3);
        }
        table_at_batch(table, keys, count, 1000 + (uint32_t)round, fresh_of_key, NULL, rows);
        for (int i = 0; i < count; i++) {
            assert_true(rows[i] == TABLE_NONE || table_key(table, rows[i]) == keys[i]);
            assert_int_equal(table_find(table, keys[i]), rows[i]);
            got += rows[i] != TABLE_NONE;
        }
        assert_true(count == BATCH || got == count);
        assert_true((uint64_t)got > 0);
    }
    table_destroy(table);
}

/* --- the same calls --- */

/* Two tables that are told the same are the same, rows and all. */
static void same_calls_same_table(void **state) {
    (void)state;
    struct table_field fields[KEY_FIELDS_MAX] = {
        [0] = {.expire_s = 300}, [1] = {.admit = 3}, [2] = {.admit = 11, .expire_s = 20}};
    struct table_options options = {
        .width = WIDTH, .bytes_max = 40000, .evict = true, .timed = true, .fields = fields};
    struct table *a = table_of(&options);
    struct table *b = table_of(&options);
    struct rng rng;
    rng_init(&rng, 13);
    for (uint32_t round = 0; round < 800; round++) {
        uint64_t keys[32];
        uint32_t left[32];
        uint32_t right[32];
        for (int i = 0; i < 32; i++) {
            keys[i] = key_make((int)rng_below(&rng, 3), hash_mix(rng_below(&rng, 2000), 6));
        }
        table_at_batch(a, keys, 32, 1000 + round, fresh_of_key, NULL, left);
        table_enter(b);
        table_leave(b);
        table_at_batch(b, keys, 32, 1000 + round, fresh_of_key, NULL, right);
        assert_memory_equal(left, right, sizeof(left));
        assert_int_equal(table_expire(a, 1000 + round, 50), table_expire(b, 1000 + round, 50));
    }
    assert_int_equal(digest_of(a), digest_of(b));
    struct table_stats stats;
    table_stats(a, &stats);
    assert_true(stats.evicted > 0 && stats.expired > 0 && stats.waiting > 0);
    table_destroy(a);
    table_destroy(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(admitted_at_the_nth),         cmocka_unit_test(sketch_keeps_the_tail_out),
        cmocka_unit_test(sketch_counts_what_it_holds), cmocka_unit_test(expires_by_field),
        cmocka_unit_test(time_goes_on_for_years),      cmocka_unit_test(keeps_the_most_used),
        cmocka_unit_test(a_batch_keeps_its_rows),      cmocka_unit_test(same_calls_same_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
