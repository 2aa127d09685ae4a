/* Layout of a row, its first values, and how a gradient moves it. T weights w, k of the embedding
 * v:
 *
 *   adagrad: [w_1..w_T | v_1..v_k | n of w | n of v]             2 (T + k) floats
 *   ftrl:    [w_1..w_T | v_1..v_k | z of w | n of w | n of v]    3 T + 2 k
 *   adam:    [w_1..w_T | v_1..v_k | m of w, v | s of w, v]       3 (T + k)
 *   rmsprop: [w_1..w_T | v_1..v_k | s of w, v]                   2 (T + k)
 *
 * adagrad: n is the running sum of squared gradients; it starts at the constants below.
 * FTRL-proximal (McMahan and others 2013, "Ad click prediction: a view from the trenches") moves w
 * only; an embedding that it pulled to exact zeros could never leave them, so v moves by AdaGrad.
 * Adam and RMSprop step the rows that a step touches and leave the others alone ("lazy": a moment
 * fades only when its row is touched); Adam's correction for the moments' start counts the model's
 * steps t = 1, 2 ..., as for the dense weights, so that a row that is new at a late step starts
 * with small ones:
 *
 *   m = .9 m + .1 g   s = .999 s + .001 g^2   x -= rate (m / (1 - .9^t)) / (sqrt(s / (1 - .999^t))
 *                                                                           + KERNEL_EPSILON)
 *   RMSprop: s = .99 s + .01 g^2              x -= rate g / (sqrt(s) + KERNEL_EPSILON) */
#ifndef LEARN_OPTIMISER_H
#define LEARN_OPTIMISER_H

#include "learn/kernel.h"
#include "learn/model_spec.h"

#include <stdint.h>

struct optimiser {
    enum model_optimiser kind;
    int tasks; /* weights w of a row */
    int dimension;
    float rate;
    float l2; /* of v, for each time that a row is touched */
    const struct kernel *kernel;
    struct kernel_adam adam; /* of this step; its rate is the correction of m alone */
};

/* First sums of squares: they keep the first steps of a weight in proportion to its gradient, where
 * a sum that starts near 0 makes the first step `rate` whatever the gradient. Embeddings have small
 * gradients and start lower. */
#define OPTIMISER_W_FIRST     1.0f
#define OPTIMISER_V_FIRST     0.1f
#define OPTIMISER_DENSE_FIRST 1.0f
/* Dense weights that step at each example see every one: their sums fade by this at each, about
 * 100,000 examples back, so that they go on following a stream whose habits change by the hour. */
#define OPTIMISER_DENSE_FADE 0.99999f
/* Those that step at each batch see means, which are small. */
#define OPTIMISER_BATCH_FIRST  1e-4f
#define OPTIMISER_RMSPROP_FADE 0.99f

int optimiser_width(const struct optimiser *optimiser);
/* Fills a new row: a function of (seed, key) only. w = 0; v uniform within +-`spread`. */
void optimiser_fresh(const struct optimiser *optimiser, uint64_t seed, uint64_t key, float spread,
                     float *row);
/* Before the rows and dense weights of step number `t`, from 1. */
void optimiser_begin(struct optimiser *optimiser, uint64_t t);
/* One step, in place: `gradient` has tasks + dimension elements, `row` optimiser_width. `rate`:
 * times the optimiser's. Every float is stored whole (kernel.h). */
void optimiser_step(const struct optimiser *optimiser, float rate, float *row,
                    const float *gradient);

#endif
