/* `group`: examples of the Globo replay (or of made-up clicks), one row an item and one row a click
 * with its negatives, in the same container: frames, and Parquet by DuckDB with zstd where its
 * library is. What is timed is grouping, batch by batch, in memory. */
#include "app/bench.h"
#include "app/click_rows.h"
#include "app/scratch.h"
#include "base/hash.h"
#include "base/memory.h"
#include "connect/parquet.h"
#include "flow/example_file.h"
#include "flow/flow.h"
#include "flow/group.h"
#include "log/record.h"

enum { CLICKS_MAX = 150000, FRAME_ROWS = 1024, BATCH_ROWS = 16384 };

/* Frames, and how far they were read. */
struct frames {
    struct bytes bytes;
    size_t at;
};

struct group_bench {
    const struct bench_options *options;
    struct config *config;
    struct click_rows rows;
    struct builder *events, *examples, *groups;
    struct flow *flow;
    struct grouping *grouping;
    struct frames flat, grouped;
    uint64_t count, group_count;
    leat_error failure;
    char folder[CONFIG_TEXT_MAX];
};

/* --- examples --- */

static leat_status turn(struct group_bench *bench, leat_error *err) {
    struct batch batch;
    if (builder_rows(bench->examples) == 0) {
        return LEAT_OK;
    }
    TRY(builder_finish(bench->examples, &batch, err));
    example_frame_write(&batch, 0, &bench->flat.bytes);
    builder_clear(bench->examples);
    return bytes_status(&bench->flat.bytes, err);
}

static void take(void *context, const struct example *example) {
    struct group_bench *bench = context;
    if (builder_rows(bench->examples) == BATCH_ROWS && bench->failure.status >= 0) {
        (void)turn(bench, &bench->failure);
    }
    example_add(bench->examples, example);
    bench->count++;
}

static leat_status make_examples(struct group_bench *bench, leat_error *err) {
    size_t clicks = bench->rows.clicks.count < CLICKS_MAX ? bench->rows.clicks.count : CLICKS_MAX;
    for (size_t at = 0; at < clicks; at += FRAME_ROWS) {
        size_t end = at + FRAME_ROWS < clicks ? at + FRAME_ROWS : clicks;
        struct batch batch;
        builder_clear(bench->events);
        for (size_t i = at; i < end; i++) {
            TRY(click_rows_add(&bench->rows, i, bench->config, bench->events, err));
        }
        TRY(builder_finish(bench->events, &batch, err));
        TRY(flow_apply(bench->flow, &batch, at, 0, true, 0, (int64_t)(end - at), err));
        if (bench->failure.status < 0) {
            return error_set(err, bench->failure.status, "%s", bench->failure.message);
        }
    }
    return turn(bench, err);
}

/* Has the type of parquet_options.next. */
static leat_status next_frame(void *context, struct batch *out, leat_error *err) {
    struct frames *frames = context;
    struct frame frame;
    if (frames->at == frames->bytes.size) {
        frames->at = 0;
        return LEAT_END;
    }
    const uint8_t *data = frames->bytes.data + frames->at;
    TRY(example_frame_read_header(data, &frame, err));
    TRY(example_frame_read_body(&frame, data + FRAME_HEADER_BYTES, out, err));
    frames->at += FRAME_HEADER_BYTES + frame.body_bytes;
    return LEAT_OK;
}

/* --- grouping, and back --- */

static leat_status group_all(struct group_bench *bench, double *examples_per_s, leat_error *err) {
    struct batch batch;
    struct batch groups;
    uint64_t spent_ns = 0;
    leat_status status;
    bytes_clear(&bench->grouped.bytes);
    bench->group_count = 0;
    while ((status = next_frame(&bench->flat, &batch, err)) == LEAT_OK) {
        uint64_t begun_ns = clock_monotonic_ns();
        builder_clear(bench->groups);
        TRY(group_examples(bench->grouping, &batch, bench->groups, err));
        TRY(builder_finish(bench->groups, &groups, err));
        spent_ns += clock_monotonic_ns() - begun_ns;
        example_frame_write(&groups, 0, &bench->grouped.bytes);
        bench->group_count += (uint64_t)groups.rows;
    }
    *examples_per_s = (double)bench->count / ((double)spent_ns * 1e-9);
    return status < 0 ? status : bytes_status(&bench->grouped.bytes, err);
}

/* Times splitting, and sees that the frames of examples come back as they were. */
static leat_status split_all(struct group_bench *bench, double *examples_per_s, leat_error *err) {
    struct batch groups;
    struct batch examples;
    struct bytes frame;
    uint64_t spent_ns = 0;
    size_t at = 0;
    leat_status status;
    bytes_init(&frame);
    while ((status = next_frame(&bench->grouped, &groups, err)) == LEAT_OK) {
        uint64_t begun_ns = clock_monotonic_ns();
        builder_clear(bench->examples);
        TRY_OR(status, group_split(bench->grouping, &groups, bench->examples, err), out);
        TRY_OR(status, builder_finish(bench->examples, &examples, err), out);
        spent_ns += clock_monotonic_ns() - begun_ns;
        bytes_clear(&frame);
        example_frame_write(&examples, 0, &frame);
        TRY_OR(status, bytes_status(&frame, err), out);
        if (frame.size > bench->flat.bytes.size - at ||
            memcmp(frame.data, bench->flat.bytes.data + at, frame.size) != 0) {
            status = error_set(err, LEAT_CORRUPT, "examples did not come back as they were");
            goto out;
        }
        at += frame.size;
    }
    *examples_per_s = (double)bench->count / ((double)spent_ns * 1e-9);
out:
    bytes_deinit(&frame);
    return status < 0 ? status : LEAT_OK;
}

/* --- Parquet --- */

static leat_status parquet_bytes(struct group_bench *bench, const struct duckdb *duckdb,
                                 struct frames *frames, const struct schema *schema, uint64_t *out,
                                 leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct file *file;
    TRY(path_join(path, bench->folder, "examples.parquet", err));
    const struct parquet_options options = {.path = path,
                                            .schema = schema,
                                            .config = bench->config,
                                            .next = next_frame,
                                            .context = frames};
    TRY(parquet_write(duckdb, &options, err));
    TRY(file_open(disk_real(), path, FILE_READ, &file, err));
    leat_status status = file_size(file, out, err);
    file_close(file);
    return status < 0 ? status : disk_remove(disk_real(), path, err);
}

/* Members of the result's JSON about Parquet; "null" where there is no DuckDB. */
static leat_status parquet_ratio(struct group_bench *bench, char *out, size_t size,
                                 leat_error *err) {
    struct duckdb duckdb;
    uint64_t flat = 0;
    uint64_t grouped = 0;
    if (duckdb_load(&duckdb, NULL) < 0) {
        snprintf(out, size, ",\"parquet_ratio\":null");
        return LEAT_OK;
    }
    TRY(scratch_make(bench->options->folder, bench->folder, err));
    leat_status status = parquet_bytes(bench, &duckdb, &bench->flat, schema_example(), &flat, err);
    if (status >= 0) {
        status =
            parquet_bytes(bench, &duckdb, &bench->grouped, schema_example_group(), &grouped, err);
    }
    leat_status removed = scratch_remove(bench->folder, status < 0 ? NULL : err);
    TRY(status);
    snprintf(out, size, ",\"parquet_ratio\":%.3f,\"parquet_bytes\":%llu,\"parquet_grouped\":%llu",
             (double)flat / (double)grouped, (unsigned long long)flat, (unsigned long long)grouped);
    return removed;
}

/* --- the case --- */

static leat_status measure(struct group_bench *bench, leat_error *err) {
    struct bench_runs runs = {.name = "group", .unit = "examples/s"};
    char parquet[200];
    char more[700];
    double warm;
    double split;
    TRY(make_examples(bench, err));
    TRY(group_all(bench, &warm, err));
    for (int run = 0; run < BENCH_RUNS; run++) {
        TRY(group_all(bench, &runs.values[runs.count++], err));
    }
    TRY(split_all(bench, &split, err));
    TRY(parquet_ratio(bench, parquet, sizeof(parquet), err));
    double flat = (double)bench->flat.bytes.size;
    double grouped = (double)bench->grouped.bytes.size;
    snprintf(more, sizeof(more),
             ",\"clicks\":\"%s\",\"items\":%llu,\"examples_per_group\":%.2f,\"frames_ratio\":%.3f,"
             "\"bytes_per_example\":%.1f,\"bytes_per_example_grouped\":%.1f%s,"
             "\"split_per_s\":%.0f",
             click_rows_name(&bench->rows), (unsigned long long)bench->count,
             (double)bench->count / (double)bench->group_count, flat / grouped,
             flat / (double)bench->count, grouped / (double)bench->count, parquet, split);
    bench_print_runs(bench->options, &runs, more);
    return LEAT_OK;
}

static leat_status bench_start(struct group_bench *bench, leat_error *err) {
    TRY(config_parse(slice_of(click_rows_config), "bench", &bench->config, err));
    TRY(click_rows_open(&bench->rows, bench->options->input, err));
    TRY(builder_create(schema_event(), &bench->events, err));
    TRY(builder_create(schema_example(), &bench->examples, err));
    TRY(builder_create(schema_example_group(), &bench->groups, err));
    TRY(grouping_create(bench->config, &bench->grouping, err));
    const struct flow_options flow = {.config = bench->config, .emit = take, .context = bench};
    return flow_open(&flow, &bench->flow, err);
}

leat_status bench_group(const struct bench_options *options, leat_error *err) {
    struct group_bench *bench = memory_zalloc(sizeof(*bench));
    if (!bench) {
        return error_memory(err, sizeof(*bench));
    }
    bench->options = options;
    bytes_init(&bench->flat.bytes);
    bytes_init(&bench->grouped.bytes);
    leat_status status = bench_start(bench, err);
    if (status == LEAT_OK) {
        status = measure(bench, err);
    }
    flow_close(bench->flow);
    grouping_destroy(bench->grouping);
    builder_destroy(bench->events);
    builder_destroy(bench->examples);
    builder_destroy(bench->groups);
    click_rows_close(&bench->rows);
    config_destroy(bench->config);
    bytes_deinit(&bench->flat.bytes);
    bytes_deinit(&bench->grouped.bytes);
    memory_free(bench);
    return status;
}
