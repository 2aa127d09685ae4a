/* Linear layers, and the cross layers of DCN-v2. */
#include "learn/net_internal.h"
#include "learn/net_loops.h"
#include "learn/net_matrix.h"

#include <string.h>

/* Every row starts with the request's part, and only the item's columns are multiplied. */
static void add_to_prepared(const struct net_pass *pass, const struct net_op *op, float *out,
                            int stride) {
    const struct net_work *work = pass->work;
    int known = work->plan->request_width - op->in.first;
    known = known < op->in.width ? known : op->in.width;
    for (int r = 0; r < pass->rows; r++) {
        memcpy(out + (size_t)r * (size_t)stride, work->prepared + op->prepare,
               (size_t)op->out.width * sizeof(float));
    }
    if (known < op->in.width) {
        matrix_by_rows(pass->rows, op->out.width, op->in.width - known,
                       net_values(work, op->in) + known, net_stride(work, op->in),
                       pass->parameters + op->w + known, op->in.width, out, stride, 1);
    }
}

void op_linear_prepare(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    int known = work->plan->request_width - op->in.first;
    known = known < op->in.width ? known : op->in.width;
    matrix_by_rows(1, op->out.width, known, work->request + op->in.first, known,
                   pass->parameters + op->w, op->in.width, work->prepared + op->prepare,
                   op->out.width, 0);
}

void op_linear_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    int stride = net_stride(work, op->out);
    float *out = net_values(work, op->out);
    if (pass->items && op->prepare != NET_NONE) {
        add_to_prepared(pass, op, out, stride);
    } else {
        matrix_by_rows(pass->rows, op->out.width, op->in.width, net_values(work, op->in),
                       net_stride(work, op->in), pass->parameters + op->w, op->in.width, out,
                       stride, op->out.buffer == NET_LOGITS);
    }
    const float *bias = op->b == NET_NONE ? NULL : pass->parameters + op->b;
    if (bias || op->relu) {
        net_loops_best()->bias(out, pass->rows, op->out.width, stride, bias, op->relu);
    }
}

/* The gradient of what a layer read, and of its matrix, from that of its product, `g`. */
static void product_backward(const struct net_pass *pass, const struct net_op *op, const float *g,
                             int g_stride) {
    const struct net_work *work = pass->work;
    int n = op->out.width;
    int k = op->in.width;
    matrix_gradient(n, k, pass->rows, g, g_stride, net_values(work, op->in),
                    net_stride(work, op->in), pass->parameter_gradients + op->w, k);
    if (op->b != NET_NONE) {
        net_loops_best()->column_sums(g, pass->rows, n, g_stride,
                                      pass->parameter_gradients + op->b);
    }
    matrix_product(pass->rows, k, n, g, g_stride, pass->parameters + op->w, k,
                   net_gradients(work, op->in), net_stride(work, op->in), !op->fresh);
}

void op_linear_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    int stride = net_stride(work, op->out);
    float *g = net_gradients(work, op->out);
    if (op->relu) {
        net_loops_best()->mask(g, stride, net_values(work, op->out), stride, pass->rows,
                               op->out.width);
    }
    product_backward(pass, op, g, stride);
}

/* x_{l+1} = x_0 * (W x_l + b) + x_l; the scratch keeps W x_l + b. */
void op_cross_forward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct net_loops *loops = net_loops_best();
    int n = op->in.width;
    float *inner = work->values[op->scratch];
    matrix_by_rows(pass->rows, n, n, net_values(work, op->in), net_stride(work, op->in),
                   pass->parameters + op->w, n, inner, n, 0);
    loops->bias(inner, pass->rows, n, n, pass->parameters + op->b, 0);
    for (int r = 0; r < pass->rows; r++) {
        const float *x0 = net_row(work, op->other, r);
        const float *x = net_row(work, op->in, r);
        float *out = net_row(work, op->out, r);
        loops->product_add(out, x0, inner + (size_t)r * (size_t)n, x, n);
    }
}

void op_cross_backward(const struct net_pass *pass, const struct net_op *op) {
    const struct net_work *work = pass->work;
    const struct net_loops *loops = net_loops_best();
    int n = op->in.width;
    float *g_inner = work->gradients[op->scratch];
    for (int r = 0; r < pass->rows; r++) {
        const float *x0 = net_row(work, op->other, r);
        float *g_x0 = net_row_gradients(work, op->other, r);
        float *g_x = net_row_gradients(work, op->in, r);
        const float *g = net_row_gradients(work, op->out, r);
        size_t at = (size_t)r * (size_t)n;
        loops->product(g_inner + at, g, x0, n);
        loops->add_product(g_x0, g, work->values[op->scratch] + at, n);
        loops->add(g_x, g, n);
    }
    product_backward(pass, op, g_inner, n);
}
