/* The model: gradients against differences in double, learning against a planted model's best,
 * restarts and kernels against one digest, scoring against the forward pass of learning. */
#include "base/disk_fake.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/learn_test.h"
#include "learn/model_internal.h"

#include <math.h>

enum { TASKS = 3, DIMENSION = 5, DENSE = 4, KEYS = 6 };

static struct model *open_model(const struct model_spec *spec) {
    struct model *model = NULL;
    assert_int_equal(model_open(spec, NULL, NULL, &model, NULL), LEAT_OK);
    return model;
}

static struct model_spec fm_spec(int tasks, int dimension, int dense_count) {
    struct model_spec spec = spec_fixture(tasks, dimension, dense_count);
    spec.l2 = 1e-4f;
    return spec;
}

static uint64_t digest_of(struct model *model) {
    uint64_t digest = 0;
    assert_int_equal(model_digest(model, &digest, NULL), LEAT_OK);
    return digest;
}

/* An example with its own arrays, drawn from a stream. */
struct drawn {
    struct example example;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
};

static void draw(struct rng *rng, int keys, int dense, struct drawn *out) {
    for (int i = 0; i < keys; i++) {
        out->keys[i] = rng_below(rng, 200) * 977;
    }
    for (int i = 0; i < dense; i++) {
        out->dense[i] = (float)rng_normal(rng);
    }
    out->example = (struct example){
        .keys = out->keys,
        .key_count = keys,
        .dense = out->dense,
        .dense_count = dense,
        .mask = (uint32_t)rng_below(rng, 8),
        .labels = (uint32_t)rng_below(rng, 8),
        .weight = (float)(0.5 + rng_unit(rng)),
        .log_odds = rng_below(rng, 3) ? 0.0f : 0.7f,
    };
}

/* --- gradients --- */

/* The loss of one example by the formula of model.h, in double, sum by plain sum. */
static double loss(const struct model_shape *shape, const double *dense, const double *values,
                   int count, const struct example *example) {
    double total = 0;
    for (int t = 0; t < shape->tasks; t++) {
        const double *b = dense + t * shape->block;
        double logit = b[0] + (double)example->log_odds;
        for (int d = 0; d < shape->dense_count; d++) {
            logit += b[1 + d] * (double)example->dense[d];
        }
        for (int i = 0; i < count; i++) {
            logit += values[i * shape->weights + t];
        }
        for (int f = 0; f < shape->dimension; f++) {
            double products = 0;
            for (int i = 0; i < count; i++) {
                for (int j = i + 1; j < count; j++) {
                    products += values[i * shape->weights + shape->tasks + f] *
                                values[j * shape->weights + shape->tasks + f];
                }
            }
            logit += b[1 + shape->dense_count + f] * products;
        }
        double p = 1 / (1 + exp(-logit));
        if (example->mask >> t & 1) {
            total -= (double)example->weight * log(example->labels >> t & 1 ? p : 1 - p);
        }
    }
    return total;
}

enum { VALUES = KEYS * (TASKS + DIMENSION), WEIGHTS = TASKS * (1 + DENSE + DIMENSION) };

/* Moves each of `count` parameters both ways and compares the slope with `gradient`. */
static void expect_slopes(double *parameters, int count, const float *gradient,
                          const struct model_shape *shape, const double *dense,
                          const double *values, const struct example *example) {
    const double step = 1e-5;
    for (int i = 0; i < count; i++) {
        double kept = parameters[i];
        parameters[i] = kept + step;
        double above = loss(shape, dense, values, KEYS, example);
        parameters[i] = kept - step;
        double below = loss(shape, dense, values, KEYS, example);
        parameters[i] = kept;
        double slope = (above - below) / (2 * step);
        assert_true(fabs(slope - (double)gradient[i]) < 1e-4 * (1 + fabs(slope)));
    }
}

/* Rows and dense weights of the model's pass are drawn anew. */
static void draw_weights(struct model *model, struct rng *rng, float *rows, double *values,
                         double *dense) {
    struct pass *pass = &model->fm->pass;
    pass->count = KEYS;
    for (int i = 0; i < KEYS; i++) {
        pass->rows[i] = rows + i * model->shape.weights;
    }
    for (int i = 0; i < VALUES; i++) {
        rows[i] = (float)rng_normal(rng) * 0.5f;
        values[i] = (double)rows[i];
    }
    for (int i = 0; i < WEIGHTS; i++) {
        model->dense[i] = (float)rng_normal(rng) * 0.5f;
        dense[i] = (double)model->dense[i];
    }
}

static void gradients_are_slopes(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(TASKS, DIMENSION, DENSE);
    struct model *model = open_model(&spec);
    struct rng rng;
    rng_init(&rng, 21);
    for (int round = 0; round < 50; round++) {
        struct drawn drawn;
        float rows[VALUES], targets[TASKS], weights[TASKS];
        double values[VALUES], dense[WEIGHTS];
        draw(&rng, KEYS, DENSE, &drawn);
        draw_weights(model, &rng, rows, values, dense);
        memcpy(model->fm->pass.x, drawn.dense, DENSE * sizeof(float));
        for (int t = 0; t < TASKS; t++) {
            targets[t] = drawn.example.labels >> t & 1 ? 1.0f : 0.0f;
            weights[t] = drawn.example.mask >> t & 1 ? drawn.example.weight : 0.0f;
        }
        const struct saying saying = {
            .targets = targets, .weights = weights, .log_odds = drawn.example.log_odds};
        fm_forward(&model->shape, model->dense, &model->fm->pass);
        fm_gradient(model, &saying);
        expect_slopes(values, VALUES, model->fm->gradient_rows, &model->shape, dense, values,
                      &drawn.example);
        expect_slopes(dense, WEIGHTS, model->fm->gradient_dense, &model->shape, dense, values,
                      &drawn.example);
    }
    model_close(model);
}

/* --- learning --- */

enum { IDS = 40, FIELDS = 3, PLANTED = 4 };

/* A model of the same family with known weights, over FIELDS fields of IDS ids and one input. */
struct planted {
    double w[FIELDS][IDS];
    double v[FIELDS][IDS][PLANTED];
};

static void plant(struct planted *planted, struct rng *rng) {
    for (int i = 0; i < FIELDS * IDS; i++) {
        planted->w[i / IDS][i % IDS] = 0.5 * rng_normal(rng);
        for (int f = 0; f < PLANTED; f++) {
            planted->v[i / IDS][i % IDS][f] = 0.7 * rng_normal(rng);
        }
    }
}

static double planted_p(const struct planted *planted, const int *ids, double x) {
    double logit = -1.0 + 0.8 * x;
    for (int a = 0; a < FIELDS; a++) {
        logit += planted->w[a][ids[a]];
        for (int b = a + 1; b < FIELDS; b++) {
            for (int f = 0; f < PLANTED; f++) {
                logit += planted->v[a][ids[a]][f] * planted->v[b][ids[b]][f];
            }
        }
    }
    return 1 / (1 + exp(-logit));
}

struct losses {
    double model, best, constant; /* mean log loss: learnt, of the true probabilities, of none */
};

static double entropy(double p, double q) {
    return -(p * log(q) + (1 - p) * log(1 - q));
}

/* What a batch of one says. */
static void predict(struct model *model, const struct example *example, float *out) {
    const uint32_t offsets[] = {0, (uint32_t)example->key_count};
    const struct minibatch batch = {
        .count = 1,
        .tasks = model->shape.tasks,
        .dense_count = model->shape.dense_count,
        .offsets = offsets,
        .keys = example->keys,
        .dense = example->dense,
    };
    model_predict_batch(model, &batch, out);
}

/* Task 0 has the planted probability, task 1 (when there) the opposite: every weight of it, and the
 * sign of its interactions. Learns `examples` draws, then takes the expected loss of each
 * prediction under the truth. */
static struct losses learn_planted(struct model *model, int examples, int probes) {
    struct rng rng;
    rng_init(&rng, 31);
    static struct planted planted;
    plant(&planted, &rng);
    struct losses losses = {0};
    for (int n = 0; n < examples + probes; n++) {
        int ids[FIELDS];
        uint64_t keys[FIELDS];
        for (int a = 0; a < FIELDS; a++) {
            ids[a] = (int)rng_below(&rng, IDS);
            keys[a] = (uint64_t)(a * 1000 + ids[a]);
        }
        float x = (float)rng_normal(&rng);
        double p = planted_p(&planted, ids, (double)x);
        struct example example = {.keys = keys,
                                  .key_count = FIELDS,
                                  .dense = &x,
                                  .dense_count = 1,
                                  .mask = 3,
                                  .labels = (rng_unit(&rng) < p) | (rng_unit(&rng) > p) * 2u,
                                  .weight = 1};
        if (n < examples) {
            model_learn(model, &example);
            continue;
        }
        float out[2];
        predict(model, &example, out);
        float last = out[model->shape.tasks - 1];
        losses.model += entropy(model->shape.tasks == 1 ? p : 1 - p, (double)last) / probes;
        losses.best += entropy(p, p) / probes;
        losses.constant += entropy(p, 0.35) / probes;
    }
    return losses;
}

/* Under 15 % of what there is to win is left, for one task and for the second of two that disagree,
 * by any optimiser. */
static void learns_what_is_planted(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        struct model_spec spec = fm_spec(1 + i / 4, 8, 1);
        spec.optimiser = (enum model_optimiser)(i % 4);
        bool moments = spec.optimiser == MODEL_ADAM || spec.optimiser == MODEL_RMSPROP;
        spec.rate = moments ? 0.004f : spec.rate;
        spec.rate_dense = moments ? 0.002f : spec.rate_dense;
        spec.tasks[1].negative = true;
        struct model *model = open_model(&spec);
        struct losses losses = learn_planted(model, 60000, 4000);
        print_message("%d tasks, %s: log loss %.4f, best %.4f, constant %.4f\n", spec.task_count,
                      model_optimiser_name(spec.optimiser), losses.model, losses.best,
                      losses.constant);
        assert_true(losses.model - losses.best < 0.15 * (losses.constant - losses.best));
        model_close(model);
    }
}

/* --- the same bits --- */

static void learn_some(struct model *model, int from, int to) {
    for (int n = from; n < to; n++) {
        struct rng rng;
        rng_init(&rng, (uint64_t)n);
        struct drawn drawn;
        draw(&rng, 1 + n % 12, DENSE, &drawn);
        model_learn(model, &drawn.example);
    }
}

static void restore_model(struct model *model, const struct bytes *bytes) {
    struct bytes_reader reader = bytes_reader_of(bytes->data, bytes->size);
    assert_int_equal(model_restore(model, source_bytes, &reader, NULL), LEAT_OK);
    assert_true(reader.at == reader.end);
}

/* A run that is frozen half-way, learns on, and is continued from what was frozen, ends with the
 * weights of the run that was never stopped. */
static void restart_changes_nothing(void **state) {
    (void)state;
    for (int optimiser = MODEL_ADAGRAD; optimiser <= MODEL_RMSPROP; optimiser++) {
        struct model_spec spec = fm_spec(TASKS, 16, DENSE);
        spec.optimiser = (enum model_optimiser)optimiser;
        struct model *whole = open_model(&spec);
        struct model *first = open_model(&spec);
        struct model *second = open_model(&spec);
        learn_some(whole, 0, 3000);
        learn_some(first, 0, 1500);
        struct model_snapshot *snapshot = NULL;
        assert_int_equal(model_freeze(first, &snapshot, NULL), LEAT_OK);
        uint64_t frozen = digest_of(first);
        learn_some(first, 7000, 7500);
        struct bytes bytes;
        bytes_init(&bytes);
        assert_int_equal(model_snapshot_write(snapshot, sink_bytes, &bytes, NULL), LEAT_OK);
        model_snapshot_release(snapshot);
        restore_model(second, &bytes);
        assert_int_equal(digest_of(second), frozen);
        learn_some(second, 1500, 3000);
        assert_int_equal(digest_of(second), digest_of(whole));
        assert_int_not_equal(digest_of(second), frozen);
        bytes_deinit(&bytes);
        model_close(whole);
        model_close(first);
        model_close(second);
    }
}

static void kernels_learn_the_same(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(TASKS, 13, DENSE);
    struct model *best = open_model(&spec);
    struct model *scalar = open_model(&spec);
    scalar->kernel = kernel_scalar();
    scalar->fm->pass.kernel = kernel_scalar();
    scalar->optimiser.kernel = kernel_scalar();
    learn_some(best, 0, 2000);
    learn_some(scalar, 0, 2000);
    assert_int_equal(digest_of(best), digest_of(scalar));
    model_close(best);
    model_close(scalar);
}

/* A batch of 3 keys an example, `values` of 1 where asked: then the general loop runs. */
static void learn_plain(struct model *model, bool general) {
    enum { COUNT = 700 };
    static uint64_t keys[3 * COUNT];
    static uint32_t offsets[COUNT + 1];
    static float values[3 * COUNT], targets[COUNT], weights[COUNT], log_odds[COUNT], out[COUNT];
    struct rng rng;
    rng_init(&rng, 81);
    for (int i = 0; i < COUNT; i++) {
        offsets[i + 1] = offsets[i] + 3;
        for (uint32_t k = offsets[i]; k < offsets[i + 1]; k++) {
            keys[k] = key_make((int)(k % 3), rng_below(&rng, 40));
            values[k] = 1.0f;
        }
        targets[i] = (float)rng_below(&rng, 2);
        weights[i] = (float)rng_below(&rng, 3);
        log_odds[i] = rng_below(&rng, 3) ? 0.0f : 1.5f;
    }
    const struct minibatch batch = {
        .count = COUNT,
        .tasks = 1,
        .offsets = offsets,
        .keys = keys,
        .values = general ? values : NULL,
        .targets = targets,
        .weights = weights,
        .log_odds = log_odds,
    };
    model_learn_batch(model, &batch, out);
}

static void the_plain_loop_is_the_general_one(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(1, 0, 0);
    spec.network = NETWORK_LOGISTIC;
    spec.tasks[0].weight = 0.7f;
    spec.field_count = 3;
    for (int f = 0; f < 3; f++) {
        spec.fields[f] = (struct model_field){.target = -1, .shares = f, .rate = 0.5f * (float)f};
    }
    struct model *plain = open_model(&spec);
    struct model *general = open_model(&spec);
    learn_plain(plain, false);
    learn_plain(general, true);
    assert_int_equal(digest_of(plain), digest_of(general));
    model_close(plain);
    model_close(general);
}

/* A damaged model is refused, and the one that refused it is as new. */
static void damage_is_refused(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(TASKS, DIMENSION, DENSE);
    struct model *model = open_model(&spec);
    uint64_t fresh = digest_of(model);
    learn_some(model, 0, 20);
    struct model_snapshot *snapshot = NULL;
    assert_int_equal(model_freeze(model, &snapshot, NULL), LEAT_OK);
    struct bytes bytes;
    bytes_init(&bytes);
    assert_int_equal(model_snapshot_write(snapshot, sink_bytes, &bytes, NULL), LEAT_OK);
    model_snapshot_release(snapshot);
    model_close(model);
    model = open_model(&spec);
    for (size_t at = 0; at < bytes.size; at += 7) {
        bytes.data[at] ^= 1;
        struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
        leat_error err;
        assert_true(model_restore(model, source_bytes, &reader, &err) < 0);
        assert_int_equal(digest_of(model), fresh);
        bytes.data[at] ^= 1;
    }
    model_close(model);
    spec.dimension = DIMENSION + 1;
    model = open_model(&spec);
    struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
    assert_int_equal(model_restore(model, source_bytes, &reader, NULL), LEAT_CONFLICT);
    model_close(model);
    bytes_deinit(&bytes);
}

/* --- older versions, and files --- */

static void read_golden(const char *name, struct bytes *out) {
    char path[512];
    snprintf(path, sizeof(path), LEAT_SOURCE_DIR "/tests/golden/%s", name);
    bytes_init(out);
    assert_int_equal(disk_get(disk_real(), path, 1 << 20, out, NULL), LEAT_OK);
}

/* What the first version wrote opens, and predicts what it predicted. */
static void version_1_opens(void **state) {
    (void)state;
    const float expected[][2] = {{0.480648726f, 0.529564142f},
                                 {0.484422266f, 0.558147728f},
                                 {0.464432776f, 0.541068912f},
                                 {0.459551692f, 0.487567604f}};
    struct bytes bytes;
    read_golden("model_v1.bin", &bytes);
    struct model_spec spec = spec_fixture(2, 3, 1);
    struct model *model = open_model(&spec);
    restore_model(model, &bytes);
    assert_int_equal(model_rows(model), 20);
    for (uint64_t i = 0; i < 4; i++) {
        const uint64_t keys[] = {i * 977, (i + 5) * 977};
        const float x = 0.5f;
        float out[2];
        predict(model, &(struct example){.keys = keys, .key_count = 2, .dense = &x}, out);
        assert_true(out[0] == expected[i][0] && out[1] == expected[i][1]);
    }
    model_close(model);
    bytes_deinit(&bytes);
}

/* What version 2 wrote, step by step and in batches (with examples that wait), opens by itself. */
static void version_2_opens(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum model_network network;
        float expected[4][2];
    } cases[] = {
        {"model_v2.bin",
         NETWORK_FM,
         {{0.478600621f, 0.523409188f},
          {0.460891753f, 0.516871929f},
          {0.462945074f, 0.482222617f},
          {0.456647217f, 0.481671959f}}},
        {"model_v2_network.bin",
         NETWORK_DEEPFM,
         {{0.490014017f, 0.5198071f},
          {0.494091511f, 0.516499758f},
          {0.494635999f, 0.499113262f},
          {0.490001559f, 0.503789783f}}},
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        char path[512];
        snprintf(path, sizeof(path), LEAT_SOURCE_DIR "/tests/golden/%s", cases[c].name);
        struct model *model = NULL;
        assert_int_equal(model_load(disk_real(), path, NULL, &model, NULL), LEAT_OK);
        assert_int_equal(model_spec(model)->network, cases[c].network);
        assert_true(model_spec(model)->calibrate);
        uint64_t examples, steps;
        model_learnt(model, &examples, &steps);
        assert_int_equal(steps, cases[c].network == NETWORK_FM ? 200 : 12);
        assert_int_equal(model->pending.count, cases[c].network == NETWORK_FM ? 0 : 8);
        for (uint64_t i = 0; i < 4; i++) {
            const uint64_t keys[] = {key_make(0, i * 977), key_make(1, (i + 5) * 977)};
            const float x = 0.5f;
            float out[2];
            predict(model, &(struct example){.keys = keys, .key_count = 2, .dense = &x}, out);
            assert_true(fabsf(out[0] - cases[c].expected[i][0]) < 1e-5f);
            assert_true(fabsf(out[1] - cases[c].expected[i][1]) < 1e-5f);
        }
        model_close(model);
    }
}

/* A file opens without its configuration, says what it is, and goes on as if never closed. */
static void a_file_is_the_model(void **state) {
    (void)state;
    struct disk_fake *fake;
    assert_int_equal(disk_fake_create(1, &fake, NULL), LEAT_OK);
    struct disk *disk = disk_fake_disk(fake);
    assert_int_equal(disk_make_folder(disk, "models", NULL), LEAT_OK);
    struct model_spec spec = fm_spec(TASKS, DIMENSION, DENSE);
    struct model *model = open_model(&spec);
    learn_some(model, 0, 500);
    assert_int_equal(model_save(model, disk, "models/a", NULL), LEAT_OK);
    assert_int_equal(model_save(model, disk, "models/a", NULL), LEAT_OK);
    struct model *again = NULL;
    assert_int_equal(model_load(disk, "models/a", NULL, &again, NULL), LEAT_OK);
    assert_memory_equal(model_spec(again), &spec, sizeof(spec));
    learn_some(model, 500, 900);
    learn_some(again, 500, 900);
    assert_int_equal(digest_of(model), digest_of(again));
    model_close(again);
    model_close(model);
    leat_error err;
    assert_int_equal(model_load(disk, "models/none", NULL, &again, &err), LEAT_IO);
    disk_fake_destroy(fake);
}

/* --- scoring --- */

static struct scorer *begin(const struct model *model, struct arena *arena) {
    struct scorer *scorer = NULL;
    arena_reset(arena);
    assert_int_equal(scorer_begin(model, arena, &scorer, NULL), LEAT_OK);
    return scorer;
}

static void score_is_forward(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(TASKS, 16, DENSE);
    struct model *model = open_model(&spec);
    learn_some(model, 0, 3000); /* meets all 200 ids */
    assert_int_equal(model_rows(model), 200);
    assert_int_equal(model_tasks(model), TASKS);
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    struct scorer *scorer = begin(model, &arena);
    struct rng rng;
    rng_init(&rng, 41);
    uint64_t allocations = memory_allocations();
    for (int round = 0; round < 500; round++) {
        struct drawn drawn;
        draw(&rng, 1 + round % 12, DENSE, &drawn);
        float got[TASKS], with_unknown[TASKS];
        scorer_score(scorer, drawn.keys, drawn.example.key_count, drawn.dense, got);
        drawn.keys[drawn.example.key_count] = 12345678901u; /* never seen: counts as 0 */
        scorer_score(scorer, drawn.keys, drawn.example.key_count + 1, drawn.dense, with_unknown);
        float expected[TASKS];
        predict(model, &drawn.example, expected);
        for (int t = 0; t < TASKS; t++) {
            assert_true(got[t] == expected[t]);
            assert_true(got[t] == with_unknown[t]);
        }
        scorer_end(scorer);
        model_learn(model, &drawn.example);
        scorer = begin(model, &arena);
    }
    assert_int_equal(memory_allocations(), allocations); /* known ids: neither side allocates */
    arena_deinit(&arena);
    model_close(model);
}

/* The first weights of the dense inputs are the caller's, task by task, and are copied. */
static void dense_weights_start_as_told(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(2, 4, 2);
    float start[] = {1.0f, 0.0f, -0.5f, 2.0f};
    struct model *model = NULL;
    assert_int_equal(model_open(&spec, start, NULL, &model, NULL), LEAT_OK);
    memset(start, 0, sizeof(start));
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    const float x[] = {0.75f, 0.25f};
    float out[2];
    scorer_score(begin(model, &arena), NULL, 0, x, out);
    assert_true(out[0] == kernel_sigmoid(0.75f));
    assert_true(out[1] == kernel_sigmoid(-0.5f * 0.75f + 2.0f * 0.25f));
    arena_deinit(&arena);
    model_close(model);
}

static void log_odds_is_for_training(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(1, 4, 0);
    struct model *model = open_model(&spec);
    uint64_t key = 5;
    /* 1 positive in 2, with the correction of a base rate of e^-2: p must come out below 1/2. */
    for (int n = 0; n < 4000; n++) {
        struct example example = {
            .keys = &key, .key_count = 1, .mask = 1, .labels = n & 1, .weight = 1, .log_odds = 2};
        model_learn(model, &example);
    }
    struct arena arena;
    arena_init(&arena, 4096, 1 << 20);
    float p = 0;
    scorer_score(begin(model, &arena), &key, 1, NULL, &p);
    assert_true(fabs((double)p - 1 / (1 + exp(2.0))) < 0.02);
    arena_deinit(&arena);
    model_close(model);
}

/* --- hard inputs --- */

static void wild_inputs_stay_finite(void **state) {
    (void)state;
    const float wild[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 0.0f, 1.0f};
    for (int optimiser = MODEL_ADAGRAD; optimiser <= MODEL_RMSPROP; optimiser++) {
        struct model_spec spec = fm_spec(TASKS, DIMENSION, DENSE);
        spec.optimiser = (enum model_optimiser)optimiser;
        struct model *model = open_model(&spec);
        struct rng rng;
        rng_init(&rng, 51);
        struct arena arena;
        arena_init(&arena, 4096, 1 << 20);
        for (int n = 0; n < 5000; n++) {
            struct drawn drawn;
            draw(&rng, (int)rng_below(&rng, EXAMPLE_KEYS_MAX + 1), DENSE, &drawn);
            drawn.dense[n % DENSE] = wild[rng_below(&rng, 8)];
            drawn.example.weight = wild[rng_below(&rng, 8)];
            drawn.example.log_odds = wild[rng_below(&rng, 8)];
            drawn.example.mask = (uint32_t)rng_next(&rng);
            model_learn(model, &drawn.example);
            float out[TASKS];
            scorer_score(begin(model, &arena), drawn.keys, drawn.example.key_count, drawn.dense,
                         out);
            for (int t = 0; t < TASKS; t++) {
                assert_true(out[t] >= 0 && out[t] <= 1);
            }
        }
        arena_deinit(&arena);
        model_close(model);
    }
}

/* An example that says nothing leaves no trace; one beyond the budget is counted and survived. */
static void nothing_and_too_much(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(1, 256, 0);
    spec.memory = 1 << 20;
    struct metrics *metrics = metrics_create();
    struct model *model = NULL;
    assert_int_equal(model_open(&spec, NULL, metrics, &model, NULL), LEAT_OK);
    uint64_t fresh = digest_of(model);
    uint64_t key = 1;
    struct example example = {.keys = &key, .key_count = 1, .mask = 2, .labels = 1, .weight = 1};
    model_learn(model, &example);
    example.mask = 1;
    example.weight = 0;
    model_learn(model, &example);
    assert_int_equal(digest_of(model), fresh);
    example.weight = 1;
    for (key = 0; key < 2000; key++) {
        model_learn(model, &example);
    }
    assert_true(model_rows(model) > 100 && model_rows(model) < 600);
    assert_true(metrics_value(metrics, METRIC_table_refused_total) ==
                (double)(2000 - model_rows(model)));
    assert_true(model_bytes(model) <= (2 << 20));
    model_close(model);
    metrics_destroy(metrics);
}

/* Each allocation of opening and freezing fails in turn: an error, nothing leaked, nothing changed.
 */
static void memory_may_end(void **state) {
    (void)state;
    struct model_spec spec = fm_spec(TASKS, DIMENSION, DENSE);
    struct model *model = NULL;
    int failures = 0;
    for (uint64_t n = 1; !model; n++) {
        memory_fail_at(n);
        leat_status status = model_open(&spec, NULL, NULL, &model, NULL);
        assert_int_equal(status, model ? LEAT_OK : LEAT_MEMORY);
        failures += !model;
    }
    assert_true(failures >= 9);
    struct model_snapshot *snapshot = NULL;
    for (uint64_t n = 1; !snapshot; n++) {
        memory_fail_at(n);
        leat_status status = model_freeze(model, &snapshot, NULL);
        assert_int_equal(status, snapshot ? LEAT_OK : LEAT_MEMORY);
    }
    memory_fail_at(0);
    struct model_snapshot *second = NULL;
    assert_int_equal(model_freeze(model, &second, NULL), LEAT_AGAIN);
    model_snapshot_release(snapshot);
    model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(learns_what_is_planted),
        cmocka_unit_test(restart_changes_nothing),
        cmocka_unit_test(kernels_learn_the_same),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(score_is_forward),
        cmocka_unit_test(log_odds_is_for_training),
        cmocka_unit_test(dense_weights_start_as_told),
        cmocka_unit_test(wild_inputs_stay_finite),
        cmocka_unit_test(nothing_and_too_much),
        cmocka_unit_test(memory_may_end),
        cmocka_unit_test(version_1_opens),
        cmocka_unit_test(a_file_is_the_model),
        cmocka_unit_test(version_2_opens),
        cmocka_unit_test(the_plain_loop_is_the_general_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
