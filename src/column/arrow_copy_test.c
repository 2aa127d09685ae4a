/* Copies of arrays with offsets and buffers of any alignment against rows that are a function of
 * their number. */
#include "base/memory.h"
#include "column/arrow_copy.h"
#include "column/rows_model.h"

enum { ROWS = 60, SEEDS = 24 };

/* Moves a buffer to an odd address: `room` holds it. */
static const void *shift(const void *buffer, size_t bytes, char *room) {
    memcpy(room + 1, buffer, bytes);
    return room + 1;
}

static void check_rows(const struct batch *copy, uint64_t seed, int64_t first) {
    for (int64_t row = 0; row < copy->rows; row++) {
        for (int column = 0; column < MODEL_COLUMNS; column++) {
            struct model_value value;
            model_value_of(seed, first + row, column, &value);
            model_check(copy, column, row, &value);
        }
    }
}

static void test_slices_of_any_alignment(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct builder *builder, *copied;
        struct batch batch, copy;
        struct ArrowSchema schema;
        struct ArrowArray array;
        struct arrow_binding binding;
        leat_error err = {0};
        char *rooms[MODEL_COLUMNS];
        assert_int_equal(builder_create(&model_schema, &builder, NULL), LEAT_OK);
        assert_int_equal(builder_create(&model_schema, &copied, NULL), LEAT_OK);
        model_build(builder, seed, ROWS, &batch);
        assert_int_equal(arrow_export_schema(&model_schema, &schema, NULL), LEAT_OK);
        assert_int_equal(arrow_export_batch(&batch, NULL, NULL, &array, NULL), LEAT_OK);
        assert_int_equal(arrow_bind(&model_schema, &schema, &binding, NULL), LEAT_OK);
        int64_t outer = (int64_t)(seed % 9), inner = (int64_t)(seed % 4);
        array.offset = outer;
        array.length = ROWS - outer - inner;
        for (int i = 0; i < MODEL_COLUMNS; i++) {
            array.children[i]->offset = inner;
            array.children[i]->length = ROWS - inner;
            size_t bytes = batch.columns[i].size[1];
            rooms[i] = memory_alloc(bytes + 2);
            assert_non_null(rooms[i]);
            if (bytes > 0) {
                array.children[i]->buffers[1] = shift(batch.columns[i].buffer[1], bytes, rooms[i]);
            }
        }
        if (arrow_copy(&model_schema, &binding, &array, copied, &err) < 0) {
            fail_msg("seed %d: %s", (int)seed, err.message);
        }
        assert_int_equal(builder_finish(copied, &copy, NULL), LEAT_OK);
        assert_int_equal(copy.rows, ROWS - outer - inner);
        check_rows(&copy, seed, outer + inner);
        for (int i = 0; i < MODEL_COLUMNS; i++) {
            memory_free(rooms[i]);
        }
        array.release(&array);
        schema.release(&schema);
        builder_destroy(builder);
        builder_destroy(copied);
    }
}

static void test_nulls_inside_of_lists(void **state) {
    (void)state;
    struct builder *builder;
    struct batch batch;
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct arrow_binding binding;
    leat_error err = {0};
    static const uint64_t no_bits = 0;
    assert_int_equal(builder_create(&model_schema, &builder, NULL), LEAT_OK);
    model_build(builder, 1, ROWS, &batch);
    assert_int_equal(arrow_export_schema(&model_schema, &schema, NULL), LEAT_OK);
    assert_int_equal(arrow_export_batch(&batch, NULL, NULL, &array, NULL), LEAT_OK);
    assert_int_equal(arrow_bind(&model_schema, &schema, &binding, NULL), LEAT_OK);
    struct ArrowArray *items = array.children[schema_find(&model_schema, "texts")]->children[0];
    items->buffers[0] = &no_bits;
    items->null_count = -1;
    struct builder *copied;
    assert_int_equal(builder_create(&model_schema, &copied, NULL), LEAT_OK);
    assert_int_equal(arrow_copy(&model_schema, &binding, &array, copied, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "column texts, row "));
    assert_non_null(strstr(err.message, "a null inside of a list"));
    items->null_count = 0;
    array.release(&array);
    schema.release(&schema);
    builder_destroy(builder);
    builder_destroy(copied);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_of_any_alignment),
        cmocka_unit_test(test_nulls_inside_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
