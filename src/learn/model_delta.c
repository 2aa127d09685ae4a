#include "learn/model_delta.h"

#include "base/hash.h"
#include "base/memory.h"
#include "learn/model_internal.h"
#include "learn/table_internal.h"

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, APPLY_ROWS = 256 };

struct changed {
    uint64_t key;
    uint32_t row;
};

struct model_changes {
    struct model *model;
    struct changed *rows, *sorted; /* room for `capacity` each */
    uint64_t *keys;
    uint32_t capacity, count;
    uint64_t *seen; /* of each row: the hash of its weights when it was last taken */
    uint64_t seen_count, seen_capacity;
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

static leat_status rows_reserve(struct model_changes *changes, uint32_t capacity, leat_error *err) {
    if (capacity <= changes->capacity) {
        return LEAT_OK;
    }
    capacity = capacity < 1024 ? 1024 : capacity;
    void *rows = memory_resize(changes->rows, capacity * sizeof(*changes->rows));
    changes->rows = rows ? rows : changes->rows;
    void *sorted = memory_resize(changes->sorted, capacity * sizeof(*changes->sorted));
    changes->sorted = sorted ? sorted : changes->sorted;
    void *keys = memory_resize(changes->keys, capacity * sizeof(*changes->keys));
    changes->keys = keys ? keys : changes->keys;
    if (!rows || !sorted || !keys) {
        return error_memory(err, capacity * sizeof(*changes->rows));
    }
    changes->capacity = capacity;
    return LEAT_OK;
}

static leat_status seen_reserve(struct model_changes *changes, uint64_t count, leat_error *err) {
    if (count > changes->seen_capacity) {
        uint64_t capacity = count + count / 2 + 1024;
        void *seen = memory_resize(changes->seen, capacity * sizeof(*changes->seen));
        if (!seen) {
            return error_memory(err, capacity * sizeof(*changes->seen));
        }
        changes->seen = seen;
        changes->seen_capacity = capacity;
    }
    return LEAT_OK;
}

/* Compares each row with what it was. */
static leat_status changes_find(struct model_changes *changes, leat_error *err) {
    struct table *table = changes->model->table;
    uint64_t rows = table_rows(table);
    size_t bytes = (size_t)changes->model->shape.weights * sizeof(float);
    changes->count = 0;
    TRY(seen_reserve(changes, rows, err));
    for (uint64_t row = 0; row < rows; row++) {
        uint64_t hash = hash_bytes(table_row(table, (uint32_t)row), bytes);
        bool same = row < changes->seen_count && changes->seen[row] == hash;
        changes->seen[row] = hash;
        if (same) {
            continue;
        }
        if (changes->count == changes->capacity) {
            TRY(rows_reserve(changes, changes->capacity * 2 + 1, err));
        }
        changes->rows[changes->count++] =
            (struct changed){table_key(table, (uint32_t)row), (uint32_t)row};
    }
    changes->seen_count = rows;
    return LEAT_OK;
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
        memory_free(changes->seen);
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

leat_status model_delta_take(struct model_changes *changes, struct delta_head *head, bool dense,
                             struct bytes *out, leat_error *err) {
    const struct model *model = changes->model;
    TRY(changes_find(changes, err));
    if (changes->count > MODEL_DELTA_ROWS_MAX) {
        return error_set(err, LEAT_FULL, "%u rows changed since the delta before, one holds %d",
                         changes->count, MODEL_DELTA_ROWS_MAX);
    }
    changes_sort(changes);
    head->shape = model_delta_shape(model);
    head->width = (uint32_t)model->shape.weights;
    head->linear = (uint32_t)model->shape.own;
    head->rows = changes->count;
    head->removed = 0;
    head->dense = dense ? (uint32_t)model_shape_dense(&model->shape) : 0;
    return delta_write(head, changes->keys, row_copy, changes, NULL, model->dense, out, err);
}

/* --- applying --- */

leat_status model_delta_check(const struct model *model, const struct delta *delta,
                              leat_error *err) {
    const struct delta_head *head = &delta->head;
    const struct model_shape *shape = &model->shape;
    if (head->shape != model_delta_shape(model) || head->width != (uint32_t)shape->weights ||
        head->linear != (uint32_t)shape->own ||
        (head->dense != 0 && head->dense != (uint32_t)model_shape_dense(shape))) {
        return error_set(
            err, LEAT_CONFLICT,
            "a delta of another model: rows of %u floats, %u of them linear, %u dense "
            "weights; here rows are of %d, %d linear, and %d are dense. Start with the "
            "leader's configuration",
            head->width, head->linear, head->dense, shape->weights, shape->own,
            model_shape_dense(shape));
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

static leat_status apply_init(struct apply *apply, const struct model *model,
                              const struct delta_head *head, leat_error *err) {
    size_t width = (size_t)optimiser_width(&model->optimiser);
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

static uint32_t rows_put(struct model *model, const struct apply *apply, uint32_t first,
                         uint32_t count) {
    size_t width = (size_t)model->shape.weights;
    uint32_t missing = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = apply->keys[first + i];
        uint32_t row = table_find(model->table, key);
        row = row != TABLE_NONE ? row : table_put(model->table, key, apply->whole);
        missing += row == TABLE_NONE;
        if (row != TABLE_NONE) {
            table_store(model->table, row, apply->rows + i * width, (int)width);
        }
    }
    return missing;
}

leat_status model_delta_apply(struct model *model, const struct delta *delta, leat_error *err) {
    const struct delta_head *head = &delta->head;
    struct apply apply;
    uint32_t missing = 0;
    TRY(apply_init(&apply, model, head, err));
    delta_keys(delta, apply.keys);
    delta_removed(delta, apply.removed);
    delta_dense(delta, apply.dense);
    for (uint32_t first = 0; first < head->rows; first += APPLY_ROWS) {
        uint32_t count = head->rows - first < APPLY_ROWS ? head->rows - first : APPLY_ROWS;
        delta_rows(delta, first, count, apply.rows);
        missing += rows_put(model, &apply, first, count);
    }
    for (uint32_t i = 0; i < head->dense; i++) {
        __atomic_store(&model->dense[i], &apply.dense[i], __ATOMIC_RELAXED);
    }
    if (head->dense > 0) {
        model_dense_changed(model);
    }
    apply_deinit(&apply);
    return missing == 0 ? LEAT_OK
                        : error_set(err, LEAT_FULL,
                                    "%u rows of a delta found no room in the table; raise "
                                    "model.memory",
                                    missing);
}
