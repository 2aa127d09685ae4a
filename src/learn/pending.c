#include "learn/pending.h"

#include "learn/model.h"

enum { COLUMNS = 8 };

static void columns_of(struct pending *pending, struct bytes *out[COLUMNS]) {
    out[0] = &pending->offsets;
    out[1] = &pending->keys;
    out[2] = &pending->dense;
    out[3] = &pending->targets;
    out[4] = &pending->weights;
    out[5] = &pending->log_odds;
    out[6] = &pending->times;
    out[7] = &pending->fake;
}

void pending_init(struct pending *pending, int tasks, int dense_count) {
    *pending = (struct pending){.tasks = tasks, .dense_count = dense_count};
    struct bytes *columns[COLUMNS];
    columns_of(pending, columns);
    for (int i = 0; i < COLUMNS; i++) {
        bytes_init(columns[i]);
    }
}

void pending_deinit(struct pending *pending) {
    struct bytes *columns[COLUMNS];
    columns_of(pending, columns);
    for (int i = 0; i < COLUMNS; i++) {
        bytes_deinit(columns[i]);
    }
}

void pending_clear(struct pending *pending) {
    struct bytes *columns[COLUMNS];
    columns_of(pending, columns);
    for (int i = 0; i < COLUMNS; i++) {
        bytes_clear(columns[i]);
    }
    pending->count = 0;
    pending->block = 0;
}

/* Room in all columns first, so that an example is there whole or not at all. */
static bool reserve(struct pending *pending, size_t keys) {
    size_t tasks = (size_t)pending->tasks * sizeof(float);
    size_t dense = (size_t)pending->dense_count * sizeof(float);
    return bytes_reserve(&pending->offsets, 2 * sizeof(uint32_t)) &&
           bytes_reserve(&pending->keys, keys * sizeof(uint64_t) + 1) &&
           bytes_reserve(&pending->dense, dense + 1) && bytes_reserve(&pending->targets, tasks) &&
           bytes_reserve(&pending->weights, tasks) &&
           bytes_reserve(&pending->log_odds, sizeof(float)) &&
           bytes_reserve(&pending->times, sizeof(uint32_t)) &&
           bytes_reserve(&pending->fake, sizeof(bool));
}

static void clear_failures(struct pending *pending) {
    struct bytes *columns[COLUMNS];
    columns_of(pending, columns);
    for (int i = 0; i < COLUMNS; i++) {
        columns[i]->failed = false;
    }
}

bool pending_add(struct pending *pending, const struct minibatch *one, bool fake) {
    size_t keys = one->offsets[1] - one->offsets[0];
    size_t tasks = (size_t)pending->tasks * sizeof(float);
    keys = keys < MODEL_KEYS_MAX ? keys : MODEL_KEYS_MAX;
    if (!reserve(pending, keys)) {
        clear_failures(pending);
        return false;
    }
    if (pending->count == 0) {
        bytes_put_u32(&pending->offsets, 0);
    }
    bytes_append(&pending->keys, one->keys + one->offsets[0], keys * sizeof(uint64_t));
    bytes_put_u32(&pending->offsets, (uint32_t)(pending->keys.size / sizeof(uint64_t)));
    bytes_append(&pending->dense, one->dense, (size_t)pending->dense_count * sizeof(float));
    bytes_append(&pending->targets, one->targets, tasks);
    bytes_append(&pending->weights, one->weights, tasks);
    bytes_append(&pending->log_odds, one->log_odds, sizeof(float));
    bytes_append(&pending->times, one->times, sizeof(uint32_t));
    bytes_append(&pending->fake, &fake, sizeof(fake));
    pending->count++;
    return true;
}

struct minibatch pending_batch(const struct pending *pending, const bool **fake) {
    *fake = (const bool *)pending->fake.data;
    return (struct minibatch){
        .count = pending->count,
        .tasks = pending->tasks,
        .dense_count = pending->dense_count,
        .offsets = (const uint32_t *)(const void *)pending->offsets.data,
        .keys = (const uint64_t *)(const void *)pending->keys.data,
        .dense = (const float *)(const void *)pending->dense.data,
        .targets = (const float *)(const void *)pending->targets.data,
        .weights = (const float *)(const void *)pending->weights.data,
        .log_odds = (const float *)(const void *)pending->log_odds.data,
        .times = (const uint32_t *)(const void *)pending->times.data,
    };
}

void pending_write(const struct pending *pending, struct bytes *out) {
    bytes_put_u32(out, (uint32_t)pending->count);
    bytes_put_u64(out, pending->block);
    struct bytes *columns[COLUMNS];
    columns_of((struct pending *)pending, columns);
    for (int i = 0; i < COLUMNS; i++) {
        bytes_put_u32(out, (uint32_t)columns[i]->size);
        bytes_append(out, columns[i]->data, columns[i]->size);
    }
}

/* Sizes of the columns go with the counts, and offsets rise. */
static bool valid(const struct pending *pending) {
    size_t count = (size_t)pending->count;
    size_t tasks = count * (size_t)pending->tasks * sizeof(float);
    const bool *fake;
    struct minibatch batch = pending_batch(pending, &fake);
    if (pending->offsets.size != (count > 0 ? (count + 1) * sizeof(uint32_t) : 0) ||
        pending->dense.size != count * (size_t)pending->dense_count * sizeof(float) ||
        pending->targets.size != tasks || pending->weights.size != tasks ||
        pending->log_odds.size != count * sizeof(float) ||
        pending->times.size != count * sizeof(uint32_t) || pending->fake.size != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (batch.offsets[i + 1] < batch.offsets[i] ||
            batch.offsets[i + 1] - batch.offsets[i] > MODEL_KEYS_MAX || pending->fake.data[i] > 1) {
            return false;
        }
    }
    return pending->keys.size ==
               (count > 0 ? (size_t)batch.offsets[count] * sizeof(uint64_t) : 0) &&
           (count == 0 || batch.offsets[0] == 0);
}

bool pending_read(struct pending *pending, struct bytes_reader *reader, int count_max) {
    pending_clear(pending);
    uint32_t count = bytes_get_u32(reader);
    pending->block = bytes_get_u64(reader);
    struct bytes *columns[COLUMNS];
    columns_of(pending, columns);
    for (int i = 0; i < COLUMNS; i++) {
        struct slice column = bytes_get_text(reader);
        bytes_append(columns[i], column.data, column.size);
        reader->failed = reader->failed || columns[i]->failed;
    }
    pending->count = reader->failed || count > (uint32_t)count_max ? -1 : (int)count;
    if (pending->count < 0 || !valid(pending)) {
        clear_failures(pending);
        pending_clear(pending);
        return false;
    }
    return true;
}
