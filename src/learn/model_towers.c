/* Two towers: softmax over the items of a shard, each less the logarithm of how often it comes, so
 * that frequent items are not pushed away for standing in many batches (Yi et al., RecSys 2019).
 *
 *   s_ij = u_i v_j / TEMPERATURE - log q_j      loss_i = -w_i log softmax_j(s_ij) at j = i
 *
 * for the examples i that are positive; an item that stands in the shard twice is no negative of
 * itself. q_j = 1 / the moving mean of the steps between two comings of the item. */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/learner.h"

#include <math.h>
#include <string.h>

#define TEMPERATURE 0.05f

struct towers {
    struct frequency frequency;
    int width;
    uint64_t *items; /* [batch]: hash of an example's item */
    float *log_q;
    float *users, *vectors, *user_gradients, *vector_gradients; /* [batch][width] */
    float *scores;                                              /* [shards][rows of a shard] */
};

static struct towers *towers_of(const struct model *model) {
    return (struct towers *)(void *)model->learner->frequency; /* its first member */
}

leat_status towers_create(struct model *model, leat_error *err) {
    struct learner *learner = model->learner;
    struct towers *towers = memory_zalloc(sizeof(*towers));
    if (!towers) {
        return error_memory(err, sizeof(*towers));
    }
    learner->frequency = &towers->frequency;
    towers->width = net_tower_width(learner->plan);
    size_t batch = (size_t)model->spec.batch;
    size_t floats = batch * (size_t)towers->width * sizeof(float);
    towers->items = memory_zalloc(batch * sizeof(uint64_t));
    towers->log_q = memory_zalloc(batch * sizeof(float));
    towers->users = memory_zalloc(floats);
    towers->vectors = memory_zalloc(floats);
    towers->user_gradients = memory_zalloc(floats);
    towers->vector_gradients = memory_zalloc(floats);
    towers->scores = memory_zalloc(2 * batch * sizeof(float));
    return towers->items && towers->log_q && towers->users && towers->vectors &&
                   towers->user_gradients && towers->vector_gradients && towers->scores
               ? LEAT_OK
               : error_memory(err, 4 * floats);
}

void towers_reset(struct model *model) {
    if (model->learner->frequency) {
        memset(model->learner->frequency, 0, sizeof(struct frequency));
    }
}

void towers_destroy(struct model *model) {
    struct towers *towers = towers_of(model);
    if (!towers) {
        return;
    }
    memory_free(towers->items);
    memory_free(towers->log_q);
    memory_free(towers->users);
    memory_free(towers->vectors);
    memory_free(towers->user_gradients);
    memory_free(towers->vector_gradients);
    memory_free(towers->scores);
    memory_free(towers);
    model->learner->frequency = NULL;
}

/* Every step counts; an item that stands in it more than once came once. */
void towers_count(struct model *model) {
    struct towers *towers = towers_of(model);
    struct frequency *frequency = &towers->frequency;
    const struct gather *gather = &model->learner->gather;
    uint32_t now = (uint32_t)model->steps + 1;
    for (int i = 0; i < model->learner->count; i++) {
        uint64_t item = 0;
        for (uint32_t k = gather->first[i]; k < gather->first[i + 1]; k++) {
            if (model->spec.fields[gather->fields[k]].of_item) {
                item = hash_mix(item, gather->keys[k]);
            }
        }
        towers->items[i] = item;
        uint32_t slot = (uint32_t)(hash_mix(item, 0x70u) % FREQUENCY_SLOTS);
        if (frequency->last[slot] != now) {
            float gap = (float)(now - frequency->last[slot]);
            frequency->gap[slot] += FREQUENCY_RATE * (gap - frequency->gap[slot]);
            frequency->last[slot] = now;
        }
        float mean = frequency->gap[slot] > 1.0f ? frequency->gap[slot] : 1.0f;
        towers->log_q[i] = -logf(mean);
    }
}

/* Softmax of row i of the shard into `scores`; its gradients into the four arrays. */
static void row_gradient(const struct model *model, int from, int count, int i, float weight,
                         float *scores) {
    struct towers *towers = towers_of(model);
    const struct kernel *kernel = model->kernel;
    size_t width = (size_t)towers->width;
    int n = towers->width;
    const float *user = towers->users + (size_t)i * width;
    float most = -INFINITY;
    for (int j = from; j < from + count; j++) {
        bool same = j != i && towers->items[j] == towers->items[i];
        float dot = kernel->dot(user, towers->vectors + (size_t)j * width, n);
        scores[j - from] = same ? -INFINITY : dot / TEMPERATURE - towers->log_q[j];
        most = scores[j - from] > most ? scores[j - from] : most;
    }
    float total = 0.0f;
    for (int j = 0; j < count; j++) {
        scores[j] = kernel_exp(scores[j] - most);
        total += scores[j];
    }
    for (int j = from; j < from + count; j++) {
        float g = weight * (scores[j - from] / total - (j == i ? 1.0f : 0.0f)) / TEMPERATURE;
        if (g != 0.0f) {
            kernel->add_scaled(towers->user_gradients + (size_t)i * width, g,
                               towers->vectors + (size_t)j * width, n);
            kernel->add_scaled(towers->vector_gradients + (size_t)j * width, g, user, n);
        }
    }
}

void towers_shard(struct model *model, int index, int from, int count, struct net_input *input) {
    struct learner *learner = model->learner;
    struct towers *towers = towers_of(model);
    const struct minibatch *batch = learner->batch;
    struct shard *shard = &learner->shard[index];
    size_t at = (size_t)from * (size_t)towers->width;
    size_t bytes = (size_t)count * (size_t)towers->width * sizeof(float);
    net_towers(shard->work, model->dense, input, towers->users + at, towers->vectors + at);
    memset(towers->user_gradients + at, 0, bytes);
    memset(towers->vector_gradients + at, 0, bytes);
    for (int i = from; i < from + count; i++) {
        float weight = model_clean(batch->weights[learner->from + i]) * model->spec.tasks[0].weight;
        if (weight > 0.0f && batch->targets[learner->from + i] > 0.0f) {
            row_gradient(model, from, count, i, weight, towers->scores + from);
        }
    }
    size_t width = (size_t)model->spec.field_count * (size_t)model->spec.dimension;
    net_towers_backward(shard->work, model->dense, input, towers->user_gradients + at,
                        towers->vector_gradients + at, shard->gradient,
                        learner->embedding_gradients + (size_t)from * width);
}

size_t towers_bytes(const struct model *model) {
    const struct towers *towers = towers_of(model);
    size_t batch = (size_t)model->spec.batch;
    return towers ? sizeof(*towers) + batch * (4 * (size_t)towers->width + 4) * sizeof(float) : 0;
}
