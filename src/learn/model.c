#include "base/memory.h"
#include "learn/model_internal.h"

#include <math.h>
#include <string.h>

/* New embeddings are uniform within +-this: large enough that the products of a factorisation
 * machine have a gradient at all (at 0 they have none), small enough that a new id changes no
 * score. */
#define EMBEDDING_SPREAD 0.03f
/* Inputs beyond this are cut: a single wild value must not take a weight out of float's range. */
#define INPUT_MAX 1e6f

/* --- life --- */

static float *new_floats(int count) {
    return memory_zalloc((size_t)count * sizeof(float));
}

static leat_status allocate(struct model *model, leat_error *err) {
    const struct model_shape *shape = &model->shape;
    int width = optimiser_width(&model->optimiser);
    int dense = model_shape_dense(shape);
    int gathered = EXAMPLE_KEYS_MAX * shape->weights;
    model->dense = new_floats(dense);
    model->dense_first = new_floats(dense);
    model->dense_state = new_floats(dense);
    model->row = new_floats(width);
    model->fresh = new_floats(width);
    model->pass.values = new_floats(gathered);
    model->gradient.rows = new_floats(gathered);
    model->gradient.dense = new_floats(dense);
    if (!model->dense || !model->dense_first || !model->dense_state || !model->row ||
        !model->fresh || !model->pass.values || !model->gradient.rows || !model->gradient.dense) {
        return error_memory(err, (size_t)(2 * gathered + 4 * dense + 2 * width) * sizeof(float));
    }
    return LEAT_OK;
}

static void shape_from(struct model *model, const struct config *config, int dense_count) {
    model->shape = (struct model_shape){
        .tasks = config->action_count,
        .dimension = (int)config->model.dimension,
        .dense_count = dense_count,
        .weights = config->action_count + (int)config->model.dimension,
        .block = 1 + dense_count + (int)config->model.dimension,
    };
    model->optimiser = (struct optimiser){
        .kind = (enum optimiser_kind)config->model.optimiser,
        .tasks = model->shape.tasks,
        .dimension = model->shape.dimension,
        .rate = (float)config->model.rate,
        .l2 = (float)config->model.l2,
        .kernel = kernel_best(),
    };
    for (int t = 0; t < model->shape.tasks; t++) {
        model->interaction_first[t] = config->actions[t].fields.weight < 0 ? -1.0f : 1.0f;
    }
    model->rate_dense = (float)config->model.rate_dense;
    model->seed = (uint64_t)config->root.seed;
    model->pass.kernel = model->optimiser.kernel;
}

/* b = 0, u as given, h as actions of that sign want it. */
static void dense_first_fill(struct model *model, const float *dense_start) {
    const struct model_shape *shape = &model->shape;
    for (int t = 0; t < shape->tasks; t++) {
        float *u = model->dense_first + t * shape->block + 1;
        for (int i = 0; dense_start && i < shape->dense_count; i++) {
            u[i] = dense_start[t * shape->dense_count + i];
        }
        for (int f = 0; f < shape->dimension; f++) {
            u[shape->dense_count + f] = model->interaction_first[t];
        }
    }
}

leat_status model_open(const struct config *config, int dense_count, const float *dense_start,
                       struct metrics *metrics, struct model **out, leat_error *err) {
    INVARIANT(dense_count >= 0 && dense_count <= EXAMPLE_DENSE_MAX, "%d dense", dense_count);
    INVARIANT(config->action_count <= EXAMPLE_TASKS_MAX, "%d tasks", config->action_count);
    INVARIANT(config->model.dimension <= MODEL_DIMENSION_MAX, "dimension %d",
              (int)config->model.dimension);
    struct model *model = memory_zalloc(sizeof(*model));
    if (!model) {
        return error_memory(err, sizeof(*model));
    }
    shape_from(model, config, dense_count);
    model->metrics = metrics;
    struct table_options options = {
        .width = optimiser_width(&model->optimiser),
        .bytes_max = config->model.memory,
    };
    leat_status status = table_create(&options, &model->table, err);
    if (status >= 0) {
        status = allocate(model, err);
    }
    if (status < 0) {
        model_close(model);
        return status;
    }
    dense_first_fill(model, dense_start);
    model_reset_dense(model);
    *out = model;
    return LEAT_OK;
}

void model_close(struct model *model) {
    if (!model) {
        return;
    }
    table_destroy(model->table);
    memory_free(model->dense);
    memory_free(model->dense_first);
    memory_free(model->dense_state);
    memory_free(model->row);
    memory_free(model->fresh);
    memory_free(model->pass.values);
    memory_free(model->gradient.rows);
    memory_free(model->gradient.dense);
    memory_free(model);
}

void model_reset_dense(struct model *model) {
    int count = model_shape_dense(&model->shape);
    memcpy(model->dense, model->dense_first, (size_t)count * sizeof(float));
    for (int i = 0; i < count; i++) {
        model->dense_state[i] = OPTIMISER_DENSE_FIRST;
    }
}

int model_tasks(const struct model *model) {
    return model->shape.tasks;
}

uint64_t model_rows(const struct model *model) {
    return table_rows(model->table);
}

uint64_t model_bytes(const struct model *model) {
    size_t floats = (size_t)(4 * model_shape_dense(&model->shape) +
                             2 * EXAMPLE_KEYS_MAX * model->shape.weights);
    return table_bytes(model->table) + sizeof(*model) + floats * sizeof(float);
}

const char *model_kernel(void) {
    return kernel_best()->name;
}

/* --- forward: learning and scoring --- */

/* A value that is not finite says nothing. */
static float clean(float value) {
    if (!isfinite(value)) {
        return 0.0f;
    }
    return value > INPUT_MAX ? INPUT_MAX : value < -INPUT_MAX ? -INPUT_MAX : value;
}

static void set_inputs(const struct model_shape *shape, struct pass *pass, const float *dense,
                       int count) {
    for (int i = 0; i < shape->dense_count; i++) {
        pass->x[i] = i < count ? clean(dense[i]) : 0.0f;
    }
}

void model_forward(const struct model_shape *shape, const float *dense, struct pass *pass) {
    const struct kernel *kernel = pass->kernel;
    kernel->sums(pass->values, pass->count, shape->weights, pass->sum, pass->squares);
    kernel->pairs(pass->sum + shape->tasks, pass->squares + shape->tasks, shape->dimension,
                  pass->pairs);
    for (int t = 0; t < shape->tasks; t++) {
        const float *b = dense + t * shape->block;
        const float *u = b + 1;
        const float *h = u + shape->dense_count;
        float products = kernel->dot(h, pass->pairs, shape->dimension);
        float inputs = kernel->dot(u, pass->x, shape->dense_count);
        pass->logits[t] = (*b + pass->sum[t]) + (products + inputs);
    }
}

/* --- learning --- */

static uint32_t add_row(struct model *model, uint64_t key) {
    optimiser_fresh(&model->optimiser, model->seed, key, EMBEDDING_SPREAD, model->fresh);
    bool added = false;
    uint32_t row = table_at(model->table, key, model->fresh, &added);
    if (row == TABLE_NONE) {
        metrics_add(model->metrics, METRIC_table_refused_total, 1);
    }
    return row;
}

void model_gather(struct model *model, const struct example *example) {
    struct pass *pass = &model->pass;
    int keys = example->key_count < EXAMPLE_KEYS_MAX ? example->key_count : EXAMPLE_KEYS_MAX;
    uint32_t found[EXAMPLE_KEYS_MAX];
    table_find_batch(model->table, example->keys, keys, found);
    int weights = model->shape.weights;
    pass->count = 0;
    for (int i = 0; i < keys; i++) {
        uint32_t row = found[i] != TABLE_NONE ? found[i] : add_row(model, example->keys[i]);
        if (row != TABLE_NONE) {
            memcpy(pass->values + pass->count * weights, table_row(model->table, row),
                   (size_t)weights * sizeof(float));
            pass->rows[pass->count++] = row;
        }
    }
    set_inputs(&model->shape, pass, example->dense, example->dense_count);
}

/* Of a fake negative or its positive; see model.h. The prediction has no gradient here. */
static float fake_weight(float logit, bool positive) {
    float p = kernel_sigmoid(logit);
    return positive ? 1.0f + p : (1.0f - p) * (1.0f + p);
}

/* Of the logits: weight (p - y) for the tasks of the mask, 0 for the others. */
static void logit_gradients(const struct model *model, const struct example *example, float *out) {
    float weight = clean(example->weight);
    float log_odds = clean(example->log_odds);
    bool fake = example->flags & EXAMPLE_FAKE;
    for (int t = 0; t < model->shape.tasks; t++) {
        float logit = model->pass.logits[t];
        float p = kernel_sigmoid(logit + log_odds);
        bool positive = example->labels >> t & 1u;
        float y = positive ? 1.0f : 0.0f;
        float importance = fake ? fake_weight(logit, positive) : 1.0f;
        out[t] = example->mask >> t & 1u ? weight * importance * (p - y) : 0.0f;
    }
}

void model_gradient(struct model *model, const struct example *example) {
    const struct model_shape *shape = &model->shape;
    const struct kernel *kernel = model->pass.kernel;
    const struct pass *pass = &model->pass;
    model_forward(shape, model->dense, &model->pass);
    float g[EXAMPLE_TASKS_MAX];
    logit_gradients(model, example, g);
    float q[MODEL_DIMENSION_MAX] = {0}; /* of the pairwise products, over all tasks */
    for (int t = 0; t < shape->tasks; t++) {
        const float *h = model->dense + t * shape->block + 1 + shape->dense_count;
        float *out = model->gradient.dense + t * shape->block;
        kernel->add_scaled(q, g[t], h, shape->dimension);
        out[0] = g[t];
        kernel->scale(out + 1, g[t], pass->x, shape->dense_count);
        kernel->scale(out + 1 + shape->dense_count, g[t], pass->pairs, shape->dimension);
    }
    for (int i = 0; i < pass->count; i++) {
        float *out = model->gradient.rows + i * shape->weights;
        const float *v = pass->values + i * shape->weights + shape->tasks;
        memcpy(out, g, (size_t)shape->tasks * sizeof(float));
        kernel->pull(q, pass->sum + shape->tasks, v, shape->dimension, out + shape->tasks);
    }
}

/* Dense weights of one task: a step in a copy, then relaxed stores for the scorers. */
static void step_task(struct model *model, int task) {
    int block = model->shape.block;
    int at = task * block;
    float next[1 + EXAMPLE_DENSE_MAX + MODEL_DIMENSION_MAX];
    memcpy(next, model->dense + at, (size_t)block * sizeof(float));
    for (int i = 0; i < block; i++) {
        model->dense_state[at + i] *= OPTIMISER_DENSE_FADE;
    }
    model->pass.kernel->adagrad(next, model->dense_state + at, model->gradient.dense + at, block,
                                model->rate_dense, 0.0f);
    for (int i = 0; i < block; i++) {
        __atomic_store(&model->dense[at + i], &next[i], __ATOMIC_RELAXED);
    }
}

void model_step(struct model *model, const struct example *example) {
    int width = optimiser_width(&model->optimiser);
    for (int i = 0; i < model->pass.count; i++) {
        uint32_t row = model->pass.rows[i];
        memcpy(model->row, table_row(model->table, row), (size_t)width * sizeof(float));
        optimiser_step(&model->optimiser, model->row,
                       model->gradient.rows + i * model->shape.weights);
        table_store(model->table, row, model->row, width);
    }
    for (int t = 0; t < model->shape.tasks; t++) {
        if (example->mask >> t & 1u) {
            step_task(model, t);
        }
    }
}

void model_learn(struct model *model, const struct example *example) {
    uint32_t tasks = (1u << model->shape.tasks) - 1u;
    if ((example->mask & tasks) == 0 || clean(example->weight) <= 0.0f) {
        return; /* says nothing: its ids get no rows */
    }
    model_gather(model, example);
    model_gradient(model, example);
    model_step(model, example);
}

/* --- scoring --- */

struct scorer {
    const struct table *table;
    struct model_shape shape;
    float *dense;
    struct pass pass;
};

leat_status scorer_begin(const struct model *model, struct arena *arena, struct scorer **out,
                         leat_error *err) {
    const struct model_shape *shape = &model->shape;
    struct scorer *scorer = arena_alloc(arena, sizeof(*scorer));
    int dense = model_shape_dense(shape);
    float *copy = arena_alloc(arena, (size_t)dense * sizeof(float));
    size_t gathered = (size_t)(EXAMPLE_KEYS_MAX * shape->weights) * sizeof(float);
    float *values = arena_alloc(arena, gathered);
    if (!scorer || !copy || !values) {
        return error_memory(err, sizeof(*scorer) + (size_t)dense * sizeof(float) + gathered);
    }
    for (int i = 0; i < dense; i++) {
        __atomic_load(&model->dense[i], &copy[i], __ATOMIC_RELAXED);
    }
    scorer->table = model->table;
    scorer->shape = *shape;
    scorer->dense = copy;
    scorer->pass.kernel = model->pass.kernel;
    scorer->pass.values = values;
    *out = scorer;
    return LEAT_OK;
}

void scorer_score(struct scorer *scorer, const uint64_t *keys, int key_count, const float *dense,
                  float *out) {
    struct pass *pass = &scorer->pass;
    int weights = scorer->shape.weights;
    int count = key_count < EXAMPLE_KEYS_MAX ? key_count : EXAMPLE_KEYS_MAX;
    table_find_batch(scorer->table, keys, count, pass->rows);
    pass->count = 0;
    for (int i = 0; i < count; i++) {
        if (pass->rows[i] != TABLE_NONE) {
            table_read(scorer->table, pass->rows[i], pass->values + pass->count * weights, weights);
            pass->count++;
        }
    }
    set_inputs(&scorer->shape, pass, dense, scorer->shape.dense_count);
    model_forward(&scorer->shape, scorer->dense, pass);
    for (int t = 0; t < scorer->shape.tasks; t++) {
        out[t] = kernel_sigmoid(pass->logits[t]);
    }
}
