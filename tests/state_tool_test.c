/* `leat state` on a real folder with two checkpoints: what is listed, checked, dumped, found and
 * exported, while an engine has the folder open, and after bytes of it were damaged. */
#include "app/command.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/test.h"
#include "engine/engine.h"
#include "engine/intake.h"

#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { WORDS_MAX = 12, GROUPS = 128 };

static char folder[] = "/tmp/leat-state-XXXXXX";
static char data[64], captured[64], savepoint[64];
static char output[200000]; /* of the last command, standard output */

/* Runs `leat <line>`, its words split at spaces; DATA is the data folder, OUT that of savepoints.
 */
static int run(const char *line) {
    char text[300];
    char *argv[WORDS_MAX + 1];
    int argc = 0;
    snprintf(text, sizeof(text), "%s", line);
    for (char *word = strtok(text, " "); word && argc < WORDS_MAX; word = strtok(NULL, " ")) {
        argv[argc++] = strcmp(word, "DATA") == 0  ? data
                       : strcmp(word, "OUT") == 0 ? savepoint
                                                  : word;
    }
    argv[argc] = NULL;
    fflush(stdout);
    int terminal = dup(STDOUT_FILENO);
    int file = open(captured, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(terminal >= 0 && file >= 0);
    dup2(file, STDOUT_FILENO);
    int exit_code = command_state(argc, argv);
    fflush(stdout);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
    ssize_t size = pread(file, output, sizeof(output) - 1, 0);
    close(file);
    assert_true(size >= 0);
    output[size] = '\0';
    return exit_code;
}

static int lines(void) {
    int count = 0;
    for (const char *at = output; (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    return count;
}

/* --- a folder with checkpoints at 3 and at 5 --- */

static struct config *config;

static struct engine *engine_start(void) {
    struct engine *engine;
    leat_error err = {.message = ""};
    struct engine_options options = {.config = config, .inline_mode = true};
    if (engine_open(&options, &engine, NULL, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return engine;
}

static void post(struct engine *engine, const char *text) {
    struct intake *intake;
    struct intake_result result;
    assert_int_equal(intake_create(config, &intake, NULL), LEAT_OK);
    assert_int_equal(intake_read(intake, slice_of(text), &result, NULL), LEAT_OK);
    assert_int_equal(result.rejected, 0);
    assert_int_equal(engine_append(engine, &result.batch, NULL, NULL), LEAT_OK);
    intake_destroy(intake);
}

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(data, sizeof(data), "%s/data", folder);
    snprintf(captured, sizeof(captured), "%s/output", folder);
    snprintf(savepoint, sizeof(savepoint), "%s/savepoint", folder);
    assert_int_equal(config_parse(slice_of(""), "defaults", &config, NULL), LEAT_OK);
    snprintf(config->root.data, sizeof(config->root.data), "%s", data);
    struct engine *engine = engine_start();
    post(engine, "{\"kind\":\"item\",\"item\":\"i1\",\"author\":\"a\",\"text\":\"words\"}");
    post(engine,
         "{\"kind\":\"impression\",\"user\":\"person-1\",\"item\":\"i1\",\"request\":\"r\"}");
    post(engine, "{\"kind\":\"click\",\"user\":\"person-1\",\"item\":\"i1\",\"id\":\"e\"}");
    assert_int_equal(engine_close(engine, NULL), LEAT_OK);
    engine = engine_start();
    post(engine, "{\"kind\":\"click\",\"user\":\"person-2\",\"item\":\"i1\",\"session\":\"s\"}");
    post(engine, "{\"kind\":\"click\",\"user\":\"person-3\",\"item\":\"i1\"}");
    assert_int_equal(engine_close(engine, NULL), LEAT_OK);
    return 0;
}

static leat_status tree_remove(void *parent, const char *name) {
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, parent, name, NULL));
    leat_status status = disk_remove_tree(disk_real(), path, NULL);
    return status < 0 ? disk_remove(disk_real(), path, NULL) : status;
}

static int tear_down(void **state) {
    (void)state;
    config_destroy(config);
    disk_list(disk_real(), data, tree_remove, data, NULL);
    return disk_remove_tree(disk_real(), savepoint, NULL) < 0 ||
                   disk_remove_tree(disk_real(), folder, NULL) < 0
               ? -1
               : 0;
}

/* --- the tests --- */

static void lists(void **state) {
    (void)state;
    assert_int_equal(run("state list --data DATA"), COMMAND_FINE);
    assert_int_equal(lines(), 2);
    assert_ptr_equal(strstr(output, "0:3 "), output);
    assert_non_null(strstr(output, "\n0:5 "));
    assert_int_equal(run("state list DATA --json"), COMMAND_FINE);
    assert_int_equal(lines(), 2);
    assert_non_null(strstr(output, "{\"position\":\"0:5\",\"sequence\":5,\"time\":\""));
    assert_non_null(strstr(output, "\"name\":\"profile\""));
    assert_non_null(strstr(output, "\"name\":\"model\",\"kind\":\"bytes\""));
    assert_non_null(strstr(output, "\"own_bytes\":"));
}

static void works_beside_an_engine(void **state) {
    (void)state;
    struct engine *engine = engine_start();
    assert_int_equal(run("state list --data DATA"), COMMAND_FINE);
    assert_int_equal(run("state check --data DATA"), COMMAND_FINE);
    assert_int_equal(run("state find person-1 --data DATA"), COMMAND_FINE);
    assert_int_equal(run("state digest --data DATA"), COMMAND_FAILED); /* it wants the lock */
    engine_abandon(engine);
}

static void checks(void **state) {
    (void)state;
    assert_int_equal(run("state check --data DATA"), COMMAND_FINE);
    assert_int_equal(lines(), 2);
    assert_non_null(strstr(output, "good: checkpoint 5, "));
    assert_int_equal(run("state check --data DATA --json"), COMMAND_FINE);
    assert_string_equal(output, "");
}

/* A byte of a file's middle is another one, and then as before. */
static void damage(const char *part, off_t back) {
    char path[PATH_BYTES_MAX];
    uint8_t byte;
    snprintf(path, sizeof(path), "%s/checkpoints/00000000000000000005/%s", data, part);
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    off_t at = lseek(file, 0, SEEK_END) - back;
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static void check_names_what_is_bad(void **state) {
    (void)state;
    static const char *const parts[] = {"profile", "model", "MANIFEST"};
    for (int i = 0; i < 3; i++) {
        damage(parts[i], 10);
        assert_int_equal(run("state check --data DATA"), COMMAND_FAILED);
        assert_non_null(strstr(output, "bad: checkpoint 5"));
        assert_non_null(strstr(output, "good: checkpoint 3"));
        assert_non_null(strstr(output, "/00000000000000000005"));
        assert_true(i == 2 || strstr(output, parts[i]));
        assert_int_equal(run("state check --data DATA --json"), COMMAND_FAILED);
        assert_ptr_equal(strstr(output, "{\"sequence\":5,"), output);
        damage(parts[i], 10);
        assert_int_equal(run("state check --data DATA"), COMMAND_FINE);
    }
}

static void dumps(void **state) {
    (void)state;
    assert_int_equal(run("state dump --operator profile --data DATA"), COMMAND_FINE);
    assert_non_null(strstr(output, "\"key\":\"person-1\""));
    assert_non_null(strstr(output, "\"key\":\"person-3\""));
    int all = lines();
    assert_int_equal(run("state dump --operator profile --key person-2 --data DATA"), COMMAND_FINE);
    assert_in_range(lines(), 1, all - 1);
    assert_non_null(strstr(output, "\"key\":\"person-2\""));
    assert_null(strstr(output, "person-1"));
    assert_int_equal(run("state dump --operator profile --at 3 --data DATA"), COMMAND_FINE);
    assert_null(strstr(output, "person-2"));
    char line[100];
    snprintf(line, sizeof(line), "state dump --operator profile --group %u --data DATA",
             key_group_of(hash_slice(slice_of("person-3")), GROUPS));
    assert_int_equal(run(line), COMMAND_FINE);
    assert_non_null(strstr(output, "person-3"));
    assert_int_equal(run("state dump --operator profil --data DATA"), COMMAND_FAILED);
    assert_int_equal(run("state dump --operator model --data DATA"), COMMAND_FAILED);
    assert_int_equal(run("state dump --operator profile --at 4 --data DATA"), COMMAND_FAILED);
    assert_int_equal(run("state dump --operator profile --group 128 --data DATA"), COMMAND_FAILED);
    assert_int_equal(run("state dump --data DATA"), COMMAND_MISUSED);
}

static void finds(void **state) {
    (void)state;
    assert_int_equal(run("state find person-2 --data DATA"), COMMAND_FINE);
    assert_non_null(strstr(output, "record of profile"));
    assert_non_null(strstr(output, "/checkpoints/0000000000000000000"));
    assert_non_null(strstr(output, " offset "));
    assert_int_equal(run("state find nobody DATA"), COMMAND_FAILED);
    assert_string_equal(output, "");
    assert_int_equal(run("state find erson- DATA --json"), COMMAND_FINE); /* a part of an id */
    assert_null(strstr(output, "\"found\":\"record\""));
    assert_int_equal(run("state find --data DATA"), COMMAND_MISUSED);
    assert_int_equal(run("state find x --data /nowhere"), COMMAND_MISUSED);
}

/* The digest of a state is that of its blocks, one behind the other. */
static uint64_t blocks_digest(const char *operator) {
    struct bytes all;
    bytes_init(&all);
    for (int group = 0; group < GROUPS; group++) {
        char path[PATH_BYTES_MAX];
        snprintf(path, sizeof(path), "%s/%s/%05d.block", savepoint, operator, group);
        assert_int_equal(disk_get(disk_real(), path, 1 << 24, &all, NULL), LEAT_OK);
    }
    uint64_t digest = hash_bytes(all.data, all.size);
    bytes_deinit(&all);
    return digest;
}

static void exports(void **state) {
    (void)state;
    assert_int_equal(run("state export DATA --to OUT"), COMMAND_FINE);
    assert_int_equal(run("state export DATA --to OUT"), COMMAND_FAILED); /* it is there already */
    assert_int_equal(run("state export DATA"), COMMAND_MISUSED);
    assert_int_equal(run("state digest --data DATA --json"), COMMAND_FINE);
    static const char *const operators[] = {"profile", "join", "tally"};
    for (int i = 0; i < 3; i++) {
        char wanted[100];
        snprintf(wanted, sizeof(wanted), "\"%s\":\"%016" PRIx64 "\"", operators[i],
                 blocks_digest(operators[i]));
        assert_non_null(strstr(output, wanted));
    }
}

static void looking_leaves_nothing(void **state) {
    (void)state;
    assert_int_equal(run("state list --data /nowhere/at/all"), COMMAND_FAILED);
    assert_int_not_equal(access("/nowhere", F_OK), 0);
    assert_int_equal(run("state --help"), COMMAND_FINE);
    assert_non_null(strstr(output, "export"));
    static const char *const names[] = {"list", "check", "dump", "find", "export", "digest"};
    for (int i = 0; i < 6; i++) {
        char line[40];
        snprintf(line, sizeof(line), "state %s --help", names[i]);
        assert_int_equal(run(line), COMMAND_FINE);
        assert_non_null(strstr(output, "--data DIR"));
    }
    assert_int_equal(run("state lst"), COMMAND_MISUSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),   cmocka_unit_test(works_beside_an_engine),
        cmocka_unit_test(checks),  cmocka_unit_test(check_names_what_is_bad),
        cmocka_unit_test(dumps),   cmocka_unit_test(finds),
        cmocka_unit_test(exports), cmocka_unit_test(looking_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
