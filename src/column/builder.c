/* A column is filled only when one of its values is set: rows since the last set one are made null
 * then, or by builder_finish. So the end of a row costs nothing per column, and a column that is
 * never set costs no time at all.
 *
 *   rows      0 1 2 3 4 5          (builder->rows = 5, row 5 is open)
 *   column A  v v - v v            filled = 5, valid = 4, buffer[0] = 11011
 *   column B  v v v                filled = 3, valid = 3, no buffer[0]: rows 3, 4 become null later
 *   column C                       filled = 0, valid = 0: absent
 *
 * Validity bits exist from the first null on. Bits beyond `filled`, null rows' fixed values and the
 * padding are zero, so that what is built is a function of the rows alone. */
#include "column/builder.h"

#include "base/memory.h"

#include <inttypes.h>

enum { BUFFER_BYTES_MAX = INT32_MAX };

struct build_column {
    struct bytes buffer[COLUMN_BUFFERS];
    int64_t filled; /* rows that have a value or a null here */
    int64_t valid;  /* of those, the ones with a value */
};

struct builder {
    const struct schema *schema;
    int64_t rows;
    uint32_t row_set;   /* bit per column: set in the open row */
    leat_status failed; /* LEAT_OK, LEAT_MEMORY or LEAT_FULL; kept until builder_clear */
    struct build_column columns[];
};

_Static_assert(SCHEMA_COLUMNS_MAX <= 32, "row_set has a bit for every column");

/* Offsets begin with a 0 before the first row. It is written once: no later write touches it, so
 * clearing only sets the size. */
static bool offsets_buffer(enum column_type type, int buffer) {
    return column_type_width(type) == 0 &&
           (buffer == 1 || (buffer == 2 && type == COLUMN_LIST_TEXT));
}

leat_status builder_create(const struct schema *schema, struct builder **out, leat_error *err) {
    INVARIANT(schema->field_count <= SCHEMA_COLUMNS_MAX, "schema %s has %d columns", schema->name,
              schema->field_count);
    struct builder *builder;
    size_t bytes = sizeof(*builder) + (size_t)schema->field_count * sizeof(builder->columns[0]);
    builder = memory_zalloc(bytes);
    if (!builder) {
        return error_memory(err, bytes);
    }
    builder->schema = schema;
    for (int i = 0; i < schema->field_count; i++) {
        for (int k = 0; k < COLUMN_BUFFERS; k++) {
            struct bytes *buffer = &builder->columns[i].buffer[k];
            bytes_init(buffer);
            if (offsets_buffer(schema->fields[i].type, k)) {
                bytes_fill(buffer, 0, sizeof(int32_t));
            }
            if (buffer->failed) {
                builder_destroy(builder);
                return error_memory(err, sizeof(int32_t));
            }
        }
    }
    *out = builder;
    return LEAT_OK;
}

void builder_destroy(struct builder *builder) {
    if (!builder) {
        return;
    }
    for (int i = 0; i < builder->schema->field_count; i++) {
        for (int k = 0; k < COLUMN_BUFFERS; k++) {
            bytes_deinit(&builder->columns[i].buffer[k]);
        }
    }
    memory_free(builder);
}

void builder_clear(struct builder *builder) {
    for (int i = 0; i < builder->schema->field_count; i++) {
        struct build_column *column = &builder->columns[i];
        for (int k = 0; k < COLUMN_BUFFERS; k++) {
            bytes_clear(&column->buffer[k]);
            if (offsets_buffer(builder->schema->fields[i].type, k)) {
                column->buffer[k].size = sizeof(int32_t);
            }
        }
        column->filled = 0;
        column->valid = 0;
    }
    builder->rows = 0;
    builder->row_set = 0;
    builder->failed = LEAT_OK;
}

int64_t builder_rows(const struct builder *builder) {
    return builder->rows;
}

leat_status builder_status(const struct builder *builder) {
    return builder->failed;
}

size_t builder_bytes(const struct builder *builder) {
    size_t bytes = 0;
    for (int i = 0; i < builder->schema->field_count; i++) {
        for (int k = 0; k < COLUMN_BUFFERS; k++) {
            bytes += builder->columns[i].buffer[k].size;
        }
    }
    return bytes;
}

/* --- growing --- */

/* `count` more bytes of a buffer; NULL when that is too much, and then the builder has failed. */
static inline uint8_t *buffer_grow(struct builder *builder, struct bytes *buffer, size_t count) {
    if (count > BUFFER_BYTES_MAX - buffer->size) {
        builder->failed = LEAT_FULL;
        return NULL;
    }
    bool enough = buffer->data && count <= buffer->capacity - buffer->size;
    if (!enough && !bytes_reserve(buffer, count)) {
        builder->failed = LEAT_MEMORY;
        return NULL;
    }
    uint8_t *room = buffer->data + buffer->size;
    buffer->size += count;
    return room;
}

static inline void word_copy(uint8_t *out, const uint8_t *data, size_t at) {
    memcpy(out + at, data + at, sizeof(uint64_t));
}

/* Ids are short: two words that overlap cost less than to call memcpy. */
static inline void text_copy(uint8_t *out, const void *data, size_t count) {
    const uint8_t *from = data;
    if (count > 2 * sizeof(uint64_t)) {
        memcpy(out, from, count);
    } else if (count >= sizeof(uint64_t)) {
        word_copy(out, from, 0);
        word_copy(out, from, count - sizeof(uint64_t));
    } else if (count >= sizeof(uint32_t)) {
        memcpy(out, from, sizeof(uint32_t));
        memcpy(out + count - sizeof(uint32_t), from + count - sizeof(uint32_t), sizeof(uint32_t));
    } else if (count > 0) {
        out[0] = from[0];
        out[count / 2] = from[count / 2];
        out[count - 1] = from[count - 1];
    }
}

static inline bool buffer_put(struct builder *builder, struct bytes *buffer, const void *data,
                              size_t count) {
    uint8_t *room = buffer_grow(builder, buffer, count);
    if (room) {
        text_copy(room, data, count);
    }
    return room;
}

static bool buffer_zero(struct builder *builder, struct bytes *buffer, size_t count) {
    uint8_t *room = buffer_grow(builder, buffer, count);
    if (room) {
        memset(room, 0, count);
    }
    return room;
}

static inline int32_t *offsets_of(const struct bytes *buffer) {
    return (int32_t *)(void *)buffer->data;
}

/* --- nulls --- */

/* The first null of a column: all rows before it are valid. */
static bool validity_begin(struct builder *builder, struct build_column *column) {
    struct bytes *bits = &column->buffer[0];
    size_t whole = (size_t)column->filled / 8;
    if (!buffer_zero(builder, bits, (size_t)(column->filled + 7) / 8)) {
        return false;
    }
    memset(bits->data, 0xFF, whole);
    if (column->filled % 8 != 0) {
        bits->data[whole] = (uint8_t)((1u << (column->filled % 8)) - 1u);
    }
    return true;
}

static bool offsets_repeat(struct builder *builder, struct bytes *offsets, int64_t count) {
    size_t last = offsets->size / sizeof(int32_t) - 1;
    if (!buffer_grow(builder, offsets, (size_t)count * sizeof(int32_t))) {
        return false;
    }
    int32_t *values = offsets_of(offsets);
    for (size_t i = 1; i <= (size_t)count; i++) {
        values[last + i] = values[last];
    }
    return true;
}

/* Makes rows `filled` up to `rows` null. */
static bool nulls_fill(struct builder *builder, struct build_column *column,
                       enum column_type type) {
    int64_t count = builder->rows - column->filled;
    if (column->buffer[0].size == 0 && !validity_begin(builder, column)) {
        return false;
    }
    size_t bits_bytes = (size_t)(builder->rows + 7) / 8;
    if (!buffer_zero(builder, &column->buffer[0], bits_bytes - column->buffer[0].size)) {
        return false;
    }
    size_t width = column_type_width(type);
    bool done = width > 0 ? buffer_zero(builder, &column->buffer[1], (size_t)count * width)
                          : offsets_repeat(builder, &column->buffer[1], count);
    column->filled = builder->rows;
    return done;
}

/* Marks the open row valid, where the column has bits at all. */
static inline bool validity_set(struct builder *builder, struct bytes *bits) {
    if (bits->size == 0) {
        return true;
    }
    size_t byte = (size_t)builder->rows / 8;
    if (byte == bits->size && !buffer_zero(builder, bits, 1)) {
        return false;
    }
    bits->data[byte] = (uint8_t)(bits->data[byte] | 1u << (builder->rows % 8));
    return true;
}

/* --- setting --- */

/* The column, ready for its value of the open row; NULL when the builder has failed. */
static inline struct build_column *value_open(struct builder *builder, int column,
                                              enum column_type type) {
    const struct schema *schema = builder->schema;
    INVARIANT((unsigned)column < (unsigned)schema->field_count, "column %d of schema %s", column,
              schema->name);
    INVARIANT(schema->fields[column].type == type && !(builder->row_set >> column & 1),
              "column %s: set twice in a row, or not of type %d", schema->fields[column].name,
              (int)type);
    struct build_column *build = &builder->columns[column];
    if (builder->failed || (build->filled < builder->rows && !nulls_fill(builder, build, type)) ||
        !validity_set(builder, &build->buffer[0])) {
        return NULL;
    }
    builder->row_set |= 1u << column;
    build->filled = builder->rows + 1;
    build->valid++;
    return build;
}

static inline void fixed_put(struct builder *builder, int column, enum column_type type,
                             const void *value, size_t width) {
    struct build_column *build = value_open(builder, column, type);
    if (build) {
        buffer_put(builder, &build->buffer[1], value, width);
    }
}

void builder_i32(struct builder *builder, int column, int32_t value) {
    fixed_put(builder, column, COLUMN_I32, &value, sizeof(value));
}

void builder_i64(struct builder *builder, int column, int64_t value) {
    fixed_put(builder, column, COLUMN_I64, &value, sizeof(value));
}

void builder_u64(struct builder *builder, int column, uint64_t value) {
    fixed_put(builder, column, COLUMN_U64, &value, sizeof(value));
}

void builder_f32(struct builder *builder, int column, float value) {
    fixed_put(builder, column, COLUMN_F32, &value, sizeof(value));
}

void builder_f64(struct builder *builder, int column, double value) {
    fixed_put(builder, column, COLUMN_F64, &value, sizeof(value));
}

static inline void offset_put(struct builder *builder, struct bytes *offsets, size_t end) {
    int32_t value = (int32_t)end; /* buffer_grow keeps every size below 2^31 */
    buffer_put(builder, offsets, &value, sizeof(value));
}

void builder_text(struct builder *builder, int column, struct slice value) {
    if (!value.data) {
        return;
    }
    struct build_column *build = value_open(builder, column, COLUMN_TEXT);
    if (build && buffer_put(builder, &build->buffer[2], value.data, value.size)) {
        offset_put(builder, &build->buffer[1], build->buffer[2].size);
    }
}

static inline void list_put(struct builder *builder, int column, enum column_type type,
                            const void *values, int count, size_t width) {
    INVARIANT(count >= 0, "a list of %d values", count);
    struct build_column *build = value_open(builder, column, type);
    if (build && buffer_put(builder, &build->buffer[2], values, (size_t)count * width)) {
        offset_put(builder, &build->buffer[1], build->buffer[2].size / width);
    }
}

void builder_list_u64(struct builder *builder, int column, const uint64_t *values, int count) {
    list_put(builder, column, COLUMN_LIST_U64, values, count, sizeof(*values));
}

void builder_list_f32(struct builder *builder, int column, const float *values, int count) {
    list_put(builder, column, COLUMN_LIST_F32, values, count, sizeof(*values));
}

static inline void element_put(struct builder *builder, struct build_column *build,
                               struct slice text) {
    if (buffer_put(builder, &build->buffer[3], text.data, text.size)) {
        offset_put(builder, &build->buffer[2], build->buffer[3].size);
    }
}

/* All of a row's texts at once: room is asked for only once. */
static void elements_put(struct builder *builder, struct build_column *build,
                         const struct slice *texts, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        bytes += texts[i].size;
    }
    size_t end = build->buffer[3].size;
    uint8_t *room = buffer_grow(builder, &build->buffer[3], bytes);
    uint8_t *ends = buffer_grow(builder, &build->buffer[2], (size_t)count * sizeof(int32_t));
    if (!room || !ends) {
        return; /* the builder has failed, so nothing reads what was not written */
    }
    for (int i = 0; i < count; i++) {
        text_copy(room, texts[i].data, texts[i].size);
        room += texts[i].size;
        end += texts[i].size;
        int32_t value = (int32_t)end; /* buffer_grow keeps every size below 2^31 */
        memcpy(ends + (size_t)i * sizeof(value), &value, sizeof(value));
    }
}

static inline void elements_end(struct builder *builder, struct build_column *build) {
    offset_put(builder, &build->buffer[1], build->buffer[2].size / sizeof(int32_t) - 1);
}

void builder_list_text(struct builder *builder, int column, const struct slice *values, int count) {
    INVARIANT(count >= 0, "a list of %d texts", count);
    struct build_column *build = value_open(builder, column, COLUMN_LIST_TEXT);
    if (!build) {
        return;
    }
    elements_put(builder, build, values, count);
    elements_end(builder, build);
}

/* --- rows --- */

void builder_row_end(struct builder *builder) {
    builder->row_set = 0;
    if (builder->rows == BATCH_ROWS_MAX) {
        builder->failed = builder->failed ? builder->failed : LEAT_FULL;
        return;
    }
    builder->rows++;
}

/* Cuts the buffers behind the offsets back to where the offset of `row` says. */
static void list_undo(struct build_column *build, enum column_type type, int64_t row) {
    size_t end = (size_t)offsets_of(&build->buffer[1])[row];
    build->buffer[1].size = ((size_t)row + 1) * sizeof(int32_t);
    switch (type) {
    case COLUMN_TEXT: build->buffer[2].size = end; break;
    case COLUMN_LIST_U64: build->buffer[2].size = end * sizeof(uint64_t); break;
    case COLUMN_LIST_F32: build->buffer[2].size = end * sizeof(float); break;
    default:
        build->buffer[3].size = (size_t)offsets_of(&build->buffer[2])[end];
        build->buffer[2].size = (end + 1) * sizeof(int32_t);
    }
}

static void value_undo(struct build_column *build, enum column_type type, int64_t row) {
    struct bytes *bits = &build->buffer[0];
    if (bits->size > 0) {
        bits->size = (size_t)(row + 7) / 8;
        if (row % 8 != 0) {
            bits->data[row / 8] &= (uint8_t)((1u << (row % 8)) - 1u);
        }
    }
    size_t width = column_type_width(type);
    if (width > 0) {
        build->buffer[1].size = (size_t)row * width;
    } else {
        list_undo(build, type, row);
    }
    build->filled = row;
    build->valid--;
}

void builder_row_undo(struct builder *builder) {
    /* After a failure the open row may be half written; nothing reads it before builder_clear. */
    uint32_t set = builder->failed ? 0 : builder->row_set;
    for (; set != 0; set &= set - 1) {
        int column = __builtin_ctz(set);
        value_undo(&builder->columns[column], builder->schema->fields[column].type, builder->rows);
    }
    builder->row_set = 0;
}

/* --- finishing --- */

static leat_status missing_fail(const struct builder *builder, int column, leat_error *err) {
    const struct build_column *build = &builder->columns[column];
    int64_t row = 0;
    while (row < build->filled && build->valid > 0 &&
           (build->buffer[0].size == 0 || build->buffer[0].data[row / 8] >> (row % 8) & 1)) {
        row++;
    }
    return error_set(err, LEAT_INVALID, "row %" PRId64 " of %s: %s is missing", row,
                     builder->schema->name, builder->schema->fields[column].name);
}

static leat_status column_finish(struct builder *builder, int index, struct column *out,
                                 leat_error *err) {
    static const uint64_t empty = 0; /* the address of buffers without bytes */
    struct build_column *build = &builder->columns[index];
    const struct field *field = &builder->schema->fields[index];
    if (build->valid < builder->rows && !field->nullable) {
        return missing_fail(builder, index, err);
    }
    if (build->valid == 0) {
        return LEAT_OK;
    }
    if (build->filled < builder->rows && !nulls_fill(builder, build, field->type)) {
        return LEAT_OK; /* builder_finish sees that the builder has failed */
    }
    for (int k = 0; k < column_type_buffers(field->type); k++) {
        size_t size = build->buffer[k].size;
        out->buffer[k] = size > 0 ? (const void *)build->buffer[k].data : &empty;
        out->size[k] = size;
    }
    if (build->buffer[0].size == 0) {
        out->buffer[0] = NULL;
    }
    return LEAT_OK;
}

static leat_status failed_set(const struct builder *builder, leat_error *err) {
    if (builder->failed == LEAT_FULL) {
        return error_set(
            err, LEAT_FULL,
            "a batch of %s holds at most %d rows and 2 GiB a buffer; finish it earlier",
            builder->schema->name, BATCH_ROWS_MAX);
    }
    return builder->failed == LEAT_OK ? LEAT_OK : error_memory(err, builder_bytes(builder));
}

leat_status builder_finish(struct builder *builder, struct batch *out, leat_error *err) {
    INVARIANT(builder->row_set == 0, "row %" PRId64 " of %s was not ended", builder->rows,
              builder->schema->name);
    TRY(failed_set(builder, err));
    out->schema = builder->schema;
    out->rows = builder->rows;
    memset(out->columns, 0, sizeof(out->columns));
    for (int i = 0; i < builder->schema->field_count; i++) {
        TRY(column_finish(builder, i, &out->columns[i], err));
    }
    return failed_set(builder, err);
}

/* --- copying --- */

static void list_text_copy(struct builder *builder, const struct batch *batch, int column,
                           int64_t row) {
    struct build_column *build = value_open(builder, column, COLUMN_LIST_TEXT);
    if (!build) {
        return;
    }
    int count = batch_list_text_count(batch, column, row);
    for (int i = 0; i < count; i++) {
        element_put(builder, build, batch_list_text(batch, column, row, i));
    }
    elements_end(builder, build);
}

static void value_copy(struct builder *builder, const struct batch *batch, int column,
                       int64_t row) {
    int count;
    switch (batch->schema->fields[column].type) {
    case COLUMN_I32: builder_i32(builder, column, batch_i32(batch, column, row)); break;
    case COLUMN_I64: builder_i64(builder, column, batch_i64(batch, column, row)); break;
    case COLUMN_U64: builder_u64(builder, column, batch_u64(batch, column, row)); break;
    case COLUMN_F32: builder_f32(builder, column, batch_f32(batch, column, row)); break;
    case COLUMN_F64: builder_f64(builder, column, batch_f64(batch, column, row)); break;
    case COLUMN_TEXT: builder_text(builder, column, batch_text(batch, column, row)); break;
    case COLUMN_LIST_U64: {
        const uint64_t *values = batch_list_u64(batch, column, row, &count);
        builder_list_u64(builder, column, values, count);
        break;
    }
    case COLUMN_LIST_F32: {
        const float *values = batch_list_f32(batch, column, row, &count);
        builder_list_f32(builder, column, values, count);
        break;
    }
    case COLUMN_LIST_TEXT: list_text_copy(builder, batch, column, row); break;
    }
}

void builder_copy_row(struct builder *builder, const struct batch *batch, int64_t row) {
    const struct schema *schema = builder->schema;
    INVARIANT(batch->schema->id == schema->id && batch->schema->field_count == schema->field_count,
              "a row of %s for a builder of %s", batch->schema->name, schema->name);
    for (int column = 0; column < schema->field_count; column++) {
        if (!batch_is_null(batch, column, row)) {
            value_copy(builder, batch, column, row);
        }
    }
    builder_row_end(builder);
}
