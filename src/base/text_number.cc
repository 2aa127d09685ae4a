/* Floating point to text and back, by <charconv>: shortest, exact, and the same in every locale,
 * none of which printf and strtod give. */
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

extern "C" {
#include "base/text.h"
}

namespace {

enum { NUMBER_BYTES_MAX = 32 };

/* Below this every whole number of the type has its own value, so its digits are its shortest
 * exact form; above, digits would claim more than the type knows. */
constexpr double whole_below(double) {
    return 9007199254740992.0;
}
constexpr float whole_below(float) {
    return 16777216.0f;
}

template <typename T> char *write_number(T value, char *out, char *end) {
    if (value == 0 && std::signbit(value)) {
        /* Not "-0": readers that tell integers from numbers would lose the sign. */
        std::memcpy(out, "-0.0", 4);
        return out + 4;
    }
    if (std::fabs(value) < whole_below(value) && value == std::trunc(value)) {
        return std::to_chars(out, end, static_cast<long long>(value)).ptr;
    }
    return std::to_chars(out, end, value, std::chars_format::general).ptr;
}

template <typename T> size_t from_number(T value, char *out) {
    char *end = write_number(value, out, out + NUMBER_BYTES_MAX - 1);
    *end = '\0';
    return static_cast<size_t>(end - out);
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

} // namespace

extern "C" size_t text_from_f64(double value, char out[32]) {
    return from_number(value, out);
}

extern "C" size_t text_from_f32(float value, char out[32]) {
    return from_number(value, out);
}

extern "C" bool text_to_f64(struct slice text, double *out) {
    /* from_chars also takes "inf", "nan" and ".5"; a number here begins with a digit. */
    size_t sign = text.size > 0 && text.data[0] == '-';
    if (text.size <= sign || !is_digit(text.data[sign])) {
        return false;
    }
    double value = 0;
    const char *end = text.data + text.size;
    std::from_chars_result result = std::from_chars(text.data, end, value);
    if (result.ec != std::errc() || result.ptr != end) {
        return false;
    }
    *out = value;
    return true;
}
