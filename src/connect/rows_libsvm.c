/* libsvm's text, "label index:value ...", and libffm's, "label field:index:value ...": what follows
 * a # is a remark, a qid is passed over. */
#include "base/memory.h"
#include "connect/byte_file.h"
#include "connect/line_scan.h"
#include "connect/row_source.h"

enum { LABEL, INDEX };

struct rows_libsvm {
    struct row_source source;
    struct line_scan *scan;
    int last_column;
    int count;
    struct row_cell cells[ROW_CELLS_MAX];
};

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

static leat_status column_of(struct rows_libsvm *rows, const struct parts *parts, int *out,
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

static leat_status add_feature(struct rows_libsvm *rows, const struct parts *parts,
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

static leat_status read_line(struct rows_libsvm *rows, const struct line *line, leat_error *err) {
    const uint32_t *stop = line->stops;
    uint32_t from = line->begin;
    struct slice label;
    char after = take(line, &stop, &from, &label);
    rows->count = 0;
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

static leat_status libsvm_next(struct row_source *source, struct row *out, leat_error *err) {
    struct rows_libsvm *rows = (struct rows_libsvm *)source;
    struct line line;
    leat_status status = line_scan_next(rows->scan, &line, err);
    out->line = line.number;
    if (status != LEAT_OK) {
        return status;
    }
    TRY(read_line(rows, &line, err));
    out->count = rows->count;
    out->cells = rows->cells;
    return LEAT_OK;
}

static void libsvm_close(struct row_source *source) {
    struct rows_libsvm *rows = (struct rows_libsvm *)source;
    line_scan_destroy(rows->scan);
    byte_file_close(rows->source.file);
    memory_free(rows);
}

static const struct row_source_calls CALLS = {libsvm_next, libsvm_close};

leat_status rows_libsvm_open(const struct row_source_options *options, struct row_source **out,
                             leat_error *err) {
    struct rows_libsvm *rows = memory_zalloc(sizeof(*rows));
    if (!rows) {
        return error_memory(err, sizeof(*rows));
    }
    rows->source.calls = &CALLS;
    row_column_at(&rows->source.columns, slice_of("label"));
    row_column_at(&rows->source.columns, slice_of("index"));
    leat_status status;
    TRY_OR(status, byte_file_open(options->disk, options->path, &rows->source.file, err), fail);
    TRY_OR(status, line_scan_create(" \t\r:#", &rows->scan, err), fail);
    line_scan_begin(rows->scan, byte_file_source(rows->source.file));
    *out = &rows->source;
    return LEAT_OK;
fail:
    libsvm_close(&rows->source);
    return status;
}
