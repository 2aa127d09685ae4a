/* One block holds the three arrays: keys, then values, then the used marks.
 *
 *   home(key) = hash_mix(key, MAP_SEED) & (capacity - 1); a key sits at its home or in the unbroken
 *   run of used places behind it. Deletion moves later keys of the run back, so runs never hold
 *   gaps and a search ends at the first unused place. */
#include "base/map.h"

#include "base/hash.h"
#include "base/memory.h"

#include <string.h>

enum { MAP_CAPACITY_MIN = 16, MAP_SEED = 0x6d6170 };
#define MAP_CAPACITY_MAX (1u << 31)

void map_init(struct map *map) {
    *map = (struct map){0};
}

void map_deinit(struct map *map) {
    memory_free(map->keys);
    map_init(map);
}

void map_clear(struct map *map) {
    if (map->capacity > 0) {
        memset(map->used, 0, map->capacity);
    }
    map->count = 0;
}

static uint32_t map_home(const struct map *map, uint64_t key) {
    return (uint32_t)hash_mix(key, MAP_SEED) & (map->capacity - 1);
}

/* The place of `key`, or the unused place where it belongs. Capacity > 0; one place is unused. */
static uint32_t map_place(const struct map *map, uint64_t key) {
    uint32_t place = map_home(map, key);
    while (map->used[place] && map->keys[place] != key) {
        place = (place + 1) & (map->capacity - 1);
    }
    return place;
}

static void map_put_at(struct map *map, uint32_t place, uint64_t key, uint64_t value) {
    map->keys[place] = key;
    map->values[place] = value;
    map->used[place] = 1;
}

uint64_t *map_find(const struct map *map, uint64_t key) {
    if (map->count == 0) {
        return NULL;
    }
    uint32_t place = map_place(map, key);
    return map->used[place] ? &map->values[place] : NULL;
}

static bool map_allocate(struct map *map, uint32_t capacity) {
    uint64_t *block = memory_alloc((size_t)capacity * (2 * sizeof(uint64_t) + 1));
    if (!block) {
        return false;
    }
    *map = (struct map){
        .keys = block,
        .values = block + capacity,
        .used = (uint8_t *)(block + 2 * (size_t)capacity),
        .capacity = capacity,
    };
    memset(map->used, 0, capacity);
    return true;
}

static bool map_grow(struct map *map) {
    if (map->capacity == MAP_CAPACITY_MAX) {
        return false;
    }
    struct map larger;
    if (!map_allocate(&larger, map->capacity ? map->capacity * 2 : MAP_CAPACITY_MIN)) {
        return false;
    }
    for (uint32_t i = 0; i < map->capacity; i++) {
        if (map->used[i]) {
            map_put_at(&larger, map_place(&larger, map->keys[i]), map->keys[i], map->values[i]);
        }
    }
    larger.count = map->count;
    memory_free(map->keys);
    *map = larger;
    return true;
}

static bool map_is_full(const struct map *map) {
    return ((uint64_t)map->count + 1) * 10 > (uint64_t)map->capacity * 7;
}

uint64_t *map_at(struct map *map, uint64_t key, bool *added) {
    uint64_t *found = map_find(map, key);
    if (added) {
        *added = false;
    }
    if (found) {
        return found;
    }
    if (map_is_full(map) && !map_grow(map)) {
        return NULL;
    }
    uint32_t place = map_place(map, key);
    map_put_at(map, place, key, 0);
    map->count++;
    if (added) {
        *added = true;
    }
    return &map->values[place];
}

bool map_remove(struct map *map, uint64_t key) {
    if (map->count == 0) {
        return false;
    }
    uint32_t gap = map_place(map, key);
    if (!map->used[gap]) {
        return false;
    }
    uint32_t mask = map->capacity - 1;
    for (uint32_t next = (gap + 1) & mask; map->used[next]; next = (next + 1) & mask) {
        uint32_t home = map_home(map, map->keys[next]);
        /* It may move back to the gap only if that is not before its home (distances wrap). */
        if (((next - home) & mask) >= ((next - gap) & mask)) {
            map_put_at(map, gap, map->keys[next], map->values[next]);
            gap = next;
        }
    }
    map->used[gap] = 0;
    map->count--;
    return true;
}

bool map_next(const struct map *map, uint32_t *cursor, uint64_t *key, uint64_t *value) {
    while (*cursor < map->capacity) {
        uint32_t place = (*cursor)++;
        if (map->used[place]) {
            *key = map->keys[place];
            *value = map->values[place];
            return true;
        }
    }
    return false;
}
