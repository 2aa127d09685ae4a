#include "learn/optimiser.h"

#include "base/hash.h"

#include <math.h>
#include <string.h>

/* FTRL: the first denominator of the rate, and the L1 penalty below which w is exactly 0. */
#define FTRL_BETA 1.0f
#define FTRL_L1   0.01f

int optimiser_width(const struct optimiser *optimiser) {
    int weights = optimiser->tasks + optimiser->dimension;
    return optimiser->kind == OPTIMISER_FTRL ? 2 * weights + optimiser->tasks : 2 * weights;
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
    /* n of w stands before n of v, both at the row's end; FTRL's n of w starts at 0, by its paper.
     */
    float *n_of_v = row + width - optimiser->dimension;
    for (int i = 0; i < optimiser->dimension; i++) {
        n_of_v[i] = OPTIMISER_V_FIRST;
    }
    for (int t = 1; optimiser->kind == OPTIMISER_ADAGRAD && t <= optimiser->tasks; t++) {
        n_of_v[-t] = OPTIMISER_W_FIRST;
    }
}

static void ftrl_step(const struct optimiser *optimiser, float *w, float *z, float *n,
                      const float *gradient) {
    for (int t = 0; t < optimiser->tasks; t++) {
        float g = gradient[t];
        float root = sqrtf(n[t]);
        n[t] += g * g;
        float root_next = sqrtf(n[t]);
        z[t] += g - (root_next - root) / optimiser->rate * w[t];
        float over = fabsf(z[t]) - FTRL_L1;
        float curve = (FTRL_BETA + root_next) / optimiser->rate;
        w[t] = over <= 0.0f ? 0.0f : -copysignf(over, z[t]) / curve;
    }
}

void optimiser_step(const struct optimiser *optimiser, float *row, const float *gradient) {
    int tasks = optimiser->tasks;
    int dimension = optimiser->dimension;
    float *state = row + tasks + dimension;
    if (optimiser->kind == OPTIMISER_FTRL) {
        ftrl_step(optimiser, row, state, state + tasks, gradient);
        state += 2 * tasks;
    } else {
        optimiser->kernel->adagrad(row, state, gradient, tasks, optimiser->rate, 0.0f);
        state += tasks;
    }
    optimiser->kernel->adagrad(row + tasks, state, gradient + tasks, dimension, optimiser->rate,
                               optimiser->l2);
}
