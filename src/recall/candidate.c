#include "base/hash.h"
#include "recall/channel.h"

const char *channel_name(enum channel channel) {
    static const char *const names[CHANNEL_COUNT] = {"similar", "trending", "fresh", "explore"};
    return names[channel];
}

leat_status candidate_set_init(struct candidate_set *set, struct arena *arena, int capacity,
                               leat_error *err) {
    uint32_t slots = 16;
    while (slots < 2 * (uint32_t)capacity) {
        slots *= 2;
    }
    set->items = ARENA_NEW(arena, struct candidate, capacity);
    set->slots = ARENA_NEW(arena, uint32_t, slots);
    set->slot_mask = slots - 1;
    set->count = 0;
    set->capacity = capacity;
    if (!set->items || !set->slots) {
        return error_memory(err, (size_t)capacity * sizeof(struct candidate));
    }
    return LEAT_OK;
}

bool candidate_set_add(struct candidate_set *set, uint64_t item, enum channel channel,
                       uint64_t because) {
    uint32_t slot = (uint32_t)hash_mix(item, 0) & set->slot_mask;
    while (set->slots[slot] != 0) {
        struct candidate *there = &set->items[set->slots[slot] - 1];
        if (there->item == item) {
            there->channels |= 1u << channel;
            there->because = there->because ? there->because : because;
            return true;
        }
        slot = (slot + 1) & set->slot_mask;
    }
    if (set->count == set->capacity) {
        return false;
    }
    set->items[set->count] = (struct candidate){item, 1u << channel, because};
    set->slots[slot] = (uint32_t)++set->count;
    return true;
}
