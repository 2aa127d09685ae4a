/* Power cuts: whatever a cut leaves of unsynced writes, nothing acknowledged is lost or doubled,
 * and the surviving log gives the same state with and without checkpoints. LEAT_TEST_LONG: more
 * seeds. */
#include "base/map.h"
#include "base/text.h"
#include "engine/engine_fixture.h"

#include <stdlib.h>

enum { PEOPLE = 8, ITEMS = 30, COMMITS = 60, LIVES = 3 };

struct ledger {
    struct map acknowledged; /* event number -> 1 */
    uint64_t next;
};

static void event_number(uint64_t number, char out[24]) {
    snprintf(out, 24, "e%llu", (unsigned long long)number);
}

static void numbered_add(struct fixture *f, struct rng *rng, uint64_t number) {
    static const char *const kinds[] = {"click", "impression", "hide", "item"};
    char id[24];
    char user[16];
    char item[16];
    event_number(number, id);
    snprintf(user, sizeof(user), "u%d", (int)rng_below(rng, PEOPLE));
    snprintf(item, sizeof(item), "i%d", (int)rng_below(rng, ITEMS));
    struct posted_event event = {
        .kind = slice_of(kinds[rng_below(rng, 4)]), .item = slice_of(item), .id = slice_of(id)};
    if (!slice_is(event.kind, "item")) {
        event.user = slice_of(user);
    }
    assert_int_equal(event_add(f->builder, f->config, &event, &f->err), LEAT_OK);
}

/* Appends until the power goes or the work is done; remembers what was acknowledged. */
static void work(struct fixture *f, struct rng *rng, struct ledger *ledger) {
    for (int c = 0; c < COMMITS && !disk_fake_is_cut(f->fake); c++) {
        uint64_t first = ledger->next;
        int events = 1 + (int)rng_below(rng, 4);
        manual_clock_set(&f->clock, clock_now_ms(&f->clock.clock) + 1000);
        for (int e = 0; e < events; e++) {
            numbered_add(f, rng, ledger->next++);
        }
        if (fixture_append(f) == LEAT_OK) {
            for (uint64_t n = first; n < ledger->next; n++) {
                *map_at(&ledger->acknowledged, n, NULL) = 1;
            }
        }
        engine_run(f->engine, UINT64_MAX, NULL);
        struct page page;
        fixture_page(f, (int)rng_below(rng, PEOPLE), 5, false, &page);
        if (rng_below(rng, 10) == 0) {
            engine_checkpoint(f->engine, NULL);
        }
    }
}

/* Every acknowledged event is in the log once; no event is in it twice. */
static void log_check(struct fixture *f, const struct ledger *ledger) {
    struct log_reader *reader;
    struct log_entry entry;
    struct map seen;
    uint64_t found = 0;
    map_init(&seen);
    assert_int_equal(log_reader_open(engine_log(f->engine), 0, &reader, &f->err), LEAT_OK);
    while (log_read(reader, &entry, &f->err) == LEAT_OK) {
        for (int64_t i = 0; entry.batch.schema->id == SCHEMA_EVENT && i < entry.batch.rows; i++) {
            struct slice id = batch_text(&entry.batch, EVENT_ID, i);
            uint64_t number;
            bool added;
            assert_true(text_to_u64((struct slice){id.data + 1, id.size - 1}, &number));
            map_at(&seen, number, &added);
            assert_true(added);
            found += map_find(&ledger->acknowledged, number) != NULL;
        }
    }
    assert_int_equal(found, ledger->acknowledged.count);
    log_reader_close(reader);
    map_deinit(&seen);
}

static void digests_check(struct fixture *f) {
    struct engine_digest with;
    struct engine_digest without;
    assert_int_equal(engine_digest(f->engine, &with, &f->err), LEAT_OK);
    engine_abandon(f->engine);
    fixture_open(f, true, 2);
    assert_int_equal(engine_digest(f->engine, &without, &f->err), LEAT_OK);
    assert_int_equal(with.sequence, without.sequence);
    for (int i = 0; i < with.count; i++) {
        assert_true(with.parts[i].value == without.parts[i].value);
    }
    engine_abandon(f->engine);
}

static void one_seed(uint64_t seed) {
    struct fixture f;
    struct rng rng;
    struct ledger ledger = {0};
    fixture_init(&f, fixture_config, seed);
    rng_init(&rng, seed);
    map_init(&ledger.acknowledged);
    for (int life = 0; life < LIVES; life++) {
        fixture_open(&f, false, 0);
        disk_fake_cut_at(f.fake, disk_fake_steps(f.fake) + 1 + rng_below(&rng, 500));
        work(&f, &rng, &ledger);
        engine_abandon(f.engine);
        builder_clear(f.builder);
        disk_fake_cut_at(f.fake, 0);
        disk_fake_restart(f.fake);
        fixture_open(&f, false, 0);
        log_check(&f, &ledger);
        digests_check(&f);
    }
    map_deinit(&ledger.acknowledged);
    fixture_deinit(&f);
}

/* The seed that runs; printed when the program ends in its midst. */
static uint64_t running;

static void print_running(void) {
    if (running) {
        print_message("failed in seed %llu; again: LEAT_TEST_SEED=%llu\n",
                      (unsigned long long)running, (unsigned long long)running);
    }
}

static void nothing_acknowledged_is_lost(void **state) {
    (void)state;
    const char *only = getenv("LEAT_TEST_SEED");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    uint64_t count = only ? 1 : getenv("LEAT_TEST_LONG") ? 20000 : 200;
    for (uint64_t seed = first; seed < first + count; seed++) {
        running = seed;
        one_seed(seed);
    }
    running = 0;
}

int main(void) {
    atexit(print_running);
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_acknowledged_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
