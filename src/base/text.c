#include "base/text.h"

#include <inttypes.h>
#include <limits.h>

/* --- UTF-8 --- */

static bool is_continuation(uint8_t byte) {
    return (byte & 0xC0) == 0x80;
}

/* Length of the well-formed sequence at `at` (Unicode 15, table 3-7), or 0. left > 0. The second
 * byte's range is what refuses overlong forms, surrogates and code points above U+10FFFF. */
static size_t utf8_sequence(const uint8_t *at, size_t left) {
    uint8_t lead = at[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || left < length) {
        return 0;
    }
    uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (!is_continuation(at[i])) {
            return 0;
        }
    }
    return length;
}

static bool eight_ascii(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return (word & 0x8080808080808080u) == 0;
}

bool text_utf8_valid(struct slice text) {
    const uint8_t *bytes = (const uint8_t *)text.data;
    size_t at = 0;
    while (at < text.size) {
        if (text.size - at >= 8 && eight_ascii(bytes + at)) {
            at += 8;
            continue;
        }
        size_t length = utf8_sequence(bytes + at, text.size - at);
        if (length == 0) {
            return false;
        }
        at += length;
    }
    return true;
}

/* --- whole numbers, and whole numbers with a unit --- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Reads the digits at the start of `text`; the number of them is in `count`. False on overflow. */
static bool leading_digits(struct slice text, uint64_t *value, size_t *count) {
    *value = 0;
    size_t at = 0;
    for (; at < text.size && is_digit(text.data[at]); at++) {
        if (__builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (uint64_t)(text.data[at] - '0'), value)) {
            return false;
        }
    }
    *count = at;
    return true;
}

bool text_to_u64(struct slice text, uint64_t *out) {
    uint64_t value;
    size_t digits;
    if (!leading_digits(text, &value, &digits) || digits == 0 || digits != text.size) {
        return false;
    }
    *out = value;
    return true;
}

bool text_to_i64(struct slice text, int64_t *out) {
    bool negative = text.size > 0 && text.data[0] == '-';
    uint64_t magnitude;
    if (negative) {
        text = (struct slice){text.data + 1, text.size - 1};
    }
    if (!text_to_u64(text, &magnitude) || magnitude > (uint64_t)INT64_MAX + negative) {
        return false;
    }
    *out = (int64_t)(negative ? -magnitude : magnitude);
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool text_to_scaled(struct slice text, const struct unit *units, size_t unit_count,
                           uint64_t *out) {
    uint64_t value;
    size_t digits;
    if (!leading_digits(text, &value, &digits) || digits == 0) {
        return false;
    }
    struct slice name = {text.data + digits, text.size - digits};
    for (size_t i = 0; i < unit_count; i++) {
        if (slice_is(name, units[i].name)) {
            return !__builtin_mul_overflow(value, units[i].factor, out);
        }
    }
    return false;
}

bool text_to_duration_ms(struct slice text, int64_t *out) {
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
    };
    uint64_t value;
    if (!text_to_scaled(text, units, sizeof(units) / sizeof(units[0]), &value) ||
        value > INT64_MAX) {
        return false;
    }
    *out = (int64_t)value;
    return true;
}

bool text_to_size(struct slice text, uint64_t *out) {
    static const struct unit units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", 1ull << 10},
        {"MiB", 1ull << 20},
        {"GiB", 1ull << 30},
        {"TiB", 1ull << 40},
    };
    uint64_t value;
    if (!text_to_scaled(text, units, sizeof(units) / sizeof(units[0]), &value)) {
        return false;
    }
    *out = value;
    return true;
}

/* --- times --- */

#define DAY_MS INT64_C(86400000)

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back; the years begin
 * in March, so that the leap day is the last one. 400 years are 146097 days. (Hinnant, "chrono-
 * compatible low-level date algorithms".) */
static int64_t days_of_date(int64_t year, int month, int day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, int64_t *year, int *month, int *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static int days_in_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Reads text against a picture, in which 0 stands for a digit: "0000-00-00T00:00:00". */
static bool matches_picture(const char *text, const char *picture) {
    for (; *picture; text++, picture++) {
        if (*picture == '0' ? !is_digit(*text) : *text != *picture) {
            return false;
        }
    }
    return true;
}

static int digits_at(const char *text, int count) {
    int value = 0;
    for (int i = 0; i < count; i++) {
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* "Z" or ".", digits and "Z": the fraction in whole milliseconds, rounded down; -1 if malformed. */
static int fraction_ms(struct slice rest) {
    if (slice_is(rest, "Z")) {
        return 0;
    }
    if (rest.size < 3 || rest.data[0] != '.' || rest.data[rest.size - 1] != 'Z') {
        return -1;
    }
    int ms = 0;
    int weight = 100;
    for (size_t i = 1; i < rest.size - 1; i++, weight /= 10) {
        if (!is_digit(rest.data[i])) {
            return -1;
        }
        ms += (rest.data[i] - '0') * weight;
    }
    return ms;
}

bool text_to_time_ms(struct slice text, int64_t *out) {
    static const char picture[] = "0000-00-00T00:00:00";
    size_t fixed = sizeof(picture) - 1;
    if (text.size <= fixed || !matches_picture(text.data, picture)) {
        return text_to_i64(text, out);
    }
    int year = digits_at(text.data, 4);
    int month = digits_at(text.data + 5, 2);
    int day = digits_at(text.data + 8, 2);
    int hour = digits_at(text.data + 11, 2);
    int minute = digits_at(text.data + 14, 2);
    int second = digits_at(text.data + 17, 2);
    int ms = fraction_ms((struct slice){text.data + fixed, text.size - fixed});
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 59 || ms < 0) {
        return false;
    }
    *out = days_of_date(year, month, day) * DAY_MS +
           ((hour * 60 + minute) * 60 + second) * INT64_C(1000) + ms;
    return true;
}

void text_from_time_ms(int64_t time_ms, char out[32]) {
    int64_t days = time_ms / DAY_MS;
    int ms = (int)(time_ms % DAY_MS);
    if (ms < 0) { /* division rounds towards zero; the day of a time before 1970 begins earlier */
        ms += (int)DAY_MS;
        days--;
    }
    int64_t year;
    int month;
    int day;
    date_of_days(days, &year, &month, &day);
    snprintf(out, 32, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day,
             ms / 3600000, ms / 60000 % 60, ms / 1000 % 60, ms % 1000);
}

/* --- the nearest word --- */

enum { NEAREST_WORD_MAX = 255 };

/* Levenshtein distance, one row of the table at a time; row[i] is the distance between the first
 * i bytes of `word` and the part of `candidate` that was read. */
static int edit_distance(struct slice word, const char *candidate) {
    int row[NEAREST_WORD_MAX + 1];
    for (size_t i = 0; i <= word.size; i++) {
        row[i] = (int)i;
    }
    for (; *candidate; candidate++) {
        int diagonal = row[0]++;
        for (size_t i = 1; i <= word.size; i++) {
            int replaced = diagonal + (word.data[i - 1] != *candidate);
            int moved = (row[i] < row[i - 1] ? row[i] : row[i - 1]) + 1;
            diagonal = row[i];
            row[i] = replaced < moved ? replaced : moved;
        }
    }
    return row[word.size];
}

const char *text_nearest(struct slice word, const char *const *candidates, int count) {
    if (word.size > NEAREST_WORD_MAX) {
        return NULL;
    }
    int best_distance = word.size / 3 > 2 ? (int)(word.size / 3) : 2;
    const char *best = NULL;
    for (int i = 0; i < count; i++) {
        int distance = edit_distance(word, candidates[i]);
        if (distance < best_distance || (distance == best_distance && !best)) {
            best_distance = distance;
            best = candidates[i];
        }
    }
    return best;
}
