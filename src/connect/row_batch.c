#include "connect/row_batch.h"

#include "base/memory.h"

#include <string.h>

enum { KEYS_AT_FIRST = 4096 };

static bool alloc_rows(struct row_batch *batch) {
    size_t rows = (size_t)batch->rows_max;
    size_t tasks = (size_t)batch->tasks;
    batch->offsets = memory_zalloc((rows + 1) * sizeof(uint32_t));
    batch->dense = memory_zalloc((rows * (size_t)batch->dense_count + 1) * sizeof(float));
    batch->targets = memory_zalloc(rows * tasks * sizeof(float));
    batch->weights = memory_zalloc(rows * tasks * sizeof(float));
    batch->times = memory_zalloc(rows * sizeof(uint32_t));
    batch->times_ms = memory_zalloc(rows * sizeof(int64_t));
    batch->numbers = memory_zalloc(rows * sizeof(uint64_t));
    return batch->offsets && batch->dense && batch->targets && batch->weights && batch->times &&
           batch->times_ms && batch->numbers;
}

leat_status row_batch_init(struct row_batch *batch, int rows_max, int tasks, int dense_count,
                           bool timed, leat_error *err) {
    INVARIANT(rows_max >= 1 && tasks >= 1, "%d rows, %d tasks", rows_max, tasks);
    *batch = (struct row_batch){
        .rows_max = rows_max, .tasks = tasks, .dense_count = dense_count, .timed = timed};
    if (!alloc_rows(batch)) {
        row_batch_deinit(batch);
        return error_memory(err, (size_t)rows_max * sizeof(float));
    }
    return LEAT_OK;
}

void row_batch_deinit(struct row_batch *batch) {
    memory_free(batch->offsets);
    memory_free(batch->keys);
    memory_free(batch->values);
    memory_free(batch->dense);
    memory_free(batch->targets);
    memory_free(batch->weights);
    memory_free(batch->times);
    memory_free(batch->times_ms);
    memory_free(batch->numbers);
    *batch = (struct row_batch){.rows_max = 0};
}

void row_batch_clear(struct row_batch *batch) {
    batch->count = 0;
    batch->key_count = 0;
    batch->valued = false;
}

leat_status row_batch_reserve(struct row_batch *batch, size_t keys, leat_error *err) {
    size_t wanted = batch->key_count + keys;
    if (wanted <= batch->key_capacity) {
        return LEAT_OK;
    }
    size_t capacity = batch->key_capacity ? batch->key_capacity : KEYS_AT_FIRST;
    while (capacity < wanted) {
        capacity *= 2;
    }
    uint64_t *more_keys = memory_resize(batch->keys, capacity * sizeof(uint64_t));
    batch->keys = more_keys ? more_keys : batch->keys;
    float *more_values = memory_resize(batch->values, capacity * sizeof(float));
    batch->values = more_values ? more_values : batch->values;
    if (!more_keys || !more_values) {
        return error_memory(err, capacity * sizeof(uint64_t));
    }
    batch->key_capacity = capacity;
    return LEAT_OK;
}

static void begin_values(struct row_batch *batch) {
    for (size_t i = 0; i < batch->key_count; i++) {
        batch->values[i] = 1;
    }
    batch->valued = true;
}

void row_batch_push(struct row_batch *batch, uint64_t key, float value) {
    if (__builtin_expect(value != 1, 0) && !batch->valued) {
        begin_values(batch);
    }
    if (__builtin_expect(batch->valued, 0)) {
        batch->values[batch->key_count] = value;
    }
    batch->keys[batch->key_count++] = key;
}

void row_batch_end_row(struct row_batch *batch) {
    batch->offsets[++batch->count] = (uint32_t)batch->key_count;
}

void row_batch_drop_row(struct row_batch *batch) {
    batch->key_count = batch->offsets[batch->count];
}

static void copy_floats(float *to, int at, const float *from, int row, int width) {
    if (from && width > 0) {
        memcpy(to + (size_t)at * (size_t)width, from + (size_t)row * (size_t)width,
               (size_t)width * sizeof(float));
    }
}

leat_status row_batch_append(struct row_batch *batch, const struct minibatch *rows,
                             const uint64_t *numbers, int from, int to, leat_error *err) {
    TRY(row_batch_reserve(batch, rows->offsets[to] - rows->offsets[from], err));
    for (int i = from; i < to; i++) {
        int at = batch->count;
        for (uint32_t k = rows->offsets[i]; k < rows->offsets[i + 1]; k++) {
            row_batch_push(batch, rows->keys[k], rows->values ? rows->values[k] : 1);
        }
        copy_floats(batch->dense, at, rows->dense, i, batch->dense_count);
        copy_floats(batch->targets, at, rows->targets, i, batch->tasks);
        copy_floats(batch->weights, at, rows->weights, i, batch->tasks);
        batch->times[at] = rows->times ? rows->times[i] : 0;
        batch->numbers[at] = numbers[i];
        row_batch_end_row(batch);
    }
    return LEAT_OK;
}

struct minibatch row_batch_view(const struct row_batch *batch) {
    return (struct minibatch){
        .count = batch->count,
        .tasks = batch->tasks,
        .dense_count = batch->dense_count,
        .offsets = batch->offsets,
        .keys = batch->keys,
        .values = batch->valued ? batch->values : NULL,
        .dense = batch->dense_count ? batch->dense : NULL,
        .targets = batch->targets,
        .weights = batch->weights,
        .times = batch->timed ? batch->times : NULL,
    };
}

struct minibatch minibatch_part(const struct minibatch *rows, int from, int to) {
    struct minibatch part = *rows;
    size_t at = (size_t)from;
    part.count = to - from;
    part.offsets += at;
    part.dense = rows->dense ? rows->dense + at * (size_t)rows->dense_count : NULL;
    part.targets = rows->targets ? rows->targets + at * (size_t)rows->tasks : NULL;
    part.weights = rows->weights ? rows->weights + at * (size_t)rows->tasks : NULL;
    part.log_odds = rows->log_odds ? rows->log_odds + at : NULL;
    part.times = rows->times ? rows->times + at : NULL;
    return part;
}
