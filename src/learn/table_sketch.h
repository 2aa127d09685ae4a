/* How often did a key come that has no row? Counters of two bits, two a key in one cache line, of
 * which only the lower one is raised (a count-min sketch with conservative update: Estan and
 * Varghese 2003), so that a count is never too low until it is aged. When half of the counters are
 * above zero, a hand goes round and lowers all that it passes by one, 32 a refused coming at most:
 * no coming pays for a sweep, and what came long ago is forgotten. What happens is a function of
 * the calls. The writer's own. */
#ifndef LEARN_TABLE_SKETCH_H
#define LEARN_TABLE_SKETCH_H

#include <stdbool.h>
#include <stdint.h>

enum { SKETCH_LINE_WORDS = 8, SKETCH_LINE_BYTES = 64 };

struct table_sketch {
    uint64_t *words;
    uint64_t lines;   /* 0: nothing is counted */
    uint64_t filled;  /* counters above zero */
    uint64_t hand;    /* the next word to lower */
    uint64_t comings; /* refused so far: chance hangs on it */
};

/* A coming of a key that needs `admit` of them (2 or more): whether this one is enough. Beyond four
 * a coming counts by chance, decided by a hash, so that three counts stand for admit - 1. */
bool table_sketch_admits(struct table_sketch *sketch, uint64_t key, uint32_t admit);

#endif
