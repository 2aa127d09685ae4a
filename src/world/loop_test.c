/* The closed loop against servers that behave, and that do not: what must not be is counted. */
#include "base/memory.h"
#include "base/test.h"
#include "base/text.h"
#include "base/thread.h"
#include "world/loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PEOPLE = 20, ITEMS = 3000, PAGE = 10, REQUESTS = 300, THREADS = 2, REQUEST_MAX = 1 << 18 };

/* Which item stands at a place of a person's page. */
enum behaviour {
    NEW_EACH_TIME, /* items nobody has seen */
    THE_SAME,      /* the same ten for ever */
    TWICE,         /* new ones, the first in two places */
    EXPIRED,       /* new ones, and one of long ago */
    UNKNOWN,       /* an item that nobody posted */
    REFUSES,       /* takes no events */
};

struct fake_server {
    enum behaviour behaviour;
    int listener;
    char address[64];
    struct thread acceptor;
    struct thread connections[THREADS + 1];
    _Atomic int pages[PEOPLE]; /* that were not previews */
    _Atomic int after;         /* pages asked with after= */
    _Atomic int impressions;
};

struct fake_connection {
    struct fake_server *server;
    int socket;
};

static int item_at(const struct fake_server *server, int person, int place) {
    /* The oldest items expire within the hour: new ones begin later. */
    int fresh = 200 + (server->pages[person] * PAGE + place) % (ITEMS - 400);
    switch (server->behaviour) {
    case THE_SAME: return 200 + place;
    case TWICE:
        return place == PAGE - 1 ? 200 + server->pages[person] * PAGE % (ITEMS - 400) : fresh;
    case EXPIRED: return place == PAGE - 1 ? 0 : fresh;
    case UNKNOWN: return 1000000;
    default: return fresh;
    }
}

static void answer_feed(struct fake_server *server, const char *request, struct bytes *out) {
    int person = atoi(strstr(request, "user=u") + 6);
    bool preview = strstr(request, "preview=1") != NULL;
    server->after += strstr(request, "after=0:7") != NULL;
    bytes_printf(out, "{\"request\":\"r1\",\"applied\":\"0:7\",\"learnt\":\"0:7\",%s\"items\":[",
                 preview ? "\"reached\":true," : "");
    for (int place = 0; place < PAGE; place++) {
        bytes_printf(out, "%s{\"item\":\"i%d\"}", place > 0 ? "," : "",
                     item_at(server, person, place));
    }
    bytes_printf(out, "]}");
    server->pages[person] += !preview;
}

static void answer_events(struct fake_server *server, const char *request, struct bytes *out) {
    int count = 0;
    for (const char *at = strstr(request, "\r\n\r\n"); (at = strstr(at, "{\"kind\":")); at++) {
        count++;
        server->impressions += strncmp(at + 8, "\"impression\"", 12) == 0;
    }
    bytes_printf(out, "{\"accepted\":%d,\"position\":\"0:7\",\"rejected\":[", count);
    bytes_printf(out, server->behaviour == REFUSES ? "{\"index\":0,\"error\":\"no\"}]}" : "]}");
}

static void answer(struct fake_server *server, const char *request, struct bytes *out) {
    if (strncmp(request, "GET /v1/feed", 12) == 0) {
        answer_feed(server, request, out);
    } else if (strncmp(request, "POST /v1/events", 15) == 0) {
        answer_events(server, request, out);
    } else {
        bytes_printf(out, "leat_position_end 7\nleat_position_applied 7\nleat_resident_bytes 5\n");
    }
}

static bool read_request(int socket, char *text) {
    size_t size = 0;
    while (size < REQUEST_MAX - 1) {
        ssize_t got = read(socket, text + size, REQUEST_MAX - 1 - size);
        if (got <= 0) {
            return false;
        }
        size += (size_t)got;
        text[size] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        const char *length = strstr(text, "Content-Length: ");
        if (end && strlen(end + 4) >= (length ? (size_t)atoi(length + 16) : 0)) {
            return true;
        }
    }
    return false;
}

static void *serve_connection(void *context) {
    struct fake_connection *connection = context;
    char *request = memory_alloc(REQUEST_MAX);
    struct bytes body;
    struct bytes text;
    bytes_init(&body);
    bytes_init(&text);
    while (request && read_request(connection->socket, request)) {
        bytes_clear(&body);
        bytes_clear(&text);
        answer(connection->server, request, &body);
        bytes_printf(&text, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", body.size);
        bytes_append(&text, body.data, body.size);
        if (write(connection->socket, text.data, text.size) != (ssize_t)text.size) {
            break;
        }
    }
    bytes_deinit(&body);
    bytes_deinit(&text);
    memory_free(request);
    close(connection->socket);
    memory_free(connection);
    return NULL;
}

/* One connection for each client thread, and one for the loop itself. */
static void *accept_all(void *context) {
    struct fake_server *server = context;
    for (int i = 0; i <= THREADS; i++) {
        int socket = accept(server->listener, NULL, NULL);
        if (socket < 0) {
            break;
        }
        struct fake_connection *connection = memory_alloc(sizeof(*connection));
        *connection = (struct fake_connection){server, socket};
        thread_start(&server->connections[i], "fake", serve_connection, connection, NULL);
    }
    return NULL;
}

static void server_begin(struct fake_server *server, enum behaviour behaviour) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    memset(server, 0, sizeof(*server));
    server->behaviour = behaviour;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(server->address, sizeof(server->address), "http://127.0.0.1:%d",
             ntohs(address.sin_port));
    assert_int_equal(thread_start(&server->acceptor, "accept", accept_all, server, NULL), LEAT_OK);
}

static void server_finish(struct fake_server *server) {
    shutdown(server->listener, SHUT_RDWR);
    thread_join(&server->acceptor);
    for (int i = 0; i <= THREADS; i++) {
        thread_join(&server->connections[i]);
    }
    close(server->listener);
}

static leat_status play(enum behaviour behaviour, struct fake_server *server,
                        struct loop_report *report, leat_error *err) {
    server_begin(server, behaviour);
    struct loop_options options = {.server = server->address,
                                   .audience = {.seed = 3,
                                                .people = PEOPLE,
                                                .items = ITEMS,
                                                .start_ms = INT64_C(1767225600000),
                                                .span_ms = 3600000},
                                   .requests = REQUESTS,
                                   .threads = THREADS,
                                   .page_items = PAGE,
                                   .windows = 4,
                                   .strict_share = 1};
    leat_status status = loop_run(&options, report, err);
    server_finish(server);
    return status;
}

static void test_a_server_that_behaves(void **state) {
    (void)state;
    static struct fake_server server;
    struct loop_report report;
    leat_error err = {0};
    assert_int_equal(play(NEW_EACH_TIME, &server, &report, &err), LEAT_OK);
    assert_int_equal(report.total.pages, REQUESTS);
    int64_t pages = 0;
    for (int window = 0; window < 4; window++) {
        pages += report.windows[window].pages;
    }
    assert_int_equal(pages, REQUESTS);
    assert_int_equal(loop_violations(&report), 0);
    assert_int_equal(report.short_pages, 0);
    assert_int_equal(server.impressions, REQUESTS * PAGE);
    assert_true(report.checks > REQUESTS / 4);
    assert_int_equal(report.checks, server.after);
    assert_int_equal(report.unreached, 0);
    assert_true(report.last.resident_bytes == 5);
    assert_true(report.total.arm[ARM_ORACLE] > report.total.served);
}

static void test_what_must_not_be_is_counted(void **state) {
    (void)state;
    static struct fake_server server;
    struct loop_report report;
    leat_error err = {0};
    assert_int_equal(play(THE_SAME, &server, &report, &err), LEAT_OK);
    assert_true(report.faults.returned > 0);
    assert_int_equal(report.faults.expired + report.faults.twice, 0);
    assert_int_equal(play(TWICE, &server, &report, &err), LEAT_OK);
    assert_true(report.faults.twice >= REQUESTS);
    assert_int_equal(play(EXPIRED, &server, &report, &err), LEAT_OK);
    assert_true(report.faults.expired > REQUESTS / 2);
}

static void test_failures_end_the_loop_with_words(void **state) {
    (void)state;
    static struct fake_server server;
    struct loop_report report;
    leat_error err = {0};
    assert_int_equal(play(UNKNOWN, &server, &report, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "i1000000"));
    assert_int_equal(play(REFUSES, &server, &report, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "refused an event: no"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_that_behaves),
        cmocka_unit_test(test_what_must_not_be_is_counted),
        cmocka_unit_test(test_failures_end_the_loop_with_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
