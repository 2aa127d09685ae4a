/* The real server: `leat serve` as a child process on a loopback port of its own, with its
 * configuration and data in a temporary folder; and the other subcommands, run to their end.
 *
 * All calls are for a test's main thread: what goes wrong fails the test. A child dies with the
 * thread that started it, so a test that ends early leaves none behind. */
#ifndef TESTS_REAL_SERVER_H
#define TESTS_REAL_SERVER_H

#include "base/file.h"

#include <sys/types.h>

enum { REAL_SKIP = 77, REAL_FOLDER_MAX = 64 };

struct real_server {
    char binary[PATH_BYTES_MAX];
    char folder[REAL_FOLDER_MAX]; /* temporary; holds leat.yaml, data/ and what commands print */
    char more[128];               /* words behind "serve -c leat.yaml" */
    char address[64];             /* "http://127.0.0.1:<port>" while it runs */
    pid_t pid;                    /* 0: not running */
};

/* LEAT_BINARY, or else build/release/leat as seen from a build's tests; says so if there is none.
 */
bool real_binary_find(char out[PATH_BYTES_MAX]);

void real_server_init(struct real_server *server); /* makes the folder */
/* Kills the server if it runs, removes the folder. */
void real_server_deinit(struct real_server *server);

/* Writes the folder's leat.yaml: the data folder and a free port, and then `keys`. */
void real_server_configure(const struct real_server *server, const char *keys);

/* Starts the process; it may be killed at any time after. */
void real_server_launch(struct real_server *server);
/* Waits until it listens and /readyz is fine. */
void real_server_wait_ready(struct real_server *server);
void real_server_start(struct real_server *server); /* both */
/* SIGKILL, and waits for its end. Does nothing when it does not run. */
void real_server_kill(struct real_server *server);
/* SIGTERM; it must end by itself with exit code 0. */
void real_server_stop(struct real_server *server);

/* Runs `leat` with `words`, split at spaces, in the folder; at most a minute. Returns its exit
 * code; `printed` and `errors` receive what it wrote, each NUL-terminated behind its size (NULL:
 * not wanted). */
int real_command(const struct real_server *server, const char *words, struct bytes *printed,
                 struct bytes *errors);

void pause_ms(int64_t ms);

#endif
