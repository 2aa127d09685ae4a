#include "connect/connect_fixture.h"
#include "connect/kuairand.h"

#include <stdlib.h>

#define HEADER "user_id\tvideo_id\tdate\ttime_ms\tis_click\tlong_view\tduration_ms\tplay_time_ms\n"

static void test_files_are_read_in_order(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    fixture_text(fake, "b.csv",
                 HEADER "7\t1\tx\t3000\t1\t0\t15000\t99\n"
                        "7\t2\tx\t1000\t0\t1\t0\t99\n");
    fixture_text(fake, "a.csv",
                 "time_ms,video_id,user_id,is_profile_enter\n3000,9,6,1\n1000,1,7,0\n");
    fixture_text(fake, "README.md", "not a row of it");
    struct refusals refusals = {.strict = true};
    struct kuairand_rows rows;
    assert_int_equal(kuairand_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &rows, NULL),
                     LEAT_OK);
    static const struct kuairand_row want[] = {
        {1000, 7, 1, 0, 0},
        {1000, 7, 2, 0, 1u << KUAIRAND_LONG_VIEW},
        {3000, 6, 9, 0, 1u << KUAIRAND_PROFILE_ENTER},
        {3000, 7, 1, 15000, 1u << KUAIRAND_CLICK},
    };
    assert_int_equal(rows.count, 4);
    assert_memory_equal(rows.rows, want, sizeof(want));
    assert_int_equal(rows.signals, 1u << KUAIRAND_LONG_VIEW | 1u << KUAIRAND_PROFILE_ENTER |
                                       1u << KUAIRAND_CLICK);
    kuairand_free(&rows);
    disk_fake_destroy(fake);
}

static void test_malformed_rows_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"7\t1\tx\t3000\t2\t0\t15000\t99\n", "7\t1\tx\t3000\t1\n",
                                        "\t1\tx\t3000\t1\t0\t15000\t99\n",
                                        "7\t1\tx\t3e3\t1\t0\t15000\t99\n"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[512];
        struct disk_fake *fake = fixture_disk();
        snprintf(text, sizeof(text), HEADER "%s7\t2\tx\t1000\t0\t1\t0\t99\n", wrong[i]);
        fixture_text(fake, "a.csv", text);
        struct refusals refusals = {0};
        struct kuairand_rows rows;
        leat_error err;
        struct disk *disk = disk_fake_disk(fake);
        assert_int_equal(kuairand_read(disk, FIXTURE_FOLDER, &refusals, &rows, NULL), LEAT_OK);
        assert_int_equal(refusals.count, 1);
        assert_int_equal(rows.count, 1);
        kuairand_free(&rows);
        refusals.strict = true;
        assert_int_equal(kuairand_read(disk, FIXTURE_FOLDER, &refusals, &rows, &err), LEAT_INVALID);
        assert_memory_equal(err.message, "a.csv:2: ", 9);
        disk_fake_destroy(fake);
    }
}

static void test_folders_without_rows(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    struct refusals refusals = {0};
    struct kuairand_rows rows;
    leat_error err;
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(kuairand_read(disk, FIXTURE_FOLDER, &refusals, &rows, &err), LEAT_INVALID);
    assert_string_equal(err.message, FIXTURE_FOLDER ": holds no *.csv");
    assert_int_equal(kuairand_read(disk, "elsewhere", &refusals, &rows, &err), LEAT_INVALID);
    assert_string_equal(err.message, "elsewhere: no such folder");
    fixture_text(fake, "a.csv", "user_id\tvideo_id\n1\t2\n");
    assert_int_equal(kuairand_read(disk, FIXTURE_FOLDER, &refusals, &rows, &err), LEAT_OK);
    assert_int_equal(refusals.count, 1);
    assert_int_equal(rows.count, 0);
    kuairand_free(&rows);
    disk_fake_destroy(fake);
}

static void test_signals_have_names(void **state) {
    (void)state;
    for (int s = 0; s < KUAIRAND_SIGNALS; s++) {
        struct slice name = slice_of(kuairand_signal_name((enum kuairand_signal)s));
        assert_int_equal(kuairand_signal_find(name), s);
    }
    assert_int_equal(kuairand_signal_find(slice_of("is_click")), -1);
}

static void test_the_real_set(void **state) {
    (void)state;
    const char *folder_of_all = getenv("DATA");
    if (!folder_of_all) {
        print_message("skipped: DATA is not set\n");
        skip();
    }
    char folder[PATH_BYTES_MAX];
    struct refusals refusals = {.strict = true};
    struct kuairand_rows rows;
    leat_error err = {.message = ""};
    assert_int_equal(path_join(folder, folder_of_all, "kuairand27k-kcore15", NULL), LEAT_OK);
    leat_status status = kuairand_read(disk_real(), folder, &refusals, &rows, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, LEAT_OK);
    assert_int_equal(rows.count, 41828);
    kuairand_free(&rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_are_read_in_order),
        cmocka_unit_test(test_malformed_rows_are_refused),
        cmocka_unit_test(test_folders_without_rows),
        cmocka_unit_test(test_signals_have_names),
        cmocka_unit_test(test_the_real_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
