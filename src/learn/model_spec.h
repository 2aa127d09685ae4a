/* What a model is: fields, network, tasks, optimiser. Plain data; everything that two processes
 * must agree on before one may use the other's weights. Made from leat.yaml (model_spec_of_config)
 * or read from a saved model; `leat model show` prints it.
 *
 *   keys -> rows of the table -> pooled by field -> network -> a logit a task -> probability
 *                                       dense inputs -^                 calibration -^ */
#ifndef LEARN_MODEL_SPEC_H
#define LEARN_MODEL_SPEC_H

#include "base/bytes.h"
#include "base/config.h"
#include "flow/feature_key.h"

enum {
    MODEL_NAME_MAX = CONFIG_NAME_MAX,
    MODEL_FIELDS_MAX = KEY_FIELDS_MAX,
    MODEL_TASKS_MAX = 16,
    MODEL_DENSE_MAX = 256,
    MODEL_LAYERS_MAX = 8,
    MODEL_DIMENSION_MAX = 256,
    MODEL_HIDDEN_MAX = 4096,
    MODEL_EXPERTS_MAX = 16,
    MODEL_LEVELS_MAX = 8,
    MODEL_BATCH_MAX = 8192, /* examples of a step */
    MODEL_SHARDS_MAX = 16,
};

/* How the embeddings of one field's keys become one vector of `dimension`. POOL_TARGET: weighted by
 * attention to the vector of the field `target` (DIN: Zhou et al., KDD 2018). */
enum model_pool { POOL_SUM, POOL_MEAN, POOL_TARGET };

struct model_field {
    char name[MODEL_NAME_MAX];
    enum model_pool pool;
    int target;       /* POOL_TARGET: the field that asks; else -1 */
    int shares;       /* the field whose rows it uses; its own number when it has rows of its own */
    float rate;       /* times the model's rate */
    int64_t expire_s; /* rows not seen for so long, in event time, go; 0: never */
    int admit;        /* a key gets a row when it has come so often; 1: at once */
    bool of_item;     /* two towers: on the item's side */
};

/* regression: every example is a negative of weight 1 and a positive of the weight of its value, so
 * that exp(logit) is the expected value (weighted logistic regression: Covington et al., RecSys
 * 2016, whose positives give up their weight as a negative). ordinal: is the value at least
 * edges[k]?, for each of `levels` edges; one learnt threshold each below the same logit; predicts
 * the expected value. retrieval: softmax over the batch's items, minus log q (Yi et al., RecSys
 * 2019); two towers only. */
enum model_head { HEAD_BINARY, HEAD_REGRESSION, HEAD_ORDINAL, HEAD_RETRIEVAL };

struct model_task {
    char name[MODEL_NAME_MAX];
    enum model_head head;
    float weight;  /* of its loss */
    bool negative; /* worth less than nothing: its interactions start with the opposite sign */
    int levels;    /* HEAD_ORDINAL: 1 to MODEL_LEVELS_MAX; else 0 */
    float edges[MODEL_LEVELS_MAX]; /* rising, above 0 */
};

/* In the order of the choices of model.network. */
enum model_network {
    NETWORK_FM,       /* factorisation machine with a head h a task (model.h); steps one by one */
    NETWORK_LOGISTIC, /* sum of weights: FM with dimension 0 */
    NETWORK_FWFM,     /* field-weighted FM (Pan et al., WWW 2018) */
    NETWORK_DEEPFM,   /* Guo et al., IJCAI 2017 */
    NETWORK_DCN,      /* deep & cross v2, parallel (Wang et al., WWW 2021) */
    NETWORK_MMOE,     /* Ma et al., KDD 2018 */
    NETWORK_PLE,      /* Tang et al., RecSys 2020 */
    NETWORK_TOWERS,   /* two towers, for retrieval */
};

enum model_optimiser { MODEL_ADAGRAD, MODEL_FTRL, MODEL_ADAM, MODEL_RMSPROP };

struct model_spec {
    int field_count;
    struct model_field fields[MODEL_FIELDS_MAX];
    int dense_count;
    int task_count;
    struct model_task tasks[MODEL_TASKS_MAX];
    enum model_network network;
    int dimension;
    int hidden_count;
    int hidden[MODEL_LAYERS_MAX]; /* widths of the layers of the deep part (of an expert, a tower)
                                   */
    int cross;                    /* cross layers of NETWORK_DCN */
    int experts; /* NETWORK_MMOE, NETWORK_PLE: shared ones; PLE: as many own ones */
    enum model_optimiser optimiser;
    float rate;       /* of rows */
    float rate_dense; /* of the network's parameters */
    float l2;         /* of embeddings, each time they are touched */
    float decay;      /* of the network's matrices, each step */
    float spread;     /* a new embedding is uniform within +- this */
    int batch;        /* examples of a step; NETWORK_FM and NETWORK_LOGISTIC step one by one */
    int shards;       /* parts a batch is cut into, whose gradients are added in order; each may
                         have a thread. Part of the result, not of the machine. */
    bool calibrate;
    bool evict; /* at the budget: the least useful rows make room; else new keys get none */
    uint64_t seed;
    int64_t memory; /* bytes of the table at most */
};

/* What features and tasks are called. */
struct model_names {
    int field_count, task_count;
    const char *const *fields; /* texts of less than MODEL_NAME_MAX bytes, borrowed */
    const char *const *tasks;
    int dense_count;
};

/* All settings by section `model`, for given fields and tasks: who reads files. Fields pool by sum
 * and have rows of their own. LEAT_INVALID names what does not fit together. */
leat_status model_spec_of_names(const struct config *config, const struct model_names *names,
                                struct model_spec *out, leat_error *err);

/* LEAT_INVALID names the first setting that is out of its bounds, or does not go with others. */
leat_status model_spec_check(const struct model_spec *spec, leat_error *err);
/* LEAT_CONFLICT names the first setting in which weights of `stored` mean nothing to `wanted`.
 * Rates, penalties, the size of a batch and the budget may differ. */
leat_status model_spec_agree(const struct model_spec *stored, const struct model_spec *wanted,
                             leat_error *err);

/* As bytes, and back: LEAT_CORRUPT, LEAT_INVALID. */
void model_spec_write(const struct model_spec *spec, struct bytes *out);
leat_status model_spec_read(struct bytes_reader *reader, struct model_spec *out, leat_error *err);

const char *model_network_name(enum model_network network);
const char *model_optimiser_name(enum model_optimiser optimiser);
const char *model_head_name(enum model_head head);

#endif
