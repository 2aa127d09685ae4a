/* `feed`: pages asked for over HTTP at a fixed rate while events arrive. Open loop: a request's
 * time counts from when it was due, so that one slow answer cannot hide those that wait behind it.
 */
#include "app/bench.h"
#include "base/hash.h"
#include "base/memory.h"
#include "engine/intake.h"
#include "world/client.h"

#include <inttypes.h>

enum {
    ITEMS = 100000,
    AUTHORS = 5000,
    CATEGORIES = 50,
    USERS = 2000,
    HISTORY = 20, /* clicks of each */
    LOAD_EVENTS = 1000,
    PAGE = 20,
    REQUESTS_PER_S = 200,
    EVENTS_PER_S = 5000,
    POST_EVENTS = 100,
    SECONDS = 10,
    RUN_REQUESTS = REQUESTS_PER_S * SECONDS,
    RUN_POSTS = EVENTS_PER_S / POST_EVENTS * SECONDS,
    ASKERS = 8,
    READY_MS = 120000,
};
#define SECOND_NS 1000000000u

struct feed_bench {
    struct bench_house house;
    int run; /* 0 warms up */
    uint64_t begun_ns;
    _Atomic int asked;
    uint64_t latency_ns[(BENCH_RUNS + 1) * RUN_REQUESTS];
};

/* --- what is known before --- */

static leat_status load_text(struct feed_bench *bench, struct intake *intake, struct bytes *text,
                             leat_error *err) {
    TRY(bytes_status(text, err));
    struct intake_result result;
    TRY(intake_read(intake, (struct slice){(const char *)text->data, text->size}, &result, err));
    if (result.rejected > 0) {
        return error_set(err, LEAT_INVALID, "%s", result.rejections[0].words);
    }
    bytes_clear(text);
    return engine_append(bench->house.engine, &result.batch, NULL, err);
}

static leat_status load_items(struct feed_bench *bench, struct intake *intake, struct bytes *text,
                              leat_error *err) {
    for (int i = 0; i < ITEMS; i++) {
        uint64_t draw = hash_mix(7, (uint64_t)i);
        bytes_printf(text,
                     "{\"kind\":\"item\",\"item\":\"i%06d\",\"author\":\"a%d\",\"categories\":"
                     "[\"c%d\"]}\n",
                     i, (int)(draw % AUTHORS), (int)(draw / AUTHORS % CATEGORIES));
        if ((i + 1) % LOAD_EVENTS == 0) {
            TRY(load_text(bench, intake, text, err));
        }
    }
    return LEAT_OK;
}

static leat_status load_all(struct feed_bench *bench, struct intake *intake, struct bytes *text,
                            leat_error *err) {
    TRY(load_items(bench, intake, text, err));
    for (uint64_t i = 0; i < USERS * HISTORY / LOAD_EVENTS; i++) {
        bench_clicks(text, i, LOAD_EVENTS, USERS, ITEMS, -1);
        TRY(load_text(bench, intake, text, err));
    }
    struct engine *engine = bench->house.engine;
    if (!engine_wait(engine, engine_end(engine), true, READY_MS)) {
        return error_set(err, LEAT_IO, "the items were not learnt within %d s", READY_MS / 1000);
    }
    return LEAT_OK;
}

static leat_status load(struct feed_bench *bench, leat_error *err) {
    struct intake *intake;
    struct bytes text;
    TRY(intake_create(bench->house.config, &intake, err));
    bytes_init(&text);
    leat_status status = load_all(bench, intake, &text, err);
    bytes_deinit(&text);
    intake_destroy(intake);
    return status;
}

/* --- a run --- */

static leat_status ask_page(struct feed_bench *bench, struct client *client, int number,
                            leat_error *err) {
    char path[128];
    struct slice page;
    uint64_t due_ns = bench->begun_ns + (uint64_t)number * (SECOND_NS / REQUESTS_PER_S);
    uint64_t user = hash_mix((uint64_t)bench->run, (uint64_t)number) % USERS;
    snprintf(path, sizeof(path), "/v1/feed?user=u%06" PRIu64 "&surface=for_you&n=%d", user, PAGE);
    bench_sleep_until(due_ns);
    TRY(client_get(client, path, &page, err));
    bench->latency_ns[bench->run * RUN_REQUESTS + number] = clock_monotonic_ns() - due_ns;
    return LEAT_OK;
}

static leat_status ask_pages(struct bench_worker *worker, leat_error *err) {
    struct feed_bench *bench = worker->shared;
    struct client *client;
    TRY(client_create(bench->house.address, &client, err));
    leat_status status = LEAT_OK;
    while (status == LEAT_OK) {
        int number = atomic_fetch_add(&bench->asked, 1);
        if (number >= RUN_REQUESTS) {
            break;
        }
        status = ask_page(bench, client, number, err);
    }
    client_destroy(client);
    return status;
}

static leat_status post_clicks(struct feed_bench *bench, struct client *client, struct bytes *text,
                               leat_error *err) {
    for (int i = 0; i < RUN_POSTS; i++) {
        bytes_clear(text);
        bench_clicks(text, (uint64_t)(bench->run * RUN_POSTS + i) + 1000000, POST_EVENTS, USERS,
                     ITEMS, -1);
        TRY(bytes_status(text, err));
        bench_sleep_until(bench->begun_ns + (uint64_t)i * (SECOND_NS / EVENTS_PER_S * POST_EVENTS));
        struct slice body = {(const char *)text->data, text->size};
        TRY(client_post_events(client, body, NULL, NULL, err));
    }
    return LEAT_OK;
}

static leat_status post_events(struct bench_worker *worker, leat_error *err) {
    struct feed_bench *bench = worker->shared;
    struct client *client;
    struct bytes text;
    TRY(client_create(bench->house.address, &client, err));
    bytes_init(&text);
    leat_status status = post_clicks(bench, client, &text, err);
    bytes_deinit(&text);
    client_destroy(client);
    return status;
}

static leat_status run_once(struct feed_bench *bench, leat_error *err) {
    struct bench_worker workers[ASKERS + 1];
    for (int i = 0; i < ASKERS; i++) {
        workers[i] = (struct bench_worker){.run = ask_pages, .shared = bench, .index = i};
    }
    workers[ASKERS] = (struct bench_worker){.run = post_events, .shared = bench, .index = ASKERS};
    bench->asked = 0;
    bench->begun_ns = clock_monotonic_ns() + SECOND_NS / 10;
    return bench_work(workers, ASKERS + 1, err);
}

/* --- results --- */

static void print_latencies(const struct bench_options *options, struct feed_bench *bench) {
    uint64_t *latency_ns = bench->latency_ns + RUN_REQUESTS;
    int count = BENCH_RUNS * RUN_REQUESTS;
    qsort(latency_ns, (size_t)count, sizeof(*latency_ns), bench_compare_u64);
    printf(options->json
               ? "{\"name\":\"feed\",\"unit\":\"ms\",\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
                 "\"max_ms\":%.3f,\"requests\":%d,\"runs\":%d,\"requests_per_s\":%d,"
                 "\"events_per_s\":%d,\"items\":%d}\n"
               : "feed         ms: p50 %.3f, p99 %.3f, max %.3f of %d requests in %d runs, %d "
                 "requests/s while %d events/s arrive, %d items\n",
           (double)latency_ns[count / 2] * 1e-6, (double)latency_ns[count * 99 / 100] * 1e-6,
           (double)latency_ns[count - 1] * 1e-6, count, BENCH_RUNS, REQUESTS_PER_S, EVENTS_PER_S,
           ITEMS);
    fflush(stdout);
}

static leat_status run_all(struct feed_bench *bench, leat_error *err) {
    TRY(load(bench, err));
    for (bench->run = 0; bench->run <= BENCH_RUNS; bench->run++) {
        TRY(run_once(bench, err));
    }
    return LEAT_OK;
}

leat_status bench_feed(const struct bench_options *options, leat_error *err) {
    struct feed_bench *bench = memory_zalloc(sizeof(*bench));
    if (!bench) {
        return error_memory(err, sizeof(*bench));
    }
    leat_status status = bench_house_open(options, true, &bench->house, err);
    if (status == LEAT_OK) {
        status = run_all(bench, err);
    }
    status = bench_house_close(&bench->house, status, err);
    if (status == LEAT_OK) {
        print_latencies(options, bench);
    }
    memory_free(bench);
    return status;
}
