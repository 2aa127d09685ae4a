/* What a stranger's rows must be before an operator sees them: everything that the operators rely
 * on and that the checks of a posted event (log/event.h) give in this process. Columns first, a
 * loop each; then rows. */
#include "base/hash.h"
#include "flow/operator_internal.h"
#include "flow/step.h"
#include "log/record.h"

#include <inttypes.h>
#include <math.h>

static const char *column_name(const struct batch *batch, int column) {
    return batch->schema->fields[column].name;
}

/* --- columns --- */

struct text_rule {
    int column;
    size_t low, high;
};

static leat_status check_text(const struct batch *batch, struct text_rule rule, leat_error *err) {
    if (column_absent(&batch->columns[rule.column])) {
        return LEAT_OK;
    }
    const int32_t *offsets = batch->columns[rule.column].buffer[1];
    for (int64_t row = 0; row < batch->rows; row++) {
        size_t size = (size_t)(offsets[row + 1] - offsets[row]);
        if ((size < rule.low || size > rule.high) && !batch_is_null(batch, rule.column, row)) {
            return error_set(err, LEAT_INVALID,
                             "column %s, row %" PRId64 ": %zu bytes; %zu to %zu are allowed, or "
                             "null",
                             column_name(batch, rule.column), row, size, rule.low, rule.high);
        }
    }
    return LEAT_OK;
}

static leat_status check_texts(const struct batch *batch, const struct text_rule *rules, int count,
                               leat_error *err) {
    for (int i = 0; i < count; i++) {
        TRY(check_text(batch, rules[i], err));
    }
    return LEAT_OK;
}

static leat_status check_time(const struct batch *batch, int column, leat_error *err) {
    for (int64_t row = 0; row < batch->rows; row++) {
        if (batch_is_null(batch, column, row)) {
            continue;
        }
        int64_t time_ms = batch_i64(batch, column, row);
        if (time_ms < 0 || time_ms >= EVENT_TIME_MAX_MS) {
            return error_set(err, LEAT_INVALID,
                             "column %s, row %" PRId64 ": %" PRId64 " is outside [0, %" PRId64
                             "); times are milliseconds since 1970",
                             column_name(batch, column), row, time_ms, (int64_t)EVENT_TIME_MAX_MS);
        }
    }
    return LEAT_OK;
}

static leat_status check_list(const struct batch *batch, int column, int count_max, int step,
                              size_t bytes_max, leat_error *err) {
    for (int64_t row = 0; row < batch->rows && !column_absent(&batch->columns[column]); row++) {
        int count = batch_list_text_count(batch, column, row);
        if (count > count_max || count % step != 0) {
            return error_set(err, LEAT_INVALID,
                             "column %s, row %" PRId64 ": %d entries; at most %d are allowed%s",
                             column_name(batch, column), row, count, count_max,
                             step == 2 ? ", in pairs" : "");
        }
        for (int i = 0; i < count; i++) {
            size_t size = batch_list_text(batch, column, row, i).size;
            if (size < 1 || size > bytes_max) {
                return error_set(err, LEAT_INVALID,
                                 "column %s, row %" PRId64 ": entry %d has %zu bytes; 1 to %zu "
                                 "are allowed",
                                 column_name(batch, column), row, i, size, bytes_max);
            }
        }
    }
    return LEAT_OK;
}

static leat_status event_columns(const struct batch *batch, leat_error *err) {
    static const struct text_rule rules[] = {
        {EVENT_KIND, 0, EVENT_ID_BYTES_MAX},    {EVENT_USER, 1, EVENT_ID_BYTES_MAX},
        {EVENT_ITEM, 1, EVENT_ID_BYTES_MAX},    {EVENT_ID, 1, EVENT_ID_BYTES_MAX},
        {EVENT_REQUEST, 1, EVENT_ID_BYTES_MAX}, {EVENT_SESSION, 1, EVENT_ID_BYTES_MAX},
        {EVENT_SURFACE, 1, EVENT_ID_BYTES_MAX}, {EVENT_AUTHOR, 1, EVENT_ID_BYTES_MAX},
        {EVENT_TEXT, 0, EVENT_TEXT_BYTES_MAX},
    };
    TRY(check_texts(batch, rules, (int)(sizeof(rules) / sizeof(rules[0])), err));
    TRY(check_time(batch, EVENT_TIME, err));
    TRY(check_time(batch, EVENT_CREATED, err));
    TRY(check_time(batch, EVENT_EXPIRES, err));
    for (int64_t row = 0; row < batch->rows; row++) {
        if (!batch_is_null(batch, EVENT_VALUE, row) &&
            !isfinite(batch_f64(batch, EVENT_VALUE, row))) {
            return error_set(err, LEAT_INVALID,
                             "column value, row %" PRId64 ": not a finite number", row);
        }
    }
    TRY(check_list(batch, EVENT_CONTEXT, 2 * EVENT_LIST_MAX, 2, EVENT_CONTEXT_BYTES_MAX, err));
    TRY(check_list(batch, EVENT_CATEGORIES, EVENT_LIST_MAX, 1, EVENT_ID_BYTES_MAX, err));
    return check_list(batch, EVENT_TAGS, EVENT_LIST_MAX, 1, EVENT_ID_BYTES_MAX, err);
}

static leat_status served_features(const struct batch *batch, int64_t row, leat_error *err) {
    int keys, dense;
    batch_list_u64(batch, SERVED_KEYS, row, &keys);
    const float *values = batch_list_f32(batch, SERVED_DENSE, row, &dense);
    if (keys > EXAMPLE_KEYS_MAX || dense > EXAMPLE_DENSE_MAX) {
        return error_set(err, LEAT_INVALID,
                         "columns keys and dense, row %" PRId64 ": %d and %d values; at most %d "
                         "and %d are allowed",
                         row, keys, dense, EXAMPLE_KEYS_MAX, EXAMPLE_DENSE_MAX);
    }
    for (int i = 0; i < dense; i++) {
        if (!isfinite(values[i])) {
            return error_set(err, LEAT_INVALID,
                             "column dense, row %" PRId64 ": value %d is not a finite number", row,
                             i);
        }
    }
    return LEAT_OK;
}

static leat_status served_columns(const struct batch *batch, leat_error *err) {
    static const struct text_rule rules[] = {
        {SERVED_REQUEST, 0, EVENT_ID_BYTES_MAX},
        {SERVED_USER, 1, EVENT_ID_BYTES_MAX},
        {SERVED_ITEM, 0, EVENT_ID_BYTES_MAX},
        {SERVED_SURFACE, 0, EVENT_ID_BYTES_MAX},
    };
    TRY(check_texts(batch, rules, (int)(sizeof(rules) / sizeof(rules[0])), err));
    TRY(check_time(batch, SERVED_TIME, err));
    for (int64_t row = 0; row < batch->rows; row++) {
        TRY(served_features(batch, row, err));
    }
    return LEAT_OK;
}

/* --- rows --- */

static leat_status unknown_words(const struct batch *batch, int column, int64_t row,
                                 leat_error *err) {
    struct slice word = batch_text(batch, column, row);
    return error_set(err, LEAT_INVALID,
                     "column %s, row %" PRId64 ": '%.*s' is not known to the configuration; add it "
                     "there, or leave the row out",
                     column_name(batch, column), row, word.size > 64 ? 64 : (int)word.size,
                     word.data ? word.data : "");
}

static leat_status missing(const struct batch *batch, int column, int64_t row, leat_error *err) {
    return error_set(err, LEAT_INVALID, "column %s, row %" PRId64 ": missing; a row of %s needs it",
                     column_name(batch, column), row, batch->schema->name);
}

/* An erased row keeps its place and nothing else (log/record.h). */
static bool is_erased(const struct batch *batch, int64_t row) {
    int column = batch->schema->id == SCHEMA_EVENT ? EVENT_KIND : SERVED_SURFACE;
    return batch_text(batch, column, row).size == 0;
}

static leat_status event_row(const struct leat_operator *op, const struct batch *batch, int64_t row,
                             bool known, leat_error *err) {
    if (!known) {
        int column = op->row.kind == ROW_BEAT ? EVENT_KIND : EVENT_SURFACE;
        return unknown_words(batch, column, row, err);
    }
    bool both = op->row.kind == ROW_ACTION || op->row.kind == ROW_IMPRESSION;
    bool user = both || op->row.kind == ROW_USER || op->row.kind == ROW_FORGET;
    bool item = both || op->row.kind == ROW_ITEM || op->row.kind == ROW_ITEM_DELETE;
    if (user && !op->row.user.data) {
        return missing(batch, EVENT_USER, row, err);
    }
    return item && !op->row.item.data ? missing(batch, EVENT_ITEM, row, err) : LEAT_OK;
}

static leat_status served_row(const struct leat_operator *op, const struct batch *batch,
                              int64_t row, bool known, leat_error *err) {
    if (!known) {
        return unknown_words(batch, SERVED_SURFACE, row, err);
    }
    if (op->row.request.size == 0) {
        return missing(batch, SERVED_REQUEST, row, err);
    }
    return op->row.item.size == 0 ? missing(batch, SERVED_ITEM, row, err) : LEAT_OK;
}

static leat_status check_group(const struct leat_operator *op, const struct batch *batch,
                               int64_t row, const char *column, struct slice key, uint64_t hash,
                               leat_error *err) {
    uint32_t group = key_group_of(hash, op->owned.groups);
    if (group >= op->owned.first && group < op->owned.end) {
        return LEAT_OK;
    }
    return error_set(err, LEAT_INVALID,
                     "%s, column %s, row %" PRId64 ": key '%.*s' is of group %u; this operator "
                     "owns [%u, %u) of %u; partition by leat_key_group",
                     batch->schema->name, column, row, (int)key.size, key.data ? key.data : "",
                     group, op->owned.first, op->owned.end, op->owned.groups);
}

static leat_status check_key(const struct leat_operator *op, const struct batch *batch, int64_t row,
                             enum operator_key key, leat_error *err) {
    const struct row *r = &op->row;
    switch (key) {
    case KEY_OF_ID:
        return r->id.data ? check_group(op, batch, row, "id", r->id, hash_slice(r->id), err)
                          : LEAT_OK;
    case KEY_OF_USER:
        return r->user.data ? check_group(op, batch, row, "user", r->user, r->user_hash, err)
                            : LEAT_OK;
    case KEY_OF_ITEM:
        return r->item.data ? check_group(op, batch, row, "item", r->item, r->item_hash, err)
                            : LEAT_OK;
    case KEY_OF_STEP:
        return check_group(op, batch, row, "item_hash", batch_text(batch, STEP_ITEM, row),
                           batch_u64(batch, STEP_ITEM_HASH, row), err);
    case KEY_SHARED: break;
    }
    if (r->kind != ROW_ITEM && r->kind != ROW_ITEM_DELETE) {
        return error_set(err, LEAT_INVALID,
                         "column kind, row %" PRId64 ": this input takes rows of kinds %s and %s",
                         row, KIND_ITEM, KIND_ITEM_DELETE);
    }
    return LEAT_OK;
}

static leat_status check_row(struct leat_operator *op, const struct batch *batch, int64_t row,
                             enum operator_key key, leat_error *err) {
    if (batch->schema->id == SCHEMA_STEP) {
        TRY(step_check(batch, row, err));
        return check_key(op, batch, row, key, err);
    }
    if (is_erased(batch, row)) {
        return LEAT_OK;
    }
    bool known = operator_decode(op, batch, row);
    if (batch->schema->id == SCHEMA_EVENT) {
        TRY(event_row(op, batch, row, known, err));
    } else {
        TRY(served_row(op, batch, row, known, err));
    }
    return check_key(op, batch, row, key, err);
}

leat_status operator_check(struct leat_operator *op, int input, const struct batch *batch,
                           leat_error *err) {
    if (batch->schema->id == SCHEMA_EVENT) {
        TRY(event_columns(batch, err));
    } else if (batch->schema->id == SCHEMA_SERVED) {
        TRY(served_columns(batch, err));
    }
    enum operator_key key = op->kind->inputs[input].key;
    for (int64_t row = 0; row < batch->rows; row++) {
        TRY(check_row(op, batch, row, key, err));
    }
    return LEAT_OK;
}

bool operator_decode(struct leat_operator *op, const struct batch *batch, int64_t index) {
    return !is_erased(batch, index) &&
           row_decode(op->config, batch, index, 0,
                      atomic_load_explicit(&op->now_ms, memory_order_relaxed), &op->row);
}
