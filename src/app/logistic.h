/* The baseline of replays whose tasks are probabilities: a logistic model by itself for each task,
 * over ids (no state, no products of ids), learnt on line by AdaGrad on the same rows in the same
 * order. One thread. */
#ifndef APP_LOGISTIC_H
#define APP_LOGISTIC_H

#include "learn/model.h"

struct logistic;

enum { LOGISTIC_FIELDS_MAX = 16 };

/* `rate`: AdaGrad's. */
leat_status logistic_create(int fields, int tasks, float rate, struct logistic **out,
                            leat_error *err);
void logistic_destroy(struct logistic *logistic); /* NULL is fine */

/* values[f]: hash of the id in field f; 0: none. Gives each task's probability, then learns bit t
 * of `labels`. `out` holds `tasks`. */
void logistic_step(struct logistic *logistic, const uint64_t *values, uint32_t labels, float *out);

#endif
