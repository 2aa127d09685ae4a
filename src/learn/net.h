/* The network between pooled embeddings and logits, for batches: layers as matrix products
 * (OpenBLAS), gradients by hand, each checked numerically by net_test.
 *
 *   input   embeddings [rows][fields x dimension]   pooled, field after field
 *           dense      [rows][dense_count]
 *           history    of POOL_TARGET fields: before pooling, see net_history
 *   output  logits     [rows][tasks]                without the sum of the rows' own weights w
 *
 * Parameters are one array of floats, laid out by the plan in a fixed order, so that copying,
 * saving, stepping and shipping them is one loop. The plan is immutable and shared; a net_work
 * belongs to one thread. Same plan, parameters, input and machine: the same bits. */
#ifndef LEARN_NET_H
#define LEARN_NET_H

#include "base/error.h"
#include "learn/model_spec.h"

struct net_plan;
struct net_work;

/* Keys of a POOL_TARGET field, one after another: those of row i are [offsets[i], offsets[i+1]).
 * The field's place in `embeddings` is written by net_forward; gradients of the keys by
 * net_backward. */
struct net_history {
    int field;
    const uint32_t *offsets; /* [rows + 1]; the first need not be 0 */
    const float *vectors;    /* [offsets[rows]][dimension] */
    float *gradients;        /* the same shape; written by net_backward; NULL in scoring */
};

struct net_input {
    int rows;
    float *embeddings; /* [rows][fields x dimension]; written only where a history is pooled */
    const float *dense;
    int history_count;
    struct net_history *histories;
};

/* LEAT_INVALID names what of the spec does not fit. Networks of one step an example (FM, logistic)
 * have no plan. */
leat_status net_plan_create(const struct model_spec *spec, struct net_plan **out, leat_error *err);
void net_plan_destroy(struct net_plan *plan);

/* A named part of the parameters: `leat model show`, weight decay (matrices only), tests. */
struct net_part {
    char name[MODEL_NAME_MAX];
    size_t first;
    int rows, columns; /* columns 1: a vector of `rows` */
    bool decays;
};
size_t net_parameters(const struct net_plan *plan);
int net_parts(const struct net_plan *plan);
const struct net_part *net_part_at(const struct net_plan *plan, int index);
/* First values: a function of plan and seed (He et al. 2015 before a ReLU, Glorot and Bengio 2010
 * elsewhere; biases 0). */
void net_start(const struct net_plan *plan, uint64_t seed, float *parameters);

/* Room for activations of up to `rows_max` rows; with `gradients` for a backward pass too.
 * LEAT_UNSUPPORTED: the library of matrix products is not installed. */
leat_status net_work_create(const struct net_plan *plan, int rows_max, bool gradients,
                            struct net_work **out, leat_error *err);
void net_work_destroy(struct net_work *work);

/* No allocation. logits [rows][tasks]. */
void net_forward(struct net_work *work, const float *parameters, const struct net_input *input,
                 float *logits);
/* After net_forward of the same input. `logit_gradients` [rows][tasks]; overwrites
 * `parameter_gradients` (net_parameters floats: sums over the rows) and `embedding_gradients` (as
 * input->embeddings; the places of histories are 0, theirs go to their own array). */
void net_backward(struct net_work *work, const float *parameters, const struct net_input *input,
                  const float *logit_gradients, float *parameter_gradients,
                  float *embedding_gradients);

/* Request and candidates: what does not depend on the item is computed once. `input` of net_prepare
 * has one row, whose item fields (model_field.of_item, and histories that ask for the item) are
 * ignored; net_forward_items then takes n rows of which only the item fields, histories and dense
 * inputs are read. Gives the logits that net_forward of the
 * whole rows gives, within rounding of a different order of additions. */
void net_prepare(struct net_work *work, const float *parameters, const struct net_input *input);
void net_forward_items(struct net_work *work, const float *parameters,
                       const struct net_input *items, float *logits);

/* NETWORK_TOWERS: the two vectors of each row, [rows][net_tower_width], of unit length. */
int net_tower_width(const struct net_plan *plan);
void net_towers(struct net_work *work, const float *parameters, const struct net_input *input,
                float *user_vectors, float *item_vectors);
/* After net_towers of the same input: as net_backward, from the gradients of the two vectors
 * (before which they were of unit length). For losses over a batch, where every user meets every
 * item. */
void net_towers_backward(struct net_work *work, const float *parameters,
                         const struct net_input *input, const float *user_gradients,
                         const float *item_gradients, float *parameter_gradients,
                         float *embedding_gradients);

/* "openblas 0.3.21 SkylakeX": goes into the manifest; results may differ between kinds. Empty
 * before the first net_work_create. */
const char *net_kernel(void);

#endif
