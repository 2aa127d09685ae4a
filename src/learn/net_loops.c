#include "learn/net_loops.h"

#include <stddef.h>

/* One body a loop, compiled for each kind of register. */
#define BODY static inline __attribute__((always_inline)) void

BODY bias_body(float *x, int rows, int n, int stride, const float *bias, int relu) {
    for (int r = 0; r < rows; r++, x += stride) {
        for (int i = 0; bias && i < n; i++) {
            x[i] += bias[i];
        }
        for (int i = 0; relu && i < n; i++) {
            x[i] = x[i] > 0.0f ? x[i] : 0.0f;
        }
    }
}

BODY mask_body(float *g, int g_stride, const float *y, int y_stride, int rows, int n) {
    for (int r = 0; r < rows; r++, g += g_stride, y += y_stride) {
        for (int i = 0; i < n; i++) {
            g[i] = y[i] > 0.0f ? g[i] : 0.0f;
        }
    }
}

BODY column_sums_body(const float *x, int rows, int n, int stride, float *out) {
    for (int i = 0; i < n; i++) {
        out[i] = 0.0f;
    }
    for (int r = 0; r < rows; r++, x += stride) {
        for (int i = 0; i < n; i++) {
            out[i] += x[i];
        }
    }
}

BODY add_body(float *y, const float *x, int n) {
    for (int i = 0; i < n; i++) {
        y[i] += x[i];
    }
}

BODY add_product_body(float *y, const float *a, const float *b, int n) {
    for (int i = 0; i < n; i++) {
        y[i] += a[i] * b[i];
    }
}

BODY product_body(float *y, const float *a, const float *b, int n) {
    for (int i = 0; i < n; i++) {
        y[i] = a[i] * b[i];
    }
}

BODY add_scaled_body(float *y, float scale, const float *x, int n) {
    for (int i = 0; i < n; i++) {
        y[i] += scale * x[i];
    }
}

BODY product_add_body(float *out, const float *a, const float *b, const float *c, int n) {
    for (int i = 0; i < n; i++) {
        out[i] = a[i] * b[i] + c[i];
    }
}

/* Vectors are short: their elements are taken a register at a time, over all vectors. */
enum { LANES = 8 };

BODY sums_lanes(const float *x, int count, int n, int lanes, float *sum, float *squares) {
    float all[LANES] = {0};
    float squared[LANES] = {0};
    for (int v = 0; v < count; v++, x += n) {
        for (int i = 0; i < lanes; i++) {
            all[i] += x[i];
            squared[i] += x[i] * x[i];
        }
    }
    for (int i = 0; i < lanes; i++) {
        sum[i] = all[i];
        squares[i] = squared[i];
    }
}

BODY sums_body(const float *x, int count, int n, float *sum, float *squares) {
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        sums_lanes(x + i, count, n, LANES, sum + i, squares + i);
    }
    for (; i < n; i++) {
        sums_lanes(x + i, count, n, 1, sum + i, squares + i);
    }
}

BODY add_pulls_lanes(float *y, const float *g, const float *sum, const float *x, int count, int n,
                     int lanes) {
    for (int v = 0; v < count; v++, x += n, y += n) {
        float next[LANES]; /* apart from y, which x might overlap for all that the compiler knows */
        for (int i = 0; i < lanes; i++) {
            next[i] = y[i] + g[i] * (sum[i] - x[i]);
        }
        for (int i = 0; i < lanes; i++) {
            y[i] = next[i];
        }
    }
}

BODY add_pulls_body(float *y, const float *g, const float *sum, const float *x, int count, int n) {
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        add_pulls_lanes(y + i, g + i, sum + i, x + i, count, n, LANES);
    }
    for (; i < n; i++) {
        add_pulls_lanes(y + i, g + i, sum + i, x + i, count, n, 1);
    }
}

#define LOOPS(kind, TARGET)                                                                        \
    TARGET static void bias_##kind(float *x, int rows, int n, int stride, const float *bias,       \
                                   int relu) {                                                     \
        bias_body(x, rows, n, stride, bias, relu);                                                 \
    }                                                                                              \
    TARGET static void mask_##kind(float *g, int g_stride, const float *y, int y_stride, int rows, \
                                   int n) {                                                        \
        mask_body(g, g_stride, y, y_stride, rows, n);                                              \
    }                                                                                              \
    TARGET static void sums_##kind(const float *x, int rows, int n, int stride, float *out) {      \
        column_sums_body(x, rows, n, stride, out);                                                 \
    }                                                                                              \
    TARGET static void add_##kind(float *y, const float *x, int n) {                               \
        add_body(y, x, n);                                                                         \
    }                                                                                              \
    TARGET static void add_product_##kind(float *y, const float *a, const float *b, int n) {       \
        add_product_body(y, a, b, n);                                                              \
    }                                                                                              \
    TARGET static void product_##kind(float *y, const float *a, const float *b, int n) {           \
        product_body(y, a, b, n);                                                                  \
    }                                                                                              \
    TARGET static void add_scaled_##kind(float *y, float scale, const float *x, int n) {           \
        add_scaled_body(y, scale, x, n);                                                           \
    }                                                                                              \
    TARGET static void product_add_##kind(float *out, const float *a, const float *b,              \
                                          const float *c, int n) {                                 \
        product_add_body(out, a, b, c, n);                                                         \
    }                                                                                              \
    TARGET static void vector_sums_##kind(const float *x, int count, int n, float *sum,            \
                                          float *squares) {                                        \
        sums_body(x, count, n, sum, squares);                                                      \
    }                                                                                              \
    TARGET static void add_pulls_##kind(float *y, const float *g, const float *sum,                \
                                        const float *x, int count, int n) {                        \
        add_pulls_body(y, g, sum, x, count, n);                                                    \
    }                                                                                              \
    static const struct net_loops kind = {                                                         \
        .name = #kind,                                                                             \
        .bias = bias_##kind,                                                                       \
        .mask = mask_##kind,                                                                       \
        .column_sums = sums_##kind,                                                                \
        .add = add_##kind,                                                                         \
        .add_product = add_product_##kind,                                                         \
        .product = product_##kind,                                                                 \
        .add_scaled = add_scaled_##kind,                                                           \
        .sums = vector_sums_##kind,                                                                \
        .add_pulls = add_pulls_##kind,                                                             \
        .product_add = product_add_##kind,                                                         \
    };

LOOPS(scalar, )

const struct net_loops *net_loops_scalar(void) {
    return &scalar;
}

#if defined(__x86_64__)
LOOPS(avx2, __attribute__((target("avx2"))))

const struct net_loops *net_loops_best(void) {
    return __builtin_cpu_supports("avx2") ? &avx2 : &scalar;
}
#else
const struct net_loops *net_loops_best(void) {
    return &scalar;
}
#endif
