/* Too much at once: a disk that stands still, and operators that lie behind. Posts over real HTTP
 * are answered 429 with Retry-After before memory grows, nothing of them is stored, and when there
 * is room again they come in. The server runs in this process, on a real disk whose syncs a test
 * can hold up. */
#include "app/scratch.h"
#include "base/memory.h"
#include "base/test.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "log/record.h"
#include "serve/server.h"
#include "tests/real_client.h"
#include "tests/real_server.h" /* pause_ms */

enum {
    CLIENTS = 24,
    POSTS = 6, /* a client, while the disk stands still */
    BODY_EVENTS = 2000,
    GROWTH_MAX = 192 << 20, /* of resident memory: what the queue and the connections may hold, and
                               what a sanitizer keeps of memory that was given back */
};

/* --- a disk that can stand still --- */

static struct mutex gate;
static struct condition opened;
static bool stalled;
static struct disk_calls slow_calls;
static struct disk slow_disk;

static leat_status slow_sync(struct file *file, leat_error *err) {
    mutex_lock(&gate);
    while (stalled) {
        condition_wait(&opened, &gate);
    }
    mutex_unlock(&gate);
    return disk_real()->calls->sync(file, err);
}

static void stall(bool on) {
    mutex_lock(&gate);
    stalled = on;
    condition_broadcast(&opened);
    mutex_unlock(&gate);
}

/* --- a server in this process --- */

struct house {
    char folder[CONFIG_TEXT_MAX];
    struct config *config;
    struct metrics *metrics;
    struct engine *engine;
    struct server *server;
    char address[SERVER_ADDRESS_MAX];
};

static void house_open(struct house *house, const char *keys, bool inline_mode) {
    char text[1024];
    leat_error err = {.message = ""};
    assert_int_equal(scratch_make(NULL, house->folder, &err), LEAT_OK);
    snprintf(text, sizeof(text), "data: %s\nlisten: 127.0.0.1:0\n%s", house->folder, keys);
    assert_int_equal(config_parse(slice_of(text), "busy", &house->config, &err), LEAT_OK);
    house->metrics = metrics_create();
    struct engine_options options = {.config = house->config,
                                     .disk = &slow_disk,
                                     .inline_mode = inline_mode,
                                     .append_wait_ms = 200,
                                     .metrics = house->metrics};
    if (engine_open(&options, &house->engine, NULL, &err) < 0 ||
        server_start(house->engine, house->config, house->metrics, &house->server, &err) < 0) {
        fail_msg("%s", err.message);
    }
    server_address(house->server, house->address);
}

static void house_close(struct house *house) {
    server_stop(house->server);
    engine_abandon(house->engine);
    metrics_destroy(house->metrics);
    config_destroy(house->config);
    assert_int_equal(scratch_remove(house->folder, NULL), LEAT_OK);
}

/* --- clients --- */

struct poster {
    struct thread thread;
    struct real_client client;
    int number;
    int64_t accepted;       /* events */
    int busy;               /* answers of 429 */
    int wrong;              /* answers that are neither */
    curl_off_t retry_after; /* of the last answer; 0: none was said */
};

static void poster_init(struct poster *poster, const struct house *house, int number) {
    *poster = (struct poster){.number = number};
    real_client_init(&poster->client, house->address);
}

/* One body whose events have ids of their own. */
static void poster_post(struct poster *poster, int post) {
    struct bytes body;
    bytes_init(&body);
    for (int i = 0; i < BODY_EVENTS; i++) {
        bytes_printf(&body,
                     "{\"kind\":\"click\",\"user\":\"u%d\",\"item\":\"i%d\",\"id\":\"%d-%d-%d\"}\n",
                     i % 100, i % 50, poster->number, post, i);
    }
    real_client_post(&poster->client, (struct slice){(char *)body.data, body.size});
    bytes_deinit(&body);
    curl_easy_getinfo(poster->client.curl, CURLINFO_RETRY_AFTER, &poster->retry_after);
    if (poster->client.status == 200) {
        poster->accepted += real_client_number(&poster->client, "accepted");
    } else if (poster->client.status == 429 && poster->retry_after >= 1 &&
               poster->retry_after <= 60 && real_client_true(&poster->client, "retry") &&
               strstr(poster->client.type, "application/problem+json")) {
        poster->busy++;
    } else {
        poster->wrong++;
    }
}

static void *poster_run(void *context) {
    struct poster *poster = context;
    for (int post = 0; post < POSTS; post++) {
        poster_post(poster, post);
    }
    return NULL;
}

static int64_t log_events(struct house *house) {
    struct log *log = engine_log(house->engine);
    struct log_reader *reader;
    struct log_entry entry;
    int64_t events = 0;
    assert_int_equal(log_reader_open(log, 0, &reader, NULL), LEAT_OK);
    while (log_read(reader, &entry, NULL) == LEAT_OK) {
        events += entry.batch.schema->id == SCHEMA_EVENT ? entry.batch.rows : 0;
    }
    log_reader_close(reader);
    return events;
}

/* --- the cases --- */

static void a_disk_that_stands_still(void **state) {
    (void)state;
    static struct house house;
    static struct poster posters[CLIENTS];
    house_open(&house, "log: {queue: 1MiB, heartbeat: 1h}\n", false);
    uint64_t resident = memory_resident();
    stall(true);
    for (int i = 0; i < CLIENTS; i++) {
        poster_init(&posters[i], &house, i);
        assert_int_equal(thread_start(&posters[i].thread, "poster", poster_run, &posters[i], NULL),
                         LEAT_OK);
    }
    /* Those whose rows are queued wait for the disk; the others are told to come again. */
    uint64_t end_ns = clock_monotonic_ns() + 20000000000u;
    while (metrics_value(house.metrics, METRIC_posts_busy_total) < CLIENTS &&
           clock_monotonic_ns() < end_ns) {
        pause_ms(10);
    }
    uint64_t grown = memory_resident();
    double refused = metrics_value(house.metrics, METRIC_posts_busy_total);
    stall(false);
    int64_t accepted = 0;
    int busy = 0;
    for (int i = 0; i < CLIENTS; i++) {
        thread_join(&posters[i].thread);
        accepted += posters[i].accepted;
        busy += posters[i].busy;
        assert_int_equal(posters[i].wrong, 0);
    }
    assert_true(grown < resident + GROWTH_MAX);
    assert_true(refused >= CLIENTS && busy >= CLIENTS && accepted > 0);
    assert_int_equal(log_events(&house), accepted);
    poster_post(&posters[0], POSTS); /* and now there is room */
    assert_int_equal(posters[0].client.status, 200);
    for (int i = 0; i < CLIENTS; i++) {
        real_client_deinit(&posters[i].client);
    }
    house_close(&house);
}

static void operators_that_lie_behind(void **state) {
    (void)state;
    static struct house house;
    static struct poster poster;
    house_open(&house, "log: {behind: 3000}\n", true);
    poster_init(&poster, &house, 0);
    poster_post(&poster, 0);
    poster_post(&poster, 1);
    assert_int_equal(poster.accepted, 2 * BODY_EVENTS);
    poster_post(&poster, 2);
    assert_int_equal(poster.client.status, 429);
    assert_int_equal(poster.busy, 1);
    char detail[256];
    real_client_text(&poster.client, "detail", detail, sizeof(detail));
    assert_non_null(strstr(detail, "4000 rows behind the log, at most 3000"));
    assert_non_null(strstr(detail, "log.behind"));
    assert_int_equal(log_events(&house), poster.accepted);
    assert_true(real_client_get(&poster.client, "/v1/feed?user=u1&preview=1")); /* still served */
    assert_int_equal(poster.client.status, 200);
    assert_int_equal(engine_run(house.engine, UINT64_MAX, NULL), LEAT_OK);
    poster_post(&poster, 3);
    assert_int_equal(poster.client.status, 200);
    real_client_deinit(&poster.client);
    house_close(&house);
}

int main(void) {
    mutex_init(&gate);
    condition_init(&opened);
    slow_calls = *disk_real()->calls;
    slow_calls.sync = slow_sync;
    slow_disk = (struct disk){&slow_calls, NULL};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_stands_still),
        cmocka_unit_test(operators_that_lie_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
