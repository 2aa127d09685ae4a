/* Rows of kind `forget` that stand in the log: each asks that its person's rows before it are
 * erased. When that is done the row itself is erased, so those that stand are the ones still to be
 * done: the log needs no list of its own on disk. In memory 16 bytes each.
 *
 * Internal to log/. One thread at a time. */
#ifndef LOG_FORGETS_H
#define LOG_FORGETS_H

#include "column/batch.h"

struct forget {
    uint64_t sequence;
    int64_t append_ms;
};

/* In rising order of sequence. */
struct forget_list {
    struct forget *items;
    size_t count;
    size_t capacity;
};

void forget_list_deinit(struct forget_list *list);
/* Room for `count` more, so that the forget_list_add that follow cannot fail. */
leat_status forget_list_reserve(struct forget_list *list, size_t count, leat_error *err);
void forget_list_add(struct forget_list *list, struct forget forget);
/* Takes out those before `sequence`. */
void forget_list_drop(struct forget_list *list, uint64_t sequence);

/* The first forget row of a batch of any schema at or after `row`; batch->rows when none is left.
 */
int64_t forget_row(const struct batch *batch, int64_t row);

#endif
