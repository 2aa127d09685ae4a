/* A person is forgotten by the real server: within `log.erase_within` no byte of its data folder
 * spells the id, while others go on; nor after a kill in the midst of it and a start. */
#include "base/clock.h"
#include "base/test.h"
#include "tests/real_client.h"
#include "tests/real_server.h"

enum { ROUNDS = 400, WAIT_MS_MAX = 30000 };

#define PERSON "person-to-be-forgotten"

static const char KEYS[] = "log: {segment: 64KiB, erase_within: 1s, heartbeat: 50ms}\n"
                           "checkpoint: {every: 500ms}\n"
                           "actions:\n"
                           "  click: {weight: 1}\n"
                           "surfaces:\n"
                           "  for_you: {show: 10}\n";

static struct real_server server;
static struct real_client client;

static void post_some(int round, const char *person) {
    struct bytes body;
    bytes_init(&body);
    for (int i = 0; i < 10; i++) {
        bytes_printf(&body, "{\"kind\":\"item\",\"item\":\"item%d\",\"author\":\"a%d\"}\n",
                     (round * 10 + i) % 500, i);
        bytes_printf(&body, "{\"kind\":\"click\",\"user\":\"other%d\",\"item\":\"item%d\"}\n",
                     (round + i) % 50, (round * 7 + i) % 500);
    }
    bytes_printf(&body, "{\"kind\":\"click\",\"user\":\"%s\",\"item\":\"item%d\"}\n", person,
                 round % 500);
    assert_true(real_client_post(&client, (struct slice){(char *)body.data, body.size}));
    assert_int_equal(client.status, 200);
    bytes_deinit(&body);
}

static int find(const char *text) {
    char words[200];
    snprintf(words, sizeof(words), "log find %s data", text);
    return real_command(&server, words, NULL, NULL);
}

static void wait_erased(void) {
    uint64_t end_ns = clock_monotonic_ns() + (uint64_t)WAIT_MS_MAX * 1000000u;
    while (real_client_metric(&client, "leat_erasures_pending") != 0) {
        if (clock_monotonic_ns() > end_ns) {
            fail_msg("still pending after %d ms", WAIT_MS_MAX);
        }
        pause_ms(50);
    }
}

/* Appends, and asks for pages, as the person and as others. */
static void live(const char *person) {
    char path[100];
    snprintf(path, sizeof(path), "/v1/feed?user=%s", person);
    for (int round = 0; round < ROUNDS; round++) {
        post_some(round, person);
        assert_true(real_client_get(&client, round % 2 ? path : "/v1/feed?user=other7"));
        assert_int_equal(client.status, 200);
    }
}

static void forget(const char *path) {
    assert_true(real_client_request(&client, "DELETE", path, (struct slice){NULL, 0}));
    assert_int_equal(client.status, 200);
    assert_true(real_client_number(&client, "complete_by") > clock_now_ms(clock_wall()));
}

static void no_byte_spells_the_id(void **state) {
    (void)state;
    real_server_start(&server);
    real_client_init(&client, server.address);
    live(PERSON);
    assert_int_equal(find(PERSON), 0);
    forget("/v1/users/" PERSON);
    assert_true(real_client_metric(&client, "leat_erasures_pending") >= 0);
    for (int round = 0; round < 50; round++) {
        post_some(round, "other1");
    }
    wait_erased();
    assert_int_equal(find(PERSON), 1);
    assert_int_equal(find("other7"), 0);
    assert_true(real_client_metric(&client, "leat_rows_erased_total") >= ROUNDS);
    assert_true(real_client_get(&client, "/v1/feed?user=other7"));
    assert_true(client.has_json);
    real_client_deinit(&client);
    real_server_stop(&server);
    assert_int_equal(find(PERSON), 1);
    real_server_start(&server);
    real_server_stop(&server);
}

static void a_kill_delays_it_at_most(void **state) {
    (void)state;
    for (int delay_ms = 240; delay_ms <= 360; delay_ms += 120) {
        real_server_start(&server);
        real_client_init(&client, server.address);
        live(PERSON "-2");
        forget("/v1/users/" PERSON "-2");
        pause_ms(delay_ms);
        real_server_kill(&server);
        real_client_deinit(&client);
        real_server_start(&server);
        real_client_init(&client, server.address);
        wait_erased();
        assert_int_equal(find(PERSON "-2"), 1);
        assert_int_equal(find("other7"), 0);
        real_client_deinit(&client);
        real_server_stop(&server);
    }
}

static void what_find_answers(void **state) {
    (void)state;
    struct bytes printed;
    bytes_init(&printed);
    assert_int_equal(real_command(&server, "log find other7 data", &printed, NULL), 0);
    assert_non_null(strstr((char *)printed.data, "(event): column user"));
    assert_non_null(strstr((char *)printed.data, "data/log/"));
    bytes_deinit(&printed);
    assert_int_equal(real_command(&server, "log find x nowhere", NULL, NULL), 2);
    assert_int_equal(real_command(&server, "log find", NULL, NULL), 2);
}

int main(void) {
    char binary[PATH_BYTES_MAX];
    if (!real_binary_find(binary)) {
        return REAL_SKIP;
    }
    real_server_init(&server);
    real_server_configure(&server, KEYS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_byte_spells_the_id),
        cmocka_unit_test(a_kill_delays_it_at_most),
        cmocka_unit_test(what_find_answers),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    real_server_deinit(&server);
    return failed;
}
