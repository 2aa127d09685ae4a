/* A seeded stream of random numbers (xoshiro256**) for simulation and tests. The engine itself
 * never draws from a stream: it hashes (seed, id), see hash.h. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t word[4];
};

void rng_init(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound); /* uniform in [0, bound), bound > 0 */
double rng_unit(struct rng *rng);                    /* uniform in [0, 1) */
double rng_normal(struct rng *rng);                  /* mean 0, deviation 1 */
double rng_exponential(struct rng *rng, double mean);

/* 64 bits that nobody can foresee, from the system. For secrets; nothing that a replay must make
 * again may depend on it. */
uint64_t rng_entropy(void);

#endif
