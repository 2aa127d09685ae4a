/* `leat replay`: a data set through an engine in this process, and what its pages were worth. */
#include "app/replay.h"
#include "app/replay_server.h"
#include "base/text.h"

#include <string.h>

struct replay_arguments {
    const char *format;
    const char *sample;
    const char *evaluate;
    const char *server;
    const char *seconds;
    struct replay_options options;
};

static const struct {
    const char *name;
    leat_status (*run)(const struct replay_options *options, leat_error *err);
} formats[] = {
    {"globo", replay_globo}, {"movielens", replay_movielens}, {"kuairand", replay_kuairand}};
enum { FORMAT_COUNT = sizeof(formats) / sizeof(formats[0]) };

static leat_status find_format(const char *name, int *out, leat_error *err) {
    for (*out = 0; name && *out < FORMAT_COUNT; ++*out) {
        if (strcmp(name, formats[*out].name) == 0) {
            return LEAT_OK;
        }
    }
    return error_set(err, LEAT_INVALID, "--format: '%s' is neither globo, movielens nor kuairand",
                     name ? name : "");
}

static leat_status read_sample(const char *text, double *out, leat_error *err) {
    *out = 1;
    if (text && (!text_to_f64(slice_of(text), out) || *out < 0 || *out > 1)) {
        return error_set(err, LEAT_INVALID, "--sample: '%s' is not a number within 0 and 1", text);
    }
    return LEAT_OK;
}

static leat_status read_window(const char *text, struct replay_options *options, leat_error *err) {
    if (!text) {
        return LEAT_OK;
    }
    const char *dots = strstr(text, "..");
    struct slice from = {text, dots ? (size_t)(dots - text) : 0};
    if (!dots || !text_to_time_ms(from, &options->from_ms) ||
        !text_to_time_ms(slice_of(dots + 2), &options->to_ms) ||
        options->from_ms >= options->to_ms) {
        return error_set(err, LEAT_INVALID,
                         "--evaluate: '%s' is not FROM..TO, two rising times such as "
                         "2017-10-11T03:00:00Z..2017-10-13T03:00:00Z",
                         text);
    }
    options->has_window = true;
    return LEAT_OK;
}

static leat_status read_arguments(struct replay_arguments *arguments, int *format,
                                  leat_error *err) {
    TRY(find_format(arguments->format, format, err));
    TRY(read_sample(arguments->sample, &arguments->options.sample, err));
    TRY(read_window(arguments->evaluate, &arguments->options, err));
    if (!arguments->options.folder) {
        return error_set(err, LEAT_INVALID, "names no folder: leat replay --format %s DIR",
                         arguments->format);
    }
    return LEAT_OK;
}

static leat_status run_format(const struct replay_arguments *arguments, int format,
                              leat_error *err) {
    const struct replay_options *options = &arguments->options;
    struct replay_server_options through = {.folder = options->folder,
                                            .server = arguments->server,
                                            .sample = options->sample,
                                            .strict = options->strict,
                                            .json = options->json};
    if (!arguments->server) {
        return formats[format].run(options, err);
    }
    if (formats[format].run != replay_globo) {
        return error_set(err, LEAT_UNSUPPORTED, "--server: only the format globo goes through one");
    }
    TRY(options_integer("seconds", arguments->seconds, 0, INT32_MAX, &through.seconds_max, err));
    return replay_through_server(&through, err);
}

int command_replay(int argc, char **argv) {
    struct replay_arguments arguments = {0};
    struct replay_options *options = &arguments.options;
    const struct option table[] = {
        {"format", 0, "NAME", "globo, movielens or kuairand.", &arguments.format, NULL},
        {"sample", 0, "S", "Share of the pages that are asked for, 0 to 1 (globo; default 1).",
         &arguments.sample, NULL},
        {"evaluate", 0, "FROM..TO",
         "Times between which is measured (globo; default: about the last 48 h).",
         &arguments.evaluate, NULL},
        {"out", 0, "FILE", "Writes every page (globo) or prediction (kuairand) as a line of JSON.",
         &options->out, NULL},
        {"server", 0, "URL", "Through a running server instead (globo).", &arguments.server, NULL},
        {"seconds", 0, "N", "With --server: stops early after so long (0: never).",
         &arguments.seconds, NULL},
        {"strict", 0, NULL, "Stops at the first malformed row.", NULL, &options->strict},
        {"json", 0, NULL, "Results as lines of JSON.", NULL, &options->json},
        {"config", 'c', "FILE", "Configuration, instead of the built-in one of the format.",
         &options->files.config, NULL},
        {"data", 0, "DIR", "Keeps log and checkpoints there; without it they are thrown away.",
         &options->files.data, NULL},
    };
    const struct usage usage = {
        "leat replay --format NAME DIR [OPTION]...",
        "Replays a data set through an engine of its own: before each event is told, the engine "
        "is\n"
        "asked about it.",
        table, sizeof(table) / sizeof(table[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    int format;
    options->folder = rest > 0 ? argv[1] : NULL;
    if (read_arguments(&arguments, &format, &err) < 0) {
        command_fail(argv[0], &err);
        return COMMAND_MISUSED;
    }
    return run_format(&arguments, format, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
