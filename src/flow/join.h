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

/* Where examples go; borrowed for the time of the call that is given it. */
struct join_out {
    void (*emit)(void *context, const struct example *example);
    void *context;
};

/* Features of the row's person and item, looked up as of just before the row. */
struct join_features {
    const uint64_t *keys;
    const float *dense;
    int key_count, dense_count;
};

leat_status join_open(const struct config *config, struct state_budget *budget,
                      struct metrics *metrics, struct join **out, leat_error *err);
void join_close(struct join *join);

/* Whether join_push of this row could use looked-up features: true where they were not served.
 * Reads only, so it may be asked any time before the row; while rows before it are still to be
 * pushed it errs towards true. Any thread. */
bool join_wants_features(struct join *join, const struct row *row);
/* True when the row found its showing or made one. `features`: NULL where they are not wanted, or
 * could not be looked up. Threads: each alone in the key groups of the users it pushes. */
bool join_push(struct join *join, const struct row *row, const struct join_features *features,
               const struct join_out *out);
/* Settles what is due in key groups [first_group, end_group) at append time `now_ms`, for the row
 * number `sequence`. */
void join_now(struct join *join, uint32_t first_group, uint32_t end_group, int64_t now_ms,
              uint64_t sequence, const struct join_out *out);
struct state *join_state(struct join *join);

#endif
