/* Attention of a history to the candidate (DIN): a key's share is what a small network makes of
 * [query, key, query - key, query * key]; shares are not normalised, so that a strong interest
 * stays stronger than a weak one. The pooled vector is the sum of share x key.
 *
 * Keys of all rows are taken a chunk at a time, as one matrix; backwards the chunk is computed
 * again instead of kept. Parameters: W [hidden][4 k], b [hidden], w [hidden], its bias. */
#include "learn/kernel.h"
#include "learn/net_internal.h"
#include "learn/net_loops.h"
#include "learn/net_matrix.h"

#include <string.h>

size_t attention_parameters(int dimension) {
    return (size_t)ATTENTION_HIDDEN * (size_t)(4 * dimension + 2) + 1;
}

size_t attention_scratch(int dimension) {
    return (size_t)ATTENTION_CHUNK * (size_t)(2 * (4 * dimension + ATTENTION_HIDDEN) + 1);
}

struct attention {
    const struct net_work *work;
    const struct net_history *history;
    int k;
    struct columns query, pooled;
    const float *matrix, *bias, *last;
    float *inputs, *g_inputs; /* [chunk][4 k] */
    float *hidden, *g_hidden; /* [chunk][hidden] */
    float *shares;            /* [chunk] */
    int rows[ATTENTION_CHUNK];
};

static void attention_begin(struct attention *a, const struct net_pass *pass,
                            const struct net_history *history) {
    const struct model_spec *spec = &pass->work->plan->spec;
    int k = spec->dimension;
    const float *own = pass->parameters + pass->work->plan->attention[history->field];
    int target = spec->fields[history->field].target;
    a->work = pass->work;
    a->history = history;
    a->k = k;
    const int *places = pass->work->plan->places;
    a->query = (struct columns){NET_INPUT, places[target] * k, k};
    a->pooled = (struct columns){NET_INPUT, places[history->field] * k, k};
    a->matrix = own;
    a->bias = own + (size_t)(ATTENTION_HIDDEN * 4 * k);
    a->last = a->bias + ATTENTION_HIDDEN;
    a->inputs = pass->work->keys;
    a->g_inputs = a->inputs + (size_t)(ATTENTION_CHUNK * 4 * k);
    a->hidden = a->g_inputs + (size_t)(ATTENTION_CHUNK * 4 * k);
    a->g_hidden = a->hidden + (size_t)(ATTENTION_CHUNK * ATTENTION_HIDDEN);
    a->shares = a->g_hidden + (size_t)(ATTENTION_CHUNK * ATTENTION_HIDDEN);
}

/* Inputs, hidden values and shares of keys [first, first + count), the first of which is of row
 * `*row`; leaves there the row of the last. */
static void chunk_forward(struct attention *a, uint32_t first, int count, int *row) {
    int k = a->k;
    for (int i = 0; i < count; i++) {
        while (a->history->offsets[*row + 1] <= first + (uint32_t)i) {
            ++*row;
        }
        a->rows[i] = *row;
        const float *query = net_row(a->work, a->query, *row);
        const float *key = a->history->vectors + (size_t)(first + (uint32_t)i) * (size_t)k;
        float *in = a->inputs + (size_t)i * (size_t)(4 * k);
        memcpy(in, query, (size_t)k * sizeof(float));
        memcpy(in + k, key, (size_t)k * sizeof(float));
        for (int d = 0; d < k; d++) {
            in[2 * k + d] = query[d] - key[d];
            in[3 * k + d] = query[d] * key[d];
        }
    }
    matrix_by_rows(count, ATTENTION_HIDDEN, 4 * k, a->inputs, 4 * k, a->matrix, 4 * k, a->hidden,
                   ATTENTION_HIDDEN, 0);
    net_loops_best()->bias(a->hidden, count, ATTENTION_HIDDEN, ATTENTION_HIDDEN, a->bias, 1);
    for (int i = 0; i < count; i++) {
        a->shares[i] =
            a->last[ATTENTION_HIDDEN] +
            kernel_best()->dot(a->hidden + i * ATTENTION_HIDDEN, a->last, ATTENTION_HIDDEN);
    }
}

void attention_forward(const struct net_pass *pass, const struct net_history *history) {
    struct attention a;
    attention_begin(&a, pass, history);
    for (int r = 0; r < pass->rows; r++) {
        memset(net_row(a.work, a.pooled, r), 0, (size_t)a.k * sizeof(float));
    }
    uint32_t keys = history->offsets[pass->rows];
    int row = 0;
    for (uint32_t first = history->offsets[0]; first < keys; first += ATTENTION_CHUNK) {
        int count = keys - first < ATTENTION_CHUNK ? (int)(keys - first) : ATTENTION_CHUNK;
        chunk_forward(&a, first, count, &row);
        for (int i = 0; i < count; i++) {
            const float *key = history->vectors + (size_t)(first + (uint32_t)i) * (size_t)a.k;
            net_loops_best()->add_scaled(net_row(a.work, a.pooled, a.rows[i]), a.shares[i], key,
                                         a.k);
        }
    }
}

struct attention_gradients {
    float *matrix, *bias, *last;
};

/* From the gradients of shares (in `shares`) to those of the hidden layer and of the parameters. */
static void chunk_backward(struct attention *a, const struct attention_gradients *g, int count) {
    const struct net_loops *loops = net_loops_best();
    int k = a->k;
    for (int i = 0; i < count; i++) {
        const float *hidden = a->hidden + i * ATTENTION_HIDDEN;
        float *g_hidden = a->g_hidden + i * ATTENTION_HIDDEN;
        kernel_best()->scale(g_hidden, a->shares[i], a->last, ATTENTION_HIDDEN);
        loops->add_scaled(g->last, a->shares[i], hidden, ATTENTION_HIDDEN);
        g->last[ATTENTION_HIDDEN] += a->shares[i];
    }
    loops->mask(a->g_hidden, ATTENTION_HIDDEN, a->hidden, ATTENTION_HIDDEN, count,
                ATTENTION_HIDDEN);
    for (int i = 0; i < count; i++) {
        const float *g_hidden = a->g_hidden + i * ATTENTION_HIDDEN;
        loops->add(g->bias, g_hidden, ATTENTION_HIDDEN);
        for (int h = 0; h < ATTENTION_HIDDEN; h++) {
            loops->add_scaled(g->matrix + h * 4 * k, g_hidden[h], a->inputs + i * 4 * k, 4 * k);
        }
    }
    matrix_product(count, 4 * k, ATTENTION_HIDDEN, a->g_hidden, ATTENTION_HIDDEN, a->matrix, 4 * k,
                   a->g_inputs, 4 * k, 0);
}

/* From the gradient of one key's inputs to those of query and key. */
static void spread_gradient(const struct attention *a, int i, float *g_key) {
    int k = a->k;
    const float *in = a->inputs + i * 4 * k;
    const float *g = a->g_inputs + i * 4 * k;
    float *g_query = net_row_gradients(a->work, a->query, a->rows[i]);
    for (int d = 0; d < k; d++) {
        g_query[d] += g[d] + g[2 * k + d] + g[3 * k + d] * in[k + d];
        g_key[d] += g[k + d] - g[2 * k + d] + g[3 * k + d] * in[d];
    }
}

void attention_backward(const struct net_pass *pass, const struct net_history *history) {
    struct attention a;
    attention_begin(&a, pass, history);
    float *own = pass->parameter_gradients + pass->work->plan->attention[history->field];
    struct attention_gradients g = {own, own + (a.bias - a.matrix), own + (a.last - a.matrix)};
    uint32_t keys = history->offsets[pass->rows];
    int row = 0;
    for (uint32_t first = history->offsets[0]; first < keys; first += ATTENTION_CHUNK) {
        int count = keys - first < ATTENTION_CHUNK ? (int)(keys - first) : ATTENTION_CHUNK;
        chunk_forward(&a, first, count, &row);
        for (int i = 0; i < count; i++) {
            const float *g_pooled = net_row_gradients(a.work, a.pooled, a.rows[i]);
            float *g_key = history->gradients + (size_t)(first + (uint32_t)i) * (size_t)a.k;
            kernel_best()->scale(g_key, a.shares[i], g_pooled, a.k);
            a.shares[i] = kernel_best()->dot(a.inputs + i * 4 * a.k + a.k, g_pooled, a.k);
        }
        chunk_backward(&a, &g, count);
        for (int i = 0; i < count; i++) {
            spread_gradient(&a, i,
                            history->gradients + (size_t)(first + (uint32_t)i) * (size_t)a.k);
        }
    }
}
