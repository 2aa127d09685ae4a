/* A pool of threads that runs the tasks of one round side by side: task i of n, each once, the
 * caller working too. A round ends when all its tasks have ended, so what they wrote may be read by
 * the caller and by every task of later rounds.
 *
 * Rounds may follow each other within microseconds: a worker without a task spins for a moment
 * before it sleeps, and a round waits for nobody who took no task of it. */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base/error.h"

struct pool;

enum { POOL_THREADS_MAX = 64, POOL_TASKS_MAX = 65535 };

typedef void (*pool_task)(void *context, int index);

/* `threads`: 1 to POOL_THREADS_MAX, the caller of pool_run included. LEAT_FULL where the system
 * gives no more threads. */
leat_status pool_create(int threads, struct pool **out, leat_error *err);
void pool_destroy(struct pool *pool); /* may be NULL; not while a round runs */
int pool_threads(const struct pool *pool);

/* Runs task(context, i) for every i of 0..count; returns when all have ended. One thread at a time
 * calls this, and no task may. A pool of NULL or of one thread runs them one after another. */
void pool_run(struct pool *pool, pool_task task, void *context, int count);

#endif
