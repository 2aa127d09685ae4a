/* `ingest`: posted bytes -> parsed -> in the log on disk, by concurrent callers, while flow,
 * trainer and checkpoints run behind as in the server. `ingest-http`: the same through the server.
 */
#include "app/bench.h"
#include "base/memory.h"
#include "engine/intake.h"
#include "world/client.h"

enum {
    CALLERS = 4,
    BODIES = 64,
    BODY_EVENTS = 1000,
    RUN_BODIES = 1000,
    USERS = 100000,
    ITEMS = 100000,
};

struct ingest {
    struct bench_house house;
    struct bytes bodies[BODIES];
    _Atomic int taken; /* bodies of this run */
    leat_status (*caller)(struct bench_worker *worker, leat_error *err);
    double rate;
    double cpu_per_event_us;
};

/* False when the run has enough. */
static bool take_body(struct ingest *ingest, struct slice *out) {
    int number = atomic_fetch_add(&ingest->taken, 1);
    const struct bytes *body = &ingest->bodies[number % BODIES];
    *out = (struct slice){(const char *)body->data, body->size};
    return number < RUN_BODIES;
}

static leat_status call_engine(struct bench_worker *worker, leat_error *err) {
    struct ingest *ingest = worker->shared;
    struct intake *intake;
    struct slice body;
    leat_status status = LEAT_OK;
    TRY(intake_create(ingest->house.config, &intake, err));
    while (status == LEAT_OK && take_body(ingest, &body)) {
        struct intake_result result;
        status = intake_read(intake, body, &result, err);
        if (status == LEAT_OK && result.rejected > 0) {
            status = error_set(err, LEAT_INVALID, "%s", result.rejections[0].words);
        }
        if (status == LEAT_OK) {
            status = engine_append(ingest->house.engine, &result.batch, NULL, err);
        }
    }
    intake_destroy(intake);
    return status;
}

static leat_status call_server(struct bench_worker *worker, leat_error *err) {
    struct ingest *ingest = worker->shared;
    struct client *client;
    struct slice body;
    leat_status status = LEAT_OK;
    TRY(client_create(ingest->house.address, &client, err));
    while (status == LEAT_OK && take_body(ingest, &body)) {
        status = client_post_events(client, body, NULL, NULL, err);
    }
    client_destroy(client);
    return status;
}

/* The ingest path's CPU is the callers' and the log writer's. */
static leat_status measure(struct ingest *ingest, leat_error *err) {
    struct bench_worker workers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        workers[i] = (struct bench_worker){.run = ingest->caller, .shared = ingest, .index = i};
    }
    ingest->taken = 0;
    uint64_t cpu_ns = bench_cpu_ns("log writer");
    uint64_t begun_ns = clock_monotonic_ns();
    TRY(bench_work(workers, CALLERS, err));
    uint64_t ended_ns = clock_monotonic_ns();
    cpu_ns = bench_cpu_ns("log writer") - cpu_ns;
    for (int i = 0; i < CALLERS; i++) {
        cpu_ns += workers[i].cpu_ns;
    }
    double events = (double)RUN_BODIES * BODY_EVENTS;
    ingest->rate = events / ((double)(ended_ns - begun_ns) * 1e-9);
    ingest->cpu_per_event_us = (double)cpu_ns * 1e-3 / events;
    return LEAT_OK;
}

/* Every run has a new engine, so that no run works off what another left behind. */
static leat_status run_once(const struct bench_options *options, struct ingest *ingest,
                            leat_error *err) {
    bool serve = ingest->caller == call_server;
    leat_status status = bench_house_open(options, serve, &ingest->house, err);
    if (status == LEAT_OK) {
        status = measure(ingest, err);
    }
    return bench_house_close(&ingest->house, status, err);
}

static leat_status run_all(const struct bench_options *options, struct ingest *ingest,
                           struct bench_runs *runs, leat_error *err) {
    size_t bytes = 0;
    int64_t now_ms = clock_now_ms(clock_wall());
    for (int i = 0; i < BODIES; i++) {
        bench_clicks(&ingest->bodies[i], (uint64_t)i + 1, BODY_EVENTS, USERS, ITEMS, now_ms);
        TRY(bytes_status(&ingest->bodies[i], err));
        bytes += ingest->bodies[i].size;
    }
    TRY(run_once(options, ingest, err)); /* to warm up */
    double cpu_us = 0;
    while (runs->count < BENCH_RUNS) {
        TRY(run_once(options, ingest, err));
        runs->values[runs->count++] = ingest->rate;
        cpu_us += ingest->cpu_per_event_us / BENCH_RUNS;
    }
    char more[128];
    int size = snprintf(more, sizeof(more), ",\"event_bytes\":%.0f,\"callers\":%d",
                        (double)bytes / (BODIES * BODY_EVENTS), CALLERS);
    if (ingest->caller == call_engine) { /* a client's CPU would be counted with it */
        snprintf(more + size, sizeof(more) - (size_t)size, ",\"cpu_per_event_us\":%.3f", cpu_us);
    }
    bench_print_runs(options, runs, more);
    return LEAT_OK;
}

static leat_status bench_path(const struct bench_options *options, const char *name,
                              leat_status (*caller)(struct bench_worker *worker, leat_error *err),
                              leat_error *err) {
    struct ingest *ingest = memory_zalloc(sizeof(*ingest));
    if (!ingest) {
        return error_memory(err, sizeof(*ingest));
    }
    for (int i = 0; i < BODIES; i++) {
        bytes_init(&ingest->bodies[i]);
    }
    ingest->caller = caller;
    struct bench_runs runs = {.name = name, .unit = "events/s"};
    leat_status status = run_all(options, ingest, &runs, err);
    for (int i = 0; i < BODIES; i++) {
        bytes_deinit(&ingest->bodies[i]);
    }
    memory_free(ingest);
    return status;
}

leat_status bench_ingest(const struct bench_options *options, leat_error *err) {
    return bench_path(options, "ingest", call_engine, err);
}

leat_status bench_ingest_http(const struct bench_options *options, leat_error *err) {
    return bench_path(options, "ingest-http", call_server, err);
}
