/* Products of pairs of fields: the factorisation machine's, and the field-weighted one's. */
#include "learn/kernel.h"
#include "learn/net_internal.h"
#include "learn/net_loops.h"

#include <string.h>

/* The scratch keeps the sums for the way back. */
void op_pairs_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct kernel *kernel = kernel_best();
    const struct net_loops *loops = net_loops_best();
    int k = op->out.width;
    float squares[MODEL_DIMENSION_MAX];
    for (int r = 0; r < pass->rows; r++) {
        float *sum = work->values[op->scratch] + (size_t)r * (size_t)k;
        loops->sums(net_row(work, op->in, r), op->in.width / k, k, sum, squares);
        kernel->pairs(sum, squares, k, net_row(work, op->out, r));
    }
}

/* d/dv_f = g (sum - v_f) */
void op_pairs_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct net_loops *loops = net_loops_best();
    int k = op->out.width;
    for (int r = 0; r < pass->rows; r++) {
        const float *sum = work->values[op->scratch] + (size_t)r * (size_t)k;
        loops->add_pulls(net_row_gradients(work, op->in, r), net_row_gradients(work, op->out, r),
                         sum, net_row(work, op->in, r), op->in.width / k, k);
    }
}

void op_pair_sum_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    for (int r = 0; r < pass->rows; r++) {
        const float *in = net_row(work, op->in, r);
        float *out = net_row(work, op->out, r);
        float sum = 0.0f;
        for (int i = 0; i < op->in.width; i++) {
            sum += in[i];
        }
        for (int t = 0; t < op->out.width; t++) {
            out[t] += sum;
        }
    }
}

void op_pair_sum_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    for (int r = 0; r < pass->rows; r++) {
        float *g_in = net_row_gradients(work, op->in, r);
        const float *g = net_row_gradients(work, op->out, r);
        float sum = 0.0f;
        for (int t = 0; t < op->out.width; t++) {
            sum += g[t];
        }
        for (int i = 0; i < op->in.width; i++) {
            g_in[i] += sum;
        }
    }
}

/* Weights of one task: r of (0,1), (0,2) .. (0,F-1), (1,2) ...
 *
 * mixed_f = sum over g != f of r_fg v_g; the logit is half the sum of <v_f, mixed_f>, and mixed_f
 * is its derivative. */
static void mix_fields(const float *weights, const float *in, int fields, int k, float *mixed) {
    const struct net_loops *loops = net_loops_best();
    memset(mixed, 0, (size_t)(fields * k) * sizeof(float));
    for (int f = 0; f < fields; f++) {
        for (int g = f + 1; g < fields; g++, weights++) {
            loops->add_scaled(mixed + f * k, *weights, in + g * k, k);
            loops->add_scaled(mixed + g * k, *weights, in + f * k, k);
        }
    }
}

void op_weighted_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct kernel *kernel = kernel_best();
    int k = work->plan->spec.dimension;
    int fields = op->in.width / k;
    size_t pairs = (size_t)fields * (size_t)(fields - 1) / 2;
    int tasks = op->out.width;
    for (int r = 0; r < pass->rows; r++) {
        const float *in = net_row(work, op->in, r);
        float *out = net_row(work, op->out, r);
        for (int t = 0; t < tasks; t++) {
            float *mixed =
                work->values[op->scratch] + (size_t)(r * tasks + t) * (size_t)op->in.width;
            mix_fields(pass->parameters + op->w + (size_t)t * pairs, in, fields, k, mixed);
            out[t] += 0.5f * kernel->dot(in, mixed, op->in.width);
        }
    }
}

void op_weighted_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct kernel *kernel = kernel_best();
    const struct net_loops *loops = net_loops_best();
    int k = work->plan->spec.dimension;
    int fields = op->in.width / k;
    size_t pairs = (size_t)fields * (size_t)(fields - 1) / 2;
    int tasks = op->out.width;
    memset(pass->parameter_gradients + op->w, 0, (size_t)tasks * pairs * sizeof(float));
    for (int r = 0; r < pass->rows; r++) {
        const float *in = net_row(work, op->in, r);
        const float *g = net_row_gradients(work, op->out, r);
        float *g_in = net_row_gradients(work, op->in, r);
        for (int t = 0; t < tasks; t++) {
            const float *mixed =
                work->values[op->scratch] + (size_t)(r * tasks + t) * (size_t)op->in.width;
            float *g_weight = pass->parameter_gradients + op->w + (size_t)t * pairs;
            loops->add_scaled(g_in, g[t], mixed, op->in.width);
            for (int f = 0; f < fields; f++) {
                for (int h = f + 1; h < fields; h++) {
                    *g_weight++ += g[t] * kernel->dot(in + f * k, in + h * k, k);
                }
            }
        }
    }
}
