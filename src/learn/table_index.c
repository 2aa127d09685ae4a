#include "learn/table_index.h"

#include "base/error.h"
#include "base/memory.h"

#include <string.h>

enum {
    LOAD_PERMILLE = 925,     /* of all entries; beyond it the index grows, to .854 */
    SIZED_PERMILLE = 890,    /* where the number of rows is known beforehand */
    MOVED_AN_INSERT = 6,     /* buckets: a growth is over long before the next one */
    CHUNK_MAX = 64,          /* buckets moved at a time */
    CHUNK_SHARE = 32,        /* of the buckets below: where old and new places lie close together */
    BUCKETS_SPARE = 128,     /* behind the last home */
    FILTER_BITS_A_COUNT = 2, /* a filter with more bits than that for its count is made anew */
    FILTER_BITS_MIN = 8,
    FREE_KNOWN = 4,
};
#define HASH_MAX    UINT32_MAX
#define META_COUNTS (((uint64_t)1 << META_COUNT_BITS) - 1)
_Static_assert(INDEX_BUCKETS_FIRST >= 16, "a twelfth of it must be a bucket");

/* --- size --- */

static uint64_t buckets_of(uint64_t rows, uint64_t permille) {
    uint64_t buckets = rows * 1000 / (BUCKET_ENTRIES * permille) + 1;
    return buckets > INDEX_BUCKETS_FIRST ? buckets : INDEX_BUCKETS_FIRST;
}

uint64_t table_index_bytes_of(uint64_t rows) {
    uint64_t buckets = index_more(buckets_of(rows, LOAD_PERMILLE)) + 1;
    return (buckets + BUCKETS_SPARE) * sizeof(struct table_bucket);
}

bool table_index_open(struct table_index *index, uint64_t rows) {
    /* A growth more than bytes_of has: the step before the last may have ended anywhere. */
    size_t bytes = table_index_bytes_of(rows + rows / 8);
    if (!table_area_open(&index->area, bytes)) {
        return false;
    }
    index->buckets = index->area.base;
    index->end = bytes / sizeof(struct table_bucket);
    table_index_clear(index, 0);
    return true;
}

void table_index_close(struct table_index *index) {
    table_area_close(&index->area);
    memory_free(index->moves);
    index->moves = NULL;
    index->moves_max = 0;
}

void table_index_clear(struct table_index *index, uint64_t rows) {
    if (index->entries > 0) {
        table_area_clear(&index->area);
    }
    index->entries = 0;
    index->frontier = 0;
    index->credit = 0;
    index->growing = false;
    uint64_t buckets = buckets_of(rows, SIZED_PERMILLE);
    atomic_store_explicit(&index->word, buckets << 32 | HASH_MAX, memory_order_release);
}

/* Buckets in use: while it grows, the new number of them. */
static uint64_t buckets_now(const struct table_index *index) {
    uint64_t word = atomic_load_explicit(&index->word, memory_order_relaxed);
    return (uint32_t)word != HASH_MAX ? index_more(word >> 32) : word >> 32;
}

uint64_t table_index_bytes(const struct table_index *index) {
    return (buckets_now(index) + BUCKETS_SPARE) * sizeof(struct table_bucket);
}

double table_index_load(const struct table_index *index) {
    return (double)index->entries / (double)(buckets_now(index) * BUCKET_ENTRIES);
}

/* --- entries --- */

static inline uint64_t load(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}
static inline void store(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_release);
}

/* A count at its highest stays there: such a bucket is only slower. */
static void pass(struct table_bucket *bucket, uint32_t hash) {
    uint64_t meta = load(&bucket->meta);
    meta += (meta & META_COUNTS) < META_COUNTS;
    store(&bucket->meta, meta | meta_bit(hash));
}

static inline void unpass(struct table_bucket *bucket) {
    uint64_t meta = load(&bucket->meta);
    uint64_t count = meta & META_COUNTS;
    INVARIANT(count > 0, "an entry stands behind a bucket that counts none");
    if (count < META_COUNTS) {
        store(&bucket->meta, count == 1 ? 0 : meta - 1);
    }
}

/* Whether a filter has bits of many that went. */
static bool filter_worn(const struct table_bucket *bucket) {
    uint64_t meta = load(&bucket->meta);
    return (uint64_t)__builtin_popcountll(meta >> META_COUNT_BITS) >
           FILTER_BITS_MIN + FILTER_BITS_A_COUNT * (meta & META_COUNTS);
}

/* Which entries of the buckets at hand are free, as long as nobody else puts any: a vector load
 * right after a store into it would wait for the store. */
struct free_entries {
    uint64_t bucket[FREE_KNOWN];
    uint32_t mask[FREE_KNOWN];
};

static void free_begin(struct free_entries *known) {
    for (int i = 0; i < FREE_KNOWN; i++) {
        known->bucket[i] = UINT64_MAX;
    }
}

static inline uint32_t *free_in(const struct table_index *index, struct free_entries *known,
                                uint64_t at) {
    uint64_t place = at % FREE_KNOWN;
    if (known->bucket[place] != at) {
        known->bucket[place] = at;
        known->mask[place] = bucket_match(&index->buckets[at], 0);
    }
    return &known->mask[place];
}

/* What the entry passes is marked before it is there. */
static inline void entry_put(struct table_index *index, struct free_entries *known, uint64_t at,
                             uint64_t entry) {
    uint32_t *mask = free_in(index, known, at);
    while (__builtin_expect(*mask == 0, 0)) {
        pass(&index->buckets[at], (uint32_t)(entry >> 32));
        at = index_after(index, at);
        mask = free_in(index, known, at);
    }
    store(&index->buckets[at].entries[__builtin_ctz(*mask)], entry);
    *mask &= *mask - 1;
}

/* How far behind `from` a bucket stands. */
static inline uint64_t distance(const struct table_index *index, uint64_t from, uint64_t to) {
    return to >= from ? to - from : to + index->end - from;
}

/* The filter of a bucket from what stands behind it: bits of entries that went stay otherwise for
 * as long as one entry passes it. */
static void filter_renew(struct table_index *index, uint64_t bucket) {
    uint64_t word = load(&index->word);
    uint64_t filter = 0;
    uint64_t at = bucket;
    while (load(&index->buckets[at].meta) & META_COUNTS) {
        at = index_after(index, at);
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            uint64_t entry = load(&index->buckets[at].entries[i]);
            uint32_t hash = (uint32_t)(entry >> 32);
            uint64_t home = index_home(word, hash);
            if (entry && distance(index, home, at) >= distance(index, bucket, at)) {
                filter |= meta_bit(hash);
            }
        }
        if (at == bucket) {
            return; /* all the way round */
        }
    }
    store(&index->buckets[bucket].meta,
          (load(&index->buckets[bucket].meta) & META_COUNTS) | filter);
}

static inline void path_leave(struct table_index *index, uint64_t home, uint64_t to) {
    for (uint64_t at = home; at != to; at = index_after(index, at)) {
        unpass(&index->buckets[at]);
    }
}

void table_index_remove(struct table_index *index, uint32_t hash, uint32_t row) {
    uint64_t entry = (uint64_t)hash << 32 | (row + 1u);
    uint64_t home = index_home(load(&index->word), hash);
    for (uint64_t at = home, n = 0; n < index->end; n++, at = index_after(index, at)) {
        for (int i = 0; i < BUCKET_ENTRIES; i++) {
            if (load(&index->buckets[at].entries[i]) == entry) {
                store(&index->buckets[at].entries[i], 0);
                index->entries--;
                path_leave(index, home, at);
                for (; home != at; home = index_after(index, home)) {
                    if (filter_worn(&index->buckets[home])) {
                        filter_renew(index, home);
                    }
                }
                return;
            }
        }
    }
    INVARIANT(false, "row %u of hash %08x is not in the index", row, hash);
}

/* --- growth --- */

/* The lowest hash whose home among `buckets` is `bucket`. */
static uint64_t first_hash(uint64_t bucket, uint64_t buckets) {
    return ((bucket << 32) + buckets - 1) / buckets;
}

static bool moves_reserve(struct table_index *index, uint64_t count) {
    if (count <= index->moves_max) {
        return true;
    }
    uint64_t wanted = index->moves_max * 2 > count ? index->moves_max * 2 : count;
    void *moves = memory_resize(index->moves, wanted * sizeof(struct index_move));
    if (!moves) {
        return false;
    }
    index->moves = moves;
    index->moves_max = wanted;
    return true;
}

/* Notes all entries whose hash is in [low, high], which stand in [first, frontier) and, as far as
 * they passed buckets, behind. False: no memory. */
static bool chunk_collect(struct table_index *index, uint64_t first, uint64_t low, uint64_t high,
                          uint64_t *count) {
    *count = 0;
    uint64_t at = first;
    for (uint64_t n = 1; n <= index->end; n++, at = index_after(index, at)) {
        if (*count + BUCKET_ENTRIES > index->moves_max &&
            !moves_reserve(index, *count + BUCKET_ENTRIES)) {
            return false;
        }
        const struct table_bucket *bucket = &index->buckets[at];
#pragma GCC unroll 7
        for (uint64_t i = 0; i < BUCKET_ENTRIES; i++) {
            uint64_t entry = load(&bucket->entries[i]);
            uint64_t hash = entry >> 32;
            index->moves[*count] = (struct index_move){.from = at * 8 + i, .entry = entry};
            *count += entry != 0 && hash >= low && hash <= high;
        }
        if (first + n >= index->frontier && (load(&bucket->meta) & META_COUNTS) == 0) {
            break;
        }
    }
    return true;
}

/* Copies to the new homes; what stands there already is left. */
static void chunk_copy(struct table_index *index, uint64_t count, uint64_t buckets) {
    struct free_entries known;
    free_begin(&known);
    for (uint64_t i = 0; i < count; i++) {
        struct index_move *move = &index->moves[i];
        uint64_t home = (move->entry >> 32) * buckets >> 32;
        if (home != move->from / 8) {
            entry_put(index, &known, home, move->entry);
        }
    }
}

/* The originals go, and what they passed is told; one that stands at its new home stays, and passed
 * nothing any more. */
static void chunk_remove(struct table_index *index, uint64_t count, uint64_t old,
                         uint64_t buckets) {
    for (uint64_t i = 0; i < count; i++) {
        const struct index_move *move = &index->moves[i];
        uint64_t hash = move->entry >> 32;
        uint64_t at = move->from / 8;
        if (hash * buckets >> 32 != at) {
            store(&index->buckets[at].entries[move->from % 8], 0);
        }
        uint64_t home = hash * old >> 32;
        if (home != at) {
            path_leave(index, home, at);
        }
    }
}

/* Of the next chunk, a few inserts from now: its buckets, and where their entries will go. */
static void chunk_fetch(const struct table_index *index, uint64_t size) {
    uint64_t first = index->frontier - size;
    uint64_t to = index_more(first);
    for (uint64_t i = 0; i < size; i++) {
        __builtin_prefetch(&index->buckets[first + i], 1);
        __builtin_prefetch(&index->buckets[to + i], 1);
    }
}

static uint64_t chunk_size(const struct table_index *index) {
    uint64_t share = index->frontier / CHUNK_SHARE;
    uint64_t size = share < 1 ? 1 : share > CHUNK_MAX ? CHUNK_MAX : share;
    return size < index->frontier ? size : index->frontier;
}

/* Moves the topmost buckets that are under the old number. Without memory for the list it stays as
 * it is, and an insert later tries again. */
static void chunk_move(struct table_index *index) {
    uint64_t word = load(&index->word);
    uint64_t old = word >> 32;
    uint64_t buckets = index_more(old);
    uint64_t first = index->frontier - chunk_size(index);
    uint64_t low = first_hash(first, old);
    uint64_t high = index->frontier == old ? HASH_MAX : first_hash(index->frontier, old) - 1;
    uint64_t count;
    if (!chunk_collect(index, first, low, high, &count)) {
        return;
    }
    chunk_copy(index, count, buckets);
    bool last = first == 0;
    store(&index->word, last ? buckets << 32 | HASH_MAX : old << 32 | (low - 1));
    chunk_remove(index, count, old, buckets);
    index->frontier = first;
    index->growing = !last;
}

static void grow(struct table_index *index) {
    uint64_t buckets = load(&index->word) >> 32;
    if (!index->growing && index->entries * 1000 > buckets * BUCKET_ENTRIES * LOAD_PERMILLE &&
        index_more(buckets) + BUCKETS_SPARE <= index->end) {
        index->growing = true;
        index->frontier = buckets;
        index->credit = 0;
    }
    index->credit += MOVED_AN_INSERT;
    while (index->growing && index->credit >= chunk_size(index)) {
        index->credit -= chunk_size(index);
        chunk_move(index);
        chunk_fetch(index, chunk_size(index));
    }
}

void table_index_add(struct table_index *index, uint32_t hash, uint32_t row) {
    uint64_t home = index_home(load(&index->word), hash);
    struct free_entries known;
    free_begin(&known);
    entry_put(index, &known, home, (uint64_t)hash << 32 | (row + 1u));
    index->entries++;
    grow(index);
}
