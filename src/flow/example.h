/* A training example, as flow makes it and learn takes it: model inputs as they were served (or as
 * they were looked up at the example's sequence number), a label and a mask per task. */
#ifndef FLOW_EXAMPLE_H
#define FLOW_EXAMPLE_H

#include "base/bytes.h"
#include "column/builder.h"

enum {
    EXAMPLE_KEYS_MAX = 64,  /* ids of one example */
    EXAMPLE_DENSE_MAX = 48, /* dense features of one example */
    EXAMPLE_TASKS_MAX = 16, /* one bit a task */
};

enum example_flags {
    EXAMPLE_CORRECTION = 1, /* a positive after its window had already settled as a negative */
    EXAMPLE_FAKE = 2,       /* a negative given at once (or the weighted positive after one): of the
                               policy fake_negative, which see in join.h */
    EXAMPLE_SLIDE = 4,      /* labels so far, of the policy sliding; a later one replaces it */
};

/* Borrowed by the consumer for the time of the call. */
struct example {
    uint64_t sequence;    /* of the row that settled it; examples come in rising order */
    const uint64_t *keys; /* hashed (feature, value); learn's table keys (feature_key.h) */
    int key_count;
    const float *dense;
    int dense_count;
    uint32_t mask;   /* bit t: this example says something about task t */
    uint32_t labels; /* bit t: it was positive */
    float weight;    /* of every loss term */
    float log_odds;  /* correction: added to the logit in training only, for drawn negatives */
    uint32_t flags;

    /* What it is of. Labels of several examples are folded by (user, request, item): the newest
     * word on a task holds. Texts may be absent where only the hash is known. */
    uint64_t user_hash, request_hash, item_hash;
    struct slice user, request, item;
    int64_t shown_ms; /* event time of the showing, or of the action */

    /* Order among examples of one sequence: first those that time settled, by (due_ms, user_hash,
     * part); then those of the row itself (due_ms 0), in the order they were made. */
    int64_t due_ms;
    uint64_t part;
};

/* The same as a row of a batch, for queues, files and other hosts. Columns from `user` on are null
 * where the member is absent or 0. A hash is stored only where its text is absent: elsewhere it is
 * hash_slice of the text. Their version 1 ended with `flags`. */
enum example_column {
    EXAMPLE_SEQUENCE,     /* u64 */
    EXAMPLE_KEYS,         /* list of u64 */
    EXAMPLE_DENSE,        /* list of f32 */
    EXAMPLE_MASK,         /* i32 bits */
    EXAMPLE_LABELS,       /* i32 bits */
    EXAMPLE_WEIGHT,       /* f32 */
    EXAMPLE_LOG_ODDS,     /* f32 */
    EXAMPLE_FLAGS,        /* i32 bits */
    EXAMPLE_USER,         /* text */
    EXAMPLE_REQUEST,      /* text */
    EXAMPLE_ITEM,         /* text */
    EXAMPLE_USER_HASH,    /* u64 */
    EXAMPLE_REQUEST_HASH, /* u64 */
    EXAMPLE_ITEM_HASH,    /* u64 */
    EXAMPLE_SHOWN,        /* i64 ms */
    EXAMPLE_DUE,          /* i64 ms */
    EXAMPLE_PART,         /* u64 */
    EXAMPLE_COLUMNS
};
/* Ids below 16 belong to the log; an example is never a record of it. */
enum { SCHEMA_EXAMPLE = 16 };
const struct schema *schema_example(void);

/* The one place of conversion. example_add appends a row to a builder of schema_example;
 * example_get reads one, pointing into the batch. What is got equals what was added, member by
 * member, as long as the hash of a text that is there is hash_slice of it. */
void example_add(struct builder *builder, const struct example *example);
void example_get(const struct batch *batch, int64_t row, struct example *out);

#endif
