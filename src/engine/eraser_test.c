/* A forgotten person, end to end on a simulated disk: after engine_tidy no byte of the data folder
 * spells the id, whatever power cuts came between, and what is restored equals what lived on. And
 * retention: what it leaves starts from a checkpoint, or says why it does not. */
#define _GNU_SOURCE /* memmem */
#include "engine/engine_fixture.h"

#include <stdlib.h>

static const char eraser_config[] =
    "data: d\n"
    "key_groups: 8\n"
    "log: {segment: 65536, heartbeat: 1h, retain: 65536}\n"
    "flow: {negatives: 2, negative_ring: 64}\n"
    "actions:\n"
    "  click: {window: 1m, weight: 1}\n"
    "surfaces:\n"
    "  for_you: {show: 10, candidates: 200, channels: {similar: 50, trending: 50, fresh: 50, "
    "explore: 20}}\n";

enum { ITEMS = 30, FORGOTTEN = 987654321 };
#define FORGOTTEN_NAME "u987654321"

static int person_of(struct rng *rng) {
    return rng_below(rng, 4) == 0 ? FORGOTTEN : (int)rng_below(rng, 8);
}

/* A stretch of life; ends early when the power goes. */
static void live(struct fixture *f, struct rng *rng, int rounds, bool forgotten_too) {
    for (int r = 0; r < rounds && !disk_fake_is_cut(f->fake); r++) {
        int user = forgotten_too ? person_of(rng) : (int)rng_below(rng, 8);
        manual_clock_set(&f->clock, clock_now_ms(&f->clock.clock) + (int64_t)rng_below(rng, 20000));
        struct page page;
        fixture_page(f, user, 5, false, &page);
        fixture_add(f, "item", -1, (int)rng_below(rng, ITEMS));
        fixture_add(f, "impression", user, (int)rng_below(rng, ITEMS));
        fixture_add(f, "click", user, (int)rng_below(rng, ITEMS));
        fixture_append(f);
        engine_run(f->engine, UINT64_MAX, NULL);
        if (rng_below(rng, 20) == 0) {
            engine_checkpoint(f->engine, NULL);
        }
    }
}

static void forget(struct fixture *f) {
    fixture_add(f, "forget", FORGOTTEN, -1);
    assert_int_equal(fixture_append(f), LEAT_OK);
}

/* --- the bytes of the folder --- */

static leat_status list_name(void *context, const char *name) {
    bytes_append(context, name, strlen(name) + 1);
    return LEAT_OK;
}

/* Files that hold the text, of a folder and those in it. */
static int files_with(struct fixture *f, const char *folder, const char *text) {
    struct bytes names;
    int found = 0;
    bytes_init(&names);
    assert_int_equal(disk_list(disk_fake_disk(f->fake), folder, list_name, &names, &f->err),
                     LEAT_OK);
    for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
        char path[PATH_BYTES_MAX];
        size_t size = 0;
        assert_int_equal(path_join(path, folder, (char *)names.data + at, NULL), LEAT_OK);
        const uint8_t *content = disk_fake_content(f->fake, path, &size);
        found +=
            content ? memmem(content, size, text, strlen(text)) != NULL : files_with(f, path, text);
    }
    bytes_deinit(&names);
    return found;
}

static void digests_equal(struct fixture *f, const struct engine_digest *before) {
    struct engine_digest after;
    assert_int_equal(engine_digest(f->engine, &after, &f->err), LEAT_OK);
    assert_int_equal(after.sequence, before->sequence);
    for (int i = 0; i < after.count; i++) {
        assert_true(after.parts[i].value == before->parts[i].value);
    }
}

static uint64_t pending(struct fixture *f) {
    struct engine_erasures erasures;
    engine_erasures(f->engine, &erasures);
    return erasures.pending;
}

/* --- erasing --- */

static void a_forgotten_person_leaves_no_byte(void **state) {
    (void)state;
    struct fixture f;
    struct rng rng;
    fixture_init(&f, fixture_config, 1);
    rng_init(&rng, 5);
    fixture_open(&f, false, 0);
    live(&f, &rng, 300, true);
    assert_int_equal(engine_checkpoint(f.engine, &f.err), LEAT_OK);
    assert_true(files_with(&f, "d", FORGOTTEN_NAME) > 1);
    forget(&f);
    assert_int_equal(pending(&f), 1);
    live(&f, &rng, 20, false);
    assert_int_equal(engine_tidy(f.engine, &f.err), LEAT_OK);
    assert_int_equal(pending(&f), 0);
    assert_int_equal(files_with(&f, "d", FORGOTTEN_NAME), 0);
    assert_true(files_with(&f, "d", "u3") > 0); /* the search does find */
    struct engine_digest digest;
    live(&f, &rng, 40, false);
    assert_int_equal(engine_digest(f.engine, &digest, &f.err), LEAT_OK);
    engine_abandon(f.engine);
    fixture_open(&f, false, 3); /* from the checkpoint of before the rows after it */
    digests_equal(&f, &digest);
    live(&f, &rng, 10, true); /* the person may come back */
    assert_int_equal(engine_tidy(f.engine, &f.err), LEAT_OK);
    assert_true(files_with(&f, "d", FORGOTTEN_NAME) > 0);
    engine_abandon(f.engine);
    fixture_deinit(&f);
}

static void check_cut(uint64_t seed) {
    struct fixture f;
    struct rng rng;
    fixture_init(&f, seed % 2 ? fixture_config : eraser_config, seed);
    rng_init(&rng, seed);
    fixture_open(&f, false, 0);
    live(&f, &rng, 60, true);
    forget(&f);
    disk_fake_cut_at(f.fake, disk_fake_steps(f.fake) + 1 + rng_below(&rng, 120));
    engine_tidy(f.engine, NULL);
    live(&f, &rng, 5, false);
    engine_abandon(f.engine);
    builder_clear(f.builder);
    disk_fake_cut_at(f.fake, 0);
    disk_fake_restart(f.fake);
    fixture_open(&f, false, 0);
    assert_int_equal(engine_tidy(f.engine, &f.err), LEAT_OK);
    assert_int_equal(pending(&f), 0);
    assert_int_equal(files_with(&f, "d", FORGOTTEN_NAME), 0);
    struct engine_digest digest;
    assert_int_equal(engine_digest(f.engine, &digest, &f.err), LEAT_OK);
    engine_abandon(f.engine);
    fixture_open(&f, false, 0);
    digests_equal(&f, &digest);
    engine_abandon(f.engine);
    fixture_deinit(&f);
}

static void power_cuts_delay_it_at_most(void **state) {
    (void)state;
    const char *only = getenv("LEAT_TEST_SEED");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    uint64_t count = only ? 1 : getenv("LEAT_TEST_LONG") ? 2000 : 40;
    for (uint64_t seed = first; seed < first + count; seed++) {
        check_cut(seed);
    }
}

/* --- retention --- */

static void remove_checkpoints(struct fixture *f) {
    struct disk *disk = disk_fake_disk(f->fake);
    assert_int_equal(disk_remove_tree(disk, "d/checkpoints", &f->err), LEAT_OK);
}

static void a_log_without_its_beginning_wants_a_checkpoint(void **state) {
    (void)state;
    struct fixture f;
    struct rng rng;
    fixture_init(&f, eraser_config, 3);
    rng_init(&rng, 9);
    fixture_open(&f, false, 0);
    live(&f, &rng, 700, false);
    assert_int_equal(log_begin(engine_log(f.engine)), 0);
    assert_int_equal(engine_checkpoint(f.engine, &f.err), LEAT_OK);
    assert_int_equal(engine_checkpoint(f.engine, &f.err), LEAT_OK);
    assert_int_equal(engine_tidy(f.engine, &f.err), LEAT_OK);
    uint64_t begin = log_begin(engine_log(f.engine));
    assert_true(begin > 0);
    struct engine_digest digest;
    live(&f, &rng, 10, false);
    assert_int_equal(engine_digest(f.engine, &digest, &f.err), LEAT_OK);
    engine_abandon(f.engine);
    fixture_open(&f, false, 0);
    assert_int_equal(log_begin(engine_log(f.engine)), begin);
    digests_equal(&f, &digest);
    engine_abandon(f.engine);
    remove_checkpoints(&f);
    for (int without = 0; without < 2; without++) {
        struct engine_options options = {.config = f.config,
                                         .disk = disk_fake_disk(f.fake),
                                         .clock = &f.clock.clock,
                                         .inline_mode = true,
                                         .without_checkpoints = without};
        leat_status status = engine_open(&options, &f.engine, NULL, &f.err);
        assert_int_equal(status, LEAT_CONFLICT);
        assert_non_null(strstr(f.err.message, "the log begins at"));
        assert_non_null(strstr(f.err.message, "d/checkpoints"));
        assert_non_null(strstr(f.err.message, "another folder"));
    }
    fixture_deinit(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forgotten_person_leaves_no_byte),
        cmocka_unit_test(power_cuts_delay_it_at_most),
        cmocka_unit_test(a_log_without_its_beginning_wants_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
