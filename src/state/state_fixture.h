/* What the tests of this room share: keys by number, and bytes as sink and source. */
#ifndef STATE_STATE_FIXTURE_H
#define STATE_STATE_FIXTURE_H

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "state/state_file.h"

#include <string.h>

static inline struct state *fixture_open(uint32_t groups, struct state_budget *budget) {
    struct state_options options = {.name = "fixture", .groups = groups, .budget = budget};
    struct state *state;
    assert_int_equal(state_open(&options, &state, NULL), LEAT_OK);
    return state;
}

enum { FIXTURE_ID_BYTES = 32 };

/* Two kinds and two parts an id, so that neighbours differ in one of the three only. Ids are of
 * many lengths, with common beginnings; one is empty. */
static inline struct state_key fixture_key(uint32_t number, char id[FIXTURE_ID_BYTES]) {
    uint32_t person = number / 4;
    int size = person == 0 ? 0
                           : snprintf(id, FIXTURE_ID_BYTES, "user-%.*s%u", (int)(person % 11),
                                      "abababababab", person);
    struct slice text = {id, (size_t)size};
    return (struct state_key){
        .hash = hash_slice(text), .id = text, .kind = number % 2, .part = number / 2 % 2};
}

/* Puts a record whose every byte is `fill`. */
static inline void fixture_put(struct state *state, uint32_t number, uint32_t size, int fill) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    void *data;
    state_enter(state, key.hash);
    assert_int_equal(state_put(state, &key, size, &data, NULL), LEAT_OK);
    memset(data, fill, size);
    state_leave(state, key.hash);
}

static inline bool fixture_remove(struct state *state, uint32_t number) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    state_enter(state, key.hash);
    bool removed = state_remove(state, &key);
    state_leave(state, key.hash);
    return removed;
}

static inline leat_status fixture_set_due(struct state *state, uint32_t number, int64_t due_ms) {
    char id[FIXTURE_ID_BYTES];
    struct state_key key = fixture_key(number, id);
    state_enter(state, key.hash);
    leat_status status = state_set_due(state, &key, due_ms);
    state_leave(state, key.hash);
    return status;
}

static inline uint64_t fixture_digest(struct state *state) {
    uint64_t digest;
    assert_int_equal(state_digest(state, &digest, NULL), LEAT_OK);
    return digest;
}

static inline leat_status fixture_sink(void *context, const void *data, size_t count,
                                       leat_error *err) {
    bytes_append(context, data, count);
    return bytes_status(context, err);
}

static inline leat_status fixture_source(void *context, void *data, size_t count, leat_error *err) {
    const uint8_t *from = bytes_get_raw(context, count);
    if (!from) {
        return error_set(err, LEAT_CORRUPT, "the source ends");
    }
    memcpy(data, from, count);
    return LEAT_OK;
}

static inline leat_status fixture_restore(struct state *state, uint32_t group,
                                          const struct bytes *block, leat_error *err) {
    struct bytes_reader reader = bytes_reader_of(block->data, block->size);
    return state_restore(state, group, fixture_source, &reader, err);
}

/* Records with a due time. */
static inline size_t fixture_live(const struct state *state) {
    size_t live = 0;
    for (uint32_t g = 0; g < state->groups; g++) {
        for (int c = 0; c < STATE_CLOCKS; c++) {
            live += state->group[g].due[c].live;
        }
    }
    return live;
}

static inline void fixture_block(const struct state *state, uint32_t group, struct bytes *out) {
    bytes_init(out);
    assert_int_equal(state_block_encode(state, group, out, NULL), LEAT_OK);
}

#endif
