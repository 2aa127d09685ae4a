/* Features: the model's input for (person, moment, item), one function for serving and for
 * examples.
 *
 * Two halves: what the request says is prepared once (feature_begin), what the item says is added
 * for each candidate (feature_fill). The keys (feature_key.h) follow model.features in order; a
 * name that is not built in is looked up in the context. The dense features are enum dense, then
 * TASK_DENSE ones for each of the first FEATURE_TASKS tasks. */
#ifndef FLOW_FEATURE_H
#define FLOW_FEATURE_H

#include "base/arena.h"
#include "flow/background.h"
#include "flow/catalog.h"
#include "flow/example.h"
#include "flow/feature_spec.h"
#include "flow/pairs.h"
#include "flow/profile.h"
#include "flow/ratings.h"
#include "flow/tally.h"

struct features; /* the plan made from model.features; immutable */

leat_status features_create(const struct config *config, struct features **out, leat_error *err);
void features_destroy(struct features *features);
int features_dense_count(const struct features *features);
/* Weights that a new model starts with, for one task: 1 on the task's own prior, half on the
 * smoothed log-odds of item and person; and 1 on the prior of "next item" where all examples come
 * from click logs. features_dense_count floats. */
void features_dense_start(const struct features *features, int task, float *out);

/* What the request says. All borrowed until the last feature_fill. */
struct feature_moment {
    int64_t now_ms;
    int surface;
    uint64_t region;                    /* 0: unknown */
    const struct profile_view *profile; /* all zero for nobody */
    const struct background_view *background;
    const struct pairs_view *pairs; /* of the newest session items, newest first */
    int pairs_count;
    int context_count; /* pairs that win over the profile's */
    const struct slice *context;
    struct ratings *ratings;            /* asked for each candidate; NULL: there are none */
    const struct ratings_person *rated; /* what the person said of items; NULL: nothing */
};

struct feature_request;

leat_status feature_begin(const struct features *features, const struct feature_moment *moment,
                          struct arena *arena, struct feature_request **out, leat_error *err);

/* One candidate. `keys` holds EXAMPLE_KEYS_MAX, `dense` EXAMPLE_DENSE_MAX. Any thread; no
 * allocation. */
void feature_fill(const struct feature_request *request, const struct catalog_view *item,
                  const struct tally_view *tally, uint64_t *keys, int *key_count, float *dense,
                  int *dense_count);

/* The same where there are few candidates, as in examples: the moment's pairs are not read, and
 * what they say of a candidate (0 where nothing) is summed up by who knows them, in order of place.
 * Digit for digit the same features. */
struct feature_pairs {
    float last_next, last_near, second_next, session_near, last_before, session_before;
};
/* What the session's item number `place` (0: the last) says of a candidate that is among its out
 * (in) neighbours with these shares. `weight`: feature_place_weights. */
void feature_pairs_out(struct feature_pairs *sum, int place, float next, float near, float weight);
void feature_pairs_in(struct feature_pairs *sum, int place, float next, float near, float weight);
/* Weights of the places of `count` items, which add up to 1. */
void feature_place_weights(int count, float weights[PAIRS_BACK]);
leat_status feature_begin_few(const struct features *features, const struct feature_moment *moment,
                              struct arena *arena, struct feature_request **out, leat_error *err);
void feature_fill_few(const struct feature_request *request, const struct feature_pairs *pairs,
                      const struct catalog_view *item, const struct tally_view *tally,
                      uint64_t *keys, int *key_count, float *dense, int *dense_count);

/* The value of a context name for a person and a request; 0: unknown. */
uint64_t feature_context(const struct profile_view *profile, const struct slice *context, int count,
                         uint64_t name_hash);
/* Hash of the context name that stands for the region. */
uint64_t feature_region_name(void);

#endif
