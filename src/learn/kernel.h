/* The vector loops of the learner, on plain pointers and counts.
 *
 * Every loop has a fixed order: element by element, or (dot) eight partial sums, lane j over the
 * elements j, j + 8 ..., combined as ((0+4)+(2+6)) + ((1+5)+(3+7)). So the variants give the same
 * bits, and which one runs (chosen once, by what the CPU has) changes no weight. All functions are
 * pure but for their outputs; outputs may not overlap inputs unless said. Any thread.
 *
 * Rows of the table are read and stepped where they lie, while other threads read them: every float
 * is loaded and stored whole, in no order (relaxed). Vector loads and stores of the machines we run
 * on do that; where a thread checker is to see it, kernel_best is the reference, which says it. */
#ifndef LEARN_KERNEL_H
#define LEARN_KERNEL_H

#define KERNEL_EPSILON 1e-8f

struct kernel_adam {
    float rate, lift, l2, b1, b2;
};

struct kernel {
    const char *name;
    float (*dot)(const float *a, const float *b, int n);
    /* Adds to `sum` and `squares` scales[r] x rows[r], and its squares, row after row: n floats of
     * each of `count`. `scales` NULL: 1. */
    void (*sums)(const float *const *rows, const float *scales, int count, int n, float *sum,
                 float *squares);
    /* out = (sum^2 - squares) / 2: the pairwise products of a factorisation machine. */
    void (*pairs)(const float *sum, const float *squares, int n, float *out);
    void (*add_scaled)(float *y, float scale, const float *x, int n); /* y += scale x */
    void (*scale)(float *y, float scale, const float *x, int n);      /* y = scale x */
    /* out = scale q (sum - scale v): the gradient of one embedding that counts `scale` times. */
    void (*pull)(const float *q, const float *sum, const float *v, float scale, int n, float *out);

    /* One step in place of n weights x, their `state` beside; g = gradient + l2 x. */

    /* AdaGrad (Duchi, Hazan, Singer 2011): state += g^2; x -= rate g / sqrt(state). `state` must be
     * above 0 at the start. */
    void (*adagrad)(float *x, float *state, const float *gradient, int n, float rate, float l2);
    /* RMSprop (Tieleman and Hinton 2012): state = fade state + (1 - fade) g^2;
     * x -= rate g / (sqrt(state) + KERNEL_EPSILON). */
    void (*rmsprop)(float *x, float *state, const float *gradient, int n, float rate, float l2,
                    float fade);
    /* Adam (Kingma and Ba 2015): m = b1 m + (1 - b1) g; s = b2 s + (1 - b2) g^2;
     * x -= rate m / (sqrt(s x lift) + KERNEL_EPSILON). The caller puts 1 / (1 - b1^t) into `rate`
     * and 1 / (1 - b2^t) into `lift`. */
    void (*adam)(float *x, float *m, float *s, const float *gradient, int n,
                 const struct kernel_adam *step);
};

const struct kernel *kernel_scalar(void);
const struct kernel *kernel_best(void); /* the fastest that this CPU runs */

/* 1 / (1 + exp(-x)) within 2e-7 relative, in basic arithmetic only: the C library's expf gives
 * different last bits on different CPUs, and weights must not depend on that. Not a number: 1/2. */
float kernel_sigmoid(float x);
/* exp(x) for x of at most 0, likewise; 0 below -87; not a number stays none. */
float kernel_exp(float x);

#endif
