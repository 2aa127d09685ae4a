/* Mixtures of experts, and what the two towers end with. */
#include "learn/kernel.h"
#include "learn/net_internal.h"
#include "learn/net_loops.h"

#include <math.h>

/* exp by the sigmoid of our own: e^x = s / (1 - s), for x <= 0. */
static float exponential(float x) {
    float s = kernel_sigmoid(x);
    return s / (1.0f - s);
}

static void softmax(const float *in, int n, float *out) {
    float most = in[0];
    for (int i = 1; i < n; i++) {
        most = in[i] > most ? in[i] : most;
    }
    float sum = 0.0f;
    for (int i = 0; i < n; i++) {
        out[i] = exponential(in[i] - most);
        sum += out[i];
    }
    for (int i = 0; i < n; i++) {
        out[i] /= sum;
    }
}

/* in, more: the experts' outputs side by side; other: a logit an expert. The scratch keeps the
 * shares. */
static struct columns expert_at(const struct net_op *op, int expert) {
    int n = op->out.width;
    int own = op->in.width / n;
    struct columns all = expert < own ? op->in : op->more;
    int within = expert < own ? expert : expert - own;
    return (struct columns){all.buffer, all.first + within * n, n};
}

void op_mix_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct net_loops *loops = net_loops_best();
    int experts = op->other.width;
    int n = op->out.width;
    for (int r = 0; r < pass->rows; r++) {
        float *out = net_row(work, op->out, r);
        float *shares = work->values[op->scratch] + r * experts;
        softmax(net_row(work, op->other, r), experts, shares);
        for (int i = 0; i < n; i++) {
            out[i] = 0.0f;
        }
        for (int e = 0; e < experts; e++) {
            loops->add_scaled(out, shares[e], net_row(work, expert_at(op, e), r), n);
        }
    }
}

void op_mix_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct net_loops *loops = net_loops_best();
    const struct kernel *kernel = kernel_best();
    int experts = op->other.width;
    int n = op->out.width;
    for (int r = 0; r < pass->rows; r++) {
        const float *g = net_row_gradients(work, op->out, r);
        float *g_gate = net_row_gradients(work, op->other, r);
        const float *shares = work->values[op->scratch] + r * experts;
        float of_share[2 * MODEL_EXPERTS_MAX * (MODEL_TASKS_MAX + 1)];
        float mean = 0.0f;
        for (int e = 0; e < experts; e++) {
            struct columns expert = expert_at(op, e);
            loops->add_scaled(net_row_gradients(work, expert, r), shares[e], g, n);
            of_share[e] = kernel->dot(net_row(work, expert, r), g, n);
            mean += shares[e] * of_share[e];
        }
        for (int e = 0; e < experts; e++) {
            g_gate[e] += shares[e] * (of_share[e] - mean);
        }
    }
}

/* A vector of almost no length has no direction: it is left as short as it is. */
#define LENGTH_MIN 1e-6f

static float length_of(const float *x, int n) {
    float length = sqrtf(kernel_best()->dot(x, x, n));
    return length > LENGTH_MIN ? length : LENGTH_MIN;
}

void op_normalise_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    int n = op->in.width;
    for (int r = 0; r < pass->rows; r++) {
        const float *in = net_row(work, op->in, r);
        float *out = net_row(work, op->out, r);
        kernel_best()->scale(out, 1.0f / length_of(in, n), in, n);
    }
}

/* (g - y <g, y>) / |x| */
void op_normalise_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    int n = op->in.width;
    for (int r = 0; r < pass->rows; r++) {
        const float *in = net_row(work, op->in, r);
        const float *y = net_row(work, op->out, r);
        const float *g = net_row_gradients(work, op->out, r);
        float *g_in = net_row_gradients(work, op->in, r);
        float scale = 1.0f / length_of(in, n);
        float along = kernel_best()->dot(g, y, n);
        net_loops_best()->add_scaled(g_in, scale, g, n);
        net_loops_best()->add_scaled(g_in, -scale * along, y, n);
    }
}

/* Both towers are of unit length; one learnt scale (an inverse temperature) and bias a task. */
void op_product_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const float *scale = pass->parameters + op->w;
    for (int r = 0; r < pass->rows; r++) {
        const float *a = net_row(work, op->in, r);
        const float *b = net_row(work, op->other, r);
        float *out = net_row(work, op->out, r);
        float product = kernel_best()->dot(a, b, op->in.width);
        for (int t = 0; t < op->out.width; t++) {
            out[t] += scale[t] * product + pass->parameters[op->b + (size_t)t];
        }
    }
}

void op_product_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const float *scale = pass->parameters + op->w;
    float *g_scale = pass->parameter_gradients + op->w;
    float *g_bias = pass->parameter_gradients + op->b;
    for (int t = 0; t < op->out.width; t++) {
        g_scale[t] = 0.0f;
        g_bias[t] = 0.0f;
    }
    for (int r = 0; r < pass->rows; r++) {
        const float *a = net_row(work, op->in, r);
        const float *b = net_row(work, op->other, r);
        const float *g = net_row_gradients(work, op->out, r);
        float product = kernel_best()->dot(a, b, op->in.width);
        float g_product = 0.0f;
        for (int t = 0; t < op->out.width; t++) {
            g_scale[t] += g[t] * product;
            g_bias[t] += g[t];
            g_product += g[t] * scale[t];
        }
        float *g_a = net_row_gradients(work, op->in, r);
        float *g_b = net_row_gradients(work, op->other, r);
        net_loops_best()->add_scaled(g_a, g_product, b, op->in.width);
        net_loops_best()->add_scaled(g_b, g_product, a, op->in.width);
    }
}
