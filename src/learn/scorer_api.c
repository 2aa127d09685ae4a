/* The public face of scoring (leat/scorer.h): checks what comes from outside, then model.h. */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/model.h"

#include <leat/scorer.h>

#include <stdatomic.h>
#include <string.h>

/* Examples that are put together from the request's keys and the candidates' and scored at once. */
enum { WHOLES = 64, ARENA_BYTES = 1 << 16 };

_Static_assert((int)LEAT_EXAMPLE_KEYS_MAX == (int)MODEL_KEYS_MAX, "no key is passed over");

struct leat_model {
    struct model *model;
    const struct model_spec *spec;
    _Atomic int users; /* who opened it, and its scorers */
    /* Fields, a bit each, whose keys scorer_prepare and scorer_score_items read. */
    uint64_t of_request, of_item;
};

struct leat_scorer {
    leat_model *model;
    struct arena arena;
    struct scorer *scorer;
    int candidates_max, keys_max, wholes_max;
    bool splits; /* the request's keys are all of its own side, and prepared */
    int request_count;
    uint64_t *request; /* [keys_max] */
    uint64_t *keys;    /* [wholes_max x keys_max] */
    uint32_t *offsets; /* [wholes_max + 1] */
};

/* --- the model --- */

static void set_sides(leat_model *model) {
    const struct model_spec *spec = model->spec;
    if (spec->network == NETWORK_FM || spec->network == NETWORK_LOGISTIC) {
        model->of_request = UINT64_MAX;
        model->of_item = UINT64_MAX;
        return;
    }
    for (int f = 0; f < spec->field_count; f++) {
        bool history = spec->fields[f].pool == POOL_TARGET; /* kept for every candidate to ask */
        bool item = spec->fields[f].of_item && !history;
        *(item ? &model->of_item : &model->of_request) |= (uint64_t)1 << f;
    }
}

leat_status leat_model_open(const char *path, leat_model **out, leat_error *err) {
    leat_model *model = memory_zalloc(sizeof(*model));
    if (!model) {
        return error_memory(err, sizeof(*model));
    }
    leat_status status = model_load_replica(disk_real(), path, NULL, &model->model, err);
    if (status < 0) {
        memory_free(model);
        return status;
    }
    model->spec = model_spec(model->model);
    atomic_init(&model->users, 1);
    set_sides(model);
    *out = model;
    return LEAT_OK;
}

void leat_model_close(leat_model *model) {
    if (model && atomic_fetch_sub(&model->users, 1) == 1) {
        model_close(model->model);
        memory_free(model);
    }
}

int leat_model_fields(const leat_model *model) {
    return model->spec->field_count;
}

const char *leat_model_field_name(const leat_model *model, int field) {
    bool there = field >= 0 && field < model->spec->field_count;
    return there ? model->spec->fields[field].name : NULL;
}

int leat_model_tasks(const leat_model *model) {
    return model->spec->task_count;
}

const char *leat_model_task_name(const leat_model *model, int task) {
    bool there = task >= 0 && task < model->spec->task_count;
    return there ? model->spec->tasks[task].name : NULL;
}

int leat_model_dense_count(const leat_model *model) {
    return model->spec->dense_count;
}

/* --- keys --- */

uint64_t leat_model_key(int field, const char *value, size_t size) {
    return key_make(field, hash_bytes(value, size));
}

uint64_t leat_model_cross_key(int field, const uint64_t *hashes, size_t count) {
    uint64_t mixed = count > 0 ? hashes[0] : 0;
    for (size_t i = 1; i < count; i++) {
        mixed = hash_mix(mixed, hashes[i]);
    }
    return key_make(field, mixed);
}

/* --- opening --- */

static leat_status check_bounds(int candidates_max, int keys_max, leat_error *err) {
    if (candidates_max < 1 || candidates_max > LEAT_CANDIDATES_MAX) {
        return error_set(err, LEAT_INVALID, "a scorer for %d candidates; 1 to %d are possible",
                         candidates_max, LEAT_CANDIDATES_MAX);
    }
    if (keys_max < 1 || keys_max > LEAT_EXAMPLE_KEYS_MAX) {
        return error_set(err, LEAT_INVALID, "a scorer for %d keys; 1 to %d are possible", keys_max,
                         LEAT_EXAMPLE_KEYS_MAX);
    }
    return LEAT_OK;
}

static leat_status buffers_take(leat_scorer *scorer, leat_error *err) {
    size_t keys = (size_t)scorer->keys_max;
    size_t wholes = (size_t)scorer->wholes_max;
    scorer->request = arena_alloc(&scorer->arena, keys * sizeof(uint64_t));
    scorer->keys = arena_alloc(&scorer->arena, wholes * keys * sizeof(uint64_t));
    scorer->offsets = arena_alloc(&scorer->arena, (wholes + 1) * sizeof(uint32_t));
    if (!scorer->request || !scorer->keys || !scorer->offsets) {
        return error_memory(err, (wholes + 1) * (keys + 1) * sizeof(uint64_t));
    }
    return scorer_begin(scorer->model->model, &scorer->arena, &scorer->scorer, err);
}

leat_status leat_scorer_open(leat_model *model, int candidates_max, int keys_max, leat_scorer **out,
                             leat_error *err) {
    TRY(check_bounds(candidates_max, keys_max, err));
    leat_scorer *scorer = memory_zalloc(sizeof(*scorer));
    if (!scorer) {
        return error_memory(err, sizeof(*scorer));
    }
    atomic_fetch_add(&model->users, 1);
    scorer->model = model;
    scorer->candidates_max = candidates_max;
    scorer->keys_max = keys_max;
    scorer->wholes_max = candidates_max < WHOLES ? candidates_max : WHOLES;
    scorer->splits = true;
    arena_init(&scorer->arena, ARENA_BYTES, SIZE_MAX);
    leat_status status = buffers_take(scorer, err);
    if (status < 0) {
        leat_scorer_close(scorer);
        return status;
    }
    *out = scorer;
    return LEAT_OK;
}

void leat_scorer_close(leat_scorer *scorer) {
    if (!scorer) {
        return;
    }
    if (scorer->scorer) {
        scorer_end(scorer->scorer);
    }
    arena_deinit(&scorer->arena);
    leat_model_close(scorer->model);
    memory_free(scorer);
}

/* --- checking --- */

/* `seen` gets the bits of the keys' fields. A model without fields takes every key. */
static leat_status check_keys(const leat_scorer *scorer, const uint64_t *keys, size_t count,
                              const char *whose, uint64_t *seen, leat_error *err) {
    int fields = scorer->model->spec->field_count;
    *seen = 0;
    if (count > 0 && !keys) {
        return error_set(err, LEAT_INVALID, "keys of the %s: %zu, but no array", whose, count);
    }
    for (size_t i = 0; i < count; i++) {
        int field = key_field(keys[i]);
        if (field >= fields && fields > 0) {
            return error_set(err, LEAT_INVALID,
                             "key %zu of the %s is of field %d; the model has %d, from 0: keys are "
                             "made by leat_model_key",
                             i, whose, field, fields);
        }
        *seen |= (uint64_t)1 << field;
    }
    return LEAT_OK;
}

static leat_status check_offsets(const leat_scorer *scorer, int count, const uint32_t *offsets,
                                 leat_error *err) {
    for (int i = 0; i < count; i++) {
        if (offsets[i + 1] < offsets[i]) {
            return error_set(err, LEAT_INVALID, "offset %d is %u, below the one before it, %u",
                             i + 1, offsets[i + 1], offsets[i]);
        }
        uint32_t keys = offsets[i + 1] - offsets[i];
        if (keys > (uint32_t)(scorer->keys_max - scorer->request_count)) {
            return error_set(err, LEAT_INVALID,
                             "candidate %d has %u keys, the request %d; the scorer was opened for "
                             "%d together",
                             i, keys, scorer->request_count, scorer->keys_max);
        }
    }
    return LEAT_OK;
}

static leat_status check_candidates(const leat_scorer *scorer, int count, const uint32_t *offsets,
                                    const float *dense, const float *out, leat_error *err) {
    if (count < 0 || count > scorer->candidates_max) {
        return error_set(err, LEAT_INVALID, "%d candidates; the scorer was opened for %d", count,
                         scorer->candidates_max);
    }
    if (count > 0 && (!offsets || !out)) {
        return error_set(err, LEAT_INVALID, "%d candidates, but no array for their %s", count,
                         offsets ? "predictions" : "offsets");
    }
    if (count > 0 && !dense && scorer->model->spec->dense_count > 0) {
        return error_set(err, LEAT_INVALID, "no dense inputs; the model has %d for each candidate",
                         scorer->model->spec->dense_count);
    }
    return check_offsets(scorer, count, offsets, err);
}

/* --- scoring --- */

leat_status leat_scorer_prepare(leat_scorer *scorer, const uint64_t *keys, int key_count,
                                leat_error *err) {
    if (key_count < 0 || key_count > scorer->keys_max) {
        return error_set(err, LEAT_INVALID,
                         "a request of %d keys; the scorer was opened for %d, the candidate's "
                         "included",
                         key_count, scorer->keys_max);
    }
    uint64_t seen;
    TRY(check_keys(scorer, keys, (size_t)key_count, "request", &seen, err));
    if (key_count > 0) {
        memcpy(scorer->request, keys, (size_t)key_count * sizeof(*keys));
    }
    scorer->request_count = key_count;
    scorer->splits = (seen & ~scorer->model->of_request) == 0;
    if (scorer->splits) {
        scorer_prepare(scorer->scorer, scorer->request, key_count);
    }
    return LEAT_OK;
}

/* Candidates [from, to) with the request's keys before their own. */
static void put_together(leat_scorer *scorer, const struct minibatch *items, int from, int to) {
    uint32_t used = 0;
    scorer->offsets[0] = 0;
    for (int i = from; i < to; i++) {
        uint32_t own = items->offsets[i + 1] - items->offsets[i];
        memcpy(scorer->keys + used, scorer->request,
               (size_t)scorer->request_count * sizeof(uint64_t));
        used += (uint32_t)scorer->request_count;
        if (own > 0) {
            memcpy(scorer->keys + used, items->keys + items->offsets[i], own * sizeof(uint64_t));
        }
        used += own;
        scorer->offsets[i - from + 1] = used;
    }
}

static void score_wholes(leat_scorer *scorer, const struct minibatch *items, float *out) {
    size_t dense = (size_t)items->dense_count;
    for (int from = 0, to; from < items->count; from = to) {
        int left = items->count - from;
        to = from + (left < scorer->wholes_max ? left : scorer->wholes_max);
        put_together(scorer, items, from, to);
        struct minibatch wholes = {.count = to - from,
                                   .tasks = items->tasks,
                                   .dense_count = items->dense_count,
                                   .offsets = scorer->offsets,
                                   .keys = scorer->keys,
                                   .dense = items->dense + (size_t)from * dense};
        scorer_score_wholes(scorer->scorer, &wholes, out + (size_t)from * (size_t)items->tasks);
    }
}

leat_status leat_scorer_score(leat_scorer *scorer, int count, const uint32_t *offsets,
                              const uint64_t *keys, const float *dense, float *out,
                              leat_error *err) {
    static const float none;
    static const uint64_t no_key;
    TRY(check_candidates(scorer, count, offsets, dense, out, err));
    if (count == 0) {
        return LEAT_OK;
    }
    uint64_t seen;
    uint32_t first = offsets[0];
    TRY(check_keys(scorer, keys ? keys + first : NULL, offsets[count] - first, "candidates", &seen,
                   err));
    struct minibatch items = {.count = count,
                              .tasks = scorer->model->spec->task_count,
                              .dense_count = scorer->model->spec->dense_count,
                              .offsets = offsets,
                              .keys = keys ? keys : &no_key,
                              .dense = dense ? dense : &none};
    if (scorer->splits && (seen & ~scorer->model->of_item) == 0) {
        scorer_score_items(scorer->scorer, &items, out);
    } else {
        score_wholes(scorer, &items, out);
    }
    return LEAT_OK;
}
