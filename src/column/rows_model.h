/* For tests: a schema with every type, and rows that are a function of (seed, row), so that what a
 * builder was told and what a batch must say are computed apart from each other. */
#ifndef COLUMN_ROWS_MODEL_H
#define COLUMN_ROWS_MODEL_H

#include "base/rng.h"
#include "column/builder.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h wants the three before it. */
#include <cmocka.h>

enum { MODEL_COLUMNS = 18, MODEL_LIST_MAX = 5, MODEL_TEXT_MAX = 32 };

static const struct field model_fields[MODEL_COLUMNS] = {
    {"i32", COLUMN_I32, false},         {"i32_null", COLUMN_I32, true},
    {"i64", COLUMN_I64, false},         {"i64_null", COLUMN_I64, true},
    {"u64", COLUMN_U64, false},         {"u64_null", COLUMN_U64, true},
    {"f32", COLUMN_F32, false},         {"f32_null", COLUMN_F32, true},
    {"f64", COLUMN_F64, false},         {"f64_null", COLUMN_F64, true},
    {"text", COLUMN_TEXT, false},       {"text_null", COLUMN_TEXT, true},
    {"u64s", COLUMN_LIST_U64, false},   {"u64s_null", COLUMN_LIST_U64, true},
    {"f32s", COLUMN_LIST_F32, false},   {"f32s_null", COLUMN_LIST_F32, true},
    {"texts", COLUMN_LIST_TEXT, false}, {"texts_null", COLUMN_LIST_TEXT, true},
};

static const struct schema model_schema = {
    .id = 7, .version = 1, .name = "model", .fields = model_fields, .field_count = MODEL_COLUMNS};

struct model_value {
    bool null;
    int count; /* of a list */
    uint64_t words[MODEL_LIST_MAX];
    float floats[MODEL_LIST_MAX];
    char texts[MODEL_LIST_MAX][MODEL_TEXT_MAX];
    struct slice slices[MODEL_LIST_MAX];
};

static inline void model_text(struct rng *rng, char out[MODEL_TEXT_MAX], struct slice *slice) {
    static const char *const pieces[] = {"a", "Zz", "\xC3\xA9", "\xE6\xBC\xA2", "\xF0\x9F\x98\x80"};
    out[0] = '\0';
    for (uint64_t left = rng_below(rng, 7); left > 0; left--) {
        strcat(out, pieces[rng_below(rng, 5)]);
    }
    *slice = slice_of(out);
}

/* The value of a cell; `out` must not move after (its slices point into it). Each nullable column
 * of a seed is never, sometimes, mostly or always null. */
static inline void model_value_of(uint64_t seed, int64_t row, int column, struct model_value *out) {
    static const double null_share[] = {0, 0.1, 0.9, 1};
    struct rng rng;
    rng_init(&rng, seed * 32 + (uint64_t)column);
    double share = null_share[rng_below(&rng, 4)];
    rng_init(&rng, (seed << 32) + (uint64_t)row * 32 + (uint64_t)column);
    memset(out, 0, sizeof(*out));
    out->null = model_fields[column].nullable && rng_unit(&rng) < share;
    out->count = (int)rng_below(&rng, MODEL_LIST_MAX + 1);
    for (int i = 0; i < MODEL_LIST_MAX; i++) {
        out->words[i] = rng_next(&rng);
        out->floats[i] = (float)rng_normal(&rng);
        model_text(&rng, out->texts[i], &out->slices[i]);
    }
}

static inline void model_set(struct builder *builder, int column, const struct model_value *value) {
    if (value->null) {
        return;
    }
    switch (model_fields[column].type) {
    case COLUMN_I32: builder_i32(builder, column, (int32_t)value->words[0]); break;
    case COLUMN_I64: builder_i64(builder, column, (int64_t)value->words[0]); break;
    case COLUMN_U64: builder_u64(builder, column, value->words[0]); break;
    case COLUMN_F32: builder_f32(builder, column, value->floats[0]); break;
    case COLUMN_F64: builder_f64(builder, column, (double)value->floats[0]); break;
    case COLUMN_TEXT: builder_text(builder, column, value->slices[0]); break;
    case COLUMN_LIST_U64: builder_list_u64(builder, column, value->words, value->count); break;
    case COLUMN_LIST_F32: builder_list_f32(builder, column, value->floats, value->count); break;
    case COLUMN_LIST_TEXT: builder_list_text(builder, column, value->slices, value->count); break;
    }
}

/* Sets the columns of a row, from column `first` on and round, and ends it. */
static inline void model_row(struct builder *builder, uint64_t seed, int64_t row, int first) {
    for (int i = 0; i < MODEL_COLUMNS; i++) {
        int column = (first + i) % MODEL_COLUMNS;
        struct model_value value;
        model_value_of(seed, row, column, &value);
        model_set(builder, column, &value);
    }
    builder_row_end(builder);
}

static inline void model_check_list(const struct batch *batch, int column, int64_t row,
                                    const struct model_value *value) {
    int count = -1;
    const void *values = value->words;
    const void *stored;
    size_t width = sizeof(uint64_t);
    if (model_fields[column].type == COLUMN_LIST_TEXT) {
        assert_int_equal(batch_list_text_count(batch, column, row), value->count);
        for (int i = 0; i < value->count; i++) {
            assert_true(slice_equal(batch_list_text(batch, column, row, i), value->slices[i]));
        }
        return;
    }
    if (model_fields[column].type == COLUMN_LIST_U64) {
        stored = batch_list_u64(batch, column, row, &count);
    } else {
        stored = batch_list_f32(batch, column, row, &count);
        values = value->floats;
        width = sizeof(float);
    }
    assert_int_equal(count, value->count);
    assert_non_null(stored);
    assert_memory_equal(stored, values, (size_t)count * width);
}

/* What the accessors say of a null row. */
static inline void model_check_null(const struct batch *batch, int column, int64_t row) {
    int count = -1;
    switch (model_fields[column].type) {
    case COLUMN_TEXT: assert_null(batch_text(batch, column, row).data); break;
    case COLUMN_LIST_U64:
        assert_null(batch_list_u64(batch, column, row, &count));
        assert_int_equal(count, 0);
        break;
    case COLUMN_LIST_F32:
        assert_null(batch_list_f32(batch, column, row, &count));
        assert_int_equal(count, 0);
        break;
    case COLUMN_LIST_TEXT: assert_int_equal(batch_list_text_count(batch, column, row), 0); break;
    default: break;
    }
}

static inline void model_check(const struct batch *batch, int column, int64_t row,
                               const struct model_value *value) {
    assert_int_equal(batch_is_null(batch, column, row), value->null);
    if (value->null) {
        model_check_null(batch, column, row);
        return;
    }
    switch (model_fields[column].type) {
    case COLUMN_I32:
        assert_int_equal(batch_i32(batch, column, row), (int32_t)value->words[0]);
        break;
    case COLUMN_I64:
        assert_int_equal(batch_i64(batch, column, row), (int64_t)value->words[0]);
        break;
    case COLUMN_U64: assert_int_equal(batch_u64(batch, column, row), value->words[0]); break;
    case COLUMN_F32: assert_true(batch_f32(batch, column, row) == value->floats[0]); break;
    case COLUMN_F64: assert_true(batch_f64(batch, column, row) == (double)value->floats[0]); break;
    case COLUMN_TEXT:
        assert_non_null(batch_text(batch, column, row).data);
        assert_true(slice_equal(batch_text(batch, column, row), value->slices[0]));
        break;
    default: model_check_list(batch, column, row, value);
    }
}

static inline void model_check_batch(const struct batch *batch, uint64_t seed, int64_t rows) {
    assert_int_equal(batch->rows, rows);
    for (int64_t row = 0; row < rows; row++) {
        for (int column = 0; column < MODEL_COLUMNS; column++) {
            struct model_value value;
            model_value_of(seed, row, column, &value);
            model_check(batch, column, row, &value);
        }
    }
}

static inline void model_build(struct builder *builder, uint64_t seed, int64_t rows,
                               struct batch *out) {
    for (int64_t row = 0; row < rows; row++) {
        model_row(builder, seed, row, (int)(seed % MODEL_COLUMNS));
    }
    leat_error err;
    if (builder_finish(builder, out, &err) != LEAT_OK) {
        fail_msg("%s", err.message);
    }
}

/* The body of a batch, appended to an empty `out`. */
static inline void model_body(const struct batch *batch, struct bytes *out) {
    size_t size = batch_body_size(batch);
    uint8_t *room = bytes_extend(out, size);
    assert_non_null(room);
    memset(room, 0xA5, size); /* whatever the memory held before must not show */
    batch_body_write(batch, room);
}

#endif
