#include "connect/duckdb.h"

#include "base/file.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static const struct call {
    const char *name;
    size_t offset;
} CALLS[] = {
#define DUCKDB_ROW(type, name, arguments) {"duckdb_" #name, offsetof(struct duckdb, name)},
    DUCKDB_CALLS(DUCKDB_ROW)
#undef DUCKDB_ROW
};

/* --- finding it --- */

enum { FOLDERS_ABOVE = 2 };

/* Symbols of it are seen by nobody else; it is never unloaded, as its threads may outlive us. */
static void *open_at(const char *path) {
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static void cut_name(char *path) {
    char *slash = strrchr(path, '/');
    if (slash) {
        *slash = '\0';
    }
}

static void *open_beside_program(void) {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    if (size <= 0) {
        return NULL;
    }
    folder[size] = '\0';
    for (int i = 0; i <= FOLDERS_ABOVE; i++) {
        cut_name(folder);
        void *handle = NULL;
        if (path_join(path, folder, "lib/libduckdb.so", NULL) == LEAT_OK) {
            handle = open_at(path);
        }
        if (handle) {
            return handle;
        }
    }
    return NULL;
}

static leat_status open_library(void **out, leat_error *err) {
    const char *named = getenv("LEAT_DUCKDB");
    if (named && named[0] != '\0') {
        *out = open_at(named);
        return *out ? LEAT_OK : error_set(err, LEAT_UNSUPPORTED, "LEAT_DUCKDB: %s", dlerror());
    }
    *out = open_beside_program();
    *out = *out ? *out : open_at("libduckdb.so");
    return *out ? LEAT_OK
                : error_set(err, LEAT_UNSUPPORTED,
                            "Parquet needs DuckDB's library, libduckdb.so, which is not here: run "
                            "tools/setup, or name it in the environment as LEAT_DUCKDB; JSON lines "
                            "(.jsonl) and frames need nothing");
}

leat_status duckdb_load(struct duckdb *out, leat_error *err) {
    void *library;
    TRY(open_library(&library, err));
    for (size_t i = 0; i < sizeof(CALLS) / sizeof(CALLS[0]); i++) {
        void *symbol = dlsym(library, CALLS[i].name);
        if (!symbol) {
            return error_set(err, LEAT_UNSUPPORTED,
                             "the libduckdb.so found has no %s: leat needs version 1.1 or later",
                             CALLS[i].name);
        }
        memcpy((char *)out + CALLS[i].offset, &symbol, sizeof(symbol));
    }
    return LEAT_OK;
}

/* --- a session --- */

leat_status duckdb_run(const struct duckdb_session *session, const char *sql, duckdb_rows *rows,
                       leat_error *err) {
    duckdb_rows own = {0};
    duckdb_rows *into = rows ? rows : &own;
    leat_status status = LEAT_OK;
    if (session->calls->query(session->connection, sql, into) != 0) {
        const char *words = session->calls->result_error(into);
        status = error_set(err, LEAT_INVALID, "DuckDB: %s", words ? words : "no words");
    }
    if (!rows || status < 0) {
        session->calls->destroy_result(into);
    }
    return status;
}

leat_status duckdb_session_open(struct duckdb_session *session, const struct duckdb *duckdb,
                                leat_error *err) {
    *session = (struct duckdb_session){.calls = duckdb};
    if (duckdb->open(NULL, &session->database) != 0 ||
        duckdb->connect(session->database, &session->connection) != 0) {
        duckdb_session_close(session);
        return error_set(err, LEAT_MEMORY, "DuckDB %s could not be started",
                         duckdb->library_version());
    }
    leat_status status = duckdb_run(session, "SET threads = 1", NULL, err);
    if (status < 0) {
        duckdb_session_close(session);
    }
    return status;
}

void duckdb_session_close(struct duckdb_session *session) {
    if (session->connection) {
        session->calls->disconnect(&session->connection);
    }
    if (session->database) {
        session->calls->close(&session->database);
    }
}
