/* clicks: examples from click logs, which know what was done but not what was shown.
 *
 * An action that follows another one in its session is a positive. Beside it flow.negatives items
 * are drawn from the surface's ring of newest actions, so in proportion to what is popular right
 * now, and half as many uniformly from the neighbours of the session's last item, which are the
 * hard ones; by a hash of (seed, sequence, number). What was drawn and is the positive itself, or
 * in the session, is dropped. With e(i) the expected number of times that i is drawn, the odds of
 * "positive" are p(i) / e(i): the example carries the log-odds correction -log e(i), so that the
 * model's own logit is an estimate of log p(next = i). Pure functions; piece_lookup.c uses them. */
#ifndef FLOW_CLICKS_H
#define FLOW_CLICKS_H

#include "flow/row.h"

/* Whether an action is a positive of a click log, where no showing is known. */
bool clicks_is(const struct config *config, const struct row *row);

/* Chances number [first, first + count) of a row. Those of the ring come before the neighbours'. */
void clicks_chances(const struct config *config, uint64_t sequence, int first, int count,
                    uint64_t *out);

/* What is expected of the draws of one item. */
struct clicks_chance {
    uint64_t times, held; /* in the ring, and the ring's items in all */
    int near_draws;
    double near_share; /* of the neighbours that are this item */
};
float clicks_log_odds(const struct config *config, struct clicks_chance chance);

#endif
