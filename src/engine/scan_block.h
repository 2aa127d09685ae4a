/* Blocks of SCAN_BLOCK bytes, looked at at once: a bit for each byte. The scalar ones are the
 * reference, and what runs where there is no SSE2 (every x86-64 has it; events are short, so wider
 * vectors would gain nothing). */
#ifndef ENGINE_SCAN_BLOCK_H
#define ENGINE_SCAN_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { SCAN_BLOCK = 16 };

/* Bytes that end a run of text: quote, backslash, control characters; with `plain` also those of
 * 0x80 and above. */
static inline unsigned scan_stops_scalar(const char *block, bool plain) {
    unsigned stops = 0;
    for (unsigned i = 0; i < SCAN_BLOCK; i++) {
        unsigned char c = (unsigned char)block[i];
        stops |= (unsigned)(c == '"' || c == '\\' || c < 0x20 || (plain && c >= 0x80)) << i;
    }
    return stops;
}

/* How many of the leading bytes are digits. */
static inline unsigned scan_digits_scalar(const char *block) {
    unsigned count = 0;
    while (count < SCAN_BLOCK && block[count] >= '0' && block[count] <= '9') {
        count++;
    }
    return count;
}

/* Bytes that are equal in both. */
static inline unsigned scan_equal_scalar(const char *a, const char *b) {
    unsigned equal = 0;
    for (unsigned i = 0; i < SCAN_BLOCK; i++) {
        equal |= (unsigned)(a[i] == b[i]) << i;
    }
    return equal;
}

#ifdef __SSE2__
static inline __m128i scan_load(const char *block) {
    return _mm_loadu_si128((const __m128i *)(const void *)block);
}

static inline unsigned scan_stops(const char *block, bool plain) {
    __m128i bytes = scan_load(block);
    __m128i space = _mm_set1_epi8(0x20);
    __m128i outside = plain ? _mm_cmplt_epi8(bytes, space) /* 0x80 and above are negative */
                            : _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1F)), bytes);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(outside, _mm_or_si128(quote, backslash)));
}

static inline unsigned scan_digits(const char *block) {
    __m128i values = _mm_sub_epi8(scan_load(block), _mm_set1_epi8('0'));
    __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(values, _mm_set1_epi8(9)), values);
    return (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(digit));
}

static inline unsigned scan_equal(const char *a, const char *b) {
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(scan_load(a), scan_load(b)));
}
#else
static inline unsigned scan_stops(const char *block, bool plain) {
    return scan_stops_scalar(block, plain);
}

static inline unsigned scan_digits(const char *block) {
    return scan_digits_scalar(block);
}

static inline unsigned scan_equal(const char *a, const char *b) {
    return scan_equal_scalar(a, b);
}
#endif

/* The number that the first `count` (1 to 8) bytes of a word write, digits all of them: pairs, then
 * fours, then eight are put together in parallel. */
static inline uint64_t scan_eight(const char *at, unsigned count) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    word <<= 8 * (8 - count);
    word = (word & 0x0F0F0F0F0F0F0F0F) * (10 * 256 + 1) >> 8;
    word = (word & 0x00FF00FF00FF00FF) * (100 * 65536 + 1) >> 16;
    return (word & 0x0000FFFF0000FFFF) * (10000 * (UINT64_C(1) << 32) + 1) >> 32;
}

/* The same for 1 to 16 digits; 8 bytes can be read even where there are fewer. */
static inline uint64_t scan_whole(const char *at, unsigned count) {
    if (count <= 8) {
        return scan_eight(at, count);
    }
    return scan_eight(at, count - 8) * 100000000 + scan_eight(at + count - 8, 8);
}

#endif
