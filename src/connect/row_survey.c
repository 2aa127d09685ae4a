/* What the first rows of a file settle: which columns there are, and bounds of buckets. */
#include "base/memory.h"
#include "base/text.h"
#include "connect/row_plan.h"

#include <stdlib.h>

struct numbers {
    int count;
    double *values; /* PLAN_SURVEY_ROWS of them; NULL where the operand has its bounds */
};

struct survey {
    struct row_plan *plan;
    struct row_source *source;
    struct numbers numbers[PLAN_OPERANDS_MAX];
};

static int number_compare(const void *left, const void *right) {
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Bounds between parts of equal size; equal ones are one. */
static void set_bounds(struct plan_operand *operand, struct numbers *numbers) {
    qsort(numbers->values, (size_t)numbers->count, sizeof(double), number_compare);
    for (int i = 1; i < operand->parts && numbers->count > 0; i++) {
        double bound = numbers->values[(int64_t)i * numbers->count / operand->parts];
        if (bound > numbers->values[0] &&
            (operand->bound_count == 0 || bound > operand->bounds[operand->bound_count - 1])) {
            operand->bounds[operand->bound_count++] = bound;
        }
    }
    operand->parts = 0;
}

static leat_status prepare_numbers(struct survey *survey, leat_error *err) {
    for (int i = 0; i < survey->plan->operand_count; i++) {
        if (survey->plan->operands[i].parts == 0) {
            continue;
        }
        size_t bytes = PLAN_SURVEY_ROWS * sizeof(double);
        survey->numbers[i].values = memory_alloc(bytes);
        if (!survey->numbers[i].values) {
            return error_memory(err, bytes);
        }
    }
    return LEAT_OK;
}

static void take_numbers(struct survey *survey, const struct row *row) {
    for (int i = 0; i < survey->plan->operand_count; i++) {
        struct numbers *numbers = &survey->numbers[i];
        for (int c = 0; numbers->values && c < row->count; c++) {
            const char *name = survey->source->columns.names[row->cells[c].column];
            if (numbers->count < PLAN_SURVEY_ROWS &&
                strcmp(name, survey->plan->operands[i].column) == 0 &&
                row_number(row->cells[c].text, &numbers->values[numbers->count])) {
                numbers->count++;
                break;
            }
        }
    }
}

/* Reads on to the end of the survey; malformed rows are refused by who reads them in earnest. */
static leat_status read_rows(struct survey *survey, leat_error *err) {
    for (int i = 0; i < PLAN_SURVEY_ROWS; i++) {
        struct row row;
        leat_status status = row_source_next(survey->source, &row, err);
        if (status == LEAT_END) {
            break;
        }
        if (status == LEAT_OK) {
            take_numbers(survey, &row);
        } else if (status != LEAT_INVALID) {
            return status;
        }
    }
    return LEAT_OK;
}

/* --- features where none are named --- */

static bool is_fixed(enum row_format format, const char *column) {
    return format == ROW_VW && (strcmp(column, "importance") == 0 || strcmp(column, "tag") == 0 ||
                                strcmp(column, "label") == 0);
}

static leat_status add_all(struct survey *survey, enum row_format format, leat_error *err) {
    const struct row_columns *columns = &survey->source->columns;
    for (int i = 0; i < columns->count; i++) {
        const char *name = columns->names[i];
        bool logged = format == ROW_CRITEO && name[0] == 'I';
        bool unused = format == ROW_LIBSVM && i == 1 && columns->count > 2;
        if (plan_wants(survey->plan, name) || is_fixed(format, name) || unused) {
            continue;
        }
        TRY(plan_add_column(survey->plan, name, logged ? PLAN_LOGBUCKET : PLAN_ID, err));
    }
    return LEAT_OK;
}

/* Every feature of one column that begins with the one letter, with every one that begins with the
 * other. */
static leat_status cross_letters(struct row_plan *plan, char a, char b, leat_error *err) {
    int count = plan->field_count;
    for (int i = 0; i < count; i++) {
        for (int k = a == b ? i + 1 : 0; k < count; k++) {
            const struct plan_field *left = &plan->fields[i];
            const struct plan_field *right = &plan->fields[k];
            char words[2 * CONFIG_NAME_MAX + 1];
            if (left->operand_count != 1 || right->operand_count != 1 || left->name[0] != a ||
                right->name[0] != b) {
                continue;
            }
            snprintf(words, sizeof(words), "%s*%s", left->name, right->name);
            TRY(plan_add_features(plan, words, err));
        }
    }
    return LEAT_OK;
}

static leat_status add_interactions(struct row_plan *plan, const char *interactions,
                                    leat_error *err) {
    for (const char *at = interactions; at && *at; at += 2 + (at[2] == ',')) {
        int before = plan->field_count;
        if (at[1] == '\0' || (at[2] != '\0' && at[2] != ',')) {
            return error_set(err, LEAT_INVALID,
                             "interactions '%s': pairs of letters by comma are wanted, as AB,AC",
                             interactions);
        }
        TRY(cross_letters(plan, at[0], at[1], err));
        if (plan->field_count == before) {
            return error_set(err, LEAT_INVALID,
                             "interactions '%s': no features begin with %c and with %c",
                             interactions, at[0], at[1]);
        }
    }
    return LEAT_OK;
}

/* --- columns that are not there --- */

static leat_status check_column(const struct survey *survey, const char *column, leat_error *err) {
    const struct row_columns *columns = &survey->source->columns;
    const char *known[ROW_COLUMNS_MAX];
    for (int i = 0; i < columns->count; i++) {
        known[i] = columns->names[i];
        if (strcmp(column, known[i]) == 0) {
            return LEAT_OK;
        }
    }
    const char *nearest = text_nearest(slice_of(column), known, columns->count);
    return error_set(err, LEAT_INVALID, "there is no column '%s'%s%s%s", column,
                     nearest ? "; did you mean '" : "; --describe lists those there are",
                     nearest ? nearest : "", nearest ? "'?" : "");
}

static leat_status check_columns(const struct survey *survey, leat_error *err) {
    const struct row_plan *plan = survey->plan;
    for (int i = 0; i < plan->label_count; i++) {
        TRY(check_column(survey, plan->labels[i].column, err));
    }
    for (int i = 0; i < plan->operand_count; i++) {
        TRY(check_column(survey, plan->operands[i].column, err));
    }
    for (int i = 0; i < plan->dense_count; i++) {
        TRY(check_column(survey, plan->dense[i].column, err));
    }
    if (plan->weight[0]) {
        TRY(check_column(survey, plan->weight, err));
    }
    return plan->time[0] ? check_column(survey, plan->time, err) : LEAT_OK;
}

/* --- the whole --- */

/* The columns of vw and libsvm are known when rows were read. */
static bool grows(enum row_format format) {
    return format == ROW_VW || format == ROW_LIBSVM;
}

static leat_status survey_features(struct survey *survey, const struct row_source_options *options,
                                   const char *features, const char *interactions,
                                   leat_error *err) {
    if (features) {
        TRY(plan_add_features(survey->plan, features, err));
    }
    if (grows(options->format)) {
        TRY(prepare_numbers(survey, err));
        TRY(read_rows(survey, err));
    }
    if (!features) {
        TRY(add_all(survey, options->format, err));
    }
    TRY(add_interactions(survey->plan, interactions, err));
    TRY(check_columns(survey, err));
    if (!grows(options->format)) {
        TRY(prepare_numbers(survey, err));
        TRY(read_rows(survey, err));
    }
    for (int i = 0; i < survey->plan->operand_count; i++) {
        if (survey->numbers[i].values) {
            set_bounds(&survey->plan->operands[i], &survey->numbers[i]);
        }
    }
    return LEAT_OK;
}

leat_status plan_survey(struct row_plan *plan, const struct row_source_options *options,
                        const char *features, const char *interactions, leat_error *err) {
    bool labelled = options->format == ROW_CRITEO || grows(options->format);
    if (plan->label_count == 0 && !labelled) {
        return error_set(err, LEAT_INVALID, "no label: --label names its column");
    }
    if (plan->label_count == 0) {
        TRY(plan_add_labels(plan, "label", err));
    }
    if (options->format == ROW_VW && !plan->weight[0]) {
        memcpy(plan->weight, "importance", sizeof("importance"));
    }
    struct survey survey = {.plan = plan};
    struct row_source_options all = *options;
    all.wanted = NULL;
    TRY(row_source_open(&all, &survey.source, err));
    leat_status status = survey_features(&survey, options, features, interactions, err);
    for (int i = 0; i < PLAN_OPERANDS_MAX; i++) {
        memory_free(survey.numbers[i].values);
    }
    row_source_close(survey.source);
    return status < 0 ? error_in(err, status, "%s", options->path) : LEAT_OK;
}
