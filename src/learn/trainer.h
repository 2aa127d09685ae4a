/* The trainer: takes examples from flow in log order and gives them to the model.
 *
 * Flow never waits for learn: the queue in memory is bounded (model.queue examples) and overflows to
 * a file (frames of schema_example, removed when it is read to its end; a crash loses nothing: the
 * log is replayed from the checkpoint). A marker travels through the queue for checkpoints. */
#ifndef LEARN_TRAINER_H
#define LEARN_TRAINER_H

#include "base/file.h"
#include "learn/model.h"

struct trainer;

struct trainer_options {
    struct disk *disk;
    const char *spill_path;
    int queue_max;          /* examples in memory */
    bool inline_learning;   /* no thread: trainer_push learns before it returns */
    struct metrics *metrics;
};

leat_status trainer_open(const struct trainer_options *options, struct model *model,
                         struct trainer **out, leat_error *err);
void trainer_close(struct trainer *trainer); /* waits for nothing: what is queued is dropped */

/* All from the flow thread. trainer_push copies the example. trainer_reach says that flow has come
 * to `sequence`: when all examples before it are learnt, trainer_learnt answers at least this. */
leat_status trainer_push(struct trainer *trainer, const struct example *example, leat_error *err);
leat_status trainer_reach(struct trainer *trainer, uint64_t sequence, leat_error *err);
/* Puts a marker; when the learning thread meets it, it freezes the model and calls `frozen` (from
 * the learning thread; a NULL snapshot means that freezing failed). */
leat_status trainer_mark(struct trainer *trainer,
                         void (*frozen)(void *context, struct model_snapshot *snapshot),
                         void *context, leat_error *err);

/* Any thread. */
uint64_t trainer_learnt(const struct trainer *trainer);
void trainer_set_learnt(struct trainer *trainer, uint64_t sequence); /* after a restore */
/* Waits until trainer_learnt >= sequence or the timeout; says whether it got there. */
bool trainer_wait(struct trainer *trainer, uint64_t sequence, int64_t timeout_ms);

#endif
