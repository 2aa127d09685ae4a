/* A leader and its follower, two real servers: where both positions are equal, pages are; whoever
 * is killed, whatever is cut. LEAT_TEST_SEED: other events. */
#include "base/clock.h"
#include "base/rng.h"
#include "base/test.h"
#include "tests/proxy.h"
#include "tests/real_client.h"
#include "tests/real_server.h"

#include <math.h>

enum { PEOPLE = 40, ITEMS = 300, PAGES = 15, SAME_MS_MAX = 20000, NAP_MS = 5, WINDOWS_MS = 250 };

static const char KEYS[] =
    "log: {heartbeat: 60ms}\n"
    "checkpoint: {every: 300ms}\n"
    "actions:\n"
    "  click: {weight: 1, window: 100ms}\n"
    "  hide: {weight: -10, window: 100ms, filter: forever}\n"
    "surfaces:\n"
    "  for_you: {show: 10, channels: {similar: 200, trending: 200, fresh: 100, explore: 20}}\n";

static struct real_server leader, follower;
static struct real_client asks_leader, asks_follower;
static struct proxy *proxy;
static struct rng dice;

/* --- both sides --- */

static void configure(const char *rows) {
    char keys[1000];
    snprintf(keys, sizeof(keys), "%sreplica: {interval: 20ms, rows: %s}\n", KEYS, rows);
    real_server_configure(&leader, keys);
    real_server_configure(&follower, keys);
}

static void leader_start(void) {
    real_server_start(&leader);
    proxy_aim(proxy, leader.address);
}

static void follower_start(void) {
    snprintf(follower.more, sizeof(follower.more), " --follow %s", proxy_address(proxy));
    real_server_start(&follower);
}

static void post_some(int count) {
    static const char *const kinds[] = {"impression", "impression", "click", "hide"};
    struct bytes batch;
    bytes_init(&batch);
    for (int i = 0; i < count; i++) {
        bytes_printf(&batch, "{\"kind\":\"%s\",\"user\":\"u%d\",\"item\":\"i%d\"}\n",
                     kinds[rng_below(&dice, 20) == 0 ? 3 : rng_below(&dice, 3)],
                     (int)rng_below(&dice, PEOPLE), (int)rng_below(&dice, ITEMS));
    }
    if (!real_client_post(&asks_leader, (struct slice){(char *)batch.data, batch.size}) ||
        real_client_number(&asks_leader, "accepted") != count) {
        fail_msg("%ld: %.200s", asks_leader.status, (char *)asks_leader.body.data);
    }
    bytes_deinit(&batch);
}

static void post_items(void) {
    struct bytes batch;
    bytes_init(&batch);
    for (int i = 0; i < ITEMS; i++) {
        bytes_printf(&batch,
                     "{\"kind\":\"item\",\"item\":\"i%d\",\"author\":\"a%d\",\"categories\":"
                     "[\"c%d\"]}\n",
                     i, i % 17, i % 5);
    }
    assert_true(real_client_post(&asks_leader, (struct slice){(char *)batch.data, batch.size}));
    bytes_deinit(&batch);
}

/* --- comparing --- */

struct answer {
    char applied[64], learnt[64];
    struct bytes items; /* the page's, as text */
};

static bool ask(struct real_client *client, int user, struct answer *out) {
    char path[100];
    snprintf(path, sizeof(path), "/v1/feed?user=u%d&preview=1&n=20&now=1800000000000", user);
    if (!real_client_get(client, path) || client->status != 200) {
        return false;
    }
    real_client_text(client, "applied", out->applied, sizeof(out->applied));
    real_client_text(client, "learnt", out->learnt, sizeof(out->learnt));
    const char *items = strstr((char *)client->body.data, "\"items\":");
    assert_non_null(items);
    bytes_clear(&out->items);
    bytes_append(&out->items, items, strlen(items) + 1);
    return true;
}

/* How far apart the scores of two pages with the same items are; -1: other items. */
static double scores_apart(const char *left, const char *right) {
    double most = 0;
    while (*left && *right) {
        char *left_end, *right_end;
        bool number = left[0] == ':' && (left[1] == '-' || (left[1] >= '0' && left[1] <= '9'));
        if (*left != *right) {
            return -1;
        }
        left++;
        right++;
        if (number) {
            double apart = fabs(strtod(left, &left_end) - strtod(right, &right_end));
            most = apart > most ? apart : most;
            left = left_end;
            right = right_end;
        }
    }
    return *left == *right ? most : -1;
}

/* Asks both until they stand at the same positions, and compares. */
static double same_page(int user, bool exactly) {
    struct answer want, have;
    bytes_init(&want.items);
    bytes_init(&have.items);
    double apart = -1;
    bool met = false;
    uint64_t end = clock_monotonic_ns() + (uint64_t)SAME_MS_MAX * 1000000;
    while (!met && clock_monotonic_ns() < end) {
        met = ask(&asks_leader, user, &want) && ask(&asks_follower, user, &have) &&
              strcmp(want.applied, have.applied) == 0 && strcmp(want.learnt, have.learnt) == 0;
        pause_ms(met ? 0 : NAP_MS);
    }
    if (!met) {
        fail_msg("u%d: the leader is at %s and %s, the follower at %s and %s", user, want.applied,
                 want.learnt, have.applied, have.learnt);
    }
    if (exactly && strcmp((char *)want.items.data, (char *)have.items.data) != 0) {
        fail_msg("u%d at %s and %s:\n%s\n%s", user, want.applied, want.learnt,
                 (char *)want.items.data, (char *)have.items.data);
    }
    apart = scores_apart((char *)want.items.data, (char *)have.items.data);
    bytes_deinit(&have.items);
    bytes_deinit(&want.items);
    return apart;
}

/* Nothing is learnt any more: labels are given when windows end, after the last event. Before, a
 * leader's page may know a little more than it says. */
static void settle(void) {
    pause_ms(WINDOWS_MS);
    assert_true(real_client_settle(&asks_leader));
}

static void same_pages(void) {
    settle();
    for (int i = 0; i < PAGES; i++) {
        same_page((int)rng_below(&dice, PEOPLE), true);
    }
}

/* Learning went on: without that, equal pages would show nothing. */
static double follower_learnt(void) {
    return real_client_metric(&asks_follower, "leat_position_learnt");
}

/* --- the tests, in this order on one pair --- */

static void a_copy_gives_the_same_pages(void **state) {
    (void)state;
    post_items();
    for (int i = 0; i < 10; i++) {
        post_some(200);
    }
    follower_start(); /* from a checkpoint */
    same_pages();
    double before = follower_learnt();
    for (int i = 0; i < 10; i++) { /* from rows and deltas */
        post_some(100);
        pause_ms(10);
    }
    same_pages();
    assert_true(follower_learnt() >= before + 1000);
}

static void events_are_refused_naming_the_leader(void **state) {
    (void)state;
    char words[400];
    static const char event[] = "{\"kind\":\"click\",\"user\":\"u1\",\"item\":\"i1\"}";
    assert_true(real_client_post(&asks_follower, slice_of(event)));
    assert_int_equal(asks_follower.status, 409);
    real_client_text(&asks_follower, "detail", words, sizeof(words));
    assert_non_null(strstr(words, proxy_address(proxy)));
    assert_true(
        real_client_request(&asks_follower, "DELETE", "/v1/users/u1", (struct slice){NULL, 0}));
    assert_int_equal(asks_follower.status, 409);
    assert_true(real_client_get(&asks_follower, "/v1/replica/state"));
    assert_int_equal(asks_follower.status, 501);
}

static void it_says_how_far_behind_it_is(void **state) {
    (void)state;
    assert_true(real_client_get(&asks_follower, "/healthz"));
    assert_int_equal(asks_follower.status, 200);
    assert_non_null(strstr((char *)asks_follower.body.data, " connected"));
    assert_non_null(strstr((char *)asks_follower.body.data, "rows and"));
    assert_true(real_client_get(&asks_follower, "/v1/feed?user=u1&preview=1"));
    assert_non_null(strstr((char *)asks_follower.body.data, "\"behind\":{\"rows\":"));
    proxy_aim(proxy, NULL);
    proxy_cut(proxy);
    double begun = real_client_metric(&asks_follower, "leat_behind_seconds");
    for (int i = 0;
         i < 4000 && real_client_metric(&asks_follower, "leat_behind_seconds") < begun + 0.3; i++) {
        pause_ms(NAP_MS);
    }
    assert_true(real_client_metric(&asks_follower, "leat_behind_seconds") >= begun + 0.3);
    post_some(50); /* which the follower does not get */
    assert_true(real_client_get(&asks_follower, "/v1/feed?user=u1&preview=1"));
    assert_int_equal(asks_follower.status, 200);
    proxy_aim(proxy, leader.address);
    same_pages();
}

static void a_killed_follower_catches_up(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++) {
            post_some(100);
            pause_ms(round * 60);
        }
        real_server_kill(&follower);
        post_some(200);
        follower_start();
        post_some(100);
        same_pages();
    }
}

static void a_killed_leader_is_followed_on(void **state) {
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 8; i++) {
            post_some(100);
            pause_ms(round * 60);
        }
        real_server_kill(&leader);
        assert_true(real_client_get(&asks_follower, "/v1/feed?user=u1&preview=1"));
        assert_int_equal(asks_follower.status, 200);
        leader_start();
        post_some(200);
        same_pages();
    }
}

static void cut_connections_change_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) {
        post_some(40);
        pause_ms((int64_t)rng_below(&dice, 25));
        proxy_cut(proxy);
    }
    same_pages();
}

/* The leader's deltas no longer reach back to where the follower stands. */
static void without_deltas_it_takes_a_checkpoint(void **state) {
    (void)state;
    real_server_kill(&follower);
    post_some(500);
    assert_true(real_client_settle(&asks_leader));
    real_server_stop(&leader); /* with a last checkpoint: its deltas begin there */
    leader_start();
    post_some(300);
    follower_start();
    same_pages();
    struct bytes errors;
    char path[PATH_BYTES_MAX];
    bytes_init(&errors);
    assert_int_equal(path_join(path, follower.folder, "serve.err", NULL), LEAT_OK);
    assert_int_equal(disk_get(disk_real(), path, 1 << 20, &errors, NULL), LEAT_OK);
    bytes_put_u8(&errors, 0);
    assert_non_null(strstr((char *)errors.data, "taking its checkpoint"));
    bytes_deinit(&errors);
}

/* Rows of the embedding as int8: scores are close. */
static void int8_is_close(void **state) {
    (void)state;
    double most = 0;
    int compared = 0;
    real_server_stop(&follower);
    real_server_stop(&leader);
    configure("int8");
    leader_start();
    follower_start();
    for (int i = 0; i < 20; i++) {
        post_some(100);
    }
    settle();
    for (int i = 0; i < 2 * PAGES; i++) {
        double apart = same_page((int)rng_below(&dice, PEOPLE), false);
        most = apart > most ? apart : most; /* equal scores may change their order: -1 */
        compared += apart >= 0;
    }
    print_message("scores by int8 are at most %g apart, %d pages\n", most, compared);
    assert_true(compared > 0);
    assert_true(most > 0 && most < 0.5); /* values are sums of probabilities times up to 10 */
}

static void a_reset_leader_is_noticed(void **state) {
    (void)state;
    char words[400] = "";
    struct answer before, after;
    bytes_init(&before.items);
    bytes_init(&after.items);
    real_server_stop(&leader);
    assert_true(ask(&asks_follower, 3, &before));
    char path[PATH_BYTES_MAX];
    static const char *const folders[] = {"data/log", "data/checkpoints"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(path_join(path, leader.folder, folders[i], NULL), LEAT_OK);
        assert_int_equal(disk_remove_tree(disk_real(), path, NULL), LEAT_OK);
    }
    leader_start();
    post_items();
    for (int i = 0; i < 4000 && asks_follower.status != 503; i++) {
        pause_ms(NAP_MS);
        assert_true(real_client_get(&asks_follower, "/readyz"));
    }
    assert_int_equal(asks_follower.status, 503);
    real_client_text(&asks_follower, "detail", words, sizeof(words));
    assert_non_null(strstr(words, "made anew"));
    assert_true(ask(&asks_follower, 3, &after)); /* and nothing was mixed */
    assert_string_equal((char *)before.items.data, (char *)after.items.data);
    bytes_deinit(&after.items);
    bytes_deinit(&before.items);
}

static int set_up(void **state) {
    (void)state;
    const char *seed = getenv("LEAT_TEST_SEED");
    rng_init(&dice, seed ? strtoull(seed, NULL, 10) : 1);
    proxy = proxy_create();
    real_server_init(&leader);
    real_server_init(&follower);
    configure("fp32");
    leader_start();
    real_client_init(&asks_leader, leader.address);
    real_client_init(&asks_follower, follower.address);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    real_client_deinit(&asks_follower);
    real_client_deinit(&asks_leader);
    real_server_deinit(&follower);
    real_server_deinit(&leader);
    proxy_destroy(proxy);
    return 0;
}

int main(void) {
    char binary[PATH_BYTES_MAX];
    if (!real_binary_find(binary)) {
        return REAL_SKIP;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_gives_the_same_pages),
        cmocka_unit_test(events_are_refused_naming_the_leader),
        cmocka_unit_test(it_says_how_far_behind_it_is),
        cmocka_unit_test(a_killed_follower_catches_up),
        cmocka_unit_test(a_killed_leader_is_followed_on),
        cmocka_unit_test(cut_connections_change_nothing),
        cmocka_unit_test(without_deltas_it_takes_a_checkpoint),
        cmocka_unit_test(int8_is_close),
        cmocka_unit_test(a_reset_leader_is_noticed),
    };
    return cmocka_run_group_tests_name("replica", tests, set_up, tear_down);
}
