/* Lists of any length under one key: elements of one size, in records of a bounded size.
 *
 *   part 0        the head: u64 first, u64 end, u32 bytes of an element, u32 0
 *   part 1 + n    chunk n: the elements from n * (elements a chunk) on, as many as there are
 *
 * An element keeps its index while it lives; an append writes to the last chunk only, so it costs
 * the same however long the list is, and so does trimming a chunk. The kind is the list's own, and
 * must not expire: chunks would go at different times.
 *
 * Threads: as state.h; every call needs the key's group entered. `part` of the key is not read. */
#ifndef STATE_LONG_LIST_H
#define STATE_LONG_LIST_H

#include "state/state.h"

/* A chunk holds so many bytes at most; or one element, if that is larger. */
enum { LONG_LIST_CHUNK_BYTES = 1024 };

/* Adds an element of `bytes` (1..STATE_RECORD_MAX) at the end. LEAT_INVALID when the list's have
 * another size; otherwise as state_put: then nothing changed. */
leat_status long_list_append(struct state *state, const struct state_key *key, const void *element,
                             uint32_t bytes, leat_error *err);

struct long_list_range {
    uint64_t first, end; /* indexes of what is there: first..end - 1; 0, 0 without the list */
};
struct long_list_range long_list_range(const struct state *state, const struct state_key *key);

/* Copies elements from `index` on, up to `count` of them; how many. 0 before the first. */
uint64_t long_list_read(const struct state *state, const struct state_key *key, uint64_t index,
                        uint64_t count, void *out);

/* Removes what lies before `first`; the memory of whole chunks. Cannot fail. Index and end stay
 * when nothing is left. */
void long_list_trim(struct state *state, const struct state_key *key, uint64_t first);
/* The list is no more. */
void long_list_remove(struct state *state, const struct state_key *key);

#endif
