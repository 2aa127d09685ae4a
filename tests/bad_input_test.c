/* What nobody should send, sent to the real server: each has a clear answer, the server goes on,
 * and the good events that came along are in the log, once. LEAT_TEST_SEED: other random damage. */
#include "base/clock.h"
#include "base/rng.h"
#include "base/test.h"
#include "tests/real_client.h"
#include "tests/real_server.h"

enum {
    GOOD_MAX = 100,
    EVENTS_MAX = 10000, /* the default of http.events */
    DAMAGED_POSTS = 500,
    FLOOD_BYTES = 100 << 20,
    FLOOD_RESIDENT_MAX = 64 << 20, /* growth; a body of 16 MiB may be kept */
    DEPTH = 100000,
    WAIT_MS_MAX = 1500, /* for a position that does not come; 100 are promised to an idle machine */
};

static const char KEYS[] = "actions:\n"
                           "  click: {weight: 1}\n"
                           "  hide: {weight: -10, filter: forever}\n"
                           "surfaces:\n"
                           "  for_you: {show: 5}\n"
                           "  shop: {show: 3}\n";

static struct real_server server;
static struct real_server other; /* never gets to run */
static struct real_client client;
static struct rng dice;

/* Good events have the ids good-0, good-1 ...; bad ones bad-<something>. */
static int good_count;

/* --- asking and checking --- */

static void check_status(const char *what, long status) {
    if (client.status != status) {
        fail_msg("%.200s: %ld, not %ld: %.300s", what, client.status, status,
                 (char *)client.body.data);
    }
}

static void check_words(const char *what, const char *words) {
    if (!strstr((char *)client.body.data, words)) {
        fail_msg("%.200s: '%.400s' does not say '%s'", what, (char *)client.body.data, words);
    }
}

/* A problem document with this status; the words are looked for as they stand in the JSON. */
static void check_problem(const char *what, long status, const char *words) {
    char title[200], type[100];
    check_status(what, status);
    assert_string_equal(client.type, "application/problem+json");
    assert_int_equal(real_client_number(&client, "status"), status);
    real_client_text(&client, "title", title, sizeof(title));
    real_client_text(&client, "type", type, sizeof(type));
    assert_true(title[0] && strncmp(type, "urn:leat:problem:", 17) == 0);
    check_words(what, words);
}

static void post(struct slice body) {
    if (!real_client_post(&client, body)) {
        fail_msg("no answer to %.*s", (int)(body.size < 200 ? body.size : 200), body.data);
    }
}

static void post_refused(const char *body, long status, const char *words) {
    post(slice_of(body));
    check_problem(body, status, words);
}

static void put_good(struct bytes *body) {
    assert_true(good_count < GOOD_MAX);
    bytes_printf(body, "{\"kind\":\"click\",\"user\":\"u1\",\"item\":\"i1\",\"id\":\"good-%d\"}",
                 good_count++);
}

/* Posts the event between two good ones, as lines: they are taken, it is rejected in these words.
 */
static void post_rejected(struct slice event, const char *words) {
    struct bytes body;
    bytes_init(&body);
    put_good(&body);
    bytes_printf(&body, "\n");
    bytes_append(&body, event.data, event.size);
    bytes_printf(&body, "\n");
    put_good(&body);
    post((struct slice){(char *)body.data, body.size});
    check_status(event.data, 200);
    assert_string_equal(client.type, "application/json");
    if (real_client_number(&client, "accepted") != 2) {
        fail_msg("%.200s: %.300s", event.data, (char *)client.body.data);
    }
    check_words(event.data, "\"rejected\":[{\"index\":1,\"error\":\"");
    check_words(event.data, words);
    bytes_deinit(&body);
}

static void get(const char *path) {
    if (!real_client_get(&client, path)) {
        fail_msg("no answer to %s", path);
    }
}

/* --- events --- */

static void bad_events_are_rejected_one_by_one(void **state) {
    (void)state;
#define CLICK "{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"id\":\"bad-1\""
    static const struct {
        const char *event, *words;
    } cases[] = {
        {"{broken", "line is not JSON: "},
        {"{\"kind\":\"click\"", "line is not JSON: "},
        {CLICK "} trailing", "line is not JSON: "},
        {CLICK ",\"value\":NaN}", "line is not JSON: "},
        {CLICK ",\"value\":1e999}", "line is not JSON: "},
        {CLICK ",\"value\":-1e999}", "line is not JSON: "},
        {CLICK ",\"session\":\"\xff\xfe\"}", "line is not JSON: "},
        {CLICK ",\"session\":\"\xc3\"}", "line is not JSON: "},
        {CLICK ",\"session\":\"\xed\xa0\x80\"}", "line is not JSON: "},
        {"5", "event: wants an object, not a number"},
        {"\"click\"", "event: wants an object, not a text"},
        {"null", "event: wants an object"},
        {"{}", "kind"},
        {"{\"kind\":\"clik\",\"user\":\"u\",\"item\":\"i\"}",
         "kind 'clik' is unknown; did you mean 'click'?"},
        {"{\"kind\":\"forgt\",\"user\":\"u\"}", "did you mean 'forget'?"},
        {"{\"kind\":7}", "kind: wants a text, not a number"},
        {"{\"kind\":\"click\",\"item\":\"i\",\"id\":\"bad-2\"}", "user"},
        {"{\"kind\":\"click\",\"user\":\"u\",\"id\":\"bad-2\"}", "item"},
        {"{\"kind\":\"item\",\"id\":\"bad-2\"}", "item"},
        {"{\"kind\":\"user\",\"id\":\"bad-2\"}", "user"},
        {"{\"kind\":\"click\",\"user\":\"\",\"item\":\"i\"}", "user: empty"},
        {CLICK ",\"usr\":\"u\"}", "field 'usr' is unknown; did you mean 'user'?"},
        {CLICK ",\"user\":\"u\"}", "user: given twice"},
        {CLICK ",\"surface\":\"shpo\"}", "surface 'shpo' is unknown; did you mean 'shop'?"},
        {CLICK ",\"time\":-1}", "time: -1 ms is outside [0, "},
        {CLICK ",\"time\":32503680000000}", "time: 32503680000000 ms is outside [0, "},
        {CLICK ",\"time\":1e300}", "time: "},
        {CLICK ",\"time\":1.5}", "time: 1.5 is not a whole number of milliseconds"},
        {CLICK ",\"time\":\"2017-10-11\"}", "time: wants whole milliseconds since 1970"},
        {CLICK ",\"value\":\"5\"}", "value: wants a number, not a text"},
        {CLICK ",\"context\":[1]}", "context: wants an object, not an array"},
        {CLICK ",\"context\":{\"a\":{\"b\":1}}}", "context: wants texts, numbers, true or false"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        post_rejected(slice_of(cases[i].event), cases[i].words);
    }
}

static void ids_have_128_bytes_at_most(void **state) {
    (void)state;
    static const char *const forms[] = {
        "{\"kind\":\"click\",\"user\":\"%s\",\"item\":\"i\",\"id\":\"bad-3\"}",
        "{\"kind\":\"click\",\"user\":\"u\",\"item\":\"%s\",\"id\":\"bad-3\"}",
        "{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"id\":\"%s\"}",
        "{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"request\":\"%s\",\"id\":\"bad-3\"}",
    };
    char id[130] = "";
    memset(id, 'x', 129);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct bytes event;
        bytes_init(&event);
        bytes_printf(&event, forms[i], id);
        bytes_put_u8(&event, 0);
        post_rejected(slice_of((char *)event.data), ": 129 bytes, at most 128 are allowed");
        bytes_deinit(&event);
    }
    char fits[300];
    snprintf(fits, sizeof(fits), "{\"kind\":\"click\",\"user\":\"%s\",\"item\":\"i\"}", id + 1);
    post(slice_of(fits));
    assert_int_equal(real_client_number(&client, "accepted"), 1);
}

/* Far off, and yet a time: it is moved into the window, not refused. */
static void times_out_of_the_window_are_clamped(void **state) {
    (void)state;
    static const char *const times[] = {"0", "1000", "4102444800000"};
    double before = real_client_metric(&client, "leat_events_clamped_total");
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char event[200];
        snprintf(
            event, sizeof(event),
            "{\"kind\":\"click\",\"user\":\"u\",\"item\":\"i\",\"time\":%s,\"id\":\"good-%d\"}",
            times[i], good_count++);
        post(slice_of(event));
        assert_int_equal(real_client_number(&client, "accepted"), 1);
    }
    assert_true(real_client_metric(&client, "leat_events_clamped_total") == before + 3);
}

static void bad_bodies_are_refused_whole(void **state) {
    (void)state;
    post_refused("", 400, "the body is empty");
    post_refused(" \r\n\t\n", 400, "the body is empty");
    post_refused("[" CLICK "},{\"kind\":", 400, "the array of events: ");
    post_refused("[" CLICK "},{broken}]", 400, "the array of events: ");
    post_refused("[" CLICK "}", 400, "the array of events: ");
    post_refused("[" CLICK "},{\"kind\":\"\xff\"}]", 400, "the array of events: ");
    post_refused("[" CLICK ",\"value\":1e999}]", 400, "the array of events: ");
    struct bytes body;
    bytes_init(&body);
    for (int i = 0; i <= EVENTS_MAX; i++) {
        bytes_printf(&body, CLICK "}\n");
    }
    bytes_put_u8(&body, 0);
    post_refused((char *)body.data, 413, "more than 10000 events in one request");
    bytes_deinit(&body);
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    struct bytes deep;
    bytes_init(&deep);
    bytes_fill(&deep, '[', DEPTH);
    bytes_put_u8(&deep, 0);
    post_refused((char *)deep.data, 400, "the array of events: ");
    bytes_clear(&deep);
    bytes_printf(&deep, CLICK ",\"context\":");
    for (int i = 0; i < DEPTH; i++) {
        bytes_printf(&deep, "{\"a\":");
    }
    bytes_put_u8(&deep, 0);
    post_rejected(slice_of((char *)deep.data), "line is not JSON: ");
    bytes_deinit(&deep);
}

/* A good body with a few bytes changed has an answer, whatever they are. */
static void random_damage_is_answered(void **state) {
    (void)state;
    static const char whole[] =
        "[{\"kind\":\"click\",\"user\":\"u2\",\"item\":\"i2\",\"time\":1508211000123,"
        "\"value\":1.5e3,\"context\":{\"region\":\"21\",\"new\":true}},"
        "{\"kind\":\"item\",\"item\":\"i3\",\"author\":\"a\",\"categories\":[\"x\",\"y\"]}]";
    for (int i = 0; i < DAMAGED_POSTS; i++) {
        char body[sizeof(whole)];
        memcpy(body, whole, sizeof(whole));
        size_t size = 1 + rng_below(&dice, sizeof(whole) - 1);
        for (uint64_t flips = rng_below(&dice, 4); flips > 0; flips--) {
            body[rng_below(&dice, size)] = (char)rng_below(&dice, 256);
        }
        post((struct slice){body, size});
        if (client.status != 200 && client.status != 400) {
            fail_msg("%ld for %.*s", client.status, (int)size, body);
        }
        assert_true(client.has_json);
    }
}

/* --- a body that is far too large --- */

static struct real_client bystander;
static int bystander_answers;
static double bystander_slowest_ms;

static void ask_meanwhile(void) {
    uint64_t begun = clock_monotonic_ns();
    bool fine = real_client_get(&bystander, "/healthz") && bystander.status == 200;
    double took_ms = (double)(clock_monotonic_ns() - begun) / 1e6;
    bystander_answers += fine;
    bystander_slowest_ms = took_ms > bystander_slowest_ms ? took_ms : bystander_slowest_ms;
}

static void flood(bool chunked) {
    double before = real_client_metric(&client, "leat_resident_bytes");
    bystander_answers = 0;
    if (!real_client_flood(&client, FLOOD_BYTES, chunked, ask_meanwhile)) {
        fail_msg("no answer to a large body%s", chunked ? " in chunks" : "");
    }
    check_problem("a large body", 413, "the body is larger than 16777216 bytes");
    assert_true(bystander_answers > 5);
    double after = real_client_metric(&client, "leat_resident_bytes");
    assert_true(before > 0 && after > 0);
    if (after - before > FLOOD_RESIDENT_MAX) {
        fail_msg("the server grew by %.0f MiB", (after - before) / (1 << 20));
    }
}

static void a_large_body_is_neither_kept_nor_in_the_way(void **state) {
    (void)state;
    real_client_init(&bystander, server.address);
    flood(false);
    flood(true);
    real_client_deinit(&bystander);
    print_message("slowest answer beside a large body: %.1f ms\n", bystander_slowest_ms);
}

/* libcurl asks (Expect) before it sends so much, and is told so before it has. */
static void a_large_body_is_refused_before_it_is_sent(void **state) {
    (void)state;
    struct bytes body;
    bytes_init(&body);
    bytes_fill(&body, ' ', FLOOD_BYTES);
    post((struct slice){(char *)body.data, body.size});
    check_problem("a large body", 413, "the body is larger than 16777216 bytes");
    bytes_deinit(&body);
}

/* --- pages --- */

static void bad_questions_are_answered_in_words(void **state) {
    (void)state;
    static const struct {
        const char *path;
        long status;
        const char *words;
    } cases[] = {
        {"/v1/feed?user=u&n=0", 400, "n: '0' is not a whole number from 1 to 200"},
        {"/v1/feed?user=u&n=1000000000", 400, "n: '1000000000' is not a whole number from 1"},
        {"/v1/feed?user=u&n=abc", 400, "n: 'abc' is not a whole number"},
        {"/v1/feed?user=u&n=", 400, "n: '' is not a whole number"},
        {"/v1/feed?user=u&n=1&n=2", 400, "n: given twice"},
        {"/v1/feed?user=u&surface=shpo", 400, "did you mean 'shop'?"},
        {"/v1/feed?user=u&surface=", 400, "surface: '' is not configured"},
        {"/v1/feed?usr=u", 400, "parameter 'usr' is unknown; did you mean 'user'?"},
        {"/v1/feed?user=", 400, "user: 0 bytes; 1 to 128 are allowed"},
        {"/v1/feed?user=%ff", 400, "user: not valid UTF-8"},
        {"/v1/feed?user=%zz", 400, "wants two hexadecimal digits"},
        {"/v1/feed?user=u&after=x", 400, "after: "},
        {"/v1/feed?user=u&after=0:-1", 400, "after: "},
        {"/v1/feed?user=u&after=0:99999999999999999999", 400, "after: "},
        {"/v1/feed?user=u&after=7:5", 400, "after: '7:5' is a position of another log"},
        {"/v1/feed?user=u&preview=2", 400, "preview: '2' is not 0, 1, false or true"},
        {"/v1/feed?user=u&now=-1", 400, "now: '-1' is not a whole number from 0"},
        {"/v1/feed?user=u&now=1e999", 400, "now: '1e999' is not a whole number"},
        {"/nothing", 404, "no path '/nothing'"},
        {"/v1/feeds", 404, "no path '/v1/feeds'"},
        {"/v1/items/never%20heard%20of", 404, "'never heard of'"},
        {"/v1/users/never-heard-of", 404, "'never-heard-of'"},
        {"/v1/users/%zz", 400, "wants two hexadecimal digits"},
        {"/v1/events", 405, "/v1/events does not answer GET"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        get(cases[i].path);
        check_problem(cases[i].path, cases[i].status, cases[i].words);
    }
    assert_true(real_client_request(&client, "PUT", "/v1/feed", slice_of("{}")));
    check_problem("PUT", 405, "/v1/feed does not answer PUT");
}

/* An address longer than the server reads is refused by the HTTP library, in its own words. */
static void a_long_address_is_refused(void **state) {
    (void)state;
    struct bytes path;
    bytes_init(&path);
    bytes_printf(&path, "/v1/feed?user=");
    bytes_fill(&path, 'u', 3000);
    bytes_put_u8(&path, 0);
    get((char *)path.data);
    check_problem("a long user", 400, "user: 3000 bytes; 1 to 128 are allowed");
    bytes_deinit(&path);
}

static void a_position_of_the_future_is_not_waited_for_long(void **state) {
    (void)state;
    static const char *const paths[] = {"/v1/feed?user=u&preview=1&after=0:1000000000",
                                        "/v1/feed?user=u&preview=1&after=0:18446744073709551615"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        uint64_t begun = clock_monotonic_ns();
        get(paths[i]);
        double took_ms = (double)(clock_monotonic_ns() - begun) / 1e6;
        check_status(paths[i], 200);
        check_words(paths[i], "\"reached\":false");
        if (took_ms < 90 || took_ms > WAIT_MS_MAX) {
            fail_msg("%s: answered after %.1f ms", paths[i], took_ms);
        }
    }
}

/* --- starting --- */

/* Runs a second `leat serve`, which must end by itself with exit code 1 and these words. */
static void serve_refused(const char *words, const char *said) {
    struct bytes errors;
    bytes_init(&errors);
    int exit_code = real_command(&other, words, NULL, &errors);
    if (exit_code != 1 || !strstr((char *)errors.data, said)) {
        fail_msg("leat %s: exit code %d, '%s' does not say '%s'", words, exit_code,
                 (char *)errors.data, said);
    }
    bytes_deinit(&errors);
}

static void bad_starts_end_in_words(void **state) {
    (void)state;
    static const struct {
        const char *keys, *said;
    } cases[] = {
        {"lisen: 127.0.0.1:0\n",
         "leat.yaml:3:1: unknown key 'lisen' in the top level; did you mean 'listen'?"},
        {"log: {segmnt: 1MiB}\n",
         "leat.yaml:3:7: unknown key 'segmnt' in 'log'; did you mean 'segment'?"},
        {"log: {segment: 1KiB}\n", "leat.yaml:3:"},
        {"log: [\n", "leat.yaml:"},
        {"model: {optimiser: adamant}\n", "leat.yaml:3:"},
    };
    char command[200];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        real_server_configure(&other, cases[i].keys);
        serve_refused("serve -c leat.yaml", cases[i].said);
    }
    real_server_configure(&other, KEYS);
    snprintf(command, sizeof(command), "serve -c leat.yaml --data %s/data", server.folder);
    serve_refused(command, "another process uses this folder");
    snprintf(command, sizeof(command), "serve -c leat.yaml --listen %s",
             server.address + strlen("http://"));
    serve_refused(command, "Address already in use");
    serve_refused("serve -c none.yaml", "none.yaml");
}

/* --- after all that --- */

static void the_server_is_well_and_has_the_good_events(void **state) {
    (void)state;
    get("/healthz");
    check_status("/healthz", 200);
    assert_string_equal((char *)client.body.data, "ok\n");
    get("/readyz");
    check_status("/readyz", 200);
    assert_true(real_client_settle(&client));
    real_server_stop(&server);
    struct bytes log;
    bytes_init(&log);
    assert_int_equal(real_command(&server, "log -c leat.yaml --json", &log, NULL), 0);
    for (int i = 0; i < good_count; i++) {
        char id[32];
        snprintf(id, sizeof(id), "\"id\":\"good-%d\"", i);
        const char *at = strstr((char *)log.data, id);
        if (!at || strstr(at + 1, id)) {
            fail_msg("%s is %s", id, at ? "there twice" : "lost");
        }
    }
    assert_null(strstr((char *)log.data, "\"id\":\"bad-"));
    assert_true(good_count > 50);
    bytes_deinit(&log);
}

/* --- the house around the tests --- */

static int set_up(void **state) {
    (void)state;
    const char *given = getenv("LEAT_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&dice, seed);
    real_server_init(&server);
    real_server_init(&other);
    real_server_configure(&server, KEYS);
    real_server_start(&server);
    real_client_init(&client, server.address);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    real_client_deinit(&client);
    real_server_deinit(&server);
    real_server_deinit(&other);
    return 0;
}

int main(void) {
    char binary[PATH_BYTES_MAX];
    if (!real_binary_find(binary)) {
        return REAL_SKIP;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_events_are_rejected_one_by_one),
        cmocka_unit_test(ids_have_128_bytes_at_most),
        cmocka_unit_test(times_out_of_the_window_are_clamped),
        cmocka_unit_test(bad_bodies_are_refused_whole),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(random_damage_is_answered),
        cmocka_unit_test(a_large_body_is_neither_kept_nor_in_the_way),
        cmocka_unit_test(a_large_body_is_refused_before_it_is_sent),
        cmocka_unit_test(bad_questions_are_answered_in_words),
        cmocka_unit_test(a_long_address_is_refused),
        cmocka_unit_test(a_position_of_the_future_is_not_waited_for_long),
        cmocka_unit_test(bad_starts_end_in_words),
        cmocka_unit_test(the_server_is_well_and_has_the_good_events),
    };
    return cmocka_run_group_tests_name("bad_input", tests, set_up, tear_down);
}
