#include "learn/table_sketch.h"

#include "base/hash.h"

enum { WORD_COUNTERS = 32, LINE_COUNTERS = SKETCH_LINE_WORDS * WORD_COUNTERS, COUNT_MAX = 3 };
#define LOW_BITS 0x5555555555555555u

static uint32_t count_at(const uint64_t *line, uint32_t counter) {
    return (uint32_t)(line[counter / WORD_COUNTERS] >> (counter % WORD_COUNTERS * 2)) & COUNT_MAX;
}

/* Lowers 32 counters that are above zero by one. */
static void age_word(struct table_sketch *sketch) {
    uint64_t *word = &sketch->words[sketch->hand];
    uint64_t some = (*word | *word >> 1) & LOW_BITS;
    *word -= some;
    uint64_t left = (*word | *word >> 1) & LOW_BITS;
    sketch->filled -= (uint64_t)(__builtin_popcountll(some) - __builtin_popcountll(left));
    sketch->hand = (sketch->hand + 1) % (sketch->lines * SKETCH_LINE_WORDS);
}

static void raise(struct table_sketch *sketch, uint64_t *line, uint32_t counter, uint32_t from) {
    if (count_at(line, counter) == from) {
        line[counter / WORD_COUNTERS] += (uint64_t)1 << (counter % WORD_COUNTERS * 2);
        sketch->filled += from == 0;
    }
}

/* Whether this coming counts: always up to four, else with chance 3 / (admit - 1). */
static bool counts(const struct table_sketch *sketch, uint64_t hash, uint32_t admit) {
    uint64_t needed = admit - 1;
    return needed <= COUNT_MAX || hash_mix(hash, sketch->comings) % needed < COUNT_MAX;
}

bool table_sketch_admits(struct table_sketch *sketch, uint64_t key, uint32_t admit) {
    uint64_t hash = hash_mix(key, 0x5CE7C4u);
    uint64_t *line =
        sketch->words + ((hash >> 32) * sketch->lines >> 32) * (uint64_t)SKETCH_LINE_WORDS;
    uint32_t first = (uint32_t)hash % LINE_COUNTERS;
    uint32_t second = (uint32_t)(hash >> 8) % LINE_COUNTERS;
    second ^= first == second;
    uint32_t a = count_at(line, first);
    uint32_t b = count_at(line, second);
    uint32_t count = a < b ? a : b;
    if (count >= (admit - 1 < COUNT_MAX ? admit - 1 : COUNT_MAX)) {
        return true;
    }
    sketch->comings++;
    if (counts(sketch, hash, admit)) {
        raise(sketch, line, first, count);
        raise(sketch, line, second, count);
        if (sketch->filled > sketch->lines * LINE_COUNTERS / 2) {
            age_word(sketch);
        }
    }
    return false;
}
