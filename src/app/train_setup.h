/* What `leat train` and `leat eval ctr` learn, out of their options: which files, what an example
 * is made of, which model. */
#ifndef APP_TRAIN_SETUP_H
#define APP_TRAIN_SETUP_H

#include "app/command.h"
#include "connect/row_cache.h"
#include "connect/row_reader.h"
#include "learn/model.h"

enum {
    TRAIN_BATCH = 1024, /* examples at a time where the network steps one by one */
    TRAIN_PATHS_MAX = 4096,
};

/* The options as they are typed. */
struct train_asked {
    struct command_files files;
    const char *format, *columns, *separator, *label, *features, *interactions, *weight, *time;
    const char *network, *dimension, *hidden, *cross, *experts, *optimiser, *rate, *rate_dense, *l2,
        *decay, *spread, *batch, *shards, *threads, *epochs, *seed, *memory, *hash_rows, *cache,
        *out;
    bool json, strict;
};

enum { TRAIN_OPTIONS_MAX = 32 };
/* Those that both commands have; returns how many there are. */
int train_options(struct train_asked *asked, struct option out[TRAIN_OPTIONS_MAX]);

struct train_setup {
    struct config *config;
    const struct train_asked *asked;
    const char *const *paths;
    int path_count;
    bool encoded; /* the one path is a cache */
    struct row_source_options source;
    struct row_plan plan; /* empty when `encoded` */
    struct model_spec spec;
    int batch; /* examples at a time */
    int epochs;
    int threads; /* of a step */
    struct refusals refusals;
    struct bytes description; /* of the plan, and of the model's fields and tasks: in a cache */
};

/* Reads options, configuration and the first rows of the first file. Borrows `asked` and `paths`.
 * LEAT_INVALID says which option or column is wrong. */
leat_status train_setup_make(const struct train_asked *asked, const char *const *paths,
                             int path_count, struct train_setup **out, leat_error *err);
void train_setup_destroy(struct train_setup *setup); /* NULL is fine */

/* Words of the plan within a cache's description; for comparing two. */
struct slice train_setup_words(struct slice description);

#endif
