/* An exported tree is one block with a count of its parts that are not released yet: a consumer may
 * move a child out and release it after its parent, and the buffers live as long as any of them.
 *
 *   consumer's ArrowArray "+s" --children--> [block: column arrays --children--> item arrays]
 *   each of them: release, private_data -> block; the last one to go frees the block */
#include "column/arrow.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdatomic.h>

/* --- types --- */

static const char *column_format(enum column_type type) {
    switch (type) {
    case COLUMN_I32: return "i";
    case COLUMN_I64: return "l";
    case COLUMN_U64: return "L";
    case COLUMN_F32: return "f";
    case COLUMN_F64: return "g";
    case COLUMN_TEXT: return "u";
    case COLUMN_LIST_U64:
    case COLUMN_LIST_F32:
    case COLUMN_LIST_TEXT: return "+l";
    }
    INVARIANT(false, "column type %d", (int)type);
    return NULL;
}

/* The format of a list's items; NULL for other types. */
static const char *item_format(enum column_type type) {
    switch (type) {
    case COLUMN_LIST_U64: return "L";
    case COLUMN_LIST_F32: return "f";
    case COLUMN_LIST_TEXT: return "u";
    default: return NULL;
    }
}

static size_t item_width(enum column_type type) {
    return type == COLUMN_LIST_U64 ? sizeof(uint64_t) : sizeof(float);
}

/* --- exporting a schema --- */

struct schema_export {
    _Atomic int parts; /* not released yet */
    struct ArrowSchema columns[SCHEMA_COLUMNS_MAX];
    struct ArrowSchema *column_pointers[SCHEMA_COLUMNS_MAX];
    struct ArrowSchema items[SCHEMA_COLUMNS_MAX];
    struct ArrowSchema *item_pointers[SCHEMA_COLUMNS_MAX];
};

static void schema_release(struct ArrowSchema *schema) {
    struct schema_export *export = schema->private_data;
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release) {
            schema->children[i]->release(schema->children[i]);
        }
    }
    schema->release = NULL;
    if (atomic_fetch_sub(&export->parts, 1) == 1) {
        memory_free(export);
    }
}

static void schema_part(struct schema_export *export, struct ArrowSchema *out, const char *format,
                        const char *name, bool nullable) {
    *out = (struct ArrowSchema){
        .format = format,
        .name = name,
        .flags = nullable ? ARROW_FLAG_NULLABLE : 0,
        .release = schema_release,
        .private_data = export,
    };
    atomic_fetch_add(&export->parts, 1);
}

leat_status arrow_export_schema(const struct schema *schema, struct ArrowSchema *out,
                                leat_error *err) {
    struct schema_export *export = memory_zalloc(sizeof(*export));
    if (!export) {
        return error_memory(err, sizeof(*export));
    }
    for (int i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        struct ArrowSchema *column = &export->columns[i];
        schema_part(export, column, column_format(field->type), field->name, field->nullable);
        export->column_pointers[i] = column;
        const char *format = item_format(field->type);
        if (format) {
            schema_part(export, &export->items[i], format, "item", false);
            export->item_pointers[i] = &export->items[i];
            column->n_children = 1;
            column->children = &export->item_pointers[i];
        }
    }
    schema_part(export, out, "+s", "", false);
    out->n_children = schema->field_count;
    out->children = export->column_pointers;
    return LEAT_OK;
}

/* --- exporting a batch --- */

struct array_export {
    _Atomic int parts; /* not released yet */
    void (*release_owner)(void *owner);
    void *owner;
    void *zeros; /* stands for every buffer of every absent column; NULL if there is none */
    struct ArrowArray columns[SCHEMA_COLUMNS_MAX];
    struct ArrowArray *column_pointers[SCHEMA_COLUMNS_MAX];
    struct ArrowArray items[SCHEMA_COLUMNS_MAX];
    struct ArrowArray *item_pointers[SCHEMA_COLUMNS_MAX];
    const void *column_buffers[SCHEMA_COLUMNS_MAX][3];
    const void *item_buffers[SCHEMA_COLUMNS_MAX][3];
    const void *no_validity[1]; /* of the struct itself */
};

static void array_release(struct ArrowArray *array) {
    struct array_export *export = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release) {
            array->children[i]->release(array->children[i]);
        }
    }
    array->release = NULL;
    if (atomic_fetch_sub(&export->parts, 1) == 1) {
        if (export->release_owner) {
            export->release_owner(export->owner);
        }
        memory_free(export->zeros);
        memory_free(export);
    }
}

static void array_part(struct array_export *export, struct ArrowArray *out, int64_t length,
                       const void **buffers, int buffer_count) {
    *out = (struct ArrowArray){
        .length = length,
        .n_buffers = buffer_count,
        .buffers = buffers,
        .release = array_release,
        .private_data = export,
    };
    atomic_fetch_add(&export->parts, 1);
}

/* The items of list column `index`, whose list buffers are set. */
static void items_export(struct array_export *export, const struct batch *batch, int index) {
    const struct column *column = &batch->columns[index];
    enum column_type type = batch->schema->fields[index].type;
    bool absent = column_absent(column);
    int64_t length = absent ? 0 : ((const int32_t *)column->buffer[1])[batch->rows];
    const void **buffers = export->item_buffers[index];
    buffers[0] = NULL;
    buffers[1] = absent ? export->zeros : column->buffer[2];
    buffers[2] = absent ? export->zeros : column->buffer[3];
    array_part(export, &export->items[index], length, buffers, type == COLUMN_LIST_TEXT ? 3 : 2);
    export->item_pointers[index] = &export->items[index];
    export->columns[index].n_children = 1;
    export->columns[index].children = &export->item_pointers[index];
}

static void column_export(struct array_export *export, const struct batch *batch, int index) {
    const struct column *column = &batch->columns[index];
    enum column_type type = batch->schema->fields[index].type;
    bool absent = column_absent(column);
    const void **buffers = export->column_buffers[index];
    for (int k = 0; k < 3; k++) {
        buffers[k] = absent ? export->zeros : column->buffer[k];
    }
    struct ArrowArray *array = &export->columns[index];
    array_part(export, array, batch->rows, buffers, type == COLUMN_TEXT ? 3 : 2);
    array->null_count = absent ? batch->rows : column->size[0] > 0 ? -1 : 0;
    export->column_pointers[index] = array;
    if (item_format(type)) {
        items_export(export, batch, index);
    }
}

/* Enough zeros for any buffer of an absent column; nothing where no column is absent. */
static leat_status zeros_make(struct array_export *export, const struct batch *batch,
                              leat_error *err) {
    bool any = false;
    for (int i = 0; i < batch->schema->field_count; i++) {
        any |= column_absent(&batch->columns[i]);
    }
    size_t bytes = ((size_t)batch->rows + 1) * sizeof(uint64_t);
    export->zeros = any ? memory_zalloc(bytes) : NULL;
    return any && !export->zeros ? error_memory(err, bytes) : LEAT_OK;
}

leat_status arrow_export_batch(const struct batch *batch, void (*release_owner)(void *owner),
                               void *owner, struct ArrowArray *out, leat_error *err) {
    struct array_export *export = memory_zalloc(sizeof(*export));
    if (!export) {
        return error_memory(err, sizeof(*export));
    }
    leat_status status = zeros_make(export, batch, err);
    if (status < 0) {
        memory_free(export);
        return status;
    }
    export->release_owner = release_owner;
    export->owner = owner;
    for (int i = 0; i < batch->schema->field_count; i++) {
        column_export(export, batch, i);
    }
    array_part(export, out, batch->rows, export->no_validity, 1);
    out->n_children = batch->schema->field_count;
    out->children = export->column_pointers;
    return LEAT_OK;
}

/* --- importing --- */

static leat_status schema_expect(const struct ArrowSchema *schema, const char *format,
                                 int64_t children, const char *name, leat_error *err) {
    if (!schema || !schema->release || !schema->format) {
        return error_set(err, LEAT_INVALID, "%s: a schema that is missing or released", name);
    }
    if (strcmp(schema->format, format) != 0 || schema->n_children != children ||
        schema->dictionary) {
        return error_set(err, LEAT_INVALID,
                         "%s: format \"%s\" with %" PRId64 " children%s; \"%s\" with %" PRId64
                         " is needed",
                         name, schema->format, schema->n_children,
                         schema->dictionary ? " and a dictionary" : "", format, children);
    }
    return LEAT_OK;
}

static leat_status schema_match(const struct schema *schema, const struct ArrowSchema *arrow,
                                leat_error *err) {
    TRY(schema_expect(arrow, "+s", schema->field_count, schema->name, err));
    for (int i = 0; i < schema->field_count; i++) {
        const struct field *field = &schema->fields[i];
        const struct ArrowSchema *child = arrow->children[i];
        const char *item = item_format(field->type);
        TRY(schema_expect(child, column_format(field->type), item ? 1 : 0, field->name, err));
        if (!child->name || strcmp(child->name, field->name) != 0) {
            return error_set(err, LEAT_INVALID, "column %d is \"%s\"; \"%s\" is needed", i,
                             child->name ? child->name : "", field->name);
        }
        if (item) {
            TRY(schema_expect(child->children[0], item, 0, field->name, err));
        }
    }
    return LEAT_OK;
}

static bool bits_have_null(const uint8_t *bits, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (!(bits[i >> 3] >> (i & 7) & 1)) {
            return true;
        }
    }
    return false;
}

/* What is asked of every array, whatever its type. */
static leat_status array_expect(const struct ArrowArray *array, int64_t length, int64_t buffers,
                                int64_t children, const char *name, leat_error *err) {
    if (!array || !array->release) {
        return error_set(err, LEAT_INVALID, "%s: an array that is missing or released", name);
    }
    if (array->n_buffers != buffers || array->n_children != children || !array->buffers ||
        array->length < length) {
        return error_set(err, LEAT_INVALID,
                         "%s: an array of %" PRId64 " values, %" PRId64 " buffers, %" PRId64
                         " children; %" PRId64 ", %" PRId64 ", %" PRId64 " are needed",
                         name, array->length, array->n_buffers, array->n_children, length, buffers,
                         children);
    }
    if (array->offset != 0 || array->dictionary) {
        return error_set(err, LEAT_UNSUPPORTED,
                         "%s: an array with an offset or a dictionary; copy it first", name);
    }
    for (int64_t i = 0; i < buffers; i++) {
        if ((uintptr_t)array->buffers[i] % 8 != 0) {
            return error_set(err, LEAT_UNSUPPORTED,
                             "%s: buffer %" PRId64 " is not aligned to 8 bytes; copy it first",
                             name, i);
        }
    }
    return LEAT_OK;
}

/* leat has no nulls inside of lists, nor rows that are null as a whole. */
static leat_status array_expect_valid(const struct ArrowArray *array, int64_t length,
                                      const char *name, leat_error *err) {
    const uint8_t *bits = array->buffers[0];
    if (bits && array->null_count != 0 && bits_have_null(bits, length)) {
        return error_set(err, LEAT_UNSUPPORTED, "%s: nulls of rows or in lists are not supported",
                         name);
    }
    return LEAT_OK;
}

static void buffer_set(struct column *column, int index, const void *buffer, size_t size) {
    static const uint64_t empty = 0; /* Arrow allows NULL for no bytes; a batch does not */
    column->buffer[index] = buffer || size > 0 ? buffer : &empty;
    column->size[index] = size;
}

/* Takes `count` + 1 offsets as buffer `index`; `*end` is the last. batch_check looks at the rest.
 */
static leat_status offsets_import(const void *buffer, int64_t count, struct column *column,
                                  int index, int64_t *end, const char *name, leat_error *err) {
    const int32_t *offsets = buffer;
    static const int32_t none[2] = {0, 0};
    offsets = offsets || count > 0 ? offsets : none; /* of no values they may be missing */
    if (!offsets || offsets[count] < 0) {
        return error_set(err, LEAT_INVALID, "%s: offsets that are missing or negative", name);
    }
    buffer_set(column, index, offsets, ((size_t)count + 1) * sizeof(int32_t));
    *end = offsets[count];
    return LEAT_OK;
}

static leat_status items_import(const struct field *field, const struct ArrowArray *items,
                                int64_t count, struct column *out, leat_error *err) {
    bool is_text = field->type == COLUMN_LIST_TEXT;
    TRY(array_expect(items, count, is_text ? 3 : 2, 0, field->name, err));
    TRY(array_expect_valid(items, count, field->name, err));
    if (!is_text) {
        buffer_set(out, 2, items->buffers[1], (size_t)count * item_width(field->type));
        return LEAT_OK;
    }
    int64_t end = 0;
    TRY(offsets_import(items->buffers[1], count, out, 2, &end, field->name, err));
    buffer_set(out, 3, items->buffers[2], (size_t)end);
    return LEAT_OK;
}

static leat_status column_import(const struct field *field, const struct ArrowArray *array,
                                 int64_t rows, struct column *out, leat_error *err) {
    bool is_list = item_format(field->type);
    int buffers = field->type == COLUMN_TEXT ? 3 : 2;
    TRY(array_expect(array, rows, buffers, is_list ? 1 : 0, field->name, err));
    if (rows == 0) {
        return LEAT_OK; /* absent, as every column of a batch without rows */
    }
    if (array->null_count != 0 && array->buffers[0]) {
        buffer_set(out, 0, array->buffers[0], (size_t)(rows + 7) / 8);
    }
    size_t width = column_type_width(field->type);
    if (width > 0) {
        buffer_set(out, 1, array->buffers[1], (size_t)rows * width);
        return LEAT_OK;
    }
    int64_t end = 0;
    TRY(offsets_import(array->buffers[1], rows, out, 1, &end, field->name, err));
    if (is_list) {
        return items_import(field, array->children[0], end, out, err);
    }
    buffer_set(out, 2, array->buffers[2], (size_t)end);
    return LEAT_OK;
}

leat_status arrow_import_batch(const struct schema *schema, const struct ArrowSchema *arrow_schema,
                               const struct ArrowArray *array, struct batch *out, leat_error *err) {
    TRY(schema_match(schema, arrow_schema, err));
    TRY(array_expect(array, 0, 1, schema->field_count, schema->name, err));
    if (array->length > BATCH_ROWS_MAX) {
        return error_set(err, LEAT_FULL, "%s: %" PRId64 " rows; a batch holds at most %d",
                         schema->name, array->length, BATCH_ROWS_MAX);
    }
    TRY(array_expect_valid(array, array->length, schema->name, err));
    memset(out, 0, sizeof(*out));
    out->schema = schema;
    out->rows = array->length;
    for (int i = 0; i < schema->field_count; i++) {
        TRY(column_import(&schema->fields[i], array->children[i], out->rows, &out->columns[i],
                          err));
    }
    leat_status status = batch_check(out, err);
    if (status == LEAT_CORRUPT) {
        return error_in(err, LEAT_INVALID, "%s", schema->name); /* a stranger's, not our disk's */
    }
    return status;
}
