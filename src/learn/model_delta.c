#include "learn/model_delta.h"

#include "base/hash.h"
#include "base/memory.h"
#include "learn/calibrate.h"
#include "learn/model_internal.h"

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, APPLY_ROWS = 256, TAKEN_AT_ONCE = 512 };

struct changed {
    uint64_t key;
    uint32_t row;
};

struct model_changes {
    struct model *model;
    struct changed *rows, *sorted; /* room for `capacity` each */
    uint64_t *keys, *removed;      /* of both: sorted when taken */
    uint32_t capacity, count;
    uint32_t removed_capacity, removed_count;
};

uint64_t model_delta_shape(const struct model *model) {
    const struct model_shape *shape = &model->shape;
    const struct model_spec *spec = &model->spec;
    const uint64_t words[] = {(uint64_t)spec->network,  (uint64_t)shape->tasks,
                              (uint64_t)shape->own,     (uint64_t)shape->dimension,
                              (uint64_t)shape->weights, (uint64_t)shape->dense_count,
                              (uint64_t)shape->dense};
    uint64_t hash = hash_bytes(words, sizeof(words));
    for (int f = 0; f < spec->field_count; f++) {
        const struct model_field *field = &spec->fields[f];
        const uint64_t parts[] = {(uint64_t)field->pool, (uint64_t)(int64_t)field->target,
                                  (uint64_t)(int64_t)field->shares};
        hash = hash_mix(hash_mix(hash, hash_slice(slice_of(field->name))),
                        hash_bytes(parts, sizeof(parts)));
    }
    return hash;
}

/* --- what changed --- */

/* Makes room for `count` of `bytes` each; false: no memory, and all is as it was. */
static bool grow(void *array, uint32_t *capacity, uint32_t count, size_t bytes) {
    void *old;
    memcpy(&old, array, sizeof(old));
    void *grown = memory_resize(old, count * bytes);
    if (grown) {
        memcpy(array, &grown, sizeof(grown));
        *capacity = count;
    }
    return grown != NULL;
}

static leat_status rows_reserve(struct model_changes *changes, uint32_t count, leat_error *err) {
    uint32_t capacity = 0; /* grows when all three have */
    if (count <= changes->capacity) {
        return LEAT_OK;
    }
    count += count / 2;
    if (!grow(&changes->rows, &capacity, count, sizeof(*changes->rows)) ||
        !grow(&changes->sorted, &capacity, count, sizeof(*changes->sorted)) ||
        !grow(&changes->keys, &capacity, count, sizeof(*changes->keys))) {
        return error_memory(err, count * sizeof(*changes->rows));
    }
    changes->capacity = capacity;
    return LEAT_OK;
}

static leat_status removed_reserve(struct model_changes *changes, uint32_t count, leat_error *err) {
    if (count > changes->removed_capacity && !grow(&changes->removed, &changes->removed_capacity,
                                                   count + count / 2, sizeof(*changes->removed))) {
        return error_memory(err, count * sizeof(*changes->removed));
    }
    return LEAT_OK;
}

static leat_status changes_add(struct model_changes *changes, const uint64_t *keys,
                               const uint32_t *rows, uint32_t count, leat_error *err) {
    TRY(rows_reserve(changes, changes->count + count, err));
    TRY(removed_reserve(changes, changes->removed_count + count, err));
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i] == TABLE_NONE) {
            changes->removed[changes->removed_count++] = keys[i];
        } else {
            changes->rows[changes->count++] = (struct changed){keys[i], rows[i]};
        }
    }
    return LEAT_OK;
}

/* Takes all changes out of the table, in any case; a failure forgets them. */
static leat_status changes_find(struct model_changes *changes, leat_error *err) {
    struct table *table = changes->model->table;
    uint64_t keys[TAKEN_AT_ONCE];
    uint32_t rows[TAKEN_AT_ONCE];
    leat_status status = LEAT_OK;
    uint64_t total = 0;
    changes->count = 0;
    changes->removed_count = 0;
    int count;
    while ((count = table_changed(table, keys, rows, TAKEN_AT_ONCE)) != 0) {
        if (count < 0) {
            status = error_set(err, LEAT_FULL, "more rows went than the table remembers");
            continue;
        }
        total += (uint64_t)count;
        if (status == LEAT_OK && total <= MODEL_DELTA_ROWS_MAX) {
            status = changes_add(changes, keys, rows, (uint32_t)count, err);
        }
    }
    return status < 0 || total <= MODEL_DELTA_ROWS_MAX
               ? status
               : error_set(err, LEAT_FULL,
                           "%llu rows changed or went since the delta before, one holds %d",
                           (unsigned long long)total, MODEL_DELTA_ROWS_MAX);
}

static int key_compare(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Rising, each once: a key may have gone twice. */
static void removed_sort(struct model_changes *changes) {
    uint64_t *keys = changes->removed;
    uint32_t kept = 0;
    if (changes->removed_count > 0) {
        qsort(keys, changes->removed_count, sizeof(*keys), key_compare);
    }
    for (uint32_t i = 0; i < changes->removed_count; i++) {
        if (kept == 0 || keys[i] != keys[kept - 1]) {
            keys[kept++] = keys[i];
        }
    }
    changes->removed_count = kept;
}

/* By key: radix sort, an even number of passes, so that the result is where the input was. */
static void changes_sort(struct model_changes *changes) {
    struct changed *from = changes->rows;
    struct changed *to = changes->sorted;
    for (int shift = 0; shift < 64; shift += RADIX_BITS) {
        uint32_t starts[RADIX + 1] = {0};
        for (uint32_t i = 0; i < changes->count; i++) {
            starts[(from[i].key >> shift & (RADIX - 1)) + 1]++;
        }
        for (int digit = 0; digit < RADIX; digit++) {
            starts[digit + 1] += starts[digit];
        }
        for (uint32_t i = 0; i < changes->count; i++) {
            to[starts[from[i].key >> shift & (RADIX - 1)]++] = from[i];
        }
        struct changed *other = from;
        from = to;
        to = other;
    }
    for (uint32_t i = 0; i < changes->count; i++) {
        changes->keys[i] = from[i].key;
    }
}

leat_status model_changes_create(struct model *model, struct model_changes **out, leat_error *err) {
    struct model_changes *changes = memory_zalloc(sizeof(*changes));
    if (!changes) {
        return error_memory(err, sizeof(*changes));
    }
    changes->model = model;
    *out = changes;
    return LEAT_OK;
}

void model_changes_destroy(struct model_changes *changes) {
    if (changes) {
        memory_free(changes->removed);
        memory_free(changes->keys);
        memory_free(changes->sorted);
        memory_free(changes->rows);
        memory_free(changes);
    }
}

/* --- taking --- */

static void row_copy(void *context, uint32_t index, float *out) {
    const struct model_changes *changes = context;
    const struct model *model = changes->model;
    memcpy(out, table_row(model->table, changes->rows[index].row),
           (size_t)model->shape.weights * sizeof(float));
}

/* The dense weights as a delta has them: those of the network, then the corrections of the tasks.
 */
static uint32_t dense_count(const struct model *model) {
    uint32_t corrections =
        model->calibration ? (uint32_t)(model->shape.tasks * CALIBRATE_KNOTS) : 0;
    return (uint32_t)model_shape_dense(&model->shape) + corrections;
}

static void dense_copy(const struct model *model, float *out) {
    int own = model_shape_dense(&model->shape);
    memcpy(out, model->dense, (size_t)own * sizeof(float));
    out += own;
    for (int t = 0; model->calibration && t < model->shape.tasks; t++, out += CALIBRATE_KNOTS) {
        memcpy(out, model->calibration[t].correction, CALIBRATE_KNOTS * sizeof(float));
    }
}

leat_status model_delta_take(struct model_changes *changes, struct delta_head *head, bool dense,
                             struct bytes *out, leat_error *err) {
    const struct model *model = changes->model;
    TRY(changes_find(changes, err));
    changes_sort(changes);
    removed_sort(changes);
    head->shape = model_delta_shape(model);
    head->width = (uint32_t)model->shape.weights;
    head->linear = (uint32_t)model->shape.own;
    head->rows = changes->count;
    head->removed = changes->removed_count;
    head->dense = dense ? dense_count(model) : 0;
    float *weights = memory_alloc((head->dense + 1) * sizeof(float));
    if (!weights) {
        return error_memory(err, head->dense * sizeof(float));
    }
    if (dense) {
        dense_copy(model, weights);
    }
    leat_status status =
        delta_write(head, changes->keys, row_copy, changes, changes->removed, weights, out, err);
    memory_free(weights);
    return status;
}

/* --- applying --- */

leat_status model_delta_check(const struct model *model, const struct delta *delta,
                              leat_error *err) {
    const struct delta_head *head = &delta->head;
    const struct model_shape *shape = &model->shape;
    if (head->shape != model_delta_shape(model) || head->width != (uint32_t)shape->weights ||
        head->linear != (uint32_t)shape->own ||
        (head->dense != 0 && head->dense != dense_count(model))) {
        return error_set(
            err, LEAT_CONFLICT,
            "a delta of another model: rows of %u floats, %u of them linear, %u dense "
            "weights; here rows are of %d, %d linear, and %d are dense. Start with the "
            "leader's configuration",
            head->width, head->linear, head->dense, shape->weights, shape->own,
            (int)dense_count(model));
    }
    return LEAT_OK;
}

struct apply {
    uint64_t *keys, *removed;
    float *rows; /* APPLY_ROWS of them */
    float *whole;
    float *dense;
};

static void apply_deinit(struct apply *apply) {
    memory_free(apply->dense);
    memory_free(apply->whole);
    memory_free(apply->rows);
    memory_free(apply->removed);
    memory_free(apply->keys);
}

static int width_of(const struct model *model) {
    return model->replica ? model->shape.weights : optimiser_width(&model->optimiser);
}

static leat_status apply_init(struct apply *apply, const struct model *model,
                              const struct delta_head *head, leat_error *err) {
    size_t width = (size_t)width_of(model);
    *apply = (struct apply){.keys = memory_alloc((head->rows + 1) * sizeof(uint64_t)),
                            .removed = memory_alloc((head->removed + 1) * sizeof(uint64_t)),
                            .rows = memory_alloc(APPLY_ROWS * head->width * sizeof(float)),
                            .whole = memory_zalloc(width * sizeof(float)),
                            .dense = memory_alloc((head->dense + 1) * sizeof(float))};
    if (!apply->keys || !apply->removed || !apply->rows || !apply->whole || !apply->dense) {
        apply_deinit(apply);
        return error_memory(err, (head->rows + head->removed) * sizeof(uint64_t));
    }
    return LEAT_OK;
}

/* Rows that are there are stored in place, so that who reads one meanwhile keeps it. */
static uint32_t rows_put(struct model *model, const struct apply *apply, uint32_t first,
                         uint32_t count) {
    size_t width = (size_t)model->shape.weights;
    uint32_t found[APPLY_ROWS];
    uint32_t missing = 0;
    table_find_batch(model->table, apply->keys + first, (int)count, found);
    for (uint32_t i = 0; i < count; i++) {
        const float *values = apply->rows + i * width;
        if (found[i] != TABLE_NONE) {
            table_store(model->table, found[i], values, (int)width);
            continue;
        }
        memcpy(apply->whole, values, width * sizeof(float));
        missing += table_put(model->table, apply->keys[first + i], apply->whole) == TABLE_NONE;
    }
    return missing;
}

/* Scorers of networks see a version of the dense weights; without memory for one they would go on
 * with the old. */
static leat_status dense_put(struct model *model, const struct delta_head *head, float *dense,
                             leat_error *err) {
    int own = model_shape_dense(&model->shape);
    if (head->dense == 0) {
        return LEAT_OK;
    }
    for (int i = 0; i < own; i++) {
        __atomic_store(&model->dense[i], &dense[i], __ATOMIC_RELAXED);
    }
    dense += own;
    for (int t = 0; model->calibration && t < model->shape.tasks; t++, dense += CALIBRATE_KNOTS) {
        for (int k = 0; k < CALIBRATE_KNOTS; k++) {
            __atomic_store(&model->calibration[t].correction[k], &dense[k], __ATOMIC_RELAXED);
        }
    }
    uint64_t refusals = memory_refusals();
    model_dense_changed(model);
    return memory_refusals() == refusals ? LEAT_OK : error_memory(err, (size_t)own * sizeof(float));
}

leat_status model_delta_apply(struct model *model, const struct delta *delta, leat_error *err) {
    const struct delta_head *head = &delta->head;
    struct apply apply;
    uint32_t missing = 0;
    TRY(apply_init(&apply, model, head, err));
    delta_keys(delta, apply.keys);
    delta_removed(delta, apply.removed);
    delta_dense(delta, apply.dense);
    for (uint32_t i = 0; i < head->removed; i++) { /* what came again is among the rows */
        table_remove(model->table, apply.removed[i]);
    }
    for (uint32_t first = 0; first < head->rows; first += APPLY_ROWS) {
        uint32_t count = head->rows - first < APPLY_ROWS ? head->rows - first : APPLY_ROWS;
        delta_rows(delta, first, count, apply.rows);
        missing += rows_put(model, &apply, first, count);
    }
    leat_status status = dense_put(model, head, apply.dense, err);
    apply_deinit(&apply);
    TRY(status);
    return missing == 0 ? LEAT_OK
                        : error_set(err, LEAT_FULL,
                                    "%u rows of a delta found no room in the table; raise "
                                    "model.memory",
                                    missing);
}
