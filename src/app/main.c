/* `leat`: finds the subcommand. */
#include "app/command.h"
#include "base/text.h"

struct command {
    const char *name;
    const char *words;
    int (*run)(int argc, char **argv);
};

static const struct command COMMANDS[] = {
    {"serve", "Take events and answer with pages, over HTTP.", command_serve},
    {"train", "Learn a model from files.", command_train},
    {"eval", "Measure how well a model predicts.", command_eval},
    {"replay", "Replay a data set and measure the pages.", command_replay},
    {"simulate", "Let a simulated audience use a server.", command_simulate},
    {"bench", "Measure speed.", command_bench},
    {"examples", "Write the examples of a log to a file.", command_examples},
    {"experiment", "Repeat published experiments.", command_experiment},
    {"model", "Say what a model is.", command_model},
    {"log", "Print the records of a log.", command_log},
    {"state", "Prove what state a log gives: digests.", command_state},
    {"reference", "Print the reference of the configuration.", command_reference},
    {"version", "Print the version.", command_version},
};
enum { COMMAND_COUNT = sizeof(COMMANDS) / sizeof(COMMANDS[0]) };

static void print_help(FILE *out) {
    fprintf(out,
            "leat COMMAND [OPTION]...\n\nA real-time recommendation engine: events in, the next "
            "page out.\n\nCommands:\n");
    for (int i = 0; i < COMMAND_COUNT; i++) {
        fprintf(out, "  %-10s  %s\n", COMMANDS[i].name, COMMANDS[i].words);
    }
    fprintf(out, "\nleat COMMAND --help says more.\n");
}

static const struct command *find_command(const char *name) {
    for (int i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(COMMANDS[i].name, name) == 0) {
            return &COMMANDS[i];
        }
    }
    return NULL;
}

static int unknown_command(const char *name) {
    const char *known[COMMAND_COUNT];
    for (int i = 0; i < COMMAND_COUNT; i++) {
        known[i] = COMMANDS[i].name;
    }
    const char *nearest = text_nearest(slice_of(name), known, COMMAND_COUNT);
    fprintf(stderr, "leat: command '%s' is unknown%s%s%s\n", name,
            nearest ? "; did you mean '" : "; leat help lists those there are",
            nearest ? nearest : "", nearest ? "'?" : "");
    return COMMAND_MISUSED;
}

/* "leat help log" is "leat log --help". */
static int help_on(const char *name) {
    char asked[] = "--help";
    const struct command *command = find_command(name);
    char *argv[] = {(char *)(command ? command->name : name), asked, NULL};
    return command ? command->run(2, argv) : unknown_command(name);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return COMMAND_MISUSED;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 && argc > 2) {
        return help_on(argv[2]);
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help(stdout);
        return COMMAND_FINE;
    }
    const struct command *command = find_command(strcmp(name, "--version") ? name : "version");
    return command ? command->run(argc - 1, argv + 1) : unknown_command(name);
}
