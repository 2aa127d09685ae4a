#include "base/clock.h"

#include "base/error.h"

#include <time.h>

static struct timespec read_system_clock(clockid_t id) {
    struct timespec now;
    INVARIANT(clock_gettime(id, &now) == 0, "clock %d", (int)id);
    return now;
}

static uint64_t read_ns(clockid_t id) {
    struct timespec now = read_system_clock(id);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int64_t wall_now_ms(const struct clock *clock) {
    (void)clock;
    struct timespec now = read_system_clock(CLOCK_REALTIME);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t manual_now_ms(const struct clock *clock) {
    const struct manual_clock *manual = (const struct manual_clock *)clock;
    return atomic_load_explicit(&manual->now_ms, memory_order_acquire);
}

static const struct clock wall = {.now_ms = wall_now_ms};

const struct clock *clock_wall(void) {
    return &wall;
}

void manual_clock_init(struct manual_clock *clock, int64_t now_ms) {
    clock->clock.now_ms = manual_now_ms;
    atomic_init(&clock->now_ms, now_ms);
}

void manual_clock_set(struct manual_clock *clock, int64_t now_ms) {
    atomic_store_explicit(&clock->now_ms, now_ms, memory_order_release);
}

uint64_t clock_monotonic_ns(void) {
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t clock_thread_cpu_ns(void) {
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t clock_process_cpu_ns(void) {
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}
