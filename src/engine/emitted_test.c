/* Files of examples after a crash: cut back to the checkpoint's place, whatever was written behind
 * it, and gone on from there. */
#include "base/disk_fake.h"
#include "engine/emitted.h"
#include "flow/example_file.h"
#include "flow/example_fixture.h"

#include <unistd.h>

static const struct config_examples config = {.folder = "live", .file = 40960, .keep = 0};
static struct disk *disk;

static struct emitted *open_at(uint64_t sequence, const char *note, leat_status expected) {
    struct emitted *emitted = NULL;
    const struct emitted_options options = {.disk = disk, .config = &config, .log_id = 7};
    leat_error err = {.message = ""};
    leat_status status = emitted_open(&options, sequence, note, &emitted, &err);
    if (status != expected) {
        fail_msg("%s", err.message);
    }
    return emitted;
}

static void push(struct emitted *emitted, uint64_t from, uint64_t to) {
    for (uint64_t sequence = from; sequence < to; sequence++) {
        struct rng rng;
        struct made_example made;
        rng_init(&rng, sequence);
        made_example(&rng, sequence, &made);
        assert_int_equal(emitted_push(emitted, &made.example, NULL), LEAT_OK);
    }
}

static leat_status read_one(void *context, const char *name) {
    uint64_t *next = context;
    char path[PATH_BYTES_MAX];
    struct example_reader *reader;
    struct batch batch;
    if (!strstr(name, ".frames")) {
        return LEAT_OK;
    }
    assert_int_equal(path_join(path, config.folder, name, NULL), LEAT_OK);
    assert_int_equal(example_reader_open(disk, path, &reader, NULL), LEAT_OK);
    leat_status status;
    while ((status = example_reader_next(reader, &batch, NULL)) == LEAT_OK) {
        for (int64_t row = 0; row < batch.rows; row++) {
            assert_int_equal(batch_u64(&batch, EXAMPLE_SEQUENCE, row), (*next)++);
        }
    }
    assert_int_equal(status, LEAT_END);
    example_reader_close(reader);
    return LEAT_OK;
}

/* The files hold [from, to), each once. */
static void holds(uint64_t from, uint64_t to) {
    uint64_t next = from;
    assert_int_equal(disk_list(disk, config.folder, read_one, &next, NULL), LEAT_OK);
    assert_int_equal(next, to);
}

static void test_a_crash_is_cut_back(void **state) {
    (void)state;
    char note[EMITTED_NOTE_MAX];
    struct emitted *emitted = open_at(5, NULL, LEAT_OK);
    push(emitted, 5, 60);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_OK);
    assert_int_equal(emitted_sync(emitted, note, NULL), LEAT_OK);
    holds(5, 60);
    push(emitted, 60, 400);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_OK); /* no checkpoint tells of this one */
    emitted_close(emitted);
    holds(5, 400);
    emitted = open_at(60, note, LEAT_OK);
    holds(5, 60);
    push(emitted, 60, 70);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_OK);
    emitted_close(emitted);
    holds(5, 70);
    (void)open_at(60, "", LEAT_CONFLICT); /* some would be missing */
    (void)open_at(60, "4 60 0", LEAT_CONFLICT);
    emitted = open_at(2, "", LEAT_OK); /* all are made again */
    push(emitted, 2, 9);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_OK);
    emitted_close(emitted);
    holds(2, 9);
}

/* A sync that failed may have given up what it was to save, and the next one says that all is well:
 * so no place is marked any more, and a restart makes again what is behind the last one. */
static void test_a_failed_sync_is_the_last(void **state) {
    (void)state;
    struct disk *real = disk;
    struct disk_fake *fake;
    char note[EMITTED_NOTE_MAX], none[EMITTED_NOTE_MAX];
    assert_int_equal(disk_fake_create(3, &fake, NULL), LEAT_OK);
    disk = disk_fake_disk(fake);
    struct emitted *emitted = open_at(5, NULL, LEAT_OK);
    push(emitted, 5, 60);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_OK);
    assert_int_equal(emitted_sync(emitted, note, NULL), LEAT_OK);
    push(emitted, 60, 90);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_OK);
    disk_fake_fail_at(fake, disk_fake_steps(fake) + 1, DISK_FAULT_LOST);
    leat_error err = {.message = ""};
    assert_int_equal(emitted_sync(emitted, none, &err), LEAT_IO);
    assert_non_null(strstr(err.message, "restart"));
    assert_int_equal(emitted_sync(emitted, none, NULL), LEAT_IO);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_IO);
    emitted_close(emitted);
    emitted = open_at(60, note, LEAT_OK);
    push(emitted, 60, 90);
    assert_int_equal(emitted_mark(emitted, NULL), LEAT_OK);
    assert_int_equal(emitted_sync(emitted, note, NULL), LEAT_OK);
    emitted_close(emitted);
    holds(5, 90);
    disk_fake_destroy(fake);
    disk = real;
}

static int make_disk(void **state) {
    (void)state;
    disk = disk_real();
    char folder[] = "/tmp/leat-emitted-XXXXXX";
    return !mkdtemp(folder) || chdir(folder) != 0;
}

static int remove_disk(void **state) {
    (void)state;
    return disk_remove_tree(disk, "live", NULL) < 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crash_is_cut_back),
        cmocka_unit_test(test_a_failed_sync_is_the_last),
    };
    return cmocka_run_group_tests(tests, make_disk, remove_disk);
}
