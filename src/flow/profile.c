#include "flow/profile.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/decay.h"
#include "flow/feature_spec.h"

#include <math.h>

/* Records of a person, each made when it is first needed. SEEN and HIDDEN are lists in parts of
 * SEEN_PART items, part 0 first. */
enum {
    PROFILE_CORE_RECORD = 0,
    PROFILE_TASTE_RECORD = 1,
    PROFILE_CONTEXT_RECORD = 2,
    PROFILE_SEEN_RECORD = 3,
    PROFILE_HIDDEN_RECORD = 4,
    PROFILE_HISTORY_RECORD = 5, /* one an action: items, newest first; 0 where there are no more */
};
enum { SEEN_PART = 512, HISTORY_FIRST = 4 };

struct core_task {
    uint32_t chances, positives;
    float lately_chances, lately_positives;
};

struct core_record {
    int64_t first_ms, last_ms;
    uint64_t session_hash;
    uint64_t seen_added; /* items of the list in all; the newest flow.seen of them count */
    uint64_t seen_begin; /* parts before this one are gone; a multiple of SEEN_PART */
    uint64_t hidden_added;
    int32_t session_count, recent_count;
    uint64_t session[PROFILE_SESSION];
    uint64_t recent_items[PROFILE_RECENT];
    int64_t recent_ms[PROFILE_RECENT];
    int32_t recent_actions[PROFILE_RECENT];
    struct core_task tasks[]; /* one an action of the configuration */
};

struct taste_record {
    int64_t time_ms; /* all weights are as of this time */
    int32_t category_count, author_count;
    struct profile_taste categories[PROFILE_TASTES], authors[PROFILE_TASTES];
};

struct context_record {
    uint64_t count;
    uint64_t names[PROFILE_CONTEXT], values[PROFILE_CONTEXT];
};

struct profile {
    const struct config *config;
    struct state *state;
    uint32_t core_size;
    int history_max[CONFIG_ACTIONS_MAX]; /* items kept; 0: no history */
};

static leat_status plan_histories(struct profile *profile, leat_error *err) {
    struct feature_fields fields;
    TRY(features_fields(profile->config, &fields, err));
    for (int a = 0; a < profile->config->action_count; a++) {
        profile->history_max[a] = features_history_max(&fields, a);
    }
    return LEAT_OK;
}

leat_status profile_open(const struct config *config, struct state_budget *budget,
                         struct profile **out, leat_error *err) {
    struct profile *profile = memory_zalloc(sizeof(*profile));
    if (!profile) {
        return error_memory(err, sizeof(*profile));
    }
    profile->config = config;
    profile->core_size = (uint32_t)(sizeof(struct core_record) +
                                    sizeof(struct core_task) * (size_t)config->action_count);
    struct state_options options = {
        .name = "profile", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = plan_histories(profile, err);
    if (status >= 0) {
        status = state_open(&options, &profile->state, err);
    }
    if (status < 0) {
        memory_free(profile);
        return status;
    }
    *out = profile;
    return LEAT_OK;
}

void profile_close(struct profile *profile) {
    if (profile) {
        state_close(profile->state);
        memory_free(profile);
    }
}

struct state *profile_state(struct profile *profile) {
    return profile->state;
}

static struct state_key person_key(struct slice user, uint64_t hash, uint32_t kind, uint64_t part) {
    return (struct state_key){hash, user, kind, part};
}

static struct state_key row_key(const struct row *row, uint32_t kind, uint64_t part) {
    return person_key(row->user, row->user_hash, kind, part);
}

/* The record to change, made (zero) if it is not there; NULL beyond the budget. */
static void *record_at(struct profile *profile, const struct state_key *key, uint32_t size) {
    uint32_t have;
    void *record = state_edit(profile->state, key, &have);
    if (!record && state_put(profile->state, key, size, &record, NULL) < 0) {
        return NULL;
    }
    return record;
}

static struct core_record *core_at(struct profile *profile, const struct row *row) {
    struct state_key key = row_key(row, PROFILE_CORE_RECORD, 0);
    struct core_record *core = record_at(profile, &key, profile->core_size);
    if (core && core->first_ms == 0) {
        core->first_ms = row->time_ms;
    }
    return core;
}

/* --- lists of seen and hidden items --- */

/* The first item of the seen list that counts. */
static uint64_t seen_first(const struct profile *profile, const struct core_record *core) {
    uint64_t keep = (uint64_t)profile->config->flow.seen;
    return core->seen_added > keep ? core->seen_added - keep : 0;
}

/* Items [*begin, end) of a list that stand in one part: NULL and 0 when there is none. Moves *begin
 * to the next part. */
static const uint64_t *list_part(struct profile *profile, struct state_key key, uint64_t *begin,
                                 uint64_t end, uint64_t *count) {
    key.part = *begin / SEEN_PART;
    uint64_t part_end = (key.part + 1) * SEEN_PART;
    uint64_t from = *begin % SEEN_PART;
    uint64_t to = (end < part_end ? end : part_end) - key.part * SEEN_PART;
    *begin = part_end;
    uint32_t size;
    const uint64_t *items = state_get(profile->state, &key, &size, NULL);
    *count = items ? to - from : 0;
    return items ? items + from : NULL;
}

static bool list_has(struct profile *profile, const struct row *row, uint32_t kind, uint64_t begin,
                     uint64_t end) {
    while (begin < end) {
        uint64_t count;
        const uint64_t *items = list_part(profile, row_key(row, kind, 0), &begin, end, &count);
        for (uint64_t i = 0; i < count; i++) {
            if (items[i] == row->item_hash) {
                return true;
            }
        }
    }
    return false;
}

/* Appends the row's item as number `place` of the list. Parts grow by doubling. */
static bool list_add(struct profile *profile, const struct row *row, uint32_t kind,
                     uint64_t place) {
    struct state_key key = row_key(row, kind, place / SEEN_PART);
    uint32_t need = (uint32_t)(place % SEEN_PART + 1) * (uint32_t)sizeof(uint64_t);
    uint32_t size = 0;
    void *record = state_edit(profile->state, &key, &size);
    if (!record || size < need) {
        uint32_t grown = size < 32 ? 32 : 2 * size;
        if (state_put(profile->state, &key, grown, &record, NULL) < 0) {
            return false;
        }
    }
    ((uint64_t *)record)[place % SEEN_PART] = row->item_hash;
    return true;
}

/* Forgets the parts that lie before the newest flow.seen items. */
static void seen_trim(struct profile *profile, const struct row *row, struct core_record *core) {
    while (seen_first(profile, core) - core->seen_begin >= SEEN_PART) {
        struct state_key key = row_key(row, PROFILE_SEEN_RECORD, core->seen_begin / SEEN_PART);
        state_remove(profile->state, &key);
        core->seen_begin += SEEN_PART;
    }
}

static void seen_add(struct profile *profile, const struct row *row) {
    struct core_record *core = core_at(profile, row);
    if (!core ||
        list_has(profile, row, PROFILE_SEEN_RECORD, seen_first(profile, core), core->seen_added) ||
        !list_add(profile, row, PROFILE_SEEN_RECORD, core->seen_added)) {
        return;
    }
    core = core_at(profile, row); /* list_add may have moved it */
    core->seen_added++;
    seen_trim(profile, row, core);
}

static void hidden_add(struct profile *profile, const struct row *row) {
    struct core_record *core = core_at(profile, row);
    if (!core || list_has(profile, row, PROFILE_HIDDEN_RECORD, 0, core->hidden_added) ||
        !list_add(profile, row, PROFILE_HIDDEN_RECORD, core->hidden_added)) {
        return;
    }
    core = core_at(profile, row);
    core->hidden_added++;
}

/* --- sessions and recent actions --- */

static bool session_ended(const struct profile *profile, const struct core_record *core,
                          const struct row *row) {
    if (row->session.data) {
        return core->session_hash != hash_slice(row->session);
    }
    return row->time_ms - core->last_ms > profile->config->flow.session_gap;
}

static void push_front(uint64_t *items, int32_t *count, int max, uint64_t item) {
    int kept = *count < max ? *count : max - 1;
    memmove(items + 1, items, (size_t)kept * sizeof(*items));
    items[0] = item;
    *count = kept + 1;
}

/* The newest place is the front; an item acted on again moves there. */
static void session_push(struct core_record *core, uint64_t item) {
    for (int i = 0; i < core->session_count; i++) {
        if (core->session[i] == item) {
            memmove(core->session + 1, core->session, (size_t)i * sizeof(item));
            core->session[0] = item;
            return;
        }
    }
    push_front(core->session, &core->session_count, PROFILE_SESSION, item);
}

static void recent_push(struct core_record *core, const struct row *row) {
    int kept = core->recent_count < PROFILE_RECENT ? core->recent_count : PROFILE_RECENT - 1;
    memmove(core->recent_ms + 1, core->recent_ms, (size_t)kept * sizeof(int64_t));
    memmove(core->recent_actions + 1, core->recent_actions, (size_t)kept * sizeof(int32_t));
    push_front(core->recent_items, &core->recent_count, PROFILE_RECENT, row->item_hash);
    core->recent_ms[0] = row->time_ms;
    core->recent_actions[0] = row->action;
}

/* --- histories --- */

/* How many items of a record there are, `max` at most. */
static int history_count(const uint64_t *items, uint32_t size, int max) {
    int places = (int)(size / sizeof(*items));
    int count = 0;
    while (count < places && count < max && items[count] != 0) {
        count++;
    }
    return count;
}

static int item_find(const uint64_t *items, int count, uint64_t item) {
    int at = 0;
    while (at < count && items[at] != item) {
        at++;
    }
    return at;
}

/* The newest place is the front; an item that is there already moves to it. Records grow by
 * doubling. */
static void history_push(struct profile *profile, const struct row *row) {
    int max = row->kind == ROW_ACTION ? profile->history_max[row->action] : 0;
    if (max == 0 || !row_is_positive(profile->config, row)) {
        return;
    }
    struct state_key key = row_key(row, PROFILE_HISTORY_RECORD, (uint64_t)row->action);
    uint32_t size = 0;
    void *record = state_edit(profile->state, &key, &size);
    int count = record ? history_count(record, size, max) : 0;
    int at = record ? item_find(record, count, row->item_hash) : 0;
    if (at == count && count < max && (uint32_t)count * sizeof(uint64_t) == size) {
        int places = count == 0 ? HISTORY_FIRST : 2 * count;
        places = places < max ? places : max;
        if (state_put(profile->state, &key, (uint32_t)places * 8, &record, NULL) < 0) {
            return;
        }
    }
    uint64_t *items = record;
    memmove(items + 1, items, (size_t)(at < max ? at : max - 1) * sizeof(*items));
    items[0] = row->item_hash;
}

/* --- counts by task --- */

static void task_chance(struct core_task *task) {
    const float fade = 1.0f - 1.0f / PROFILE_LATELY;
    task->chances++;
    task->lately_chances = task->lately_chances * fade + 1.0f;
    task->lately_positives *= fade;
}

static void task_positive(struct core_task *task) {
    task->positives++;
    task->lately_positives += 1.0f;
}

static void core_count(const struct profile *profile, struct core_record *core,
                       const struct row *row) {
    const struct config *config = profile->config;
    for (int t = 0; row->kind != ROW_ACTION && t < config->action_count; t++) {
        if (config->actions[t].fields.threshold == 0) {
            task_chance(&core->tasks[t]);
        }
    }
    if (row->kind == ROW_ACTION) {
        if (config->actions[row->action].fields.threshold > 0) {
            task_chance(&core->tasks[row->action]);
        }
        if (row_is_positive(config, row)) {
            task_positive(&core->tasks[row->action]);
        }
    }
}

static void core_push(struct profile *profile, const struct row *row) {
    struct core_record *core = core_at(profile, row);
    if (!core) {
        return;
    }
    core_count(profile, core, row);
    /* A showing ends a session too: it is what a person who comes back meets first, and after it
     * the gap is not seen any more. */
    if (session_ended(profile, core, row)) {
        core->session_count = 0;
        core->session_hash = 0;
        memset(core->session, 0, sizeof(core->session));
    }
    if (row->session.data) {
        core->session_hash = hash_slice(row->session);
    }
    if (row->kind == ROW_ACTION) {
        if (row_is_liked(profile->config, row)) {
            session_push(core, row->item_hash);
        }
        recent_push(core, row);
    }
    core->last_ms = row->time_ms > core->last_ms ? row->time_ms : core->last_ms;
}

/* --- tastes --- */

/* The value's entry; a new one takes a free place or that of the lightest. */
static struct profile_taste *taste_at(struct profile_taste *tastes, int32_t *count,
                                      uint64_t value) {
    int lightest = 0;
    for (int i = 0; i < *count; i++) {
        if (tastes[i].value == value) {
            return &tastes[i];
        }
        if (tastes[i].acted + tastes[i].shown < tastes[lightest].acted + tastes[lightest].shown) {
            lightest = i;
        }
    }
    struct profile_taste *taste = &tastes[*count < PROFILE_TASTES ? (*count)++ : lightest];
    *taste = (struct profile_taste){.value = value};
    return taste;
}

static void tastes_fade(struct profile_taste *tastes, int count, float factor) {
    for (int i = 0; i < count; i++) {
        tastes[i].acted *= factor;
        tastes[i].shown *= factor;
    }
}

/* What a row adds to the counts of its item's values. */
static struct profile_taste taste_amount(const struct config *config, const struct row *row) {
    bool action = row->kind == ROW_ACTION;
    bool chance = !action || config->actions[row->action].fields.threshold > 0;
    bool liked = action && row_is_liked(config, row);
    return (struct profile_taste){.acted = liked ? 1.0f : 0.0f, .shown = chance ? 1.0f : 0.0f};
}

static void taste_add(struct profile_taste *taste, struct profile_taste amount) {
    taste->acted += amount.acted;
    taste->shown += amount.shown;
}

static void taste_push(struct profile *profile, const struct row *row,
                       const struct profile_item *item) {
    struct profile_taste amount = taste_amount(profile->config, row);
    bool nothing = amount.acted + amount.shown == 0; /* must not take the place of anything */
    if (nothing || (item->category_count == 0 && item->author == 0)) {
        return;
    }
    struct state_key key = row_key(row, PROFILE_TASTE_RECORD, 0);
    struct taste_record *taste = record_at(profile, &key, sizeof(struct taste_record));
    if (!taste) {
        return;
    }
    if (row->time_ms > taste->time_ms) {
        float factor = (float)decay_at(1.0, taste->time_ms, row->time_ms,
                                       profile->config->flow.profile_half_life);
        tastes_fade(taste->categories, taste->category_count, factor);
        tastes_fade(taste->authors, taste->author_count, factor);
        taste->time_ms = row->time_ms;
    }
    for (int i = 0; i < item->category_count; i++) {
        taste_add(taste_at(taste->categories, &taste->category_count, item->categories[i]), amount);
    }
    if (item->author != 0) {
        taste_add(taste_at(taste->authors, &taste->author_count, item->author), amount);
    }
}

/* --- context --- */

static void context_push(struct profile *profile, const struct row *row) {
    if (row->context_count == 0) {
        return;
    }
    struct state_key key = row_key(row, PROFILE_CONTEXT_RECORD, 0);
    struct context_record *context = record_at(profile, &key, sizeof(struct context_record));
    for (int i = 0; context && i < row->context_count; i++) {
        uint64_t name = hash_slice(row->context[2 * i]);
        uint64_t place = 0;
        while (place < context->count && context->names[place] != name) {
            place++;
        }
        if (place < PROFILE_CONTEXT) {
            context->names[place] = name;
            context->values[place] = row_value_hash(row->context[2 * i + 1]);
            context->count = place == context->count ? place + 1 : context->count;
        }
    }
}

/* --- the operator --- */

static void mark_seen(struct profile *profile, const struct row *row) {
    if (row->kind != ROW_ACTION) {
        seen_add(profile, row);
        return;
    }
    switch (profile->config->actions[row->action].fields.filter) {
    case ROW_FILTER_SEEN: seen_add(profile, row); break;
    case ROW_FILTER_FOREVER: hidden_add(profile, row); break;
    default: break;
    }
}

void profile_push(struct profile *profile, const struct row *row, const struct profile_item *item) {
    if (!row->user.data) {
        return;
    }
    state_enter(profile->state, row->user_hash);
    if (row->kind == ROW_FORGET) {
        state_remove_all(profile->state, row->user_hash, row->user);
    } else if (row->kind == ROW_USER) {
        core_at(profile, row);
        context_push(profile, row);
    } else if (row->kind == ROW_ACTION || row_is_showing(profile->config, row)) {
        core_push(profile, row);
        mark_seen(profile, row);
        history_push(profile, row);
        taste_push(profile, row, item);
        context_push(profile, row);
    }
    state_leave(profile->state, row->user_hash);
}

/* --- reading --- */

static void view_core(const struct profile *profile, const struct core_record *core,
                      struct profile_view *out) {
    out->session_count = core->session_count;
    out->recent_count = core->recent_count;
    memcpy(out->session, core->session, sizeof(out->session));
    memcpy(out->recent_items, core->recent_items, sizeof(out->recent_items));
    memcpy(out->recent_ms, core->recent_ms, sizeof(out->recent_ms));
    memcpy(out->recent_actions, core->recent_actions, sizeof(out->recent_actions));
    for (int t = 0; t < profile->config->action_count; t++) {
        out->chances[t] = core->tasks[t].chances;
        out->positives[t] = core->tasks[t].positives;
        out->lately_chances[t] = core->tasks[t].lately_chances;
        out->lately_positives[t] = core->tasks[t].lately_positives;
    }
    out->seen_count = core->seen_added - seen_first(profile, core) + core->hidden_added;
    out->first_ms = core->first_ms;
    out->last_ms = core->last_ms;
}

static void view_taste(const struct profile *profile, const struct taste_record *taste,
                       int64_t now_ms, struct profile_view *out) {
    float factor =
        (float)decay_at(1.0, taste->time_ms, now_ms, profile->config->flow.profile_half_life);
    out->category_count = taste->category_count;
    out->author_count = taste->author_count;
    memcpy(out->categories, taste->categories, sizeof(out->categories));
    memcpy(out->authors, taste->authors, sizeof(out->authors));
    tastes_fade(out->categories, out->category_count, factor);
    tastes_fade(out->authors, out->author_count, factor);
}

void profile_ahead(const struct profile *profile, const uint64_t *users, int count) {
    struct state_key keys[ROW_AHEAD_MAX];
    for (int i = 0; i < count; i++) {
        keys[i] = (struct state_key){.hash = users[i], .kind = PROFILE_CORE_RECORD};
    }
    state_prefetch(profile->state, keys, count);
}

static void view_context(const struct context_record *context, struct profile_view *out) {
    out->context_count = (int)context->count;
    memcpy(out->context_names, context->names, sizeof(out->context_names));
    memcpy(out->context_values, context->values, sizeof(out->context_values));
}

static void view_histories(const struct profile *profile, struct state_key key,
                           struct profile_view *out) {
    int first = 0;
    key.kind = PROFILE_HISTORY_RECORD;
    for (int a = 0; a < profile->config->action_count; a++) {
        uint32_t size = 0;
        key.part = (uint64_t)a;
        const uint64_t *items =
            profile->history_max[a] > 0 ? state_get(profile->state, &key, &size, NULL) : NULL;
        int count = items ? history_count(items, size, profile->history_max[a]) : 0;
        for (int i = 0; i < count; i++) {
            out->history_items[first + i] = items[i];
        }
        out->histories[a] = (struct profile_history){first, count};
        first += count;
    }
}

/* A person who is known; what is beyond the counts is left as it is. */
static void view_fill(const struct profile *profile, struct state_key key,
                      const struct core_record *core, int64_t now_ms, struct profile_view *out) {
    uint32_t size;
    out->hash = key.hash;
    view_core(profile, core, out);
    if (core->session_hash == 0 && now_ms - core->last_ms > profile->config->flow.session_gap) {
        out->session_count = 0; /* a new session begins, as it would for an event at this time */
    }
    out->category_count = out->author_count = out->context_count = 0;
    view_histories(profile, key, out);
    key.kind = PROFILE_TASTE_RECORD;
    const struct taste_record *taste = state_get(profile->state, &key, &size, NULL);
    if (taste) {
        view_taste(profile, taste, now_ms, out);
    }
    key.kind = PROFILE_CONTEXT_RECORD;
    const struct context_record *context = state_get(profile->state, &key, &size, NULL);
    if (context) {
        view_context(context, out);
    }
}

bool profile_read(struct profile *profile, struct slice user, int64_t now_ms,
                  struct profile_view *out) {
    const struct core_record *core = NULL;
    if (user.data) {
        struct state_key key = person_key(user, hash_slice(user), PROFILE_CORE_RECORD, 0);
        uint32_t size;
        state_enter(profile->state, key.hash);
        core = state_get(profile->state, &key, &size, NULL);
        if (core) {
            view_fill(profile, key, core, now_ms, out);
        }
        state_leave(profile->state, key.hash);
    }
    if (!core) {
        memset(out, 0, sizeof(*out));
    }
    return core != NULL;
}

int profile_session_before(struct profile *profile, const struct row *row,
                           uint64_t items[PROFILE_SESSION]) {
    struct state_key key = row_key(row, PROFILE_CORE_RECORD, 0);
    uint32_t size;
    int count = 0;
    state_enter(profile->state, key.hash);
    const struct core_record *core = state_get(profile->state, &key, &size, NULL);
    if (core && !session_ended(profile, core, row)) {
        count = core->session_count;
        memcpy(items, core->session, (size_t)count * sizeof(*items));
    }
    state_leave(profile->state, key.hash);
    return count;
}

uint64_t profile_context(struct profile *profile, const struct row *row, uint64_t name_hash) {
    if (!row->user.data) {
        return 0;
    }
    struct state_key key = row_key(row, PROFILE_CORE_RECORD, 0);
    uint32_t size;
    uint64_t value = 0;
    state_enter(profile->state, key.hash);
    if (state_get(profile->state, &key, &size, NULL)) {
        key.kind = PROFILE_CONTEXT_RECORD;
        const struct context_record *context = state_get(profile->state, &key, &size, NULL);
        for (uint64_t i = 0; context && i < context->count && value == 0; i++) {
            value = context->names[i] == name_hash ? context->values[i] : 0;
        }
    }
    state_leave(profile->state, key.hash);
    return value;
}

static void set_add(struct seen_set *set, uint64_t item) {
    uint32_t slot = (uint32_t)hash_mix(item, 0) & set->mask;
    while (set->items[slot] != 0 && set->items[slot] != item) {
        slot = (slot + 1) & set->mask;
    }
    set->count += set->items[slot] == 0;
    set->items[slot] = item;
}

bool seen_has(const struct seen_set *set, uint64_t item) {
    uint32_t slot = (uint32_t)hash_mix(item, 0) & set->mask;
    while (set->items[slot] != 0) {
        if (set->items[slot] == item) {
            return true;
        }
        slot = (slot + 1) & set->mask;
    }
    return false;
}

static void set_add_list(struct profile *profile, const struct state_key *key, uint64_t begin,
                         uint64_t end, struct seen_set *set) {
    while (begin < end) {
        uint64_t count;
        const uint64_t *items = list_part(profile, *key, &begin, end, &count);
        for (uint64_t i = 0; i < count; i++) {
            set_add(set, items[i]);
        }
    }
}

leat_status profile_seen(struct profile *profile, struct slice user, struct arena *arena,
                         struct seen_set *out, leat_error *err) {
    *out = (struct seen_set){0};
    struct state_key key =
        person_key(user, user.data ? hash_slice(user) : 0, PROFILE_CORE_RECORD, 0);
    uint32_t size;
    uint64_t capacity = 16;
    leat_status status = LEAT_OK;
    state_enter(profile->state, key.hash);
    const struct core_record *core =
        user.data ? state_get(profile->state, &key, &size, NULL) : NULL;
    uint64_t first = core ? seen_first(profile, core) : 0;
    uint64_t held = core ? core->seen_added - first + core->hidden_added : 0;
    while (capacity < 2 * held) {
        capacity *= 2;
    }
    out->items = ARENA_NEW(arena, uint64_t, capacity);
    out->mask = (uint32_t)capacity - 1;
    if (!out->items) {
        status = error_memory(err, capacity * sizeof(uint64_t));
    } else if (core) {
        key.kind = PROFILE_SEEN_RECORD;
        set_add_list(profile, &key, first, core->seen_added, out);
        key.kind = PROFILE_HIDDEN_RECORD;
        set_add_list(profile, &key, 0, core->hidden_added, out);
    }
    state_leave(profile->state, key.hash);
    return status;
}
