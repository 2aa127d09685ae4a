/* Readers, a snapshot and the writer at the same time, while the index grows, rows go and are used
 * again. Meant for the thread sanitizer too. */
#include "learn/table_epoch.h"
#include "learn/table_fixture.h"

enum { SHARED_KEYS = 3000, WRITES = 20000, ROUNDS = 6 };

struct shared {
    struct table *table;
    _Atomic bool stop;
    _Atomic uint64_t seen;
    _Atomic uint64_t wrong;
    uint64_t steady; /* keys below it are always there */
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

static void read_some(struct shared *shared, struct rng *rng) {
    uint64_t keys[40];
    uint32_t rows[40];
    for (int i = 0; i < 40; i++) {
        keys[i] = rng_below(rng, SHARED_KEYS);
    }
    table_enter(shared->table);
    table_find_batch(shared->table, keys, 40, rows);
    for (int i = 0; i < 40; i++) {
        float row[WIDTH];
        if (rows[i] != TABLE_NONE) {
            table_read(shared->table, rows[i], row, WIDTH);
            check_row(row, keys[i]);
            atomic_fetch_add_explicit(&shared->seen, 1, memory_order_relaxed);
        }
        bool there = keys[i] < shared->steady;
        atomic_fetch_add_explicit(&shared->wrong, there && rows[i] == TABLE_NONE,
                                  memory_order_relaxed);
    }
    table_leave(shared->table);
}

static void *read_rows(void *argument) {
    struct shared *shared = argument;
    struct rng rng;
    rng_init(&rng, (uint64_t)(uintptr_t)&rng);
    while (!atomic_load(&shared->stop)) {
        read_some(shared, &rng);
    }
    return NULL;
}

static void start_readers(struct shared *shared, struct thread readers[2]) {
    for (int i = 0; i < 2; i++) {
        readers[i] = (struct thread){.running = false};
        assert_int_equal(thread_start(&readers[i], "reader", read_rows, shared, NULL), LEAT_OK);
    }
}

static void stop_readers(struct shared *shared, struct thread readers[2]) {
    while (atomic_load(&shared->seen) == 0) { /* one core may not have run a reader yet */
    }
    atomic_store(&shared->stop, true);
    thread_join(&readers[0]);
    thread_join(&readers[1]);
    assert_int_equal(atomic_load(&shared->wrong), 0);
}

static void fresh_row(void *context, uint64_t key, float *row) {
    for (int i = 0; i < WIDTH; i++) {
        row[i] = (float)key + (float)rng_below(context, 16) / 16.0f;
    }
}

/* Keys that come and go and come again, so that rows change hands all the time. */
static void write_rows(struct shared *shared, struct rng *rng, int writes) {
    for (int n = 0; n < writes; n++) {
        uint64_t key = rng_below(rng, SHARED_KEYS);
        float row[WIDTH];
        uint32_t at = table_at(shared->table, key, 1000 + (uint32_t)n / 100, fresh_row, rng);
        fresh_row(rng, key, row);
        table_store(shared->table, at, row, WIDTH);
        if (key >= shared->steady && rng_below(rng, 3) > 0) {
            table_remove(shared->table, key);
        }
    }
}

static void *write_snapshot(void *argument) {
    struct shared *shared = argument;
    leat_status status = table_snapshot_write(shared->snapshot, sink_bytes, &shared->out, NULL);
    INVARIANT(status == LEAT_OK, "status %d", status);
    table_snapshot_release(shared->snapshot);
    return NULL;
}

static void readers_never_wait(void **state) {
    (void)state;
    static const struct table_options options = {
        .width = WIDTH, .bytes_max = 1 << 20, .timed = true, .track = true};
    struct shared shared = {.table = table_of(&options), .steady = 500};
    struct thread readers[2];
    struct thread snapshots = {0};
    struct rng rng;
    rng_init(&rng, 5);
    for (uint64_t key = 0; key < shared.steady; key++) {
        table_at(shared.table, key, 1, fresh_row, &rng);
    }
    start_readers(&shared, readers);
    for (int round = 0; round < ROUNDS; round++) {
        write_rows(&shared, &rng, WRITES / 2 / ROUNDS);
        uint64_t frozen = digest_of(shared.table);
        bytes_init(&shared.out);
        assert_int_equal(table_freeze(shared.table, &shared.snapshot, NULL), LEAT_OK);
        assert_int_equal(thread_start(&snapshots, "snapshot", write_snapshot, &shared, NULL),
                         LEAT_OK);
        write_rows(&shared, &rng, WRITES / 2 / ROUNDS);
        thread_join(&snapshots);
        struct table *copy = read_table(&shared.out, &options);
        assert_int_equal(digest_of(copy), frozen);
        table_destroy(copy);
        bytes_deinit(&shared.out);
    }
    stop_readers(&shared, readers);
    table_destroy(shared.table);
}

/* What was there when the readers came is found by each look-up, however the index moves. */
static void growth_hides_nothing(void **state) {
    (void)state;
    enum { KEYS = 40000 };
    struct shared shared = {.table = new_table(8 << 20), .steady = SHARED_KEYS};
    struct thread readers[2];
    struct rng rng;
    rng_init(&rng, 6);
    for (uint64_t key = 0; key < shared.steady; key++) {
        table_at(shared.table, key, 0, fresh_row, &rng);
    }
    start_readers(&shared, readers);
    for (uint64_t key = SHARED_KEYS; key < KEYS; key++) {
        table_at(shared.table, key, 0, fresh_row, &rng);
    }
    stop_readers(&shared, readers);
    table_destroy(shared.table);
}

/* At the budget every new key takes the row of another. */
static void rows_change_hands(void **state) {
    (void)state;
    static const struct table_options options = {
        .width = WIDTH, .bytes_max = 30000, .evict = true, .timed = true};
    struct shared shared = {.table = table_of(&options)};
    struct thread readers[2];
    struct rng rng;
    struct table_stats stats;
    rng_init(&rng, 7);
    start_readers(&shared, readers);
    for (int n = 0; n < WRITES / 5; n++) {
        uint64_t key = rng_below(&rng, SHARED_KEYS);
        uint32_t now_s = 1000 + (uint32_t)n / 100;
        assert_int_not_equal(table_at(shared.table, key, now_s, fresh_row, &rng), TABLE_NONE);
    }
    stop_readers(&shared, readers);
    table_stats(shared.table, &stats);
    assert_true(stats.evicted > 300);
    table_destroy(shared.table);
}

/* --- epochs --- */

static void *wait_inside(void *argument) {
    struct shared *shared = argument;
    table_epoch_enter();
    table_epoch_enter();
    table_epoch_leave(); /* nested: still inside */
    atomic_fetch_add(&shared->seen, 1);
    while (!atomic_load(&shared->stop)) {
    }
    table_epoch_leave();
    return NULL;
}

/* A grace is not over while somebody is inside who was when it began. */
static void grace_waits_for_who_was_inside(void **state) {
    (void)state;
    struct shared shared = {.table = NULL};
    struct thread thread = {.running = false};
    assert_true(table_grace_over(table_grace_begin()));
    for (int round = 0; round < 3; round++) {
        atomic_store(&shared.seen, 0);
        atomic_store(&shared.stop, false);
        assert_int_equal(thread_start(&thread, "inside", wait_inside, &shared, NULL), LEAT_OK);
        while (atomic_load(&shared.seen) == 0) {
        }
        uint64_t ticket = table_grace_begin();
        for (int i = 0; i < 5; i++) {
            assert_false(table_grace_over(ticket));
        }
        atomic_store(&shared.stop, true);
        thread_join(&thread);
        assert_true(table_grace_over(ticket));
    }
    assert_false(table_epoch_inside());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_never_wait),
        cmocka_unit_test(growth_hides_nothing),
        cmocka_unit_test(rows_change_hands),
        cmocka_unit_test(grace_waits_for_who_was_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
