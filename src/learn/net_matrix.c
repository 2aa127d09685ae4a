#define _DEFAULT_SOURCE /* setenv */
#include "learn/net_matrix.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libopenblas.so.0"

/* Of its C API, in its own numbers. */
enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };
typedef void (*gemm_call)(int order, int transposed_a, int transposed_b, int m, int n, int k,
                          float alpha, const float *a, int lda, const float *b, int ldb, float beta,
                          float *c, int ldc);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static gemm_call gemm;
static char kernel[96];

struct library {
    void *handle;
    gemm_call gemm;
    void (*set_threads)(int threads);
    const char *(*config)(void);
    const char *(*core)(void);
};

/* A function's address comes as a data pointer. */
static void find(void *handle, const char *name, void *call, size_t size) {
    void *found = dlsym(handle, name);
    memcpy(call, &found, size);
}

static bool load(struct library *library) {
    library->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library->handle) {
        return false;
    }
    find(library->handle, "cblas_sgemm", &library->gemm, sizeof(library->gemm));
    find(library->handle, "openblas_set_num_threads", &library->set_threads,
         sizeof(library->set_threads));
    find(library->handle, "openblas_get_config", &library->config, sizeof(library->config));
    find(library->handle, "openblas_get_corename", &library->core, sizeof(library->core));
    return library->gemm && library->set_threads && library->config && library->core;
}

/* What the library calls this CPU, or one that it knows and that does no more than this one. */
static const char *core_of_cpu(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bf16")) {
        return "Cooperlake";
    }
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq")) {
        return "SkylakeX";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return "Haswell";
    }
#endif
    return NULL;
}

static bool is_mistaken(const char *core) {
    return strcmp(core, "Prescott") == 0 || strcmp(core, "Core2") == 0 ||
           strcmp(core, "Nehalem") == 0 || strcmp(core, "Generic") == 0;
}

/* Threads of the library would meet ours on the same cores, and add in an order that depends on how
 * many there are. */
static void begin(void) {
    struct library library;
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    if (!load(&library)) {
        return;
    }
    const char *core = core_of_cpu();
    if (core && is_mistaken(library.core()) && !getenv("OPENBLAS_CORETYPE")) {
        setenv("OPENBLAS_CORETYPE", core, 1);
        dlclose(library.handle);
        if (!load(&library)) {
            return;
        }
    }
    library.set_threads(1);
    const char *number = strchr(library.config(), ' '); /* "OpenBLAS 0.3.21 NO_LAPACKE ..." */
    int length = number ? (int)strcspn(number + 1, " ") : 0;
    snprintf(kernel, sizeof(kernel), "openblas %.*s %s", length, number ? number + 1 : "",
             library.core());
    gemm = library.gemm;
}

leat_status matrix_begin(leat_error *err) {
    pthread_once(&once, begin);
    if (!gemm) {
        return error_set(err, LEAT_UNSUPPORTED,
                         "networks need OpenBLAS, and %s was not found: install "
                         "libopenblas0-pthread, or use network fm or logistic",
                         LIBRARY);
    }
    return LEAT_OK;
}

const char *matrix_kernel(void) {
    return kernel;
}

void matrix_by_rows(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add) {
    gemm(ROW_MAJOR, PLAIN, TRANSPOSED, m, n, k, 1.0f, a, a_stride, b, b_stride, add ? 1.0f : 0.0f,
         c, c_stride);
}

void matrix_product(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add) {
    gemm(ROW_MAJOR, PLAIN, PLAIN, m, n, k, 1.0f, a, a_stride, b, b_stride, add ? 1.0f : 0.0f, c,
         c_stride);
}

void matrix_gradient(int m, int n, int k, const float *a, int a_stride, const float *b,
                     int b_stride, float *c, int c_stride) {
    gemm(ROW_MAJOR, TRANSPOSED, PLAIN, m, n, k, 1.0f, a, a_stride, b, b_stride, 0.0f, c, c_stride);
}
