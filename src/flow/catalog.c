#include "flow/catalog.h"

#include "base/hash.h"
#include "base/json.h"
#include "base/memory.h"

/* Records: ITEM by item id; WORDS by item id (the description's text, as posted); RING and ALL by
 * the catalogue's own key, ALL in parts of ALL_PART items. */
enum { CATALOG_ITEM = 0, CATALOG_WORDS = 1, CATALOG_RING = 2, CATALOG_ALL = 3 };
enum { ALL_PART = 2048 };

struct item_record {
    int64_t first_ms, created_ms, expires_ms;
    uint64_t author;
    uint64_t place; /* in the list of all items, plus one; 0: not in it */
    uint8_t described, deleted, category_count, tag_count;
    uint32_t unused;
    uint64_t values[2 * CATALOG_VALUES_MAX]; /* categories, then tags */
};

struct ring_record {
    uint64_t added; /* in all; the newest is at (added - 1) % CATALOG_NEWEST */
    uint64_t items[CATALOG_NEWEST];
};

struct catalog {
    struct state *state;
    uint64_t list_hash;
    _Atomic uint64_t count; /* of the list of all items */
};

static const struct slice list_id = {"", 0};

static struct state_key item_key(struct slice item, uint64_t hash, uint32_t kind) {
    return (struct state_key){hash, item, kind, 0};
}

static struct state_key list_key(const struct catalog *catalog, uint32_t kind, uint64_t part) {
    return (struct state_key){catalog->list_hash, list_id, kind, part};
}

leat_status catalog_open(const struct config *config, struct state_budget *budget,
                         struct catalog **out, leat_error *err) {
    struct catalog *catalog = memory_zalloc(sizeof(*catalog));
    if (!catalog) {
        return error_memory(err, sizeof(*catalog));
    }
    catalog->list_hash = hash_slice(list_id);
    struct state_options options = {
        .name = "catalog", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = state_open(&options, &catalog->state, err);
    if (status < 0) {
        memory_free(catalog);
        return status;
    }
    *out = catalog;
    return LEAT_OK;
}

void catalog_close(struct catalog *catalog) {
    if (catalog) {
        state_close(catalog->state);
        memory_free(catalog);
    }
}

struct state *catalog_state(struct catalog *catalog) {
    return catalog->state;
}

/* --- the list of all items --- */

static uint64_t *all_slot(struct catalog *catalog, uint64_t place, bool create) {
    struct state_key key = list_key(catalog, CATALOG_ALL, place / ALL_PART);
    void *record = NULL;
    uint32_t size;
    if (create && place % ALL_PART == 0) {
        state_put(catalog->state, &key, ALL_PART * sizeof(uint64_t), &record, NULL);
    } else {
        record = state_edit(catalog->state, &key, &size);
    }
    return record ? (uint64_t *)record + place % ALL_PART : NULL;
}

/* Returns the item's place plus one, or 0 when there is no memory for it. */
static uint64_t all_add(struct catalog *catalog, uint64_t item) {
    uint64_t place = catalog->count;
    state_enter(catalog->state, catalog->list_hash);
    uint64_t *slot = all_slot(catalog, place, true);
    if (slot) {
        *slot = item;
        catalog->count = place + 1;
    }
    state_leave(catalog->state, catalog->list_hash);
    return slot ? place + 1 : 0;
}

/* Returns the place that the item had. */
static uint64_t item_set_place(struct catalog *catalog, uint64_t item, uint64_t place) {
    struct state_key key = item_key((struct slice){NULL, 0}, item, CATALOG_ITEM);
    uint32_t size;
    uint64_t had = 0;
    state_enter(catalog->state, item);
    struct item_record *record = state_edit(catalog->state, &key, &size);
    if (record) {
        had = record->place;
        record->place = place;
    }
    state_leave(catalog->state, item);
    return had;
}

/* The last item fills the hole, so that the list stays dense. */
static void all_remove(struct catalog *catalog, uint64_t place) {
    uint64_t last = catalog->count - 1;
    state_enter(catalog->state, catalog->list_hash);
    uint64_t *hole = all_slot(catalog, place, false);
    uint64_t *end = all_slot(catalog, last, false);
    uint64_t moved = *end;
    *hole = moved;
    *end = 0;
    if (last % ALL_PART == 0) {
        struct state_key key = list_key(catalog, CATALOG_ALL, last / ALL_PART);
        state_remove(catalog->state, &key);
    }
    catalog->count = last;
    state_leave(catalog->state, catalog->list_hash);
    if (place != last) {
        item_set_place(catalog, moved, place + 1);
    }
}

static void ring_add(struct catalog *catalog, uint64_t item) {
    struct state_key key = list_key(catalog, CATALOG_RING, 0);
    state_enter(catalog->state, catalog->list_hash);
    uint32_t size;
    void *ring = state_edit(catalog->state, &key, &size);
    if (ring || state_put(catalog->state, &key, sizeof(struct ring_record), &ring, NULL) >= 0) {
        struct ring_record *record = ring;
        record->items[record->added++ % CATALOG_NEWEST] = item;
    }
    state_leave(catalog->state, catalog->list_hash);
}

/* --- items --- */

static void describe(struct item_record *record, const struct row *row) {
    record->described = 1;
    record->created_ms = row->has_created ? row->created_ms : record->first_ms;
    record->expires_ms = row->has_expires ? row->expires_ms : INT64_MAX;
    record->author = row->author.data ? hash_slice(row->author) : 0;
    record->category_count = 0;
    record->tag_count = 0;
    memset(record->values, 0, sizeof(record->values));
    for (int i = 0; i < row->category_count && i < CATALOG_VALUES_MAX; i++) {
        record->values[record->category_count++] = hash_slice(row->categories[i]);
    }
    for (int i = 0; i < row->tag_count && i < CATALOG_VALUES_MAX; i++) {
        record->values[CATALOG_VALUES_MAX + record->tag_count++] = hash_slice(row->tags[i]);
    }
}

static void words_list(struct json_writer *json, const char *name, const struct slice *texts,
                       int count) {
    if (count > 0) {
        json_key(json, name);
        json_array_open(json);
        for (int i = 0; i < count; i++) {
            json_text(json, texts[i]);
        }
        json_array_close(json);
    }
}

static void words_text(struct json_writer *json, const char *name, struct slice text) {
    if (text.data) {
        json_key(json, name);
        json_text(json, text);
    }
}

/* The description is kept as one JSON object beside the item. */
static void words_store(struct catalog *catalog, const struct row *row) {
    struct bytes text;
    bytes_init(&text);
    struct json_writer json;
    json_begin(&json, &text);
    json_object_open(&json);
    words_text(&json, "author", row->author);
    words_list(&json, "categories", row->categories, row->category_count);
    words_list(&json, "tags", row->tags, row->tag_count);
    words_text(&json, "text", row->text);
    json_object_close(&json);
    struct state_key key = item_key(row->item, row->item_hash, CATALOG_WORDS);
    void *record;
    if (bytes_status(&text, NULL) >= 0 &&
        state_put(catalog->state, &key, (uint32_t)text.size, &record, NULL) >= 0) {
        memcpy(record, text.data, text.size);
    } else {
        state_remove(catalog->state, &key); /* no words rather than those of an older description */
    }
    bytes_deinit(&text);
}

static struct catalog_change item_apply(struct catalog *catalog, const struct row *row) {
    struct catalog_change change = {0};
    struct state_key key = item_key(row->item, row->item_hash, CATALOG_ITEM);
    uint32_t size;
    void *found = state_edit(catalog->state, &key, &size);
    if (!found) {
        if (row->kind == ROW_ITEM_DELETE ||
            state_put(catalog->state, &key, sizeof(struct item_record), &found, NULL) < 0) {
            return change;
        }
        struct item_record *fresh = found;
        fresh->first_ms = fresh->created_ms = row->time_ms;
        fresh->expires_ms = INT64_MAX;
        change.created = change.joins = true;
    }
    struct item_record *record = found;
    if (row->kind == ROW_ITEM) {
        change.joins = change.joins || record->deleted;
        record->deleted = 0;
        describe(record, row);
        words_store(catalog, row); /* may move records: `record` is not used after it */
    } else if (row->kind == ROW_ITEM_DELETE && !record->deleted) {
        record->deleted = 1;
        change.leaves = true;
    }
    return change;
}

struct catalog_change catalog_push_item(struct catalog *catalog, const struct row *row) {
    if (!row->item.data || row->kind == ROW_SERVED) {
        return (struct catalog_change){0};
    }
    state_enter(catalog->state, row->item_hash);
    struct catalog_change change = item_apply(catalog, row);
    state_leave(catalog->state, row->item_hash);
    return change;
}

void catalog_push_lists(struct catalog *catalog, const struct row *row,
                        struct catalog_change change) {
    uint64_t place = change.leaves ? item_set_place(catalog, row->item_hash, 0) : 0;
    if (place > 0) {
        all_remove(catalog, place - 1);
    }
    if (change.joins) {
        item_set_place(catalog, row->item_hash, all_add(catalog, row->item_hash));
    }
    if (change.created) {
        ring_add(catalog, row->item_hash);
    }
}

void catalog_push(struct catalog *catalog, const struct row *row) {
    catalog_push_lists(catalog, row, catalog_push_item(catalog, row));
}

/* --- reading --- */

/* Of the id no more than there is: a view is read many times a row. */
static void view_fill(const struct item_record *record, uint64_t hash, struct slice id,
                      struct catalog_view *out) {
    out->hash = hash;
    memcpy(out->id, id.data, id.size);
    out->id[id.size] = '\0';
    out->id_size = (int)id.size;
    out->described = record->described;
    out->deleted = record->deleted;
    out->first_ms = record->first_ms;
    out->created_ms = record->created_ms;
    out->expires_ms = record->expires_ms;
    out->author = record->author;
    out->category_count = record->category_count;
    out->tag_count = record->tag_count;
    memcpy(out->categories, record->values, sizeof(out->categories));
    memcpy(out->tags, record->values + CATALOG_VALUES_MAX, sizeof(out->tags));
}

static bool item_view(struct catalog *catalog, const struct state_key *key,
                      struct catalog_view *out) {
    state_enter(catalog->state, key->hash);
    struct slice id = {NULL, 0};
    uint32_t size;
    const struct item_record *record = state_get_id(catalog->state, key, &size, &id);
    if (record) {
        view_fill(record, key->hash, id, out);
    }
    state_leave(catalog->state, key->hash);
    if (!record) {
        memset(out, 0, sizeof(*out));
    }
    return record != NULL;
}

void catalog_ahead(const struct catalog *catalog, const uint64_t *items, int count) {
    struct state_key keys[ROW_AHEAD_MAX];
    for (int i = 0; i < count; i++) {
        keys[i] = (struct state_key){.hash = items[i], .kind = CATALOG_ITEM};
    }
    state_prefetch(catalog->state, keys, count);
}

bool catalog_read(struct catalog *catalog, uint64_t item, struct catalog_view *out) {
    struct state_key key = item_key((struct slice){NULL, 0}, item, CATALOG_ITEM);
    return item_view(catalog, &key, out);
}

bool catalog_find(struct catalog *catalog, struct slice item, struct catalog_view *out) {
    struct state_key key = item_key(item, hash_slice(item), CATALOG_ITEM);
    return item_view(catalog, &key, out);
}

bool catalog_words(struct catalog *catalog, struct slice item, struct bytes *out) {
    struct state_key key = item_key(item, hash_slice(item), CATALOG_WORDS);
    state_enter(catalog->state, key.hash);
    uint32_t size;
    const char *words = state_get(catalog->state, &key, &size, NULL);
    bool any = words && size > 2;
    if (any) {
        bytes_append(out, words + 1, size - 2);
    }
    state_leave(catalog->state, key.hash);
    return any;
}

int catalog_newest(struct catalog *catalog, uint64_t *items, int max) {
    struct state_key key = list_key(catalog, CATALOG_RING, 0);
    state_enter(catalog->state, catalog->list_hash);
    uint32_t size;
    const struct ring_record *ring = state_get(catalog->state, &key, &size, NULL);
    int count = 0;
    if (ring) {
        uint64_t held = ring->added < CATALOG_NEWEST ? ring->added : CATALOG_NEWEST;
        count = held < (uint64_t)max ? (int)held : max;
        for (int i = 0; i < count; i++) {
            items[i] = ring->items[(ring->added - 1 - (uint64_t)i) % CATALOG_NEWEST];
        }
    }
    state_leave(catalog->state, catalog->list_hash);
    return count;
}

uint64_t catalog_draw(struct catalog *catalog, uint64_t chance) {
    state_enter(catalog->state, catalog->list_hash);
    uint64_t item = 0;
    uint64_t count = catalog->count;
    if (count > 0) {
        uint64_t place = chance % count;
        struct state_key key = list_key(catalog, CATALOG_ALL, place / ALL_PART);
        uint32_t size;
        const uint64_t *part = state_get(catalog->state, &key, &size, NULL);
        item = part ? part[place % ALL_PART] : 0;
    }
    state_leave(catalog->state, catalog->list_hash);
    return item;
}

uint64_t catalog_count(struct catalog *catalog) {
    return catalog->count;
}

void catalog_restored(struct catalog *catalog) {
    state_enter(catalog->state, catalog->list_hash);
    uint64_t count = 0;
    for (uint64_t part = 0;; part++) {
        struct state_key key = list_key(catalog, CATALOG_ALL, part);
        uint32_t size;
        const uint64_t *items = state_get(catalog->state, &key, &size, NULL);
        if (!items) {
            break;
        }
        for (int i = 0; i < ALL_PART && items[i] != 0; i++) {
            count++;
        }
    }
    catalog->count = count;
    state_leave(catalog->state, catalog->list_hash);
}
