#include "app/bootstrap.h"

#include "base/memory.h"
#include "base/rng.h"

#include <stdlib.h>

/* A case in the order of one model's scores. */
struct place {
    float score;
    uint32_t cluster;
    bool positive;
};

struct draws {
    struct place *ours, *theirs; /* each in rising order of its score */
    size_t count;
    uint32_t clusters;
    uint32_t *weights; /* how often each cluster was drawn */
    double differences[BOOTSTRAP_DRAWS];
};

static int place_compare(const void *left, const void *right) {
    float a = ((const struct place *)left)->score;
    float b = ((const struct place *)right)->score;
    return (a > b) - (a < b);
}

/* Area under the curve where a case counts as often as its cluster was drawn; below 0 where there
 * are no positives or no negatives. */
static double weighted_auc(const struct place *places, size_t count, const uint32_t *weights) {
    double below = 0; /* negatives under the current run of equal scores */
    double area = 0;
    double positives = 0;
    for (size_t i = 0; i < count;) {
        double run_positives = 0;
        double run_negatives = 0;
        size_t run = i;
        for (; i < count && !(places[i].score > places[run].score); i++) {
            double weight = weights[places[i].cluster];
            run_positives += places[i].positive ? weight : 0;
            run_negatives += places[i].positive ? 0 : weight;
        }
        area += run_positives * (below + run_negatives / 2);
        below += run_negatives;
        positives += run_positives;
    }
    return positives > 0 && below > 0 ? area / (positives * below) : -1;
}

static leat_status draws_init(struct draws *draws, const struct bootstrap_case *cases, size_t count,
                              leat_error *err) {
    *draws = (struct draws){.count = count};
    for (size_t i = 0; i < count; i++) {
        uint32_t end = cases[i].cluster + 1;
        draws->clusters = end > draws->clusters ? end : draws->clusters;
    }
    draws->ours = memory_alloc((count + 1) * sizeof(*draws->ours));
    draws->theirs = memory_alloc((count + 1) * sizeof(*draws->theirs));
    draws->weights = memory_alloc((draws->clusters + 1) * sizeof(*draws->weights));
    if (!draws->ours || !draws->theirs || !draws->weights) {
        return error_memory(err, 2 * count * sizeof(*draws->ours));
    }
    for (size_t i = 0; i < count; i++) {
        const struct bootstrap_case *one = &cases[i];
        draws->ours[i] = (struct place){one->ours, one->cluster, one->positive};
        draws->theirs[i] = (struct place){one->theirs, one->cluster, one->positive};
    }
    qsort(draws->ours, count, sizeof(*draws->ours), place_compare);
    qsort(draws->theirs, count, sizeof(*draws->theirs), place_compare);
    return LEAT_OK;
}

static void draws_deinit(struct draws *draws) {
    memory_free(draws->ours);
    memory_free(draws->theirs);
    memory_free(draws->weights);
}

static int double_compare(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double draw(struct draws *draws, struct rng *rng) {
    for (uint32_t c = 0; c < draws->clusters; c++) {
        draws->weights[c] = 0;
    }
    for (uint32_t c = 0; c < draws->clusters; c++) {
        draws->weights[rng_below(rng, draws->clusters)]++;
    }
    return weighted_auc(draws->ours, draws->count, draws->weights) -
           weighted_auc(draws->theirs, draws->count, draws->weights);
}

static leat_status measure(struct draws *draws, uint64_t seed, struct bootstrap_result *out,
                           leat_error *err) {
    struct rng rng;
    rng_init(&rng, seed);
    for (uint32_t c = 0; c < draws->clusters; c++) {
        draws->weights[c] = 1;
    }
    out->ours = weighted_auc(draws->ours, draws->count, draws->weights);
    out->theirs = weighted_auc(draws->theirs, draws->count, draws->weights);
    if (out->ours < 0) {
        return error_set(err, LEAT_INVALID,
                         "AUC needs positives and negatives; %zu cases are all "
                         "of one kind",
                         draws->count);
    }
    for (int d = 0; d < BOOTSTRAP_DRAWS; d++) {
        draws->differences[d] = draw(draws, &rng);
    }
    qsort(draws->differences, BOOTSTRAP_DRAWS, sizeof(double), double_compare);
    out->low = draws->differences[BOOTSTRAP_DRAWS / 40];
    out->high = draws->differences[BOOTSTRAP_DRAWS - 1 - BOOTSTRAP_DRAWS / 40];
    return LEAT_OK;
}

leat_status bootstrap_auc(const struct bootstrap_case *cases, size_t count, uint64_t seed,
                          struct bootstrap_result *out, leat_error *err) {
    struct draws *draws = memory_alloc(sizeof(*draws));
    *out = (struct bootstrap_result){0};
    if (!draws) {
        return error_memory(err, sizeof(*draws));
    }
    leat_status status = draws_init(draws, cases, count, err);
    if (status == LEAT_OK) {
        status = measure(draws, seed, out, err);
    }
    draws_deinit(draws);
    memory_free(draws);
    return status;
}
