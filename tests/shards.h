/* Long lists of independent cases, dealt out to as many processes as there are processors, and a
 * word for the one that failed: what was running is told to the parent, which prints how to repeat
 * it, whatever the child died of.
 *
 * LEAT_TEST_SEED: that case alone, in this process. */
#ifndef TESTS_SHARDS_H
#define TESTS_SHARDS_H

#include <stdbool.h>
#include <stdint.h>

enum { SHARDS_MAX = 16 };

struct shards_work {
    const char *program; /* for the line that repeats a case */
    uint64_t first, end; /* cases, by number */
    /* One case; what is wrong ends the process (fault_found, an abort, a sanitizer). */
    void (*run)(uint64_t number);
    /* After the last case of a process, with how many it had; may be NULL. */
    void (*over)(uint64_t count);
};

/* 0, or the code of a process that failed. */
int shards_run(const struct shards_work *work);

/* Says what is wrong and where, and ends the process with code 1. */
void fault_found(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* A check of these tests: cheap, and usable at any depth and in any process. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            fault_found(__FILE__, __LINE__, __VA_ARGS__);                                          \
        }                                                                                          \
    } while (0)

#endif
