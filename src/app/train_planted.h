/* Made-up rows whose true model is known: 12 ids by Zipf's law (of exponent 1) with a weight each,
 * and a weight for each pair of the first two. As Vowpal Wabbit's text, namespaces A to L:
 *
 *   1 |A 3 |B 17 |C 1 ... |L 90123
 *
 * A function of (seed, row) only. */
#ifndef APP_TRAIN_PLANTED_H
#define APP_TRAIN_PLANTED_H

#include "base/bytes.h"

enum { PLANTED_FIELDS = 12 };

struct planted_row {
    uint32_t values[PLANTED_FIELDS]; /* from 1 */
    double probability;              /* that the label is 1 */
    bool label;
};

void planted_row_make(uint64_t seed, uint64_t row, struct planted_row *out);
void planted_row_write(const struct planted_row *row, struct bytes *out);
double planted_row_loss(const struct planted_row *row); /* of who knows the probability */

#endif
