/* `freeze`: one thread changes records of a large state as fast as it can, another writes a
 * checkpoint every ten seconds. A run is what happens from one freeze to the next; before the first
 * there is as long a time without checkpoints, and one that writes everything.
 *
 * A pause is what a batch of 64 changes takes, the call of state_freeze and every wait for a copy
 * included. `pause_p99_ms`: of the longest pause in each tenth of a second of all runs, the value
 * that 99 of 100 stay below, so that millions of short batches hide nothing. Where other programs
 * want the cores too, `own_p99_ms` (the same in CPU time of the writer, without its waits) and
 * `cpu_loss` (the throughput lost a second of its CPU time) say what leat itself is to blame for.
 */
#include "app/bench_state.h"
#include "app/scratch.h"
#include "base/memory.h"

#include <inttypes.h>

enum { BATCH = 64, WINDOW_NS = 100000000, WINDOWS_MAX = 100000 };

#define INTERVAL_NS UINT64_C(10000000000)
#define RESERVE     (INT64_C(2) << 30) /* as checkpoint.reserve has it where nothing is set */

/* What a record's data begins with. */
struct mark {
    uint64_t changes;
    uint64_t freeze; /* after which freeze it was changed last */
};

struct freeze {
    double theta;
    uint64_t records;
    struct state *state;
    struct state_budget budget;
    struct bench_draw draw;
    char folder[PATH_BYTES_MAX];
    struct checkpoint_chain *chain;

    /* The writer's, and after each freeze the checkpoint thread's to read. */
    uint64_t operations, changed_records;
    uint64_t freezes;
    _Atomic uint64_t done;   /* operations */
    _Atomic uint64_t cpu_ns; /* that the writer used, as of the last window */
    _Atomic bool measuring;
    _Atomic bool stop;
    float windows_ms[WINDOWS_MAX]; /* the longest pause of each */
    float own_ms[WINDOWS_MAX];     /* in CPU time */
    int window_count;

    _Atomic bool wanted; /* a freeze */
    struct mutex mutex;
    struct condition frozen;
    struct state_snapshot *snapshot;
    uint64_t snapshot_records; /* that were changed before it, since the one before */
    leat_status status;
    leat_error failure;

    /* Results. */
    double rate_without, rates[BENCH_RUNS];
    double cpu_without, cpu_with; /* operations a ns of the writer's CPU time */
    uint64_t written_bytes, page_bytes, record_bytes, checkpoints;
    double freeze_ms_max, write_seconds_max;
};

/* --- the writer --- */

static void record_change(struct freeze *freeze, const struct state_key *key) {
    uint32_t size;
    state_enter(freeze->state, key->hash);
    struct mark *mark = state_edit(freeze->state, key, &size);
    if (mark) {
        mark->changes++;
        freeze->changed_records += mark->freeze != freeze->freezes;
        mark->freeze = freeze->freezes;
    }
    state_leave(freeze->state, key->hash);
}

static void batch_run(struct freeze *freeze) {
    char ids[BATCH][BENCH_ID_BYTES];
    struct state_key keys[BATCH];
    for (int i = 0; i < BATCH; i++) {
        keys[i] = bench_state_key(bench_draw_next(&freeze->draw), ids[i]);
    }
    state_prefetch(freeze->state, keys, BATCH);
    for (int i = 0; i < BATCH; i++) {
        record_change(freeze, &keys[i]);
    }
    freeze->operations += BATCH;
    atomic_store_explicit(&freeze->done, freeze->operations, memory_order_relaxed);
}

/* Between batches, by the thread that changes the state. */
static void freeze_run(struct freeze *freeze) {
    struct state_snapshot *snapshot = NULL;
    uint64_t begun_ns = clock_monotonic_ns();
    leat_error failure = {.message = ""};
    leat_status status = state_freeze(freeze->state, &snapshot, &failure);
    if (status == LEAT_OK) {
        state_snapshot_since(snapshot, checkpoint_chain_version(freeze->chain, "bench"));
    }
    double took_ms = (double)(clock_monotonic_ns() - begun_ns) * 1e-6;
    mutex_lock(&freeze->mutex);
    freeze->freeze_ms_max = took_ms > freeze->freeze_ms_max ? took_ms : freeze->freeze_ms_max;
    freeze->snapshot = snapshot;
    freeze->snapshot_records = freeze->changed_records;
    freeze->status = status;
    freeze->failure = failure;
    freeze->changed_records = 0;
    freeze->freezes++;
    atomic_store(&freeze->wanted, false);
    condition_signal(&freeze->frozen);
    mutex_unlock(&freeze->mutex);
}

/* The longest of a window, by the clock on the wall and by the writer's own. */
struct pauses {
    uint64_t window_ns, wall_ns, cpu_ns; /* when the window, and the batch, began */
    uint64_t longest_ns, longest_cpu_ns;
};

static void pauses_note(struct freeze *freeze, struct pauses *pauses) {
    uint64_t wall_ns = clock_monotonic_ns();
    uint64_t cpu_ns = clock_thread_cpu_ns();
    uint64_t took_ns = wall_ns - pauses->wall_ns;
    uint64_t took_cpu_ns = cpu_ns - pauses->cpu_ns;
    pauses->longest_ns = took_ns > pauses->longest_ns ? took_ns : pauses->longest_ns;
    pauses->longest_cpu_ns =
        took_cpu_ns > pauses->longest_cpu_ns ? took_cpu_ns : pauses->longest_cpu_ns;
    pauses->wall_ns = wall_ns;
    pauses->cpu_ns = cpu_ns;
    if (wall_ns - pauses->window_ns < WINDOW_NS) {
        return;
    }
    if (atomic_load(&freeze->measuring) && freeze->window_count < WINDOWS_MAX) {
        freeze->own_ms[freeze->window_count] = (float)((double)pauses->longest_cpu_ns * 1e-6);
        freeze->windows_ms[freeze->window_count++] = (float)((double)pauses->longest_ns * 1e-6);
    }
    atomic_store(&freeze->cpu_ns, cpu_ns);
    pauses->window_ns = wall_ns;
    pauses->longest_ns = 0;
    pauses->longest_cpu_ns = 0;
}

static leat_status writer_run(struct bench_worker *worker, leat_error *err) {
    (void)err;
    struct freeze *freeze = worker->shared;
    struct pauses pauses = {.window_ns = clock_monotonic_ns(),
                            .wall_ns = clock_monotonic_ns(),
                            .cpu_ns = clock_thread_cpu_ns()};
    while (!atomic_load_explicit(&freeze->stop, memory_order_relaxed)) {
        if (atomic_load_explicit(&freeze->wanted, memory_order_relaxed)) {
            freeze_run(freeze);
        }
        batch_run(freeze);
        pauses_note(freeze, &pauses);
    }
    return LEAT_OK;
}

/* --- the checkpoints --- */

static leat_status snapshot_take(struct freeze *freeze, struct state_snapshot **out,
                                 leat_error *err) {
    mutex_lock(&freeze->mutex);
    atomic_store(&freeze->wanted, true);
    while (atomic_load(&freeze->wanted)) {
        condition_wait(&freeze->frozen, &freeze->mutex);
    }
    *out = freeze->snapshot;
    leat_status status = freeze->status;
    if (status != LEAT_OK) {
        *err = freeze->failure;
    }
    mutex_unlock(&freeze->mutex);
    return status > 0 ? error_set(err, LEAT_AGAIN, "a snapshot is open already") : status;
}

static leat_status checkpoint_put(struct freeze *freeze, uint64_t sequence,
                                  struct state_snapshot *snapshot, bool counts, leat_error *err) {
    struct checkpoint_identity identity = {.sequence = sequence, .key_groups = BENCH_STATE_GROUPS};
    struct checkpoint_options options = {.chain = freeze->chain};
    struct checkpoint_writer *writer;
    leat_status status =
        checkpoint_begin(disk_real(), freeze->folder, &identity, &options, &writer, err);
    if (status == LEAT_OK) {
        status = checkpoint_state(writer, "bench", snapshot, BENCH_STATE_GROUPS, err);
    }
    state_snapshot_release(snapshot);
    TRY(status);
    status = checkpoint_part(writer, "end", err); /* the part before it is written to its end */
    struct checkpoint_progress progress = checkpoint_progress_of(writer);
    if (status < 0) {
        checkpoint_abandon(writer);
        return status;
    }
    TRY(checkpoint_commit(writer, err));
    if (counts) {
        freeze->written_bytes += progress.written_bytes;
        freeze->page_bytes += progress.changed_bytes;
        freeze->record_bytes += freeze->snapshot_records * BENCH_RECORD_BYTES;
        freeze->checkpoints++;
    }
    return checkpoint_clean(disk_real(), freeze->folder, 2, err);
}

static double rate_since(struct freeze *freeze, uint64_t operations, uint64_t begun_ns) {
    uint64_t done = atomic_load_explicit(&freeze->done, memory_order_relaxed) - operations;
    return (double)done / ((double)(clock_monotonic_ns() - begun_ns) * 1e-9);
}

/* Until the next freeze is due: ten seconds after the last one, or when its checkpoint is written.
 */
static leat_status interval_run(struct freeze *freeze, uint64_t sequence, double *rate,
                                leat_error *err) {
    struct state_snapshot *snapshot;
    uint64_t begun_ns = clock_monotonic_ns();
    uint64_t operations = atomic_load_explicit(&freeze->done, memory_order_relaxed);
    TRY(snapshot_take(freeze, &snapshot, err));
    TRY(checkpoint_put(freeze, sequence, snapshot, rate != NULL, err));
    double seconds = (double)(clock_monotonic_ns() - begun_ns) * 1e-9;
    bench_sleep_until(begun_ns + INTERVAL_NS);
    if (rate) {
        *rate = rate_since(freeze, operations, begun_ns);
        freeze->write_seconds_max =
            seconds > freeze->write_seconds_max ? seconds : freeze->write_seconds_max;
    }
    return LEAT_OK;
}

/* Operations a ns of CPU time since then. */
static double cpu_rate_since(struct freeze *freeze, uint64_t operations, uint64_t cpu_ns) {
    uint64_t done = atomic_load_explicit(&freeze->done, memory_order_relaxed) - operations;
    uint64_t used_ns = atomic_load(&freeze->cpu_ns) - cpu_ns;
    return used_ns ? (double)done / (double)used_ns : 0;
}

static leat_status intervals_run(struct freeze *freeze, leat_error *err) {
    uint64_t begun_ns = clock_monotonic_ns();
    bench_sleep_until(begun_ns + INTERVAL_NS / 5); /* to warm up */
    begun_ns = clock_monotonic_ns();
    uint64_t operations = atomic_load_explicit(&freeze->done, memory_order_relaxed);
    uint64_t cpu_ns = atomic_load(&freeze->cpu_ns);
    bench_sleep_until(begun_ns + INTERVAL_NS);
    freeze->rate_without = rate_since(freeze, operations, begun_ns);
    freeze->cpu_without = cpu_rate_since(freeze, operations, cpu_ns);
    TRY(interval_run(freeze, 1, NULL, err));
    atomic_store(&freeze->measuring, true);
    operations = atomic_load_explicit(&freeze->done, memory_order_relaxed);
    cpu_ns = atomic_load(&freeze->cpu_ns);
    for (int i = 0; i < BENCH_RUNS; i++) {
        TRY(interval_run(freeze, 2 + (uint64_t)i, &freeze->rates[i], err));
    }
    freeze->cpu_with = cpu_rate_since(freeze, operations, cpu_ns);
    return LEAT_OK;
}

static leat_status checkpoints_run(struct bench_worker *worker, leat_error *err) {
    struct freeze *freeze = worker->shared;
    leat_status status = intervals_run(freeze, err);
    atomic_store(&freeze->stop, true);
    return status;
}

/* --- results --- */

static int float_compare(const void *left, const void *right) {
    float a = *(const float *)left;
    float b = *(const float *)right;
    return (a > b) - (a < b);
}

/* Sorts; 0 of none. */
static double quantile(float *values, int count, double share) {
    qsort(values, (size_t)count, sizeof(float), float_compare);
    int index = (int)(share * (count - 1) + 0.5);
    return count ? (double)values[index] : 0;
}

static void print_results(const struct bench_options *options, struct freeze *freeze,
                          const char *name) {
    struct bench_runs runs = {.name = name, .unit = "updates/s", .count = BENCH_RUNS};
    double with = 0;
    for (int i = 0; i < BENCH_RUNS; i++) {
        runs.values[i] = freeze->rates[i];
        with += freeze->rates[i] / BENCH_RUNS;
    }
    double most = quantile(freeze->windows_ms, freeze->window_count, 1);
    double p99 = quantile(freeze->windows_ms, freeze->window_count, 0.99);
    double own_p99 = quantile(freeze->own_ms, freeze->window_count, 0.99);
    char more[600];
    snprintf(more, sizeof(more),
             ",\"pause_p99_ms\":%.2f,\"pause_max_ms\":%.2f,\"freeze_max_ms\":%.3f"
             ",\"own_p99_ms\":%.2f,\"cpu_loss\":%.3f"
             ",\"bytes_ratio\":%.3f,\"record_ratio\":%.2f,\"loss\":%.3f,\"without\":%.0f"
             ",\"dirty_bytes\":%.0f,\"write_max_s\":%.1f,\"copies_bytes\":%" PRId64
             ",\"reserve_bytes\":%" PRId64 ",\"state_bytes\":%" PRIu64,
             p99, most, freeze->freeze_ms_max, own_p99, 1 - freeze->cpu_with / freeze->cpu_without,
             (double)freeze->written_bytes / (double)freeze->page_bytes,
             (double)freeze->written_bytes / (double)freeze->record_bytes,
             1 - with / freeze->rate_without, freeze->rate_without,
             (double)freeze->page_bytes / (double)freeze->checkpoints, freeze->write_seconds_max,
             atomic_load(&freeze->budget.copies_most), freeze->budget.copies_max,
             state_bytes(freeze->state));
    bench_print_runs(options, &runs, more);
}

static leat_status case_run(const struct bench_options *options, struct freeze *freeze,
                            const char *name, leat_error *err) {
    TRY(bench_state_open(freeze->records, &freeze->budget, &freeze->state, err));
    TRY(checkpoint_chain_create(&freeze->chain, err));
    bench_draw_init(&freeze->draw, 1, freeze->records, freeze->theta);
    struct bench_worker workers[2] = {{.run = writer_run, .shared = freeze},
                                      {.run = checkpoints_run, .shared = freeze}};
    TRY(bench_work(workers, 2, err));
    print_results(options, freeze, name);
    return LEAT_OK;
}

static leat_status case_open(const struct bench_options *options, double theta, const char *name,
                             leat_error *err) {
    char scratch[CONFIG_TEXT_MAX];
    struct freeze *freeze = memory_zalloc(sizeof(*freeze));
    if (!freeze) {
        return error_memory(err, sizeof(*freeze));
    }
    freeze->theta = theta;
    freeze->records = bench_state_records(options->size);
    freeze->budget.bytes_max = INT64_MAX / 2;
    freeze->budget.copies_max = RESERVE;
    mutex_init(&freeze->mutex);
    condition_init(&freeze->frozen);
    leat_status status = scratch_make(options->folder, scratch, err);
    if (status == LEAT_OK) {
        status = path_join(freeze->folder, scratch, "checkpoints", err);
        status = status == LEAT_OK ? case_run(options, freeze, name, err) : status;
        leat_status removed = scratch_remove(scratch, status < 0 ? NULL : err);
        status = status < 0 ? status : removed;
    }
    checkpoint_chain_destroy(freeze->chain);
    if (freeze->state) {
        state_close(freeze->state);
    }
    condition_deinit(&freeze->frozen);
    mutex_deinit(&freeze->mutex);
    memory_free(freeze);
    return status;
}

leat_status bench_freeze(const struct bench_options *options, leat_error *err) {
    TRY(case_open(options, 0, "freeze/uniform", err));
    return case_open(options, 0.99, "freeze/zipf", err);
}
