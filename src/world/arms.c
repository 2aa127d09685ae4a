#include "world/arms.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/thread.h"

#include <math.h>

struct arms {
    const struct audience *audience;
    struct mutex mutex;
    double *clicks; /* of each item, weighted 2^(days since the start): order as if decayed */
};

struct arms_scratch {
    double *scores; /* by item */
};

leat_status arms_create(const struct audience *audience, struct arms **out, leat_error *err) {
    size_t bytes = (size_t)audience->item_count * sizeof(double);
    struct arms *arms = memory_zalloc(sizeof(*arms));
    double *clicks = memory_zalloc(bytes);
    if (!arms || !clicks) {
        memory_free(arms);
        memory_free(clicks);
        return error_memory(err, bytes);
    }
    *arms = (struct arms){.audience = audience, .clicks = clicks};
    mutex_init(&arms->mutex);
    *out = arms;
    return LEAT_OK;
}

void arms_destroy(struct arms *arms) {
    if (arms) {
        mutex_deinit(&arms->mutex);
        memory_free(arms->clicks);
        memory_free(arms);
    }
}

leat_status arms_scratch_create(const struct audience *audience, struct arms_scratch **out,
                                leat_error *err) {
    size_t bytes = (size_t)audience->item_count * sizeof(double);
    struct arms_scratch *scratch = memory_zalloc(sizeof(*scratch));
    double *scores = memory_zalloc(bytes);
    if (!scratch || !scores) {
        memory_free(scratch);
        memory_free(scores);
        return error_memory(err, bytes);
    }
    scratch->scores = scores;
    *out = scratch;
    return LEAT_OK;
}

void arms_scratch_destroy(struct arms_scratch *scratch) {
    if (scratch) {
        memory_free(scratch->scores);
        memory_free(scratch);
    }
}

void arms_click(struct arms *arms, int item, int64_t time_ms) {
    double days = (double)(time_ms - arms->audience->options.start_ms) / 86400000.0;
    mutex_lock(&arms->mutex);
    arms->clicks[item] += exp2(days);
    mutex_unlock(&arms->mutex);
}

/* Ten items of a uniformly random order are ten items drawn uniformly without replacement. */
static double random_score(const struct audience *audience, const struct visit *visit, int item) {
    uint64_t page = (uint64_t)visit->person << 32 | visit->page;
    return hash_unit(hash_mix(hash_mix(audience->options.seed, page), (uint64_t)item));
}

static void score_items(struct arms *arms, enum arm arm, const struct visit *visit, int first,
                        int end, double *scores) {
    const struct audience *audience = arms->audience;
    switch (arm) {
    case ARM_RANDOM:
        for (int item = first; item < end; item++) {
            scores[item] = random_score(audience, visit, item);
        }
        break;
    case ARM_POPULAR:
        mutex_lock(&arms->mutex);
        for (int item = first; item < end; item++) {
            scores[item] = arms->clicks[item];
        }
        mutex_unlock(&arms->mutex);
        break;
    case ARM_ORACLE:
        for (int item = first; item < end; item++) {
            scores[item] = audience_logit(audience, visit->person, item, visit->time_ms);
        }
        break;
    case ARM_COUNT: break;
    }
}

/* Keeps `out` sorted by falling score, equals by falling item: newer first. */
static int insert_best(const double *scores, int item, int count, int chosen, int *out) {
    if (chosen == count && scores[item] < scores[out[count - 1]]) {
        return chosen;
    }
    int at = chosen < count ? chosen : count - 1;
    while (at > 0 && scores[out[at - 1]] <= scores[item]) {
        out[at] = out[at - 1];
        at--;
    }
    out[at] = item;
    return chosen < count ? chosen + 1 : count;
}

int arms_choose(struct arms *arms, struct arms_scratch *scratch, enum arm arm,
                const struct visit *visit, int count, int *out) {
    const uint64_t *shown = arms->audience->people[visit->person].shown;
    int first;
    int end;
    audience_live(arms->audience, visit->time_ms, &first, &end);
    score_items(arms, arm, visit, first, end, scratch->scores);
    int chosen = 0;
    for (int item = first; item < end && count > 0; item++) {
        if (!audience_bit(shown, item)) {
            chosen = insert_best(scratch->scores, item, count, chosen, out);
        }
    }
    return chosen;
}
