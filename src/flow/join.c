#include "flow/join.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/join_label.h"

enum { JOIN_REPEAT_MS = 60000, JOIN_BATCH = 32 };

struct join {
    struct join_terms terms;
    struct state *state;
    struct state_budget *budget;
    struct metrics *metrics;
};

leat_status join_open(const struct config *config, struct state_budget *budget,
                      struct metrics *metrics, struct join **out, leat_error *err) {
    struct join *join = memory_zalloc(sizeof(*join));
    if (!join) {
        return error_memory(err, sizeof(*join));
    }
    join->budget = budget;
    join->metrics = metrics;
    join_terms_init(&join->terms, config);
    const struct state_kind kind = {.clock = STATE_EVENT_TIME};
    struct state_options options = {.name = "join",
                                    .groups = (uint32_t)config->root.key_groups,
                                    .budget = budget,
                                    .kinds = &kind, /* JOIN_RECORD */
                                    .kind_count = 1};
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

int64_t join_watermark(const struct join *join, int64_t now_ms) {
    return now_ms - join->terms.lateness_ms;
}

/* --- one row's turn at the record of its person and item --- */

struct turn {
    struct join *join;
    const struct join_row *row;
    struct join_place place;
    struct join_voice voice;
    bool judged; /* now, by what is there: its time has come, or is past */
    bool late;   /* later than the lateness: it changes no time that is known */
};

static struct state_key row_key(const struct join_row *row) {
    return (struct state_key){row->user_hash, row->user, JOIN_RECORD, row->item_hash};
}

static bool is_clicks(const struct turn *turn) {
    const struct config *config = turn->join->terms.config;
    return config->surfaces[turn->row->surface].fields.examples == ROW_EXAMPLES_CLICKS;
}

/* Event times from here on are not taken from rows that came, but waited for: a row that is still
 * to come could begin a showing that ends before them. */
static bool is_ahead(const struct turn *turn) {
    const struct join_terms *terms = &turn->join->terms;
    return !turn->judged &&
           turn->row->time_ms >= turn->row->watermark_ms + terms->life_ms - terms->wait_ms;
}

/* Without lateness a showing that is there is alive: what is over was forgotten at its time. */
static bool is_alive(const struct turn *turn, const struct join_entry *showing) {
    const struct join_terms *terms = &turn->join->terms;
    return terms->lateness_ms == 0 || turn->row->time_ms < join_showing_end(terms, showing);
}

/* The row's clock may be behind the showing's by what clocks may be off. */
static bool is_begun(const struct turn *turn, const struct join_entry *showing) {
    return turn->late || showing->begun_ms <= turn->row->time_ms + turn->join->terms.wait_ms;
}

static bool same_request(const struct join_entry *entry, const struct join_row *row) {
    return entry->request == row->request_hash &&
           slice_equal(join_entry_request(entry), row->request);
}

/* The first showing of the row's request that is alive; one that is over where there is none. */
static struct join_entry *find_request(const struct turn *turn) {
    struct join_entry *alive = NULL;
    struct join_entry *over = NULL;
    struct join_entry *entry = join_place_first(&turn->place);
    for (; entry; entry = join_place_next(&turn->place, entry)) {
        if (entry->type != JOIN_SHOWING || !same_request(entry, turn->row)) {
            continue;
        }
        if (!is_alive(turn, entry)) {
            over = entry;
        } else if (!alive || entry->begun_ms < alive->begun_ms) {
            alive = entry;
        }
    }
    return alive ? alive : over;
}

static bool is_newer(const struct join_entry *a, const struct join_entry *b) {
    return a->begun_ms != b->begun_ms ? a->begun_ms > b->begun_ms : a->request > b->request;
}

/* The newest showing as of the row's time; where all began later, the one that began first. */
static struct join_entry *find_newest(const struct turn *turn) {
    struct join_entry *before = NULL;
    struct join_entry *after = NULL;
    struct join_entry *entry = join_place_first(&turn->place);
    for (; entry; entry = join_place_next(&turn->place, entry)) {
        if (entry->type != JOIN_SHOWING || !is_alive(turn, entry) || !is_begun(turn, entry)) {
            continue;
        }
        if (entry->begun_ms > turn->row->time_ms) {
            after = !after || is_newer(after, entry) ? entry : after;
        } else {
            before = !before || is_newer(entry, before) ? entry : before;
        }
    }
    return before ? before : after;
}

static void see(struct turn *turn, struct join_entry *showing) {
    join_showing_see(&turn->voice, showing, turn->row->time_ms, !turn->late);
}

static void act(struct turn *turn, struct join_entry *showing) {
    see(turn, showing);
    join_showing_act(&turn->voice, showing, turn->row->action);
}

/* --- making entries --- */

/* Where a record is full, the entry that began first makes room. */
static void make_room(struct turn *turn) {
    struct join_place *place = &turn->place;
    if (!place->record || place->record->entries < JOIN_ENTRIES_MAX) {
        return;
    }
    struct join_entry *oldest = join_place_first(place);
    struct join_entry *entry = oldest;
    for (; entry; entry = join_place_next(place, entry)) {
        oldest = is_newer(oldest, entry) ? entry : oldest;
    }
    if (oldest->type == JOIN_SHOWING) {
        join_showing_cut(&turn->voice, oldest);
    } else if (oldest->type == JOIN_WAITS_ACTION) {
        metrics_add(turn->join->metrics, METRIC_actions_orphan_total, 1);
    }
    join_place_drop(place, oldest);
}

static struct join_entry *entry_make(struct turn *turn, const struct join_entry *head) {
    const struct join_row *row = turn->row;
    const struct join_content content = {row->keys, row->dense, row->key_count, row->dense_count,
                                         row->request};
    make_room(turn);
    return join_place_add(&turn->place, head, &content);
}

static struct join_entry *showing_make(struct turn *turn, int64_t begun_ms) {
    const struct join_row *row = turn->row;
    if (!row->featured) {
        return NULL; /* nothing to learn from */
    }
    bool served = row->kind == ROW_SERVED;
    struct join_entry head = {.begun_ms = begun_ms,
                              .request = row->request_hash,
                              .surface = (uint16_t)row->surface,
                              .type = JOIN_SHOWING,
                              .flags = served ? 0 : JOIN_LOOKED_UP};
    struct join_entry *made = entry_make(turn, &head);
    if (made && !served) {
        metrics_add(turn->join->metrics, METRIC_impressions_unserved_total, 1);
    }
    return made;
}

/* A showing that was made by its impression gets the features that were served, now that they are
 * here; it keeps what it has where there is no room for them. */
static struct join_entry *showing_serve(struct turn *turn, struct join_entry *showing) {
    struct join_place *place = &turn->place;
    uint32_t at = (uint32_t)((char *)showing - (char *)place->record);
    struct join_entry head = *showing;
    head.flags &= (uint8_t)~JOIN_LOOKED_UP;
    head.surface = (uint16_t)turn->row->surface;
    struct join_entry *made =
        place->record->entries < JOIN_ENTRIES_MAX ? entry_make(turn, &head) : NULL;
    if (!made) {
        return showing;
    }
    uint32_t size = made->size;
    join_place_drop(place, (struct join_entry *)((char *)place->record + at));
    return (struct join_entry *)((char *)place->record + place->size - size);
}

static enum join_entry_type waiting_type(const struct join_row *row) {
    return row->kind == ROW_ACTION   ? JOIN_WAITS_ACTION
           : row->kind == ROW_SERVED ? JOIN_WAITS_SERVED
                                     : JOIN_WAITS_IMPRESSION;
}

/* Keeps the row until its time; the same row twice waits once. */
static bool wait_for(struct turn *turn) {
    const struct join_row *row = turn->row;
    struct join_entry head = {.begun_ms = row->time_ms,
                              .request = row->request_hash,
                              .surface = (uint16_t)row->surface,
                              .type = (uint8_t)waiting_type(row),
                              .action = (uint8_t)row->action,
                              .flags = row->featured ? JOIN_FEATURED : 0};
    struct join_entry *entry = join_place_first(&turn->place);
    for (; entry; entry = join_place_next(&turn->place, entry)) {
        if (entry->type == head.type && entry->begun_ms == head.begun_ms &&
            entry->action == head.action && same_request(entry, row)) {
            return true;
        }
    }
    return entry_make(turn, &head) != NULL;
}

/* --- waiting rows, taken out again --- */

struct taken {
    struct join_row row;
    _Alignas(8) char bytes[(JOIN_ENTRY_BYTES_MAX + 7) & ~7];
};

static void take(struct turn *turn, struct join_entry *entry, struct taken *out) {
    memcpy(out->bytes, entry, entry->size);
    const struct join_entry *copy = (const struct join_entry *)out->bytes;
    static const enum row_kind kinds[] = {ROW_SERVED, ROW_SERVED, ROW_IMPRESSION, ROW_ACTION};
    out->row = (struct join_row){
        .kind = kinds[copy->type],
        .action = copy->action,
        .surface = copy->surface < turn->join->terms.config->surface_count ? copy->surface : 0,
        .sequence = turn->voice.sequence,
        .time_ms = copy->begun_ms,
        .watermark_ms = turn->voice.due_ms,
        .user = turn->place.key.id,
        .item = turn->place.item,
        .request = join_entry_request(copy),
        .user_hash = turn->place.key.hash,
        .item_hash = turn->place.key.part,
        .request_hash = copy->request,
        .featured = copy->flags & JOIN_FEATURED,
        .keys = join_entry_keys(copy),
        .dense = join_entry_dense(copy),
        .key_count = copy->key_count,
        .dense_count = copy->dense_count,
    };
    join_place_drop(&turn->place, entry);
}

/* --- rows --- */

static bool action_fits(const struct turn *turn, const struct join_entry *showing) {
    return showing && is_alive(turn, showing) && is_begun(turn, showing) && !is_ahead(turn);
}

/* Actions that waited for this request's showing need not wait any longer. */
static void join_waiting(struct turn *turn) {
    struct join_row row = *turn->row;
    struct turn then = {.join = turn->join, .row = &row, .voice = turn->voice};
    then.place = turn->place;
    then.voice.place = &then.place;
    struct join_entry *entry = join_place_first(&then.place);
    while (entry) {
        row.time_ms = entry->begun_ms;
        row.action = entry->action;
        bool waits = entry->type == JOIN_WAITS_ACTION && same_request(entry, &row);
        struct join_entry *showing = waits ? find_request(&then) : NULL;
        if (action_fits(&then, showing)) {
            act(&then, showing);
            join_place_drop(&then.place, entry);
            entry = join_place_first(&then.place); /* entries moved */
        } else {
            entry = join_place_next(&then.place, entry);
        }
    }
    turn->place = then.place;
}

/* A served row, or an impression of a request. */
static bool push_showing(struct turn *turn) {
    const struct join_row *row = turn->row;
    const struct join_terms *terms = &turn->join->terms;
    struct join_entry *showing = find_request(turn);
    /* Where nobody looks features up, an impression waits for its served row. */
    bool early = is_ahead(turn) || (showing ? !is_alive(turn, showing) : !row->featured);
    if (!turn->judged && early) {
        return wait_for(turn);
    }
    if (showing && !is_alive(turn, showing)) {
        join_showing_cut(&turn->voice, showing); /* its last word comes before those of the next */
        showing = NULL;
    }
    if (!showing) {
        showing = showing_make(turn, row->time_ms);
    } else if (row->kind == ROW_SERVED && showing->flags & JOIN_LOOKED_UP && !turn->late) {
        showing = showing_serve(turn, showing);
    }
    if (!showing) {
        return false;
    }
    if (!turn->late && row->time_ms < showing->begun_ms) {
        showing->begun_ms = row->time_ms;
    }
    if (row->kind == ROW_IMPRESSION ||
        terms->config->surfaces[row->surface].fields.examples == ROW_EXAMPLES_SERVED) {
        see(turn, showing);
    }
    if (terms->lateness_ms > 0 && turn->place.record->entries > 1) {
        join_waiting(turn);
    }
    return true;
}

/* An impression that names no request. */
static bool push_plain(struct turn *turn) {
    if (!turn->judged) {
        return wait_for(turn);
    }
    int64_t time_ms = turn->row->time_ms;
    struct join_entry *showing = find_newest(turn);
    bool repeats =
        showing && (showing->shown_ms == 0 || time_ms - showing->shown_ms < JOIN_REPEAT_MS);
    showing = repeats ? showing : showing_make(turn, time_ms);
    if (showing) {
        see(turn, showing);
    }
    return showing != NULL;
}

static bool push_action(struct turn *turn) {
    bool of_request = turn->row->request.data != NULL;
    struct join_entry *showing = of_request ? find_request(turn) : NULL;
    if (action_fits(turn, showing)) {
        act(turn, showing);
        return true;
    }
    if (!turn->judged && !is_clicks(turn)) {
        return wait_for(turn);
    }
    showing = find_newest(turn);
    if (showing && of_request) {
        metrics_add(turn->join->metrics, METRIC_actions_orphan_total, 1);
    }
    if (showing) {
        act(turn, showing);
    }
    return showing != NULL;
}

static bool push_row(struct turn *turn) {
    switch (turn->row->kind) {
    case ROW_SERVED: return push_showing(turn);
    case ROW_IMPRESSION: return turn->row->request.data ? push_showing(turn) : push_plain(turn);
    case ROW_ACTION: return push_action(turn);
    default: return false;
    }
}

/* --- when a record is looked at again --- */

static int64_t place_due(const struct turn *turn, int64_t after_ms) {
    const struct join_terms *terms = &turn->join->terms;
    struct join_entry *entry = join_place_first(&turn->place);
    int64_t due_ms = INT64_MAX;
    for (; entry; entry = join_place_next(&turn->place, entry)) {
        int64_t entry_ms = join_entry_due(terms, entry, after_ms);
        due_ms = entry_ms < due_ms ? entry_ms : due_ms;
    }
    return due_ms;
}

/* False, and no record, where there is no memory for the due time of a record that has none: it
 * would never be forgotten. One that has a due time keeps it. */
static bool place_wake(struct turn *turn, int64_t after_ms, bool has_due) {
    struct join_place *place = &turn->place;
    if (!place->record) {
        return true;
    }
    if (state_set_due(place->state, &place->key, place_due(turn, after_ms)) < 0 && !has_due) {
        state_remove(place->state, &place->key);
        return false;
    }
    return true;
}

/* --- the operator --- */

static bool is_whole(const struct join *join, const struct join_row *row) {
    return row->kind == ROW_ACTION && join->terms.config->actions[row->action].fields.threshold > 0;
}

/* The event is a whole example by itself. */
static bool push_whole(const struct join *join, const struct join_row *row,
                       const struct join_out *out) {
    if (!row->featured) {
        return false;
    }
    uint32_t bit = 1u << row->action;
    double threshold = join->terms.config->actions[row->action].fields.threshold;
    struct example example = {
        .sequence = row->sequence,
        .keys = row->keys,
        .key_count = row->key_count,
        .dense = row->dense,
        .dense_count = row->dense_count,
        .mask = bit,
        .labels = row->has_value && row->value >= threshold ? bit : 0,
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

static bool push_keyed(struct join *join, const struct join_row *row, const struct join_out *out) {
    bool late = join->terms.lateness_ms == 0 || row->time_ms <= row->watermark_ms;
    struct turn turn = {.join = join, .row = row, .judged = late, .late = late};
    turn.voice = (struct join_voice){&join->terms, out, &turn.place, row->sequence, 0};
    struct state_key key = row_key(row);
    if (!join_place_find(&turn.place, join->state, &key, row->item)) {
        if (join->budget) {
            atomic_fetch_add_explicit(&join->budget->collisions, 1, memory_order_relaxed);
        }
        return false;
    }
    bool has_due = turn.place.record != NULL;
    bool found = push_row(&turn);
    return place_wake(&turn, row->watermark_ms, has_due && !turn.place.made) && found;
}

static bool push_entered(struct join *join, const struct join_row *row,
                         const struct join_out *out) {
    switch (row->kind) {
    case ROW_FORGET: state_remove_all(join->state, row->user_hash, row->user); return true;
    case ROW_SERVED:
    case ROW_IMPRESSION:
    case ROW_ACTION: return push_keyed(join, row, out);
    default: return false;
    }
}

static bool push_one(struct join *join, const struct join_row *row, const struct join_out *out) {
    if (!row->user.data) {
        return false;
    }
    if (is_whole(join, row)) {
        return push_whole(join, row, out);
    }
    state_enter(join->state, row->user_hash);
    bool found = push_entered(join, row, out);
    state_leave(join->state, row->user_hash);
    return found;
}

void join_push_batch(struct join *join, const struct join_row *rows, int count, bool *found,
                     const struct join_out *out) {
    struct state_key keys[JOIN_BATCH];
    for (int from = 0; from < count; from += JOIN_BATCH) {
        int end = from + JOIN_BATCH < count ? from + JOIN_BATCH : count;
        for (int i = from; i < end; i++) {
            keys[i - from] = row_key(&rows[i]); /* of what is not keyed it is a hint to no avail */
        }
        state_prefetch(join->state, keys, end - from);
        for (int i = from; i < end; i++) {
            bool one = push_one(join, &rows[i], out);
            if (found) {
                found[i] = one;
            }
        }
    }
}

struct join_row join_row_of(const struct row *row, int64_t watermark_ms) {
    return (struct join_row){
        .kind = row->kind,
        .action = row->action,
        .surface = row->surface,
        .sequence = row->sequence,
        .time_ms = row->time_ms,
        .watermark_ms = watermark_ms,
        .user = row->user,
        .item = row->item,
        .request = row->request,
        .user_hash = row->user_hash,
        .item_hash = row->item_hash,
        .request_hash = row->request_hash,
        .has_value = row->has_value,
        .value = row->value,
        .featured = row->kind == ROW_SERVED,
        .keys = row->keys,
        .dense = row->dense,
        .key_count = row->key_count,
        .dense_count = row->dense_count,
    };
}

bool join_push(struct join *join, const struct row *row, const struct join_features *features,
               const struct join_out *out) {
    struct join_row lean = join_row_of(row, join_watermark(join, row->now_ms));
    if (row->kind != ROW_SERVED) {
        lean.featured = features != NULL;
        lean.keys = features ? features->keys : NULL;
        lean.dense = features ? features->dense : NULL;
        lean.key_count = features ? features->key_count : 0;
        lean.dense_count = features ? features->dense_count : 0;
    }
    return push_one(join, &lean, out);
}

bool join_wants_features(struct join *join, const struct row *row) {
    struct join_row lean = join_row_of(row, join_watermark(join, row->now_ms));
    if (!row->user.data || (row->kind != ROW_IMPRESSION && !is_whole(join, &lean))) {
        return false;
    }
    /* With lateness a row that is still to be pushed may see, and so end, the showing of this one.
     */
    if (row->kind == ROW_ACTION || join->terms.lateness_ms > 0) {
        return true;
    }
    bool late = join->terms.lateness_ms == 0 || lean.time_ms <= lean.watermark_ms;
    struct turn turn = {.join = join, .row = &lean, .judged = late, .late = late};
    struct state_key key = row_key(&lean);
    state_enter(join->state, row->user_hash);
    /* Read only: nothing below changes the place. */
    turn.place.record = (struct join_record *)state_get(join->state, &key, &turn.place.size, NULL);
    bool known = false;
    if (turn.place.record && slice_equal(join_record_item(turn.place.record), row->item)) {
        const struct join_entry *showing =
            row->request.data ? find_request(&turn) : find_newest(&turn);
        known = showing && is_alive(&turn, showing) &&
                (row->request.data || showing->shown_ms == 0 ||
                 row->time_ms - showing->shown_ms < JOIN_REPEAT_MS);
    }
    state_leave(join->state, row->user_hash);
    return !known;
}

/* --- time --- */

static bool waits_before(const struct join_terms *terms, const struct join_entry *a,
                         const struct join_entry *b) {
    int64_t left_ms = join_waiting_due(terms, a);
    int64_t right_ms = join_waiting_due(terms, b);
    if (left_ms != right_ms) {
        return left_ms < right_ms;
    }
    if (a->type != b->type) {
        return a->type < b->type;
    }
    return a->action != b->action ? a->action < b->action : a->request < b->request;
}

/* The first of the rows whose time has come. */
static struct join_entry *waiting_first(const struct turn *turn) {
    const struct join_terms *terms = &turn->join->terms;
    struct join_entry *first = NULL;
    struct join_entry *entry = join_place_first(&turn->place);
    for (; entry; entry = join_place_next(&turn->place, entry)) {
        bool ready =
            entry->type != JOIN_SHOWING && join_waiting_due(terms, entry) <= turn->voice.due_ms;
        first = ready && (!first || waits_before(terms, entry, first)) ? entry : first;
    }
    return first;
}

static void judge_waiting(struct turn *turn) {
    struct join_entry *entry;
    while ((entry = waiting_first(turn)) != NULL) {
        struct taken taken;
        take(turn, entry, &taken);
        if (taken.row.kind == ROW_ACTION &&
            taken.row.action >= turn->join->terms.config->action_count) {
            continue; /* the configuration has lost it since */
        }
        turn->row = &taken.row;
        bool found = push_row(turn);
        if (!found && taken.row.kind == ROW_ACTION) {
            metrics_add(turn->join->metrics, METRIC_actions_orphan_total, 1);
        }
    }
}

static void settle_showings(struct turn *turn) {
    uint32_t at = turn->place.record ? join_record_head(turn->place.record->item_size) : 0;
    while (turn->place.record && at < turn->place.size) {
        struct join_entry *entry = (struct join_entry *)((char *)turn->place.record + at);
        if (entry->type == JOIN_SHOWING && join_showing_settle(&turn->voice, entry)) {
            join_place_drop(&turn->place, entry);
        } else {
            at += entry->size;
        }
    }
}

static void settle(struct join *join, const struct state_due_record *due, uint64_t sequence,
                   const struct join_out *out) {
    struct turn turn = {.join = join, .judged = true};
    turn.voice = (struct join_voice){&join->terms, out, &turn.place, sequence, due->due_ms};
    turn.place = (struct join_place){
        .state = join->state, .key = due->key, .record = due->data, .size = due->size};
    char item[JOIN_TEXT_MAX + 1]; /* the record may go, and come again */
    turn.place.item = join_record_item(turn.place.record);
    memcpy(item, turn.place.item.data, turn.place.item.size);
    turn.place.item.data = item;
    judge_waiting(&turn);
    settle_showings(&turn);
    place_wake(&turn, due->due_ms, false);
}

void join_advance(struct join *join, uint32_t first_group, uint32_t end_group, int64_t watermark_ms,
                  uint64_t sequence, const struct join_out *out) {
    struct state_due_record due;
    int ahead =
        state_prefetch_due(join->state, STATE_EVENT_TIME, first_group, end_group, watermark_ms);
    while (state_enter_due(join->state, STATE_EVENT_TIME, first_group, end_group, watermark_ms,
                           &due)) {
        settle(join, &due, sequence, out);
        state_leave(join->state, due.key.hash);
        if (--ahead == 0) {
            ahead = state_prefetch_due(join->state, STATE_EVENT_TIME, first_group, end_group,
                                       watermark_ms);
        }
    }
}

void join_now(struct join *join, uint32_t first_group, uint32_t end_group, int64_t now_ms,
              uint64_t sequence, const struct join_out *out) {
    join_advance(join, first_group, end_group, join_watermark(join, now_ms), sequence, out);
}
