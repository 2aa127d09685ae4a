/* Models that step a batch at a time: gradients of losses and pooling against differences, learning
 * what is planted, the same bits whatever the threads, the cuts and the restarts, scoring against
 * predicting, and garbage. */
#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/learn_test.h"
#include "learn/learner.h"

#include <math.h>

enum { FIELDS = 4, DIMENSION = 5, DENSE = 2, TASKS = 3, BATCH = 16, KEYS = 8 };

/* user and item by sum, a history by mean that has the item's rows, and one by attention. */
static struct model_spec net_spec(enum model_network network) {
    struct model_spec spec = spec_fixture(TASKS, DIMENSION, DENSE);
    static const char *const names[] = {"user", "item", "liked", "seen"};
    spec.network = network;
    spec.field_count = FIELDS;
    for (int f = 0; f < FIELDS; f++) {
        spec.fields[f] = (struct model_field){.target = -1, .shares = f, .rate = 1.0f};
        snprintf(spec.fields[f].name, sizeof(spec.fields[f].name), "%s", names[f]);
    }
    spec.fields[1].of_item = true;
    spec.fields[2].pool = POOL_MEAN;
    spec.fields[2].shares = 1;
    spec.fields[3].pool = POOL_TARGET;
    spec.fields[3].target = 1;
    spec.hidden_count = network >= NETWORK_DEEPFM ? 2 : 0;
    spec.hidden[0] = 8;
    spec.hidden[1] = 6;
    spec.hidden[0] = spec.hidden_count ? 8 : 0;
    spec.hidden[1] = spec.hidden_count ? 6 : 0;
    spec.cross = network == NETWORK_DCN ? 2 : 0;
    spec.experts = network == NETWORK_MMOE || network == NETWORK_PLE ? 2 : 0;
    spec.spread = 0.3f;
    spec.batch = network >= NETWORK_FWFM ? BATCH : 1;
    spec.shards = 3;
    if (network == NETWORK_TOWERS) {
        spec.task_count = 1;
        memset(spec.tasks + 1, 0, sizeof(spec.tasks) - sizeof(spec.tasks[0]));
        spec.tasks[0].head = HEAD_RETRIEVAL;
        spec.fields[3].target = -1;
        spec.fields[3].pool = POOL_MEAN;
    }
    return spec;
}

static struct model *open_model(const struct model_spec *spec) {
    struct model *model = NULL;
    leat_error err = {.message = ""};
    if (model_open(spec, NULL, NULL, &model, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
    return model;
}

static uint64_t digest_of(struct model *model) {
    uint64_t digest = 0;
    assert_int_equal(model_digest(model, &digest, NULL), LEAT_OK);
    return digest;
}

/* A batch with its own arrays. */
struct drawn {
    struct minibatch batch;
    uint32_t offsets[BATCH + 1], times[BATCH];
    uint64_t keys[BATCH * KEYS];
    float values[BATCH * KEYS], dense[BATCH * DENSE], targets[BATCH * TASKS];
    float weights[BATCH * TASKS], log_odds[BATCH];
};

static void add_keys(struct drawn *drawn, struct rng *rng, int field, int count, int ids) {
    uint32_t *used = &drawn->offsets[drawn->batch.count + 1];
    for (int i = 0; i < count; i++) {
        drawn->values[*used] = (float)(0.5 + rng_unit(rng));
        drawn->keys[(*used)++] = key_make(field, rng_below(rng, (uint64_t)ids) * 977);
    }
}

static void draw(struct rng *rng, int tasks, int ids, struct drawn *out) {
    memset(out, 0, sizeof(*out));
    for (int i = 0; i < BATCH; i++) {
        out->offsets[i + 1] = out->offsets[i];
        add_keys(out, rng, 0, 1, ids);
        add_keys(out, rng, 1, 1, ids);
        add_keys(out, rng, 2, (int)rng_below(rng, 4), ids);
        add_keys(out, rng, 3, (int)rng_below(rng, 4), ids);
        for (int d = 0; d < DENSE; d++) {
            out->dense[i * DENSE + d] = (float)rng_normal(rng);
        }
        for (int t = 0; t < tasks; t++) {
            out->targets[i * tasks + t] = rng_below(rng, 2) ? (t > 0 ? 2.5f : 1.0f) : 0.0f;
            out->weights[i * tasks + t] = rng_below(rng, 4) ? (float)(0.5 + rng_unit(rng)) : 0.0f;
        }
        out->log_odds[i] = rng_below(rng, 3) ? 0.0f : 0.7f;
        out->batch.count++;
    }
    out->batch.tasks = tasks;
    out->batch.dense_count = DENSE;
    out->batch.offsets = out->offsets;
    out->batch.keys = out->keys;
    out->batch.values = out->values;
    out->batch.dense = out->dense;
    out->batch.targets = out->targets;
    out->batch.weights = out->weights;
    out->batch.log_odds = out->log_odds;
}

/* --- gradients --- */

static double log_loss(double z, double y) {
    return y * log1p(exp(-z)) + (1 - y) * log1p(exp(z));
}

/* By the formulas of model_loss.h, in double, from the logits that the learner has. */
static double loss_of(const struct model *model, const struct minibatch *batch) {
    double total = 0;
    for (int i = 0; i < batch->count; i++) {
        const float *thresholds = model->dense + model->shape.thresholds;
        for (int t = 0; t < batch->tasks; t++) {
            const struct model_task *task = &model->spec.tasks[t];
            int at = i * batch->tasks + t;
            double z = (double)model->learner->logits[at] + (double)batch->log_odds[i];
            double y = (double)batch->targets[at];
            double loss = log_loss(z, y > 0);
            if (task->head == HEAD_REGRESSION) {
                loss = y * log1p(exp(-z)) + log1p(exp(z));
            } else if (task->head == HEAD_ORDINAL) {
                loss = 0;
                for (int k = 0; k < task->levels; k++) {
                    loss += log_loss(z - (double)thresholds[k], y >= (double)task->edges[k]);
                }
            }
            total += (double)batch->weights[at] * (double)task->weight * loss;
            thresholds += task->levels;
        }
    }
    return total;
}

static double loss_at(struct model *model, const struct minibatch *batch) {
    assert_true(learner_gradients(model, batch));
    return loss_of(model, batch);
}

static void expect_slope(struct model *model, const struct minibatch *batch, float *at,
                         double gradient) {
    const float step = 4e-3f;
    float kept = *at;
    *at = kept + step;
    double above = loss_at(model, batch);
    *at = kept - step;
    double below = loss_at(model, batch);
    *at = kept;
    double slope = (above - below) / (2 * (double)step);
    if (fabs(slope - gradient) > 3e-2 * (1 + fabs(slope))) {
        fail_msg("slope %g, gradient %g", slope, gradient);
    }
}

static int saying_of(const struct minibatch *batch) {
    int saying = 0;
    for (int i = 0; i < batch->count; i++) {
        float most = 0;
        for (int t = 0; t < batch->tasks; t++) {
            float weight = batch->weights[i * batch->tasks + t];
            most = weight > most ? weight : most;
        }
        saying += most > 0;
    }
    return saying;
}

static void gradients_are_slopes(void **state) {
    (void)state;
    struct model_spec spec = net_spec(NETWORK_FWFM);
    spec.tasks[1].head = HEAD_REGRESSION;
    spec.tasks[1].weight = 0.5f;
    spec.tasks[2].head = HEAD_ORDINAL;
    spec.tasks[2].levels = 2;
    spec.tasks[2].edges[0] = 1;
    spec.tasks[2].edges[1] = 2;
    struct model *model = open_model(&spec);
    struct rng rng;
    struct drawn drawn;
    rng_init(&rng, 21);
    draw(&rng, TASKS, 6, &drawn);
    assert_true(learner_gradients(model, &drawn.batch));
    int rows = model->learner->distinct.count;
    int weights = model->shape.weights;
    float *row_gradients = calloc((size_t)(rows * weights), sizeof(float));
    float *dense_gradients = calloc((size_t)model->shape.dense, sizeof(float));
    for (int u = 0; u < rows; u++) {
        learner_row_gradient(model, u, row_gradients + u * weights);
    }
    memcpy(dense_gradients, model->learner->shard[0].gradient,
           (size_t)model->shape.dense * sizeof(float));
    for (int n = 0; n < 60; n++) {
        int u = (int)rng_below(&rng, (uint64_t)rows);
        int i = (int)rng_below(&rng, (uint64_t)weights);
        expect_slope(model, &drawn.batch, &model->learner->distinct.moving[u][i],
                     (double)row_gradients[u * weights + i]);
        int d = n % 4 ? (int)rng_below(&rng, (uint64_t)model->shape.dense)
                      : model->shape.dense - 1 - n % 2;
        expect_slope(model, &drawn.batch, &model->dense[d],
                     (double)dense_gradients[d] * saying_of(&drawn.batch));
    }
    free(row_gradients);
    free(dense_gradients);
    model_close(model);
}

/* --- learning --- */

static double planted_logit(uint64_t user, uint64_t item, int task) {
    double u = hash_unit(hash_mix(user, 1)) - 0.5;
    double v = hash_unit(hash_mix(item, 2)) - 0.5;
    return (task == 1 ? -3 : 3) * (u + v) - 0.5;
}

static void plant(struct rng *rng, const struct model_spec *spec, struct drawn *out,
                  double *probabilities) {
    draw(rng, spec->task_count, 40, out);
    out->batch.values = NULL;
    for (int i = 0; i < BATCH; i++) {
        out->log_odds[i] = 0;
        const uint64_t *keys = out->keys + out->offsets[i];
        for (int t = 0; t < spec->task_count; t++) {
            double p = 1 / (1 + exp(-planted_logit(keys[0], keys[1], t)));
            probabilities[i * spec->task_count + t] = p;
            out->targets[i * spec->task_count + t] = rng_unit(rng) < p;
            out->weights[i * spec->task_count + t] = 1;
        }
    }
}

static double entropy(double p, double q) {
    q = q < 1e-6 ? 1e-6 : q > 1 - 1e-6 ? 1 - 1e-6 : q;
    return -(p * log(q) + (1 - p) * log(1 - q));
}

/* What is left of the loss that can be saved, over the last `probes` batches. */
static double learn_planted(struct model *model, int batches, int probes) {
    struct rng rng;
    rng_init(&rng, 31);
    double lost = 0, all = 0;
    for (int n = 0; n < batches; n++) {
        struct drawn drawn;
        double p[BATCH * TASKS];
        float out[BATCH * TASKS];
        plant(&rng, model_spec(model), &drawn, p);
        model_learn_batch(model, &drawn.batch, out);
        for (int i = 0; n >= batches - probes && i < BATCH * model_tasks(model); i++) {
            lost += entropy(p[i], (double)out[i]) - entropy(p[i], p[i]);
            all += entropy(p[i], 0.4) - entropy(p[i], p[i]);
        }
    }
    return lost / all;
}

static void learns_what_is_planted(void **state) {
    (void)state;
    for (int i = 0; i < 4 + NETWORK_PLE - NETWORK_FWFM; i++) {
        struct model_spec spec = net_spec(i < 4 ? NETWORK_DEEPFM : NETWORK_FWFM + i - 4);
        spec.optimiser = (enum model_optimiser)(i < 4 ? i : MODEL_ADAGRAD);
        bool moments = spec.optimiser == MODEL_ADAM || spec.optimiser == MODEL_RMSPROP;
        spec.spread = 0.05f;
        spec.rate = moments ? 0.005f : 0.1f;
        spec.rate_dense = moments ? 0.002f : 0.02f;
        struct model *model = open_model(&spec);
        double left = learn_planted(model, 1500, 300);
        print_message("%s by %s: %.3f of what could be saved is left\n",
                      model_network_name(spec.network), model_optimiser_name(spec.optimiser), left);
        assert_true(left < 0.4);
        model_close(model);
    }
}

/* Towers: the item that goes with a user comes to be nearer to it than others. */
static void towers_find_the_item(void **state) {
    (void)state;
    struct model_spec spec = net_spec(NETWORK_TOWERS);
    spec.rate_dense = 0.02f;
    struct model *model = open_model(&spec);
    struct rng rng;
    rng_init(&rng, 32);
    int right = 0, asked = 0;
    for (int n = 0; n < 600; n++) {
        struct drawn drawn;
        draw(&rng, 1, 10, &drawn);
        drawn.batch.values = NULL;
        for (int i = 0; i < BATCH; i++) {
            uint64_t *keys = drawn.keys + drawn.offsets[i];
            drawn.offsets[i + 1] = drawn.offsets[i] + 2;
            keys = drawn.keys + drawn.offsets[i];
            uint64_t user = rng_below(&rng, 10);
            keys[0] = key_make(0, user);
            keys[1] = key_make(1, (user * 3 + 1) % 10);
            drawn.targets[i] = 1;
            drawn.weights[i] = 1;
        }
        model_learn_batch(model, &drawn.batch, NULL);
    }
    for (uint64_t user = 0; user < 10; user++) {
        uint64_t keys[20];
        uint32_t offsets[11] = {0};
        float out[10], dense[10 * DENSE] = {0};
        for (uint64_t item = 0; item < 10; item++) {
            keys[2 * item] = key_make(0, user);
            keys[2 * item + 1] = key_make(1, item);
            offsets[item + 1] = (uint32_t)(2 * item + 2);
        }
        const struct minibatch batch = {.count = 10,
                                        .tasks = 1,
                                        .dense_count = DENSE,
                                        .offsets = offsets,
                                        .keys = keys,
                                        .dense = dense};
        model_predict_batch(model, &batch, out);
        int best = 0;
        for (int i = 1; i < 10; i++) {
            best = out[i] > out[best] ? i : best;
        }
        right += (uint64_t)best == (user * 3 + 1) % 10;
        asked++;
    }
    assert_true(right >= asked - 1);
    model_close(model);
}

/* --- the same bits --- */

static void learn_batches(struct model *model, int from, int to) {
    for (int n = from; n < to; n++) {
        struct rng rng;
        struct drawn drawn;
        rng_init(&rng, (uint64_t)n);
        draw(&rng, model_tasks(model), 50, &drawn);
        model_learn_batch(model, &drawn.batch, NULL);
    }
}

static void threads_change_nothing(void **state) {
    (void)state;
    for (int network = NETWORK_FWFM; network <= NETWORK_TOWERS; network++) {
        struct model_spec spec = net_spec((enum model_network)network);
        struct model *one = open_model(&spec);
        struct model *two = open_model(&spec);
        assert_int_equal(model_threads(two, 2, NULL), LEAT_OK);
        learn_batches(one, 0, 60);
        learn_batches(two, 0, 60);
        assert_int_equal(digest_of(one), digest_of(two));
        model_close(one);
        model_close(two);
    }
}

/* Examples as flow gives them: several of one sequence number, gaps. */
static void learn_examples(struct model *model, int from, int to, int reach_every) {
    for (int n = from; n < to; n++) {
        struct rng rng;
        struct drawn drawn;
        rng_init(&rng, (uint64_t)n);
        draw(&rng, TASKS, 50, &drawn);
        uint64_t sequence = (uint64_t)n * 3 / 2 + (uint64_t)(n / 100 * 40);
        if (reach_every > 0 && n % reach_every == 0) {
            model_reach(model, sequence);
        }
        model_learn(model, &(struct example){.sequence = sequence,
                                             .keys = drawn.keys,
                                             .key_count = (int)drawn.offsets[1],
                                             .dense = drawn.dense,
                                             .dense_count = DENSE,
                                             .mask = (uint32_t)rng_below(&rng, 8),
                                             .labels = (uint32_t)rng_below(&rng, 8),
                                             .weight = 1,
                                             .flags = rng_below(&rng, 4) ? 0 : EXAMPLE_FAKE,
                                             .shown_ms = 1000 * n});
    }
    if (reach_every >= 0) {
        model_reach(model, 1u << 30);
    }
}

static void cuts_are_of_the_log(void **state) {
    (void)state;
    struct model_spec spec = net_spec(NETWORK_DEEPFM);
    uint64_t expected = 0;
    for (int i = 0; i < 4; i++) {
        struct model *model = open_model(&spec);
        learn_examples(model, 0, 500, (int[]){0, 1, 7, 30}[i]);
        assert_int_equal(model->pending.count, 0);
        expected = i == 0 ? digest_of(model) : expected;
        assert_int_equal(digest_of(model), expected);
        model_close(model);
    }
}

/* Stopped with examples that wait for their batch, restored, and continued. */
static void restart_changes_nothing(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct model_spec spec = net_spec(NETWORK_DCN);
        spec.optimiser = (enum model_optimiser)i;
        spec.calibrate = i % 2;
        struct model *whole = open_model(&spec);
        struct model *first = open_model(&spec);
        struct model *second = open_model(&spec);
        learn_examples(whole, 0, 600, 0);
        learn_examples(first, 0, 307, -1);
        assert_true(first->pending.count > 0);
        struct model_snapshot *snapshot = NULL;
        assert_int_equal(model_freeze(first, &snapshot, NULL), LEAT_OK);
        uint64_t frozen = digest_of(first);
        learn_examples(first, 307, 400, -1);
        struct bytes bytes;
        bytes_init(&bytes);
        assert_int_equal(model_snapshot_write(snapshot, sink_bytes, &bytes, NULL), LEAT_OK);
        model_snapshot_release(snapshot);
        struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
        assert_int_equal(model_restore(second, source_bytes, &reader, NULL), LEAT_OK);
        assert_int_equal(digest_of(second), frozen);
        learn_examples(second, 307, 600, 0);
        assert_int_equal(digest_of(second), digest_of(whole));
        bytes_deinit(&bytes);
        model_close(whole);
        model_close(first);
        model_close(second);
    }
}

/* Ids that stay away lose their rows, by event time; rare ones get none; and a restart in between
 * changes nothing. */
static void rows_come_and_go(void **state) {
    (void)state;
    for (int network = NETWORK_FM; network <= NETWORK_DCN; network += NETWORK_DCN) {
        struct model_spec spec = net_spec((enum model_network)network);
        spec.fields[0].expire_s = 100;
        spec.fields[1].admit = 3;
        spec.fields[2].pool = POOL_MEAN;
        struct model *model = open_model(&spec);
        for (uint32_t n = 0; n < 4000; n++) {
            const uint64_t keys[] = {key_make(0, n / 10), key_make(1, n / 2),
                                     key_make(1, 1u << 20)};
            const float dense[DENSE] = {0};
            model_learn(model, &(struct example){.sequence = n,
                                                 .keys = keys,
                                                 .key_count = 3,
                                                 .dense = dense,
                                                 .dense_count = DENSE,
                                                 .mask = 1,
                                                 .weight = 1,
                                                 .shown_ms = 1000000 + 1000 * (int64_t)n});
        }
        model_reach(model, 1u << 20);
        struct table_stats stats;
        table_stats(model_table(model), &stats);
        assert_true(stats.expired > 300 && stats.waiting > 3500);
        assert_in_range(model_rows(model), 10, 60);
        model_close(model);
    }
}

/* --- scoring --- */

static bool near(float a, float b) {
    return fabsf(a - b) <= 1e-5f;
}

/* Candidates of one request: by predicting, one by one, and prepared. */
static void check_request(struct model *model, struct rng *rng, struct arena *arena) {
    struct drawn drawn;
    float expected[BATCH * TASKS], out[BATCH * TASKS];
    uint64_t item_keys[BATCH];
    uint32_t item_offsets[BATCH + 1] = {0};
    draw(rng, TASKS, 60, &drawn);
    drawn.batch.values = NULL;
    uint64_t request[KEYS];
    int count = 0;
    for (uint32_t k = 0; k < drawn.offsets[1]; k++) {
        if (key_field(drawn.keys[k]) != 1) {
            request[count++] = drawn.keys[k];
        }
    }
    uint64_t keys[BATCH * KEYS];
    uint32_t offsets[BATCH + 1] = {0};
    for (int i = 0; i < BATCH; i++) {
        item_keys[i] = key_make(1, rng_below(rng, 60) * 977);
        item_offsets[i + 1] = (uint32_t)i + 1;
        uint32_t used = offsets[i];
        memcpy(keys + used, request, (size_t)count * sizeof(*keys));
        keys[used + (uint32_t)count] = item_keys[i];
        offsets[i + 1] = used + (uint32_t)count + 1;
    }
    struct minibatch whole = drawn.batch, items = drawn.batch;
    whole.keys = keys;
    whole.offsets = offsets;
    items.keys = item_keys;
    items.offsets = item_offsets;
    model_predict_batch(model, &whole, expected);
    struct scorer *scorer;
    arena_reset(arena);
    assert_int_equal(scorer_begin(model, arena, &scorer, NULL), LEAT_OK);
    uint64_t allocations = memory_allocations();
    scorer_prepare(scorer, request, count);
    scorer_score_items(scorer, &items, out);
    float wholes[BATCH * TASKS];
    whole.values = NULL;
    scorer_score_wholes(scorer, &whole, wholes);
    for (int i = 0; i < BATCH; i++) {
        float lone[TASKS];
        scorer_score(scorer, keys + offsets[i], count + 1, drawn.dense + i * DENSE, lone);
        for (int t = 0; t < TASKS; t++) {
            assert_true(near(out[i * TASKS + t], expected[i * TASKS + t]));
            assert_true(near(lone[t], expected[i * TASKS + t]));
            assert_true(near(wholes[i * TASKS + t], expected[i * TASKS + t]));
        }
    }
    assert_int_equal(memory_allocations(), allocations);
    scorer_end(scorer);
}

static void scores_are_predictions(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20, 16 << 20);
    for (int network = NETWORK_FM; network <= NETWORK_PLE; network++) {
        struct model_spec spec = net_spec((enum model_network)network);
        spec.calibrate = network % 2;
        if (network <= NETWORK_LOGISTIC) {
            spec.fields[3].pool = POOL_SUM;
            spec.fields[3].target = -1;
            spec.fields[2].pool = POOL_SUM;
        }
        struct model *model = open_model(&spec);
        struct rng rng;
        rng_init(&rng, 41);
        for (int round = 0; round < 6; round++) {
            learn_batches(model, round * 5, round * 5 + 5);
            if (model->learner) {
                learner_publish(model, true);
            }
            check_request(model, &rng, &arena);
        }
        model_close(model);
    }
    arena_deinit(&arena);
}

/* A request keeps the weights it began with; the next sees newer ones. */
static void versions_are_whole(void **state) {
    (void)state;
    struct model_spec spec = net_spec(NETWORK_DEEPFM);
    struct model *model = open_model(&spec);
    int slots[VERSION_SLOTS - 1];
    const float *held[VERSION_SLOTS - 1];
    float first[VERSION_SLOTS - 1];
    for (int i = 0; i < VERSION_SLOTS - 1; i++) {
        held[i] = learner_acquire(model, &slots[i]);
        first[i] = held[i][model->shape.dense - 1];
        learn_batches(model, i, i + 1); /* publishes, as somebody asked */
    }
    for (int i = 0; i < VERSION_SLOTS - 1; i++) {
        assert_true(held[i][model->shape.dense - 1] == first[i]);
        learner_release(model, slots[i]);
    }
    int slot;
    const float *now = learner_acquire(model, &slot);
    assert_true(memcmp(now, model->dense, (size_t)model->shape.dense * sizeof(float)) == 0);
    learner_release(model, slot);
    model_close(model);
}

/* --- hard inputs --- */

static void expect_finite(struct model *model) {
    for (int i = 0; i < model->shape.dense; i++) {
        assert_true(isfinite(model->dense[i]));
    }
    int width = optimiser_width(&model->optimiser);
    for (uint32_t row = 0; row < model_rows(model); row++) {
        for (int i = 0; i < width; i++) {
            assert_true(isfinite(table_row(model->table, row)[i]));
        }
    }
}

static void garbage_is_survived(void **state) {
    (void)state;
    const float wild[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, 0.0f, 1.0f};
    for (int network = NETWORK_FWFM; network <= NETWORK_TOWERS; network++) {
        struct model_spec spec = net_spec((enum model_network)network);
        spec.optimiser = (enum model_optimiser)(network % 4);
        spec.calibrate = true;
        struct model *model = open_model(&spec);
        struct rng rng;
        rng_init(&rng, 51);
        for (int n = 0; n < 100; n++) {
            struct drawn drawn;
            draw(&rng, model_tasks(model), 50, &drawn);
            for (int i = 0; i < BATCH; i++) {
                drawn.dense[i * DENSE + n % DENSE] = wild[rng_below(&rng, 8)];
                drawn.targets[rng_below(&rng, (uint64_t)(BATCH * drawn.batch.tasks))] =
                    wild[rng_below(&rng, 8)];
                drawn.weights[rng_below(&rng, (uint64_t)(BATCH * drawn.batch.tasks))] =
                    wild[rng_below(&rng, 8)];
                drawn.values[rng_below(&rng, drawn.offsets[BATCH])] = wild[rng_below(&rng, 8)];
                drawn.keys[rng_below(&rng, drawn.offsets[BATCH])] = rng_next(&rng);
                drawn.log_odds[i] = wild[rng_below(&rng, 8)];
            }
            drawn.batch.count = n % 10 ? BATCH : 0;
            float out[BATCH * TASKS];
            model_learn_batch(model, &drawn.batch, out);
            for (int i = 0; i < drawn.batch.count * model_tasks(model); i++) {
                assert_true(out[i] >= 0 && out[i] <= 1);
            }
        }
        expect_finite(model);
        struct model_counts counts;
        model_counts(model, &counts);
        assert_int_equal(counts.examples, 90 * BATCH);
        assert_true(counts.not_finite > 0 && counts.unknown > 0);
        assert_true(counts.steps > 40);
        model_close(model);
    }
}

/* Each allocation of opening fails in turn; and one in the middle of learning, where a batch has
 * more keys than any before. */
static void memory_may_end(void **state) {
    (void)state;
    struct model_spec spec = net_spec(NETWORK_DEEPFM);
    struct model *model = NULL;
    for (uint64_t n = 1; !model; n++) {
        memory_fail_at(n);
        leat_status status = model_open(&spec, NULL, NULL, &model, NULL);
        assert_int_equal(status, model ? LEAT_OK : LEAT_MEMORY);
    }
    memory_fail_at(0);
    uint64_t before = digest_of(model);
    static uint64_t keys[BATCH * MODEL_KEYS_MAX];
    uint32_t offsets[BATCH + 1] = {0};
    struct drawn drawn;
    struct rng rng;
    rng_init(&rng, 61);
    draw(&rng, TASKS, 9, &drawn);
    for (int i = 0; i < BATCH; i++) {
        offsets[i + 1] = (uint32_t)(i + 1) * MODEL_KEYS_MAX;
    }
    drawn.batch.offsets = offsets;
    drawn.batch.keys = keys;
    drawn.batch.values = NULL;
    uint64_t refusals = memory_refusals();
    memory_fail_at(1);
    model_learn_batch(model, &drawn.batch, NULL);
    memory_fail_at(0);
    assert_int_equal(memory_refusals(), refusals + 1);
    assert_int_equal(digest_of(model), before);
    model_learn_batch(model, &drawn.batch, NULL);
    assert_int_not_equal(digest_of(model), before);
    model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_slopes),   cmocka_unit_test(learns_what_is_planted),
        cmocka_unit_test(towers_find_the_item),   cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(cuts_are_of_the_log),    cmocka_unit_test(restart_changes_nothing),
        cmocka_unit_test(scores_are_predictions), cmocka_unit_test(versions_are_whole),
        cmocka_unit_test(rows_come_and_go),       cmocka_unit_test(garbage_is_survived),
        cmocka_unit_test(memory_may_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
