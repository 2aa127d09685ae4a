/* `delta`: what changed in a model, to a replica: bytes, how fast it is written and put in, and
 * what the exactness of rows costs a replica in AUC.
 *
 * Planted data: a factorisation machine draws the labels of a model that learns it, so that what is
 * in the rows matters. 20,000 users and 80,000 items are touched, a row of 1 + 32 floats each. */
#include "app/bench.h"
#include "app/quality.h"
#include "base/hash.h"
#include "base/memory.h"
#include "learn/model_delta.h"

#include <math.h>

enum {
    USERS = 20000,
    ITEMS = 80000,
    DIMENSION = 32,
    PLANTED = 1, /* factors that the labels follow */
    LEARNT = 4000000,
    ASKED = 400000,
    BATCH = 4000,
    KEYS = 2,
    TABLE_BYTES = 256 << 20,
};

struct delta_batch {
    struct minibatch batch;
    uint32_t offsets[BATCH + 1];
    uint64_t keys[BATCH * KEYS];
    float targets[BATCH], weights[BATCH], predictions[BATCH];
};

struct delta_bench {
    struct model *model;
    struct model_changes *changes;
    struct delta_batch data;
    struct quality_case *cases; /* ASKED */
};

/* --- the data --- */

static double planted(uint64_t who, int factor) {
    return 2.0 * hash_unit(hash_mix(who, (uint64_t)factor + 100)) - 1.0;
}

static double planted_logit(uint64_t user, uint64_t item) {
    double logit = planted(user, 0) + planted(item, 0);
    for (int f = 1; f <= PLANTED; f++) {
        logit += 4.0 * planted(user, f) * planted(item, f);
    }
    return logit;
}

/* The first USERS + ITEMS examples have each of them once, so that every row is touched. */
static void batch_fill(struct delta_batch *data, uint64_t first, uint64_t seed) {
    data->batch = (struct minibatch){.count = BATCH,
                                     .tasks = 1,
                                     .offsets = data->offsets,
                                     .keys = data->keys,
                                     .targets = data->targets,
                                     .weights = data->weights};
    for (int i = 0; i < BATCH; i++) {
        uint64_t number = first + (uint64_t)i;
        uint64_t draw = hash_mix(seed, number);
        uint64_t user = hash_mix(1, number < ITEMS ? number % USERS : draw % USERS);
        uint64_t item = hash_mix(2, number < ITEMS ? number : draw / USERS % ITEMS);
        double p = 1.0 / (1.0 + exp(-planted_logit(user, item)));
        data->offsets[i] = (uint32_t)(i * KEYS);
        data->keys[i * KEYS] = key_make(0, user);
        data->keys[i * KEYS + 1] = key_make(1, item);
        data->targets[i] = hash_unit(hash_mix(draw, 7)) < p ? 1.0f : 0.0f;
        data->weights[i] = 1.0f;
    }
    data->offsets[BATCH] = BATCH * KEYS;
}

/* --- models --- */

static leat_status spec_make(struct model_spec *out, leat_error *err) {
    static const char *const fields[] = {"user", "item"};
    static const char *const tasks[] = {"click"};
    const struct model_names names = {
        .field_count = 2, .task_count = 1, .fields = fields, .tasks = tasks};
    struct config *config;
    TRY(config_parse(slice_of(""), "bench", &config, err));
    config->model.dimension = DIMENSION;
    config->model.memory = TABLE_BYTES;
    config->model.rate = 0.1;
    leat_status status = model_spec_of_names(config, &names, out, err);
    config_destroy(config);
    return status;
}

static leat_status auc_of(struct delta_bench *bench, struct model *model, double *out,
                          leat_error *err) {
    for (int at = 0; at < ASKED; at += BATCH) {
        batch_fill(&bench->data, ITEMS + (uint64_t)at, 99);
        model_predict_batch(model, &bench->data.batch, bench->data.predictions);
        for (int i = 0; i < BATCH; i++) {
            bench->cases[at + i] = (struct quality_case){.probability = bench->data.predictions[i],
                                                         .positive = bench->data.targets[i] > 0.5f};
        }
    }
    return quality_auc(bench->cases, ASKED, out, err);
}

/* --- one encoding --- */

struct result {
    uint32_t rows;
    double bytes;
    double auc, leader_auc;         /* of the replica, and of the model that it follows */
    struct bench_runs write, apply; /* rows a second */
};

/* A step on every row. */
static void touch_all(struct delta_bench *bench) {
    for (uint64_t at = 0; at < ITEMS; at += BATCH) {
        batch_fill(&bench->data, at, 5);
        model_learn_batch(bench->model, &bench->data.batch, NULL);
    }
}

static leat_status write_once(struct delta_bench *bench, enum delta_encoding encoding,
                              struct bytes *out, struct result *result, leat_error *err) {
    struct delta_head head = {.encoding = encoding, .to = LEARNT};
    bytes_clear(out);
    touch_all(bench);
    uint64_t begun_ns = clock_monotonic_ns();
    TRY(model_delta_take(bench->changes, &head, true, out, err));
    double seconds = (double)(clock_monotonic_ns() - begun_ns) * 1e-9;
    result->rows = head.rows;
    result->bytes = (double)out->size;
    result->write.values[result->write.count++ % BENCH_RUNS] = head.rows / seconds;
    return LEAT_OK;
}

static leat_status apply_once(struct model *replica, const struct bytes *bytes,
                              struct result *result, leat_error *err) {
    struct delta delta;
    uint64_t begun_ns = clock_monotonic_ns();
    TRY(delta_read(bytes->data, bytes->size, &delta, err));
    TRY(model_delta_check(replica, &delta, err));
    TRY(model_delta_apply(replica, &delta, err));
    double seconds = (double)(clock_monotonic_ns() - begun_ns) * 1e-9;
    result->apply.values[result->apply.count++ % BENCH_RUNS] = delta.head.rows / seconds;
    return LEAT_OK;
}

/* The first run warms up: it adds the rows to the replica. */
static leat_status encoding_run(struct delta_bench *bench, enum delta_encoding encoding,
                                struct model *replica, struct bytes *bytes, struct result *result,
                                leat_error *err) {
    for (int run = 0; run <= BENCH_RUNS; run++) {
        TRY(write_once(bench, encoding, bytes, result, err));
        TRY(apply_once(replica, bytes, result, err));
    }
    result->write.count = BENCH_RUNS;
    result->apply.count = BENCH_RUNS;
    TRY(auc_of(bench, replica, &result->auc, err));
    return auc_of(bench, bench->model, &result->leader_auc, err);
}

static leat_status encoding_measure(struct delta_bench *bench, enum delta_encoding encoding,
                                    struct result *result, leat_error *err) {
    struct model *replica;
    struct bytes bytes;
    bytes_init(&bytes);
    TRY(model_open_replica(model_spec(bench->model), NULL, &replica, err));
    leat_status status = encoding_run(bench, encoding, replica, &bytes, result, err);
    model_close(replica);
    bytes_deinit(&bytes);
    return status;
}

/* --- all of them --- */

static void print_result(const struct bench_options *options, const char *name,
                         struct result *result) {
    char more[300], write[64], apply[64];
    snprintf(write, sizeof(write), "delta/%s-write", name);
    snprintf(apply, sizeof(apply), "delta/%s-apply", name);
    result->write.name = write;
    result->apply.name = apply;
    result->write.unit = "rows/s";
    result->apply.unit = "rows/s";
    snprintf(more, sizeof(more),
             ",\"rows\":%u,\"bytes\":%.0f,\"bytes_per_row\":%.1f,\"auc_leader\":%.5f"
             ",\"auc_replica\":%.5f,\"auc_loss\":%.6f",
             result->rows, result->bytes, result->bytes / result->rows, result->leader_auc,
             result->auc, result->leader_auc - result->auc);
    bench_print_runs(options, &result->write, more);
    bench_print_runs(options, &result->apply, "");
}

static leat_status run_all(const struct bench_options *options, struct delta_bench *bench,
                           leat_error *err) {
    static const char *const names[DELTA_ENCODINGS] = {"fp32", "bf16", "int8"};
    struct model_spec spec;
    TRY(spec_make(&spec, err));
    TRY(model_open(&spec, NULL, NULL, &bench->model, err));
    for (uint64_t at = 0; at < LEARNT; at += BATCH) {
        batch_fill(&bench->data, at, 5);
        model_learn_batch(bench->model, &bench->data.batch, NULL);
    }
    TRY(model_changes_create(bench->model, &bench->changes, err));
    for (int encoding = 0; encoding < DELTA_ENCODINGS; encoding++) {
        struct result result = {.rows = 0};
        TRY(encoding_measure(bench, (enum delta_encoding)encoding, &result, err));
        print_result(options, names[encoding], &result);
    }
    return LEAT_OK;
}

leat_status bench_delta(const struct bench_options *options, leat_error *err) {
    struct delta_bench *bench = memory_zalloc(sizeof(*bench));
    leat_status status = LEAT_MEMORY;
    if (bench) {
        bench->cases = memory_alloc(ASKED * sizeof(*bench->cases));
    }
    status = bench && bench->cases ? run_all(options, bench, err)
                                   : error_memory(err, ASKED * sizeof(*bench->cases));
    if (bench) {
        model_changes_destroy(bench->changes);
        model_close(bench->model);
        memory_free(bench->cases);
    }
    memory_free(bench);
    return status;
}
