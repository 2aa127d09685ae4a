/* join_record: all that join knows of a person and an item, in one record of the state, so that
 * every row costs one look-up, and a showing one record.
 *
 *   key    (user, kind JOIN_RECORD, part = hash of the item)
 *   bytes  | join_record | item's text, padded to 8 | entry | entry | ...   in order of arrival
 *   entry  | join_entry | keys, u64 each | dense, f32 each | request's text, padded to 8 |
 *
 * An entry is a showing, or a row that waits until event time has passed it. At most
 * JOIN_ENTRIES_MAX stand in a record; then they fit, whatever their sizes. */
#ifndef FLOW_JOIN_RECORD_H
#define FLOW_JOIN_RECORD_H

#include "flow/example.h"
#include "state/state.h"

enum { JOIN_RECORD = 0 }; /* the one kind, so that due times order by (time, user, item) */
enum { JOIN_ENTRIES_MAX = 64, JOIN_TEXT_MAX = 255 };

/* Waiting rows of one time are decided in this order. */
enum join_entry_type { JOIN_SHOWING, JOIN_WAITS_SERVED, JOIN_WAITS_IMPRESSION, JOIN_WAITS_ACTION };

enum join_entry_flags {
    JOIN_LOOKED_UP = 1, /* the features were not served */
    JOIN_FEATURED = 2,  /* there are features */
};

struct join_record {
    uint16_t entries;
    uint16_t item_size;
    uint32_t zero;
};

struct join_entry {
    int64_t begun_ms; /* of a showing: its first served or impression row. Else: time of the row */
    int64_t shown_ms; /* first seen; 0: not yet */
    uint64_t request; /* hash; 0: none */
    uint16_t settled; /* bit a task */
    uint16_t positive;
    uint16_t size; /* bytes of the whole entry */
    uint16_t surface;
    uint8_t type, action, flags;
    uint8_t key_count, dense_count, request_size;
    uint8_t zero[2];
};

enum {
    JOIN_ENTRY_BYTES_MAX = sizeof(struct join_entry) + EXAMPLE_KEYS_MAX * sizeof(uint64_t) +
                           EXAMPLE_DENSE_MAX * sizeof(float) + JOIN_TEXT_MAX + 1,
};

/* What an entry carries; borrowed. */
struct join_content {
    const uint64_t *keys;
    const float *dense;
    int key_count, dense_count;
    struct slice request;
};

/* A record inside its group, open for change. Any add, drop or change of content moves entries:
 * pointers to them from before are invalid. */
struct join_place {
    struct state *state;
    struct state_key key;
    struct slice item;
    struct join_record *record; /* NULL: there is none */
    uint32_t size;
    bool made; /* the record was made here, and has no due time yet */
};

/* False when the record belongs to another item of the same hash. */
bool join_place_find(struct join_place *place, struct state *state, const struct state_key *key,
                     struct slice item);
/* Adds an entry at the end, with `head` (its sizes are set here) and `content`; NULL when there is
 * no memory for it: then nothing changed. There is room among the entries. */
struct join_entry *join_place_add(struct join_place *place, const struct join_entry *head,
                                  const struct join_content *content);
/* Removes an entry; with the last one, the record. */
void join_place_drop(struct join_place *place, struct join_entry *entry);

static inline struct slice join_record_item(const struct join_record *record) {
    return (struct slice){(const char *)(record + 1), record->item_size};
}

static inline uint32_t join_record_head(size_t item_size) {
    return (uint32_t)(sizeof(struct join_record) + ((item_size + 7) & ~(size_t)7));
}

/* In order; NULL after the last one. */
static inline struct join_entry *join_place_first(const struct join_place *place) {
    return place->record ? (struct join_entry *)((char *)place->record +
                                                 join_record_head(place->record->item_size))
                         : NULL;
}

static inline struct join_entry *join_place_next(const struct join_place *place,
                                                 const struct join_entry *entry) {
    char *next = (char *)entry + entry->size;
    return next < (char *)place->record + place->size ? (struct join_entry *)next : NULL;
}

static inline const uint64_t *join_entry_keys(const struct join_entry *entry) {
    return (const uint64_t *)(entry + 1);
}

static inline const float *join_entry_dense(const struct join_entry *entry) {
    return (const float *)(join_entry_keys(entry) + entry->key_count);
}

/* Absent where the entry has none. */
static inline struct slice join_entry_request(const struct join_entry *entry) {
    const char *text = (const char *)(join_entry_dense(entry) + entry->dense_count);
    return (struct slice){entry->request_size > 0 ? text : NULL, entry->request_size};
}

#endif
