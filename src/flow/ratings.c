#include "flow/ratings.h"

#include "base/hash.h"
#include "base/memory.h"

#include <math.h>

enum { PERSON_RECORD = 0, ITEM_RECORD = 1 };
enum { UNITS = 4, FIRST_PLACES = 4, VICTIMS = 8 };

/* How many values of nobody in particular a mean starts with. */
#define PERSON_PRIOR    2.0
#define ITEM_PRIOR      5.0
#define NEIGHBOUR_PRIOR 5.0f
/* A correlation over n people is worth n / (n + this). */
#define PEOPLE_PRIOR 40.0f
/* Added to both sums of squares: a correlation of two people is not 1. */
#define SQUARES_PRIOR 2.0f
/* Total weight of a neighbour that says nothing. */
#define WEIGHT_PRIOR 0.5f
#define LATELY_FADE  0.2f

struct person_record {
    double sum; /* of values above the threshold */
    uint64_t count;
    float lately, last;
    uint64_t held;
    struct rated recent[]; /* newest first */
};

struct neighbour {
    uint64_t item;
    float people;
    float x, y, xx, yy, xy;
};

struct item_record {
    double sum; /* of deviations */
    uint64_t count;
    uint64_t added; /* neighbours, in all */
    uint64_t held;
    struct neighbour neighbours[];
};

struct ratings {
    struct state *state;
    int action; /* -1: none */
    double threshold;
};

leat_status ratings_open(const struct config *config, struct state_budget *budget,
                         struct ratings **out, leat_error *err) {
    struct ratings *ratings = memory_zalloc(sizeof(*ratings));
    if (!ratings) {
        return error_memory(err, sizeof(*ratings));
    }
    ratings->action = -1;
    for (int a = config->action_count - 1; a >= 0; a--) {
        if (config->actions[a].fields.threshold > 0) {
            ratings->action = a;
            ratings->threshold = config->actions[a].fields.threshold;
        }
    }
    struct state_options options = {
        .name = "ratings", .groups = (uint32_t)config->root.key_groups, .budget = budget};
    leat_status status = state_open(&options, &ratings->state, err);
    if (status < 0) {
        memory_free(ratings);
        return status;
    }
    *out = ratings;
    return LEAT_OK;
}

void ratings_close(struct ratings *ratings) {
    if (ratings) {
        state_close(ratings->state);
        memory_free(ratings);
    }
}

struct state *ratings_state(struct ratings *ratings) {
    return ratings->state;
}

bool ratings_any(const struct ratings *ratings) {
    return ratings->action >= 0;
}

bool ratings_is(const struct ratings *ratings, const struct row *row) {
    return row->kind == ROW_ACTION && row->action == ratings->action && row->has_value &&
           row->user.data && row->item.data;
}

/* Above the threshold, in its quarters. */
static double value_of(const struct ratings *ratings, const struct row *row) {
    double value = UNITS * row->value / ratings->threshold;
    return fmin(fmax(value, 0.0), RATINGS_VALUE_MAX) - UNITS;
}

static float person_mean(const struct person_record *record) {
    return record ? (float)(record->sum / ((double)record->count + PERSON_PRIOR)) : 0.0f;
}

/* --- reading a person --- */

static uint32_t slot_of(uint64_t item) {
    return (uint32_t)(hash_mix(item, 0) % RATINGS_SLOTS);
}

static void slots_fill(struct ratings_person *person) {
    memset(person->slots, 0, sizeof(person->slots));
    for (int i = 0; i < person->count; i++) {
        uint32_t slot = slot_of(person->recent[i].item);
        while (person->slots[slot] != 0) {
            slot = (slot + 1) % RATINGS_SLOTS;
        }
        person->slots[slot] = (uint8_t)(i + 1);
    }
}

/* Place of an item among the recent ones; -1: it is none. */
static int recent_find(const struct ratings_person *person, uint64_t item) {
    for (uint32_t slot = slot_of(item); person->slots[slot] != 0;
         slot = (slot + 1) % RATINGS_SLOTS) {
        if (person->recent[person->slots[slot] - 1].item == item) {
            return person->slots[slot] - 1;
        }
    }
    return -1;
}

bool ratings_read_person(struct ratings *ratings, struct slice user, struct ratings_person *out) {
    const struct person_record *record = NULL;
    out->count = 0;
    out->mean = out->lately = out->last = 0;
    out->values = 0;
    if (user.data && ratings_any(ratings)) {
        struct state_key key = {hash_slice(user), user, PERSON_RECORD, 0};
        uint32_t size;
        state_enter(ratings->state, key.hash);
        record = state_get(ratings->state, &key, &size, NULL);
        if (record) {
            out->count = (int)record->held;
            out->mean = person_mean(record);
            out->lately = record->lately;
            out->last = record->last;
            out->values = record->count;
            memcpy(out->recent, record->recent, record->held * sizeof(record->recent[0]));
        }
        state_leave(ratings->state, key.hash);
    }
    slots_fill(out);
    return record != NULL;
}

/* --- reading an item --- */

static float correlation(const struct neighbour *n) {
    float xy = n->xy - n->x * n->y / n->people;
    float xx = fmaxf(n->xx - n->x * n->x / n->people, 0);
    float yy = fmaxf(n->yy - n->y * n->y / n->people, 0);
    return xy / sqrtf((xx + SQUARES_PRIOR) * (yy + SQUARES_PRIOR)) * n->people /
           (n->people + PEOPLE_PRIOR);
}

/* Items that are valued alike speak; what is valued the other way says little, and less surely. */
static void neighbours_ask(const struct item_record *record, const struct ratings_person *person,
                           struct ratings_view *out) {
    float sum = 0;
    float weight = WEIGHT_PRIOR;
    float square_sum = 0;
    float square_weight = WEIGHT_PRIOR * WEIGHT_PRIOR;
    for (uint64_t i = 0; i < record->held; i++) {
        const struct neighbour *n = &record->neighbours[i];
        int place = recent_find(person, n->item);
        float w = place < 0 ? 0 : correlation(n);
        if (w > 0) {
            float said = person->recent[place].deviation - n->y / (n->people + NEIGHBOUR_PRIOR);
            sum += w * said;
            weight += w;
            square_sum += w * w * said;
            square_weight += w * w;
        }
    }
    out->near = sum / weight;
    out->nearest = square_sum / square_weight;
}

void ratings_read_item(struct ratings *ratings, uint64_t item, const struct ratings_person *person,
                       struct ratings_view *out) {
    *out = (struct ratings_view){0};
    if (!ratings_any(ratings)) {
        return;
    }
    struct state_key key = {item, {NULL, 0}, ITEM_RECORD, 0};
    uint32_t size;
    state_enter(ratings->state, key.hash);
    const struct item_record *record = state_get(ratings->state, &key, &size, NULL);
    if (record) {
        out->mean = (float)(record->sum / ((double)record->count + ITEM_PRIOR));
        if (person && person->count > 0) {
            neighbours_ask(record, person, out);
        }
    }
    state_leave(ratings->state, key.hash);
}

/* --- pushing --- */

/* The record with room for one more of `bytes` each, which grows by doubling up to `places_max`;
 * NULL beyond the budget. `held` says where the number of those it holds stands. */
static void *record_at(struct ratings *ratings, const struct state_key *key, size_t head,
                       size_t held_at, size_t bytes, uint64_t places_max) {
    uint32_t size = 0;
    char *record = state_edit(ratings->state, key, &size);
    uint64_t held = 0;
    if (record) {
        memcpy(&held, record + held_at, sizeof(held));
    }
    bool full = record && held < places_max && head + held * bytes == size;
    if (!record || full) {
        uint64_t places = held == 0 ? FIRST_PLACES : 2 * held;
        places = places < places_max ? places : places_max;
        void *grown;
        uint32_t wanted = (uint32_t)(head + places * bytes);
        return state_put(ratings->state, key, wanted, &grown, NULL) < 0 ? NULL : grown;
    }
    return record;
}

static void recent_push(struct person_record *record, uint64_t item, float deviation) {
    uint64_t at = 0;
    while (at < record->held && record->recent[at].item != item) {
        at++;
    }
    if (at == record->held) {
        at = at < RATINGS_RECENT ? at : RATINGS_RECENT - 1;
        record->held = at + 1;
    }
    memmove(record->recent + 1, record->recent, at * sizeof(record->recent[0]));
    record->recent[0] = (struct rated){item, deviation, 0};
}

float ratings_push_person(struct ratings *ratings, const struct row *row) {
    const struct state_key key = {row->user_hash, row->user, PERSON_RECORD, 0};
    double value = value_of(ratings, row);
    float deviation = (float)value;
    state_enter(ratings->state, key.hash);
    struct person_record *record =
        record_at(ratings, &key, sizeof(struct person_record), offsetof(struct person_record, held),
                  sizeof(struct rated), RATINGS_RECENT);
    if (record) {
        deviation = (float)value - person_mean(record);
        record->sum += value;
        record->count++;
        record->lately += LATELY_FADE * (deviation - record->lately);
        record->last = deviation;
        recent_push(record, row->item_hash, deviation);
    }
    state_leave(ratings->state, key.hash);
    return deviation;
}

void ratings_forget(struct ratings *ratings, const struct row *row) {
    const struct state_key key = {row->user_hash, row->user, PERSON_RECORD, 0};
    state_enter(ratings->state, key.hash);
    state_remove(ratings->state, &key);
    state_leave(ratings->state, key.hash);
}

static void neighbour_add(struct neighbour *n, float x, float y) {
    n->people += 1;
    n->x += x;
    n->y += y;
    n->xx += x * x;
    n->yy += y * y;
    n->xy += x * y;
}

/* A free place; or that of the neighbour with the fewest people among some in turn, so that what
 * many people share stays and what one did goes. */
static struct neighbour *neighbour_place(struct item_record *record) {
    uint64_t turn = record->added++ * VICTIMS;
    if (record->held < RATINGS_NEIGHBOURS) {
        return &record->neighbours[record->held++];
    }
    struct neighbour *fewest = &record->neighbours[turn % RATINGS_NEIGHBOURS];
    for (uint64_t k = 1; k < VICTIMS; k++) {
        struct neighbour *n = &record->neighbours[(turn + k) % RATINGS_NEIGHBOURS];
        fewest = n->people < fewest->people ? n : fewest;
    }
    return fewest;
}

static void *item_at(struct ratings *ratings, const struct state_key *key) {
    return record_at(ratings, key, sizeof(struct item_record), offsetof(struct item_record, held),
                     sizeof(struct neighbour), RATINGS_NEIGHBOURS);
}

/* First those that are neighbours already, in one walk over them, then the others. */
static void item_push(struct ratings *ratings, const struct state_key *key, float deviation,
                      const struct ratings_person *before) {
    struct item_record *record = item_at(ratings, key);
    bool known[RATINGS_RECENT] = {false};
    if (!record) {
        return;
    }
    for (uint64_t i = 0; i < record->held; i++) {
        struct neighbour *n = &record->neighbours[i];
        int place = recent_find(before, n->item);
        if (place >= 0) {
            neighbour_add(n, deviation, before->recent[place].deviation);
            known[place] = true;
        }
    }
    record->sum += (double)deviation;
    record->count++;
    for (int i = 0; i < before->count && record; i++) {
        if (!known[i] && before->recent[i].item != key->hash) {
            record = item_at(ratings, key);
            if (record) {
                struct neighbour *n = neighbour_place(record);
                *n = (struct neighbour){.item = before->recent[i].item};
                neighbour_add(n, deviation, before->recent[i].deviation);
            }
        }
    }
}

void ratings_push_item(struct ratings *ratings, const struct row *row, float deviation,
                       const struct ratings_person *before) {
    const struct state_key key = {row->item_hash, row->item, ITEM_RECORD, 0};
    state_enter(ratings->state, key.hash);
    item_push(ratings, &key, deviation, before);
    state_leave(ratings->state, key.hash);
}
