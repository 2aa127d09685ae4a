/* A block is taken from those kept of earlier rounds before the heap is asked, and blocks larger
 * than usual come in powers of two: a batch of the same shape as the last allocates nothing, and
 * batches of changing shapes settle on few blocks. Under AddressSanitizer, what is not given out
 * is poisoned, so that a pointer kept over a reset is caught. */
#include "base/arena.h"

#include "base/memory.h"

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <string.h>

enum { ARENA_ALIGNMENT = 16 };

/* Keeps rounding and doubling far from overflow. */
#define ARENA_ALLOCATION_MAX (SIZE_MAX / 8)

struct arena_block {
    struct arena_block *next;
    size_t capacity;
    size_t used;
    _Alignas(ARENA_ALIGNMENT) unsigned char data[];
};

void arena_init(struct arena *arena, size_t block_bytes, size_t bytes_max) {
    *arena = (struct arena){.block_bytes = block_bytes, .bytes_max = bytes_max};
}

void arena_deinit(struct arena *arena) {
    struct arena_block *block = arena->first;
    while (block) {
        struct arena_block *next = block->next;
        memory_free(block);
        block = next;
    }
    arena_init(arena, arena->block_bytes, arena->bytes_max);
}

static struct arena_block *block_create(const struct arena *arena, size_t bytes) {
    size_t capacity = arena->block_bytes;
    if (bytes > capacity) {
        capacity = ARENA_ALIGNMENT;
        while (capacity < bytes) {
            capacity *= 2;
        }
    }
    struct arena_block *block = memory_alloc(sizeof(*block) + capacity);
    if (block) {
        block->next = NULL;
        block->capacity = capacity;
        block->used = 0;
        ASAN_POISON_MEMORY_REGION(block->data, capacity);
    }
    return block;
}

/* Unlinks and returns the first kept block behind the current one with room for `bytes`. */
static struct arena_block *block_take_kept(struct arena *arena, size_t bytes) {
    struct arena_block **link = arena->current ? &arena->current->next : &arena->first;
    while (*link && (*link)->capacity < bytes) {
        link = &(*link)->next;
    }
    struct arena_block *block = *link;
    if (block) {
        *link = block->next;
    }
    return block;
}

static bool arena_next_block(struct arena *arena, size_t bytes) {
    struct arena_block *block = block_take_kept(arena, bytes);
    if (!block) {
        block = block_create(arena, bytes);
    }
    if (!block) {
        return false;
    }
    struct arena_block **link = arena->current ? &arena->current->next : &arena->first;
    block->next = *link;
    *link = block;
    arena->current = block;
    return true;
}

/* What an allocation takes from the bound; 0 when it does not fit. Empty things take room too, so
 * that they have distinct addresses. */
static size_t arena_rounded(const struct arena *arena, size_t bytes) {
    if (bytes > ARENA_ALLOCATION_MAX) {
        return 0;
    }
    size_t whole = bytes > 0 ? bytes : 1;
    size_t rounded = (whole + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
    return rounded <= arena->bytes_max - arena->bytes_used ? rounded : 0;
}

void *arena_alloc(struct arena *arena, size_t bytes) {
    size_t rounded = arena_rounded(arena, bytes);
    if (rounded == 0) {
        return NULL;
    }
    struct arena_block *block = arena->current;
    if (!block || block->capacity - block->used < rounded) {
        if (!arena_next_block(arena, rounded)) {
            return NULL;
        }
        block = arena->current;
    }
    void *memory = block->data + block->used;
    block->used += rounded;
    arena->bytes_used += rounded;
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
    return memory;
}

void *arena_zalloc(struct arena *arena, size_t bytes) {
    void *memory = arena_alloc(arena, bytes);
    return memory ? memset(memory, 0, bytes) : NULL;
}

char *arena_copy(struct arena *arena, const char *text, size_t size) {
    char *copy = size < SIZE_MAX ? arena_alloc(arena, size + 1) : NULL;
    if (!copy) {
        return NULL;
    }
    if (size > 0) {
        memcpy(copy, text, size);
    }
    copy[size] = '\0';
    return copy;
}

void arena_reset(struct arena *arena) {
    for (struct arena_block *block = arena->first; block; block = block->next) {
        block->used = 0;
        ASAN_POISON_MEMORY_REGION(block->data, block->capacity);
    }
    arena->current = arena->first;
    arena->bytes_used = 0;
}
