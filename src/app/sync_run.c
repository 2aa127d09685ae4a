#include "app/sync_run.h"

#include "app/quality.h"
#include "base/clock.h"
#include "base/memory.h"

#include <math.h>

enum { FIRST_ROWS = 4096, TOLD_EVERY = 65536 };

struct sync_run {
    struct disk *disk;
    const char *base;
    const struct sync_rows *rows;
    float *batch, *online; /* probabilities [rows] */
    struct quality_case *cases;
    /* one step */
    uint32_t *offsets;
    float *targets, *weights;
};

/* --- rows --- */

void sync_rows_deinit(struct sync_rows *rows) {
    memory_free(rows->ends);
    memory_free(rows->keys);
    memory_free(rows->labels);
    memory_free(rows->truth);
    *rows = (struct sync_rows){.count = 0};
}

static leat_status grow(void **block, uint64_t count, size_t each, leat_error *err) {
    void *larger = memory_resize(*block, count * each);
    if (!larger) {
        return error_memory(err, count * each);
    }
    *block = larger;
    return LEAT_OK;
}

static leat_status make_room(struct sync_rows *rows, uint64_t keys, leat_error *err) {
    if (rows->count == rows->capacity) {
        uint64_t more = rows->capacity ? rows->capacity + rows->capacity / 2 : FIRST_ROWS;
        TRY(grow((void **)&rows->ends, more, sizeof(*rows->ends), err));
        TRY(grow((void **)&rows->labels, more, sizeof(*rows->labels), err));
        TRY(grow((void **)&rows->truth, more, sizeof(*rows->truth), err));
        rows->capacity = more;
    }
    if (rows->key_count + keys > rows->key_capacity) {
        uint64_t more = rows->key_capacity + rows->key_capacity / 2 + FIRST_ROWS * keys;
        TRY(grow((void **)&rows->keys, more, sizeof(*rows->keys), err));
        rows->key_capacity = more;
    }
    return LEAT_OK;
}

leat_status sync_rows_add(struct sync_rows *rows, const uint64_t *keys, int key_count, bool label,
                          float truth, leat_error *err) {
    TRY(make_room(rows, (uint64_t)key_count, err));
    if (key_count > 0) {
        memcpy(rows->keys + rows->key_count, keys, (size_t)key_count * sizeof(*keys));
    }
    rows->key_count += (uint64_t)key_count;
    rows->ends[rows->count] = rows->key_count;
    rows->labels[rows->count] = label;
    rows->truth[rows->count] = truth;
    rows->count++;
    return LEAT_OK;
}

/* --- steps --- */

/* Rows [begin, end), at most MODEL_BATCH_MAX of them, as a batch that lasts until the next. */
static struct minibatch step_of(struct sync_run *run, uint64_t begin, uint64_t end) {
    const struct sync_rows *rows = run->rows;
    uint64_t first = begin > 0 ? rows->ends[begin - 1] : 0;
    int count = (int)(end - begin);
    run->offsets[0] = 0;
    for (int i = 0; i < count; i++) {
        run->offsets[i + 1] = (uint32_t)(rows->ends[begin + (uint64_t)i] - first);
        run->targets[i] = rows->labels[begin + (uint64_t)i];
    }
    return (struct minibatch){
        .count = count,
        .tasks = 1,
        .offsets = run->offsets,
        .keys = rows->keys + first,
        .targets = run->targets,
        .weights = run->weights,
    };
}

static void score(struct sync_run *run, struct model *model, uint64_t begin, uint64_t end,
                  float *out) {
    for (uint64_t at = begin; at < end;) {
        uint64_t next = at + MODEL_BATCH_MAX < end ? at + MODEL_BATCH_MAX : end;
        struct minibatch step = step_of(run, at, next);
        model_predict_batch(model, &step, out + at);
        at = next;
    }
}

static void learn(struct sync_run *run, struct model *model, uint64_t begin, uint64_t end) {
    uint64_t size = (uint64_t)model_spec(model)->batch;
    for (uint64_t at = begin; at < end;) {
        uint64_t next = at + size < end ? at + size : end;
        struct minibatch step = step_of(run, at, next);
        model_learn_batch(model, &step, NULL);
        at = next;
    }
}

/* --- measures --- */

/* NaN without both labels, or without scores. */
static double auc_of(struct sync_run *run, const float *scores, uint64_t begin, uint64_t end) {
    double auc;
    for (uint64_t i = begin; i < end; i++) {
        if (isnan(scores[i])) {
            return NAN;
        }
        run->cases[i - begin] = (struct quality_case){scores[i], run->rows->labels[i] > 0};
    }
    return quality_auc(run->cases, end - begin, &auc, NULL) == LEAT_OK ? auc : NAN;
}

struct means {
    struct quality_mean online, batch, oracle, gain;
};

static void measure_shard(struct sync_run *run, uint64_t begin, uint64_t end, struct means *means) {
    double online = auc_of(run, run->online, begin, end);
    double batch = auc_of(run, run->batch, begin, end);
    if (isnan(online) || isnan(batch)) {
        return;
    }
    quality_mean_add(&means->online, online);
    quality_mean_add(&means->batch, batch);
    quality_mean_add(&means->oracle, auc_of(run, run->rows->truth, begin, end));
    quality_mean_add(&means->gain, 100 * (online - batch));
}

static void fill_result(struct sync_run *run, const struct means *means, struct sync_result *out) {
    uint64_t count = run->rows->count;
    out->scored = (int)means->gain.count;
    out->mean_online = means->online.mean;
    out->mean_batch = means->batch.mean;
    out->mean_oracle = means->oracle.mean;
    out->gain = means->gain.mean;
    out->gain_error = quality_mean_error(&means->gain);
    out->pooled_online = auc_of(run, run->online, 0, count);
    out->pooled_batch = auc_of(run, run->batch, 0, count);
    out->pooled_gain = 100 * (out->pooled_online - out->pooled_batch);
}

/* --- runs --- */

static leat_status make_buffers(struct sync_run *run, leat_error *err) {
    uint64_t count = run->rows->count;
    run->batch = memory_alloc(count * sizeof(float));
    run->online = memory_alloc(count * sizeof(float));
    run->cases = memory_alloc(count * sizeof(struct quality_case));
    run->offsets = memory_alloc((MODEL_BATCH_MAX + 1) * sizeof(uint32_t));
    run->targets = memory_alloc(MODEL_BATCH_MAX * sizeof(float));
    run->weights = memory_alloc(MODEL_BATCH_MAX * sizeof(float));
    if (!run->batch || !run->online || !run->cases || !run->offsets || !run->targets ||
        !run->weights) {
        return error_memory(err, count * sizeof(struct quality_case));
    }
    for (int i = 0; i < MODEL_BATCH_MAX; i++) {
        run->weights[i] = 1;
    }
    return LEAT_OK;
}

leat_status sync_open(struct disk *disk, const char *base, const struct sync_rows *rows,
                      struct sync_run **out, leat_error *err) {
    struct model *model = NULL;
    struct sync_run *run = memory_zalloc(sizeof(*run));
    if (!run) {
        return error_memory(err, sizeof(*run));
    }
    *run = (struct sync_run){.disk = disk, .base = base, .rows = rows};
    leat_status status;
    TRY_OR(status, make_buffers(run, err), fail);
    TRY_OR(status, model_load(disk, base, NULL, &model, err), fail);
    score(run, model, 0, rows->count, run->batch);
    model_close(model);
    *out = run;
    return LEAT_OK;
fail:
    sync_close(run);
    return status;
}

void sync_close(struct sync_run *run) {
    if (!run) {
        return;
    }
    memory_free(run->weights);
    memory_free(run->targets);
    memory_free(run->offsets);
    memory_free(run->cases);
    memory_free(run->online);
    memory_free(run->batch);
    memory_free(run);
}

leat_status sync_shards(struct sync_run *run, int shards, sync_told told, void *context,
                        struct sync_result *out, leat_error *err) {
    uint64_t count = run->rows->count;
    struct model *model = NULL;
    struct means means = {.gain = {.count = 0}};
    uint64_t begun_ns = clock_monotonic_ns();
    uint64_t told_at = 0;
    if (shards < 1 || (uint64_t)shards > count) {
        return error_set(err, LEAT_INVALID, "%d shards of %llu rows: from 1 to as many as rows",
                         shards, (unsigned long long)count);
    }
    TRY(model_load(run->disk, run->base, NULL, &model, err));
    leat_status status = LEAT_OK;
    for (int s = 0; s < shards && status == LEAT_OK; s++) {
        uint64_t begin = count * (uint64_t)s / (uint64_t)shards;
        uint64_t end = count * (uint64_t)(s + 1) / (uint64_t)shards;
        score(run, model, begin, end, run->online);
        measure_shard(run, begin, end, &means);
        learn(run, model, begin, end);
        if (told && end - told_at >= TOLD_EVERY) {
            told_at = end;
            status = told(context, (double)end / (double)count) ? LEAT_END : LEAT_OK;
        }
    }
    model_close(model);
    *out = (struct sync_result){.shards = shards};
    fill_result(run, &means, out);
    out->seconds = (double)(clock_monotonic_ns() - begun_ns) / 1e9;
    return status;
}
