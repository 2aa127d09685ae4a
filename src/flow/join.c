#include "flow/join.h"

#include "base/hash.h"
#include "base/memory.h"

/* Records of a person: a SHOWING by (request, item), and by item the NEWEST showing of it. */
enum { JOIN_SHOWING = 0, JOIN_NEWEST = 1 };

/* The record is this header, then keys, dense, and the texts of request and item. */
struct showing {
    int64_t shown_ms;  /* 0: served, not yet seen */
    int64_t served_ms; /* or the impression's time */
    uint64_t item;     /* hash */
    uint32_t settled;  /* bit a task */
    uint32_t positive; /* bit a task */
    uint16_t key_count, dense_count;
    uint16_t request_size, item_size;
};

struct newest {
    uint64_t part; /* of the showing */
};

struct join {
    const struct config *config;
    struct state *state;
    struct metrics *metrics;
    uint32_t tasks;     /* bit of every task that settles by a window */
    int64_t longest_ms; /* of their windows */
};

leat_status join_open(const struct config *config, struct state_budget *budget,
                      struct metrics *metrics, struct join **out, leat_error *err) {
    struct join *join = memory_zalloc(sizeof(*join));
    if (!join) {
        return error_memory(err, sizeof(*join));
    }
    join->config = config;
    join->metrics = metrics;
    for (int t = 0; t < config->action_count; t++) {
        const struct config_action_fields *action = &config->actions[t].fields;
        if (action->threshold == 0) {
            join->tasks |= 1u << t;
            join->longest_ms =
                action->window > join->longest_ms ? action->window : join->longest_ms;
        }
    }
    struct state_options options = {
        .name = "join", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = state_open(&options, &join->state, err);
    if (status < 0) {
        memory_free(join);
        return status;
    }
    *out = join;
    return LEAT_OK;
}

void join_close(struct join *join) {
    if (join) {
        state_close(join->state);
        memory_free(join);
    }
}

struct state *join_state(struct join *join) {
    return join->state;
}

/* --- the showing's record --- */

static uint32_t showing_size(int key_count, int dense_count, size_t request, size_t item) {
    return (uint32_t)(sizeof(struct showing) + (size_t)key_count * sizeof(uint64_t) +
                      (size_t)dense_count * sizeof(float) + request + item);
}

static uint64_t *showing_keys(struct showing *showing) {
    return (uint64_t *)(showing + 1);
}

static float *showing_dense(struct showing *showing) {
    return (float *)(showing_keys(showing) + showing->key_count);
}

static char *showing_texts(const struct showing *showing) {
    return (char *)(showing_dense((struct showing *)showing) + showing->dense_count);
}

static struct state_key showing_key(const struct row *row, uint64_t part) {
    return (struct state_key){row->user_hash, row->user, JOIN_SHOWING, part};
}

static uint64_t showing_part(const struct row *row) {
    return hash_mix(row->request_hash, row->item_hash);
}

static bool showing_is(const struct showing *showing, const struct row *row) {
    const char *texts = showing_texts(showing);
    struct slice request = {texts, showing->request_size};
    struct slice item = {texts + showing->request_size, showing->item_size};
    return slice_equal(item, row->item) &&
           (!row->request.data || slice_equal(request, row->request));
}

/* Part of the person's newest showing of the row's item; where that is forgotten already, of the
 * one without a request, which may live longer. */
static uint64_t newest_part(struct join *join, const struct row *row) {
    struct state_key key = {row->user_hash, row->user, JOIN_NEWEST, row->item_hash};
    uint32_t size;
    const struct newest *newest = state_get(join->state, &key, &size, NULL);
    return newest ? newest->part : showing_part(row);
}

static struct showing *showing_find(struct join *join, const struct row *row, uint64_t *part) {
    uint32_t size;
    *part = row->request.data ? showing_part(row) : newest_part(join, row);
    struct state_key key = showing_key(row, *part);
    struct showing *showing = state_edit(join->state, &key, &size);
    return showing && showing_is(showing, row) ? showing : NULL;
}

static void newest_set(struct join *join, const struct row *row, uint64_t part) {
    struct state_key key = {row->user_hash, row->user, JOIN_NEWEST, row->item_hash};
    void *record;
    if (state_put(join->state, &key, sizeof(struct newest), &record, NULL) >= 0) {
        ((struct newest *)record)->part = part;
    }
}

/* Makes the record of a served row or of an unserved impression, with its features. */
static struct showing *showing_make(struct join *join, const struct row *row,
                                    const struct join_features *features) {
    int key_count = features->key_count;
    int dense_count = features->dense_count;
    uint64_t part = showing_part(row);
    struct state_key key = showing_key(row, part);
    void *record;
    uint32_t size = showing_size(key_count, dense_count, row->request.size, row->item.size);
    if (state_put(join->state, &key, size, &record, NULL) < 0) {
        return NULL;
    }
    if (state_set_due(join->state, &key, row->time_ms + join->longest_ms) < 0) {
        state_remove(join->state, &key); /* it would never be forgotten */
        return NULL;
    }
    memset(record, 0, size);
    struct showing *showing = record;
    showing->served_ms = row->time_ms;
    showing->item = row->item_hash;
    showing->key_count = (uint16_t)key_count;
    showing->dense_count = (uint16_t)dense_count;
    showing->request_size = (uint16_t)row->request.size;
    showing->item_size = (uint16_t)row->item.size;
    memcpy(showing_keys(showing), features->keys, (size_t)key_count * sizeof(uint64_t));
    memcpy(showing_dense(showing), features->dense, (size_t)dense_count * sizeof(float));
    char *texts = showing_texts(showing);
    if (row->request.size > 0) {
        memcpy(texts, row->request.data, row->request.size);
    }
    memcpy(texts + row->request.size, row->item.data, row->item.size);
    newest_set(join, row, part);
    return state_edit(join->state, &key, &size);
}

/* --- settling --- */

struct settled {
    uint64_t sequence;
    const struct state_key *key; /* of the showing */
    uint32_t mask, labels, flags;
    int64_t due_ms; /* 0: at its row */
};

static void emit(const struct join_out *out, struct showing *showing,
                 const struct settled *settled) {
    char *texts = showing_texts(showing);
    struct example example = {
        .sequence = settled->sequence,
        .keys = showing_keys(showing),
        .key_count = showing->key_count,
        .dense = showing_dense(showing),
        .dense_count = showing->dense_count,
        .mask = settled->mask,
        .labels = settled->labels,
        .weight = 1.0f,
        .flags = settled->flags,
        .user_hash = settled->key->hash,
        .item_hash = showing->item,
        .user = settled->key->id,
        .request = {showing->request_size > 0 ? texts : NULL, showing->request_size},
        .item = {texts + showing->request_size, showing->item_size},
        .shown_ms = showing->shown_ms,
        .due_ms = settled->due_ms,
        .part = settled->key->part,
    };
    example.request_hash = example.request.data ? hash_slice(example.request) : 0;
    out->emit(out->context, &example);
}

/* When the first task that is still open settles, or the showing is forgotten. */
static int64_t next_due(const struct join *join, const struct showing *showing) {
    int64_t due_ms = showing->shown_ms + join->longest_ms;
    for (int t = 0; t < join->config->action_count; t++) {
        if (join->tasks & ~showing->settled & 1u << t) {
            int64_t end_ms = showing->shown_ms + join->config->actions[t].fields.window;
            due_ms = end_ms < due_ms ? end_ms : due_ms;
        }
    }
    return due_ms;
}

static void begin(struct join *join, struct showing *showing, const struct state_key *key,
                  int64_t time_ms) {
    showing->shown_ms = time_ms;
    state_set_due(join->state, key, next_due(join, showing));
}

static bool push_served(struct join *join, const struct row *row) {
    uint64_t part;
    struct showing *showing = showing_find(join, row, &part);
    if (showing) {
        return true; /* an impression came first: it was learnt with what was looked up */
    }
    const struct join_features served = {row->keys, row->dense, row->key_count, row->dense_count};
    showing = showing_make(join, row, &served);
    if (showing && row_is_showing(join->config, row)) {
        struct state_key key = showing_key(row, part);
        begin(join, showing, &key, row->time_ms);
    }
    return showing != NULL;
}

static bool push_impression(struct join *join, const struct row *row,
                            const struct join_features *features) {
    uint64_t part;
    struct showing *showing = showing_find(join, row, &part);
    if (!showing) {
        if (!features) {
            return false;
        }
        metrics_add(join->metrics, METRIC_impressions_unserved_total, 1);
        part = showing_part(row);
        showing = showing_make(join, row, features);
    }
    if (showing && showing->shown_ms == 0) {
        struct state_key key = showing_key(row, part);
        begin(join, showing, &key, row->time_ms);
    }
    return showing != NULL;
}

static bool push_action(struct join *join, const struct row *row, const struct join_out *out) {
    uint64_t part;
    struct showing *showing = showing_find(join, row, &part);
    if (!showing) {
        return false;
    }
    struct state_key key = showing_key(row, part);
    if (showing->shown_ms == 0) {
        begin(join, showing, &key, row->time_ms);
    }
    uint32_t bit = 1u << row->action;
    if (!(showing->positive & bit)) {
        uint32_t flags = showing->settled & bit ? EXAMPLE_CORRECTION : 0;
        showing->positive |= bit;
        showing->settled |= bit;
        emit(out, showing, &(struct settled){row->sequence, &key, bit, bit, flags, 0});
    }
    return true;
}

/* The event is a whole example by itself. */
static bool push_whole(struct join *join, const struct row *row,
                       const struct join_features *features, const struct join_out *out) {
    if (!features) {
        return false;
    }
    uint32_t bit = 1u << row->action;
    struct example example = {
        .sequence = row->sequence,
        .keys = features->keys,
        .key_count = features->key_count,
        .dense = features->dense,
        .dense_count = features->dense_count,
        .mask = bit,
        .labels = row_is_positive(join->config, row) ? bit : 0,
        .weight = 1.0f,
        .user_hash = row->user_hash,
        .request_hash = row->request_hash,
        .item_hash = row->item_hash,
        .user = row->user,
        .request = row->request,
        .item = row->item,
        .shown_ms = row->time_ms,
    };
    out->emit(out->context, &example);
    return true;
}

/* --- the operator --- */

static bool is_whole(const struct join *join, const struct row *row) {
    return row->kind == ROW_ACTION && join->config->actions[row->action].fields.threshold > 0;
}

bool join_wants_features(struct join *join, const struct row *row) {
    if (!row->user.data || (row->kind != ROW_IMPRESSION && !is_whole(join, row))) {
        return false;
    }
    if (row->kind == ROW_ACTION) {
        return true;
    }
    state_enter(join->state, row->user_hash);
    uint64_t part = row->request.data ? showing_part(row) : newest_part(join, row);
    struct state_key key = showing_key(row, part);
    uint32_t size;
    const struct showing *showing = state_get(join->state, &key, &size, NULL);
    bool known = showing && showing_is(showing, row);
    state_leave(join->state, row->user_hash);
    return !known;
}

bool join_push(struct join *join, const struct row *row, const struct join_features *features,
               const struct join_out *out) {
    if (!row->user.data) {
        return false;
    }
    if (row->kind == ROW_FORGET) {
        state_enter(join->state, row->user_hash);
        state_remove_all(join->state, row->user_hash, row->user);
        state_leave(join->state, row->user_hash);
        return true;
    }
    if (is_whole(join, row)) {
        return push_whole(join, row, features, out);
    }
    bool found = false;
    state_enter(join->state, row->user_hash);
    switch (row->kind) {
    case ROW_SERVED: found = push_served(join, row); break;
    case ROW_IMPRESSION: found = push_impression(join, row, features); break;
    case ROW_ACTION: found = push_action(join, row, out); break;
    default: break;
    }
    state_leave(join->state, row->user_hash);
    return found;
}

static void showing_forget(struct join *join, const struct state_key *key, uint64_t item) {
    struct state_key newest_key = {key->hash, key->id, JOIN_NEWEST, item};
    uint32_t size;
    const struct newest *newest = state_get(join->state, &newest_key, &size, NULL);
    if (newest && newest->part == key->part) {
        state_remove(join->state, &newest_key);
    }
    state_remove(join->state, key);
}

static void settle(struct join *join, const struct state_key *key, int64_t due_ms,
                   uint64_t sequence, const struct join_out *out) {
    uint32_t size;
    struct showing *showing = state_edit(join->state, key, &size);
    uint32_t mask = 0;
    for (int t = 0; showing->shown_ms != 0 && t < join->config->action_count; t++) {
        int64_t end_ms = showing->shown_ms + join->config->actions[t].fields.window;
        mask |= end_ms <= due_ms ? join->tasks & ~showing->settled & 1u << t : 0;
    }
    if (mask != 0) {
        showing->settled |= mask;
        emit(out, showing, &(struct settled){sequence, key, mask, 0, 0, due_ms});
    }
    bool over = showing->shown_ms == 0 || showing->shown_ms + join->longest_ms <= due_ms;
    if (over) {
        showing_forget(join, key, showing->item);
    } else {
        state_set_due(join->state, key, next_due(join, showing));
    }
}

void join_now(struct join *join, uint32_t first_group, uint32_t end_group, int64_t now_ms,
              uint64_t sequence, const struct join_out *out) {
    (void)first_group;
    (void)end_group;
    struct state_key key;
    char id[STATE_ID_MAX + 1];
    int64_t due_ms;
    while (state_next_due(join->state, now_ms, &key, id, &due_ms)) {
        state_enter(join->state, key.hash);
        settle(join, &key, due_ms, sequence, out);
        state_leave(join->state, key.hash);
    }
}
