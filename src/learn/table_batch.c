/* Many keys at once: what one look-up waits for is on its way while others are worked on.
 *
 *   1 ask     hash, home; the bucket is fetched
 *   2 scan    a matching entry gives a row, which is fetched; where the bucket was passed by some
 *             such key, the next bucket is fetched
 *   3 follow  those that were passed: on to the row, which is fetched
 *   4 check   the key in the row; who is not settled by then is looked up by itself
 *
 * Blocks of keys follow each other through the four, so that fetches of three blocks are under way.
 * Sources: group prefetching and pipelining of look-ups, Chen and others 2004; Kocberber and others
 * 2015 measure the same for hash indexes. */
#include "learn/table_internal.h"
#include "learn/table_sum.h"

enum { LOOK_KEYS = 16, LOOK_BLOCKS = 4, LINE_BYTES = 64, PREFETCH_LINES_MAX = 8 };
#define LOOK_AGAIN (TABLE_NONE - 1)

struct look {
    uint64_t word;
    uint32_t hash[LOOK_KEYS];
    const struct table_bucket *bucket[LOOK_KEYS];
    uint32_t row[LOOK_KEYS]; /* TABLE_NONE: not there; LOOK_AGAIN: not settled */
};

struct batch {
    const struct table *table;
    const uint64_t *keys;
    int count;
    int lines; /* of a row that are fetched */
    struct look looks[LOOK_BLOCKS];
};

static void batch_init(struct batch *batch, const struct table *table, const uint64_t *keys,
                       int count, size_t bytes) {
    batch->table = table;
    batch->keys = keys;
    batch->count = count;
    int lines = (int)((bytes + 2 * sizeof(uint64_t) - 1) / LINE_BYTES) + 1;
    batch->lines = lines < PREFETCH_LINES_MAX ? lines : PREFETCH_LINES_MAX;
}

static inline int block_keys(const struct batch *batch, int block) {
    int left = batch->count - block * LOOK_KEYS;
    return left < LOOK_KEYS ? left : LOOK_KEYS;
}

static inline void fetch_row(const struct batch *batch, uint32_t row) {
    const char *at = (const char *)table_record(batch->table, row);
    for (int i = 0; i < batch->lines; i++) {
        __builtin_prefetch(at + (size_t)i * LINE_BYTES);
    }
}

static void look_ask(struct batch *batch, int block) {
    const struct table_index *index = &batch->table->index;
    struct look *look = &batch->looks[block % LOOK_BLOCKS];
    const uint64_t *keys = batch->keys + (size_t)block * LOOK_KEYS;
    uint64_t word = index_word(index);
    look->word = word;
    for (int i = 0; i < block_keys(batch, block); i++) {
        uint32_t hash = table_hash(keys[i]);
        look->hash[i] = hash;
        look->bucket[i] = &index->buckets[index_home(word, hash)];
        __builtin_prefetch(look->bucket[i]);
    }
}

static void look_scan(struct batch *batch, int block) {
    struct look *look = &batch->looks[block % LOOK_BLOCKS];
    for (int i = 0; i < block_keys(batch, block); i++) {
        const struct table_bucket *bucket = look->bucket[i];
        uint32_t hash = look->hash[i];
        uint32_t match = bucket_match(bucket, hash);
        uint32_t row = TABLE_NONE;
        if (match) {
            row = bucket_row(bucket, __builtin_ctz(match), hash);
            row = row == TABLE_NONE ? LOOK_AGAIN : row;
        } else if (bucket_passed(bucket, hash)) {
            row = LOOK_AGAIN;
        }
        look->row[i] = row;
        if (row < LOOK_AGAIN) {
            fetch_row(batch, row);
        } else if (row == LOOK_AGAIN) {
            __builtin_prefetch(bucket + 1);
        }
    }
}

/* Most stand in the next bucket; what is found nowhere is settled by the check. */
static uint32_t follow(const struct table_index *index, const struct table_bucket *bucket,
                       uint32_t hash) {
    uint64_t at = (uint64_t)(bucket - index->buckets);
    for (uint64_t n = 0; n < index->end && bucket_passed(&index->buckets[at], hash); n++) {
        at = index_after(index, at);
        uint32_t match = bucket_match(&index->buckets[at], hash);
        if (match) {
            uint32_t row = bucket_row(&index->buckets[at], __builtin_ctz(match), hash);
            return row == TABLE_NONE ? LOOK_AGAIN : row;
        }
    }
    return TABLE_NONE;
}

static void look_follow(struct batch *batch, int block) {
    struct look *look = &batch->looks[block % LOOK_BLOCKS];
    for (int i = 0; i < block_keys(batch, block); i++) {
        if (look->row[i] == LOOK_AGAIN) {
            look->row[i] = follow(&batch->table->index, look->bucket[i], look->hash[i]);
            if (look->row[i] < LOOK_AGAIN) {
                fetch_row(batch, look->row[i]);
            }
        }
    }
}

/* Three stages for three blocks; block + 3, the one that is checked next, was settled before. */
static inline void look_on(struct batch *batch, int blocks, int block) {
    if (block < blocks) {
        look_ask(batch, block);
    }
    if (block >= 1 && block - 1 < blocks) {
        look_scan(batch, block - 1);
    }
    if (block >= 2 && block - 2 < blocks) {
        look_follow(batch, block - 2);
    }
}

static inline int batch_blocks(const struct batch *batch) {
    return (batch->count + LOOK_KEYS - 1) / LOOK_KEYS;
}

/* --- readers --- */

/* Rows of a block, for certain. */
static void look_check(const struct batch *batch, int block, uint32_t *rows) {
    const struct look *look = &batch->looks[block % LOOK_BLOCKS];
    const struct table *table = batch->table;
    const uint64_t *keys = batch->keys + (size_t)block * LOOK_KEYS;
    for (int i = 0; i < block_keys(batch, block); i++) {
        uint32_t row = look->row[i];
        bool settled = row < LOOK_AGAIN ? table_key(table, row) == keys[i]
                                        : row == TABLE_NONE &&
                                              index_same(&table->index, look->word, look->hash[i]);
        rows[i] = __builtin_expect(settled, 1) ? row : table_seek(table, keys[i], look->hash[i]);
    }
}

void table_find_batch(const struct table *table, const uint64_t *keys, int count, uint32_t *rows) {
    struct batch batch;
    batch_init(&batch, table, keys, count, table->stride);
    int blocks = batch_blocks(&batch);
    for (int block = 0; block < blocks + 3; block++) {
        look_on(&batch, blocks, block);
        if (block >= 3) {
            look_check(&batch, block - 3, rows + (size_t)(block - 3) * LOOK_KEYS);
        }
    }
}

int table_sum_batch(const struct table *table, const uint64_t *keys, int count, float *out,
                    int floats) {
    struct batch batch;
    batch_init(&batch, table, keys, count, (size_t)floats * sizeof(float));
    int blocks = batch_blocks(&batch);
    table_sum sum = table_sum_best();
    int found = 0;
    for (int block = 0; block < blocks + 3; block++) {
        look_on(&batch, blocks, block);
        if (block >= 3) {
            uint32_t rows[LOOK_KEYS];
            const float *from[LOOK_KEYS];
            look_check(&batch, block - 3, rows);
            int some = 0;
            for (int i = 0; i < block_keys(&batch, block - 3); i++) {
                from[some] = table_floats(table, rows[i] != TABLE_NONE ? rows[i] : 0);
                some += rows[i] != TABLE_NONE;
            }
            sum(from, some, floats, out);
            found += some;
        }
    }
    return found;
}

/* --- the writer --- */

static inline uint32_t at_one(struct table *table, uint64_t key, uint32_t hash, uint32_t now_s,
                              table_fresh fresh, void *context) {
    uint32_t row = table_seek(table, key, hash); /* a key before it may have been the same */
    if (row != TABLE_NONE) {
        return row;
    }
    if (!table_admits(table, key)) {
        return TABLE_NONE;
    }
    row = table_new_row(table, key, now_s);
    if (row != TABLE_NONE) {
        fresh(context, key, table_floats(table, row));
        table_publish(table, hash, row);
    }
    return row;
}

static void look_settle(const struct batch *batch, struct table *table, int block, uint32_t now_s,
                        table_fresh fresh, void *context, uint32_t *rows) {
    const struct look *look = &batch->looks[block % LOOK_BLOCKS];
    const uint64_t *keys = batch->keys + (size_t)block * LOOK_KEYS;
    uint32_t seen = table->timed ? table_time(table, now_s) : 0;
    for (int i = 0; i < block_keys(batch, block); i++) {
        uint32_t row = look->row[i];
        bool added = false;
        if (row >= LOOK_AGAIN || table_key(table, row) != keys[i]) {
            uint64_t before = table->index.entries;
            row = at_one(table, keys[i], look->hash[i], now_s, fresh, context);
            added = table->index.entries != before;
        }
        if (table->timed && row != TABLE_NONE && !added) {
            table_touch(table, row, seen);
        }
        rows[i] = row;
    }
}

static void fetch_marks(const struct batch *batch, int block) {
    const struct look *look = &batch->looks[block % LOOK_BLOCKS];
    for (int i = 0; i < block_keys(batch, block); i++) {
        if (look->row[i] < LOOK_AGAIN) {
            __builtin_prefetch(&batch->table->marks[look->row[i]], 1);
        }
    }
}

void table_at_batch(struct table *table, const uint64_t *keys, int count, uint32_t now_s,
                    table_fresh fresh, void *context, uint32_t *rows) {
    struct batch batch;
    batch_init(&batch, table, keys, count, table->stride);
    int blocks = batch_blocks(&batch);
    table_make_room(table, (uint64_t)count);
    for (int block = 0; block < blocks + 3; block++) {
        look_on(&batch, blocks, block);
        if (table->timed && block >= 1 && block - 1 < blocks) {
            fetch_marks(&batch, block - 1);
        }
        if (block >= 3) {
            look_settle(&batch, table, block - 3, now_s, fresh, context,
                        rows + (size_t)(block - 3) * LOOK_KEYS);
        }
    }
}
