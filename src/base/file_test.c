/* The contract of file.h, asked of the real disk and of the simulated one alike. */
#include "base/disk_fake.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
/* cmocka.h wants them before it. */
#include <cmocka.h>

struct under_test {
    struct disk *disk;
    struct disk_fake *fake; /* NULL: the real disk */
    char folder[64];
};

static int setup_real(void **state) {
    struct under_test *test = calloc(1, sizeof(*test));
    snprintf(test->folder, sizeof(test->folder), "file_test_XXXXXX");
    test->disk = disk_real();
    *state = test;
    return mkdtemp(test->folder) ? 0 : -1;
}

static int setup_fake(void **state) {
    struct under_test *test = calloc(1, sizeof(*test));
    snprintf(test->folder, sizeof(test->folder), "folder");
    if (disk_fake_create(1, &test->fake, NULL) != LEAT_OK) {
        return -1;
    }
    test->disk = disk_fake_disk(test->fake);
    *state = test;
    return disk_make_folder(test->disk, test->folder, NULL);
}

struct level {
    struct disk *disk;
    const char *path;
};

/* However deep the random script went. */
static leat_status remove_all(void *context, const char *name) {
    const struct level *up = context;
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, up->path, name, NULL));
    if (disk_remove(up->disk, path, NULL) != LEAT_CONFLICT) {
        return LEAT_OK;
    }
    struct level down = {up->disk, path};
    TRY(disk_list(up->disk, path, remove_all, &down, NULL));
    return disk_remove_folder(up->disk, path, NULL);
}

static int teardown(void **state) {
    struct under_test *test = *state;
    struct level top = {test->disk, test->folder};
    int status = disk_list(test->disk, test->folder, remove_all, &top, NULL) < 0 ||
                 disk_remove_folder(test->disk, test->folder, NULL) < 0;
    disk_fake_destroy(test->fake);
    free(test);
    return status;
}

/* "<folder>/<name>"; two may be held at once. */
static const char *in_folder(const struct under_test *test, const char *name) {
    static char paths[2][PATH_BYTES_MAX];
    static int turn;
    turn = !turn;
    assert_int_equal(path_join(paths[turn], test->folder, name, NULL), LEAT_OK);
    return paths[turn];
}

static struct file *open_in(const struct under_test *test, const char *name, enum file_mode mode) {
    struct file *file;
    leat_error err;
    if (file_open(test->disk, in_folder(test, name), mode, &file, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    return file;
}

static void put_text(const struct under_test *test, const char *name, const char *text) {
    assert_int_equal(disk_put(test->disk, in_folder(test, name), text, strlen(text), NULL),
                     LEAT_OK);
}

static void assert_text(const struct under_test *test, const char *name, const char *text) {
    struct bytes bytes;
    bytes_init(&bytes);
    assert_int_equal(disk_get(test->disk, in_folder(test, name), 1000, &bytes, NULL), LEAT_OK);
    assert_int_equal(bytes.size, strlen(text));
    assert_memory_equal(bytes.data, text, bytes.size);
    bytes_deinit(&bytes);
}

static leat_status names_append(void *context, const char *name) {
    bytes_printf(context, "%s ", name);
    return LEAT_OK;
}

static void assert_names(const struct under_test *test, const char *folder, const char *names) {
    struct bytes listed;
    bytes_init(&listed);
    assert_int_equal(disk_list(test->disk, folder, names_append, &listed, NULL), LEAT_OK);
    bytes_put_u8(&listed, 0);
    assert_string_equal((const char *)listed.data, names);
    bytes_deinit(&listed);
}

static void test_modes(void **state) {
    const struct under_test *test = *state;
    struct file *file = NULL;
    leat_error err;
    assert_int_equal(file_open(test->disk, in_folder(test, "a"), FILE_READ, &file, &err),
                     LEAT_NOT_FOUND);
    assert_null(file);
    file_close(file);
    file_close(open_in(test, "a", FILE_CREATE));
    assert_int_equal(file_open(test->disk, in_folder(test, "a"), FILE_CREATE, &file, &err),
                     LEAT_CONFLICT);
    assert_non_null(strstr(err.message, in_folder(test, "a")));
    file_close(open_in(test, "a", FILE_WRITE));
    file_close(open_in(test, "b", FILE_WRITE));
    file = open_in(test, "a", FILE_READ);
    assert_int_equal(file_write(file, "x", 1, 0, &err), LEAT_IO);
    assert_non_null(strstr(err.message, "could not write"));
    file_close(file);
    assert_int_equal(file_open(test->disk, in_folder(test, "none/a"), FILE_WRITE, &file, &err),
                     LEAT_IO);
    assert_int_equal(file_open(test->disk, test->folder, FILE_WRITE, &file, &err), LEAT_IO);
}

static void test_reads_what_was_written(void **state) {
    const struct under_test *test = *state;
    struct file *file = open_in(test, "a", FILE_WRITE);
    uint64_t size;
    size_t got;
    char read[16];
    assert_int_equal(file_write(file, "tail", 4, 6, NULL), LEAT_OK);
    assert_int_equal(file_write(file, "he", 2, 0, NULL), LEAT_OK);
    assert_int_equal(file_read(file, read, sizeof(read), 0, &got, NULL), LEAT_OK);
    assert_int_equal(got, 10);
    assert_memory_equal(read, "he\0\0\0\0tail", 10);
    assert_int_equal(file_read(file, read, 3, 5, &got, NULL), LEAT_OK);
    assert_int_equal(got, 3);
    assert_memory_equal(read, "\0ta", 3);
    assert_int_equal(file_read(file, read, 3, 10, &got, NULL), LEAT_OK);
    assert_int_equal(got, 0);
    assert_int_equal(file_sync(file, NULL), LEAT_OK);
    assert_int_equal(file_truncate(file, 7, NULL), LEAT_OK);
    assert_int_equal(file_truncate(file, 9, NULL), LEAT_OK);
    assert_int_equal(file_size(file, &size, NULL), LEAT_OK);
    assert_int_equal(size, 9);
    assert_int_equal(file_read(file, read, sizeof(read), 6, &got, NULL), LEAT_OK);
    assert_int_equal(got, 3);
    assert_memory_equal(read, "t\0\0", 3);
    file_close(file);
}

static leat_status stop_at_b(void *context, const char *name) {
    ++*(int *)context;
    return strcmp(name, "b") == 0 ? LEAT_CLOSED : LEAT_OK;
}

static void test_lists_sorted(void **state) {
    const struct under_test *test = *state;
    put_text(test, "b", "");
    put_text(test, "a0", "");
    put_text(test, "B", "");
    put_text(test, "a", "");
    assert_int_equal(disk_make_folder(test->disk, in_folder(test, "ab"), NULL), LEAT_OK);
    assert_int_equal(disk_make_folder(test->disk, in_folder(test, "ab"), NULL), LEAT_OK);
    assert_names(test, test->folder, "B a a0 ab b ");
    assert_names(test, in_folder(test, "ab"), "");
    int calls = 0;
    assert_int_equal(disk_list(test->disk, test->folder, stop_at_b, &calls, NULL), LEAT_CLOSED);
    assert_int_equal(calls, 5);
    assert_int_equal(disk_list(test->disk, in_folder(test, "none"), stop_at_b, &calls, NULL),
                     LEAT_NOT_FOUND);
    assert_int_equal(disk_list(test->disk, in_folder(test, "a"), stop_at_b, &calls, NULL), LEAT_IO);
}

static void test_renames(void **state) {
    const struct under_test *test = *state;
    struct disk *disk = test->disk;
    put_text(test, "a", "A");
    put_text(test, "b", "B");
    struct file *old = open_in(test, "b", FILE_READ);
    assert_int_equal(disk_rename(disk, in_folder(test, "a"), in_folder(test, "b"), NULL), LEAT_OK);
    assert_names(test, test->folder, "b ");
    assert_text(test, "b", "A");
    char read;
    size_t got;
    assert_int_equal(file_read(old, &read, 1, 0, &got, NULL), LEAT_OK);
    assert_int_equal(read, 'B'); /* an open file outlives its name */
    file_close(old);
    leat_error err;
    assert_int_equal(disk_rename(disk, in_folder(test, "a"), in_folder(test, "c"), &err), LEAT_IO);
    assert_non_null(strstr(err.message, "could not rename"));
    assert_int_equal(disk_make_folder(disk, in_folder(test, "f"), NULL), LEAT_OK);
    assert_int_equal(disk_rename(disk, in_folder(test, "b"), in_folder(test, "f/x"), NULL),
                     LEAT_OK);
    assert_int_equal(disk_rename(disk, in_folder(test, "f"), in_folder(test, "g"), NULL), LEAT_OK);
    assert_text(test, "g/x", "A");
    put_text(test, "file", "");
    assert_int_equal(disk_rename(disk, in_folder(test, "file"), in_folder(test, "g"), NULL),
                     LEAT_IO);
    assert_int_equal(disk_rename(disk, in_folder(test, "g"), in_folder(test, "file"), NULL),
                     LEAT_IO);
    assert_int_equal(disk_rename(disk, in_folder(test, "g"), in_folder(test, "g/h"), NULL),
                     LEAT_IO);
    assert_int_equal(disk_rename(disk, in_folder(test, "file"), in_folder(test, "file"), NULL),
                     LEAT_OK);
    assert_names(test, test->folder, "file g ");
}

static void test_removes(void **state) {
    const struct under_test *test = *state;
    struct disk *disk = test->disk;
    assert_int_equal(disk_remove(disk, in_folder(test, "a"), NULL), LEAT_NOT_FOUND);
    put_text(test, "a", "A");
    assert_int_equal(disk_remove(disk, in_folder(test, "a"), NULL), LEAT_OK);
    assert_int_equal(disk_remove(disk, in_folder(test, "a"), NULL), LEAT_NOT_FOUND);
    assert_int_equal(disk_make_folder(disk, in_folder(test, "f"), NULL), LEAT_OK);
    put_text(test, "f/a", "A");
    put_text(test, "f/b", "B");
    assert_int_equal(disk_remove(disk, in_folder(test, "f"), NULL), LEAT_CONFLICT);
    assert_int_equal(disk_remove_folder(disk, in_folder(test, "f"), NULL), LEAT_IO);
    assert_int_equal(disk_remove_folder(disk, in_folder(test, "f/a"), NULL), LEAT_IO);
    assert_int_equal(disk_make_folder(disk, in_folder(test, "f/g"), NULL), LEAT_OK);
    put_text(test, "f/g/c", "C");
    assert_int_equal(disk_remove_tree(disk, in_folder(test, "f"), NULL), LEAT_OK);
    assert_names(test, test->folder, "");
    assert_int_equal(disk_remove_tree(disk, in_folder(test, "f"), NULL), LEAT_NOT_FOUND);
    assert_int_equal(disk_remove_folder(disk, in_folder(test, "f"), NULL), LEAT_IO);
    assert_int_equal(disk_sync_folder(disk, in_folder(test, "f"), NULL), LEAT_IO);
    assert_int_equal(disk_sync_folder(disk, test->folder, NULL), LEAT_OK);
    put_text(test, "file", "");
    assert_int_equal(disk_make_folder(disk, in_folder(test, "file"), NULL), LEAT_IO);
}

static void test_locks(void **state) {
    const struct under_test *test = *state;
    struct file *first;
    struct file *second;
    leat_error err;
    assert_int_equal(disk_lock(test->disk, in_folder(test, "lock"), &first, NULL), LEAT_OK);
    assert_int_equal(disk_lock(test->disk, in_folder(test, "lock"), &second, &err), LEAT_CONFLICT);
    assert_non_null(strstr(err.message, "another process"));
    assert_null(second);
    file_close(first);
    assert_int_equal(disk_lock(test->disk, in_folder(test, "lock"), &second, NULL), LEAT_OK);
    file_close(second);
}

static void test_whole_files(void **state) {
    const struct under_test *test = *state;
    struct bytes bytes;
    leat_error err;
    bytes_init(&bytes);
    assert_int_equal(disk_get(test->disk, in_folder(test, "a"), 10, &bytes, NULL), LEAT_NOT_FOUND);
    put_text(test, "a.new", "left over from before, and longer");
    put_text(test, "a", "one");
    put_text(test, "a", "");
    assert_text(test, "a", "");
    put_text(test, "a", "two");
    assert_names(test, test->folder, "a ");
    assert_int_equal(disk_get(test->disk, in_folder(test, "a"), 2, &bytes, &err), LEAT_FULL);
    assert_non_null(strstr(err.message, "3 bytes, at most 2"));
    bytes_append(&bytes, "x", 1);
    assert_int_equal(disk_get(test->disk, in_folder(test, "a"), 3, &bytes, NULL), LEAT_OK);
    assert_int_equal(bytes.size, 4);
    assert_memory_equal(bytes.data, "xtwo", 4);
    bytes_deinit(&bytes);
}

static void test_path_join(void **state) {
    (void)state;
    char path[PATH_BYTES_MAX];
    char name[PATH_BYTES_MAX];
    memset(name, 'n', sizeof(name));
    name[PATH_BYTES_MAX - 3] = '\0';
    assert_int_equal(path_join(path, "a", name, NULL), LEAT_OK);
    assert_int_equal(strlen(path), PATH_BYTES_MAX - 1);
    leat_error err;
    assert_int_equal(path_join(path, "ab", name, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "at most 1023"));
}

/* A device that is always full stands for a disk that is. */
static void test_full_real_disk(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) {
        skip();
    }
    struct file *file;
    leat_error err;
    assert_int_equal(file_open(disk_real(), "/dev/full", FILE_WRITE, &file, NULL), LEAT_OK);
    assert_int_equal(file_write(file, "x", 1, 0, &err), LEAT_FULL);
    assert_true(err.retry);
    assert_non_null(strstr(err.message, "/dev/full: could not write: "));
    assert_non_null(strstr(err.message, "free space"));
    file_close(file);
}

/* --- one random script, two disks, the same answers --- */

static const char *const script_paths[] = {"a", "b", "c", "f", "g", "f/a", "g/b", "f/g"};
enum { SCRIPT_PATHS = 8 };

static leat_status script_content(struct disk *disk, const char *path, struct rng *rng,
                                  uint64_t kind) {
    struct file *file;
    static const enum file_mode modes[] = {FILE_READ, FILE_WRITE, FILE_CREATE};
    leat_status status = file_open(disk, path, modes[rng_below(rng, 3)], &file, NULL);
    uint64_t offset = rng_below(rng, 3000);
    char data[1000];
    memset(data, (int)('a' + offset % 26), sizeof(data));
    size_t count = rng_below(rng, sizeof(data));
    if (status == LEAT_OK) {
        status = kind == 0 ? file_write(file, data, count, offset, NULL)
                           : file_truncate(file, offset, NULL);
        file_close(file);
    }
    return status;
}

/* One random call, folded to a word: its status and what it read. */
static uint64_t script_call(const struct under_test *test, struct rng *rng) {
    const char *path = in_folder(test, script_paths[rng_below(rng, SCRIPT_PATHS)]);
    const char *other = in_folder(test, script_paths[rng_below(rng, SCRIPT_PATHS)]);
    struct bytes bytes;
    bytes_init(&bytes);
    leat_status status = LEAT_OK;
    uint64_t kind = rng_below(rng, 8);
    switch (kind) {
    case 0:
    case 1: status = script_content(test->disk, path, rng, kind); break;
    case 2: status = disk_get(test->disk, path, 3500, &bytes, NULL); break;
    case 3: status = disk_rename(test->disk, path, other, NULL); break;
    case 4: status = disk_remove(test->disk, path, NULL); break;
    case 5: status = disk_make_folder(test->disk, path, NULL); break;
    case 6: status = disk_remove_folder(test->disk, path, NULL); break;
    default: status = disk_list(test->disk, path, names_append, &bytes, NULL);
    }
    uint64_t fold = (uint64_t)status + 100;
    for (size_t i = 0; i < bytes.size; i++) {
        fold = fold * 31 + bytes.data[i];
    }
    bytes_deinit(&bytes);
    return fold;
}

static void test_both_disks_answer_alike(void **state) {
    const struct under_test *fake = *state;
    void *real_state;
    assert_int_equal(setup_real(&real_state), 0);
    const struct under_test *real = real_state;
    struct rng rng_fake;
    struct rng rng_real;
    rng_init(&rng_fake, 77);
    rng_init(&rng_real, 77);
    for (int call = 0; call < 4000; call++) {
        uint64_t expected = script_call(real, &rng_real);
        uint64_t got = script_call(fake, &rng_fake);
        if (got != expected) {
            fail_msg("call %d: the disks differ", call);
        }
    }
    assert_int_equal(teardown(&real_state), 0);
}

#define ON_BOTH(test)                                                                              \
    {"real: " #test, test, setup_real, teardown, NULL}, {                                          \
        "fake: " #test, test, setup_fake, teardown, NULL                                           \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_BOTH(test_modes),
        ON_BOTH(test_reads_what_was_written),
        ON_BOTH(test_lists_sorted),
        ON_BOTH(test_renames),
        ON_BOTH(test_removes),
        ON_BOTH(test_locks),
        ON_BOTH(test_whole_files),
        cmocka_unit_test(test_path_join),
        cmocka_unit_test(test_full_real_disk),
        cmocka_unit_test_setup_teardown(test_both_disks_answer_alike, setup_fake, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
