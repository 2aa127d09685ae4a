/* kill -9 of the real server under load, again and again on one folder: nothing acknowledged is
 * lost, nothing is doubled, and what is left of the log gives one state and one set of pages, with
 * checkpoints and without. A folder is a case, and its number the seed of its dice: LEAT_TEST_SEED
 * repeats one, as far as time and threads can be repeated. LEAT_TEST_LONG: 40 folders, so 1,000
 * kills, on as many folders at once as there are processors; on every second one oldest segments go
 * meanwhile. */
#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/text.h"
#include "base/thread.h"
#include "tests/real_client.h"
#include "tests/real_server.h"
#include "tests/shards.h"

enum {
    LIVES = 25,
    FOLDERS_LONG = 40,
    LIFE_MS_MIN = 100, /* of load, before the kill */
    LIFE_MS_MAX = 700,
    START_MS_MAX = 40, /* some are killed while they start, too, */
    FIRST_STARTS = 8,  /* and those that find no folder often */
    POSTERS = 3,
    WRITERS = POSTERS + 1, /* and the viewer, who asks for pages and posts what came of them */
    BATCH_MAX = 50,
    PAUSE_MS_MAX = 12,
    PEOPLE = 1000,
    ITEMS = 2000, /* so many that nobody has seen them all */
    PAGES = 40,   /* compared at the end */
};

/* Checkpoints and heartbeats so close together that kills meet them. */
#define SHARED_KEYS                                                                                \
    "key_groups: 16\n"                                                                             \
    "examples: {folder: examples, file: 64KiB, keep: 1MiB}\n"                                      \
    "checkpoint: {every: 300ms}\n"                                                                 \
    "actions:\n"                                                                                   \
    "  click: {window: 1s, weight: 1}\n"                                                           \
    "  watch: {window: 2s, weight: 0.01, value: seconds}\n"                                        \
    "  hide: {window: 5s, weight: -10, filter: forever}\n"                                         \
    "surfaces:\n"                                                                                  \
    "  for_you: {show: 10, channels: {similar: 100, trending: 100, fresh: 50, explore: 20}}\n"     \
    "  shop: {examples: clicks, show: 5}\n"

static const char BUSY_KEYS[] = "log: {segment: 1MiB, heartbeat: 20ms}\n" SHARED_KEYS;
static const char RETAINING_KEYS[] =
    "log: {segment: 1MiB, heartbeat: 20ms, retain: 4MiB}\n" SHARED_KEYS;
/* Nothing is appended by itself, so that two servers see one log. */
static const char QUIET_KEYS[] = "log: {segment: 1MiB, heartbeat: 1h}\n" SHARED_KEYS;

/* One thread that posts events "e<index>.<number>", each number once. */
struct writer {
    struct thread thread;
    struct real_client client;
    struct rng rng;
    struct bytes batch;
    int batch_events;
    int index;
    struct bytes acknowledged; /* by number: the life in which it was, or 0 */
    char fault[200];           /* an answer that is none of those allowed */
};

static struct real_server server;
static struct writer writers[WRITERS];
static struct rng dice;
static uint64_t folder; /* the case at hand */
static atomic_int life;

static bool retains(void) {
    return folder % 2 == 0;
}

/* --- posting --- */

/* One in five has no id: it is not looked for in the log, but nothing hides it from the operators
 * if it is applied twice. */
static void add_common(struct writer *writer) {
    struct rng *rng = &writer->rng;
    struct bytes *out = &writer->batch;
    writer->batch_events++;
    if (rng_below(rng, 5) > 0) {
        bytes_printf(out, ",\"id\":\"e%d.%zu\"", writer->index, writer->acknowledged.size);
        bytes_put_u8(&writer->acknowledged, 0);
    }
    if (rng_below(rng, 3) == 0) {
        int64_t time_ms = clock_now_ms(clock_wall()) - (int64_t)rng_below(rng, 5000);
        bytes_printf(out, ",\"time\":%lld", (long long)time_ms);
    }
    bytes_printf(out, "}\n");
}

static void batch_clear(struct writer *writer) {
    bytes_clear(&writer->batch);
    writer->batch_events = 0;
}

static void add_action(struct writer *writer, const char *kind, int user, const char *item,
                       const char *request) {
    struct bytes *out = &writer->batch;
    bytes_printf(out, "{\"kind\":\"%s\",\"user\":\"u%d\",\"item\":\"%s\"", kind, user, item);
    if (request[0]) {
        bytes_printf(out, ",\"request\":\"%s\"", request);
    } else if (rng_below(&writer->rng, 4) == 0) {
        bytes_printf(out, ",\"surface\":\"shop\",\"session\":\"s%d\"", user % 7);
    }
    if (strcmp(kind, "watch") == 0) {
        bytes_printf(out, ",\"value\":%d", (int)rng_below(&writer->rng, 100));
    }
    if (rng_below(&writer->rng, 4) == 0) {
        bytes_printf(out, ",\"context\":{\"region\":\"%d\",\"device\":\"d\"}", user % 5);
    }
    add_common(writer);
}

static void add_random(struct writer *writer) {
    static const char *const kinds[] = {"impression", "impression", "impression", "click",
                                        "click",      "watch",      "hide"};
    enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };
    struct rng *rng = &writer->rng;
    char item[16];
    int user = (int)rng_below(rng, PEOPLE);
    int number = (int)rng_below(rng, ITEMS);
    snprintf(item, sizeof(item), "i%d", number);
    uint64_t what = rng_below(rng, 100);
    if (what < 10) {
        bytes_printf(
            &writer->batch,
            "{\"kind\":\"item\",\"item\":\"%s\",\"author\":\"a%d\",\"categories\":[\"c%d\"]", item,
            number % 20, number % 8);
        add_common(writer);
    } else if (what < 12) {
        bytes_printf(&writer->batch, "{\"kind\":\"item_delete\",\"item\":\"%s\"", item);
        add_common(writer);
    } else if (what < 14) {
        bytes_printf(&writer->batch,
                     "{\"kind\":\"user\",\"user\":\"u%d\",\"context\":{\"region\":\"%d\"}", user,
                     user % 5);
        add_common(writer);
    } else {
        add_action(writer, kinds[rng_below(rng, KINDS)], user, item, "");
    }
}

/* Posts the batch and notes what was acknowledged; false when the server is gone (or wrong). */
static bool post_batch(struct writer *writer, size_t first) {
    struct slice body = {(char *)writer->batch.data, writer->batch.size};
    if (!real_client_post(&writer->client, body)) {
        return false;
    }
    if (writer->client.status != 200 ||
        real_client_number(&writer->client, "accepted") != writer->batch_events) {
        snprintf(writer->fault, sizeof(writer->fault), "%ld for %d events: %.150s",
                 writer->client.status, writer->batch_events, (char *)writer->client.body.data);
        return false;
    }
    for (size_t n = first; n < writer->acknowledged.size; n++) {
        writer->acknowledged.data[n] = (uint8_t)atomic_load(&life);
    }
    return true;
}

static void *poster_run(void *context) {
    struct writer *writer = context;
    bool answered = true;
    while (answered) {
        size_t first = writer->acknowledged.size;
        int count = 1 + (int)rng_below(&writer->rng, BATCH_MAX);
        batch_clear(writer);
        for (int i = 0; i < count; i++) {
            add_random(writer);
        }
        answered = post_batch(writer, first);
        pause_ms((int64_t)rng_below(&writer->rng, PAUSE_MS_MAX));
    }
    return NULL;
}

/* --- looking at pages --- */

static bool get_page(struct writer *viewer, int user) {
    char path[200];
    snprintf(path, sizeof(path), "/v1/feed?user=u%d&n=10", user);
    if (!real_client_get(&viewer->client, path)) {
        return false;
    }
    if (viewer->client.status != 200) {
        snprintf(viewer->fault, sizeof(viewer->fault), "%ld for a page: %.150s",
                 viewer->client.status, (char *)viewer->client.body.data);
    }
    return viewer->client.status == 200;
}

/* An impression of each item of the page, and sometimes a click or a hide. */
static bool post_seen(struct writer *viewer, int user) {
    struct slice items[REAL_ITEMS_MAX];
    char request[100], item[200];
    int count = real_client_items(&viewer->client, items);
    size_t first = viewer->acknowledged.size;
    real_client_text(&viewer->client, "request", request, sizeof(request));
    batch_clear(viewer);
    for (int i = 0; i < count; i++) {
        snprintf(item, sizeof(item), "%.*s", (int)items[i].size, items[i].data);
        add_action(viewer, "impression", user, item, request);
        uint64_t what = rng_below(&viewer->rng, 20);
        if (what < 4) {
            add_action(viewer, what == 0 ? "hide" : "click", user, item, request);
        }
    }
    return count == 0 || post_batch(viewer, first);
}

static bool forget(struct writer *viewer, int user) {
    char path[100];
    snprintf(path, sizeof(path), "/v1/users/u%d", user);
    return real_client_request(&viewer->client, "DELETE", path, (struct slice){NULL, 0});
}

static void *viewer_run(void *context) {
    struct writer *viewer = context;
    bool answered = true;
    while (answered) {
        int user = (int)rng_below(&viewer->rng, PEOPLE);
        answered = get_page(viewer, user) && post_seen(viewer, user);
        if (answered && rng_below(&viewer->rng, 100) == 0) {
            answered = forget(viewer, user);
        }
    }
    return NULL;
}

/* --- living and dying --- */

static void writers_start(void) {
    leat_error err = {.message = ""};
    for (int i = 0; i < WRITERS; i++) {
        real_client_init(&writers[i].client, server.address);
        void *(*run)(void *) = i < POSTERS ? poster_run : viewer_run;
        assert_int_equal(thread_start(&writers[i].thread, "writer", run, &writers[i], &err),
                         LEAT_OK);
    }
}

static void writers_join(void) {
    for (int i = 0; i < WRITERS; i++) {
        thread_join(&writers[i].thread);
        real_client_deinit(&writers[i].client);
    }
}

static void live_and_die(void) {
    int killed_starts = atomic_load(&life) == 1 ? FIRST_STARTS : rng_below(&dice, 4) == 0;
    for (int i = 0; i < killed_starts; i++) {
        real_server_launch(&server);
        pause_ms((int64_t)rng_below(&dice, START_MS_MAX));
        real_server_kill(&server);
    }
    real_server_start(&server);
    writers_start();
    pause_ms(LIFE_MS_MIN + (int64_t)rng_below(&dice, LIFE_MS_MAX - LIFE_MS_MIN));
    real_server_kill(&server);
    writers_join();
    for (int i = 0; i < WRITERS; i++) {
        if (writers[i].fault[0]) {
            fail_msg("life %d, writer %d: %s", atomic_load(&life), i, writers[i].fault);
        }
    }
}

/* --- what is in the log --- */

/* Counts one line of `leat log --json`. `found`: by writer and number, how often. */
static void count_line(struct json_parser *parser, struct slice line, struct bytes found[WRITERS]) {
    struct json_value record, id;
    struct slice text;
    leat_error err = {.message = ""};
    if (json_parse(parser, line, &record, &err) < 0) {
        fail_msg("%s: %.*s", err.message, (int)line.size, line.data);
    }
    if (!json_find(record, "id", &id)) {
        return;
    }
    uint64_t number;
    assert_true(json_to_text(id, &text) && text.size > 3);
    int index = text.data[1] - '0';
    assert_true(text_to_u64((struct slice){text.data + 3, text.size - 3}, &number));
    assert_true(index >= 0 && index < WRITERS && number < found[index].size);
    found[index].data[number]++;
}

static int64_t count_log(struct bytes found[WRITERS]) {
    struct bytes log;
    struct json_parser *parser;
    int64_t lines = 0;
    bytes_init(&log);
    assert_int_equal(json_parser_create(&parser, NULL), LEAT_OK);
    assert_int_equal(real_command(&server, "log -c leat.yaml --json", &log, NULL), 0);
    const char *at = (char *)log.data;
    const char *stop = at + log.size;
    for (const char *end; (end = memchr(at, '\n', (size_t)(stop - at))) != NULL; at = end + 1) {
        count_line(parser, (struct slice){at, (size_t)(end - at)}, found);
        lines++;
    }
    json_parser_destroy(parser);
    bytes_deinit(&log);
    return lines;
}

static void compare_writer(const struct writer *writer, const struct bytes *found,
                           int64_t *acknowledged) {
    for (size_t n = 0; n < found->size; n++) {
        int when = writer->acknowledged.data[n];
        *acknowledged += when > 0;
        bool may_be_gone = retains() && when < LIVES;
        if (when > 0 && found->data[n] == 0 && !may_be_gone) {
            fail_msg("event e%d.%zu, acknowledged in life %d, is lost", writer->index, n, when);
        }
        if (found->data[n] > 1) {
            fail_msg("event e%d.%zu is there %d times", writer->index, n, found->data[n]);
        }
    }
}

/* --- the tests, in this order on one folder --- */

static void kill_it_again_and_again(void **state) {
    (void)state;
    real_server_configure(&server, retains() ? RETAINING_KEYS : BUSY_KEYS);
    for (int i = 1; i <= LIVES; i++) {
        atomic_store(&life, i);
        live_and_die();
    }
}

/* The folder is as the last kill left it: the first digest comes from a checkpoint and the rows
 * behind it, the others from the log alone. */
static void every_way_gives_the_same_digest(void **state) {
    (void)state;
    static const char *const ways[] = {
        "state digest -c leat.yaml --json", /* the first one alone where the log's start is gone */
        "state digest -c leat.yaml --json --replay",
        "state digest -c leat.yaml --json --replay --batch 1",
        "state digest -c leat.yaml --json --replay --batch 7",
    };
    struct bytes first, other, words;
    bytes_init(&first);
    bytes_init(&other);
    bytes_init(&words);
    assert_int_equal(real_command(&server, "state digest -c leat.yaml --json", &first, &words), 0);
    print_message("%s", (char *)words.data);
    assert_non_null(strstr((char *)words.data, "checkpoint at "));
    assert_null(strstr((char *)words.data, "checkpoint at 0,"));
    assert_non_null(strstr((char *)first.data, "\"model\":\""));
    for (size_t i = 0; i < (retains() ? 1 : sizeof(ways) / sizeof(ways[0])); i++) {
        assert_int_equal(real_command(&server, ways[i], &other, NULL), 0);
        if (!slice_equal((struct slice){(char *)first.data, first.size},
                         (struct slice){(char *)other.data, other.size})) {
            fail_msg("leat %s:\n%snot, as from the checkpoint:\n%s", ways[i], other.data,
                     first.data);
        }
    }
    bytes_deinit(&words);
    bytes_deinit(&other);
    bytes_deinit(&first);
}

/* The log has been opened since the last kill, so all of them were recovered from. */
static void nothing_acknowledged_is_lost_or_doubled(void **state) {
    (void)state;
    struct bytes found[WRITERS];
    int64_t acknowledged = 0;
    for (int i = 0; i < WRITERS; i++) {
        bytes_init(&found[i]);
        bytes_fill(&found[i], 0, writers[i].acknowledged.size);
    }
    int64_t lines = count_log(found);
    for (int i = 0; i < WRITERS; i++) {
        compare_writer(&writers[i], &found[i], &acknowledged);
        bytes_deinit(&found[i]);
    }
    assert_true(acknowledged > LIVES);
    print_message("%d lives: %lld events acknowledged, %lld rows in the log\n", LIVES,
                  (long long)acknowledged, (long long)lines);
}

/* The items of pages for fixed people, moment and request, as text; how many have any. */
static int print_pages(int64_t now_ms, struct bytes *out) {
    int filled = 0;
    struct real_client client;
    real_client_init(&client, server.address);
    assert_true(real_client_settle(&client));
    for (int user = 0; user < PAGES; user++) {
        char path[200];
        struct json_value items;
        snprintf(path, sizeof(path), "/v1/feed?user=u%d&n=10&preview=1&request=q%d&now=%lld", user,
                 user, (long long)now_ms);
        assert_true(real_client_get(&client, path));
        assert_int_equal(client.status, 200);
        assert_true(json_find(client.json, "items", &items));
        struct json_iterator it = json_iterate(items);
        struct json_value first;
        filled += json_next(&it, NULL, &first);
        json_copy(items, out);
        bytes_put_u8(out, '\n');
    }
    bytes_put_u8(out, 0);
    assert_false(out->failed);
    real_client_deinit(&client);
    return filled;
}

static void move_checkpoints_away(void) {
    char from[PATH_BYTES_MAX], to[PATH_BYTES_MAX];
    snprintf(from, sizeof(from), "%s/data/checkpoints", server.folder);
    snprintf(to, sizeof(to), "%s/moved", server.folder);
    assert_int_equal(disk_rename(disk_real(), from, to, NULL), LEAT_OK);
}

static void every_way_gives_the_same_pages(void **state) {
    (void)state;
    struct bytes with, without;
    int64_t now_ms = clock_now_ms(clock_wall());
    bytes_init(&with);
    bytes_init(&without);
    real_server_configure(&server, QUIET_KEYS);
    real_server_start(&server);
    int filled = print_pages(now_ms, &with);
    real_server_stop(&server);
    if (!retains()) {
        move_checkpoints_away();
    }
    real_server_start(&server);
    print_pages(now_ms, &without);
    real_server_kill(&server);
    assert_true(filled > PAGES / 2);
    assert_string_equal((char *)without.data, (char *)with.data);
    bytes_deinit(&with);
    bytes_deinit(&without);
}

/* --- the house around the tests --- */

static int set_up(void **state) {
    (void)state;
    print_message("folder %llu\n", (unsigned long long)folder);
    rng_init(&dice, folder);
    real_server_init(&server);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.index = i};
        rng_init(&writers[i].rng, rng_next(&dice));
        bytes_init(&writers[i].batch);
        bytes_init(&writers[i].acknowledged);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    real_server_deinit(&server);
    for (int i = 0; i < WRITERS; i++) {
        bytes_deinit(&writers[i].batch);
        bytes_deinit(&writers[i].acknowledged);
    }
    return 0;
}

static void one_folder(uint64_t number) {
    folder = number;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_it_again_and_again),
        cmocka_unit_test(every_way_gives_the_same_digest),
        cmocka_unit_test(nothing_acknowledged_is_lost_or_doubled),
        cmocka_unit_test(every_way_gives_the_same_pages),
    };
    int failed = cmocka_run_group_tests_name("crash", tests, set_up, tear_down);
    CHECK(failed == 0, "%d tests failed on folder %llu", failed, (unsigned long long)folder);
}

int main(void) {
    char binary[PATH_BYTES_MAX];
    if (!real_binary_find(binary)) {
        return REAL_SKIP;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const struct shards_work work = {
        .program = "LEAT_BINARY=$PWD/build/release/leat build/asan/tests/crash_test",
        .first = 1,
        .end = 1 + (getenv("LEAT_TEST_LONG") ? FOLDERS_LONG : 1),
        .run = one_folder,
    };
    return shards_run(&work);
}
