#include "learn/kernel.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 8 };

#if defined(__SANITIZE_THREAD__)
#define THREAD_CHECKED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_CHECKED 1
#endif
#endif

static inline float load(const float *at) {
    float value;
    __atomic_load(at, &value, __ATOMIC_RELAXED);
    return value;
}

static inline void store(float *at, float value) {
    __atomic_store(at, &value, __ATOMIC_RELAXED);
}

static inline float combine_lanes(const float p[LANES]) {
    return ((p[0] + p[4]) + (p[2] + p[6])) + ((p[1] + p[5]) + (p[3] + p[7]));
}

/* --- the reference: what every other variant must repeat bit for bit --- */

static float dot_scalar(const float *a, const float *b, int n) {
    float lanes[LANES] = {0};
    for (int i = 0; i < n; i++) {
        lanes[i % LANES] += a[i] * b[i];
    }
    return combine_lanes(lanes);
}

static void sums_scalar(const float *const *rows, const float *scales, int count, int n, float *sum,
                        float *squares) {
    for (int r = 0; r < count; r++) {
        float scale = scales ? scales[r] : 1.0f;
        for (int i = 0; i < n; i++) {
            float value = scale * load(&rows[r][i]);
            sum[i] += value;
            squares[i] += value * value;
        }
    }
}

static void pairs_scalar(const float *sum, const float *squares, int n, float *out) {
    for (int i = 0; i < n; i++) {
        out[i] = 0.5f * (sum[i] * sum[i] - squares[i]);
    }
}

static void add_scaled_scalar(float *y, float scale, const float *x, int n) {
    for (int i = 0; i < n; i++) {
        y[i] += scale * x[i];
    }
}

static void scale_scalar(float *y, float scale, const float *x, int n) {
    for (int i = 0; i < n; i++) {
        y[i] = scale * x[i];
    }
}

static void pull_scalar(const float *q, const float *sum, const float *v, float scale, int n,
                        float *out) {
    for (int i = 0; i < n; i++) {
        out[i] = scale * (q[i] * (sum[i] - scale * v[i]));
    }
}

static void adagrad_scalar(float *x, float *state, const float *gradient, int n, float rate,
                           float l2) {
    for (int i = 0; i < n; i++) {
        float g = gradient[i] + l2 * x[i];
        float s = state[i] + g * g;
        store(&state[i], s);
        store(&x[i], x[i] - rate * g / sqrtf(s));
    }
}

static void rmsprop_scalar(float *x, float *state, const float *gradient, int n, float rate,
                           float l2, float fade) {
    for (int i = 0; i < n; i++) {
        float g = gradient[i] + l2 * x[i];
        float s = fade * state[i] + (1.0f - fade) * (g * g);
        store(&state[i], s);
        store(&x[i], x[i] - rate * g / (sqrtf(s) + KERNEL_EPSILON));
    }
}

static void adam_scalar(float *x, float *m, float *s, const float *gradient, int n,
                        const struct kernel_adam *step) {
    for (int i = 0; i < n; i++) {
        float g = gradient[i] + step->l2 * x[i];
        float m_next = step->b1 * m[i] + (1.0f - step->b1) * g;
        float s_next = step->b2 * s[i] + (1.0f - step->b2) * (g * g);
        store(&m[i], m_next);
        store(&s[i], s_next);
        store(&x[i], x[i] - step->rate * m_next / (sqrtf(s_next * step->lift) + KERNEL_EPSILON));
    }
}

static const struct kernel scalar = {
    .name = "scalar",
    .dot = dot_scalar,
    .sums = sums_scalar,
    .pairs = pairs_scalar,
    .add_scaled = add_scaled_scalar,
    .scale = scale_scalar,
    .pull = pull_scalar,
    .adagrad = adagrad_scalar,
    .rmsprop = rmsprop_scalar,
    .adam = adam_scalar,
};

const struct kernel *kernel_scalar(void) {
    return &scalar;
}

/* --- AVX2: eight lanes at once; masked loads and stores at the tail, whose idle lanes add +0 to
 * partial sums that start at +0, which changes no bit --- */

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))

/* The first n lanes (0..8). */
AVX2 static inline __m256i mask_of(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
}

AVX2 static float dot_avx2(const float *a, const float *b, int n) {
    __m256 sum = _mm256_setzero_ps();
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m256 product = _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        sum = _mm256_add_ps(sum, product);
    }
    if (i < n) {
        __m256i mask = mask_of(n - i);
        __m256 product =
            _mm256_mul_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask));
        sum = _mm256_add_ps(sum, product);
    }
    float lanes[LANES];
    _mm256_storeu_ps(lanes, sum);
    return combine_lanes(lanes);
}

/* One block of eight columns down all rows, so that the sums stay in registers. */
AVX2 static void sums_avx2(const float *const *rows, const float *scales, int count, int n,
                           float *sum, float *squares) {
    for (int i = 0; i < n; i += LANES) {
        __m256i mask = mask_of(n - i);
        __m256 s = _mm256_maskload_ps(sum + i, mask);
        __m256 q = _mm256_maskload_ps(squares + i, mask);
        for (int r = 0; r < count; r++) {
            __m256 v = _mm256_maskload_ps(rows[r] + i, mask);
            v = scales ? _mm256_mul_ps(_mm256_set1_ps(scales[r]), v) : v;
            s = _mm256_add_ps(s, v);
            q = _mm256_add_ps(q, _mm256_mul_ps(v, v));
        }
        _mm256_maskstore_ps(sum + i, mask, s);
        _mm256_maskstore_ps(squares + i, mask, q);
    }
}

AVX2 static void pairs_avx2(const float *sum, const float *squares, int n, float *out) {
    const __m256 half = _mm256_set1_ps(0.5f);
    for (int i = 0; i < n; i += LANES) {
        __m256i mask = mask_of(n - i);
        __m256 s = _mm256_maskload_ps(sum + i, mask);
        __m256 d = _mm256_sub_ps(_mm256_mul_ps(s, s), _mm256_maskload_ps(squares + i, mask));
        _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(half, d));
    }
}

/* Sums into one short y come one after the other: what a masked store has written waits in the
 * store buffer, and a load right behind it waits, too. Plain ones hand it on. */
AVX2 static void add_scaled_avx2(float *y, float scale, const float *x, int n) {
    const __m256 factor = _mm256_set1_ps(scale);
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        __m256 product = _mm256_mul_ps(factor, _mm256_loadu_ps(x + i));
        _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), product));
    }
    for (; i < n; i++) {
        __m128 product = _mm_mul_ss(_mm256_castps256_ps128(factor), _mm_load_ss(x + i));
        _mm_store_ss(y + i, _mm_add_ss(_mm_load_ss(y + i), product));
    }
}

AVX2 static void scale_avx2(float *y, float scale, const float *x, int n) {
    const __m256 factor = _mm256_set1_ps(scale);
    for (int i = 0; i < n; i += LANES) {
        __m256i mask = mask_of(n - i);
        _mm256_maskstore_ps(y + i, mask, _mm256_mul_ps(factor, _mm256_maskload_ps(x + i, mask)));
    }
}

AVX2 static void pull_avx2(const float *q, const float *sum, const float *v, float scale, int n,
                           float *out) {
    const __m256 factor = _mm256_set1_ps(scale);
    for (int i = 0; i < n; i += LANES) {
        __m256i mask = mask_of(n - i);
        __m256 scaled = _mm256_mul_ps(factor, _mm256_maskload_ps(v + i, mask));
        __m256 d = _mm256_sub_ps(_mm256_maskload_ps(sum + i, mask), scaled);
        d = _mm256_mul_ps(_mm256_maskload_ps(q + i, mask), d);
        _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(factor, d));
    }
}

/* Idle lanes divide 0 by 0; nothing reads them. */
AVX2 static void adagrad_avx2(float *x, float *state, const float *gradient, int n, float rate,
                              float l2) {
    const __m256 rates = _mm256_set1_ps(rate);
    const __m256 decay = _mm256_set1_ps(l2);
    for (int i = 0; i < n; i += LANES) {
        __m256i mask = mask_of(n - i);
        __m256 value = _mm256_maskload_ps(x + i, mask);
        __m256 g =
            _mm256_add_ps(_mm256_maskload_ps(gradient + i, mask), _mm256_mul_ps(decay, value));
        __m256 s = _mm256_add_ps(_mm256_maskload_ps(state + i, mask), _mm256_mul_ps(g, g));
        __m256 step = _mm256_div_ps(_mm256_mul_ps(rates, g), _mm256_sqrt_ps(s));
        _mm256_maskstore_ps(state + i, mask, s);
        _mm256_maskstore_ps(x + i, mask, _mm256_sub_ps(value, step));
    }
}

AVX2 static inline __m256 decayed(const float *gradient, __m256 x, float l2, __m256i mask) {
    return _mm256_add_ps(_mm256_maskload_ps(gradient, mask), _mm256_mul_ps(_mm256_set1_ps(l2), x));
}

/* mixed = fade old + (1 - fade) new */
AVX2 static inline __m256 faded(__m256 old, __m256 new, float fade) {
    return _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(fade), old),
                         _mm256_mul_ps(_mm256_set1_ps(1.0f - fade), new));
}

AVX2 static void rmsprop_avx2(float *x, float *state, const float *gradient, int n, float rate,
                              float l2, float fade) {
    const __m256 epsilon = _mm256_set1_ps(KERNEL_EPSILON);
    for (int i = 0; i < n; i += LANES) {
        __m256i mask = mask_of(n - i);
        __m256 value = _mm256_maskload_ps(x + i, mask);
        __m256 g = decayed(gradient + i, value, l2, mask);
        __m256 s = faded(_mm256_maskload_ps(state + i, mask), _mm256_mul_ps(g, g), fade);
        __m256 step = _mm256_div_ps(_mm256_mul_ps(_mm256_set1_ps(rate), g),
                                    _mm256_add_ps(_mm256_sqrt_ps(s), epsilon));
        _mm256_maskstore_ps(state + i, mask, s);
        _mm256_maskstore_ps(x + i, mask, _mm256_sub_ps(value, step));
    }
}

AVX2 static void adam_avx2(float *x, float *m, float *s, const float *gradient, int n,
                           const struct kernel_adam *step) {
    const __m256 epsilon = _mm256_set1_ps(KERNEL_EPSILON);
    for (int i = 0; i < n; i += LANES) {
        __m256i mask = mask_of(n - i);
        __m256 value = _mm256_maskload_ps(x + i, mask);
        __m256 g = decayed(gradient + i, value, step->l2, mask);
        __m256 m_next = faded(_mm256_maskload_ps(m + i, mask), g, step->b1);
        __m256 s_next = faded(_mm256_maskload_ps(s + i, mask), _mm256_mul_ps(g, g), step->b2);
        __m256 root = _mm256_sqrt_ps(_mm256_mul_ps(s_next, _mm256_set1_ps(step->lift)));
        __m256 move = _mm256_div_ps(_mm256_mul_ps(_mm256_set1_ps(step->rate), m_next),
                                    _mm256_add_ps(root, epsilon));
        _mm256_maskstore_ps(m + i, mask, m_next);
        _mm256_maskstore_ps(s + i, mask, s_next);
        _mm256_maskstore_ps(x + i, mask, _mm256_sub_ps(value, move));
    }
}

static const struct kernel avx2 = {
    .name = "avx2",
    .dot = dot_avx2,
    .sums = sums_avx2,
    .pairs = pairs_avx2,
    .add_scaled = add_scaled_avx2,
    .scale = scale_avx2,
    .pull = pull_avx2,
    .adagrad = adagrad_avx2,
    .rmsprop = rmsprop_avx2,
    .adam = adam_avx2,
};

const struct kernel *kernel_best(void) {
#ifdef THREAD_CHECKED
    (void)avx2;
    return &scalar;
#else
    return __builtin_cpu_supports("avx2") ? &avx2 : &scalar;
#endif
}
#else
const struct kernel *kernel_best(void) {
    return &scalar;
}
#endif

/* exp(x) for x in [-87, 0]: x = n ln 2 + r, |r| <= ln 2 / 2; a polynomial for exp(r) (the Cephes
 * library's expf), and n put into the exponent bits. ln 2 is taken off in two parts, the first of
 * which has few bits, so that the product with n is exact. */
static float exp_negative(float x) {
    int n = (int)(x * 1.44269504f - 0.5f);
    float r = x - (float)n * 0.693359375f;
    r -= (float)n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    float value = p * (r * r) + r + 1.0f;
    uint32_t bits = (uint32_t)(n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof(power));
    return value * power;
}

float kernel_sigmoid(float x) {
    float within = x < -87.0f ? -87.0f : x > 87.0f ? 87.0f : x == x ? x : 0.0f;
    float e = exp_negative(within > 0.0f ? -within : within);
    return within > 0.0f ? 1.0f / (1.0f + e) : e / (1.0f + e);
}

float kernel_exp(float x) {
    return x >= -87.0f ? exp_negative(x > 0.0f ? 0.0f : x) : x == x ? 0.0f : x;
}
