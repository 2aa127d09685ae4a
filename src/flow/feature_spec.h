/* What the features of model.features are, in the order of the list. The place of one in the list
 * is its field (feature_key.h).
 *
 *   feature  operand                      its value's key, or one for each value of a list
 *            operand * operand            a cross: a key for each pair of values
 *            history(action, n)           the newest n items on which the person's action was
 *                                         positive, each once, newest first; pooled by their mean
 *            history(action, n, target)   the same, pooled by attention to the item in question
 *            bucket(dense, b1, b2 ...)    into which of the ranges (.., b1) [b1, b2) .. [bn, ..) a
 *                                         dense feature falls
 *   operand  user, item, author, category, tag, hour (of the day, UTC), surface, last and second
 *            (the newest and second newest item of the session), or a name of the context
 *
 * A history shares the rows of `item`. category and tag are lists. */
#ifndef FLOW_FEATURE_SPEC_H
#define FLOW_FEATURE_SPEC_H

#include "base/config.h"
#include "flow/example.h"
#include "flow/feature_key.h"

/* Shares are of all actions with a positive weight on the surface, or of what follows (precedes) an
 * item of the session; 0 where nothing is known. share_log: log((share + 1e-5) / 1e-5) / 4. */
enum dense {
    DENSE_NEXT,         /* log of a fixed mixture of the shares below: a prior of "next item" */
    DENSE_LAST_NEXT,    /* share_log among what follows the session's last item directly */
    DENSE_LAST_NEAR,    /* the same, within PAIRS_BACK steps */
    DENSE_SECOND_NEXT,  /* as LAST_NEXT for the item before the last one */
    DENSE_SESSION_NEAR, /* near shares over the session's items, faded by distance */
    DENSE_LAST_BEFORE,  /* share_log among what comes directly before the last item */
    DENSE_SESSION_BEFORE,
    DENSE_UNPAIRED, /* 1 when the item never followed the last item directly */
    DENSE_MINUTES,  /* share_log of popularity, shortest half-life */
    DENSE_HOUR,
    DENSE_DAY,
    DENSE_HERE,          /* log of the share of the item's own acts that came from this region */
    DENSE_AGE,           /* log of hours since the item was created */
    DENSE_YOUNG,         /* 1 within its first hour */
    DENSE_AGAIN,         /* 1 when the person acted on it lately */
    DENSE_USER_COUNT,    /* log of the person's chances */
    DENSE_ITEM_COUNT,    /* log of the item's chances, or acts where there are more */
    DENSE_USER_CATEGORY, /* mean over the item's categories of the person's smoothed rate */
    DENSE_USER_AUTHOR,   /* the person's smoothed rate with the author */
    DENSE_RATING_USER,   /* of ratings.h: the person's mean */
    DENSE_RATING_LATELY, /* the person's fading mean of deviations */
    DENSE_RATING_LAST,   /* the person's last deviation */
    DENSE_RATING_ITEM,   /* mean of the item's deviations */
    DENSE_RATING_NEAR,   /* expected deviation from its neighbours */
    DENSE_RATING_NEAREST,
    DENSE_FIXED
};
/* For each task: the log-odds of its rate on the surface (0 where nothing is known of chances), and
 * smoothed log-odds, minus the surface's, of the person, of the person lately, and of the item. An
 * unseen key gives 0. */
enum task_dense { TASK_PRIOR, TASK_USER, TASK_USER_LATELY, TASK_ITEM, TASK_DENSE };
enum { FEATURE_TASKS = 4 };

enum feature_source {
    SOURCE_USER,
    SOURCE_ITEM,
    SOURCE_AUTHOR,
    SOURCE_CATEGORY,
    SOURCE_TAG,
    SOURCE_HOUR,
    SOURCE_SURFACE,
    SOURCE_LAST,
    SOURCE_SECOND,
    SOURCE_CONTEXT,
};

struct feature_operand {
    enum feature_source source;
    struct slice text;
};

enum feature_kind { FEATURE_PLAIN, FEATURE_CROSS, FEATURE_HISTORY, FEATURE_BUCKET };
/* How a field's embeddings become one. */
enum feature_pool { FEATURE_SUM, FEATURE_MEAN, FEATURE_TARGET };
enum { FEATURE_BOUNDS_MAX = 24 };

struct feature_spec {
    enum feature_kind kind;
    struct slice text;           /* as in the list; borrowed */
    struct feature_operand a, b; /* plain: a. Cross: both */
    struct slice of;             /* history: the action; bucket: the dense feature */
    int length;                  /* history */
    bool target;                 /* history */
    int bound_count;             /* bucket: rising */
    float bounds[FEATURE_BOUNDS_MAX];
};

/* One feature by its words alone: for who reads columns of files too. LEAT_INVALID says what is
 * wrong with it. */
leat_status feature_spec_parse(struct slice text, struct feature_spec *out, leat_error *err);

/* A feature in its list. */
struct feature_field {
    struct feature_spec spec;
    enum feature_pool pool;
    int shares;   /* the field whose rows it uses; its own place where it has rows of its own */
    int target;   /* FEATURE_TARGET: the field that asks; else -1 */
    bool of_item; /* its keys may differ from candidate to candidate */
    int keys_max; /* of one example */
    int action;   /* history */
    int dense;    /* bucket: the place of the dense feature */
};

struct feature_fields {
    int count;
    int keys_max; /* of one example, all fields */
    struct feature_field fields[CONFIG_LIST_MAX];
};

/* All of model.features. LEAT_INVALID names a feature whose words are wrong, whose action or dense
 * feature there is not, a history without `item`; or says that examples could have more than
 * EXAMPLE_KEYS_MAX keys. Borrows the configuration's texts. */
leat_status features_fields(const struct config *config, struct feature_fields *out,
                            leat_error *err);

/* Items kept of the histories of an action: the longest that a feature asks for; 0: none. */
int features_history_max(const struct feature_fields *fields, int action);

int features_dense_number(const struct config *config); /* how many there are */
/* Name of dense feature number `index`, and the number of a name (-1: none). Those of a task are
 * <action>_prior, <action>_user, <action>_user_lately, <action>_item. */
enum { FEATURE_NAME_MAX = CONFIG_NAME_MAX + 16 };
void features_dense_name(const struct config *config, int index, char out[FEATURE_NAME_MAX]);
int features_dense_find(const struct config *config, struct slice name);

#endif
