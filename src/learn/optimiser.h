/* Layout of a row, its first values, and how a gradient moves it.
 *
 *   adagrad: [w_1..w_T | v_1..v_k | n of w | n of v]            2 (T + k) floats
 *   ftrl:    [w_1..w_T | v_1..v_k | z of w | n of w | n of v]   3 T + 2 k floats
 *
 * n is the running sum of squared gradients; it starts at the constants below. FTRL-proximal
 * (McMahan and others 2013, "Ad click prediction: a view from the trenches") moves w only; an
 * embedding that it pulled to exact zeros could never leave them, so v moves by AdaGrad in both. */
#ifndef LEARN_OPTIMISER_H
#define LEARN_OPTIMISER_H

#include "learn/kernel.h"

#include <stdint.h>

/* In the order of the choices of model.optimiser. */
enum optimiser_kind { OPTIMISER_ADAGRAD, OPTIMISER_FTRL };

struct optimiser {
    enum optimiser_kind kind;
    int tasks;
    int dimension;
    float rate;
    float l2; /* of v, for each time that a row is touched */
    const struct kernel *kernel;
};

/* First sums of squares: they keep the first steps of a weight in proportion to its gradient, where
 * a sum that starts near 0 makes the first step `rate` whatever the gradient. Embeddings have small
 * gradients and start lower. */
#define OPTIMISER_W_FIRST     1.0f
#define OPTIMISER_V_FIRST     0.1f
#define OPTIMISER_DENSE_FIRST 1.0f
/* Dense weights see every example: their sums fade by this at each, about 100,000 examples back, so
 * that they go on following a stream whose habits change by the hour. */
#define OPTIMISER_DENSE_FADE 0.99999f

int optimiser_width(const struct optimiser *optimiser);
/* Fills a new row: a function of (seed, key) only. w = 0; v uniform within +-`spread`. */
void optimiser_fresh(const struct optimiser *optimiser, uint64_t seed, uint64_t key, float spread,
                     float *row);
/* One step: `gradient` has tasks + dimension elements, `row` optimiser_width. */
void optimiser_step(const struct optimiser *optimiser, float *row, const float *gradient);

#endif
