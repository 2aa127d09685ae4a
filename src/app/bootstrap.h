/* Paired bootstrap of a difference of AUCs: two models' scores of the same cases, cases drawn again
 * by cluster (Efron 1979; clusters because the cases of one person are not independent of each
 * other: an interval over single cases would be too narrow). One thread. */
#ifndef APP_BOOTSTRAP_H
#define APP_BOOTSTRAP_H

#include "base/error.h"

#include <stddef.h>

enum { BOOTSTRAP_DRAWS = 1000 };

struct bootstrap_case {
    float ours, theirs; /* the higher, the more likely positive */
    uint32_t cluster;   /* 0, 1, 2 ... */
    bool positive;
};

struct bootstrap_result {
    double ours, theirs; /* AUC of all cases */
    double low, high;    /* of ours - theirs: 2.5 % and 97.5 % of the draws */
};

/* As many clusters as there are, with replacement, BOOTSTRAP_DRAWS times; a function of cases and
 * seed. Ties count half. LEAT_INVALID unless there are positives and negatives. */
leat_status bootstrap_auc(const struct bootstrap_case *cases, size_t count, uint64_t seed,
                          struct bootstrap_result *out, leat_error *err);

#endif
