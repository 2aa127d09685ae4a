#define _GNU_SOURCE /* nftw */

#include "tests/real_server.h"

#include "base/clock.h"
#include "base/test.h"
#include "tests/real_client.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WORDS_MAX = 16,
    PRINTED_BYTES_MAX = 1 << 30,
    READY_WAIT_MS = 60000,
    END_WAIT_MS = 60000,
    NAP_MS = 2,
    OPEN_FOLDERS_MAX = 16,
};

void pause_ms(int64_t ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* --- the binary and the folder --- */

bool real_binary_find(char out[PATH_BYTES_MAX]) {
    const char *given = getenv("LEAT_BINARY");
    const char *wanted = given ? given : "../../release/leat";
    char *path = realpath(wanted, NULL);
    bool found = path && access(path, X_OK) == 0 && strlen(path) < PATH_BYTES_MAX;
    if (found) {
        snprintf(out, PATH_BYTES_MAX, "%s", path);
    } else {
        printf("skipped: no binary\n");
    }
    free(path);
    return found;
}

void real_server_init(struct real_server *server) {
    *server = (struct real_server){.folder = "/tmp/leat-real-XXXXXX"};
    assert_true(real_binary_find(server->binary));
    assert_non_null(mkdtemp(server->folder));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

void real_server_deinit(struct real_server *server) {
    real_server_kill(server);
    if (nftw(server->folder, remove_entry, OPEN_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS) != 0) {
        fail_msg("%s cannot be removed", server->folder);
    }
}

static void in_folder(const struct real_server *server, const char *name,
                      char out[PATH_BYTES_MAX]) {
    assert_int_equal(path_join(out, server->folder, name, NULL), LEAT_OK);
}

void real_server_configure(const struct real_server *server, const char *keys) {
    char path[PATH_BYTES_MAX];
    struct bytes text;
    leat_error err = {.message = ""};
    bytes_init(&text);
    bytes_printf(&text, "data: %s/data\nlisten: 127.0.0.1:0\n%s", server->folder, keys);
    in_folder(server, "leat.yaml", path);
    if (disk_put(disk_real(), path, text.data, text.size, &err) < 0) {
        fail_msg("%s", err.message);
    }
    bytes_deinit(&text);
}

/* --- processes --- */

/* In the child: becomes leat, or ends with the shell's code for that it could not. */
static void become(const struct real_server *server, char **words, const char *out,
                   const char *errors, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int printed = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int complaints = open(errors, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    bool set = getppid() == parent && chdir(server->folder) == 0 &&
               dup2(printed, STDOUT_FILENO) >= 0 && dup2(complaints, STDERR_FILENO) >= 0;
    if (set) {
        execv(server->binary, words);
    }
    _exit(127);
}

/* `name`: of the files that take what it prints, <name>.out and <name>.err. */
static pid_t spawn(const struct real_server *server, const char *words, const char *name) {
    char text[500], out[PATH_BYTES_MAX], errors[PATH_BYTES_MAX];
    char binary[] = "leat";
    char *split[WORDS_MAX + 1] = {binary};
    int count = 1;
    assert_true(snprintf(text, sizeof(text), "%s", words) < (int)sizeof(text));
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        assert_true(count < WORDS_MAX);
        split[count++] = word;
    }
    snprintf(out, sizeof(out), "%s/%s.out", server->folder, name);
    snprintf(errors, sizeof(errors), "%s/%s.err", server->folder, name);
    unlink(out); /* nobody shall take what the process before it said for its words */
    pid_t parent = getpid();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        become(server, split, out, errors, parent);
    }
    return pid;
}

/* False when it still runs after the time. */
static bool wait_end(pid_t pid, int64_t timeout_ms, int *status) {
    uint64_t end = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    while (waitpid(pid, status, WNOHANG) != pid) {
        if (clock_monotonic_ns() > end) {
            return false;
        }
        pause_ms(NAP_MS);
    }
    return true;
}

/* Appends a file that a process wrote, with a NUL behind it; nothing when it is not there yet. */
static void read_printed(const struct real_server *server, const char *name, struct bytes *out) {
    char path[PATH_BYTES_MAX];
    leat_error err = {.message = ""};
    in_folder(server, name, path);
    bytes_clear(out);
    if (disk_get(disk_real(), path, PRINTED_BYTES_MAX, out, &err) < 0) {
        fail_msg("%s", err.message);
    }
    bytes_put_u8(out, 0);
    assert_false(out->failed);
    out->size--;
}

/* --- the server --- */

void real_server_launch(struct real_server *server) {
    assert_int_equal(server->pid, 0);
    char words[200];
    server->address[0] = '\0';
    snprintf(words, sizeof(words), "serve -c leat.yaml%s", server->more);
    server->pid = spawn(server, words, "serve");
}

static void fail_ended(struct real_server *server, int status) {
    struct bytes errors;
    bytes_init(&errors);
    read_printed(server, "serve.err", &errors);
    server->pid = 0;
    print_error("%s\n", (char *)errors.data);
    bytes_deinit(&errors);
    fail_msg("the server ended by itself, wait status %d", status);
}

/* Takes the address from "listening on <address>", a line of what it prints. */
static bool read_address(struct real_server *server) {
    static const char mark[] = "\nlistening on ";
    struct bytes text;
    bytes_init(&text);
    read_printed(server, "serve.out", &text);
    const char *at = strstr((char *)text.data, mark);
    const char *end = at ? strchr(at + 1, '\n') : NULL;
    if (end) {
        at += sizeof(mark) - 1;
        snprintf(server->address, sizeof(server->address), "%.*s", (int)(end - at), at);
    }
    bytes_deinit(&text);
    return end != NULL;
}

/* Asked once only: a server that answers is asked again by its caller. */
static bool answers_ready(struct real_server *server) {
    struct real_client client;
    real_client_init(&client, server->address);
    bool ready = real_client_get(&client, "/readyz") && client.status == 200;
    real_client_deinit(&client);
    return ready;
}

void real_server_wait_ready(struct real_server *server) {
    uint64_t end = clock_monotonic_ns() + (uint64_t)READY_WAIT_MS * 1000000;
    while (!(server->address[0] || read_address(server)) || !answers_ready(server)) {
        int status;
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            fail_ended(server, status);
        }
        if (clock_monotonic_ns() > end) {
            fail_msg("the server is not ready after %d ms", READY_WAIT_MS);
        }
        pause_ms(NAP_MS);
    }
}

void real_server_start(struct real_server *server) {
    real_server_launch(server);
    real_server_wait_ready(server);
}

void real_server_kill(struct real_server *server) {
    if (server->pid == 0) {
        return;
    }
    int status;
    pid_t pid = server->pid;
    server->pid = 0;
    kill(pid, SIGKILL);
    assert_true(wait_end(pid, END_WAIT_MS, &status));
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fail_msg("the server had ended before it was killed, wait status %d", status);
    }
}

void real_server_stop(struct real_server *server) {
    int status;
    assert_true(server->pid > 0);
    kill(server->pid, SIGTERM);
    if (!wait_end(server->pid, END_WAIT_MS, &status)) {
        fail_msg("the server did not stop within %d ms", END_WAIT_MS);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_ended(server, status);
    }
    server->pid = 0;
}

/* --- commands --- */

int real_command(const struct real_server *server, const char *words, struct bytes *printed,
                 struct bytes *errors) {
    int status;
    pid_t pid = spawn(server, words, "command");
    if (!wait_end(pid, END_WAIT_MS, &status)) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        fail_msg("leat %s: still running after %d ms", words, END_WAIT_MS);
    }
    if (printed) {
        read_printed(server, "command.out", printed);
    }
    if (errors) {
        read_printed(server, "command.err", errors);
    }
    if (!WIFEXITED(status)) {
        fail_msg("leat %s: ended by signal %d", words, WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}
