/* What the engine's own files share. */
#ifndef ENGINE_ENGINE_INTERNAL_H
#define ENGINE_ENGINE_INTERNAL_H

#include "base/pool.h"
#include "base/thread.h"
#include "column/builder.h"
#include "engine/emitted.h"
#include "engine/engine.h"
#include "engine/eraser.h"
#include "engine/lead.h"
#include "flow/flow.h"
#include "learn/trainer.h"
#include "state/checkpoint.h"

/* A checkpoint on its way: frozen by the runner, the model's part by the trainer, written by the
 * checkpoint thread (or at once, inline). */
struct checkpoint_job {
    struct checkpoint_identity identity;
    struct state_snapshot *states[FLOW_STATES];
    struct model_snapshot *model;
    bool model_frozen; /* the trainer has come to the marker */
    uint64_t learnt;   /* of a follower: where its model stood */
    bool whole;        /* refers to no older file, and the older ones go afterwards */
};

/* How fast rows and bytes went through lately; below 0: not known. Guarded by the engine's mutex.
 */
struct admission {
    uint64_t sampled_ns; /* monotonic; 0: never */
    uint64_t applied;
    uint64_t written;
    double rows_rate, bytes_rate; /* a second */
};

struct engine {
    struct engine_options options;
    const struct config *config;
    const struct clock *clock;
    struct disk *disk;
    struct metrics *metrics;
    bool event_clock;

    char log_folder[PATH_BYTES_MAX];
    char checkpoint_folder[PATH_BYTES_MAX];
    char spill_path[PATH_BYTES_MAX];
    struct file *lock;

    struct log *log;
    struct log_reader *reader;
    struct pool *pool; /* runner.threads of them, the runner included */
    struct flow *flow;
    struct model *model;
    struct trainer *trainer;
    struct emitted *emitted;             /* NULL: examples go to no files */
    char emitted_note[EMITTED_NOTE_MAX]; /* of the checkpoint that was restored */
    struct eraser *eraser;
    struct lead *lead; /* NULL: nobody may follow this engine */

    _Atomic(struct follow *) following; /* of a follower, while it follows */
    struct mutex gate_mutex;            /* guards the next three: follow_enter */
    struct condition gate_moved;
    int gate_inside;
    bool gate_closing;

    _Atomic uint64_t applied;     /* flow has run every row before it */
    uint64_t opening_end;         /* of the log when it was opened: where readiness is reached */
    uint64_t refused, collisions; /* of flow, as counted in the metrics */
    uint64_t nonce;               /* makes request ids of this process its own */
    _Atomic uint64_t requests;

    struct mutex served_mutex; /* guards served_builder and what follows in the log */
    struct builder *served_builder;

    struct mutex mutex; /* guards what is below */
    struct admission admission;
    struct condition moved; /* applied moved, a checkpoint ended, or something failed */
    struct condition work;  /* for the checkpoint thread */
    bool stopping;
    bool checkpoint_wanted; /* somebody waits in engine_checkpoint */
    bool checkpoint_running;
    bool whole_wanted;          /* the next one is to be self-contained */
    uint64_t checkpoint_ended;  /* how many ended, well or not */
    uint64_t checkpoint_wholes; /* how many self-contained ones ended well */
    leat_error checkpoint_error;
    struct checkpoint_job job;
    struct checkpoint_chain *chain; /* of the thread that writes checkpoints, made when needed */
    _Atomic bool checkpoint_hurry;  /* stopping: the write rate is no bound */
    uint64_t checkpoint_sequence;   /* of the newest one written */
    uint64_t checkpoint_ns;         /* monotonic time of the newest one begun */
    _Atomic bool failed;
    char failure[600];

    struct thread runner_thread;
    struct thread checkpoint_thread;
};

/* folder.c: the data folder's lock and what is fixed when it is made. */
leat_status folder_open(struct engine *engine, leat_error *err);

/* runner.c: applies the log to flow. */
leat_status runner_step(struct engine *engine, uint64_t until,
                        leat_error *err); /* LEAT_AGAIN: done */
void *runner_run(void *engine);
void engine_fail(struct engine *engine, const char *what, const leat_error *err);

/* checkpointer.c */
/* Freezes at the applied position; runner's thread (or inline). LEAT_AGAIN: one is running. */
leat_status checkpointer_freeze(struct engine *engine, leat_error *err);
leat_status checkpointer_write(struct engine *engine, leat_error *err);
/* Writes a self-contained checkpoint at the applied position or after it and removes every older
 * one: then no byte of any checkpoint is from before this call. Waits for both. `*sequence` (may be
 * NULL): its position. On a failure the older ones stay; call again. LEAT_UNSUPPORTED without
 * checkpoints, LEAT_CLOSED when the engine stops. Any thread but flow's, the trainer's and the one
 * that writes checkpoints; inline mode: the one thread. */
leat_status checkpointer_whole(struct engine *engine, uint64_t *sequence, leat_error *err);
void *checkpointer_run(void *engine);
/* What was frozen and is not written any more, once every thread has ended: flow and the trainer
 * may freeze after the one that writes has gone. */
void checkpointer_drop(struct engine *engine);
/* LEAT_NOT_FOUND: there is none. On a failure flow and model hold rubbish. */
leat_status checkpointer_restore(struct engine *engine, uint64_t *sequence, leat_error *err);
/* Whether the state of a checkpoint is what a log gives under this configuration. */
leat_status checkpointer_fits(const struct config *config, const struct checkpoint *checkpoint,
                              uint32_t log_id, leat_error *err);
leat_status checkpointer_states(struct flow *flow, struct checkpoint *checkpoint, leat_error *err);

/* engine.c: LEAT_CONFLICT, in words, of a follower. */
leat_status engine_refuse_following(const struct engine *engine, leat_error *err);

/* open.c */
leat_status parts_open(struct engine *engine, leat_error *err); /* flow, model and trainer */
void parts_close(struct engine *engine);

#endif
