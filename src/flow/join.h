/* join: what was shown with what was done, as training examples. Keyed by user.
 *
 * Rows. A `served` row brings the features of an item as they were served; an `impression` says
 * that the item was seen; an action says what was done. Features are never looked up again: an
 * impression without a served row is learnt with features looked up at the impression, until its
 * served row comes. Events of nobody (no user) make no examples. An action with a threshold is a
 * whole example by itself, at once.
 *
 * Time. Join runs in event time. The watermark says how far it has come: append time less
 * flow.lateness, or what another host pushes. A row is late when its event time is not after the
 * watermark. Append time matters to nothing else.
 *
 * Showings. A showing is a (user, request, item). It begins at its first served or impression row.
 * It is seen at its first impression or action, and where the surface's examples are `served` at
 * its served row. It takes rows for a `life` from when it was seen (from its beginning, while it
 * was not): the longest window of all actions, or flow.lateness + 2 x log.skew if that is longer
 * and lateness is not 0. Then it is forgotten; a later row of the same request begins another one.
 * Of one item for one person JOIN_ENTRIES_MAX (64) showings and waiting rows are kept; beyond, what
 * began first is settled and forgotten early.
 *
 * Which showing a row is of.
 *  - With a request: that request's. Served rows and impressions make it where it is not there.
 *  - An action whose showing is not there (or began more than log.skew after it) waits for it until
 *    the watermark has passed its time by log.skew. What then has none is an orphan: counted, and
 *    taken as one without a request.
 *  - An action without a request is of the person's newest showing of the item as of its event
 * time; where all began later, of the first of those that began within log.skew after it.
 *  - An impression without a request is of that same showing if it was not seen yet, or first seen
 *    less than a minute before; else it is a showing of its own, without a request.
 * Rows without a request are decided when the watermark has passed their time by log.skew, in order
 * of event time. What waits lies in the record of its person and item, and is forgotten with it.
 * Nothing waits that is late, nor an action on a surface whose examples are `clicks`, nor anything
 * where lateness is 0: such a row is decided by what is there. Late rows change no time that is
 * known, and join what is there, however much later it began.
 *
 * Order. For rows that are not late: whatever the order they come in, each is joined to the same
 * showing, so the labels of all tasks, folded by (user, request, item) with the newest word
 * holding, end the same. (As long as no bound above is met; keep lateness below the life, or rows
 * wait.) Why: a decision at watermark W looks only at what began or was seen until W, and of that
 * all has come; and a row is joined before its time only to a showing that no row still to come can
 * end before it. Duplicates change nothing.
 *
 * Labels. A task is positive from the first action on while the showing lives; that word is final.
 * surfaces.<name>.labels says when what is given:
 *  - window: a positive at once; a negative when the task's window has passed since the showing was
 *    seen (by the watermark; with lateness by log.skew more, for what still waits). A positive
 * after its negative is an EXAMPLE_CORRECTION. One example names all tasks that settle at one
 * moment.
 *  - fake_negative (FNW: Ktena et al., Addressing delayed feedback for continuous training with
 *    neural networks in CTR prediction, RecSys 2019): a negative of every task when it is seen, a
 *    positive of a task when it comes, both EXAMPLE_FAKE; the learner weights them (learn/model.h).
 *  - sliding: at each multiple of surfaces.<name>.slide since it was seen, and at the longest
 *    window, all tasks with their labels so far, EXAMPLE_SLIDE; a positive after that is an
 *    EXAMPLE_CORRECTION. After the sliding windows of Sliver (Liang et al., Ensure Timeliness and
 *    Accuracy, arXiv 2402.14399, whose step is 30 s too); there the k-th sample holds the actions
 *    of the k-th step alone, and ends with the person's leaving; here labels accumulate.
 * An action that began (or saw) its showing is given after what that says.
 *
 * Thinning. With flow.keep_negatives = N > 1, of N showings one says its negatives, by a hash of
 * (seed, user, request, item); the others say only their positives. Each task then keeps all of its
 * positives and 1/N of its negatives, so the odds are N-fold: every example of a showing carries
 * log_odds = log N, and the model's own logit is that of the whole (as in clicks.h).
 *
 * Forgetting. ROW_FORGET removes all of a person at once, what waits included.
 *
 * State. One record for a person and item (join_record.h), in the key group of the user. Showings
 * beyond flow.memory are refused. Examples that time settles come in order of (due_ms, user_hash,
 * part) within a call. */
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

/* All that join reads of a row; borrowed for the call. */
struct join_row {
    enum row_kind kind;
    int action, surface; /* of the configuration */
    uint64_t sequence;
    int64_t time_ms, watermark_ms;
    struct slice user, item, request; /* user and item are there; 255 bytes at most each */
    uint64_t user_hash, item_hash, request_hash;
    bool has_value; /* of an action with a threshold */
    double value;
    bool featured; /* the features below are there: a served row's, or looked up */
    int key_count, dense_count;
    const uint64_t *keys; /* up to EXAMPLE_KEYS_MAX and EXAMPLE_DENSE_MAX */
    const float *dense;
};
/* A row of the log, at that watermark. Borrows what the row borrows. */
struct join_row join_row_of(const struct row *row, int64_t watermark_ms);

leat_status join_open(const struct config *config, struct state_budget *budget,
                      struct metrics *metrics, struct join **out, leat_error *err);
void join_close(struct join *join);

/* Threads: pushing and advancing, each thread alone in its key groups of users; the rest any. */

/* Event time at append time `now_ms`, where nobody else says it: less flow.lateness. */
int64_t join_watermark(const struct join *join, int64_t now_ms);

/* Whether join_push of this row could use looked-up features: true where they were not served.
 * Reads only, so it may be asked any time before the row; while rows before it are still to be
 * pushed it errs towards true. */
bool join_wants_features(struct join *join, const struct row *row);
/* True when the row found its showing, made one, or waits for it; of an action that is false the
 * caller counts an orphan, or makes examples of clicks. `features`: NULL where they are not wanted,
 * or could not be looked up. The watermark is that of the row's append time. */
bool join_push(struct join *join, const struct row *row, const struct join_features *features,
               const struct join_out *out);
/* The same for rows [0, count) in order, which come in one call so that their records come into the
 * cache together: time must have been moved before. `found`: what join_push answers for each; may
 * be NULL. */
void join_push_batch(struct join *join, const struct join_row *rows, int count, bool *found,
                     const struct join_out *out);

/* Settles what is due in key groups [first_group, end_group) at a watermark, for the row number
 * `sequence`. Before the rows that come at that watermark. */
void join_advance(struct join *join, uint32_t first_group, uint32_t end_group, int64_t watermark_ms,
                  uint64_t sequence, const struct join_out *out);
/* The same for the watermark of append time `now_ms`. */
void join_now(struct join *join, uint32_t first_group, uint32_t end_group, int64_t now_ms,
              uint64_t sequence, const struct join_out *out);
struct state *join_state(struct join *join);

#endif
