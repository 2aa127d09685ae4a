/* A page: what one request is answered with. */
#ifndef RANK_PAGE_H
#define RANK_PAGE_H

#include "base/bytes.h"
#include "flow/example.h"

enum { PAGE_ITEMS_MAX = 200, PAGE_REASON_MAX = 192, PAGE_REQUEST_MAX = 40 };

struct page_item {
    struct slice item; /* the id; memory of the request's arena */
    uint64_t hash;
    double score;                    /* the value formula's result */
    float scores[EXAMPLE_TASKS_MAX]; /* probability of each task */
    uint32_t channels;               /* bits of recall's channels */
    char reason[PAGE_REASON_MAX];    /* in words, UTF-8 */
    const uint64_t *keys;            /* the model's input as it was scored */
    int key_count;
    const float *dense;
    int dense_count;
};

struct page {
    char request[PAGE_REQUEST_MAX];
    int64_t now_ms;
    uint64_t applied, learnt; /* positions of state and model that it was made from, at least */
    int count;
    struct page_item *items;
    int gathered, filtered, scored; /* sizes on the way */
};

#endif
