/* The reader of plain events against the general one, over texts of events that are plain, nearly
 * plain, odd and broken; and the blocks against their scalar references. */
#include "base/rng.h"
#include "base/test.h"
#include "engine/event_scan.h"
#include "engine/intake_compare.h"

#include <stdlib.h>

static struct config *config;
static struct intake *plain, *general;
static struct rng rng;

static int set_up(void **state) {
    (void)state;
    leat_error err;
    const char *text = "http: {events: 40}\nactions: {click: {}, watch: {value: seconds}}\n";
    if (config_parse(slice_of(text), "test", &config, &err) < 0 ||
        intake_create(config, &plain, &err) < 0 || intake_create(config, &general, &err) < 0) {
        print_error("%s\n", err.message);
        return -1;
    }
    intake_general_only(general);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    intake_destroy(plain);
    intake_destroy(general);
    config_destroy(config);
    return 0;
}

/* --- random texts --- */

static bool one_in(uint64_t count) {
    return rng_below(&rng, count) == 0;
}

static const char *pick(const char *const *words, size_t count) {
    return words[rng_below(&rng, count)];
}
#define PICK(words) pick(words, sizeof(words) / sizeof((words)[0]))

/* How a producer writes; kept over many events, so that steps are learnt, and then another. */
struct style {
    const char *after_comma, *after_colon, *before_colon, *after_open;
    uint64_t oddness; /* one in so many values is odd */
    bool lines;
};

static struct style style_any(void) {
    static const char *const SPACE[] = {"", "", "", " ", "  ", "\n", "\t", "\r\n  ", "\n        "};
    struct style style = {PICK(SPACE), PICK(SPACE), one_in(6) ? " " : "",
                          PICK(SPACE), 0,           one_in(2)};
    style.oddness = one_in(3) ? UINT64_MAX : 1 + rng_below(&rng, 60);
    return style;
}

static void put(struct bytes *out, const char *text) {
    bytes_append(out, text, strlen(text));
}

static void put_odd(struct bytes *out) {
    static const char *const ODD[] = {"null",
                                      "true",
                                      "false",
                                      "[]",
                                      "{}",
                                      "[[[[[[[[[[1]]]]]]]]]]",
                                      "-0",
                                      "-0.0",
                                      "0",
                                      "-1",
                                      "1.50",
                                      "00",
                                      "01",
                                      "1.",
                                      ".5",
                                      "1e3",
                                      "1E+2",
                                      "-12.25",
                                      "123456789012345",
                                      "1234567890123456",
                                      "18446744073709551615",
                                      "18446744073709551616",
                                      "9223372036854775808",
                                      "1e400",
                                      "0.1",
                                      "-9223372036854775808",
                                      "99999999999999.9",
                                      "0.30000000000000004",
                                      "4.35",
                                      "nul",
                                      "tru",
                                      "\"\"",
                                      "\"\\n\"",
                                      "\"a\\u0041\"",
                                      "\"\\ud83d\\ude00\"",
                                      "\"\\ud83d\"",
                                      "\"\\x\"",
                                      "\"\xC3\xA9\"",
                                      "\"\xF0\x9F\x98\x80 and more than a block of text\"",
                                      "\"\xFF\"",
                                      "\"\xED\xA0\x80\"",
                                      "\"\xC0\x80\"",
                                      "\"tab\there\"",
                                      "\"line\nbreak\"",
                                      "\"\x7F\"",
                                      "\"open",
                                      "\"0123456789abcde\"",
                                      "\"0123456789abcdef\"",
                                      "\"0123456789abcdef0\"",
                                      "[\"a\",1]",
                                      "[\"a\",]",
                                      "[\"a\" \"b\"]",
                                      "{\"a\":1,}",
                                      "{\"a\":null}",
                                      "{\"a\":1.50}",
                                      "{\"a\" : -7}",
                                      "{\"\":1}",
                                      "{\"a\":1,\"a\":2}",
                                      "{\"a\\\"b\":\"c\\\\\"}",
                                      "{\"a\":\"b\"",
                                      "7 7",
                                      ",",
                                      "}",
                                      "]"};
    put(out, PICK(ODD));
}

static void put_text(struct bytes *out) {
    uint64_t size = one_in(8) ? rng_below(&rng, 140) : 1 + rng_below(&rng, 9);
    bytes_put_u8(out, '"');
    for (uint64_t i = 0; i < size; i++) {
        bytes_put_u8(out, (uint8_t)('a' + rng_below(&rng, 26)));
    }
    put(out, one_in(10) ? "\xC3\xA9\"" : "\"");
}

static void put_texts(struct bytes *out, const struct style *style) {
    uint64_t count = one_in(20) ? 30 + rng_below(&rng, 5) : rng_below(&rng, 4);
    bytes_put_u8(out, '[');
    for (uint64_t i = 0; i < count; i++) {
        put(out, i > 0 ? "," : style->after_open);
        put(out, i > 0 ? style->after_comma : "");
        put_text(out);
    }
    bytes_put_u8(out, ']');
}

static void put_scalar(struct bytes *out, const struct style *style) {
    static const char *const SCALARS[] = {"true", "false", "0", "7", "-7", "123456789", "12.5"};
    if (one_in(style->oddness)) {
        put_odd(out);
    } else if (one_in(2)) {
        put_text(out);
    } else {
        put(out, PICK(SCALARS));
    }
}

static void put_key(struct bytes *out, const struct style *style, const char *key, bool first) {
    put(out, first ? style->after_open : ",");
    put(out, first ? "" : style->after_comma);
    bytes_printf(out, "\"%s\"%s:%s", key, style->before_colon, style->after_colon);
}

static void put_context(struct bytes *out, const struct style *style) {
    static const char *const KEYS[] = {"region",     "device",   "r", "a key longer than a block",
                                       "k\xC3\xA9y", "k\\u0065y"};
    uint64_t count = one_in(20) ? 30 + rng_below(&rng, 5) : rng_below(&rng, 4);
    bytes_put_u8(out, '{');
    for (uint64_t i = 0; i < count; i++) {
        put_key(out, style, KEYS[one_in(10) ? rng_below(&rng, 6) : i % 2], i == 0);
        put_scalar(out, style);
    }
    bytes_put_u8(out, '}');
}

static void put_value(struct bytes *out, const struct style *style, int field) {
    static const char *const KINDS[] = {"\"click\"", "\"watch\"", "\"item\"", "\"impression\"",
                                        "\"klick\""};
    if (one_in(style->oddness)) {
        put_odd(out);
        return;
    }
    switch (posted_fields[field].as) {
    case AS_TEXT: field == 0 ? put(out, PICK(KINDS)) : put_text(out); break;
    case AS_TIME: bytes_printf(out, "%d", (int)rng_below(&rng, 2000000000)); break;
    case AS_VALUE:
        bytes_printf(out, "%s%.*f", one_in(3) ? "-" : "", (int)rng_below(&rng, 5),
                     rng_unit(&rng) * 1000);
        break;
    case AS_LIST: put_texts(out, style); break;
    case AS_CONTEXT: put_context(out, style); break;
    }
}

static void put_event(struct bytes *out, const struct style *style) {
    static const char *const NAMES[] = {
        "usr", "user\\u0000", "", "a name longer than a block", "us\\u0065r", "user"};
    bytes_put_u8(out, '{');
    uint64_t shift = one_in(10) ? rng_below(&rng, POSTED_FIELDS) : 0;
    bool first = true;
    for (int i = 0; i < POSTED_FIELDS; i++) {
        int field = (int)((uint64_t)i + shift) % POSTED_FIELDS;
        if (field > 3 && !one_in(3)) {
            continue;
        }
        put_key(out, style, one_in(style->oddness) ? PICK(NAMES) : posted_fields[field].name,
                first);
        put_value(out, style, field);
        first = false;
    }
    bytes_put_u8(out, '}');
}

static void put_events(struct bytes *out, const struct style *style) {
    uint64_t count = one_in(10) ? 38 + rng_below(&rng, 5) : rng_below(&rng, 30);
    put(out, style->lines ? "" : "[");
    for (uint64_t i = 0; i < count; i++) {
        put(out, style->lines || i == 0 ? "" : one_in(50) ? ",," : ",");
        put(out, one_in(4) ? style->after_comma : "");
        put_event(out, style);
        put(out, one_in(100) ? "x" : one_in(10) ? " " : "");
        put(out, style->lines ? (one_in(10) ? "\r\n" : "\n") : "");
    }
    put(out, style->lines ? "" : one_in(30) ? "] ]" : "]");
}

/* From every bracket on: the reader keeps within the text, whatever it has learnt. */
static void scan_everywhere(const char *text, size_t size) {
    static struct event_scan scanner;
    static bool begun;
    struct posted_event event;
    if (!begun) {
        event_scan_init(&scanner);
        begun = true;
    }
    event_scan_begin(&scanner, (struct slice){text, size}, 0, false);
    for (size_t i = 0; i < size; i++) {
        const char *end = text[i] == '{' ? event_scan(&scanner, text + i, &event) : NULL;
        assert_true(!end || (end > text + i && end <= text + size && end[-1] == '}'));
    }
}

/* The text stands alone in memory that ends with it, so that the sanitizer sees any step beyond. */
static void compare(const struct bytes *text, size_t size) {
    char *alone = malloc(size > 0 ? size : 1);
    assert_non_null(alone);
    memcpy(alone, text->data ? (const char *)text->data : "", size);
    intake_compare(plain, general, (struct slice){alone, size});
    scan_everywhere(alone, size);
    free(alone);
}

static void both_readers_agree(void **state) {
    (void)state;
    struct bytes text;
    bytes_init(&text);
    int rounds = getenv("LEAT_TEST_LONG") ? 100000 : 4000;
    struct style style = {0};
    for (int round = 0; round < rounds; round++) {
        rng_init(&rng, (uint64_t)round);
        if (round % 5 == 0) {
            style = style_any();
        }
        bytes_clear(&text);
        put_events(&text, &style);
        compare(&text, text.size);
        if (text.size > 0) {
            compare(&text, rng_below(&rng, text.size)); /* cut */
            text.data[rng_below(&rng, text.size)] = (uint8_t)rng_next(&rng);
            compare(&text, text.size);
        }
    }
    bytes_deinit(&text);
}

/* --- plain is plain --- */

static const char *scan(struct event_scan *scanner, const char *text, struct posted_event *event) {
    static char padded[1000];
    size_t size = strlen(text);
    memset(padded, 0, sizeof(padded));
    memcpy(padded, text, size);
    event_scan_begin(scanner, (struct slice){padded, size}, EVENT_SCAN_PADDING, false);
    return event_scan(scanner, padded, event);
}

/* That the comparison above compares anything: these are read without the general reader. */
static void plain_events_are_scanned(void **state) {
    (void)state;
    static const char *const PLAIN[] = {
        "{\"kind\":\"click\",\"user\":\"u1\",\"item\":\"i9\",\"time\":1508211000123,\"value\":12."
        "5}",
        "{\"kind\": \"item\", \"item\": \"i\", \"tags\": [\"a\", \"b\"], \"categories\": []}",
        "{\n  \"user\" : \"\xC3\xA9\",\n  \"context\" : { \"a\" : true, \"b\" : -3, \"c\" : \"d\" "
        "}\n}",
        "{\"request\":\"0123456789abcdef0123456789abcdef\",\"text\":\"\",\"value\":-4}"};
    struct event_scan scanner;
    struct posted_event event;
    event_scan_init(&scanner);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(PLAIN) / sizeof(PLAIN[0]); i++) {
            const char *end = scan(&scanner, PLAIN[i], &event);
            assert_non_null(end);
            assert_int_equal(*end, '\0');
        }
    }
    assert_int_equal(event.request.size, 32);
    assert_true(event.has_value && event.value == -4);
    assert_null(scan(&scanner, "{\"user\":\"\\n\"}", &event));
    assert_null(scan(&scanner, "{\"user\":\"u\",\"user\":\"u\"}", &event));
}

static void blocks_are_as_their_scalars(void **state) {
    (void)state;
    rng_init(&rng, 1);
    for (int round = 0; round < 20000; round++) {
        char a[SCAN_BLOCK];
        char b[SCAN_BLOCK];
        uint64_t digits = rng_below(&rng, SCAN_BLOCK + 1);
        for (uint64_t i = 0; i < SCAN_BLOCK; i++) {
            a[i] = i < digits ? (char)('0' + rng_below(&rng, 10)) : (char)rng_next(&rng);
            b[i] = one_in(2) ? a[i] : (char)rng_next(&rng);
        }
        assert_int_equal(scan_stops(a, true), scan_stops_scalar(a, true));
        assert_int_equal(scan_stops(a, false), scan_stops_scalar(a, false));
        assert_int_equal(scan_digits(a), scan_digits_scalar(a));
        assert_int_equal(scan_equal(a, b), scan_equal_scalar(a, b));
        uint64_t number = 0;
        for (uint64_t i = 0; i < digits; i++) {
            number = number * 10 + (uint64_t)(a[i] - '0');
        }
        if (digits > 0) {
            assert_true(scan_whole(a, (unsigned)digits) == number);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_readers_agree),
        cmocka_unit_test(plain_events_are_scanned),
        cmocka_unit_test(blocks_are_as_their_scalars),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
