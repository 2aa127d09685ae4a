/* Separated values with a line of names (or names given), and Criteo's, whose names are known. */
#include "base/memory.h"
#include "connect/byte_file.h"
#include "connect/csv.h"
#include "connect/row_source.h"

enum { CRITEO_NUMBERS = 13, CRITEO_WORDS = 26 };

struct rows_csv {
    struct row_source source;
    struct csv *csv;
    struct csv_row fields;
    struct row_cell cells[CSV_FIELDS_MAX];
};

static leat_status add_name(struct rows_csv *rows, struct slice name, leat_error *err) {
    struct row_columns *columns = &rows->source.columns;
    int before = columns->count;
    int at = row_column_at(columns, name);
    if (at < 0) {
        return error_set(err, LEAT_INVALID,
                         "column %d: a name of %zu bytes; 1 to %d are taken (is the separator "
                         "right?)",
                         before + 1, name.size, CONFIG_NAME_MAX - 1);
    }
    if (at < before) {
        return error_set(err, LEAT_INVALID, "column '%.*s' is there twice", (int)name.size,
                         name.data);
    }
    return LEAT_OK;
}

static leat_status name_criteo(struct rows_csv *rows, leat_error *err) {
    char name[16];
    TRY(add_name(rows, slice_of("label"), err));
    for (int i = 1; i <= CRITEO_NUMBERS; i++) {
        snprintf(name, sizeof(name), "I%d", i);
        TRY(add_name(rows, slice_of(name), err));
    }
    for (int i = 1; i <= CRITEO_WORDS; i++) {
        snprintf(name, sizeof(name), "C%d", i);
        TRY(add_name(rows, slice_of(name), err));
    }
    return LEAT_OK;
}

static leat_status name_given(struct rows_csv *rows, const char *header, leat_error *err) {
    for (const char *at = header;; at++) {
        size_t size = strcspn(at, ",");
        TRY(add_name(rows, (struct slice){at, size}, err));
        at += size;
        if (*at == '\0') {
            return LEAT_OK;
        }
    }
}

static leat_status name_by_first_line(struct rows_csv *rows, leat_error *err) {
    leat_status status = csv_next(rows->csv, &rows->fields, err);
    if (status == LEAT_END) {
        return error_set(err, LEAT_INVALID, "the file is empty; its first line names the columns");
    }
    TRY(status);
    for (int i = 0; i < rows->fields.count; i++) {
        struct slice name = rows->fields.fields[i];
        if (i == 0 && name.size >= 3 && memcmp(name.data, "\xEF\xBB\xBF", 3) == 0) {
            name = (struct slice){name.data + 3, name.size - 3}; /* a byte order mark */
        }
        TRY(add_name(rows, name, err));
    }
    return LEAT_OK;
}

static leat_status csv_row_next(struct row_source *source, struct row *out, leat_error *err) {
    struct rows_csv *rows = (struct rows_csv *)source;
    leat_status status = csv_next(rows->csv, &rows->fields, err);
    out->line = rows->fields.line;
    if (status != LEAT_OK) {
        return status;
    }
    if (rows->fields.count != source->columns.count) {
        return error_set(err, LEAT_INVALID, "%d fields, not %d", rows->fields.count,
                         source->columns.count);
    }
    out->count = rows->fields.count;
    out->cells = rows->cells;
    for (int i = 0; i < out->count; i++) {
        rows->cells[i].text = rows->fields.fields[i];
    }
    return LEAT_OK;
}

static void csv_close(struct row_source *source) {
    struct rows_csv *rows = (struct rows_csv *)source;
    csv_destroy(rows->csv);
    byte_file_close(rows->source.file);
    memory_free(rows);
}

static const struct row_source_calls CALLS = {csv_row_next, csv_close};

static leat_status start(struct rows_csv *rows, const struct row_source_options *options,
                         leat_error *err) {
    bool tabs = options->format != ROW_CSV;
    char separator = tabs ? '\t' : ',';
    separator = options->separator && !tabs ? options->separator : separator;
    TRY(byte_file_open(options->disk, options->path, &rows->source.file, err));
    TRY(csv_create(separator, !tabs, &rows->csv, err));
    csv_begin(rows->csv, byte_file_source(rows->source.file));
    leat_status status = options->format == ROW_CRITEO ? name_criteo(rows, err)
                         : options->header             ? name_given(rows, options->header, err)
                                                       : name_by_first_line(rows, err);
    return status < 0 ? error_in(err, status, "%s", options->path) : LEAT_OK;
}

leat_status rows_csv_open(const struct row_source_options *options, struct row_source **out,
                          leat_error *err) {
    struct rows_csv *rows = memory_zalloc(sizeof(*rows));
    if (!rows) {
        return error_memory(err, sizeof(*rows));
    }
    rows->source.calls = &CALLS;
    for (int i = 0; i < CSV_FIELDS_MAX; i++) {
        rows->cells[i].value = 1;
        rows->cells[i].column = (uint16_t)i;
    }
    leat_status status = start(rows, options, err);
    if (status < 0) {
        csv_close(&rows->source);
        return status;
    }
    *out = &rows->source;
    return LEAT_OK;
}
