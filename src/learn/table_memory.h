/* Address space for one array of the table: reserved once for all that the budget allows, backed by
 * the system page by page as it is first written, so it never moves and never has to be copied. It
 * begins as zeros. Beyond its first 2 MiB it asks for huge pages (madvise(2), MADV_HUGEPAGE): rows
 * and buckets are read at random, and with small pages most reads would miss the address cache too;
 * what is smaller than that costs no more than it holds. */
#ifndef LEARN_TABLE_MEMORY_H
#define LEARN_TABLE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

struct table_area {
    void *base; /* aligned to a huge page; NULL: none */
    size_t bytes;
};

/* False when the system refuses the addresses, or a test asked for it (base/memory.h). Of 0 bytes
 * it is an area without memory. */
bool table_area_open(struct table_area *area, size_t bytes);
void table_area_close(struct table_area *area);
/* All zeros again; the memory goes back to the system. */
void table_area_clear(struct table_area *area);

#endif
