/* Batches as a host makes and reads them, with the public headers only: a table of columns that is
 * filled cell by cell and becomes an ArrowArray; rows of any array as lines of text. */
#ifndef TESTS_PUBLIC_ARROW_TABLE_H
#define TESTS_PUBLIC_ARROW_TABLE_H

#include <leat/operator.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

enum { TABLE_COLUMNS = 24 };

struct table_bytes {
    char *data;
    size_t size, room;
};

static inline void table_add(struct table_bytes *bytes, const void *data, size_t count) {
    if (bytes->size + count + 8 > bytes->room) {
        bytes->room = 2 * (bytes->size + count) + 64;
        bytes->data = realloc(bytes->data, bytes->room);
        assert_non_null(bytes->data);
    }
    if (count > 0) {
        memcpy(bytes->data + bytes->size, data, count);
    }
    bytes->size += count;
}

/* Of a list, `offsets` are its own, and `item_offsets` those of its texts. */
struct table_column {
    char name[32], format[4], item[4];
    struct table_bytes bits, offsets, values, item_offsets;
    int64_t rows, nulls, items;
};

struct table {
    int count;
    int64_t rows;
    struct table_column columns[TABLE_COLUMNS];
};

static inline void table_offset(struct table_bytes *offsets, int64_t offset, bool large) {
    int32_t small = (int32_t)offset;
    table_add(offsets, large ? (const void *)&offset : (const void *)&small, large ? 8 : 4);
}

static inline bool table_large(const char *format) {
    return strcmp(format, "U") == 0 || strcmp(format, "+L") == 0;
}

static inline bool table_has_offsets(const char *format) {
    return strcmp(format, "u") == 0 || strcmp(format, "U") == 0 || format[0] == '+';
}

static inline void table_column_begin(struct table_column *column) {
    if (table_has_offsets(column->format)) {
        table_offset(&column->offsets, 0, table_large(column->format));
    }
    if (table_has_offsets(column->item)) {
        table_offset(&column->item_offsets, 0, table_large(column->item));
    }
}

/* A table of a schema. `large`: its texts and lists have 64-bit offsets. */
static inline void table_init(struct table *table, const struct ArrowSchema *schema, bool large) {
    memset(table, 0, sizeof(*table));
    table->count = (int)schema->n_children;
    assert_true(table->count <= TABLE_COLUMNS);
    for (int i = 0; i < table->count; i++) {
        const struct ArrowSchema *child = schema->children[i];
        struct table_column *column = &table->columns[i];
        snprintf(column->name, sizeof(column->name), "%s", child->name);
        snprintf(column->format, sizeof(column->format), "%s", child->format);
        if (child->n_children > 0) {
            snprintf(column->item, sizeof(column->item), "%s", child->children[0]->format);
        }
        for (char *c = large ? column->format : NULL; c && *c; c++) {
            *c = *c == 'u' ? 'U' : *c == 'l' && c > column->format ? 'L' : *c;
        }
        if (large && column->item[0] == 'u' && column->item[1] == '\0') {
            column->item[0] = 'U';
        }
        table_column_begin(column);
    }
}

static inline struct table_column *table_column(struct table *table, const char *name) {
    for (int i = 0; i < table->count; i++) {
        if (strcmp(table->columns[i].name, name) == 0) {
            return &table->columns[i];
        }
    }
    fail_msg("no column %s", name);
    return NULL;
}

static inline void table_valid(struct table_column *column, bool valid) {
    if (column->rows % 8 == 0) {
        table_add(&column->bits, "", 1);
    }
    char *byte = &column->bits.data[column->rows / 8];
    *byte = (char)(*byte | (valid ? 1 << (column->rows % 8) : 0));
    column->nulls += !valid;
    column->rows++;
}

static inline void table_text(struct table *table, const char *name, const char *text) {
    if (text) {
        struct table_column *column = table_column(table, name);
        table_add(&column->values, text, strlen(text));
        table_offset(&column->offsets, (int64_t)column->values.size, table_large(column->format));
        table_valid(column, true);
    }
}

static inline void table_value(struct table *table, const char *name, const void *value,
                               size_t width) {
    struct table_column *column = table_column(table, name);
    table_add(&column->values, value, width);
    table_valid(column, true);
}

static inline void table_i32(struct table *table, const char *name, int32_t value) {
    table_value(table, name, &value, sizeof(value));
}
static inline void table_i64(struct table *table, const char *name, int64_t value) {
    table_value(table, name, &value, sizeof(value));
}
static inline void table_u64(struct table *table, const char *name, uint64_t value) {
    table_value(table, name, &value, sizeof(value));
}
static inline void table_f64(struct table *table, const char *name, double value) {
    table_value(table, name, &value, sizeof(value));
}

static inline void table_list(struct table *table, const char *name, const void *values,
                              size_t width, int count) {
    struct table_column *column = table_column(table, name);
    table_add(&column->values, values, width * (size_t)count);
    column->items += count;
    table_offset(&column->offsets, column->items, table_large(column->format));
    table_valid(column, true);
}

static inline void table_texts(struct table *table, const char *name, const char *const *texts,
                               int count) {
    struct table_column *column = table_column(table, name);
    for (int i = 0; i < count; i++) {
        table_add(&column->values, texts[i], strlen(texts[i]));
        table_offset(&column->item_offsets, (int64_t)column->values.size,
                     table_large(column->item));
    }
    column->items += count;
    table_offset(&column->offsets, column->items, table_large(column->format));
    table_valid(column, true);
}

static inline size_t table_width(const char *format) {
    return strchr("if", format[0]) ? 4 : 8;
}

/* What was not set is null. */
static inline void table_row_end(struct table *table) {
    table->rows++;
    for (int i = 0; i < table->count; i++) {
        struct table_column *column = &table->columns[i];
        if (column->rows == table->rows) {
            continue;
        }
        if (column->format[0] == '+') {
            table_offset(&column->offsets, column->items, table_large(column->format));
        } else if (table_has_offsets(column->format)) {
            table_offset(&column->offsets, (int64_t)column->values.size,
                         table_large(column->format));
        } else {
            table_add(&column->values, "\0\0\0\0\0\0\0", table_width(column->format));
        }
        table_valid(column, false);
    }
}

/* --- to Arrow; the array takes what the table holds, and the table is empty again --- */

static inline void table_array_release(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release) {
            array->children[i]->release(array->children[i]);
        }
        free(array->children[i]);
    }
    for (int64_t i = 0; i < array->n_buffers; i++) {
        free((void *)(uintptr_t)array->buffers[i]);
    }
    free(array->children);
    free(array->buffers);
    array->release = NULL;
}

static inline void table_array(struct ArrowArray *array, int64_t length, int buffers,
                               int children) {
    *array = (struct ArrowArray){.length = length,
                                 .n_buffers = buffers,
                                 .n_children = children,
                                 .buffers = calloc((size_t)buffers, sizeof(void *)),
                                 .release = table_array_release};
    if (children > 0) {
        array->children = calloc((size_t)children, sizeof(struct ArrowArray *));
        for (int i = 0; i < children; i++) {
            array->children[i] = calloc(1, sizeof(struct ArrowArray));
        }
    }
}

static inline void table_take(const void **buffer, struct table_bytes *bytes) {
    table_add(bytes, "", 0); /* never NULL */
    *buffer = bytes->data;
    *bytes = (struct table_bytes){0};
}

static inline void table_column_export(struct table_column *column, struct ArrowArray *out) {
    bool list = column->format[0] == '+';
    bool text = !list && table_has_offsets(column->format);
    table_array(out, column->rows, text ? 3 : 2, list ? 1 : 0);
    out->null_count = column->nulls;
    table_take(&out->buffers[0], &column->bits);
    if (list) {
        table_take(&out->buffers[1], &column->offsets);
        bool texts = table_has_offsets(column->item);
        struct ArrowArray *items = out->children[0];
        table_array(items, column->items, texts ? 3 : 2, 0);
        if (texts) {
            table_take(&items->buffers[1], &column->item_offsets);
        }
        table_take(&items->buffers[texts ? 2 : 1], &column->values);
    } else {
        if (text) {
            table_take(&out->buffers[1], &column->offsets);
        }
        table_take(&out->buffers[text ? 2 : 1], &column->values);
    }
}

static inline void table_export(struct table *table, struct ArrowArray *out) {
    table_array(out, table->rows, 1, table->count);
    for (int i = 0; i < table->count; i++) {
        struct table_column *column = &table->columns[i];
        table_column_export(column, out->children[i]);
        column->rows = column->nulls = column->items = 0;
        table_column_begin(column);
    }
    table->rows = 0;
}

static inline void table_deinit(struct table *table) {
    struct ArrowArray array;
    table_export(table, &array);
    array.release(&array);
    for (int i = 0; i < table->count; i++) {
        free(table->columns[i].offsets.data);
        free(table->columns[i].item_offsets.data);
    }
}

/* --- from Arrow: arrays without offsets, as leat gives them --- */

static inline bool array_is_null(const struct ArrowArray *array, int64_t row) {
    const uint8_t *bits = array->buffers[0];
    return array->null_count != 0 && bits && !(bits[row / 8] >> (row % 8) & 1);
}

static inline void line_value(struct table_bytes *line, const char *format,
                              const struct ArrowArray *array, int64_t row) {
    char text[64];
    const void *values = array->buffers[1];
    switch (format[0]) {
    case 'i': snprintf(text, sizeof(text), "%d", ((const int32_t *)values)[row]); break;
    case 'l': snprintf(text, sizeof(text), "%" PRId64, ((const int64_t *)values)[row]); break;
    case 'L': snprintf(text, sizeof(text), "%" PRIu64, ((const uint64_t *)values)[row]); break;
    case 'f': snprintf(text, sizeof(text), "%.9g", (double)((const float *)values)[row]); break;
    case 'g': snprintf(text, sizeof(text), "%.17g", ((const double *)values)[row]); break;
    default: {
        const int32_t *offsets = values;
        table_add(line, (const char *)array->buffers[2] + offsets[row],
                  (size_t)(offsets[row + 1] - offsets[row]));
        return;
    }
    }
    table_add(line, text, strlen(text));
}

static inline void line_cell(struct table_bytes *line, const struct ArrowSchema *schema,
                             const struct ArrowArray *array, int64_t row) {
    if (array_is_null(array, row)) {
        table_add(line, "-", 1);
        return;
    }
    if (schema->format[0] != '+') {
        line_value(line, schema->format, array, row);
        return;
    }
    const int32_t *offsets = array->buffers[1];
    for (int32_t i = offsets[row]; i < offsets[row + 1]; i++) {
        line_value(line, schema->children[0]->format, array->children[0], i);
        table_add(line, ",", 1);
    }
}

/* "column=value column=value ..." of one row; to be freed. */
static inline char *line_of(const struct ArrowSchema *schema, const struct ArrowArray *array,
                            int64_t row) {
    struct table_bytes line = {0};
    for (int64_t i = 0; i < schema->n_children; i++) {
        table_add(&line, schema->children[i]->name, strlen(schema->children[i]->name));
        table_add(&line, "=", 1);
        line_cell(&line, schema->children[i], array->children[i], row);
        table_add(&line, " ", 1);
    }
    table_add(&line, "", 1);
    return line.data;
}

/* Lines in order of arrival, or sorted. */
struct lines {
    char **lines;
    int count, room;
};

static inline void lines_add(struct lines *lines, char *line) {
    if (lines->count == lines->room) {
        lines->room = 2 * lines->room + 64;
        lines->lines = realloc(lines->lines, (size_t)lines->room * sizeof(char *));
        assert_non_null(lines->lines);
    }
    lines->lines[lines->count++] = line;
}

static inline int lines_compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void lines_sort(struct lines *lines) {
    if (lines->count > 0) {
        qsort(lines->lines, (size_t)lines->count, sizeof(char *), lines_compare);
    }
}

static inline void lines_clear(struct lines *lines) {
    for (int i = 0; i < lines->count; i++) {
        free(lines->lines[i]);
    }
    free(lines->lines);
    *lines = (struct lines){0};
}

static inline void lines_assert_equal(const struct lines *have, const struct lines *want) {
    for (int i = 0; i < have->count && i < want->count; i++) {
        assert_string_equal(have->lines[i], want->lines[i]);
    }
    assert_int_equal(have->count, want->count);
}

#endif
