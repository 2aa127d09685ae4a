/* Where the separators of a text stand: 32 bytes at a time where the processor can (AVX2), by a
 * table of 256 elsewhere; both find the same. */
#ifndef CONNECT_SEPARATORS_H
#define CONNECT_SEPARATORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A byte is a separator when the bits of its two halves meet: a bit stands for one upper half, and
 * every lower half knows with which upper ones it makes a separator. */
struct separators {
    uint8_t upper[16];
    uint8_t lower[16];
    bool is[256];
};

/* ASCII characters, whose upper halves are always 8 or fewer. */
void separators_init(struct separators *separators, const char *set);
/* Their places, in order; `out` has room for `size`. Returns how many there are. */
size_t separators_find(const struct separators *separators, const char *data, size_t size,
                       uint32_t *out);
/* What the other must equal. */
size_t separators_find_scalar(const struct separators *separators, const char *data, size_t size,
                              uint32_t *out);

#endif
