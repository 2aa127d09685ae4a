/* Time, through one door. Wall time in milliseconds since 1970 UTC; monotonic time in nanoseconds
 * for measuring. A test or a replay passes a clock that it moves by hand. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

struct clock {
    int64_t (*now_ms)(const struct clock *clock);
};

/* A clock moved by hand; any thread may read it. */
struct manual_clock {
    struct clock clock;
    _Atomic int64_t now_ms;
};

const struct clock *clock_wall(void);
void manual_clock_init(struct manual_clock *clock, int64_t now_ms);
void manual_clock_set(struct manual_clock *clock, int64_t now_ms);
static inline int64_t clock_now_ms(const struct clock *clock) {
    return clock->now_ms(clock);
}

uint64_t clock_monotonic_ns(void);
uint64_t clock_thread_cpu_ns(void); /* CPU time of the calling thread */
uint64_t clock_process_cpu_ns(void);

#endif
