/* Where a run of `leat train` stood, so that it goes on after a kill as if there had been none.
 *
 *   <model>.notes       what stands where; put in place whole (disk_put)
 *   <model>.0, .1       the model at that place, in turns: the notes say which
 *
 * So at every moment the notes name a model that is whole. A note holds a digest of what the run
 * was asked to do: another one is refused. */
#ifndef APP_TRAIN_NOTES_H
#define APP_TRAIN_NOTES_H

#include "app/train_rows.h"
#include "app/train_score.h"

struct train_run {
    struct train_setup *setup;
    struct train_rows *rows;
    struct model *model;
    const char *path;                    /* of the model; NULL: nothing is saved */
    struct file *out;                    /* predictions; NULL: none */
    uint64_t out_at;                     /* bytes of it */
    int epoch;                           /* from 0 */
    uint64_t examples;                   /* of all passes */
    struct train_score score, score_all; /* of this pass; of those before */
    int slot;                            /* which of the two is written next */
};

/* LEAT_NOT_FOUND (positive): there are no notes. LEAT_CONFLICT: they are of another run. Opens the
 * model that they name, and moves rows and predictions to that place. */
leat_status train_notes_read(struct train_run *run, leat_error *err);
/* Between two batches. */
leat_status train_notes_write(struct train_run *run, leat_error *err);
/* The run is done: notes and models beside the one proper go. */
leat_status train_notes_remove(const struct train_run *run, leat_error *err);

#endif
