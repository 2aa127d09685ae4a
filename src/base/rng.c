/* xoshiro256** 1.0 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021),
 * its state filled by splitmix64 from the seed, as its authors advise. */
#include "base/rng.h"

#include "base/clock.h"

#include <math.h>
#include <sys/random.h>

static uint64_t splitmix(uint64_t *state) {
    *state += 0x9E3779B97F4A7C15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int count) {
    return (x << count) | (x >> (64 - count));
}

void rng_init(struct rng *rng, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        rng->word[i] = splitmix(&seed);
    }
}

uint64_t rng_next(struct rng *rng) {
    uint64_t *word = rng->word;
    uint64_t result = rotate_left(word[1] * 5, 7) * 9;
    uint64_t shifted = word[1] << 17;
    word[2] ^= word[0];
    word[3] ^= word[1];
    word[1] ^= word[2];
    word[0] ^= word[3];
    word[2] ^= shifted;
    word[3] = rotate_left(word[3], 45);
    return result;
}

/* Lemire, "Fast random integer generation in an interval", 2019: a multiply, and a rejection of
 * the few low products that would favour some results. */
uint64_t rng_below(struct rng *rng, uint64_t bound) {
    unsigned __int128 product = (unsigned __int128)rng_next(rng) * bound;
    if ((uint64_t)product < bound) {
        uint64_t unfair = -bound % bound;
        while ((uint64_t)product < unfair) {
            product = (unsigned __int128)rng_next(rng) * bound;
        }
    }
    return (uint64_t)(product >> 64);
}

double rng_unit(struct rng *rng) {
    return (double)(rng_next(rng) >> 11) * 0x1.0p-53;
}

/* Box-Muller, one of its two results: a pair kept for the next call would be hidden state. */
double rng_normal(struct rng *rng) {
    double radius = sqrt(-2.0 * log(1.0 - rng_unit(rng)));
    return radius * cos(2.0 * M_PI * rng_unit(rng));
}

double rng_exponential(struct rng *rng, double mean) {
    return -mean * log(1.0 - rng_unit(rng));
}

uint64_t rng_entropy(void) {
    uint64_t bits;
    if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits)) { /* an old system */
        uint64_t seed = clock_monotonic_ns() ^ (uint64_t)(uintptr_t)&bits;
        bits = splitmix(&seed);
    }
    return bits;
}
