#include "tests/proxy.h"

#include "base/test.h"
#include "base/thread.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS_MAX = 32, PIECE_BYTES = 64 << 10, TICK_MS = 5 };

struct proxy {
    struct thread thread;
    int listening;
    char address[64];
    atomic_int port; /* 0: nobody is there */
    atomic_int cuts_wanted, cuts_done;
    atomic_bool stop;
    int pairs[PAIRS_MAX][2]; /* -1: free */
};

static struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static void pair_close(int pair[2]) {
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0) {
            close(pair[i]);
            pair[i] = -1;
        }
    }
}

static void take_connection(struct proxy *proxy) {
    int client = accept(proxy->listening, NULL, NULL);
    int port = atomic_load(&proxy->port);
    struct sockaddr_in target = loopback(port);
    int server = port > 0 ? socket(AF_INET, SOCK_STREAM, 0) : -1;
    if (server >= 0 && connect(server, (struct sockaddr *)&target, sizeof(target)) != 0) {
        close(server);
        server = -1;
    }
    for (int i = 0; i < PAIRS_MAX && server >= 0 && client >= 0; i++) {
        if (proxy->pairs[i][0] < 0) {
            proxy->pairs[i][0] = client;
            proxy->pairs[i][1] = server;
            return;
        }
    }
    if (client >= 0) {
        close(client);
    }
    if (server >= 0) {
        close(server);
    }
}

static bool pass_on(int from, int to) {
    static char piece[PIECE_BYTES];
    ssize_t got = recv(from, piece, sizeof(piece), 0);
    for (ssize_t sent = 0; sent < got;) {
        ssize_t count = send(to, piece + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (count <= 0) {
            return false;
        }
        sent += count;
    }
    return got > 0;
}

static void run_once(struct proxy *proxy) {
    struct pollfd polls[1 + 2 * PAIRS_MAX];
    polls[0] = (struct pollfd){.fd = proxy->listening, .events = POLLIN};
    for (int i = 0; i < 2 * PAIRS_MAX; i++) {
        polls[1 + i] = (struct pollfd){.fd = proxy->pairs[i / 2][i % 2], .events = POLLIN};
    }
    if (poll(polls, 1 + 2 * PAIRS_MAX, TICK_MS) <= 0) {
        return;
    }
    for (int i = 0; i < 2 * PAIRS_MAX; i++) {
        int *pair = proxy->pairs[i / 2];
        bool ready = pair[0] >= 0 && polls[1 + i].fd == pair[i % 2] && polls[1 + i].revents;
        if (ready && !pass_on(pair[i % 2], pair[1 - i % 2])) {
            pair_close(pair);
        }
    }
    if (polls[0].revents) {
        take_connection(proxy);
    }
}

static void *run(void *context) {
    struct proxy *proxy = context;
    while (!atomic_load(&proxy->stop)) {
        int wanted = atomic_load(&proxy->cuts_wanted);
        if (wanted != atomic_load(&proxy->cuts_done)) {
            for (int i = 0; i < PAIRS_MAX; i++) {
                pair_close(proxy->pairs[i]);
            }
            atomic_store(&proxy->cuts_done, wanted);
        }
        run_once(proxy);
    }
    return NULL;
}

struct proxy *proxy_create(void) {
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    assert_non_null(proxy);
    memset(proxy->pairs, -1, sizeof(proxy->pairs));
    proxy->listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(proxy->listening >= 0);
    assert_int_equal(bind(proxy->listening, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(proxy->listening, PAIRS_MAX), 0);
    assert_int_equal(getsockname(proxy->listening, (struct sockaddr *)&address, &size), 0);
    snprintf(proxy->address, sizeof(proxy->address), "http://127.0.0.1:%d",
             ntohs(address.sin_port));
    assert_int_equal(thread_start(&proxy->thread, "proxy", run, proxy, NULL), 0);
    return proxy;
}

void proxy_destroy(struct proxy *proxy) {
    if (proxy) {
        atomic_store(&proxy->stop, true);
        thread_join(&proxy->thread);
        for (int i = 0; i < PAIRS_MAX; i++) {
            pair_close(proxy->pairs[i]);
        }
        close(proxy->listening);
        free(proxy);
    }
}

const char *proxy_address(const struct proxy *proxy) {
    return proxy->address;
}

void proxy_aim(struct proxy *proxy, const char *address) {
    const char *colon = address ? strrchr(address, ':') : NULL;
    atomic_store(&proxy->port, colon ? atoi(colon + 1) : 0);
}

void proxy_cut(struct proxy *proxy) {
    int wanted = atomic_fetch_add(&proxy->cuts_wanted, 1) + 1;
    while (atomic_load(&proxy->cuts_done) < wanted) {
        poll(NULL, 0, 1);
    }
}
