#include "base/memory.h"
#include "connect/connect_fixture.h"
#include "connect/globo.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>

#define HEADER                                                                                     \
    "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,"              \
    "click_environment,click_deviceGroup,click_os,click_country,click_region,"                     \
    "click_referrer_type\n"

/* Session 8 begins in the first file and goes on in the second, as no real one does. */
static const char first_hour[] = HEADER "1,8,0,3,100,1000,4,3,20,1,25,2\n"
                                        "1,8,0,3,101,3000,4,3,20,1,25,2\n"
                                        "2,7,0,2,102,1000,4,1,17,1,21,1\n";
static const char second_hour[] = HEADER "1,8,0,3,103,3000,4,3,20,1,25,2\n"
                                         "2,7,0,2,104,2000,4,1,17,1,21,1\n";

static void assert_both_hours(const struct globo_clicks *clicks) {
    static const uint32_t items[] = {102, 100, 104, 101, 103};
    static const int previous[] = {-1, -1, 0, 1, 3};
    static const int position[] = {0, 0, 1, 1, 2};
    int32_t previous_found[5];
    uint16_t position_found[5];
    assert_int_equal(clicks->count, 5);
    assert_int_equal(globo_link_sessions(clicks, previous_found, position_found, NULL), LEAT_OK);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(clicks->clicks[i].item, items[i]);
        assert_int_equal(previous_found[i], previous[i]);
        assert_int_equal(position_found[i], position[i]);
    }
    const struct globo_click *click = &clicks->clicks[0];
    assert_int_equal(click->user, 2);
    assert_int_equal(click->session, 7);
    assert_int_equal(click->time_ms, 1000);
    assert_int_equal(click->context[GLOBO_ENVIRONMENT], 4);
    assert_int_equal(click->context[GLOBO_DEVICE], 1);
    assert_int_equal(click->context[GLOBO_OS], 17);
    assert_int_equal(click->context[GLOBO_COUNTRY], 1);
    assert_int_equal(click->context[GLOBO_REGION], 21);
    assert_int_equal(click->context[GLOBO_REFERRER], 1);
}

static void test_a_folder_of_files(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    fixture_text(fake, "clicks_hour_001.csv", second_hour);
    fixture_text(fake, "clicks_hour_000.csv", first_hour);
    fixture_text(fake, "README.md", "not a row of it");
    struct refusals refusals = {.strict = true};
    struct globo_clicks clicks;
    assert_int_equal(globo_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &clicks, NULL),
                     LEAT_OK);
    assert_both_hours(&clicks);
    globo_free(&clicks);
    disk_fake_destroy(fake);
}

static void add_member(struct archive *archive, const char *name, const char *text) {
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)strlen(text));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(archive, text, strlen(text)), strlen(text));
    archive_entry_free(entry);
}

enum { ARCHIVE_BYTES = 1 << 16 };

static size_t make_archive(char out[ARCHIVE_BYTES]) {
    struct archive *archive = archive_write_new();
    size_t size = 0;
    assert_int_equal(archive_write_set_format_ustar(archive), ARCHIVE_OK);
    assert_int_equal(archive_write_add_filter_zstd(archive), ARCHIVE_OK);
    assert_int_equal(archive_write_open_memory(archive, out, ARCHIVE_BYTES, &size), ARCHIVE_OK);
    add_member(archive, "clicks/notes.txt", "not a row of it");
    add_member(archive, "clicks/clicks_hour_000.csv", first_hour);
    add_member(archive, "clicks/clicks_hour_001.csv", second_hour);
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
    return size;
}

static void test_an_archive_reads_the_same(void **state) {
    (void)state;
    static char archive[ARCHIVE_BYTES];
    size_t size = make_archive(archive);
    struct disk_fake *fake = fixture_disk();
    fixture_file(fake, "clicks_hours_000_001.tar.zst", archive, size);
    struct refusals refusals = {.strict = true};
    struct globo_clicks clicks;
    assert_int_equal(globo_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &clicks, NULL),
                     LEAT_OK);
    assert_both_hours(&clicks);
    globo_free(&clicks);
    disk_fake_destroy(fake);
}

/* Cut at any byte: a failure with words, or (when only padding is gone) all of it. */
static void test_a_cut_archive_is_never_taken_for_whole(void **state) {
    (void)state;
    static char archive[ARCHIVE_BYTES];
    size_t size = make_archive(archive);
    for (size_t cut = 0; cut < size; cut++) {
        struct disk_fake *fake = fixture_disk();
        fixture_file(fake, "clicks_hours_000_001.tar.zst", archive, cut);
        struct refusals refusals = {.strict = true};
        struct globo_clicks clicks;
        leat_error err = {.message = ""};
        leat_status status =
            globo_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &clicks, &err);
        if (status == LEAT_OK) {
            assert_both_hours(&clicks);
            globo_free(&clicks);
        } else {
            assert_true(status < 0);
            assert_string_not_equal(err.message, "");
        }
        disk_fake_destroy(fake);
    }
}

/* Each with the reason that is expected of line 3. */
static const struct {
    const char *row;
    const char *reason;
} malformed[] = {
    {"1,8,0,3,101,3000,4,3,20,1,25", "11 fields; the first line has 12"},
    {"1,8,0,3,101,3000,4,3,20,1,25,2,9", "13 fields; the first line has 12"},
    {"x,8,0,3,101,3000,4,3,20,1,25,2", "user_id: 'x' is not an integer"},
    {"1,8,0,3,,3000,4,3,20,1,25,2", "click_article_id: '' is not an integer"},
    {"1,8,0,3,101,-5,4,3,20,1,25,2", "click_timestamp: -5 is not within 0 and 7258118399999"},
    {"1,8,0,3,101,3000,4,3,20,1,65536,2", "click_region: 65536 is not within 0 and 65535"},
    {"1,8,0,3,101,3e3,4,3,20,1,25,2", "click_timestamp: '3e3' is not an integer"},
    {"1,8,0,3,1\"0\"1,3000,4,3,20,1,25,2", "field 5: a quote stands within an unquoted field"},
};

static void test_a_malformed_row_is_passed_over(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        char text[1024];
        char expected[256];
        snprintf(text, sizeof(text),
                 HEADER "1,8,0,3,100,1000,4,3,20,1,25,2\n%s\n"
                        "1,8,0,3,102,2000,4,3,20,1,25,2\n",
                 malformed[i].row);
        snprintf(expected, sizeof(expected), "clicks_hour_000.csv:3: %s", malformed[i].reason);
        struct disk_fake *fake = fixture_disk();
        fixture_text(fake, "clicks_hour_000.csv", text);
        struct refusals refusals = {0};
        struct globo_clicks clicks;
        leat_error err;
        struct disk *disk = disk_fake_disk(fake);
        assert_int_equal(globo_read(disk, FIXTURE_FOLDER, &refusals, &clicks, &err), LEAT_OK);
        assert_int_equal(clicks.count, 2);
        assert_int_equal(refusals.count, 1);
        globo_free(&clicks);
        refusals = (struct refusals){.strict = true};
        assert_int_equal(globo_read(disk, FIXTURE_FOLDER, &refusals, &clicks, &err), LEAT_INVALID);
        assert_string_equal(err.message, expected);
        disk_fake_destroy(fake);
    }
}

static void test_a_file_without_the_columns_is_refused(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    fixture_text(fake, "clicks_hour_000.csv", "user_id,session_id\n1,2\n");
    fixture_text(fake, "clicks_hour_001.csv", first_hour);
    fixture_text(fake, "clicks_hour_002.csv", "");
    struct refusals refusals = {0};
    struct globo_clicks clicks;
    assert_int_equal(globo_read(disk_fake_disk(fake), FIXTURE_FOLDER, &refusals, &clicks, NULL),
                     LEAT_OK);
    assert_int_equal(clicks.count, 3);
    assert_int_equal(refusals.count, 2);
    globo_free(&clicks);
    disk_fake_destroy(fake);
}

static void test_a_folder_without_clicks_is_refused(void **state) {
    (void)state;
    struct disk_fake *fake = fixture_disk();
    struct refusals refusals = {0};
    struct globo_clicks clicks;
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(globo_read(disk, FIXTURE_FOLDER, &refusals, &clicks, NULL), LEAT_INVALID);
    assert_int_equal(globo_read(disk, "nowhere", &refusals, &clicks, NULL), LEAT_INVALID);
    fixture_text(fake, "clicks_hours_0.tar.zst", "no archive at all, but some bytes of text");
    leat_error err = {.message = ""};
    assert_true(globo_read(disk, FIXTURE_FOLDER, &refusals, &clicks, &err) < 0);
    assert_non_null(strstr(err.message, "clicks_hours_0.tar.zst"));
    disk_fake_destroy(fake);
}

/* The real set, when it is there: its size, its order, and what the order rests on. */
static void test_the_real_set(void **state) {
    (void)state;
    const char *data = getenv("DATA");
    if (!data) {
        print_message("skipped: DATA is not set\n");
        skip();
    }
    char folder[PATH_BYTES_MAX];
    struct refusals refusals = {.strict = true};
    struct globo_clicks clicks;
    leat_error err = {.message = ""};
    assert_int_equal(path_join(folder, data, "globo-news-clicks", NULL), LEAT_OK);
    leat_status status = globo_read(disk_real(), folder, &refusals, &clicks, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, LEAT_OK);
    assert_int_equal(clicks.count, 2430485);
    for (size_t i = 1; i < clicks.count; i++) {
        const struct globo_click *a = &clicks.clicks[i - 1];
        const struct globo_click *b = &clicks.clicks[i];
        assert_true(
            a->time_ms < b->time_ms ||
            (a->time_ms == b->time_ms &&
             (a->session < b->session || (a->session == b->session && a->order < b->order))));
    }
    globo_free(&clicks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_folder_of_files),
        cmocka_unit_test(test_an_archive_reads_the_same),
        cmocka_unit_test(test_a_cut_archive_is_never_taken_for_whole),
        cmocka_unit_test(test_a_malformed_row_is_passed_over),
        cmocka_unit_test(test_a_file_without_the_columns_is_refused),
        cmocka_unit_test(test_a_folder_without_clicks_is_refused),
        cmocka_unit_test(test_the_real_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
