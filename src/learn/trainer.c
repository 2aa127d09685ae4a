#include "learn/trainer.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "learn/example_queue.h"

#include <inttypes.h>

/* Checkpoints are made one at a time; more markers than this are a caller's mistake or a trainer
 * that stands still, and refused. */
enum { MARKS_MAX = 16 };
/* A year: longer waits would only risk an overflow. */
#define WAIT_MS_MAX ((int64_t)365 * 24 * 3600 * 1000)

struct mark {
    void (*frozen)(void *context, struct model_snapshot *snapshot);
    void *context;
};

struct trainer {
    struct model *model;
    struct metrics *metrics;
    void (*on_reach)(void *context, uint64_t learnt);
    void *context;
    struct example_queue *queue; /* NULL: inline */
    struct thread thread;
    uint64_t spilled_told; /* flow thread: what the metric has been told of */
    _Atomic bool closing;
    _Atomic bool failed;
    _Atomic uint64_t learnt;
    struct mutex mutex;       /* of what follows */
    struct condition reached; /* learnt has moved, or the trainer failed */
    leat_error error;         /* with failed */
    struct mark marks[MARKS_MAX];
    int marks_first, marks_count;
};

/* --- the learning thread (inline: flow's) --- */

static void set_learnt(struct trainer *trainer, uint64_t sequence) {
    mutex_lock(&trainer->mutex);
    atomic_store_explicit(&trainer->learnt, sequence, memory_order_release);
    condition_broadcast(&trainer->reached);
    mutex_unlock(&trainer->mutex);
}

static void fail_for_memory(struct trainer *trainer, uint64_t sequence);

static void reach(struct trainer *trainer, uint64_t sequence) {
    if (sequence <= trainer_learnt(trainer)) {
        return;
    }
    uint64_t refusals = memory_refusals();
    model_reach(trainer->model, sequence);
    if (memory_refusals() != refusals) {
        fail_for_memory(trainer, sequence);
        return;
    }
    set_learnt(trainer, sequence);
    metrics_set(trainer->metrics, METRIC_position_learnt, (double)sequence);
    metrics_set(trainer->metrics, METRIC_table_rows, (double)model_rows(trainer->model));
    metrics_set(trainer->metrics, METRIC_table_bytes, (double)model_bytes(trainer->model));
}

static void freeze_for(struct trainer *trainer, const struct mark *mark) {
    struct model_snapshot *snapshot = NULL;
    leat_status status = model_freeze(trainer->model, &snapshot, NULL);
    mark->frozen(mark->context, status == LEAT_OK ? snapshot : NULL);
}

static bool pop_mark(struct trainer *trainer, struct mark *out) {
    mutex_lock(&trainer->mutex);
    bool some = trainer->marks_count > 0;
    if (some) {
        *out = trainer->marks[trainer->marks_first];
        trainer->marks_first = (trainer->marks_first + 1) % MARKS_MAX;
        trainer->marks_count--;
    }
    mutex_unlock(&trainer->mutex);
    return some;
}

static void drop_marks(struct trainer *trainer) {
    struct mark mark;
    while (pop_mark(trainer, &mark)) {
        mark.frozen(mark.context, NULL);
    }
}

/* Examples are lost, or were not learnt whole: to go on would make weights that no replay makes. */
static void fail(struct trainer *trainer, const leat_error *err) {
    mutex_lock(&trainer->mutex);
    trainer->error = *err;
    atomic_store_explicit(&trainer->failed, true, memory_order_release);
    condition_broadcast(&trainer->reached);
    mutex_unlock(&trainer->mutex);
    drop_marks(trainer);
}

static void fail_for_memory(struct trainer *trainer, uint64_t sequence) {
    leat_error err;
    error_set(&err, LEAT_MEMORY,
              "the trainer found no memory for the ids of row %" PRIu64
              "; add memory or lower model.memory, then start again",
              sequence);
    fail(trainer, &err);
}

static void learn(struct trainer *trainer, const struct example *example) {
    uint64_t refusals = memory_refusals();
    model_learn(trainer->model, example);
    if (memory_refusals() != refusals) {
        fail_for_memory(trainer, example->sequence);
    }
}

static void consume(struct trainer *trainer, const struct queue_entry *entry) {
    struct mark mark;
    switch (entry->kind) {
    case QUEUE_EXAMPLE: learn(trainer, &entry->example); break;
    case QUEUE_REACH:
        reach(trainer, entry->example.sequence);
        if (trainer->on_reach) {
            trainer->on_reach(trainer->context, trainer_learnt(trainer));
        }
        break;
    case QUEUE_MARK:
        if (pop_mark(trainer, &mark)) {
            freeze_for(trainer, &mark);
        }
        break;
    }
}

static void *train(void *argument) {
    struct trainer *trainer = argument;
    leat_error err = {.status = LEAT_OK};
    leat_status status = LEAT_OK;
    while ((status = queue_take(trainer->queue, &err)) == LEAT_OK) {
        struct queue_entry entry;
        while (queue_next(trainer->queue, &entry)) {
            if (atomic_load_explicit(&trainer->closing, memory_order_relaxed) ||
                atomic_load_explicit(&trainer->failed, memory_order_relaxed)) {
                return NULL;
            }
            consume(trainer, &entry);
        }
    }
    if (status < 0) {
        fail(trainer, &err);
    }
    return NULL;
}

/* --- life --- */

static leat_status start(struct trainer *trainer, const struct trainer_options *options,
                         leat_error *err) {
    struct queue_options queue = {
        .disk = options->disk,
        .spill_path = options->spill_path,
        .examples_max = options->queue_max,
    };
    TRY(queue_open(&queue, &trainer->queue, err));
    return thread_start(&trainer->thread, "trainer", train, trainer, err);
}

leat_status trainer_open(const struct trainer_options *options, struct model *model,
                         struct trainer **out, leat_error *err) {
    struct trainer *trainer = memory_zalloc(sizeof(*trainer));
    if (!trainer) {
        return error_memory(err, sizeof(*trainer));
    }
    trainer->model = model;
    trainer->metrics = options->metrics;
    trainer->on_reach = options->on_reach;
    trainer->context = options->context;
    mutex_init(&trainer->mutex);
    condition_init(&trainer->reached);
    if (!options->inline_learning) {
        leat_status status = start(trainer, options, err);
        if (status < 0) {
            trainer_close(trainer);
            return status;
        }
    }
    *out = trainer;
    return LEAT_OK;
}

void trainer_close(struct trainer *trainer) {
    if (!trainer) {
        return;
    }
    atomic_store_explicit(&trainer->closing, true, memory_order_relaxed);
    if (trainer->queue) {
        queue_stop(trainer->queue);
        thread_join(&trainer->thread);
        drop_marks(trainer);
        queue_close(trainer->queue);
    }
    condition_deinit(&trainer->reached);
    mutex_deinit(&trainer->mutex);
    memory_free(trainer);
}

/* --- the flow thread --- */

static leat_status failure_locked(const struct trainer *trainer, leat_error *err) {
    return error_set(err, trainer->error.status, "the trainer stopped: %s", trainer->error.message);
}

static leat_status failure(struct trainer *trainer, leat_error *err) {
    mutex_lock(&trainer->mutex);
    leat_status status = failure_locked(trainer, err);
    mutex_unlock(&trainer->mutex);
    return status;
}

static void tell_spilled(struct trainer *trainer) {
    uint64_t spilled = queue_spilled(trainer->queue);
    if (spilled != trainer->spilled_told) {
        metrics_add(trainer->metrics, METRIC_examples_spilled_total,
                    spilled - trainer->spilled_told);
        trainer->spilled_told = spilled;
    }
}

static leat_status push(struct trainer *trainer, const struct queue_entry *entry, leat_error *err) {
    if (!trainer->queue && !atomic_load_explicit(&trainer->failed, memory_order_relaxed)) {
        consume(trainer, entry);
    }
    if (atomic_load_explicit(&trainer->failed, memory_order_acquire)) {
        return failure(trainer, err);
    }
    if (!trainer->queue) {
        return LEAT_OK;
    }
    leat_status status = queue_push(trainer->queue, entry, err);
    tell_spilled(trainer);
    return status;
}

leat_status trainer_push(struct trainer *trainer, const struct example *example, leat_error *err) {
    struct queue_entry entry = {.kind = QUEUE_EXAMPLE, .example = *example};
    TRY(push(trainer, &entry, err));
    metrics_add(trainer->metrics, METRIC_examples_total, 1);
    return LEAT_OK;
}

leat_status trainer_reach(struct trainer *trainer, uint64_t sequence, leat_error *err) {
    struct queue_entry entry = {.kind = QUEUE_REACH, .example = {.sequence = sequence}};
    return push(trainer, &entry, err);
}

static leat_status add_mark(struct trainer *trainer, const struct mark *mark, leat_error *err) {
    leat_status status = LEAT_OK;
    mutex_lock(&trainer->mutex);
    if (atomic_load(&trainer->failed)) {
        status = failure_locked(trainer, err);
    } else if (trainer->marks_count == MARKS_MAX) {
        status = error_retry(err, LEAT_FULL, "%d checkpoint markers are on their way", MARKS_MAX);
    } else {
        trainer->marks[(trainer->marks_first + trainer->marks_count) % MARKS_MAX] = *mark;
        trainer->marks_count++;
    }
    mutex_unlock(&trainer->mutex);
    return status;
}

/* The newest mark, whose entry never got into the queue. False: it is gone, because the trainer
 * failed meanwhile and told its owner. */
static bool take_back_mark(struct trainer *trainer) {
    mutex_lock(&trainer->mutex);
    bool there = trainer->marks_count > 0;
    trainer->marks_count -= there;
    mutex_unlock(&trainer->mutex);
    return there;
}

leat_status trainer_mark(struct trainer *trainer,
                         void (*frozen)(void *context, struct model_snapshot *snapshot),
                         void *context, leat_error *err) {
    struct mark mark = {.frozen = frozen, .context = context};
    TRY(add_mark(trainer, &mark, err));
    struct queue_entry entry = {.kind = QUEUE_MARK};
    leat_status status = push(trainer, &entry, err);
    return status < 0 && take_back_mark(trainer) ? status : LEAT_OK;
}

/* --- any thread --- */

uint64_t trainer_overflow(const struct trainer *trainer) {
    bool stopped = !trainer->queue || atomic_load(&trainer->failed); /* the next push says why */
    return stopped ? 0 : queue_file_bytes(trainer->queue);
}

uint64_t trainer_learnt(const struct trainer *trainer) {
    return atomic_load_explicit(&trainer->learnt, memory_order_acquire);
}

void trainer_set_learnt(struct trainer *trainer, uint64_t sequence) {
    set_learnt(trainer, sequence);
}

bool trainer_wait(struct trainer *trainer, uint64_t sequence, int64_t timeout_ms) {
    int64_t bounded_ms = timeout_ms < 0 ? 0 : timeout_ms > WAIT_MS_MAX ? WAIT_MS_MAX : timeout_ms;
    uint64_t until = clock_monotonic_ns() + (uint64_t)bounded_ms * 1000000u;
    mutex_lock(&trainer->mutex);
    while (trainer_learnt(trainer) < sequence && !atomic_load(&trainer->failed)) {
        uint64_t now = clock_monotonic_ns();
        if (now >= until) {
            break;
        }
        int64_t left_ms = (int64_t)((until - now + 999999u) / 1000000u);
        (void)condition_wait_ms(&trainer->reached, &trainer->mutex, left_ms);
    }
    mutex_unlock(&trainer->mutex);
    return trainer_learnt(trainer) >= sequence;
}
