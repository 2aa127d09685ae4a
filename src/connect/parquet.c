/* DuckDB pulls: a table function of its gives the rows of the batch in hand, a chunk at a time, and
 * a COPY of that table writes the file. */
#include "connect/parquet.h"

#include "base/bytes.h"
#include "flow/example.h"

#include <inttypes.h>

struct parquet {
    const struct duckdb *duckdb;
    const struct parquet_options *options;
    struct batch batch;
    int64_t row; /* of the batch, the next one */
    bool ended;
    leat_error failure; /* of options->next, or of memory */
};

/* --- what columns there are --- */

static bool has_tasks(const struct parquet *parquet) {
    return parquet->options->schema->id == SCHEMA_EXAMPLE;
}

static int duckdb_type_of(enum column_type type) {
    switch (type) {
    case COLUMN_I32: return DUCKDB_INTEGER;
    case COLUMN_I64: return DUCKDB_BIGINT;
    case COLUMN_U64:
    case COLUMN_LIST_U64: return DUCKDB_UBIGINT;
    case COLUMN_F32:
    case COLUMN_LIST_F32: return DUCKDB_FLOAT;
    case COLUMN_F64: return DUCKDB_DOUBLE;
    case COLUMN_TEXT:
    case COLUMN_LIST_TEXT: return DUCKDB_VARCHAR;
    }
    return DUCKDB_VARCHAR;
}

static bool is_list(enum column_type type) {
    return type == COLUMN_LIST_U64 || type == COLUMN_LIST_F32 || type == COLUMN_LIST_TEXT;
}

static void add_column(const struct parquet *parquet, duckdb_handle info, const char *name,
                       int type, bool list) {
    duckdb_handle element = parquet->duckdb->create_logical_type(type);
    duckdb_handle whole = list ? parquet->duckdb->create_list_type(element) : element;
    parquet->duckdb->bind_add_result_column(info, name, whole);
    if (list) {
        parquet->duckdb->destroy_logical_type(&whole);
    }
    parquet->duckdb->destroy_logical_type(&element);
}

/* A callback gets a handle, and needs a call to learn more from it. The library is loaded once in a
 * process, so these are the same for everybody. */
static const struct duckdb *callbacks_duckdb;

static void on_bind(duckdb_handle info) {
    const struct parquet *parquet = callbacks_duckdb->bind_get_extra_info(info);
    const struct schema *schema = parquet->options->schema;
    for (int i = 0; i < schema->field_count; i++) {
        enum column_type type = schema->fields[i].type;
        add_column(parquet, info, schema->fields[i].name, duckdb_type_of(type), is_list(type));
    }
    const struct config *config = parquet->options->config;
    for (int t = 0; has_tasks(parquet) && t < config->action_count; t++) {
        char name[CONFIG_NAME_MAX + 8];
        snprintf(name, sizeof(name), "mask_%s", config->actions[t].name);
        add_column(parquet, info, name, DUCKDB_BOOLEAN, false);
        snprintf(name, sizeof(name), "label_%s", config->actions[t].name);
        add_column(parquet, info, name, DUCKDB_BOOLEAN, false);
    }
}

static void on_init(duckdb_handle info) {
    callbacks_duckdb->init_set_max_threads(info, 1);
}

/* --- filling a chunk --- */

/* Rows [row, row + count) of the batch into one vector. */
struct fill {
    const struct duckdb *duckdb;
    const struct batch *batch;
    int64_t row;
    int count;
    duckdb_handle vector;
};

static void set_null(const struct fill *fill, int index) {
    fill->duckdb->vector_ensure_validity_writable(fill->vector);
    uint64_t *bits = fill->duckdb->vector_get_validity(fill->vector);
    bits[index / 64] &= ~((uint64_t)1 << (index % 64));
}

static void fill_nulls(const struct fill *fill, int column) {
    if (!fill->batch->schema->fields[column].nullable) {
        return;
    }
    for (int i = 0; i < fill->count; i++) {
        if (batch_is_null(fill->batch, column, fill->row + i)) {
            set_null(fill, i);
        }
    }
}

static void fill_fixed(const struct fill *fill, int column, size_t width) {
    const struct column *c = &fill->batch->columns[column];
    char *out = fill->duckdb->vector_get_data(fill->vector);
    if (!column_absent(c)) {
        memcpy(out, (const char *)c->buffer[1] + (size_t)fill->row * width,
               (size_t)fill->count * width);
    }
}

static void fill_text(const struct fill *fill, int column) {
    for (int i = 0; i < fill->count; i++) {
        struct slice text = batch_text(fill->batch, column, fill->row + i);
        if (text.data) {
            fill->duckdb->vector_assign_string_element_len(fill->vector, (duckdb_idx)i, text.data,
                                                           text.size);
        }
    }
}

/* The lists of these rows lie one after the other, in the batch as in the vector. */
static bool fill_list(const struct fill *fill, int column) {
    const struct column *c = &fill->batch->columns[column];
    duckdb_entry *entries = fill->duckdb->vector_get_data(fill->vector);
    if (column_absent(c)) {
        memset(entries, 0, (size_t)fill->count * sizeof(*entries));
        return true;
    }
    const int32_t *offsets = (const int32_t *)c->buffer[1] + fill->row;
    uint64_t total = (uint64_t)(offsets[fill->count] - offsets[0]);
    for (int i = 0; i < fill->count; i++) {
        entries[i].offset = (uint64_t)(offsets[i] - offsets[0]);
        entries[i].length = (uint64_t)(offsets[i + 1] - offsets[i]);
    }
    if (fill->duckdb->list_vector_reserve(fill->vector, total) != 0 ||
        fill->duckdb->list_vector_set_size(fill->vector, total) != 0) {
        return false;
    }
    duckdb_handle child = fill->duckdb->list_vector_get_child(fill->vector);
    if (fill->batch->schema->fields[column].type != COLUMN_LIST_TEXT) {
        bool wide = fill->batch->schema->fields[column].type == COLUMN_LIST_U64;
        size_t width = wide ? sizeof(uint64_t) : sizeof(float);
        memcpy(fill->duckdb->vector_get_data(child),
               (const char *)c->buffer[2] + (size_t)offsets[0] * width, (size_t)total * width);
        return true;
    }
    const int32_t *texts = (const int32_t *)c->buffer[2] + offsets[0];
    for (uint64_t i = 0; i < total; i++) {
        fill->duckdb->vector_assign_string_element_len(
            child, i, (const char *)c->buffer[3] + texts[i], (duckdb_idx)(texts[i + 1] - texts[i]));
    }
    return true;
}

static bool fill_column(const struct fill *fill, int column) {
    enum column_type type = fill->batch->schema->fields[column].type;
    bool done = true;
    if (is_list(type)) {
        done = fill_list(fill, column);
    } else if (type == COLUMN_TEXT) {
        fill_text(fill, column);
    } else {
        fill_fixed(fill, column, column_type_width(type));
    }
    fill_nulls(fill, column);
    return done;
}

static void fill_mask(const struct fill *fill, int task) {
    uint8_t *out = fill->duckdb->vector_get_data(fill->vector);
    for (int i = 0; i < fill->count; i++) {
        out[i] = batch_i32(fill->batch, EXAMPLE_MASK, fill->row + i) >> task & 1;
    }
}

static void fill_label(const struct fill *fill, int task) {
    uint8_t *out = fill->duckdb->vector_get_data(fill->vector);
    for (int i = 0; i < fill->count; i++) {
        out[i] = batch_i32(fill->batch, EXAMPLE_LABELS, fill->row + i) >> task & 1;
        if (!(batch_i32(fill->batch, EXAMPLE_MASK, fill->row + i) >> task & 1)) {
            set_null(fill, i);
        }
    }
}

static bool fill_chunk(const struct parquet *parquet, duckdb_handle chunk, int count) {
    const struct duckdb *duckdb = parquet->duckdb;
    int fields = parquet->options->schema->field_count;
    struct fill fill = {duckdb, &parquet->batch, parquet->row, count, NULL};
    for (int i = 0; i < fields; i++) {
        fill.vector = duckdb->data_chunk_get_vector(chunk, (duckdb_idx)i);
        if (!fill_column(&fill, i)) {
            return false;
        }
    }
    int tasks = has_tasks(parquet) ? parquet->options->config->action_count : 0;
    for (int t = 0; t < tasks; t++) {
        fill.vector = duckdb->data_chunk_get_vector(chunk, (duckdb_idx)(fields + 2 * t));
        fill_mask(&fill, t);
        fill.vector = duckdb->data_chunk_get_vector(chunk, (duckdb_idx)(fields + 2 * t + 1));
        fill_label(&fill, t);
    }
    return true;
}

/* --- the table function --- */

static leat_status next_rows(struct parquet *parquet) {
    while (!parquet->ended && parquet->row == parquet->batch.rows) {
        leat_status status =
            parquet->options->next(parquet->options->context, &parquet->batch, &parquet->failure);
        TRY(status);
        parquet->row = 0;
        parquet->ended = status == LEAT_END;
    }
    return parquet->ended ? LEAT_END : LEAT_OK;
}

static void on_fill(duckdb_handle info, duckdb_handle chunk) {
    struct parquet *parquet = callbacks_duckdb->function_get_extra_info(info);
    leat_status status = next_rows(parquet);
    int64_t left = status == LEAT_OK ? parquet->batch.rows - parquet->row : 0;
    int64_t most = (int64_t)parquet->duckdb->vector_size();
    int count = (int)(left < most ? left : most);
    if (status == LEAT_OK && !fill_chunk(parquet, chunk, count)) {
        status = error_memory(&parquet->failure, 0);
    }
    if (status < 0) {
        parquet->duckdb->function_set_error(info, parquet->failure.message);
        count = 0;
    }
    parquet->duckdb->data_chunk_set_size(chunk, (duckdb_idx)count);
    parquet->row += count;
}

static leat_status register_function(const struct duckdb_session *session, struct parquet *parquet,
                                     leat_error *err) {
    const struct duckdb *duckdb = session->calls;
    duckdb_handle function = duckdb->create_table_function();
    duckdb->table_function_set_name(function, "leat_batches");
    duckdb->table_function_set_extra_info(function, parquet, NULL);
    duckdb->table_function_set_bind(function, on_bind);
    duckdb->table_function_set_init(function, on_init);
    duckdb->table_function_set_function(function, on_fill);
    int failed = duckdb->register_table_function(session->connection, function);
    duckdb->destroy_table_function(&function);
    return failed ? error_set(err, LEAT_UNSUPPORTED, "DuckDB %s takes no table function",
                              duckdb->library_version())
                  : LEAT_OK;
}

/* --- the file --- */

static void put_quoted(struct bytes *sql, const char *text) {
    bytes_put_u8(sql, '\'');
    for (; *text; text++) {
        bytes_append(sql, text, 1);
        if (*text == '\'') {
            bytes_put_u8(sql, '\'');
        }
    }
    bytes_put_u8(sql, '\'');
}

static void put_copy(const struct parquet *parquet, struct bytes *sql) {
    const struct schema *schema = parquet->options->schema;
    const struct config *config = parquet->options->config;
    bytes_printf(sql, "COPY (SELECT * FROM leat_batches()) TO ");
    put_quoted(sql, parquet->options->path);
    bytes_printf(sql,
                 " (FORMAT parquet, COMPRESSION zstd, KV_METADATA {leat_schema: '%s %u', "
                 "leat_tasks: '",
                 schema->name, schema->version);
    for (int t = 0; t < config->action_count; t++) {
        bytes_printf(sql, "%s%s", t > 0 ? "," : "", config->actions[t].name);
    }
    bytes_printf(sql, "', leat_keys: '");
    for (int i = 0; i < config->model.features.count; i++) {
        bytes_printf(sql, "%s%s", i > 0 ? "," : "", config->model.features.names[i]);
    }
    bytes_printf(sql, "'})");
    bytes_put_u8(sql, '\0');
}

static leat_status copy(const struct duckdb_session *session, struct parquet *parquet,
                        leat_error *err) {
    struct bytes sql;
    TRY(register_function(session, parquet, err));
    bytes_init(&sql);
    put_copy(parquet, &sql);
    leat_status status = bytes_status(&sql, err);
    if (status >= 0) {
        status = duckdb_run(session, (const char *)sql.data, NULL, err);
    }
    bytes_deinit(&sql);
    if (status < 0 && parquet->failure.status < 0) {
        return error_set(err, parquet->failure.status, "%s", parquet->failure.message);
    }
    return status;
}

leat_status parquet_write(const struct duckdb *duckdb, const struct parquet_options *options,
                          leat_error *err) {
    struct parquet parquet = {.duckdb = duckdb, .options = options};
    struct duckdb_session session;
    callbacks_duckdb = duckdb;
    TRY(duckdb_session_open(&session, duckdb, err));
    leat_status status = copy(&session, &parquet, err);
    duckdb_session_close(&session);
    return status;
}
