/* The loss of one head, its gradient, and what it predicts. Any thread; pure.
 *
 *   binary      y in {0, 1}   -y log p - (1 - y) log(1 - p),  p = sigmoid(z)          predicts p
 *   regression  y >= 0        -y log p - log(1 - p)                                   predicts e^z
 *   ordinal     y >= 0        sum over the levels k of the binary loss of [y >= edges[k]] with
 *                             p_k = sigmoid(z - threshold_k)       predicts the expected value,
 * where a value between two edges counts as their middle, one below all as half of the first, one
 * above all as 3/2 of the last
 *
 * z is the logit with the example's log-odds correction. Retrieval is of a batch (model_towers.c);
 * by itself it predicts as binary does. */
#ifndef LEARN_MODEL_LOSS_H
#define LEARN_MODEL_LOSS_H

#include "learn/model_spec.h"

/* Expected values are cut here. */
#define LOSS_VALUE_MAX 1e6f

float loss_predict(const struct model_task *task, const float *thresholds, float logit);
/* d loss / d z. `threshold_gradients` [levels]: of an ordinal head, overwritten. */
float loss_gradient(const struct model_task *task, const float *thresholds, float logit,
                    float target, float *threshold_gradients);
/* Of a fake negative or its positive (model.h), by the model's own prediction, which has no
 * gradient here. */
float loss_fake_weight(float logit, bool positive);
/* Second derivative by z, an upper bound of it: the step of the calibration. */
float loss_curve(const struct model_task *task, float logit, float target);

#endif
