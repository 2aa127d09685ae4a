/* Rows of training data, one after the other, whatever file they come from: a row is its cells, a
 * cell is the text of one column. What a cell means is the encoder's business (row_encoder.h).
 *
 *   csv, tsv   a cell a column, named by the first line or by `header`
 *   criteo     label, I1..I13, C1..C26 between tabs, without a line of names
 *   vw         label, importance, tag, then a column a namespace, with as many cells as features
 *   libsvm     label, then index:value in the column `index`; as libffm, field:index:value in the
 *              column that the field's number names
 *   parquet    a cell a column, as DuckDB writes the value; elements of a list with | between
 *
 * Files packed with gzip, zstd or whatever libarchive unpacks are read as they are. Memory of a
 * source is a few buffers, however long the file. One thread a source. */
#ifndef CONNECT_ROW_SOURCE_H
#define CONNECT_ROW_SOURCE_H

#include "base/config.h"
#include "base/file.h"

enum { ROW_COLUMNS_MAX = 256, ROW_CELLS_MAX = 4096, ROW_BYTES_MAX = 65536 };

enum row_format {
    ROW_CSV,
    ROW_TSV,
    ROW_CRITEO,
    ROW_VW,
    ROW_LIBSVM,
    ROW_PARQUET,
    ROW_FORMATS,
};

struct row_cell {
    struct slice text; /* borrowed until the next row */
    float value;       /* what a feature of VW or libsvm is multiplied by; 1 elsewhere */
    uint16_t column;
};

struct row {
    uint64_t line; /* where it began, from 1; of Parquet: the row's number, from 1 */
    int count;
    const struct row_cell *cells; /* those of one column in their order */
};

struct row_columns {
    int count;
    char names[ROW_COLUMNS_MAX][CONFIG_NAME_MAX];
};

struct row_source_options {
    struct disk *disk; /* Parquet is read by DuckDB, from the real one */
    enum row_format format;
    const char *path;
    const char *header; /* csv, tsv: names by comma, of a file without a line of names; or NULL */
    char separator;     /* csv; 0: a comma */
    bool (*wanted)(void *context, const char *column); /* Parquet reads only these; NULL: all */
    void *context;
};

struct byte_file;
struct row_source;

struct row_source_calls {
    leat_status (*next)(struct row_source *source, struct row *out, leat_error *err);
    void (*close)(struct row_source *source);
};

/* Every implementation's source begins with this. vw and libsvm: columns are added as they appear,
 * so `columns.count` may grow with every row. */
struct row_source {
    const struct row_source_calls *calls;
    struct byte_file *file; /* NULL: not read by bytes */
    struct row_columns columns;
};

/* LEAT_INVALID names a file that is not there or is not of the format. Borrows the options' disk.
 */
leat_status row_source_open(const struct row_source_options *options, struct row_source **out,
                            leat_error *err);
/* LEAT_OK with a row; LEAT_END; LEAT_INVALID: this row is malformed (row->line says where), the
 * next call goes on after it. Anything else is the file's failure. */
static inline leat_status row_source_next(struct row_source *source, struct row *out,
                                          leat_error *err) {
    return source->calls->next(source, out, err);
}
void row_source_close(struct row_source *source); /* NULL is fine */
/* Bytes of the file that were read so far (packed ones, where it is packed); 0 where the source
 * does not know. */
uint64_t row_source_bytes(const struct row_source *source);

const char *row_format_name(enum row_format format);
/* "csv" -> ROW_CSV; LEAT_INVALID names the nearest. */
leat_status row_format_find(const char *name, enum row_format *out, leat_error *err);

/* --- for implementations --- */

leat_status rows_csv_open(const struct row_source_options *options, struct row_source **out,
                          leat_error *err);
leat_status rows_vw_open(const struct row_source_options *options, struct row_source **out,
                         leat_error *err);
leat_status rows_libsvm_open(const struct row_source_options *options, struct row_source **out,
                             leat_error *err);
leat_status rows_parquet_open(const struct row_source_options *options, struct row_source **out,
                              leat_error *err);

/* Whether a column has that name; without looking for the end of it. */
static inline bool row_column_is(const struct row_columns *columns, int column, struct slice name) {
    const char *known = columns->names[column];
    return name.size > 0 && name.size < CONFIG_NAME_MAX && known[0] == name.data[0] &&
           known[name.size - 1] != '\0' && known[name.size] == '\0' &&
           (name.size == 1 || memcmp(known, name.data, name.size) == 0);
}

/* A number as the formats have them: besides what JSON allows, "+1", ".5" and "5.". False for
 * anything else, and for what is not finite. */
bool row_number(struct slice text, double *out);

/* The column of that name, added if it is new; -1 when there are ROW_COLUMNS_MAX, or the name has
 * CONFIG_NAME_MAX bytes or more, or none. */
int row_column_at(struct row_columns *columns, struct slice name);

#endif
