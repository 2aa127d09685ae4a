/* Rows of the sync-interval experiment, in order: out of the generator, or of a Criteo file. Both
 * go through the encoder of `leat train --format criteo`: integers by floor(log(x)^2), ids by their
 * text, what is absent as a value of its own. One thread. */
#ifndef APP_SYNC_FEED_H
#define APP_SYNC_FEED_H

#include "connect/row_plan.h"
#include "learn/minibatch.h"
#include "world/drift.h"

struct sync_feed;

leat_status sync_feed_drift(const struct drift_options *options, struct sync_feed **out,
                            leat_error *err);
/* `path` is read twice: how many rows it has must be known first. */
leat_status sync_feed_criteo(const char *path, struct sync_feed **out, leat_error *err);
void sync_feed_close(struct sync_feed *feed); /* NULL is fine */

const struct row_plan *sync_feed_plan(const struct sync_feed *feed);
uint64_t sync_feed_rows(const struct sync_feed *feed);
/* Rows of a file that were malformed so far. */
uint64_t sync_feed_refused(const struct sync_feed *feed);

/* Up to `max` rows, at most MINIBATCH_MAX; borrowed until the next call. `truth` [count]: see
 * sync_rows. LEAT_END behind the last. */
leat_status sync_feed_next(struct sync_feed *feed, int max, struct minibatch *out,
                           const float **truth, leat_error *err);

#endif
