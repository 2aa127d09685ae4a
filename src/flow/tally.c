#include "flow/tally.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/decay.h"

/* Records: ITEM by item; TOP by (surface, region), kept under the empty id. */
enum { TALLY_ITEM = 0, TALLY_TOP_LIST = 1 };

struct cell {
    uint64_t place; /* hash of (surface, region) */
    double acted;
    int64_t time_ms;
};

struct item_tally {
    int64_t first_ms;
    int64_t time_ms; /* the decayed sums are as of this time */
    double acted[TALLY_SCALES], shown[TALLY_SCALES];
    double value;
    uint64_t total_acted, total_shown;
    struct cell cells[TALLY_CELLS];
    struct {
        uint32_t chances, positives;
    } tasks[]; /* one an action of the configuration */
};

struct top_entry {
    uint64_t item;
    double weight; /* forward-decayed from base_ms */
};

struct top_record {
    int64_t base_ms;
    int64_t count;
    struct top_entry entries[TALLY_TOP]; /* heaviest first, ties by item */
};

struct tally {
    const struct config *config;
    struct state *state;
    uint32_t item_size;
};

static const struct slice top_id = {"", 0};

int64_t tally_half_life(const struct tally *tally, int scale) {
    static const int64_t longer[TALLY_SCALES] = {0, 3600000, 86400000};
    return scale == 0 ? tally->config->flow.trending_half_life : longer[scale];
}

leat_status tally_open(const struct config *config, struct state_budget *budget, struct tally **out,
                       leat_error *err) {
    struct tally *tally = memory_zalloc(sizeof(*tally));
    if (!tally) {
        return error_memory(err, sizeof(*tally));
    }
    tally->config = config;
    tally->item_size =
        (uint32_t)(sizeof(struct item_tally) + 2 * sizeof(uint32_t) * (size_t)config->action_count);
    struct state_options options = {
        .name = "tally", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = state_open(&options, &tally->state, err);
    if (status < 0) {
        memory_free(tally);
        return status;
    }
    *out = tally;
    return LEAT_OK;
}

void tally_close(struct tally *tally) {
    if (tally) {
        state_close(tally->state);
        memory_free(tally);
    }
}

struct state *tally_state(struct tally *tally) {
    return tally->state;
}

static uint64_t place_hash(int surface, uint64_t region) {
    return hash_mix((uint64_t)surface + 1, region);
}

/* --- items --- */

static void item_decay(const struct tally *tally, struct item_tally *item, int64_t time_ms) {
    if (time_ms <= item->time_ms) {
        return;
    }
    for (int s = 0; s < TALLY_SCALES; s++) {
        double factor = decay_at(1.0, item->time_ms, time_ms, tally_half_life(tally, s));
        item->acted[s] *= factor;
        item->shown[s] *= factor;
        if (s == TALLY_SCALES - 1) {
            item->value *= factor;
        }
    }
    item->time_ms = time_ms;
}

/* A late event's amount, as of the record's time. */
static double late_amount(const struct tally *tally, const struct item_tally *item, int scale,
                          int64_t time_ms) {
    return decay_at(1.0, time_ms, item->time_ms, tally_half_life(tally, scale));
}

static void cell_add(const struct tally *tally, struct item_tally *item, uint64_t place,
                     int64_t time_ms) {
    int64_t half_life_ms = tally_half_life(tally, 0);
    int lightest = 0;
    double lightest_acted = INFINITY;
    for (int i = 0; i < TALLY_CELLS; i++) {
        struct cell *cell = &item->cells[i];
        double acted = decay_at(cell->acted, cell->time_ms, item->time_ms, half_life_ms);
        if (cell->place == place) {
            cell->acted = acted + decay_at(1.0, time_ms, item->time_ms, half_life_ms);
            cell->time_ms = item->time_ms;
            return;
        }
        if (acted < lightest_acted) {
            lightest = i;
            lightest_acted = acted;
        }
    }
    item->cells[lightest] =
        (struct cell){place, decay_at(1.0, time_ms, item->time_ms, half_life_ms), item->time_ms};
}

static void item_liked(const struct tally *tally, struct item_tally *item, const struct row *row,
                       uint64_t region) {
    for (int s = 0; s < TALLY_SCALES; s++) {
        item->acted[s] += late_amount(tally, item, s, row->time_ms);
    }
    if (row->has_value) {
        item->value += row->value * late_amount(tally, item, TALLY_SCALES - 1, row->time_ms);
    }
    item->total_acted++;
    cell_add(tally, item, place_hash(row->surface, region), row->time_ms);
}

static void item_shown(const struct tally *tally, struct item_tally *item, const struct row *row) {
    for (int s = 0; s < TALLY_SCALES; s++) {
        item->shown[s] += late_amount(tally, item, s, row->time_ms);
    }
    item->total_shown++;
}

static void item_tasks(const struct config *config, struct item_tally *item,
                       const struct row *row) {
    for (int t = 0; t < config->action_count; t++) {
        bool whole = config->actions[t].fields.threshold > 0; /* the event is the example */
        bool chance = row->kind == ROW_ACTION ? whole && t == row->action : !whole;
        item->tasks[t].chances += chance;
    }
    if (row->kind == ROW_ACTION && row_is_positive(config, row)) {
        item->tasks[row->action].positives++;
    }
}

static bool item_push(struct tally *tally, const struct row *row, uint64_t region) {
    struct state_key key = {row->item_hash, row->item, TALLY_ITEM, 0};
    uint32_t size;
    void *record = state_edit(tally->state, &key, &size);
    if (!record && state_put(tally->state, &key, tally->item_size, &record, NULL) < 0) {
        return false;
    }
    struct item_tally *item = record;
    if (item->first_ms == 0) {
        item->first_ms = item->time_ms = row->time_ms;
    }
    item_decay(tally, item, row->time_ms);
    item_tasks(tally->config, item, row);
    bool liked = row->kind == ROW_ACTION && row_is_liked(tally->config, row);
    if (liked) {
        item_liked(tally, item, row, region);
    }
    if (row->kind != ROW_ACTION) {
        item_shown(tally, item, row);
    }
    return liked;
}

/* --- what is acted on most --- */

static bool entry_before(const struct top_entry *a, const struct top_entry *b) {
    return a->weight != b->weight ? a->weight > b->weight : a->item < b->item;
}

/* Puts the entry at `place`, which grew or is new, where it belongs. */
static void top_rise(struct top_record *top, int64_t place) {
    struct top_entry entry = top->entries[place];
    while (place > 0 && entry_before(&entry, &top->entries[place - 1])) {
        top->entries[place] = top->entries[place - 1];
        place--;
    }
    top->entries[place] = entry;
}

static void top_renew(struct top_record *top, int64_t time_ms, int64_t half_life_ms) {
    double factor = 1.0 / decay_factor(time_ms, top->base_ms, half_life_ms);
    for (int64_t i = 0; i < top->count; i++) {
        top->entries[i].weight *= factor;
    }
    top->base_ms = time_ms;
}

static void top_add(struct top_record *top, uint64_t item, int64_t time_ms, int64_t half_life_ms) {
    if (top->count == 0) {
        top->base_ms = time_ms;
    }
    if ((double)(time_ms - top->base_ms) > DECAY_RENEW * (double)half_life_ms) {
        top_renew(top, time_ms, half_life_ms);
    }
    double weight = decay_factor(time_ms, top->base_ms, half_life_ms);
    int64_t place = 0;
    while (place < top->count && top->entries[place].item != item) {
        place++;
    }
    if (place < top->count) {
        top->entries[place].weight += weight;
    } else {
        /* A full list gives its lightest entry's place away, so that a rising item enters at its
         * first event; what it had before it entered is not counted. */
        place = top->count < TALLY_TOP ? top->count++ : TALLY_TOP - 1;
        top->entries[place] = (struct top_entry){item, weight};
    }
    top_rise(top, place);
}

static void top_push(struct tally *tally, const struct row *row, uint64_t region) {
    struct state_key key = {hash_slice(top_id), top_id, TALLY_TOP_LIST,
                            place_hash(row->surface, region)};
    state_enter(tally->state, key.hash);
    uint32_t size;
    void *top = state_edit(tally->state, &key, &size);
    if (top || state_put(tally->state, &key, sizeof(struct top_record), &top, NULL) >= 0) {
        top_add(top, row->item_hash, row->time_ms, tally_half_life(tally, 0));
    }
    state_leave(tally->state, key.hash);
}

bool tally_push_item(struct tally *tally, const struct row *row, uint64_t region) {
    if (!row->item.data || (row->kind != ROW_ACTION && !row_is_showing(tally->config, row))) {
        return false;
    }
    state_enter(tally->state, row->item_hash);
    bool liked = item_push(tally, row, region);
    state_leave(tally->state, row->item_hash);
    return liked;
}

void tally_push_lists(struct tally *tally, const struct row *row, uint64_t region) {
    top_push(tally, row, 0);
    if (region != 0) {
        top_push(tally, row, region);
    }
}

void tally_push(struct tally *tally, const struct row *row, uint64_t region) {
    if (tally_push_item(tally, row, region)) {
        tally_push_lists(tally, row, region);
    }
}

/* --- reading --- */

static void view_fill(const struct tally *tally, const struct item_tally *item, uint64_t place,
                      int64_t now_ms, struct tally_view *out) {
    for (int s = 0; s < TALLY_SCALES; s++) {
        double factor = decay_at(1.0, item->time_ms, now_ms, tally_half_life(tally, s));
        out->acted[s] = item->acted[s] * factor;
        out->shown[s] = item->shown[s] * factor;
        out->value = item->value * factor; /* the last scale's factor stays */
    }
    out->acted_here = 0;
    for (int i = 0; i < TALLY_CELLS; i++) {
        if (item->cells[i].place == place) {
            out->acted_here = decay_at(item->cells[i].acted, item->cells[i].time_ms, now_ms,
                                       tally_half_life(tally, 0));
        }
    }
    for (int t = 0; t < tally->config->action_count; t++) {
        out->chances[t] = item->tasks[t].chances;
        out->positives[t] = item->tasks[t].positives;
    }
    out->total_acted = item->total_acted;
    out->total_shown = item->total_shown;
    out->first_ms = item->first_ms;
}

void tally_ahead(const struct tally *tally, const uint64_t *items, int count) {
    struct state_key keys[ROW_AHEAD_MAX];
    for (int i = 0; i < count; i++) {
        keys[i] = (struct state_key){.hash = items[i], .kind = TALLY_ITEM};
    }
    state_prefetch(tally->state, keys, count);
}

bool tally_read(struct tally *tally, uint64_t item, int surface, uint64_t region, int64_t now_ms,
                struct tally_view *out) {
    struct state_key key = {item, {NULL, 0}, TALLY_ITEM, 0};
    uint32_t size;
    state_enter(tally->state, item);
    const struct item_tally *record = state_get(tally->state, &key, &size, NULL);
    if (record) {
        view_fill(tally, record, place_hash(surface, region), now_ms, out);
    }
    state_leave(tally->state, item);
    if (!record) {
        memset(out, 0, sizeof(*out));
    }
    out->item = item;
    return record != NULL;
}

int tally_top(struct tally *tally, int surface, uint64_t region, uint64_t *items, int max) {
    struct state_key key = {hash_slice(top_id), top_id, TALLY_TOP_LIST,
                            place_hash(surface, region)};
    uint32_t size;
    int count = 0;
    state_enter(tally->state, key.hash);
    const struct top_record *top = state_get(tally->state, &key, &size, NULL);
    for (int64_t i = 0; top && i < top->count && count < max; i++) {
        items[count++] = top->entries[i].item;
    }
    state_leave(tally->state, key.hash);
    return count;
}
