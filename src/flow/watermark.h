/* Event time of one consumer with several inputs: the least of their watermarks.
 *
 * A watermark says that its input brings no older row any more. An input that had neither row nor
 * watermark for `idle_ms` of pushed processing time is idle and holds nothing back until it moves
 * again; one that has ended never does. The combined time
 *   - is the least over the inputs that are neither idle nor ended; none yet while one of those
 *     never had a watermark;
 *   - stays where it is while all are idle (or ended, but not all ended);
 *   - is WATERMARK_END when all have ended;
 *   - never goes back.
 * Pure: no clock is asked. One thread. */
#ifndef FLOW_WATERMARK_H
#define FLOW_WATERMARK_H

#include <stdbool.h>
#include <stdint.h>

enum { WATERMARK_INPUTS_MAX = 16 };
#define WATERMARK_NONE INT64_MIN
#define WATERMARK_END  INT64_MAX

struct watermark_input {
    int64_t time_ms;   /* WATERMARK_NONE: none yet; WATERMARK_END: ended */
    int64_t active_ms; /* processing time of its newest row or watermark */
};

struct watermark {
    int count;
    int64_t idle_ms;
    int64_t now_ms;      /* processing time; WATERMARK_NONE before the first */
    int64_t combined_ms; /* WATERMARK_NONE: none yet */
    struct watermark_input inputs[WATERMARK_INPUTS_MAX];
};

/* `count` inputs, 1 to WATERMARK_INPUTS_MAX. */
void watermark_init(struct watermark *watermark, int count, int64_t idle_ms);
/* All return whether the combined time moved. A time that goes back is passed over, but counts as
 * a sign of life. */
bool watermark_push(struct watermark *watermark, int input, int64_t time_ms);
bool watermark_row(struct watermark *watermark, int input);
bool watermark_now(struct watermark *watermark, int64_t now_ms);
bool watermark_end(struct watermark *watermark, int input);

bool watermark_idle(const struct watermark *watermark, int input);
static inline bool watermark_ended(const struct watermark *watermark, int input) {
    return watermark->inputs[input].time_ms == WATERMARK_END;
}

#endif
