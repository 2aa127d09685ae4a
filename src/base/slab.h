/* Memory for what is large and read at random: blocks of 64 KiB, cut from regions of 2 MiB that the
 * system is asked to back with huge pages, so that a random read costs one miss and not several of
 * the page tables. A page of records, an index of a key group, a chunk of a timer wheel.
 *
 *   region  [ 0 | 1 | 2 | ... | 31 ]   of which a mask says what is free; found by its address
 *
 * The process has one pool, so that many small owners share a region. A region that is wholly free
 * goes back to the heap; of others the memory of free blocks goes back to the system when they are
 * more than a few, so that what is resident follows what is held. Requests above a region are made
 * of whole huge pages and stand alone.
 *
 * Threads: any; one mutex, and not for paths that run a record. Source: transparent huge pages are
 * asked for by madvise(2), MADV_HUGEPAGE; without them all works the same, slower. */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include <stddef.h>

enum { SLAB_BLOCK = 64 << 10, SLAB_REGION = 2 << 20 };

/* `bytes` above 0, rounded up to whole blocks; aligned to a block; contents are undefined. NULL: no
 * memory, or a test asked for it (memory.h). */
void *slab_alloc(size_t bytes);
/* `bytes` as they were asked for. NULL is fine. */
void slab_free(void *block, size_t bytes);

/* Bytes of all regions: what the pool itself has of the system. */
size_t slab_bytes(void);

#endif
