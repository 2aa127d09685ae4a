/* Subcommands of `leat experiment`, and the generator's parameters as options of theirs. */
#ifndef APP_EXPERIMENT_H
#define APP_EXPERIMENT_H

#include "app/command.h"
#include "base/bytes.h"
#include "world/drift.h"

int experiment_sync_run(int argc, char **argv);
int experiment_stream_run(int argc, char **argv);
int experiment_plot_run(int argc, char **argv);

enum { DRIFT_WORDS_MAX = 24 };

/* An option for each of drift_parameters. */
struct drift_words {
    const char *given[DRIFT_WORDS_MAX]; /* NULL: as usual */
    char about[DRIFT_WORDS_MAX][128];
};

/* Fills `out` with drift_parameter_count options, which borrow `words`; returns their count. */
int drift_words_options(struct drift_words *words, struct option *out);
/* LEAT_INVALID names the option whose value is no number; ranges are drift_open's business. */
leat_status drift_words_read(const struct drift_words *words, struct drift_options *out,
                             leat_error *err);
/* "rows 3500000, seed 1, ...": all of them. */
void drift_words_print(const struct drift_options *options, struct bytes *out);

#endif
