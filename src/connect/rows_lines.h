/* What the row sources have in common whose line is taken apart at its separators: vw and libsvm.
 * A format gives `read`, which makes the cells of one line. */
#ifndef CONNECT_ROWS_LINES_H
#define CONNECT_ROWS_LINES_H

#include "connect/line_scan.h"
#include "connect/row_source.h"

struct rows_lines {
    struct row_source source;
    struct line_scan *scan;
    /* LEAT_INVALID: the line is malformed. */
    leat_status (*read)(struct rows_lines *rows, const struct line *line, leat_error *err);
    int last_column; /* of the cell before, where lines name their columns in the same order mostly
                      */
    int count;
    struct row_cell cells[ROW_CELLS_MAX];
};

struct rows_lines_format {
    const char *separators;     /* besides the line end */
    const char *const *columns; /* those that every file has, up to a NULL */
    leat_status (*read)(struct rows_lines *rows, const struct line *line, leat_error *err);
};

leat_status rows_lines_open(const struct rows_lines_format *format,
                            const struct row_source_options *options, struct row_source **out,
                            leat_error *err);

#endif
