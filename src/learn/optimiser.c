#include "learn/optimiser.h"

#include "base/hash.h"

#include <math.h>
#include <string.h>

/* FTRL: the first denominator of the rate, and the L1 penalty below which w is exactly 0. */
#define FTRL_BETA 1.0f
#define FTRL_L1   0.01f

#define ADAM_B1 0.9f
#define ADAM_B2 0.999f

int optimiser_width(const struct optimiser *optimiser) {
    int weights = optimiser->tasks + optimiser->dimension;
    switch (optimiser->kind) {
    case MODEL_FTRL: return 2 * weights + optimiser->tasks;
    case MODEL_ADAM: return 3 * weights;
    default: return 2 * weights;
    }
}

/* n of w stands before n of v, both at the row's end; FTRL's n of w starts at 0, by its paper. */
static void fresh_sums(const struct optimiser *optimiser, float *end) {
    float *n_of_v = end - optimiser->dimension;
    for (int i = 0; i < optimiser->dimension; i++) {
        n_of_v[i] = OPTIMISER_V_FIRST;
    }
    for (int t = 1; optimiser->kind == MODEL_ADAGRAD && t <= optimiser->tasks; t++) {
        n_of_v[-t] = OPTIMISER_W_FIRST;
    }
}

void optimiser_fresh(const struct optimiser *optimiser, uint64_t seed, uint64_t key, float spread,
                     float *row) {
    int width = optimiser_width(optimiser);
    memset(row, 0, (size_t)width * sizeof(float));
    float *v = row + optimiser->tasks;
    uint64_t base = hash_mix(seed, key);
    for (int f = 0; f < optimiser->dimension; f++) {
        double unit = hash_unit(hash_mix(base, (uint64_t)f));
        v[f] = spread * (float)(2.0 * unit - 1.0);
    }
    if (optimiser->kind == MODEL_ADAGRAD || optimiser->kind == MODEL_FTRL) {
        fresh_sums(optimiser, row + width);
    }
}

/* By multiplication only: the C library's pow may differ in its last bit from machine to machine.
 */
static double power(double base, uint64_t exponent) {
    double result = 1.0;
    for (; exponent > 0; exponent >>= 1) {
        result *= exponent & 1 ? base : 1.0;
        base *= base;
    }
    return result;
}

void optimiser_begin(struct optimiser *optimiser, uint64_t t) {
    if (optimiser->kind == MODEL_ADAM) {
        optimiser->adam = (struct kernel_adam){
            .rate = (float)(1.0 / (1.0 - power((double)ADAM_B1, t))),
            .lift = (float)(1.0 / (1.0 - power((double)ADAM_B2, t))),
            .b1 = ADAM_B1,
            .b2 = ADAM_B2,
        };
    }
}

static inline void store(float *at, float value) {
    __atomic_store(at, &value, __ATOMIC_RELAXED);
}

static void ftrl_step(const struct optimiser *optimiser, float rate, float *w, float *z, float *n,
                      const float *gradient) {
    for (int t = 0; t < optimiser->tasks; t++) {
        float g = gradient[t];
        float root = sqrtf(n[t]);
        float sum = n[t] + g * g;
        float root_next = sqrtf(sum);
        float pull = z[t] + (g - (root_next - root) / rate * w[t]);
        float over = fabsf(pull) - FTRL_L1;
        float curve = (FTRL_BETA + root_next) / rate;
        store(&n[t], sum);
        store(&z[t], pull);
        store(&w[t], over <= 0.0f ? 0.0f : -copysignf(over, pull) / curve);
    }
}

static void adam_step(const struct optimiser *optimiser, float rate, float *row,
                      const float *gradient) {
    int tasks = optimiser->tasks;
    int weights = tasks + optimiser->dimension;
    float *m = row + weights;
    float *s = m + weights;
    struct kernel_adam step = optimiser->adam;
    step.rate *= rate;
    optimiser->kernel->adam(row, m, s, gradient, tasks, &step);
    step.l2 = optimiser->l2;
    optimiser->kernel->adam(row + tasks, m + tasks, s + tasks, gradient + tasks,
                            optimiser->dimension, &step);
}

static void rmsprop_step(const struct optimiser *optimiser, float rate, float *row,
                         const float *gradient) {
    int tasks = optimiser->tasks;
    float *s = row + tasks + optimiser->dimension;
    optimiser->kernel->rmsprop(row, s, gradient, tasks, rate, 0.0f, OPTIMISER_RMSPROP_FADE);
    optimiser->kernel->rmsprop(row + tasks, s + tasks, gradient + tasks, optimiser->dimension, rate,
                               optimiser->l2, OPTIMISER_RMSPROP_FADE);
}

void optimiser_step(const struct optimiser *optimiser, float rate, float *row,
                    const float *gradient) {
    int tasks = optimiser->tasks;
    int dimension = optimiser->dimension;
    float *state = row + tasks + dimension;
    rate *= optimiser->rate;
    switch (optimiser->kind) {
    case MODEL_ADAM: adam_step(optimiser, rate, row, gradient); return;
    case MODEL_RMSPROP: rmsprop_step(optimiser, rate, row, gradient); return;
    case MODEL_FTRL:
        ftrl_step(optimiser, rate, row, state, state + tasks, gradient);
        state += 2 * tasks;
        break;
    case MODEL_ADAGRAD:
        optimiser->kernel->adagrad(row, state, gradient, tasks, rate, 0.0f);
        state += tasks;
        break;
    }
    optimiser->kernel->adagrad(row + tasks, state, gradient + tasks, dimension, rate,
                               optimiser->l2);
}
