#include "state/long_list.h"

#include <inttypes.h>

struct list_head {
    uint64_t first;
    uint64_t end;
    uint32_t element_bytes;
    uint32_t zero;
};
_Static_assert(sizeof(struct list_head) == 24, "drawn in the header");

static uint64_t chunk_elements(uint32_t element_bytes) {
    return element_bytes < LONG_LIST_CHUNK_BYTES ? LONG_LIST_CHUNK_BYTES / element_bytes : 1;
}

static struct state_key part_key(const struct state_key *key, uint64_t part) {
    struct state_key out = *key;
    out.part = part;
    return out;
}

static const struct list_head *head_find(const struct state *state, const struct state_key *key) {
    struct state_key head_key = part_key(key, 0);
    uint32_t size;
    return state_get(state, &head_key, &size, NULL);
}

static leat_status head_open(struct state *state, const struct state_key *key, uint32_t bytes,
                             struct list_head *out, leat_error *err) {
    const struct list_head *there = head_find(state, key);
    if (there) {
        *out = *there;
        return LEAT_OK;
    }
    struct state_key head_key = part_key(key, 0);
    void *head;
    TRY(state_put(state, &head_key, sizeof(*out), &head, err));
    *out = (struct list_head){.element_bytes = bytes};
    memcpy(head, out, sizeof(*out));
    return LEAT_OK;
}

/* The head of a list that is there: changing it needs no memory. */
static void head_store(struct state *state, const struct state_key *key,
                       const struct list_head *head) {
    struct state_key head_key = part_key(key, 0);
    uint32_t size;
    memcpy(state_edit(state, &head_key, &size), head, sizeof(*head));
}

static leat_status element_put(struct state *state, const struct state_key *key,
                               const struct list_head *head, const void *element, leat_error *err) {
    uint64_t elements = chunk_elements(head->element_bytes);
    uint32_t at = (uint32_t)(head->end % elements) * head->element_bytes;
    struct state_key chunk_key = part_key(key, 1 + head->end / elements);
    void *chunk;
    TRY(state_put(state, &chunk_key, at + head->element_bytes, &chunk, err));
    memcpy((char *)chunk + at, element, head->element_bytes);
    return LEAT_OK;
}

leat_status long_list_append(struct state *state, const struct state_key *key, const void *element,
                             uint32_t bytes, leat_error *err) {
    if (bytes == 0 || bytes > STATE_RECORD_MAX) {
        return error_set(err, LEAT_INVALID, "a list element of %u bytes, it must have 1 to %d",
                         bytes, STATE_RECORD_MAX);
    }
    bool is_new = !head_find(state, key);
    struct list_head head;
    TRY(head_open(state, key, bytes, &head, err));
    if (head.element_bytes != bytes) {
        return error_set(err, LEAT_INVALID,
                         "a list element of %u bytes, those of '%.*s' have %" PRIu32, bytes,
                         (int)key->id.size, key->id.data, head.element_bytes);
    }
    leat_status status = element_put(state, key, &head, element, err);
    if (status < 0) {
        if (is_new) {
            long_list_remove(state, key);
        }
        return status;
    }
    head.end++;
    head_store(state, key, &head);
    return LEAT_OK;
}

struct long_list_range long_list_range(const struct state *state, const struct state_key *key) {
    const struct list_head *head = head_find(state, key);
    return head ? (struct long_list_range){head->first, head->end} : (struct long_list_range){0, 0};
}

uint64_t long_list_read(const struct state *state, const struct state_key *key, uint64_t index,
                        uint64_t count, void *out) {
    const struct list_head *head = head_find(state, key);
    if (!head || index < head->first || index >= head->end) {
        return 0;
    }
    uint64_t elements = chunk_elements(head->element_bytes);
    uint64_t bytes = head->element_bytes;
    count = count < head->end - index ? count : head->end - index;
    for (uint64_t done = 0; done < count;) {
        uint64_t at = (index + done) % elements;
        uint64_t some = elements - at < count - done ? elements - at : count - done;
        struct state_key chunk_key = part_key(key, 1 + (index + done) / elements);
        uint32_t size;
        const char *chunk = state_get(state, &chunk_key, &size, NULL);
        INVARIANT(chunk && (at + some) * bytes <= size, "a list's chunk of %u bytes ends early",
                  size);
        memcpy((char *)out + done * bytes, chunk + at * bytes, some * bytes);
        done += some;
    }
    return count;
}

void long_list_trim(struct state *state, const struct state_key *key, uint64_t first) {
    const struct list_head *there = head_find(state, key);
    if (!there || first <= there->first) {
        return;
    }
    struct list_head head = *there;
    uint64_t elements = chunk_elements(head.element_bytes);
    uint64_t chunk = head.first / elements;
    head.first = first < head.end ? first : head.end;
    for (; chunk < head.first / elements; chunk++) {
        struct state_key chunk_key = part_key(key, 1 + chunk);
        state_remove(state, &chunk_key);
    }
    head_store(state, key, &head);
}

void long_list_remove(struct state *state, const struct state_key *key) {
    const struct list_head *head = head_find(state, key);
    if (!head) {
        return;
    }
    uint64_t elements = chunk_elements(head->element_bytes);
    uint64_t chunk = head->first / elements;
    uint64_t end = (head->end + elements - 1) / elements;
    for (; chunk < end; chunk++) {
        struct state_key chunk_key = part_key(key, 1 + chunk);
        state_remove(state, &chunk_key);
    }
    struct state_key head_key = part_key(key, 0);
    state_remove(state, &head_key);
}
