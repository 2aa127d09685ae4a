/* The examples of an evaluation, encoded once: which are learnt, and which are scored.
 *
 *   main files | valid file | test file     as they are read; with --time the main ones in its
 * order [ learnt | scored when there is no test file ][ valid ][ test: scored ]
 *
 * Lies in a file of its own (row_cache.h) for the length of the command. */
#ifndef APP_EVAL_ROWS_H
#define APP_EVAL_ROWS_H

#include "app/train_rows.h"

struct eval_rows {
    struct row_cache *cache;
    int batch;
    uint64_t learnt;               /* examples [0, learnt) */
    uint64_t valid_from, valid_to; /* empty: there are none */
    uint64_t scored_from, scored_to;
    struct row_batch rows; /* the batch in hand */
    uint64_t at;           /* the next example */
    struct minibatch block;
    const uint64_t *block_numbers;
    int block_from;
};

struct eval_files {
    int main_count;   /* of the setup's paths */
    bool valid, test; /* each one path more, in this order */
    double split;     /* without test: this part of main is learnt */
};

/* Reads and encodes all; `folder` is for its files. */
leat_status eval_rows_make(struct train_setup *setup, const struct eval_files *files,
                           const char *folder, struct eval_rows *out, leat_error *err);
void eval_rows_close(struct eval_rows *rows);

/* Goes to an example. */
leat_status eval_rows_seek(struct eval_rows *rows, uint64_t example, leat_error *err);
/* The next batch, of examples before `to` only; LEAT_END when there are none. */
leat_status eval_rows_next(struct eval_rows *rows, uint64_t to, struct minibatch *out,
                           const uint64_t **numbers, leat_error *err);

#endif
