/* A map from 64-bit keys to 64-bit values: open addressing, linear probing, load <= 0.7.
 * For working sets inside one thread; durable keyed records live in state/. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/error.h"

#include <stdint.h>

struct map {
    uint64_t *keys;
    uint64_t *values;
    uint8_t *used;
    uint32_t capacity; /* a power of two, or 0 before the first insert */
    uint32_t count;
};

void map_init(struct map *map);
void map_deinit(struct map *map);
void map_clear(struct map *map); /* keeps the memory */

uint64_t *map_find(const struct map *map,
                   uint64_t key); /* NULL: not there; valid until an insert */
/* Finds or inserts with value 0; NULL when memory is out. `*added` (may be NULL) says which. */
uint64_t *map_at(struct map *map, uint64_t key, bool *added);
bool map_remove(struct map *map, uint64_t key); /* backward-shift deletion, no tombstones */

/* Iterates in table order: start with cursor 0; false at the end. */
bool map_next(const struct map *map, uint32_t *cursor, uint64_t *key, uint64_t *value);

#endif
