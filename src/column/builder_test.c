#include "base/memory.h"
#include "column/rows_model.h"

static struct builder *builder_new(const struct schema *schema) {
    struct builder *builder;
    assert_int_equal(builder_create(schema, &builder, NULL), LEAT_OK);
    return builder;
}

static void test_builds_what_it_was_told(void **state) {
    (void)state;
    struct builder *builder = builder_new(&model_schema);
    for (uint64_t seed = 0; seed < 24; seed++) {
        int64_t rows = (int64_t)(seed * 11 % 90); /* 0 rows too */
        struct batch batch;
        model_build(builder, seed, rows, &batch);
        leat_error err;
        if (batch_check(&batch, &err) != LEAT_OK) {
            fail_msg("seed %d: %s", (int)seed, err.message);
        }
        model_check_batch(&batch, seed, rows);
        builder_clear(builder);
        assert_int_equal(builder_rows(builder), 0);
    }
    builder_destroy(builder);
}

static bool bytes_zero(const void *data, size_t size) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* The canonical form, column by column, from the model's own count of nulls. */
static void check_canonical(const struct batch *batch, uint64_t seed, int column) {
    const struct column *c = &batch->columns[column];
    size_t width = column_type_width(model_fields[column].type);
    int64_t nulls = 0;
    for (int64_t row = 0; row < batch->rows; row++) {
        struct model_value value;
        model_value_of(seed, row, column, &value);
        nulls += value.null;
        if (value.null && width > 0 && !column_absent(c)) {
            assert_true(bytes_zero((const char *)c->buffer[1] + (size_t)row * width, width));
        }
    }
    assert_int_equal(column_absent(c), nulls == batch->rows);
    bool bits = nulls > 0 && nulls < batch->rows;
    assert_int_equal(c->size[0], bits ? (size_t)(batch->rows + 7) / 8 : 0);
    assert_int_equal(c->buffer[0] != NULL, bits);
    if (bits && batch->rows % 8 != 0) {
        const uint8_t *last = (const uint8_t *)c->buffer[0] + batch->rows / 8;
        assert_int_equal(*last >> (batch->rows % 8), 0);
    }
}

static void test_canonical(void **state) {
    (void)state;
    struct builder *builder = builder_new(&model_schema);
    for (uint64_t seed = 100; seed < 120; seed++) {
        struct batch batch;
        model_build(builder, seed, 1 + (int64_t)(seed % 20), &batch);
        for (int column = 0; column < MODEL_COLUMNS; column++) {
            check_canonical(&batch, seed, column);
        }
        builder_clear(builder);
    }
    builder_destroy(builder);
}

static void assert_same_body(const struct batch *a, const struct batch *b) {
    struct bytes body_a;
    struct bytes body_b;
    bytes_init(&body_a);
    bytes_init(&body_b);
    model_body(a, &body_a);
    model_body(b, &body_b);
    assert_int_equal(body_a.size, body_b.size);
    assert_memory_equal(body_a.data, body_b.data, body_a.size);
    bytes_deinit(&body_a);
    bytes_deinit(&body_b);
}

/* Some columns of another row, and then the row is taken back. */
static void row_undone(struct builder *builder, struct rng *rng, uint64_t seed) {
    for (int column = 0; column < MODEL_COLUMNS; column++) {
        if (rng_below(rng, 2) == 0) {
            struct model_value value;
            model_value_of(seed + 1000, (int64_t)rng_below(rng, 1000), column, &value);
            value.null = false;
            model_set(builder, column, &value);
        }
    }
    builder_row_undo(builder);
}

static void test_undo_leaves_nothing(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct rng rng;
        rng_init(&rng, seed);
        int64_t rows = (int64_t)rng_below(&rng, 40);
        struct builder *straight = builder_new(&model_schema);
        struct builder *undone = builder_new(&model_schema);
        struct batch expected;
        model_build(straight, seed, rows, &expected);
        for (int64_t row = 0; row < rows; row++) {
            for (uint64_t times = rng_below(&rng, 3); times > 0; times--) {
                row_undone(undone, &rng, seed);
            }
            model_row(undone, seed, row, (int)rng_below(&rng, MODEL_COLUMNS));
        }
        row_undone(undone, &rng, seed);
        struct batch batch;
        assert_int_equal(builder_finish(undone, &batch, NULL), LEAT_OK);
        model_check_batch(&batch, seed, rows);
        assert_same_body(&batch, &expected);
        builder_destroy(straight);
        builder_destroy(undone);
    }
}

static void test_copied_rows_are_the_same(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 16; seed++) {
        struct builder *from = builder_new(&model_schema);
        struct builder *to = builder_new(&model_schema);
        struct batch batch;
        model_build(from, seed, 30, &batch);
        for (int64_t row = 0; row < batch.rows; row++) {
            builder_copy_row(to, &batch, row);
        }
        struct batch copy;
        assert_int_equal(builder_finish(to, &copy, NULL), LEAT_OK);
        assert_same_body(&copy, &batch);
        builder_destroy(from);
        builder_destroy(to);
    }
}

static void test_goes_on_after_finish(void **state) {
    (void)state;
    struct builder *builder = builder_new(&model_schema);
    struct batch batch;
    for (int64_t row = 0; row < 40; row++) {
        model_row(builder, 5, row, 0);
        assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
        assert_int_equal(batch_check(&batch, NULL), LEAT_OK);
    }
    model_check_batch(&batch, 5, 40);
    assert_true(builder_bytes(builder) > 40u * 28);
    builder_destroy(builder);
}

static void test_missing_value_is_named(void **state) {
    (void)state;
    static const struct field fields[] = {{"must", COLUMN_TEXT, false}, {"may", COLUMN_I64, true}};
    static const struct schema schema = {1, 1, "small", fields, 2};
    for (int64_t missing = 0; missing < 12; missing++) {
        struct builder *builder = builder_new(&schema);
        for (int64_t row = 0; row < 12; row++) {
            builder_text(builder, 0, row == missing ? (struct slice){NULL, 0} : slice_of("x"));
            builder_row_end(builder);
        }
        struct batch batch;
        leat_error err;
        assert_int_equal(builder_finish(builder, &batch, &err), LEAT_INVALID);
        char expected[64];
        snprintf(expected, sizeof(expected), "row %d of small: must is missing", (int)missing);
        assert_string_equal(err.message, expected);
        builder_destroy(builder);
    }
}

static void test_row_bound(void **state) {
    (void)state;
    static const struct schema schema = {1, 1, "beat", NULL, 0};
    struct builder *builder = builder_new(&schema);
    for (int i = 0; i < BATCH_ROWS_MAX; i++) {
        builder_row_end(builder);
    }
    struct batch batch;
    assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
    assert_int_equal(batch.rows, BATCH_ROWS_MAX);
    builder_row_end(builder);
    assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_FULL);
    builder_clear(builder);
    builder_row_end(builder);
    assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
    assert_int_equal(batch.rows, 1);
    builder_destroy(builder);
}

/* Every allocation fails once; the failure is reported, and clearing makes all well again. */
static void test_memory_failures_are_remembered(void **state) {
    (void)state;
    uint64_t failures = 0;
    for (uint64_t n = 1;; n++) {
        struct builder *builder;
        struct batch batch;
        memory_fail_at(n);
        if (builder_create(&model_schema, &builder, NULL) != LEAT_OK) {
            memory_fail_at(0);
            continue;
        }
        for (int64_t row = 0; row < 30; row++) {
            model_row(builder, 3, row, 0);
            builder_row_undo(builder);
        }
        leat_status status = builder_finish(builder, &batch, NULL);
        memory_fail_at(0);
        assert_true(status == LEAT_OK || status == LEAT_MEMORY);
        failures += status == LEAT_MEMORY;
        builder_clear(builder);
        model_build(builder, 3, 30, &batch);
        model_check_batch(&batch, 3, 30);
        builder_destroy(builder);
        if (status == LEAT_OK) {
            break;
        }
    }
    assert_true(failures > 20);
}

static void test_no_allocation_once_warm(void **state) {
    (void)state;
    struct builder *builder = builder_new(&model_schema);
    struct batch batch;
    model_build(builder, 9, 200, &batch);
    uint64_t before = memory_allocations();
    builder_clear(builder);
    model_build(builder, 9, 200, &batch);
    assert_int_equal(memory_allocations(), before);
    builder_destroy(builder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_builds_what_it_was_told),
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_undo_leaves_nothing),
        cmocka_unit_test(test_copied_rows_are_the_same),
        cmocka_unit_test(test_goes_on_after_finish),
        cmocka_unit_test(test_missing_value_is_named),
        cmocka_unit_test(test_row_bound),
        cmocka_unit_test(test_memory_failures_are_remembered),
        cmocka_unit_test(test_no_allocation_once_warm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
