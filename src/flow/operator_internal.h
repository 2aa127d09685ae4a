/* What the files of the operators' public face share (include/leat/operator.h). A kind is a table
 * of functions around one operator of this room; everything else is the same for all kinds:
 *
 *   push: bound schema -> batch (operator_input.c) -> rows checked -> kind->push, row by row
 *   time: watermark.h -> kind->now, kind->fire by key group, as output has room
 *   pull: output queue (operator_output.c)
 *   freeze, restore: blocks (operator_snapshot.c)
 *
 * Internal to this room. */
#ifndef FLOW_OPERATOR_INTERNAL_H
#define FLOW_OPERATOR_INTERNAL_H

#include "base/json.h"
#include "column/arrow_copy.h"
#include "flow/catalog.h"
#include "flow/dedup.h"
#include "flow/join.h"
#include "flow/pairs.h"
#include "flow/profile.h"
#include "flow/row.h"
#include "flow/tally.h"
#include "flow/watermark.h"

#include <leat/operator.h>

#include <stdatomic.h>

enum { OPERATOR_INPUTS_MAX = 3, OPERATOR_OUTPUTS_MAX = 1 };

/* --- output --- */

struct output_batch; /* a builder that is full, or was closed to be pulled */

struct operator_output {
    const struct schema *schema;
    struct output_batch *oldest, *newest; /* waiting */
    struct output_batch *open;            /* rows are added to it; NULL: none yet */
    int waiting;
    bool failed; /* a row was lost for want of memory */
};

void output_init(struct operator_output *output, const struct schema *schema);
void output_deinit(struct operator_output *output);
/* The builder for one more row; NULL (and failed) when memory is out. output_end after the row was
 * ended in it. */
struct builder *output_begin(struct operator_output *output);
void output_end(struct operator_output *output);
bool output_empty(const struct operator_output *output);
/* The oldest rows. LEAT_AGAIN: none. LEAT_MEMORY: nothing was taken. */
leat_status output_pull(struct operator_output *output, struct ArrowArray *out, leat_error *err);

/* --- input --- */

enum operator_key { KEY_OF_ID, KEY_OF_USER, KEY_OF_ITEM, KEY_OF_STEP, KEY_SHARED };

struct input_spec {
    const struct schema *(*schema)(void);
    enum operator_key key;
};

struct operator_input {
    const struct input_spec *spec;
    const struct schema *schema;
    struct ArrowSchema plain;     /* of `schema`, exactly: what arrow_import_batch compares with */
    struct arrow_binding binding; /* of what is pushed */
    bool bound;                   /* leat_operator_bind changed it: rows are always copied */
    struct builder *copy;         /* NULL before the first copy */
};

leat_status input_init(struct operator_input *input, const struct input_spec *spec,
                       leat_error *err);
void input_deinit(struct operator_input *input);
/* A batch to read until the next call or the array's release: points into the array, or into a
 * copy. */
leat_status input_read(struct operator_input *input, const struct ArrowArray *array,
                       struct batch *out, leat_error *err);

/* --- the handle --- */

struct leat_operator;

struct operator_kind {
    const char *name;
    int input_count, output_count;
    struct input_spec inputs[OPERATOR_INPUTS_MAX];
    const struct schema *(*outputs[OPERATOR_OUTPUTS_MAX])(void);
    leat_status (*open)(struct leat_operator *op, leat_error *err);
    void (*push)(struct leat_operator *op, int input, const struct batch *batch, int64_t index);
    void (*now)(struct leat_operator *op); /* append time moved; may be NULL */
    /* What is due in key groups [first, end) at the operator's times; may be NULL. */
    void (*fire)(struct leat_operator *op, uint32_t first, uint32_t end);
    bool (*lookup)(const struct leat_operator *op, struct slice key, struct json_writer *json);
};

struct leat_operator {
    const struct operator_kind *kind;
    struct config *config; /* key_groups is that of `owned` */
    leat_host host;
    leat_key_groups owned;
    struct state_budget budget;
    struct operator_input inputs[OPERATOR_INPUTS_MAX];
    struct operator_output outputs[OPERATOR_OUTPUTS_MAX];

    /* The kind's own: those that it needs. */
    struct dedup *dedup;
    struct join *join;
    struct profile *profile;
    struct catalog *catalog;
    struct tally *tally;
    struct pairs *pairs;
    struct state *keyed;  /* by key group */
    struct state *shared; /* held in full by all operators of the kind; NULL: none */

    struct watermark watermark;
    _Atomic int64_t now_ms; /* append time; 0 before the first. Read by look-ups */
    uint32_t fire_next;     /* groups from here on are to be fired; owned.end: none */
    bool begun;             /* something was pushed: too late to restore */
    bool restored;          /* times are those of a block already */
    leat_error failed;      /* status LEAT_OK: it works */
    uint64_t refused_seen;  /* of the budget: refusals that changed nothing */
    uint64_t memory_seen;   /* memory_refusals of the driving thread when the call began */
    int64_t bytes_told;     /* to host.memory */
    atomic_bool frozen;     /* a snapshot is open */
    struct row row;
};

/* Brings memory back within the budget where records may leave it; the driving thread. */
leat_status operator_trim(struct leat_operator *op, leat_error *err);

/* The tables (operator_kinds.c); NULL: unknown. */
const struct operator_kind *operator_kind_find(const char *name);
leat_status operator_kind_unknown(const char *name, leat_error *err);

/* Checks all rows of a batch of one input; words name column, row and limit (operator_check.c). */
leat_status operator_check(struct leat_operator *op, int input, const struct batch *batch,
                           leat_error *err);
/* Decodes into op->row; false: the row is to be passed over. */
bool operator_decode(struct leat_operator *op, const struct batch *batch, int64_t index);

/* Tells host.memory what changed. */
void operator_told(struct leat_operator *op);

/* Event time as operators take it: WATERMARK_END is a time that may be added to. */
#define OPERATOR_TIME_END (INT64_C(1) << 53)

#endif
