/* What the files of the network share: a plan is a list of operations on buffers, run forwards for
 * logits and backwards for gradients.
 *
 *   buffer   [rows_max][width] of values, and the same of gradients
 *            0: the input [fields of the request | fields of the item | dense]
 *            1: the logits, [tasks]
 *   op       reads columns of one buffer, writes or adds to columns of another; its parameters are
 *            at `w` and `b` of the one array
 *
 * Backwards, an op adds to the gradients of what it read, so that a buffer may be read by several.
 */
#ifndef LEARN_NET_INTERNAL_H
#define LEARN_NET_INTERNAL_H

#include "learn/net.h"

enum { NET_OPS_MAX = 512, NET_PARTS_MAX = 1024, NET_BUFFERS_MAX = 512 };
enum { NET_INPUT, NET_LOGITS };
#define NET_NONE SIZE_MAX

enum net_op_kind {
    OP_LINEAR,    /* out = in W' + b, ReLU where `relu`; added to `out` if that is the logits */
    OP_CROSS,     /* out = x0 * (in W' + b) + in, element by element */
    OP_PAIRS,     /* out = 1/2 ((sum of fields)^2 - sum of squares): `dimension` columns */
    OP_PAIR_SUM,  /* logits += the sum of the columns of OP_PAIRS */
    OP_WEIGHTED,  /* logits += sum over pairs of fields of r <v, v'> */
    OP_MIX,       /* out = sum over experts of softmax(gate) x expert */
    OP_NORMALISE, /* out = in of unit length */
    OP_PRODUCT,   /* logits += scale x <in, x0> */
};

struct columns {
    int buffer, first, width;
};

struct net_op {
    enum net_op_kind kind;
    struct columns in, out;
    struct columns other; /* x0 of a cross, the gate of a mix, the second of a product */
    struct columns more;  /* OP_MIX: further experts; width 0: none */
    size_t w, b;          /* NET_NONE: without */
    int scratch;          /* a buffer of its own */
    bool relu;
    bool fresh;     /* backwards, the first to write the gradient of `in`, and all of it */
    size_t prepare; /* reads the request's columns: where their part of a row stands in the work's
                       `prepared`; NET_NONE */
};

enum net_first {
    FIRST_ZERO,
    FIRST_UNIFORM, /* within +- bound */
    FIRST_SIGNS,   /* 1, or -1 for tasks that are worth less than nothing; a row a task */
    FIRST_BOUND,   /* the bound itself */
};

struct net_plan {
    struct model_spec spec;
    size_t parameters;
    size_t prepared; /* floats of the request's part of all ops */
    int part_count, op_count, buffer_count;
    bool full;                          /* while it is made: more than there is room for */
    int request_width;                  /* columns of the input that are the request's */
    int places[MODEL_FIELDS_MAX];       /* of a field among the input's fields */
    size_t attention[MODEL_FIELDS_MAX]; /* first parameter of a POOL_TARGET field; NET_NONE */
    struct columns towers[2];           /* NETWORK_TOWERS: the vectors of request and item */
    int widths[NET_BUFFERS_MAX];
    bool cleared[NET_BUFFERS_MAX]; /* gradients are set to 0 before going backwards */
    struct net_part parts[NET_PARTS_MAX];
    struct {
        enum net_first kind;
        float bound;
    } firsts[NET_PARTS_MAX];
    struct net_op ops[NET_OPS_MAX];
};

struct net_work {
    const struct net_plan *plan;
    int rows_max;
    float *block; /* all of it in one piece of memory */
    float *values[NET_BUFFERS_MAX];
    float *gradients[NET_BUFFERS_MAX]; /* NULL: scoring only */
    float *keys;                       /* attention: a chunk of keys on its way */
    float *request;                    /* net_prepare: the request's columns of the input */
    float *prepared;                   /* and what ops make of them */
};

static inline int net_width(const struct model_spec *spec) {
    return spec->field_count * spec->dimension;
}
static inline float *net_values(const struct net_work *work, struct columns columns) {
    return work->values[columns.buffer] + columns.first;
}
static inline float *net_gradients(const struct net_work *work, struct columns columns) {
    return work->gradients[columns.buffer] + columns.first;
}
static inline float *net_row(const struct net_work *work, struct columns columns, int row) {
    int width = work->plan->widths[columns.buffer];
    return net_values(work, columns) + (size_t)row * (size_t)width;
}
static inline float *net_row_gradients(const struct net_work *work, struct columns columns,
                                       int row) {
    int width = work->plan->widths[columns.buffer];
    return net_gradients(work, columns) + (size_t)row * (size_t)width;
}
static inline int net_stride(const struct net_work *work, struct columns columns) {
    return work->plan->widths[columns.buffer];
}

/* --- the operations: net_dense.c, net_pairs.c, net_mix.c --- */

struct net_pass {
    struct net_work *work;
    const float *parameters;
    float *parameter_gradients; /* NULL: forwards */
    int rows;
    bool items; /* the request's part was prepared */
};

void op_linear_prepare(const struct net_pass *pass, const struct net_op *op);
void op_linear_forward(const struct net_pass *pass, const struct net_op *op);
void op_linear_backward(const struct net_pass *pass, const struct net_op *op);
void op_cross_forward(const struct net_pass *pass, const struct net_op *op);
void op_cross_backward(const struct net_pass *pass, const struct net_op *op);
void op_pairs_forward(const struct net_pass *pass, const struct net_op *op);
void op_pairs_backward(const struct net_pass *pass, const struct net_op *op);
void op_pair_sum_forward(const struct net_pass *pass, const struct net_op *op);
void op_pair_sum_backward(const struct net_pass *pass, const struct net_op *op);
void op_weighted_forward(const struct net_pass *pass, const struct net_op *op);
void op_weighted_backward(const struct net_pass *pass, const struct net_op *op);
void op_mix_forward(const struct net_pass *pass, const struct net_op *op);
void op_mix_backward(const struct net_pass *pass, const struct net_op *op);
void op_normalise_forward(const struct net_pass *pass, const struct net_op *op);
void op_normalise_backward(const struct net_pass *pass, const struct net_op *op);
void op_product_forward(const struct net_pass *pass, const struct net_op *op);
void op_product_backward(const struct net_pass *pass, const struct net_op *op);

/* --- attention (net_attention.c) --- */

enum { ATTENTION_HIDDEN = 32, ATTENTION_CHUNK = 512 }; /* keys at a time */
size_t attention_parameters(int dimension);
size_t attention_scratch(int dimension); /* floats of net_work.keys */
void attention_forward(const struct net_pass *pass, const struct net_history *history);
void attention_backward(const struct net_pass *pass, const struct net_history *history);

#endif
