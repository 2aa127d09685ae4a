/* For tests and fuzzers of this room: snapshots written to and read from memory. */
#ifndef LEARN_LEARN_TEST_H
#define LEARN_LEARN_TEST_H

#include "learn/model.h"

/* A factorisation machine with AdaGrad. */
static inline struct model_spec spec_fixture(int tasks, int dimension, int dense_count) {
    struct model_spec spec = {
        .dense_count = dense_count,
        .task_count = tasks,
        .dimension = dimension,
        .rate = 0.1f,
        .rate_dense = 0.1f,
        .spread = 0.03f,
        .batch = 1,
        .shards = 1,
        .seed = 3,
        .memory = 4 << 20,
    };
    for (int t = 0; t < tasks; t++) {
        spec.tasks[t].weight = 1.0f;
        snprintf(spec.tasks[t].name, sizeof(spec.tasks[t].name), "task%d", t);
    }
    return spec;
}

/* A state_sink with a struct bytes as context. */
static inline leat_status sink_bytes(void *context, const void *data, size_t count,
                                     leat_error *err) {
    bytes_append(context, data, count);
    return bytes_status(context, err);
}

/* A state_source with a struct bytes_reader as context. */
static inline leat_status source_bytes(void *context, void *data, size_t count, leat_error *err) {
    const uint8_t *from = bytes_get_raw(context, count);
    if (!from) {
        return error_set(err, LEAT_CORRUPT, "the input ends %zu bytes too early", count);
    }
    memcpy(data, from, count);
    return LEAT_OK;
}

#endif
