#include "connect/row_plan.h"

#include "base/memory.h"
#include "base/text.h"

enum { WORDS_MAX = PLAN_BOUNDS_MAX + 1, LIST_SEPARATOR = '|', HISTORY_MAX = 1024 };

/* --- words --- */

/* name(word, word ...), or a bare name with no words. */
struct call {
    struct slice name;
    int count;
    struct slice words[WORDS_MAX];
};

static struct slice trim(struct slice text) {
    while (text.size && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text = (struct slice){text.data + 1, text.size - 1};
    }
    while (text.size && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t')) {
        text.size--;
    }
    return text;
}

/* Cuts at the first `separator` outside of parentheses: gives what is before it, and leaves in
 * `rest` what is after it; false when nothing is left. */
static bool cut(struct slice *rest, char separator, struct slice *out) {
    int depth = 0;
    if (!rest->data) {
        return false;
    }
    for (size_t i = 0; i < rest->size; i++) {
        char c = rest->data[i];
        depth += (c == '(') - (c == ')');
        if (c == separator && depth == 0) {
            *out = trim((struct slice){rest->data, i});
            *rest = (struct slice){rest->data + i + 1, rest->size - i - 1};
            return true;
        }
    }
    *out = trim(*rest);
    *rest = (struct slice){NULL, 0};
    return true;
}

static leat_status bad_feature(struct slice text, const char *words, leat_error *err) {
    return error_set(err, LEAT_INVALID, "feature '%.*s': %s",
                     (int)(text.size < 100 ? text.size : 100), text.data, words);
}

static leat_status read_call(struct slice text, struct call *out, leat_error *err) {
    *out = (struct call){.name = text};
    const char *open = memchr(text.data, '(', text.size);
    if (!open) {
        return LEAT_OK;
    }
    if (text.data[text.size - 1] != ')') {
        return bad_feature(text, "the parenthesis is not closed", err);
    }
    out->name = trim((struct slice){text.data, (size_t)(open - text.data)});
    struct slice rest = {open + 1, (size_t)(text.data + text.size - open) - 2};
    struct slice word;
    while (cut(&rest, ',', &word)) {
        if (out->count == WORDS_MAX) {
            return bad_feature(text, "too many words between the parentheses", err);
        }
        out->words[out->count++] = word;
    }
    return LEAT_OK;
}

static leat_status copy_name(const char *what, struct slice name, char out[CONFIG_NAME_MAX],
                             leat_error *err) {
    if (name.size == 0 || name.size >= CONFIG_NAME_MAX) {
        return error_set(err, LEAT_INVALID, "%s: a name of %zu bytes; 1 to %d are taken", what,
                         name.size, CONFIG_NAME_MAX - 1);
    }
    memcpy(out, name.data, name.size);
    out[name.size] = '\0';
    return LEAT_OK;
}

/* --- operands --- */

static leat_status read_separator(struct slice word, struct slice feature, char *out,
                                  leat_error *err) {
    if (slice_is(word, "space")) {
        *out = ' ';
    } else if (word.size == 1) {
        *out = word.data[0];
    } else {
        return bad_feature(feature, "a separator is one character, or the word space", err);
    }
    return LEAT_OK;
}

/* One whole number: of how many parts. Else bounds, with commas or spaces between. */
static leat_status read_bounds(const struct call *call, struct slice feature,
                               struct plan_operand *out, leat_error *err) {
    int64_t parts;
    out->bounds = memory_zalloc(PLAN_BOUNDS_MAX * sizeof(double));
    if (!out->bounds) {
        return error_memory(err, PLAN_BOUNDS_MAX * sizeof(double));
    }
    if (call->count == 2 && text_to_i64(call->words[1], &parts) && parts >= 2 &&
        parts <= PLAN_BOUNDS_MAX + 1) {
        out->parts = (int)parts;
        return LEAT_OK;
    }
    for (int i = 1; i < call->count; i++) {
        struct slice rest = call->words[i];
        struct slice bound;
        while (cut(&rest, ' ', &bound)) {
            double *at = &out->bounds[out->bound_count];
            if (bound.size == 0) {
                continue;
            }
            if (out->bound_count == PLAN_BOUNDS_MAX || !row_number(bound, at) ||
                (out->bound_count > 0 && *at <= at[-1])) {
                return bad_feature(feature,
                                   "2 to 256 parts, or up to 255 bounds that rise, are "
                                   "wanted",
                                   err);
            }
            out->bound_count++;
        }
    }
    return LEAT_OK;
}

/* After column and length: a separator, the feature whose rows it shares, and `target`. */
static leat_status read_history(const struct call *call, struct slice feature,
                                struct plan_operand *out, leat_error *err) {
    int64_t last;
    if (!text_to_i64(call->words[1], &last) || last < 1 || last > HISTORY_MAX) {
        return bad_feature(feature, "history(column, n) with n from 1 to 1024 is wanted", err);
    }
    out->last = (int)last;
    for (int i = 2; i < call->count; i++) {
        if (slice_is(call->words[i], "target")) {
            out->target = true;
        } else if (call->words[i].size == 1 || slice_is(call->words[i], "space")) {
            TRY(read_separator(call->words[i], feature, &out->separator, err));
        } else {
            TRY(copy_name("feature", call->words[i], out->of, err));
        }
    }
    return out->target && !out->of[0]
               ? bad_feature(feature, "target needs the feature that is asked for before it", err)
               : LEAT_OK;
}

static leat_status read_operand(struct slice text, struct plan_operand *out, leat_error *err) {
    static const struct {
        const char *name;
        enum plan_kind kind;
        int least, most; /* words */
    } KINDS[] = {
        {"list", PLAN_LIST, 1, 2},
        {"history", PLAN_HISTORY, 2, 5},
        {"bucket", PLAN_BUCKET, 2, WORDS_MAX},
        {"logbucket", PLAN_LOGBUCKET, 1, 1},
    };
    struct call call;
    TRY(read_call(text, &call, err));
    *out = (struct plan_operand){.kind = PLAN_ID, .separator = LIST_SEPARATOR};
    if (call.count == 0) {
        return copy_name("feature", call.name, out->column, err);
    }
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        if (!slice_is(call.name, KINDS[i].name)) {
            continue;
        }
        if (call.count < KINDS[i].least || call.count > KINDS[i].most) {
            return bad_feature(text, "too few or too many words between the parentheses", err);
        }
        out->kind = KINDS[i].kind;
        TRY(copy_name("feature", call.words[0], out->column, err));
        switch (out->kind) {
        case PLAN_BUCKET: return read_bounds(&call, text, out, err);
        case PLAN_HISTORY: return read_history(&call, text, out, err);
        case PLAN_LIST:
            return call.count > 1 ? read_separator(call.words[1], text, &out->separator, err)
                                  : LEAT_OK;
        default: return LEAT_OK;
        }
    }
    return bad_feature(
        text, "there are list, history, bucket, logbucket and dense, and crosses a*b", err);
}

static bool same_operand(const struct plan_operand *a, const struct plan_operand *b) {
    return a->kind == b->kind && strcmp(a->column, b->column) == 0 &&
           a->separator == b->separator && a->last == b->last && a->parts == b->parts &&
           a->target == b->target && strcmp(a->of, b->of) == 0 &&
           a->bound_count == b->bound_count &&
           (a->bound_count == 0 ||
            memcmp(a->bounds, b->bounds, (size_t)a->bound_count * sizeof(double)) == 0);
}

/* Takes `operand`. One that two features have is computed once. */
static leat_status keep_operand(struct row_plan *plan, struct plan_operand *operand, int *out,
                                leat_error *err) {
    *out = 0;
    while (*out < plan->operand_count && !same_operand(operand, &plan->operands[*out])) {
        ++*out;
    }
    if (*out < plan->operand_count || *out == PLAN_OPERANDS_MAX) {
        memory_free(operand->bounds);
    } else {
        plan->operands[plan->operand_count++] = *operand;
    }
    return *out < PLAN_OPERANDS_MAX
               ? LEAT_OK
               : error_set(err, LEAT_INVALID, "more than %d parts of features", PLAN_OPERANDS_MAX);
}

static leat_status add_operand(struct row_plan *plan, struct slice text, int *out,
                               leat_error *err) {
    struct plan_operand operand = {.bounds = NULL};
    leat_status status = read_operand(text, &operand, err);
    if (status < 0) {
        memory_free(operand.bounds);
        return status;
    }
    return keep_operand(plan, &operand, out, err);
}

/* --- features --- */

static leat_status add_dense(struct row_plan *plan, const struct call *call, struct slice text,
                             leat_error *err) {
    if (plan->dense_count == MODEL_DENSE_MAX || call->count == 0) {
        return bad_feature(text, "dense(column), at most 256 of them", err);
    }
    struct plan_dense dense = {.log = false};
    TRY(copy_name("feature", call->words[0], dense.column, err));
    for (int i = 1; i < call->count; i++) {
        if (slice_is(call->words[i], "log")) {
            dense.log = true;
        } else if (slice_is(call->words[i], "standard")) {
            dense.standard = true;
        } else {
            return bad_feature(text, "after the column of dense, log and standard are possible",
                               err);
        }
    }
    plan->dense[plan->dense_count++] = dense;
    return LEAT_OK;
}

/* A name may be shorter than the words; what is beyond is cut. */
static void name_field(struct plan_field *field, struct slice text) {
    size_t size = text.size < CONFIG_NAME_MAX ? text.size : CONFIG_NAME_MAX - 1;
    memcpy(field->name, text.data, size);
    field->name[size] = '\0';
}

static leat_status keep_field(struct row_plan *plan, const struct plan_field *field,
                              leat_error *err) {
    if (plan->field_count == MODEL_FIELDS_MAX) {
        return error_set(err, LEAT_INVALID, "more than %d features that are ids", MODEL_FIELDS_MAX);
    }
    plan->fields[plan->field_count++] = *field;
    return LEAT_OK;
}

leat_status plan_add_column(struct row_plan *plan, const char *column, enum plan_kind kind,
                            leat_error *err) {
    struct plan_field field = {.operand_count = 1};
    struct plan_operand operand = {.kind = kind, .separator = LIST_SEPARATOR};
    TRY(copy_name("feature", slice_of(column), operand.column, err));
    TRY(keep_operand(plan, &operand, &field.operands[0], err));
    name_field(&field, slice_of(column));
    return keep_field(plan, &field, err);
}

static leat_status add_feature(struct row_plan *plan, struct slice text, leat_error *err) {
    struct call call;
    if (text.size == 0) {
        return error_set(err, LEAT_INVALID, "a feature without a name; commas separate them");
    }
    struct plan_field field = {.operand_count = 0};
    struct slice rest = text;
    struct slice part;
    if (!memchr(text.data, '*', text.size)) {
        TRY(read_call(text, &call, err));
        if (call.count > 0 && slice_is(call.name, "dense")) {
            return add_dense(plan, &call, text, err);
        }
    }
    while (cut(&rest, '*', &part)) {
        if (field.operand_count == PLAN_CROSS_MAX) {
            return bad_feature(text, "a cross has at most 4 parts", err);
        }
        TRY(add_operand(plan, part, &field.operands[field.operand_count++], err));
    }
    name_field(&field, text);
    return keep_field(plan, &field, err);
}

leat_status plan_add_features(struct row_plan *plan, const char *words, leat_error *err) {
    struct slice rest = slice_of(words);
    struct slice text;
    while (cut(&rest, ',', &text)) {
        TRY(add_feature(plan, text, err));
    }
    return LEAT_OK;
}

/* --- labels --- */

/* Where ">=" stands in a text; NULL when it does not. */
static const char *find_at_least(struct slice text) {
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] == '>' && text.data[i + 1] == '=') {
            return text.data + i;
        }
    }
    return NULL;
}

static leat_status add_label(struct row_plan *plan, struct slice text, leat_error *err) {
    struct plan_label label = {.regression = false};
    if (plan->label_count == MODEL_TASKS_MAX) {
        return error_set(err, LEAT_INVALID, "more than %d labels", MODEL_TASKS_MAX);
    }
    const char *least = find_at_least(text);
    struct slice column = text;
    if (least) {
        size_t before = (size_t)(least - text.data);
        struct slice number = trim((struct slice){least + 2, text.size - before - 2});
        label.threshold = true;
        column = trim((struct slice){text.data, before});
        if (!row_number(number, &label.at_least)) {
            return error_set(err, LEAT_INVALID, "label '%.*s': after >= a number is wanted",
                             (int)text.size, text.data);
        }
    }
    const char *colon = memchr(column.data, ':', column.size);
    if (colon && !least) {
        struct slice kind = {colon + 1, (size_t)(column.data + column.size - colon) - 1};
        if (!slice_is(kind, "regression")) {
            return error_set(err, LEAT_INVALID, "label '%.*s': only :regression is possible",
                             (int)text.size, text.data);
        }
        label.regression = true;
        column.size = (size_t)(colon - column.data);
    }
    const char *equals = memchr(column.data, '=', column.size);
    struct slice name = column;
    if (equals) {
        name = trim((struct slice){column.data, (size_t)(equals - column.data)});
        column = trim((struct slice){equals + 1, column.size - (size_t)(equals - column.data) - 1});
    }
    TRY(copy_name("label", name, label.name, err));
    TRY(copy_name("label", column, label.column, err));
    plan->labels[plan->label_count++] = label;
    return LEAT_OK;
}

leat_status plan_add_labels(struct row_plan *plan, const char *words, leat_error *err) {
    struct slice rest = slice_of(words);
    struct slice text;
    while (cut(&rest, ',', &text)) {
        TRY(add_label(plan, text, err));
    }
    return LEAT_OK;
}

leat_status plan_hash_rows(struct row_plan *plan, const char *words, leat_error *err) {
    struct slice rest = slice_of(words);
    struct slice text;
    while (cut(&rest, ',', &text)) {
        const char *equals = memchr(text.data, '=', text.size);
        struct slice name = {text.data, equals ? (size_t)(equals - text.data) : 0};
        struct slice number = {text.data + name.size + (equals != NULL),
                               text.size - name.size - (equals != NULL)};
        uint64_t rows;
        bool found = false;
        if (!text_to_u64(number, &rows) || rows == 0) {
            return error_set(err, LEAT_INVALID, "--hash-rows: '%.*s' is not a number above 0",
                             (int)text.size, text.data);
        }
        for (int i = 0; i < plan->field_count; i++) {
            if (!equals || slice_is(name, plan->fields[i].name)) {
                plan->hash_rows[i] = rows;
                found = true;
            }
        }
        if (!found) {
            return error_set(err, LEAT_INVALID, "--hash-rows: there is no feature '%.*s'",
                             (int)name.size, name.data);
        }
    }
    return LEAT_OK;
}

/* --- the whole --- */

void plan_deinit(struct row_plan *plan) {
    for (int i = 0; i < plan->operand_count; i++) {
        memory_free(plan->operands[i].bounds);
    }
    *plan = (struct row_plan){.operand_count = 0};
}

bool plan_wants(const struct row_plan *plan, const char *column) {
    for (int i = 0; i < plan->operand_count; i++) {
        if (strcmp(column, plan->operands[i].column) == 0) {
            return true;
        }
    }
    for (int i = 0; i < plan->dense_count; i++) {
        if (strcmp(column, plan->dense[i].column) == 0) {
            return true;
        }
    }
    for (int i = 0; i < plan->label_count; i++) {
        if (strcmp(column, plan->labels[i].column) == 0) {
            return true;
        }
    }
    return strcmp(column, plan->weight) == 0 || strcmp(column, plan->time) == 0;
}

/* The feature whose rows a history shares. */
static leat_status find_shared(const struct row_plan *plan, const char *name, int *out,
                               leat_error *err) {
    for (int i = 0; i < plan->field_count; i++) {
        if (strcmp(plan->fields[i].name, name) == 0) {
            *out = i;
            return LEAT_OK;
        }
    }
    return error_set(err, LEAT_INVALID, "a history shares the rows of '%s', which is no feature",
                     name);
}

static leat_status field_into_spec(const struct row_plan *plan, int number, struct model_field *out,
                                   leat_error *err) {
    const struct plan_field *field = &plan->fields[number];
    const struct plan_operand *operand = &plan->operands[field->operands[0]];
    *out = (struct model_field){
        .pool = POOL_SUM, .target = -1, .shares = number, .rate = 1, .admit = 1};
    memcpy(out->name, field->name, MODEL_NAME_MAX);
    if (field->operand_count > 1 || operand->kind != PLAN_HISTORY) {
        return LEAT_OK;
    }
    out->pool = POOL_MEAN;
    if (operand->of[0]) {
        TRY(find_shared(plan, operand->of, &out->shares, err));
    }
    if (operand->target) {
        out->pool = POOL_TARGET;
        out->target = out->shares;
    }
    return LEAT_OK;
}

leat_status plan_into_spec(const struct row_plan *plan, struct model_spec *spec, leat_error *err) {
    spec->field_count = plan->field_count;
    for (int i = 0; i < plan->field_count; i++) {
        TRY(field_into_spec(plan, i, &spec->fields[i], err));
    }
    spec->dense_count = plan->dense_count;
    spec->task_count = plan->label_count;
    for (int t = 0; t < plan->label_count; t++) {
        const struct plan_label *label = &plan->labels[t];
        spec->tasks[t] = (struct model_task){
            .head = label->regression ? HEAD_REGRESSION : HEAD_BINARY, .weight = 1};
        memcpy(spec->tasks[t].name, label->name, MODEL_NAME_MAX);
    }
    return LEAT_OK;
}

static void describe_operand(const struct plan_operand *operand, struct bytes *out) {
    static const char *const WORDS[] = {"id", "list", "history", "bucket", "logbucket"};
    bytes_printf(out, "%s(%s", WORDS[operand->kind], operand->column);
    if (operand->kind == PLAN_LIST || operand->kind == PLAN_HISTORY) {
        bytes_printf(out, ",%d,%d%s%s%s", operand->separator, operand->last,
                     operand->of[0] ? "," : "", operand->of, operand->target ? ",target" : "");
    }
    for (int i = 0; i < operand->bound_count; i++) {
        char text[32];
        bytes_put_u8(out, i > 0 ? ' ' : ',');
        bytes_append(out, text, text_from_f64(operand->bounds[i], text));
    }
    bytes_put_u8(out, ')');
}

void plan_describe(const struct row_plan *plan, struct bytes *out) {
    for (int i = 0; i < plan->field_count; i++) {
        const struct plan_field *field = &plan->fields[i];
        for (int k = 0; k < field->operand_count; k++) {
            bytes_put_u8(out, k > 0 ? '*' : ' ');
            describe_operand(&plan->operands[field->operands[k]], out);
        }
        if (plan->hash_rows[i]) {
            bytes_printf(out, "%%%llu", (unsigned long long)plan->hash_rows[i]);
        }
    }
    for (int i = 0; i < plan->dense_count; i++) {
        const struct plan_dense *dense = &plan->dense[i];
        bytes_printf(out, " dense(%s%s%s)", dense->column, dense->log ? ",log" : "",
                     dense->standard ? ",standard" : "");
    }
    for (int i = 0; i < plan->label_count; i++) {
        const struct plan_label *label = &plan->labels[i];
        char text[32] = "";
        size_t size = label->threshold ? text_from_f64(label->at_least, text) : 0;
        bytes_printf(out, " %s=%s%s%s%.*s", label->name, label->column,
                     label->regression ? ":regression" : "", label->threshold ? ">=" : "",
                     (int)size, text);
    }
    bytes_printf(out, " weight(%s) time(%s)", plan->weight, plan->time);
}
