#include "learn/model_gather.h"

#include "learn/model.h"

#include <math.h>
#include <string.h>

#define VALUE_MAX 1e4f

void gather_plan_init(struct gather_plan *plan, const struct model_spec *spec, int own) {
    *plan = (struct gather_plan){.spec = spec, .own = own, .dimension = spec->dimension};
    memset(plan->history_of, -1, sizeof(plan->history_of));
    for (int f = 0; f < spec->field_count; f++) {
        plan->shares = plan->shares || spec->fields[f].shares != f;
        if (spec->fields[f].pool == POOL_TARGET) {
            plan->history_of[f] = (signed char)plan->history_count;
            plan->histories[plan->history_count++] = f;
        }
    }
}

/* --- memory --- */

static size_t aligned(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static void *take(char **at, size_t bytes) {
    void *piece = *at;
    *at += aligned(bytes);
    return piece;
}

size_t gather_bytes(const struct gather_plan *plan, int examples_max, int keys_max) {
    size_t keys = (size_t)keys_max;
    size_t firsts = ((size_t)examples_max + 1) * sizeof(uint32_t);
    size_t vectors = plan->history_count > 0 ? keys * (size_t)plan->dimension : 0;
    return aligned(firsts) + aligned(keys * sizeof(uint64_t)) + aligned(keys) +
           3 * aligned(keys * sizeof(uint32_t)) + aligned(keys * sizeof(float *)) +
           aligned((size_t)plan->history_count * firsts) + aligned(vectors * sizeof(float));
}

void gather_init(struct gather *gather, const struct gather_plan *plan, int examples_max,
                 int keys_max, void *memory) {
    char *at = memory;
    size_t keys = (size_t)keys_max;
    size_t firsts = ((size_t)examples_max + 1) * sizeof(uint32_t);
    uint64_t unknown = gather->unknown;
    uint64_t not_finite = gather->not_finite;
    *gather = (struct gather){.plan = plan,
                              .examples_max = examples_max,
                              .keys_max = keys_max,
                              .unknown = unknown,
                              .not_finite = not_finite};
    gather->first = take(&at, firsts);
    gather->keys = take(&at, keys * sizeof(uint64_t));
    gather->fields = take(&at, keys);
    gather->scales = take(&at, keys * sizeof(float));
    gather->rows = take(&at, keys * sizeof(uint32_t));
    gather->places = take(&at, keys * sizeof(uint32_t));
    gather->at = take(&at, keys * sizeof(float *));
    gather->history_first = take(&at, (size_t)plan->history_count * firsts);
    gather->vectors =
        plan->history_count > 0 ? take(&at, keys * (size_t)plan->dimension * sizeof(float)) : NULL;
}

/* --- keys --- */

static bool add_key(struct gather *gather, uint64_t key, float scale) {
    const struct gather_plan *plan = gather->plan;
    int field = key_field(key);
    if (field >= plan->spec->field_count) {
        gather->unknown++;
        return true;
    }
    if (!isfinite(scale)) {
        gather->not_finite++;
        return true;
    }
    if (gather->count == gather->keys_max) {
        return false;
    }
    int at = gather->count++;
    gather->keys[at] = plan->shares ? key_under(plan->spec->fields[field].shares, key) : key;
    gather->fields[at] = (uint8_t)field;
    gather->scales[at] = scale > VALUE_MAX ? VALUE_MAX : scale < -VALUE_MAX ? -VALUE_MAX : scale;
    return true;
}

bool gather_collect(struct gather *gather, const struct minibatch *batch, int from, int to) {
    gather->examples = to - from;
    gather->count = 0;
    gather->first[0] = 0;
    for (int i = from; i < to; i++) {
        uint32_t first = batch->offsets[i];
        uint32_t count = batch->offsets[i + 1] - first;
        count = count < MODEL_KEYS_MAX ? count : MODEL_KEYS_MAX;
        for (uint32_t k = first; k < first + count; k++) {
            if (!add_key(gather, batch->keys[k], batch->values ? batch->values[k] : 1.0f)) {
                return false;
            }
        }
        gather->first[i - from + 1] = (uint32_t)gather->count;
    }
    return true;
}

/* Moves keys with rows together; first[] follows. */
static void drop_absent(struct gather *gather) {
    uint32_t kept = 0;
    uint32_t from = 0;
    for (int i = 0; i < gather->examples; i++) {
        uint32_t to = gather->first[i + 1];
        for (uint32_t k = from; k < to; k++) {
            if (gather->rows[k] != TABLE_NONE) {
                gather->keys[kept] = gather->keys[k];
                gather->fields[kept] = gather->fields[k];
                gather->scales[kept] = gather->scales[k];
                gather->rows[kept++] = gather->rows[k];
            }
        }
        gather->first[i + 1] = kept;
        from = to;
    }
    gather->count = (int)kept;
}

/* Means divide by the number of keys; histories count theirs for each example. */
static void set_coefficients(struct gather *gather) {
    const struct gather_plan *plan = gather->plan;
    size_t stride = (size_t)gather->examples_max + 1;
    for (int i = 0; i < gather->examples; i++) {
        int counts[KEY_FIELDS_MAX] = {0};
        for (uint32_t k = gather->first[i]; k < gather->first[i + 1]; k++) {
            counts[gather->fields[k]]++;
        }
        for (uint32_t k = gather->first[i]; k < gather->first[i + 1]; k++) {
            int field = gather->fields[k];
            if (plan->spec->fields[field].pool != POOL_SUM) {
                gather->scales[k] /= (float)counts[field];
            }
        }
        for (int h = 0; h < plan->history_count; h++) {
            gather->history_first[(size_t)h * stride + (size_t)i + 1] =
                (uint32_t)counts[plan->histories[h]];
        }
    }
}

/* Counts become places: field after field, example after example. */
static void set_places(struct gather *gather) {
    const struct gather_plan *plan = gather->plan;
    size_t stride = (size_t)gather->examples_max + 1;
    uint32_t used = 0;
    for (int h = 0; h < plan->history_count; h++) {
        uint32_t *first = gather->history_first + (size_t)h * stride;
        first[0] = used;
        for (int i = 0; i < gather->examples; i++) {
            used += first[i + 1];
            first[i + 1] = used;
        }
        gather->net[h] = (struct net_history){
            .field = plan->histories[h], .offsets = first, .vectors = gather->vectors};
    }
    for (int i = 0; plan->history_count > 0 && i < gather->examples; i++) {
        uint32_t next[MODEL_FIELDS_MAX];
        for (int h = 0; h < plan->history_count; h++) {
            next[h] = gather->history_first[(size_t)h * stride + (size_t)i];
        }
        for (uint32_t k = gather->first[i]; k < gather->first[i + 1]; k++) {
            int h = plan->history_of[gather->fields[k]];
            gather->places[k] = h >= 0 ? next[h]++ : 0;
        }
    }
}

void gather_compact(struct gather *gather, const struct table *table) {
    drop_absent(gather);
    for (int k = 0; k < gather->count; k++) {
        gather->at[k] = table_row(table, gather->rows[k]);
    }
    set_coefficients(gather);
    set_places(gather);
}

/* --- pooling --- */

static inline float load(const float *at) {
    float value;
    __atomic_load(at, &value, __ATOMIC_RELAXED);
    return value;
}

void gather_pool(const struct gather *gather, int from, int to, float *embeddings, float *own) {
    const struct gather_plan *plan = gather->plan;
    size_t dimension = (size_t)plan->dimension;
    size_t width = (size_t)plan->spec->field_count * dimension;
    size_t tasks = (size_t)plan->spec->task_count;
    for (int i = from; i < to; i++) {
        float *embedding = embeddings + (size_t)i * width;
        float *sums = own + (size_t)i * tasks;
        memset(embedding, 0, width * sizeof(float));
        memset(sums, 0, tasks * sizeof(float));
        for (uint32_t k = gather->first[i]; k < gather->first[i + 1]; k++) {
            const float *row = gather->at[k];
            float scale = gather->scales[k];
            for (int t = 0; t < plan->own; t++) {
                sums[t] += scale * load(&row[t]);
            }
            bool history = plan->history_of[gather->fields[k]] >= 0;
            float *into = history ? gather->vectors + (size_t)gather->places[k] * dimension
                                  : embedding + gather->fields[k] * dimension;
            for (size_t f = 0; f < dimension; f++) {
                float value = load(&row[(size_t)plan->own + f]);
                into[f] = history ? value : into[f] + scale * value;
            }
        }
    }
}
