#include "base/bytes.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"

enum { FIELD_KINDS = 7, FIELDS = 200 };

static void put_field(struct bytes *bytes, int kind, uint64_t word) {
    switch (kind) {
    case 0: bytes_put_u8(bytes, (uint8_t)word); break;
    case 1: bytes_put_u16(bytes, (uint16_t)word); break;
    case 2: bytes_put_u32(bytes, (uint32_t)word); break;
    case 3: bytes_put_u64(bytes, word); break;
    case 4: bytes_put_i64(bytes, (int64_t)word); break;
    case 5: bytes_put_f64(bytes, (double)word); break;
    default: bytes_put_text(bytes, (struct slice){(const char *)&word, word % 9}); break;
    }
}

static bool field_is(struct bytes_reader *reader, int kind, uint64_t word) {
    switch (kind) {
    case 0: return bytes_get_u8(reader) == (uint8_t)word;
    case 1: return bytes_get_u16(reader) == (uint16_t)word;
    case 2: return bytes_get_u32(reader) == (uint32_t)word;
    case 3: return bytes_get_u64(reader) == word;
    case 4: return bytes_get_i64(reader) == (int64_t)word;
    case 5: return bytes_get_f64(reader) == (double)word;
    default:
        return slice_equal(bytes_get_text(reader), (struct slice){(const char *)&word, word % 9});
    }
}

static void test_fields_come_back(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    int kinds[FIELDS];
    uint64_t words[FIELDS];
    struct bytes bytes;
    bytes_init(&bytes);
    for (int i = 0; i < FIELDS; i++) {
        kinds[i] = (int)rng_below(&rng, FIELD_KINDS);
        words[i] = rng_next(&rng);
        put_field(&bytes, kinds[i], words[i]);
    }
    assert_int_equal(bytes_status(&bytes, NULL), LEAT_OK);
    for (size_t size = 0; size <= bytes.size; size++) {
        struct bytes_reader reader = bytes_reader_of(bytes.data, size);
        int right = 0;
        while (right < FIELDS && field_is(&reader, kinds[right], words[right]) && !reader.failed) {
            right++;
        }
        assert_int_equal(right == FIELDS, size == bytes.size);
        assert_int_equal(reader.failed, size != bytes.size);
    }
    bytes_deinit(&bytes);
}

static void test_a_short_read_stays_failed(void **state) {
    (void)state;
    const uint8_t data[] = {1, 2, 3, 4, 5, 6};
    struct bytes_reader reader = bytes_reader_of(data, sizeof(data));
    assert_int_equal(bytes_get_u32(&reader), 0x04030201);
    assert_int_equal(bytes_get_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(bytes_get_u8(&reader), 0);
    assert_null(bytes_get_raw(&reader, 0));
    assert_int_equal(bytes_get_text(&reader).size, 0);
    struct bytes_reader empty = bytes_reader_of(NULL, 0);
    assert_true(bytes_get_f64(&empty) == 0);
    assert_true(empty.failed);
}

/* A size that promises more than there is must not be believed. */
static void test_a_text_may_not_exceed_its_bytes(void **state) {
    (void)state;
    struct bytes bytes;
    bytes_init(&bytes);
    bytes_put_u32(&bytes, UINT32_MAX);
    bytes_append(&bytes, "abc", 3);
    struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
    struct slice text = bytes_get_text(&reader);
    assert_null(text.data);
    assert_int_equal(text.size, 0);
    assert_true(reader.failed);
    bytes_deinit(&bytes);
}

static void test_layout_is_little_endian(void **state) {
    (void)state;
    static const uint8_t expected[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 2,
                                       0,    0,    0,    'a',  'b',  0,    0,    0};
    struct bytes bytes;
    bytes_init(&bytes);
    bytes_put_u8(&bytes, 1);
    bytes_put_u16(&bytes, 0x0203);
    bytes_put_u32(&bytes, 0x04050607);
    bytes_put_text(&bytes, slice_of("ab"));
    bytes_align(&bytes, 8);
    bytes_align(&bytes, 8);
    assert_int_equal(bytes.size, sizeof(expected));
    assert_memory_equal(bytes.data, expected, sizeof(expected));
    bytes_deinit(&bytes);
}

static void test_printing_fits_at_every_length(void **state) {
    (void)state;
    char expected[300];
    memset(expected, 'x', sizeof(expected));
    for (int length = 0; length < 300; length++) {
        struct bytes bytes;
        bytes_init(&bytes);
        bytes_printf(&bytes, "%.*s", length, expected);
        bytes_printf(&bytes, "|%d", length);
        char tail[16];
        int tail_size = snprintf(tail, sizeof(tail), "|%d", length);
        assert_int_equal(bytes.size, length + tail_size);
        assert_memory_equal(bytes.data, expected, (size_t)length);
        assert_memory_equal(bytes.data + length, tail, (size_t)tail_size);
        bytes_deinit(&bytes);
    }
}

static void test_a_failure_stays_until_cleared(void **state) {
    (void)state;
    struct bytes bytes;
    leat_error err = {0};
    bytes_init(&bytes);
    bytes_append(&bytes, "abc", 3);
    memory_fail_at(1);
    assert_null(bytes_reserve(&bytes, 10000));
    bytes_append(&bytes, "d", 1);
    bytes_printf(&bytes, "e");
    assert_int_equal(bytes.size, 3);
    assert_int_equal(bytes_status(&bytes, &err), LEAT_MEMORY);
    assert_int_equal(err.status, LEAT_MEMORY);
    bytes_clear(&bytes);
    assert_int_equal(bytes_status(&bytes, NULL), LEAT_OK);
    assert_null(bytes_reserve(&bytes, SIZE_MAX));
    assert_int_equal(bytes_status(&bytes, NULL), LEAT_MEMORY);
    bytes_deinit(&bytes);
}

static void test_slices(void **state) {
    (void)state;
    assert_true(slice_is(slice_of("abc"), "abc"));
    assert_false(slice_is(slice_of("abc"), "ab"));
    assert_true(slice_equal(slice_of(NULL), slice_of("")));
    assert_false(slice_equal((struct slice){"a\0b", 3}, (struct slice){"a\0c", 3}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_come_back),
        cmocka_unit_test(test_a_short_read_stays_failed),
        cmocka_unit_test(test_a_text_may_not_exceed_its_bytes),
        cmocka_unit_test(test_layout_is_little_endian),
        cmocka_unit_test(test_printing_fits_at_every_length),
        cmocka_unit_test(test_a_failure_stays_until_cleared),
        cmocka_unit_test(test_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
