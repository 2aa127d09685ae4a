/* Models whose network takes a batch a step (net.h). The learning thread, but for versions.
 *
 * A step over the examples [from, to) of a minibatch, at most spec.batch of them:
 *
 *   1 keys -> rows; each distinct row once, with the list of where it stands     one thread
 *   2 shards, each a fixed part of the examples: pool, forward, loss, backward   a thread each
 *   3 dense weights: gradients of the shards added in their order, divided by the
 *     examples that say something, cut to a norm of GRADIENT_NORM_MAX, stepped
 *   4 rows: gradients added over the places of a row, in order, and stepped      blocks, a thread
 * each
 *
 * No sum depends on which thread made a part of it, so the number of threads changes no bit.
 * Gradients of a row are sums over the batch, those of dense weights means.
 *
 * Guard: a logit that is not finite has no gradient; the gradient of a logit is cut to
 * GRADIENT_MAX; a dense gradient that is not finite is not stepped on, nor is that of a row. All
 * are counted as exploded. */
#ifndef LEARN_LEARNER_H
#define LEARN_LEARNER_H

#include "base/pool.h"
#include "learn/model_gather.h"
#include "learn/model_internal.h"

#define GRADIENT_MAX      1e4f
#define GRADIENT_NORM_MAX 100.0
#define DENSE_INPUT_MAX   1e4f

enum { DENSE_BLOCK = 4096, ROW_BLOCK = 256, VERSION_SLOTS = 8 };

/* Where each distinct row of a batch stands. */
struct distinct {
    int count;
    int slots;         /* of the hash below: a power of two */
    uint32_t *slot;    /* [slots]: number of a distinct row + 1 */
    uint32_t *number;  /* [keys]: of the key's row */
    uint32_t *first;   /* [count + 1] in `places` */
    uint32_t *places;  /* [keys]: key numbers, those of one row together, rising */
    float **moving;    /* [count]: the row itself */
    float *rates;      /* [count] */
    uint32_t *example; /* [keys]: of the key, in the step */
    uint64_t *asked;   /* [keys]: those that are to get rows, where not all are */
    uint32_t *answers; /* [keys]: and the rows */
};

/* Of one shard. */
struct shard {
    struct net_work *work;
    float *gradient; /* [dense weights], the thresholds' included */
    uint64_t exploded;
};

/* Dense weights as scorers see them: copies, published when somebody asked. */
struct version {
    _Atomic int readers;
    uint64_t steps;
    float *dense;
};

struct learner {
    struct net_plan *plan;
    struct gather_plan gathering;
    struct pool *pool; /* NULL: one thread */
    int shards;
    int keys_max;
    struct gather gather;
    void *gather_memory;
    struct distinct distinct;
    void *distinct_memory;
    struct shard shard[MODEL_SHARDS_MAX];
    /* [spec.batch][...] */
    float *embeddings, *embedding_gradients, *own, *logits, *logit_gradients, *dense, *predictions;
    float *history_gradients; /* [keys_max][dimension] */
    double *squares;          /* of the blocks of the dense gradient */
    _Atomic uint64_t exploded;
    struct frequency *frequency; /* two towers */
    /* the step in hand */
    const struct minibatch *batch;
    const bool *fake;
    int from, count;
    int saying;
    bool learn;
    /* versions */
    _Atomic int current;
    _Atomic bool wanted;
    struct version versions[VERSION_SLOTS];
    /* idle workspaces of scorers */
    _Atomic(struct net_work *) idle[16];
};

leat_status learner_create(struct model *model, leat_error *err);
void learner_destroy(struct model *model);
size_t learner_bytes(const struct model *model);
/* `fake`: of each example, or NULL. In steps of at most spec.batch. */
void learner_batch(struct model *model, const struct minibatch *batch, const bool *fake, bool learn,
                   float *predictions);
/* First values of the network's parameters. */
void learner_start(const struct model *model, float *dense);

/* Of a dense input: 0 where it is not finite, cut to DENSE_INPUT_MAX. */
float learner_clean(float value);

/* Any thread: the newest version there is, held until it is given back. Asks for a newer one where
 * learning went on. */
const float *learner_acquire(const struct model *model, int *slot);
void learner_release(const struct model *model, int slot);
/* Learning thread: publishes the dense weights where somebody asked. `now`: in any case. */
void learner_publish(struct model *model, bool now);

/* Any thread: a workspace of SCORE_ROWS rows, given back after use. */
enum { SCORE_ROWS = 128 };
leat_status learner_work_take(const struct model *model, struct net_work **out, leat_error *err);
void learner_work_return(const struct model *model, struct net_work *work);

/* Parts of a step, apart for the test that checks gradients numerically: rows, shards and the sums
 * over them of examples [0, count); the gradient of distinct row u (model_shape.weights floats,
 * added to). False: no memory. */
bool learner_gradients(struct model *model, const struct minibatch *batch);
void learner_row_gradient(const struct model *model, int u, float *gradient);

/* --- two towers (model_towers.c) --- */

/* How often an item comes, from the distance of its comings (Yi et al., RecSys 2019). */
enum { FREQUENCY_SLOTS = 1 << 14 };
#define FREQUENCY_RATE 0.05f
struct frequency {
    float gap[FREQUENCY_SLOTS]; /* steps between two comings, a moving mean */
    uint32_t last[FREQUENCY_SLOTS];
};

leat_status towers_create(struct model *model, leat_error *err);
void towers_destroy(struct model *model);
size_t towers_bytes(const struct model *model);
void towers_reset(struct model *model);
/* One thread, before the shards: what items came in this step. */
void towers_count(struct model *model);
/* In place of loss and net_backward. */
void towers_shard(struct model *model, int index, int from, int count, struct net_input *input);

#endif
