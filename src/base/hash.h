/* Hashes, key groups and chance. Every random choice of leat hashes (seed, ids), so that a replay
 * of the same log makes the same choices. Hash: XXH3-64 (libxxhash). */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/bytes.h"

#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t size);
static inline uint64_t hash_slice(struct slice text) {
    return hash_bytes(text.data, text.size);
}

/* A well-mixed function of two words, one-to-one in each of them while the other stays: keys made
 * from small numbers or crosses of few values never meet by construction. (Odd multiply and
 * rotation of b, xor, then murmur3's finaliser, which is a bijection.) */
static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    uint64_t spread = b * 0x9E3779B97F4A7C15u + 0x7F4A7C15F39CC060u;
    uint64_t h = a ^ (spread << 31 | spread >> 33);
    h ^= h >> 33;
    h *= 0xFF51AFD7ED558CCDu;
    h ^= h >> 33;
    h *= 0xC4CEB9FE1A85EC53u;
    return h ^ (h >> 33);
}

/* Key group of a key's hash among `groups`. The shift leaves 63 bits, so that a language with
 * signed arithmetic only gives the same answer. Test vectors: tests/golden/key_groups.txt. */
static inline uint32_t key_group_of(uint64_t hash, uint32_t groups) {
    return (uint32_t)((hash >> 1) % groups);
}

/* Uniform in [0, 1) with 53 bits, from a hash. */
static inline double hash_unit(uint64_t hash) {
    return (double)(hash >> 11) * 0x1.0p-53;
}

#endif
