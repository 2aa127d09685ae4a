#include "column/arrow_copy.h"

#include "base/text.h"

#include <inttypes.h>

/* --- binding --- */

static bool is_list(enum column_type type) {
    return type == COLUMN_LIST_U64 || type == COLUMN_LIST_F32 || type == COLUMN_LIST_TEXT;
}

static const char *format_of(enum column_type type) {
    switch (type) {
    case COLUMN_I32: return "i";
    case COLUMN_I64: return "l";
    case COLUMN_U64: return "L";
    case COLUMN_F32: return "f";
    case COLUMN_F64: return "g";
    case COLUMN_TEXT: return "u";
    default: return "+l";
    }
}

static enum column_type item_type(enum column_type type) {
    return type == COLUMN_LIST_U64   ? COLUMN_U64
           : type == COLUMN_LIST_F32 ? COLUMN_F32
                                     : COLUMN_TEXT;
}

/* Whether a producer's format will do; `*large` says that its offsets have 64 bits. */
static leat_status format_match(const struct field *field, enum column_type type,
                                const struct ArrowSchema *arrow, bool *large, leat_error *err) {
    const char *format = arrow && arrow->release && arrow->format ? arrow->format : "(none)";
    const char *wanted = format_of(type);
    *large = (type == COLUMN_TEXT && strcmp(format, "U") == 0) ||
             (is_list(type) && strcmp(format, "+L") == 0);
    bool timestamp = type == COLUMN_I64 && strncmp(format, "tsm:", 4) == 0;
    if (strcmp(format, wanted) != 0 && !*large && !timestamp) {
        return error_set(err, LEAT_INVALID, "column %s: format \"%s\"; \"%s\"%s is needed",
                         field->name, format, wanted,
                         is_list(field->type) ? " (or its items')" : "");
    }
    if (arrow->dictionary || arrow->n_children != (is_list(type) ? 1 : 0)) {
        return error_set(err, LEAT_INVALID,
                         "column %s: a dictionary, or children that its format has not; decode it "
                         "first",
                         field->name);
    }
    return LEAT_OK;
}

static leat_status column_bind(const struct field *field, const struct ArrowSchema *arrow,
                               struct arrow_bound *bound, leat_error *err) {
    TRY(format_match(field, field->type, arrow, &bound->large, err));
    if (is_list(field->type)) {
        TRY(format_match(field, item_type(field->type), arrow->children[0], &bound->items_large,
                         err));
    }
    return LEAT_OK;
}

static leat_status unknown_column(const struct schema *schema, const char *name, leat_error *err) {
    const char *known[SCHEMA_COLUMNS_MAX];
    for (int i = 0; i < schema->field_count; i++) {
        known[i] = schema->fields[i].name;
    }
    const char *nearest = text_nearest(slice_of(name), known, schema->field_count);
    return error_set(err, LEAT_INVALID, "column \"%.64s\" is not one of %s%s%s%s", name,
                     schema->name, nearest ? "; did you mean \"" : "; leave it out",
                     nearest ? nearest : "", nearest ? "\"?" : "");
}

leat_status arrow_bind(const struct schema *schema, const struct ArrowSchema *arrow_schema,
                       struct arrow_binding *out, leat_error *err) {
    if (!arrow_schema || !arrow_schema->release || !arrow_schema->format ||
        strcmp(arrow_schema->format, "+s") != 0 || arrow_schema->n_children < 0 ||
        arrow_schema->n_children > SCHEMA_COLUMNS_MAX) {
        return error_set(err, LEAT_INVALID, "%s: a struct (\"+s\") of at most %d columns is needed",
                         schema->name, SCHEMA_COLUMNS_MAX);
    }
    *out = (struct arrow_binding){.children = (int)arrow_schema->n_children};
    for (int i = 0; i < schema->field_count; i++) {
        out->columns[i].child = -1;
    }
    for (int child = 0; child < out->children; child++) {
        const struct ArrowSchema *arrow = arrow_schema->children[child];
        const char *name = arrow && arrow->name ? arrow->name : "";
        int column = schema_find(schema, name);
        if (column < 0) {
            return unknown_column(schema, name, err);
        }
        if (out->columns[column].child >= 0) {
            return error_set(err, LEAT_INVALID, "column %s is there twice", name);
        }
        TRY(column_bind(&schema->fields[column], arrow, &out->columns[column], err));
        out->columns[column].child = child;
    }
    for (int i = 0; i < schema->field_count; i++) {
        if (out->columns[i].child < 0 && !schema->fields[i].nullable) {
            return error_set(err, LEAT_INVALID, "column %s is missing, and it is never null",
                             schema->fields[i].name);
        }
    }
    return LEAT_OK;
}

/* --- copying --- */

/* One column on its way; `row` is for the words. */
struct copy {
    const struct field *field;
    struct builder *builder;
    struct bytes *scratch; /* of one list */
    int column;
    int64_t row;
    leat_error *err;
};

static leat_status copy_fault(const struct copy *copy, const char *words) {
    return error_set(copy->err, LEAT_INVALID, "column %s, row %" PRId64 ": %s", copy->field->name,
                     copy->row, words);
}

static bool array_null(const struct ArrowArray *array, int64_t index) {
    const uint8_t *bits = array->buffers[0];
    return array->null_count != 0 && bits && !(bits[index >> 3] >> (index & 7) & 1);
}

/* Buffers may be aligned to nothing: values are read byte by byte. */
static uint64_t load(const void *buffer, int64_t index, size_t width) {
    uint64_t value = 0;
    memcpy(&value, (const char *)buffer + (size_t)index * width, width);
    return value;
}

/* The range of value `index` of an array with offsets. */
static leat_status range_of(const struct copy *copy, const struct ArrowArray *array, bool large,
                            int64_t index, int64_t *begin, int64_t *end) {
    const void *offsets = array->buffers[1];
    if (!offsets) {
        return copy_fault(copy, "offsets are missing");
    }
    size_t width = large ? sizeof(int64_t) : sizeof(int32_t);
    uint64_t first = load(offsets, index, width), last = load(offsets, index + 1, width);
    *begin = large ? (int64_t)first : (int32_t)first;
    *end = large ? (int64_t)last : (int32_t)last;
    if (*begin < 0 || *end < *begin || *end > INT64_MAX / 16) {
        return copy_fault(copy, "offsets fall, or are negative");
    }
    return LEAT_OK;
}

static leat_status text_of(const struct copy *copy, const struct ArrowArray *array, bool large,
                           int64_t index, struct slice *out) {
    int64_t begin, end;
    TRY(range_of(copy, array, large, index, &begin, &end));
    const char *bytes = array->buffers[2];
    if (!bytes && end > begin) {
        return copy_fault(copy, "the bytes of its texts are missing");
    }
    if (end - begin > INT32_MAX) {
        return copy_fault(copy, "a text of more than 2 GiB");
    }
    *out = (struct slice){bytes ? bytes + begin : "", (size_t)(end - begin)};
    return text_utf8_valid(*out) ? LEAT_OK : copy_fault(copy, "not UTF-8");
}

/* Items [begin, end) of a list, as builder_list_* wants them, in the scratch. */
static leat_status items_copy(const struct copy *copy, const struct ArrowArray *items, bool large,
                              int64_t begin, int64_t end) {
    int count = (int)(end - begin);
    enum column_type type = item_type(copy->field->type);
    size_t width = type == COLUMN_TEXT ? sizeof(struct slice) : column_type_width(type);
    bytes_clear(copy->scratch);
    void *values = bytes_extend(copy->scratch, (size_t)count * width + 1); /* never 0 bytes */
    if (!values) {
        return error_memory(copy->err, (size_t)count * width);
    }
    if (!items->buffers[1] && count > 0) {
        return copy_fault(copy, "the values of its list are missing");
    }
    for (int i = 0; i < count; i++) {
        int64_t index = items->offset + begin + i;
        if (array_null(items, index)) {
            return copy_fault(copy, "a null inside of a list");
        }
        if (type == COLUMN_TEXT) {
            TRY(text_of(copy, items, large, index, (struct slice *)values + i));
        }
    }
    switch (type) {
    case COLUMN_TEXT: builder_list_text(copy->builder, copy->column, values, count); break;
    case COLUMN_U64:
        memcpy(values, (const char *)items->buffers[1] + (size_t)(items->offset + begin) * width,
               count > 0 ? (size_t)count * width : 0);
        builder_list_u64(copy->builder, copy->column, values, count);
        break;
    default:
        memcpy(values, (const char *)items->buffers[1] + (size_t)(items->offset + begin) * width,
               count > 0 ? (size_t)count * width : 0);
        builder_list_f32(copy->builder, copy->column, values, count);
        break;
    }
    return LEAT_OK;
}

static leat_status list_copy(const struct copy *copy, const struct ArrowArray *array,
                             const struct arrow_bound *bound, int64_t index) {
    int64_t begin, end;
    TRY(range_of(copy, array, bound->large, index, &begin, &end));
    const struct ArrowArray *items = array->children[0];
    if (end > items->length || end - begin > INT32_MAX / 16) {
        return copy_fault(copy, "a list that is longer than its values");
    }
    return items_copy(copy, items, bound->items_large, begin, end);
}

static leat_status value_copy(const struct copy *copy, const struct ArrowArray *array,
                              const struct arrow_bound *bound, int64_t index) {
    enum column_type type = copy->field->type;
    if (array_null(array, index)) {
        return copy->field->nullable ? LEAT_OK : copy_fault(copy, "a null where none is allowed");
    }
    if (type == COLUMN_TEXT) {
        struct slice text;
        TRY(text_of(copy, array, bound->large, index, &text));
        builder_text(copy->builder, copy->column, text);
        return LEAT_OK;
    }
    if (is_list(type)) {
        return list_copy(copy, array, bound, index);
    }
    if (!array->buffers[1]) {
        return copy_fault(copy, "its values are missing");
    }
    uint64_t bits = load(array->buffers[1], index, column_type_width(type));
    float single;
    double real;
    switch (type) {
    case COLUMN_I32: builder_i32(copy->builder, copy->column, (int32_t)bits); break;
    case COLUMN_I64: builder_i64(copy->builder, copy->column, (int64_t)bits); break;
    case COLUMN_U64: builder_u64(copy->builder, copy->column, bits); break;
    case COLUMN_F32:
        memcpy(&single, &bits, sizeof(single));
        builder_f32(copy->builder, copy->column, single);
        break;
    default:
        memcpy(&real, &bits, sizeof(real));
        builder_f64(copy->builder, copy->column, real);
        break;
    }
    return LEAT_OK;
}

/* What is asked of an array before a row of it is looked at. */
static leat_status array_check(const struct ArrowArray *array, int64_t length, int64_t buffers,
                               int64_t children, const char *name, leat_error *err) {
    if (!array || !array->release || !array->buffers || array->n_buffers != buffers ||
        array->n_children != children || array->dictionary || array->offset < 0 ||
        array->length < length) {
        return error_set(err, LEAT_INVALID,
                         "%s: an array that is released, too short, or not of its schema; %" PRId64
                         " rows, %" PRId64 " buffers and %" PRId64 " children are needed",
                         name, length, buffers, children);
    }
    return LEAT_OK;
}

static int64_t buffers_of(enum column_type type) {
    return type == COLUMN_TEXT ? 3 : 2;
}

static leat_status arrays_check(const struct schema *schema, const struct arrow_binding *binding,
                                const struct ArrowArray *array, leat_error *err) {
    TRY(array_check(array, 0, 1, binding->children, schema->name, err));
    if (array->length > BATCH_ROWS_MAX) {
        return error_set(err, LEAT_FULL, "%s: %" PRId64 " rows; a batch holds at most %d",
                         schema->name, array->length, BATCH_ROWS_MAX);
    }
    for (int i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        if (binding->columns[i].child < 0) {
            continue;
        }
        const struct ArrowArray *child = array->children[binding->columns[i].child];
        TRY(array_check(child, array->offset + array->length, buffers_of(field->type),
                        is_list(field->type) ? 1 : 0, field->name, err));
        if (is_list(field->type)) {
            TRY(array_check(child->children[0], 0, buffers_of(item_type(field->type)), 0,
                            field->name, err));
        }
    }
    return LEAT_OK;
}

static leat_status rows_copy(const struct schema *schema, const struct arrow_binding *binding,
                             const struct ArrowArray *array, struct builder *builder,
                             struct bytes *scratch, leat_error *err) {
    for (int64_t row = 0; row < array->length; row++) {
        if (array_null(array, array->offset + row)) {
            return error_set(err, LEAT_INVALID, "%s, row %" PRId64 ": null as a whole",
                             schema->name, row);
        }
        for (int i = 0; i < schema->field_count; i++) {
            const struct arrow_bound *bound = &binding->columns[i];
            if (bound->child < 0) {
                continue;
            }
            const struct ArrowArray *child = array->children[bound->child];
            const struct copy copy = {&schema->fields[i], builder, scratch, i, row, err};
            TRY(value_copy(&copy, child, bound, child->offset + array->offset + row));
        }
        builder_row_end(builder);
    }
    return LEAT_OK;
}

leat_status arrow_copy(const struct schema *schema, const struct arrow_binding *binding,
                       const struct ArrowArray *array, struct builder *builder, leat_error *err) {
    TRY(arrays_check(schema, binding, array, err));
    struct bytes scratch;
    bytes_init(&scratch);
    leat_status status = rows_copy(schema, binding, array, builder, &scratch, err);
    bytes_deinit(&scratch);
    return status;
}
