/* Which row has a key? Buckets of one cache line, in the order of the keys' hashes.
 *
 *   bucket   [entry 0 | ... | entry 6 | meta]          8 bytes each
 *   entry    hash << 32 | row + 1                      0: free
 *   meta     filter of 44 bits << 20 | passed          passed: entries that belong to this bucket
 *                                                      or one before, and stand behind it
 *
 * The home of a hash g among n buckets is g n / 2^32. What finds its home full stands in the next
 * bucket that has room, and is counted by all that it passed; the filter of a bucket has a bit for
 * each, so that few look-ups of what is not there go on. (Counts instead of tombstones: F14 of
 * folly; the filter: boost::unordered_flat_map.)
 *
 * Growth by a twelfth, in place. The map from hash to home keeps the order, so with more buckets
 * every home is the same or higher, and the buckets can be moved from the top down, a few an
 * insert: hashes above a threshold belong to the new number of buckets, those below to the old.
 * `word` says both:
 *
 *   word     n << 32 | threshold       g > threshold: already among index_more(n) buckets
 *
 * A chunk of buckets is moved in three steps: its entries are copied to their new places, the
 * threshold is lowered, the old ones are removed. A reader finds an entry in one of the two, or
 * misses because its word was of before: so a miss holds only if the hash is still under the same
 * number of buckets, else it is asked again. A hit holds always, since it compares the key.
 *
 * Threads: one writer; any number of readers (index_home, bucket_match, index_same). Whose key an
 * entry is, the caller knows: it lies in the row. */
#ifndef LEARN_TABLE_INDEX_H
#define LEARN_TABLE_INDEX_H

#include "learn/table_memory.h"

#include <stdatomic.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    BUCKET_ENTRIES = 7,
    META_COUNT_BITS = 20,
    META_FILTER_BITS = 44,
    INDEX_BUCKETS_FIRST = 16,
};

struct table_bucket {
    _Alignas(64) _Atomic uint64_t entries[BUCKET_ENTRIES];
    _Atomic uint64_t meta;
};
_Static_assert(sizeof(struct table_bucket) == 64, "a cache line");

struct index_move {
    uint64_t from; /* bucket * 8 + entry */
    uint64_t entry;
};

struct table_index {
    /* What readers need, and nobody changes but at the beginning. */
    struct table_bucket *buckets;
    uint64_t end; /* of the buckets: who comes here looks on at the first */
    _Alignas(64) _Atomic uint64_t word;
    /* The writer's own. */
    _Alignas(64) uint64_t entries;
    uint64_t frontier; /* buckets below it are under the old number */
    uint64_t credit;   /* buckets that may be moved */
    bool growing;
    struct index_move *moves;
    uint64_t moves_max;
    struct table_area area;
};

/* Needs room for `rows` entries. False: no memory. */
bool table_index_open(struct table_index *index, uint64_t rows);
void table_index_close(struct table_index *index);
/* Bytes of address space for as many rows, and of memory in use once there are as many. */
uint64_t table_index_bytes_of(uint64_t rows);
/* In use now. */
uint64_t table_index_bytes(const struct table_index *index);
/* Nobody else uses it: as many buckets as `rows` rows to come need; forgets all entries. */
void table_index_clear(struct table_index *index, uint64_t rows);
double table_index_load(const struct table_index *index);

/* Writer. The caller has looked: the key is not there. Moves some buckets where it grows. */
void table_index_add(struct table_index *index, uint32_t hash, uint32_t row);
/* Writer. It is there. */
void table_index_remove(struct table_index *index, uint32_t hash, uint32_t row);

/* --- readers --- */

static inline uint64_t index_more(uint64_t buckets) {
    return buckets + buckets / 12;
}
static inline uint64_t index_word(const struct table_index *index) {
    return atomic_load_explicit(&index->word, memory_order_acquire);
}
/* The number of buckets that a hash is under. */
static inline uint64_t index_buckets(uint64_t word, uint32_t hash) {
    uint64_t buckets = word >> 32;
    return hash > (uint32_t)word ? index_more(buckets) : buckets;
}
static inline uint64_t index_home(uint64_t word, uint32_t hash) {
    return hash * index_buckets(word, hash) >> 32;
}
/* Whether what was looked up by `word` and not found is not there. */
static inline bool index_same(const struct table_index *index, uint64_t word, uint32_t hash) {
    uint64_t now = index_word(index);
    return now == word || index_buckets(now, hash) == index_buckets(word, hash);
}
static inline uint64_t index_after(const struct table_index *index, uint64_t bucket) {
    return bucket + 1 == index->end ? 0 : bucket + 1;
}

/* A bit for each entry of that hash; of hash 0: for each that is free. The reference. */
static inline uint32_t bucket_match_plain(const struct table_bucket *bucket, uint32_t hash) {
    uint32_t match = 0;
    for (int i = 0; i < BUCKET_ENTRIES; i++) {
        uint64_t entry = atomic_load_explicit(&bucket->entries[i], memory_order_acquire);
        match |= (uint32_t)(entry >> 32 == hash) << i;
    }
    return match;
}

/* The same by vectors that every x86-64 has; eight bytes that are aligned are never torn in them.
 * An entry that matched is loaded again, by itself, before it is believed (bucket_row). */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
static inline uint32_t bucket_match(const struct table_bucket *bucket, uint32_t hash) {
    const __m128 *at = (const __m128 *)(const void *)bucket;
    enum { UPPER = _MM_SHUFFLE(3, 1, 3, 1) };
    __m128i wanted = _mm_set1_epi32((int)hash);
    __m128i low = _mm_castps_si128(_mm_shuffle_ps(at[0], at[1], UPPER));
    __m128i high = _mm_castps_si128(_mm_shuffle_ps(at[2], at[3], UPPER));
    int match = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(low, wanted))) |
                _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(high, wanted))) << 4;
    return (uint32_t)match & ((1u << BUCKET_ENTRIES) - 1);
}
#else
static inline uint32_t bucket_match(const struct table_bucket *bucket, uint32_t hash) {
    return bucket_match_plain(bucket, hash);
}
#endif

static inline uint64_t meta_bit(uint32_t hash) {
    return (uint64_t)1 << (META_COUNT_BITS + ((hash & 0xFFFF) * (uint32_t)META_FILTER_BITS >> 16));
}
/* Whether an entry of that hash may stand behind this bucket. */
static inline bool bucket_passed(const struct table_bucket *bucket, uint32_t hash) {
    return (atomic_load_explicit(&bucket->meta, memory_order_acquire) & meta_bit(hash)) != 0;
}
/* Row of an entry, which may have changed since it matched: UINT32_MAX then. */
static inline uint32_t bucket_row(const struct table_bucket *bucket, int at, uint32_t hash) {
    uint64_t entry = atomic_load_explicit(&bucket->entries[at], memory_order_acquire);
    return entry >> 32 == hash ? (uint32_t)entry - 1 : UINT32_MAX;
}

#endif
