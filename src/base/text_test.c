#include "base/rng.h"
#include "base/test.h"
#include "base/text.h"

#include <math.h>
#include <time.h>

/* --- UTF-8, against a decoder that first reads a code point and then asks whether it may be --- */

static bool naive_code_point_ok(uint32_t point, int length) {
    int needed = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    return point <= 0x10FFFF && length == needed && !(point >= 0xD800 && point <= 0xDFFF);
}

static bool naive_valid(const uint8_t *at, size_t size) {
    while (size > 0) {
        int length = at[0] < 0x80             ? 1
                     : (at[0] & 0xE0) == 0xC0 ? 2
                     : (at[0] & 0xF0) == 0xE0 ? 3
                     : (at[0] & 0xF8) == 0xF0 ? 4
                                              : 0;
        if (length == 0 || size < (size_t)length) {
            return false;
        }
        uint32_t point = length == 1 ? at[0] : at[0] & (0xFFu >> (length + 1));
        for (int i = 1; i < length; i++) {
            if ((at[i] & 0xC0) != 0x80) {
                return false;
            }
            point = point << 6 | (at[i] & 0x3Fu);
        }
        if (!naive_code_point_ok(point, length)) {
            return false;
        }
        at += length;
        size -= (size_t)length;
    }
    return true;
}

static void check_utf8(const uint8_t *data, size_t size) {
    struct slice text = {(const char *)data, size};
    assert_int_equal(text_utf8_valid(text), naive_valid(data, size));
}

/* Every pair of bytes, and every head of a longer sequence with the ends of each byte class. */
static void test_utf8_short_sequences(void **state) {
    (void)state;
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F,
                                    0xA0, 0xBF, 0xC0, 0xC2, 0xFF};
    enum { EDGES = sizeof(edges) };
    for (uint32_t first = 0; first < 256; first++) {
        for (uint32_t second = 0; second < 256; second++) {
            uint8_t bytes[4] = {(uint8_t)first, (uint8_t)second, 0, 0};
            check_utf8(bytes, 1);
            check_utf8(bytes, 2);
            for (size_t i = 0; i < EDGES && first >= 0xE0; i++) {
                bytes[2] = edges[i];
                bytes[3] = edges[(i * 7 + second) % EDGES];
                check_utf8(bytes, 3);
                check_utf8(bytes, 4);
            }
        }
    }
}

static size_t put_code_point(uint8_t *at, uint32_t point) {
    if (point < 0x80) {
        at[0] = (uint8_t)point;
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        at[i] = (uint8_t)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    at[0] = (uint8_t)(0xF00u >> length | point);
    return length;
}

/* Valid text of all lengths of sequence, with ASCII runs for the fast path, then damaged. */
static void test_utf8_long_texts(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 1);
    int valid = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[80];
        size_t size = 0;
        size_t wanted = (size_t)rng_below(&rng, 70);
        while (size < wanted) {
            uint64_t bits = rng_below(&rng, 4) ? 7 : 8 + rng_below(&rng, 13);
            uint32_t point = (uint32_t)rng_below(&rng, UINT64_C(1) << bits);
            size += put_code_point(bytes + size, point);
        }
        for (uint64_t damage = rng_below(&rng, 3); damage > 0 && size > 0; damage--) {
            bytes[rng_below(&rng, size)] = (uint8_t)rng_next(&rng);
        }
        check_utf8(bytes, size);
        valid += naive_valid(bytes, size);
    }
    assert_in_range(valid, 2000, 18000);
    assert_true(text_utf8_valid((struct slice){NULL, 0}));
}

/* --- whole numbers --- */

static void test_integers_come_back(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 2);
    for (int i = 0; i < 10000; i++) {
        uint64_t word = rng_next(&rng) >> rng_below(&rng, 64);
        char text[32];
        uint64_t u64;
        int64_t i64;
        snprintf(text, sizeof(text), "%llu", (unsigned long long)word);
        assert_true(text_to_u64(slice_of(text), &u64) && u64 == word);
        assert_int_equal(text_to_i64(slice_of(text), &i64), word <= INT64_MAX);
        snprintf(text, sizeof(text), "%lld", -(long long)(word >> 1));
        assert_true(text_to_i64(slice_of(text), &i64) && i64 == -(int64_t)(word >> 1));
    }
}

static void test_integers_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "", "-", "+1", " 1", "1 ", "1.0", "0x10", "--1", "1e3", "18446744073709551616", "a", "٣"};
    int64_t i64 = 5;
    uint64_t u64 = 5;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(text_to_u64(slice_of(wrong[i]), &u64));
        assert_false(text_to_i64(slice_of(wrong[i]), &i64));
    }
    assert_false(text_to_u64(slice_of("-1"), &u64));
    assert_false(text_to_u64((struct slice){"1\0002", 3}, &u64));
    assert_true(text_to_u64(slice_of("18446744073709551615"), &u64) && u64 == UINT64_MAX);
    assert_true(text_to_i64(slice_of("-9223372036854775808"), &i64) && i64 == INT64_MIN);
    assert_false(text_to_i64(slice_of("9223372036854775808"), &i64));
    assert_false(text_to_i64(slice_of("-9223372036854775809"), &i64));
}

/* --- durations and sizes --- */

static void test_durations_and_sizes_come_back(void **state) {
    (void)state;
    static const struct {
        const char *unit;
        uint64_t factor;
        bool is_size;
    } units[] = {{"ms", 1, false},
                 {"s", 1000, false},
                 {"m", 60000, false},
                 {"h", 3600000, false},
                 {"d", 86400000, false},
                 {"", 1, true},
                 {"B", 1, true},
                 {"KiB", 1024, true},
                 {"MiB", 1048576, true},
                 {"GiB", 1073741824, true},
                 {"TiB", 1099511627776, true}};
    struct rng rng;
    rng_init(&rng, 3);
    for (int i = 0; i < 5000; i++) {
        size_t which = (size_t)rng_below(&rng, sizeof(units) / sizeof(units[0]));
        uint64_t count = rng_next(&rng) >> rng_below(&rng, 64);
        char text[40];
        snprintf(text, sizeof(text), "%llu%s", (unsigned long long)count, units[which].unit);
        unsigned __int128 expected = (unsigned __int128)count * units[which].factor;
        int64_t ms;
        uint64_t bytes;
        bool is_size = text_to_size(slice_of(text), &bytes);
        bool is_duration = text_to_duration_ms(slice_of(text), &ms);
        assert_int_equal(is_size, units[which].is_size && expected <= UINT64_MAX);
        assert_int_equal(is_duration, !units[which].is_size && expected <= INT64_MAX);
        assert_true(!is_size || bytes == expected);
        assert_true(!is_duration || (uint64_t)ms == expected);
    }
}

static void test_durations_and_sizes_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",   "m",   "-1s", "1.5h", "1 s",  "s1",  "1sec", "1KB", "1kb",
        "1M", "MiB", "1S",  "1m1s", "0x1s", "+1B", " 1B",  "1B ", "99999999999999999TiB"};
    int64_t ms;
    uint64_t bytes;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(text_to_duration_ms(slice_of(wrong[i]), &ms));
        assert_false(text_to_size(slice_of(wrong[i]), &bytes));
    }
}

/* --- times, against the C library's calendar --- */

static void check_time(int64_t time_ms) {
    char text[32];
    text_from_time_ms(time_ms, text);
    int64_t ms = ((time_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((time_ms - ms) / 1000);
    struct tm parts;
    assert_non_null(gmtime_r(&seconds, &parts));
    char expected[96];
    snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
             parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min,
             parts.tm_sec, (int)ms);
    assert_string_equal(text, expected);
    int64_t back;
    assert_true(text_to_time_ms(slice_of(text), &back));
    assert_true(back == time_ms);
}

static void test_times_like_the_c_library(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 4);
    int64_t low = INT64_C(-62167219200000); /* 0000-01-01 */
    uint64_t range = UINT64_C(315569520000000);
    for (int i = 0; i < 20000; i++) {
        check_time(low + (int64_t)rng_below(&rng, range));
    }
    /* The days around the end of February and of the year, over two cycles of leap years. */
    for (int year = 1580; year < 2420; year++) {
        for (int day = -1; day <= 2; day++) {
            struct tm february = {.tm_year = year - 1900, .tm_mon = 1, .tm_mday = 28 + day};
            struct tm december = {.tm_year = year - 1900, .tm_mon = 11, .tm_mday = 31 + day};
            check_time((int64_t)timegm(&february) * 1000);
            check_time((int64_t)timegm(&december) * 1000 - 1);
        }
    }
    char extreme[32];
    text_from_time_ms(INT64_MIN, extreme);
    assert_string_equal(extreme, "-292275055-05-16T16:47:04.192Z");
}

static void test_times_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t time_ms;
    } right[] = {
        {"2017-10-11T03:00:00Z", 1507690800000},
        {"1970-01-01T00:00:00Z", 0},
        {"2017-10-11T03:00:00.5Z", 1507690800500},
        {"2017-10-11T03:00:00.123999Z", 1507690800123},
        {"2000-02-29T23:59:59.999Z", 951868799999},
        {"1507690800000", 1507690800000},
        {"-1", -1},
        {"0", 0},
        {"2017-10-11T03:00:00.000Z", 1507690800000},
    };
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        int64_t time_ms = -5;
        assert_true(text_to_time_ms(slice_of(right[i].text), &time_ms));
        assert_true(time_ms == right[i].time_ms);
    }
}

static void test_times_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "2017-10-11",
        "2017-10-11T03:00:00",
        "2017-10-11 03:00:00Z",
        "2017-10-11T03:00:00.Z",
        "2017-10-11T03:00:00.5",
        "2017-10-11T03:00:00.5xZ",
        "2017-10-11T03:00:00+00:00",
        "2017-13-11T03:00:00Z",
        "2017-00-11T03:00:00Z",
        "2017-02-29T03:00:00Z",
        "1900-02-29T03:00:00Z",
        "2017-04-31T03:00:00Z",
        "2017-04-00T03:00:00Z",
        "2017-10-11T24:00:00Z",
        "2017-10-11T23:60:00Z",
        "2017-10-11T23:59:60Z",
        "2017-10-11T03:00:00ZZ",
        "1.5",
    };
    int64_t time_ms;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(text_to_time_ms(slice_of(wrong[i]), &time_ms));
    }
}

/* --- floating point, against printf and strtod --- */

static int significant_digits(const char *text) {
    int digits = 0;
    int zeros = 0; /* those at the end of a whole number say its size only */
    for (; *text && *text != 'e'; text++) {
        if (*text >= '1' && *text <= '9') {
            digits += zeros + 1;
            zeros = 0;
        } else if (*text == '0' && digits > 0) {
            zeros++;
        }
    }
    return digits;
}

static int digits_needed_f64(double value) {
    char text[40];
    int digits = 1;
    for (; digits < 17; digits++) {
        snprintf(text, sizeof(text), "%.*e", digits - 1, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    return digits;
}

static int digits_needed_f32(float value) {
    char text[40];
    int digits = 1;
    for (; digits < 9; digits++) {
        snprintf(text, sizeof(text), "%.*e", digits - 1, (double)value);
        if (strtof(text, NULL) == value) {
            break;
        }
    }
    return digits;
}

/* A double of one of the kinds that formatting code gets wrong. */
static double strange_double(struct rng *rng) {
    uint64_t word = rng_next(rng);
    double value;
    switch (rng_below(rng, 5)) {
    case 0: return (double)(int64_t)(word >> rng_below(rng, 64));
    case 1: return (double)(int64_t)(word % 100000000) / 1000;
    case 2: return ldexp(1.0, (int)rng_below(rng, 2098) - 1074);
    case 3: word &= 0x800FFFFFFFFFFFFFu; break; /* subnormal */
    default: break;
    }
    memcpy(&value, &word, sizeof(value));
    return isfinite(value) ? value : 0.0;
}

static void test_doubles_are_shortest(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    for (int i = 0; i < 10000; i++) {
        double value = strange_double(&rng);
        char text[32];
        size_t size = text_from_f64(value, text);
        assert_int_equal(size, strlen(text));
        double back = strtod(text, NULL);
        assert_memory_equal(&back, &value, sizeof(value));
        double ours;
        assert_true(text_to_f64(slice_of(text), &ours));
        assert_memory_equal(&ours, &value, sizeof(value));
        assert_true(value == 0 || significant_digits(text) <= digits_needed_f64(value));
    }
}

static void test_floats_are_shortest(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 6);
    for (int i = 0; i < 20000; i++) {
        uint32_t word = (uint32_t)rng_next(&rng);
        float value;
        memcpy(&value, &word, sizeof(value));
        value = i % 3 == 0 ? (float)(int32_t)(word % 1000000) / 100 : value;
        if (!isfinite(value)) {
            continue;
        }
        char text[32];
        size_t size = text_from_f32(value, text);
        assert_int_equal(size, strlen(text));
        float back = strtof(text, NULL);
        assert_memory_equal(&back, &value, sizeof(value));
        assert_true(value == 0 || significant_digits(text) <= digits_needed_f32(value));
    }
}

static void test_numbers_look_plain(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } right[] = {
        {0, "0"},
        {-0.0, "-0.0"},
        {1, "1"},
        {-1500, "-1500"},
        {0.1, "0.1"},
        {100000000, "100000000"},
        {0.25, "0.25"},
        {1e22, "1e+22"},
        {9007199254740991, "9007199254740991"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
    };
    char text[32];
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        text_from_f64(right[i].value, text);
        assert_string_equal(text, right[i].text);
    }
    text_from_f32(0.1f, text);
    assert_string_equal(text, "0.1");
}

static void test_doubles_like_strtod(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 7);
    for (int i = 0; i < 10000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%s%llu.%llue%d", rng_below(&rng, 2) ? "-" : "",
                 (unsigned long long)(rng_next(&rng) >> rng_below(&rng, 64)),
                 (unsigned long long)rng_next(&rng), (int)rng_below(&rng, 560) - 280);
        double value;
        assert_true(text_to_f64(slice_of(text), &value));
        assert_true(value == strtod(text, NULL));
    }
}

static void test_doubles_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"",   "-",   "+1",   ".5",       "nan",  "inf",  "-inf",
                                        "1e", "1e+", "0x10", "1e999",    "1,5",  " 1",   "1 ",
                                        "1f", "--1", "e5",   "infinity", "-nan", "1.5.2"};
    double value;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(text_to_f64(slice_of(wrong[i]), &value));
    }
}

/* --- the nearest word, against the definition by recursion --- */

static int naive_distance(const char *a, const char *b) {
    if (!*a || !*b) {
        return (int)(strlen(a) + strlen(b));
    }
    if (*a == *b) {
        return naive_distance(a + 1, b + 1);
    }
    int left = naive_distance(a + 1, b);
    int right = naive_distance(a, b + 1);
    int both = naive_distance(a + 1, b + 1);
    int least = left < right ? left : right;
    return 1 + (least < both ? least : both);
}

static void random_word(struct rng *rng, char word[8]) {
    size_t size = (size_t)rng_below(rng, 8);
    for (size_t i = 0; i < size; i++) {
        word[i] = (char)('a' + rng_below(rng, 3));
    }
    word[size] = '\0';
}

static void test_nearest_like_the_definition(void **state) {
    (void)state;
    struct rng rng;
    rng_init(&rng, 8);
    int found = 0;
    for (int round = 0; round < 600; round++) {
        char words[5][8];
        const char *candidates[4];
        const char *expected = NULL;
        int best = 3; /* a third of seven letters is two: the bound is two here */
        random_word(&rng, words[4]);
        for (int i = 0; i < 4; i++) {
            random_word(&rng, words[i]);
            candidates[i] = words[i];
            int distance = naive_distance(words[4], words[i]);
            if (distance < best) {
                best = distance;
                expected = words[i];
            }
        }
        assert_ptr_equal(text_nearest(slice_of(words[4]), candidates, 4), expected);
        found += expected != NULL;
    }
    assert_in_range(found, 100, 590);
}

static void test_nearest_to_real_words(void **state) {
    (void)state;
    static const char *const names[] = {"cache_bytes_max", "timeout_ms", "port"};
    char huge[2000];
    memset(huge, 'a', sizeof(huge));
    assert_string_equal(text_nearest(slice_of("timeout_sm"), names, 3), "timeout_ms");
    assert_string_equal(text_nearest(slice_of("cache_byte"), names, 3) ? "near" : "none", "none");
    assert_string_equal(text_nearest(slice_of("cachebytesmax"), names, 3), "cache_bytes_max");
    assert_string_equal(text_nearest(slice_of("cache_max_bytes"), names, 1) ? "near" : "none",
                        "none");
    assert_null(text_nearest(slice_of("threads"), names, 3));
    assert_null(text_nearest(slice_of("x"), names, 0));
    assert_null(text_nearest((struct slice){huge, sizeof(huge)}, names, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_short_sequences),
        cmocka_unit_test(test_utf8_long_texts),
        cmocka_unit_test(test_integers_come_back),
        cmocka_unit_test(test_integers_refused),
        cmocka_unit_test(test_durations_and_sizes_come_back),
        cmocka_unit_test(test_durations_and_sizes_refused),
        cmocka_unit_test(test_times_like_the_c_library),
        cmocka_unit_test(test_times_are_read),
        cmocka_unit_test(test_times_refused),
        cmocka_unit_test(test_doubles_are_shortest),
        cmocka_unit_test(test_floats_are_shortest),
        cmocka_unit_test(test_numbers_look_plain),
        cmocka_unit_test(test_doubles_like_strtod),
        cmocka_unit_test(test_doubles_refused),
        cmocka_unit_test(test_nearest_like_the_definition),
        cmocka_unit_test(test_nearest_to_real_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
