/* What a person clicked or hid is gone from the next page that is asked for with `after=` its
 * position, always, while others keep the real server busy; without `after` it is gone within a
 * second; and it does not come back. LEAT_TEST_SEED: other people, other items. */
#include "base/clock.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/thread.h"
#include "tests/real_client.h"
#include "tests/real_server.h"

enum {
    PEOPLE = 300,
    ITEMS = 3000,
    ROUNDS = 2000,
    UNREACHED_MAX = ROUNDS / 100,
    LATER_EVERY = 20, /* one round in so many asks without `after` */
    LATER_MS_MAX = 1000,
    LOAD_BATCH = 20,
    LOAD_EVERY_MS = 10, /* 2,000 events a second */
};

static const char KEYS[] =
    "checkpoint: {every: 1s}\n"
    "actions:\n"
    "  click: {weight: 1}\n"
    "  hide: {weight: -10, filter: forever}\n"
    "surfaces:\n"
    "  for_you: {show: 10, channels: {similar: 200, trending: 200, fresh: 100, explore: 20}}\n";

/* One click or hide: who, and what must not come back. */
struct gone {
    int user;
    char item[16];
};

static struct real_server server;
static struct real_client client;
static struct rng dice;
static struct gone all_gone[ROUNDS];
static int gone_count;

/* --- the load --- */

static struct {
    struct thread thread;
    atomic_bool stop;
    int64_t posted;
    int64_t took_ns;
    char fault[200];
} load;

static void load_batch(struct rng *rng, struct bytes *out) {
    static const char *const kinds[] = {"impression", "impression", "click", "hide"};
    bytes_clear(out);
    for (int i = 0; i < LOAD_BATCH; i++) {
        bytes_printf(out, "{\"kind\":\"%s\",\"user\":\"u%d\",\"item\":\"i%d\"}\n",
                     kinds[rng_below(rng, 10) == 0 ? 3 : rng_below(rng, 3)],
                     (int)rng_below(rng, 10 * PEOPLE), (int)rng_below(rng, ITEMS));
    }
}

/* By the clock: a server that was slow for a moment gets what it missed. */
static void *load_run(void *context) {
    (void)context;
    struct real_client own;
    struct rng rng;
    struct bytes batch;
    real_client_init(&own, server.address);
    rng_init(&rng, 77);
    bytes_init(&batch);
    uint64_t begun_ns = clock_monotonic_ns();
    while (!atomic_load(&load.stop) && !load.fault[0]) {
        load_batch(&rng, &batch);
        bool taken = real_client_post(&own, (struct slice){(char *)batch.data, batch.size}) &&
                     real_client_number(&own, "accepted") == LOAD_BATCH;
        if (!taken) {
            snprintf(load.fault, sizeof(load.fault), "%ld: %.150s", own.status,
                     own.body.data ? (char *)own.body.data : "");
        }
        load.posted += LOAD_BATCH;
        int64_t due_ms = load.posted / LOAD_BATCH * LOAD_EVERY_MS;
        int64_t now_ms = (int64_t)((clock_monotonic_ns() - begun_ns) / 1000000);
        pause_ms(due_ms > now_ms ? due_ms - now_ms : 0);
    }
    load.took_ns = (int64_t)(clock_monotonic_ns() - begun_ns);
    bytes_deinit(&batch);
    real_client_deinit(&own);
    return NULL;
}

/* --- one person --- */

static void get(const char *path) {
    if (!real_client_get(&client, path) || client.status != 200) {
        fail_msg("%s: %ld: %.200s", path, client.status, (char *)client.body.data);
    }
}

/* A page with at least one item, and one of its items. */
static struct gone choose(void) {
    struct gone chosen = {.user = (int)rng_below(&dice, PEOPLE)};
    struct slice items[REAL_ITEMS_MAX];
    char path[100];
    snprintf(path, sizeof(path), "/v1/feed?user=u%d", chosen.user);
    get(path);
    int count = real_client_items(&client, items);
    if (count == 0) {
        fail_msg("u%d: an empty page", chosen.user);
    }
    struct slice item = items[rng_below(&dice, (uint64_t)count)];
    snprintf(chosen.item, sizeof(chosen.item), "%.*s", (int)item.size, item.data);
    return chosen;
}

/* Clicks or hides it; `position` receives where that is in the log. */
static void act(const struct gone *gone, char position[64]) {
    char event[200];
    snprintf(event, sizeof(event), "{\"kind\":\"%s\",\"user\":\"u%d\",\"item\":\"%s\"}",
             rng_below(&dice, 2) ? "click" : "hide", gone->user, gone->item);
    if (!real_client_post(&client, slice_of(event)) ||
        real_client_number(&client, "accepted") != 1) {
        fail_msg("%s: %ld: %.200s", event, client.status, (char *)client.body.data);
    }
    real_client_text(&client, "position", position, 64);
    all_gone[gone_count++] = *gone;
}

/* Asks with `after`; true when the server had come that far. */
static bool is_gone_after(const struct gone *gone, const char *position) {
    char path[200];
    snprintf(path, sizeof(path), "/v1/feed?user=u%d&n=20&after=%s", gone->user, position);
    get(path);
    bool reached = real_client_true(&client, "reached");
    if (reached && real_client_page_holds(&client, gone->item)) {
        fail_msg("u%d: %s is on a page after %s: %.300s", gone->user, gone->item, position,
                 (char *)client.body.data);
    }
    return reached;
}

/* Asks without `after` until it is gone; how long that took. */
static double gone_later_ms(const struct gone *gone) {
    char path[100];
    uint64_t begun_ns = clock_monotonic_ns();
    double took_ms = 0;
    snprintf(path, sizeof(path), "/v1/feed?user=u%d&n=20", gone->user);
    do {
        get(path);
        took_ms = (double)(clock_monotonic_ns() - begun_ns) / 1e6;
        if (took_ms > LATER_MS_MAX) {
            fail_msg("u%d: %s is still on a page after %.0f ms", gone->user, gone->item, took_ms);
        }
    } while (real_client_page_holds(&client, gone->item));
    return took_ms;
}

/* Without the click or hide the item would have stayed: else the tests here would show nothing. */
static bool stays_without_action(const struct gone *chosen) {
    char path[100];
    snprintf(path, sizeof(path), "/v1/feed?user=u%d&n=20", chosen->user);
    get(path);
    return real_client_page_holds(&client, chosen->item);
}

/* --- the tests, in this order on one server --- */

static void gone_from_the_next_page(void **state) {
    (void)state;
    int unreached = 0, stayed = 0, asked_later = 0;
    double slowest_ms = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char position[64];
        struct gone chosen = choose();
        bool later = i % LATER_EVERY == 0;
        stayed += later && stays_without_action(&chosen);
        act(&chosen, position);
        if (later) {
            double took_ms = gone_later_ms(&chosen);
            slowest_ms = took_ms > slowest_ms ? took_ms : slowest_ms;
            asked_later++;
        } else {
            unreached += !is_gone_after(&chosen, position);
        }
    }
    print_message("%d actions, %d positions not reached in time; without after gone in %.1f ms; "
                  "%d of %d items stay without an action\n",
                  ROUNDS, unreached, slowest_ms, stayed, asked_later);
    assert_true(unreached <= UNREACHED_MAX);
    assert_true(stayed > asked_later / 4);
}

static void load_was_there(void **state) {
    (void)state;
    atomic_store(&load.stop, true);
    thread_join(&load.thread);
    if (load.fault[0]) {
        fail_msg("the load: %s", load.fault);
    }
    print_message("load: %.0f events/s\n", (double)load.posted / ((double)load.took_ns / 1e9));
    assert_true(load.posted > ROUNDS);
}

static void none_comes_back(void **state) {
    (void)state;
    assert_true(real_client_settle(&client));
    for (int user = 0; user < PEOPLE; user++) {
        char path[100];
        snprintf(path, sizeof(path), "/v1/feed?user=u%d&n=200&preview=1", user);
        get(path);
        for (int i = 0; i < gone_count; i++) {
            if (all_gone[i].user == user && real_client_page_holds(&client, all_gone[i].item)) {
                fail_msg("u%d: %s came back", user, all_gone[i].item);
            }
        }
    }
}

/* --- the house around the tests --- */

static void post_items(void) {
    struct bytes body;
    bytes_init(&body);
    for (int i = 0; i < ITEMS; i++) {
        bytes_printf(
            &body,
            "{\"kind\":\"item\",\"item\":\"i%d\",\"author\":\"a%d\",\"categories\":[\"c%d\"]}"
            "\n",
            i, i % 50, i % 12);
    }
    assert_true(real_client_post(&client, (struct slice){(char *)body.data, body.size}));
    assert_int_equal(real_client_number(&client, "accepted"), ITEMS);
    assert_true(real_client_settle(&client));
    bytes_deinit(&body);
}

static int set_up(void **state) {
    (void)state;
    leat_error err;
    const char *given = getenv("LEAT_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : 1;
    print_message("seed %llu\n", (unsigned long long)seed);
    rng_init(&dice, seed);
    real_server_init(&server);
    real_server_configure(&server, KEYS);
    real_server_start(&server);
    real_client_init(&client, server.address);
    post_items();
    return thread_start(&load.thread, "load", load_run, NULL, &err);
}

static int tear_down(void **state) {
    (void)state;
    atomic_store(&load.stop, true);
    thread_join(&load.thread);
    real_client_deinit(&client);
    real_server_deinit(&server);
    return 0;
}

int main(void) {
    char binary[PATH_BYTES_MAX];
    if (!real_binary_find(binary)) {
        return REAL_SKIP;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gone_from_the_next_page),
        cmocka_unit_test(load_was_there),
        cmocka_unit_test(none_comes_back),
    };
    return cmocka_run_group_tests_name("gone", tests, set_up, tear_down);
}
