/* `join`: 90 % served rows, 10 % actions on random ones of them, as many showings open as `OPEN`
 * and as many settled by time as arrive, people and items drawn at random, so that every row meets
 * cold memory. Every 10 s the state is frozen and a second thread writes the pages that changed to
 * a file at a capped rate. A run is a number of rows; what counts is the time of the join thread in
 * join alone (hashing, look-ups, timers, examples given to a sink), not the making of the rows.
 * Beside it in the same process: reading 64-byte lines at random over as much memory, prefetched as
 * far ahead, and copying memory. LEAT_BENCH_OPEN: another number of open showings. */
#include "app/bench.h"
#include "app/scratch.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "flow/join.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    OPEN = 5000000,
    BATCH = 4096,       /* rows a call: what a commit of the log holds at such a rate */
    RUN_ROWS = 3000000, /* about */
    LIFE_MS = 600000,
    GROUPS = 128,
    PAYLOADS = 4096,
    TEXT_MAX = 24,
    AHEAD = 32, /* lines prefetched at a time, as join does */
    CHECKPOINT_MS = 10000,
    WRITE_RATE = 200 << 20, /* bytes a second */
    LINE = 64,
};
#define START_MS 1700000000000

static const char join_config[] =
    "key_groups: 128\n"
    "actions: {click: {window: 10m, weight: 1}, hide: {window: 10m, weight: -1}}\n"
    "surfaces: {for_you: {examples: served}}\n";

struct checkpoint {
    struct thread thread;
    bool running;
    _Atomic bool done;
    struct state_snapshot *snapshot;
    struct file *file;
    uint64_t since; /* version of the one before */
    uint64_t begun_ns, bytes;
    leat_status status;
    leat_error err;
};

struct bench_join {
    const struct bench_options *options;
    char folder[CONFIG_TEXT_MAX];
    struct config *config;
    struct join *join;
    int key_count, dense_count;
    uint64_t open; /* showings */
    uint64_t served, rows;
    uint64_t (*keys)[EXAMPLE_KEYS_MAX];
    float (*dense)[EXAMPLE_DENSE_MAX];
    struct join_row *batch;
    char (*texts)[3][TEXT_MAX];
    uint64_t examples, sum; /* of the sink */
    struct checkpoint checkpoint;
    uint64_t checkpoints, checkpoint_bytes;
    double freeze_ms;
};

/* --- rows --- */

static void sink(void *context, const struct example *example) {
    struct bench_join *bench = context;
    bench->examples++;
    bench->sum += example->keys[0] + example->labels;
}

/* Showing number `n`, of which rows are made again for its actions. */
static void row_make(struct bench_join *bench, uint64_t n, bool served, int at) {
    struct join_row *row = &bench->batch[at];
    char(*texts)[TEXT_MAX] = bench->texts[at];
    int user = snprintf(texts[0], TEXT_MAX, "u%" PRIu64, hash_mix(n, 1) % bench->open);
    int item = snprintf(texts[1], TEXT_MAX, "i%" PRIu64, hash_mix(n, 2) % 1000000);
    int request = snprintf(texts[2], TEXT_MAX, "r%" PRIx64, n);
    int64_t time_ms = START_MS + (int64_t)(bench->served * LIFE_MS / bench->open);
    *row = (struct join_row){
        .kind = served ? ROW_SERVED : ROW_ACTION,
        .sequence = bench->rows,
        .time_ms = time_ms,
        .watermark_ms = time_ms,
        .user = {texts[0], (size_t)user},
        .item = {texts[1], (size_t)item},
        .request = {texts[2], (size_t)request},
        .featured = served,
        .key_count = served ? bench->key_count : 0,
        .dense_count = served ? bench->dense_count : 0,
        .keys = bench->keys[n % PAYLOADS],
        .dense = bench->dense[n % PAYLOADS],
    };
}

static void batch_make(struct bench_join *bench, bool filling) {
    for (int i = 0; i < BATCH; i++) {
        uint64_t draw = hash_mix(7, bench->rows);
        bool served = filling || draw % 10 != 0;
        uint64_t span = bench->served < bench->open ? bench->served : bench->open - 1;
        uint64_t n = served ? bench->served : bench->served - 1 - hash_mix(draw, 3) % span;
        row_make(bench, n, served, i);
        bench->served += served;
        bench->rows++;
    }
}

/* What is measured. */
static void batch_push(struct bench_join *bench) {
    const struct join_out out = {sink, bench};
    for (int i = 0; i < BATCH; i++) {
        struct join_row *row = &bench->batch[i];
        row->user_hash = hash_slice(row->user);
        row->item_hash = hash_slice(row->item);
        row->request_hash = hash_slice(row->request);
    }
    for (uint32_t group = 0; group < GROUPS; group++) {
        join_advance(bench->join, group, group + 1, bench->batch[BATCH - 1].watermark_ms,
                     bench->batch[0].sequence, &out);
    }
    join_push_batch(bench->join, bench->batch, BATCH, NULL, &out);
}

/* --- checkpoints --- */

static leat_status checkpoint_sink(void *context, const struct state_page_image *page,
                                   leat_error *err) {
    struct checkpoint *checkpoint = context;
    if (!page->data) {
        return LEAT_OK; /* as it was at the checkpoint before */
    }
    TRY(file_write(checkpoint->file, page->data, page->bytes, checkpoint->bytes, err));
    checkpoint->bytes += page->bytes;
    bench_sleep_until(checkpoint->begun_ns + checkpoint->bytes * 1000 / (WRITE_RATE / 1000000));
    return LEAT_OK;
}

static void *checkpoint_run(void *argument) {
    struct checkpoint *checkpoint = argument;
    checkpoint->bytes = 0;
    for (uint32_t group = 0; group < GROUPS && checkpoint->status == LEAT_OK; group++) {
        checkpoint->status = state_snapshot_pages(checkpoint->snapshot, group, checkpoint->since,
                                                  checkpoint_sink, checkpoint, &checkpoint->err);
    }
    atomic_store(&checkpoint->done, true);
    return NULL;
}

static leat_status checkpoint_end(struct bench_join *bench, leat_error *err) {
    struct checkpoint *checkpoint = &bench->checkpoint;
    if (!checkpoint->running) {
        return LEAT_OK;
    }
    thread_join(&checkpoint->thread);
    checkpoint->since = state_snapshot_version(checkpoint->snapshot);
    state_snapshot_release(checkpoint->snapshot);
    checkpoint->running = false;
    bench->checkpoints++;
    bench->checkpoint_bytes += checkpoint->bytes;
    return checkpoint->status < 0
               ? error_set(err, checkpoint->status, "%s", checkpoint->err.message)
               : LEAT_OK;
}

/* Begins one every 10 s, once the one before is written. */
static leat_status checkpoint_step(struct bench_join *bench, leat_error *err) {
    struct checkpoint *checkpoint = &bench->checkpoint;
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns - checkpoint->begun_ns < CHECKPOINT_MS * 1000000ull ||
        (checkpoint->running && !atomic_load(&checkpoint->done))) {
        return LEAT_OK;
    }
    TRY(checkpoint_end(bench, err));
    uint64_t cpu_ns = clock_thread_cpu_ns();
    TRY(state_freeze(join_state(bench->join), &checkpoint->snapshot, err));
    state_snapshot_since(checkpoint->snapshot, checkpoint->since);
    double freeze_ms = (double)(clock_thread_cpu_ns() - cpu_ns) * 1e-6;
    bench->freeze_ms = freeze_ms > bench->freeze_ms ? freeze_ms : bench->freeze_ms;
    checkpoint->begun_ns = now_ns;
    atomic_store(&checkpoint->done, false);
    leat_status status =
        thread_start(&checkpoint->thread, "leat-checkpoint", checkpoint_run, checkpoint, err);
    checkpoint->running = status == LEAT_OK;
    if (status < 0) {
        state_snapshot_release(checkpoint->snapshot);
    }
    return status;
}

/* --- the machine's own limits --- */

/* Lines a second, at random over `bytes`, AHEAD of them prefetched at a time. */
static double random_lines(const char *memory, size_t bytes) {
    enum { ROUNDS = 200000 };
    uint64_t lines = bytes / LINE;
    uint64_t sum = 0;
    uint64_t begun_ns = clock_thread_cpu_ns();
    for (uint64_t round = 0; round < ROUNDS; round++) {
        const char *at[AHEAD];
        for (uint64_t i = 0; i < AHEAD; i++) {
            at[i] = memory + hash_mix(round, i) % lines * LINE;
            __builtin_prefetch(at[i]);
        }
        for (int i = 0; i < AHEAD; i++) {
            sum += (uint64_t)*at[i];
        }
    }
    double seconds = (double)(clock_thread_cpu_ns() - begun_ns) * 1e-9;
    return sum == UINT64_MAX ? 0 : (double)ROUNDS * AHEAD / seconds;
}

static double copy_rate(char *memory, size_t bytes) {
    size_t half = bytes / 2 < 256 << 20 ? bytes / 2 : 256 << 20;
    uint64_t begun_ns = clock_thread_cpu_ns();
    for (int i = 0; i < 4; i++) {
        memcpy(memory + (size_t)(i % 2) * half, memory + (size_t)(1 - i % 2) * half, half);
    }
    return 4.0 * (double)half / ((double)(clock_thread_cpu_ns() - begun_ns) * 1e-9);
}

struct limits {
    double lines, copied; /* a second */
};

static leat_status measure_limits(size_t bytes, struct limits *out, leat_error *err) {
    char *memory = memory_alloc(bytes);
    if (!memory) {
        return error_memory(err, bytes);
    }
    memset(memory, 1, bytes);
    out->lines = random_lines(memory, bytes);
    out->copied = copy_rate(memory, bytes);
    memory_free(memory);
    return LEAT_OK;
}

/* --- runs --- */

static leat_status run_once(struct bench_join *bench, uint64_t rows, bool filling, double *rate,
                            leat_error *err) {
    uint64_t cpu_ns = 0;
    uint64_t until = bench->rows + rows;
    uint64_t begun = bench->rows;
    while (bench->rows < until) {
        batch_make(bench, filling);
        uint64_t begun_ns = clock_thread_cpu_ns();
        batch_push(bench);
        cpu_ns += clock_thread_cpu_ns() - begun_ns;
        if (!filling) {
            TRY(checkpoint_step(bench, err));
        }
    }
    *rate = (double)(bench->rows - begun) / ((double)cpu_ns * 1e-9);
    return LEAT_OK;
}

static leat_status run_all(struct bench_join *bench, struct bench_runs *runs, leat_error *err) {
    double rate;
    TRY(run_once(bench, bench->open, true, &rate, err));
    bench->checkpoint.begun_ns = clock_monotonic_ns() - CHECKPOINT_MS * 1000000ull;
    TRY(run_once(bench, RUN_ROWS, false, &rate, err)); /* to warm up */
    while (runs->count < BENCH_RUNS) {
        TRY(run_once(bench, RUN_ROWS, false, &rate, err));
        runs->values[runs->count++] = rate;
    }
    TRY(checkpoint_end(bench, err));
    uint64_t resident = memory_resident();
    uint64_t open = state_count(join_state(bench->join));
    uint64_t bytes = state_bytes(join_state(bench->join));
    join_close(bench->join);
    bench->join = NULL;
    struct limits limits;
    TRY(measure_limits(bytes, &limits, err));
    double sum_ns = 0;
    for (int i = 0; i < BENCH_RUNS; i++) {
        sum_ns += 1e9 / runs->values[i] / BENCH_RUNS;
    }
    char more[512];
    snprintf(
        more, sizeof(more),
        ",\"cpu_per_event_ns\":%.0f,\"open\":%" PRIu64 ",\"resident_bytes\":%" PRIu64
        ",\"state_bytes_per_open\":%.0f,\"resident_bytes_per_open\":%.0f,\"checkpoints\":%" PRIu64
        ",\"checkpoint_bytes\":%" PRIu64 ",\"write_rate_max\":%d,\"freeze_ms\":%.3f,"
        "\"random_lines_per_s\":%.0f,\"lines_per_event\":%.1f,\"memcpy_bytes_per_s\":%.0f",
        sum_ns, open, resident, (double)bytes / (double)open, (double)resident / (double)open,
        bench->checkpoints, bench->checkpoint_bytes, WRITE_RATE, bench->freeze_ms, limits.lines,
        limits.lines * sum_ns * 1e-9, limits.copied);
    bench_print_runs(bench->options, runs, more);
    return LEAT_OK;
}

static leat_status bench_begin(struct bench_join *bench, leat_error *err) {
    const char *open = getenv("LEAT_BENCH_OPEN");
    bench->open = open ? strtoull(open, NULL, 10) : OPEN;
    if (bench->open < BATCH) {
        return error_set(err, LEAT_INVALID, "LEAT_BENCH_OPEN is %s, at least %d are measured", open,
                         BATCH);
    }
    bench->keys = memory_zalloc(PAYLOADS * sizeof(*bench->keys));
    bench->dense = memory_zalloc(PAYLOADS * sizeof(*bench->dense));
    bench->batch = memory_zalloc(BATCH * sizeof(*bench->batch));
    bench->texts = memory_zalloc(BATCH * sizeof(*bench->texts));
    if (!bench->keys || !bench->dense || !bench->batch || !bench->texts) {
        return error_memory(err, PAYLOADS * sizeof(*bench->keys));
    }
    for (uint64_t i = 0; i < PAYLOADS * EXAMPLE_KEYS_MAX; i++) {
        bench->keys[i / EXAMPLE_KEYS_MAX][i % EXAMPLE_KEYS_MAX] = hash_mix(11, i);
        bench->dense[i / EXAMPLE_DENSE_MAX][i % EXAMPLE_DENSE_MAX] = (float)hash_unit(i);
    }
    TRY(config_parse(slice_of(join_config), "bench", &bench->config, err));
    char path[PATH_BYTES_MAX];
    TRY(scratch_make(bench->options->folder, bench->folder, err));
    TRY(path_join(path, bench->folder, "snapshot", err));
    TRY(file_open(disk_real(), path, FILE_WRITE, &bench->checkpoint.file, err));
    return join_open(bench->config, NULL, NULL, &bench->join, err);
}

static leat_status bench_end(struct bench_join *bench, leat_status status, leat_error *err) {
    leat_status ended = checkpoint_end(bench, status < 0 ? NULL : err);
    status = status < 0 ? status : ended;
    join_close(bench->join);
    file_close(bench->checkpoint.file);
    if (bench->folder[0]) {
        leat_status removed = disk_remove_tree(disk_real(), bench->folder, status < 0 ? NULL : err);
        status = status < 0 ? status : removed;
    }
    config_destroy(bench->config);
    memory_free(bench->keys);
    memory_free(bench->dense);
    memory_free(bench->batch);
    memory_free(bench->texts);
    return status < 0 ? status : LEAT_OK;
}

/* `keys` of 8 bytes and `dense` of 4 are the payload. */
static leat_status bench_case(const struct bench_options *options, const char *name, int keys,
                              int dense, leat_error *err) {
    struct bench_join bench = {.options = options, .key_count = keys, .dense_count = dense};
    struct bench_runs runs = {.name = name, .unit = "events/s"};
    leat_status status = bench_begin(&bench, err);
    if (status == LEAT_OK) {
        status = run_all(&bench, &runs, err);
    }
    return bench_end(&bench, status, err);
}

leat_status bench_join(const struct bench_options *options, leat_error *err) {
    TRY(bench_case(options, "join/512B", 40, 48, err));
    return bench_case(options, "join/64B", 4, 8, err);
}
