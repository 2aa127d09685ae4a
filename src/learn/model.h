/* The model: a factorisation machine with dense features, one logistic head a task, learnt on line.
 *
 *   P_f     = 1/2 ((sum_i v_if)^2 - sum_i v_if^2)                  one number an embedding dimension
 *   logit_t = b_t + sum_i w_it + sum_f h_tf P_f + sum_d u_td x_d   task t; h starts at 1
 *
 * v and w_i are the row of id i in the table: [w_1..w_T | v_1..v_k | optimiser state of the same].
 * b, u and h are the dense weights. One thread learns; any thread scores, at the same time: rows by
 * relaxed loads, dense weights as a copy of the last published version. Fixed lane order and no
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

/* `dense_count`: length of the dense vector of every example (fixed for the model's life). Tasks are
 * the configured actions, in order. */
leat_status model_open(const struct config *config, int dense_count, struct metrics *metrics,
                       struct model **out, leat_error *err);
void model_close(struct model *model);

/* The learning thread. One gradient step an example, in the order given; new ids get rows. Weights
 * are visible to scorers at once. Never fails: ids beyond the budget have no row and count as 0. */
void model_learn(struct model *model, const struct example *example);

/* What scoring needs for one request; memory from the request's arena. Any thread. */
struct scorer;
leat_status scorer_begin(const struct model *model, struct arena *arena, struct scorer **out,
                         leat_error *err);
/* Probabilities of all tasks: out[0..tasks). No allocation. */
void scorer_score(struct scorer *scorer, const uint64_t *keys, int key_count, const float *dense,
                  float *out);
int model_tasks(const struct model *model);
uint64_t model_rows(const struct model *model);
uint64_t model_bytes(const struct model *model);

/* Snapshot of table and dense weights together, frozen by the learning thread between examples. */
leat_status model_freeze(struct model *model, struct model_snapshot **out, leat_error *err);
leat_status model_snapshot_write(struct model_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err);
void model_snapshot_release(struct model_snapshot *snapshot);
leat_status model_restore(struct model *model, state_source source, void *context, leat_error *err);
leat_status model_digest(struct model *model, uint64_t *out, leat_error *err);
/* Name of the kernel in use ("avx2", "scalar"); goes into the manifest. */
const char *model_kernel(void);

#endif
