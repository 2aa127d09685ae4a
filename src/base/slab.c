#include "base/slab.h"

#include "base/memory.h"
#include "base/poison.h"
#include "base/thread.h"

#include <string.h>
#include <sys/mman.h>

enum {
    BLOCKS = SLAB_REGION / SLAB_BLOCK,
    TABLE_MIN = 64,
    IDLE_MIN = 16,
    IDLE_SHARE = 128,
    SEARCH_MAX = 64, /* regions looked at for a run of blocks, before there is a new one */
};
#define ALL_FREE UINT32_MAX
_Static_assert(BLOCKS == 32, "a mask of 32 bits");

struct region {
    char *memory;
    uint32_t free;                  /* bit a block */
    uint32_t purged;                /* of the free ones: their memory went back to the system */
    struct region *next, *previous; /* of those that have a free block */
};

/* Of all regions, by address: open addressing, linear probing, at most half full. */
static struct {
    struct mutex mutex;
    struct region **table;
    size_t capacity, count;
    struct region *open;
    size_t bytes;
    size_t blocks, idle; /* of regions; free and not purged */
} pool = {.mutex = {.handle = PTHREAD_MUTEX_INITIALIZER}};

/* --- the table --- */

static size_t region_home(const char *memory) {
    uint64_t number = (uint64_t)(uintptr_t)memory / SLAB_REGION;
    return (size_t)(number * 0x9E3779B97F4A7C15u >> 20) & (pool.capacity - 1);
}

static size_t table_find(const char *memory) {
    size_t at = region_home(memory);
    while (pool.table[at] && pool.table[at]->memory != memory) {
        at = (at + 1) & (pool.capacity - 1);
    }
    return at;
}

static bool table_grow(void) {
    size_t capacity = pool.capacity ? pool.capacity * 2 : TABLE_MIN;
    struct region **table = memory_zalloc(capacity * sizeof(struct region *));
    if (!table) {
        return false;
    }
    struct region **old = pool.table;
    size_t old_capacity = pool.capacity;
    pool.table = table;
    pool.capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i]) {
            pool.table[table_find(old[i]->memory)] = old[i];
        }
    }
    memory_free(old);
    return true;
}

/* What follows the hole and may stand nearer to its home moves into it. */
static void table_remove(size_t hole) {
    size_t mask = pool.capacity - 1;
    for (size_t at = (hole + 1) & mask; pool.table[at]; at = (at + 1) & mask) {
        size_t home = region_home(pool.table[at]->memory);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            pool.table[hole] = pool.table[at];
            hole = at;
        }
    }
    pool.table[hole] = NULL;
    if (--pool.count == 0) {
        memory_free(pool.table);
        pool.table = NULL;
        pool.capacity = 0;
    }
}

/* --- regions --- */

static void open_link(struct region *region) {
    region->previous = NULL;
    region->next = pool.open;
    if (region->next) {
        region->next->previous = region;
    }
    pool.open = region;
}

static void open_unlink(struct region *region) {
    if (region->previous) {
        region->previous->next = region->next;
    } else {
        pool.open = region->next;
    }
    if (region->next) {
        region->next->previous = region->previous;
    }
}

/* Of whole huge pages. */
static void *pages_alloc(size_t bytes) {
    void *memory = memory_aligned(SLAB_REGION, bytes);
    if (memory) {
        madvise(memory, bytes, MADV_HUGEPAGE); /* refused: small pages do */
    }
    return memory;
}

static struct region *region_open(void) {
    if (pool.count * 2 >= pool.capacity && !table_grow()) {
        return NULL;
    }
    struct region *region = memory_alloc(sizeof(*region));
    char *memory = region ? pages_alloc(SLAB_REGION) : NULL;
    if (!memory) {
        memory_free(region);
        if (pool.count == 0) {
            memory_free(pool.table);
            pool.table = NULL;
            pool.capacity = 0;
        }
        return NULL;
    }
    *region = (struct region){.memory = memory, .free = ALL_FREE};
    ASAN_POISON_MEMORY_REGION(memory, SLAB_REGION);
    pool.table[table_find(memory)] = region;
    pool.count++;
    pool.blocks += BLOCKS;
    pool.idle += BLOCKS; /* the first touch may bring all of it */
    pool.bytes += SLAB_REGION;
    open_link(region);
    return region;
}

static void region_close(struct region *region) {
    open_unlink(region);
    table_remove(table_find(region->memory));
    pool.blocks -= BLOCKS;
    pool.idle -= (size_t)__builtin_popcount(region->free & ~region->purged);
    pool.bytes -= SLAB_REGION;
    ASAN_UNPOISON_MEMORY_REGION(region->memory, SLAB_REGION);
    madvise(region->memory, SLAB_REGION, MADV_DONTNEED); /* the heap might keep it for a while */
    memory_free(region->memory);
    memory_free(region);
}

/* --- blocks --- */

static uint32_t run_mask(uint32_t blocks) {
    return blocks == BLOCKS ? ALL_FREE : (1u << blocks) - 1;
}

/* The lowest place of so many free blocks together; BLOCKS: there is none. */
static uint32_t run_find(uint32_t free, uint32_t blocks) {
    uint32_t starts = free; /* bit i: blocks i, i + 1, ... as far as were looked at, are free */
    for (uint32_t i = 1; i < blocks && starts; i++) {
        starts &= free >> i;
    }
    return starts ? (uint32_t)__builtin_ctz(starts) : BLOCKS;
}

static void *run_take(uint32_t blocks) {
    struct region *region = pool.open;
    uint32_t at = BLOCKS;
    for (int i = 0; region && i < SEARCH_MAX; i++) {
        at = run_find(region->free, blocks);
        if (at < BLOCKS) {
            break;
        }
        region = region->next;
    }
    if (at == BLOCKS) {
        region = region_open();
        at = 0;
    }
    if (!region) {
        return NULL;
    }
    uint32_t mask = run_mask(blocks) << at;
    pool.idle -= (size_t)__builtin_popcount(mask & ~region->purged);
    region->free &= ~mask;
    region->purged &= ~mask;
    if (region->free == 0) {
        open_unlink(region);
    }
    void *block = region->memory + (size_t)at * SLAB_BLOCK;
    ASAN_UNPOISON_MEMORY_REGION(block, (size_t)blocks * SLAB_BLOCK);
    return block;
}

static uint32_t blocks_of(size_t bytes) {
    return (uint32_t)((bytes + SLAB_BLOCK - 1) / SLAB_BLOCK);
}

static size_t pages_of(size_t bytes) {
    return (bytes + SLAB_REGION - 1) & ~(size_t)(SLAB_REGION - 1);
}

/* A few free blocks are kept as they are, for those who take soon what they gave; the memory of
 * more goes back to the system, which costs the huge page. */
static void run_give(struct region *region, void *block, uint32_t mask) {
    size_t count = (size_t)__builtin_popcount(mask);
    region->free |= mask;
    if (pool.idle + count <= IDLE_MIN + pool.blocks / IDLE_SHARE) {
        pool.idle += count;
    } else if (region->free != ALL_FREE && madvise(block, count * SLAB_BLOCK, MADV_DONTNEED) == 0) {
        region->purged |= mask;
    } else {
        pool.idle += count;
    }
}

void *slab_alloc(size_t bytes) {
    if (memory_refuses()) {
        return NULL;
    }
    mutex_lock(&pool.mutex);
    bool alone = bytes > SLAB_REGION;
    void *block = alone ? pages_alloc(pages_of(bytes)) : run_take(blocks_of(bytes));
    pool.bytes += alone && block ? pages_of(bytes) : 0;
    mutex_unlock(&pool.mutex);
    return block;
}

void slab_free(void *block, size_t bytes) {
    if (!block) {
        return;
    }
    mutex_lock(&pool.mutex);
    if (bytes > SLAB_REGION) {
        pool.bytes -= pages_of(bytes);
        memory_free(block);
    } else {
        size_t offset = (uintptr_t)block & (SLAB_REGION - 1);
        struct region *region = pool.table[table_find((char *)block - offset)];
        uint32_t mask = run_mask(blocks_of(bytes)) << (offset / SLAB_BLOCK);
        INVARIANT(region && (region->free & mask) == 0, "a block is freed that is not taken");
        ASAN_POISON_MEMORY_REGION(block, (size_t)blocks_of(bytes) * SLAB_BLOCK);
        if (region->free == 0) {
            open_link(region);
        }
        run_give(region, block, mask);
        if (region->free == ALL_FREE) {
            region_close(region);
        }
    }
    mutex_unlock(&pool.mutex);
}

size_t slab_bytes(void) {
    mutex_lock(&pool.mutex);
    size_t bytes = pool.bytes;
    mutex_unlock(&pool.mutex);
    return bytes;
}
