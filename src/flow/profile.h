/* profile: what is known of a person. Keyed by user.
 *
 * - session: the newest PROFILE_SESSION items acted on in this session, newest first. A session
 * ends when an event names another one, or after flow.session_gap of idleness where events name
 * none.
 * - recent: the newest PROFILE_RECENT actions of any session with their times.
 * - histories: per action that model.features asks one of, the newest items on which it was
 *   positive, each once, newest first.
 * - tastes: decayed counts (half-life flow.profile_half_life) by category and by author of items
 * acted on with a positive weight; the PROFILE_TASTES largest of each are kept.
 * - per task: how often it could have happened, how often it did.
 * - context: the newest values of each context name, from any event of the person.
 * - seen: items that are not to be shown again, the newest flow.seen exactly; `forever` ones
 *   (hidden) are never forgotten before the person is. */
#ifndef FLOW_PROFILE_H
#define FLOW_PROFILE_H

#include "base/arena.h"
#include "base/config.h"
#include "flow/example.h"
#include "flow/row.h"
#include "state/state.h"

struct profile;

enum {
    PROFILE_SESSION = 32,
    PROFILE_RECENT = 8,
    PROFILE_TASTES = 24,
    PROFILE_CONTEXT = 12,
    PROFILE_LATELY = 10
};

struct profile_taste {
    uint64_t value; /* hash of the category or author */
    float acted;    /* decayed count of positives, as of the view's time */
    float shown;    /* decayed count of chances */
};

struct profile_history {
    int first, count; /* among history_items */
};

struct profile_view {
    uint64_t hash; /* 0: nobody */
    /* What is beyond the counts, and beyond the actions that there are, says nothing. */
    int session_count, recent_count, context_count, category_count, author_count;
    uint64_t session[PROFILE_SESSION];
    uint64_t recent_items[PROFILE_RECENT];
    int64_t recent_ms[PROFILE_RECENT];
    int32_t recent_actions[PROFILE_RECENT];
    struct profile_history histories[CONFIG_ACTIONS_MAX];
    uint64_t history_items[EXAMPLE_KEYS_MAX];
    uint64_t context_names[PROFILE_CONTEXT], context_values[PROFILE_CONTEXT];
    struct profile_taste categories[PROFILE_TASTES], authors[PROFILE_TASTES];
    uint32_t chances[CONFIG_ACTIONS_MAX], positives[CONFIG_ACTIONS_MAX];
    /* The same over about the last PROFILE_LATELY chances: each chance fades what was before it. */
    float lately_chances[CONFIG_ACTIONS_MAX], lately_positives[CONFIG_ACTIONS_MAX];
    uint64_t seen_count;
    int64_t first_ms, last_ms;
};

/* What the catalogue says of the row's item, looked up by the runner. */
struct profile_item {
    uint64_t author;
    int category_count;
    const uint64_t *categories;
};

leat_status profile_open(const struct config *config, struct state_budget *budget,
                         struct profile **out, leat_error *err);
void profile_close(struct profile *profile);
/* Threads: each alone in the key groups of the users it pushes. */
void profile_push(struct profile *profile, const struct row *row, const struct profile_item *item);
struct state *profile_state(struct profile *profile);

/* A hint: these people are read or pushed next. At most ROW_AHEAD_MAX of them.
 * Threads: as state_prefetch. */
void profile_ahead(const struct profile *profile, const uint64_t *users, int count);
/* Any thread. False: unknown person (`out` is all zero). Tastes are decayed to `now_ms`. */
bool profile_read(struct profile *profile, struct slice user, int64_t now_ms,
                  struct profile_view *out);
/* The session that `row` belongs to, as it stands before the row: PROFILE_SESSION items at most. */
int profile_session_before(struct profile *profile, const struct row *row,
                           uint64_t items[PROFILE_SESSION]);

/* The newest value of a context name in the person's events; 0: none. */
uint64_t profile_context(struct profile *profile, const struct row *row, uint64_t name_hash);

/* The items not to be shown to a person, as a set in the arena. Any thread. */
struct seen_set {
    uint64_t *items; /* open addressing, 0 is empty */
    uint32_t mask;
    uint32_t count;
};
leat_status profile_seen(struct profile *profile, struct slice user, struct arena *arena,
                         struct seen_set *out, leat_error *err);
bool seen_has(const struct seen_set *set, uint64_t item);

#endif
