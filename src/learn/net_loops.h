/* Element-wise loops of the networks, on plain pointers: each element by itself, or added up in the
 * order of the rows, so that the variants for wider registers give the same bits. Any thread. */
#ifndef LEARN_NET_LOOPS_H
#define LEARN_NET_LOOPS_H

struct net_loops {
    const char *name;
    /* rows x n at `stride`: x += bias (may be NULL), then max(x, 0) where `relu`. */
    void (*bias)(float *x, int rows, int n, int stride, const float *bias, int relu);
    /* g = 0 where the activation y is 0. */
    void (*mask)(float *g, int g_stride, const float *y, int y_stride, int rows, int n);
    /* out[n] = sums of the columns. */
    void (*column_sums)(const float *x, int rows, int n, int stride, float *out);
    void (*add)(float *y, const float *x, int n);                         /* y += x */
    void (*add_product)(float *y, const float *a, const float *b, int n); /* y += a b */
    void (*product)(float *y, const float *a, const float *b, int n);     /* y = a b */
    void (*add_scaled)(float *y, float scale, const float *x, int n);     /* y += scale x */
    /* out = a b + c */
    void (*product_add)(float *out, const float *a, const float *b, const float *c, int n);
    /* sum = of `count` vectors x of n, one after another; squares = of their squares. */
    void (*sums)(const float *x, int count, int n, float *sum, float *squares);
    /* y += g (sum - x), for each of `count` vectors x: the gradient of sums of pairs. */
    void (*add_pulls)(float *y, const float *g, const float *sum, const float *x, int count, int n);
};

const struct net_loops *net_loops_scalar(void);
const struct net_loops *net_loops_best(void);

#endif
