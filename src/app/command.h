/* Subcommands of `leat`, one file each, and what they share.
 *
 * A subcommand gets its own name as argv[0] and answers the process's exit code. Results go to
 * standard output, everything else to standard error. */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include "app/options.h"
#include "base/config.h"

enum command_exit {
    COMMAND_FINE = 0,
    COMMAND_FAILED = 1, /* the words are on standard error */
    COMMAND_MISUSED = 2,
};

int command_serve(int argc, char **argv);
int command_train(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_replay(int argc, char **argv);
int command_simulate(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_examples(int argc, char **argv);
int command_experiment(int argc, char **argv);
int command_log(int argc, char **argv);
int command_model(int argc, char **argv);
int command_state(int argc, char **argv);
int command_reference(int argc, char **argv);
int command_version(int argc, char **argv);

/* Where a configuration is needed: `-c FILE` and `--data DIR`. */
struct command_files {
    const char *config;
    const char *data;
};
#define COMMAND_FILE_OPTIONS(files)                                                                \
    {                                                                                              \
        "config",        'c',                                                                      \
        "FILE",          "Configuration (without it: ./leat.yaml, or else the defaults).",         \
        &(files).config, NULL},                                                                    \
    {                                                                                              \
        "data", 0, "DIR", "Folder of log and checkpoints, instead of the configured one.",         \
            &(files).data, NULL                                                                    \
    }

/* Parses the options and answers --help. True: go on, and `*rest` arguments follow argv[0]; at most
 * `rest_max` may. False: done, with `*exit_code`. */
bool command_begin(const struct usage *usage, int argc, char **argv, int rest_max, int *rest,
                   int *exit_code);
/* `*from` (may be NULL): in words, where the configuration came from. */
leat_status command_config(const struct command_files *files, struct config **out,
                           const char **from, leat_error *err);
/* LEAT_INVALID unless an engine has made the data folder: looking must not make one. */
leat_status command_check_data(const struct config *config, leat_error *err);
/* Prints "leat <name>: <words>" to standard error; COMMAND_FAILED. */
int command_fail(const char *name, const leat_error *err);

#endif
