/* `leat train` and `leat eval ctr` as they are typed, on files: what they print goes to a file. */
#include "app/command.h"
#include "app/train_planted.h"
#include "base/file.h"
#include "base/test.h"
#include "base/text.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 12000, ARGS_MAX = 40 };

static char folder[64];
static char said_path[96];

static const char *in_folder(const char *name) {
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int make_rows(void **state) {
    (void)state;
    struct bytes text;
    snprintf(folder, sizeof(folder), "/tmp/train_test_XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(said_path, sizeof(said_path), "%s/said", folder);
    bytes_init(&text);
    for (uint64_t i = 0; i < ROWS; i++) {
        struct planted_row row;
        planted_row_make(3, i, &row);
        planted_row_write(&row, &text);
    }
    leat_status status = disk_put(disk_real(), in_folder("rows.vw"), text.data, text.size, NULL);
    bytes_deinit(&text);
    return status;
}

static int remove_rows(void **state) {
    (void)state;
    return disk_remove_tree(disk_real(), folder, NULL);
}

/* In a process of its own, so that it can be killed; what it says is in said_path. */
static pid_t start(int (*command)(int, char **), const char *line) {
    static char words[2000];
    char *argv[ARGS_MAX];
    int argc = 0;
    snprintf(words, sizeof(words), "%s", line);
    for (char *word = strtok(words, " "); word && argc < ARGS_MAX; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int file = open(said_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        dup2(file, STDOUT_FILENO);
        dup2(file, STDERR_FILENO);
        int code = command(argc, argv);
        fflush(NULL);
        _exit(code);
    }
    return child;
}

static char said[20000];

static void read_said(void) {
    struct bytes bytes;
    bytes_init(&bytes);
    assert_int_equal(disk_get(disk_real(), said_path, sizeof(said) - 1, &bytes, NULL), LEAT_OK);
    memcpy(said, bytes.data, bytes.size);
    said[bytes.size] = '\0';
    bytes_deinit(&bytes);
}

static int run(int (*command)(int, char **), const char *line) {
    int code;
    pid_t child = start(command, line);
    assert_int_equal(waitpid(child, &code, 0), child);
    read_said();
    assert_true(WIFEXITED(code));
    return WEXITSTATUS(code);
}

static void run_fine(int (*command)(int, char **), const char *line) {
    if (run(command, line) != COMMAND_FINE) {
        fail_msg("%s: %s", line, said);
    }
}

/* The number after `key` in what was said, from its last place on. */
static double number_after(const char *key) {
    const char *found = NULL;
    for (const char *at = said; (at = strstr(at, key)); at++) {
        found = at;
    }
    assert_non_null(found);
    return strtod(found + strlen(key), NULL);
}

static void assert_same_files(const char *left, const char *right) {
    struct bytes a;
    struct bytes b;
    bytes_init(&a);
    bytes_init(&b);
    assert_int_equal(disk_get(disk_real(), in_folder(left), 1 << 28, &a, NULL), LEAT_OK);
    assert_int_equal(disk_get(disk_real(), in_folder(right), 1 << 28, &b, NULL), LEAT_OK);
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    bytes_deinit(&a);
    bytes_deinit(&b);
}

static bool is_there(const char *name) {
    return access(in_folder(name), F_OK) == 0;
}

static void line_of(char *out, size_t size, const char *options, const char *name) {
    snprintf(out, size,
             "train %s/rows.vw --format vw --json %s --model %s/%s.model --out %s/%s.csv", folder,
             options, folder, name, folder, name);
}

/* Runs a line until it is done, killing it up to four times while it has notes; how often it was.
 */
static int run_and_kill(const char *line, const char *notes) {
    int kills = 0;
    for (int code = 1; code != 0;) {
        struct timespec wait = {.tv_nsec = 2000000 + 3000000L * (kills % 5)};
        pid_t child = start(command_train, line);
        int ended = 0;
        while (kills < 4 && !is_there(notes) && ended == 0) {
            ended = waitpid(child, &code, WNOHANG);
        }
        if (kills < 4 && ended == 0) {
            nanosleep(&wait, NULL);
            kill(child, SIGKILL);
        }
        if (ended == 0) {
            assert_int_equal(waitpid(child, &code, 0), child);
        }
        kills += WIFSIGNALED(code);
        read_said();
        if (WIFEXITED(code) && WEXITSTATUS(code) != 0) {
            fail_msg("%s", said);
        }
    }
    return kills;
}

/* Killed while it learns, and gone on with, until it is done: the same bytes as at once. Where a
 * run was over before it could be killed, another one is tried. */
static void killed_again_and_again(const char *options, const char *name) {
    enum { TRIES = 50 };
    char line[1000];
    char resumed[1100];
    char left[100];
    char right[100];
    snprintf(left, sizeof(left), "%s_whole", name);
    line_of(line, sizeof(line), options, left);
    run_fine(command_train, line);
    bool cached = strstr(options, "--cache") != NULL;
    if (cached) { /* what is written to it is killed, too */
        assert_int_equal(rename(in_folder("fm.cache"), in_folder("fm_whole.cache")), 0);
    }
    line_of(line, sizeof(line), options, name);
    snprintf(resumed, sizeof(resumed), "%s --save-every 1000 --resume", line);
    snprintf(right, sizeof(right), "%s.model.notes", name);
    int tries = 0;
    while (run_and_kill(resumed, right) == 0 && tries < TRIES) {
        tries++;
        unlink(in_folder("fm.cache"));
    }
    assert_true(tries < TRIES);
    assert_false(is_there(right));
    snprintf(left, sizeof(left), "%s_whole.csv", name);
    snprintf(right, sizeof(right), "%s.csv", name);
    assert_same_files(left, right);
    snprintf(left, sizeof(left), "%s_whole.model", name);
    snprintf(right, sizeof(right), "%s.model", name);
    assert_same_files(left, right);
    if (cached) {
        assert_same_files("fm_whole.cache", "fm.cache");
    }
}

static void resumes_logistic(void **state) {
    (void)state;
    killed_again_and_again("--network logistic --interactions AB --epochs 2", "logistic");
}

static void resumes_with_a_cache(void **state) {
    (void)state;
    char options[200];
    snprintf(options, sizeof(options), "--network fm --epochs 2 --cache %s", in_folder("fm.cache"));
    killed_again_and_again(options, "fm");
}

static void refuses_notes_of_another_run(void **state) {
    (void)state;
    char line[1000];
    char other[1100];
    /* So many passes that it is still at it when its notes are seen. */
    line_of(line, sizeof(line), "--network logistic --save-every 500 --epochs 1000", "other");
    pid_t child = start(command_train, line);
    while (!is_there("other.model.notes")) {
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0);
    }
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    snprintf(other, sizeof(other), "%s --rate 0.3 --resume", line);
    assert_int_equal(run(command_train, other), COMMAND_FAILED);
    assert_non_null(strstr(said, "is of a run over other files, or with other options"));
    struct bytes notes;
    bytes_init(&notes);
    assert_int_equal(disk_get(disk_real(), in_folder("other.model.notes"), 1 << 20, &notes, NULL),
                     LEAT_OK);
    snprintf(other, sizeof(other), "%s --resume", line);
    for (size_t at = 0; at < notes.size; at += 41) { /* one byte damaged, or all behind it lost */
        size_t size = at % 2 ? notes.size : at;
        notes.data[at] ^= 4;
        assert_int_equal(
            disk_put(disk_real(), in_folder("other.model.notes"), notes.data, size, NULL), LEAT_OK);
        notes.data[at] ^= 4;
        assert_int_equal(run(command_train, other), COMMAND_FAILED);
        assert_non_null(strstr(said, size < sizeof(uint64_t) ? "is cut off" : "is damaged"));
    }
    bytes_deinit(&notes);
}

/* A namespace that comes up late is no feature, and is named. */
static void late_namespaces_are_named(void **state) {
    (void)state;
    struct bytes text;
    char line[300];
    bytes_init(&text);
    for (int i = 0; i < 10500; i++) {
        bytes_printf(&text, "%d |a x%d%s\n", i % 2, i % 5, i > 10200 ? " |late y" : "");
    }
    assert_int_equal(disk_put(disk_real(), in_folder("late.vw"), text.data, text.size, NULL),
                     LEAT_OK);
    bytes_deinit(&text);
    snprintf(line, sizeof(line), "train %s --format vw --network logistic", in_folder("late.vw"));
    run_fine(command_train, line);
    assert_non_null(strstr(said, "late.vw:10202: 'late' is no feature"));
    assert_null(strstr(strstr(said, "'late'") + 1, "'late'"));
}

/* Text, its cache and the cache by itself are one. */
static void caches_change_nothing(void **state) {
    (void)state;
    char line[1000];
    double losses[4];
    static const char *const options[] = {"--network fm --seed 4",
                                          "--network fm --seed 4 --cache %s",
                                          "--network fm --seed 4 --cache %s --batch 100"};
    for (int i = 0; i < 3; i++) {
        char words[300];
        snprintf(words, sizeof(words), options[i], in_folder("one.cache"));
        line_of(line, sizeof(line), words, "one");
        run_fine(command_train, line);
        losses[i] = number_after("\"logloss\":");
    }
    snprintf(line, sizeof(line), "train %s --format cache --json --network fm --seed 4",
             in_folder("one.cache"));
    run_fine(command_train, line);
    losses[3] = number_after("\"logloss\":");
    for (int i = 1; i < 4; i++) {
        assert_true(losses[i] == losses[0]);
    }
    assert_true(losses[0] > 0.3 && losses[0] < 0.6);
}

/* --- evaluation --- */

struct scored {
    double probability;
    bool positive;
};

/* The lines of --out, and AUC by all pairs. */
static double naive_auc(const char *name, uint64_t first_row, int *count) {
    static struct scored cases[ROWS];
    FILE *file = fopen(in_folder(name), "r");
    char line[200];
    assert_non_null(file);
    *count = 0;
    assert_non_null(fgets(line, sizeof(line), file));
    assert_string_equal(line, "row,task,label,probability\n");
    while (fgets(line, sizeof(line), file)) {
        unsigned long long row;
        double label;
        struct scored *at = &cases[(*count)++];
        assert_int_equal(sscanf(line, "%llu,%*[^,],%lf,%lf", &row, &label, &at->probability), 3);
        assert_true(row >= first_row);
        at->positive = label > 0;
    }
    fclose(file);
    double wins = 0;
    double pairs = 0;
    for (int i = 0; i < *count; i++) {
        for (int k = 0; cases[i].positive && k < *count; k++) {
            if (!cases[k].positive) {
                double difference = cases[i].probability - cases[k].probability;
                wins += difference > 0 ? 1 : difference == 0 ? 0.5 : 0;
                pairs++;
            }
        }
    }
    return wins / pairs;
}

static void evaluates_by_split(void **state) {
    (void)state;
    char line[1000];
    int count;
    snprintf(line, sizeof(line),
             "eval ctr %s/rows.vw --format vw --network logistic --json --time-split 0.75 --out "
             "%s/split.csv --epochs 2",
             folder, folder);
    run_fine(command_eval, line);
    double auc = naive_auc("split.csv", ROWS * 3 / 4, &count);
    assert_int_equal(count, ROWS / 4);
    assert_true(fabs(number_after("\"auc\":") - auc) < 1e-6);
    assert_true(auc > 0.6);
    assert_true(number_after("\"examples\":") == count);
    assert_non_null(strstr(said, "{\"name\":\"epoch/label\",\"epoch\":1,"));
    assert_non_null(strstr(said, "{\"name\":\"ctr/label\",\"epoch\":2,"));
}

static void put_text(const char *name, const char *text) {
    assert_int_equal(disk_put(disk_real(), in_folder(name), text, strlen(text), NULL), LEAT_OK);
}

/* In order of time, whatever the order of the file; what is scored keeps its row's number. */
static void evaluates_in_order_of_time(void **state) {
    (void)state;
    enum { TIMED = 1000 };
    char line[1000];
    int count;
    struct bytes text;
    bytes_init(&text);
    bytes_printf(&text, "at,user,y\n");
    for (int i = 0; i < TIMED; i++) {
        int at = (i * 7) % TIMED; /* every moment once, in another order */
        int user = at % 10;
        bytes_printf(&text, "%d,u%d,%d\n", 1000000 + at, user, at < 900 ? user < 5 : at % 3 == 0);
    }
    bytes_put_u8(&text, 0);
    put_text("timed.csv", (const char *)text.data);
    bytes_deinit(&text);
    snprintf(line, sizeof(line),
             "eval ctr %s/timed.csv --format csv --label y --time at --network logistic --json "
             "--time-split 0.9 --epochs 5 --out %s/timed_out.csv",
             folder, folder);
    run_fine(command_eval, line);
    double auc = naive_auc("timed_out.csv", 0, &count);
    assert_int_equal(count, TIMED / 10);
    assert_true(fabs(number_after("\"auc\":") - auc) < 1e-6);
    FILE *file = fopen(in_folder("timed_out.csv"), "r");
    assert_non_null(fgets(line, sizeof(line), file));
    for (int at = 900; at < TIMED; at++) {
        int row;
        assert_int_equal(fscanf(file, "%d,%*[^\n]\n", &row), 1);
        assert_int_equal(row * 7 % TIMED, at);
    }
    fclose(file);
}

static void evaluates_test_and_valid(void **state) {
    (void)state;
    char line[1000];
    put_text("a.csv", "user,y\nu1,1\nu2,0\nu1,1\nu2,0\nu1,1\n");
    put_text("b.csv", "user,y\nu2,0\nu1,1\nu1,x\n");
    put_text("c.csv", "user,y\nu1,1\nu2,0\nu2,0\n");
    snprintf(
        line, sizeof(line),
        "eval ctr %s/a.csv --format csv --label y --network logistic --json --epochs 3 --valid "
        "%s/b.csv --test %s/c.csv --out %s/c_out.csv",
        folder, folder, folder, folder);
    run_fine(command_eval, line);
    int count;
    assert_true(naive_auc("c_out.csv", 8, &count) == 1);
    assert_int_equal(count, 3);
    assert_true(number_after("\"auc\":") == 1);
    assert_non_null(strstr(said, "b.csv:4: y: 'x' is not a number"));
    assert_non_null(strstr(said, "{\"name\":\"valid/y\",\"epoch\":3,"));
}

static void wrong_options_are_named(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"train rows --format cvs", "did you mean 'csv'?"},
        {"train rows", "--format is missing"},
        {"train --format csv", "no FILE is named"},
        {"train rows --format vw --network deep", "'deep' is unknown"},
        {"train rows --format vw --resume", "--resume goes on from what --model names"},
        {"train none --format vw", "none: no such file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[300];
        const char *rows = strstr(cases[i][0], "rows");
        snprintf(line, sizeof(line), "%.*s%s%s", rows ? (int)(rows - cases[i][0]) : 300,
                 cases[i][0], rows ? in_folder("rows.vw") : "", rows ? rows + 4 : "");
        assert_int_equal(run(command_train, line), COMMAND_FAILED);
        if (!strstr(said, cases[i][1])) {
            fail_msg("not '%s': %s", cases[i][1], said);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resumes_logistic),
        cmocka_unit_test(resumes_with_a_cache),
        cmocka_unit_test(refuses_notes_of_another_run),
        cmocka_unit_test(late_namespaces_are_named),
        cmocka_unit_test(caches_change_nothing),
        cmocka_unit_test(evaluates_by_split),
        cmocka_unit_test(evaluates_in_order_of_time),
        cmocka_unit_test(evaluates_test_and_valid),
        cmocka_unit_test(wrong_options_are_named),
    };
    return cmocka_run_group_tests(tests, make_rows, remove_rows);
}
