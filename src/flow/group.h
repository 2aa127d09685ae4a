/* Session-grouped examples (RecD, arXiv 2211.05239): the examples of one request, or of one click
 * with its negatives, are one row. What they share (user, request, most ids and dense features) is
 * stored once; what differs is a list. Exactly reversible: splitting gives the same examples in the
 * same order, bit for bit.
 *
 *   examples                               group of u1 r1, count 2
 *   u1 r1 i1 | keys a b C | dense p q      keys_common 011   keys a b   keys_item C D
 *   u1 r1 i2 | keys a b D | dense p r      dense_common 01   dense p    dense_item q r
 *
 * A key that is made of the item and of what the group shares (feature.h: its field, and of the
 * hash_mix of a salt and the item, crossed with something or not, all bits but six) is not listed
 * either: a word or two make it again for every item. Whether a key is such a one is tried out key
 * by key, for each value of the six bits, so nothing rests on a guess.
 *
 * Examples are of one group when they have the same user and request (without a request: the same
 * user, time of showing and sequence) and as many keys and dense features, wherever they stand in
 * the batch. Groups stand in the order of their first examples. */
#ifndef FLOW_GROUP_H
#define FLOW_GROUP_H

#include "base/config.h"
#include "flow/example.h"

/* Lists "of 1 or count" hold one value where it is the same for all of the group. */
enum group_column {
    GROUP_COUNT,        /* i32: examples of the group */
    GROUP_USER,         /* text; null: unknown */
    GROUP_USER_HASH,    /* u64; where the text is unknown */
    GROUP_REQUEST,      /* text; null: unknown */
    GROUP_REQUEST_HASH, /* u64; where the text is unknown */
    GROUP_SEQUENCES,    /* list of u64, of 1 or count */
    GROUP_KEY_COUNT,    /* i32: keys of an example */
    GROUP_KEYS_COMMON,  /* u64: bit k: key k is the same for all */
    GROUP_KEYS_MADE,    /* u64: bit k: key k is of hash_mix(p, the item's hash) */
    GROUP_KEYS_CROSSED, /* u64: bit k: of hash_mix(hash_mix(p, the item's hash) ^ q, 0) */
    GROUP_KEYS,         /* list of u64: of those the key, p, or p and q, in order of k */
    GROUP_KEYS_ITEM,    /* list of u64: for each other key in order, a value an example */
    GROUP_DENSE_COUNT,  /* i32: dense features of an example */
    GROUP_DENSE_COMMON, /* u64: bit k, by the bits of the float */
    GROUP_DENSE,        /* list of f32 */
    GROUP_DENSE_ITEM,   /* list of f32 */
    GROUP_MASKS,        /* list of u64, of 1 or count */
    GROUP_LABELS,       /* list of u64, of 1 or count */
    GROUP_FLAGS,        /* list of u64, of 1 or count; null: all 0 */
    GROUP_WEIGHTS,      /* list of f32, of 1 or count */
    GROUP_LOG_ODDS,     /* list of f32, of 1 or count */
    GROUP_ITEMS,        /* list of text, a text an example; "" where it is unknown */
    GROUP_ITEM_HASHES,  /* list of u64, of count, 0 for an unknown item; null: all texts known */
    GROUP_SHOWN,        /* list of u64 (ms), of 1 or count; null: all 0 */
    GROUP_DUE,          /* list of u64 (ms), of 1 or count; null: all 0 */
    GROUP_PARTS,        /* list of u64, of 1 or count; null: all 0 */
    GROUP_PLACES,       /* list of u64, of count: where in the batch each stood; null in a batch
                           whose groups follow each other */
    GROUP_KEYS_FIELDS,  /* list of u64: fields of those that are made or crossed, in order of k, ten
                           of 6 bits a word, the first one lowest. Null: their keys are the whole
                           64 bits of the hash_mix, as in version 1, which ended before */
    GROUP_COLUMNS
};
enum { SCHEMA_EXAMPLE_GROUP = 17 };
const struct schema *schema_example_group(void);

/* Memory for both ways, kept from batch to batch. One thread. */
struct grouping;

/* `config`: its features are tried as salts of crosses; NULL: none are, and crosses may be listed.
 * Only for group_examples; not kept. */
leat_status grouping_create(const struct config *config, struct grouping **out, leat_error *err);
void grouping_destroy(struct grouping *grouping);

/* Appends the groups of a batch of schema_example to an empty builder of schema_example_group. */
leat_status group_examples(struct grouping *grouping, const struct batch *examples,
                           struct builder *out, leat_error *err);
/* Appends the examples of a batch of schema_example_group to an empty builder of schema_example.
 * LEAT_CORRUPT (row and column are named) where the batch is none that group_examples makes. */
leat_status group_split(struct grouping *grouping, const struct batch *groups, struct builder *out,
                        leat_error *err);

#endif
