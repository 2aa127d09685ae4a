#include "app/quality.h"

#include <math.h>
#include <stdlib.h>

void quality_add(struct quality_ranks *ranks, int rank) {
    ranks->count++;
    ranks->hits += quality_hit(rank);
    ranks->reciprocals += quality_reciprocal(rank);
}

double quality_hr(const struct quality_ranks *ranks) {
    return ranks->count ? ranks->hits / (double)ranks->count : 0;
}

double quality_mrr(const struct quality_ranks *ranks) {
    return ranks->count ? ranks->reciprocals / (double)ranks->count : 0;
}

void quality_mean_add(struct quality_mean *mean, double value) {
    mean->count++;
    double distance = value - mean->mean;
    mean->mean += distance / (double)mean->count;
    mean->squares += distance * (value - mean->mean);
}

double quality_mean_error(const struct quality_mean *mean) {
    if (mean->count < 2) {
        return 0;
    }
    double count = (double)mean->count;
    return sqrt(mean->squares / (count - 1) / count);
}

void quality_pair_add(struct quality_pair *pair, int ours, int theirs) {
    quality_mean_add(&pair->hr, quality_hit(ours) - quality_hit(theirs));
    quality_mean_add(&pair->mrr, quality_reciprocal(ours) - quality_reciprocal(theirs));
}

static int case_compare(const void *left, const void *right) {
    float a = ((const struct quality_case *)left)->probability;
    float b = ((const struct quality_case *)right)->probability;
    return (a > b) - (a < b);
}

leat_status quality_auc(struct quality_case *cases, size_t count, double *out, leat_error *err) {
    size_t positives = 0;
    for (size_t i = 0; i < count; i++) {
        positives += cases[i].positive;
    }
    if (positives == 0 || positives == count) {
        return error_set(err, LEAT_INVALID,
                         "AUC needs positives and negatives: %zu of %zu cases are positive",
                         positives, count);
    }
    qsort(cases, count, sizeof(*cases), case_compare);
    double below = 0; /* negatives under the current run of equal probabilities */
    double area = 0;
    for (size_t i = 0; i < count;) {
        double run_positives = 0;
        double run_negatives = 0;
        size_t run = i;
        for (; i < count && !(cases[i].probability > cases[run].probability); i++) {
            run_positives += cases[i].positive;
            run_negatives += !cases[i].positive;
        }
        area += run_positives * (below + run_negatives / 2);
        below += run_negatives;
    }
    *out = area / ((double)positives * (double)(count - positives));
    return LEAT_OK;
}

double quality_log_loss(const struct quality_case *cases, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double probability = fmin(fmax((double)cases[i].probability, 1e-7), 1 - 1e-7);
        sum -= log(cases[i].positive ? probability : 1 - probability);
    }
    return count ? sum / (double)count : 0;
}

double quality_calibration_error(struct quality_case *cases, size_t count) {
    if (count == 0) {
        return 0;
    }
    qsort(cases, count, sizeof(*cases), case_compare);
    double distances = 0;
    size_t at = 0;
    for (size_t bin = 1; bin <= QUALITY_BINS; bin++) {
        size_t end = count * bin / QUALITY_BINS;
        double difference = 0;
        for (; at < count &&
               (at < end || (at > 0 && cases[at].probability == cases[at - 1].probability));
             at++) {
            difference += (double)cases[at].probability - (cases[at].positive ? 1 : 0);
        }
        distances += fabs(difference);
    }
    return distances / (double)count;
}
