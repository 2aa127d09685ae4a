/* Clicks of served pages beside those of the comparison arms, page by page: means, and paired
 * differences with their standard errors. One thread at a time; threads keep their own and merge.
 */
#ifndef WORLD_PAIRED_H
#define WORLD_PAIRED_H

#include "world/arms.h"

struct paired {
    int64_t pages;
    double served;
    double arm[ARM_COUNT];           /* sums of clicks */
    double minus[ARM_COUNT];         /* sums of served - arm, */
    double minus_squared[ARM_COUNT]; /* and of its squares */
};

void paired_add(struct paired *paired, int served, const int arm[ARM_COUNT]);
void paired_merge(struct paired *into, const struct paired *from);

/* Per page; NaN without a page (the error: with less than two). */
double paired_served(const struct paired *paired);
double paired_arm(const struct paired *paired, enum arm arm);
double paired_minus(const struct paired *paired, enum arm arm);
double paired_error(const struct paired *paired, enum arm arm);
/* (served - popular) / (oracle - popular): 0 as good as most-popular, 1 as good as knowing all. */
double paired_gap_share(const struct paired *paired);

#endif
