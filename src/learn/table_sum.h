/* Sums of rows, as readers beside a writer may make them. Internal to the table. */
#ifndef LEARN_TABLE_SUM_H
#define LEARN_TABLE_SUM_H

/* out[0..floats) += rows[0][..], then rows[1][..], ... ; the same bits from every variant. */
typedef void (*table_sum)(const float *const *rows, int count, int floats, float *out);

/* The reference: relaxed atomic loads. */
void table_sum_scalar(const float *const *rows, int count, int floats, float *out);
/* The fastest of this machine. Vector loads: a float is never torn, as its four bytes are aligned
 * (Intel's manual, volume 3, section 8.1.1, promises that for scalars; for the lanes of a vector it
 * holds on every processor that has them). */
table_sum table_sum_best(void);

#endif
