#include "connect/connect_fixture.h"
#include "connect/movielens.h"

#include <stdlib.h>

static void write_set(struct disk_fake *fake, const char *ratings) {
    fixture_text(fake, "u.genre", "unknown|0\nAction|1\nChildren's|2\n\n");
    fixture_text(fake, "u.user", "1|24|M|technician|85711\n2|53|F|other|94043\n");
    fixture_text(fake, "u.item",
                 "1|Caf\xe9 (1995)|01-Jan-1995||http://a/?b|0|1|1\n"
                 "2|\"Quoted\"|||| 0|1|0\n"
                 "3|Three||||1|0|0\n");
    fixture_text(fake, "u.data", ratings);
}

static void test_a_set_is_read_in_order(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    write_set(fake, "2\t3\t5\t100\n1\t3\t4\t100\n1\t1\t1\t100\n2\t1\t2\t99\n");
    struct refusals refusals = {0};
    struct movielens data;
    assert_int_equal(movielens_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &data, NULL),
                     LEAT_OK);
    assert_int_equal(refusals.count, 1); /* the second movie: " 0" is no flag */
    assert_int_equal(data.genre_count, 3);
    assert_int_equal(data.user_count, 2);
    assert_int_equal(data.item_count, 2);
    assert_string_equal(data.genres[2], "Children's");
    assert_string_equal(movielens_title(&data, &data.items[0]), "Caf\xc3\xa9 (1995)");
    assert_int_equal(data.items[0].genres, 6);
    assert_int_equal(data.items[1].genres, 1);
    assert_string_equal(data.users[1].gender, "F");
    assert_string_equal(data.users[1].occupation, "other");
    assert_int_equal(data.users[1].age, 53);
    static const int expected[][4] = {
        {99, 2, 1, 2}, {100, 1, 1, 1}, {100, 1, 3, 4}, {100, 2, 3, 5}};
    assert_int_equal(data.rating_count, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(data.ratings[i].time_s, expected[i][0]);
        assert_int_equal(data.ratings[i].user, expected[i][1]);
        assert_int_equal(data.ratings[i].item, expected[i][2]);
        assert_int_equal(data.ratings[i].rating, expected[i][3]);
    }
    movielens_free(&data);
    disk_fake_destroy(fake);
}

static void test_malformed_ratings_are_refused(void **state) {
    (void)state;
    static const char *const rows[] = {"1\t1\t5",      "1\t1\t6\t100",  "1\t1\t0\t100",
                                       "9\t1\t5\t100", "1\t9\t5\t100",  "1\t1\t5\t-1",
                                       "1 1 5 100",    "1\t1\t4.5\t100"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct disk_fake *fake = fixture_disk();
        char ratings[128];
        snprintf(ratings, sizeof(ratings), "1\t1\t4\t100\n%s\n2\t3\t4\t101\n", rows[i]);
        write_set(fake, ratings);
        struct refusals refusals = {0};
        struct movielens data;
        struct disk *disk = disk_fake_disk(fake);
        assert_int_equal(movielens_read(disk, FIXTURE_FOLDER, &refusals, &data, NULL), LEAT_OK);
        assert_int_equal(refusals.count, 2);
        assert_int_equal(data.rating_count, 2);
        movielens_free(&data);
        disk_fake_destroy(fake);
    }
}

static void test_strict_stops_at_the_row(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    write_set(fake, "1\t1\t4\t100\n");
    struct refusals refusals = {.strict = true};
    struct movielens data;
    leat_error err;
    assert_int_equal(movielens_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &data, &err),
                     LEAT_INVALID);
    assert_string_equal(err.message, "u.item:2: unknown: neither 0 nor 1");
    disk_fake_destroy(fake);
}

static void test_a_missing_file_is_named(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    fixture_text(fake, "u.genre", "unknown|0\n");
    struct refusals refusals = {0};
    struct movielens data;
    leat_error err;
    assert_int_equal(movielens_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &data, &err),
                     LEAT_INVALID);
    assert_string_equal(err.message, FIXTURE_FOLDER "/u.user: no such file");
    disk_fake_destroy(fake);
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
    struct movielens data;
    leat_error err = {.message = ""};
    assert_int_equal(path_join(folder, folder_of_all, "movielens-100k", NULL), LEAT_OK);
    leat_status status = movielens_read(disk_real(), folder, &refusals, &data, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, LEAT_OK);
    assert_int_equal(data.rating_count, 100000);
    assert_int_equal(data.item_count, 1682);
    assert_int_equal(data.user_count, 943);
    assert_int_equal(data.genre_count, 19);
    movielens_free(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_set_is_read_in_order),
        cmocka_unit_test(test_malformed_ratings_are_refused),
        cmocka_unit_test(test_strict_stops_at_the_row),
        cmocka_unit_test(test_a_missing_file_is_named),
        cmocka_unit_test(test_the_real_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
