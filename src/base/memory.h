/* The heap, through one door: so that tests can count allocations and make the n-th one fail.
 * Nothing here is called per record or per candidate; hot paths use an arena or a sized pool. */
#ifndef BASE_MEMORY_H
#define BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All return NULL when memory is out or when a test asked for it. Any thread. */
void *memory_alloc(size_t bytes);
void *memory_zalloc(size_t bytes);
void *memory_resize(void *block, size_t bytes);
void *memory_aligned(size_t alignment, size_t bytes); /* released by memory_free too */
char *memory_text(const char *text);                  /* copies a NUL-terminated text */
void memory_free(void *block);                        /* NULL is fine */

/* Number of successful allocations since the process started (all threads, relaxed). */
uint64_t memory_allocations(void);

/* Blocks that were allocated and not given back yet: what grows from run to run is a leak. */
uint64_t memory_blocks(void);

/* Allocations of the calling thread that were refused so far. Who must have had them all, wherever
 * below they were made, compares before and after. */
uint64_t memory_refusals(void);

/* For allocators above this one, once a request: whether a test asked for this one to fail. */
bool memory_refuses(void);

/* For tests: the n-th allocation from now (1 = the next) fails, once; 0 turns it off. */
void memory_fail_at(uint64_t n);
/* What is left of n: 0 when it has failed, or nothing was asked for. */
uint64_t memory_fail_left(void);
/* Allocations of this thread between memory_spare(true) and memory_spare(false) neither count
 * towards memory_fail_at nor fail: those of a test's own tools. May be nested. */
void memory_spare(bool spare);

/* Resident bytes of this process, as the kernel counts them; 0 where it does not say. */
uint64_t memory_resident(void);

#endif
