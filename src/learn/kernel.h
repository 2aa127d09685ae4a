/* The vector loops of the learner, on plain pointers and counts.
 *
 * Every loop has a fixed order: element by element, or (dot) eight partial sums, lane j over the
 * elements j, j + 8 ..., combined as ((0+4)+(2+6)) + ((1+5)+(3+7)). So the variants give the same
 * bits, and which one runs (chosen once, by what the CPU has) changes no weight. All functions are
 * pure but for their outputs; outputs may not overlap inputs unless said. Any thread. */
#ifndef LEARN_KERNEL_H
#define LEARN_KERNEL_H

struct kernel {
    const char *name;
    float (*dot)(const float *a, const float *b, int n);
    /* Column sums, and sums of squares, over `count` rows of n floats that lie one after another.
     */
    void (*sums)(const float *rows, int count, int n, float *sum, float *squares);
    /* out = (sum^2 - squares) / 2: the pairwise products of a factorisation machine. */
    void (*pairs)(const float *sum, const float *squares, int n, float *out);
    void (*add_scaled)(float *y, float scale, const float *x, int n); /* y += scale x */
    void (*scale)(float *y, float scale, const float *x, int n);      /* y = scale x */
    /* out = q (sum - v): the gradient of one embedding. */
    void (*pull)(const float *q, const float *sum, const float *v, int n, float *out);
    /* AdaGrad (Duchi, Hazan, Singer 2011): g = gradient + l2 x; state += g^2;
     * x -= rate g / sqrt(state). `state` must be above 0 at the start. */
    void (*adagrad)(float *x, float *state, const float *gradient, int n, float rate, float l2);
};

const struct kernel *kernel_scalar(void);
const struct kernel *kernel_best(void); /* the fastest that this CPU runs */

/* 1 / (1 + exp(-x)) within 2e-7 relative, in basic arithmetic only: the C library's expf gives
 * different last bits on different CPUs, and weights must not depend on that. Not a number: 1/2. */
float kernel_sigmoid(float x);

#endif
