/* Deltas of a model (delta.h): what a leader takes of the one that learns, and what a replica puts
 * into the one that only scores. */
#ifndef LEARN_MODEL_DELTA_H
#define LEARN_MODEL_DELTA_H

#include "learn/delta.h"
#include "learn/model.h"

/* What two models must agree on before one may take the other's weights. */
uint64_t model_delta_shape(const struct model *model);

/* --- a leader: the learning thread --- */

/* Which rows changed since the delta before, and room to sort them in. */
struct model_changes;
leat_status model_changes_create(struct model *model, struct model_changes **out, leat_error *err);
void model_changes_destroy(struct model_changes *changes); /* NULL is fine */

enum {
    MODEL_DELTA_ROWS_MAX = 1 << 20
}; /* taking so many holds learning up for a third of a second */

/* Appends the delta of what changed since the last call. The caller has set head's log_id, salt,
 * number, from, to, time_ms and encoding; `dense`: with the dense weights. After a failure, and
 * LEAT_FULL for more than MODEL_DELTA_ROWS_MAX rows or removed keys, what changed up to here is in
 * no delta: a chain of deltas begins anew behind it. */
leat_status model_delta_take(struct model_changes *changes, struct delta_head *head, bool dense,
                             struct bytes *out, leat_error *err);

/* --- a replica: one thread at a time --- */

/* LEAT_CONFLICT: a delta of another model. */
leat_status model_delta_check(const struct model *model, const struct delta *delta,
                              leat_error *err);
/* Rows and dense weights of a checked delta, by relaxed stores: who scores meanwhile may see some
 * rows of before and some of after (follow.h keeps them out). LEAT_MEMORY: to be called again,
 * until then the model is of no one position; LEAT_FULL: rows beyond the budget are missing, as ids
 * beyond it are on the leader. */
leat_status model_delta_apply(struct model *model, const struct delta *delta, leat_error *err);

#endif
