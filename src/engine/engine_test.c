/* The engine's promises: what is clicked or hidden is gone from the next page; whatever is cut into
 * batches, checkpointed and restarted, the same log gives the same state, weights and pages. */
#include "base/memory.h"
#include "engine/engine_fixture.h"

enum { PEOPLE = 12, ITEMS = 60 };

static void items_add(struct fixture *f) {
    for (int i = 0; i < ITEMS; i++) {
        fixture_add(f, "item", -1, i);
    }
    assert_int_equal(fixture_append(f), LEAT_OK);
}

/* A random stretch of life: pages are asked for and logged, seen, clicked, hidden; time passes. */
static void live(struct fixture *f, struct rng *rng, int rounds) {
    for (int r = 0; r < rounds; r++) {
        int user = (int)rng_below(rng, PEOPLE);
        int commits = 1 + (int)rng_below(rng, 3);
        manual_clock_set(&f->clock, clock_now_ms(&f->clock.clock) + (int64_t)rng_below(rng, 20000));
        assert_int_equal(engine_run(f->engine, UINT64_MAX, &f->err), LEAT_OK);
        struct page page;
        assert_int_equal(fixture_page(f, user, 5, false, &page), LEAT_OK);
        for (int c = 0; c < commits; c++) {
            fixture_add(f, "impression", user, (int)rng_below(rng, ITEMS));
            fixture_add(f, "click", user, (int)rng_below(rng, ITEMS));
            if (rng_below(rng, 8) == 0) {
                fixture_add(f, "hide", user, (int)rng_below(rng, ITEMS));
            }
            if (rng_below(rng, 40) == 0) {
                fixture_add(f, "item_delete", -1, (int)rng_below(rng, ITEMS));
            }
            if (rng_below(rng, 60) == 0) {
                fixture_add(f, "forget", (int)rng_below(rng, PEOPLE), -1);
            }
            assert_int_equal(fixture_append(f), LEAT_OK);
        }
    }
    assert_int_equal(engine_run(f->engine, UINT64_MAX, &f->err), LEAT_OK);
}

static void digest_equal(const struct engine_digest *a, const struct engine_digest *b) {
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        if (a->parts[i].value != b->parts[i].value) {
            print_error("digests of %s differ\n", a->parts[i].name);
        }
        assert_true(a->parts[i].value == b->parts[i].value);
    }
}

static void pages_print(struct fixture *f, struct bytes *out) {
    for (int user = 0; user < PEOPLE; user++) {
        struct page page;
        assert_int_equal(fixture_page(f, user, 10, true, &page), LEAT_OK);
        for (int i = 0; i < page.count; i++) {
            bytes_printf(out, "%d %s %.*s %.17g %.9g %u %s\n", user, page.request,
                         (int)page.items[i].item.size, page.items[i].item.data, page.items[i].score,
                         (double)page.items[i].scores[0], page.items[i].channels,
                         page.items[i].reason);
        }
    }
}

/* The state and pages of the log as another opening sees them. */
static void reopen_and_compare(struct fixture *f, bool without_checkpoints, int batch_rows,
                               const struct engine_digest *want, const struct bytes *pages) {
    fixture_open(f, without_checkpoints, batch_rows);
    struct engine_digest have;
    assert_int_equal(engine_digest(f->engine, &have, &f->err), LEAT_OK);
    digest_equal(&have, want);
    struct bytes now;
    bytes_init(&now);
    pages_print(f, &now);
    assert_true(now.size > 0 && now.size == pages->size);
    assert_memory_equal(now.data, pages->data, now.size);
    bytes_deinit(&now);
    engine_abandon(f->engine);
}

static void same_log_same_everything(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fixture f;
        struct rng rng;
        fixture_init(&f, fixture_config, seed);
        rng_init(&rng, seed);
        fixture_open(&f, false, 0);
        items_add(&f);
        live(&f, &rng, 60);
        assert_int_equal(engine_checkpoint(f.engine, &f.err), LEAT_OK);
        live(&f, &rng, 60);
        struct engine_digest digest;
        struct bytes pages;
        bytes_init(&pages);
        assert_int_equal(engine_digest(f.engine, &digest, &f.err), LEAT_OK);
        pages_print(&f, &pages);
        engine_abandon(f.engine);
        reopen_and_compare(&f, false, 0, &digest, &pages); /* checkpoint, then what followed */
        const int batches[] = {0, 1, 3, 7, 1000};
        for (size_t b = 0; b < sizeof(batches) / sizeof(batches[0]); b++) {
            reopen_and_compare(&f, true, batches[b], &digest, &pages);
        }
        bytes_deinit(&pages);
        fixture_deinit(&f);
    }
}

/* Commits of hundreds of rows, so that runner.threads share the work. */
static void threads_change_nothing(void **state) {
    (void)state;
    static const char *const kinds[] = {"click", "click", "click", "impression", "hide"};
    struct fixture f;
    struct rng rng;
    fixture_init(&f, fixture_config, 3);
    rng_init(&rng, 3);
    fixture_open(&f, true, 0);
    items_add(&f);
    for (int commit = 0; commit < 12; commit++) {
        manual_clock_set(&f.clock, clock_now_ms(&f.clock.clock) + (int64_t)rng_below(&rng, 40000));
        for (int i = 0; i < 300; i++) {
            fixture_add(&f, kinds[rng_below(&rng, 5)], (int)rng_below(&rng, PEOPLE),
                        (int)rng_below(&rng, ITEMS));
        }
        assert_int_equal(fixture_append(&f), LEAT_OK);
    }
    assert_int_equal(engine_run(f.engine, UINT64_MAX, &f.err), LEAT_OK);
    struct engine_digest digest;
    struct bytes pages;
    bytes_init(&pages);
    assert_int_equal(engine_digest(f.engine, &digest, &f.err), LEAT_OK);
    pages_print(&f, &pages);
    engine_abandon(f.engine);
    const int threads[] = {2, 4, 8};
    for (size_t t = 0; t < sizeof(threads) / sizeof(threads[0]); t++) {
        f.config->runner.threads = threads[t];
        reopen_and_compare(&f, true, 0, &digest, &pages);
        reopen_and_compare(&f, true, 97, &digest, &pages);
    }
    bytes_deinit(&pages);
    fixture_deinit(&f);
}

/* `full`: a page's served rows were lost before, as only closing tells. */
static void close_and_compare(bool full) {
    struct fixture f;
    struct rng rng;
    fixture_init(&f, fixture_config, 9);
    rng_init(&rng, 9);
    fixture_open(&f, false, 0);
    items_add(&f);
    live(&f, &rng, 30);
    struct engine_digest digest;
    assert_int_equal(engine_digest(f.engine, &digest, &f.err), LEAT_OK);
    if (full) {
        struct page page;
        disk_fake_bound(f.fake, disk_fake_bytes(f.fake));
        assert_int_equal(fixture_page(&f, 1, 5, false, &page), LEAT_OK);
        assert_true(page.count > 0);
        disk_fake_bound(f.fake, 0);
    }
    assert_int_equal(engine_close(f.engine, &f.err), full ? LEAT_FULL : LEAT_OK);
    struct engine_options options = {.config = f.config,
                                     .disk = disk_fake_disk(f.fake),
                                     .clock = &f.clock.clock,
                                     .inline_mode = true};
    struct engine_report report;
    assert_int_equal(engine_open(&options, &f.engine, &report, &f.err), LEAT_OK);
    assert_int_equal(report.checkpoint_sequence, digest.sequence);
    struct engine_digest again;
    assert_int_equal(engine_digest(f.engine, &again, &f.err), LEAT_OK);
    digest_equal(&again, &digest);
    engine_abandon(f.engine);
    fixture_deinit(&f);
}

static void close_writes_a_checkpoint(void **state) {
    (void)state;
    close_and_compare(false);
    close_and_compare(true);
}

/* --- what must never be on a page --- */

struct life {
    bool clicked[ITEMS], hidden[ITEMS], seen[ITEMS], deleted[ITEMS];
};

static void page_check(struct fixture *f, const struct life *life, int user) {
    struct page page;
    assert_int_equal(fixture_page(f, user, 10, true, &page), LEAT_OK);
    for (int i = 0; i < page.count; i++) {
        int item = atoi(page.items[i].item.data + 1);
        assert_false(life->clicked[item] || life->hidden[item] || life->seen[item] ||
                     life->deleted[item]);
        for (int j = 0; j < i; j++) {
            assert_true(page.items[i].hash != page.items[j].hash);
        }
    }
}

static void history_step(struct fixture *f, struct life *life, struct rng *rng, int user) {
    int item = (int)rng_below(rng, ITEMS);
    switch (rng_below(rng, 8)) {
    case 0:
        fixture_add(f, "hide", user, item);
        life->hidden[item] = true;
        break;
    case 1:
        fixture_add(f, "impression", user, item);
        life->seen[item] = true;
        break;
    case 2:
        fixture_add(f, "item_delete", -1, item);
        life->deleted[item] = true;
        break;
    case 3:
        fixture_add(f, "item", -1, item);
        life->deleted[item] = false;
        break;
    default:
        fixture_add(f, "click", user, item);
        life->clicked[item] = true;
        break;
    }
    if (rng_below(rng, 200) == 0) {
        fixture_add(f, "forget", user, -1);
        memset(life->clicked, 0, sizeof(life->clicked));
        memset(life->hidden, 0, sizeof(life->hidden));
        memset(life->seen, 0, sizeof(life->seen));
    }
}

/* 10,000 histories: each person's is as long as it comes, and every step is followed by a page. */
static void gone_is_gone(void **state) {
    (void)state;
    enum { HISTORIES = 10000, WORLDS = 20 };
    for (int world = 0; world < WORLDS; world++) {
        struct fixture f;
        struct rng rng;
        static struct life lives[HISTORIES / WORLDS];
        fixture_init(&f, fixture_config, (uint64_t)world);
        rng_init(&rng, (uint64_t)world);
        fixture_open(&f, true, 0);
        items_add(&f);
        bool deleted[ITEMS] = {false};
        memset(lives, 0, sizeof(lives));
        for (int user = 0; user < HISTORIES / WORLDS; user++) {
            struct life *life = &lives[user];
            memcpy(life->deleted, deleted, sizeof(deleted));
            int steps = 1 + (int)rng_below(&rng, 4);
            for (int s = 0; s < steps; s++) {
                history_step(&f, life, &rng, user);
            }
            memcpy(deleted, life->deleted, sizeof(deleted));
            assert_int_equal(fixture_append(&f), LEAT_OK);
            assert_int_equal(engine_run(f.engine, f.end, &f.err), LEAT_OK);
            page_check(&f, life, user);
        }
        engine_abandon(f.engine);
        fixture_deinit(&f);
    }
}

/* A request allocates from its own arena only: once that is warm, a page costs no allocation. */
static void a_page_allocates_nothing(void **state) {
    (void)state;
    struct fixture f;
    struct rng rng;
    struct page page;
    fixture_init(&f, fixture_config, 3);
    rng_init(&rng, 3);
    fixture_open(&f, true, 0);
    items_add(&f);
    live(&f, &rng, 40);
    for (int user = 0; user < PEOPLE; user++) {
        assert_int_equal(fixture_page(&f, user, 10, true, &page), LEAT_OK);
    }
    uint64_t before = memory_allocations();
    for (int user = 0; user < PEOPLE; user++) {
        assert_int_equal(fixture_page(&f, user, 10, true, &page), LEAT_OK);
        assert_true(page.count > 0);
    }
    assert_int_equal(memory_allocations(), before);
    engine_abandon(f.engine);
    fixture_deinit(&f);
}

static void a_second_process_is_kept_out(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, fixture_config, 1);
    fixture_open(&f, false, 0);
    struct engine_options options = {.config = f.config,
                                     .disk = disk_fake_disk(f.fake),
                                     .clock = &f.clock.clock,
                                     .inline_mode = true};
    struct engine *second;
    assert_int_equal(engine_open(&options, &second, NULL, &f.err), LEAT_CONFLICT);
    engine_abandon(f.engine);
    fixture_deinit(&f);
}

static void key_groups_stay(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, fixture_config, 1);
    fixture_open(&f, false, 0);
    engine_abandon(f.engine);
    f.config->root.key_groups = 16;
    struct engine_options options = {.config = f.config,
                                     .disk = disk_fake_disk(f.fake),
                                     .clock = &f.clock.clock,
                                     .inline_mode = true};
    assert_int_equal(engine_open(&options, &f.engine, NULL, &f.err), LEAT_CONFLICT);
    assert_non_null(strstr(f.err.message, "key_groups"));
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_log_same_everything),  cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(close_writes_a_checkpoint), cmocka_unit_test(gone_is_gone),
        cmocka_unit_test(a_page_allocates_nothing),  cmocka_unit_test(a_second_process_is_kept_out),
        cmocka_unit_test(key_groups_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
