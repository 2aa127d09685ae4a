/* The heap, counted. One counter and one test hook, both relaxed atomics: the hook costs a load
 * and a predicted branch while it is off. */
#include "base/memory.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic uint64_t allocations;
static _Atomic uint64_t blocks;
static _Atomic uint64_t fail_countdown; /* 0: off; 1: the next allocation fails */
static _Thread_local int spared;        /* depth of memory_spare */
static _Thread_local uint64_t refusals;

static bool fail_asked_slow(void) {
    if (spared > 0) {
        return false;
    }
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left > 0) {
        if (atomic_compare_exchange_weak_explicit(&fail_countdown, &left, left - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            refusals += left == 1;
            return left == 1;
        }
    }
    return false;
}

static inline bool fail_asked(void) {
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    return __builtin_expect(left != 0, 0) && fail_asked_slow();
}

bool memory_refuses(void) {
    return fail_asked();
}

static void *counted(void *block, bool is_new) {
    if (block) {
        atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&blocks, is_new, memory_order_relaxed);
    } else {
        refusals++;
    }
    return block;
}

/* malloc(0) may answer NULL, which here means "no memory"; so nothing asks for 0 bytes. */
static size_t at_least_one(size_t bytes) {
    return bytes ? bytes : 1;
}

void *memory_alloc(size_t bytes) {
    return fail_asked() ? NULL : counted(malloc(at_least_one(bytes)), true);
}

void *memory_zalloc(size_t bytes) {
    return fail_asked() ? NULL : counted(calloc(1, at_least_one(bytes)), true);
}

void *memory_resize(void *block, size_t bytes) {
    bool is_new = !block;
    return fail_asked() ? NULL : counted(realloc(block, at_least_one(bytes)), is_new);
}

void *memory_aligned(size_t alignment, size_t bytes) {
    void *block = NULL;
    if (fail_asked()) {
        return NULL;
    }
    bool done = posix_memalign(&block, alignment, at_least_one(bytes)) == 0;
    return counted(done ? block : NULL, true);
}

char *memory_text(const char *text) {
    size_t bytes = strlen(text) + 1;
    char *copy = memory_alloc(bytes);
    if (copy) {
        memcpy(copy, text, bytes);
    }
    return copy;
}

void memory_free(void *block) {
    atomic_fetch_sub_explicit(&blocks, block != NULL, memory_order_relaxed);
    free(block);
}

uint64_t memory_allocations(void) {
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

uint64_t memory_refusals(void) {
    return refusals;
}

uint64_t memory_blocks(void) {
    return atomic_load_explicit(&blocks, memory_order_relaxed);
}

void memory_spare(bool spare) {
    spared += spare ? 1 : -1;
}

uint64_t memory_fail_left(void) {
    return atomic_load_explicit(&fail_countdown, memory_order_relaxed);
}

void memory_fail_at(uint64_t n) {
    atomic_store_explicit(&fail_countdown, n, memory_order_relaxed);
}

/* /proc/self/statm: "total resident shared ..." in pages. */
uint64_t memory_resident(void) {
    int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return 0;
    }
    char text[128];
    ssize_t size = read(file, text, sizeof(text) - 1);
    close(file);
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *second = strchr(text, ' ');
    long page_bytes = sysconf(_SC_PAGESIZE);
    return second && page_bytes > 0 ? strtoull(second, NULL, 10) * (uint64_t)page_bytes : 0;
}
