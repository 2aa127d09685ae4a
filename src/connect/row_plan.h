/* What an example is made of, out of the columns of a row: the words of `--features` and `--label`.
 *
 *   user                    the value of a column, as an id
 *   user*genre              a cross: each pair of values is an id
 *   list(genres, |)         many ids in one cell
 *   history(seen, 50)       the last 50 of a list, pooled by their mean; further words: another
 *                           separator, the feature whose rows it shares, and then `target`: pooled
 *                           by attention to that one
 *   bucket(price, 20)       which of 20 parts of equal size of the rows read first
 *   bucket(age, 18, 25, 40) which part between bounds
 *   logbucket(count)        floor(log(x)^2) above 2, x itself below: what is usual for Criteo
 *   dense(age)              a number; dense(age, log): sign(x) log(1 + |x|); dense(age, standard):
 *                           less the running mean, over the running deviation; or both
 *
 *   click                   a label: 0 or -1, and 1; empty: says nothing
 *   rating>=4               positive from 4 on
 *   watch:regression        the value itself
 *   like=rating>=4          the same by another name
 *
 * Every feature that is not dense is a field, numbered in their order (feature_key.h). The key of a
 * value is the hash of its text, whatever file it came from; a cross mixes those of its parts. An
 * empty cell is a value like any other, and of a list none. */
#ifndef CONNECT_ROW_PLAN_H
#define CONNECT_ROW_PLAN_H

#include "connect/row_source.h"
#include "learn/model_spec.h"

enum {
    PLAN_OPERANDS_MAX = 128,
    PLAN_CROSS_MAX = 4,
    PLAN_BOUNDS_MAX = 255,
    PLAN_FEATURE_MAX = 256, /* bytes of one feature's words */
};

enum plan_kind { PLAN_ID, PLAN_LIST, PLAN_HISTORY, PLAN_BUCKET, PLAN_LOGBUCKET };

/* One column turned into ids. */
struct plan_operand {
    enum plan_kind kind;
    char column[CONFIG_NAME_MAX];
    char separator;           /* PLAN_LIST, PLAN_HISTORY */
    int last;                 /* PLAN_HISTORY: how many */
    bool target;              /* PLAN_HISTORY: attention to `of` */
    char of[CONFIG_NAME_MAX]; /* PLAN_HISTORY: the feature whose rows it shares, or "" */
    int parts;       /* PLAN_BUCKET: parts of equal size whose bounds are still to be found, or 0 */
    int bound_count; /* PLAN_BUCKET: bound i divides part i from part i + 1, to which it belongs */
    double *bounds;
};

struct plan_field {
    char name[CONFIG_NAME_MAX];
    int operand_count;
    int operands[PLAN_CROSS_MAX];
};

struct plan_dense {
    char column[CONFIG_NAME_MAX];
    bool log, standard;
};

struct plan_label {
    char name[CONFIG_NAME_MAX];
    char column[CONFIG_NAME_MAX];
    bool regression;
    bool threshold;
    double at_least; /* `threshold`: positive from here on */
};

struct row_plan {
    int operand_count;
    struct plan_operand operands[PLAN_OPERANDS_MAX];
    int field_count;
    struct plan_field fields[MODEL_FIELDS_MAX];
    int dense_count;
    struct plan_dense dense[MODEL_DENSE_MAX];
    int label_count;
    struct plan_label labels[MODEL_TASKS_MAX];
    char weight[CONFIG_NAME_MAX];         /* column of an example's weight; "": 1 each */
    char time[CONFIG_NAME_MAX];           /* column of its time; "": none */
    uint64_t hash_rows[MODEL_FIELDS_MAX]; /* keys of a field are modulo this; 0: all apart */
};

/* Adds what the words say, separated by commas. LEAT_INVALID names the word that is wrong. */
leat_status plan_add_features(struct row_plan *plan, const char *words, leat_error *err);
/* A column whatever its name is, as a feature of PLAN_ID or PLAN_LOGBUCKET. */
leat_status plan_add_column(struct row_plan *plan, const char *column, enum plan_kind kind,
                            leat_error *err);
leat_status plan_add_labels(struct row_plan *plan, const char *words, leat_error *err);
/* "1000", or "user=1000,item=500": fields as they are named. */
leat_status plan_hash_rows(struct row_plan *plan, const char *words, leat_error *err);
void plan_deinit(struct row_plan *plan); /* a plan that is all zero is empty */

/* Whether any part of it reads the column. */
bool plan_wants(const struct row_plan *plan, const char *column);
/* Into fields, dense inputs and tasks of a model; the rest of `spec` stays. LEAT_INVALID when a
 * history shares the rows of what is no feature. */
leat_status plan_into_spec(const struct row_plan *plan, struct model_spec *spec, leat_error *err);

/* Looks at the first rows of a file (PLAN_SURVEY_ROWS): what is open in the plan is settled by
 * them. Without labels it is `label` for criteo, vw and libsvm; the weight of vw is `importance`.
 * `features` NULL: every column that is not something else is a feature (of vw and libsvm,
 * those that these rows have). `interactions` (may be NULL): pairs of first letters of features,
 * by comma, that are crossed, as "AB,AC". Then bounds of buckets. LEAT_INVALID names columns that
 * are not there, with the nearest. */
enum { PLAN_SURVEY_ROWS = 10000 };
leat_status plan_survey(struct row_plan *plan, const struct row_source_options *options,
                        const char *features, const char *interactions, leat_error *err);

/* One line that says all of it: two plans that read alike say the same. */
void plan_describe(const struct row_plan *plan, struct bytes *out);

#endif
