/* Loss of predictions as they are made: weighted log loss of binary tasks, squared error of others,
 * and the predictions as lines of a file. Plain sums; one thread. */
#ifndef APP_TRAIN_SCORE_H
#define APP_TRAIN_SCORE_H

#include "base/bytes.h"
#include "learn/minibatch.h"
#include "learn/model_spec.h"

struct train_score {
    double weight[MODEL_TASKS_MAX];
    double loss[MODEL_TASKS_MAX]; /* times weight */
};

/* `predictions` [count x tasks]. */
void train_score_add(struct train_score *score, const struct model_spec *spec,
                     const struct minibatch *rows, const float *predictions);
double train_score_mean(const struct train_score *score, int task); /* 0 when empty */
void train_score_sum(struct train_score *score, const struct train_score *more);

/* "row,task,label,probability": a line for each task that a row says something about. */
void train_score_header(struct bytes *out);
void train_score_lines(const struct model_spec *spec, const struct minibatch *rows,
                       const uint64_t *numbers, const float *predictions, struct bytes *out);

#endif
