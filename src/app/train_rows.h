/* Examples in batches of one size, pass after pass: from files, encoded as they are read, or from a
 * cache; the first pass over files may write one. What a batch holds does not depend on where it
 * comes from. One thread. */
#ifndef APP_TRAIN_ROWS_H
#define APP_TRAIN_ROWS_H

#include "app/train_setup.h"

struct train_rows;

/* `cache` (may be NULL): a file to write in the first pass, and to read where it is there already,
 * whole, and made of the same files by the same plan. */
leat_status train_rows_open(struct train_setup *setup, const char *cache, struct train_rows **out,
                            leat_error *err);
void train_rows_close(struct train_rows *rows); /* NULL is fine */

/* The next batch, borrowed until the next call; LEAT_END at the end of a pass. `numbers`: of rows
 * in the files. */
leat_status train_rows_next(struct train_rows *rows, struct minibatch *out,
                            const uint64_t **numbers, leat_error *err);
/* Exact times of the batch in hand, in ms; NULL when it comes from a cache. */
const int64_t *train_rows_times(const struct train_rows *rows);
/* Number of the first row of a file; see row_reader_file_begin. Rows come from files. */
uint64_t train_rows_file_begin(const struct train_rows *rows, int file);
/* Begins another pass. After the first pass a cache that was written is finished and read. */
leat_status train_rows_again(struct train_rows *rows, leat_error *err);

/* What is left of a pass, for whom to tell: bytes read and of all. */
void train_rows_progress(const struct train_rows *rows, uint64_t *read, uint64_t *all);
uint64_t train_rows_examples(const struct train_rows *rows); /* of this pass so far */

/* Notes where the run stands, with the running means of the encoder; a cache that is being written
 * is synced. train_rows_go_to goes there, in a run that has given out nothing; in a cache, where
 * one is whole by now. */
leat_status train_rows_note(struct train_rows *rows, struct bytes *out, leat_error *err);
leat_status train_rows_go_to(struct train_rows *rows, struct bytes_reader *note, leat_error *err);

#endif
