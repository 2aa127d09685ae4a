#include "base/test.h"
#include "log/position.h"

static struct position read_text(const char *text) {
    struct position position;
    assert_int_equal(position_read(slice_of(text), &position, NULL), LEAT_OK);
    return position;
}

static void test_text_reads_back(void **state) {
    (void)state;
    static const char *const texts[] = {"", "0:0", "3:17",
                                        "0:5,1:0,4294967295:18446744073709551615",
                                        "0:1,1:1,2:1,3:1,4:1,5:1,6:1,7:1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct position position = read_text(texts[i]);
        char again[POSITION_TEXT_MAX];
        position_write(&position, again);
        assert_string_equal(again, texts[i]);
    }
}

static void test_longest_fits(void **state) {
    (void)state;
    struct position position = {.count = POSITION_LOGS_MAX};
    for (uint32_t i = 0; i < POSITION_LOGS_MAX; i++) {
        position.entries[i].log_id = UINT32_MAX - POSITION_LOGS_MAX + i;
        position.entries[i].sequence = UINT64_MAX;
    }
    char text[POSITION_TEXT_MAX];
    position_write(&position, text);
    struct position again = read_text(text);
    assert_int_equal(again.count, POSITION_LOGS_MAX);
    assert_true(position_reached(&again, &position) && position_reached(&position, &again));
}

static void test_wrong_texts_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"1",
                                        ":",
                                        "1:",
                                        ":1",
                                        ",",
                                        "1:2,",
                                        ",1:2",
                                        "1:2,,2:3",
                                        "01:2",
                                        "1:02",
                                        "+1:2",
                                        "1:-2",
                                        " 1:2",
                                        "1:2 ",
                                        "2:1,1:1",
                                        "1:1,1:2",
                                        "4294967296:0",
                                        "1:18446744073709551616",
                                        "1:2:3",
                                        "a:1",
                                        "0:1,1:1,2:1,3:1,4:1,5:1,6:1,7:1,8:1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct position position = {.count = 99};
        leat_error err = {.message = ""};
        assert_int_equal(position_read(slice_of(texts[i]), &position, &err), LEAT_INVALID);
        assert_int_equal(position.count, 99);
        assert_non_null(strstr(err.message, "position: "));
    }
}

static void test_reached(void **state) {
    (void)state;
    struct position have = read_text("1:10,3:5");
    static const struct {
        const char *want;
        bool reached;
    } cases[] = {{"", true},         {"1:10", true},    {"1:11", false},
                 {"3:5", true},      {"2:0", true},     {"2:1", false},
                 {"1:9,3:6", false}, {"1:9,3:4", true}, {"0:0", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct position want = read_text(cases[i].want);
        assert_int_equal(position_reached(&have, &want), cases[i].reached);
    }
    struct position one = position_of(4, 9);
    assert_int_equal(position_sequence(&one, 4), 9);
    assert_int_equal(position_sequence(&one, 5), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_reads_back),
        cmocka_unit_test(test_longest_fits),
        cmocka_unit_test(test_wrong_texts_are_refused),
        cmocka_unit_test(test_reached),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
