#include "world/paired.h"

#include <math.h>

void paired_add(struct paired *paired, int served, const int arm[ARM_COUNT]) {
    paired->pages++;
    paired->served += served;
    for (int i = 0; i < ARM_COUNT; i++) {
        double minus = served - arm[i];
        paired->arm[i] += arm[i];
        paired->minus[i] += minus;
        paired->minus_squared[i] += minus * minus;
    }
}

void paired_merge(struct paired *into, const struct paired *from) {
    into->pages += from->pages;
    into->served += from->served;
    for (int i = 0; i < ARM_COUNT; i++) {
        into->arm[i] += from->arm[i];
        into->minus[i] += from->minus[i];
        into->minus_squared[i] += from->minus_squared[i];
    }
}

static double per_page(const struct paired *paired, double sum) {
    return paired->pages > 0 ? sum / (double)paired->pages : NAN;
}

double paired_served(const struct paired *paired) {
    return per_page(paired, paired->served);
}

double paired_arm(const struct paired *paired, enum arm arm) {
    return per_page(paired, paired->arm[arm]);
}

double paired_minus(const struct paired *paired, enum arm arm) {
    return per_page(paired, paired->minus[arm]);
}

double paired_error(const struct paired *paired, enum arm arm) {
    if (paired->pages < 2) {
        return NAN;
    }
    double pages = (double)paired->pages;
    double mean = paired->minus[arm] / pages;
    double squares = paired->minus_squared[arm] - pages * mean * mean;
    return sqrt((squares > 0 ? squares : 0) / (pages - 1) / pages);
}

double paired_gap_share(const struct paired *paired) {
    double gap = paired->arm[ARM_ORACLE] - paired->arm[ARM_POPULAR];
    return gap > 0 ? paired->minus[ARM_POPULAR] / gap : NAN;
}
