/* `leat experiment`: published experiments, repeated, and the tools that they need. */
#include "app/experiment.h"
#include "base/text.h"

#include <string.h>

struct experiment {
    const char *name;
    const char *full; /* for messages */
    const char *words;
    int (*run)(int argc, char **argv);
};

static const struct experiment experiments[] = {
    {"sync", "experiment sync", "Learn while serving, with copies at intervals.",
     experiment_sync_run},
    {"stream", "experiment stream", "Write a stream of clicks that drifts.", experiment_stream_run},
    {"plot", "experiment plot", "Draw a table of numbers.", experiment_plot_run},
};
enum { EXPERIMENTS = sizeof(experiments) / sizeof(experiments[0]) };

static void experiments_help(FILE *out) {
    fprintf(out, "leat experiment COMMAND [OPTION]...\n\nRepeats published experiments.\n\n"
                 "Commands:\n");
    for (int i = 0; i < EXPERIMENTS; i++) {
        fprintf(out, "  %-8s  %s\n", experiments[i].name, experiments[i].words);
    }
    fprintf(out, "\nleat experiment COMMAND --help says more.\n");
}

static int experiment_unknown(const char *name) {
    const char *known[EXPERIMENTS];
    for (int i = 0; i < EXPERIMENTS; i++) {
        known[i] = experiments[i].name;
    }
    const char *nearest = text_nearest(slice_of(name), known, EXPERIMENTS);
    fprintf(stderr, "leat experiment: '%s' is unknown%s%s%s\n", name,
            nearest ? "; did you mean '" : "; leat experiment --help lists those there are",
            nearest ? nearest : "", nearest ? "'?" : "");
    return COMMAND_MISUSED;
}

int command_experiment(int argc, char **argv) {
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (argc < 2 || help) {
        experiments_help(help ? stdout : stderr);
        return help ? COMMAND_FINE : COMMAND_MISUSED;
    }
    for (int i = 0; i < EXPERIMENTS; i++) {
        if (strcmp(argv[1], experiments[i].name) == 0) {
            argv[1] = (char *)experiments[i].full;
            return experiments[i].run(argc - 1, argv + 1);
        }
    }
    return experiment_unknown(argv[1]);
}
