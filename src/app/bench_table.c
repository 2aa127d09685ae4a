/* `leat bench table`: the embedding table at ten million rows of 32 floats, one core. What a random
 * row costs on this machine at all, gather/128B, is measured in the same run: rows of as much
 * memory, on huge pages, added up in random order by the same sum, and fetched well ahead. */
#include "app/bench.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "base/memory.h"
#include "learn/table.h"
#include "learn/table_memory.h"
#include "learn/table_sum.h"

#include <inttypes.h>

enum {
    ROWS = 10000000,
    WIDTH = 32,
    NARROW = 2, /* a logistic weight and its optimiser state */
    BATCH = 1024,
    LOOKS = 4 << 20, /* keys that are drawn; a run goes through them once */
    TIMED_INSERTS = 1000000,
    AHEAD = 24, /* rows fetched ahead by gather */
    GROUP = 8,
    MORE_BYTES = 400,
};
#define BUDGET ((int64_t)4 << 30)

struct tables {
    const struct bench_options *options;
    struct table *table;
    uint64_t *looks; /* half are there */
    uint64_t next;   /* key to insert */
    double gather, find;
};

static uint64_t key_of(uint64_t number) {
    return hash_mix(number, 0x7AB1Eu);
}

/* Uniform in +-0.03, four floats a hash: about what an optimiser's first row costs. */
static void fresh_row(void *context, uint64_t key, float *row) {
    int width = *(const int *)context;
    for (int i = 0; i < width; i += 2) {
        uint64_t hash = (key + (uint64_t)i) * 0xD1342543DE82EF95u;
        hash ^= hash >> 29;
        row[i] = (float)(int32_t)hash * (0.03f / 2147483648.0f);
        row[i + 1] = (float)(int32_t)(hash >> 32) * (0.03f / 2147483648.0f);
    }
}

static double rate(uint64_t items, uint64_t begun_ns) {
    return (double)items * 1e9 / (double)(clock_monotonic_ns() - begun_ns);
}

/* --- the machine --- */

/* Rows in random order; the next ones are on their way meanwhile. */
static void gather_rows(const float *memory, const uint64_t *draws, float out[WIDTH]) {
    table_sum sum = table_sum_best();
    for (int i = 0; i < LOOKS; i += GROUP) {
        const float *rows[GROUP];
        for (int n = 0; n < GROUP; n++) {
            const char *ahead = (const char *)(memory + draws[i + n + AHEAD] * WIDTH);
            __builtin_prefetch(ahead);
            __builtin_prefetch(ahead + 64);
            rows[n] = memory + draws[i + n] * WIDTH;
        }
        sum(rows, GROUP, WIDTH, out);
    }
}

static leat_status bench_gather(struct tables *bench, leat_error *err) {
    struct table_area area;
    size_t bytes = (size_t)ROWS * WIDTH * sizeof(float);
    uint64_t *draws = memory_alloc((LOOKS + AHEAD) * sizeof(*draws));
    if (!table_area_open(&area, bytes) || !draws) {
        table_area_close(&area);
        memory_free(draws);
        return error_memory(err, bytes);
    }
    float *memory = area.base;
    for (uint64_t i = 0; i < (uint64_t)ROWS * WIDTH; i++) {
        memory[i] = (float)(i & 1023) * 0x1p-10f;
    }
    for (uint64_t i = 0; i < LOOKS + AHEAD; i++) {
        draws[i] = hash_mix(i, 99) % ROWS;
    }
    struct bench_runs runs = {.name = "gather/128B", .unit = "rows/s", .count = BENCH_RUNS};
    float out[WIDTH] = {0};
    for (int run = -1; run < BENCH_RUNS; run++) {
        uint64_t begun_ns = clock_monotonic_ns();
        gather_rows(memory, draws, out);
        runs.values[run < 0 ? 0 : run] = rate(LOOKS, begun_ns);
    }
    char more[MORE_BYTES];
    snprintf(more, sizeof(more), ",\"bytes\":%zu,\"sum\":%.3g", bytes, (double)out[0]);
    bench_print_runs(bench->options, &runs, more);
    bench->gather = runs.values[BENCH_RUNS / 2];
    table_area_close(&area);
    memory_free(draws);
    return LEAT_OK;
}

/* --- inserts --- */

static leat_status new_table(int width, struct table **out, leat_error *err) {
    struct table_options options = {
        .width = width, .bytes_max = BUDGET, .timed = true, .track = true};
    return table_create(&options, out, err);
}

static void insert_all(struct table *table, int width) {
    uint64_t keys[BATCH];
    uint32_t rows[BATCH];
    for (uint64_t first = 0; first < ROWS; first += BATCH) {
        int count = (int)(ROWS - first < BATCH ? ROWS - first : BATCH);
        for (int i = 0; i < count; i++) {
            keys[i] = key_of(first + (uint64_t)i);
        }
        table_at_batch(table, keys, count, 1700000000, fresh_row, &width, rows);
    }
}

/* One by one, each timed; the clock's own time, some 25 ns, is in it. */
static void time_inserts(struct tables *bench, struct histogram *histogram) {
    int width = WIDTH;
    histogram_init(histogram);
    bench->next = ROWS;
    for (int i = 0; i < TIMED_INSERTS; i++) {
        uint64_t key = key_of(bench->next++);
        uint64_t begun_ns = clock_monotonic_ns();
        table_at(bench->table, key, 1700000000, fresh_row, &width);
        histogram_record(histogram, clock_monotonic_ns() - begun_ns);
    }
}

static leat_status bench_insert(struct tables *bench, leat_error *err) {
    struct bench_runs runs = {.name = "table/insert", .unit = "rows/s", .count = BENCH_RUNS};
    uint64_t resident = 0;
    for (int run = -1; run < BENCH_RUNS; run++) {
        table_destroy(bench->table);
        bench->table = NULL;
        resident = memory_resident();
        TRY(new_table(WIDTH, &bench->table, err));
        uint64_t begun_ns = clock_monotonic_ns();
        insert_all(bench->table, WIDTH);
        runs.values[run < 0 ? 0 : run] = rate(ROWS, begun_ns);
    }
    resident = memory_resident() - resident;
    struct table_stats stats;
    table_stats(bench->table, &stats);
    struct histogram *histogram = memory_alloc(sizeof(*histogram));
    if (!histogram) {
        return error_memory(err, sizeof(*histogram));
    }
    time_inserts(bench, histogram);
    char more[MORE_BYTES];
    double floats = (double)WIDTH * sizeof(float);
    snprintf(more, sizeof(more),
             ",\"items\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"load\":%.4f,\"overhead_bytes\":%.2f"
             ",\"overhead_resident_bytes\":%.2f,\"p50_ns\":%" PRIu64 ",\"p999_ns\":%" PRIu64
             ",\"max_ns\":%" PRIu64,
             stats.rows, stats.bytes, stats.load, (double)stats.bytes / ROWS - floats,
             (double)resident / ROWS - floats, histogram_quantile(histogram, 0.5),
             histogram_quantile(histogram, 0.999), histogram_max(histogram));
    bench_print_runs(bench->options, &runs, more);
    memory_free(histogram);
    return LEAT_OK;
}

/* --- look-ups --- */

static leat_status draw_looks(struct tables *bench, leat_error *err) {
    bench->looks = memory_alloc(LOOKS * sizeof(*bench->looks));
    if (!bench->looks) {
        return error_memory(err, LOOKS * sizeof(*bench->looks));
    }
    for (uint64_t i = 0; i < LOOKS; i++) {
        uint64_t draw = hash_mix(i, 17);
        uint64_t number = (draw >> 1) % ROWS;
        bench->looks[i] = key_of(draw & 1 ? number : number + ((uint64_t)1 << 40));
    }
    return LEAT_OK;
}

static uint64_t find_all(const struct tables *bench, int first, int count) {
    float out[WIDTH] = {0};
    uint64_t found = 0;
    for (int i = first; i < first + count; i += BATCH) {
        table_enter(bench->table);
        found += (uint64_t)table_sum_batch(bench->table, bench->looks + i, BATCH, out, WIDTH);
        table_leave(bench->table);
    }
    return found;
}

static leat_status bench_find(struct tables *bench, leat_error *err) {
    TRY(draw_looks(bench, err));
    struct bench_runs runs = {.name = "table/find-row", .unit = "keys/s", .count = BENCH_RUNS};
    uint64_t found = 0;
    for (int run = -1; run < BENCH_RUNS; run++) {
        uint64_t begun_ns = clock_monotonic_ns();
        found = find_all(bench, 0, LOOKS);
        runs.values[run < 0 ? 0 : run] = rate(LOOKS, begun_ns);
    }
    qsort(runs.values, BENCH_RUNS, sizeof(double), bench_compare);
    bench->find = runs.values[BENCH_RUNS / 2];
    char more[MORE_BYTES];
    snprintf(more, sizeof(more), ",\"found\":%.3f,\"of_gather\":%.3f", (double)found / LOOKS,
             bench->gather > 0 ? bench->find / bench->gather : 0);
    bench_print_runs(bench->options, &runs, more);
    return LEAT_OK;
}

/* --- side by side --- */

struct beside {
    const struct tables *bench;
    _Atomic int readers; /* still at work */
    double rates[2];
};

static leat_status run_reader(struct bench_worker *worker, leat_error *err) {
    (void)err;
    struct beside *beside = worker->shared;
    uint64_t begun_ns = clock_monotonic_ns();
    for (int half = 0; half < 4; half++) {
        find_all(beside->bench, ((worker->index + half) & 1) * (LOOKS / 2), LOOKS / 2);
    }
    beside->rates[worker->index] = rate((uint64_t)LOOKS * 2, begun_ns);
    atomic_fetch_sub(&beside->readers, 1);
    return LEAT_OK;
}

/* As a trainer does: rows of some hundred keys, mostly known ones, each changed. */
static leat_status run_writer(struct bench_worker *worker, leat_error *err) {
    (void)err;
    struct beside *beside = worker->shared;
    struct table *table = beside->bench->table;
    uint64_t keys[BATCH];
    uint32_t rows[BATCH];
    float row[WIDTH] = {0};
    int width = WIDTH;
    uint64_t next = beside->bench->next;
    for (uint64_t n = 0; atomic_load(&beside->readers) > 0; n++) {
        for (uint64_t i = 0; i < BATCH; i++) {
            uint64_t draw = hash_mix(n, i);
            keys[i] = key_of(i % 64 == 0 ? next++ : draw % ROWS);
        }
        table_at_batch(table, keys, BATCH, 1700000000, fresh_row, &width, rows);
        for (int i = 0; i < BATCH; i++) {
            table_store(table, rows[i], row, WIDTH);
        }
    }
    return LEAT_OK;
}

static leat_status bench_beside(struct tables *bench, bool writer, leat_error *err) {
    struct bench_runs runs = {.name = writer ? "table/find-row-beside-writer"
                                             : "table/find-row-two-readers",
                              .unit = "keys/s",
                              .count = BENCH_RUNS};
    for (int run = -1; run < BENCH_RUNS; run++) {
        struct beside beside = {.bench = bench};
        atomic_init(&beside.readers, writer ? 1 : 2);
        struct bench_worker workers[2] = {
            {.run = run_reader, .shared = &beside, .index = 0},
            {.run = writer ? run_writer : run_reader, .shared = &beside, .index = 1},
        };
        TRY(bench_work(workers, 2, err));
        runs.values[run < 0 ? 0 : run] = beside.rates[0] + beside.rates[1];
    }
    qsort(runs.values, BENCH_RUNS, sizeof(double), bench_compare);
    char more[MORE_BYTES];
    snprintf(more, sizeof(more), ",\"of_one\":%.3f",
             bench->find > 0 ? runs.values[BENCH_RUNS / 2] / bench->find : 0);
    bench_print_runs(bench->options, &runs, more);
    return LEAT_OK;
}

/* --- narrow rows --- */

static leat_status bench_narrow(struct tables *bench, leat_error *err) {
    struct table *table = NULL;
    uint64_t resident = memory_resident();
    struct table_options options = {.width = NARROW, .bytes_max = BUDGET};
    TRY(table_create(&options, &table, err));
    struct bench_runs runs = {.name = "table/insert-narrow", .unit = "rows/s", .count = 1};
    uint64_t begun_ns = clock_monotonic_ns();
    insert_all(table, NARROW);
    runs.values[0] = rate(ROWS, begun_ns);
    char more[MORE_BYTES];
    snprintf(more, sizeof(more), ",\"row_bytes\":%.2f,\"row_resident_bytes\":%.2f",
             (double)table_bytes(table) / ROWS, (double)(memory_resident() - resident) / ROWS);
    bench_print_runs(bench->options, &runs, more);
    table_destroy(table);
    return LEAT_OK;
}

leat_status bench_table(const struct bench_options *options, leat_error *err) {
    struct tables bench = {.options = options};
    leat_status status = bench_gather(&bench, err);
    if (status >= 0) {
        status = bench_insert(&bench, err);
    }
    if (status >= 0) {
        status = bench_find(&bench, err);
    }
    if (status >= 0) {
        status = bench_beside(&bench, false, err);
    }
    if (status >= 0) {
        status = bench_beside(&bench, true, err);
    }
    table_destroy(bench.table);
    memory_free(bench.looks);
    return status < 0 ? status : bench_narrow(&bench, err);
}
