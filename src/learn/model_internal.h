/* What model.c, model_snapshot.c and their tests share.
 *
 * Dense weights, one block a task:   [b | u_1..u_D | h_1..h_k]   (block = 1 + D + k floats)
 * They live in one array that the learning thread reads plainly and stores with relaxed atomics;
 * `dense_state` beside it (AdaGrad's sums) is the learning thread's own. */
#ifndef LEARN_MODEL_INTERNAL_H
#define LEARN_MODEL_INTERNAL_H

#include "learn/kernel.h"
#include "learn/model.h"
#include "learn/optimiser.h"

enum { MODEL_DIMENSION_MAX = 256 };

struct model_shape {
    int tasks;
    int dimension;
    int dense_count;
    int weights; /* of a row without optimiser state: tasks + dimension */
    int block;   /* dense weights of a task */
};

static inline int model_shape_dense(const struct model_shape *shape) {
    return shape->tasks * shape->block;
}

/* One example on its way through: inputs made clean, rows gathered, what forward leaves for the
 * gradient. `values` holds `count` rows of `weights` floats, a repeated key twice. */
struct pass {
    const struct kernel *kernel;
    int count;
    uint32_t rows[EXAMPLE_KEYS_MAX];
    float x[EXAMPLE_DENSE_MAX];
    float logits[EXAMPLE_TASKS_MAX];
    float pairs[MODEL_DIMENSION_MAX];
    float sum[EXAMPLE_TASKS_MAX + MODEL_DIMENSION_MAX];
    float squares[EXAMPLE_TASKS_MAX + MODEL_DIMENSION_MAX];
    float *values;
};

struct gradient {
    float *rows;  /* of each gathered row: `weights` floats */
    float *dense; /* as the dense weights */
};

struct model {
    struct model_shape shape;
    struct optimiser optimiser;
    float rate_dense;
    float interaction_first[EXAMPLE_TASKS_MAX]; /* h of a task before the first example */
    uint64_t seed;
    struct metrics *metrics;
    struct table *table;
    float *dense;
    float *dense_first; /* what `dense` started with */
    float *dense_state;
    float *row;   /* scratch: one whole row */
    float *fresh; /* scratch: a new row */
    struct pass pass;
    struct gradient gradient;
};

/* The steps of model_learn, apart for the test that checks gradients numerically. */
void model_gather(struct model *model, const struct example *example);
void model_gradient(struct model *model, const struct example *example);
void model_step(struct model *model, const struct example *example);
/* Logits from gathered rows and clean dense inputs; shared by learning and scoring, so that both
 * give the same bits. */
void model_forward(const struct model_shape *shape, const float *dense, struct pass *pass);
/* Dense weights as they are before the first example. */
void model_reset_dense(struct model *model);

#endif
