#include "world/pace.h"

#include "base/clock.h"

void pace_init(struct pace *pace, int threads, int64_t start_ms) {
    INVARIANT(threads >= 1 && threads <= PACE_THREADS_MAX, "threads %d", threads);
    *pace = (struct pace){.threads = threads};
    mutex_init(&pace->mutex);
    condition_init(&pace->moved);
    for (int thread = 0; thread < threads; thread++) {
        pace->now_ms[thread] = start_ms;
    }
}

void pace_deinit(struct pace *pace) {
    condition_deinit(&pace->moved);
    mutex_deinit(&pace->mutex);
}

static int64_t slowest(const struct pace *pace) {
    int64_t least = INT64_MAX;
    for (int thread = 0; thread < pace->threads && !pace->stopped; thread++) {
        least = pace->now_ms[thread] < least ? pace->now_ms[thread] : least;
    }
    return least;
}

bool pace_step(struct pace *pace, int thread, int64_t now_ms) {
    mutex_lock(&pace->mutex);
    int64_t before = slowest(pace);
    pace->now_ms[thread] = now_ms;
    if (slowest(pace) != before) {
        condition_broadcast(&pace->moved);
    }
    while (now_ms != INT64_MAX && !pace->stopped && now_ms - PACE_LEAD_MS > slowest(pace)) {
        condition_wait(&pace->moved, &pace->mutex);
    }
    bool running = !pace->stopped;
    mutex_unlock(&pace->mutex);
    return running;
}

void pace_stop(struct pace *pace) {
    mutex_lock(&pace->mutex);
    pace->stopped = true;
    condition_broadcast(&pace->moved);
    mutex_unlock(&pace->mutex);
}

int64_t pace_slowest(struct pace *pace) {
    mutex_lock(&pace->mutex);
    int64_t least = slowest(pace);
    mutex_unlock(&pace->mutex);
    return least;
}

bool pace_wait_done(struct pace *pace, int64_t timeout_ms) {
    uint64_t end = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    mutex_lock(&pace->mutex);
    while (slowest(pace) != INT64_MAX) {
        uint64_t now = clock_monotonic_ns();
        if (now >= end) {
            break;
        }
        condition_wait_ms(&pace->moved, &pace->mutex, (int64_t)((end - now) / 1000000) + 1);
    }
    bool done = slowest(pace) == INT64_MAX;
    mutex_unlock(&pace->mutex);
    return done;
}
