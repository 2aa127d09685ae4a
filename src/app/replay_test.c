/* `leat replay` as a person calls it, on a small made-up set on a real disk. */
#include "app/command.h"
#include "app/scratch.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/test.h"

#include <stdlib.h>
#include <unistd.h>

#define HEADER                                                                                     \
    "user_id,session_id,session_start,session_size,click_article_id,click_timestamp,"              \
    "click_environment,click_deviceGroup,click_os,click_country,click_region,"                     \
    "click_referrer_type\n"
#define START_MS INT64_C(1507690800000)

enum { SESSIONS = 60, SESSION_CLICKS = 5, ITEMS = 25, OUT_BYTES_MAX = 1 << 20 };

struct set {
    char folder[CONFIG_TEXT_MAX];
    char pages[PATH_BYTES_MAX];
};

static void write_file(const char *folder, const char *name, const struct bytes *text) {
    char path[PATH_BYTES_MAX];
    assert_int_equal(path_join(path, folder, name, NULL), LEAT_OK);
    assert_int_equal(disk_put(disk_real(), path, text->data, text->size, NULL), LEAT_OK);
}

/* Sessions one after the other, a minute a click; two rows are malformed. */
static void make_globo(struct set *set) {
    struct rng rng;
    struct bytes text;
    rng_init(&rng, 3);
    bytes_init(&text);
    bytes_printf(&text, HEADER);
    for (int i = 0; i < SESSIONS * SESSION_CLICKS; i++) {
        int session = i / SESSION_CLICKS;
        bytes_printf(&text, "%d,%d,0,99,%d,%lld,4,3,20,1,25,2\n", session % 7, session,
                     (int)rng_below(&rng, ITEMS), (long long)(START_MS + i * 60000));
    }
    bytes_printf(&text, "one,2,3\n1,2,3,4,5,6,7,8,9,10,11,-1\n");
    assert_int_equal(scratch_make(NULL, set->folder, NULL), LEAT_OK);
    write_file(set->folder, "clicks_hour_000.csv", &text);
    assert_int_equal(path_join(set->pages, set->folder, "pages.jsonl", NULL), LEAT_OK);
    bytes_deinit(&text);
}

static void remove_set(struct set *set) {
    assert_int_equal(scratch_remove(set->folder, NULL), LEAT_OK);
}

/* Calls the command with its results thrown away; gives the exit code. */
static int run(int argc, char **argv) {
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    assert_non_null(freopen("/dev/null", "w", stdout));
    int code = command_replay(argc, argv);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    return code;
}

static int64_t number(struct json_value object, const char *key) {
    struct json_value value;
    int64_t found;
    assert_true(json_find(object, key, &value));
    assert_true(json_to_i64(value, &found));
    return found;
}

/* A page is of the right size, has no item twice, and none that its session clicked before. */
static void check_page(struct json_value line, uint32_t clicked) {
    struct json_value page;
    struct json_value item;
    uint32_t shown = 0;
    int count = 0;
    assert_true(json_find(line, "page", &page));
    for (struct json_iterator it = json_iterate(page); json_next(&it, NULL, &item); count++) {
        struct slice text;
        assert_true(json_to_text(item, &text));
        uint32_t bit = 1u << strtol(text.data, NULL, 10);
        assert_int_equal(shown & bit, 0);
        assert_int_equal(clicked & bit, 0);
        shown |= bit;
    }
    assert_true(count <= 10);
    assert_true(count > 0 || number(line, "session") < 3); /* at first there is nothing to show */
}

/* Checks every line of the pages; gives how many there are. */
static int check_pages(const struct set *set) {
    struct bytes text;
    struct json_parser *parser;
    bytes_init(&text);
    assert_int_equal(json_parser_create(&parser, NULL), LEAT_OK);
    assert_int_equal(disk_get(disk_real(), set->pages, OUT_BYTES_MAX, &text, NULL), LEAT_OK);
    int lines = 0;
    int64_t session = -1;
    uint32_t clicked = 0; /* in this session, as far as the file says */
    const char *at = (const char *)text.data;
    for (const char *end; (end = memchr(at, '\n', text.size - (size_t)(at - (char *)text.data)));
         at = end + 1, lines++) {
        struct json_value line;
        struct json_value item;
        struct slice id;
        struct slice json = {at, (size_t)(end - at)};
        assert_int_equal(json_parse(parser, json, &line, NULL), LEAT_OK);
        int64_t click = (number(line, "time") - START_MS) / 60000;
        assert_int_equal(number(line, "session"), click / SESSION_CLICKS);
        assert_int_equal(number(line, "position"), click % SESSION_CLICKS);
        clicked = number(line, "session") == session ? clicked : 0;
        session = number(line, "session");
        check_page(line, clicked);
        assert_true(json_find(line, "item", &item));
        assert_true(json_to_text(item, &id));
        clicked |= 1u << strtol(id.data, NULL, 10);
    }
    json_parser_destroy(parser);
    bytes_deinit(&text);
    return lines;
}

/* Every click but the first of each session is asked about, once. */
static void test_every_page_is_written(void **state) {
    (void)state;
    struct set set;
    make_globo(&set);
    char *argv[] = {"replay", "--format", "globo", set.folder, "--out", set.pages, "--json", NULL};
    assert_int_equal(run(7, argv), COMMAND_FINE);
    assert_int_equal(check_pages(&set), SESSIONS * (SESSION_CLICKS - 1));
    remove_set(&set);
}

/* Calls it for the second half of the sessions (the command reorders its arguments). */
static int pages_of_second_half(const struct set *set, char *sample) {
    char window[64];
    int64_t from_ms = START_MS + SESSIONS / 2 * SESSION_CLICKS * 60000;
    snprintf(window, sizeof(window), "%lld..%lld", (long long)from_ms,
             (long long)from_ms + 86400000);
    char *argv[] = {"replay",     "--format",
                    "globo",      (char *)set->folder,
                    "--out",      (char *)set->pages,
                    "--evaluate", window,
                    "--sample",   sample,
                    NULL};
    assert_int_equal(run(10, argv), COMMAND_FINE);
    return check_pages(set);
}

static void test_window_and_sample_choose(void **state) {
    (void)state;
    struct set set;
    make_globo(&set);
    int all = SESSIONS / 2 * (SESSION_CLICKS - 1);
    assert_int_equal(pages_of_second_half(&set, "1"), all);
    assert_int_equal(pages_of_second_half(&set, "0"), 0);
    assert_in_range(pages_of_second_half(&set, "0.5"), all / 4, all * 3 / 4);
    remove_set(&set);
}

static void test_strict_stops(void **state) {
    (void)state;
    struct set set;
    make_globo(&set);
    char *argv[] = {"replay", "--format", "globo", set.folder, "--strict", NULL};
    assert_int_equal(run(5, argv), COMMAND_FAILED);
    remove_set(&set);
}

static void test_wrong_words_are_misuse(void **state) {
    (void)state;
    char *none[] = {"replay", "somewhere", NULL};
    assert_int_equal(run(2, none), COMMAND_MISUSED);
    char *unknown[] = {"replay", "--format", "glob", "somewhere", NULL};
    assert_int_equal(run(4, unknown), COMMAND_MISUSED);
    char *window[] = {"replay", "--format", "globo", "somewhere", "--evaluate", "2..1", NULL};
    assert_int_equal(run(6, window), COMMAND_MISUSED);
    char *sample[] = {"replay", "--format", "globo", "somewhere", "--sample", "1.5", NULL};
    assert_int_equal(run(6, sample), COMMAND_MISUSED);
    char *nowhere[] = {"replay", "--format", "globo", "/nowhere/at/all", NULL};
    assert_int_equal(run(4, nowhere), COMMAND_FAILED);
}

static void test_ratings_are_predicted(void **state) {
    (void)state;
    struct set set;
    struct bytes text;
    bytes_init(&text);
    assert_int_equal(scratch_make(NULL, set.folder, NULL), LEAT_OK);
    bytes_printf(&text, "unknown|0\nAction|1\n");
    write_file(set.folder, "u.genre", &text);
    bytes_clear(&text);
    bytes_printf(&text, "1|24|M|technician|85711\n2|53|F|other|94043\n");
    write_file(set.folder, "u.user", &text);
    bytes_clear(&text);
    bytes_printf(&text, "1|One||||0|1\n2|Two||||1|0\n3|Three||||0|1\n");
    write_file(set.folder, "u.item", &text);
    bytes_clear(&text);
    for (int i = 0; i < 60; i++) {
        bytes_printf(&text, "%d\t%d\t%d\t%d\n", 1 + i % 2, 1 + i % 3, 1 + i % 5, 1000 + i);
    }
    write_file(set.folder, "u.data", &text);
    bytes_deinit(&text);
    char *argv[] = {"replay", "--format", "movielens", set.folder, "--strict", "--json", NULL};
    assert_int_equal(run(6, argv), COMMAND_FINE);
    remove_set(&set);
}

enum { SHOWINGS = 200 };

/* Showings of four people who like every second, third .. video; `last`: what came of the last one.
 * Gives the predictions, with every label written as '?'. */
static struct bytes predict_showings(const char *last) {
    struct set set;
    struct bytes text;
    bytes_init(&text);
    assert_int_equal(scratch_make(NULL, set.folder, NULL), LEAT_OK);
    bytes_printf(&text, "user_id\tvideo_id\ttime_ms\tis_click\tlong_view\tis_profile_enter\t"
                        "duration_ms\n");
    for (int i = 0; i < SHOWINGS - 1; i++) {
        int video = i * 7 % 30;
        bytes_printf(&text, "%d\t%d\t%lld\t%d\t%d\t%d\t%d\n", i % 4, video,
                     (long long)(START_MS + i * 5000), video % (2 + i % 4) == 0, i % 3 == 0,
                     i % 10 == 0, video * 1000);
    }
    bytes_printf(&text, "1\t5\t%lld\t%s\t0\n", (long long)(START_MS + SHOWINGS * 5000), last);
    write_file(set.folder, "log.csv", &text);
    bytes_clear(&text);
    assert_int_equal(path_join(set.pages, set.folder, "out.jsonl", NULL), LEAT_OK);
    char *argv[] = {"replay", "--format", "kuairand", set.folder, "--strict",
                    "--json", "--out",    set.pages,  NULL};
    assert_int_equal(run(8, argv), COMMAND_FINE);
    assert_int_equal(disk_get(disk_real(), set.pages, OUT_BYTES_MAX, &text, NULL), LEAT_OK);
    bytes_put_u8(&text, 0);
    for (char *at = (char *)text.data; (at = strstr(at, "\"label\":")); at++) {
        at[strlen("\"label\":")] = '?';
    }
    remove_set(&set);
    return text;
}

/* What comes of the last showing changes no prediction: none has seen what it predicts. */
static void test_showings_are_predicted_before_they_are_told(void **state) {
    (void)state;
    struct bytes none = predict_showings("0\t0\t0");
    struct bytes all = predict_showings("1\t1\t1");
    const char *text = (const char *)none.data;
    int lines = 0;
    int predictions = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++) {
        lines++;
    }
    for (const char *at = text; (at = strstr(at, "\"leat\":")); at++) {
        double probability = strtod(at + strlen("\"leat\":"), NULL);
        assert_true(probability > 0 && probability < 1);
        predictions++;
    }
    assert_int_equal(lines, SHOWINGS);
    assert_int_equal(predictions, 3 * SHOWINGS);
    assert_string_equal(text, (const char *)all.data);
    bytes_deinit(&none);
    bytes_deinit(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_page_is_written),
        cmocka_unit_test(test_window_and_sample_choose),
        cmocka_unit_test(test_strict_stops),
        cmocka_unit_test(test_wrong_words_are_misuse),
        cmocka_unit_test(test_ratings_are_predicted),
        cmocka_unit_test(test_showings_are_predicted_before_they_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
