/* An example that goes into a batch comes back as it was, member by member, through a body too. */
#include "base/memory.h"
#include "flow/example_fixture.h"

enum { SEEDS = 40, ROWS_MAX = 60 };

static void add_rows(struct builder *builder, uint64_t seed, int rows) {
    struct rng rng;
    struct made_example made;
    rng_init(&rng, seed);
    for (int i = 0; i < rows; i++) {
        made_example(&rng, seed * 1000 + (uint64_t)i, &made);
        example_add(builder, &made.example);
    }
}

static void compare_rows(const struct batch *batch, uint64_t seed) {
    struct rng rng;
    struct made_example made;
    struct example got;
    rng_init(&rng, seed);
    for (int64_t i = 0; i < batch->rows; i++) {
        made_example(&rng, seed * 1000 + (uint64_t)i, &made);
        example_get(batch, i, &got);
        same_example(&made.example, &got);
    }
}

static void test_what_is_added_is_got(void **state) {
    (void)state;
    struct builder *builder;
    struct batch batch;
    struct batch read;
    assert_int_equal(builder_create(schema_example(), &builder, NULL), LEAT_OK);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        builder_clear(builder);
        add_rows(builder, seed, (int)(seed * 7 % ROWS_MAX));
        assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
        compare_rows(&batch, seed);
        size_t size = batch_body_size(&batch);
        uint8_t *body = memory_alloc(size + 8);
        batch_body_write(&batch, body);
        assert_int_equal(
            batch_body_read(schema_example(), EXAMPLE_COLUMNS, batch.rows, body, size, &read, NULL),
            LEAT_OK);
        compare_rows(&read, seed);
        memory_free(body);
    }
    builder_destroy(builder);
}

/* What the trainer's overflow file stores: no bytes for members that are absent or 0. */
static void test_absent_members_take_no_column(void **state) {
    (void)state;
    static const uint64_t keys[] = {7, 8};
    static const float dense[] = {0.5f};
    struct builder *builder;
    struct batch batch;
    struct example got;
    const struct example bare = {
        .sequence = 3, .keys = keys, .key_count = 2, .dense = dense, .dense_count = 1, .mask = 1};
    assert_int_equal(builder_create(schema_example(), &builder, NULL), LEAT_OK);
    example_add(builder, &bare);
    assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
    for (int column = EXAMPLE_USER; column < EXAMPLE_COLUMNS; column++) {
        assert_true(column_absent(&batch.columns[column]));
    }
    example_get(&batch, 0, &got);
    same_example(&bare, &got);
    builder_destroy(builder);
}

/* A body of version 1 has no columns behind `flags`. */
static void test_version_1_reads_without_ids(void **state) {
    (void)state;
    struct schema older = *schema_example();
    struct builder *builder;
    struct batch batch;
    struct batch read;
    struct example got;
    older.version = 1;
    older.field_count = EXAMPLE_USER;
    static const struct example bare = {.sequence = 9, .mask = 3, .labels = 1, .weight = 2.0f};
    assert_int_equal(builder_create(&older, &builder, NULL), LEAT_OK);
    example_add(builder, &bare);
    assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
    uint8_t *body = memory_alloc(batch_body_size(&batch));
    batch_body_write(&batch, body);
    assert_int_equal(batch_body_read(schema_example(), EXAMPLE_USER, 1, body,
                                     batch_body_size(&batch), &read, NULL),
                     LEAT_OK);
    example_get(&read, 0, &got);
    same_example(&bare, &got);
    memory_free(body);
    builder_destroy(builder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_added_is_got),
        cmocka_unit_test(test_absent_members_take_no_column),
        cmocka_unit_test(test_version_1_reads_without_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
