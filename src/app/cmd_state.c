/* `leat state`: its subcommands, and `digest`: what state a log gives, as digests that two machines
 * can compare. */
#include "app/state_folder.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "engine/engine.h"

#include <inttypes.h>
#include <string.h>

/* Of all parts, in their order, and of how far the log was applied. */
static uint64_t digest_all(const struct engine_digest *digest) {
    uint64_t all = digest->sequence;
    for (int i = 0; i < digest->count; i++) {
        struct slice name = slice_of(digest->parts[i].name);
        all = hash_mix(hash_mix(all, hash_slice(name)), digest->parts[i].value);
    }
    return all;
}

/* Digests are texts: not every JSON reader keeps 64 bits. */
static void put_digest(struct json_writer *json, const char *key, uint64_t value) {
    char text[17];
    snprintf(text, sizeof(text), "%016" PRIx64, value);
    json_key(json, key);
    json_cstring(json, text);
}

static leat_status print_json(const struct engine_digest *digest, leat_error *err) {
    struct bytes out;
    struct json_writer json;
    bytes_init(&out);
    json_begin(&json, &out);
    json_object_open(&json);
    json_key(&json, "sequence");
    json_u64(&json, digest->sequence);
    put_digest(&json, "digest", digest_all(digest));
    json_key(&json, "parts");
    json_object_open(&json);
    for (int i = 0; i < digest->count; i++) {
        put_digest(&json, digest->parts[i].name, digest->parts[i].value);
    }
    json_object_close(&json);
    json_object_close(&json);
    leat_status status = bytes_status(&out, err);
    if (status == LEAT_OK) {
        printf("%.*s\n", (int)out.size, (const char *)out.data);
    }
    bytes_deinit(&out);
    return status;
}

static void print_text(const struct engine_digest *digest) {
    for (int i = 0; i < digest->count; i++) {
        printf("%-10s %016" PRIx64 "\n", digest->parts[i].name, digest->parts[i].value);
    }
    printf("%-10s %016" PRIx64 " at sequence %" PRIu64 "\n", "all", digest_all(digest),
           digest->sequence);
}

static leat_status take_digest(const struct engine_options *options, struct engine_digest *out,
                               leat_error *err) {
    struct engine *engine;
    struct engine_report report = {.words = ""};
    TRY(engine_open(options, &engine, &report, err));
    fprintf(stderr, "leat state: data %s: %s\n", options->config->root.data, report.words);
    leat_status status = engine_run(engine, UINT64_MAX, err);
    if (status == LEAT_OK) {
        status = engine_digest(engine, out, err);
    }
    engine_abandon(engine); /* not closed: looking at a folder leaves no checkpoint in it */
    return status;
}

static leat_status run(const struct command_files *files, const char *batch, bool replay, bool json,
                       leat_error *err) {
    int64_t batch_rows = 0;
    TRY(options_integer("batch", batch, 1, 1 << 20, &batch_rows, err));
    struct config *config;
    TRY(command_config(files, &config, NULL, err));
    struct engine_options options = {.config = config,
                                     .inline_mode = true,
                                     .without_checkpoints = replay,
                                     .batch_rows = (int)batch_rows};
    struct engine_digest digest;
    leat_status status = command_check_data(config, err);
    if (status == LEAT_OK) {
        status = take_digest(&options, &digest, err);
    }
    if (status == LEAT_OK && json) {
        status = print_json(&digest, err);
    } else if (status == LEAT_OK) {
        print_text(&digest);
    }
    config_destroy(config);
    return status;
}

int state_digest_run(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    const char *batch = NULL;
    bool replay = false;
    bool json = false;
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {"replay", 0, NULL, "Replay the log from its start, without any checkpoint.", NULL,
         &replay},
        {"batch", 0, "N", "Rows applied at a time; never changes a digest.", &batch, NULL},
        {"json", 0, NULL, "As one JSON object.", NULL, &json},
    };
    const struct usage usage = {
        "leat state digest [-c FILE] [--data DIR] [--replay] [--batch N] [--json]",
        "Applies a log to its end and prints the digest of every part of the state and of the\n"
        "model. Equal logs give equal digests, from a checkpoint or replayed, in any batches. The\n"
        "folder must not be in use by a server.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 0, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    return run(&files, batch, replay, json, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}

/* --- subcommands --- */

struct subcommand {
    const char *name;
    const char *full; /* for messages */
    const char *words;
    int (*run)(int argc, char **argv);
};

static const struct subcommand subcommands[] = {
    {"digest", "state digest", "Prove what state a log gives.", state_digest_run},
    {"list", "state list", "Print the checkpoints.", state_list_run},
    {"check", "state check", "Read every checkpoint and say what is bad.", state_check_run},
    {"dump", "state dump", "Print the records of an operator.", state_dump_run},
    {"find", "state find", "Search a text in all bytes of all checkpoints.", state_find_run},
    {"export", "state export", "Write a checkpoint as a savepoint.", state_export_run},
};
enum { SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0]) };

static void subcommands_help(void) {
    printf("leat state COMMAND [OPTION]...\n\nLooks at the state of a data folder.\n\n"
           "Commands:\n");
    for (int i = 0; i < SUBCOMMANDS; i++) {
        printf("  %-8s  %s\n", subcommands[i].name, subcommands[i].words);
    }
    printf("\nleat state COMMAND --help says more.\n");
}

static int subcommand_unknown(const char *name) {
    const char *known[SUBCOMMANDS];
    for (int i = 0; i < SUBCOMMANDS; i++) {
        known[i] = subcommands[i].name;
    }
    const char *nearest = text_nearest(slice_of(name), known, SUBCOMMANDS);
    fprintf(stderr, "leat state: '%s' is unknown%s%s%s\n", name,
            nearest ? "; did you mean '" : "; leat state --help lists those there are",
            nearest ? nearest : "", nearest ? "'?" : "");
    return COMMAND_MISUSED;
}

int command_state(int argc, char **argv) {
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc < 2 || help) {
        subcommands_help();
        return help ? COMMAND_FINE : COMMAND_MISUSED;
    }
    for (int i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0) {
            argv[1] = (char *)subcommands[i].full;
            return subcommands[i].run(argc - 1, argv + 1);
        }
    }
    return subcommand_unknown(argv[1]);
}
