#include "base/memory.h"
#include "column/rows_model.h"

/* A batch of the model, and its body in a block of exactly its size: reading one byte beyond it
 * shows under a sanitizer. */
struct sample {
    struct builder *builder;
    struct batch batch;
    uint8_t *body;
    size_t size;
};

static void sample_init(struct sample *sample, uint64_t seed, int64_t rows) {
    assert_int_equal(builder_create(&model_schema, &sample->builder, NULL), LEAT_OK);
    model_build(sample->builder, seed, rows, &sample->batch);
    sample->size = batch_body_size(&sample->batch);
    sample->body = memory_alloc(sample->size);
    assert_non_null(sample->body);
    memset(sample->body, 0xA5, sample->size);
    batch_body_write(&sample->batch, sample->body);
}

static void sample_deinit(struct sample *sample) {
    memory_free(sample->body);
    builder_destroy(sample->builder);
}

static leat_status sample_read(const struct sample *sample, struct batch *out, leat_error *err) {
    return batch_body_read(&model_schema, MODEL_COLUMNS, sample->batch.rows, sample->body,
                           sample->size, out, err);
}

static void test_types(void **state) {
    (void)state;
    static const size_t widths[] = {4, 8, 8, 4, 8, 0, 0, 0, 0};
    static const int buffers[] = {2, 2, 2, 2, 2, 3, 3, 3, 4};
    for (int type = COLUMN_I32; type <= COLUMN_LIST_TEXT; type++) {
        assert_int_equal(column_type_width((enum column_type)type), widths[type]);
        assert_int_equal(column_type_buffers((enum column_type)type), buffers[type]);
    }
    assert_int_equal(schema_find(&model_schema, "text"), 10);
    assert_int_equal(schema_find(&model_schema, "tex"), -1);
}

static void test_body_round_trip(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct sample sample;
        int64_t rows = (int64_t)(seed * 7 % 60);
        sample_init(&sample, seed, rows);
        assert_int_equal(sample.size % 8, 0);
        struct batch read;
        leat_error err;
        if (sample_read(&sample, &read, &err) != LEAT_OK) {
            fail_msg("seed %d: %s", (int)seed, err.message);
        }
        model_check_batch(&read, seed, rows);
        assert_int_equal(batch_body_size(&read), sample.size);
        struct bytes again;
        bytes_init(&again);
        model_body(&read, &again);
        assert_memory_equal(again.data, sample.body, sample.size);
        bytes_deinit(&again);
        sample_deinit(&sample);
    }
}

static void test_rows_without_columns(void **state) {
    (void)state;
    static const struct schema beat = {3, 1, "beat", NULL, 0};
    struct batch batch = {.schema = &beat, .rows = 1};
    assert_int_equal(batch_body_size(&batch), 0);
    uint64_t nothing = 0;
    batch_body_write(&batch, (uint8_t *)&nothing);
    struct batch read;
    assert_int_equal(batch_body_read(&beat, 0, 1, (const uint8_t *)&nothing, 0, &read, NULL),
                     LEAT_OK);
    assert_int_equal(read.rows, 1);
    assert_int_equal(batch_body_read(&beat, 0, 1, (const uint8_t *)&nothing, 8, &read, NULL),
                     LEAT_CORRUPT);
}

/* A frame of an older version has fewer columns; the later ones, all nullable, read as absent. */
static void test_older_version(void **state) {
    (void)state;
    static const struct field fields[] = {
        {"a", COLUMN_I64, false}, {"b", COLUMN_TEXT, true}, {"c", COLUMN_LIST_TEXT, true}};
    static const struct schema older = {1, 1, "s", fields, 1};
    static const struct schema newer = {1, 2, "s", fields, 3};
    struct builder *builder;
    struct batch batch;
    assert_int_equal(builder_create(&older, &builder, NULL), LEAT_OK);
    builder_i64(builder, 0, -5);
    builder_row_end(builder);
    assert_int_equal(builder_finish(builder, &batch, NULL), LEAT_OK);
    struct bytes body;
    bytes_init(&body);
    model_body(&batch, &body);
    struct batch read;
    assert_int_equal(batch_body_read(&newer, 1, 1, body.data, body.size, &read, NULL), LEAT_OK);
    assert_int_equal(batch_i64(&read, 0, 0), -5);
    assert_true(batch_is_null(&read, 1, 0) && batch_is_null(&read, 2, 0));
    assert_null(batch_text(&read, 1, 0).data);
    assert_int_equal(batch_list_text_count(&read, 2, 0), 0);
    leat_error err;
    assert_int_equal(batch_body_read(&newer, 4, 1, body.data, body.size, &read, &err),
                     LEAT_CORRUPT);
    assert_int_equal(batch_body_read(&newer, -1, 1, body.data, body.size, &read, &err),
                     LEAT_CORRUPT);
    assert_int_equal(batch_body_read(&newer, 0, 1, body.data, 0, &read, &err), LEAT_CORRUPT);
    assert_non_null(strstr(err.message, "column a"));
    bytes_deinit(&body);
    builder_destroy(builder);
}

/* Touches all that the accessors of a batch reach; its value does not matter. */
static uint64_t read_everything(const struct batch *batch) {
    uint64_t sum = 0;
    int count;
    for (int column = 0; column < batch->schema->field_count; column++) {
        for (int64_t row = 0; row < batch->rows; row++) {
            struct slice text = {NULL, 0};
            switch (batch->schema->fields[column].type) {
            case COLUMN_TEXT: text = batch_text(batch, column, row); break;
            case COLUMN_LIST_U64: {
                const uint64_t *values = batch_list_u64(batch, column, row, &count);
                sum += count > 0 ? values[0] + values[count - 1] : 0;
                break;
            }
            case COLUMN_LIST_F32: {
                const float *values = batch_list_f32(batch, column, row, &count);
                sum += count > 0 && values[0] < values[count - 1];
                break;
            }
            case COLUMN_LIST_TEXT:
                count = batch_list_text_count(batch, column, row);
                text = count > 0 ? batch_list_text(batch, column, row, count - 1) : text;
                break;
            default: break;
            }
            sum += text.size > 0 ? (uint8_t)text.data[0] + (uint8_t)text.data[text.size - 1] : 0u;
        }
    }
    return sum;
}

/* Any one damaged byte is refused, or read as it stands: never read out of bounds, never lost. */
static void test_any_damaged_byte(void **state) {
    (void)state;
    static const uint8_t flips[] = {0x01, 0x80, 0xFF};
    struct sample sample;
    sample_init(&sample, 6, 9);
    struct bytes again;
    bytes_init(&again);
    int refused = 0;
    for (size_t i = 0; i < sample.size * 3; i++) {
        struct batch read;
        sample.body[i / 3] ^= flips[i % 3];
        if (sample_read(&sample, &read, NULL) == LEAT_OK) {
            read_everything(&read);
            bytes_clear(&again);
            model_body(&read, &again);
            assert_int_equal(again.size, sample.size);
            assert_memory_equal(again.data, sample.body, sample.size);
        } else {
            refused++;
        }
        sample.body[i / 3] ^= flips[i % 3];
    }
    assert_true(refused > 0);
    bytes_deinit(&again);
    sample_deinit(&sample);
}

static void test_every_shorter_body_is_refused(void **state) {
    (void)state;
    struct sample sample;
    sample_init(&sample, 2, 5);
    for (size_t size = 0; size < sample.size; size++) {
        uint8_t *cut = memory_alloc(size + 1);
        memcpy(cut, sample.body, size);
        struct batch read;
        assert_int_equal(batch_body_read(&model_schema, MODEL_COLUMNS, 5, cut, size, &read, NULL),
                         LEAT_CORRUPT);
        memory_free(cut);
    }
    struct batch read;
    for (int64_t rows = -1; rows < 12; rows++) {
        leat_status expected = rows == 5 ? LEAT_OK : LEAT_CORRUPT;
        assert_int_equal(batch_body_read(&model_schema, MODEL_COLUMNS, rows, sample.body,
                                         sample.size, &read, NULL),
                         expected);
    }
    sample_deinit(&sample);
}

/* --- each rule of batch_check by itself --- */

struct small {
    struct batch batch;
    int64_t numbers[2];
    _Alignas(8) int32_t offsets[3];
    _Alignas(8) int32_t child[4];
    _Alignas(8) uint8_t bits[8];
    _Alignas(8) char bytes[8];
};

static const struct field small_fields[] = {
    {"n", COLUMN_I64, false}, {"t", COLUMN_TEXT, true}, {"l", COLUMN_LIST_TEXT, true}};
static const struct schema small_schema = {1, 1, "small", small_fields, 3};

/* Two rows: {1, "ab", ["a", "bc"]} and {2, "c", ["d"]}. */
static void small_init(struct small *small) {
    *small =
        (struct small){.numbers = {1, 2}, .offsets = {0, 2, 3}, .child = {0, 1, 3, 4}, .bits = {3}};
    memcpy(small->bytes, "abcd", 4);
    small->batch.schema = &small_schema;
    small->batch.rows = 2;
    small->batch.columns[0] = (struct column){{NULL, small->numbers}, {0, 16}};
    small->batch.columns[1] =
        (struct column){{small->bits, small->offsets, small->bytes}, {1, 12, 3}};
    small->batch.columns[2] =
        (struct column){{NULL, small->offsets, small->child, small->bytes}, {0, 12, 16, 4}};
}

static void small_check(const struct small *small, const char *words) {
    leat_error err = {0};
    assert_int_equal(batch_check(&small->batch, &err), words ? LEAT_CORRUPT : LEAT_OK);
    if (words && !strstr(err.message, words)) {
        fail_msg("\"%s\" does not say \"%s\"", err.message, words);
    }
}

/* One byte more or less in any buffer, and in those that a type does not have. */
static void test_check_sizes(void **state) {
    (void)state;
    for (int i = 0; i < 3 * COLUMN_BUFFERS * 2; i++) {
        struct small small;
        small_init(&small);
        small_check(&small, NULL);
        size_t *size = &small.batch.columns[i / 2 / COLUMN_BUFFERS].size[i / 2 % COLUMN_BUFFERS];
        if (i % 2 == 0) {
            ++*size;
        } else if (*size > 0) {
            --*size;
        } else {
            continue;
        }
        small_check(&small, small_fields[i / 2 / COLUMN_BUFFERS].name);
    }
}

static void test_check_offsets(void **state) {
    (void)state;
    static const int32_t wrong[][3] = {{1, 2, 3}, {-1, 2, 3}, {0, 4, 3},  {0, -1, 3},
                                       {0, 2, 2}, {0, 2, 4},  {0, 2, -3}, {0, INT32_MIN, 3}};
    struct small small;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        small_init(&small);
        memcpy(small.offsets, wrong[i], sizeof(small.offsets));
        small_check(&small, "column t");
    }
    small_init(&small);
    small.child[2] = 0;
    small_check(&small, "column l: offsets do not rise");
}

static void test_check_texts(void **state) {
    (void)state;
    struct small small;
    small_init(&small);
    memcpy(small.bytes, "\xFF", 1);
    small_check(&small, "column t: a text is not UTF-8");
    small_init(&small);
    memcpy(small.bytes, "a\xC3\xA9", 3); /* valid as a whole, and cut in two by the offsets */
    small_check(&small, "column t: a text is not UTF-8");
    small_init(&small);
    memcpy(small.bytes, "\xC3\xA9", 2);
    small_check(&small, "column l: a text is not UTF-8");
    small.child[1] = 2;
    small_check(&small, NULL);
}

static void test_check_nulls_and_pointers(void **state) {
    (void)state;
    struct small small;
    small_init(&small);
    small.batch.columns[0].buffer[0] = small.bits;
    small.batch.columns[0].size[0] = 1;
    small_check(&small, NULL);
    small.bits[0] = 0xFD;
    small_check(&small, "column n: a null");
    small_init(&small);
    small.batch.columns[0] = (struct column){0};
    small_check(&small, "column n: absent");
    small_init(&small);
    small.batch.columns[1] = (struct column){0};
    small_check(&small, NULL);
    small.batch.columns[1].size[0] = 1;
    small_check(&small, "column t");
    small_init(&small);
    small.batch.columns[1].buffer[1] = NULL;
    small_check(&small, "column t: buffer 1");
    small_init(&small);
    small.batch.columns[1].buffer[2] = small.bytes + 1;
    small_check(&small, "column t: buffer 2");
    small_init(&small);
    small.batch.rows = 0;
    small_check(&small, "column n");
    memset(small.batch.columns, 0, sizeof(small.batch.columns));
    small_check(&small, NULL);
    small.batch.rows = BATCH_ROWS_MAX + 1;
    small_check(&small, "rows");
    small.batch.rows = INT64_MIN;
    small_check(&small, "rows");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_body_round_trip),
        cmocka_unit_test(test_rows_without_columns),
        cmocka_unit_test(test_older_version),
        cmocka_unit_test(test_any_damaged_byte),
        cmocka_unit_test(test_every_shorter_body_is_refused),
        cmocka_unit_test(test_check_sizes),
        cmocka_unit_test(test_check_offsets),
        cmocka_unit_test(test_check_texts),
        cmocka_unit_test(test_check_nulls_and_pointers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
