/* Whatever a file holds: no crash, every cell lies in its row and names a column that there is; and
 * the cells of a row of VW or libsvm, written plainly and read again, are the same cells. */
#include "base/disk_fake.h"
#include "base/text.h"
#include "connect/row_source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct disk *fake_disk(struct disk_fake **out) {
    static struct disk_fake *fake;
    if (!fake) {
        leat_status status = disk_fake_create(1, &fake, NULL);
        INVARIANT(status == LEAT_OK, "%d", status);
    }
    *out = fake;
    return disk_fake_disk(fake);
}

static leat_status open_bytes(enum row_format format, const char *path, const void *data,
                              size_t size, struct row_source **out) {
    struct disk_fake *fake;
    struct row_source_options options = {.disk = fake_disk(&fake), .format = format, .path = path};
    leat_status status = disk_fake_set(fake, path, data, size);
    INVARIANT(status == LEAT_OK, "%d", status);
    return row_source_open(&options, out, NULL);
}

static bool is_head(const struct row_source *source, const struct row_cell *cell) {
    const char *name = source->columns.names[cell->column];
    return strcmp(name, "label") == 0 || strcmp(name, "importance") == 0 ||
           strcmp(name, "tag") == 0;
}

static void put_value(struct bytes *out, float value) {
    char text[32];
    bytes_put_u8(out, ':');
    bytes_append(out, text, text_from_f64((double)value, text));
}

/* A namespace (or a field) before each cell. False where the plain text would say another thing. */
static bool write_row(const struct row_source *source, enum row_format format,
                      const struct row *row, struct bytes *out) {
    bytes_clear(out);
    bytes_printf(out, "1%s", format == ROW_VW ? " " : "");
    int cells = 0;
    for (int i = 0; i < row->count; i++) {
        const struct row_cell *cell = &row->cells[i];
        if (is_head(source, cell)) {
            continue;
        }
        const char *name = source->columns.names[cell->column];
        bool unsaid = !(cell->value - cell->value == 0) || strcmp(name, "default") == 0 ||
                      strcmp(name, "index") == 0 || strcmp(name, "qid") == 0 ||
                      cell->text.size == 0;
        if (unsaid) {
            return false;
        }
        bytes_printf(out, format == ROW_VW ? "|%s " : " %s:", name);
        bytes_append(out, cell->text.data, cell->text.size);
        put_value(out, cell->value);
        cells++;
    }
    bytes_put_u8(out, '\n');
    return cells > 0 && out->size < ROW_BYTES_MAX;
}

static void check_written(const struct row_source *source, enum row_format format,
                          const struct row *row) {
    static struct bytes text;
    struct row_source *again;
    struct row read;
    if (!write_row(source, format, row, &text)) {
        return;
    }
    leat_status status = open_bytes(format, "again", text.data, text.size, &again);
    INVARIANT(status == LEAT_OK, "%d", status);
    status = row_source_next(again, &read, NULL);
    INVARIANT(status == LEAT_OK, "%d", status);
    int at = 1; /* after the label */
    for (int i = 0; i < row->count; i++) {
        const struct row_cell *cell = &row->cells[i];
        if (is_head(source, cell)) {
            continue;
        }
        INVARIANT(at < read.count, "%d cells", read.count);
        const struct row_cell *other = &read.cells[at++];
        INVARIANT(slice_equal(cell->text, other->text), "cell %d", i);
        INVARIANT(cell->value == other->value, "%g and %g", (double)cell->value,
                  (double)other->value);
        INVARIANT(
            strcmp(source->columns.names[cell->column], again->columns.names[other->column]) == 0,
            "cell %d", i);
    }
    INVARIANT(at == read.count, "%d of %d cells", at, read.count);
    row_source_close(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct row_source *source;
    struct row row;
    if (size == 0) {
        return 0;
    }
    enum row_format format = (enum row_format)(data[0] % ROW_PARQUET);
    if (open_bytes(format, "rows", data + 1, size - 1, &source) != LEAT_OK) {
        return 0;
    }
    leat_status status;
    while ((status = row_source_next(source, &row, NULL)) == LEAT_OK || status == LEAT_INVALID) {
        for (int i = 0; status == LEAT_OK && i < row.count; i++) {
            INVARIANT(row.cells[i].column < source->columns.count, "%d", row.cells[i].column);
            INVARIANT(row.cells[i].text.size <= ROW_BYTES_MAX, "%zu", row.cells[i].text.size);
        }
        if (status == LEAT_OK && (format == ROW_VW || format == ROW_LIBSVM)) {
            check_written(source, format, &row);
        }
    }
    row_source_close(source);
    return 0;
}
