/* Models that step one example at a time: the factorisation machine, and logistic regression, which
 * is one of dimension 0. */
#include "base/memory.h"
#include "learn/model_internal.h"

#include <math.h>
#include <string.h>

leat_status fm_create(struct model *model, leat_error *err) {
    size_t rows = (size_t)(MODEL_KEYS_MAX * model->shape.weights) * sizeof(float);
    size_t dense = (size_t)model->shape.dense * sizeof(float);
    struct fm *fm = memory_zalloc(sizeof(*fm));
    model->fm = fm;
    if (fm) {
        fm->pass.kernel = model->kernel;
        fm->gradient_rows = memory_zalloc(rows);
        fm->gradient_dense = memory_zalloc(dense);
    }
    return fm && fm->gradient_rows && fm->gradient_dense
               ? LEAT_OK
               : error_memory(err, sizeof(*fm) + rows + dense);
}

void fm_destroy(struct fm *fm) {
    if (!fm) {
        return;
    }
    memory_free(fm->gradient_rows);
    memory_free(fm->gradient_dense);
    memory_free(fm);
}

size_t fm_bytes(const struct model *model) {
    size_t floats = (size_t)(MODEL_KEYS_MAX * model->shape.weights + model->shape.dense);
    return sizeof(struct fm) + floats * sizeof(float);
}

static inline void store_relaxed(float *at, float value) {
    __atomic_store(at, &value, __ATOMIC_RELAXED);
}

/* --- forward --- */

void fm_logits(const struct model_shape *shape, const float *dense, struct pass *pass) {
    const struct kernel *kernel = pass->kernel;
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

void fm_forward(const struct model_shape *shape, const float *dense, struct pass *pass) {
    memset(pass->sum, 0, (size_t)shape->weights * sizeof(float));
    memset(pass->squares, 0, (size_t)shape->weights * sizeof(float));
    pass->kernel->sums(pass->rows, pass->scaled ? pass->scales : NULL, pass->count, shape->weights,
                       pass->sum, pass->squares);
    fm_logits(shape, dense, pass);
}

/* --- one example --- */

/* Of the logits, 0 for tasks that the example says nothing about; thresholds' go to their places.
 */
static void logit_gradients(struct model *model, const struct saying *saying, float *out) {
    const float *thresholds = model->dense + model->shape.thresholds;
    float *into = model->fm->gradient_dense + model->shape.thresholds;
    for (int t = 0; t < model->shape.tasks; t++) {
        const struct model_task *task = &model->spec.tasks[t];
        float logit = model->fm->pass.logits[t];
        float g =
            loss_gradient(task, thresholds, logit + saying->log_odds, saying->targets[t], into);
        float importance = saying->fake ? loss_fake_weight(logit, saying->targets[t] > 0.0f) : 1.0f;
        float weight = saying->weights[t] * task->weight * importance;
        out[t] = weight > 0.0f ? weight * g : 0.0f;
        for (int k = 0; k < task->levels; k++) {
            into[k] *= weight;
        }
        thresholds += task->levels;
        into += task->levels;
    }
}

void fm_gradient(struct model *model, const struct saying *saying) {
    const struct model_shape *shape = &model->shape;
    const struct kernel *kernel = model->kernel;
    const struct pass *pass = &model->fm->pass;
    float g[MODEL_TASKS_MAX];
    logit_gradients(model, saying, g);
    float q[MODEL_DIMENSION_MAX] = {0}; /* of the pairwise products, over all tasks */
    for (int t = 0; t < shape->tasks; t++) {
        const float *h = model->dense + t * shape->block + 1 + shape->dense_count;
        float *out = model->fm->gradient_dense + t * shape->block;
        kernel->add_scaled(q, g[t], h, shape->dimension);
        out[0] = g[t];
        kernel->scale(out + 1, g[t], pass->x, shape->dense_count);
        kernel->scale(out + 1 + shape->dense_count, g[t], pass->pairs, shape->dimension);
    }
    for (int i = 0; i < pass->count; i++) {
        float *out = model->fm->gradient_rows + i * shape->weights;
        float scale = pass->scaled ? pass->scales[i] : 1.0f;
        kernel->scale(out, scale, g, shape->tasks);
        kernel->pull(q, pass->sum + shape->tasks, pass->rows[i] + shape->tasks, scale,
                     shape->dimension, out + shape->tasks);
    }
}

static void fm_step(struct model *model, const struct saying *saying) {
    struct fm *fm = model->fm;
    const struct model_shape *shape = &model->shape;
    optimiser_begin(&model->optimiser, ++model->steps);
    for (int i = 0; i < fm->pass.count; i++) {
        optimiser_step(&model->optimiser, fm->rates[i], fm->moving[i],
                       fm->gradient_rows + i * shape->weights);
    }
    int threshold = shape->thresholds;
    for (int t = 0; t < shape->tasks; t++) {
        int levels = model->spec.tasks[t].levels;
        if (saying->weights[t] > 0.0f) {
            model_step_dense(model, t * shape->block, shape->block,
                             fm->gradient_dense + t * shape->block);
            model_step_dense(model, threshold, levels, fm->gradient_dense + threshold);
        }
        threshold += levels;
    }
}

/* --- chunks of a batch --- */

static bool says_something(const struct minibatch *batch, int index) {
    const float *weights = batch->weights + (size_t)index * (size_t)batch->tasks;
    for (int t = 0; t < batch->tasks; t++) {
        if (isfinite(weights[t]) && weights[t] > 0.0f) {
            return true;
        }
    }
    return false;
}

/* Keys of one example into the chunk; false when they do not fit any more. */
static bool chunk_add(struct model *model, const struct minibatch *batch, int index) {
    struct chunk *chunk = &model->fm->chunk;
    uint32_t from = batch->offsets[index];
    uint32_t count = batch->offsets[index + 1] - from;
    count = count < MODEL_KEYS_MAX ? count : MODEL_KEYS_MAX;
    if (chunk->examples == CHUNK_EXAMPLES || chunk->count + (int)count > CHUNK_KEYS) {
        return false;
    }
    for (uint32_t i = from; i < from + count; i++) {
        float scale = batch->values ? batch->values[i] : 1.0f;
        if (!isfinite(scale)) {
            counter_add(&model->counters.not_finite, 1);
            continue;
        }
        chunk->keys[chunk->count] = model_key(model, batch->keys[i]);
        chunk->scales[chunk->count] = model_clean(scale);
        chunk->count++;
    }
    chunk->first[++chunk->examples] = (uint32_t)chunk->count;
    return true;
}

/* The examples from `from` on that fit, all of which say something or none does. */
static bool chunk_fill(struct model *model, const struct minibatch *batch, int from) {
    struct chunk *chunk = &model->fm->chunk;
    chunk->examples = 0;
    chunk->count = 0;
    chunk->first[0] = 0;
    chunk->scaled = batch->values != NULL;
    bool says = batch->weights && says_something(batch, from);
    for (int i = from; i < batch->count; i++) {
        if ((batch->weights && says_something(batch, i)) != says || !chunk_add(model, batch, i)) {
            break;
        }
    }
    return says;
}

static void set_inputs(struct model *model, const struct minibatch *batch, int index) {
    int count = model->shape.dense_count;
    const float *dense = count > 0 ? batch->dense + (size_t)index * (size_t)count : NULL;
    float *x = model->fm->pass.x;
    for (int i = 0; i < count; i++) {
        x[i] = model_clean(dense[i]);
        if (!isfinite(dense[i])) {
            counter_add(&model->counters.not_finite, 1);
        }
    }
}

/* The rows of example `index` of the chunk. */
static void set_rows(struct model *model, int index, bool learn) {
    struct fm *fm = model->fm;
    const struct chunk *chunk = &fm->chunk;
    struct pass *pass = &fm->pass;
    pass->count = 0;
    pass->scaled = chunk->scaled;
    for (uint32_t i = chunk->first[index]; i < chunk->first[index + 1]; i++) {
        if (chunk->rows[i] == TABLE_NONE) {
            continue;
        }
        int at = pass->count++;
        pass->scales[at] = chunk->scales[i];
        if (learn) {
            int field = key_field(chunk->keys[i]);
            fm->rates[at] = field < model->spec.field_count ? model->spec.fields[field].rate : 1.0f;
            fm->moving[at] = table_change(model->table, chunk->rows[i]);
            pass->rows[at] = fm->moving[at];
        } else {
            pass->rows[at] = table_row(model->table, chunk->rows[i]);
        }
    }
}

static void learn_one(struct model *model, const struct minibatch *batch, int index, bool fake) {
    size_t at = (size_t)index * (size_t)batch->tasks;
    float weights[MODEL_TASKS_MAX];
    for (int t = 0; t < batch->tasks; t++) {
        weights[t] = model_clean(batch->weights[at + (size_t)t]);
    }
    const struct saying saying = {
        .targets = batch->targets + at,
        .weights = weights,
        .log_odds = batch->log_odds ? model_clean(batch->log_odds[index]) : 0.0f,
        .fake = fake,
    };
    fm_gradient(model, &saying);
    fm_step(model, &saying);
    for (int t = 0; model->calibration && t < batch->tasks; t++) {
        model_observe(model, &saying, t, model->fm->pass.logits[t]);
    }
}

static void chunk_run(struct model *model, const struct minibatch *batch, int from,
                      const bool *fake, bool learn, float *predictions) {
    struct fm *fm = model->fm;
    int tasks = model->shape.tasks;
    for (int i = 0; i < fm->chunk.examples; i++) {
        set_rows(model, i, learn);
        set_inputs(model, batch, from + i);
        fm_forward(&model->shape, model->dense, &fm->pass);
        for (int t = 0; predictions && t < tasks; t++) {
            predictions[(from + i) * tasks + t] =
                model_predict(model, model->dense, model->calibration, t, fm->pass.logits[t]);
        }
        if (learn) {
            learn_one(model, batch, from + i, fake && fake[from + i]);
        }
    }
}

/* --- logistic regression of one task by AdaGrad --- */

/* What stands in a chunk's plainest loop: rows of [w | n], no dense inputs, no corrections. */
static bool is_plain(const struct model *model) {
    return model->shape.tasks == 1 && model->shape.weights == 1 && model->shape.dense_count == 0 &&
           model->spec.optimiser == MODEL_ADAGRAD && model->spec.tasks[0].head == HEAD_BINARY &&
           !model->calibration;
}

/* The rows of an example where they lie; returns how many. */
static int plain_rows(struct model *model, int index, float **rows, float *rates) {
    const struct chunk *chunk = &model->fm->chunk;
    int count = 0;
    for (uint32_t i = chunk->first[index]; i < chunk->first[index + 1]; i++) {
        if (chunk->rows[i] != TABLE_NONE) {
            int field = key_field(chunk->keys[i]);
            rates[count] = field < model->spec.field_count ? model->spec.fields[field].rate : 1.0f;
            rows[count++] = table_change(model->table, chunk->rows[i]);
        }
    }
    return count;
}

/* The step of AdaGrad on each row, the same gradient for all. */
static void plain_step(float *const *rows, const float *rates, int count, float rate,
                       float gradient) {
    float square = gradient * gradient;
    for (int i = 0; i < count; i++) {
        float n = rows[i][1] + square;
        float w = rows[i][0] - rate * rates[i] * gradient / sqrtf(n);
        store_relaxed(&rows[i][1], n);
        store_relaxed(&rows[i][0], w);
    }
}

static void plain_bias(struct model *model, float gradient) {
    float n = model->dense_state[0] * OPTIMISER_DENSE_FADE + gradient * gradient;
    model->dense_state[0] = n;
    store_relaxed(&model->dense[0], model->dense[0] - model->spec.rate_dense * gradient / sqrtf(n));
}

/* As chunk_run does for any model, bit for bit. */
static void chunk_run_plain(struct model *model, const struct minibatch *batch, int from,
                            float *predictions) {
    const struct chunk *chunk = &model->fm->chunk;
    float task_weight = model->spec.tasks[0].weight;
    for (int i = 0; i < chunk->examples; i++) {
        float *rows[MODEL_KEYS_MAX];
        float rates[MODEL_KEYS_MAX];
        int count = plain_rows(model, i, rows, rates);
        float sum = 0.0f;
        for (int k = 0; k < count; k++) {
            sum += rows[k][0];
        }
        float logit = model->dense[0] + sum;
        float log_odds = batch->log_odds ? model_clean(batch->log_odds[from + i]) : 0.0f;
        float p = kernel_sigmoid(logit + log_odds);
        if (predictions) {
            predictions[from + i] = log_odds == 0.0f ? p : kernel_sigmoid(logit);
        }
        float target = batch->targets[from + i] > 0.0f ? 1.0f : 0.0f;
        float gradient = model_clean(batch->weights[from + i]) * task_weight * (p - target);
        plain_step(rows, rates, count, model->spec.rate, gradient);
        plain_bias(model, gradient);
    }
    model->steps += (uint64_t)chunk->examples;
}

void fm_batch(struct model *model, const struct minibatch *batch, const bool *fake, bool learn,
              float *predictions) {
    struct chunk *chunk = &model->fm->chunk;
    for (int from = 0; from < batch->count; from += chunk->examples) {
        bool says = chunk_fill(model, batch, from);
        uint64_t steps = model->steps;
        uint32_t now_s = batch->times ? batch->times[from] : 0;
        model_rows_for(model, chunk->keys, chunk->count, learn && says, now_s, chunk->rows);
        if (learn && says && !chunk->scaled && !fake && is_plain(model)) {
            chunk_run_plain(model, batch, from, predictions);
        } else {
            chunk_run(model, batch, from, fake, learn && says, predictions);
        }
        if (learn) {
            counter_add(says ? &model->counters.steps : &model->counters.empty,
                        (uint64_t)chunk->examples);
            counter_add(&model->counters.examples, (uint64_t)chunk->examples);
            model->examples += says ? (uint64_t)chunk->examples : 0;
            model_expire(model, steps, now_s);
        }
    }
}
