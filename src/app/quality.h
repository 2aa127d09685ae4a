/* How good predictions were: hit rate and mean reciprocal rank of ranked pages, paired differences
 * with their standard error, and AUC and log loss of probabilities. Plain sums; one thread. */
#ifndef APP_QUALITY_H
#define APP_QUALITY_H

#include "base/error.h"

#include <stddef.h>

enum { QUALITY_PAGE = 10 };

/* Rank 1 is the top; 0: the true one is not on the page. Only ranks up to QUALITY_PAGE count. */
static inline double quality_hit(int rank) {
    return rank > 0 && rank <= QUALITY_PAGE ? 1 : 0;
}
static inline double quality_reciprocal(int rank) {
    return quality_hit(rank) > 0 ? 1.0 / rank : 0;
}

struct quality_ranks {
    uint64_t count;
    double hits;
    double reciprocals;
};

void quality_add(struct quality_ranks *ranks, int rank);
double quality_hr(const struct quality_ranks *ranks);  /* 0 when empty */
double quality_mrr(const struct quality_ranks *ranks); /* 0 when empty */

/* A running mean and its standard error (Welford: no difference of large sums). */
struct quality_mean {
    uint64_t count;
    double mean;
    double squares; /* sum of squared distances from the mean */
};

void quality_mean_add(struct quality_mean *mean, double value);
double quality_mean_error(const struct quality_mean *mean); /* 0 below two values */

/* One ranker against another on the same cases: the mean of (ours - theirs). The standard error
 * takes the cases as independent of each other. */
struct quality_pair {
    struct quality_mean hr;
    struct quality_mean mrr;
};

void quality_pair_add(struct quality_pair *pair, int ours, int theirs);

struct quality_case {
    float probability;
    bool positive;
};

/* Exact area under the ROC curve, ties counted half; sorts `cases`. LEAT_INVALID unless there are
 * positives and negatives. */
leat_status quality_auc(struct quality_case *cases, size_t count, double *out, leat_error *err);
/* Mean log loss in nats; probabilities are held within [1e-7, 1 - 1e-7]. 0 when empty. */
double quality_log_loss(const struct quality_case *cases, size_t count);
/* Expected calibration error: cases in order of probability are cut into QUALITY_BINS bins of as
 * many each (equal ones stay together); the mean, over the cases, of the distance between a bin's
 * mean probability and its rate. Sorts `cases`; 0 when empty. */
enum { QUALITY_BINS = 20 };
double quality_calibration_error(struct quality_case *cases, size_t count);

#endif
