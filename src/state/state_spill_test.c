/* A state several times its budget beside one in memory: the same answers, digests, due times and
 * snapshots; the budget holds; a file that fails says so. */
#include "base/disk_fake.h"
#include "base/thread.h"
#include "state/state_fixture.h"

enum { GROUPS = 3, KEYS = 24000, BUDGET = 1500 << 10 };

struct twins {
    struct disk_fake *fake;
    struct state_budget budget;
    struct state *spilled, *plain;
    struct rng rng;
};

static struct state *spilled_open(struct twins *twins) {
    struct state_options options = {.name = "fixture", .groups = GROUPS, .budget = &twins->budget};
    struct state *state;
    leat_error err = {0};
    leat_status status = state_open(&options, &state, &err);
    if (status != LEAT_OK) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(status, LEAT_OK);
    return state;
}

static void twins_open(struct twins *twins, uint64_t seed) {
    memset(twins, 0, sizeof(*twins));
    rng_init(&twins->rng, seed);
    twins->budget.bytes_max = BUDGET;
    assert_int_equal(disk_fake_create(seed, &twins->fake, NULL), LEAT_OK);
    twins->budget.spill_disk = disk_fake_disk(twins->fake);
    twins->budget.spill_folder = "/";
    twins->budget.spill_bytes_max = 64 << 20;
    twins->spilled = spilled_open(twins);
    twins->plain = fixture_open(GROUPS, NULL);
}

static void twins_close(struct twins *twins) {
    state_close(twins->plain);
    state_close(twins->spilled);
    assert_int_equal(twins->budget.bytes_used, 0);
    disk_fake_destroy(twins->fake);
}

/* Mostly few keys, now and then any. */
static uint32_t draw(struct rng *rng) {
    double u = rng_unit(rng);
    return (uint32_t)(u * u * u * u * KEYS);
}

static void twins_check(struct twins *twins, uint32_t number) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    uint32_t size[2];
    state_enter(twins->spilled, key.hash);
    state_enter(twins->plain, key.hash);
    const void *spilled = state_get(twins->spilled, &key, &size[0], NULL);
    const void *plain = state_get(twins->plain, &key, &size[1], NULL);
    assert_int_equal(spilled != NULL, plain != NULL);
    if (plain) {
        assert_int_equal(size[0], size[1]);
        assert_memory_equal(spilled, plain, size[0]);
    }
    state_leave(twins->plain, key.hash);
    state_leave(twins->spilled, key.hash);
}

static void twins_step(struct twins *twins) {
    struct rng *rng = &twins->rng;
    uint32_t number = draw(rng);
    uint32_t size = (uint32_t)rng_below(rng, number % 601 ? 700 : 9000);
    int fill = (int)rng_below(rng, 256);
    int64_t due_ms = 1 + (int64_t)rng_below(rng, 5000000);
    switch (rng_below(rng, 10)) {
    case 0:
        assert_int_equal(fixture_remove(twins->spilled, number),
                         fixture_remove(twins->plain, number));
        break;
    case 1:
        assert_int_equal(fixture_set_due(twins->spilled, number, due_ms),
                         fixture_set_due(twins->plain, number, due_ms));
        break;
    case 2:
    case 3:
    case 4: twins_check(twins, number); break;
    default:
        fixture_put(twins->spilled, number, size, fill);
        fixture_put(twins->plain, number, size, fill);
    }
}

static void twins_due(struct twins *twins, int64_t now_ms) {
    struct state_key key[2];
    char id[2][STATE_ID_MAX + 1];
    int64_t due_ms[2];
    for (;;) {
        bool due = state_next_due(twins->spilled, now_ms, &key[0], id[0], &due_ms[0]);
        assert_int_equal(due, state_next_due(twins->plain, now_ms, &key[1], id[1], &due_ms[1]));
        if (!due) {
            return;
        }
        assert_int_equal(due_ms[0], due_ms[1]);
        assert_string_equal(id[0], id[1]);
        assert_true(key[0].kind == key[1].kind && key[0].part == key[1].part);
    }
}

static void twins_run(struct twins *twins, int steps) {
    for (int step = 0; step < steps; step++) {
        twins_step(twins);
        if (step % 64 == 0) {
            assert_int_equal(state_trim(&twins->spilled, 1, NULL), LEAT_OK);
            assert_true(twins->budget.bytes_used <= BUDGET);
        }
    }
}

static void test_same_answers(void **context) {
    (void)context;
    struct twins twins;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        twins_open(&twins, seed);
        for (int round = 0; round < 6; round++) {
            twins_run(&twins, 12000);
            assert_true(fixture_digest(twins.spilled) == fixture_digest(twins.plain));
            twins_due(&twins, round * 400000);
            assert_int_equal(state_count(twins.spilled), state_count(twins.plain));
        }
        uint64_t fetched, written;
        state_spill_counts(twins.spilled, &fetched, &written);
        assert_true(fetched > 1000 && written > 4 * BUDGET / 3);
        assert_true(state_bytes(twins.plain) > 2 * BUDGET);
        struct slice id = {"user-a4", 7};
        for (int i = 0; i < 2; i++) {
            struct state *state = i ? twins.plain : twins.spilled;
            state_enter(state, hash_slice(id));
            state_remove_all(state, hash_slice(id), id);
            state_leave(state, hash_slice(id));
        }
        assert_true(fixture_digest(twins.spilled) == fixture_digest(twins.plain));
        assert_false(state_failed(twins.spilled));
        twins_close(&twins);
    }
}

/* --- snapshots --- */

struct kept {
    struct state_page_image image;
    uint8_t *data;
    bool listed;
};

struct keeper {
    struct kept pages[4096];
    uint32_t count;
    uint64_t since;
};

static leat_status keep_page(void *context, const struct state_page_image *image, leat_error *err) {
    (void)err;
    struct keeper *keeper = context;
    uint32_t place = 0;
    while (place < keeper->count && (keeper->pages[place].image.group != image->group ||
                                     keeper->pages[place].image.number != image->number)) {
        place++;
    }
    assert_true(place < 4096);
    keeper->count += place == keeper->count;
    struct kept *kept = &keeper->pages[place];
    kept->listed = true;
    if (!image->data) {
        assert_int_equal(kept->image.version, image->version);
        return LEAT_OK;
    }
    free(kept->data);
    kept->data = aligned_alloc(64, (image->bytes + 63u) & ~63u);
    memcpy(kept->data, image->data, image->bytes);
    kept->image = *image;
    return LEAT_OK;
}

static int page_order(const void *left, const void *right) {
    const struct state_page_image *a = &((const struct kept *)left)->image;
    const struct state_page_image *b = &((const struct kept *)right)->image;
    return a->group != b->group ? (a->group < b->group ? -1 : 1)
                                : (a->number < b->number ? -1 : a->number > b->number);
}

static void keeper_restore(struct keeper *keeper, struct state *state) {
    qsort(keeper->pages, keeper->count, sizeof(keeper->pages[0]), page_order);
    for (uint32_t i = 0; i < keeper->count; i++) {
        struct state_page_image image = keeper->pages[i].image;
        image.data = keeper->pages[i].data;
        if (keeper->pages[i].listed) {
            leat_error err = {0};
            if (state_restore_page(state, &image, &err) != LEAT_OK) {
                fail_msg("%s", err.message);
            }
        }
    }
    assert_int_equal(state_restore_end(state, keeper->since, NULL), LEAT_OK);
}

static void test_snapshots(void **context) {
    (void)context;
    static struct keeper keeper;
    struct twins twins;
    twins_open(&twins, 7);
    twins_run(&twins, 20000);
    for (int round = 0; round < 8; round++) {
        uint64_t digest = fixture_digest(twins.plain);
        struct state_snapshot *snapshot;
        assert_int_equal(state_freeze(twins.spilled, &snapshot, NULL), LEAT_OK);
        for (uint32_t i = 0; i < keeper.count; i++) {
            keeper.pages[i].listed = false;
        }
        for (uint32_t group = 0; group < GROUPS; group++) {
            twins_run(&twins, 700); /* goes on, and spills, while the snapshot is written */
            assert_int_equal(
                state_snapshot_pages(snapshot, group, keeper.since, keep_page, &keeper, NULL),
                LEAT_OK);
        }
        twins_run(&twins, 300);
        keeper.since = state_snapshot_version(snapshot);
        state_snapshot_release(snapshot);
        struct state *plain = fixture_open(GROUPS, NULL);
        keeper_restore(&keeper, plain);
        assert_true(fixture_digest(plain) == digest);
        state_close(plain);
    }
    /* Back into a small memory, and on from there. */
    struct twins again;
    twins_open(&again, 8);
    keeper_restore(&keeper, again.spilled);
    assert_int_equal(state_trim(&again.spilled, 1, NULL), LEAT_OK);
    assert_true(again.budget.bytes_used <= BUDGET);
    struct state *plain = fixture_open(GROUPS, NULL);
    keeper_restore(&keeper, plain);
    state_close(again.plain);
    again.plain = plain;
    twins_run(&again, 3000);
    assert_true(fixture_digest(again.spilled) == fixture_digest(again.plain));
    twins_close(&again);
    twins_close(&twins);
    for (uint32_t i = 0; i < keeper.count; i++) {
        free(keeper.pages[i].data);
    }
}

/* A block is the same bytes, wherever the records lie. */
static void test_blocks(void **context) {
    (void)context;
    struct twins twins;
    twins_open(&twins, 3);
    twins_run(&twins, 20000);
    struct state_snapshot *snapshot[2];
    assert_int_equal(state_freeze(twins.spilled, &snapshot[0], NULL), LEAT_OK);
    assert_int_equal(state_freeze(twins.plain, &snapshot[1], NULL), LEAT_OK);
    for (uint32_t group = 0; group < GROUPS; group++) {
        struct bytes block[2];
        for (int i = 0; i < 2; i++) {
            bytes_init(&block[i]);
            assert_int_equal(
                state_snapshot_write(snapshot[i], group, fixture_sink, &block[i], NULL), LEAT_OK);
        }
        assert_int_equal(block[0].size, block[1].size);
        assert_memory_equal(block[0].data, block[1].data, block[0].size);
        bytes_deinit(&block[0]);
        bytes_deinit(&block[1]);
        twins_run(&twins, 200);
    }
    state_snapshot_release(snapshot[0]);
    state_snapshot_release(snapshot[1]);
    twins_close(&twins);
}

static bool file_holds(struct twins *twins, const char *word) {
    struct bytes file;
    bytes_init(&file);
    assert_int_equal(
        disk_get(disk_fake_disk(twins->fake), "//fixture.spill", 64 << 20, &file, NULL), LEAT_OK);
    bool found = false;
    size_t length = strlen(word);
    for (size_t at = 0; !found && at + length <= file.size; at++) {
        found = memcmp(file.data + at, word, length) == 0;
    }
    bytes_deinit(&file);
    return found;
}

/* Some of a person's records lie in the file, some came back, some were removed before. */
static void test_scrub(void **context) {
    (void)context;
    struct twins twins;
    twins_open(&twins, 5);
    struct slice id = slice_of("person-to-forget");
    for (uint64_t part = 0; part < 60; part++) {
        struct state_key key = {hash_slice(id), id, 1, part};
        void *data;
        state_enter(twins.spilled, key.hash);
        assert_int_equal(state_put(twins.spilled, &key, 100, &data, NULL), LEAT_OK);
        memcpy(data, "secret-words", 12);
        state_leave(twins.spilled, key.hash);
    }
    twins_run(&twins, 30000);
    assert_true(file_holds(&twins, "secret-words"));
    state_enter(twins.spilled, hash_slice(id));
    for (uint64_t part = 0; part < 20; part++) {
        struct state_key key = {hash_slice(id), id, 1, part};
        uint32_t size;
        assert_non_null(state_get(twins.spilled, &key, &size, NULL));
        if (part < 10) {
            assert_true(state_remove(twins.spilled, &key));
        }
    }
    assert_int_equal(state_remove_all(twins.spilled, hash_slice(id), id), 50);
    state_leave(twins.spilled, hash_slice(id));
    assert_true(file_holds(&twins, "secret-words")); /* dead, but there */
    assert_int_equal(state_scrub(twins.spilled, NULL), LEAT_OK);
    assert_false(file_holds(&twins, "secret-words"));
    assert_false(file_holds(&twins, "person-to-forget"));
    assert_true(fixture_digest(twins.spilled) == fixture_digest(twins.plain));
    twins_close(&twins);
}

/* A file that cannot be read or written: trimming says so and keeps the records; a look-up that
 * cannot be answered makes the state failed. */
static void test_failures(void **context) {
    (void)context;
    struct twins twins;
    twins_open(&twins, 6);
    twins_run(&twins, 20000);
    leat_error err = {0};
    for (int i = 0; i < 3000; i++) {
        twins_step(&twins);
    }
    disk_fake_fail_at(twins.fake, disk_fake_steps(twins.fake) + 1, DISK_FAULT_IO);
    leat_status status = LEAT_OK;
    for (int i = 0; i < 50 && status == LEAT_OK; i++) {
        for (int step = 0; step < 200; step++) {
            uint32_t number = KEYS + (uint32_t)(i * 200 + step);
            fixture_put(twins.spilled, number, 300, 1);
            fixture_put(twins.plain, number, 300, 1);
        }
        status = state_trim(&twins.spilled, 1, &err);
    }
    assert_int_equal(status, LEAT_IO);
    assert_true(strstr(err.message, "fixture.spill") != NULL);
    assert_int_equal(state_failure(twins.spilled, &err), LEAT_OK);
    assert_true(fixture_digest(twins.spilled) == fixture_digest(twins.plain));
    assert_int_equal(state_trim(&twins.spilled, 1, &err), LEAT_OK);
    disk_fake_fail_at(twins.fake, disk_fake_steps(twins.fake) + 1, DISK_FAULT_IO);
    for (uint32_t number = 0; number < KEYS && !state_failed(twins.spilled); number++) {
        char id[FIXTURE_ID_BYTES];
        struct state_key key = fixture_key(number, id);
        uint32_t size;
        state_enter(twins.spilled, key.hash);
        state_get(twins.spilled, &key, &size, NULL);
        state_leave(twins.spilled, key.hash);
    }
    assert_true(state_failed(twins.spilled));
    assert_int_equal(state_failure(twins.spilled, &err), LEAT_IO);
    assert_true(strstr(err.message, "fixture.spill: could not be read") != NULL);
    /* Nothing is made that may be there: who missed it would take the new one for the old. */
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(2 * KEYS, id);
    void *data;
    state_enter(twins.spilled, key.hash);
    assert_int_equal(state_put(twins.spilled, &key, 8, &data, &err), LEAT_IO);
    state_leave(twins.spilled, key.hash);
    twins_close(&twins);
}

/* --- readers bring records back while a writer goes on and trims --- */

enum { WANTED = 100, ROUNDS_MIN = 4, ROUNDS_MAX = 10000 };

struct reading {
    struct state *state;
    _Atomic bool stop;
    _Atomic uint64_t found;
};

static void *read_along(void *context) {
    struct reading *reading = context;
    struct rng rng;
    rng_init(&rng, 99);
    while (!atomic_load(&reading->stop)) {
        char id[FIXTURE_ID_BYTES];
        struct state_key key = fixture_key((uint32_t)rng_below(&rng, KEYS), id);
        uint32_t size;
        state_enter(reading->state, key.hash);
        const uint8_t *data = state_get(reading->state, &key, &size, NULL);
        if (data && size > 0) {
            assert_int_equal(data[0], data[size - 1]); /* as fixture_put fills it */
            atomic_fetch_add(&reading->found, 1);
        }
        state_leave(reading->state, key.hash);
    }
    return NULL;
}

static void test_readers(void **context) {
    (void)context;
    struct twins twins;
    twins_open(&twins, 11);
    twins_run(&twins, 10000);
    struct reading reading = {.state = twins.spilled};
    struct thread thread;
    assert_int_equal(thread_start(&thread, "reader", read_along, &reading, NULL), LEAT_OK);
    uint64_t digest[2];
    for (int round = 0; round < ROUNDS_MIN || atomic_load(&reading.found) <= WANTED; round++) {
        assert_true(round < ROUNDS_MAX); /* a reader that nobody lets run */
        for (int step = 0; step < 6000; step++) {
            uint32_t number = draw(&twins.rng);
            int fill = (int)rng_below(&twins.rng, 256);
            fixture_put(twins.spilled, number, 300, fill);
            fixture_put(twins.plain, number, 300, fill);
            if (step % 64 == 0) {
                assert_int_equal(state_trim(&twins.spilled, 1, NULL), LEAT_OK);
            }
        }
    }
    atomic_store(&reading.stop, true);
    thread_join(&thread);
    digest[0] = fixture_digest(twins.spilled);
    digest[1] = fixture_digest(twins.plain);
    assert_true(digest[0] == digest[1]);
    twins_close(&twins);
}

/* A full file: the budget refuses again. */
static void test_full(void **context) {
    (void)context;
    struct twins twins;
    twins_open(&twins, 4);
    struct state_options options = {.name = "small", .groups = GROUPS, .budget = &twins.budget};
    twins.budget.spill_bytes_max = 256 << 10;
    struct state *state;
    assert_int_equal(state_open(&options, &state, NULL), LEAT_OK);
    leat_status status = LEAT_OK;
    uint32_t number = 0;
    for (; status == LEAT_OK && number < KEYS; number++) {
        char id[FIXTURE_ID_BYTES];
        struct state_key key = fixture_key(number, id);
        void *data;
        state_enter(state, key.hash);
        status = state_put(state, &key, 200, &data, NULL);
        state_leave(state, key.hash);
        assert_int_equal(state_trim(&state, 1, NULL), LEAT_OK);
    }
    assert_int_equal(status, LEAT_FULL);
    assert_true(number > (BUDGET + (256 << 10)) / 400);
    assert_true(twins.budget.bytes_used <= BUDGET + (64 << 10));
    assert_false(state_failed(state));
    state_close(state);
    twins_close(&twins);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_answers), cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_blocks),       cmocka_unit_test(test_scrub),
        cmocka_unit_test(test_failures),     cmocka_unit_test(test_readers),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
