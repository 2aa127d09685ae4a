/* Keeps threads that simulate together at about the same simulated time. */
#ifndef WORLD_PACE_H
#define WORLD_PACE_H

#include "base/thread.h"

enum { PACE_THREADS_MAX = 16, PACE_LEAD_MS = 60000 };

struct pace {
    struct mutex mutex;
    struct condition moved;
    int threads;
    bool stopped;
    int64_t now_ms[PACE_THREADS_MAX];
};

void pace_init(struct pace *pace, int threads, int64_t start_ms);
void pace_deinit(struct pace *pace);

/* Says that a thread has come to `now_ms` and waits while it leads the slowest by more than
 * PACE_LEAD_MS; false when the run was stopped. INT64_MAX: it is done. Each thread for itself. */
bool pace_step(struct pace *pace, int thread, int64_t now_ms);
/* Any thread: all give up. */
void pace_stop(struct pace *pace);
/* Of the slowest; INT64_MAX when all are done or stopped. Any thread. */
int64_t pace_slowest(struct pace *pace);
/* Waits up to `timeout_ms`; true when all are done or stopped. Any thread. */
bool pace_wait_done(struct pace *pace, int64_t timeout_ms);

#endif
