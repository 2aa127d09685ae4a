/* dedup: passes the first of all events with the same id within the window, by append time.
 *
 * Keyed by the event's `id`; events without one pass. Exact: an id is remembered from its first
 * appearance for `flow.dedup`, by append time, then forgotten, so memory follows the window. */
#ifndef FLOW_DEDUP_H
#define FLOW_DEDUP_H

#include "base/config.h"
#include "flow/row.h"
#include "state/state.h"

struct dedup;

leat_status dedup_open(const struct config *config, struct state_budget *budget, struct dedup **out,
                       leat_error *err);
void dedup_close(struct dedup *dedup);
/* True: the row is the first with its id. Flow's thread. */
bool dedup_push(struct dedup *dedup, const struct row *row);
void dedup_now(struct dedup *dedup, int64_t now_ms); /* forgets what left the window */
struct state *dedup_state(struct dedup *dedup);

#endif
