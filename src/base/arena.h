/* Memory of one batch or one request: allocation is a pointer bump, all is given back at once.
 *
 *   block 0: [header | used ........ | free ......]   <- the current one is the last of the chain
 *   block 1: [header | used .. | free ............]
 *
 * One thread at a time. An arena never gives out more than `bytes_max` between two resets. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
    struct arena_block *first;
    struct arena_block *current;
    size_t block_bytes; /* size of a new block, unless one allocation needs more */
    size_t bytes_max;   /* bound on what is given out between two resets */
    size_t bytes_used;
};

void arena_init(struct arena *arena, size_t block_bytes, size_t bytes_max);
void arena_deinit(struct arena *arena);

/* 16-byte aligned, not cleared; NULL when the bound or memory is reached. */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_zalloc(struct arena *arena, size_t bytes);
char *arena_copy(struct arena *arena, const char *text, size_t size); /* NUL-terminated copy */

/* Everything given out becomes invalid; blocks are kept for the next use. */
void arena_reset(struct arena *arena);

#define ARENA_NEW(arena, type, count)                                                              \
    ((type *)arena_zalloc((arena), sizeof(type) * (size_t)(count)))

#endif
