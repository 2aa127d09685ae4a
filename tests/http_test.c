/* The real server on an ephemeral loopback port, over a real engine and a real folder, driven as a
 * client would: through libcurl, and by hand where libcurl is too well-behaved. */
#include "base/disk_fake.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/test.h"
#include "base/thread.h"
#include "serve/server.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static const char CONFIG[] = "listen: 127.0.0.1:0\n"
                             "http: {body: 64KiB, events: 500}\n"
                             "actions:\n"
                             "  click: {weight: 1}\n"
                             "  hide: {weight: -10, filter: forever}\n"
                             "surfaces:\n"
                             "  for_you: {show: 5, channels: {trending: 50, fresh: 50}}\n"
                             "  shop: {show: 3}\n";

static char folder[] = "/tmp/leat-http-XXXXXX";
static struct config *config;
static struct metrics *metrics;
static struct engine *engine;
static struct server *server;
static struct json_parser *parser;
static CURL *curl;

/* What the last request was answered with. */
static struct {
    long status;
    char type[80];
    char allow[80];
    struct bytes body;
    struct json_value json; /* when the type says JSON */
} answer;

/* --- the client --- */

static size_t take_body(char *data, size_t size, size_t count, void *context) {
    (void)context;
    bytes_append(&answer.body, data, size * count);
    return size * count;
}

static size_t take_header(char *data, size_t size, size_t count, void *context) {
    (void)context;
    char line[200];
    snprintf(line, sizeof(line), "%.*s", (int)(size * count), data);
    if (strncasecmp(line, "allow: ", 7) == 0) {
        snprintf(answer.allow, sizeof(answer.allow), "%.*s", (int)strcspn(line + 7, "\r\n"),
                 line + 7);
    }
    return size * count;
}

static void finish(void) {
    leat_error err = {.message = ""};
    bytes_put_u8(&answer.body, 0);
    answer.body.size--;
    if (strstr(answer.type, "json") && answer.body.size > 0) {
        struct slice text = {(char *)answer.body.data, answer.body.size};
        if (json_parse(parser, text, &answer.json, &err) < 0) {
            fail_msg("%s: %s", err.message, answer.body.data);
        }
    }
}

static void request(const char *method, const char *path, struct slice body) {
    char url[2000];
    char address[SERVER_ADDRESS_MAX];
    server_address(server, address);
    snprintf(url, sizeof(url), "%s%s", address, path);
    bytes_clear(&answer.body);
    answer.allow[0] = '\0';
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    if (body.data) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.size);
    }
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    }
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
        fail_msg("%s %s: %s", method, path, curl_easy_strerror(code));
    }
    const char *type = NULL;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    snprintf(answer.type, sizeof(answer.type), "%s", type ? type : "");
    finish();
}

static void get(const char *path, long status) {
    request("GET", path, (struct slice){NULL, 0});
    if (answer.status != status) {
        fail_msg("%s: %ld, not %ld: %s", path, answer.status, status, answer.body.data);
    }
}

static void post(const char *text, long status) {
    request("POST", "/v1/events", slice_of(text));
    if (answer.status != status) {
        fail_msg("%ld, not %ld: %s", answer.status, status, answer.body.data);
    }
}

static struct json_value member(struct json_value object, const char *key) {
    struct json_value value = {{NULL, NULL}};
    if (!json_find(object, key, &value)) {
        fail_msg("no \"%s\" in %s", key, answer.body.data);
    }
    return value;
}

static int64_t number(const char *key) {
    int64_t value = -1;
    assert_true(json_to_i64(member(answer.json, key), &value));
    return value;
}

static const char *text(struct json_value value) {
    static char out[1000];
    struct slice slice;
    assert_true(json_to_text(value, &slice));
    snprintf(out, sizeof(out), "%.*s", (int)slice.size, slice.data);
    return out;
}

/* A problem document with this status, whose detail holds `part`. */
static void is_problem(long status, const char *part) {
    assert_int_equal(answer.status, status);
    assert_string_equal(answer.type, "application/problem+json");
    assert_int_equal(number("status"), status);
    assert_non_null(strstr(text(member(answer.json, "type")), "urn:leat:problem:"));
    assert_true(strlen(text(member(answer.json, "title"))) > 0);
    const char *detail = text(member(answer.json, "detail"));
    if (!strstr(detail, part)) {
        fail_msg("'%s' does not say '%s'", detail, part);
    }
}

static void get_problem(const char *path, long status, const char *part) {
    get(path, status);
    is_problem(status, part);
}

static int items_on_page(void) {
    int count = 0;
    struct json_value item;
    struct json_iterator it = json_iterate(member(answer.json, "items"));
    while (json_next(&it, NULL, &item)) {
        count++;
    }
    return count;
}

static bool page_holds(const char *id) {
    struct json_value item;
    struct json_iterator it = json_iterate(member(answer.json, "items"));
    while (json_next(&it, NULL, &item)) {
        if (strcmp(text(member(item, "item")), id) == 0) {
            return true;
        }
    }
    return false;
}

/* Asks until flow has come to the position that the path names: a busy machine may need longer than
 * one request waits. */
static void get_reached(const char *path) {
    bool reached = false;
    for (int i = 0; i < 100 && !reached; i++) {
        get(path, 200);
        assert_true(json_to_bool(member(answer.json, "reached"), &reached));
    }
    assert_true(reached);
}

/* Twelve items i0 ... i11, and position of their end. */
static void post_items(char position[64]) {
    struct bytes body;
    bytes_init(&body);
    for (int i = 0; i < 12; i++) {
        bytes_printf(&body, "{\"kind\":\"item\",\"item\":\"i%d\",\"author\":\"a%d\"}\n", i, i % 3);
    }
    request("POST", "/v1/events", (struct slice){(char *)body.data, body.size});
    bytes_deinit(&body);
    assert_int_equal(answer.status, 200);
    assert_int_equal(number("accepted"), 12);
    snprintf(position, 64, "%s", text(member(answer.json, "position")));
}

/* --- the house around the tests --- */

static leat_status start(leat_error *err) {
    TRY(config_parse(slice_of(CONFIG), "test", &config, err));
    snprintf(config->root.data, sizeof(config->root.data), "%s", folder);
    TRY(json_parser_create(&parser, err));
    struct engine_options options = {.config = config, .metrics = metrics};
    struct engine_report report;
    TRY(engine_open(&options, &engine, &report, err));
    return server_start(engine, config, metrics, &server, err);
}

static int set_up(void **state) {
    (void)state;
    leat_error err = {.message = ""};
    bytes_init(&answer.body);
    metrics = metrics_create();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    curl = curl_easy_init();
    if (!metrics || !curl || !mkdtemp(folder) || start(&err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    leat_error err = {.message = ""};
    server_stop(server);
    leat_status status = engine_close(engine, &err);
    char checkpoints[64];
    snprintf(checkpoints, sizeof(checkpoints), "%s/checkpoints", folder);
    if (status == LEAT_OK) {
        status = disk_remove_tree(disk_real(), checkpoints, &err);
    }
    if (status >= 0) {
        status = disk_remove_tree(disk_real(), folder, &err);
    }
    if (status < 0) {
        print_error("%s\n", err.message);
    }
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    json_parser_destroy(parser);
    metrics_destroy(metrics);
    config_destroy(config);
    bytes_deinit(&answer.body);
    return status < 0 ? -1 : 0;
}

/* --- events --- */

static void events_are_accepted_and_rejected_one_by_one(void **state) {
    (void)state;
    post("[{\"kind\":\"click\",\"user\":\"u1\",\"item\":\"i1\"},{\"kind\":\"clack\"},"
         "{\"kind\":\"click\",\"usr\":\"u1\",\"item\":\"i1\"}]",
         200);
    assert_string_equal(answer.type, "application/json");
    assert_int_equal(number("accepted"), 1);
    struct json_iterator it = json_iterate(member(answer.json, "rejected"));
    struct json_value rejection;
    int64_t index = 0;
    assert_true(json_next(&it, NULL, &rejection));
    assert_true(json_to_i64(member(rejection, "index"), &index));
    assert_int_equal(index, 1);
    assert_string_equal(text(member(rejection, "error")),
                        "kind 'clack' is unknown; did you mean 'click'?");
    assert_true(json_next(&it, NULL, &rejection));
    assert_false(json_next(&it, NULL, &rejection));
    post("{\"kind\":\"click\",\"user\":\"u1\",\"item\":\"i1\"}\n{broken\n", 200);
    assert_int_equal(number("accepted"), 1);
    char end[64];
    snprintf(end, sizeof(end), "%s", text(member(answer.json, "position")));
    post("{broken", 200);
    assert_int_equal(number("accepted"), 0);
    assert_non_null(strchr(text(member(answer.json, "position")), ':'));
}

static void bad_bodies_have_clear_answers(void **state) {
    (void)state;
    post("", 400);
    is_problem(400, "the body is empty");
    post(" \n\t ", 400);
    is_problem(400, "the body is empty");
    post("[{\"kind\":\"click\"", 400);
    is_problem(400, "the array of events: ");
    struct bytes many;
    bytes_init(&many);
    for (int i = 0; i < 501; i++) {
        bytes_printf(&many, "{}\n");
    }
    request("POST", "/v1/events", (struct slice){(char *)many.data, many.size});
    is_problem(413, "more than 500 events");
    bytes_deinit(&many);
}

/* libcurl asks first (Expect) for a body this large; by hand it is just sent. */
static void a_large_body_is_refused_and_not_kept(void **state) {
    (void)state;
    size_t size = 100u << 20;
    char *body = memory_alloc(size);
    assert_non_null(body);
    memset(body, ' ', size);
    uint64_t before = memory_resident();
    request("POST", "/v1/events", (struct slice){body, size});
    is_problem(413, "larger than 65536 bytes");
    assert_true(memory_resident() < before + (50u << 20));
    memory_free(body);
    get("/healthz", 200);
}

static int connect_by_hand(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(server_port(server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int handle = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(handle >= 0);
    struct timeval patience = {.tv_sec = 10};
    setsockopt(handle, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(handle, (struct sockaddr *)&address, sizeof(address)), 0);
    return handle;
}

/* Sends raw bytes; the answer's beginning. */
static const char *exchange_by_hand(struct slice head, size_t body_size) {
    static char out[2000];
    static char zeros[65536];
    int handle = connect_by_hand();
    assert_int_equal(send(handle, head.data, head.size, MSG_NOSIGNAL), head.size);
    while (body_size > 0) {
        size_t part = body_size < sizeof(zeros) ? body_size : sizeof(zeros);
        ssize_t sent = send(handle, zeros, part, MSG_NOSIGNAL);
        assert_true(sent > 0);
        body_size -= (size_t)sent;
    }
    size_t used = 0;
    ssize_t got;
    while (used < sizeof(out) - 1 &&
           (got = recv(handle, out + used, sizeof(out) - 1 - used, 0)) > 0) {
        used += (size_t)got;
        out[used] = '\0';
        if (strstr(out, "\r\n\r\n")) {
            break;
        }
    }
    close(handle);
    out[used] = '\0';
    return out;
}

static void a_large_body_sent_unasked_gets_its_answer(void **state) {
    (void)state;
    const char *head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n";
    assert_non_null(strstr(exchange_by_hand(slice_of(head), 20000000), "HTTP/1.1 413"));
    get("/healthz", 200);
}

static void a_client_that_leaves_harms_nobody(void **state) {
    (void)state;
    const char *head = "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"kind";
    for (int i = 0; i < 50; i++) {
        int handle = connect_by_hand();
        assert_true(send(handle, head, strlen(head), MSG_NOSIGNAL) > 0);
        close(handle);
    }
    get("/healthz", 200);
}

/* --- pages --- */

static void a_page_has_all_its_parts(void **state) {
    (void)state;
    char position[64], path[200];
    post_items(position);
    snprintf(path, sizeof(path), "/v1/feed?user=u2&surface=for_you&n=4&after=%s", position);
    get_reached(path);
    assert_true(strlen(text(member(answer.json, "request"))) > 0);
    assert_non_null(strchr(text(member(answer.json, "applied")), ':'));
    assert_non_null(strchr(text(member(answer.json, "learnt")), ':'));
    assert_int_equal(items_on_page(), 4);
    struct json_value item;
    struct json_iterator it = json_iterate(member(answer.json, "items"));
    while (json_next(&it, NULL, &item)) {
        double score;
        assert_true(json_to_f64(member(item, "score"), &score));
        assert_true(json_to_f64(member(member(item, "scores"), "click"), &score));
        assert_true(json_to_f64(member(member(item, "scores"), "hide"), &score));
        assert_int_equal(json_kind_of(member(item, "channels")), JSON_ARRAY);
        assert_int_equal(json_kind_of(member(item, "reason")), JSON_TEXT);
    }
}

static void defaults_fill_what_is_not_asked(void **state) {
    (void)state;
    char position[64], path[200];
    post_items(position);
    snprintf(path, sizeof(path), "/v1/feed?after=%s", position);
    get_reached(path);
    assert_int_equal(items_on_page(), 5);
    get("/v1/feed?preview=1&request=mine", 200);
    assert_string_equal(text(member(answer.json, "request")), "mine");
    struct json_value none;
    assert_false(json_find(answer.json, "reached", &none));
    get("/v1/feed?surface=shop", 200);
}

static void a_hidden_item_is_gone_after_its_position(void **state) {
    (void)state;
    char position[64], path[200], event[200], id[32];
    post_items(position);
    for (int i = 0; i < 12; i++) {
        snprintf(id, sizeof(id), "i%d", i);
        snprintf(event, sizeof(event), "{\"kind\":\"%s\",\"user\":\"u3\",\"item\":\"%s\"}",
                 i % 2 ? "hide" : "click", id);
        post(event, 200);
        snprintf(path, sizeof(path), "/v1/feed?user=u3&n=20&after=%s",
                 text(member(answer.json, "position")));
        get_reached(path);
        assert_false(page_holds(id));
    }
}

static void a_preview_is_the_same_each_time_and_logs_nothing(void **state) {
    (void)state;
    char position[64], path[200];
    post_items(position);
    snprintf(path, sizeof(path), "/v1/feed?user=u4&preview=1&now=1700000000000&after=%s", position);
    get_reached(path);
    struct bytes first;
    bytes_init(&first);
    json_copy(member(answer.json, "items"), &first);
    assert_true(first.size > 10);
    get(path, 200);
    struct bytes second;
    bytes_init(&second);
    json_copy(member(answer.json, "items"), &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    bytes_deinit(&first);
    bytes_deinit(&second);
}

static void wrong_parameters_are_named(void **state) {
    (void)state;
    get_problem("/v1/feed?n=0", 400, "n: '0' is not a whole number from 1 to 200");
    get_problem("/v1/feed?n=201", 400, "n: '201' is not a whole number from 1 to 200");
    get_problem("/v1/feed?n=1000000000", 400, "n: '1000000000' is not");
    get_problem("/v1/feed?n=99999999999999999999", 400, "n: '99999999999999999999' is not");
    get_problem("/v1/feed?n=abc", 400, "n: 'abc' is not a whole number");
    get_problem("/v1/feed?n=", 400, "n: '' is not a whole number");
    get_problem("/v1/feed?usr=u", 400, "parameter 'usr' is unknown; did you mean 'user'?");
    get_problem("/v1/feed?user=u&user=v", 400, "user: given twice");
    get_problem("/v1/feed?user=", 400, "user: 0 bytes; 1 to 128 are allowed");
    get_problem("/v1/feed?user=%FF", 400, "user: not valid UTF-8");
    get_problem("/v1/feed?user=%4", 400, "hexadecimal");
    get_problem("/v1/feed?surface=for_yu", 400, "did you mean 'for_you'?");
    get_problem("/v1/feed?after=x", 400, "after: ");
    get_problem("/v1/feed?preview=yes", 400, "preview: 'yes' is not");
    get_problem("/v1/feed?now=-1", 400, "now: '-1' is not");
    get_problem("/v1/feed?request=0123456789012345678901234567890123456789", 400,
                "request: 40 bytes; 1 to 39");
    char path[300];
    snprintf(path, sizeof(path), "/v1/feed?user=%0129d", 0);
    get_problem(path, 400, "user: 129 bytes; 1 to 128 are allowed");
}

static void a_far_position_is_waited_for_and_not_reached(void **state) {
    (void)state;
    get("/v1/feed?after=0:999999999", 200);
    bool reached = true;
    assert_true(json_to_bool(member(answer.json, "reached"), &reached));
    assert_false(reached);
}

/* --- items and people --- */

static void ids_are_decoded(void **state) {
    (void)state;
    post("{\"kind\":\"item\",\"item\":\"a/b c+d\\u00e9%\",\"author\":\"x\"}", 200);
    char path[200];
    snprintf(path, sizeof(path), "/v1/feed?preview=1&after=%s",
             text(member(answer.json, "position")));
    get_reached(path);
    get("/v1/items/a%2Fb%20c+d%C3%A9%25", 200);
    assert_string_equal(answer.type, "application/json");
    get_problem("/v1/items/nobody", 404, "item 'nobody' is unknown");
    get_problem("/v1/items/", 400, "item: 0 bytes");
    get_problem("/v1/items/%zz", 400, "hexadecimal");
    get_problem("/v1/items/%C3", 400, "item: not valid UTF-8");
    get_problem("/v1/users/nobody", 404, "user 'nobody' is unknown");
}

static void a_forgotten_person_is_unknown(void **state) {
    (void)state;
    post("{\"kind\":\"click\",\"user\":\"u/5\",\"item\":\"i1\"}", 200);
    char path[200];
    snprintf(path, sizeof(path), "/v1/feed?preview=1&after=%s",
             text(member(answer.json, "position")));
    get_reached(path);
    get("/v1/users/u%2F5", 200);
    request("DELETE", "/v1/users/u%2F5", (struct slice){NULL, 0});
    assert_int_equal(answer.status, 200);
    assert_string_equal(text(member(answer.json, "forgotten")), "u/5");
    assert_string_equal(text(member(answer.json, "state")), "erased");
    assert_non_null(strstr(text(member(answer.json, "log")), "by `complete_by`"));
    get("/v1/users/u%2F5", 404);
}

/* --- status --- */

static void status_pages_answer(void **state) {
    (void)state;
    get("/healthz", 200);
    assert_string_equal((char *)answer.body.data, "ok\n");
    while (!engine_ready(engine)) {
        usleep(1000);
    }
    get("/readyz", 200);
    get("/", 200);
    assert_int_equal(json_kind_of(member(member(answer.json, "paths"), "/v1/feed")), JSON_ARRAY);
    get("/openapi.yaml", 200);
    assert_non_null(strstr((char *)answer.body.data, "openapi: 3.1.0"));
    request("HEAD", "/openapi.yaml", (struct slice){NULL, 0});
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.size, 0);
}

/* Every path that is served stands in api/openapi.yaml, as it is served. */
static void every_path_is_described(void **state) {
    (void)state;
    get("/openapi.yaml", 200);
    char *description = strdup((char *)answer.body.data);
    get("/", 200);
    struct slice path;
    struct json_value methods;
    struct json_iterator it = json_iterate(member(answer.json, "paths"));
    int count = 0;
    for (; json_next(&it, &path, &methods); count++) {
        bool open = path.size > 1 && path.data[path.size - 1] == '/';
        char line[100];
        snprintf(line, sizeof(line), "\n  %.*s%s:\n", (int)path.size, path.data,
                 open ? "{id}" : "");
        if (!strstr(description, line)) {
            fail_msg("openapi.yaml has no path%s", line);
        }
    }
    assert_true(count >= 9);
    free(description);
}

static void metrics_count_requests(void **state) {
    (void)state;
    double requests = metrics_value(metrics, METRIC_http_requests_total);
    double errors = metrics_value(metrics, METRIC_http_errors_total);
    get("/v1/feed?n=0", 400);
    get("/metrics", 200);
    assert_string_equal(answer.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr((char *)answer.body.data, "# TYPE leat_http_requests_total counter"));
    assert_true(metrics_value(metrics, METRIC_http_requests_total) == requests + 2);
    assert_true(metrics_value(metrics, METRIC_http_errors_total) == errors + 1);
}

static void unknown_paths_and_methods_are_problems(void **state) {
    (void)state;
    get_problem("/nothing", 404, "no path '/nothing'");
    get_problem("/v1/feed/", 404, "no path");
    get("/v1/events", 405);
    is_problem(405, "/v1/events does not answer GET");
    assert_string_equal(answer.allow, "POST");
    request("PUT", "/v1/users/u1", slice_of("{}"));
    is_problem(405, "does not answer PUT");
    assert_string_equal(answer.allow, "GET, HEAD, DELETE");
    request("POST", "/v1/feed", slice_of("{}"));
    is_problem(405, "does not answer POST");
}

static void wrong_addresses_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", ":80",
                                        "x y:1"};
    struct config other = *config;
    leat_error err;
    struct server *none = NULL;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(other.root.listen, sizeof(other.root.listen), "%s", wrong[i]);
        assert_int_equal(server_start(engine, &other, NULL, &none, &err), LEAT_INVALID);
        assert_non_null(strstr(err.message, "listen: "));
    }
    snprintf(other.root.listen, sizeof(other.root.listen), "127.0.0.1:%d", server_port(server));
    assert_int_equal(server_start(engine, &other, NULL, &none, &err), LEAT_IO);
    assert_non_null(strstr(err.message, "in use"));
}

/* A server of its own, on a disk that fails when it is told to. */
static void a_failing_disk_is_said_so(void **state) {
    (void)state;
    struct engine *kept_engine = engine;
    struct server *kept_server = server;
    static struct config other; /* outlives a failed assertion, as its engine does */
    other = *config;
    struct disk_fake *fake;
    struct engine_report report;
    leat_error err;
    snprintf(other.root.data, sizeof(other.root.data), "data");
    other.log.heartbeat = 3600000; /* the next write is the test's */
    assert_int_equal(disk_fake_create(3, &fake, &err), LEAT_OK);
    struct engine_options options = {.config = &other, .disk = disk_fake_disk(fake)};
    assert_int_equal(engine_open(&options, &engine, &report, &err), LEAT_OK);
    assert_int_equal(server_start(engine, &other, NULL, &server, &err), LEAT_OK);
    post("{\"kind\":\"item\",\"item\":\"i\"}", 200);
    disk_fake_fail_at(fake, disk_fake_steps(fake) + 1, true);
    post("{\"kind\":\"item\",\"item\":\"j\"}", 507);
    is_problem(507, "make room");
    post("{\"kind\":\"item\",\"item\":\"j\"}", 200);
    disk_fake_cut_at(fake, disk_fake_steps(fake) + 1);
    post("{\"kind\":\"item\",\"item\":\"j\"}", 503);
    is_problem(503, "log");
    get("/v1/feed?preview=1", 200);
    server_stop(server);
    engine_abandon(engine);
    disk_fake_destroy(fake);
    engine = kept_engine;
    server = kept_server;
}

/* Ten clients at once: each event that is acknowledged is counted once. */
static void *client(void *arg) {
    int *failures = arg;
    CURL *own = curl_easy_init();
    char url[200], address[SERVER_ADDRESS_MAX], body[200];
    server_address(server, address);
    snprintf(url, sizeof(url), "%s/v1/events", address);
    curl_easy_setopt(own, CURLOPT_URL, url);
    curl_easy_setopt(own, CURLOPT_WRITEFUNCTION, fwrite);
    FILE *sink = fopen("/dev/null", "w");
    curl_easy_setopt(own, CURLOPT_WRITEDATA, sink);
    curl_easy_setopt(own, CURLOPT_POSTFIELDS, body);
    for (int i = 0; i < 20; i++) {
        long status = 0;
        snprintf(body, sizeof(body), "{\"kind\":\"click\",\"user\":\"u%d\",\"item\":\"i%d\"}", i,
                 i);
        curl_easy_perform(own);
        curl_easy_getinfo(own, CURLINFO_RESPONSE_CODE, &status);
        *failures += status != 200;
    }
    curl_easy_cleanup(own);
    fclose(sink);
    return NULL;
}

static void many_clients_at_once(void **state) {
    (void)state;
    enum { CLIENTS = 10 };
    struct thread threads[CLIENTS];
    leat_error err;
    int failures[CLIENTS] = {0};
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(thread_start(&threads[i], "client", client, &failures[i], &err), LEAT_OK);
    }
    for (int i = 0; i < CLIENTS; i++) {
        thread_join(&threads[i]);
        assert_int_equal(failures[i], 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_accepted_and_rejected_one_by_one),
        cmocka_unit_test(bad_bodies_have_clear_answers),
        cmocka_unit_test(a_large_body_is_refused_and_not_kept),
        cmocka_unit_test(a_large_body_sent_unasked_gets_its_answer),
        cmocka_unit_test(a_client_that_leaves_harms_nobody),
        cmocka_unit_test(a_page_has_all_its_parts),
        cmocka_unit_test(defaults_fill_what_is_not_asked),
        cmocka_unit_test(a_hidden_item_is_gone_after_its_position),
        cmocka_unit_test(a_preview_is_the_same_each_time_and_logs_nothing),
        cmocka_unit_test(wrong_parameters_are_named),
        cmocka_unit_test(a_far_position_is_waited_for_and_not_reached),
        cmocka_unit_test(ids_are_decoded),
        cmocka_unit_test(a_forgotten_person_is_unknown),
        cmocka_unit_test(status_pages_answer),
        cmocka_unit_test(every_path_is_described),
        cmocka_unit_test(metrics_count_requests),
        cmocka_unit_test(unknown_paths_and_methods_are_problems),
        cmocka_unit_test(wrong_addresses_are_refused),
        cmocka_unit_test(a_failing_disk_is_said_so),
        cmocka_unit_test(many_clients_at_once),
    };
    return cmocka_run_group_tests_name("http", tests, set_up, tear_down);
}
