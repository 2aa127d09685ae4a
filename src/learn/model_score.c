#include "base/memory.h"
#include "learn/learner.h"

#include <string.h>

/* Keys whose rows are fetched together. */
enum { SCORE_KEYS = 2048 };

/* Step by step: the request's part are the sums over its rows. In batches: what net_prepare left in
 * the workspace, and the sum of the rows' own weights. */
struct scorer {
    const struct model *model;
    const float *dense; /* a copy, or a version that is held */
    int slot;           /* of the version */
    struct calibration *calibration;
    struct pass pass;
    float sum[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX];
    float squares[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX];
    uint64_t keys[MODEL_KEYS_MAX];
    uint32_t rows[MODEL_KEYS_MAX];
    /* in batches, [SCORE_ROWS][...] */
    struct net_work *work;
    struct gather gather;
    float *embeddings, *own, *inputs, *logits;
    /* the request's histories, field after field: every candidate asks them itself */
    float *history; /* [MODEL_KEYS_MAX][dimension] */
    uint32_t history_counts[MODEL_FIELDS_MAX];
    uint32_t history_total;
};

/* --- life --- */

static leat_status begin_fm(struct scorer *scorer, struct arena *arena, leat_error *err) {
    const struct model *model = scorer->model;
    size_t dense = (size_t)model->shape.dense * sizeof(float);
    float *copy = arena_alloc(arena, dense);
    if (!copy) {
        return error_memory(err, dense);
    }
    for (int i = 0; i < model->shape.dense; i++) {
        __atomic_load(&model->dense[i], &copy[i], __ATOMIC_RELAXED);
    }
    scorer->dense = copy;
    return LEAT_OK;
}

static leat_status begin_net(struct scorer *scorer, struct arena *arena, leat_error *err) {
    const struct model *model = scorer->model;
    const struct gather_plan *plan = &model->learner->gathering;
    size_t tasks = (size_t)model->shape.tasks;
    size_t row = (size_t)model->spec.field_count * (size_t)model->spec.dimension + 2 * tasks +
                 (size_t)model->shape.dense_count;
    size_t bytes = gather_bytes(plan, SCORE_ROWS, SCORE_KEYS);
    size_t history = plan->history_count > 0 ? MODEL_KEYS_MAX * (size_t)plan->dimension : 0;
    scorer->history = arena_alloc(arena, history * sizeof(float) + 1);
    float *floats = arena_alloc(arena, SCORE_ROWS * row * sizeof(float));
    void *memory = arena_alloc(arena, bytes);
    if (!floats || !memory || !scorer->history) {
        return error_memory(err, SCORE_ROWS * row * sizeof(float) + bytes);
    }
    scorer->own = floats;
    scorer->logits = scorer->own + SCORE_ROWS * tasks;
    scorer->inputs = scorer->logits + SCORE_ROWS * tasks;
    scorer->embeddings = scorer->inputs + SCORE_ROWS * (size_t)model->shape.dense_count;
    scorer->gather = (struct gather){.plan = plan};
    gather_init(&scorer->gather, plan, SCORE_ROWS, SCORE_KEYS, memory);
    TRY(learner_work_take(model, &scorer->work, err));
    scorer->dense = learner_acquire(model, &scorer->slot);
    return LEAT_OK;
}

leat_status scorer_begin(const struct model *model, struct arena *arena, struct scorer **out,
                         leat_error *err) {
    size_t calibration = (size_t)model->shape.tasks * sizeof(struct calibration);
    struct scorer *scorer = arena_alloc(arena, sizeof(*scorer));
    if (!scorer) {
        return error_memory(err, sizeof(*scorer));
    }
    scorer->model = model;
    scorer->work = NULL;
    scorer->pass.kernel = model->kernel;
    scorer->pass.scaled = false;
    scorer->calibration = NULL;
    if (model->calibration) {
        scorer->calibration = arena_alloc(arena, calibration);
        if (!scorer->calibration) {
            return error_memory(err, calibration);
        }
        for (int t = 0; t < model->shape.tasks; t++) {
            calibrate_copy(&model->calibration[t], &scorer->calibration[t]);
        }
    }
    TRY(model->learner ? begin_net(scorer, arena, err) : begin_fm(scorer, arena, err));
    scorer_prepare(scorer, NULL, 0);
    *out = scorer;
    return LEAT_OK;
}

void scorer_end(struct scorer *scorer) {
    if (scorer->work) {
        learner_release(scorer->model, scorer->slot);
        learner_work_return(scorer->model, scorer->work);
        scorer->work = NULL;
    }
}

static void predict(const struct scorer *scorer, const float *logits, float *out) {
    for (int t = 0; t < scorer->model->shape.tasks; t++) {
        out[t] = model_predict(scorer->model, scorer->dense, scorer->calibration, t, logits[t]);
    }
}

/* --- step by step --- */

/* Adds the rows of the keys to the pass's sums, which hold what is to come before them. */
static void add_rows(struct scorer *scorer, const uint64_t *keys, const float *values, int count) {
    struct pass *pass = &scorer->pass;
    const struct model *model = scorer->model;
    count = count < MODEL_KEYS_MAX ? count : MODEL_KEYS_MAX;
    for (int i = 0; i < count; i++) {
        scorer->keys[i] = model_key(model, keys[i]);
    }
    table_enter(model->table);
    table_find_batch(model->table, scorer->keys, count, scorer->rows);
    pass->count = 0;
    pass->scaled = values != NULL;
    for (int i = 0; i < count; i++) {
        if (scorer->rows[i] != TABLE_NONE) {
            pass->scales[pass->count] = values ? model_clean(values[i]) : 1.0f;
            pass->rows[pass->count++] = table_row(model->table, scorer->rows[i]);
        }
    }
    pass->kernel->sums(pass->rows, pass->scaled ? pass->scales : NULL, pass->count,
                       model->shape.weights, pass->sum, pass->squares);
    table_leave(model->table);
}

static void set_sums(struct scorer *scorer, const float *sum, const float *squares) {
    size_t bytes = (size_t)scorer->model->shape.weights * sizeof(float);
    memcpy(scorer->pass.sum, sum, bytes);
    memcpy(scorer->pass.squares, squares, bytes);
}

static void answer(struct scorer *scorer, const float *dense, float *out) {
    const struct model *model = scorer->model;
    for (int i = 0; i < model->shape.dense_count; i++) {
        scorer->pass.x[i] = model_clean(dense[i]);
    }
    fm_logits(&model->shape, scorer->dense, &scorer->pass);
    predict(scorer, scorer->pass.logits, out);
}

static void prepare_fm(struct scorer *scorer, const uint64_t *keys, int key_count) {
    size_t bytes = (size_t)scorer->model->shape.weights * sizeof(float);
    memset(scorer->pass.sum, 0, bytes);
    memset(scorer->pass.squares, 0, bytes);
    add_rows(scorer, keys, NULL, key_count);
    memcpy(scorer->sum, scorer->pass.sum, bytes);
    memcpy(scorer->squares, scorer->pass.squares, bytes);
}

static void score_items_fm(struct scorer *scorer, const struct minibatch *items, float *out) {
    const struct model_shape *shape = &scorer->model->shape;
    for (int i = 0; i < items->count; i++) {
        uint32_t from = items->offsets[i];
        set_sums(scorer, scorer->sum, scorer->squares);
        add_rows(scorer, items->keys + from, items->values ? items->values + from : NULL,
                 (int)(items->offsets[i + 1] - from));
        answer(scorer, items->dense + (size_t)i * (size_t)shape->dense_count,
               out + (size_t)i * (size_t)shape->tasks);
    }
}

/* --- in batches --- */

static void clean_inputs(struct scorer *scorer, const float *dense, int rows) {
    size_t count = (size_t)rows * (size_t)scorer->model->shape.dense_count;
    for (size_t i = 0; i < count; i++) {
        scorer->inputs[i] = dense ? learner_clean(dense[i]) : 0.0f;
    }
}

/* Pools examples [from, to) of the batch and gives them as the network's input. */
static struct net_input pooled(struct scorer *scorer, const struct minibatch *batch, int from,
                               int to) {
    struct gather *gather = &scorer->gather;
    const struct table *table = scorer->model->table;
    size_t inputs = (size_t)from * (size_t)scorer->model->shape.dense_count;
    table_enter(table);
    gather_collect(gather, batch, from, to);
    table_find_batch(table, gather->keys, gather->count, gather->rows);
    gather_compact(gather, table);
    gather_pool(gather, 0, to - from, scorer->embeddings, scorer->own);
    table_leave(table);
    clean_inputs(scorer, batch->dense ? batch->dense + inputs : NULL, to - from);
    return (struct net_input){.rows = to - from,
                              .embeddings = scorer->embeddings,
                              .dense = scorer->inputs,
                              .history_count = gather->plan->history_count,
                              .histories = gather->net};
}

static struct minibatch lone_batch(const struct model *model, const uint64_t *keys, int key_count,
                                   const float *dense, uint32_t offsets[2]) {
    offsets[0] = 0;
    offsets[1] = (uint32_t)(key_count < MODEL_KEYS_MAX ? key_count : MODEL_KEYS_MAX);
    return (struct minibatch){.count = 1,
                              .tasks = model->shape.tasks,
                              .dense_count = model->shape.dense_count,
                              .offsets = offsets,
                              .keys = keys,
                              .dense = dense};
}

static void keep_histories(struct scorer *scorer, const struct net_input *request) {
    scorer->history_total = 0;
    for (int h = 0; h < request->history_count; h++) {
        const uint32_t *offsets = request->histories[h].offsets;
        scorer->history_counts[h] = offsets[1] - offsets[0];
        scorer->history_total += scorer->history_counts[h];
    }
    size_t floats = scorer->history_total * (size_t)scorer->model->spec.dimension;
    if (floats > 0) {
        memcpy(scorer->history, scorer->gather.vectors, floats * sizeof(float));
    }
}

/* The request's histories once for each of `rows` candidates, in the place of their own. */
static void give_histories(struct scorer *scorer, int rows) {
    struct gather *gather = &scorer->gather;
    size_t dimension = (size_t)scorer->model->spec.dimension;
    uint32_t used = 0, from = 0;
    for (int h = 0; h < gather->plan->history_count; h++) {
        uint32_t count = scorer->history_counts[h];
        uint32_t *first = gather->history_first + (size_t)h * (SCORE_ROWS + 1);
        first[0] = used;
        for (int i = 0; i < rows; i++, used += count) {
            memcpy(gather->vectors + used * dimension, scorer->history + from * dimension,
                   count * dimension * sizeof(float));
            first[i + 1] = used + count;
        }
        from += count;
    }
}

static void prepare_net(struct scorer *scorer, const uint64_t *keys, int key_count) {
    uint32_t offsets[2];
    struct minibatch one = lone_batch(scorer->model, keys, key_count, NULL, offsets);
    struct net_input input = pooled(scorer, &one, 0, 1);
    memcpy(scorer->sum, scorer->own, (size_t)scorer->model->shape.tasks * sizeof(float));
    keep_histories(scorer, &input);
    net_prepare(scorer->work, scorer->dense, &input);
}

static void score_net(struct scorer *scorer, const uint64_t *keys, int key_count,
                      const float *dense, float *out) {
    uint32_t offsets[2];
    struct minibatch one = lone_batch(scorer->model, keys, key_count, dense, offsets);
    struct net_input input = pooled(scorer, &one, 0, 1);
    net_forward(scorer->work, scorer->dense, &input, scorer->logits);
    for (int t = 0; t < scorer->model->shape.tasks; t++) {
        scorer->logits[t] += scorer->own[t];
    }
    predict(scorer, scorer->logits, out);
}

/* As many examples from `from` on as rows and keys have room for; at least one. `history`: keys
 * that each gets besides its own. */
static int chunk_end(uint32_t history, const struct minibatch *items, int from) {
    int to = from + 1;
    while (to < items->count && to - from < SCORE_ROWS &&
           (uint32_t)(to + 1 - from) * history <= SCORE_KEYS &&
           items->offsets[to + 1] - items->offsets[from] <= SCORE_KEYS) {
        to++;
    }
    return to;
}

static void score_items_net(struct scorer *scorer, const struct minibatch *items, float *out) {
    int tasks = scorer->model->shape.tasks;
    for (int from = 0, to; from < items->count; from = to) {
        to = chunk_end(scorer->history_total, items, from);
        struct net_input input = pooled(scorer, items, from, to);
        give_histories(scorer, to - from);
        net_forward_items(scorer->work, scorer->dense, &input, scorer->logits);
        for (int i = 0; i < to - from; i++) {
            float logits[MODEL_TASKS_MAX];
            for (int t = 0; t < tasks; t++) {
                int at = i * tasks + t;
                logits[t] = scorer->logits[at] + (scorer->sum[t] + scorer->own[at]);
            }
            predict(scorer, logits, out + (size_t)(from + i) * (size_t)tasks);
        }
    }
}

static void score_wholes_net(struct scorer *scorer, const struct minibatch *examples, float *out) {
    int tasks = scorer->model->shape.tasks;
    for (int from = 0, to; from < examples->count; from = to) {
        to = chunk_end(0, examples, from);
        struct net_input input = pooled(scorer, examples, from, to);
        net_forward(scorer->work, scorer->dense, &input, scorer->logits);
        for (int i = 0; i < (to - from) * tasks; i++) {
            scorer->logits[i] += scorer->own[i];
        }
        for (int i = 0; i < to - from; i++) {
            predict(scorer, scorer->logits + i * tasks, out + (size_t)(from + i) * (size_t)tasks);
        }
    }
}

/* --- the face --- */

void scorer_score_wholes(struct scorer *scorer, const struct minibatch *examples, float *out) {
    size_t dense = (size_t)scorer->model->shape.dense_count;
    size_t tasks = (size_t)scorer->model->shape.tasks;
    if (scorer->work) {
        score_wholes_net(scorer, examples, out);
        return;
    }
    for (int i = 0; i < examples->count; i++) {
        uint32_t from = examples->offsets[i];
        scorer_score(scorer, examples->keys + from, (int)(examples->offsets[i + 1] - from),
                     examples->dense + (size_t)i * dense, out + (size_t)i * tasks);
    }
}

void scorer_score(struct scorer *scorer, const uint64_t *keys, int key_count, const float *dense,
                  float *out) {
    static const float none[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX];
    if (scorer->work) {
        score_net(scorer, keys, key_count, dense, out);
        return;
    }
    set_sums(scorer, none, none);
    add_rows(scorer, keys, NULL, key_count);
    answer(scorer, dense, out);
}

void scorer_prepare(struct scorer *scorer, const uint64_t *keys, int key_count) {
    if (scorer->work) {
        prepare_net(scorer, keys, key_count);
    } else {
        prepare_fm(scorer, keys, key_count);
    }
}

void scorer_score_items(struct scorer *scorer, const struct minibatch *items, float *out) {
    if (scorer->work) {
        score_items_net(scorer, items, out);
    } else {
        score_items_fm(scorer, items, out);
    }
}
