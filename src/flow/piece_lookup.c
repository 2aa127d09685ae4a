/* The phases that make features: what a row reads, its candidates, and what comes of them.
 *
 * Candidates of a click: the item itself, then negatives as clicks.h draws them. Their number is
 * small and the neighbours of a session are many, so a small table of candidates is asked for each
 * neighbour, and only what is found is weighed. */
#include "flow/clicks.h"
#include "flow/piece.h"

enum { TABLE_SLOTS = 256 }; /* at least twice the candidates of a row */

_Static_assert(2 * (1 + PIECE_DRAWS_MAX + PIECE_DRAWS_MAX / 2) <= TABLE_SLOTS,
               "the table of candidates stays half empty");

/* --- profile --- */

static bool in_session(const struct profile_view *profile, uint64_t item) {
    for (int i = 0; i < profile->session_count; i++) {
        if (profile->session[i] == item) {
            return true;
        }
    }
    return false;
}

/* A click makes examples where it follows another one of its session, and is new in it. */
static bool click_counts(const struct piece *piece, const struct row *row,
                         const struct profile_view *profile) {
    return profile->session_count > 0 && !in_session(profile, row->item_hash) &&
           piece->operators->config->flow.negatives > 0;
}

struct piece_lookup *piece_lookup_read(struct piece *piece, struct piece_row *at, int part) {
    const struct row *row = &at->row;
    struct profile *operator= piece->operators->profile;
    struct piece_lookup *lookup = arena_alloc(piece_arena(piece, part), sizeof(*lookup));
    if (!lookup) {
        return NULL;
    }
    struct profile_view *profile = &lookup->profile;
    profile_read(operator, row->user, row->time_ms, profile);
    if (profile_session_before(operator, row, profile->session) == 0) {
        profile->session_count = 0;
    }
    lookup->region =
        feature_context(profile, row->context, row->context_count, feature_region_name());
    lookup->clicks = at->is_click;
    lookup->count = 0;
    lookup->near_draws = 0;
    memset(lookup->near, 0, sizeof(lookup->near));
    at->session_count =
        profile->session_count <= PAIRS_BACK ? profile->session_count : PAIRS_BACK + 1;
    memcpy(at->session, profile->session, (size_t)at->session_count * sizeof(at->session[0]));
    at->lookup = !at->is_click || click_counts(piece, row, profile) ? lookup : NULL;
    return lookup;
}

/* --- background --- */

void piece_lookup_background(struct piece *piece, struct piece_row *at) {
    struct piece_lookup *lookup = at->lookup;
    const struct row *row = &at->row;
    struct background *background = piece->operators->background;
    background_read(background, row->surface, row->time_ms, &lookup->background);
    if (lookup->clicks) {
        uint64_t chances[PIECE_DRAWS_MAX];
        int count = (int)piece->operators->config->flow.negatives;
        clicks_chances(piece->operators->config, row->sequence, 0, count, chances);
        lookup->held = background_draws(background, row->surface, chances, count, lookup->drawn);
    }
}

/* --- candidates --- */

struct candidates {
    struct piece *piece;
    const struct row *row;
    struct piece_lookup *lookup;
    uint8_t table[TABLE_SLOTS]; /* first candidate of an item, plus one; 0: free */
};

static int candidate_find(const struct candidates *all, uint64_t item) {
    uint32_t slot = (uint32_t)item % TABLE_SLOTS;
    while (all->table[slot] != 0) {
        int number = all->table[slot] - 1;
        if (all->lookup->candidates[number].item == item) {
            return number;
        }
        slot = (slot + 1) % TABLE_SLOTS;
    }
    return -1;
}

static void candidate_add(struct candidates *all, uint64_t item) {
    int number = all->lookup->count++;
    all->lookup->candidates[number] =
        (struct piece_candidate){.item = item, .part = (uint8_t)piece_part_of(all->piece, item)};
    if (candidate_find(all, item) < 0) {
        uint32_t slot = (uint32_t)item % TABLE_SLOTS;
        while (all->table[slot] != 0) {
            slot = (slot + 1) % TABLE_SLOTS;
        }
        all->table[slot] = (uint8_t)(number + 1);
    }
}

static void negative_add(struct candidates *all, uint64_t item) {
    if (item != 0 && item != all->row->item_hash && !in_session(&all->lookup->profile, item)) {
        candidate_add(all, item);
    }
}

/* The neighbours that are kept of the newest item of the session that has any; NULL: of none. */
static const struct pairs_copied *near_of(const struct piece_lookup *lookup) {
    for (int p = 0; p < PAIRS_BACK; p++) {
        if (lookup->near[p][PAIRS_OUT].count + lookup->near[p][PAIRS_IN].count > 0) {
            return lookup->near[p];
        }
    }
    return NULL;
}

static void draw_near(struct candidates *all) {
    const struct pairs_copied *near = near_of(all->lookup);
    if (!near) {
        return;
    }
    const struct config *config = all->piece->operators->config;
    uint64_t chances[PIECE_DRAWS_MAX];
    int out_count = near[PAIRS_OUT].count;
    int count = (int)config->flow.negatives / 2;
    all->lookup->near_draws = count;
    clicks_chances(config, all->row->sequence, (int)config->flow.negatives, count, chances);
    for (int k = 0; k < count; k++) {
        int place = (int)(chances[k] % (uint64_t)(out_count + near[PAIRS_IN].count));
        negative_add(all, place < out_count ? near[PAIRS_OUT].kept[place].item
                                            : near[PAIRS_IN].kept[place - out_count].item);
    }
}

static void candidates_draw(struct candidates *all) {
    candidate_add(all, all->row->item_hash);
    if (all->lookup->clicks) {
        for (int k = 0; k < all->piece->operators->config->flow.negatives; k++) {
            negative_add(all, all->lookup->drawn[k]);
        }
        draw_near(all);
    }
}

/* What the neighbours of one item of the session say of the candidates among them. */
static void weigh_side(struct candidates *all, const struct pairs_copied *side, bool out, int place,
                       float weight) {
    for (int i = 0; i < side->count; i++) {
        const struct pairs_kept *kept = &side->kept[i];
        int found = candidate_find(all, kept->item);
        if (found < 0) {
            continue;
        }
        struct piece_candidate *candidate = &all->lookup->candidates[found];
        float next = pairs_share(kept->next, side->next);
        float near = pairs_share(kept->near, side->near);
        if (out) {
            feature_pairs_out(&candidate->pairs, place, next, near, weight);
        } else {
            feature_pairs_in(&candidate->pairs, place, next, near, weight);
        }
        candidate->near_share += place == 0 ? 1.0 : 0; /* times, until they are divided */
    }
}

static void candidates_weigh(struct candidates *all) {
    float weights[PAIRS_BACK];
    struct piece_lookup *lookup = all->lookup;
    const struct pairs_copied *with[PAIRS_BACK];
    int count = 0;
    for (int p = 0; p < PAIRS_BACK; p++) {
        if (lookup->near[p][PAIRS_OUT].count + lookup->near[p][PAIRS_IN].count > 0) {
            with[count++] = lookup->near[p];
        }
    }
    feature_place_weights(count, weights);
    for (int p = 0; p < count; p++) {
        weigh_side(all, &with[p][PAIRS_OUT], true, p, weights[p]);
        weigh_side(all, &with[p][PAIRS_IN], false, p, weights[p]);
    }
    double near = count > 0 ? (double)(with[0][PAIRS_OUT].count + with[0][PAIRS_IN].count) : 1.0;
    for (int c = 0; c < lookup->count; c++) {
        struct piece_candidate *candidate = &lookup->candidates[c];
        int first = candidate_find(all, candidate->item);
        if (first == c) {
            candidate->near_share /= near;
        } else { /* drawn again */
            candidate->pairs = lookup->candidates[first].pairs;
            candidate->near_share = lookup->candidates[first].near_share;
        }
    }
}

bool piece_lookup_begin(struct piece *piece, struct piece_row *at, int part) {
    struct piece_lookup *lookup = at->lookup;
    const struct row *row = &at->row;
    int64_t negatives = lookup->clicks ? piece->operators->config->flow.negatives : 0;
    size_t count_max = (size_t)(1 + negatives + negatives / 2);
    lookup->candidates =
        arena_alloc(piece_arena(piece, part), count_max * sizeof(*lookup->candidates));
    if (!lookup->candidates) {
        return false;
    }
    struct candidates all = {.piece = piece, .row = row, .lookup = lookup};
    candidates_draw(&all);
    candidates_weigh(&all);
    const struct feature_moment moment = {
        .now_ms = row->time_ms,
        .surface = row->surface,
        .region = lookup->region,
        .profile = &lookup->profile,
        .background = &lookup->background,
        .context_count = row->context_count,
        .context = row->context,
        .ratings = piece->operators->ratings,
        .rated = at->rated,
    };
    return feature_begin_few(piece->operators->features, &moment, piece_arena(piece, part),
                             &lookup->request, NULL) >= 0;
}

/* --- features --- */

static bool candidate_fill(struct piece *piece, struct piece_row *at, int row, int part,
                           struct piece_candidate *candidate) {
    const struct row *from = &at->row;
    struct piece_lookup *lookup = at->lookup;
    struct arena *arena = piece_arena(piece, part);
    struct catalog_view item;
    struct tally_view tally;
    uint64_t keys[EXAMPLE_KEYS_MAX];
    float dense[EXAMPLE_DENSE_MAX];
    /* Who looks up for join names the item; what was drawn is known by its hash. */
    const struct slice id = lookup->clicks ? (struct slice){NULL, 0} : from->item;
    if (!piece_catalog_before(piece, row, part, id, candidate->item, &item)) {
        item = (struct catalog_view){.hash = candidate->item, .created_ms = from->time_ms};
    }
    tally_read(piece->operators->tally, candidate->item, from->surface, lookup->region,
               from->time_ms, &tally);
    feature_fill_few(lookup->request, &candidate->pairs, &item, &tally, keys, &candidate->key_count,
                     dense, &candidate->dense_count);
    size_t key_bytes = (size_t)candidate->key_count * sizeof(*keys);
    size_t dense_bytes = (size_t)candidate->dense_count * sizeof(*dense);
    size_t id_bytes = (size_t)item.id_size;
    char *memory = arena_alloc(arena, key_bytes + dense_bytes + id_bytes);
    if (!memory) {
        return false;
    }
    memcpy(memory, keys, key_bytes);
    memcpy(memory + key_bytes, dense, dense_bytes);
    memcpy(memory + key_bytes + dense_bytes, item.id, id_bytes);
    candidate->keys = (const uint64_t *)(void *)memory;
    candidate->dense = (const float *)(void *)(memory + key_bytes);
    const char *text = memory + key_bytes + dense_bytes;
    candidate->id = (struct slice){id_bytes > 0 ? text : NULL, id_bytes};
    return true;
}

bool piece_lookup_fill(struct piece *piece, struct piece_row *at, int row, int part) {
    bool fits = true;
    for (int c = 0; c < at->lookup->count; c++) {
        struct piece_candidate *candidate = &at->lookup->candidates[c];
        if (candidate->part == part) {
            fits = candidate_fill(piece, at, row, part, candidate) && fits;
        }
    }
    return fits;
}

/* --- examples of a click --- */

bool piece_lookup_clicks(struct piece *piece, struct piece_row *at, int row, int part) {
    const struct row *from = &at->row;
    const struct piece_lookup *lookup = at->lookup;
    const uint32_t bit = 1u << from->action;
    struct piece_made *made =
        arena_alloc(piece_arena(piece, part), (size_t)lookup->count * sizeof(*made));
    if (!made) {
        return false;
    }
    for (int c = 0; c < lookup->count; c++) {
        const struct piece_candidate *candidate = &lookup->candidates[c];
        const struct clicks_chance chance = {candidate->times, lookup->held, lookup->near_draws,
                                             candidate->near_share};
        made[c].next = c + 1 < lookup->count ? &made[c + 1] : NULL;
        made[c].row = row;
        made[c].example = (struct example){
            .sequence = from->sequence,
            .keys = candidate->keys,
            .key_count = candidate->key_count,
            .dense = candidate->dense,
            .dense_count = candidate->dense_count,
            .mask = bit,
            .labels = c == 0 ? bit : 0,
            .weight = 1.0f,
            .log_odds = clicks_log_odds(piece->operators->config, chance),
            .user_hash = from->user_hash,
            .request_hash = from->request_hash,
            .item_hash = candidate->item,
            .user = from->user,
            .request = from->request,
            .item = candidate->id,
            .shown_ms = from->time_ms,
        };
    }
    at->made = (struct piece_list){&made[0], &made[lookup->count - 1]};
    return true;
}
