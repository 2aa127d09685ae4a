/* What the files of the model and their tests share.
 *
 * Dense weights, one array:
 *
 *   step by step   [b | u_1..u_D | h_1..h_k] a task, then thresholds   (block = 1 + D + k floats)
 *   in batches     the network's parameters (net.h), then thresholds
 *
 * thresholds: `levels` floats for each ordinal task, in the order of the tasks. `dense_state`
 * beside it (the optimiser's) is the learning thread's own. */
#ifndef LEARN_MODEL_INTERNAL_H
#define LEARN_MODEL_INTERNAL_H

#include "learn/calibrate.h"
#include "learn/kernel.h"
#include "learn/model.h"
#include "learn/model_loss.h"
#include "learn/optimiser.h"
#include "learn/pending.h"

#include <stdatomic.h>

struct model_shape {
    int tasks;
    int own; /* weights w of a row: one a task; none of two towers */
    int dimension;
    int dense_count;
    int weights;    /* of a row without optimiser state: own + dimension */
    int block;      /* step by step: dense weights of a task */
    int thresholds; /* where they begin in the dense weights */
    int dense;      /* dense weights, all */
};

static inline int model_shape_dense(const struct model_shape *shape) {
    return shape->dense;
}

/* One example on its way through, step by step: its rows where they lie, clean inputs, what forward
 * leaves for the gradient. A repeated key stands there twice. */
struct pass {
    const struct kernel *kernel;
    int count;
    const float *rows[MODEL_KEYS_MAX];
    float scales[MODEL_KEYS_MAX];
    bool scaled; /* else all are 1 */
    float x[MODEL_DENSE_MAX];
    float logits[MODEL_TASKS_MAX];
    float pairs[MODEL_DIMENSION_MAX];
    float sum[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX];
    float squares[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX];
};

/* What an example says, as a row of a minibatch does. */
struct saying {
    const float *targets, *weights; /* [tasks] */
    float log_odds;
    bool fake;
};

/* Keys of some examples whose rows are fetched together, so that waits for memory overlap. */
enum { CHUNK_KEYS = 2048, CHUNK_EXAMPLES = 256 };
struct chunk {
    int examples;
    int count; /* keys */
    bool scaled;
    uint32_t first[CHUNK_EXAMPLES + 1];
    uint64_t keys[CHUNK_KEYS];
    float scales[CHUNK_KEYS];
    uint32_t rows[CHUNK_KEYS];
};

/* What a model that steps one by one needs besides its weights. */
struct fm {
    struct pass pass;
    float rates[MODEL_KEYS_MAX]; /* of the pass's rows */
    float *moving[MODEL_KEYS_MAX];
    float *gradient_rows; /* [MODEL_KEYS_MAX][weights] */
    float *gradient_dense;
    struct chunk chunk;
};

struct counters {
    _Atomic uint64_t examples, steps, empty, not_finite, exploded, unknown;
};

struct model {
    struct model_spec spec;
    struct model_shape shape;
    struct optimiser optimiser;
    const struct kernel *kernel;
    bool shares; /* some field uses the rows of another */
    bool expires;
    bool replica; /* only scores: rows without optimiser state (model_delta.h) */
    struct metrics *metrics;
    struct table *table;
    float *dense;
    float *dense_first; /* what `dense` started with */
    float *dense_state;
    size_t dense_state_count;
    uint64_t steps;    /* taken, since the model was new */
    uint64_t examples; /* given, since then */
    struct counters counters;
    struct calibration *calibration; /* of each task, or NULL */
    struct fm *fm;                   /* step by step */
    struct learner *learner;         /* in batches; else NULL, and nothing is pending */
    struct pending pending;
};

static inline bool model_batches(const struct model *model) {
    return model->spec.network != NETWORK_FM && model->spec.network != NETWORK_LOGISTIC;
}

/* Owner's counts: one thread adds, any reads. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t count) {
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + count, memory_order_relaxed);
}

/* Inputs beyond this are cut: a single wild value must not take a weight out of float's range. */
#define INPUT_MAX 1e6f
/* A value that is not finite says nothing: 0. */
float model_clean(float value);

/* Rows for keys (TABLE_NONE where one has none), added where `add`. */
void model_rows_for(struct model *model, const uint64_t *keys, int count, bool add, uint32_t now_s,
                    uint32_t *rows);
static inline uint64_t model_key(const struct model *model, uint64_t key) {
    int field = key_field(key);
    return model->shares && field < model->spec.field_count
               ? key_under(model->spec.fields[field].shares, key)
               : key;
}
/* After steps: gives up rows whose time has come, a slice of the table every so many examples. What
 * is looked at when depends on the number of steps only. */
enum { EXPIRE_EVERY = 64, EXPIRE_ROWS = 256 };
void model_expire(struct model *model, uint64_t steps_before, uint32_t now_s);
/* Nothing learnt, but for the table. */
void model_reset(struct model *model);
/* One step of `count` dense weights from `first` on, with state beside; visible to scorers at once.
 */
void model_step_dense(struct model *model, int first, int count, const float *gradient);
/* Who put dense weights from outside into their array: scorers see them from now on. */
void model_dense_changed(struct model *model);
/* What is predicted where the head's logit is `logit`. `dense`: all dense weights; `calibration`:
 * of all tasks, or NULL. */
float model_predict(const struct model *model, const float *dense,
                    const struct calibration *calibration, int task, float logit);
/* After the step on an example: what became of task t's prediction, whose logit was `logit`. */
void model_observe(struct model *model, const struct saying *saying, int task, float logit);

/* --- step by step (model_fm.c) --- */

leat_status fm_create(struct model *model, leat_error *err);
void fm_destroy(struct fm *fm);
size_t fm_bytes(const struct model *model);
/* `fake`: of each example, or NULL. */
void fm_batch(struct model *model, const struct minibatch *batch, const bool *fake, bool learn,
              float *predictions);
/* Apart for the test that checks gradients numerically: what `pass` and its rows hold -> logits;
 * and their gradients into gradient_rows and gradient_dense. */
void fm_forward(const struct model_shape *shape, const float *dense, struct pass *pass);
void fm_gradient(struct model *model, const struct saying *saying);
/* The second half of fm_forward: sums are there. */
void fm_logits(const struct model_shape *shape, const float *dense, struct pass *pass);

#endif
