/* `pipeline`: the whole flow of the Globo replay without feeds. Rows as the log holds them are
 * decoded, every operator takes them, every example gets all its features and goes to a sink that
 * hashes it; nothing is learnt. The stream is played once a thread count: its first sixth warms up,
 * each of the next five is a run. Without the data a click log of the same shape is made up. */
#include "app/bench.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/pool.h"
#include "base/rng.h"
#include "column/builder.h"
#include "connect/globo.h"
#include "flow/flow.h"
#include "log/event.h"
#include "log/record.h"

#include <inttypes.h>

/* As `leat replay --format globo` runs it. */
static const char pipeline_config[] =
    "actions: {click: {window: 10m, weight: 1, filter: session}}\n"
    "surfaces: {for_you: {examples: clicks}}\n"
    "model: {features: [item, last, second, region, device, referrer, item*last, item*region,\n"
    "  item*referrer]}\n";

enum {
    FRAME_ROWS = 1024, /* as in the replay's appends */
    MADE_CLICKS = 600000,
    MADE_ITEMS = 40000,
    MADE_OPEN = 4096, /* sessions at a time */
    TEXT_MAX = 24,
};

struct sink {
    uint64_t examples, positives, hash;
};

struct pipeline {
    const struct bench_options *options;
    struct config *config;
    struct globo_clicks clicks;
    bool made_up;
    struct builder *builder;
    struct pool *pool;
    struct flow *flow;
    struct sink sink;
    uint64_t sequence;
};

/* --- clicks --- */

/* Popular items are few and change with the hours; sessions are about as long as Globo's. */
static void made_click(struct rng *rng, struct globo_click *click, uint32_t *session, int64_t at) {
    uint32_t slot = (uint32_t)rng_below(rng, MADE_OPEN);
    if (session[slot] == 0 || rng_below(rng, 100) < 36) {
        session[slot] = (uint32_t)(at + 1);
    }
    double u = rng_unit(rng);
    int64_t hour = at / 10000;
    click->time_ms = 1506826800000 + at * 460;
    click->session = session[slot];
    click->user = session[slot] % 100000;
    click->item = (uint32_t)(((int64_t)(u * u * u * u * MADE_ITEMS) + hour * 37) % MADE_ITEMS) + 1;
    for (int c = 0; c < GLOBO_CONTEXTS; c++) {
        click->context[c] = (uint16_t)(hash_mix(click->user, (uint64_t)c) % (c == 4 ? 28 : 5));
    }
}

static leat_status clicks_open(struct pipeline *p, leat_error *err) {
    if (p->options->input) {
        struct refusals refusals = {.show = stderr};
        TRY(globo_read(disk_real(), p->options->input, &refusals, &p->clicks, err));
        refusals_finish(&refusals);
        return p->clicks.count > 0
                   ? LEAT_OK
                   : error_set(err, LEAT_INVALID, "%s: holds no clicks", p->options->input);
    }
    p->made_up = true;
    p->clicks.clicks = memory_zalloc(MADE_CLICKS * sizeof(*p->clicks.clicks));
    uint32_t *session = memory_zalloc(MADE_OPEN * sizeof(*session));
    if (!p->clicks.clicks || !session) {
        memory_free(session);
        return error_memory(err, MADE_CLICKS * sizeof(*p->clicks.clicks));
    }
    p->clicks.count = MADE_CLICKS;
    struct rng rng;
    rng_init(&rng, 1);
    for (int64_t i = 0; i < MADE_CLICKS; i++) {
        made_click(&rng, &p->clicks.clicks[i], session, i);
    }
    memory_free(session);
    return LEAT_OK;
}

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

static struct slice number_text(char out[TEXT_MAX], uint64_t number) {
    int size = snprintf(out, TEXT_MAX, "%" PRIu64, number);
    return (struct slice){out, (size_t)size};
}

static leat_status build_click(struct pipeline *p, const struct globo_click *click,
                               leat_error *err) {
    char user[TEXT_MAX];
    char item[TEXT_MAX];
    char session[TEXT_MAX];
    char values[GLOBO_CONTEXTS][TEXT_MAX];
    struct posted_event event = {
        .kind = slice_of("click"),
        .surface = slice_of("for_you"),
        .user = number_text(user, click->user),
        .item = number_text(item, click->item),
        .session = number_text(session, click->session),
        .has_time = true,
        .time_ms = click->time_ms,
        .context_count = GLOBO_CONTEXTS,
    };
    for (int i = 0; i < GLOBO_CONTEXTS; i++) {
        snprintf(values[i], TEXT_MAX, "\"%u\"", click->context[i]);
        event.context[2 * i] = slice_of(globo_context_name((enum globo_context)i));
        event.context[2 * i + 1] = slice_of(values[i]);
    }
    return event_add(p->builder, p->config, &event, err);
}

/* Plays clicks [from, to); building the rows is no part of what is measured. */
static leat_status play(struct pipeline *p, size_t from, size_t to, double *clicks_per_s,
                        leat_error *err) {
    uint64_t spent_ns = 0;
    for (size_t at = from; at < to; at += FRAME_ROWS) {
        size_t end = at + FRAME_ROWS < to ? at + FRAME_ROWS : to;
        builder_clear(p->builder);
        for (size_t i = at; i < end; i++) {
            TRY(build_click(p, &p->clicks.clicks[i], err));
        }
        struct batch batch;
        TRY(builder_finish(p->builder, &batch, err));
        uint64_t begun_ns = clock_monotonic_ns();
        TRY(flow_apply(p->flow, &batch, p->sequence, 0, true, 0, (int64_t)(end - at), err));
        spent_ns += clock_monotonic_ns() - begun_ns;
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
    size_t stretch = p->clicks.count / (BENCH_RUNS + 1);
    double warm;
    TRY(play(p, 0, stretch, &warm, err));
    struct flow_times before = flow_times(p->flow);
    uint64_t examples = p->sink.examples;
    for (int run = 0; run < BENCH_RUNS; run++) {
        size_t from = stretch * (size_t)(run + 1);
        TRY(play(p, from, from + stretch, &runs.values[runs.count++], err));
    }
    struct flow_times after = flow_times(p->flow);
    double per_click = (double)(p->sink.examples - examples) / (double)(stretch * BENCH_RUNS);
    double mean = 0;
    for (int run = 0; run < BENCH_RUNS; run++) {
        mean += runs.values[run] / BENCH_RUNS;
    }
    char more[1024];
    int size = snprintf(more, sizeof(more),
                        ",\"clicks\":\"%s\",\"items\":%zu,\"examples_per_click\":%.2f,"
                        "\"examples_per_s\":%.0f,\"hash\":\"%016" PRIx64 "\"",
                        p->made_up ? "made up: no --input" : "globo", p->clicks.count, per_click,
                        per_click * mean, p->sink.hash);
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
    TRY_OR(status, config_parse(slice_of(pipeline_config), "bench", &p->config, err), out);
    TRY_OR(status, builder_create(schema_event(), &p->builder, err), out);
    TRY_OR(status, clicks_open(p, err), out);
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]) && status == LEAT_OK; i++) {
        status = play_with(p, threads[i], err);
    }
out:
    globo_free(&p->clicks);
    builder_destroy(p->builder);
    config_destroy(p->config);
    memory_free(p);
    return status;
}
