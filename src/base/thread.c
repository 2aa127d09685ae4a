#define _GNU_SOURCE /* pthread_setname_np */
#include "base/thread.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

void mutex_init(struct mutex *mutex) {
    int code = pthread_mutex_init(&mutex->handle, NULL);
    INVARIANT(code == 0, "%s", strerror(code));
}

void mutex_deinit(struct mutex *mutex) {
    int code = pthread_mutex_destroy(&mutex->handle);
    INVARIANT(code == 0, "%s", strerror(code));
}

void mutex_lock(struct mutex *mutex) {
    int code = pthread_mutex_lock(&mutex->handle);
    INVARIANT(code == 0, "%s", strerror(code));
}

void mutex_unlock(struct mutex *mutex) {
    int code = pthread_mutex_unlock(&mutex->handle);
    INVARIANT(code == 0, "%s", strerror(code));
}

void condition_init(struct condition *condition) {
    pthread_condattr_t attributes;
    int code = pthread_condattr_init(&attributes);
    INVARIANT(code == 0, "%s", strerror(code));
    code = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    INVARIANT(code == 0, "%s", strerror(code));
    code = pthread_cond_init(&condition->handle, &attributes);
    INVARIANT(code == 0, "%s", strerror(code));
    pthread_condattr_destroy(&attributes);
}

void condition_deinit(struct condition *condition) {
    int code = pthread_cond_destroy(&condition->handle);
    INVARIANT(code == 0, "%s", strerror(code));
}

void condition_wait(struct condition *condition, struct mutex *mutex) {
    int code = pthread_cond_wait(&condition->handle, &mutex->handle);
    INVARIANT(code == 0, "%s", strerror(code));
}

/* Ten years: longer waits would only risk an overflow of the deadline. */
#define WAIT_MS_MAX ((int64_t)10 * 365 * 24 * 3600 * 1000)

static struct timespec deadline_after(int64_t timeout_ms) {
    int64_t wait_ms = timeout_ms < 0 ? 0 : timeout_ms;
    wait_ms = wait_ms > WAIT_MS_MAX ? WAIT_MS_MAX : wait_ms;
    struct timespec at;
    INVARIANT(clock_gettime(CLOCK_MONOTONIC, &at) == 0, "%s", strerror(errno));
    int64_t ns = at.tv_nsec + wait_ms % 1000 * 1000000;
    at.tv_sec += wait_ms / 1000 + ns / 1000000000;
    at.tv_nsec = ns % 1000000000;
    return at;
}

bool condition_wait_ms(struct condition *condition, struct mutex *mutex, int64_t timeout_ms) {
    struct timespec deadline = deadline_after(timeout_ms);
    int code = pthread_cond_timedwait(&condition->handle, &mutex->handle, &deadline);
    INVARIANT(code == 0 || code == ETIMEDOUT, "%s", strerror(code));
    return code == 0;
}

void condition_signal(struct condition *condition) {
    int code = pthread_cond_signal(&condition->handle);
    INVARIANT(code == 0, "%s", strerror(code));
}

void condition_broadcast(struct condition *condition) {
    int code = pthread_cond_broadcast(&condition->handle);
    INVARIANT(code == 0, "%s", strerror(code));
}

leat_status thread_start(struct thread *thread, const char *name, void *(*run)(void *), void *arg,
                         leat_error *err) {
    thread->running = false;
    int code = pthread_create(&thread->handle, NULL, run, arg);
    if (code != 0) {
        return error_retry(
            err, LEAT_FULL,
            "thread %s cannot start: %s; raise the limit on threads or ask for fewer", name,
            strerror(code));
    }
    thread->running = true;
    char shown[16];
    snprintf(shown, sizeof(shown), "%s", name);
    pthread_setname_np(thread->handle,
                       shown); /* a name is only for people: no error of it counts */
    return LEAT_OK;
}

void thread_join(struct thread *thread) {
    if (thread->running) {
        int code = pthread_join(thread->handle, NULL);
        INVARIANT(code == 0, "%s", strerror(code));
        thread->running = false;
    }
}

static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spins for about the time of the work a latch may guard, then gives up the core: the holder may
 * be waiting for it. */
enum { LATCH_SPINS = 64 };

void latch_init(struct latch *latch) {
    atomic_flag_clear(&latch->taken);
}

void latch_lock(struct latch *latch) {
    for (int spins = 0; atomic_flag_test_and_set_explicit(&latch->taken, memory_order_acquire);) {
        if (spins < LATCH_SPINS) {
            spins++;
            cpu_relax();
        } else {
            sched_yield();
        }
    }
}

void latch_unlock(struct latch *latch) {
    atomic_flag_clear_explicit(&latch->taken, memory_order_release);
}
