/* The layout of a cache's blocks, for its writer and its reader (row_cache.h draws it). */
#ifndef CONNECT_ROW_CACHE_FORMAT_H
#define CONNECT_ROW_CACHE_FORMAT_H

#include "base/hash.h"
#include "connect/row_cache.h"

enum {
    CACHE_MAGIC = 0x4352544C, /* "LTRC" */
    CACHE_BLOCK_MAGIC = 0x4252544C,
    CACHE_VERSION = 1,
    CACHE_HEAD_BYTES = 32, /* before the description */
    CACHE_BLOCK_HEAD = 64,
    CACHE_REGULAR = 1,
    CACHE_VALUES = 2,
    CACHE_WEIGHTS = 4,
    CACHE_TIMES = 8,
    CACHE_NUMBERS = 16,
    CACHE_FLAGS = 31,
};

struct cache_block {
    uint32_t rows, keys, flags;
    uint64_t bytes; /* of the body */
    uint64_t first; /* number of the first row */
    uint64_t before;
    uint64_t checksum;
};

/* Where the parts of a body stand. */
struct cache_layout {
    size_t keys, numbers, offsets, values, dense, targets, weights, times, end;
};

static inline size_t cache_part(size_t *at, size_t bytes) {
    size_t begin = *at;
    *at += (bytes + 7) & ~(size_t)7;
    return begin;
}

static inline struct cache_layout cache_layout_of(const struct cache_block *block, int tasks,
                                                  int dense_count) {
    struct cache_layout layout;
    size_t at = 0;
    size_t rows = block->rows;
    size_t keys = block->keys;
    uint32_t flags = block->flags;
    layout.keys = cache_part(&at, keys * sizeof(uint64_t));
    layout.numbers = cache_part(&at, flags & CACHE_NUMBERS ? rows * sizeof(uint64_t) : 0);
    layout.offsets = cache_part(&at, flags & CACHE_REGULAR ? 0 : (rows + 1) * sizeof(uint32_t));
    layout.values = cache_part(&at, flags & CACHE_VALUES ? keys * sizeof(float) : 0);
    layout.dense = cache_part(&at, rows * (size_t)dense_count * sizeof(float));
    layout.targets = cache_part(&at, rows * (size_t)tasks * sizeof(float));
    layout.weights =
        cache_part(&at, flags & CACHE_WEIGHTS ? rows * (size_t)tasks * sizeof(float) : 0);
    layout.times = cache_part(&at, flags & CACHE_TIMES ? rows * sizeof(uint32_t) : 0);
    layout.end = at;
    return layout;
}

#endif
