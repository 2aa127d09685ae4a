/* `leat bench`: how fast, as one line a case. */
#include "app/bench.h"
#include "app/command.h"
#include "base/text.h"

#include <string.h>

struct bench {
    const char *name; /* what is asked for; `a` asks for `a/b`, too */
    const char *words;
    leat_status (*run)(const struct bench_options *options, leat_error *err);
};

static const struct bench benches[] = {
    {"ingest", "Events acknowledged on disk a second, parsed and appended in this process.",
     bench_ingest},
    {"ingest-http", "The same over HTTP on loopback.", bench_ingest_http},
    {"spill", "Updates of a state four times its memory, by Zipf's law.", bench_spill},
    {"freeze", "Changes of a large state while checkpoints are written, evenly and by Zipf's law.",
     bench_freeze},
    {"restore", "A large state out of a checkpoint, back in service.", bench_restore},
    {"feed", "Latency of pages over HTTP at a fixed rate, while events arrive.", bench_feed},
    {"pipeline", "Clicks through all of flow a second, with every feature, and no learning.",
     bench_pipeline},
    {"group", "Examples grouped by request a second, and how much smaller they are then.",
     bench_group},
    {"delta", "What changed in a model, to a replica: bytes, speed, and what int8 costs in AUC.",
     bench_delta},
    {"effect", "From an action to the page that has learnt from it, while events arrive.",
     bench_effect},
    {"join", "Served rows and actions joined a second and core, 5,000,000 showings open.",
     bench_join},
    {"train", "Planted rows learnt a second: from text, from a cache, by a factorisation machine.",
     bench_train},
    {"table", "Ten million embedding rows: look-ups beside the machine's random reads, inserts.",
     bench_table},
    {"train/deepfm", "DeepFM learnt a second, rows of Criteo's shape, beside matrix products.",
     bench_deepfm},
};
enum { BENCH_SIZE_MIN = 1 << 20 };
enum { BENCH_COUNT = sizeof(benches) / sizeof(benches[0]) };

static int list_benches(void) {
    for (int i = 0; i < BENCH_COUNT; i++) {
        printf("%-12s %s\n", benches[i].name, benches[i].words);
    }
    printf("%-12s %s\n", "all", "All of these.");
    return COMMAND_FINE;
}

static bool is_asked(const char *name, const char *bench) {
    size_t size = strlen(name);
    return strncmp(name, bench, size) == 0 && (bench[size] == '\0' || bench[size] == '/');
}

static leat_status run_benches(const char *name, const struct bench_options *options,
                               leat_error *err) {
    bool all = strcmp(name, "all") == 0;
    bool found = false;
    for (int i = 0; i < BENCH_COUNT; i++) {
        if (all || is_asked(name, benches[i].name)) {
            TRY(benches[i].run(options, err));
            found = true;
        }
    }
    return found ? LEAT_OK
                 : error_set(err, LEAT_INVALID, "'%s' is unknown; leat bench lists them", name);
}

int command_bench(int argc, char **argv) {
    struct bench_options options = {.json = false};
    const char *size = "4GiB";
    const char *rows = NULL;
    int64_t row_count = 0;
    const struct option table[] = {
        {"json", 0, NULL, "One line of JSON a case.", NULL, &options.json},
        {"data", 0, "DIR", "Where data folders are made and removed (default $TMPDIR or /var/tmp).",
         &options.folder, NULL},
        {"input", 0, "DIR", "Globo's clicks for pipeline and group (default: made up).",
         &options.input, NULL},
        {"rows", 0, "N", "Rows of train (default 10000000).", &rows, NULL},
        {"out", 0, "FILE", "Only write the rows of train, as Vowpal Wabbit's text.", &options.out,
         NULL},
        {"size", 0, "BYTES", "State of freeze, restore and spill (default 4GiB).", &size, NULL},
    };
    const struct usage usage = {
        "leat bench [NAME] [--json] [--data DIR] [--input DIR] [--size BYTES]\n"
        "                  [--rows N] [--out FILE]",
        "Measures: a run to warm up, then five. Without a name it lists what there is.", table,
        sizeof(table) / sizeof(table[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    if (rest == 0) {
        return list_benches();
    }
    leat_error err = {.message = ""};
    if (!text_to_size(slice_of(size), &options.size) || options.size < BENCH_SIZE_MIN) {
        fprintf(stderr, "leat bench: --size: '%s' is not a size of 1MiB or more\n", size);
        return COMMAND_MISUSED;
    }
    if (options_integer("rows", rows, 1000, INT64_C(1) << 40, &row_count, &err) < 0) {
        return command_fail(argv[0], &err);
    }
    options.rows = (uint64_t)row_count;
    return run_benches(argv[1], &options, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
