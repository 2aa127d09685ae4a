/* Rows of Parquet are those of the same table as CSV: text for text. Both files are written by
 * DuckDB. Skipped where there is no DuckDB. */
#include "base/file.h"
#include "base/test.h"
#include "connect/duckdb.h"
#include "connect/row_source.h"

#include <stdlib.h>
#include <unistd.h>

enum { ROWS = 30000, SKIP = 77 };

static struct duckdb duckdb;
static char folder[64];

static void run(const struct duckdb_session *session, const char *sql) {
    leat_error err = {.message = ""};
    if (duckdb_run(session, sql, NULL, &err) < 0) {
        fail_msg("%s: %s", sql, err.message);
    }
}

static void write_files(void) {
    struct duckdb_session session;
    char sql[1000];
    assert_int_equal(duckdb_session_open(&session, &duckdb, NULL), LEAT_OK);
    snprintf(sql, sizeof(sql),
             "CREATE TABLE t AS SELECT i AS number, 'user ' || (i %% 77) AS user, "
             "CASE WHEN i %% 5 = 0 THEN NULL ELSE 'a text of more than twelve bytes ' || i END "
             "AS words, i / 7.0 AS part, i %% 2 = 0 AS even, (i %% 90)::TINYINT AS small, "
             "i::UBIGINT * 1000000007 AS large, (i / 3)::FLOAT AS narrow, "
             "[i %% 3, i %% 5] AS list, make_timestamp(1500000000123000 + i * 1000) AS moment "
             "FROM range(%d) r(i)",
             ROWS);
    run(&session, sql);
    snprintf(sql, sizeof(sql), "COPY t TO '%s/t.parquet' (FORMAT parquet, ROW_GROUP_SIZE 5000)",
             folder);
    run(&session, sql);
    snprintf(sql, sizeof(sql),
             "COPY (SELECT * REPLACE (array_to_string(list, '|') AS list, epoch_ms(moment) AS "
             "moment) FROM t) TO '%s/t.csv' (FORMAT csv, HEADER)",
             folder);
    run(&session, sql);
    duckdb_session_close(&session);
}

static struct row_source *open_rows(enum row_format format, const char *name,
                                    bool (*wanted)(void *, const char *)) {
    static char path[128];
    struct row_source *source;
    leat_error err = {.message = ""};
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    const struct row_source_options options = {
        .disk = disk_real(), .format = format, .path = path, .wanted = wanted};
    if (row_source_open(&options, &source, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return source;
}

static void parquet_is_csv(void **state) {
    (void)state;
    struct row_source *csv = open_rows(ROW_CSV, "t.csv", NULL);
    struct row_source *parquet = open_rows(ROW_PARQUET, "t.parquet", NULL);
    assert_int_equal(csv->columns.count, 10);
    assert_int_equal(parquet->columns.count, 10);
    for (int i = 0; i < ROWS; i++) {
        struct row a;
        struct row b;
        assert_int_equal(row_source_next(csv, &a, NULL), LEAT_OK);
        assert_int_equal(row_source_next(parquet, &b, NULL), LEAT_OK);
        assert_int_equal(a.count, b.count);
        assert_int_equal(b.line, i + 1);
        for (int c = 0; c < a.count; c++) {
            assert_string_equal(csv->columns.names[a.cells[c].column],
                                parquet->columns.names[b.cells[c].column]);
            assert_int_equal(a.cells[c].text.size, b.cells[c].text.size);
            assert_memory_equal(a.cells[c].text.data, b.cells[c].text.data, a.cells[c].text.size);
        }
    }
    struct row row;
    assert_int_equal(row_source_next(csv, &row, NULL), LEAT_END);
    assert_int_equal(row_source_next(parquet, &row, NULL), LEAT_END);
    assert_int_equal(row_source_next(parquet, &row, NULL), LEAT_END);
    row_source_close(csv);
    row_source_close(parquet);
}

static bool wants_two(void *context, const char *column) {
    (void)context;
    return strcmp(column, "words") == 0 || strcmp(column, "even") == 0;
}

static void reads_what_is_wanted(void **state) {
    (void)state;
    struct row_source *source = open_rows(ROW_PARQUET, "t.parquet", wants_two);
    struct row row;
    assert_int_equal(source->columns.count, 10);
    assert_int_equal(row_source_next(source, &row, NULL), LEAT_OK);
    assert_int_equal(row.count, 2);
    assert_int_equal(row.cells[0].text.size, 0);
    assert_string_equal(source->columns.names[row.cells[0].column], "words");
    assert_true(slice_is(row.cells[1].text, "true"));
    row_source_close(source);
}

static void refuses_what_is_none(void **state) {
    (void)state;
    char path[128];
    struct row_source *source;
    leat_error err = {.message = ""};
    snprintf(path, sizeof(path), "%s/t.csv", folder);
    const struct row_source_options options = {
        .disk = disk_real(), .format = ROW_PARQUET, .path = path};
    assert_int_equal(row_source_open(&options, &source, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, path));
}

int main(void) {
    leat_error err;
    if (duckdb_load(&duckdb, &err) < 0) {
        printf("%s\n", err.message);
        return SKIP;
    }
    snprintf(folder, sizeof(folder), "/tmp/rows_parquet_XXXXXX");
    if (!mkdtemp(folder)) {
        return 1;
    }
    write_files();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parquet_is_csv),
        cmocka_unit_test(reads_what_is_wanted),
        cmocka_unit_test(refuses_what_is_none),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    disk_remove_tree(disk_real(), folder, NULL);
    return failed;
}
