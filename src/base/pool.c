/* One word says what there is to do: (round, tasks, next task). A thread takes a task by raising
 * `next` in it, so who comes late can only take tasks of the round that runs. The task's function
 * and context are written before the word and read after a task was taken: they cannot change
 * before that task has ended. */
#include "base/pool.h"

#include "base/memory.h"
#include "base/thread.h"

/* About 50 us: longer than the caller works between two rounds, shorter than anybody minds. */
enum { POOL_SPINS = 1500 };

struct pool {
    int threads;
    _Atomic uint64_t work; /* round 63..32, tasks 31..16, next 15..0 */
    pool_task task;
    void *context;
    _Atomic int ended;
    _Atomic int sleepers;
    _Atomic bool waits; /* the caller sleeps until the last task has ended */
    _Atomic bool stopping;
    struct mutex mutex;
    struct condition begun, finished;
    struct thread workers[POOL_THREADS_MAX];
};

static inline void pool_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int work_tasks(uint64_t work) {
    return (int)(work >> 16 & 0xFFFF);
}

static inline int work_next(uint64_t work) {
    return (int)(work & 0xFFFF);
}

static bool has_work(struct pool *pool) {
    uint64_t work = atomic_load(&pool->work);
    return work_next(work) < work_tasks(work);
}

/* The number of a task that now is the caller's; -1: all are taken. */
static int take_task(struct pool *pool) {
    uint64_t work = atomic_load_explicit(&pool->work, memory_order_acquire);
    while (work_next(work) < work_tasks(work)) {
        if (atomic_compare_exchange_weak_explicit(&pool->work, &work, work + 1,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            return work_next(work);
        }
    }
    return -1;
}

static bool all_ended(struct pool *pool, int count) {
    return atomic_load(&pool->ended) == count;
}

static void run_tasks(struct pool *pool) {
    int index;
    while ((index = take_task(pool)) >= 0) {
        pool->task(pool->context, index);
        atomic_fetch_add(&pool->ended, 1);
        if (atomic_load(&pool->waits)) {
            mutex_lock(&pool->mutex);
            condition_signal(&pool->finished);
            mutex_unlock(&pool->mutex);
        }
    }
}

static void wait_for_work(struct pool *pool) {
    for (int spins = 0; spins < POOL_SPINS; spins++) {
        if (has_work(pool) || atomic_load(&pool->stopping)) {
            return;
        }
        pool_relax();
    }
    mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    while (!has_work(pool) && !atomic_load(&pool->stopping)) {
        condition_wait(&pool->begun, &pool->mutex);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
    mutex_unlock(&pool->mutex);
}

static void *worker_run(void *context) {
    struct pool *pool = context;
    while (!atomic_load(&pool->stopping)) {
        wait_for_work(pool);
        run_tasks(pool);
    }
    return NULL;
}

static void wait_for_end(struct pool *pool, int count) {
    for (int spins = 0; spins < POOL_SPINS; spins++) {
        if (all_ended(pool, count)) {
            return;
        }
        pool_relax();
    }
    mutex_lock(&pool->mutex);
    atomic_store(&pool->waits, true);
    while (!all_ended(pool, count)) {
        condition_wait(&pool->finished, &pool->mutex);
    }
    atomic_store(&pool->waits, false);
    mutex_unlock(&pool->mutex);
}

static void wake_sleepers(struct pool *pool) {
    if (atomic_load(&pool->sleepers) > 0) {
        mutex_lock(&pool->mutex);
        condition_broadcast(&pool->begun);
        mutex_unlock(&pool->mutex);
    }
}

void pool_run(struct pool *pool, pool_task task, void *context, int count) {
    if (!pool || pool->threads == 1 || count == 1) {
        for (int i = 0; i < count; i++) {
            task(context, i);
        }
        return;
    }
    INVARIANT(count >= 0 && count <= POOL_TASKS_MAX, "%d tasks in one round", count);
    uint64_t round = (atomic_load(&pool->work) >> 32) + 1;
    pool->task = task;
    pool->context = context;
    atomic_store(&pool->ended, 0);
    atomic_store(&pool->work, round << 32 | (uint64_t)count << 16);
    wake_sleepers(pool);
    run_tasks(pool);
    wait_for_end(pool, count);
}

leat_status pool_create(int threads, struct pool **out, leat_error *err) {
    if (threads < 1 || threads > POOL_THREADS_MAX) {
        return error_set(err, LEAT_INVALID, "a pool of %d threads: 1 to %d are possible", threads,
                         POOL_THREADS_MAX);
    }
    struct pool *pool = memory_zalloc(sizeof(*pool));
    if (!pool) {
        return error_memory(err, sizeof(*pool));
    }
    mutex_init(&pool->mutex);
    condition_init(&pool->begun);
    condition_init(&pool->finished);
    pool->threads = threads;
    leat_status status = LEAT_OK;
    for (int i = 1; i < threads && status == LEAT_OK; i++) {
        status = thread_start(&pool->workers[i], "leat-pool", worker_run, pool, err);
    }
    if (status < 0) {
        pool_destroy(pool);
        return status;
    }
    *out = pool;
    return LEAT_OK;
}

void pool_destroy(struct pool *pool) {
    if (!pool) {
        return;
    }
    mutex_lock(&pool->mutex);
    atomic_store(&pool->stopping, true);
    condition_broadcast(&pool->begun);
    mutex_unlock(&pool->mutex);
    for (int i = 0; i < POOL_THREADS_MAX; i++) {
        thread_join(&pool->workers[i]);
    }
    condition_deinit(&pool->finished);
    condition_deinit(&pool->begun);
    mutex_deinit(&pool->mutex);
    memory_free(pool);
}

int pool_threads(const struct pool *pool) {
    return pool ? pool->threads : 1;
}
