#define _GNU_SOURCE /* mmap's flags, madvise */
#include "learn/table_memory.h"

#include "base/memory.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_BYTES = 2 << 20 };

static size_t whole_pages(size_t bytes) {
    return (bytes + HUGE_BYTES - 1) & ~(size_t)(HUGE_BYTES - 1);
}

/* Addresses are taken with one huge page to spare, and what stands before and behind the aligned
 * part is given back. */
bool table_area_open(struct table_area *area, size_t bytes) {
    *area = (struct table_area){.base = NULL};
    if (bytes == 0) {
        return true;
    }
    if (memory_refuses()) {
        return false;
    }
    size_t whole = whole_pages(bytes);
    char *taken = mmap(NULL, whole + HUGE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (taken == MAP_FAILED) {
        return false;
    }
    size_t before = (HUGE_BYTES - (uintptr_t)taken % HUGE_BYTES) % HUGE_BYTES;
    char *base = taken + before;
    if (before > 0) {
        munmap(taken, before);
    }
    munmap(base + whole, HUGE_BYTES - before);
    if (whole > HUGE_BYTES) {
        madvise(base + HUGE_BYTES, whole - HUGE_BYTES, MADV_HUGEPAGE); /* refused: small pages do */
    }
    *area = (struct table_area){.base = base, .bytes = whole};
    return true;
}

void table_area_close(struct table_area *area) {
    if (area->base) {
        munmap(area->base, area->bytes);
    }
    *area = (struct table_area){.base = NULL};
}

void table_area_clear(struct table_area *area) {
    if (area->base && madvise(area->base, area->bytes, MADV_DONTNEED) != 0) {
        memset(area->base, 0, area->bytes); /* locked pages may not be given back */
    }
}
