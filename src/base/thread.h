/* Threads, mutexes and waiting with a bound. Thin over pthreads; failures to create are errors,
 * failures to lock are broken invariants. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct mutex {
    pthread_mutex_t handle;
};
struct condition {
    pthread_cond_t handle;
};
struct thread {
    pthread_t handle;
    bool running;
};

void mutex_init(struct mutex *mutex);
void mutex_deinit(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

void condition_init(struct condition *condition); /* waits on the monotonic clock */
void condition_deinit(struct condition *condition);
void condition_wait(struct condition *condition, struct mutex *mutex);
/* False when `timeout_ms` passed without a signal; spurious wake-ups happen, check and wait again.
 */
bool condition_wait_ms(struct condition *condition, struct mutex *mutex, int64_t timeout_ms);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

/* `name`: at most 15 characters, shown by the system's tools. */
leat_status thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *arg,
                         leat_error *err);
void thread_join(struct thread *thread); /* does nothing if it never started */

/* A latch for short, bounded work (at most 64 records, never across I/O): spins, then yields. */
struct latch {
    atomic_flag taken;
};
void latch_init(struct latch *latch);
void latch_lock(struct latch *latch);
void latch_unlock(struct latch *latch);

#endif
