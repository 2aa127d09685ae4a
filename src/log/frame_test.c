#include "log/log_fixture.h"

enum { LOG_ID = 7, FLAGS = FRAME_COMMIT | FRAME_SYNCED };

/* A frame of the fixture's events; the caller frees. */
static uint8_t *event_frame(size_t *size) {
    struct config *config = fixture_config();
    struct builder *builder = fixture_builder(schema_event());
    struct batch batch = fixture_events(builder, config);
    *size = FRAME_HEADER_BYTES + batch_body_size(&batch);
    uint8_t *data = memory_aligned(64, *size);
    assert_non_null(data);
    frame_write(&batch, LOG_ID, FLAGS, 41, FIXTURE_NOW_MS, data);
    builder_destroy(builder);
    config_destroy(config);
    return data;
}

static void test_reads_what_was_written(void **state) {
    (void)state;
    size_t size;
    uint8_t *data = event_frame(&size);
    struct frame frame;
    assert_int_equal(frame_read_header(data, &frame, NULL), LEAT_OK);
    assert_int_equal(frame.schema_id, SCHEMA_EVENT);
    assert_int_equal(frame.schema_version, 1);
    assert_int_equal(frame.columns_stored, EVENT_COLUMNS);
    assert_int_equal(frame.log_id, LOG_ID);
    assert_int_equal(frame.flags, FLAGS);
    assert_int_equal(frame.first_sequence, 41);
    assert_int_equal(frame.rows, 3);
    assert_int_equal(frame.append_ms, FIXTURE_NOW_MS);
    assert_int_equal(frame.body_bytes, size - FRAME_HEADER_BYTES);
    struct batch batch;
    assert_int_equal(frame_read_body(&frame, data + FRAME_HEADER_BYTES, &batch, NULL), LEAT_OK);
    assert_true(slice_is(batch_text(&batch, EVENT_KIND, 1), "click"));
    assert_int_equal(batch_i64(&batch, EVENT_TIME, 0), EVENT_TIME_AT_APPEND);
    assert_true(batch_is_null(&batch, EVENT_USER, 0));
    memory_free(data);
}

/* The header as frame.h draws it, field by field: a stranger reads it by these offsets. */
static void test_layout(void **state) {
    (void)state;
    size_t size;
    uint8_t *data = event_frame(&size);
    struct bytes_reader reader = bytes_reader_of(data, FRAME_HEADER_BYTES);
    assert_memory_equal(data, "leat", 4);
    assert_int_equal(bytes_get_u32(&reader), FRAME_MAGIC);
    assert_int_equal(bytes_get_u16(&reader), FRAME_VERSION);
    assert_int_equal(bytes_get_u16(&reader), SCHEMA_EVENT);
    assert_int_equal(bytes_get_u32(&reader), LOG_ID);
    assert_int_equal(bytes_get_u16(&reader), FLAGS);
    assert_int_equal(bytes_get_u16(&reader), 0);
    assert_int_equal(bytes_get_u32(&reader), size - FRAME_HEADER_BYTES);
    assert_int_equal(bytes_get_u32(&reader), 0);
    assert_int_equal(bytes_get_u64(&reader), 41);
    assert_int_equal(bytes_get_u32(&reader), 3);
    assert_int_equal(bytes_get_u16(&reader), 1);
    assert_int_equal(bytes_get_u16(&reader), EVENT_COLUMNS);
    assert_int_equal(bytes_get_i64(&reader), FIXTURE_NOW_MS);
    memory_free(data);
}

/* Reads a frame from a copy with one byte changed; the copy is freed. */
static leat_status read_damaged(const uint8_t *data, size_t size, size_t at, uint8_t flip,
                                leat_error *err) {
    uint8_t *copy = memory_aligned(64, size);
    assert_non_null(copy);
    memcpy(copy, data, size);
    copy[at] ^= flip;
    struct frame frame;
    leat_status status = frame_read_header(copy, &frame, err);
    if (status == LEAT_OK) {
        struct batch batch;
        status = frame_read_body(&frame, copy + FRAME_HEADER_BYTES, &batch, err);
    }
    memory_free(copy);
    return status;
}

static void test_every_changed_bit_is_refused(void **state) {
    (void)state;
    size_t size;
    uint8_t *data = event_frame(&size);
    for (size_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            leat_error err = {.message = ""};
            assert_int_equal(read_damaged(data, size, at, (uint8_t)(1 << bit), &err), LEAT_CORRUPT);
            assert_non_null(strstr(err.message, "frame: "));
        }
    }
    memory_free(data);
}

/* A header whose checksum is right and one of whose fields is not: the refusal names the field. */
static void check_field(struct frame frame, uint8_t *data, const char *words) {
    frame_seal(&frame, data);
    leat_error err = {.message = ""};
    struct frame read;
    assert_int_equal(frame_read_header(data, &read, &err), LEAT_CORRUPT);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
}

static void test_wrong_fields_are_named(void **state) {
    (void)state;
    static _Alignas(8) uint8_t data[FRAME_HEADER_BYTES];
    const struct frame right = {.schema_id = SCHEMA_BEAT, .schema_version = 1, .rows = 1};
    struct frame frame = right;
    frame_seal(&frame, data);
    assert_int_equal(frame_read_header(data, &frame, NULL), LEAT_OK);
    frame = right;
    frame.schema_id = 99;
    check_field(frame, data, "schema id 99");
    frame = right;
    frame.schema_version = 2;
    check_field(frame, data, "version 2 of schema 'beat'");
    frame = right;
    frame.columns_stored = 1;
    check_field(frame, data, "1 columns of schema 'beat', it has 0");
    frame = right;
    frame.rows = 0;
    check_field(frame, data, "0 rows");
    frame = right;
    frame.flags = 8;
    check_field(frame, data, "flags 8");
    frame = right;
    frame.version = 3;
    check_field(frame, data, "version 3, this leat reads 1 to 2");
    frame = right;
    frame.version = 1;
    frame_seal(&frame, data);
    assert_int_equal(frame_read_header(data, &frame, NULL), LEAT_OK);
    assert_int_equal(frame.version, 1);
    frame.salt = 5;
    check_field(frame, data, "version 1 with generation 0 and salt 5");
    frame.salt = 0;
    frame.generation = 1;
    check_field(frame, data, "version 1 with generation 1");
    frame = right;
    frame.first_sequence = INT64_MAX;
    check_field(frame, data, "beyond 2^63");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_every_changed_bit_is_refused),
        cmocka_unit_test(test_wrong_fields_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
