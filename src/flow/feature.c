#include "flow/feature.h"

#include "base/hash.h"
#include "base/memory.h"
#include "flow/feature_key.h"

#include <assert.h>
#include <math.h>

/* --- the plan --- */

struct slot {
    uint64_t salt; /* hash of the name of the feature whose rows it uses: keeps slots apart */
    uint64_t a_name, b_name; /* of operands of the context */
};

enum { COUNT_LOGS = 1024 };

struct features {
    const struct config *config;
    int tasks; /* with dense features of their own */
    struct feature_fields list;
    struct slot slots[CONFIG_LIST_MAX];
    float here_none;              /* DENSE_HERE of an item without acts from the region */
    float count_logs[COUNT_LOGS]; /* DENSE_ITEM_COUNT of small counts */
};

static float here_log(double here) {
    return (float)log(here + 0.05);
}

static float count_log(double count) {
    return 0.1f * (float)log1p(count);
}

leat_status features_create(const struct config *config, struct features **out, leat_error *err) {
    struct features *features = memory_zalloc(sizeof(*features));
    if (!features) {
        return error_memory(err, sizeof(*features));
    }
    features->config = config;
    features->tasks = config->action_count < FEATURE_TASKS ? config->action_count : FEATURE_TASKS;
    leat_status status = features_fields(config, &features->list, err);
    if (status < 0) {
        memory_free(features);
        return status;
    }
    for (int i = 0; i < features->list.count; i++) {
        const struct feature_field *field = &features->list.fields[i];
        features->slots[i] = (struct slot){
            .salt = hash_slice(features->list.fields[field->shares].spec.text),
            .a_name = hash_slice(field->spec.a.text),
            .b_name = hash_slice(field->spec.b.text),
        };
    }
    features->here_none = here_log(0);
    for (int i = 0; i < COUNT_LOGS; i++) {
        features->count_logs[i] = count_log((double)i);
    }
    *out = features;
    return LEAT_OK;
}

void features_destroy(struct features *features) {
    memory_free(features);
}

static_assert(DENSE_FIXED + TASK_DENSE * FEATURE_TASKS <= EXAMPLE_DENSE_MAX,
              "an example has room for all dense features");

int features_dense_count(const struct features *features) {
    return features_dense_number(features->config);
}

/* A smoothed rate speaks for itself: half of it is believed from the first example on. */
#define START_RATE 0.5f

void features_dense_start(const struct features *features, int task, float *out) {
    memset(out, 0, (size_t)features_dense_count(features) * sizeof(*out));
    if (task < features->tasks) {
        float *own = out + DENSE_FIXED + TASK_DENSE * task;
        own[TASK_PRIOR] = 1.0f;
        own[TASK_ITEM] = START_RATE;
        own[TASK_USER] = START_RATE;
    }
    bool clicks = true;
    for (int s = 0; s < features->config->surface_count; s++) {
        clicks = clicks && features->config->surfaces[s].fields.examples == ROW_EXAMPLES_CLICKS;
    }
    out[DENSE_NEXT] = clicks ? 1.0f : 0.0f;
}

/* --- a request --- */

/* A rate of which nothing is known yet: what a click rate usually is, weighing PRIOR_CHANCES. */
#define PRIOR_RATE    0.05
#define PRIOR_CHANCES 20.0

/* Both the rate and what it leaves to 1 are kept, so that log-odds stay finite where the one is
 * lost beside the other. */
struct prior {
    bool known;
    double rate, miss;
    double log_odds;
    double strength; /* pseudo-count: one standard deviation on the log-odds scale, 1 / (p (1-p)) */
};

/* What the session's pairs say of one item. */
struct pair_sum {
    uint64_t item; /* 0: free */
    struct feature_pairs pairs;
};

struct values {
    int count;
    uint64_t single;
    const uint64_t *list;
};

/* What the request says of a slot: its keys where they do not depend on the item, else the values
 * of the sides that do not. */
struct request_slot {
    int first, count; /* among the request's keys */
    struct values a, b;
};

struct feature_request {
    const struct features *features;
    struct feature_moment moment;
    struct pair_sum *sums; /* open addressing; NULL: of feature_begin_few */
    uint32_t sum_mask;
    struct prior prior[CONFIG_ACTIONS_MAX]; /* of each task on the surface */
    struct prior liked;                     /* of any positive action, for tastes */
    struct request_slot slots[CONFIG_LIST_MAX];
    uint64_t keys[EXAMPLE_KEYS_MAX]; /* what does not depend on the item */
    float dense[EXAMPLE_DENSE_MAX];  /* the same */
};

uint64_t feature_region_name(void) {
    return hash_bytes("region", 6);
}

uint64_t feature_context(const struct profile_view *profile, const struct slice *context, int count,
                         uint64_t name_hash) {
    for (int i = 0; i < count; i++) {
        if (hash_slice(context[2 * i]) == name_hash) {
            return row_value_hash(context[2 * i + 1]);
        }
    }
    for (int i = 0; i < profile->context_count; i++) {
        if (profile->context_names[i] == name_hash) {
            return profile->context_values[i];
        }
    }
    return 0;
}

static struct pair_sum *sum_at(const struct feature_request *request, uint64_t item) {
    uint32_t slot = (uint32_t)hash_mix(item, 0) & request->sum_mask;
    while (request->sums[slot].item != 0 && request->sums[slot].item != item) {
        slot = (slot + 1) & request->sum_mask;
    }
    return &request->sums[slot];
}

void feature_pairs_out(struct feature_pairs *sum, int place, float next, float near, float weight) {
    sum->session_near += near * weight;
    if (place == 0) {
        sum->last_next = next;
        sum->last_near = near;
    } else if (place == 1) {
        sum->second_next = next;
    }
}

void feature_pairs_in(struct feature_pairs *sum, int place, float next, float near, float weight) {
    sum->session_before += near * weight;
    if (place == 0) {
        sum->last_before = next;
    }
}

void feature_place_weights(int count, float weights[PAIRS_BACK]) {
    double fade = 1.0;
    double norm = 0;
    for (int p = 0; p < count; p++, fade *= PAIRS_FADE) {
        norm += fade;
    }
    fade = 1.0;
    for (int p = 0; p < count; p++, fade *= PAIRS_FADE) {
        weights[p] = (float)(fade / norm);
    }
}

/* Adds what item number `place` of the session (0: the last) says. */
static void sums_add(const struct feature_request *request, const struct pairs_view *view,
                     int place, float weight) {
    for (int i = 0; i < view->out_count; i++) {
        struct pair_sum *sum = sum_at(request, view->out[i].item);
        sum->item = view->out[i].item;
        feature_pairs_out(&sum->pairs, place, view->out[i].next, view->out[i].near, weight);
    }
    for (int i = 0; i < view->in_count; i++) {
        struct pair_sum *sum = sum_at(request, view->in[i].item);
        sum->item = view->in[i].item;
        feature_pairs_in(&sum->pairs, place, view->in[i].next, view->in[i].near, weight);
    }
}

static leat_status sums_build(struct feature_request *request, struct arena *arena,
                              leat_error *err) {
    const struct feature_moment *moment = &request->moment;
    uint32_t neighbours = 0;
    for (int p = 0; p < moment->pairs_count; p++) {
        neighbours += (uint32_t)(moment->pairs[p].out_count + moment->pairs[p].in_count);
    }
    uint32_t capacity = 8;
    while (capacity < 2 * neighbours) {
        capacity *= 2;
    }
    request->sum_mask = capacity - 1;
    request->sums = ARENA_NEW(arena, struct pair_sum, capacity);
    if (!request->sums) {
        return error_memory(err, capacity * sizeof(struct pair_sum));
    }
    float weights[PAIRS_BACK];
    feature_place_weights(moment->pairs_count, weights);
    for (int p = 0; p < moment->pairs_count; p++) {
        sums_add(request, &moment->pairs[p], p, weights[p]);
    }
    return LEAT_OK;
}

/* Click logs have no chances, only positives: then no rate can be known. */
static struct prior prior_of(double positives, double chances) {
    if (chances < positives) {
        return (struct prior){.known = false};
    }
    double misses = chances - positives;
    struct prior prior = {
        .known = true,
        .rate = (positives + PRIOR_RATE * PRIOR_CHANCES) / (chances + PRIOR_CHANCES),
        .miss = (misses + (1.0 - PRIOR_RATE) * PRIOR_CHANCES) / (chances + PRIOR_CHANCES)};
    prior.log_odds = log(prior.rate) - log(prior.miss);
    prior.strength = fmin(1.0 / (prior.rate * prior.miss), 1000.0);
    return prior;
}

static void priors_build(struct feature_request *request) {
    const struct config *config = request->features->config;
    const struct background_view *background = request->moment.background;
    double liked = 0;
    double shown = 0;
    for (int t = 0; t < config->action_count; t++) {
        double positives = (double)background->positives[t];
        double chances = (double)background->chances[t];
        request->prior[t] = prior_of(positives, chances);
        if (config->actions[t].fields.weight > 0) {
            liked += positives;
            shown = fmax(shown, chances);
        }
    }
    request->liked = prior_of(liked, shown);
}

/* --- keys --- */

static uint64_t hour_of(int64_t time_ms) {
    return (uint64_t)(time_ms / 3600000 % 24) + 1;
}

static uint64_t session_item(const struct profile_view *profile, int place) {
    return place < profile->session_count ? profile->session[place] : 0;
}

static bool is_of_item(const struct feature_operand *operand) {
    return operand->source == SOURCE_ITEM || operand->source == SOURCE_AUTHOR ||
           operand->source == SOURCE_CATEGORY || operand->source == SOURCE_TAG;
}

static struct values value_of(uint64_t value) {
    return (struct values){value != 0, value, NULL};
}

/* As feature_context; the names of the moment's own context are hashed once for all slots. */
static uint64_t context_value(const struct feature_moment *moment, const uint64_t *names,
                              uint64_t name) {
    if (moment->context_count > EVENT_LIST_MAX) {
        return feature_context(moment->profile, moment->context, moment->context_count, name);
    }
    for (int i = 0; i < moment->context_count; i++) {
        if (names[i] == name) {
            return row_value_hash(moment->context[2 * i + 1]);
        }
    }
    return feature_context(moment->profile, NULL, 0, name);
}

/* `name`: hash of the operand's text. */
static struct values request_values(const struct feature_moment *moment, const uint64_t *names,
                                    const struct feature_operand *operand, uint64_t name) {
    switch (operand->source) {
    case SOURCE_USER: return value_of(moment->profile->hash);
    case SOURCE_HOUR: return value_of(hour_of(moment->now_ms));
    case SOURCE_SURFACE: return value_of((uint64_t)moment->surface + 1);
    case SOURCE_LAST: return value_of(session_item(moment->profile, 0));
    case SOURCE_SECOND: return value_of(session_item(moment->profile, 1));
    case SOURCE_CONTEXT: return value_of(context_value(moment, names, name));
    default: return (struct values){0};
    }
}

static struct values item_values(const struct catalog_view *item,
                                 const struct feature_operand *operand) {
    switch (operand->source) {
    case SOURCE_ITEM: return value_of(item->hash);
    case SOURCE_AUTHOR: return value_of(item->author);
    case SOURCE_CATEGORY: return (struct values){item->category_count, 0, item->categories};
    default: return (struct values){item->tag_count, 0, item->tags};
    }
}

static uint64_t value_at(const struct values *values, int index) {
    return values->list ? values->list[index] : values->single;
}

/* The keys of slot number `s` from its values. Returns the count with them. */
static int keys_add(const struct features *features, int s, const struct values *a,
                    const struct values *b, uint64_t *keys, int count) {
    bool cross = features->list.fields[s].spec.kind == FEATURE_CROSS;
    for (int i = 0; i < a->count; i++) {
        uint64_t hash = hash_mix(features->slots[s].salt, value_at(a, i));
        for (int j = 0; j < b->count && count < EXAMPLE_KEYS_MAX; j++) {
            keys[count++] = key_make(s, cross ? hash_mix(hash, value_at(b, j)) : hash);
        }
    }
    return count;
}

static struct values history_values(const struct profile_view *profile,
                                    const struct feature_field *field) {
    const struct profile_history *history = &profile->histories[field->action];
    int count = history->count < field->spec.length ? history->count : field->spec.length;
    return (struct values){count, 0, profile->history_items + history->first};
}

/* Into how many bounds a value reaches, plus one. A value that is no number reaches none. */
static struct values bucket_value(const struct feature_field *field, const float *dense) {
    uint64_t reached = 0;
    for (int i = 0; i < field->spec.bound_count; i++) {
        reached += dense[field->dense] >= field->spec.bounds[i];
    }
    return value_of(reached + 1);
}

/* The values of the sides that do not depend on the item; `names`: hashes of the context's names.
 */
static struct request_slot slot_of(const struct feature_request *request, int s,
                                   const uint64_t *names) {
    const struct features *features = request->features;
    const struct feature_moment *moment = &request->moment;
    const struct feature_field *field = &features->list.fields[s];
    const struct feature_spec *spec = &field->spec;
    struct request_slot slot = {.b = {1, 0, NULL}};
    if (spec->kind == FEATURE_HISTORY) {
        slot.a = history_values(moment->profile, field);
    } else if (spec->kind == FEATURE_BUCKET) {
        slot.a = bucket_value(field, request->dense);
    } else if (!is_of_item(&spec->a)) {
        slot.a = request_values(moment, names, &spec->a, features->slots[s].a_name);
    }
    if (spec->kind == FEATURE_CROSS && !is_of_item(&spec->b)) {
        slot.b = request_values(moment, names, &spec->b, features->slots[s].b_name);
    }
    return slot;
}

static void slots_build(struct feature_request *request) {
    const struct features *features = request->features;
    const struct feature_moment *moment = &request->moment;
    uint64_t names[EVENT_LIST_MAX];
    int count = 0;
    for (int i = 0; i < moment->context_count && i < EVENT_LIST_MAX; i++) {
        names[i] = hash_slice(moment->context[2 * i]);
    }
    for (int s = 0; s < features->list.count; s++) {
        struct request_slot *slot = &request->slots[s];
        *slot = slot_of(request, s, names);
        slot->first = count;
        if (!features->list.fields[s].of_item) {
            count = keys_add(features, s, &slot->a, &slot->b, request->keys, count);
        }
        slot->count = count - slot->first;
    }
}

/* The keys of slot number `s`, which depends on the item. */
static int slot_fill(const struct feature_request *request, int s, const struct catalog_view *item,
                     const float *dense, uint64_t *keys, int count) {
    const struct feature_field *field = &request->features->list.fields[s];
    const struct feature_spec *spec = &field->spec;
    struct values a = request->slots[s].a;
    struct values b = request->slots[s].b;
    if (spec->kind == FEATURE_BUCKET) {
        a = bucket_value(field, dense);
    } else if (is_of_item(&spec->a)) {
        a = item_values(item, &spec->a);
    }
    if (spec->kind == FEATURE_CROSS && is_of_item(&spec->b)) {
        b = item_values(item, &spec->b);
    }
    return keys_add(request->features, s, &a, &b, keys, count);
}

static int keys_fill(const struct feature_request *request, const struct catalog_view *item,
                     const float *dense, uint64_t *keys) {
    int count = 0;
    for (int s = 0; s < request->features->list.count; s++) {
        const struct request_slot *known = &request->slots[s];
        if (request->features->list.fields[s].of_item) {
            count = slot_fill(request, s, item, dense, keys, count);
            continue;
        }
        for (int k = 0; k < known->count && count < EXAMPLE_KEYS_MAX; k++) {
            keys[count++] = request->keys[known->first + k];
        }
    }
    return count;
}

/* --- dense --- */

#define SHARE_FLOOR 1e-5
#define NEXT_FLOOR  1e-7

static float share_log(double share) {
    return share == 0 ? 0.0f : (float)(0.25 * log((share + SHARE_FLOOR) / SHARE_FLOOR));
}

/* Weights found on a news portal's click stream, and rounded: what follows directly says most, then
 * what is popular now. The learner moves away from them as far as its stream asks for. */
static double next_prior(const struct feature_pairs *sum, const double popular[TALLY_SCALES]) {
    return NEXT_FLOOR + 0.30 * (double)sum->last_next + 0.10 * (double)sum->last_near +
           0.10 * (double)sum->session_near + 0.05 * (double)sum->last_before +
           0.05 * (double)sum->session_before + 0.25 * popular[0] + 0.10 * popular[1] +
           0.05 * popular[2];
}

static float smoothed(double positives, double chances, const struct prior *prior) {
    if (!prior->known) {
        return 0.0f;
    }
    double misses = fmax(chances - positives, 0.0);
    double odds_of = positives + prior->strength * prior->rate;
    double odds_against = misses + prior->strength * prior->miss;
    return (float)(log(odds_of) - log(odds_against) - prior->log_odds);
}

static void dense_next(const struct feature_request *request, const struct feature_pairs *sum,
                       const struct tally_view *tally, float *dense) {
    const struct background_view *background = request->moment.background;
    double popular[TALLY_SCALES];
    for (int s = 0; s < TALLY_SCALES; s++) {
        /* An item's acts come from all surfaces, so they may be more than all of this one. */
        double volume = fmax(background->volume[s], tally->acted[s]);
        popular[s] = background->volume[s] > 0 ? tally->acted[s] / volume : 0;
        dense[DENSE_MINUTES + s] = share_log(popular[s]);
    }
    dense[DENSE_NEXT] = (float)log(next_prior(sum, popular));
    dense[DENSE_LAST_NEXT] = share_log((double)sum->last_next);
    dense[DENSE_LAST_NEAR] = share_log((double)sum->last_near);
    dense[DENSE_SECOND_NEXT] = share_log((double)sum->second_next);
    dense[DENSE_SESSION_NEAR] = share_log((double)sum->session_near);
    dense[DENSE_LAST_BEFORE] = share_log((double)sum->last_before);
    dense[DENSE_SESSION_BEFORE] = share_log((double)sum->session_before);
    dense[DENSE_UNPAIRED] = sum->last_next > 0 ? 0.0f : 1.0f;
    double here = tally->acted[0] > 0 ? tally->acted_here / tally->acted[0] : 0;
    dense[DENSE_HERE] = here == 0 ? request->features->here_none : here_log(here);
}

/* The person's mean smoothed rate over the values of an item; 0 for unknown ones. */
static float taste_rate(const struct feature_request *request, const struct profile_taste *tastes,
                        int taste_count, const uint64_t *values, int count) {
    float sum = 0;
    for (int v = 0; v < count; v++) {
        for (int i = 0; i < taste_count; i++) {
            if (tastes[i].value == values[v]) {
                sum += smoothed((double)tastes[i].acted, (double)tastes[i].shown, &request->liked);
            }
        }
    }
    return count > 0 ? sum / (float)count : 0.0f;
}

static void dense_tasks(const struct feature_request *request, const struct tally_view *tally,
                        float *task) {
    for (int t = 0; t < request->features->tasks; t++, task += TASK_DENSE) {
        task[TASK_ITEM] = smoothed(tally->positives[t], tally->chances[t], &request->prior[t]);
    }
}

static uint32_t most_chances(const uint32_t *chances, int tasks) {
    uint32_t most = 0;
    for (int t = 0; t < tasks; t++) {
        most = chances[t] > most ? chances[t] : most;
    }
    return most;
}

static bool acted_lately(const struct profile_view *profile, uint64_t item) {
    for (int i = 0; i < profile->recent_count; i++) {
        if (profile->recent_items[i] == item) {
            return true;
        }
    }
    return false;
}

static float item_count_log(const struct features *features, double count) {
    return count < COUNT_LOGS ? features->count_logs[(int)count] : count_log(count);
}

static void dense_item(const struct feature_request *request, const struct catalog_view *item,
                       const struct tally_view *tally, float *dense) {
    const struct profile_view *profile = request->moment.profile;
    int tasks = request->features->config->action_count;
    double age_hours = fmax((double)(request->moment.now_ms - item->created_ms), 0.0) / 3600000.0;
    double item_count = fmax(most_chances(tally->chances, tasks), (double)tally->total_acted);
    dense[DENSE_AGE] = (float)(0.25 * log1p(age_hours));
    dense[DENSE_YOUNG] = age_hours < 1.0 ? 1.0f : 0.0f;
    dense[DENSE_AGAIN] = acted_lately(profile, item->hash) ? 1.0f : 0.0f;
    dense[DENSE_ITEM_COUNT] = item_count_log(request->features, item_count);
    dense[DENSE_USER_CATEGORY] = taste_rate(request, profile->categories, profile->category_count,
                                            item->categories, item->category_count);
    dense[DENSE_USER_AUTHOR] = taste_rate(request, profile->authors, profile->author_count,
                                          &item->author, item->author != 0);
}

static void dense_ratings(const struct feature_request *request, uint64_t item, float *dense) {
    struct ratings_view view = {0};
    if (request->moment.ratings) {
        ratings_read_item(request->moment.ratings, item, request->moment.rated, &view);
    }
    dense[DENSE_RATING_ITEM] = view.mean;
    dense[DENSE_RATING_NEAR] = view.near;
    dense[DENSE_RATING_NEAREST] = view.nearest;
}

/* What an item cannot change. */
static void dense_request(struct feature_request *request) {
    const struct profile_view *profile = request->moment.profile;
    int tasks = request->features->config->action_count;
    float *dense = request->dense;
    dense[DENSE_USER_COUNT] = count_log(most_chances(profile->chances, tasks));
    if (request->moment.rated) {
        dense[DENSE_RATING_USER] = request->moment.rated->mean;
        dense[DENSE_RATING_LATELY] = request->moment.rated->lately;
        dense[DENSE_RATING_LAST] = request->moment.rated->last;
    }
    float *task = dense + DENSE_FIXED;
    for (int t = 0; t < request->features->tasks; t++, task += TASK_DENSE) {
        const struct prior *prior = &request->prior[t];
        task[TASK_PRIOR] = (float)prior->log_odds;
        task[TASK_USER] = smoothed(profile->positives[t], profile->chances[t], prior);
        task[TASK_USER_LATELY] = smoothed((double)profile->lately_positives[t],
                                          (double)profile->lately_chances[t], prior);
    }
}

/* --- the two halves --- */

leat_status feature_begin_few(const struct features *features, const struct feature_moment *moment,
                              struct arena *arena, struct feature_request **out, leat_error *err) {
    struct feature_request *request = arena_alloc(arena, sizeof(*request));
    if (!request) {
        return error_memory(err, sizeof(*request));
    }
    request->features = features;
    request->moment = *moment;
    request->sums = NULL;
    request->sum_mask = 0;
    memset(request->dense, 0, sizeof(request->dense));
    priors_build(request);
    dense_request(request);
    slots_build(request);
    *out = request;
    return LEAT_OK;
}

leat_status feature_begin(const struct features *features, const struct feature_moment *moment,
                          struct arena *arena, struct feature_request **out, leat_error *err) {
    TRY(feature_begin_few(features, moment, arena, out, err));
    return sums_build(*out, arena, err);
}

void feature_fill_few(const struct feature_request *request, const struct feature_pairs *pairs,
                      const struct catalog_view *item, const struct tally_view *tally,
                      uint64_t *keys, int *key_count, float *dense, int *dense_count) {
    *dense_count = features_dense_count(request->features);
    memcpy(dense, request->dense, (size_t)*dense_count * sizeof(*dense));
    dense_next(request, pairs, tally, dense);
    dense_item(request, item, tally, dense);
    dense_tasks(request, tally, dense + DENSE_FIXED);
    dense_ratings(request, item->hash, dense);
    *key_count = keys_fill(request, item, dense, keys);
}

void feature_fill(const struct feature_request *request, const struct catalog_view *item,
                  const struct tally_view *tally, uint64_t *keys, int *key_count, float *dense,
                  int *dense_count) {
    const struct pair_sum *sum = sum_at(request, item->hash);
    feature_fill_few(request, &sum->pairs, item, tally, keys, key_count, dense, dense_count);
}
