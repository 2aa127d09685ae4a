/* `leat examples`: what the model learnt from, made again from the log. */
#include "app/backfill.h"
#include "app/command.h"
#include "app/example_sink.h"
#include "app/progress.h"
#include "base/clock.h"
#include "flow/group.h"
#include "log/position.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

/* Requests that stand together are grouped: a larger batch holds more of them whole. */
enum { BATCH_ROWS = 4096, GROUPED_ROWS = 16384, PROGRESS_AFTER_S = 2 };

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number) {
    (void)signal_number;
    stop_asked = 1;
}

struct asked {
    struct command_files files;
    const char *from, *to, *out, *format;
    bool grouped;
};

struct run {
    uint64_t from, to;
    enum example_format format;
    struct progress progress;
    uint64_t begun_ns;
    double told_s;
};

/* --- what is asked for --- */

static leat_status read_place(const char *name, const char *text, uint64_t *out, leat_error *err) {
    struct position position;
    if (!text) {
        return LEAT_OK;
    }
    leat_status status = position_read(slice_of(text), &position, err);
    if (status < 0) {
        return error_in(err, status, "--%s", name);
    }
    *out = position_sequence(&position, 0);
    return LEAT_OK;
}

static bool has_ending(const char *path, const char *ending) {
    size_t size = strlen(path);
    size_t end = strlen(ending);
    return size > end + 1 && path[size - end - 1] == '.' && strcmp(path + size - end, ending) == 0;
}

/* --format, or the file's name says it. */
static leat_status read_format(const struct asked *asked, enum example_format *out,
                               leat_error *err) {
    for (int f = 0; f < EXAMPLE_FORMATS; f++) {
        const char *name = example_format_name((enum example_format)f);
        if (asked->format ? strcmp(asked->format, name) == 0 : has_ending(asked->out, name)) {
            *out = (enum example_format)f;
            return LEAT_OK;
        }
    }
    return asked->format
               ? error_set(err, LEAT_INVALID, "--format %s: parquet, jsonl and frames are possible",
                           asked->format)
               : error_set(err, LEAT_INVALID,
                           "--out %s ends in none of .parquet, .jsonl and .frames: say --format",
                           asked->out);
}

static leat_status read_asked(const struct asked *asked, struct run *run, leat_error *err) {
    run->to = UINT64_MAX;
    if (!asked->out) {
        return error_set(err, LEAT_INVALID, "--out FILE is missing");
    }
    TRY(read_format(asked, &run->format, err));
    if (asked->grouped && run->format == EXAMPLE_JSONL) {
        return error_set(err, LEAT_INVALID, "--grouped: Parquet and frames only");
    }
    TRY(read_place("from", asked->from, &run->from, err));
    TRY(read_place("to", asked->to, &run->to, err));
    return run->from <= run->to ? LEAT_OK : error_set(err, LEAT_INVALID, "--from lies behind --to");
}

/* --- the work --- */

static bool look_up(void *context, const struct backfill *backfill) {
    struct run *run = context;
    double seconds = (double)(clock_monotonic_ns() - run->begun_ns) / 1e9;
    if (seconds >= PROGRESS_AFTER_S && seconds - run->told_s >= 1) {
        struct backfill_progress at = backfill_progress(backfill);
        progress_line(&run->progress, seconds,
                      "%" PRIu64 " examples from %" PRIu64 " rows, now at %" PRIu64 " (%.0f s)",
                      at.examples, at.applied - at.restored, at.applied, seconds);
        run->told_s = seconds;
    }
    return stop_asked != 0;
}

static leat_status next_batch(void *context, struct batch *out, leat_error *err) {
    return backfill_next(context, out, err);
}

static leat_status write_all(const struct asked *asked, const struct config *config,
                             struct run *run, struct backfill *backfill, leat_error *err) {
    const struct example_sink sink = {
        .disk = disk_real(),
        .path = asked->out,
        .format = run->format,
        .schema = asked->grouped ? schema_example_group() : schema_example(),
        .config = config,
        .log_id = backfill_log_id(backfill),
        .next = next_batch,
        .context = backfill,
    };
    leat_status status = example_sink_write(&sink, err);
    progress_end(&run->progress);
    if (status == LEAT_OK) {
        struct backfill_progress at = backfill_progress(backfill);
        fprintf(stderr,
                "leat examples: %" PRIu64 " examples of rows %" PRIu64 " to %" PRIu64
                " in %s (flow went from %s at %" PRIu64 ")\n",
                at.examples, run->from, at.applied, asked->out,
                at.restored > 0 ? "a checkpoint" : "the log's begin", at.restored);
    }
    return status;
}

static leat_status run_on(const struct asked *asked, const struct config *config, struct run *run,
                          leat_error *err) {
    struct backfill *backfill;
    const struct backfill_options options = {
        .disk = disk_real(),
        .config = config,
        .from = run->from,
        .to = run->to,
        .grouped = asked->grouped,
        .batch_rows = asked->grouped ? GROUPED_ROWS : BATCH_ROWS,
        .stopping = look_up,
        .context = run,
    };
    TRY(command_check_data(config, err));
    TRY(backfill_open(&options, &backfill, err));
    leat_status status = write_all(asked, config, run, backfill, err);
    backfill_close(backfill);
    return status;
}

static leat_status examples(const struct asked *asked, leat_error *err) {
    struct run run = {.begun_ns = clock_monotonic_ns()};
    struct config *config;
    TRY(read_asked(asked, &run, err));
    TRY(command_config(&asked->files, &config, NULL, err));
    signal(SIGINT, ask_to_stop);
    signal(SIGTERM, ask_to_stop);
    progress_begin(&run.progress);
    leat_status status = run_on(asked, config, &run, err);
    config_destroy(config);
    return status;
}

int command_examples(int argc, char **argv) {
    struct asked asked = {.grouped = false};
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(asked.files),
        {"from", 0, "POS", "First position (as in \"0:17\"); without it, the log's first.",
         &asked.from, NULL},
        {"to", 0, "POS", "Position to stop before; without it, the log's end.", &asked.to, NULL},
        {"out", 0, "FILE", "Where they go; written beside it (.part), then renamed.", &asked.out,
         NULL},
        {"format", 0, "WORD", "parquet, jsonl or frames; without it, as the file's name ends.",
         &asked.format, NULL},
        {"grouped", 0, NULL, "One row a request, what its items share stored once.", NULL,
         &asked.grouped},
    };
    const struct usage usage = {
        "leat examples [-c FILE] [--data DIR] [--from POS] [--to POS] --out FILE [--format WORD]\n"
        "               [--grouped]",
        "Makes the examples of a part of the log again: those that the rows from --from on, "
        "before\n"
        "--to, settled. They are the ones that the server learnt from, row for row, under the "
        "same\n"
        "configuration. A server may be running on the folder: nothing is locked or changed.\n"
        "Parquet needs DuckDB's library, libduckdb.so: tools/setup fetches it, or LEAT_DUCKDB in\n"
        "the environment names it.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 0, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    return examples(&asked, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
