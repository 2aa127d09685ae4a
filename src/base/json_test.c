#include "base/json.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/test.h"
#include "base/text.h"

#include <math.h>

static struct json_value parsed(struct json_parser *parser, const char *text) {
    struct json_value value;
    leat_error err = {0};
    leat_status status = json_parse(parser, slice_of(text), &value, &err);
    assert_string_equal(err.message, "");
    assert_int_equal(status, LEAT_OK);
    return value;
}

static struct json_parser *parser_create(void) {
    struct json_parser *parser;
    assert_int_equal(json_parser_create(&parser, NULL), LEAT_OK);
    return parser;
}

/* --- writing --- */

static void test_a_document_is_written(void **state) {
    (void)state;
    struct bytes out;
    struct json_writer json;
    bytes_init(&out);
    json_begin(&json, &out);
    json_object_open(&json);
    json_key(&json, "a\"b");
    json_array_open(&json);
    json_i64(&json, INT64_MIN);
    json_u64(&json, UINT64_MAX);
    json_f64(&json, 0.1);
    json_f32(&json, 0.1f);
    json_f64(&json, (double)NAN);
    json_f32(&json, -INFINITY);
    json_array_close(&json);
    json_key(&json, "empty");
    json_object_open(&json);
    json_object_close(&json);
    json_key(&json, "c");
    json_cstring(&json, "tab\t nul\x01 \\ / \xC3\xA9 \x7F");
    json_key(&json, "d");
    json_bool(&json, true);
    json_key(&json, "e");
    json_raw(&json, slice_of("[null]"));
    json_object_close(&json);
    assert_int_equal(json.depth, 0);
    bytes_put_u8(&out, 0);
    assert_string_equal(out.data,
                        "{\"a\\\"b\":[-9223372036854775808,18446744073709551615,0.1,0.1,null,null],"
                        "\"empty\":{},\"c\":\"tab\\t nul\\u0001 \\\\ / \xC3\xA9 \x7F\","
                        "\"d\":true,\"e\":[null]}");
    bytes_deinit(&out);
}

static size_t naive_sequence(const uint8_t *at, size_t left) {
    for (size_t length = 1; length <= 4 && length <= left; length++) {
        if (text_utf8_valid((struct slice){(const char *)at, length})) {
            return length;
        }
    }
    return 0;
}

/* Whatever the bytes, what is written is JSON that reads back: valid sequences as they were, and
 * U+FFFD for every other byte. */
static void test_any_bytes_become_text(void **state) {
    (void)state;
    struct json_parser *parser = parser_create();
    struct rng rng;
    rng_init(&rng, 1);
    for (int round = 0; round < 3000; round++) {
        uint8_t raw[24];
        size_t size = (size_t)rng_below(&rng, sizeof(raw));
        for (size_t i = 0; i < size; i++) {
            raw[i] = (uint8_t)(rng_below(&rng, 3) ? rng_below(&rng, 128) : rng_next(&rng));
        }
        struct bytes expected;
        bytes_init(&expected);
        for (size_t at = 0; at < size;) {
            size_t length = naive_sequence(raw + at, size - at);
            bytes_append(&expected, length ? (const char *)raw + at : "\xEF\xBF\xBD",
                         length ? length : 3);
            at += length ? length : 1;
        }
        struct bytes out;
        struct json_writer json;
        bytes_init(&out);
        json_begin(&json, &out);
        json_text(&json, (struct slice){(const char *)raw, size});
        struct json_value value;
        struct slice text;
        struct slice document = {(const char *)out.data, out.size};
        assert_int_equal(json_parse(parser, document, &value, NULL), LEAT_OK);
        assert_true(json_to_text(value, &text));
        assert_true(slice_equal(text, (struct slice){(const char *)expected.data, expected.size}));
        bytes_deinit(&out);
        bytes_deinit(&expected);
    }
    json_parser_destroy(parser);
}

/* --- reading --- */

static void test_kinds_and_conversions(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum json_kind kind;
        bool i64;
        bool f64;
        double number;
    } cases[] = {
        {"null", JSON_NULL, false, false, 0},
        {"true", JSON_BOOL, false, false, 0},
        {"\"1\"", JSON_TEXT, false, false, 0},
        {"[1]", JSON_ARRAY, false, false, 0},
        {"{\"a\":1}", JSON_OBJECT, false, false, 0},
        {"-7", JSON_INTEGER, true, true, -7},
        {"9223372036854775807", JSON_INTEGER, true, true, 9223372036854775808.0},
        {"-9223372036854775808", JSON_INTEGER, true, true, -9223372036854775808.0},
        {"9223372036854775808", JSON_INTEGER, false, true, 9223372036854775808.0},
        {"18446744073709551615", JSON_INTEGER, false, true, 18446744073709551616.0},
        {"1.0", JSON_NUMBER, false, true, 1},
        {"1e3", JSON_NUMBER, false, true, 1000},
        {"-0.0", JSON_NUMBER, false, true, 0},
    };
    struct json_parser *parser = parser_create();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct json_value value = parsed(parser, cases[i].text);
        int64_t i64;
        double f64 = 0;
        bool flag = false;
        struct slice text;
        assert_int_equal(json_kind_of(value), cases[i].kind);
        assert_int_equal(json_to_i64(value, &i64), cases[i].i64);
        assert_int_equal(json_to_f64(value, &f64), cases[i].f64);
        assert_true(f64 == cases[i].number);
        assert_int_equal(json_to_bool(value, &flag), cases[i].kind == JSON_BOOL);
        assert_int_equal(flag, cases[i].kind == JSON_BOOL);
        assert_int_equal(json_to_text(value, &text), cases[i].kind == JSON_TEXT);
    }
    json_parser_destroy(parser);
}

static void test_members_are_found_and_walked(void **state) {
    (void)state;
    struct json_parser *parser = parser_create();
    struct json_value root =
        parsed(parser, "{\"a\":1,\"a\":2,\"list\":[10,[11],{\"x\":12}],\"\\u00e9\":3,\"none\":{}}");
    struct json_value value;
    struct slice key;
    int64_t number;
    assert_true(json_find(root, "a", &value) && json_to_i64(value, &number) && number == 1);
    assert_true(json_find(root, "\xC3\xA9", &value) && json_to_i64(value, &number) && number == 3);
    assert_false(json_find(root, "lis", &value));
    assert_false(json_find(root, "", &value));
    static const char *const keys[] = {"a", "a", "list", "\xC3\xA9", "none"};
    struct json_iterator it = json_iterate(root);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_true(json_next(&it, &key, &value));
        assert_true(slice_is(key, keys[i]));
    }
    assert_false(json_next(&it, &key, &value));
    assert_false(json_next(&it, &key, &value));
    it = json_iterate(value); /* the empty object */
    assert_false(json_next(&it, &key, &value));
    assert_true(json_find(root, "list", &value));
    assert_false(json_find(value, "x", &value));
    int count = 0;
    for (it = json_iterate(value); json_next(&it, NULL, &value); count++) {
    }
    assert_int_equal(count, 3);
    assert_int_equal(json_kind_of(value), JSON_OBJECT);
    json_parser_destroy(parser);
}

/* A caller that mixes kinds up gets "no", never a crash. */
static void test_the_wrong_kind_is_empty(void **state) {
    (void)state;
    struct json_parser *parser = parser_create();
    static const char *const scalars[] = {"null", "1", "1.5", "\"a\"", "true"};
    struct json_value value;
    struct slice key;
    for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++) {
        struct json_value scalar = parsed(parser, scalars[i]);
        struct json_iterator it = json_iterate(scalar);
        assert_false(json_next(&it, &key, &value));
        assert_false(json_find(scalar, "a", &value));
    }
    struct json_iterator it = json_iterate(parsed(parser, "[1]"));
    assert_true(json_next(&it, &key, &value)); /* a key is asked of an array */
    assert_int_equal(key.size, 0);
    struct json_value absent = {0};
    assert_int_equal(json_kind_of(absent), JSON_NULL);
    assert_false(json_find(absent, "a", &value));
    it = json_iterate(absent);
    assert_false(json_next(&it, &key, &value));
    json_parser_destroy(parser);
}

static void test_what_is_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "[1,]",
        "[1",
        "{\"a\"}",
        "{a:1}",
        "[1] 2",
        "nul",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "1e400",
        "18446744073709551616",
        "-9223372036854775809",
        "NaN",
        "'a'",
        "\"a",
        "\"\t\"",
        "\"\\x\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\x80\"",
        "\"\xED\xA0\x80\"",
        "[1]// comment",
        "\xEF\xBB\xBF[1]",
    };
    struct json_parser *parser = parser_create();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct json_value value;
        leat_error err = {0};
        assert_int_equal(json_parse(parser, slice_of(wrong[i]), &value, &err), LEAT_INVALID);
        assert_int_equal(err.status, LEAT_INVALID);
        assert_true(strlen(err.message) > strlen("not valid JSON: "));
        assert_int_equal(json_parse(parser, slice_of(wrong[i]), &value, NULL), LEAT_INVALID);
    }
    struct slice with_nul = {"[1]\0", 4};
    struct json_value value;
    assert_int_equal(json_parse(parser, with_nul, &value, NULL), LEAT_INVALID);
    json_parser_destroy(parser);
}

static leat_status parse_nested(struct json_parser *parser, int depth, leat_error *err) {
    char text[2 * 2000 + 1];
    memset(text, '[', (size_t)depth);
    text[depth] = '1';
    memset(text + depth + 1, ']', (size_t)depth);
    struct json_value value;
    return json_parse(parser, (struct slice){text, 2 * (size_t)depth + 1}, &value, err);
}

static void test_depth_is_bounded(void **state) {
    (void)state;
    struct json_parser *parser = parser_create();
    leat_error err = {0};
    for (int depth = 1; depth <= JSON_DEPTH_MAX; depth++) {
        assert_int_equal(parse_nested(parser, depth, NULL), LEAT_OK);
    }
    assert_int_equal(parse_nested(parser, JSON_DEPTH_MAX + 1, &err), LEAT_INVALID);
    assert_non_null(strstr(err.message, "deeper than 32"));
    assert_int_equal(parse_nested(parser, 2000, NULL), LEAT_INVALID);
    json_parser_destroy(parser);
}

/* --- both ways --- */

static void write_random(struct json_writer *json, struct rng *rng, int levels) {
    char text[16];
    uint64_t word = rng_next(rng);
    int size = (int)rng_below(rng, 5);
    switch (rng_below(rng, levels > 0 ? 9 : 7)) {
    case 0: json_null(json); break;
    case 1: json_bool(json, word % 2); break;
    case 2: json_i64(json, (int64_t)word >> rng_below(rng, 64)); break;
    case 3: json_u64(json, word >> rng_below(rng, 64)); break;
    case 4: json_f64(json, (double)(int64_t)word / (double)(1 + rng_below(rng, 1000000))); break;
    case 5: json_f32(json, (float)rng_normal(rng)); break;
    case 6: json_text(json, (struct slice){(const char *)&word, word % 9}); break;
    case 7:
        json_array_open(json);
        for (int i = 0; i < size; i++) {
            write_random(json, rng, levels - 1);
        }
        json_array_close(json);
        break;
    default:
        json_object_open(json);
        for (int i = 0; i < size; i++) {
            snprintf(text, sizeof(text), "k\n%d", i);
            json_key(json, text);
            write_random(json, rng, levels - 1);
        }
        json_object_close(json);
        break;
    }
}

/* The writer's text is already minified, so that reading and copying gives the very same bytes. */
static void test_random_documents_come_back(void **state) {
    (void)state;
    struct json_parser *parser = parser_create();
    struct rng rng;
    rng_init(&rng, 2);
    struct bytes out;
    struct bytes copy;
    bytes_init(&out);
    bytes_init(&copy);
    for (int round = 0; round < 3000; round++) {
        struct json_writer json;
        struct json_value value;
        bytes_clear(&out);
        bytes_clear(&copy);
        json_begin(&json, &out);
        write_random(&json, &rng, round % 8);
        struct slice document = {(const char *)out.data, out.size};
        assert_int_equal(json_parse(parser, document, &value, NULL), LEAT_OK);
        json_copy(value, &copy);
        assert_true(slice_equal(document, (struct slice){(const char *)copy.data, copy.size}));
    }
    bytes_deinit(&out);
    bytes_deinit(&copy);
    json_parser_destroy(parser);
}

static void test_the_deepest_document_is_read(void **state) {
    (void)state;
    struct json_parser *parser = parser_create();
    struct json_writer json;
    struct json_value value;
    struct bytes out;
    bytes_init(&out);
    json_begin(&json, &out);
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        json_array_open(&json);
    }
    json_i64(&json, 1);
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        json_array_close(&json);
    }
    struct slice document = {(const char *)out.data, out.size};
    assert_int_equal(json_parse(parser, document, &value, NULL), LEAT_OK);
    bytes_deinit(&out);
    json_parser_destroy(parser);
}

/* --- memory --- */

static void test_a_parser_is_used_again(void **state) {
    (void)state;
    struct json_parser *parser = parser_create();
    struct bytes text;
    bytes_init(&text);
    bytes_put_u8(&text, '[');
    for (int i = 0; i < 20000; i++) {
        bytes_printf(&text, "%d,", i);
    }
    bytes_append(&text, "0]", 2);
    struct json_value value;
    struct slice document = {(const char *)text.data, text.size};
    assert_int_equal(json_parse(parser, slice_of("[1]"), &value, NULL), LEAT_OK);
    assert_int_equal(json_parse(parser, document, &value, NULL), LEAT_OK);
    uint64_t before = memory_allocations();
    for (int round = 0; round < 5; round++) {
        assert_int_equal(json_parse(parser, document, &value, NULL), LEAT_OK);
        parsed(parser, "{\"a\":[1]}");
    }
    assert_int_equal(memory_allocations(), before);
    bytes_deinit(&text);
    json_parser_destroy(parser);
}

static void test_no_memory_is_an_answer(void **state) {
    (void)state;
    struct json_parser *parser;
    struct json_value value;
    leat_error err = {0};
    memory_fail_at(1);
    assert_int_equal(json_parser_create(&parser, &err), LEAT_MEMORY);
    parser = parser_create();
    memory_fail_at(1);
    assert_int_equal(json_parse(parser, slice_of("[1]"), &value, &err), LEAT_MEMORY);
    assert_true(err.retry);
    value = parsed(parser, "[1]");
    struct bytes out;
    bytes_init(&out);
    memory_fail_at(1);
    json_copy(value, &out);
    assert_int_equal(bytes_status(&out, NULL), LEAT_MEMORY);
    bytes_deinit(&out);
    json_parser_destroy(parser);
    json_parser_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_document_is_written),
        cmocka_unit_test(test_any_bytes_become_text),
        cmocka_unit_test(test_kinds_and_conversions),
        cmocka_unit_test(test_members_are_found_and_walked),
        cmocka_unit_test(test_the_wrong_kind_is_empty),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_random_documents_come_back),
        cmocka_unit_test(test_the_deepest_document_is_read),
        cmocka_unit_test(test_a_parser_is_used_again),
        cmocka_unit_test(test_no_memory_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
