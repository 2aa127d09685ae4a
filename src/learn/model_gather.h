/* The keys of a batch as rows of the table, and their embeddings pooled by field: what a network
 * takes (net.h). One thread; memory is given by the caller, so that learning keeps its own from
 * batch to batch and a request takes it from its arena.
 *
 *   keys of the batch -> those of known fields with a row -> coefficient of each
 *   embeddings [examples][fields x dimension]   sum of coefficient x v, field after field
 *   own        [examples][tasks]                sum of coefficient x w, all fields
 *   vectors    [places][dimension]              v of POOL_TARGET fields, field after field, example
 *                                               after example
 *
 * The coefficient is the key's value; by mean and by attention also divided by the number of the
 * field's keys that have a row (of w; the network weighs v itself). */
#ifndef LEARN_MODEL_GATHER_H
#define LEARN_MODEL_GATHER_H

#include "learn/minibatch.h"
#include "learn/model_spec.h"
#include "learn/net.h"
#include "learn/table.h"

/* Which fields are pooled by attention. */
struct gather_plan {
    const struct model_spec *spec;
    int own; /* weights w of a row */
    int dimension;
    int history_count;
    int histories[MODEL_FIELDS_MAX];        /* their fields */
    signed char history_of[KEY_FIELDS_MAX]; /* of a field, or -1 */
    bool shares;
};
void gather_plan_init(struct gather_plan *plan, const struct model_spec *spec, int own);

struct gather {
    const struct gather_plan *plan;
    int examples_max, keys_max;
    int examples;
    int count;       /* keys with rows, after gather_compact */
    uint32_t *first; /* [examples_max + 1] */
    uint64_t *keys;  /* [keys_max] each */
    uint8_t *fields;
    float *scales; /* coefficient */
    uint32_t *rows;
    uint32_t *places;                         /* of a POOL_TARGET key in `vectors` */
    const float **at;                         /* the row itself */
    uint32_t *history_first;                  /* [history_count][examples_max + 1] */
    float *vectors;                           /* [keys_max][dimension], where there are histories */
    struct net_history net[MODEL_FIELDS_MAX]; /* as the network takes them */
    uint64_t unknown, not_finite;             /* keys passed over, since the start */
};

size_t gather_bytes(const struct gather_plan *plan, int examples_max, int keys_max);
/* `memory`: gather_bytes, 16-byte aligned. */
void gather_init(struct gather *gather, const struct gather_plan *plan, int examples_max,
                 int keys_max, void *memory);

/* Keys of examples [from, to) of the batch that are of known fields; false when they do not fit. */
bool gather_collect(struct gather *gather, const struct minibatch *batch, int from, int to);
/* After `rows` are set: forgets keys without a row, and works out coefficients and places. `table`:
 * where the rows are. */
void gather_compact(struct gather *gather, const struct table *table);
/* Pools examples [from, to): their places of `embeddings` and `own`, and their vectors. Any thread
 * for its own part. Loads are relaxed. */
void gather_pool(const struct gather *gather, int from, int to, float *embeddings, float *own);

#endif
