/* clicks: examples from click logs, which know what was done but not what was shown.
 *
 * The action is a positive. flow.negatives items are drawn beside it, by a hash of (seed, sequence,
 * number), from the surface's ring of newest actions, so in proportion to what is popular right now.
 * With q(i) the probability of drawing i and K negatives, the odds of "positive" among them are
 * p(i) / (K q(i)): the example carries log-odds correction -log(K q(i)), so that the model's own logit
 * is an estimate of log p(next = i). */
#ifndef FLOW_CLICKS_H
#define FLOW_CLICKS_H

#include "flow/flow.h"
#include "flow/row.h"

/* Emits the positive, then its negatives. Reads the state as it stands before the row. */
void clicks_push(const struct flow *flow, const struct row *row, struct arena *arena,
                 void (*emit)(void *context, const struct example *example), void *context);

#endif
