/* Text: UTF-8 validity, numbers, times, and the nearest right word for a wrong one. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/bytes.h"

#include <stdint.h>

bool text_utf8_valid(struct slice text);

/* Whole-text parsers: false unless all of `text` is one number in range (no NaN, no infinity). */
bool text_to_i64(struct slice text, int64_t *out);
bool text_to_u64(struct slice text, uint64_t *out);
bool text_to_f64(struct slice text, double *out);

/* "10m", "3d", "250ms", "1h", "30s" -> milliseconds. */
bool text_to_duration_ms(struct slice text, int64_t *out);
/* "64MiB", "2GiB", "512KiB", "100B" or a bare number -> bytes. */
bool text_to_size(struct slice text, uint64_t *out);
/* "2017-10-11T03:00:00Z" (seconds may have a fraction) or a bare number of ms -> ms since 1970. */
bool text_to_time_ms(struct slice text, int64_t *out);
/* Writes "2017-10-11T03:00:00.123Z" and a NUL into `out`. */
void text_from_time_ms(int64_t time_ms, char out[32]);

/* The shortest decimal text that reads back as the same number; returns its length (< 32). */
size_t text_from_f64(double value, char out[32]);
size_t text_from_f32(float value, char out[32]);

/* The candidate with the smallest edit distance to `word`, or NULL if none is near (distance more
 * than a third of the word, and more than 2). */
const char *text_nearest(struct slice word, const char *const *candidates, int count);

#endif
