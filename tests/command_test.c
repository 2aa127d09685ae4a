/* Subcommands as a person or a program runs them: exit codes, and what is printed. */
#include "app/command.h"
#include "base/file.h"
#include "base/test.h"
#include "engine/engine.h"
#include "engine/intake.h"

#include <fcntl.h>
#include <unistd.h>

static const char *const POSTED[] = {
    "{\"kind\":\"item\",\"item\":\"i1\",\"author\":\"a\",\"categories\":[\"x\",\"y\"],\"created\":"
    "5}",
    "{\"kind\":\"item\",\"item\":\"i2\",\"author\":\"b\",\"text\":\"caf\xC3\xA9 \\\"2\\\"\"}",
    "{\"kind\":\"impression\",\"user\":\"u1\",\"item\":\"i1\",\"request\":\"r\"}",
    "{\"kind\":\"click\",\"time\":1508211000123,\"user\":\"u1\",\"item\":\"i1\",\"id\":\"e\","
    "\"value\":1.5,\"context\":{\"region\":\"21\",\"new\":true,\"n\":7}}",
    "{\"kind\":\"click\",\"user\":\"u2\",\"item\":\"i2\",\"session\":\"s\",\"surface\":\"for_"
    "you\"}",
};
enum { POSTED_COUNT = sizeof(POSTED) / sizeof(POSTED[0]), WORDS_MAX = 12 };

static char folder[] = "/tmp/leat-command-XXXXXX";
static char data[64], captured[64];
static char output[100000]; /* of the last command, standard output */

/* --- running --- */

/* Runs a command with words split at spaces; "DATA" stands for the data folder. */
static int run(int (*command)(int argc, char **argv), const char *line) {
    char text[200];
    char *argv[WORDS_MAX + 1];
    int argc = 0;
    snprintf(text, sizeof(text), "%s", line);
    for (char *word = strtok(text, " "); word && argc < WORDS_MAX; word = strtok(NULL, " ")) {
        argv[argc++] = strcmp(word, "DATA") == 0 ? data : word;
    }
    argv[argc] = NULL;
    fflush(stdout);
    int terminal = dup(STDOUT_FILENO);
    int file = open(captured, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(terminal >= 0 && file >= 0);
    dup2(file, STDOUT_FILENO);
    int exit_code = command(argc, argv);
    fflush(stdout);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
    ssize_t size = pread(file, output, sizeof(output) - 1, 0);
    close(file);
    assert_true(size >= 0);
    output[size] = '\0';
    return exit_code;
}

/* --- a data folder with one posted event a commit --- */

static leat_status append_all(struct engine *engine, struct intake *intake, leat_error *err) {
    for (int i = 0; i < POSTED_COUNT; i++) {
        struct intake_result result;
        struct log_receipt receipt;
        TRY(intake_read(intake, slice_of(POSTED[i]), &result, err));
        if (result.rejected) {
            return error_set(err, LEAT_INVALID, "%s", result.rejections[0].words);
        }
        TRY(engine_append(engine, &result.batch, &receipt, err));
    }
    return LEAT_OK;
}

static leat_status make_data(leat_error *err) {
    struct config *config;
    struct engine *engine;
    struct intake *intake;
    TRY(config_parse(slice_of(""), "defaults", &config, err));
    snprintf(config->root.data, sizeof(config->root.data), "%s", data);
    struct engine_options options = {.config = config, .inline_mode = true};
    TRY(engine_open(&options, &engine, NULL, err));
    TRY(intake_create(config, &intake, err));
    leat_status status = append_all(engine, intake, err);
    intake_destroy(intake);
    TRY(engine_close(engine, err));
    config_destroy(config);
    return status;
}

static int set_up(void **state) {
    (void)state;
    leat_error err = {.message = ""};
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(data, sizeof(data), "%s/data", folder);
    snprintf(captured, sizeof(captured), "%s/output", folder);
    if (make_data(&err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    leat_error err = {.message = ""};
    char checkpoints[96];
    snprintf(checkpoints, sizeof(checkpoints), "%s/checkpoints", data);
    if (disk_remove_tree(disk_real(), checkpoints, &err) < 0 ||
        disk_remove_tree(disk_real(), data, &err) < 0 ||
        disk_remove_tree(disk_real(), folder, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    return 0;
}

/* --- the tests --- */

/* Behind sequence, position and time of appending, a line is what was posted, to the byte. */
static void log_prints_what_was_posted(void **state) {
    (void)state;
    assert_int_equal(run(command_log, "log --data DATA --json"), COMMAND_FINE);
    char *at = output;
    for (int i = 0; i < POSTED_COUNT; i++) {
        char place[64];
        snprintf(place, sizeof(place), "{\"sequence\":%d,\"position\":\"0:%d\",\"appended\":", i,
                 i);
        assert_memory_equal(at, place, strlen(place));
        char *end = strchr(at, '\n');
        assert_non_null(end);
        size_t size = strlen(POSTED[i]) - 1; /* without its '{' */
        assert_true((size_t)(end - at) > size);
        assert_memory_equal(end - size, POSTED[i] + 1, size);
        assert_int_equal(end[-(ptrdiff_t)size - 1], ',');
        at = end + 1;
    }
    assert_int_equal(*at, '\0');
}

static void log_keeps_to_its_range(void **state) {
    (void)state;
    assert_int_equal(run(command_log, "log --data DATA --from 0:1 --to 0:3"), COMMAND_FINE);
    assert_memory_equal(output, "0:1\t", 4);
    char *second = strchr(output, '\n') + 1;
    assert_memory_equal(second, "0:2\t", 4);
    assert_string_equal(strchr(second, '\n'), "\n");
    assert_int_equal(run(command_log, "log --data DATA --from 0:100"), COMMAND_FINE);
    assert_string_equal(output, "");
    assert_int_equal(run(command_log, "log --data DATA --from x"), COMMAND_FAILED);
}

static void digests_agree_however_the_state_is_made(void **state) {
    (void)state;
    assert_int_equal(run(command_state, "state digest --data DATA --json"), COMMAND_FINE);
    char *first = strdup(output);
    assert_non_null(strstr(first, "\"digest\":\""));
    assert_non_null(strstr(first, "\"model\":\""));
    static const char *const ways[] = {"state digest --data DATA --json --replay",
                                       "state digest --data DATA --json --replay --batch 1",
                                       "state digest --data DATA --json --replay --batch 3",
                                       "state digest --data DATA --json --batch 2"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        assert_int_equal(run(command_state, ways[i]), COMMAND_FINE);
        assert_string_equal(output, first);
    }
    free(first);
}

static void looking_makes_no_folder(void **state) {
    (void)state;
    assert_int_equal(run(command_log, "log --data /nowhere/at/all"), COMMAND_FAILED);
    assert_int_equal(run(command_state, "state digest --data /nowhere/at/all"), COMMAND_FAILED);
    assert_string_equal(output, "");
    assert_int_not_equal(access("/nowhere", F_OK), 0);
}

static void misuse_has_its_own_code(void **state) {
    (void)state;
    assert_int_equal(run(command_log, "log --jsn"), COMMAND_MISUSED);
    assert_int_equal(run(command_log, "log extra"), COMMAND_MISUSED);
    assert_int_equal(run(command_state, "state"), COMMAND_MISUSED);
    assert_int_equal(run(command_state, "state digets"), COMMAND_MISUSED);
    assert_int_equal(run(command_state, "state digest --batch 0"), COMMAND_FAILED);
    assert_int_equal(run(command_reference, "reference confg"), COMMAND_MISUSED);
    assert_int_equal(run(command_serve, "serve -c /nowhere/leat.yaml"), COMMAND_FAILED);
}

static void every_command_helps(void **state) {
    (void)state;
    assert_int_equal(run(command_serve, "serve --help"), COMMAND_FINE);
    assert_non_null(strstr(output, "--listen ADDR"));
    assert_non_null(strstr(output, "pair_half_life"));
    assert_int_equal(run(command_log, "log -h"), COMMAND_FINE);
    assert_non_null(strstr(output, "--from POS"));
    assert_int_equal(run(command_state, "state digest --help"), COMMAND_FINE);
    assert_non_null(strstr(output, "--replay"));
    assert_int_equal(run(command_reference, "reference config"), COMMAND_FINE);
    assert_non_null(strstr(output, "pair_half_life"));
    assert_int_equal(run(command_version, "version --json"), COMMAND_FINE);
    assert_non_null(strstr(output, "\"version\":\"" LEAT_VERSION "\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_prints_what_was_posted),
        cmocka_unit_test(log_keeps_to_its_range),
        cmocka_unit_test(digests_agree_however_the_state_is_made),
        cmocka_unit_test(looking_makes_no_folder),
        cmocka_unit_test(misuse_has_its_own_code),
        cmocka_unit_test(every_command_helps),
    };
    return cmocka_run_group_tests_name("command", tests, set_up, tear_down);
}
