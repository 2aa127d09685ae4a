/* dedup: passes the first of all rows with the same `id` within the window, by append time.
 *
 * Keyed by the row's id; rows without one pass. Exact: an id is remembered from the row that passed
 * until flow.dedup of append time later; a row at that very moment passes again, and is remembered
 * anew. A row that does not pass does not lengthen the time. So of the rows of one id, those pass
 * whose distance to the last one that passed is at least the window, whatever the order of other
 * ids and the cut into batches. Event time does not matter.
 *
 * State: an empty record an id, due when it leaves the window, in the key group of the id. Memory
 * follows the number of ids within the window, not the age of the stream. Beyond flow.memory a row
 * passes without being remembered: counting it twice is the lesser harm, and the refusal is
 * counted.
 *
 * Time moves first: dedup_now of a row's append time before the row. Threads: pushing and moving
 * time, each thread alone in its key groups of ids. */
#ifndef FLOW_DEDUP_H
#define FLOW_DEDUP_H

#include "base/config.h"
#include "base/hash.h"
#include "flow/row.h"
#include "state/state.h"

struct dedup;

/* All that dedup reads of a row; borrowed for the call. */
struct dedup_row {
    struct slice id; /* absent: the row passes */
    uint64_t hash;   /* hash_slice(id), from dedup_hash */
    int64_t now_ms;  /* append time */
};

leat_status dedup_open(const struct config *config, struct state_budget *budget, struct dedup **out,
                       leat_error *err);
void dedup_close(struct dedup *dedup);
/* Places a row: its key group is that of the hash. Any thread. */
static inline uint64_t dedup_hash(struct slice id) {
    return id.data ? hash_slice(id) : 0;
}
/* True: the row passes. */
bool dedup_push(struct dedup *dedup, const struct row *row);
/* The same for rows [0, count) in order, which come in one call so that their records come into the
 * cache together. */
void dedup_push_batch(struct dedup *dedup, const struct dedup_row *rows, int count, bool *passes);
/* Forgets what left the window: in all key groups, or in [first_group, end_group). */
void dedup_now(struct dedup *dedup, int64_t now_ms);
void dedup_now_in(struct dedup *dedup, uint32_t first_group, uint32_t end_group, int64_t now_ms);
struct state *dedup_state(struct dedup *dedup);

#endif
