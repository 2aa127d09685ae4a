/* `pipeline`: the whole flow of the Globo replay without feeds. Rows as the log holds them are
 * decoded, every operator takes them, every example gets all its features and goes to a sink that
 * hashes it; nothing is learnt. The stream is played once a thread count: its first sixth warms up,
 * each of the next five is a run. Without the data a click log of the same shape is made up. */
#include "app/bench.h"
#include "app/click_rows.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/pool.h"
#include "column/builder.h"
#include "flow/flow.h"
#include "log/record.h"

#include <inttypes.h>

enum {
    FRAME_ROWS = 1024, /* as in the replay's appends */
};

struct sink {
    uint64_t examples, positives, hash;
};

struct pipeline {
    const struct bench_options *options;
    struct config *config;
    struct click_rows rows;
    struct builder *builder;
    struct pool *pool;
    struct flow *flow;
    struct sink sink;
    uint64_t sequence;
    uint64_t cpu_ns; /* of flow_apply, in the calling thread */
};

/* --- playing --- */

static void sink_take(void *context, const struct example *example) {
    struct sink *sink = context;
    uint64_t keys = hash_bytes(example->keys, (size_t)example->key_count * sizeof(uint64_t));
    uint64_t dense = hash_bytes(example->dense, (size_t)example->dense_count * sizeof(float));
    uint32_t log_odds;
    memcpy(&log_odds, &example->log_odds, sizeof(log_odds));
    sink->hash = hash_mix(sink->hash ^ keys, dense ^ log_odds);
    sink->hash = hash_mix(sink->hash, example->sequence ^ (uint64_t)example->labels << 60);
    sink->examples++;
    sink->positives += example->labels;
}

/* Plays clicks [from, to); building the rows is no part of what is measured. */
static leat_status play(struct pipeline *p, size_t from, size_t to, double *clicks_per_s,
                        leat_error *err) {
    uint64_t spent_ns = 0;
    for (size_t at = from; at < to; at += FRAME_ROWS) {
        size_t end = at + FRAME_ROWS < to ? at + FRAME_ROWS : to;
        builder_clear(p->builder);
        for (size_t i = at; i < end; i++) {
            TRY(click_rows_add(&p->rows, i, p->config, p->builder, err));
        }
        struct batch batch;
        TRY(builder_finish(p->builder, &batch, err));
        uint64_t cpu_ns = clock_thread_cpu_ns();
        uint64_t begun_ns = clock_monotonic_ns();
        TRY(flow_apply(p->flow, &batch, p->sequence, 0, true, 0, (int64_t)(end - at), err));
        spent_ns += clock_monotonic_ns() - begun_ns;
        p->cpu_ns += clock_thread_cpu_ns() - cpu_ns;
        p->sequence += end - at;
    }
    *clicks_per_s = (double)(to - from) / ((double)spent_ns * 1e-9);
    return LEAT_OK;
}

static int phases_text(const struct flow_times *before, const struct flow_times *after, char *out,
                       size_t size) {
    uint64_t sum = 0;
    for (int i = 0; i < FLOW_PHASES; i++) {
        sum += after->ns[i] - before->ns[i];
    }
    int used = snprintf(out, size, ",\"phases\":{");
    for (int i = 0; i < FLOW_PHASES; i++) {
        double share = sum ? (double)(after->ns[i] - before->ns[i]) / (double)sum : 0;
        used += snprintf(out + used, size - (size_t)used, "%s\"%s\":%.3f", i ? "," : "",
                         flow_phase_name(i), share);
    }
    return used + snprintf(out + used, size - (size_t)used, "}");
}

static leat_status play_all(struct pipeline *p, int threads, leat_error *err) {
    char name[32];
    snprintf(name, sizeof(name), "pipeline/threads=%d", threads);
    struct bench_runs runs = {.name = name, .unit = "clicks/s"};
    size_t stretch = p->rows.clicks.count / (BENCH_RUNS + 1);
    double warm;
    TRY(play(p, 0, stretch, &warm, err));
    struct flow_times before = flow_times(p->flow);
    uint64_t examples = p->sink.examples;
    uint64_t cpu_ns = p->cpu_ns + bench_cpu_ns("leat-pool");
    for (int run = 0; run < BENCH_RUNS; run++) {
        size_t from = stretch * (size_t)(run + 1);
        TRY(play(p, from, from + stretch, &runs.values[runs.count++], err));
    }
    struct flow_times after = flow_times(p->flow);
    cpu_ns = p->cpu_ns + bench_cpu_ns("leat-pool") - cpu_ns;
    double per_click = (double)(p->sink.examples - examples) / (double)(stretch * BENCH_RUNS);
    double mean = 0;
    for (int run = 0; run < BENCH_RUNS; run++) {
        mean += runs.values[run] / BENCH_RUNS;
    }
    char more[1024];
    int size =
        snprintf(more, sizeof(more),
                 ",\"clicks\":\"%s\",\"items\":%zu,\"examples_per_click\":%.2f,"
                 "\"examples_per_s\":%.0f,\"cpu_us_per_click\":%.2f,"
                 "\"hash\":\"%016" PRIx64 "\"",
                 click_rows_name(&p->rows), p->rows.clicks.count, per_click, per_click * mean,
                 (double)cpu_ns * 1e-3 / (double)(stretch * BENCH_RUNS), p->sink.hash);
    phases_text(&before, &after, more + size, sizeof(more) - (size_t)size);
    bench_print_runs(p->options, &runs, more);
    return LEAT_OK;
}

static leat_status play_with(struct pipeline *p, int threads, leat_error *err) {
    p->sink = (struct sink){0};
    p->sequence = 0;
    p->flow = NULL;
    p->pool = NULL;
    TRY(pool_create(threads, &p->pool, err));
    struct flow_options options = {.config = p->config,
                                   .emit = sink_take,
                                   .context = &p->sink,
                                   .pool = p->pool,
                                   .stopwatch = clock_monotonic_ns};
    leat_status status = flow_open(&options, &p->flow, err);
    if (status == LEAT_OK) {
        status = play_all(p, threads, err);
    }
    flow_close(p->flow);
    pool_destroy(p->pool);
    return status;
}

leat_status bench_pipeline(const struct bench_options *options, leat_error *err) {
    static const int threads[] = {1, 2};
    struct pipeline *p = memory_zalloc(sizeof(*p));
    if (!p) {
        return error_memory(err, sizeof(*p));
    }
    p->options = options;
    leat_status status;
    TRY_OR(status, config_parse(slice_of(click_rows_config), "bench", &p->config, err), out);
    TRY_OR(status, builder_create(schema_event(), &p->builder, err), out);
    TRY_OR(status, click_rows_open(&p->rows, p->options->input, err), out);
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]) && status == LEAT_OK; i++) {
        status = play_with(p, threads[i], err);
        hash = i == 0 ? p->sink.hash : hash;
        if (status == LEAT_OK && p->sink.hash != hash) {
            status =
                error_set(err, LEAT_CORRUPT, "%d threads made other examples than 1", threads[i]);
        }
    }
out:
    click_rows_close(&p->rows);
    builder_destroy(p->builder);
    config_destroy(p->config);
    memory_free(p);
    return status;
}
