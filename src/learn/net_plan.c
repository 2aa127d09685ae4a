/* From a description to a list of operations, and where each parameter stands. */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/net_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- building --- */

static int add_buffer(struct net_plan *plan, int width) {
    if (plan->buffer_count == NET_BUFFERS_MAX) {
        plan->full = true;
        return NET_LOGITS;
    }
    plan->widths[plan->buffer_count] = width;
    return plan->buffer_count++;
}

static struct columns new_columns(struct net_plan *plan, int width) {
    return (struct columns){add_buffer(plan, width), 0, width};
}

static size_t add_part(struct net_plan *plan, const char *prefix, const char *name, int rows,
                       int columns, enum net_first kind, float bound) {
    if (plan->part_count == NET_PARTS_MAX) {
        plan->full = true;
        return 0;
    }
    struct net_part *part = &plan->parts[plan->part_count];
    snprintf(part->name, sizeof(part->name), "%s.%s", prefix, name);
    part->first = plan->parameters;
    part->rows = rows;
    part->columns = columns;
    part->decays = columns > 1;
    plan->firsts[plan->part_count].kind = kind;
    plan->firsts[plan->part_count].bound = bound;
    plan->part_count++;
    plan->parameters += (size_t)rows * (size_t)columns;
    return part->first;
}

static struct net_op *add_op(struct net_plan *plan, enum net_op_kind kind, struct columns in,
                             struct columns out) {
    if (plan->op_count == NET_OPS_MAX) {
        plan->full = true;
        plan->op_count = 0; /* the plan is refused; what is built on is thrown away */
    }
    struct net_op *op = &plan->ops[plan->op_count++];
    *op = (struct net_op){.kind = kind, .in = in, .out = out, .w = NET_NONE, .b = NET_NONE};
    op->prepare = NET_NONE;
    return op;
}

static struct columns all_input(const struct net_plan *plan) {
    return (struct columns){NET_INPUT, 0, plan->widths[NET_INPUT]};
}

static struct columns all_fields(const struct net_plan *plan) {
    return (struct columns){NET_INPUT, 0, net_width(&plan->spec)};
}

static struct columns all_logits(const struct net_plan *plan) {
    return (struct columns){NET_LOGITS, 0, plan->spec.task_count};
}

static float he(int inputs) {
    return sqrtf(6.0f / (float)inputs);
}

static float glorot(int inputs, int outputs) {
    return sqrtf(6.0f / (float)(inputs + outputs));
}

static void add_linear(struct net_plan *plan, const char *name, struct columns in,
                       struct columns out, bool relu, bool bias) {
    struct net_op *op = add_op(plan, OP_LINEAR, in, out);
    float bound = relu ? he(in.width) : glorot(in.width, out.width);
    op->relu = relu;
    op->w = add_part(plan, name, "matrix", out.width, in.width, FIRST_UNIFORM, bound);
    if (bias) {
        op->b = add_part(plan, name, "bias", out.width, 1, FIRST_ZERO, 0.0f);
    }
}

/* Layers of the spec's hidden[first .. end), the last of which goes to `last` if that has a width;
 * where no layer is left, `in`. */
static struct columns add_layers(struct net_plan *plan, const char *name, struct columns in,
                                 int first, int end, struct columns last, bool last_relu) {
    for (int l = first; l < end; l++) {
        char layer[MODEL_NAME_MAX];
        snprintf(layer, sizeof(layer), "%s.%d", name, l + 1);
        bool to_last = l == end - 1 && last.width > 0;
        struct columns out = to_last ? last : new_columns(plan, plan->spec.hidden[l]);
        add_linear(plan, layer, in, out, l < end - 1 || last_relu, true);
        in = out;
    }
    return in;
}

static struct columns add_mlp(struct net_plan *plan, const char *name, struct columns in) {
    return add_layers(plan, name, in, 0, plan->spec.hidden_count, (struct columns){0}, true);
}

/* --- the networks --- */

/* One task: the plain sum, as published. Several: a weight a task and dimension, as the
 * step-by-step factorisation machine has, since tasks that disagree need opposite signs. */
static void build_pairs(struct net_plan *plan) {
    struct columns pairs = new_columns(plan, plan->spec.dimension);
    struct net_op *products = add_op(plan, OP_PAIRS, all_fields(plan), pairs);
    products->scratch = add_buffer(plan, pairs.width);
    if (plan->spec.task_count == 1) {
        add_op(plan, OP_PAIR_SUM, pairs, all_logits(plan));
        return;
    }
    struct net_op *op = add_op(plan, OP_LINEAR, pairs, all_logits(plan));
    op->w = add_part(plan, "pairs", "head", plan->spec.task_count, pairs.width, FIRST_SIGNS, 0.0f);
}

static void build_fwfm(struct net_plan *plan) {
    int tasks = plan->spec.task_count;
    int fields = plan->spec.field_count;
    struct net_op *op = add_op(plan, OP_WEIGHTED, all_fields(plan), all_logits(plan));
    op->w = add_part(plan, "pairs", "weights", tasks, fields * (fields - 1) / 2, FIRST_SIGNS, 0.0f);
    op->scratch = add_buffer(plan, tasks * net_width(&plan->spec));
    struct columns dense = {NET_INPUT, net_width(&plan->spec), plan->spec.dense_count};
    if (dense.width > 0) {
        add_linear(plan, "dense", dense, all_logits(plan), false, true);
    }
}

static void build_deepfm(struct net_plan *plan) {
    build_pairs(plan);
    add_linear(plan, "head", add_mlp(plan, "deep", all_input(plan)), all_logits(plan), false, true);
}

static void build_dcn(struct net_plan *plan) {
    struct columns x = all_input(plan);
    for (int l = 0; l < plan->spec.cross; l++) {
        char name[MODEL_NAME_MAX];
        snprintf(name, sizeof(name), "cross.%d", l + 1);
        int width = x.width;
        struct columns out = new_columns(plan, width);
        struct net_op *op = add_op(plan, OP_CROSS, x, out);
        op->other = all_input(plan);
        op->w = add_part(plan, name, "matrix", width, width, FIRST_UNIFORM, glorot(width, width));
        op->b = add_part(plan, name, "bias", width, 1, FIRST_ZERO, 0.0f);
        op->scratch = add_buffer(plan, width);
        x = out;
    }
    add_linear(plan, "cross.head", x, all_logits(plan), false, true);
    if (plan->spec.hidden_count > 0) {
        struct columns deep = add_mlp(plan, "deep", all_input(plan));
        add_linear(plan, "deep.head", deep, all_logits(plan), false, false);
    }
}

/* `count` experts on `in`, whose outputs stand side by side in `out`. */
static void add_experts(struct net_plan *plan, const char *name, struct columns in, int first,
                        int end, int count, struct columns out) {
    int width = out.width / count;
    for (int e = 0; e < count; e++) {
        char expert[MODEL_NAME_MAX];
        snprintf(expert, sizeof(expert), "%s.%d", name, e + 1);
        struct columns own = {out.buffer, out.first + e * width, width};
        add_layers(plan, expert, in, first, end, own, true);
    }
}

static struct columns add_gate(struct net_plan *plan, const char *name, struct columns gate_in,
                               struct columns in, struct columns more, int width) {
    char gate_name[MODEL_NAME_MAX];
    snprintf(gate_name, sizeof(gate_name), "%s.gate", name);
    struct columns gate = new_columns(plan, (in.width + more.width) / width);
    add_linear(plan, gate_name, gate_in, gate, false, false);
    struct columns out = new_columns(plan, width);
    struct net_op *op = add_op(plan, OP_MIX, in, out);
    op->other = gate;
    op->more = more;
    op->scratch = add_buffer(plan, gate.width);
    return out;
}

/* A hidden layer half as wide as an expert, then the task's logit. */
static void add_tower(struct net_plan *plan, int task, struct columns in) {
    char name[MODEL_NAME_MAX];
    snprintf(name, sizeof(name), "tower.%s", plan->spec.tasks[task].name);
    struct columns hidden = new_columns(plan, (in.width + 1) / 2);
    add_linear(plan, name, in, hidden, true, true);
    snprintf(name, sizeof(name), "head.%s", plan->spec.tasks[task].name);
    add_linear(plan, name, hidden, (struct columns){NET_LOGITS, task, 1}, false, true);
}

static void build_mmoe(struct net_plan *plan) {
    int width = plan->spec.hidden[plan->spec.hidden_count - 1];
    struct columns experts = new_columns(plan, plan->spec.experts * width);
    add_experts(plan, "expert", all_input(plan), 0, plan->spec.hidden_count, plan->spec.experts,
                experts);
    for (int t = 0; t < plan->spec.task_count; t++) {
        struct columns mixed = add_gate(plan, plan->spec.tasks[t].name, all_input(plan), experts,
                                        (struct columns){0}, width);
        add_tower(plan, t, mixed);
    }
}

/* One extraction: shared experts and as many of each task, [shared | task 0 | task 1 ...]. A task's
 * gate sees its own and the shared ones, the shared gate (wanted while another extraction follows)
 * all. `ins` and `outs`: shared first, then the tasks. */
static void add_extraction(struct net_plan *plan, const char *level, const struct columns *ins,
                           int first, int end, bool shared_gate, struct columns *outs) {
    int experts = plan->spec.experts;
    int width = plan->spec.hidden[end - 1];
    int part = experts * width;
    struct columns all = new_columns(plan, (plan->spec.task_count + 1) * part);
    for (int t = 0; t <= plan->spec.task_count; t++) {
        char name[MODEL_NAME_MAX];
        const char *of = t == 0 ? "shared" : plan->spec.tasks[t - 1].name;
        snprintf(name, sizeof(name), "%s.%.40s", level, of);
        struct columns own = {all.buffer, t * part, part};
        add_experts(plan, name, ins[t], first, end, experts, own);
    }
    struct columns shared = {all.buffer, 0, part};
    for (int t = 0; t < plan->spec.task_count; t++) {
        char name[MODEL_NAME_MAX];
        snprintf(name, sizeof(name), "%s.%.40s", level, plan->spec.tasks[t].name);
        struct columns own = {all.buffer, (t + 1) * part, part};
        outs[t + 1] = add_gate(plan, name, ins[t + 1], own, shared, width);
    }
    if (shared_gate) {
        char name[MODEL_NAME_MAX];
        snprintf(name, sizeof(name), "%s.shared", level);
        outs[0] = add_gate(plan, name, ins[0], all, (struct columns){0}, width);
    }
}

/* Two extractions where there are two layers or more: the first layer, and the others. */
static void build_ple(struct net_plan *plan) {
    struct columns ins[MODEL_TASKS_MAX + 1];
    struct columns outs[MODEL_TASKS_MAX + 1];
    for (int t = 0; t <= plan->spec.task_count; t++) {
        ins[t] = all_input(plan);
    }
    bool two = plan->spec.hidden_count > 1;
    add_extraction(plan, "first", ins, 0, 1, two, outs);
    if (two) {
        memcpy(ins, outs, sizeof(ins));
        add_extraction(plan, "second", ins, 1, plan->spec.hidden_count, false, outs);
    }
    for (int t = 0; t < plan->spec.task_count; t++) {
        add_tower(plan, t, outs[t + 1]);
    }
}

/* The first scale of the towers' product: cosines of +-1 become logits of +-10. */
#define TOWER_SCALE 10.0f

static void build_towers(struct net_plan *plan) {
    const struct model_spec *spec = &plan->spec;
    struct columns sides[2] = {
        {NET_INPUT, 0, plan->request_width},
        {NET_INPUT, plan->request_width, plan->widths[NET_INPUT] - plan->request_width}};
    int width = spec->hidden[spec->hidden_count - 1];
    for (int s = 0; s < 2; s++) {
        struct columns top = new_columns(plan, width);
        add_layers(plan, s == 0 ? "request" : "item", sides[s], 0, spec->hidden_count, top, false);
        plan->towers[s] = new_columns(plan, width);
        add_op(plan, OP_NORMALISE, top, plan->towers[s]);
    }
    struct net_op *op = add_op(plan, OP_PRODUCT, plan->towers[0], all_logits(plan));
    op->other = plan->towers[1];
    op->w = add_part(plan, "product", "scale", spec->task_count, 1, FIRST_BOUND, TOWER_SCALE);
    op->b = add_part(plan, "product", "bias", spec->task_count, 1, FIRST_ZERO, 0.0f);
}

static void build_attention(struct net_plan *plan) {
    for (int f = 0; f < plan->spec.field_count; f++) {
        plan->attention[f] = NET_NONE;
        if (plan->spec.fields[f].pool != POOL_TARGET) {
            continue;
        }
        char name[MODEL_NAME_MAX];
        snprintf(name, sizeof(name), "attention.%.40s", plan->spec.fields[f].name);
        int in = 4 * plan->spec.dimension;
        plan->attention[f] =
            add_part(plan, name, "matrix", ATTENTION_HIDDEN, in, FIRST_UNIFORM, he(in));
        add_part(plan, name, "bias", ATTENTION_HIDDEN, 1, FIRST_ZERO, 0.0f);
        add_part(plan, name, "last", ATTENTION_HIDDEN, 1, FIRST_UNIFORM,
                 glorot(ATTENTION_HIDDEN, 1));
        add_part(plan, name, "last bias", 1, 1, FIRST_BOUND, 1.0f);
    }
}

/* --- the whole --- */

static leat_status check(const struct model_spec *spec, leat_error *err) {
    const char *name = model_network_name(spec->network);
    bool layered = spec->network == NETWORK_MMOE || spec->network == NETWORK_PLE ||
                   spec->network == NETWORK_TOWERS;
    if (spec->field_count < 1 || spec->dimension < 1) {
        return error_set(err, LEAT_INVALID,
                         "network %s wants fields and a dimension of 1 or more; it has %d and %d",
                         name, spec->field_count, spec->dimension);
    }
    if (layered && spec->hidden_count == 0) {
        return error_set(err, LEAT_INVALID, "network %s wants hidden layers: hidden: [64, 32]",
                         name);
    }
    if ((spec->network == NETWORK_MMOE || spec->network == NETWORK_PLE) && spec->experts < 1) {
        return error_set(err, LEAT_INVALID, "network %s wants experts: 1 or more", name);
    }
    for (int f = 0; f < spec->field_count; f++) {
        int target = spec->fields[f].target;
        bool asked = spec->fields[f].pool == POOL_TARGET;
        if (asked && (target < 0 || target >= spec->field_count ||
                      spec->fields[target].pool == POOL_TARGET)) {
            return error_set(err, LEAT_INVALID,
                             "field %s: the target of its attention is no plain field",
                             spec->fields[f].name);
        }
    }
    return LEAT_OK;
}

/* The request's fields first, so that what can be prepared is one range of columns. A history that
 * asks for the item depends on it. */
static bool of_item(const struct model_spec *spec, int field) {
    return spec->fields[field].of_item || spec->fields[field].pool == POOL_TARGET;
}

static int place_fields(struct net_plan *plan) {
    int place = 0;
    int request = 0;
    for (int side = 0; side < 2; side++) {
        for (int f = 0; f < plan->spec.field_count; f++) {
            if (of_item(&plan->spec, f) == (side == 1)) {
                plan->places[f] = place++;
            }
        }
        request = side == 0 ? place : request;
    }
    return request;
}

static void build(struct net_plan *plan) {
    const struct model_spec *spec = &plan->spec;
    plan->request_width = place_fields(plan) * spec->dimension;
    plan->buffer_count = NET_LOGITS + 1;
    plan->widths[NET_INPUT] = net_width(spec) + spec->dense_count;
    plan->widths[NET_LOGITS] = spec->task_count;
    build_attention(plan);
    switch (spec->network) {
    case NETWORK_FWFM: build_fwfm(plan); break;
    case NETWORK_DEEPFM: build_deepfm(plan); break;
    case NETWORK_DCN: build_dcn(plan); break;
    case NETWORK_MMOE: build_mmoe(plan); break;
    case NETWORK_PLE: build_ple(plan); break;
    case NETWORK_TOWERS: build_towers(plan); break;
    case NETWORK_FM:
    case NETWORK_LOGISTIC: break;
    }
}

static bool reads(const struct net_op *op, int buffer) {
    bool other = op->kind == OP_CROSS || op->kind == OP_MIX || op->kind == OP_PRODUCT;
    return op->in.buffer == buffer || (other && op->other.buffer == buffer) ||
           (op->more.width > 0 && op->more.buffer == buffer);
}

/* Whose gradients are written whole by the op that comes first backwards need not be cleared. */
static void plan_clearing(struct net_plan *plan) {
    for (int b = 0; b < plan->buffer_count; b++) {
        plan->cleared[b] = b != NET_LOGITS;
        int last = plan->op_count - 1;
        while (last >= 0 && !reads(&plan->ops[last], b)) {
            last--;
        }
        struct net_op *op = last >= 0 ? &plan->ops[last] : NULL;
        if (op && op->kind == OP_LINEAR && op->in.width == plan->widths[b]) {
            op->fresh = true;
            plan->cleared[b] = false;
        }
    }
}

static void plan_preparing(struct net_plan *plan) {
    for (int i = 0; i < plan->op_count; i++) {
        struct net_op *op = &plan->ops[i];
        if (op->kind == OP_LINEAR && op->in.buffer == NET_INPUT && op->out.buffer != NET_LOGITS &&
            op->in.first < plan->request_width) {
            op->prepare = plan->prepared;
            plan->prepared += (size_t)op->out.width;
        }
    }
}

leat_status net_plan_create(const struct model_spec *spec, struct net_plan **out, leat_error *err) {
    TRY(check(spec, err));
    struct net_plan *plan = memory_zalloc(sizeof(*plan));
    if (!plan) {
        return error_memory(err, sizeof(*plan));
    }
    plan->spec = *spec;
    build(plan);
    if (plan->full) {
        memory_free(plan);
        return error_set(err, LEAT_INVALID,
                         "network %s: %d experts for %d tasks in %d layers are more than %d parts; "
                         "fewer experts or layers",
                         model_network_name(spec->network), spec->experts, spec->task_count,
                         spec->hidden_count, NET_BUFFERS_MAX);
    }
    plan_clearing(plan);
    plan_preparing(plan);
    *out = plan;
    return LEAT_OK;
}

void net_plan_destroy(struct net_plan *plan) {
    memory_free(plan);
}

size_t net_parameters(const struct net_plan *plan) {
    return plan->parameters;
}

int net_parts(const struct net_plan *plan) {
    return plan->part_count;
}

const struct net_part *net_part_at(const struct net_plan *plan, int index) {
    return &plan->parts[index];
}

static float first_value(const struct net_plan *plan, int part, uint64_t seed, size_t at) {
    float bound = plan->firsts[part].bound;
    int row = (int)(at / (size_t)plan->parts[part].columns);
    switch (plan->firsts[part].kind) {
    case FIRST_UNIFORM:
        return bound * (float)(2.0 * hash_unit(hash_mix(hash_mix(seed, (uint64_t)part), at)) - 1.0);
    case FIRST_SIGNS: return plan->spec.tasks[row].negative ? -1.0f : 1.0f;
    case FIRST_BOUND: return bound;
    default: return 0.0f;
    }
}

void net_start(const struct net_plan *plan, uint64_t seed, float *parameters) {
    for (int p = 0; p < plan->part_count; p++) {
        const struct net_part *part = &plan->parts[p];
        size_t count = (size_t)part->rows * (size_t)part->columns;
        for (size_t i = 0; i < count; i++) {
            parameters[part->first + i] = first_value(plan, p, seed, i);
        }
    }
}
