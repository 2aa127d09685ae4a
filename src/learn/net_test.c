/* Gradients against differences, prepared against whole, chunks of histories against one by one. */
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "learn/net_internal.h"
#include "learn/net_loops.h"
#include "learn/net_matrix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_MAX = 6, KEYS_MAX = 9 };

static float uniform(struct rng *rng, float bound) {
    return bound * (float)(2.0 * rng_unit(rng) - 1.0);
}

/* A description, and one batch of random input for it. */
struct trial {
    struct model_spec spec;
    struct net_plan *plan;
    struct net_work *work;
    struct net_input input;
    float *parameters, *parameter_gradients;
    float *embeddings, *embedding_gradients;
    float *dense;
    float *towards; /* the loss is the sum of towards x logit */
    float *logits;
    struct net_history histories[2];
    uint32_t offsets[2][ROWS_MAX + 1];
    float *vectors[2], *vector_gradients[2];
};

static float *new_floats(struct rng *rng, size_t count, float bound) {
    float *floats = malloc((count + 1) * sizeof(*floats));
    assert_non_null(floats);
    for (size_t i = 0; i < count; i++) {
        floats[i] = uniform(rng, bound);
    }
    return floats;
}

static void random_spec(struct trial *trial, struct rng *rng, enum model_network network) {
    struct model_spec *spec = &trial->spec;
    *spec = (struct model_spec){.network = network,
                                .field_count = 2 + (int)rng_below(rng, 4),
                                .dense_count = (int)rng_below(rng, 4),
                                .task_count = 1 + (int)rng_below(rng, 3),
                                .dimension = 1 + (int)rng_below(rng, 9),
                                .cross = 1 + (int)rng_below(rng, 2),
                                .experts = 1 + (int)rng_below(rng, 3),
                                .hidden_count = 1 + (int)rng_below(rng, 3)};
    for (int l = 0; l < spec->hidden_count; l++) {
        spec->hidden[l] = 2 + (int)rng_below(rng, 7);
    }
    for (int t = 0; t < spec->task_count; t++) {
        snprintf(spec->tasks[t].name, sizeof(spec->tasks[t].name), "task%d", t);
        spec->tasks[t].negative = rng_below(rng, 2) == 0;
    }
    for (int f = 0; f < spec->field_count; f++) {
        snprintf(spec->fields[f].name, sizeof(spec->fields[f].name), "field%d", f);
        spec->fields[f].of_item = f % 2 == 1;
        spec->fields[f].target = -1;
        if (f >= 2 && rng_below(rng, 2) == 0 && trial->input.history_count < 2) {
            spec->fields[f].pool = POOL_TARGET;
            spec->fields[f].target = 1;
            trial->histories[trial->input.history_count++].field = f;
        }
    }
}

static void trial_init(struct trial *trial, struct rng *rng, enum model_network network, int rows) {
    memset(trial, 0, sizeof(*trial));
    random_spec(trial, rng, network);
    const struct model_spec *spec = &trial->spec;
    assert_int_equal(net_plan_create(spec, &trial->plan, NULL), LEAT_OK);
    assert_int_equal(net_work_create(trial->plan, ROWS_MAX, true, &trial->work, NULL), LEAT_OK);
    size_t parameters = net_parameters(trial->plan);
    size_t width = (size_t)(rows * net_width(spec));
    trial->parameters = new_floats(rng, parameters, 0.0f);
    net_start(trial->plan, 5, trial->parameters);
    for (size_t i = 0; i < parameters; i++) {
        trial->parameters[i] += uniform(rng, 0.1f); /* biases, too, are not 0 */
    }
    trial->parameter_gradients = new_floats(rng, parameters, 1.0f);
    trial->embeddings = new_floats(rng, width, 1.0f);
    trial->embedding_gradients = new_floats(rng, width, 1.0f);
    trial->dense = new_floats(rng, (size_t)(rows * spec->dense_count), 1.0f);
    trial->towards = new_floats(rng, (size_t)(rows * spec->task_count), 1.0f);
    trial->logits = new_floats(rng, (size_t)(rows * spec->task_count), 1.0f);
    for (int h = 0; h < trial->input.history_count; h++) {
        uint32_t *offsets = trial->offsets[h];
        for (int r = 0; r < rows; r++) {
            offsets[r + 1] = offsets[r] + (uint32_t)rng_below(rng, KEYS_MAX);
        }
        size_t floats = (size_t)offsets[rows] * (size_t)spec->dimension;
        trial->vectors[h] = new_floats(rng, floats, 1.0f);
        trial->vector_gradients[h] = new_floats(rng, floats, 1.0f);
        trial->histories[h].offsets = offsets;
        trial->histories[h].vectors = trial->vectors[h];
        trial->histories[h].gradients = trial->vector_gradients[h];
    }
    trial->input.rows = rows;
    trial->input.embeddings = trial->embeddings;
    trial->input.dense = trial->dense;
    trial->input.histories = trial->histories;
}

static void trial_deinit(struct trial *trial) {
    free(trial->parameters);
    free(trial->parameter_gradients);
    free(trial->embeddings);
    free(trial->embedding_gradients);
    free(trial->dense);
    free(trial->towards);
    free(trial->logits);
    for (int h = 0; h < 2; h++) {
        free(trial->vectors[h]);
        free(trial->vector_gradients[h]);
    }
    net_work_destroy(trial->work);
    net_plan_destroy(trial->plan);
}

static double loss(struct trial *trial) {
    net_forward(trial->work, trial->parameters, &trial->input, trial->logits);
    double sum = 0;
    for (int i = 0; i < trial->input.rows * trial->spec.task_count; i++) {
        sum += (double)trial->towards[i] * (double)trial->logits[i];
    }
    return sum;
}

/* At a kink of a ReLU one step is misled; a wrong gradient is wrong at all of them. */
static bool agrees(struct trial *trial, float *value, double gradient) {
    static const float steps[] = {1e-2f, 3e-3f, 1e-3f, 3e-4f, 1e-4f};
    float was = *value;
    double difference = 0;
    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        *value = was + steps[s];
        float up = *value;
        double above = loss(trial);
        *value = was - steps[s];
        double below = loss(trial);
        difference = (above - below) / ((double)up - (double)*value);
        *value = was;
        if (fabs(difference - gradient) <= 2e-2 * fabs(gradient) + 3e-3 + 5e-7 / (double)steps[s]) {
            return true;
        }
    }
    print_message("%s: gradient %g, differences say %g\n", model_network_name(trial->spec.network),
                  gradient, difference);
    return false;
}

static void check_some(struct trial *trial, struct rng *rng, float *values, const float *gradients,
                       size_t count) {
    for (int i = 0; count > 0 && i < 24; i++) {
        size_t at = rng_below(rng, count);
        assert_true(agrees(trial, &values[at], (double)gradients[at]));
    }
}

static bool is_history(const struct trial *trial, size_t at) {
    size_t field = at / (size_t)trial->spec.dimension % (size_t)trial->spec.field_count;
    return trial->spec.fields[field].pool == POOL_TARGET;
}

static void check_gradients(enum model_network network, uint64_t seed) {
    struct rng rng;
    rng_init(&rng, seed);
    struct trial trial;
    trial_init(&trial, &rng, network, 1 + (int)rng_below(&rng, ROWS_MAX));
    (void)loss(&trial);
    net_backward(trial.work, trial.parameters, &trial.input, trial.towards,
                 trial.parameter_gradients, trial.embedding_gradients);
    for (int p = 0; p < net_parts(trial.plan); p++) {
        const struct net_part *part = net_part_at(trial.plan, p);
        for (int i = 0; i < 4; i++) {
            size_t at = part->first + rng_below(&rng, (uint64_t)(part->rows * part->columns));
            assert_true(
                agrees(&trial, &trial.parameters[at], (double)trial.parameter_gradients[at]));
        }
    }
    size_t width = (size_t)(trial.input.rows * net_width(&trial.spec));
    for (size_t at = 0; at < width; at++) {
        if (is_history(&trial, at)) {
            assert_true(trial.embedding_gradients[at] == 0.0f);
        }
    }
    for (int i = 0; i < 24; i++) {
        size_t at = rng_below(&rng, width);
        if (!is_history(&trial, at)) {
            assert_true(
                agrees(&trial, &trial.embeddings[at], (double)trial.embedding_gradients[at]));
        }
    }
    for (int h = 0; h < trial.input.history_count; h++) {
        check_some(&trial, &rng, trial.vectors[h], trial.vector_gradients[h],
                   trial.offsets[h][trial.input.rows] * (size_t)trial.spec.dimension);
    }
    trial_deinit(&trial);
}

static void gradients_are_right(void **state) {
    (void)state;
    for (int network = NETWORK_FWFM; network <= NETWORK_TOWERS; network++) {
        for (uint64_t seed = 0; seed < 30; seed++) {
            check_gradients((enum model_network)network, 100 * (uint64_t)network + seed);
        }
    }
}

static void prepared_is_whole(void **state) {
    (void)state;
    for (int network = NETWORK_FWFM; network <= NETWORK_TOWERS; network++) {
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct rng rng;
            rng_init(&rng, seed);
            struct trial trial;
            trial_init(&trial, &rng, (enum model_network)network, ROWS_MAX);
            size_t k = (size_t)trial.spec.dimension;
            size_t width = (size_t)net_width(&trial.spec);
            for (size_t r = 1; r < ROWS_MAX; r++) { /* one request */
                for (int f = 0; f < trial.spec.field_count; f++) {
                    if (!trial.spec.fields[f].of_item) {
                        memcpy(trial.embeddings + r * width + (size_t)f * k,
                               trial.embeddings + (size_t)f * k, k * sizeof(float));
                    }
                }
            }
            (void)loss(&trial);
            float items[ROWS_MAX * MODEL_TASKS_MAX];
            net_prepare(trial.work, trial.parameters, &trial.input);
            for (size_t at = 0; at < ROWS_MAX * width; at++) { /* not looked at any more */
                int field = (int)(at / k % (size_t)trial.spec.field_count);
                if (!trial.spec.fields[field].of_item) {
                    trial.embeddings[at] = 7.0f;
                }
            }
            net_forward_items(trial.work, trial.parameters, &trial.input, items);
            for (int i = 0; i < ROWS_MAX * trial.spec.task_count; i++) {
                assert_true(fabsf(items[i] - trial.logits[i]) <=
                            1e-4f * (1.0f + fabsf(trial.logits[i])));
            }
            trial_deinit(&trial);
        }
    }
}

/* A softmax over a batch: gradients come in at the vectors. */
static void towers_take_gradients(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 3);
    struct trial trial;
    trial_init(&trial, &rng, NETWORK_TOWERS, 4);
    int width = net_tower_width(trial.plan);
    size_t count = (size_t)(4 * width);
    float *users = new_floats(&rng, count, 1.0f);
    float *items = new_floats(&rng, count, 1.0f);
    float *scale = trial.parameters + trial.plan->ops[trial.plan->op_count - 1].w;
    trial.spec.task_count = 1;
    net_towers(trial.work, trial.parameters, &trial.input, users, items);
    float unit = 0.0f;
    for (int i = 0; i < width; i++) {
        unit += users[i] * users[i];
    }
    assert_true(fabsf(unit - 1.0f) < 1e-4f || unit < 1e-6f);
    /* The loss of `towards` at task 0 alone: scale x <u, v>. */
    int tasks = trial.plan->spec.task_count;
    for (int r = 0; r < 4; r++) {
        for (int t = 1; t < tasks; t++) {
            trial.towards[r * tasks + t] = 0.0f;
        }
    }
    (void)loss(&trial);
    net_backward(trial.work, trial.parameters, &trial.input, trial.towards,
                 trial.parameter_gradients, trial.embedding_gradients);
    float *g_users = new_floats(&rng, count, 0.0f);
    float *g_items = new_floats(&rng, count, 0.0f);
    for (int r = 0; r < 4; r++) {
        for (int i = 0; i < width; i++) {
            float g = trial.towards[r * tasks] * scale[0];
            g_users[r * width + i] = g * items[r * width + i];
            g_items[r * width + i] = g * users[r * width + i];
        }
    }
    size_t embeddings = (size_t)(4 * net_width(&trial.spec));
    float *again = new_floats(&rng, embeddings, 1.0f);
    net_towers(trial.work, trial.parameters, &trial.input, users, items);
    net_towers_backward(trial.work, trial.parameters, &trial.input, g_users, g_items,
                        trial.parameter_gradients, again);
    for (size_t i = 0; i < embeddings; i++) {
        assert_true(fabsf(again[i] - trial.embedding_gradients[i]) <=
                    1e-5f + 1e-4f * fabsf(again[i]));
    }
    free(users);
    free(items);
    free(g_users);
    free(g_items);
    free(again);
    trial_deinit(&trial);
}

/* More keys than a chunk holds: the same pooled vectors as rows by themselves. */
static void long_histories_are_cut_anywhere(void **state) {
    (void)state;
    enum { ROWS = 40, EACH = 30, K = 4 };
    struct model_spec spec = {.network = NETWORK_DEEPFM,
                              .field_count = 3,
                              .task_count = 1,
                              .dimension = K,
                              .hidden_count = 1,
                              .hidden = {8}};
    spec.fields[2] = (struct model_field){.pool = POOL_TARGET, .target = 1};
    struct net_plan *plan;
    struct net_work *work;
    assert_int_equal(net_plan_create(&spec, &plan, NULL), LEAT_OK);
    assert_int_equal(net_work_create(plan, ROWS, false, &work, NULL), LEAT_OK);
    struct rng rng;
    rng_init(&rng, 9);
    float *parameters = new_floats(&rng, net_parameters(plan), 0.0f);
    net_start(plan, 1, parameters);
    float *embeddings = new_floats(&rng, ROWS * 3 * K, 1.0f);
    float *vectors = new_floats(&rng, ROWS * EACH * K, 1.0f);
    uint32_t offsets[ROWS + 1];
    for (uint32_t r = 0; r <= ROWS; r++) {
        offsets[r] = r * EACH;
    }
    struct net_history history = {.field = 2, .offsets = offsets, .vectors = vectors};
    struct net_input input = {
        .rows = ROWS, .embeddings = embeddings, .history_count = 1, .histories = &history};
    float whole[ROWS];
    net_forward(work, parameters, &input, whole);
    for (int r = 0; r < ROWS; r++) {
        uint32_t own[2] = {0, EACH};
        struct net_history one = {.field = 2, .offsets = own, .vectors = vectors + r * EACH * K};
        struct net_input row = {
            .rows = 1, .embeddings = embeddings + r * 3 * K, .history_count = 1, .histories = &one};
        float logit;
        net_forward(work, parameters, &row, &logit);
        assert_true(fabsf(logit - whole[r]) <= 1e-4f * (1.0f + fabsf(logit)));
    }
    free(parameters);
    free(embeddings);
    free(vectors);
    net_work_destroy(work);
    net_plan_destroy(plan);
}

static void plans_are_refused_in_words(void **state) {
    (void)state;
    struct net_plan *plan = NULL;
    leat_error err = {.status = LEAT_OK};
    struct model_spec spec = {
        .network = NETWORK_MMOE, .field_count = 1, .task_count = 1, .dimension = 4, .experts = 2};
    assert_int_equal(net_plan_create(&spec, &plan, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "hidden"));
    spec.hidden_count = 1;
    spec.hidden[0] = 4;
    spec.experts = 0;
    assert_int_equal(net_plan_create(&spec, &plan, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "experts"));
    spec.network = NETWORK_PLE;
    spec.experts = MODEL_EXPERTS_MAX;
    spec.task_count = MODEL_TASKS_MAX;
    spec.hidden_count = 4;
    spec.hidden[1] = spec.hidden[2] = spec.hidden[3] = 4;
    assert_int_equal(net_plan_create(&spec, &plan, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "fewer experts"));
    spec = (struct model_spec){.network = NETWORK_DEEPFM, .task_count = 1, .dimension = 4};
    assert_int_equal(net_plan_create(&spec, &plan, &err), LEAT_INVALID);
    memory_fail_at(1);
    spec.field_count = 1;
    assert_int_equal(net_plan_create(&spec, &plan, &err), LEAT_MEMORY);
}

static void wide_loops_give_the_same_bits(void **state) {
    (void)state;
    const struct net_loops *a = net_loops_scalar();
    const struct net_loops *b = net_loops_best();
    struct rng rng;
    rng_init(&rng, 4);
    enum { N = 37, R = 5 };
    float x[R * N], y[R * N], z[R * N], p[R * N], q[R * N];
    for (int i = 0; i < R * N; i++) {
        x[i] = uniform(&rng, 1.0f);
        y[i] = uniform(&rng, 1.0f);
        z[i] = uniform(&rng, 1.0f);
    }
    for (int n = 0; n <= N; n++) {
#define SAME(call_a, call_b)                                                                       \
    memcpy(p, z, sizeof(z));                                                                       \
    memcpy(q, z, sizeof(z));                                                                       \
    call_a;                                                                                        \
    call_b;                                                                                        \
    assert_memory_equal(p, q, sizeof(p))
        SAME(a->bias(p, R, n, N, x, 1), b->bias(q, R, n, N, x, 1));
        SAME(a->mask(p, N, x, N, R, n), b->mask(q, N, x, N, R, n));
        SAME(a->column_sums(x, R, n, N, p), b->column_sums(x, R, n, N, q));
        SAME(a->add(p, x, n), b->add(q, x, n));
        SAME(a->add_product(p, x, y, n), b->add_product(q, x, y, n));
        SAME(a->product(p, x, y, n), b->product(q, x, y, n));
        SAME(a->add_scaled(p, 0.3f, x, n), b->add_scaled(q, 0.3f, x, n));
        SAME(a->product_add(p, x, y, x, n), b->product_add(q, x, y, x, n));
        SAME(a->sums(x, n > 0 ? R * N / n : 0, n, p, p + N),
             b->sums(x, n > 0 ? R * N / n : 0, n, q, q + N));
        SAME(a->add_pulls(p, y, z, x, n > 0 ? R * N / n : 0, n),
             b->add_pulls(q, y, z, x, n > 0 ? R * N / n : 0, n));
#undef SAME
    }
}

static void nothing_is_allocated(void **state) {
    (void)state;
    for (int network = NETWORK_FWFM; network <= NETWORK_TOWERS; network++) {
        struct rng rng;
        rng_init(&rng, 8);
        struct trial trial;
        trial_init(&trial, &rng, (enum model_network)network, ROWS_MAX);
        uint64_t before = memory_allocations();
        (void)loss(&trial);
        net_backward(trial.work, trial.parameters, &trial.input, trial.towards,
                     trial.parameter_gradients, trial.embedding_gradients);
        net_prepare(trial.work, trial.parameters, &trial.input);
        net_forward_items(trial.work, trial.parameters, &trial.input, trial.logits);
        assert_int_equal(memory_allocations(), before);
        trial_deinit(&trial);
    }
}

/* Products against sums by definition, at shapes that fill no block of any kernel. */
static void products_are_sums(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 6);
    assert_int_equal(matrix_begin(NULL), LEAT_OK);
    for (int trial = 0; trial < 40; trial++) {
        enum { MOST = 70, STRIDE = MOST + 3 };
        static float a[MOST * STRIDE], b[MOST * STRIDE], c[3][MOST * STRIDE];
        int m = 1 + (int)rng_below(&rng, MOST);
        int n = 1 + (int)rng_below(&rng, MOST);
        int k = 1 + (int)rng_below(&rng, MOST);
        for (int i = 0; i < MOST * STRIDE; i++) {
            a[i] = uniform(&rng, 1.0f);
            b[i] = uniform(&rng, 1.0f);
            c[0][i] = c[1][i] = c[2][i] = 0.5f;
        }
        matrix_by_rows(m, n, k, a, STRIDE, b, STRIDE, c[0], STRIDE, 1);
        matrix_product(m, n, k, a, STRIDE, b, STRIDE, c[1], STRIDE, 0);
        matrix_gradient(m, n, k, a, STRIDE, b, STRIDE, c[2], STRIDE);
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                double sums[3] = {0.5, 0, 0};
                for (int l = 0; l < k; l++) {
                    sums[0] += (double)a[i * STRIDE + l] * (double)b[j * STRIDE + l];
                    sums[1] += (double)a[i * STRIDE + l] * (double)b[l * STRIDE + j];
                    sums[2] += (double)a[l * STRIDE + i] * (double)b[l * STRIDE + j];
                }
                for (int s = 0; s < 3; s++) {
                    assert_true(fabs((double)c[s][i * STRIDE + j] - sums[s]) < 1e-4);
                }
            }
            assert_true(c[0][i * STRIDE + n] == 0.5f); /* and no further */
        }
    }
}

/* Debian 12's OpenBLAS takes CPUs that came after it for a Pentium 4. */
static void new_cpus_get_a_kernel_of_theirs(void **state) {
    (void)state;
    assert_int_equal(matrix_begin(NULL), LEAT_OK);
    assert_ptr_equal(strstr(net_kernel(), "openblas "), net_kernel());
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && !getenv("OPENBLAS_CORETYPE")) {
        assert_null(strstr(matrix_kernel(), "Prescott"));
    }
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_right),
        cmocka_unit_test(prepared_is_whole),
        cmocka_unit_test(towers_take_gradients),
        cmocka_unit_test(long_histories_are_cut_anywhere),
        cmocka_unit_test(plans_are_refused_in_words),
        cmocka_unit_test(wide_loops_give_the_same_bits),
        cmocka_unit_test(nothing_is_allocated),
        cmocka_unit_test(products_are_sums),
        cmocka_unit_test(new_cpus_get_a_kernel_of_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
