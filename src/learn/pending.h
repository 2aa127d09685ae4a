/* Examples that wait for their batch: a network that takes a step a batch gets those of `batch`
 * consecutive sequence numbers, or of as many examples where there are more, so that no cut depends
 * on when examples came. What waits is part of a snapshot. One thread. */
#ifndef LEARN_PENDING_H
#define LEARN_PENDING_H

#include "base/bytes.h"
#include "learn/minibatch.h"

struct pending {
    int tasks, dense_count;
    int count;
    uint64_t block; /* sequence / batch of those that wait; 0: none does */
    struct bytes offsets, keys, dense, targets, weights, log_odds, times, fake;
};

void pending_init(struct pending *pending, int tasks, int dense_count);
void pending_deinit(struct pending *pending);
/* A batch of one example behind the others; false: no memory, nothing changed. */
bool pending_add(struct pending *pending, const struct minibatch *one, bool fake);
/* Borrowed until the next add or clear. */
struct minibatch pending_batch(const struct pending *pending, const bool **fake);
void pending_clear(struct pending *pending);

void pending_write(const struct pending *pending, struct bytes *out);
/* False: the bytes are no such thing, or memory is out; `pending` is then empty. */
bool pending_read(struct pending *pending, struct bytes_reader *reader, int count_max);

#endif
