#include "connect/separators.h"

#include "base/error.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void separators_init(struct separators *separators, const char *set) {
    memset(separators, 0, sizeof(*separators));
    for (; *set; set++) {
        uint8_t byte = (uint8_t)*set;
        INVARIANT(byte < 0x80, "separator %d is not ASCII", byte);
        separators->is[byte] = true;
        separators->upper[byte >> 4] = (uint8_t)(1 << (byte >> 4));
        separators->lower[byte & 15] |= (uint8_t)(1 << (byte >> 4));
    }
}

/* Without a branch: where the next one stands cannot be foreseen. */
static size_t find_from(const struct separators *separators, const char *data, size_t from,
                        size_t size, uint32_t *out) {
    size_t count = 0;
    for (size_t i = from; i < size; i++) {
        out[count] = (uint32_t)i;
        count += separators->is[(uint8_t)data[i]];
    }
    return count;
}

size_t separators_find_scalar(const struct separators *separators, const char *data, size_t size,
                              uint32_t *out) {
    return find_from(separators, data, 0, size, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static inline uint32_t mask_of(__m256i bytes, __m256i upper,
                                                               __m256i lower) {
    /* Bytes of 0x80 and above shuffle to 0, so they are none. */
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    __m256i met =
        _mm256_and_si256(_mm256_shuffle_epi8(upper, high), _mm256_shuffle_epi8(lower, bytes));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(met, _mm256_setzero_si256()));
}

__attribute__((target("avx2,bmi"))) static size_t
find_avx2(const struct separators *separators, const char *data, size_t size, uint32_t *out) {
    __m256i upper =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)separators->upper));
    __m256i lower =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)separators->lower));
    size_t count = 0;
    size_t i = 0;
    for (; i + 32 <= size; i += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(data + i));
        for (uint32_t mask = mask_of(bytes, upper, lower); mask; mask &= mask - 1) {
            out[count++] = (uint32_t)i + (uint32_t)__builtin_ctz(mask);
        }
    }
    return count + find_from(separators, data, i, size, out + count);
}
#endif

size_t separators_find(const struct separators *separators, const char *data, size_t size,
                       uint32_t *out) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")) {
        return find_avx2(separators, data, size, out);
    }
#endif
    return separators_find_scalar(separators, data, size, out);
}
