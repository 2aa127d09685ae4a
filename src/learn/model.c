#include "base/memory.h"
#include "learn/learner.h"

#include <math.h>
#include <string.h>

/* --- life --- */

static void shape_from(struct model *model) {
    const struct model_spec *spec = &model->spec;
    int dimension = spec->network == NETWORK_LOGISTIC ? 0 : spec->dimension;
    int levels = 0;
    for (int t = 0; t < spec->task_count; t++) {
        levels += spec->tasks[t].levels;
    }
    struct model_shape *shape = &model->shape;
    *shape = (struct model_shape){
        .tasks = spec->task_count,
        .own = spec->network == NETWORK_TOWERS ? 0 : spec->task_count,
        .dimension = dimension,
        .dense_count = spec->dense_count,
        .block = 1 + spec->dense_count + dimension,
    };
    shape->weights = shape->own + dimension;
    shape->thresholds = shape->tasks * shape->block;
    shape->dense = shape->thresholds + levels;
    model->kernel = kernel_best();
    model->optimiser = (struct optimiser){
        .kind = spec->optimiser,
        .tasks = shape->own,
        .dimension = dimension,
        .rate = spec->rate,
        .l2 = spec->l2,
        .kernel = model->kernel,
    };
    for (int f = 0; f < spec->field_count; f++) {
        model->shares = model->shares || spec->fields[f].shares != f;
    }
}

static leat_status allocate(struct model *model, leat_error *err) {
    size_t dense = (size_t)model->shape.dense;
    size_t calibrations = (size_t)model->spec.task_count * sizeof(struct calibration);
    model->dense_state_count = dense * (model->spec.optimiser == MODEL_ADAM ? 2 : 1);
    model->dense = memory_zalloc(dense * sizeof(float));
    model->dense_first = memory_zalloc(dense * sizeof(float));
    model->dense_state = memory_zalloc(model->dense_state_count * sizeof(float));
    model->calibration = model->spec.calibrate ? memory_zalloc(calibrations) : NULL;
    if (!model->dense || !model->dense_first || !model->dense_state ||
        (model->spec.calibrate && !model->calibration)) {
        return error_memory(err,
                            (2 * dense + model->dense_state_count) * sizeof(float) + calibrations);
    }
    return LEAT_OK;
}

/* b = 0, u as given, h as actions of that sign want it. */
static void first_fill_fm(struct model *model, const float *dense_start) {
    const struct model_shape *shape = &model->shape;
    for (int t = 0; t < shape->tasks; t++) {
        const struct model_task *task = &model->spec.tasks[t];
        float *u = model->dense_first + t * shape->block + 1;
        for (int i = 0; dense_start && i < shape->dense_count; i++) {
            u[i] = dense_start[t * shape->dense_count + i];
        }
        for (int f = 0; f < shape->dimension; f++) {
            u[shape->dense_count + f] = task->negative ? -1.0f : 1.0f;
        }
    }
}

/* Thresholds stand one apart. */
static void first_fill(struct model *model, const float *dense_start) {
    float *thresholds = model->dense_first + model->shape.thresholds;
    for (int t = 0; t < model->shape.tasks; t++) {
        for (int k = 0; k < model->spec.tasks[t].levels; k++) {
            *thresholds++ = (float)k;
        }
    }
    if (model->learner) {
        learner_start(model, model->dense_first);
    } else {
        first_fill_fm(model, dense_start);
    }
}

/* What the spec says of rows. Fields that share have the rules of those whose rows they use. */
static void set_rules(struct model *model, struct table_options *options,
                      struct table_field fields[KEY_FIELDS_MAX]) {
    memset(fields, 0, KEY_FIELDS_MAX * sizeof(*fields));
    for (int f = 0; f < model->spec.field_count; f++) {
        const struct model_field *field = &model->spec.fields[f];
        int64_t expire_s = field->expire_s < INT32_MAX ? field->expire_s : INT32_MAX;
        fields[f] = (struct table_field){(uint32_t)expire_s, (uint32_t)field->admit};
        model->expires = model->expires || expire_s > 0;
    }
    options->fields = fields;
    options->evict = model->spec.evict;
    options->timed = model->spec.evict || model->expires;
}

static leat_status model_build(struct model *model, const float *dense_start, leat_error *err) {
    struct table_options options = {
        .width = model->replica ? model->shape.weights : optimiser_width(&model->optimiser),
        .bytes_max = model->spec.memory,
        .track = !model->replica,
        .narrow = model->replica,
    };
    struct table_field fields[KEY_FIELDS_MAX];
    if (!model->replica) { /* what goes there goes here by deltas */
        set_rules(model, &options, fields);
    }
    TRY(table_create(&options, &model->table, err));
    if (model_batches(model)) {
        TRY(learner_create(model, err)); /* knows how many dense weights there are */
    }
    TRY(allocate(model, err));
    if (!model->learner) {
        TRY(fm_create(model, err));
    }
    first_fill(model, dense_start);
    model_reset(model);
    if (model->learner && atomic_load(&model->learner->current) < 0) {
        return error_memory(err, (size_t)model->shape.dense * sizeof(float));
    }
    return LEAT_OK;
}

static leat_status open_as(const struct model_spec *spec, const float *dense_start, bool replica,
                           struct metrics *metrics, struct model **out, leat_error *err) {
    TRY(model_spec_check(spec, err));
    struct model *model = memory_zalloc(sizeof(*model));
    if (!model) {
        return error_memory(err, sizeof(*model));
    }
    model->spec = *spec;
    model->replica = replica;
    model->metrics = metrics;
    shape_from(model);
    pending_init(&model->pending, spec->task_count, spec->dense_count);
    leat_status status = model_build(model, dense_start, err);
    if (status < 0) {
        model_close(model);
        return status;
    }
    *out = model;
    return LEAT_OK;
}

leat_status model_open(const struct model_spec *spec, const float *dense_start,
                       struct metrics *metrics, struct model **out, leat_error *err) {
    return open_as(spec, dense_start, false, metrics, out, err);
}

leat_status model_open_replica(const struct model_spec *spec, struct metrics *metrics,
                               struct model **out, leat_error *err) {
    return open_as(spec, NULL, true, metrics, out, err);
}

void model_close(struct model *model) {
    if (!model) {
        return;
    }
    fm_destroy(model->fm);
    learner_destroy(model);
    pending_deinit(&model->pending);
    memory_free(model->calibration);
    table_destroy(model->table);
    memory_free(model->dense);
    memory_free(model->dense_first);
    memory_free(model->dense_state);
    memory_free(model);
}

const struct model_spec *model_spec(const struct model *model) {
    return &model->spec;
}

int model_tasks(const struct model *model) {
    return model->shape.tasks;
}

uint64_t model_rows(const struct model *model) {
    return table_rows(model->table);
}

uint64_t model_bytes(const struct model *model) {
    size_t dense = (size_t)model->shape.dense * 2 + model->dense_state_count;
    return table_bytes(model->table) + sizeof(*model) + dense * sizeof(float) +
           (model->learner ? learner_bytes(model) + towers_bytes(model) : fm_bytes(model));
}

static int add_part(struct model_part *out, int at, int max, const char *name, int rows,
                    int columns) {
    if (rows > 0 && columns > 0 && at < max) {
        out[at] = (struct model_part){.rows = rows, .columns = columns};
        snprintf(out[at].name, sizeof(out[at].name), "%s", name);
        return at + 1;
    }
    return at;
}

int model_parts(const struct model *model, struct model_part *out, int max) {
    const struct model_shape *shape = &model->shape;
    int count = 0;
    if (model->learner) {
        const struct net_plan *plan = model->learner->plan;
        for (int p = 0; p < net_parts(plan); p++) {
            const struct net_part *part = net_part_at(plan, p);
            count = add_part(out, count, max, part->name, part->rows, part->columns);
        }
    } else {
        count = add_part(out, count, max, "biases", shape->tasks, 1);
        count = add_part(out, count, max, "inputs", shape->tasks, shape->dense_count);
        count = add_part(out, count, max, "interactions", shape->tasks, shape->dimension);
    }
    return add_part(out, count, max, "thresholds", shape->dense - shape->thresholds, 1);
}

void model_learnt(const struct model *model, uint64_t *examples, uint64_t *steps) {
    *examples = model->examples;
    *steps = model->steps;
}

const struct table *model_table(const struct model *model) {
    return model->table;
}

const char *model_kernel(void) {
    return kernel_best()->name;
}

leat_status model_threads(struct model *model, int threads, leat_error *err) {
    if (!model->learner) {
        return LEAT_OK; /* a step at each example leaves nothing to share out */
    }
    struct pool *pool = NULL;
    if (threads > 1) {
        TRY(pool_create(threads < POOL_THREADS_MAX ? threads : POOL_THREADS_MAX, &pool, err));
    }
    pool_destroy(model->learner->pool);
    model->learner->pool = pool;
    return LEAT_OK;
}

void model_counts(const struct model *model, struct model_counts *out) {
    const struct counters *counters = &model->counters;
    *out = (struct model_counts){
        .examples = atomic_load_explicit(&counters->examples, memory_order_relaxed),
        .steps = atomic_load_explicit(&counters->steps, memory_order_relaxed),
        .empty = atomic_load_explicit(&counters->empty, memory_order_relaxed),
        .not_finite = atomic_load_explicit(&counters->not_finite, memory_order_relaxed),
        .exploded = atomic_load_explicit(&counters->exploded, memory_order_relaxed),
        .unknown = atomic_load_explicit(&counters->unknown, memory_order_relaxed),
    };
}

/* --- what both kinds of networks use --- */

float model_clean(float value) {
    if (!isfinite(value)) {
        return 0.0f;
    }
    return value > INPUT_MAX ? INPUT_MAX : value < -INPUT_MAX ? -INPUT_MAX : value;
}

static void fresh_row(void *context, uint64_t key, float *row) {
    const struct model *model = context;
    optimiser_fresh(&model->optimiser, model->spec.seed, key, model->spec.spread, row);
}

void model_rows_for(struct model *model, const uint64_t *keys, int count, bool add, uint32_t now_s,
                    uint32_t *rows) {
    if (!add) {
        table_find_batch(model->table, keys, count, rows);
        return;
    }
    uint64_t refused = table_refused(model->table);
    table_at_batch(model->table, keys, count, now_s, fresh_row, model, rows);
    uint64_t more = table_refused(model->table) - refused;
    if (more > 0) {
        metrics_add(model->metrics, METRIC_table_refused_total, more);
    }
}

void model_expire(struct model *model, uint64_t steps_before, uint32_t now_s) {
    if (!model->expires) {
        return;
    }
    uint64_t each = model->learner ? (uint64_t)model->spec.batch : 1; /* examples of a step */
    uint64_t slices = model->steps * each / EXPIRE_EVERY - steps_before * each / EXPIRE_EVERY;
    uint64_t rows = slices * EXPIRE_ROWS;
    if (rows > 0) {
        table_expire(model->table, now_s, rows < INT32_MAX ? (int)rows : INT32_MAX);
    }
}

void model_reset(struct model *model) {
    memcpy(model->dense, model->dense_first, (size_t)model->shape.dense * sizeof(float));
    bool sums = model->spec.optimiser == MODEL_ADAGRAD || model->spec.optimiser == MODEL_FTRL;
    float first = model->learner ? OPTIMISER_BATCH_FIRST : OPTIMISER_DENSE_FIRST;
    for (size_t i = 0; i < model->dense_state_count; i++) {
        model->dense_state[i] = sums ? first : 0.0f;
    }
    if (model->calibration) {
        memset(model->calibration, 0, (size_t)model->shape.tasks * sizeof(*model->calibration));
    }
    pending_clear(&model->pending);
    model->steps = 0;
    model->examples = 0;
    if (model->learner) {
        towers_reset(model);
        learner_publish(model, true);
    }
}

void model_step_dense(struct model *model, int first, int count, const float *gradient) {
    float *weights = model->dense + first;
    float *state = model->dense_state + first;
    float rate = model->spec.rate_dense;
    if (model->spec.optimiser == MODEL_ADAM) {
        struct kernel_adam step = model->optimiser.adam;
        step.rate *= rate;
        model->kernel->adam(weights, state, state + model->shape.dense, gradient, count, &step);
        return;
    }
    if (model->spec.optimiser == MODEL_RMSPROP) {
        model->kernel->rmsprop(weights, state, gradient, count, rate, 0.0f, OPTIMISER_RMSPROP_FADE);
        return;
    }
    for (int i = 0; i < count && !model->learner; i++) {
        state[i] *= OPTIMISER_DENSE_FADE;
    }
    model->kernel->adagrad(weights, state, gradient, count, rate, 0.0f);
}

void model_dense_changed(struct model *model) {
    if (model->learner) {
        learner_publish(model, true);
    }
}

static bool calibrates(const struct model_task *task) {
    return task->head == HEAD_BINARY || task->head == HEAD_REGRESSION;
}

float model_predict(const struct model *model, const float *dense,
                    const struct calibration *calibration, int task, float logit) {
    const float *thresholds = dense + model->shape.thresholds;
    for (int t = 0; t < task; t++) {
        thresholds += model->spec.tasks[t].levels;
    }
    if (calibration && calibrates(&model->spec.tasks[task])) {
        logit = calibrate(&calibration[task], logit);
    }
    return loss_predict(&model->spec.tasks[task], thresholds, logit);
}

void model_observe(struct model *model, const struct saying *saying, int t, float logit) {
    const struct model_task *task = &model->spec.tasks[t];
    float target = saying->targets[t];
    float weight = saying->weights[t];
    if (!calibrates(task) || !(weight > 0.0f) || !isfinite(logit) || !isfinite(target)) {
        return;
    }
    float corrected = calibrate(&model->calibration[t], logit);
    if (saying->fake) {
        weight *= loss_fake_weight(corrected, target > 0.0f);
    }
    corrected += saying->log_odds;
    calibrate_learn(&model->calibration[t], logit,
                    weight * loss_gradient(task, NULL, corrected, target, NULL),
                    weight * loss_curve(task, corrected, target));
}

/* --- learning --- */

/* A row of a minibatch that points into an example. */
struct lone {
    struct minibatch batch;
    uint32_t offsets[2];
    float targets[MODEL_TASKS_MAX], weights[MODEL_TASKS_MAX];
    float x[MODEL_DENSE_MAX];
    float log_odds;
    uint32_t time;
};

static void lone_fill(const struct model *model, const struct example *example, struct lone *lone) {
    const struct model_shape *shape = &model->shape;
    for (int t = 0; t < shape->tasks; t++) {
        lone->targets[t] = example->labels >> t & 1u ? 1.0f : 0.0f;
        lone->weights[t] = example->mask >> t & 1u ? example->weight : 0.0f;
    }
    for (int i = 0; i < shape->dense_count; i++) {
        lone->x[i] = i < example->dense_count ? example->dense[i] : 0.0f;
    }
    lone->log_odds = example->log_odds;
    lone->time = example->shown_ms > 0 ? (uint32_t)(example->shown_ms / 1000) : 0;
    lone->offsets[0] = 0;
    lone->offsets[1] = (uint32_t)example->key_count;
    lone->batch = (struct minibatch){
        .count = 1,
        .tasks = shape->tasks,
        .dense_count = shape->dense_count,
        .offsets = lone->offsets,
        .keys = example->keys,
        .dense = lone->x,
        .targets = lone->targets,
        .weights = lone->weights,
        .log_odds = &lone->log_odds,
        .times = &lone->time,
    };
}

static void step_on_pending(struct model *model) {
    const bool *fake;
    struct minibatch batch = pending_batch(&model->pending, &fake);
    learner_batch(model, &batch, fake, true, NULL);
    pending_clear(&model->pending);
}

void model_learn(struct model *model, const struct example *example) {
    struct lone lone;
    bool fake = example->flags & EXAMPLE_FAKE;
    lone_fill(model, example, &lone);
    if (!model->learner) {
        fm_batch(model, &lone.batch, &fake, true, NULL);
        return;
    }
    uint64_t block = example->sequence / (uint64_t)model->spec.batch;
    bool whole = model->pending.count == model->spec.batch || block != model->pending.block;
    if (model->pending.count > 0 && whole) {
        step_on_pending(model);
    }
    model->pending.block = block;
    pending_add(&model->pending, &lone.batch, fake);
}

void model_reach(struct model *model, uint64_t sequence) {
    if (model->pending.count > 0 && sequence / (uint64_t)model->spec.batch > model->pending.block) {
        step_on_pending(model);
    }
}

void model_learn_batch(struct model *model, const struct minibatch *batch, float *predictions) {
    if (model->learner) {
        learner_batch(model, batch, NULL, true, predictions);
    } else {
        fm_batch(model, batch, NULL, true, predictions);
    }
}

void model_predict_batch(struct model *model, const struct minibatch *batch, float *predictions) {
    if (model->learner) {
        learner_batch(model, batch, NULL, false, predictions);
    } else {
        fm_batch(model, batch, NULL, false, predictions);
    }
}
