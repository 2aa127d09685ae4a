/* Steps: what the profile operator tells the pairs operator, where the two are hosted apart.
 *
 * profile is keyed by person and knows the session; pairs is keyed by item. A liked action on b in
 * the session a2 a1 (newest first) touches b and every a, each in its own key group. So it becomes
 * one row an item, and each goes to the group of its item:
 *
 *   item_hash b   item "b"   side in    distance 0   neighbours a2 a1     begins b
 *   item_hash a2  item null  side out   distance 0   neighbours b
 *   item_hash a1  item null  side out   distance 1   neighbours b
 *
 * Of a2 only the hash is known to the session; its own row, with its text, came before by the same
 * way. Rows of one item are to keep the order of one producer. */
#ifndef FLOW_STEP_H
#define FLOW_STEP_H

#include "column/builder.h"
#include "flow/pairs.h"

enum step_column {
    STEP_ITEM_HASH,  /* u64, the key; never null */
    STEP_ITEM,       /* text; null in rows of side out */
    STEP_TIME,       /* i64 ms; never null */
    STEP_SIDE,       /* i32: enum pairs_side; never null */
    STEP_DISTANCE,   /* i32: of the first neighbour, the next ones follow; never null */
    STEP_NEIGHBOURS, /* list of u64, PAIRS_BACK at most; never null */
    STEP_COLUMNS
};
enum { SCHEMA_STEP = 18 };
const struct schema *schema_step(void);

/* What a row that is a step must be besides batch_check; LEAT_INVALID names column and row. */
leat_status step_check(const struct batch *batch, int64_t row, leat_error *err);

/* The rows of one liked action; `session` as pairs_push takes it. `next` gives the builder of each
 * row and is told when it is ended; NULL from it: no memory, the rest is left out. */
struct step_out {
    struct builder *(*begin)(void *context);
    void (*end)(void *context);
    void *context;
};
void step_make(const struct row *row, const uint64_t *session, int count,
               const struct step_out *out);
/* pairs_push of all rows of a step, in their order, is pairs_push of the action. */
void step_push(struct pairs *pairs, const struct batch *batch, int64_t row);

#endif
