/* `restore`: a checkpoint of a large state, back in memory and in service, by one thread, read from
 * the page cache. In service: pages, index and due times are there, and a look-up is answered. */
#include "app/bench_state.h"
#include "app/scratch.h"
#include "base/memory.h"

#include <inttypes.h>

struct restore {
    uint64_t records;
    char folder[CONFIG_TEXT_MAX];
    uint64_t bytes; /* of all pages */
    double cpu_rate, wall_seconds;
};

static leat_status checkpoint_make(struct restore *restore, const char *folder, leat_error *err) {
    struct checkpoint_identity identity = {.sequence = 1, .key_groups = BENCH_STATE_GROUPS};
    struct checkpoint_writer *writer;
    struct state *state;
    struct state_snapshot *snapshot;
    TRY(bench_state_open(restore->records, NULL, &state, err));
    leat_status status = state_freeze(state, &snapshot, err);
    if (status == LEAT_OK) {
        status = checkpoint_begin(disk_real(), folder, &identity, NULL, &writer, err);
    }
    if (status == LEAT_OK) {
        status = checkpoint_state(writer, "bench", snapshot, BENCH_STATE_GROUPS, err);
        restore->bytes = checkpoint_progress_of(writer).changed_bytes;
        status = status == LEAT_OK ? checkpoint_commit(writer, err)
                                   : (checkpoint_abandon(writer), status);
    }
    state_snapshot_release(snapshot);
    state_close(state);
    return status;
}

static leat_status lookup_check(struct state *state, uint64_t records, leat_error *err) {
    char id[BENCH_ID_BYTES];
    struct state_key key = bench_state_key(records / 2, id);
    uint32_t size;
    state_enter(state, key.hash);
    const void *data = state_get(state, &key, &size, NULL);
    state_leave(state, key.hash);
    return data && state_count(state) == records
               ? LEAT_OK
               : error_set(err, LEAT_CORRUPT, "%" PRIu64 " records of %" PRIu64 " came back",
                           state_count(state), records);
}

static leat_status restore_once(struct restore *restore, const char *folder, leat_error *err) {
    struct checkpoint *checkpoint;
    struct state *state;
    uint64_t wall_ns = clock_monotonic_ns();
    uint64_t cpu_ns = clock_thread_cpu_ns();
    TRY(bench_state_empty(NULL, &state, err));
    leat_status status = checkpoint_newest(disk_real(), folder, &checkpoint, NULL, err);
    if (status == LEAT_OK) {
        status = checkpoint_restore_state(checkpoint, "bench", 0, BENCH_STATE_GROUPS, state, err);
        checkpoint_close(checkpoint);
    }
    if (status == LEAT_OK) {
        status = lookup_check(state, restore->records, err);
    }
    restore->cpu_rate = (double)restore->bytes / (double)(clock_thread_cpu_ns() - cpu_ns);
    restore->wall_seconds = (double)(clock_monotonic_ns() - wall_ns) * 1e-9;
    state_close(state);
    return status == LEAT_NOT_FOUND ? error_set(err, LEAT_IO, "the checkpoint has gone") : status;
}

static leat_status restore_all(const struct bench_options *options, struct restore *restore,
                               leat_error *err) {
    char folder[PATH_BYTES_MAX];
    TRY(path_join(folder, restore->folder, "checkpoints", err));
    TRY(checkpoint_make(restore, folder, err));
    struct bench_runs runs = {.name = "restore", .unit = "MB/s of a core"};
    double slowest = 0;
    TRY(restore_once(restore, folder, err)); /* to warm up */
    while (runs.count < BENCH_RUNS) {
        TRY(restore_once(restore, folder, err));
        runs.values[runs.count++] = restore->cpu_rate * 1e3;
        slowest = restore->wall_seconds > slowest ? restore->wall_seconds : slowest;
    }
    char more[160];
    snprintf(more, sizeof(more),
             ",\"state_bytes\":%" PRIu64 ",\"records\":%" PRIu64 ",\"slowest_seconds\":%.2f",
             restore->bytes, restore->records, slowest);
    bench_print_runs(options, &runs, more);
    return LEAT_OK;
}

leat_status bench_restore(const struct bench_options *options, leat_error *err) {
    struct restore restore = {.records = bench_state_records(options->size)};
    TRY(scratch_make(options->folder, restore.folder, err));
    leat_status status = restore_all(options, &restore, err);
    leat_status removed = scratch_remove(restore.folder, status < 0 ? NULL : err);
    return status < 0 ? status : removed;
}
