/* `spill`: updates of a state four times its memory budget, keys by Zipf's law (0.99), by one
 * thread. Cold records lie in a file past the page cache. A run is UPDATES updates; records that
 * are not in memory are read back one by one, in the thread that wants them. Beside the rate: the
 * resident memory of the process over the budget (what it had before the state was made is taken
 * off), the share of updates that read the file, and random reads of 4 KiB of that file by one
 * thread in the same run, which bound it. */
#include "app/bench_state.h"
#include "app/scratch.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { BATCH = 64, UPDATES = 2000000, UNIT = 4096, READS = 20000, TIMES = 4 };

struct spill {
    char folder[PATH_BYTES_MAX];
    struct state_budget budget;
    struct state *state;
    struct bench_draw draw;
    uint64_t records;
    int64_t resident_before, resident_most;
};

static int64_t resident_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file) {
        if (fscanf(file, "%*d %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static leat_status fill(struct spill *spill, leat_error *err) {
    for (uint64_t number = 0; number < spill->records; number++) {
        char id[BENCH_ID_BYTES];
        struct state_key key = bench_state_key(number, id);
        void *data;
        state_enter(spill->state, key.hash);
        leat_status status = state_put(spill->state, &key, BENCH_DATA_BYTES, &data, err);
        if (status == LEAT_OK) {
            memset(data, (int)(key.hash & 127) + 1, BENCH_DATA_BYTES);
        }
        state_leave(spill->state, key.hash);
        TRY(status);
        if (number % 1024 == 0) {
            TRY(state_trim(&spill->state, 1, err));
        }
    }
    return state_trim(&spill->state, 1, err);
}

static leat_status update(struct spill *spill, const struct state_key *key, leat_error *err) {
    uint32_t size;
    state_enter(spill->state, key->hash);
    uint8_t *data = state_edit(spill->state, key, &size);
    bool right = data && size == BENCH_DATA_BYTES && data[size - 1] == (key->hash & 127) + 1;
    if (right) {
        data[0]++;
    }
    state_leave(spill->state, key->hash);
    return right ? LEAT_OK
                 : error_set(err, LEAT_CORRUPT, "the record of %.*s did not come back",
                             (int)key->id.size, key->id.data);
}

static leat_status updates(struct spill *spill, leat_error *err) {
    char ids[BATCH][BENCH_ID_BYTES];
    struct state_key keys[BATCH];
    for (int done = 0; done < UPDATES; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            keys[i] = bench_state_key(bench_draw_next(&spill->draw), ids[i]);
        }
        state_prefetch(spill->state, keys, BATCH);
        for (int i = 0; i < BATCH; i++) {
            TRY(update(spill, &keys[i], err));
        }
        TRY(state_trim(&spill->state, 1, err));
    }
    int64_t resident = resident_bytes();
    spill->resident_most = resident > spill->resident_most ? resident : spill->resident_most;
    return LEAT_OK;
}

/* Reads a second of one thread, of places drawn at random in a file like the spill file. */
static leat_status reads_rate(const struct spill *spill, double *rate, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct file *file;
    TRY(path_join(path, spill->folder, "reads", err));
    TRY(file_open(disk_real(), path, FILE_DIRECT, &file, err));
    uint64_t bytes = 256 << 20;
    size_t chunk = 1 << 20;
    uint8_t *data = memory_aligned(UNIT, chunk);
    leat_status status = data ? LEAT_OK : error_memory(err, chunk);
    for (uint64_t at = 0; at < bytes && status == LEAT_OK; at += chunk) {
        memset(data, (int)(at >> 20), chunk);
        status = file_write(file, data, chunk, at, err);
    }
    struct rng rng;
    rng_init(&rng, 1);
    uint64_t begun_ns = clock_monotonic_ns();
    for (int i = 0; i < READS && status == LEAT_OK; i++) {
        size_t got = 0;
        status = file_read(file, data, UNIT, rng_below(&rng, bytes / UNIT) * UNIT, &got, err);
    }
    *rate = READS * 1e9 / (double)(clock_monotonic_ns() - begun_ns);
    memory_free(data);
    file_close(file);
    return status;
}

static leat_status spill_run(const struct bench_options *options, struct spill *spill,
                             leat_error *err) {
    struct bench_runs runs = {.name = "spill", .unit = "updates/s"};
    double reads = 0;
    uint64_t fetched[2], written[2], cpu_ns = 0;
    TRY(fill(spill, err));
    TRY(updates(spill, err)); /* to warm up */
    state_spill_counts(spill->state, &fetched[0], &written[0]);
    while (runs.count < BENCH_RUNS) {
        uint64_t begun_ns = clock_monotonic_ns();
        uint64_t begun_cpu_ns = clock_thread_cpu_ns();
        TRY(updates(spill, err));
        cpu_ns += clock_thread_cpu_ns() - begun_cpu_ns;
        runs.values[runs.count++] = UPDATES * 1e9 / (double)(clock_monotonic_ns() - begun_ns);
    }
    state_spill_counts(spill->state, &fetched[1], &written[1]);
    TRY(reads_rate(spill, &reads, err));
    double updates_all = (double)BENCH_RUNS * UPDATES;
    double resident = (double)(spill->resident_most - spill->resident_before);
    char more[400];
    snprintf(more, sizeof(more),
             ",\"budget\":%" PRId64 ",\"state_bytes\":%" PRIu64 ",\"records\":%" PRIu64
             ",\"resident_ratio\":%.3f,\"used_ratio\":%.3f,\"cpu_ns\":%.0f"
             ",\"read_share\":%.4f,\"written_bytes_per_update\":%.1f,\"reads_per_s\":%.0f",
             spill->budget.bytes_max, spill->records * BENCH_RECORD_BYTES, spill->records,
             resident / (double)spill->budget.bytes_max,
             (double)spill->budget.bytes_used / (double)spill->budget.bytes_max,
             (double)cpu_ns / updates_all, (double)(fetched[1] - fetched[0]) / updates_all,
             (double)(written[1] - written[0]) / updates_all, reads);
    bench_print_runs(options, &runs, more);
    return LEAT_OK;
}

leat_status bench_spill(const struct bench_options *options, leat_error *err) {
    struct spill spill = {.records = bench_state_records(options->size)};
    TRY(scratch_make(options->folder, spill.folder, err));
    spill.budget = (struct state_budget){.bytes_max = (int64_t)(options->size / TIMES),
                                         .spill_disk = disk_real(),
                                         .spill_folder = spill.folder,
                                         .spill_bytes_max = (int64_t)options->size * 4};
    bench_draw_init(&spill.draw, 1, spill.records, 0.99);
    spill.resident_before = resident_bytes();
    leat_status status = bench_state_empty(&spill.budget, &spill.state, err);
    if (status == LEAT_OK) {
        status = spill_run(options, &spill, err);
        state_close(spill.state);
    }
    leat_status removed = scratch_remove(spill.folder, status < 0 ? NULL : err);
    return status < 0 ? status : removed;
}
