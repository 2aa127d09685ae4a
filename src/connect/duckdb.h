/* DuckDB's C library, found at run time: it is an optional part, and nothing links it. The
 * prototypes below are those of its C API that are used here, in its own types; they are the same
 * since 1.1.
 *
 * Looked for in this order: LEAT_DUCKDB (a path), lib/libduckdb.so beside the program and up to two
 * folders above it (where tools/setup puts it: build/lib), then wherever the loader looks. */
#ifndef CONNECT_DUCKDB_H
#define CONNECT_DUCKDB_H

#include "base/error.h"

#include <stdint.h>

typedef uint64_t duckdb_idx;
typedef struct duckdb_opaque *duckdb_handle; /* every pointer type of the API but results */
typedef void (*duckdb_delete)(void *);
typedef void (*duckdb_callback)(duckdb_handle info);
typedef void (*duckdb_fill)(duckdb_handle info, duckdb_handle chunk);

typedef struct duckdb_rows {
    duckdb_idx unused_counts[3];
    void *unused_columns;
    char *unused_message;
    void *internal;
} duckdb_rows; /* duckdb_result */

/* The entry of a list vector. */
typedef struct duckdb_entry {
    uint64_t offset, length;
} duckdb_entry;

/* A text of up to 12 bytes stands in itself; a longer one is pointed to. */
typedef struct duckdb_text {
    uint32_t size;
    char prefix[4];
    union {
        char rest[8];
        const char *data;
    } at;
} duckdb_text;

enum duckdb_type {
    DUCKDB_BOOLEAN = 1,
    DUCKDB_INTEGER = 4,
    DUCKDB_BIGINT = 5,
    DUCKDB_UBIGINT = 9,
    DUCKDB_FLOAT = 10,
    DUCKDB_DOUBLE = 11,
    DUCKDB_TIMESTAMP = 12,
    DUCKDB_DATE = 13,
    DUCKDB_VARCHAR = 17,
    DUCKDB_TIMESTAMP_S = 20,
    DUCKDB_TIMESTAMP_MS = 21,
    DUCKDB_TIMESTAMP_NS = 22,
    DUCKDB_LIST = 24,
    DUCKDB_TIMESTAMP_TZ = 31,
    DUCKDB_ARRAY = 33,
};

#define DUCKDB_CALLS(CALL)                                                                         \
    CALL(const char *, library_version, (void))                                                    \
    CALL(int, open, (const char *path, duckdb_handle *out))                                        \
    CALL(void, close, (duckdb_handle *))                                                           \
    CALL(int, connect, (duckdb_handle database, duckdb_handle * out))                              \
    CALL(void, disconnect, (duckdb_handle *))                                                      \
    CALL(int, query, (duckdb_handle connection, const char *sql, duckdb_rows *out))                \
    CALL(const char *, result_error, (duckdb_rows *))                                              \
    CALL(duckdb_idx, column_count, (duckdb_rows *))                                                \
    CALL(const char *, column_name, (duckdb_rows *, duckdb_idx column))                            \
    CALL(int, column_type, (duckdb_rows *, duckdb_idx column))                                     \
    CALL(int, prepare, (duckdb_handle connection, const char *sql, duckdb_handle *out))            \
    CALL(const char *, prepare_error, (duckdb_handle))                                             \
    CALL(void, destroy_prepare, (duckdb_handle *))                                                 \
    CALL(int, pending_prepared_streaming, (duckdb_handle prepared, duckdb_handle * out))           \
    CALL(const char *, pending_error, (duckdb_handle))                                             \
    CALL(int, execute_pending, (duckdb_handle pending, duckdb_rows * out))                         \
    CALL(void, destroy_pending, (duckdb_handle *))                                                 \
    CALL(void, destroy_result, (duckdb_rows *))                                                    \
    CALL(duckdb_handle, fetch_chunk, (duckdb_rows rows))                                           \
    CALL(void, destroy_data_chunk, (duckdb_handle *))                                              \
    CALL(duckdb_handle, create_logical_type, (int type))                                           \
    CALL(duckdb_handle, create_list_type, (duckdb_handle type))                                    \
    CALL(void, destroy_logical_type, (duckdb_handle *))                                            \
    CALL(duckdb_handle, create_table_function, (void))                                             \
    CALL(void, destroy_table_function, (duckdb_handle *))                                          \
    CALL(void, table_function_set_name, (duckdb_handle, const char *name))                         \
    CALL(void, table_function_set_extra_info, (duckdb_handle, void *info, duckdb_delete))          \
    CALL(void, table_function_set_bind, (duckdb_handle, duckdb_callback))                          \
    CALL(void, table_function_set_init, (duckdb_handle, duckdb_callback))                          \
    CALL(void, table_function_set_function, (duckdb_handle, duckdb_fill))                          \
    CALL(int, register_table_function, (duckdb_handle connection, duckdb_handle function))         \
    CALL(void *, bind_get_extra_info, (duckdb_handle))                                             \
    CALL(void, bind_add_result_column, (duckdb_handle, const char *name, duckdb_handle type))      \
    CALL(void, init_set_max_threads, (duckdb_handle, duckdb_idx))                                  \
    CALL(void *, function_get_extra_info, (duckdb_handle))                                         \
    CALL(void, function_set_error, (duckdb_handle, const char *))                                  \
    CALL(duckdb_handle, data_chunk_get_vector, (duckdb_handle chunk, duckdb_idx column))           \
    CALL(duckdb_idx, data_chunk_get_size, (duckdb_handle chunk))                                   \
    CALL(void, data_chunk_set_size, (duckdb_handle chunk, duckdb_idx))                             \
    CALL(void *, vector_get_data, (duckdb_handle))                                                 \
    CALL(uint64_t *, vector_get_validity, (duckdb_handle))                                         \
    CALL(void, vector_ensure_validity_writable, (duckdb_handle))                                   \
    CALL(void, vector_assign_string_element_len,                                                   \
         (duckdb_handle, duckdb_idx, const char *, duckdb_idx))                                    \
    CALL(duckdb_handle, list_vector_get_child, (duckdb_handle))                                    \
    CALL(int, list_vector_reserve, (duckdb_handle, duckdb_idx))                                    \
    CALL(int, list_vector_set_size, (duckdb_handle, duckdb_idx))                                   \
    CALL(duckdb_idx, vector_size, (void))

struct duckdb {
#define DUCKDB_MEMBER(type, name, arguments) type(*name) arguments;
    DUCKDB_CALLS(DUCKDB_MEMBER)
#undef DUCKDB_MEMBER
};

/* LEAT_UNSUPPORTED, with how to get it, where the library is not to be had. It stays loaded for the
 * process's life. Any thread. */
leat_status duckdb_load(struct duckdb *out, leat_error *err);

/* A database in memory with one thread, and a connection to it. */
struct duckdb_session {
    const struct duckdb *calls;
    duckdb_handle database, connection;
};
leat_status duckdb_session_open(struct duckdb_session *session, const struct duckdb *duckdb,
                                leat_error *err);
void duckdb_session_close(struct duckdb_session *session);
/* Runs a statement; LEAT_INVALID with DuckDB's words. `rows` may be NULL: they are thrown away. */
leat_status duckdb_run(const struct duckdb_session *session, const char *sql, duckdb_rows *rows,
                       leat_error *err);

#endif
