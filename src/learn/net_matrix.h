/* Matrix products of row-major floats by OpenBLAS, one thread a call; any number of threads call.
 * a, b, c are the distances between rows. Not bit for bit the same on different kinds of CPUs.
 *
 * The library is loaded at run time, by the first matrix_begin: only then can it be told which CPU
 * it runs on. Version 0.3.21 takes CPUs that are newer than itself for a Pentium 4, which costs
 * four fifths of the speed; where it does, it is loaded again and told. OPENBLAS_CORETYPE, if it is
 * set, is left alone. */
#ifndef LEARN_NET_MATRIX_H
#define LEARN_NET_MATRIX_H

#include "base/error.h"

/* Before any product; any thread. LEAT_UNSUPPORTED names the package that is missing. */
leat_status matrix_begin(leat_error *err);
/* "openblas 0.3.21 Cooperlake"; after matrix_begin. */
const char *matrix_kernel(void);

/* C [m][n] = (add ? C : 0) + A [m][k] B' , B [n][k] */
void matrix_by_rows(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add);
/* C [m][n] = (add ? C : 0) + A [m][k] B [k][n] */
void matrix_product(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add);
/* C [m][n] = A' B, A [k][m], B [k][n] */
void matrix_gradient(int m, int n, int k, const float *a, int a_stride, const float *b,
                     int b_stride, float *c, int c_stride);

#endif
