#include "flow/piece.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/clicks.h"

#include <inttypes.h>

enum {
    ARENA_BLOCK = 256 << 10,
    ARENA_MAX = 512 << 20,
    ARENA_KEPT = 16 << 20, /* beyond, an arena's memory goes back after the piece */
    PARTS_A_THREAD = 4,    /* so that threads end together where ranges differ */
};

static void fail(struct piece *piece) {
    atomic_store_explicit(&piece->failed, true, memory_order_relaxed);
}

/* --- opening --- */

static int parts_of(const struct flow_options *options, uint32_t groups) {
    int threads = pool_threads(options->pool);
    int parts = options->ranges;
    if (parts == 0) {
        parts = threads == 1 ? 1 : threads * PARTS_A_THREAD;
    }
    parts = parts < PIECE_PARTS_MAX ? parts : PIECE_PARTS_MAX;
    return (uint32_t)parts < groups ? parts : (int)groups;
}

leat_status piece_open(const struct operators *operators, const struct flow_options *options,
                       struct piece **out, leat_error *err) {
    uint32_t groups = (uint32_t)operators->config->root.key_groups;
    struct piece *piece = memory_zalloc(sizeof(*piece));
    if (!piece) {
        return error_memory(err, sizeof(*piece));
    }
    *out = piece;
    piece->operators = operators;
    piece->pool = options->pool;
    piece->stopwatch = options->stopwatch;
    piece->groups = groups;
    for (int p = 0; p < PIECE_PARTS_MAX; p++) {
        arena_init(&piece->part[p].arena, ARENA_BLOCK, ARENA_MAX);
    }
    piece->parts_max = parts_of(options, groups);
    piece->rows = memory_zalloc(PIECE_ROWS * sizeof(*piece->rows));
    piece->now_ms = memory_zalloc(PIECE_ROWS * sizeof(*piece->now_ms));
    piece->moved = memory_zalloc(PIECE_ROWS * sizeof(*piece->moved));
    piece->part_of_group = memory_zalloc(groups);
    if (!piece->rows || !piece->now_ms || !piece->moved || !piece->part_of_group) {
        return error_memory(err, PIECE_ROWS * sizeof(*piece->rows));
    }
    for (uint32_t g = 0; g < groups; g++) {
        piece->part_of_group[g] = (uint8_t)((uint64_t)g * (uint64_t)piece->parts_max / groups);
    }
    return LEAT_OK;
}

void piece_close(struct piece *piece) {
    if (!piece) {
        return;
    }
    for (int p = 0; p < PIECE_PARTS_MAX; p++) {
        arena_deinit(&piece->part[p].arena);
    }
    memory_free(piece->rows);
    memory_free(piece->now_ms);
    memory_free(piece->moved);
    memory_free(piece->part_of_group);
    memory_free(piece);
}

/* --- decode: rows --- */

static void row_begin(struct piece *piece, int index) {
    struct piece_row *at = &piece->rows[index];
    const struct config *config = piece->operators->config;
    struct row *row = &at->row;
    uint64_t sequence = piece->sequence + (uint64_t)index;
    bool known =
        row_decode(config, piece->batch, piece->from + index, sequence, piece->now_ms[index], row);
    at->live = known && row->kind != ROW_BEAT;
    at->lookup = NULL;
    at->rated = NULL;
    at->made = (struct piece_list){NULL, NULL};
    at->session_count = 0;
    at->region = 0;
    at->leads = false;
    at->catalog = (struct catalog_change){0};
    at->background = (struct background_change){0};
    at->described = (struct profile_item){0};
    at->liked = at->live && row->kind == ROW_ACTION && row_is_liked(config, row);
    at->is_click = at->live && clicks_is(config, row);
    at->id_hash = at->live ? dedup_hash(row->id) : 0;
    at->id_part = (uint8_t)piece_part_of(piece, at->id_hash);
    at->user_part = at->live ? (uint8_t)piece_part_of(piece, row->user_hash) : 0;
    at->item_part = at->live ? (uint8_t)piece_part_of(piece, row->item_hash) : 0;
}

static void phase_decode(void *context, int part) {
    struct piece *piece = context;
    int end = piece->count * (part + 1) / piece->parts;
    for (int i = piece->count * part / piece->parts; i < end; i++) {
        row_begin(piece, i);
    }
}

/* --- dedup: ids --- */

/* Rows of one append time and key-group range, as dedup takes them. */
struct ids {
    struct piece *piece;
    int part, count;
    int64_t now_ms;
    int at[PIECE_ROWS];
    struct dedup_row rows[PIECE_ROWS];
};

static void ids_push(struct ids *ids) {
    struct piece *piece = ids->piece;
    const struct piece_part *part = &piece->part[ids->part];
    bool passes[PIECE_ROWS];
    if (ids->count == 0) {
        return;
    }
    dedup_now_in(piece->operators->dedup, part->first_group, part->end_group, ids->now_ms);
    dedup_push_batch(piece->operators->dedup, ids->rows, ids->count, passes);
    for (int k = 0; k < ids->count; k++) {
        if (!passes[k]) {
            piece->rows[ids->at[k]].live = false;
            metrics_add(piece->operators->metrics, METRIC_events_duplicate_total, 1);
        }
    }
    ids->count = 0;
}

static void part_ids(struct piece *piece, int part) {
    struct ids ids;
    ids.piece = piece;
    ids.part = part;
    ids.count = 0;
    for (int i = 0; i < piece->count; i++) {
        const struct piece_row *at = &piece->rows[i];
        if (piece->moved[i]) {
            ids_push(&ids);
        }
        ids.now_ms = piece->now_ms[i];
        /* Another part may be writing `live` of its own rows. */
        if (at->id_part == part && at->live && at->row.id.data) {
            ids.at[ids.count] = i;
            ids.rows[ids.count++] = (struct dedup_row){at->row.id, at->id_hash, at->row.now_ms};
        }
    }
    ids_push(&ids);
}

static void phase_dedup(void *context, int part) {
    struct piece *piece = context;
    const struct piece_part *own = &piece->part[part];
    if (piece->any_ids) {
        part_ids(piece, part);
    }
    dedup_now_in(piece->operators->dedup, own->first_group, own->end_group,
                 piece->now_ms[piece->count - 1]);
}

/* --- looking ahead --- */

/* A range tells an operator of the records that its next rows are of, some rows at a time, so that
 * they come into the cache side by side and not one after the other. */
enum { AHEAD = ROW_AHEAD_MAX / 2 };

struct ahead {
    int row; /* the first one that was not looked at */
    int count;
    uint64_t hashes[ROW_AHEAD_MAX];
};

static void ahead_add(struct ahead *ahead, uint64_t hash) {
    ahead->hashes[ahead->count] = hash;
    ahead->count += ahead->count + 1 < ROW_AHEAD_MAX;
}

/* True while the caller shall name what the row at ahead->row is about, having come to `row`. */
static bool ahead_begins(struct ahead *ahead, int row) {
    ahead->count = 0;
    return ahead->row <= row;
}

static bool ahead_goes_on(const struct piece *piece, const struct ahead *ahead) {
    return ahead->row < piece->count && ahead->count < AHEAD;
}

/* --- catalog: items --- */

static struct piece_undo **undo_slot(struct piece_part *part, uint64_t hash) {
    return &part->undo[(hash >> 40) % PIECE_UNDO_SLOTS];
}

static void undo_add(struct piece *piece, int row, int part, const struct catalog_view *before,
                     bool known) {
    struct piece_undo *undo = arena_alloc(piece_arena(piece, part), sizeof(*undo));
    if (!undo) {
        fail(piece);
        return;
    }
    uint64_t hash = piece->rows[row].row.item_hash;
    struct piece_undo **slot = undo_slot(&piece->part[part], hash);
    *undo = (struct piece_undo){.next = *slot, .row = row, .known = known, .before = *before};
    undo->before.hash = hash;
    *slot = undo;
    piece->part[part].any_undo = true;
}

bool piece_catalog_before(struct piece *piece, int row, int part, struct slice id, uint64_t hash,
                          struct catalog_view *out) {
    struct catalog *catalog = piece->operators->catalog;
    bool known = id.data ? catalog_find(catalog, id, out) : catalog_read(catalog, hash, out);
    const struct piece_undo *first = NULL; /* of the changes by this row or a later one */
    if (piece->part[part].any_undo && known) {
        const struct piece_undo *undo = *undo_slot(&piece->part[part], hash);
        for (; undo && undo->row >= row; undo = undo->next) {
            first = undo->before.hash == hash ? undo : first;
        }
    }
    if (first) {
        *out = first->before;
        known = first->known;
    }
    return known;
}

static void item_push(struct piece *piece, int index, int part) {
    struct piece_row *at = &piece->rows[index];
    struct catalog *catalog = piece->operators->catalog;
    const struct row *row = &at->row;
    struct catalog_view view = {0};
    bool described = row->kind == ROW_ITEM;
    bool known = described && catalog_read(catalog, row->item_hash, &view);
    at->catalog = catalog_push_item(catalog, row);
    if (piece->any_lookup && (at->catalog.created || described)) {
        undo_add(piece, index, part, &view, known);
    }
    if ((row->kind == ROW_ACTION || row_is_showing(piece->operators->config, row)) &&
        catalog_find(catalog, row->item, &view)) {
        at->described.author = view.author;
        at->described.category_count = view.category_count;
        size_t bytes = (size_t)view.category_count * sizeof(uint64_t);
        uint64_t *categories = arena_alloc(piece_arena(piece, part), bytes);
        if (!categories) {
            fail(piece);
            return;
        }
        memcpy(categories, view.categories, bytes);
        at->described.categories = categories;
    }
}

static void part_time(struct piece *piece, int row, int part);

/* Time moves to the first row's before anything is asked of join: then, where all rows of a piece
 * are of one append time, its answers hold. */
static void phase_catalog(void *context, int part) {
    struct piece *piece = context;
    struct ahead ahead = {.row = 0};
    part_time(piece, 0, part);
    for (int i = 0; i < piece->count; i++) {
        if (ahead_begins(&ahead, i)) {
            for (; ahead_goes_on(piece, &ahead); ahead.row++) {
                const struct piece_row *next = &piece->rows[ahead.row];
                if (next->item_part == part && next->live) {
                    ahead_add(&ahead, next->row.item_hash);
                }
            }
            catalog_ahead(piece->operators->catalog, ahead.hashes, ahead.count);
        }
        const struct piece_row *at = &piece->rows[i];
        if (at->live && at->item_part == part && at->row.item.data) {
            item_push(piece, i, part);
        }
    }
}

/* --- profile: users --- */

/* Whether a row of this piece was of the same person and item; sometimes yes where none was. */
static bool shown_before(const struct piece_part *part, const struct row *row) {
    uint64_t bit = hash_mix(row->user_hash, row->item_hash) % PIECE_SHOWN_BITS;
    return part->shown[bit / 64] >> bit % 64 & 1;
}

static void shown_note(struct piece_part *part, const struct row *row) {
    uint64_t bit = hash_mix(row->user_hash, row->item_hash) % PIECE_SHOWN_BITS;
    part->shown[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* Rows of this piece may change what join answers: it is asked before them. */
static bool looks_up(struct piece *piece, const struct piece_row *at, int part) {
    const struct row *row = &at->row;
    if (!row->user.data) {
        return false;
    }
    const struct piece_part *own = &piece->part[part];
    bool unsure = row->kind == ROW_IMPRESSION &&
                  (own->forgot || row->now_ms != piece->now_ms[0] || shown_before(own, row));
    return at->is_click || unsure || join_wants_features(piece->operators->join, row);
}

/* What the person said of items until now, for the row's features and for its rating. */
static void rated_push(struct piece *piece, struct piece_row *at, int part) {
    struct ratings *ratings = piece->operators->ratings;
    const struct row *row = &at->row;
    bool is = ratings_is(ratings, row);
    if (row->kind == ROW_FORGET && row->user.data) {
        ratings_forget(ratings, row);
    }
    if (!is && !at->lookup) {
        return;
    }
    at->rated = arena_alloc(piece_arena(piece, part), sizeof(*at->rated));
    if (!at->rated) {
        fail(piece);
        return;
    }
    ratings_read_person(ratings, row->user, at->rated);
    at->deviation = is ? ratings_push_person(ratings, row) : 0;
}

static void user_push(struct piece *piece, struct piece_row *at, int part) {
    struct profile *profile = piece->operators->profile;
    const struct row *row = &at->row;
    if (looks_up(piece, at, part)) {
        if (!piece_lookup_read(piece, at, part)) {
            fail(piece);
        }
    } else if (at->liked && row->user.data) {
        uint64_t session[PROFILE_SESSION];
        int count = profile_session_before(profile, row, session);
        at->session_count = count <= PAIRS_BACK ? count : PAIRS_BACK + 1;
        memcpy(at->session, session, (size_t)at->session_count * sizeof(session[0]));
    }
    for (int i = 0; i < at->session_count; i++) {
        at->session_part[i] = (uint8_t)piece_part_of(piece, at->session[i]);
    }
    profile_push(profile, row, &at->described);
    if (ratings_any(piece->operators->ratings)) {
        rated_push(piece, at, part);
    }
    if (row->kind == ROW_ACTION) {
        static const struct profile_view nobody;
        uint64_t name = feature_region_name();
        at->region = feature_context(&nobody, row->context, row->context_count, name);
        at->region = at->region ? at->region : profile_context(profile, row, name);
    }
}

static void phase_profile(void *context, int part) {
    struct piece *piece = context;
    struct ahead ahead = {.row = 0};
    for (int i = 0; i < piece->count; i++) {
        if (ahead_begins(&ahead, i)) {
            for (; ahead_goes_on(piece, &ahead); ahead.row++) {
                const struct piece_row *next = &piece->rows[ahead.row];
                if (next->user_part == part && next->live) {
                    ahead_add(&ahead, next->row.user_hash);
                }
            }
            profile_ahead(piece->operators->profile, ahead.hashes, ahead.count);
        }
        struct piece_row *at = &piece->rows[i];
        if (at->live && at->user_part == part) {
            user_push(piece, at, part);
            piece->part[part].forgot |= at->row.kind == ROW_FORGET;
            shown_note(&piece->part[part], &at->row);
        }
    }
}

/* --- pairs: items; and beside them the background, and the catalogue's lists --- */

static void pairs_row(struct piece *piece, struct piece_row *at, int part) {
    struct pairs *pairs = piece->operators->pairs;
    const struct row *row = &at->row;
    for (int p = 0; at->lookup && p < at->session_count && p < PAIRS_BACK; p++) {
        if (at->session_part[p] == part &&
            !pairs_copy(pairs, at->session[p], piece_arena(piece, part), at->lookup->near[p])) {
            fail(piece);
        }
    }
    if (!at->liked) {
        return;
    }
    bool own = at->item_part == part;
    if (own) {
        pairs_begin(pairs, row->item, row->item_hash, row->time_ms);
    }
    int distance = 0;
    for (int i = 0; i < at->session_count && distance < PAIRS_BACK; i++) {
        const struct slice unknown = {NULL, 0};
        uint64_t before = at->session[i];
        if (before == row->item_hash) {
            continue;
        }
        if (at->session_part[i] == part) {
            pairs_link(pairs, unknown, before, PAIRS_OUT, row->item_hash, distance, row->time_ms);
        }
        if (own) {
            pairs_link(pairs, row->item, row->item_hash, PAIRS_IN, before, distance, row->time_ms);
        }
        distance++;
    }
}

static void pairs_look_ahead(struct piece *piece, struct ahead *ahead, int part) {
    for (; ahead_goes_on(piece, ahead); ahead->row++) {
        const struct piece_row *next = &piece->rows[ahead->row];
        if (next->liked && next->item_part == part) {
            ahead_add(ahead, next->row.item_hash);
        }
        for (int p = 0; p < next->session_count && p < PAIRS_BACK; p++) {
            if (next->session_part[p] == part) {
                ahead_add(ahead, next->session[p]);
            }
        }
    }
    pairs_ahead(piece->operators->pairs, ahead->hashes, ahead->count);
}

static void background_rows(struct piece *piece) {
    for (int i = 0; i < piece->count; i++) {
        struct piece_row *at = &piece->rows[i];
        if (at->lookup) {
            piece_lookup_background(piece, at);
        }
        if (at->live) {
            at->background = background_push_kept(piece->operators->background, &at->row);
        }
    }
}

static void catalog_lists(struct piece *piece) {
    for (int i = 0; i < piece->count; i++) {
        const struct piece_row *at = &piece->rows[i];
        if (at->catalog.created || at->catalog.joins || at->catalog.leaves) {
            catalog_push_lists(piece->operators->catalog, &at->row, at->catalog);
        }
    }
}

enum { PAIRS_BESIDE = 2, FILL_BESIDE = 1, JOIN_BESIDE = 1 };

static void phase_pairs(void *context, int task) {
    struct piece *piece = context;
    if (task == 0) {
        background_rows(piece);
    } else if (task == 1) {
        catalog_lists(piece);
    }
    struct ahead ahead = {.row = 0};
    int part = task - PAIRS_BESIDE;
    for (int i = 0; i < piece->count && part >= 0; i++) {
        if (ahead_begins(&ahead, i)) {
            pairs_look_ahead(piece, &ahead, part);
        }
        if (piece->rows[i].live) {
            pairs_row(piece, &piece->rows[i], part);
        }
    }
}

/* --- begin: rows --- */

static void phase_begin(void *context, int part) {
    struct piece *piece = context;
    int end = piece->count * (part + 1) / piece->parts;
    for (int i = piece->count * part / piece->parts; i < end; i++) {
        struct piece_row *at = &piece->rows[i];
        if (at->lookup && !piece_lookup_begin(piece, at, part)) {
            fail(piece);
            at->lookup->count = 0;
        }
    }
}

/* --- fill: items; and beside them the counts of the ring --- */

static void ring_counts(struct piece *piece) {
    struct background *background = piece->operators->background;
    for (int i = 0; i < piece->count; i++) {
        struct piece_row *at = &piece->rows[i];
        for (int c = 0; at->lookup && at->lookup->clicks && c < at->lookup->count; c++) {
            struct piece_candidate *candidate = &at->lookup->candidates[c];
            candidate->times = background_times(background, at->row.surface, candidate->item);
        }
        if (at->live) {
            background_push_counts(background, &at->row, at->background);
        }
    }
}

static void fill_look_ahead(struct piece *piece, struct ahead *ahead, int part) {
    for (; ahead_goes_on(piece, ahead); ahead->row++) {
        const struct piece_row *next = &piece->rows[ahead->row];
        for (int c = 0; next->lookup && c < next->lookup->count; c++) {
            if (next->lookup->candidates[c].part == part) {
                ahead_add(ahead, next->lookup->candidates[c].item);
            }
        }
        if (!next->lookup && next->live && next->item_part == part) {
            ahead_add(ahead, next->row.item_hash);
        }
    }
    catalog_ahead(piece->operators->catalog, ahead->hashes, ahead->count);
    tally_ahead(piece->operators->tally, ahead->hashes, ahead->count);
}

static void phase_fill(void *context, int task) {
    struct piece *piece = context;
    struct ahead ahead = {.row = 0};
    int part = task - FILL_BESIDE;
    if (task == 0) {
        ring_counts(piece);
    }
    for (int i = 0; i < piece->count && part >= 0; i++) {
        struct piece_row *at = &piece->rows[i];
        if (ahead_begins(&ahead, i)) {
            fill_look_ahead(piece, &ahead, part);
        }
        if (at->lookup && !piece_lookup_fill(piece, at, i, part)) {
            fail(piece);
        }
        if (at->live && at->item_part == part) {
            at->leads = tally_push_item(piece->operators->tally, &at->row, at->region);
            if (at->rated && ratings_is(piece->operators->ratings, &at->row)) {
                ratings_push_item(piece->operators->ratings, &at->row, at->deviation, at->rated);
            }
        }
    }
}

/* --- join: users; and beside them tally's lists --- */

/* Where join's examples of one row go. */
struct join_sink {
    struct piece *piece;
    struct piece_list *list;
    int row, part;
};

static void copy_text(char **memory, struct slice *text) {
    if (text->data) {
        memcpy(*memory, text->data, text->size);
        text->data = *memory;
        *memory += text->size;
    }
}

static void sink_take(void *context, const struct example *example) {
    struct join_sink *sink = context;
    size_t key_bytes = (size_t)example->key_count * sizeof(*example->keys);
    size_t dense_bytes = (size_t)example->dense_count * sizeof(*example->dense);
    size_t texts = example->user.size + example->request.size + example->item.size;
    struct piece_made *made = arena_alloc(piece_arena(sink->piece, sink->part),
                                          sizeof(*made) + key_bytes + dense_bytes + texts);
    if (!made) {
        fail(sink->piece);
        return;
    }
    *made = (struct piece_made){.row = sink->row, .example = *example};
    char *memory = (char *)(made + 1);
    made->example.keys = memcpy(memory, example->keys, key_bytes);
    memory += key_bytes;
    made->example.dense = memcpy(memory, example->dense, dense_bytes);
    memory += dense_bytes;
    copy_text(&memory, &made->example.user);
    copy_text(&memory, &made->example.request);
    copy_text(&memory, &made->example.item);
    *(sink->list->last ? &sink->list->last->next : &sink->list->first) = made;
    sink->list->last = made;
}

static void row_join(struct piece *piece, struct piece_row *at, int index, int part) {
    const struct row *row = &at->row;
    struct join_sink sink = {piece, &at->made, index, part};
    const struct join_out out = {sink_take, &sink};
    struct join_features features = {0};
    const struct piece_lookup *lookup = at->lookup;
    bool featured = lookup && !lookup->clicks && lookup->count > 0;
    if (featured) {
        const struct piece_candidate *own = &lookup->candidates[0];
        features = (struct join_features){own->keys, own->dense, own->key_count, own->dense_count};
    }
    bool found = join_push(piece->operators->join, row, featured ? &features : NULL, &out);
    if (found || row->kind != ROW_ACTION) {
        return;
    }
    if (!at->is_click) {
        metrics_add(piece->operators->metrics, METRIC_actions_orphan_total, 1);
    } else if (lookup && lookup->count > 0 && !piece_lookup_clicks(piece, at, index, part)) {
        fail(piece);
    }
}

/* What is due at the row's append time. */
static void part_time(struct piece *piece, int row, int part) {
    struct join *join = piece->operators->join;
    struct piece_part *own = &piece->part[part];
    if (piece->moved[row] && state_count(join_state(join)) > 0) {
        struct join_sink sink = {piece, &own->due, row, part};
        const struct join_out out = {sink_take, &sink};
        join_now(join, own->first_group, own->end_group, piece->now_ms[row],
                 piece->sequence + (uint64_t)row, &out);
    }
}

static void part_join(struct piece *piece, int part) {
    for (int i = 0; i < piece->count; i++) {
        struct piece_row *at = &piece->rows[i];
        if (i > 0) {
            part_time(piece, i, part);
        }
        if (at->live && at->user_part == part) {
            row_join(piece, at, i, part);
        }
    }
}

static void phase_join(void *context, int task) {
    struct piece *piece = context;
    if (task >= JOIN_BESIDE) {
        part_join(piece, task - JOIN_BESIDE);
        return;
    }
    for (int i = 0; i < piece->count; i++) {
        const struct piece_row *at = &piece->rows[i];
        if (at->leads) {
            tally_push_lists(piece->operators->tally, &at->row, at->region);
        }
    }
}

/* --- emit --- */

static bool due_before(const struct example *a, const struct example *b) {
    if (a->due_ms != b->due_ms) {
        return a->due_ms < b->due_ms;
    }
    return a->user_hash != b->user_hash ? a->user_hash < b->user_hash : a->part < b->part;
}

/* The part whose newest example of the row comes next; -1: there are no more. */
static int next_due(const struct piece *piece, int row) {
    int best = -1;
    for (int p = 0; p < piece->parts; p++) {
        const struct piece_made *made = piece->part[p].due.first;
        if (made && made->row == row &&
            (best < 0 || due_before(&made->example, &piece->part[best].due.first->example))) {
            best = p;
        }
    }
    return best;
}

static void emit_all(struct piece *piece,
                     void (*emit)(void *context, const struct example *example), void *context) {
    bool any_due = false;
    for (int p = 0; p < piece->parts; p++) {
        any_due = any_due || piece->part[p].due.first;
    }
    for (int i = 0; i < piece->count; i++) {
        int part;
        while (any_due && (part = next_due(piece, i)) >= 0) {
            struct piece_list *due = &piece->part[part].due;
            emit(context, &due->first->example);
            due->first = due->first->next;
        }
        for (const struct piece_made *made = piece->rows[i].made.first; made; made = made->next) {
            emit(context, &made->example);
        }
    }
}

/* --- all of it --- */

static void parts_begin(struct piece *piece) {
    bool alone = piece->count < PIECE_ALONE || piece->parts_max == 1;
    piece->parts = alone ? 1 : piece->parts_max;
    uint32_t group = 0;
    for (int p = 0; p < piece->parts; p++) {
        struct piece_part *part = &piece->part[p];
        part->first_group = group;
        while (group < piece->groups && (alone || piece->part_of_group[group] == p)) {
            group++;
        }
        part->end_group = group;
        part->due = (struct piece_list){NULL, NULL};
        part->forgot = false;
        memset(part->shown, 0, sizeof(part->shown));
        if (part->any_undo) {
            memset(part->undo, 0, sizeof(part->undo));
            part->any_undo = false;
        }
    }
}

static void parts_end(struct piece *piece) {
    for (int p = 0; p < piece->parts; p++) {
        struct arena *arena = &piece->part[p].arena;
        if (arena->bytes_used > ARENA_KEPT) {
            arena_deinit(arena);
        } else {
            arena_reset(arena);
        }
    }
}

/* What an operator keeps must not hang on whether memory could be had. */
static void run_task(void *context, int index) {
    struct piece *piece = context;
    uint64_t refusals = memory_refusals();
    piece->task(piece, index);
    if (memory_refusals() != refusals) {
        fail(piece);
    }
}

static void run_phase(struct piece *piece, enum piece_phase phase, pool_task task, int count) {
    uint64_t begun_ns = piece->stopwatch ? piece->stopwatch() : 0;
    piece->task = task;
    pool_run(piece->parts == 1 ? NULL : piece->pool, run_task, piece, count);
    piece->ns[phase] += piece->stopwatch ? piece->stopwatch() - begun_ns : 0;
}

/* Between decoding and the catalogue: what the piece needs at all. */
static void look_over(struct piece *piece) {
    piece->any_ids = false;
    piece->any_lookup = false;
    for (int i = 0; i < piece->count; i++) {
        const struct piece_row *at = &piece->rows[i];
        bool looks = at->row.kind == ROW_ACTION || at->row.kind == ROW_IMPRESSION;
        piece->any_ids |= at->live && at->row.id.data;
        piece->any_lookup |= at->live && looks;
    }
}

/* A record could not be had for want of memory or of the file it lies in, wherever it was asked
 * for. */
static leat_status states_failure(const struct operators *o, leat_error *err) {
    TRY(state_failure(dedup_state(o->dedup), err));
    TRY(state_failure(catalog_state(o->catalog), err));
    TRY(state_failure(profile_state(o->profile), err));
    TRY(state_failure(tally_state(o->tally), err));
    TRY(state_failure(pairs_state(o->pairs), err));
    TRY(state_failure(background_state(o->background), err));
    TRY(state_failure(ratings_state(o->ratings), err));
    return state_failure(join_state(o->join), err);
}

leat_status piece_run(struct piece *piece, const struct batch *batch, int64_t from, int count,
                      uint64_t sequence, void (*emit)(void *context, const struct example *example),
                      void *context, leat_error *err) {
    piece->batch = batch;
    piece->from = from;
    piece->count = count;
    piece->sequence = sequence;
    parts_begin(piece);
    int parts = piece->parts;
    run_phase(piece, PIECE_DECODE, phase_decode, parts);
    look_over(piece);
    run_phase(piece, PIECE_DEDUP, phase_dedup, parts);
    run_phase(piece, PIECE_CATALOG, phase_catalog, parts);
    run_phase(piece, PIECE_PROFILE, phase_profile, parts);
    run_phase(piece, PIECE_PAIRS, phase_pairs, parts + PAIRS_BESIDE);
    run_phase(piece, PIECE_BEGIN, phase_begin, parts);
    run_phase(piece, PIECE_FILL, phase_fill, parts + FILL_BESIDE);
    run_phase(piece, PIECE_JOIN, phase_join, parts + JOIN_BESIDE);
    uint64_t begun_ns = piece->stopwatch ? piece->stopwatch() : 0;
    TRY(states_failure(piece->operators, err));
    if (piece->failed) {
        return error_set(err, LEAT_MEMORY,
                         "the operators found no memory for rows %" PRIu64 " to %" PRIu64
                         "; add memory or lower the budgets, then start again: the log is whole",
                         sequence, sequence + (uint64_t)count - 1);
    }
    emit_all(piece, emit, context);
    parts_end(piece);
    piece->ns[PIECE_EMIT] += piece->stopwatch ? piece->stopwatch() - begun_ns : 0;
    return LEAT_OK;
}
