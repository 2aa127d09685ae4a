#include "app/serve_follow.h"

#include "base/thread.h"
#include "connect/leader_http.h"
#include "engine/follow.h"
#include "serve/server.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAP_MS = 20, SIGNAL_NAP_MS = 100 };

/* The main thread may wait for a leader, or for bytes of it: signals have a thread of their own. */
struct signals {
    struct thread thread;
    const sigset_t *set;
    _Atomic bool came;
    _Atomic bool ended; /* nobody waits for one any more */
};

static void *signals_run(void *context) {
    struct signals *signals = context;
    const struct timespec wait = {.tv_nsec = SIGNAL_NAP_MS * 1000000};
    while (!atomic_load(&signals->ended) && !atomic_load(&signals->came)) {
        if (sigtimedwait(signals->set, NULL, &wait) > 0) {
            atomic_store(&signals->came, true);
        }
    }
    return NULL;
}

struct house {
    struct config *config;
    struct metrics *metrics;
    struct follow_options options;
    struct signals signals;
    void (*say)(const char *format, ...);
};

/* Until a signal comes, or the follower is to begin anew from a checkpoint. */
static void serve_wait(struct house *house, const struct engine *engine, struct follow *follow) {
    bool told = false;
    while (!atomic_load(&house->signals.came) && !follow_wants_restart(follow)) {
        const char *failure = engine_failure(engine);
        if (failure && !told) {
            fprintf(stderr, "leat serve: %s\n", failure);
            told = true;
        }
        nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000}, NULL);
    }
}

static leat_status serve_once(struct house *house, struct engine *engine, bool *restart,
                              leat_error *err) {
    struct follow *follow = NULL;
    struct server *server = NULL;
    char address[SERVER_ADDRESS_MAX];
    leat_status status;
    TRY_OR(status, follow_start(engine, &house->options, &follow, err), done);
    TRY_OR(status, server_start(engine, house->config, house->metrics, &server, err), done);
    server_address(server, address);
    snprintf(house->config->root.listen, CONFIG_TEXT_MAX, "%s", address + strlen("http://"));
    house->say("listening on %s", address);
    serve_wait(house, engine, follow);
    *restart = !atomic_load(&house->signals.came);
    house->say(*restart ? "beginning anew from the leader's checkpoint"
                        : "stopping: finishing requests");
done:
    server_stop(server);
    follow_stop(follow);
    return status;
}

/* One life of the engine. */
static leat_status live_once(struct house *house, bool *restart, leat_error *err) {
    struct follow_identity identity;
    struct engine *engine;
    struct engine_report report = {.words = ""};
    *restart = false;
    TRY(follow_prepare(&house->options, &identity, err));
    struct engine_options options = {
        .config = house->config, .metrics = house->metrics, .follow = &identity};
    TRY(engine_open(&options, &engine, &report, err));
    house->say("data %s: %s; following %s", house->config->root.data, report.words,
               identity.leader);
    leat_status status = serve_once(house, engine, restart, err);
    if (status < 0 || *restart) { /* what is here is not needed any more */
        engine_abandon(engine);
        return status;
    }
    status = engine_close(engine, err);
    if (status == LEAT_OK) {
        house->say("stopped: everything is in %s", house->config->root.data);
    }
    return status;
}

leat_status serve_follow(struct config *config, struct metrics *metrics, const char *leader,
                         const sigset_t *stop, void (*say)(const char *format, ...),
                         leat_error *err) {
    struct leader_calls calls;
    TRY(leader_http(leader, &calls, err));
    struct house house = {.config = config,
                          .metrics = metrics,
                          .options = {.config = config, .leader = leader, .calls = &calls},
                          .signals = {.set = stop},
                          .say = say};
    house.options.stop = &house.signals.came;
    TRY(thread_start(&house.signals.thread, "leat-signals", signals_run, &house.signals, err));
    bool restart = true;
    leat_status status = LEAT_OK;
    while (status == LEAT_OK && restart) {
        status = live_once(&house, &restart, err);
    }
    atomic_store(&house.signals.ended, true);
    thread_join(&house.signals.thread);
    return status == LEAT_CLOSED && atomic_load(&house.signals.came) ? LEAT_OK : status;
}
