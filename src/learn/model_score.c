#include "learn/model_internal.h"

#include <string.h>

/* Items of scorer_score_items whose rows are fetched together. */
enum { SCORE_KEYS = 512 };

struct scorer {
    const struct model *model;
    float *dense;
    struct pass pass;
    /* what scorer_prepare left: sums over the request's rows */
    float sum[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX];
    float squares[MODEL_TASKS_MAX + MODEL_DIMENSION_MAX];
    uint64_t keys[SCORE_KEYS];
    uint32_t rows[SCORE_KEYS];
};

leat_status scorer_begin(const struct model *model, struct arena *arena, struct scorer **out,
                         leat_error *err) {
    size_t dense = (size_t)model->shape.dense * sizeof(float);
    struct scorer *scorer = arena_alloc(arena, sizeof(*scorer));
    float *copy = arena_alloc(arena, dense);
    if (!scorer || !copy) {
        return error_memory(err, sizeof(*scorer) + dense);
    }
    for (int i = 0; i < model->shape.dense; i++) {
        __atomic_load(&model->dense[i], &copy[i], __ATOMIC_RELAXED);
    }
    scorer->model = model;
    scorer->dense = copy;
    scorer->pass.kernel = model->kernel;
    scorer->pass.scaled = false;
    scorer_prepare(scorer, NULL, 0);
    *out = scorer;
    return LEAT_OK;
}

void scorer_end(struct scorer *scorer) {
    (void)scorer; /* what it has is the arena's */
}

/* Looks up keys[0..count) and leaves those that have rows in the pass. */
static void gather(struct scorer *scorer, const uint64_t *keys, int count) {
    struct pass *pass = &scorer->pass;
    const struct model *model = scorer->model;
    count = count < MODEL_KEYS_MAX ? count : MODEL_KEYS_MAX;
    for (int i = 0; i < count; i++) {
        scorer->keys[i] = model_key(model, keys[i]);
    }
    table_find_batch(model->table, scorer->keys, count, scorer->rows);
    pass->count = 0;
    for (int i = 0; i < count; i++) {
        if (scorer->rows[i] != TABLE_NONE) {
            pass->rows[pass->count++] = table_row(model->table, scorer->rows[i]);
        }
    }
}

static void answer(struct scorer *scorer, const float *dense, float *out) {
    const struct model *model = scorer->model;
    for (int i = 0; i < model->shape.dense_count; i++) {
        scorer->pass.x[i] = model_clean(dense[i]);
    }
    fm_logits(&model->shape, scorer->dense, &scorer->pass);
    for (int t = 0; t < model->shape.tasks; t++) {
        out[t] = model_predict(model, scorer->dense, t, scorer->pass.logits[t]);
    }
}

/* Sums of the rows in the pass, on top of what is there. */
static void add_rows(struct scorer *scorer) {
    struct pass *pass = &scorer->pass;
    pass->kernel->sums(pass->rows, pass->scaled ? pass->scales : NULL, pass->count,
                       scorer->model->shape.weights, pass->sum, pass->squares);
}

static void clear_sums(struct scorer *scorer) {
    size_t bytes = (size_t)scorer->model->shape.weights * sizeof(float);
    memset(scorer->pass.sum, 0, bytes);
    memset(scorer->pass.squares, 0, bytes);
}

void scorer_score(struct scorer *scorer, const uint64_t *keys, int key_count, const float *dense,
                  float *out) {
    const struct table *table = scorer->model->table;
    table_enter(table);
    gather(scorer, keys, key_count);
    clear_sums(scorer);
    add_rows(scorer);
    table_leave(table);
    answer(scorer, dense, out);
}

void scorer_prepare(struct scorer *scorer, const uint64_t *keys, int key_count) {
    const struct table *table = scorer->model->table;
    size_t bytes = (size_t)scorer->model->shape.weights * sizeof(float);
    table_enter(table);
    gather(scorer, keys, key_count);
    clear_sums(scorer);
    add_rows(scorer);
    table_leave(table);
    memcpy(scorer->sum, scorer->pass.sum, bytes);
    memcpy(scorer->squares, scorer->pass.squares, bytes);
}

void scorer_score_items(struct scorer *scorer, const struct minibatch *items, float *out) {
    const struct model_shape *shape = &scorer->model->shape;
    struct pass *pass = &scorer->pass;
    size_t bytes = (size_t)shape->weights * sizeof(float);
    table_enter(scorer->model->table);
    for (int i = 0; i < items->count; i++) {
        uint32_t from = items->offsets[i];
        gather(scorer, items->keys + from, (int)(items->offsets[i + 1] - from));
        memcpy(pass->sum, scorer->sum, bytes);
        memcpy(pass->squares, scorer->squares, bytes);
        add_rows(scorer);
        answer(scorer, items->dense + (size_t)i * (size_t)shape->dense_count,
               out + (size_t)i * (size_t)shape->tasks);
    }
    table_leave(scorer->model->table);
}
