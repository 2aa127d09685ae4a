/* clicks: examples from click logs, which know what was done but not what was shown.
 *
 * An action that follows another one in its session is a positive. Beside it flow.negatives items
 * are drawn from the surface's ring of newest actions, so in proportion to what is popular right
 * now, and half as many uniformly from the neighbours of the session's last item, which are the
 * hard ones; by a hash of (seed, sequence, number). What was drawn and is the positive itself, or
 * in the session, is dropped. With e(i) the expected number of times that i is drawn, the odds of
 * "positive" are p(i) / e(i): the example carries the log-odds correction -log e(i), so that the
 * model's own logit is an estimate of log p(next = i). */
#ifndef FLOW_CLICKS_H
#define FLOW_CLICKS_H

#include "flow/flow.h"
#include "flow/row.h"

/* Emits the positive, then its negatives. Reads the state as it stands before the row. */
void clicks_push(const struct flow *flow, const struct row *row, struct arena *arena,
                 void (*emit)(void *context, const struct example *example), void *context);

#endif
