#include "connect/row_source.h"

#include "base/text.h"
#include "connect/byte_file.h"

static const char *const NAMES[ROW_FORMATS] = {"csv", "tsv", "criteo", "vw", "libsvm", "parquet"};

const char *row_format_name(enum row_format format) {
    return NAMES[format];
}

leat_status row_format_find(const char *name, enum row_format *out, leat_error *err) {
    for (int i = 0; i < ROW_FORMATS; i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (enum row_format)i;
            return LEAT_OK;
        }
    }
    const char *nearest = text_nearest(slice_of(name), NAMES, ROW_FORMATS);
    return error_set(err, LEAT_INVALID,
                     "format '%s' is unknown%s%s%s; csv, tsv, criteo, vw, libsvm and parquet are "
                     "possible",
                     name, nearest ? "; did you mean '" : "", nearest ? nearest : "",
                     nearest ? "'?" : "");
}

leat_status row_source_open(const struct row_source_options *options, struct row_source **out,
                            leat_error *err) {
    switch (options->format) {
    case ROW_CSV:
    case ROW_TSV:
    case ROW_CRITEO: return rows_csv_open(options, out, err);
    case ROW_VW: return rows_vw_open(options, out, err);
    case ROW_LIBSVM: return rows_libsvm_open(options, out, err);
    case ROW_PARQUET: return rows_parquet_open(options, out, err);
    case ROW_FORMATS: break;
    }
    return error_set(err, LEAT_INVALID, "format %d", (int)options->format);
}

void row_source_close(struct row_source *source) {
    if (source) {
        source->calls->close(source);
    }
}

uint64_t row_source_bytes(const struct row_source *source) {
    return source->file ? byte_file_read_so_far(source->file) : 0;
}

enum { NUMBER_MAX = 64 };

/* With the zeros that JSON wants beside a point. */
static bool spelt_out(struct slice text, double *out) {
    char full[NUMBER_MAX + 2];
    size_t size = 0;
    if (text.size > NUMBER_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.size && size < NUMBER_MAX; i++) {
        bool point = text.data[i] == '.';
        bool before = i > 0 && text.data[i - 1] >= '0' && text.data[i - 1] <= '9';
        bool after = i + 1 < text.size && text.data[i + 1] >= '0' && text.data[i + 1] <= '9';
        if (point && !before) {
            if (!after) {
                return false;
            }
            full[size++] = '0';
        }
        if (!point || after) {
            full[size++] = text.data[i];
        }
    }
    return size < NUMBER_MAX && text_to_f64((struct slice){full, size}, out);
}

bool row_number(struct slice text, double *out) {
    if (text.size == 1 && text.data[0] >= '0' && text.data[0] <= '9') {
        *out = text.data[0] - '0';
        return true;
    }
    if (text.size > 1 && text.data[0] == '+' && text.data[1] != '-') {
        text = (struct slice){text.data + 1, text.size - 1};
    }
    return text_to_f64(text, out) ||
           (text.size > 0 && memchr(text.data, '.', text.size) && spelt_out(text, out));
}

int row_column_at(struct row_columns *columns, struct slice name) {
    for (int i = 0; i < columns->count; i++) {
        if (row_column_is(columns, i, name)) {
            return i;
        }
    }
    if (columns->count == ROW_COLUMNS_MAX || name.size == 0 || name.size >= CONFIG_NAME_MAX ||
        memchr(name.data, '\0', name.size)) {
        return -1;
    }
    char *out = columns->names[columns->count];
    memcpy(out, name.data, name.size);
    out[name.size] = '\0';
    return columns->count++;
}
