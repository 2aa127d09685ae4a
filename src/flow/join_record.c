#include "flow/join_record.h"

_Static_assert(sizeof(struct join_record) == 8, "part of the state's files");
_Static_assert(sizeof(struct join_entry) == 40, "part of the state's files");
_Static_assert(JOIN_ENTRIES_MAX *((JOIN_ENTRY_BYTES_MAX + 7) & ~7) + 8 + JOIN_TEXT_MAX + 1 <=
                   STATE_RECORD_MAX,
               "as many entries fit, whatever their sizes");

bool join_place_find(struct join_place *place, struct state *state, const struct state_key *key,
                     struct slice item) {
    *place = (struct join_place){.state = state, .key = *key, .item = item};
    place->record = state_edit(state, key, &place->size);
    return !place->record || slice_equal(join_record_item(place->record), item);
}

static uint32_t entry_size(const struct join_content *content) {
    size_t size = sizeof(struct join_entry) + (size_t)content->key_count * sizeof(uint64_t) +
                  (size_t)content->dense_count * sizeof(float) + content->request.size;
    return (uint32_t)((size + 7) & ~(size_t)7);
}

static void copy(void *to, const void *from, size_t size) {
    if (size > 0) {
        memcpy(to, from, size);
    }
}

static void entry_fill(struct join_entry *entry, uint32_t size, const struct join_entry *head,
                       const struct join_content *content) {
    *entry = *head;
    entry->size = (uint16_t)size;
    entry->key_count = (uint8_t)content->key_count;
    entry->dense_count = (uint8_t)content->dense_count;
    entry->request_size = (uint8_t)content->request.size;
    copy((void *)join_entry_keys(entry), content->keys,
         (size_t)content->key_count * sizeof(uint64_t));
    copy((void *)join_entry_dense(entry), content->dense,
         (size_t)content->dense_count * sizeof(float));
    copy((char *)(join_entry_dense(entry) + content->dense_count), content->request.data,
         content->request.size);
}

struct join_entry *join_place_add(struct join_place *place, const struct join_entry *head,
                                  const struct join_content *content) {
    bool made = !place->record;
    uint32_t at = made ? join_record_head(place->item.size) : place->size;
    uint32_t size = entry_size(content);
    void *data;
    if (content->request.size > JOIN_TEXT_MAX || place->item.size > JOIN_TEXT_MAX ||
        state_put(place->state, &place->key, at + size, &data, NULL) < 0) {
        return NULL;
    }
    place->record = data;
    place->size = at + size;
    if (made) {
        place->made = true;
        place->record->item_size = (uint16_t)place->item.size;
        copy(place->record + 1, place->item.data, place->item.size);
    }
    place->record->entries++;
    struct join_entry *entry = (struct join_entry *)((char *)data + at);
    entry_fill(entry, size, head, content);
    return entry;
}

void join_place_drop(struct join_place *place, struct join_entry *entry) {
    if (place->record->entries == 1) {
        state_remove(place->state, &place->key);
        place->record = NULL;
        place->size = 0;
        return;
    }
    uint32_t size = entry->size;
    char *end = (char *)place->record + place->size;
    char *next = (char *)entry + size;
    memmove(entry, next, (size_t)(end - next));
    place->record->entries--;
    void *data; /* giving bytes back cannot fail */
    leat_status status = state_put(place->state, &place->key, place->size - size, &data, NULL);
    INVARIANT(status >= 0, "a record of %u bytes did not shrink by %u", place->size, size);
    place->record = data;
    place->size -= size;
}
