#include "app/options.h"
#include "base/test.h"

#include <string.h>

static const char *file, *batch;
static bool json, help;
static int rest;
static leat_error err;

static const struct option OPTIONS[] = {
    {"config", 'c', "FILE", "A file.", &file, NULL},
    {"batch", 0, "N", "A number.", &batch, NULL},
    {"json", 0, NULL, "A flag.", NULL, &json},
};
static const struct usage USAGE = {"leat x [--json]", "Does x.", OPTIONS, 3};

enum { WORDS_MAX = 12 };
static char *argv[WORDS_MAX + 1];

/* Words split at spaces, after the name of the subcommand. */
static leat_status parse(const char *line) {
    static char text[200];
    int argc = 0;
    snprintf(text, sizeof(text), "x %s", line);
    for (char *word = strtok(text, " "); word && argc < WORDS_MAX; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    file = NULL;
    batch = NULL;
    json = false;
    err.message[0] = '\0';
    return options_parse(&USAGE, argc, argv, &rest, &help, &err);
}

static void refused(const char *line, const char *words) {
    assert_int_equal(parse(line), LEAT_INVALID);
    assert_string_equal(err.message, words);
}

static void options_may_stand_anywhere(void **state) {
    (void)state;
    assert_int_equal(parse("one -c a.yaml two --batch=7 --json - three"), LEAT_OK);
    assert_string_equal(file, "a.yaml");
    assert_string_equal(batch, "7");
    assert_true(json);
    assert_int_equal(rest, 4);
    assert_string_equal(argv[1], "one");
    assert_string_equal(argv[2], "two");
    assert_string_equal(argv[3], "-");
    assert_string_equal(argv[4], "three");
    assert_int_equal(parse("--config b --batch= -- --json"), LEAT_OK);
    assert_string_equal(file, "b");
    assert_string_equal(batch, "");
    assert_false(json);
    assert_int_equal(rest, 1);
    assert_string_equal(argv[1], "--json");
    assert_int_equal(parse(""), LEAT_OK);
    assert_int_equal(rest, 0);
}

static void wrong_options_are_named(void **state) {
    (void)state;
    refused("--jsn", "option '--jsn' is unknown; did you mean '--json'?");
    refused("--cnfig=a", "option '--cnfig' is unknown; did you mean '--config'?");
    refused("-x", "option '-x' is unknown; --help lists those there are");
    refused("-config a", "option '-config' is unknown; did you mean '--config'?");
    refused("---", "option '---' is unknown; --help lists those there are");
    refused("--json=1", "--json takes no value");
    refused("--batch", "--batch wants N after it");
    refused("-c", "--config wants FILE after it");
}

static void help_goes_before_faults(void **state) {
    (void)state;
    assert_int_equal(parse("--nonsense --help"), LEAT_OK);
    assert_true(help);
    assert_int_equal(parse("-- --help"), LEAT_OK);
    assert_false(help);
}

static void integers_are_bounded(void **state) {
    (void)state;
    int64_t value = 5;
    assert_int_equal(options_integer("n", NULL, 1, 10, &value, &err), LEAT_OK);
    assert_int_equal(value, 5);
    assert_int_equal(options_integer("n", "10", 1, 10, &value, &err), LEAT_OK);
    assert_int_equal(value, 10);
    assert_int_equal(options_integer("n", "11", 1, 10, &value, &err), LEAT_INVALID);
    assert_string_equal(err.message, "--n: '11' is not a whole number from 1 to 10");
    assert_int_equal(options_integer("n", "1x", 1, 10, &value, &err), LEAT_INVALID);
    assert_int_equal(value, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(help_goes_before_faults),
        cmocka_unit_test(integers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
