/* `leat experiment plot`: a table of numbers as a line chart. */
#include "app/experiment.h"
#include "app/plot.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#include <math.h>

enum { TABLE_BYTES_MAX = 1 << 20, NAME_BYTES = 64 };

/* First line: names, by tab; first column: x. An empty cell leaves a gap. */
struct plot_table {
    int columns;
    int rows;
    char names[1 + PLOT_SERIES_MAX][NAME_BYTES];
    double values[1 + PLOT_SERIES_MAX][PLOT_POINTS_MAX];
};

/* The text up to `end`, and behind it. False: there is none left. */
static bool cut(struct slice *text, char end, struct slice *out) {
    if (!text->data) {
        return false;
    }
    const char *at = memchr(text->data, end, text->size);
    out->data = text->data;
    out->size = at ? (size_t)(at - text->data) : text->size;
    size_t taken = out->size + (at != NULL);
    *text = at ? (struct slice){text->data + taken, text->size - taken} : (struct slice){NULL, 0};
    return true;
}

static leat_status read_names(struct plot_table *table, struct slice line, leat_error *err) {
    struct slice cell;
    while (cut(&line, '\t', &cell)) {
        if (table->columns > PLOT_SERIES_MAX) {
            return error_set(err, LEAT_INVALID, "more than %d lines to draw", PLOT_SERIES_MAX);
        }
        snprintf(table->names[table->columns++], NAME_BYTES, "%.*s", (int)cell.size, cell.data);
    }
    return table->columns >= 2
               ? LEAT_OK
               : error_set(err, LEAT_INVALID, "the first line names no column to draw");
}

static leat_status read_row(struct plot_table *table, struct slice line, leat_error *err) {
    struct slice cell;
    if (table->rows == PLOT_POINTS_MAX) {
        return error_set(err, LEAT_INVALID, "more than %d rows", PLOT_POINTS_MAX);
    }
    for (int c = 0; c < table->columns; c++) {
        double *value = &table->values[c][table->rows];
        *value = NAN;
        if (cut(&line, '\t', &cell) && cell.size > 0 && !text_to_f64(cell, value)) {
            return error_set(err, LEAT_INVALID, "row %d: '%.*s' is not a number", table->rows + 1,
                             (int)cell.size, cell.data);
        }
    }
    table->rows++;
    return LEAT_OK;
}

static leat_status read_table(struct plot_table *table, struct slice text, leat_error *err) {
    struct slice line;
    cut(&text, '\n', &line);
    TRY(read_names(table, line, err));
    while (cut(&text, '\n', &line)) {
        if (line.size > 0) {
            TRY(read_row(table, line, err));
        }
    }
    return LEAT_OK;
}

struct plot_words {
    const char *title, *x, *y, *out;
    bool log_x;
};

static leat_status draw(const struct plot_words *words, const struct plot_table *table,
                        leat_error *err) {
    struct plot plot = {
        .title = words->title,
        .x_label = words->x ? words->x : table->names[0],
        .y_label = words->y,
        .log_x = words->log_x,
        .point_count = table->rows,
        .x = table->values[0],
        .series_count = table->columns - 1,
    };
    for (int s = 0; s < plot.series_count; s++) {
        plot.series[s] = (struct plot_series){table->names[1 + s], table->values[1 + s]};
    }
    struct bytes out;
    bytes_init(&out);
    leat_status status = plot_svg(&plot, &out, err);
    if (status == LEAT_OK) {
        status = disk_put(disk_real(), words->out, out.data, out.size, err);
    }
    bytes_deinit(&out);
    return status;
}

static leat_status plot_file(const struct plot_words *words, const char *path, leat_error *err) {
    struct bytes text;
    if (!words->out) {
        return error_set(err, LEAT_INVALID, "--out FILE is missing");
    }
    struct plot_table *table = memory_zalloc(sizeof(*table));
    if (!table) {
        return error_memory(err, sizeof(*table));
    }
    bytes_init(&text);
    leat_status status = disk_get(disk_real(), path, TABLE_BYTES_MAX, &text, err);
    if (status == LEAT_NOT_FOUND) {
        status = error_set(err, LEAT_INVALID, "there is no file %s", path);
    }
    if (status == LEAT_OK) {
        status = read_table(table, (struct slice){(const char *)text.data, text.size}, err);
        status = status < 0 ? error_in(err, status, "%s", path) : draw(words, table, err);
    }
    bytes_deinit(&text);
    memory_free(table);
    return status;
}

int experiment_plot_run(int argc, char **argv) {
    struct plot_words words = {.title = "", .y = ""};
    const struct option options[] = {
        {"out", 0, "FILE", "The chart, an SVG.", &words.out, NULL},
        {"title", 0, "TEXT", "Above it.", &words.title, NULL},
        {"x", 0, "TEXT", "Below the axis (without it, the first column's name).", &words.x, NULL},
        {"y", 0, "TEXT", "Beside the other.", &words.y, NULL},
        {"log-x", 0, NULL, "Equal ratios of x as equal distances.", NULL, &words.log_x},
    };
    const struct usage usage = {
        "leat experiment plot TABLE --out FILE.svg [--title TEXT] [--x TEXT] [--y TEXT] [--log-x]",
        "Draws a table as lines: names by tab in the first line, then numbers; the first column\n"
        "is x, an empty cell leaves a gap.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 1, &rest, &exit_code)) {
        return exit_code;
    }
    if (rest == 0) {
        fprintf(stderr, "leat experiment plot: which table? See --help\n");
        return COMMAND_MISUSED;
    }
    leat_error err = {.message = ""};
    return plot_file(&words, argv[1], &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
