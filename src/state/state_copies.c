#include "state/state_copies.h"

#include "base/slab.h"

#include <stdatomic.h>

/* The first chunk of a snapshot is small; then whole regions: their memory comes in huge pages,
 * which cost a writer less than page faults for each block. */
enum { CHUNK_FIRST = 4 * SLAB_BLOCK, CHUNK_BYTES = SLAB_REGION, SLACK_BLOCKS = 256 };

struct copy_chunk {
    struct copy_chunk *next;
    uint32_t bytes, count; /* of blocks */
    struct copy_block blocks[];
};

void state_copies_init(struct state_copies *copies, struct state_budget *budget) {
    *copies = (struct state_copies){.budget = budget};
    latch_init(&copies->latch);
}

void state_copies_deinit(struct state_copies *copies) {
    while (copies->chunks) {
        struct copy_chunk *chunk = copies->chunks;
        copies->chunks = chunk->next;
        slab_free(chunk, chunk->bytes);
    }
    copies->free = NULL;
    copies->fresh = 0;
}

static void copies_count(const struct state_copies *copies, int64_t blocks) {
    struct state_budget *budget = copies->budget;
    if (!budget) {
        return;
    }
    int64_t more = blocks * PAGE_UNIT;
    int64_t used =
        more + atomic_fetch_add_explicit(&budget->copies_used, more, memory_order_relaxed);
    int64_t most = atomic_load_explicit(&budget->copies_most, memory_order_relaxed);
    while (used > most &&
           !atomic_compare_exchange_weak_explicit(&budget->copies_most, &most, used,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

bool state_copies_full(const struct state_copies *copies, uint32_t count) {
    const struct state_budget *budget = copies->budget;
    return budget && budget->copies_max > 0 &&
           atomic_load_explicit(&budget->copies_used, memory_order_relaxed) +
                   (int64_t)count * PAGE_UNIT >
               budget->copies_max;
}

uint32_t state_copies_slack(const struct state_copies *copies) {
    int64_t share = copies->budget ? copies->budget->copies_max / PAGE_UNIT / 16 : 0;
    return share < SLACK_BLOCKS ? (uint32_t)share : SLACK_BLOCKS;
}

static bool chunk_open(struct state_copies *copies) {
    uint32_t bytes = copies->chunks ? CHUNK_BYTES : CHUNK_FIRST;
    struct copy_chunk *chunk = slab_alloc(bytes);
    if (!chunk) {
        return false;
    }
    uint32_t count = (uint32_t)((bytes - sizeof(*chunk)) / sizeof(struct copy_block));
    *chunk = (struct copy_chunk){.next = copies->chunks, .bytes = bytes, .count = count};
    copies->chunks = chunk;
    copies->fresh = count;
    return true;
}

/* Holding the latch. */
static struct copy_block *block_take(struct state_copies *copies) {
    struct copy_block *block = copies->free;
    if (block) {
        copies->free = block->next;
        return block;
    }
    if (copies->fresh == 0 && !chunk_open(copies)) {
        return NULL;
    }
    return &copies->chunks->blocks[copies->chunks->count - copies->fresh--];
}

struct copy_block *state_copies_take(struct state_copies *copies) {
    latch_lock(&copies->latch);
    struct copy_block *block = block_take(copies);
    latch_unlock(&copies->latch);
    if (block) {
        copies_count(copies, 1);
    }
    return block;
}

void state_copies_give(struct state_copies *copies, struct copy_block *first) {
    if (!first) {
        return;
    }
    int64_t count = 1;
    struct copy_block *last = first;
    for (; last->next; last = last->next) {
        count++;
    }
    latch_lock(&copies->latch);
    last->next = copies->free;
    copies->free = first;
    latch_unlock(&copies->latch);
    copies_count(copies, -count);
}
