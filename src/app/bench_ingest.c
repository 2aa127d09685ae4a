/* `ingest`: posted bytes -> parsed -> in the log on disk, by concurrent callers, while flow,
 * trainer and checkpoints run behind as in the server. `ingest/log`: the same into a log alone;
 * with `ingest/append` the bodies are parsed before. Beside the rate: what it costs (CPU of the
 * callers' parsing and appending, and of the log's writer), how long a commit waits, and the time
 * that a plain write of the same bytes with as many syncs takes in the same folder, and how long a
 * hundredth of those syncs takes at least: no commit can be quicker than the disk. `ingest-http`:
 * through the server, the client's CPU included.
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

/* What one run measured; sums over runs after. */
struct ingest_cost {
    double parse_ns, append_ns, writer_ns; /* CPU, an event */
    double commit_p99_ms;
    double event_bytes;  /* in the log */
    double plain_ratio;  /* time of the plain write to time of the run */
    double plain_rate;   /* of the plain write, bytes/s */
    double plain_p99_ms; /* of one write and its sync */
    double syncs;
};

struct ingest {
    struct bench_house house;
    struct log *log; /* alone: `ingest/log`; or the engine's */
    struct bytes bodies[BODIES];
    _Atomic int taken;         /* bodies of this run */
    _Atomic uint64_t parse_ns; /* of this run */
    leat_status (*caller)(struct bench_worker *worker, leat_error *err);
    bool log_alone;
    struct intake *parsed[BODIES]; /* `ingest/append`: who holds the batches; else NULL */
    struct batch batches[BODIES];
    double rate;
    struct ingest_cost cost;
};

/* False when the run has enough. */
static bool take_body(struct ingest *ingest, struct slice *out) {
    int number = atomic_fetch_add(&ingest->taken, 1);
    const struct bytes *body = &ingest->bodies[number % BODIES];
    *out = (struct slice){(const char *)body->data, body->size};
    return number < RUN_BODIES;
}

static leat_status append_body(struct ingest *ingest, struct intake *intake, struct slice body,
                               leat_error *err) {
    struct intake_result result;
    uint64_t begun_ns = clock_thread_cpu_ns();
    TRY(intake_read(intake, body, &result, err));
    atomic_fetch_add(&ingest->parse_ns, clock_thread_cpu_ns() - begun_ns);
    if (result.rejected > 0) {
        return error_set(err, LEAT_INVALID, "%s", result.rejections[0].words);
    }
    return log_append(ingest->log, &result.batch, 1, NULL, err);
}

static leat_status call_engine(struct bench_worker *worker, leat_error *err) {
    struct ingest *ingest = worker->shared;
    struct intake *intake;
    struct slice body;
    leat_status status = LEAT_OK;
    TRY(intake_create(ingest->house.config, &intake, err));
    while (status == LEAT_OK && take_body(ingest, &body)) {
        status = append_body(ingest, intake, body, err);
    }
    intake_destroy(intake);
    return status;
}

/* `ingest/append`: what was parsed before. */
static leat_status call_log(struct bench_worker *worker, leat_error *err) {
    struct ingest *ingest = worker->shared;
    leat_status status = LEAT_OK;
    int number;
    while (status == LEAT_OK && (number = atomic_fetch_add(&ingest->taken, 1)) < RUN_BODIES) {
        status = log_append(ingest->log, &ingest->batches[number % BODIES], 1, NULL, err);
    }
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

/* The same bytes, cut into as many writes as there were syncs, each of them synced. */
static leat_status plain_write(struct ingest *ingest, uint64_t bytes, uint64_t syncs,
                               struct ingest_cost *cost, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct file *file = NULL;
    struct histogram waits;
    histogram_init(&waits);
    size_t piece = (size_t)(bytes / (syncs > 0 ? syncs : 1) + 1);
    void *data = memory_zalloc(piece);
    if (!data) {
        return error_memory(err, piece);
    }
    leat_status status = path_join(path, ingest->house.folder, "plain", err);
    if (status == LEAT_OK) {
        status = file_open(disk_real(), path, FILE_WRITE, &file, err);
    }
    uint64_t begun_ns = clock_monotonic_ns();
    for (uint64_t at = 0; status == LEAT_OK && at < bytes; at += piece) {
        uint64_t sync_ns = clock_monotonic_ns();
        status = file_write(file, data, piece, at, err);
        if (status == LEAT_OK) {
            status = file_sync(file, err);
        }
        histogram_record(&waits, clock_monotonic_ns() - sync_ns);
    }
    cost->plain_rate = (double)bytes / ((double)(clock_monotonic_ns() - begun_ns) * 1e-9);
    cost->plain_p99_ms = (double)histogram_quantile(&waits, 0.99) * 1e-6;
    file_close(file);
    memory_free(data);
    return status;
}

/* The ingest path's CPU is the callers' and the log writer's. */
static leat_status measure(struct ingest *ingest, leat_error *err) {
    struct bench_worker workers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        workers[i] = (struct bench_worker){.run = ingest->caller, .shared = ingest, .index = i};
    }
    ingest->taken = 0;
    ingest->parse_ns = 0;
    uint64_t writer_ns = bench_cpu_ns("log writer");
    uint64_t begun_ns = clock_monotonic_ns();
    TRY(bench_work(workers, CALLERS, err));
    double seconds = (double)(clock_monotonic_ns() - begun_ns) * 1e-9;
    writer_ns = bench_cpu_ns("log writer") - writer_ns;
    double events = (double)RUN_BODIES * BODY_EVENTS;
    ingest->rate = events / seconds;
    if (ingest->caller == call_server) {
        return LEAT_OK;
    }
    uint64_t caller_ns = 0;
    for (int i = 0; i < CALLERS; i++) {
        caller_ns += workers[i].cpu_ns;
    }
    struct metrics *metrics = ingest->house.metrics;
    double bytes = metrics_value(metrics, METRIC_log_bytes_total);
    uint64_t syncs = histogram_count(metrics_summary(metrics, METRIC_sync_seconds));
    ingest->cost = (struct ingest_cost){
        .parse_ns = (double)ingest->parse_ns / events,
        .append_ns = (double)(caller_ns - ingest->parse_ns) / events,
        .writer_ns = (double)writer_ns / events,
        .commit_p99_ms =
            (double)histogram_quantile(metrics_summary(metrics, METRIC_append_seconds), 0.99) *
            1e-6,
        .event_bytes = bytes / events,
        .syncs = (double)syncs,
    };
    TRY(plain_write(ingest, (uint64_t)bytes, syncs, &ingest->cost, err));
    ingest->cost.plain_ratio = bytes / ingest->cost.plain_rate / seconds;
    return LEAT_OK;
}

/* A log alone, set up as the engine's. */
static leat_status log_alone_open(struct ingest *ingest, leat_error *err) {
    const struct config_log *config = &ingest->house.config->log;
    struct log_options options = {.disk = disk_real(),
                                  .clock = clock_wall(),
                                  .sync = true,
                                  .segment_bytes = (uint64_t)config->segment,
                                  .queue_bytes = (uint64_t)config->queue,
                                  .oldest_ms = config->oldest,
                                  .skew_ms = config->skew,
                                  .metrics = ingest->house.metrics};
    engine_abandon(ingest->house.engine); /* of the house, its folder and configuration are used */
    ingest->house.engine = NULL;
    char folder[PATH_BYTES_MAX];
    TRY(path_join(folder, ingest->house.folder, "alone", err));
    options.folder = folder; /* copied */
    return log_open(&options, &ingest->log, NULL, err);
}

/* Every run has a new engine, so that no run works off what another left behind. */
static leat_status run_once(const struct bench_options *options, struct ingest *ingest,
                            leat_error *err) {
    bool serve = ingest->caller == call_server;
    leat_status status = bench_house_open(options, serve, &ingest->house, err);
    if (status == LEAT_OK) {
        ingest->log = engine_log(ingest->house.engine);
    }
    if (status == LEAT_OK && ingest->log_alone) {
        status = log_alone_open(ingest, err);
    }
    if (status == LEAT_OK) {
        status = measure(ingest, err);
    }
    if (ingest->log_alone) {
        log_close(ingest->log);
    }
    ingest->log = NULL;
    return bench_house_close(&ingest->house, status, err);
}

static void cost_add(struct ingest_cost *sum, const struct ingest_cost *cost) {
    sum->parse_ns += cost->parse_ns / BENCH_RUNS;
    sum->append_ns += cost->append_ns / BENCH_RUNS;
    sum->writer_ns += cost->writer_ns / BENCH_RUNS;
    sum->commit_p99_ms += cost->commit_p99_ms / BENCH_RUNS;
    sum->event_bytes += cost->event_bytes / BENCH_RUNS;
    sum->plain_ratio += cost->plain_ratio / BENCH_RUNS;
    sum->plain_rate += cost->plain_rate / BENCH_RUNS;
    sum->plain_p99_ms += cost->plain_p99_ms / BENCH_RUNS;
    sum->syncs += cost->syncs / BENCH_RUNS;
}

static void cost_write(const struct ingest_cost *cost, char *out, size_t size) {
    double cpu_ns = cost->parse_ns + cost->append_ns + cost->writer_ns;
    snprintf(out, size,
             ",\"cpu_ns_per_event\":%.0f,\"parse_ns\":%.0f,\"append_ns\":%.0f,\"writer_ns\":%.0f"
             ",\"events_per_core\":%.0f,\"commit_p99_ms\":%.2f,\"log_event_bytes\":%.0f"
             ",\"syncs\":%.0f,\"plain_bytes_per_s\":%.0f,\"plain_p99_ms\":%.2f"
             ",\"plain_ratio\":%.2f",
             cpu_ns, cost->parse_ns, cost->append_ns, cost->writer_ns, 1e9 / cpu_ns,
             cost->commit_p99_ms, cost->event_bytes, cost->syncs, cost->plain_rate,
             cost->plain_p99_ms, cost->plain_ratio);
}

static leat_status parse_bodies(struct ingest *ingest, leat_error *err) {
    struct config *config;
    TRY(config_parse(slice_of(""), "bench", &config, err));
    leat_status status = LEAT_OK;
    for (int i = 0; i < BODIES && status == LEAT_OK; i++) {
        struct intake_result result;
        struct slice body = {(const char *)ingest->bodies[i].data, ingest->bodies[i].size};
        status = intake_create(config, &ingest->parsed[i], err);
        if (status == LEAT_OK) {
            status = intake_read(ingest->parsed[i], body, &result, err);
        }
        if (status == LEAT_OK) {
            ingest->batches[i] = result.batch;
        }
    }
    config_destroy(config);
    return status;
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
    if (ingest->caller == call_log) {
        TRY(parse_bodies(ingest, err));
    }
    TRY(run_once(options, ingest, err)); /* to warm up */
    struct ingest_cost mean = {.parse_ns = 0};
    while (runs->count < BENCH_RUNS) {
        TRY(run_once(options, ingest, err));
        runs->values[runs->count++] = ingest->rate;
        cost_add(&mean, &ingest->cost);
    }
    char more[512];
    int size = snprintf(more, sizeof(more), ",\"event_bytes\":%.0f,\"callers\":%d",
                        (double)bytes / (BODIES * BODY_EVENTS), CALLERS);
    if (ingest->caller != call_server) { /* a client's CPU would be counted with it */
        cost_write(&mean, more + size, sizeof(more) - (size_t)size);
    }
    bench_print_runs(options, runs, more);
    return LEAT_OK;
}

static leat_status bench_path(const struct bench_options *options, const char *name, bool log_alone,
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
    ingest->log_alone = log_alone;
    struct bench_runs runs = {.name = name, .unit = "events/s"};
    leat_status status = run_all(options, ingest, &runs, err);
    for (int i = 0; i < BODIES; i++) {
        bytes_deinit(&ingest->bodies[i]);
        intake_destroy(ingest->parsed[i]);
    }
    memory_free(ingest);
    return status;
}

leat_status bench_ingest(const struct bench_options *options, leat_error *err) {
    TRY(bench_path(options, "ingest", false, call_engine, err));
    TRY(bench_path(options, "ingest/log", true, call_engine, err));
    return bench_path(options, "ingest/append", true, call_log, err);
}

leat_status bench_ingest_http(const struct bench_options *options, leat_error *err) {
    return bench_path(options, "ingest-http", false, call_server, err);
}
