/* Matrix products of row-major floats by OpenBLAS, one thread a call; any number of threads call.
 * a, b, c are the distances between rows. Not bit for bit the same on different kinds of CPUs. */
#ifndef LEARN_NET_MATRIX_H
#define LEARN_NET_MATRIX_H

/* C [m][n] = (add ? C : 0) + A [m][k] B' , B [n][k] */
void matrix_by_rows(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add);
/* C [m][n] = (add ? C : 0) + A [m][k] B [k][n] */
void matrix_product(int m, int n, int k, const float *a, int a_stride, const float *b, int b_stride,
                    float *c, int c_stride, int add);
/* C [m][n] = A' B, A [k][m], B [k][n] */
void matrix_gradient(int m, int n, int k, const float *a, int a_stride, const float *b,
                     int b_stride, float *c, int c_stride);
/* "openblas 0.3.21 SkylakeX". Once before products: turns the library's own threads off. */
const char *matrix_kernel(void);

#endif
