#include "learn/net.h"

#include "base/memory.h"
#include "learn/net_internal.h"
#include "learn/net_matrix.h"

#include <string.h>

/* --- room to work in --- */

enum { LINE_FLOATS = 16 };

static size_t whole_lines(size_t floats) {
    return (floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
}

static bool has_attention(const struct net_plan *plan) {
    for (int f = 0; f < plan->spec.field_count; f++) {
        if (plan->attention[f] != NET_NONE) {
            return true;
        }
    }
    return false;
}

/* Cuts `block` into the parts; with NULL only counts. */
static size_t lay_out(struct net_work *work, const struct net_plan *plan, bool gradients,
                      float *block) {
    size_t at = 0;
    for (int b = 0; b < plan->buffer_count; b++) {
        size_t floats = whole_lines((size_t)work->rows_max * (size_t)plan->widths[b]);
        work->values[b] = block ? block + at : NULL;
        at += floats;
        if (gradients) {
            work->gradients[b] = block ? block + at : NULL;
            at += floats;
        }
    }
    work->request = block ? block + at : NULL;
    at += whole_lines((size_t)plan->request_width);
    work->prepared = block ? block + at : NULL;
    at += whole_lines(plan->prepared);
    work->keys = block ? block + at : NULL;
    at += has_attention(plan) ? whole_lines(attention_scratch(plan->spec.dimension)) : 0;
    return at;
}

leat_status net_work_create(const struct net_plan *plan, int rows_max, bool gradients,
                            struct net_work **out, leat_error *err) {
    TRY(matrix_begin(err));
    struct net_work *work = memory_zalloc(sizeof(*work));
    if (!work) {
        return error_memory(err, sizeof(*work));
    }
    work->plan = plan;
    work->rows_max = rows_max;
    size_t bytes = lay_out(work, plan, gradients, NULL) * sizeof(float);
    work->block = memory_aligned(LINE_FLOATS * sizeof(float), bytes);
    if (!work->block) {
        memory_free(work);
        return error_memory(err, bytes);
    }
    memset(work->block, 0, bytes);
    (void)lay_out(work, plan, gradients, work->block);
    *out = work;
    return LEAT_OK;
}

void net_work_destroy(struct net_work *work) {
    if (work) {
        memory_free(work->block);
        memory_free(work);
    }
}

/* --- running a plan --- */

static void run_forward(const struct net_pass *pass, const struct net_op *op) {
    switch (op->kind) {
    case OP_LINEAR: op_linear_forward(pass, op); break;
    case OP_CROSS: op_cross_forward(pass, op); break;
    case OP_PAIRS: op_pairs_forward(pass, op); break;
    case OP_PAIR_SUM: op_pair_sum_forward(pass, op); break;
    case OP_WEIGHTED: op_weighted_forward(pass, op); break;
    case OP_MIX: op_mix_forward(pass, op); break;
    case OP_NORMALISE: op_normalise_forward(pass, op); break;
    case OP_PRODUCT: op_product_forward(pass, op); break;
    }
}

static void run_backward(const struct net_pass *pass, const struct net_op *op) {
    switch (op->kind) {
    case OP_LINEAR: op_linear_backward(pass, op); break;
    case OP_CROSS: op_cross_backward(pass, op); break;
    case OP_PAIRS: op_pairs_backward(pass, op); break;
    case OP_PAIR_SUM: op_pair_sum_backward(pass, op); break;
    case OP_WEIGHTED: op_weighted_backward(pass, op); break;
    case OP_MIX: op_mix_backward(pass, op); break;
    case OP_NORMALISE: op_normalise_backward(pass, op); break;
    case OP_PRODUCT: op_product_backward(pass, op); break;
    }
}

static void copy_floats(float *to, const float *from, size_t count) {
    memcpy(to, from, count * sizeof(float));
}

static void fill_input(struct net_work *work, const struct net_input *input) {
    const struct model_spec *spec = &work->plan->spec;
    size_t k = (size_t)spec->dimension;
    size_t width = (size_t)work->plan->widths[NET_INPUT];
    size_t fields = (size_t)net_width(spec);
    for (int r = 0; r < input->rows; r++) {
        float *to = work->values[NET_INPUT] + (size_t)r * width;
        const float *from = input->embeddings + (size_t)r * fields;
        for (int f = 0; f < spec->field_count; f++) {
            copy_floats(to + (size_t)work->plan->places[f] * k, from + (size_t)f * k, k);
        }
        if (spec->dense_count > 0) {
            size_t dense = (size_t)spec->dense_count;
            copy_floats(to + fields, input->dense + (size_t)r * dense, dense);
        }
    }
}

static void run_ops(const struct net_pass *pass, const struct net_input *input, float *logits) {
    struct net_work *work = pass->work;
    size_t count = (size_t)pass->rows * (size_t)work->plan->spec.task_count;
    for (int h = 0; h < input->history_count; h++) {
        attention_forward(pass, &input->histories[h]);
    }
    memset(work->values[NET_LOGITS], 0, count * sizeof(float));
    for (int i = 0; i < work->plan->op_count; i++) {
        run_forward(pass, &work->plan->ops[i]);
    }
    if (logits) {
        copy_floats(logits, work->values[NET_LOGITS], count);
    }
}

void net_forward(struct net_work *work, const float *parameters, const struct net_input *input,
                 float *logits) {
    INVARIANT(input->rows <= work->rows_max, "%d rows in room for %d", input->rows, work->rows_max);
    struct net_pass pass = {.work = work, .parameters = parameters, .rows = input->rows};
    fill_input(work, input);
    run_ops(&pass, input, logits);
}

static void clear_gradients(struct net_work *work, int rows) {
    for (int b = 0; b < work->plan->buffer_count; b++) {
        if (work->plan->cleared[b]) {
            size_t floats = (size_t)rows * (size_t)work->plan->widths[b];
            memset(work->gradients[b], 0, floats * sizeof(float));
        }
    }
}

static void give_gradients(const struct net_work *work, const struct net_input *input, float *out) {
    const struct model_spec *spec = &work->plan->spec;
    size_t k = (size_t)spec->dimension;
    for (int r = 0; r < input->rows; r++) {
        const float *from =
            work->gradients[NET_INPUT] + (size_t)r * (size_t)work->plan->widths[NET_INPUT];
        float *to = out + (size_t)r * (size_t)net_width(spec);
        for (int f = 0; f < spec->field_count; f++) {
            if (spec->fields[f].pool == POOL_TARGET) {
                memset(to + (size_t)f * k, 0, k * sizeof(float));
            } else {
                copy_floats(to + (size_t)f * k, from + (size_t)work->plan->places[f] * k, k);
            }
        }
    }
}

/* A batch may come without a field's histories. */
static void clear_attention(const struct net_pass *pass) {
    const struct net_plan *plan = pass->work->plan;
    size_t bytes = attention_parameters(plan->spec.dimension) * sizeof(float);
    for (int f = 0; f < plan->spec.field_count; f++) {
        if (plan->attention[f] != NET_NONE) {
            memset(pass->parameter_gradients + plan->attention[f], 0, bytes);
        }
    }
}

static void backward(const struct net_pass *pass, const struct net_input *input, int ops,
                     float *embedding_gradients) {
    clear_attention(pass);
    for (int i = ops - 1; i >= 0; i--) {
        run_backward(pass, &pass->work->plan->ops[i]);
    }
    for (int h = 0; h < input->history_count; h++) {
        attention_backward(pass, &input->histories[h]);
    }
    give_gradients(pass->work, input, embedding_gradients);
}

void net_backward(struct net_work *work, const float *parameters, const struct net_input *input,
                  const float *logit_gradients, float *parameter_gradients,
                  float *embedding_gradients) {
    struct net_pass pass = {.work = work,
                            .parameters = parameters,
                            .parameter_gradients = parameter_gradients,
                            .rows = input->rows};
    clear_gradients(work, input->rows);
    copy_floats(work->gradients[NET_LOGITS], logit_gradients,
                (size_t)input->rows * (size_t)work->plan->spec.task_count);
    backward(&pass, input, work->plan->op_count, embedding_gradients);
}

/* --- a request and its candidates --- */

void net_prepare(struct net_work *work, const float *parameters, const struct net_input *input) {
    struct net_pass pass = {.work = work, .parameters = parameters, .rows = 1};
    const struct net_plan *plan = work->plan;
    const struct model_spec *spec = &plan->spec;
    size_t k = (size_t)spec->dimension;
    for (int f = 0; f < spec->field_count; f++) {
        if (plan->places[f] * spec->dimension < plan->request_width) {
            copy_floats(work->request + (size_t)plan->places[f] * k,
                        input->embeddings + (size_t)f * k, k);
        }
    }
    for (int i = 0; i < plan->op_count; i++) {
        if (plan->ops[i].prepare != NET_NONE) {
            op_linear_prepare(&pass, &plan->ops[i]);
        }
    }
}

void net_forward_items(struct net_work *work, const float *parameters,
                       const struct net_input *items, float *logits) {
    INVARIANT(items->rows <= work->rows_max, "%d rows in room for %d", items->rows, work->rows_max);
    struct net_pass pass = {
        .work = work, .parameters = parameters, .rows = items->rows, .items = true};
    fill_input(work, items);
    size_t width = (size_t)work->plan->widths[NET_INPUT];
    for (int r = 0; r < items->rows; r++) {
        copy_floats(work->values[NET_INPUT] + (size_t)r * width, work->request,
                    (size_t)work->plan->request_width);
    }
    run_ops(&pass, items, logits);
}

/* --- two towers --- */

int net_tower_width(const struct net_plan *plan) {
    return plan->towers[0].width;
}

void net_towers(struct net_work *work, const float *parameters, const struct net_input *input,
                float *user_vectors, float *item_vectors) {
    net_forward(work, parameters, input, NULL);
    size_t count = (size_t)input->rows * (size_t)work->plan->towers[0].width;
    copy_floats(user_vectors, net_values(work, work->plan->towers[0]), count);
    copy_floats(item_vectors, net_values(work, work->plan->towers[1]), count);
}

/* All but the last op, the product, whose parameters get no gradient here. */
void net_towers_backward(struct net_work *work, const float *parameters,
                         const struct net_input *input, const float *user_gradients,
                         const float *item_gradients, float *parameter_gradients,
                         float *embedding_gradients) {
    const struct net_plan *plan = work->plan;
    struct net_pass pass = {.work = work,
                            .parameters = parameters,
                            .parameter_gradients = parameter_gradients,
                            .rows = input->rows};
    clear_gradients(work, input->rows);
    size_t count = (size_t)input->rows * (size_t)plan->towers[0].width;
    copy_floats(net_gradients(work, plan->towers[0]), user_gradients, count);
    copy_floats(net_gradients(work, plan->towers[1]), item_gradients, count);
    const struct net_op *product = &plan->ops[plan->op_count - 1];
    size_t tasks = (size_t)plan->spec.task_count;
    memset(parameter_gradients + product->w, 0, tasks * sizeof(float));
    memset(parameter_gradients + product->b, 0, tasks * sizeof(float));
    backward(&pass, input, plan->op_count - 1, embedding_gradients);
}

const char *net_kernel(void) {
    return matrix_kernel();
}
