/* A key of the model: which feature, and which value of it.
 *
 *    63      58 57                                    0
 *   [  field   |  low bits of the value's hash         ]
 *
 * The field is the feature's place in model.features (in a file's model: its place in the list of
 * fields), so that what receives keys alone, as the embedding table and the networks do, knows what
 * a key is of: rates, admission and expiry are settings of a field. Two values of one field whose
 * 58 bits agree are one key: of 10^8 values about 0.02 pairs. (Source: the feature ids of Monolith,
 * arXiv 2209.07663, hold their slot the same way.) */
#ifndef FLOW_FEATURE_KEY_H
#define FLOW_FEATURE_KEY_H

#include <stdint.h>

enum { KEY_FIELDS_MAX = 64, KEY_HASH_BITS = 58 };

#define KEY_HASH_MASK (((uint64_t)1 << KEY_HASH_BITS) - 1)

static inline uint64_t key_make(int field, uint64_t hash) {
    return (uint64_t)field << KEY_HASH_BITS | (hash & KEY_HASH_MASK);
}
static inline int key_field(uint64_t key) {
    return (int)(key >> KEY_HASH_BITS);
}
/* The same value under another field: fields that share rows. */
static inline uint64_t key_under(int field, uint64_t key) {
    return key_make(field, key);
}

#endif
