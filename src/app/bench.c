#include "app/bench.h"

#include "app/scratch.h"
#include "base/hash.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <time.h>

const char bench_config[] =
    "listen: 127.0.0.1:0\n"
    "actions: {click: {window: 10m, weight: 1}, hide: {window: 1d, weight: -1, filter: forever}}\n"
    "surfaces: {for_you: {show: 20}}\n";

static leat_status house_start(const struct bench_options *options, bool serve,
                               struct bench_house *house, leat_error *err) {
    char folder[CONFIG_TEXT_MAX];
    TRY(scratch_make(options->folder, folder, err));
    memcpy(house->folder, folder, sizeof(folder));
    memcpy(house->config->root.data, folder, sizeof(folder));
    struct engine_report report;
    struct engine_options engine = {.config = house->config, .metrics = house->metrics};
    TRY(engine_open(&engine, &house->engine, &report, err));
    if (serve) {
        TRY(server_start(house->engine, house->config, house->metrics, &house->server, err));
        server_address(house->server, house->address);
    }
    return LEAT_OK;
}

leat_status bench_house_open(const struct bench_options *options, bool serve,
                             struct bench_house *house, leat_error *err) {
    *house = (struct bench_house){.folder = ""};
    TRY(config_parse(slice_of(bench_config), "bench", &house->config, err));
    house->metrics = metrics_create();
    return house->metrics ? house_start(options, serve, house, err) : error_memory(err, 0);
}

/* The engine is abandoned: what flow still has to do is no part of what was measured. */
leat_status bench_house_close(struct bench_house *house, leat_status status, leat_error *err) {
    server_stop(house->server);
    if (house->engine) {
        engine_abandon(house->engine);
    }
    if (house->folder[0]) {
        leat_status removed = scratch_remove(house->folder, status < 0 ? NULL : err);
        status = status < 0 ? status : removed;
    }
    metrics_destroy(house->metrics);
    config_destroy(house->config);
    return status < 0 ? status : LEAT_OK;
}

/* --- threads --- */

static void *worker_run(void *argument) {
    struct bench_worker *worker = argument;
    uint64_t begun_ns = clock_thread_cpu_ns();
    worker->status = worker->run(worker, &worker->err);
    worker->cpu_ns = clock_thread_cpu_ns() - begun_ns;
    return NULL;
}

leat_status bench_work(struct bench_worker *workers, int count, leat_error *err) {
    leat_status status = LEAT_OK;
    int started = 0;
    for (; started < count && status == LEAT_OK; started++) {
        struct bench_worker *worker = &workers[started];
        status = thread_start(&worker->thread, "bench", worker_run, worker, err);
    }
    for (int i = 0; i < started; i++) {
        thread_join(&workers[i].thread);
        if (status == LEAT_OK && workers[i].status < 0) {
            status = error_set(err, workers[i].status, "%s", workers[i].err.message);
        }
    }
    return status;
}

/* First word of a file of /proc/self/task/<thread>; false when there is none. */
static bool task_word(const char *task, const char *name, char out[64]) {
    char path[300];
    snprintf(path, sizeof(path), "/proc/self/task/%s/%s", task, name);
    FILE *file = fopen(path, "r");
    bool read = file && fgets(out, 64, file) != NULL;
    if (file) {
        fclose(file);
    }
    return read;
}

uint64_t bench_cpu_ns(const char *thread_name) {
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks) {
        return 0;
    }
    uint64_t sum_ns = 0;
    size_t size = strlen(thread_name);
    for (struct dirent *task; (task = readdir(tasks));) {
        char word[64];
        if (!task_word(task->d_name, "comm", word) || strncmp(word, thread_name, size) != 0 ||
            word[size] != '\n') {
            continue;
        }
        if (task_word(task->d_name, "schedstat", word)) {
            sum_ns += strtoull(word, NULL, 10);
        }
    }
    closedir(tasks);
    return sum_ns;
}

void bench_sleep_until(uint64_t monotonic_ns) {
    struct timespec until = {
        .tv_sec = (time_t)(monotonic_ns / 1000000000u),
        .tv_nsec = (long)(monotonic_ns % 1000000000u),
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

/* --- load --- */

void bench_clicks(struct bytes *out, uint64_t seed, int count, int users, int items,
                  int64_t time_ms) {
    bytes_put_u8(out, '[');
    for (int i = 0; i < count; i++) {
        uint64_t draw = hash_mix(seed, (uint64_t)i);
        uint64_t user = draw % (uint64_t)users;
        uint64_t item = hash_mix(draw, 1) % (uint64_t)items;
        bytes_printf(out,
                     "%s{\"kind\":\"click\",\"user\":\"u%06" PRIu64 "\",\"item\":\"i%06" PRIu64,
                     i > 0 ? "," : "", user, item);
        bytes_printf(out, "\",\"session\":\"s%06" PRIu64 "\",\"surface\":\"for_you\"", user);
        if (time_ms >= 0) {
            bytes_printf(out, ",\"time\":%" PRId64, time_ms);
        }
        bytes_printf(out, ",\"context\":{\"region\":\"%" PRIu64 "\",\"device\":\"%" PRIu64 "\"}}",
                     10 + draw % 20, draw % 4);
    }
    bytes_put_u8(out, ']');
}

/* --- results --- */

int bench_compare(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

int bench_compare_u64(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

void bench_print_runs(const struct bench_options *options, struct bench_runs *runs,
                      const char *more) {
    qsort(runs->values, (size_t)runs->count, sizeof(double), bench_compare);
    double median = runs->values[runs->count / 2];
    double low = runs->values[0];
    double high = runs->values[runs->count - 1];
    printf(options->json ? "{\"name\":\"%s\",\"unit\":\"%s\",\"median\":%.0f,\"min\":%.0f,"
                           "\"max\":%.0f,\"runs\":%d%s}\n"
                         : "%-12s %s: median %.0f, min %.0f, max %.0f of %d runs%s\n",
           runs->name, runs->unit, median, low, high, runs->count, more);
    fflush(stdout);
}
