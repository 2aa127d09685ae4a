/* The model: a factorisation machine with dense features, one logistic head a task, learnt on line.
 *
 *   P_f     = 1/2 ((sum_i v_if)^2 - sum_i v_if^2)                  embedding dimension f
 *   logit_t = b_t + sum_i w_it + sum_f h_tf P_f + sum_d u_td x_d   task t
 *
 * h starts at 1 for actions of positive weight and at -1 for those of negative weight, and is
 * learnt as fast as b and u: v is shared by all tasks, and tasks that disagree on it (click and
 * hide) need h of opposite signs. Excess log loss on planted data (three tasks, the last 30,000 of
 * 120,000 examples): for planted h of (1, -1, -1/2), 0.074 when h starts at 1 everywhere and 0.024
 * when it starts so; for (1, 0.4, -0.6) from 1 everywhere, 0.061 at a tenth of the rate, 0.041 at
 * all of it.
 *
 * v and w_i are the row of id i in the table: [w_1..w_T | v_1..v_k | optimiser state of the same].
 * b, u and h are the dense weights, in one array that is stored in place by relaxed atomics. One
 * thread learns; any thread scores, at the same time, by relaxed loads. Fixed lane order and no
 * contraction, so that scalar and SIMD give the same bits. */
#ifndef LEARN_MODEL_H
#define LEARN_MODEL_H

#include "base/arena.h"
#include "base/config.h"
#include "base/metrics.h"
#include "flow/example.h"
#include "learn/table.h"

struct model;
struct model_snapshot;

/* `dense_count`: length of the dense vector of every example (fixed for the model's life).
 * `dense_start`: first weights u, dense_count a task, in the order of the tasks; copied; NULL: all
 * 0. Tasks are the configured actions, in order. */
leat_status model_open(const struct config *config, int dense_count, const float *dense_start,
                       struct metrics *metrics, struct model **out, leat_error *err);
void model_close(struct model *model);

/* The learning thread. One gradient step an example, in the order given; new ids get rows. Loss:
 * sum over the tasks of the mask of weight x log loss of sigmoid(logit + log_odds). Weights are
 * visible to scorers at once. Never fails: ids beyond the budget have no row and count as 0; a key
 * that is there twice counts twice; keys beyond EXAMPLE_KEYS_MAX, inputs that are not finite, and
 * examples with an empty mask or a weight that is not above 0 count as absent.
 *
 * An EXAMPLE_FAKE (a negative given to every showing at once, or the positive that follows it) is
 * weighted by importance with the model's own prediction p = sigmoid(logit), held constant: a
 * positive by 1 + p, a negative by (1 - p)(1 + p) (FNW: Ktena et al., RecSys 2019). Where positives
 * come at rate q, that rests at p = q. With a log-odds correction p is without it and the loss
 * with it: the rest is at p = q again. */
void model_learn(struct model *model, const struct example *example);

/* What scoring needs for one request; memory from the request's arena. Any thread; the scorer
 * itself belongs to one. It sees dense weights as they were at scorer_begin and rows as they are at
 * each score, both by relaxed loads: where learning goes on meanwhile, some weights may be a step
 * older than others; where it stands still, scores are exact. */
struct scorer;
leat_status scorer_begin(const struct model *model, struct arena *arena, struct scorer **out,
                         leat_error *err);
/* Probabilities of all tasks: out[0..tasks). `dense`: dense_count values. Unknown ids count as 0.
 * No allocation. */
void scorer_score(struct scorer *scorer, const uint64_t *keys, int key_count, const float *dense,
                  float *out);
int model_tasks(const struct model *model);
uint64_t model_rows(const struct model *model);
uint64_t model_bytes(const struct model *model);

/* Snapshot of table and dense weights together, frozen by the learning thread between examples; one
 * at a time (LEAT_AGAIN, positive). Written once, by any thread; released before model_close. */
leat_status model_freeze(struct model *model, struct model_snapshot **out, leat_error *err);
leat_status model_snapshot_write(struct model_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err);
void model_snapshot_release(struct model_snapshot *snapshot);
/* Into a model that has learnt nothing and that nobody else uses. LEAT_CONFLICT when the stored
 * model has another shape or optimiser; after any failure the model is as it was. */
leat_status model_restore(struct model *model, state_source source, void *context, leat_error *err);
leat_status model_digest(struct model *model, uint64_t *out, leat_error *err);
/* Name of the kernel in use ("avx2", "scalar"); goes into the manifest. */
const char *model_kernel(void);

#endif
