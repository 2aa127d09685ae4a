/* The model: embeddings by id (table.h), a network over them (model_spec.h), a head a task, learnt
 * on line. Two kinds of networks, behind one face:
 *
 *   step by step   fm, logistic: one gradient step an example, in order. The factorisation machine
 *                  with dense features and a head a task:
 *       P_f     = 1/2 ((sum_i v_if)^2 - sum_i v_if^2)                  embedding dimension f
 *       logit_t = b_t + sum_i w_it + sum_f h_tf P_f + sum_d u_td x_d   task t
 *   in batches     all others (net.h): rows of a batch are gathered once, gradients of a row that
 *                  stands in it more than once are added, in order, and it takes one step
 *
 * h starts at 1 for actions of positive weight and at -1 for those of negative weight, and is
 * learnt as fast as b and u: v is shared by all tasks, and tasks that disagree on it (click and
 * hide) need h of opposite signs. Excess log loss on planted data (three tasks, the last 30,000 of
 * 120,000 examples): for planted h of (1, -1, -1/2), 0.074 when h starts at 1 everywhere and 0.024
 * when it starts so; for (1, 0.4, -0.6) from 1 everywhere, 0.061 at a tenth of the rate, 0.041 at
 * all of it.
 *
 * v and w_i are the row of id i in the table: [w_1..w_T | v_1..v_k | optimiser state of the same].
 * The dense weights are one array that is stored in place by relaxed atomics. One thread learns;
 * any thread scores, at the same time, by relaxed loads. Fixed lane order and no contraction in our
 * own kernels, so that scalar and SIMD give the same bits; matrix products are the library's. */
#ifndef LEARN_MODEL_H
#define LEARN_MODEL_H

#include "base/arena.h"
#include "base/config.h"
#include "base/file.h"
#include "base/metrics.h"
#include "flow/example.h"
#include "learn/minibatch.h"
#include "learn/model_spec.h"
#include "learn/table.h"

struct model;
struct model_snapshot;

enum { MODEL_KEYS_MAX = 256 }; /* of one example; more count as absent */

/* From leat.yaml: the tasks are the configured actions, in order. LEAT_INVALID names what does not
 * fit together. */
leat_status model_spec_of_config(const struct config *config, int dense_count,
                                 struct model_spec *out, leat_error *err);

/* `dense_start`: first weights u of FM and logistic, dense_count a task, in the order of the tasks;
 * copied; NULL: all 0. */
leat_status model_open(const struct model_spec *spec, const float *dense_start,
                       struct metrics *metrics, struct model **out, leat_error *err);
/* A replica: a model that only scores (model_delta.h). Its rows have no optimiser state, and
 * nothing may be learnt. Restores what a model that learns has saved, or a replica; only a replica
 * restores what a replica saved. */
leat_status model_open_replica(const struct model_spec *spec, struct metrics *metrics,
                               struct model **out, leat_error *err);
void model_close(struct model *model);
const struct model_spec *model_spec(const struct model *model);

/* --- the learning thread --- */

/* Learns examples in the order given. Step by step, weights are visible to scorers at once. In
 * batches, an example waits until the batch is cut: a batch holds the examples of `spec.batch`
 * consecutive sequence numbers, so that no cut depends on when examples came (model_reach).
 *
 * Loss: sum over the tasks of the mask of weight x log loss of sigmoid(logit + log_odds). Never
 * fails: ids beyond the budget have no row and count as 0; a key that is there twice counts twice;
 * keys beyond MODEL_KEYS_MAX, inputs that are not finite, and examples with an empty mask or a
 * weight that is not above 0 count as absent (model_counts).
 *
 * An EXAMPLE_FAKE (a negative given to every showing at once, or the positive that follows it) is
 * weighted by importance with the model's own prediction p = sigmoid(logit), held constant: a
 * positive by 1 + p, a negative by (1 - p)(1 + p) (FNW: Ktena et al., RecSys 2019). Where positives
 * come at rate q, that rests at p = q. With a log-odds correction p is without it and the loss
 * with it: the rest is at p = q again. */
void model_learn(struct model *model, const struct example *example);
/* All examples of sequence numbers below `sequence` were given: steps on what is waiting below the
 * last cut before it. */
void model_reach(struct model *model, uint64_t sequence);

/* Columns at once: steps of at most `spec.batch` examples (one by one where the network steps so).
 * Tasks and dense inputs as in the spec. `predictions` [count x tasks], may be NULL: probabilities
 * (or expected values of a regression) as they were before the step, so that learning and a
 * progressive evaluation are one pass. */
void model_learn_batch(struct model *model, const struct minibatch *batch, float *predictions);
/* Without learning; no id gets a row. */
void model_predict_batch(struct model *model, const struct minibatch *batch, float *predictions);

/* Threads that a step may use, the caller included; at first one. Never changes a bit. Between
 * batches. */
leat_status model_threads(struct model *model, int threads, leat_error *err);

/* What was passed over, by reason; rows that are not finite after a step are put back and counted.
 */
struct model_counts {
    uint64_t examples, steps;
    uint64_t empty;      /* no task, or no weight above 0 */
    uint64_t not_finite; /* inputs */
    uint64_t exploded;   /* gradients cut to GRADIENT_MAX, or steps undone */
    uint64_t unknown;    /* keys of fields that the model does not have; a model that steps one by
                            one takes them as those of any field */
};
void model_counts(const struct model *model, struct model_counts *out);

/* --- scoring, any thread --- */

/* What scoring needs for one request; memory from the request's arena. The scorer belongs to one
 * thread. It sees dense weights as they were at scorer_begin and rows as they are at each score,
 * both by relaxed loads: where learning goes on meanwhile, some weights may be a step older than
 * others; where it stands still, scores are exact. scorer_end before the arena is reset. */
struct scorer;
leat_status scorer_begin(const struct model *model, struct arena *arena, struct scorer **out,
                         leat_error *err);
void scorer_end(struct scorer *scorer);
/* Probabilities of all tasks: out[0..tasks). `dense`: dense_count values. Unknown ids count as 0.
 * No allocation. */
void scorer_score(struct scorer *scorer, const uint64_t *keys, int key_count, const float *dense,
                  float *out);
/* Many at once, each with all its keys: what scorer_score gives for each (of a network within
 * rounding). out [count x tasks]. */
void scorer_score_wholes(struct scorer *scorer, const struct minibatch *examples, float *out);
/* The request's part once, then candidates: keys and dense inputs of prepare are those that all
 * candidates share; those of a candidate are added to them. out [count x tasks]. `dense` of a
 * candidate: all of them [count x dense_count]. */
void scorer_prepare(struct scorer *scorer, const uint64_t *keys, int key_count);
void scorer_score_items(struct scorer *scorer, const struct minibatch *items, float *out);

int model_tasks(const struct model *model);
/* The dense weights by what they are: `leat model show`. At most `max`; returns how many. */
struct model_part {
    char name[MODEL_NAME_MAX];
    int rows, columns; /* columns 1: a vector */
};
enum { MODEL_PARTS_MAX = 1024 };
int model_parts(const struct model *model, struct model_part *out, int max);
/* Over the model's whole life: examples that said something, and steps taken. The learning thread.
 */
void model_learnt(const struct model *model, uint64_t *examples, uint64_t *steps);
uint64_t model_rows(const struct model *model);
uint64_t model_bytes(const struct model *model);
const struct table *model_table(const struct model *model);

/* --- saving --- */

/* Snapshot of table and dense weights together, frozen by the learning thread between examples; one
 * at a time (LEAT_AGAIN, positive). Written once, by any thread; released before model_close. */
leat_status model_freeze(struct model *model, struct model_snapshot **out, leat_error *err);
leat_status model_snapshot_write(struct model_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err);
void model_snapshot_release(struct model_snapshot *snapshot);
/* Into a model that has learnt nothing and that nobody else uses. LEAT_CONFLICT when the stored
 * model has another shape or optimiser; after any failure the model is as it was. */
leat_status model_restore(struct model *model, state_source source, void *context, leat_error *err);
/* What a saved model is, read from its head: for tools, and for who opens a model without its
 * configuration. Reads no further. */
leat_status model_describe(state_source source, void *context, struct model_spec *out,
                           leat_error *err);
/* A model by itself as a file (written beside, synced, renamed): spec, weights, table. */
leat_status model_save(struct model *model, struct disk *disk, const char *path, leat_error *err);
leat_status model_load(struct disk *disk, const char *path, struct metrics *metrics,
                       struct model **out, leat_error *err);
/* The same file as a replica, which takes less memory. */
leat_status model_load_replica(struct disk *disk, const char *path, struct metrics *metrics,
                               struct model **out, leat_error *err);
leat_status model_digest(struct model *model, uint64_t *out, leat_error *err);
/* Name of the kernel in use ("avx2", "scalar"); goes into the manifest. */
const char *model_kernel(void);

#endif
