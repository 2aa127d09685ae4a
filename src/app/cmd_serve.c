/* `leat serve`: opens the engine, serves it until a signal, closes it with a checkpoint. */
#include "app/command.h"
#include "app/serve_follow.h"
#include "learn/model.h"
#include "serve/server.h"

#include <signal.h>
#include <stdarg.h>
#include <time.h>

enum {
    WATCH_SECONDS = 1,    /* how often the engine is asked if it stopped */
    APPEND_WAIT_MS = 200, /* a post waits so long for room in the log's queue, then 429 */
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line a step, seen at once by whoever waits for it. */
static void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
}

/* Before any thread starts, so that none of them gets these signals. */
static void block_signals(sigset_t *stop) {
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(stop);
    sigaddset(stop, SIGINT);
    sigaddset(stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, stop, NULL);
}

static void wait_for_signal(const sigset_t *stop, const struct engine *engine) {
    bool told = false;
    const struct timespec watch = {.tv_sec = WATCH_SECONDS};
    while (sigtimedwait(stop, NULL, &watch) < 0) {
        const char *failure = engine_failure(engine);
        if (failure && !told) {
            fprintf(stderr, "leat serve: %s\n", failure);
            told = true;
        }
    }
}

static leat_status serve_engine(const struct config *config, struct metrics *metrics,
                                struct engine *engine, const sigset_t *stop, leat_error *err) {
    struct server *server;
    char address[SERVER_ADDRESS_MAX];
    TRY(server_start(engine, config, metrics, &server, err));
    server_address(server, address);
    say("listening on %s", address);
    wait_for_signal(stop, engine);
    say("stopping: finishing requests");
    server_stop(server);
    return LEAT_OK;
}

static leat_status serve(struct config *config, struct metrics *metrics, const char *leader,
                         leat_error *err) {
    sigset_t stop;
    block_signals(&stop);
    if (leader) {
        return serve_follow(config, metrics, leader, &stop, say, err);
    }
    struct engine *engine;
    struct engine_report report = {.words = ""};
    struct engine_options options = {.config = config,
                                     .metrics = metrics,
                                     .emit_examples = true,
                                     .append_wait_ms = APPEND_WAIT_MS};
    TRY(engine_open(&options, &engine, &report, err));
    say("data %s: %s", config->root.data, report.words);
    leat_status status = serve_engine(config, metrics, engine, &stop, err);
    leat_status closed = engine_close(engine, status < 0 ? NULL : err);
    if (status == LEAT_OK && closed == LEAT_OK) {
        say("stopped: everything is in %s", config->root.data);
    }
    return status < 0 ? status : closed;
}

static leat_status override_listen(struct config *config, const char *listen, leat_error *err) {
    char *address = config->root.listen;
    if (listen && snprintf(address, CONFIG_TEXT_MAX, "%s", listen) >= CONFIG_TEXT_MAX) {
        return error_set(err, LEAT_INVALID, "--listen: longer than %d bytes", CONFIG_TEXT_MAX - 1);
    }
    return LEAT_OK;
}

static leat_status run(const struct command_files *files, const char *listen, const char *leader,
                       leat_error *err) {
    struct config *config;
    const char *from;
    TRY(command_config(files, &config, &from, err));
    say("leat " LEAT_VERSION ", kernel %s", model_kernel());
    say("configuration: %s", from);
    leat_status status = override_listen(config, listen, err);
    if (status == LEAT_OK) {
        struct metrics *metrics = metrics_create();
        status = metrics ? serve(config, metrics, leader, err) : error_memory(err, 0);
        metrics_destroy(metrics);
    }
    config_destroy(config);
    return status;
}

static void print_keys(void) {
    struct bytes text;
    bytes_init(&text);
    config_reference(&text);
    printf("\nKeys of the configuration:\n\n%.*s", (int)text.size, (const char *)text.data);
    bytes_deinit(&text);
}

int command_serve(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    const char *listen = NULL;
    const char *leader = NULL;
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {"listen", 0, "ADDR", "Address and port, instead of the configured ones; port 0: any.",
         &listen, NULL},
        {"follow", 0, "URL", "Follow the server there, as a copy that takes no events itself.",
         &leader, NULL},
    };
    const struct usage usage = {
        "leat serve [-c FILE] [--data DIR] [--listen ADDR] [--follow URL]",
        "Takes events and answers with pages, over HTTP (GET /openapi.yaml describes it).\n"
        "SIGINT or SIGTERM stops it: requests finish, a last checkpoint is written.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 0, &rest, &exit_code)) {
        if (exit_code == COMMAND_FINE) {
            print_keys();
        }
        return exit_code;
    }
    leat_error err = {.message = ""};
    return run(&files, listen, leader, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
