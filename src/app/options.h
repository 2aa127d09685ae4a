/* The command line of one subcommand: long options with or without a value, a few short ones, and
 * what is left. The same table parses and makes `--help`. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include "base/error.h"

/* Sets `*text` (a value is wanted) or `*flag`; exactly one of them is given. */
struct option {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* what the value is, for --help; NULL: a flag */
    const char *words;
    const char **text; /* borrows from argv */
    bool *flag;
};

/* What a subcommand is: for --help. */
struct usage {
    const char *line;  /* "leat log [--from POS] ..." */
    const char *words; /* one or more sentences */
    const struct option *options;
    int option_count;
};

/* argv[0] is the subcommand. Options may stand anywhere, as `--name VALUE`, `--name=VALUE` or
 * `-c VALUE`; after `--` nothing is one. What is no option is moved to the front of argv + 1, and
 * counted in `*rest`. `*help`: --help or -h was there (then nothing else is checked).
 * LEAT_INVALID: an unknown option (with the nearest right one), a value missing or not wanted. */
leat_status options_parse(const struct usage *usage, int argc, char **argv, int *rest, bool *help,
                          leat_error *err);
void options_help(const struct usage *usage, FILE *out);

/* The whole value as a number; an absent one leaves `*out` as it was. */
leat_status options_integer(const char *name, const char *text, int64_t low, int64_t high,
                            int64_t *out, leat_error *err);

#endif
