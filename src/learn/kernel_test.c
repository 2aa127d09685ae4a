/* Every kernel against the scalar reference, bit for bit, and the sigmoid against the C library. */
#include "base/rng.h"
#include "base/test.h"
#include "learn/kernel.h"

#include <math.h>
#include <string.h>

enum { ROWS_MAX = 9, N_MAX = 70, ROUNDS = 2000 };

static struct rng rng;

/* Normal numbers over many magnitudes, some zeros of both signs. */
static void fill(float *out, int n) {
    for (int i = 0; i < n; i++) {
        double size = pow(10.0, rng_unit(&rng) * 12 - 8);
        out[i] = rng_below(&rng, 10) ? (float)(rng_normal(&rng) * size)
                                     : (rng_below(&rng, 2) ? 0.0f : -0.0f);
    }
}

struct work {
    float a[N_MAX], b[N_MAX], c[N_MAX], d[N_MAX], rows[ROWS_MAX * N_MAX], out[4 * N_MAX];
};

static void run_all(const struct kernel *kernel, const struct work *in, int count, int n,
                    struct work *out) {
    *out = *in;
    out->out[0] = kernel->dot(in->a, in->b, n);
    const float *rows[ROWS_MAX];
    for (int r = 0; r < count; r++) {
        rows[r] = in->rows + r * n;
    }
    kernel->sums(rows, NULL, count, n, out->out + 1, out->out + 1 + n);
    kernel->sums(rows, in->b, count < n ? count : n, n, out->out + 1, out->out + 1 + n);
    kernel->pairs(in->a, in->b, n, out->rows);
    kernel->pull(in->a, in->b, in->c, in->d[0], n, out->rows + n);
    kernel->add_scaled(out->c, in->a[0], in->b, n);
    kernel->scale(out->rows + 2 * n, in->a[0], in->b, n);
    kernel->adagrad(out->a, out->d, in->b, n, 0.05f, 1e-6f);
    kernel->rmsprop(out->a, out->d, in->c, n, 0.05f, 1e-6f, 0.99f);
    const struct kernel_adam step = {
        .rate = 0.01f, .lift = 1.7f, .l2 = 1e-6f, .b1 = 0.9f, .b2 = 0.999f};
    kernel->adam(out->a, out->b, out->d, in->c, n, &step);
}

static void best_equals_scalar(void **state) {
    (void)state;
    static struct work in, expected, got;
    for (int round = 0; round < ROUNDS; round++) {
        int n = (int)rng_below(&rng, N_MAX - 1) + 1;
        int count = (int)rng_below(&rng, ROWS_MAX - 3) + 4;
        fill((float *)&in, (int)(sizeof(in) / sizeof(float)));
        for (int i = 0; i < N_MAX; i++) {
            in.d[i] = fabsf(in.d[i]) + 1e-6f;
        }
        run_all(kernel_scalar(), &in, count, n, &expected);
        run_all(kernel_best(), &in, count, n, &got);
        assert_memory_equal(&expected, &got, sizeof(got));
    }
}

/* The outputs hold what the names say (in double, within rounding). */
static void scalar_is_right(void **state) {
    (void)state;
    float a[] = {1, 2, 3}, b[] = {4, 5, 6}, c[] = {7, 8, 9}, sum[3], squares[3], out[3];
    const struct kernel *kernel = kernel_scalar();
    assert_true(kernel->dot(a, b, 3) == 32);
    const float first[] = {1, 2, 3}, second[] = {2, 2.5f, 3}, scales[] = {1, 2};
    const float *const rows[] = {first, second};
    memset(sum, 0, sizeof(sum));
    memset(squares, 0, sizeof(squares));
    kernel->sums(rows, scales, 2, 3, sum, squares);
    assert_true(sum[0] == 5 && sum[2] == 9 && squares[0] == 17 && squares[2] == 45);
    kernel->pairs(sum, squares, 3, out);
    assert_true(out[0] == 4 && out[1] == 10 && out[2] == 18);
    kernel->pull(a, b, c, 1, 3, out);
    assert_true(out[0] == -3 && out[1] == -6 && out[2] == -9);
    kernel->add_scaled(out, 2, a, 3);
    assert_true(out[0] == -1 && out[1] == -2 && out[2] == -3);
    kernel->scale(out, 2, a, 3);
    assert_true(out[0] == 2 && out[1] == 4 && out[2] == 6);
    float x[] = {1}, n[] = {16}, g[] = {3};
    kernel->adagrad(x, n, g, 1, 0.5f, 0);
    assert_true(n[0] == 25 && fabs(x[0] - 0.7) < 1e-6);
    const float v[] = {2}, q[] = {3}, whole[] = {10};
    kernel->pull(q, whole, v, 0.5f, 1, out);
    assert_true(out[0] == 0.5f * 3 * (10 - 0.5f * 2));
    x[0] = 1;
    n[0] = 4;
    kernel->rmsprop(x, n, g, 1, 0.5f, 0, 0.5f);
    assert_true(n[0] == 6.5f && fabs(x[0] - (1 - 1.5 / sqrt(6.5))) < 1e-6);
    float m[] = {1};
    const struct kernel_adam step = {.rate = 0.5f, .lift = 2, .b1 = 0.5f, .b2 = 0.75f};
    x[0] = 1;
    n[0] = 4;
    kernel->adam(x, m, n, g, 1, &step);
    assert_true(m[0] == 2 && n[0] == 5.25f && fabs(x[0] - (1 - 1 / sqrt(10.5))) < 1e-6);
}

static void sigmoid_is_close(void **state) {
    (void)state;
    for (int i = -87000; i <= 87000; i++) {
        float x = (float)i / 1000.0f;
        double expected = 1.0 / (1.0 + exp(-(double)x));
        assert_true(fabs(kernel_sigmoid(x) - expected) <= 2e-7 * expected);
    }
    assert_true(kernel_sigmoid(0.0f) == 0.5f);
    assert_true(kernel_sigmoid(NAN) == 0.5f);
    assert_true(kernel_sigmoid(1e30f) == 1.0f);
    assert_true(kernel_sigmoid(-1e30f) > 0.0f && kernel_sigmoid(-1e30f) < 1e-30f);
}

int main(void) {
    rng_init(&rng, 7);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_equals_scalar),
        cmocka_unit_test(scalar_is_right),
        cmocka_unit_test(sigmoid_is_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
