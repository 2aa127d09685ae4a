/* What is written as Parquet is read back, row for row: by DuckDB's own SQL, and by pyarrow where
 * that is to be had. Skipped where there is no DuckDB. */
#include "base/file.h"
#include "connect/parquet.h"
#include "flow/example_fixture.h"
#include "flow/group.h"

#include <stdlib.h>
#include <unistd.h>

enum { BATCHES = 7, ROWS = 1500, COLUMNS = EXAMPLE_COLUMNS + 4, SKIP = 77 };

static struct duckdb duckdb;
static struct config *config;
static char path[64];

/* --- batches that are a function of their number --- */

struct made {
    struct builder *builder;
    int next, fail_at;
};

static void build(struct builder *builder, int number) {
    struct rng rng;
    struct made_example made;
    rng_init(&rng, (uint64_t)number);
    builder_clear(builder);
    for (int i = 0; i < ROWS - number * 100; i++) { /* no multiple of DuckDB's chunks */
        made_example(&rng, (uint64_t)(number * 100000 + i), &made);
        example_add(builder, &made.example);
    }
}

static leat_status next_made(void *context, struct batch *out, leat_error *err) {
    struct made *made = context;
    if (made->next == made->fail_at) {
        return error_set(err, LEAT_CLOSED, "stopped");
    }
    if (made->next == BATCHES) {
        return LEAT_END;
    }
    build(made->builder, made->next++);
    return builder_finish(made->builder, out, err);
}

static leat_status write_made(int fail_at, leat_error *err) {
    struct made made = {.fail_at = fail_at};
    assert_int_equal(builder_create(schema_example(), &made.builder, NULL), LEAT_OK);
    const struct parquet_options options = {.path = path,
                                            .schema = schema_example(),
                                            .config = config,
                                            .next = next_made,
                                            .context = &made};
    leat_status status = parquet_write(&duckdb, &options, err);
    builder_destroy(made.builder);
    return status;
}

/* --- reading back by SQL --- */

struct chunk {
    void *data[COLUMNS];
    uint64_t *valid[COLUMNS];
    void *child[COLUMNS]; /* of lists */
};

static bool is_null(const struct chunk *chunk, int column, uint64_t row) {
    return chunk->valid[column] && !(chunk->valid[column][row / 64] >> (row % 64) & 1);
}

static void open_chunk(duckdb_handle handle, struct chunk *out) {
    for (int i = 0; i < COLUMNS; i++) {
        duckdb_handle vector = duckdb.data_chunk_get_vector(handle, (duckdb_idx)i);
        out->data[i] = duckdb.vector_get_data(vector);
        out->valid[i] = duckdb.vector_get_validity(vector);
        out->child[i] = NULL;
        if (i == EXAMPLE_KEYS || i == EXAMPLE_DENSE) {
            out->child[i] = duckdb.vector_get_data(duckdb.list_vector_get_child(vector));
        }
    }
}

static uint64_t get_u64(const struct chunk *chunk, int column, uint64_t row) {
    return is_null(chunk, column, row) ? 0 : ((const uint64_t *)chunk->data[column])[row];
}

static uint32_t get_u32(const struct chunk *chunk, int column, uint64_t row) {
    assert_false(is_null(chunk, column, row));
    return ((const uint32_t *)chunk->data[column])[row];
}

static float get_f32(const struct chunk *chunk, int column, uint64_t row) {
    assert_false(is_null(chunk, column, row));
    return ((const float *)chunk->data[column])[row];
}

static struct slice get_text(const struct chunk *chunk, int column, uint64_t row) {
    if (is_null(chunk, column, row)) {
        return (struct slice){NULL, 0};
    }
    const duckdb_text *text = (const duckdb_text *)chunk->data[column] + row;
    return (struct slice){text->size <= 12 ? text->prefix : text->at.data, text->size};
}

static void get_id(const struct chunk *chunk, int text, int hash, uint64_t row, struct slice *out,
                   uint64_t *out_hash) {
    *out = get_text(chunk, text, row);
    *out_hash = out->data ? hash_slice(*out) : get_u64(chunk, hash, row);
}

static void get_example(const struct chunk *chunk, uint64_t row, struct example *out) {
    const duckdb_entry *keys = (const duckdb_entry *)chunk->data[EXAMPLE_KEYS] + row;
    const duckdb_entry *dense = (const duckdb_entry *)chunk->data[EXAMPLE_DENSE] + row;
    *out = (struct example){
        .sequence = get_u64(chunk, EXAMPLE_SEQUENCE, row),
        .keys = (const uint64_t *)chunk->child[EXAMPLE_KEYS] + keys->offset,
        .key_count = (int)keys->length,
        .dense = (const float *)chunk->child[EXAMPLE_DENSE] + dense->offset,
        .dense_count = (int)dense->length,
        .mask = get_u32(chunk, EXAMPLE_MASK, row),
        .labels = get_u32(chunk, EXAMPLE_LABELS, row),
        .weight = get_f32(chunk, EXAMPLE_WEIGHT, row),
        .log_odds = get_f32(chunk, EXAMPLE_LOG_ODDS, row),
        .flags = get_u32(chunk, EXAMPLE_FLAGS, row),
        .shown_ms = (int64_t)get_u64(chunk, EXAMPLE_SHOWN, row),
        .due_ms = (int64_t)get_u64(chunk, EXAMPLE_DUE, row),
        .part = get_u64(chunk, EXAMPLE_PART, row),
    };
    get_id(chunk, EXAMPLE_USER, EXAMPLE_USER_HASH, row, &out->user, &out->user_hash);
    get_id(chunk, EXAMPLE_REQUEST, EXAMPLE_REQUEST_HASH, row, &out->request, &out->request_hash);
    get_id(chunk, EXAMPLE_ITEM, EXAMPLE_ITEM_HASH, row, &out->item, &out->item_hash);
}

static void check_tasks(const struct chunk *chunk, uint64_t row, const struct example *example) {
    for (int t = 0; t < 2; t++) {
        int column = EXAMPLE_COLUMNS + 2 * t;
        bool told = example->mask >> t & 1;
        assert_int_equal(((const uint8_t *)chunk->data[column])[row], told);
        assert_int_equal(is_null(chunk, column + 1, row), !told);
        if (told) {
            assert_int_equal(((const uint8_t *)chunk->data[column + 1])[row],
                             example->labels >> t & 1);
        }
    }
}

/* Walks the batches again beside the rows that SQL gives. */
struct walk {
    struct builder *builder;
    struct batch batch;
    int number;
    int64_t row;
};

static void walk_next(struct walk *walk, struct example *out) {
    if (walk->row == walk->batch.rows) {
        build(walk->builder, walk->number++);
        assert_int_equal(builder_finish(walk->builder, &walk->batch, NULL), LEAT_OK);
        walk->row = 0;
    }
    example_get(&walk->batch, walk->row++, out);
}

static void test_duckdb_reads_the_same_rows(void **state) {
    (void)state;
    struct duckdb_session session;
    struct walk walk = {.row = 0};
    duckdb_rows rows;
    char sql[200];
    uint64_t count = 0;
    leat_error err = {.message = ""};
    if (write_made(-1, &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(builder_create(schema_example(), &walk.builder, NULL), LEAT_OK);
    assert_int_equal(duckdb_session_open(&session, &duckdb, NULL), LEAT_OK);
    snprintf(sql, sizeof(sql), "SELECT * FROM read_parquet('%s')", path);
    assert_int_equal(duckdb_run(&session, sql, &rows, NULL), LEAT_OK);
    for (duckdb_handle chunk; (chunk = duckdb.fetch_chunk(rows)) != NULL;) {
        struct chunk opened;
        open_chunk(chunk, &opened);
        uint64_t size = duckdb.data_chunk_get_size(chunk);
        for (uint64_t row = 0; row < size; row++) {
            struct example expected;
            struct example got;
            walk_next(&walk, &expected);
            get_example(&opened, row, &got);
            same_example(&expected, &got);
            check_tasks(&opened, row, &expected);
        }
        count += size;
        duckdb.destroy_data_chunk(&chunk);
    }
    assert_int_equal(count, BATCHES * ROWS - 100 * BATCHES * (BATCHES - 1) / 2);
    duckdb.destroy_result(&rows);
    duckdb_session_close(&session);
    builder_destroy(walk.builder);
}

/* A reader that shares no code with the writer. */
static void test_pyarrow_reads_the_same_sums(void **state) {
    (void)state;
    uint64_t sequences = 0;
    uint64_t keys = 0;
    int64_t shown = 0;
    int labels = 0;
    struct walk walk = {.row = 0};
    char command[900];
    if (system("python3 -c 'import pyarrow.parquet' 2>/dev/null") != 0) {
        print_message("no pyarrow for python3 here: DuckDB alone has read it back\n");
        skip();
    }
    assert_int_equal(builder_create(schema_example(), &walk.builder, NULL), LEAT_OK);
    for (int i = 0; i < BATCHES * ROWS - 100 * BATCHES * (BATCHES - 1) / 2; i++) {
        struct example example;
        walk_next(&walk, &example);
        sequences += example.sequence * (uint64_t)(i + 1);
        shown += example.shown_ms;
        labels += (example.labels & 1) != 0;
        for (int k = 0; k < example.key_count; k++) {
            keys += example.keys[k] * (uint64_t)(k + 1);
        }
    }
    snprintf(command, sizeof(command),
             "python3 -c \"\nimport pyarrow.parquet as pq\nrows = pq.read_table('%s').to_pylist()\n"
             "assert sum(r['sequence'] * (i + 1) for i, r in enumerate(rows)) %% 2**64 == %llu\n"
             "assert sum(k * (i + 1) for r in rows for i, k in enumerate(r['keys'])) %% 2**64 == "
             "%llu\n"
             "assert sum(r['shown'] or 0 for r in rows) == %lld\n"
             "assert sum(1 for r in rows if r['label_click']) == %d\n\"",
             path, (unsigned long long)sequences, (unsigned long long)keys, (long long)shown,
             labels);
    assert_int_equal(system(command), 0);
    builder_destroy(walk.builder);
}

static void test_a_failure_comes_through(void **state) {
    (void)state;
    leat_error err = {.message = ""};
    assert_int_equal(write_made(3, &err), LEAT_CLOSED);
    assert_string_equal(err.message, "stopped");
    snprintf(path, sizeof(path), "/no/such/'folder'/x.parquet");
    assert_int_equal(write_made(-1, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "/no/such/'folder'"));
}

static leat_status next_once(void *context, struct batch *out, leat_error *err) {
    struct batch **left = context;
    (void)err;
    if (!*left) {
        return LEAT_END;
    }
    *out = **left;
    *left = NULL;
    return LEAT_OK;
}

/* A row whose numbers say what the file of groups holds, beside the same of the batch. */
static void compare_groups(const struct batch *groups) {
    struct duckdb_session session;
    duckdb_rows rows;
    char sql[300];
    int64_t expected[4] = {0, 0, 0, 0};
    for (int64_t row = 0; row < groups->rows; row++) {
        int count;
        expected[0] += batch_i32(groups, GROUP_COUNT, row);
        for (int i = 0; i < batch_list_text_count(groups, GROUP_ITEMS, row); i++) {
            expected[1] += (int64_t)batch_list_text(groups, GROUP_ITEMS, row, i).size;
        }
        batch_list_f32(groups, GROUP_DENSE, row, &count);
        expected[2] += count;
        expected[3] += batch_is_null(groups, GROUP_USER, row);
    }
    snprintf(sql, sizeof(sql),
             "SELECT sum(count)::BIGINT, sum(length(array_to_string(items, '')))::BIGINT, "
             "sum(len(dense))::BIGINT, count(*) FILTER (\"user\" IS NULL) "
             "FROM read_parquet('%s')",
             path);
    leat_error err = {.message = ""};
    assert_int_equal(duckdb_session_open(&session, &duckdb, NULL), LEAT_OK);
    if (duckdb_run(&session, sql, &rows, &err) < 0) {
        fail_msg("%s", err.message);
    }
    duckdb_handle chunk = duckdb.fetch_chunk(rows);
    for (int i = 0; i < 4; i++) {
        duckdb_handle vector = duckdb.data_chunk_get_vector(chunk, (duckdb_idx)i);
        assert_int_equal(*(const int64_t *)duckdb.vector_get_data(vector), expected[i]);
        assert_true(expected[i] > 0);
    }
    duckdb.destroy_data_chunk(&chunk);
    duckdb.destroy_result(&rows);
    duckdb_session_close(&session);
}

static void test_groups_are_read_back(void **state) {
    (void)state;
    struct builder *examples;
    struct builder *groups;
    struct grouping *grouping;
    struct batch batch;
    struct batch grouped;
    struct batch *left = &grouped;
    const struct parquet_options options = {.path = path,
                                            .schema = schema_example_group(),
                                            .config = config,
                                            .next = next_once,
                                            .context = &left};
    assert_int_equal(builder_create(schema_example(), &examples, NULL), LEAT_OK);
    assert_int_equal(builder_create(schema_example_group(), &groups, NULL), LEAT_OK);
    assert_int_equal(grouping_create(NULL, &grouping, NULL), LEAT_OK);
    build(examples, 0);
    assert_int_equal(builder_finish(examples, &batch, NULL), LEAT_OK);
    assert_int_equal(group_examples(grouping, &batch, groups, NULL), LEAT_OK);
    assert_int_equal(builder_finish(groups, &grouped, NULL), LEAT_OK);
    assert_int_equal(parquet_write(&duckdb, &options, NULL), LEAT_OK);
    compare_groups(&grouped);
    builder_destroy(examples);
    builder_destroy(groups);
    grouping_destroy(grouping);
}

static int remove_file(void **state) {
    (void)state;
    unlink(path);
    return 0;
}

int main(void) {
    leat_error err = {.message = ""};
    if (duckdb_load(&duckdb, &err) < 0) {
        printf("%s\n", err.message);
        return SKIP;
    }
    if (config_parse(slice_of("actions: {click: {}, hide: {}}\n"), "test", &config, &err) < 0) {
        return 1;
    }
    snprintf(path, sizeof(path), "/tmp/leat-parquet-%d.parquet", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duckdb_reads_the_same_rows),
        cmocka_unit_test(test_pyarrow_reads_the_same_sums),
        cmocka_unit_test_teardown(test_groups_are_read_back, remove_file),
        cmocka_unit_test(test_a_failure_comes_through),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    config_destroy(config);
    return failed;
}
