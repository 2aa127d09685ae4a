#include "learn/learner.h"

#include "base/hash.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>

/* --- life --- */

static size_t width_of(const struct model *model) {
    return (size_t)model->spec.field_count * (size_t)model->spec.dimension;
}

static float *floats(size_t count) {
    return memory_zalloc((count > 0 ? count : 1) * sizeof(float));
}

static bool shards_create(struct model *model, leat_status *status, leat_error *err) {
    struct learner *learner = model->learner;
    int rows = (model->spec.batch + learner->shards - 1) / learner->shards;
    for (int s = 0; s < learner->shards; s++) {
        struct shard *shard = &learner->shard[s];
        shard->gradient = floats((size_t)model->shape.dense);
        *status = net_work_create(learner->plan, rows, true, &shard->work, err);
        if (*status < 0) {
            return false;
        }
        if (!shard->gradient) {
            *status = error_memory(err, (size_t)model->shape.dense * sizeof(float));
            return false;
        }
    }
    return true;
}

/* Room for `keys` keys of a batch; false: no memory, all is as it was. */
static bool grow(struct model *model, int keys) {
    struct learner *learner = model->learner;
    if (keys <= learner->keys_max) {
        return true;
    }
    keys = keys < 1024 ? 1024 : keys + keys / 2;
    int slots = 1024;
    while (slots < 2 * keys) {
        slots *= 2;
    }
    size_t count = (size_t)keys;
    size_t places = learner->gathering.history_count > 0 ? count : 0;
    void *gather = memory_alloc(gather_bytes(&learner->gathering, model->spec.batch, keys));
    size_t bytes = count * (sizeof(float *) + sizeof(uint64_t)) +
                   (7 * count + 64 + (size_t)slots) * sizeof(uint32_t);
    char *distinct = memory_alloc(bytes);
    float *gradients = floats(places * (size_t)model->spec.dimension);
    if (!gather || !distinct || !gradients) {
        memory_free(gather);
        memory_free(distinct);
        memory_free(gradients);
        return false;
    }
    memory_free(learner->gather_memory);
    memory_free(learner->distinct_memory);
    memory_free(learner->history_gradients);
    learner->gather_memory = gather;
    learner->distinct_memory = distinct;
    learner->history_gradients = gradients;
    gather_init(&learner->gather, &learner->gathering, model->spec.batch, keys, gather);
    struct distinct *d = &learner->distinct;
    d->moving = (float **)(void *)distinct;
    d->asked = (uint64_t *)(void *)(distinct + count * sizeof(float *));
    uint32_t *at = (uint32_t *)(void *)(d->asked + count);
    d->number = at;
    d->first = at + count;
    d->places = d->first + count + 1;
    d->rates = (float *)(void *)(d->places + count);
    d->example = (uint32_t *)(void *)(d->rates + count);
    d->answers = d->example + count;
    d->slot = d->answers + count;
    d->slots = slots;
    learner->keys_max = keys;
    return true;
}

static leat_status batch_create(struct model *model, leat_error *err) {
    struct learner *learner = model->learner;
    size_t batch = (size_t)model->spec.batch;
    size_t width = width_of(model);
    size_t tasks = (size_t)model->shape.tasks;
    learner->embeddings = floats(batch * width);
    learner->embedding_gradients = floats(batch * width);
    learner->own = floats(batch * tasks);
    learner->logits = floats(batch * tasks);
    learner->logit_gradients = floats(batch * tasks);
    learner->dense = floats(batch * (size_t)model->shape.dense_count);
    size_t blocks = (size_t)model->shape.dense / DENSE_BLOCK + 1;
    learner->squares = memory_zalloc(blocks * sizeof(double));
    if (!learner->embeddings || !learner->embedding_gradients || !learner->own ||
        !learner->logits || !learner->logit_gradients || !learner->dense || !learner->squares ||
        !grow(model, model->spec.batch)) {
        return error_memory(err, batch * (2 * width + 3 * tasks) * sizeof(float));
    }
    return LEAT_OK;
}

leat_status learner_create(struct model *model, leat_error *err) {
    struct learner *learner = memory_zalloc(sizeof(*learner));
    if (!learner) {
        return error_memory(err, sizeof(*learner));
    }
    model->learner = learner;
    atomic_init(&learner->current, -1);
    gather_plan_init(&learner->gathering, &model->spec, model->shape.own);
    TRY(net_plan_create(&model->spec, &learner->plan, err));
    learner->shards =
        model->spec.shards < model->spec.batch ? model->spec.shards : model->spec.batch;
    size_t parameters = net_parameters(learner->plan);
    INVARIANT(parameters < INT32_MAX / 2, "%zu parameters", parameters);
    model->shape.dense += (int)parameters - model->shape.thresholds;
    model->shape.thresholds = (int)parameters;
    leat_status status = LEAT_OK;
    if (!shards_create(model, &status, err)) {
        return status;
    }
    TRY(batch_create(model, err));
    return model->spec.network == NETWORK_TOWERS ? towers_create(model, err) : LEAT_OK;
}

static void work_destroy(struct net_work *work) {
    if (work) {
        net_work_destroy(work);
    }
}

void learner_destroy(struct model *model) {
    struct learner *learner = model->learner;
    if (!learner) {
        return;
    }
    for (int s = 0; s < MODEL_SHARDS_MAX; s++) {
        work_destroy(learner->shard[s].work);
        memory_free(learner->shard[s].gradient);
    }
    for (int i = 0; i < VERSION_SLOTS; i++) {
        memory_free(learner->versions[i].dense);
    }
    for (size_t i = 0; i < sizeof(learner->idle) / sizeof(learner->idle[0]); i++) {
        work_destroy(atomic_load(&learner->idle[i]));
    }
    towers_destroy(model);
    pool_destroy(learner->pool);
    if (learner->plan) {
        net_plan_destroy(learner->plan);
    }
    float *const arrays[] = {
        learner->embeddings,       learner->embedding_gradients, learner->own,
        learner->logits,           learner->logit_gradients,     learner->dense,
        learner->history_gradients};
    for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++) {
        memory_free(arrays[i]);
    }
    memory_free(learner->squares);
    memory_free(learner->gather_memory);
    memory_free(learner->distinct_memory);
    memory_free(learner);
    model->learner = NULL;
}

size_t learner_bytes(const struct model *model) {
    const struct learner *learner = model->learner;
    size_t batch = (size_t)model->spec.batch;
    size_t floats_each =
        2 * width_of(model) + 3 * (size_t)model->shape.tasks + (size_t)model->shape.dense_count;
    return sizeof(*learner) +
           (batch * floats_each + (size_t)learner->shards * (size_t)model->shape.dense) *
               sizeof(float) +
           gather_bytes(&learner->gathering, model->spec.batch, learner->keys_max);
}

void learner_start(const struct model *model, float *dense) {
    net_start(model->learner->plan, model->spec.seed, dense);
}

/* --- distinct rows --- */

static void find_distinct(struct model *model) {
    struct distinct *d = &model->learner->distinct;
    const struct gather *gather = &model->learner->gather;
    uint32_t mask = (uint32_t)d->slots - 1;
    memset(d->slot, 0, (size_t)d->slots * sizeof(uint32_t));
    d->count = 0;
    for (int k = 0; k < gather->count; k++) {
        uint32_t row = gather->rows[k];
        uint32_t at = (row * 0x9E3779B1u >> 8) & mask;
        while (d->slot[at] != 0 && gather->rows[d->first[d->slot[at] - 1]] != row) {
            at = (at + 1) & mask;
        }
        if (d->slot[at] == 0) {
            d->first[d->count] = (uint32_t)k; /* of now: a place where the row stands */
            d->slot[at] = (uint32_t)++d->count;
        }
        d->number[k] = d->slot[at] - 1;
    }
}

/* Lists of places, by counting. */
static void list_places(struct model *model) {
    struct distinct *d = &model->learner->distinct;
    const struct gather *gather = &model->learner->gather;
    for (int u = 0; u < d->count; u++) {
        uint32_t k = d->first[u];
        int field = key_field(gather->keys[k]); /* whose rows they are */
        d->rates[u] = model->spec.fields[field].rate;
        d->moving[u] = table_change(model->table, gather->rows[k]);
    }
    for (int i = 0; i < gather->examples; i++) {
        for (uint32_t k = gather->first[i]; k < gather->first[i + 1]; k++) {
            d->example[k] = (uint32_t)i;
        }
    }
    memset(d->first, 0, ((size_t)d->count + 1) * sizeof(uint32_t));
    for (int k = 0; k < gather->count; k++) {
        d->first[d->number[k]]++;
    }
    uint32_t used = 0;
    for (int u = 0; u <= d->count; u++) {
        uint32_t count = u < d->count ? d->first[u] : 0;
        d->first[u] = used;
        used += count;
    }
    for (int k = 0; k < gather->count; k++) {
        d->places[d->first[d->number[k]]++] = (uint32_t)k;
    }
    for (int u = d->count; u > 0; u--) {
        d->first[u] = d->first[u - 1];
    }
    d->first[0] = 0;
}

/* --- 1: rows of the step --- */

static bool says(const struct model *model, const struct minibatch *batch, int index) {
    const float *weights = batch->weights + (size_t)index * (size_t)model->shape.tasks;
    for (int t = 0; t < model->shape.tasks; t++) {
        if (isfinite(weights[t]) && weights[t] > 0.0f) {
            return true;
        }
    }
    return false;
}

/* Keys of the examples for which `add` holds, one after another (`out`), or their rows put back. */
static int each_asked(struct model *model, bool add, bool back) {
    struct learner *learner = model->learner;
    struct gather *gather = &learner->gather;
    struct distinct *d = &learner->distinct;
    int count = 0;
    for (int i = 0; i < learner->count; i++) {
        if (says(model, learner->batch, learner->from + i) != add) {
            continue;
        }
        for (uint32_t k = gather->first[i]; k < gather->first[i + 1]; k++, count++) {
            if (back) {
                gather->rows[k] = d->answers[count];
            } else {
                d->asked[count] = gather->keys[k];
            }
        }
    }
    return count;
}

/* Keys of examples that say something get rows, those of others do not. Rows are added in one call:
 * a second one might give up rows of the first. */
static void find_rows(struct model *model, bool learn, uint32_t now_s) {
    struct learner *learner = model->learner;
    struct gather *gather = &learner->gather;
    struct distinct *d = &learner->distinct;
    learner->saying = 0;
    for (int i = 0; learn && i < learner->count; i++) {
        learner->saying += says(model, learner->batch, learner->from + i);
    }
    if (!learn || learner->saying == learner->count) {
        model_rows_for(model, gather->keys, gather->count, learn, now_s, gather->rows);
        return;
    }
    for (int add = 1; add >= 0; add--) {
        int count = each_asked(model, add, false);
        model_rows_for(model, d->asked, count, add, now_s, d->answers);
        each_asked(model, add, true);
    }
}

float learner_clean(float value) {
    float clean = model_clean(value);
    return clean > DENSE_INPUT_MAX    ? DENSE_INPUT_MAX
           : clean < -DENSE_INPUT_MAX ? -DENSE_INPUT_MAX
                                      : clean;
}

static void clean_dense(struct model *model) {
    struct learner *learner = model->learner;
    size_t width = (size_t)model->shape.dense_count;
    const float *from = learner->batch->dense + (size_t)learner->from * width;
    for (size_t i = 0; i < (size_t)learner->count * width; i++) {
        learner->dense[i] = learner_clean(from[i]);
        if (!isfinite(from[i])) {
            counter_add(&model->counters.not_finite, 1);
        }
    }
}

static bool collect(struct model *model) {
    struct learner *learner = model->learner;
    const struct minibatch *batch = learner->batch;
    int to = learner->from + learner->count;
    if (!grow(model, (int)(batch->offsets[to] - batch->offsets[learner->from]))) {
        return false;
    }
    bool fits = gather_collect(&learner->gather, batch, learner->from, to);
    INVARIANT(fits, "%d keys of a batch", learner->keys_max);
    return true;
}

static bool step_prepare(struct model *model) {
    struct learner *learner = model->learner;
    const struct minibatch *batch = learner->batch;
    if (!collect(model)) {
        return false;
    }
    find_rows(model, learner->learn,
              batch->times && learner->count > 0 ? batch->times[learner->from] : 0);
    gather_compact(&learner->gather, model->table);
    for (int h = 0; learner->learn && h < learner->gathering.history_count; h++) {
        learner->gather.net[h].gradients = learner->history_gradients;
    }
    if (model->shape.dense_count > 0) {
        clean_dense(model);
    }
    if (learner->learn) {
        find_distinct(model);
        list_places(model);
    }
    return true;
}

/* --- 2: shards --- */

static float cut(struct shard *shard, float gradient) {
    if (gradient > GRADIENT_MAX || gradient < -GRADIENT_MAX) {
        shard->exploded++;
        return gradient > 0.0f ? GRADIENT_MAX : -GRADIENT_MAX;
    }
    return gradient;
}

/* Loss gradient of task t of example i of the step. */
static float task_gradient(const struct model *model, struct shard *shard, int i, int t,
                           const float *thresholds, float *into) {
    const struct learner *learner = model->learner;
    const struct minibatch *batch = learner->batch;
    const struct model_task *task = &model->spec.tasks[t];
    size_t at = (size_t)(learner->from + i) * (size_t)model->shape.tasks + (size_t)t;
    float logit = learner->logits[(size_t)i * (size_t)model->shape.tasks + (size_t)t];
    float target = model_clean(batch->targets[at]);
    float weight = model_clean(batch->weights[at]) * task->weight;
    if (!(weight > 0.0f) || !isfinite(batch->targets[at])) {
        return 0.0f;
    }
    if (!isfinite(logit)) {
        shard->exploded++;
        return 0.0f;
    }
    if (learner->fake && learner->fake[learner->from + i]) {
        weight *= loss_fake_weight(logit, target > 0.0f);
    }
    float log_odds = batch->log_odds ? model_clean(batch->log_odds[learner->from + i]) : 0.0f;
    float levels[MODEL_LEVELS_MAX];
    float g = loss_gradient(task, thresholds, logit + log_odds, target, levels);
    for (int k = 0; k < task->levels; k++) {
        into[k] += weight * levels[k];
    }
    return cut(shard, weight * g);
}

static void loss_gradients(const struct model *model, struct shard *shard, int from, int count) {
    struct learner *learner = model->learner;
    int tasks = model->shape.tasks;
    int thresholds = model->shape.thresholds;
    memset(shard->gradient + thresholds, 0,
           (size_t)(model->shape.dense - thresholds) * sizeof(float));
    for (int i = from; i < from + count; i++) {
        int at = thresholds;
        for (int t = 0; t < tasks; t++) {
            learner->logit_gradients[i * tasks + t] =
                task_gradient(model, shard, i, t, model->dense + at, shard->gradient + at);
            at += model->spec.tasks[t].levels;
        }
    }
}

static void shard_range(const struct learner *learner, int index, int *from, int *count) {
    int each = (learner->count + learner->shards - 1) / learner->shards;
    *from = index * each < learner->count ? index * each : learner->count;
    *count = learner->count - *from < each ? learner->count - *from : each;
}

static void add_own(struct model *model, int from, int count) {
    struct learner *learner = model->learner;
    int tasks = model->shape.tasks;
    for (int i = from * tasks; i < (from + count) * tasks; i++) {
        learner->logits[i] += learner->own[i];
    }
}

static void run_shard(void *context, int index) {
    struct model *model = context;
    struct learner *learner = model->learner;
    struct shard *shard = &learner->shard[index];
    int from, count;
    shard_range(learner, index, &from, &count);
    shard->exploded = 0;
    if (count == 0) {
        memset(shard->gradient, 0, (size_t)model->shape.dense * sizeof(float));
        return;
    }
    size_t width = width_of(model);
    size_t tasks = (size_t)model->shape.tasks;
    struct net_history histories[MODEL_FIELDS_MAX];
    gather_pool(&learner->gather, from, from + count, learner->embeddings, learner->own);
    for (int h = 0; h < learner->gathering.history_count; h++) {
        histories[h] = learner->gather.net[h];
        histories[h].offsets += from;
    }
    struct net_input input = {
        .rows = count,
        .embeddings = learner->embeddings + (size_t)from * width,
        .dense = learner->dense + (size_t)from * (size_t)model->shape.dense_count,
        .history_count = learner->gathering.history_count,
        .histories = histories,
    };
    float *logits = learner->logits + (size_t)from * tasks;
    net_forward(shard->work, model->dense, &input, logits);
    add_own(model, from, count);
    if (!learner->learn) {
        return;
    }
    if (model->spec.network == NETWORK_TOWERS) {
        towers_shard(model, index, from, count, &input);
        return;
    }
    loss_gradients(model, shard, from, count);
    net_backward(shard->work, model->dense, &input, learner->logit_gradients + (size_t)from * tasks,
                 shard->gradient, learner->embedding_gradients + (size_t)from * width);
}

/* --- 3: dense weights --- */

static int block_count(const struct model *model, int block) {
    int left = model->shape.dense - block * DENSE_BLOCK;
    return left < DENSE_BLOCK ? left : DENSE_BLOCK;
}

/* Adds the shards into the first, as a mean over the examples that say something. */
static void add_block(void *context, int block) {
    struct model *model = context;
    struct learner *learner = model->learner;
    int count = block_count(model, block);
    float *sum = learner->shard[0].gradient + (size_t)block * DENSE_BLOCK;
    float share = 1.0f / (float)learner->saying;
    for (int s = 1; s < learner->shards; s++) {
        model->kernel->add_scaled(sum, 1.0f,
                                  learner->shard[s].gradient + (size_t)block * DENSE_BLOCK, count);
    }
    double squares = 0;
    for (int i = 0; i < count; i++) {
        sum[i] *= share;
        squares += (double)sum[i] * (double)sum[i];
    }
    learner->squares[block] = squares;
}

static void step_block(void *context, int block) {
    struct model *model = context;
    const float *gradient = model->learner->shard[0].gradient + (size_t)block * DENSE_BLOCK;
    model_step_dense(model, block * DENSE_BLOCK, block_count(model, block), gradient);
}

static void decay(struct model *model) {
    float keep = 1.0f - model->spec.rate_dense * model->spec.decay;
    for (int p = 0; model->spec.decay > 0.0f && p < net_parts(model->learner->plan); p++) {
        const struct net_part *part = net_part_at(model->learner->plan, p);
        float *weights = model->dense + part->first;
        for (size_t i = 0; part->decays && i < (size_t)part->rows * (size_t)part->columns; i++) {
            weights[i] *= keep;
        }
    }
}

/* Scales the whole gradient where it is too long. False: it is not finite. */
static bool cut_norm(struct model *model, int blocks) {
    struct learner *learner = model->learner;
    double squares = 0;
    for (int b = 0; b < blocks; b++) {
        squares += learner->squares[b];
    }
    if (!isfinite(squares)) {
        counter_add(&model->counters.exploded, 1);
        return false;
    }
    double norm = sqrt(squares);
    if (norm > GRADIENT_NORM_MAX) {
        float shrink = (float)(GRADIENT_NORM_MAX / norm);
        for (int i = 0; i < model->shape.dense; i++) {
            learner->shard[0].gradient[i] *= shrink;
        }
        counter_add(&model->counters.exploded, 1);
    }
    return true;
}

static int dense_blocks(const struct model *model) {
    return (model->shape.dense + DENSE_BLOCK - 1) / DENSE_BLOCK;
}

bool learner_gradients(struct model *model, const struct minibatch *batch) {
    struct learner *learner = model->learner;
    learner->batch = batch;
    learner->fake = NULL;
    learner->learn = true;
    learner->from = 0;
    learner->count = batch->count;
    if (!step_prepare(model)) {
        return false;
    }
    pool_run(learner->pool, run_shard, model, learner->shards);
    pool_run(learner->pool, add_block, model, dense_blocks(model));
    return true;
}

static void step_dense(struct model *model) {
    struct learner *learner = model->learner;
    int blocks = dense_blocks(model);
    pool_run(learner->pool, add_block, model, blocks);
    if (cut_norm(model, blocks)) {
        decay(model);
        pool_run(learner->pool, step_block, model, blocks);
    }
}

/* --- 4: rows --- */

/* Adds the gradient of one place of a row. */
static void add_place(const struct model *model, uint32_t k, int example, float *gradient) {
    const struct learner *learner = model->learner;
    const struct gather *gather = &learner->gather;
    int own = model->shape.own;
    int dimension = model->shape.dimension;
    int field = gather->fields[k];
    float scale = gather->scales[k];
    const float *logits = learner->logit_gradients + (size_t)example * (size_t)model->shape.tasks;
    model->kernel->add_scaled(gradient, scale, logits, own);
    if (learner->gathering.history_of[field] >= 0) {
        const float *from =
            learner->history_gradients + (size_t)gather->places[k] * (size_t)dimension;
        model->kernel->add_scaled(gradient + own, 1.0f, from, dimension);
        return;
    }
    const float *from = learner->embedding_gradients + (size_t)example * width_of(model) +
                        (size_t)field * (size_t)dimension;
    model->kernel->add_scaled(gradient + own, scale, from, dimension);
}

static bool all_finite(const float *values, int count) {
    float sum = 0.0f; /* of what is 0 for every finite value, and not a number else */
    for (int i = 0; i < count; i++) {
        sum += values[i] * 0.0f;
    }
    return sum == 0.0f;
}

void learner_row_gradient(const struct model *model, int u, float *gradient) {
    const struct distinct *d = &model->learner->distinct;
    for (uint32_t p = d->first[u]; p < d->first[u + 1]; p++) {
        uint32_t k = d->places[p];
        add_place(model, k, (int)d->example[k], gradient);
    }
}

static void row_block(void *context, int block) {
    struct model *model = context;
    struct learner *learner = model->learner;
    const struct distinct *d = &learner->distinct;
    int end = (block + 1) * ROW_BLOCK < d->count ? (block + 1) * ROW_BLOCK : d->count;
    uint64_t exploded = 0;
    for (int u = block * ROW_BLOCK; u < end; u++) {
        float gradient[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX] = {0};
        learner_row_gradient(model, u, gradient);
        if (all_finite(gradient, model->shape.weights)) {
            optimiser_step(&model->optimiser, d->rates[u], d->moving[u], gradient);
        } else {
            exploded++;
        }
    }
    if (exploded > 0) {
        atomic_fetch_add_explicit(&learner->exploded, exploded, memory_order_relaxed);
    }
}

/* --- a step --- */

static void step_learn(struct model *model) {
    struct learner *learner = model->learner;
    optimiser_begin(&model->optimiser, ++model->steps);
    step_dense(model);
    pool_run(learner->pool, row_block, model,
             (learner->distinct.count + ROW_BLOCK - 1) / ROW_BLOCK);
    uint64_t exploded = atomic_exchange_explicit(&learner->exploded, 0, memory_order_relaxed);
    for (int s = 0; s < learner->shards; s++) {
        exploded += learner->shard[s].exploded;
    }
    counter_add(&model->counters.exploded, exploded);
    counter_add(&model->counters.steps, 1);
    learner_publish(model, false);
}

static void give_predictions(struct model *model, float *out) {
    struct learner *learner = model->learner;
    int tasks = model->shape.tasks;
    for (int i = 0; i < learner->count; i++) {
        for (int t = 0; t < tasks; t++) {
            out[(learner->from + i) * tasks + t] = model_predict(
                model, model->dense, model->calibration, t, learner->logits[i * tasks + t]);
        }
    }
}

/* What became of the step's predictions, in order. */
static void observe(struct model *model) {
    struct learner *learner = model->learner;
    const struct minibatch *batch = learner->batch;
    int tasks = model->shape.tasks;
    for (int i = 0; i < learner->count; i++) {
        size_t at = (size_t)(learner->from + i) * (size_t)tasks;
        float weights[MODEL_TASKS_MAX];
        for (int t = 0; t < tasks; t++) {
            weights[t] = model_clean(batch->weights[at + (size_t)t]);
        }
        const struct saying saying = {
            .targets = batch->targets + at,
            .weights = weights,
            .log_odds = batch->log_odds ? model_clean(batch->log_odds[learner->from + i]) : 0.0f,
            .fake = learner->fake && learner->fake[learner->from + i],
        };
        for (int t = 0; t < tasks; t++) {
            model_observe(model, &saying, t, learner->logits[i * tasks + t]);
        }
    }
}

static void count_passed_over(struct model *model) {
    struct gather *gather = &model->learner->gather;
    counter_add(&model->counters.unknown, gather->unknown);
    counter_add(&model->counters.not_finite, gather->not_finite);
    gather->unknown = 0;
    gather->not_finite = 0;
}

static void step(struct model *model, float *predictions) {
    struct learner *learner = model->learner;
    if (!step_prepare(model)) {
        return; /* no memory: who watches memory_refusals knows */
    }
    if (learner->learn) {
        if (learner->frequency) {
            towers_count(model);
        }
        counter_add(&model->counters.examples, (uint64_t)learner->count);
        model->examples += (uint64_t)learner->saying;
        counter_add(&model->counters.empty, (uint64_t)(learner->count - learner->saying));
        count_passed_over(model);
    }
    pool_run(learner->pool, run_shard, model, learner->shards);
    if (predictions) {
        give_predictions(model, predictions);
    }
    if (learner->learn && learner->saying > 0) {
        step_learn(model);
        model_expire(model, model->steps - 1,
                     learner->batch->times ? learner->batch->times[learner->from] : 0);
        if (model->calibration) {
            observe(model);
        }
    }
}

void learner_batch(struct model *model, const struct minibatch *batch, const bool *fake, bool learn,
                   float *predictions) {
    struct learner *learner = model->learner;
    learner->batch = batch;
    learner->fake = fake;
    learner->learn = learn;
    for (int from = 0; from < batch->count; from += learner->count) {
        int left = batch->count - from;
        learner->from = from;
        learner->count = left < model->spec.batch ? left : model->spec.batch;
        step(model, predictions);
    }
}

/* --- versions --- */

const float *learner_acquire(const struct model *model, int *slot) {
    struct learner *learner = model->learner;
    atomic_store_explicit(&learner->wanted, true, memory_order_relaxed);
    for (;;) {
        int current = atomic_load(&learner->current);
        struct version *version = &learner->versions[current];
        atomic_fetch_add(&version->readers, 1);
        if (atomic_load(&learner->current) == current) {
            *slot = current;
            return version->dense;
        }
        atomic_fetch_sub(&version->readers, 1); /* replaced meanwhile */
    }
}

void learner_release(const struct model *model, int slot) {
    atomic_fetch_sub(&model->learner->versions[slot].readers, 1);
}

/* A slot that nobody reads and that is not the newest one; -1: none. Who is just about to read an
 * old one sees that it is not the newest, and leaves it. */
static int free_slot(struct learner *learner) {
    int current = atomic_load(&learner->current);
    for (int i = 0; i < VERSION_SLOTS; i++) {
        if (i != current && atomic_load(&learner->versions[i].readers) == 0) {
            return i;
        }
    }
    return -1;
}

void learner_publish(struct model *model, bool now) {
    struct learner *learner = model->learner;
    if (!now && !atomic_load_explicit(&learner->wanted, memory_order_relaxed)) {
        return;
    }
    int slot = free_slot(learner);
    if (slot < 0) {
        return; /* after the next step, then */
    }
    struct version *version = &learner->versions[slot];
    size_t bytes = (size_t)model->shape.dense * sizeof(float);
    if (!version->dense) {
        version->dense = memory_alloc(bytes);
    }
    if (version->dense) {
        memcpy(version->dense, model->dense, bytes);
        version->steps = model->steps;
        atomic_store_explicit(&learner->wanted, false, memory_order_relaxed);
        atomic_store(&learner->current, slot);
    }
}

/* --- workspaces of scorers --- */

leat_status learner_work_take(const struct model *model, struct net_work **out, leat_error *err) {
    struct learner *learner = model->learner;
    for (size_t i = 0; i < sizeof(learner->idle) / sizeof(learner->idle[0]); i++) {
        if (atomic_load_explicit(&learner->idle[i], memory_order_relaxed)) {
            *out = atomic_exchange(&learner->idle[i], NULL);
            if (*out) {
                return LEAT_OK;
            }
        }
    }
    return net_work_create(learner->plan, SCORE_ROWS, false, out, err);
}

void learner_work_return(const struct model *model, struct net_work *work) {
    struct learner *learner = model->learner;
    for (size_t i = 0; i < sizeof(learner->idle) / sizeof(learner->idle[0]); i++) {
        struct net_work *none = NULL;
        if (atomic_compare_exchange_strong(&learner->idle[i], &none, work)) {
            return;
        }
    }
    net_work_destroy(work);
}
