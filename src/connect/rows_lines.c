#include "connect/rows_lines.h"

#include "base/memory.h"
#include "connect/byte_file.h"

static leat_status lines_next(struct row_source *source, struct row *out, leat_error *err) {
    struct rows_lines *rows = (struct rows_lines *)source;
    struct line line;
    leat_status status = line_scan_next(rows->scan, &line, err);
    out->line = line.number;
    if (status != LEAT_OK) {
        return status;
    }
    rows->count = 0;
    TRY(rows->read(rows, &line, err));
    out->count = rows->count;
    out->cells = rows->cells;
    return LEAT_OK;
}

static void lines_close(struct row_source *source) {
    struct rows_lines *rows = (struct rows_lines *)source;
    line_scan_destroy(rows->scan);
    byte_file_close(rows->source.file);
    memory_free(rows);
}

static const struct row_source_calls CALLS = {lines_next, lines_close};

leat_status rows_lines_open(const struct rows_lines_format *format,
                            const struct row_source_options *options, struct row_source **out,
                            leat_error *err) {
    struct rows_lines *rows = memory_zalloc(sizeof(*rows));
    if (!rows) {
        return error_memory(err, sizeof(*rows));
    }
    rows->source.calls = &CALLS;
    rows->read = format->read;
    for (int i = 0; format->columns[i]; i++) {
        row_column_at(&rows->source.columns, slice_of(format->columns[i]));
    }
    leat_status status;
    TRY_OR(status, byte_file_open(options->disk, options->path, &rows->source.file, err), fail);
    TRY_OR(status, line_scan_create(format->separators, &rows->scan, err), fail);
    line_scan_begin(rows->scan, byte_file_source(rows->source.file));
    *out = &rows->source;
    return LEAT_OK;
fail:
    lines_close(&rows->source);
    return status;
}
