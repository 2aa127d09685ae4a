#include "learn/net_matrix.h"

#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char kernel[96];

/* Threads of the library would meet ours on the same cores, and add in an order that depends on how
 * many there are. */
static void begin(void) {
    openblas_set_num_threads(1);
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
    const char *number = strchr(config, ' ');
    int length = number ? (int)strcspn(number + 1, " ") : 0;
    snprintf(kernel, sizeof(kernel), "openblas %.*s %s", length, number ? number + 1 : "",
             openblas_get_corename());
}

const char *matrix_kernel(void) {
    pthread_once(&once, begin);
    return kernel;
}

void matrix_by_rows(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0f, a, a_stride, b, b_stride,
                add ? 1.0f : 0.0f, c, c_stride);
}

void matrix_product(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a, a_stride, b, b_stride,
                add ? 1.0f : 0.0f, c, c_stride);
}

void matrix_gradient(int m, int n, int k, const float *a, int a_stride, const float *b,
                     int b_stride, float *c, int c_stride) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, k, 1.0f, a, a_stride, b, b_stride,
                0.0f, c, c_stride);
}
