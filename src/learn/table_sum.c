#include "learn/table_sum.h"

#include <stddef.h>

enum { LANES = 8, COLUMNS = 4 * LANES };

static void sum_columns(const float *const *rows, int count, int first, int end, float *out) {
    for (int r = 0; r < count; r++) {
        for (int i = first; i < end; i++) {
            float value;
            __atomic_load(&rows[r][i], &value, __ATOMIC_RELAXED);
            out[i] += value;
        }
    }
}

void table_sum_scalar(const float *const *rows, int count, int floats, float *out) {
    sum_columns(rows, count, 0, floats, out);
}

/* The thread sanitizer sees atomics only in the reference. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#include <immintrin.h>

/* Columns of 32 down all rows, so that the sums stay in registers. */
__attribute__((target("avx2"))) static void sum_avx2(const float *const *rows, int count,
                                                     int floats, float *out) {
    int i = 0;
    for (; i + COLUMNS <= floats; i += COLUMNS) {
        __m256 a = _mm256_loadu_ps(out + i);
        __m256 b = _mm256_loadu_ps(out + i + LANES);
        __m256 c = _mm256_loadu_ps(out + i + (ptrdiff_t)2 * LANES);
        __m256 d = _mm256_loadu_ps(out + i + (ptrdiff_t)3 * LANES);
        for (int r = 0; r < count; r++) {
            const float *row = rows[r] + i;
            a = _mm256_add_ps(a, _mm256_loadu_ps(row));
            b = _mm256_add_ps(b, _mm256_loadu_ps(row + LANES));
            c = _mm256_add_ps(c, _mm256_loadu_ps(row + (ptrdiff_t)2 * LANES));
            d = _mm256_add_ps(d, _mm256_loadu_ps(row + (ptrdiff_t)3 * LANES));
        }
        _mm256_storeu_ps(out + i, a);
        _mm256_storeu_ps(out + i + LANES, b);
        _mm256_storeu_ps(out + i + (ptrdiff_t)2 * LANES, c);
        _mm256_storeu_ps(out + i + (ptrdiff_t)3 * LANES, d);
    }
    for (; i + LANES <= floats; i += LANES) {
        __m256 a = _mm256_loadu_ps(out + i);
        for (int r = 0; r < count; r++) {
            a = _mm256_add_ps(a, _mm256_loadu_ps(rows[r] + i));
        }
        _mm256_storeu_ps(out + i, a);
    }
    sum_columns(rows, count, i, floats, out);
}

table_sum table_sum_best(void) {
    return __builtin_cpu_supports("avx2") ? sum_avx2 : table_sum_scalar;
}
#else
table_sum table_sum_best(void) {
    return table_sum_scalar;
}
#endif
