/* What the readers of data sets share: where bytes come from, and what happens to a malformed row.
 *
 * A malformed row is refused with file, line and reason, counted, and passed over; the first
 * REFUSALS_SHOWN are printed. A strict reader stops at the first. */
#ifndef CONNECT_DATASET_H
#define CONNECT_DATASET_H

#include "base/bytes.h"
#include "base/error.h"

#include <stdio.h>

/* Where a reader's bytes come from. `read` gives up to `count` bytes; `*got` is 0 at the end only.
 */
struct byte_source {
    leat_status (*read)(void *context, void *data, size_t count, size_t *got, leat_error *err);
    void *context;
};

enum { REFUSALS_SHOWN = 20 };

struct refusals {
    FILE *show; /* where refusals are printed; NULL: nowhere */
    bool strict;
    uint64_t count;
};

/* Counts one refused row, and shows it if it is among the first. LEAT_OK, or with `strict`
 * LEAT_INVALID with the same words in `err`. `reason` may be `err` itself. */
leat_status refusals_add(struct refusals *refusals, const char *file, uint64_t line,
                         const leat_error *reason, leat_error *err);
/* One line with the count, if there were more than were shown. */
void refusals_finish(const struct refusals *refusals);

/* A column that must be an integer of [low, high]. LEAT_INVALID names column, value and limits. */
leat_status dataset_integer(const char *column, struct slice text, int64_t low, int64_t high,
                            int64_t *out, leat_error *err);

#endif
