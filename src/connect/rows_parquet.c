/* Parquet by DuckDB: it decodes and casts to text, chunk by chunk, so that a value has the same
 * text (and so the same key) as in a CSV file. A list is its elements with | between; times are
 * milliseconds since 1970. A missing value is an empty text. */
#include "base/memory.h"
#include "connect/duckdb.h"
#include "connect/row_source.h"

struct rows_parquet {
    struct row_source source;
    struct duckdb duckdb;
    struct duckdb_session session;
    duckdb_rows result;
    bool has_result;
    bool ended;
    duckdb_handle chunk;
    duckdb_idx chunk_rows, row; /* `row`: of the chunk, the next one */
    uint64_t number;
    int count; /* columns that are read */
    uint16_t columns[ROW_COLUMNS_MAX];
    const duckdb_text *texts[ROW_COLUMNS_MAX];
    const uint64_t *valid[ROW_COLUMNS_MAX];
    struct row_cell cells[ROW_COLUMNS_MAX];
};

static void put_quoted(struct bytes *sql, char quote, const char *text) {
    bytes_put_u8(sql, (uint8_t)quote);
    for (; *text; text++) {
        bytes_fill(sql, (uint8_t)*text, *text == quote ? 2 : 1);
    }
    bytes_put_u8(sql, (uint8_t)quote);
}

static void put_as_text(struct bytes *sql, int type, const char *name) {
    const char *before = "CAST(";
    const char *after = " AS VARCHAR)";
    if (type == DUCKDB_LIST || type == DUCKDB_ARRAY) {
        before = "array_to_string(CAST(";
        after = " AS VARCHAR[]), '|')";
    } else if (type == DUCKDB_TIMESTAMP || type == DUCKDB_DATE ||
               (type >= DUCKDB_TIMESTAMP_S && type <= DUCKDB_TIMESTAMP_NS) ||
               type == DUCKDB_TIMESTAMP_TZ) {
        before = "CAST(epoch_ms(";
        after = ") AS VARCHAR)";
    }
    bytes_printf(sql, "%s", before);
    put_quoted(sql, '"', name);
    bytes_printf(sql, "%s", after);
}

/* Names all columns; puts those that are wanted into the statement. */
static leat_status choose_columns(struct rows_parquet *rows,
                                  const struct row_source_options *options, duckdb_rows *shape,
                                  struct bytes *sql, leat_error *err) {
    duckdb_idx count = rows->duckdb.column_count(shape);
    for (duckdb_idx i = 0; i < count; i++) {
        const char *name = rows->duckdb.column_name(shape, i);
        int column = row_column_at(&rows->source.columns, slice_of(name));
        if (column < 0 || (options->wanted && !options->wanted(options->context, name))) {
            continue;
        }
        bytes_printf(sql, "%s", rows->count ? ", " : "SELECT ");
        put_as_text(sql, rows->duckdb.column_type(shape, i), name);
        rows->columns[rows->count++] = (uint16_t)column;
    }
    bytes_printf(sql, "%s FROM read_parquet(", rows->count ? "" : "SELECT 1");
    put_quoted(sql, '\'', options->path);
    bytes_printf(sql, ")");
    bytes_put_u8(sql, '\0');
    return bytes_status(sql, err);
}

/* Rows come as they are read: nothing holds all of them. */
static leat_status run_streaming(struct rows_parquet *rows, const char *sql, leat_error *err) {
    const struct duckdb *duckdb = &rows->duckdb;
    duckdb_handle prepared = NULL;
    duckdb_handle pending = NULL;
    leat_status status = LEAT_OK;
    if (duckdb->prepare(rows->session.connection, sql, &prepared) != 0) {
        status = error_set(err, LEAT_INVALID, "%.300s", duckdb->prepare_error(prepared));
    } else if (duckdb->pending_prepared_streaming(prepared, &pending) != 0) {
        status = error_set(err, LEAT_INVALID, "%.300s", duckdb->pending_error(pending));
    } else if (duckdb->execute_pending(pending, &rows->result) != 0) {
        status = error_set(err, LEAT_INVALID, "%.300s", duckdb->result_error(&rows->result));
        duckdb->destroy_result(&rows->result);
    } else {
        rows->has_result = true;
    }
    duckdb->destroy_pending(&pending);
    duckdb->destroy_prepare(&prepared);
    return status;
}

static leat_status start(struct rows_parquet *rows, const struct row_source_options *options,
                         leat_error *err) {
    struct bytes sql;
    duckdb_rows shape;
    TRY(duckdb_load(&rows->duckdb, err));
    TRY(duckdb_session_open(&rows->session, &rows->duckdb, err));
    bytes_init(&sql);
    bytes_printf(&sql, "SELECT * FROM read_parquet(");
    put_quoted(&sql, '\'', options->path);
    bytes_printf(&sql, ") LIMIT 0");
    bytes_put_u8(&sql, '\0');
    leat_status status;
    TRY_OR(status, bytes_status(&sql, err), out);
    TRY_OR(status, duckdb_run(&rows->session, (const char *)sql.data, &shape, err), out);
    bytes_clear(&sql);
    status = choose_columns(rows, options, &shape, &sql, err);
    rows->duckdb.destroy_result(&shape);
    if (status == LEAT_OK) {
        status = run_streaming(rows, (const char *)sql.data, err);
    }
out:
    bytes_deinit(&sql);
    return status < 0 ? error_in(err, status, "%s", options->path) : LEAT_OK;
}

static leat_status next_chunk(struct rows_parquet *rows, leat_error *err) {
    const struct duckdb *duckdb = &rows->duckdb;
    if (rows->chunk) {
        duckdb->destroy_data_chunk(&rows->chunk);
    }
    rows->row = 0;
    rows->chunk_rows = 0;
    if (rows->ended) {
        return LEAT_END;
    }
    rows->chunk = duckdb->fetch_chunk(rows->result);
    if (!rows->chunk) {
        const char *words = duckdb->result_error(&rows->result);
        rows->ended = true;
        return words && words[0] ? error_set(err, LEAT_CORRUPT, "%.300s", words) : LEAT_END;
    }
    rows->chunk_rows = duckdb->data_chunk_get_size(rows->chunk);
    for (int i = 0; i < rows->count; i++) {
        duckdb_handle vector = duckdb->data_chunk_get_vector(rows->chunk, (duckdb_idx)i);
        rows->texts[i] = duckdb->vector_get_data(vector);
        rows->valid[i] = duckdb->vector_get_validity(vector);
    }
    return LEAT_OK;
}

static struct slice text_at(const struct rows_parquet *rows, int i) {
    duckdb_idx row = rows->row;
    if (rows->valid[i] && !(rows->valid[i][row / 64] >> (row % 64) & 1)) {
        return (struct slice){"", 0};
    }
    const duckdb_text *text = &rows->texts[i][row];
    bool inside = text->size <= sizeof(text->prefix) + sizeof(text->at.rest);
    return (struct slice){inside ? text->prefix : text->at.data, text->size};
}

static leat_status parquet_next(struct row_source *source, struct row *out, leat_error *err) {
    struct rows_parquet *rows = (struct rows_parquet *)source;
    out->line = rows->number + 1;
    while (rows->row == rows->chunk_rows) {
        leat_status status = next_chunk(rows, err);
        if (status != LEAT_OK) {
            return status;
        }
    }
    for (int i = 0; i < rows->count; i++) {
        rows->cells[i] = (struct row_cell){text_at(rows, i), 1, rows->columns[i]};
    }
    rows->row++;
    rows->number++;
    out->count = rows->count;
    out->cells = rows->cells;
    return LEAT_OK;
}

static void parquet_close(struct row_source *source) {
    struct rows_parquet *rows = (struct rows_parquet *)source;
    if (rows->chunk) {
        rows->duckdb.destroy_data_chunk(&rows->chunk);
    }
    if (rows->has_result) {
        rows->duckdb.destroy_result(&rows->result);
    }
    if (rows->session.calls) {
        duckdb_session_close(&rows->session);
    }
    memory_free(rows);
}

static const struct row_source_calls CALLS = {parquet_next, parquet_close};

leat_status rows_parquet_open(const struct row_source_options *options, struct row_source **out,
                              leat_error *err) {
    struct rows_parquet *rows = memory_zalloc(sizeof(*rows));
    if (!rows) {
        return error_memory(err, sizeof(*rows));
    }
    rows->source.calls = &CALLS;
    leat_status status = start(rows, options, err);
    if (status < 0) {
        parquet_close(&rows->source);
        return status;
    }
    *out = &rows->source;
    return LEAT_OK;
}
