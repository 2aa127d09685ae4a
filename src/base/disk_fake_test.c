/* What a power cut may leave, against naive expectations of it. */
#include "base/disk_fake.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h wants them before it. */
#include <cmocka.h>

#define TRY_TEST(call) assert_int_equal((call), LEAT_OK)

static struct disk_fake *fake_new(uint64_t seed) {
    struct disk_fake *fake;
    TRY_TEST(disk_fake_create(seed, &fake, NULL));
    return fake;
}

static struct file *open_file(struct disk_fake *fake, const char *path) {
    struct file *file;
    TRY_TEST(file_open(disk_fake_disk(fake), path, FILE_WRITE, &file, NULL));
    return file;
}

static void write_fill(struct file *file, char value, size_t count, uint64_t offset) {
    char data[4096];
    assert_true(count <= sizeof(data));
    memset(data, value, count);
    TRY_TEST(file_write(file, data, count, offset, NULL));
}

/* The content as text, or "-" when the file is not there; until the next call. */
static const char *content_text(struct disk_fake *fake, const char *path) {
    static char text[8192];
    size_t size;
    const uint8_t *content = disk_fake_content(fake, path, &size);
    if (!content) {
        return "-";
    }
    assert_true(size < sizeof(text));
    memcpy(text, content, size);
    text[size] = '\0';
    return text;
}

/* --- bytes --- */

enum { BYTES = 3000, BYTE_VALUES = 8 };

/* All that one byte, and the size, may be after a cut. */
struct byte_model {
    uint8_t durable[BYTES];
    bool possible[BYTES][BYTE_VALUES];
    bool size_possible[BYTES + 1];
    size_t size; /* current */
};

static void model_settle(struct byte_model *model, const uint8_t *bytes, size_t size) {
    memset(model->possible, 0, sizeof(model->possible));
    memset(model->size_possible, 0, sizeof(model->size_possible));
    for (size_t i = 0; i < BYTES; i++) {
        model->durable[i] = i < size ? bytes[i] : 0;
        model->possible[i][model->durable[i]] = true;
        model->possible[i][0] |= i >= size;
    }
    model->size_possible[size] = true;
    model->size = size;
}

static void model_write(struct byte_model *model, uint8_t value, size_t count, size_t offset) {
    for (size_t i = offset; i < offset + count; i++) {
        model->possible[i][value] = true;
        /* A tear ends at a sector of the file, never inside one. */
        model->size_possible[i] |= i % 512 == 0;
    }
    model->size_possible[offset + count] = true;
    model->size = offset + count > model->size ? offset + count : model->size;
}

static void model_truncate(struct byte_model *model, size_t size) {
    for (size_t i = size; i < BYTES; i++) {
        model->possible[i][0] = true; /* cut off, and then extended by a later write */
    }
    model->size_possible[size] = true;
    model->size = size;
}

/* Random writes, truncations and syncs of one file; then a cut. */
static void bytes_script(struct disk_fake *fake, struct byte_model *model, struct rng *rng) {
    struct file *file = open_file(fake, "f");
    for (uint64_t left = 1 + rng_below(rng, 12); left > 0; left--) {
        uint64_t kind = rng_below(rng, 8);
        size_t offset = rng_below(rng, BYTES - 1);
        size_t count = 1 + rng_below(rng, BYTES - offset);
        uint8_t value = (uint8_t)(1 + rng_below(rng, BYTE_VALUES - 1));
        if (kind == 0) {
            size_t size;
            TRY_TEST(file_sync(file, NULL));
            const uint8_t *content = disk_fake_content(fake, "f", &size);
            model_settle(model, content, size);
        } else if (kind == 1) {
            TRY_TEST(file_truncate(file, offset, NULL));
            model_truncate(model, offset);
        } else {
            write_fill(file, (char)value, count, offset);
            model_write(model, value, count, offset);
        }
    }
    file_close(file);
}

static void test_bytes_after_a_cut(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        struct byte_model model;
        struct disk_fake *fake = fake_new(seed);
        TRY_TEST(disk_fake_set(fake, "f", "", 0));
        model_settle(&model, NULL, 0);
        for (int cuts = 0; cuts < 3; cuts++) {
            bytes_script(fake, &model, &rng);
            disk_fake_restart(fake);
            size_t size;
            const uint8_t *content = disk_fake_content(fake, "f", &size);
            assert_true(size <= BYTES && model.size_possible[size]);
            for (size_t i = 0; i < size; i++) {
                assert_true(content[i] < BYTE_VALUES && model.possible[i][content[i]]);
            }
            model_settle(&model, content, size);
        }
        disk_fake_destroy(fake);
    }
}

static void test_synced_bytes_survive(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct disk_fake *fake = fake_new(seed);
        struct file *file = open_file(fake, "f");
        TRY_TEST(disk_sync_folder(disk_fake_disk(fake), ".", NULL));
        write_fill(file, 'a', 700, 0);
        write_fill(file, 'b', 700, 700);
        TRY_TEST(file_sync(file, NULL));
        file_close(file);
        disk_fake_restart(fake);
        disk_fake_restart(fake);
        const char *text = content_text(fake, "f");
        assert_int_equal(strlen(text), 1400);
        assert_int_equal(strspn(text, "a"), 700);
        assert_int_equal(strspn(text + 700, "b"), 700);
        disk_fake_destroy(fake);
    }
}

/* Over the seeds: kept, dropped, and torn at each sector. */
static void test_every_tear_occurs(void **state) {
    (void)state;
    bool seen[5] = {false};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk_fake *fake = fake_new(seed);
        char old[2048];
        memset(old, 'a', sizeof(old));
        TRY_TEST(disk_fake_set(fake, "f", old, sizeof(old)));
        struct file *file = open_file(fake, "f");
        write_fill(file, 'b', 2048, 0);
        disk_fake_restart(fake);
        const char *text = content_text(fake, "f");
        size_t kept = strspn(text, "b");
        assert_int_equal(kept % 512, 0);
        assert_int_equal(kept + strspn(text + kept, "a"), 2048);
        seen[kept / 512] = true;
        file_close(file);
        disk_fake_destroy(fake);
    }
    for (int i = 0; i < 5; i++) {
        assert_true(seen[i]);
    }
}

/* Two writes of one sector each: either may come alone, the later one after a hole of zeros. */
static void test_writes_are_reordered(void **state) {
    (void)state;
    int seen[4] = {0};
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct disk_fake *fake = fake_new(seed);
        TRY_TEST(disk_fake_set(fake, "f", "", 0));
        struct file *file = open_file(fake, "f");
        write_fill(file, 'a', 100, 0);
        write_fill(file, 'b', 100, 100);
        disk_fake_restart(fake);
        size_t size;
        const uint8_t *content = disk_fake_content(fake, "f", &size);
        assert_true(size == 0 || size == 100 || size == 200);
        bool first = size > 0 && content[0] == 'a';
        bool second = size == 200;
        assert_true(first || !second || (content[0] == 0 && content[99] == 0));
        assert_true(!second || (content[100] == 'b' && content[199] == 'b'));
        seen[first + 2 * second]++;
        file_close(file);
        disk_fake_destroy(fake);
    }
    for (int i = 0; i < 4; i++) {
        assert_true(seen[i] > 0);
    }
}

/* --- names --- */

/* Which of `outcomes` the file is now, or a failure. */
static int outcome_of(struct disk_fake *fake, const char *path, const char *const *outcomes,
                      int count) {
    const char *text = content_text(fake, path);
    for (int i = 0; i < count; i++) {
        if (strcmp(text, outcomes[i]) == 0) {
            return i;
        }
    }
    fail_msg("%s is \"%s\"", path, text);
    return -1;
}

/* A file with durable bytes and a new name: the name may go; the folder may go with all in it. */
static void test_new_names(void **state) {
    (void)state;
    static const char *const outcomes[] = {"-", "bytes"};
    bool seen[2] = {false};
    bool seen_in_folder[2] = {false};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct disk_fake *fake = fake_new(seed);
        struct disk *disk = disk_fake_disk(fake);
        TRY_TEST(disk_make_folder(disk, "g", NULL));
        TRY_TEST(disk_put(disk, "g/f", "bytes", 5, NULL));
        struct file *file = open_file(fake, "f");
        TRY_TEST(file_write(file, "bytes", 5, 0, NULL));
        TRY_TEST(file_sync(file, NULL));
        file_close(file);
        disk_fake_restart(fake);
        seen[outcome_of(fake, "f", outcomes, 2)] = true;
        seen_in_folder[outcome_of(fake, "g/f", outcomes, 2)] = true;
        disk_fake_destroy(fake);
    }
    assert_true(seen[0] && seen[1] && seen_in_folder[0] && seen_in_folder[1]);
}

static void test_rename_loses_neither(void **state) {
    (void)state;
    static const char *const outcomes[] = {"old", "new"};
    bool seen[2] = {false};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct disk_fake *fake = fake_new(seed);
        TRY_TEST(disk_fake_set(fake, "to", "old", 3));
        TRY_TEST(disk_fake_set(fake, "from", "new", 3));
        TRY_TEST(disk_rename(disk_fake_disk(fake), "from", "to", NULL));
        disk_fake_restart(fake);
        int outcome = outcome_of(fake, "to", outcomes, 2);
        assert_string_equal(content_text(fake, "from"), outcome ? "-" : "new");
        seen[outcome] = true;
        disk_fake_destroy(fake);
    }
    assert_true(seen[0] && seen[1]);
}

static void test_removal_may_be_forgotten(void **state) {
    (void)state;
    static const char *const outcomes[] = {"-", "bytes"};
    bool seen[2] = {false};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct disk_fake *fake = fake_new(seed);
        struct disk *disk = disk_fake_disk(fake);
        TRY_TEST(disk_fake_set(fake, "f", "bytes", 5));
        TRY_TEST(disk_fake_set(fake, "g", "bytes", 5));
        TRY_TEST(disk_remove(disk, "g", NULL));
        TRY_TEST(disk_sync_folder(disk, "/", NULL));
        TRY_TEST(disk_remove(disk, "f", NULL));
        disk_fake_restart(fake);
        seen[outcome_of(fake, "f", outcomes, 2)] = true;
        assert_string_equal(content_text(fake, "g"), "-");
        disk_fake_destroy(fake);
    }
    assert_true(seen[0] && seen[1]);
}

enum { NAME_FILES = 6, NAME_PATHS = 8 };
static const char *const name_paths[] = {"a", "b", "c", "d", "g/a", "g/b", "h/a", "h/b"};

/* Where each file is (by its content, a letter); files are only ever moved to free names. */
struct names_model {
    const char *path[NAME_FILES];
};

static bool names_free(const struct names_model *model, const char *path) {
    for (int i = 0; i < NAME_FILES; i++) {
        if (model->path[i] == path) {
            return false;
        }
    }
    return true;
}

static int names_count(struct disk_fake *fake, char letter) {
    int count = 0;
    for (int i = 0; i < NAME_PATHS; i++) {
        count += content_text(fake, name_paths[i])[0] == letter;
    }
    return count;
}

/* Renames to free names: whatever is forgotten, every file is there once. */
static void test_renames_keep_every_file_once(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        struct disk_fake *fake = fake_new(seed);
        struct disk *disk = disk_fake_disk(fake);
        struct names_model model;
        TRY_TEST(disk_make_folder(disk, "g", NULL));
        TRY_TEST(disk_make_folder(disk, "h", NULL));
        for (int i = 0; i < NAME_FILES; i++) {
            model.path[i] = name_paths[i];
            TRY_TEST(disk_fake_set(fake, model.path[i], &"ABCDEF"[i], 1));
        }
        TRY_TEST(disk_sync_folder(disk, ".", NULL));
        for (int left = 20; left > 0; left--) {
            uint64_t i = rng_below(&rng, NAME_FILES);
            const char *to = name_paths[rng_below(&rng, NAME_PATHS)];
            if (names_free(&model, to)) {
                TRY_TEST(disk_rename(disk, model.path[i], to, NULL));
                model.path[i] = to;
            }
            static const char *const folders[] = {".", "g", "h"};
            if (rng_below(&rng, 6) == 0) {
                TRY_TEST(disk_sync_folder(disk, folders[rng_below(&rng, 3)], NULL));
            }
        }
        disk_fake_restart(fake);
        for (int i = 0; i < NAME_FILES; i++) {
            assert_int_equal(names_count(fake, "ABCDEF"[i]), 1);
        }
        disk_fake_destroy(fake);
    }
}

/* --- steps --- */

enum { SCRIPT_CALLS = 12 };

/* A script that makes every kind of call; each call works on any state that those before left. */
static leat_status script_call(struct disk *disk, int call, struct file **file) {
    uint64_t size;
    size_t got;
    char read[4];
    switch (call) {
    case 0: return disk_make_folder(disk, "g", NULL);
    case 1: return file_open(disk, "g/a", FILE_CREATE, file, NULL);
    case 2: return file_write(*file, "bytes", 5, 0, NULL);
    case 3: return file_sync(*file, NULL);
    case 4: return file_truncate(*file, 3, NULL);
    case 5: return file_read(*file, read, 4, 0, &got, NULL);
    case 6: return file_size(*file, &size, NULL);
    case 7: return disk_rename(disk, "g/a", "g/b", NULL);
    case 8: return disk_sync_folder(disk, "g", NULL);
    case 9: return disk_remove(disk, "g/b", NULL);
    case 10: return disk_remove_folder(disk, "g", NULL);
    default: {
        struct file *lock;
        leat_status status = disk_lock(disk, "lock", &lock, NULL);
        file_close(lock);
        return status;
    }
    }
}

static void append_state(struct disk_fake *fake, struct bytes *out) {
    static const char *const paths[] = {"g/a", "g/b", "lock"};
    for (int i = 0; i < 3; i++) {
        bytes_printf(out, "%s=%s ", paths[i], content_text(fake, paths[i]));
    }
}

static void test_a_failed_call_has_no_effect(void **state) {
    (void)state;
    for (int failing = 0; failing < SCRIPT_CALLS; failing++) {
        struct disk_fake *fake = fake_new(1);
        struct file *file = NULL;
        for (int call = 0; call < failing; call++) {
            TRY_TEST(script_call(disk_fake_disk(fake), call, &file));
        }
        struct bytes before;
        struct bytes after;
        bytes_init(&before);
        bytes_init(&after);
        append_state(fake, &before);
        disk_fake_fail_at(fake, disk_fake_steps(fake) + 1, DISK_FAULT_FULL);
        leat_status expected = failing == 2 || failing == 4 ? LEAT_FULL : LEAT_IO;
        assert_int_equal(script_call(disk_fake_disk(fake), failing, &file), expected);
        append_state(fake, &after);
        assert_int_equal(before.size, after.size);
        assert_memory_equal(before.data, after.data, before.size);
        for (int call = failing; call < SCRIPT_CALLS; call++) {
            TRY_TEST(script_call(disk_fake_disk(fake), call, &file)); /* fails once only */
        }
        assert_int_equal(disk_fake_steps(fake), SCRIPT_CALLS + 1);
        bytes_deinit(&before);
        bytes_deinit(&after);
        file_close(file);
        disk_fake_destroy(fake);
    }
}

static void test_after_a_cut_nothing_works(void **state) {
    (void)state;
    for (uint64_t cut = 3; cut <= SCRIPT_CALLS; cut++) {
        struct disk_fake *fake = fake_new(cut);
        struct disk *disk = disk_fake_disk(fake);
        struct file *file = NULL;
        struct file *lock;
        disk_fake_cut_at(fake, cut);
        for (int call = 0; call < SCRIPT_CALLS; call++) {
            assert_int_equal(disk_fake_is_cut(fake), (uint64_t)call >= cut);
            leat_status expected = (uint64_t)call + 1 >= cut ? LEAT_IO : LEAT_OK;
            assert_int_equal(script_call(disk, call, &file), expected);
        }
        disk_fake_restart(fake);
        assert_false(disk_fake_is_cut(fake));
        char byte = 0;
        size_t got;
        assert_int_equal(file_write(file, &byte, 1, 0, NULL), LEAT_IO);
        assert_int_equal(file_read(file, &byte, 1, 0, &got, NULL), LEAT_IO);
        assert_int_equal(file_sync(file, NULL), LEAT_IO);
        file_close(file);
        TRY_TEST(disk_lock(disk, "lock", &lock, NULL));
        file_close(lock);
        disk_fake_destroy(fake);
    }
}

static void test_locks_do_not_outlive_the_power(void **state) {
    (void)state;
    struct disk_fake *fake = fake_new(1);
    struct disk *disk = disk_fake_disk(fake);
    struct file *before;
    struct file *after;
    struct file *third;
    TRY_TEST(disk_fake_set(fake, "lock", "", 0));
    TRY_TEST(disk_lock(disk, "lock", &before, NULL));
    disk_fake_restart(fake);
    TRY_TEST(disk_lock(disk, "lock", &after, NULL));
    file_close(before); /* of the old power: it must not free the new lock */
    assert_int_equal(disk_lock(disk, "lock", &third, NULL), LEAT_CONFLICT);
    file_close(after);
    disk_fake_destroy(fake);
}

/* disk_put, cut or failing at each of its steps: old or new, whole; new once it answered. */
/* `fault`: DISK_FAULTS for a power cut. */
static void put_and_check(uint64_t seed, uint64_t step, enum disk_fault fault) {
    static const char *const outcomes[] = {"old old old", "new"};
    struct disk_fake *fake = fake_new(seed);
    struct disk *disk = disk_fake_disk(fake);
    TRY_TEST(disk_make_folder(disk, "g", NULL));
    TRY_TEST(disk_sync_folder(disk, ".", NULL));
    TRY_TEST(disk_put(disk, "g/f", outcomes[0], strlen(outcomes[0]), NULL));
    uint64_t at = disk_fake_steps(fake) + step;
    if (fault == DISK_FAULTS) {
        disk_fake_cut_at(fake, at);
    } else {
        disk_fake_fail_at(fake, at, fault);
    }
    leat_status status = disk_put(disk, "g/f", outcomes[1], strlen(outcomes[1]), NULL);
    disk_fake_restart(fake);
    disk_fake_cut_at(fake, 0); /* a step beyond the last one of disk_put */
    disk_fake_fail_at(fake, 0, DISK_FAULT_IO);
    int outcome = outcome_of(fake, "g/f", outcomes, 2);
    assert_true(outcome == 1 || status < 0);
    TRY_TEST(disk_put(disk, "g/f", "again", 5, NULL));
    assert_string_equal(content_text(fake, "g/f"), "again");
    disk_fake_destroy(fake);
}

static void test_put_is_whole(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        for (uint64_t step = 1; step <= 8; step++) {
            for (int fault = 0; fault <= DISK_FAULTS; fault++) {
                put_and_check(seed, step, (enum disk_fault)fault);
            }
        }
    }
}

static void test_damage_is_durable(void **state) {
    (void)state;
    struct disk_fake *fake = fake_new(3);
    size_t size;
    assert_null(disk_fake_content(fake, "f", &size));
    assert_int_equal(disk_fake_set(fake, "g/f", "x", 1), LEAT_IO);
    TRY_TEST(disk_fake_set(fake, "f", "bytes", 5));
    disk_fake_content(fake, "f", &size)[1] = 'Y';
    assert_int_equal(size, 5);
    disk_fake_restart(fake);
    assert_string_equal(content_text(fake, "f"), "bYtes");
    struct file *file = open_file(fake, "f");
    disk_fake_content(fake, "f", &size)[0] = 'B';
    TRY_TEST(file_write(file, "ES", 2, 3, NULL));
    TRY_TEST(file_sync(file, NULL));
    disk_fake_restart(fake);
    assert_string_equal(content_text(fake, "f"), "BYtES");
    file_close(file);
    disk_fake_destroy(fake);
}

/* --- ways to fail --- */

static void test_a_short_write_stores_its_half(void **state) {
    (void)state;
    struct disk_fake *fake = fake_new(1);
    struct file *file = open_file(fake, "f");
    disk_fake_fail_at(fake, disk_fake_steps(fake) + 1, DISK_FAULT_SHORT);
    assert_int_equal(file_write(file, "abcdef", 6, 0, NULL), LEAT_FULL);
    assert_string_equal(content_text(fake, "f"), "abc");
    file_close(file);
    disk_fake_destroy(fake);
}

static void test_a_late_failure_is_done_all_the_same(void **state) {
    (void)state;
    struct disk_fake *fake = fake_new(1);
    struct file *file = open_file(fake, "f");
    write_fill(file, 'a', 3, 0);
    TRY_TEST(disk_sync_folder(disk_fake_disk(fake), "", NULL));
    disk_fake_fail_at(fake, disk_fake_steps(fake) + 1, DISK_FAULT_LATE);
    assert_int_equal(file_sync(file, NULL), LEAT_IO);
    disk_fake_restart(fake);
    assert_string_equal(content_text(fake, "f"), "aaa");
    file_close(file);
    disk_fake_fail_at(fake, disk_fake_steps(fake) + 1, DISK_FAULT_LATE);
    assert_int_equal(disk_rename(disk_fake_disk(fake), "f", "g", NULL), LEAT_IO);
    assert_string_equal(content_text(fake, "g"), "aaa");
    disk_fake_destroy(fake);
}

/* What a failed sync gave up is read until the power goes; a later sync saves what came later. */
static void test_a_lost_sync_is_never_made_good(void **state) {
    (void)state;
    struct disk_fake *fake = fake_new(1);
    struct file *file = open_file(fake, "f");
    char got[4] = "";
    size_t count;
    write_fill(file, 'a', 3, 0);
    TRY_TEST(file_sync(file, NULL));
    TRY_TEST(disk_sync_folder(disk_fake_disk(fake), "", NULL));
    write_fill(file, 'b', 2, 0);
    disk_fake_fail_at(fake, disk_fake_steps(fake) + 1, DISK_FAULT_LOST);
    assert_int_equal(file_sync(file, NULL), LEAT_IO);
    write_fill(file, 'c', 1, 0);
    TRY_TEST(file_sync(file, NULL));
    TRY_TEST(file_read(file, got, 3, 0, &count, NULL));
    assert_string_equal(got, "cba");
    disk_fake_restart(fake);
    assert_string_equal(content_text(fake, "f"), "caa");
    file_close(file);
    disk_fake_destroy(fake);
}

static void test_a_bound_lets_nothing_grow_beyond(void **state) {
    (void)state;
    struct disk_fake *fake = fake_new(1);
    struct file *file = open_file(fake, "f");
    leat_error err;
    disk_fake_bound(fake, 5);
    write_fill(file, 'a', 3, 0);
    assert_int_equal(file_write(file, "bbbb", 4, 3, &err), LEAT_FULL);
    assert_non_null(strstr(err.message, "free space"));
    assert_int_equal(disk_fake_bytes(fake), 5);
    write_fill(file, 'c', 5, 0); /* nothing grows */
    assert_int_equal(file_write(file, "d", 1, 5, NULL), LEAT_FULL);
    assert_string_equal(content_text(fake, "f"), "ccccc");
    disk_fake_bound(fake, 0);
    write_fill(file, 'd', 1, 5);
    assert_string_equal(content_text(fake, "f"), "cccccd");
    file_close(file);
    disk_fake_destroy(fake);
}

static void count_and_write(void *context, const char *verb) {
    struct file *file = context;
    uint64_t size;
    assert_true(strcmp(verb, "write") == 0 || strcmp(verb, "sync") == 0);
    TRY_TEST(file_size(file, &size, NULL));
    TRY_TEST(file_write(file, "x", 1, size, NULL));
}

static void test_each_call_lets_others_go_first(void **state) {
    (void)state;
    struct disk_fake *fake = fake_new(1);
    struct file *beside = open_file(fake, "beside");
    struct file *file = open_file(fake, "f");
    disk_fake_on_step(fake, count_and_write, beside);
    write_fill(file, 'a', 1, 0);
    TRY_TEST(file_sync(file, NULL));
    disk_fake_on_step(fake, NULL, NULL);
    assert_string_equal(content_text(fake, "beside"), "xx");
    file_close(file);
    file_close(beside);
    disk_fake_destroy(fake);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_after_a_cut),
        cmocka_unit_test(test_synced_bytes_survive),
        cmocka_unit_test(test_every_tear_occurs),
        cmocka_unit_test(test_writes_are_reordered),
        cmocka_unit_test(test_new_names),
        cmocka_unit_test(test_rename_loses_neither),
        cmocka_unit_test(test_removal_may_be_forgotten),
        cmocka_unit_test(test_renames_keep_every_file_once),
        cmocka_unit_test(test_a_failed_call_has_no_effect),
        cmocka_unit_test(test_after_a_cut_nothing_works),
        cmocka_unit_test(test_locks_do_not_outlive_the_power),
        cmocka_unit_test(test_put_is_whole),
        cmocka_unit_test(test_damage_is_durable),
        cmocka_unit_test(test_a_short_write_stores_its_half),
        cmocka_unit_test(test_a_late_failure_is_done_all_the_same),
        cmocka_unit_test(test_a_lost_sync_is_never_made_good),
        cmocka_unit_test(test_a_bound_lets_nothing_grow_beyond),
        cmocka_unit_test(test_each_call_lets_others_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
