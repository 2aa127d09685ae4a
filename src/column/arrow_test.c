#include "base/memory.h"
#include "column/arrow.h"
#include "column/rows_model.h"

/* A batch that is handed to Arrow, and how often its owner was told that it may go. */
struct sample {
    struct builder *builder;
    struct batch batch;
    struct ArrowSchema schema;
    struct ArrowArray array;
    int releases;
};

static void count_release(void *owner) {
    ++*(int *)owner;
}

static void sample_init(struct sample *sample, uint64_t seed, int64_t rows) {
    memset(sample, 0, sizeof(*sample));
    assert_int_equal(builder_create(&model_schema, &sample->builder, NULL), LEAT_OK);
    model_build(sample->builder, seed, rows, &sample->batch);
    assert_int_equal(arrow_export_schema(&model_schema, &sample->schema, NULL), LEAT_OK);
    assert_int_equal(
        arrow_export_batch(&sample->batch, count_release, &sample->releases, &sample->array, NULL),
        LEAT_OK);
}

/* Releases what the test has not; by then the owner has been told once. */
static void sample_deinit(struct sample *sample) {
    if (sample->schema.release) {
        sample->schema.release(&sample->schema);
    }
    if (sample->array.release) {
        sample->array.release(&sample->array);
    }
    assert_null(sample->schema.release);
    assert_null(sample->array.release);
    assert_int_equal(sample->releases, 1);
    builder_destroy(sample->builder);
}

static leat_status sample_import(const struct sample *sample, struct batch *out, leat_error *err) {
    return arrow_import_batch(&model_schema, &sample->schema, &sample->array, out, err);
}

static void assert_same_when_copied(const struct batch *a, const struct batch *expected) {
    struct builder *builder;
    struct batch copy;
    assert_int_equal(builder_create(&model_schema, &builder, NULL), LEAT_OK);
    for (int64_t row = 0; row < a->rows; row++) {
        builder_copy_row(builder, a, row);
    }
    assert_int_equal(builder_finish(builder, &copy, NULL), LEAT_OK);
    struct bytes body[2];
    bytes_init(&body[0]);
    bytes_init(&body[1]);
    model_body(&copy, &body[0]);
    model_body(expected, &body[1]);
    assert_int_equal(body[0].size, body[1].size);
    assert_memory_equal(body[0].data, body[1].data, body[0].size);
    bytes_deinit(&body[0]);
    bytes_deinit(&body[1]);
    builder_destroy(builder);
}

static void test_round_trip(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct sample sample;
        int64_t rows = (int64_t)(seed * 5 % 50);
        sample_init(&sample, seed, rows);
        struct batch imported;
        leat_error err;
        if (sample_import(&sample, &imported, &err) != LEAT_OK) {
            fail_msg("seed %d: %s", (int)seed, err.message);
        }
        model_check_batch(&imported, seed, rows);
        assert_same_when_copied(&imported, &sample.batch);
        assert_int_equal(sample.releases, 0);
        sample_deinit(&sample);
    }
}

/* What the specification asks of each struct, read as a stranger would. */
static void test_layout(void **state) {
    (void)state;
    struct sample sample;
    sample_init(&sample, 4, 20);
    static const char *const formats[] = {"i", "l", "L", "f", "g", "u", "+l", "+l", "+l"};
    static const char *const items[] = {NULL, NULL, NULL, NULL, NULL, NULL, "L", "f", "u"};
    assert_string_equal(sample.schema.format, "+s");
    assert_int_equal(sample.schema.n_children, MODEL_COLUMNS);
    assert_int_equal(sample.array.n_children, MODEL_COLUMNS);
    assert_int_equal(sample.array.n_buffers, 1);
    assert_int_equal(sample.array.length, 20);
    for (int i = 0; i < MODEL_COLUMNS; i++) {
        const struct ArrowSchema *schema = sample.schema.children[i];
        const struct ArrowArray *array = sample.array.children[i];
        enum column_type type = model_fields[i].type;
        assert_string_equal(schema->format, formats[type]);
        assert_string_equal(schema->name, model_fields[i].name);
        assert_int_equal(schema->flags, model_fields[i].nullable ? ARROW_FLAG_NULLABLE : 0);
        assert_int_equal(array->length, 20);
        assert_int_equal(array->offset, 0);
        assert_int_equal(array->n_buffers, type == COLUMN_TEXT ? 3 : 2);
        assert_non_null(array->buffers[1]);
        assert_true(array->null_count == 0 || array->buffers[0] != NULL);
        assert_int_equal(schema->n_children, items[type] ? 1 : 0);
        assert_int_equal(array->n_children, items[type] ? 1 : 0);
        if (items[type]) {
            assert_string_equal(schema->children[0]->format, items[type]);
            assert_int_equal(array->children[0]->n_buffers, type == COLUMN_LIST_TEXT ? 3 : 2);
            assert_int_equal(array->children[0]->length, ((const int32_t *)array->buffers[1])[20]);
        }
    }
    sample_deinit(&sample);
}

/* The consumer moves some children out, releases the parent, and then the children. */
static void test_moved_children_outlive_the_parent(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 16; seed++) {
        struct sample sample;
        struct rng rng;
        rng_init(&rng, seed);
        sample_init(&sample, seed, 10);
        struct ArrowArray arrays[MODEL_COLUMNS] = {0};
        struct ArrowSchema schemas[MODEL_COLUMNS] = {0};
        int moved = 0;
        for (int i = 0; i < MODEL_COLUMNS; i++) {
            if (rng_below(&rng, 2) == 0) {
                arrays[i] = *sample.array.children[i];
                sample.array.children[i]->release = NULL;
                schemas[i] = *sample.schema.children[i];
                sample.schema.children[i]->release = NULL;
                moved++;
            }
        }
        sample.array.release(&sample.array);
        sample.schema.release(&sample.schema);
        for (int i = 0; i < MODEL_COLUMNS; i++) {
            assert_int_equal(sample.releases, moved == 0);
            if (arrays[i].release) {
                assert_string_equal(schemas[i].name, model_fields[i].name);
                assert_int_equal(arrays[i].length, 10);
                arrays[i].release(&arrays[i]);
                schemas[i].release(&schemas[i]);
                moved--;
            }
        }
        sample_deinit(&sample);
    }
}

static void test_failures_take_nothing(void **state) {
    (void)state;
    struct sample sample;
    sample_init(&sample, 3, 10);
    struct ArrowArray array = {0};
    struct ArrowSchema schema = {0};
    int releases = 0;
    memory_fail_at(1);
    assert_int_equal(arrow_export_schema(&model_schema, &schema, NULL), LEAT_MEMORY);
    bool any_absent = false;
    for (int i = 0; i < MODEL_COLUMNS; i++) {
        any_absent |= column_absent(&sample.batch.columns[i]);
    }
    assert_true(any_absent); /* so that an export makes two allocations */
    for (uint64_t n = 1; n <= 2; n++) {
        memory_fail_at(n);
        assert_int_equal(arrow_export_batch(&sample.batch, count_release, &releases, &array, NULL),
                         LEAT_MEMORY);
    }
    memory_fail_at(0);
    assert_int_equal(releases, 0);
    assert_null(array.release);
    assert_null(schema.release);
    sample_deinit(&sample);
}

/* --- what is refused --- */

static int column_of(const char *name) {
    int column = schema_find(&model_schema, name);
    assert_true(column >= 0);
    return column;
}

static void assert_refused(const struct sample *sample, leat_status status, const char *words) {
    struct batch batch;
    leat_error err = {0};
    assert_int_equal(sample_import(sample, &batch, &err), status);
    if (!strstr(err.message, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    }
}

static void test_refuses_other_schemas(void **state) {
    (void)state;
    struct sample sample;
    sample_init(&sample, 1, 5);
    struct ArrowSchema *i32 = sample.schema.children[column_of("i32")];
    struct ArrowSchema *list = sample.schema.children[column_of("u64s")];
    i32->format = "l";
    assert_refused(&sample, LEAT_INVALID, "i32: format \"l\"");
    i32->format = "i";
    i32->name = "other";
    assert_refused(&sample, LEAT_INVALID, "column 0 is \"other\"; \"i32\" is needed");
    i32->name = "i32";
    i32->dictionary = list;
    assert_refused(&sample, LEAT_INVALID, "dictionary");
    i32->dictionary = NULL;
    list->children[0]->format = "l";
    assert_refused(&sample, LEAT_INVALID, "u64s: format \"l\"");
    list->children[0]->format = "L";
    sample.schema.n_children--;
    assert_refused(&sample, LEAT_INVALID, "children");
    sample.schema.n_children++;
    struct batch batch;
    assert_int_equal(sample_import(&sample, &batch, NULL), LEAT_OK);
    sample_deinit(&sample);
}

static void test_refuses_other_arrays(void **state) {
    (void)state;
    struct sample sample;
    sample_init(&sample, 1, 5);
    struct ArrowArray *text = sample.array.children[column_of("text")];
    struct ArrowArray *list = sample.array.children[column_of("texts")];
    text->offset = 1;
    assert_refused(&sample, LEAT_UNSUPPORTED, "text: an array with an offset");
    text->offset = 0;
    text->length = 4;
    assert_refused(&sample, LEAT_INVALID, "text: an array of 4 values");
    text->length = 5;
    const void *bytes = text->buffers[2];
    text->buffers[2] = (const char *)bytes + 1;
    assert_refused(&sample, LEAT_UNSUPPORTED, "text: buffer 2 is not aligned");
    text->buffers[2] = bytes;
    static const uint64_t no_bits = 0;
    list->children[0]->buffers[0] = &no_bits;
    list->children[0]->null_count = -1;
    assert_refused(&sample, LEAT_UNSUPPORTED, "texts: nulls");
    list->children[0]->null_count = 0;
    text->buffers[0] = &no_bits;
    text->null_count = 5;
    assert_refused(&sample, LEAT_INVALID, "text: a null where none is allowed");
    text->null_count = 0;
    const void *offsets = text->buffers[1];
    static const int64_t falling[3] = {-1, -1, -1};
    text->buffers[1] = falling;
    assert_refused(&sample, LEAT_INVALID, "text: offsets");
    text->buffers[1] = NULL;
    assert_refused(&sample, LEAT_INVALID, "text: offsets");
    text->buffers[1] = offsets;
    sample.array.length = -1;
    assert_refused(&sample, LEAT_INVALID, "model: an array");
    sample.array.length = BATCH_ROWS_MAX + 1;
    assert_refused(&sample, LEAT_FULL, "rows");
    sample.array.length = 5;
    struct batch batch;
    assert_int_equal(sample_import(&sample, &batch, NULL), LEAT_OK);
    sample.array.release(&sample.array);
    assert_refused(&sample, LEAT_INVALID, "released");
    sample_deinit(&sample);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_moved_children_outlive_the_parent),
        cmocka_unit_test(test_failures_take_nothing),
        cmocka_unit_test(test_refuses_other_schemas),
        cmocka_unit_test(test_refuses_other_arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
