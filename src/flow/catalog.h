/* catalog: what is known of items, and the lists from which new and any items are drawn.
 *
 * Keyed by item. An item exists from the first event that names it; an `item` event describes it (a
 * later one replaces the description), `item_delete` hides it until it is described again. Beside
 * the items stand two lists: `newest` (ring of the CATALOG_NEWEST items seen first most lately) and
 * `all` (every item not deleted, in order of arrival, the last one filling a hole). */
#ifndef FLOW_CATALOG_H
#define FLOW_CATALOG_H

#include "base/config.h"
#include "flow/row.h"
#include "state/state.h"

struct catalog;

enum { CATALOG_NEWEST = 1024, CATALOG_VALUES_MAX = 8 };

struct catalog_view {
    uint64_t hash;
    char id[EVENT_ID_BYTES_MAX + 1];
    int id_size;
    bool described, deleted;
    int64_t first_ms;   /* event time of the first event that named it */
    int64_t created_ms; /* as described, else first_ms */
    int64_t expires_ms; /* INT64_MAX: never */
    uint64_t author;    /* hash, 0: unknown */
    int category_count, tag_count;
    uint64_t categories[CATALOG_VALUES_MAX], tags[CATALOG_VALUES_MAX];
};

leat_status catalog_open(const struct config *config, struct state_budget *budget,
                         struct catalog **out, leat_error *err);
void catalog_close(struct catalog *catalog);
/* Threads: as catalog_push_item, then catalog_push_lists. */
void catalog_push(struct catalog *catalog, const struct row *row);
struct state *catalog_state(struct catalog *catalog);

/* A row in two steps, for who goes by key group: to its item's record, and to the lists, which have
 * one key. Lists may follow later, in the order of rows. */
struct catalog_change {
    bool created, joins, leaves; /* joins, leaves: the list of all items */
};
/* Threads: each alone in the key groups of the items it pushes. */
struct catalog_change catalog_push_item(struct catalog *catalog, const struct row *row);
/* One thread, while nobody pushes items. */
void catalog_push_lists(struct catalog *catalog, const struct row *row,
                        struct catalog_change change);

/* A hint: these items are read or pushed next. At most ROW_AHEAD_MAX of them.
 * Threads: as state_prefetch. */
void catalog_ahead(const struct catalog *catalog, const uint64_t *items, int count);
/* Any thread. False: unknown (`out` is all zero). */
bool catalog_read(struct catalog *catalog, uint64_t item, struct catalog_view *out);
bool catalog_find(struct catalog *catalog, struct slice item, struct catalog_view *out);
/* The description's words for one item: author, categories, tags, text as posted. Appends JSON
 * members to `out` ("author":"..","categories":[..]..). */
bool catalog_words(struct catalog *catalog, struct slice item, struct bytes *out);
/* Newest first; returns how many (<= max). */
int catalog_newest(struct catalog *catalog, uint64_t *items, int max);
/* A uniformly drawn item; 0 when there are none. */
uint64_t catalog_draw(struct catalog *catalog, uint64_t chance);
uint64_t catalog_count(struct catalog *catalog);
/* After a restore: rebuilds what is derived. */
void catalog_restored(struct catalog *catalog);

#endif
