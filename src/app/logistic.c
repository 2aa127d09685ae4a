#include "app/logistic.h"

#include "base/hash.h"
#include "base/memory.h"

struct logistic {
    int fields, tasks;
    struct model *models[MODEL_TASKS_MAX];
};

static leat_status model_make(int fields, float rate, struct model **out, leat_error *err) {
    struct model_spec spec = {
        .field_count = fields,
        .task_count = 1,
        .network = NETWORK_LOGISTIC,
        .optimiser = MODEL_ADAGRAD,
        .rate = rate,
        .rate_dense = rate,
        .batch = 1,
        .shards = 1,
        .memory = INT64_C(1) << 30,
    };
    for (int f = 0; f < fields; f++) {
        spec.fields[f] = (struct model_field){.target = -1, .shares = f, .rate = 1.0f};
        snprintf(spec.fields[f].name, sizeof(spec.fields[f].name), "id%d", f);
    }
    spec.tasks[0] = (struct model_task){.name = "positive", .weight = 1.0f};
    return model_open(&spec, NULL, NULL, out, err);
}

leat_status logistic_create(int fields, int tasks, float rate, struct logistic **out,
                            leat_error *err) {
    INVARIANT(fields <= LOGISTIC_FIELDS_MAX && tasks <= MODEL_TASKS_MAX, "%d fields, %d tasks",
              fields, tasks);
    struct logistic *logistic = memory_zalloc(sizeof(*logistic));
    if (!logistic) {
        return error_memory(err, sizeof(*logistic));
    }
    logistic->fields = fields;
    logistic->tasks = tasks;
    leat_status status = LEAT_OK;
    for (int t = 0; t < tasks && status >= 0; t++) {
        status = model_make(fields, rate, &logistic->models[t], err);
    }
    if (status < 0) {
        logistic_destroy(logistic);
        return status;
    }
    *out = logistic;
    return LEAT_OK;
}

void logistic_destroy(struct logistic *logistic) {
    if (!logistic) {
        return;
    }
    for (int t = 0; t < logistic->tasks; t++) {
        model_close(logistic->models[t]);
    }
    memory_free(logistic);
}

void logistic_step(struct logistic *logistic, const uint64_t *values, uint32_t labels, float *out) {
    uint64_t keys[LOGISTIC_FIELDS_MAX];
    uint32_t offsets[2] = {0, 0};
    for (int f = 0; f < logistic->fields; f++) {
        if (values[f] != 0) {
            keys[offsets[1]++] = key_make(f, hash_mix(values[f], (uint64_t)f));
        }
    }
    for (int t = 0; t < logistic->tasks; t++) {
        const float weight = 1.0f;
        const float target = labels >> t & 1u ? 1.0f : 0.0f;
        const struct minibatch batch = {
            .count = 1,
            .tasks = 1,
            .offsets = offsets,
            .keys = keys,
            .targets = &target,
            .weights = &weight,
        };
        model_learn_batch(logistic->models[t], &batch, &out[t]);
    }
}
