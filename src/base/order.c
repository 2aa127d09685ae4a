#include "base/order.h"

#include <stdbool.h>

/* Whether a comes after b in the final order: then it is nearer to the root of the heap of those
 * kept, where the last of them waits to be replaced. */
static bool after(const struct order_entry *a, const struct order_entry *b) {
    return a->weight != b->weight ? a->weight < b->weight : a->key > b->key;
}

static void swap(struct order_entry *a, struct order_entry *b) {
    struct order_entry held = *a;
    *a = *b;
    *b = held;
}

static void sink(struct order_entry *heap, int count, int at) {
    while (2 * at + 1 < count) {
        int child = 2 * at + 1;
        if (child + 1 < count && after(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!after(&heap[child], &heap[at])) {
            return;
        }
        swap(&heap[child], &heap[at]);
        at = child;
    }
}

void order_heaviest(struct order_entry *entries, int count, int wanted) {
    int kept = wanted < count ? wanted : count;
    for (int at = kept / 2 - 1; at >= 0; at--) {
        sink(entries, kept, at);
    }
    for (int i = kept; kept > 0 && i < count; i++) {
        if (after(&entries[0], &entries[i])) {
            swap(&entries[0], &entries[i]);
            sink(entries, kept, 0);
        }
    }
    for (int last = kept - 1; last > 0; last--) {
        swap(&entries[0], &entries[last]);
        sink(entries, last, 0);
    }
}
