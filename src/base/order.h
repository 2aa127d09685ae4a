/* Ordering by weight, in place: heaviest first, equal weights by rising key. Heap sort: no memory,
 * no bad case, and the same order on every machine (the C library's qsort allocates beyond 1 KiB).
 */
#ifndef BASE_ORDER_H
#define BASE_ORDER_H

#include <stdint.h>

struct order_entry {
    double weight; /* not NaN */
    uint64_t key;
    uint64_t index; /* the caller's */
};

/* Puts the heaviest `wanted` entries first, in order; what follows them is in no order. */
void order_heaviest(struct order_entry *entries, int count, int wanted);

#endif
