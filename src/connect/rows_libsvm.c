/* libsvm's text, "label index:value ...", and libffm's, "label field:index:value ...": what follows
 * a # is a remark, a qid is passed over. */
#include "connect/rows_lines.h"

enum { LABEL, INDEX };

enum { PARTS_MAX = 3 };

/* A token with colons in it: up to the white space or the line's end. */
struct parts {
    int count;
    struct slice parts[PARTS_MAX];
};

static char take(const struct line *line, const uint32_t **stop, uint32_t *from,
                 struct slice *out) {
    uint32_t at = *(*stop)++;
    *out = (struct slice){line->base + *from, at - *from};
    *from = at + 1;
    return line->base[at];
}

static leat_status take_parts(const struct line *line, const uint32_t **stop, uint32_t *from,
                              struct parts *out, char *after, leat_error *err) {
    out->count = 0;
    do {
        if (out->count == PARTS_MAX) {
            return error_set(err, LEAT_INVALID, "feature '%.*s:...': more than two colons",
                             (int)(out->parts[0].size < 40 ? out->parts[0].size : 40),
                             out->parts[0].data);
        }
        *after = take(line, stop, from, &out->parts[out->count++]);
    } while (*after == ':');
    return LEAT_OK;
}

static leat_status column_of(struct rows_lines *rows, const struct parts *parts, int *out,
                             leat_error *err) {
    struct row_columns *columns = &rows->source.columns;
    if (parts->count == 2) {
        *out = INDEX;
        return LEAT_OK;
    }
    int next = rows->last_column + 1;
    bool guessed = next < columns->count && row_column_is(columns, next, parts->parts[0]);
    *out = guessed ? next : row_column_at(columns, parts->parts[0]);
    if (*out < INDEX) {
        return error_set(err, LEAT_INVALID,
                         "field '%.*s': no name, or 'label', or more than %d of them",
                         (int)(parts->parts[0].size < 40 ? parts->parts[0].size : 40),
                         parts->parts[0].data, ROW_COLUMNS_MAX - 2);
    }
    return LEAT_OK;
}

static leat_status add_feature(struct rows_lines *rows, const struct parts *parts,
                               leat_error *err) {
    struct slice name = parts->parts[0];
    double value;
    int column;
    if (parts->count == 2 && slice_is(name, "qid")) {
        return LEAT_OK;
    }
    if (parts->count == 1 || !row_number(parts->parts[parts->count - 1], &value)) {
        return error_set(err, LEAT_INVALID, "feature '%.*s' has no value that is a number",
                         (int)(name.size < 40 ? name.size : 40), name.data);
    }
    if (rows->count == ROW_CELLS_MAX) {
        return error_set(err, LEAT_INVALID, "more than %d features", ROW_CELLS_MAX);
    }
    TRY(column_of(rows, parts, &column, err));
    rows->last_column = column;
    rows->cells[rows->count++] =
        (struct row_cell){parts->parts[parts->count - 2], (float)value, (uint16_t)column};
    return LEAT_OK;
}

static leat_status read_line(struct rows_lines *rows, const struct line *line, leat_error *err) {
    const uint32_t *stop = line->stops;
    uint32_t from = line->begin;
    struct slice label;
    char after = take(line, &stop, &from, &label);
    rows->last_column = INDEX;
    if (label.size == 0 || after == ':' || after == '#') {
        return error_set(err, LEAT_INVALID, "the line does not begin with a label");
    }
    rows->cells[rows->count++] = (struct row_cell){label, 1, LABEL};
    while (after != '\n' && after != '#') {
        struct parts parts;
        TRY(take_parts(line, &stop, &from, &parts, &after, err));
        if (parts.count > 1 || parts.parts[0].size > 0) {
            TRY(add_feature(rows, &parts, err));
        }
    }
    return LEAT_OK;
}

static const char *const COLUMNS[] = {"label", "index", NULL};
static const struct rows_lines_format FORMAT = {" \t\r:#", COLUMNS, read_line};

leat_status rows_libsvm_open(const struct row_source_options *options, struct row_source **out,
                             leat_error *err) {
    return rows_lines_open(&FORMAT, options, out, err);
}
