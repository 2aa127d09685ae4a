/* Benchmarks of `leat bench`: what they share. A case prints one line; timings never decide. */
#ifndef APP_BENCH_H
#define APP_BENCH_H

#include "base/thread.h"
#include "engine/engine.h"
#include "serve/server.h"

enum { BENCH_RUNS = 5, BENCH_THREADS_MAX = 16 }; /* runs that count, after one to warm up */

struct bench_options {
    bool json;
    uint64_t size;      /* bytes of the state, of freeze, restore and spill */
    const char *folder; /* where data folders are made; NULL: see scratch.h */
    const char *input;  /* a folder of clicks for `pipeline`; NULL: made up */
    uint64_t rows;      /* of `train`; 0: 10,000,000 */
    const char *out;    /* `train` writes its rows there, and that is all; NULL: it measures */
};

leat_status bench_ingest(const struct bench_options *options, leat_error *err);
leat_status bench_ingest_http(const struct bench_options *options, leat_error *err);
leat_status bench_freeze(const struct bench_options *options, leat_error *err);
leat_status bench_restore(const struct bench_options *options, leat_error *err);
leat_status bench_spill(const struct bench_options *options, leat_error *err);
leat_status bench_feed(const struct bench_options *options, leat_error *err);
leat_status bench_pipeline(const struct bench_options *options, leat_error *err);
leat_status bench_group(const struct bench_options *options, leat_error *err);
leat_status bench_delta(const struct bench_options *options, leat_error *err);
leat_status bench_effect(const struct bench_options *options, leat_error *err);
leat_status bench_join(const struct bench_options *options, leat_error *err);
leat_status bench_train(const struct bench_options *options, leat_error *err);
leat_status bench_table(const struct bench_options *options, leat_error *err);
leat_status bench_deepfm(const struct bench_options *options, leat_error *err);

/* --- an engine to measure --- */

struct bench_house {
    char folder[CONFIG_TEXT_MAX];
    struct config *config;
    struct metrics *metrics;
    struct engine *engine;
    struct server *server;
    char address[SERVER_ADDRESS_MAX];
};

/* The configuration of a house. */
extern const char bench_config[];

/* A durable engine in a folder of its own; with `serve` behind HTTP on a free port of loopback. */
leat_status bench_house_open(const struct bench_options *options, bool serve,
                             struct bench_house *house, leat_error *err);
/* Also after a failed open. `err` is left alone when `status` is a failure; the first failure. */
leat_status bench_house_close(struct bench_house *house, leat_status status, leat_error *err);

/* --- threads --- */

/* One thread's work; `err` is its own. */
struct bench_worker {
    struct thread thread;
    leat_status (*run)(struct bench_worker *worker, leat_error *err);
    void *shared;
    int index;
    uint64_t cpu_ns; /* that its run used */
    leat_status status;
    leat_error err;
};

/* Runs all and waits for all; the first failure. */
leat_status bench_work(struct bench_worker *workers, int count, leat_error *err);
/* CPU time so far of this process's threads of that name; 0 where the system does not say. */
uint64_t bench_cpu_ns(const char *thread_name);
void bench_sleep_until(uint64_t monotonic_ns);

/* --- load --- */

/* Click events as a JSON array, about 150 bytes each, of `users` and `items` drawn from `seed`;
 * `time_ms` below 0: they name no time. */
void bench_clicks(struct bytes *out, uint64_t seed, int count, int users, int items,
                  int64_t time_ms);

/* --- results --- */

struct bench_runs {
    const char *name;
    const char *unit;
    int count;
    double values[BENCH_RUNS];
};

/* {"name":..,"unit":..,"median":..,"min":..,"max":..,"runs":..<more>}, or the same in words. `more`
 * is JSON members that begin with a comma. */
void bench_print_runs(const struct bench_options *options, struct bench_runs *runs,
                      const char *more);
/* Of two doubles, and of two uint64_t, for qsort. */
int bench_compare(const void *left, const void *right);
int bench_compare_u64(const void *left, const void *right);

#endif
