/* The trainer: takes examples from flow in log order and gives them to the model.
 *
 * Flow never waits for learn: the queue in memory is bounded (model.queue examples) and overflows
 * to a file (frames of schema_example, removed when it is read to its end; a crash loses nothing:
 * the log is replayed from the checkpoint). A marker travels through the queue for checkpoints.
 *
 * When the overflow file cannot be read back, examples are lost: the trainer stops, and every later
 * call of flow answers why. When it cannot be written, only that call fails, to be repeated. */
#ifndef LEARN_TRAINER_H
#define LEARN_TRAINER_H

#include "base/file.h"
#include "learn/model.h"

struct trainer;

struct trainer_options {
    struct disk *disk;      /* both unused, and may be NULL, when inline */
    const char *spill_path; /* copied */
    int queue_max;          /* examples (and notes) in memory, apart from a chunk in hand */
    bool inline_learning;   /* no thread: trainer_push learns before it returns */
    /* After each trainer_reach, from the learning thread, with what trainer_learnt answers now:
     * what wants the model between two examples. May be NULL. */
    void (*on_reach)(void *context, uint64_t learnt);
    void *context;
    struct metrics *metrics;
};

leat_status trainer_open(const struct trainer_options *options, struct model *model,
                         struct trainer **out, leat_error *err);
/* Waits for the example in hand only: what is queued is dropped, queued markers get NULL (from the
 * closing thread). */
void trainer_close(struct trainer *trainer);

/* All from the flow thread. trainer_push copies the example. trainer_reach says that flow has come
 * to `sequence`: when all examples before it are learnt, trainer_learnt answers at least this. */
leat_status trainer_push(struct trainer *trainer, const struct example *example, leat_error *err);
/* Bytes of examples in the overflow file now: who pushes holds on when they are too many. Any
 * thread. */
uint64_t trainer_overflow(const struct trainer *trainer);
leat_status trainer_reach(struct trainer *trainer, uint64_t sequence, leat_error *err);
/* Puts a marker; when the learning thread meets it, it freezes the model and calls `frozen` (from
 * the learning thread; a NULL snapshot means that freezing failed). `frozen` is called once, unless
 * this call fails. LEAT_FULL (retry) while 16 markers are on their way. */
leat_status trainer_mark(struct trainer *trainer,
                         void (*frozen)(void *context, struct model_snapshot *snapshot),
                         void *context, leat_error *err);

/* Any thread. */
uint64_t trainer_learnt(const struct trainer *trainer);
void trainer_set_learnt(struct trainer *trainer, uint64_t sequence); /* after a restore */
/* Waits until trainer_learnt >= sequence, the timeout or the trainer's failure; says whether it got
 * there. */
bool trainer_wait(struct trainer *trainer, uint64_t sequence, int64_t timeout_ms);

#endif
