/* join: what was shown with what was done, as training examples. Keyed by user.
 *
 * A showing begins with a `served` row (which brings the features as they were served) or with an
 * impression. It counts from the impression on; on a surface whose examples are `served`, from the
 * served row; an action on a served item says that it was seen. Each task without a threshold
 * settles once: positive at the first action, negative when the task's window after the showing has
 * passed (by append time). What settles is emitted at once: one example with a mask of the tasks
 * that settled. An action after its task settled as a negative emits a correction. An action
 * without `request` joins the person's newest showing of the item. A showing is forgotten when its
 * longest window has passed, and with the person.
 *
 * An impression without a served row is learnt with features looked up at the impression. Events of
 * nobody (no user) make no examples. */
#ifndef FLOW_JOIN_H
#define FLOW_JOIN_H

#include "base/config.h"
#include "base/metrics.h"
#include "flow/example.h"
#include "flow/row.h"
#include "state/state.h"

struct join;

/* Where join gives its examples, and where it gets features that were not served. */
struct join_host {
    void (*emit)(void *context, const struct example *example);
    /* Fills keys and dense for the row's person and item as of now; false: not possible. */
    bool (*features)(void *context, const struct row *row, uint64_t *keys, int *key_count,
                     float *dense, int *dense_count);
    void *context;
};

leat_status join_open(const struct config *config, struct state_budget *budget,
                      const struct join_host *host, struct metrics *metrics, struct join **out,
                      leat_error *err);
void join_close(struct join *join);
/* Flow's thread. True when the row found its showing or made one. */
bool join_push(struct join *join, const struct row *row);
/* Settles what is due at append time `now_ms`, for the row number `sequence`. */
void join_now(struct join *join, int64_t now_ms, uint64_t sequence);
struct state *join_state(struct join *join);

#endif
