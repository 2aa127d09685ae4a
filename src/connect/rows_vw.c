/* Vowpal Wabbit's text: label [importance [base]] [tag]|namespace[:value] feature[:value] ...
 *
 * A namespace is a column; one that a line names twice is one column with the features of both. The
 * default namespace is the column `default`. A tag stands against the first bar, or begins with '.
 * A base (an initial prediction) is not used. (Source: Vowpal Wabbit's input format.) */
#include "connect/rows_lines.h"

enum { LABEL, IMPORTANCE, TAG, FIXED, HEAD_MAX = 4 };

/* A line that is being taken apart. */
struct cursor {
    const char *base;
    const uint32_t *stop; /* the next separator */
    uint32_t from;        /* where the next token begins */
};

/* The bytes up to the next separator, which is answered and passed over. */
static inline char take(struct cursor *cursor, struct slice *token) {
    uint32_t at = *cursor->stop++;
    *token = (struct slice){cursor->base + cursor->from, at - cursor->from};
    cursor->from = at + 1;
    return cursor->base[at];
}

static leat_status take_value(struct cursor *cursor, const char *what, float *out, char *after,
                              leat_error *err) {
    struct slice token;
    double value;
    *after = take(cursor, &token);
    if (*after == ':' || !row_number(token, &value)) {
        return error_set(err, LEAT_INVALID, "%s: value '%.*s' is not a number", what,
                         (int)(token.size < 40 ? token.size : 40), token.data);
    }
    *out = (float)value;
    return LEAT_OK;
}

static leat_status add_cell(struct rows_lines *rows, int column, struct slice text, float value,
                            leat_error *err) {
    if (rows->count == ROW_CELLS_MAX) {
        return error_set(err, LEAT_INVALID, "more than %d features", ROW_CELLS_MAX);
    }
    rows->cells[rows->count++] = (struct row_cell){text, value, (uint16_t)column};
    return LEAT_OK;
}

static leat_status column_of(struct rows_lines *rows, struct slice name, int *out,
                             leat_error *err) {
    struct row_columns *columns = &rows->source.columns;
    name = name.size ? name : slice_of("default");
    int next = rows->last_column + 1;
    *out = next < columns->count && row_column_is(columns, next, name)
               ? next
               : row_column_at(columns, name);
    if (*out < 0) {
        return error_set(err, LEAT_INVALID,
                         "namespace '%.*s': names have 1 to %d bytes, and there are %d of them at "
                         "most",
                         (int)(name.size < 80 ? name.size : 80), name.data, CONFIG_NAME_MAX - 1,
                         ROW_COLUMNS_MAX - FIXED);
    }
    if (*out < FIXED) {
        return error_set(err, LEAT_INVALID, "a namespace may not be called '%s' here",
                         columns->names[*out]);
    }
    rows->last_column = *out;
    return LEAT_OK;
}

/* The tokens before the first bar. */
static leat_status read_head(struct rows_lines *rows, struct cursor *cursor, leat_error *err) {
    struct slice tokens[HEAD_MAX];
    int count = 0;
    char after = ' ';
    bool tagged = false;
    while (after != '|') {
        struct slice token;
        after = take(cursor, &token);
        if (after == '\n' || count == HEAD_MAX) {
            return error_set(err, LEAT_INVALID,
                             after == '\n' ? "no | begins a namespace"
                                           : "more than label, importance, base and tag");
        }
        tagged = token.size > 0;
        if (tagged) {
            tokens[count++] = token;
        }
    }
    tagged = count > 0 && (tagged || tokens[count - 1].data[0] == '\'');
    if (tagged) {
        struct slice tag = tokens[--count];
        bool quote = tag.data[0] == '\'';
        TRY(add_cell(rows, TAG, (struct slice){tag.data + quote, tag.size - quote}, 1, err));
    }
    if (count > 0) {
        TRY(add_cell(rows, LABEL, tokens[0], 1, err));
    }
    return count > 1 ? add_cell(rows, IMPORTANCE, tokens[1], 1, err) : LEAT_OK;
}

static leat_status read_features(struct rows_lines *rows, struct cursor *cursor, int column,
                                 float scale, char *after, leat_error *err) {
    while (*after != '|' && *after != '\n') {
        struct slice name;
        float value = 1;
        *after = take(cursor, &name);
        if (*after == ':') {
            TRY(take_value(cursor, "feature", &value, after, err));
        } else if (name.size == 0) {
            continue;
        }
        TRY(add_cell(rows, column, name, scale * value, err));
    }
    return LEAT_OK;
}

static leat_status read_line(struct rows_lines *rows, const struct line *line, leat_error *err) {
    struct cursor cursor = {line->base, line->stops, line->begin};
    rows->last_column = FIXED - 1;
    TRY(read_head(rows, &cursor, err));
    for (char after = '|'; after == '|';) {
        struct slice name;
        int column;
        float scale = 1;
        after = take(&cursor, &name);
        TRY(column_of(rows, name, &column, err));
        if (after == ':') {
            TRY(take_value(&cursor, "namespace", &scale, &after, err));
        }
        TRY(read_features(rows, &cursor, column, scale, &after, err));
    }
    return LEAT_OK;
}

static const char *const COLUMNS[] = {"label", "importance", "tag", NULL};
static const struct rows_lines_format FORMAT = {" \t\r|:", COLUMNS, read_line};

leat_status rows_vw_open(const struct row_source_options *options, struct row_source **out,
                         leat_error *err) {
    return rows_lines_open(&FORMAT, options, out, err);
}
