/* The client against a server of a few lines on the loopback, which answers from a script. */
#include "base/test.h"
#include "base/thread.h"
#include "world/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 4096, ANSWERS_MAX = 4 };

struct answer {
    const char *status;
    const char *body;
};

struct script {
    int count;
    struct answer answers[ANSWERS_MAX];
    int listener;
    char address[64];
    struct thread thread;
    int connections;
    char requests[ANSWERS_MAX][REQUEST_MAX];
};

/* Headers, and as many bytes of body as they say. */
static bool request_whole(const char *text) {
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    size_t body = length ? (size_t)atoi(length + 16) : 0;
    return end && strlen(end + 4) >= body;
}

static bool read_request(int connection, char out[REQUEST_MAX]) {
    size_t size = 0;
    while (size < REQUEST_MAX - 1) {
        ssize_t got = read(connection, out + size, REQUEST_MAX - 1 - size);
        if (got <= 0) {
            return false;
        }
        size += (size_t)got;
        out[size] = '\0';
        if (request_whole(out)) {
            return true;
        }
    }
    return false;
}

static void write_answer(int connection, const struct answer *answer) {
    char text[REQUEST_MAX];
    int size = snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s",
                        answer->status, strlen(answer->body), answer->body);
    assert_int_equal(write(connection, text, (size_t)size), size);
}

static void *serve(void *context) {
    struct script *script = context;
    int next = 0;
    while (next < script->count) {
        int connection = accept(script->listener, NULL, NULL);
        script->connections++;
        while (next < script->count && read_request(connection, script->requests[next])) {
            write_answer(connection, &script->answers[next++]);
        }
        close(connection);
    }
    return NULL;
}

static void script_start(struct script *script) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    script->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(script->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(script->listener, 4), 0);
    assert_int_equal(getsockname(script->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(script->address, sizeof(script->address), "http://127.0.0.1:%d",
             ntohs(address.sin_port));
    leat_error err;
    assert_int_equal(thread_start(&script->thread, "script", serve, script, &err), LEAT_OK);
}

static void script_end(struct script *script) {
    thread_join(&script->thread);
    close(script->listener);
}

static void test_one_connection_serves_many_requests(void **state) {
    (void)state;
    struct script script = {
        .count = 3,
        .answers = {{"200 OK", "{\"a\":42}"},
                    {"200 OK", "{\"accepted\":2,\"position\":\"0:17\",\"rejected\":[]}"},
                    {"200 OK", "ready\n"}}};
    script_start(&script);
    struct client *client;
    leat_error err;
    assert_int_equal(client_create(script.address, &client, &err), LEAT_OK);
    struct json_value answer;
    struct json_value a;
    int64_t number = 0;
    assert_int_equal(client_get_json(client, "/v1/feed?user=u1", &answer, &err), LEAT_OK);
    assert_true(json_find(answer, "a", &a) && json_to_i64(a, &number) && number == 42);
    char position[CLIENT_POSITION_MAX];
    int64_t accepted = 5;
    assert_int_equal(client_post_events(client, slice_of("{}\n{}\n"), position, &accepted, &err),
                     LEAT_OK);
    assert_int_equal(accepted, 7);
    assert_string_equal(position, "0:17");
    assert_int_equal(client_wait_ready(client, 1000, &err), LEAT_OK);
    client_destroy(client);
    script_end(&script);
    assert_int_equal(script.connections, 1);
    assert_ptr_equal(strstr(script.requests[0], "GET /v1/feed?user=u1 HTTP/1.1\r\n"),
                     script.requests[0]);
    assert_ptr_equal(strstr(script.requests[1], "POST /v1/events HTTP/1.1\r\n"),
                     script.requests[1]);
    assert_null(strstr(script.requests[1], "Expect"));
    assert_string_equal(strstr(script.requests[1], "\r\n\r\n") + 4, "{}\n{}\n");
}

static void test_failures_come_in_the_server_s_words(void **state) {
    (void)state;
    struct script script = {
        .count = 4,
        .answers = {{"400 Bad Request", "{\"title\":\"invalid input\",\"detail\":\"n: 0 no\"}"},
                    {"503 Service Unavailable", "busy"},
                    {"200 OK", "{\"a"},
                    {"200 OK", "{\"accepted\":0,\"position\":\"0:1\","
                               "\"rejected\":[{\"index\":0,\"error\":\"no kind\"}]}"}}};
    script_start(&script);
    struct client *client;
    leat_error err = {0};
    assert_int_equal(client_create(script.address, &client, &err), LEAT_OK);
    struct slice text;
    assert_int_equal(client_get(client, "/v1/feed?n=0", &text, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "answered 400: n: 0 no"));
    assert_int_equal(client_get(client, "/readyz", &text, &err), LEAT_IO);
    assert_true(err.retry && strstr(err.message, "503: busy"));
    struct json_value answer;
    assert_true(client_get_json(client, "/v1/feed", &answer, &err) < 0);
    assert_non_null(strstr(err.message, "answer of /v1/feed"));
    assert_int_equal(client_post_events(client, slice_of("{}"), NULL, NULL, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "refused an event: no kind"));
    client_destroy(client);
    script_end(&script);
}

static void test_nobody_there(void **state) {
    (void)state;
    struct client *client;
    leat_error err = {0};
    assert_int_equal(client_create("http://127.0.0.1:1", &client, &err), LEAT_OK);
    struct slice text;
    assert_int_equal(client_get(client, "/readyz", &text, &err), LEAT_IO);
    assert_true(err.retry && strstr(err.message, "127.0.0.1"));
    assert_int_equal(client_wait_ready(client, 120, &err), LEAT_IO);
    assert_non_null(strstr(err.message, "not ready after 120 ms"));
    client_destroy(client);
    assert_int_equal(client_create("127.0.0.1:8090", &client, &err), LEAT_INVALID);
    assert_int_equal(client_create("http://127.0.0.1:8090/", &client, &err), LEAT_INVALID);
}

static void test_metrics_are_read_by_whole_names(void **state) {
    (void)state;
    struct slice text = slice_of("# HELP leat_a x\nleat_a_total 7\nleat_a 2.5\nleat_b 1e9");
    double value = 0;
    assert_true(client_metric(text, "leat_a", &value) && value == 2.5);
    assert_true(client_metric(text, "leat_b", &value) && value == 1e9);
    assert_false(client_metric(text, "leat_c", &value));
    assert_false(client_metric(text, "leat", &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_connection_serves_many_requests),
        cmocka_unit_test(test_failures_come_in_the_server_s_words),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_metrics_are_read_by_whole_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
