/* The memory of one request: taken when its headers are there, given back when its answer is out.
 *
 * Workspaces are kept, so that a settled server allocates nothing for a request; as many are made
 * as requests were under way at once, which the connection limit bounds. */
#ifndef SERVE_WORKSPACE_H
#define SERVE_WORKSPACE_H

#include "base/arena.h"
#include "base/thread.h"
#include "engine/intake.h"

struct workspace {
    struct workspace *next; /* in the pool */
    struct arena arena;     /* pages, parameters */
    struct bytes body;      /* as posted */
    struct bytes answer;
    struct intake *intake; /* made by the first request that posts events */
};

struct workspace_pool {
    struct mutex mutex;
    struct condition idle;
    struct workspace *free;
    int busy;
};

void workspace_pool_init(struct workspace_pool *pool);
void workspace_pool_deinit(struct workspace_pool *pool); /* none may be busy */

/* An empty one; NULL when memory is out. Any thread. */
struct workspace *workspace_acquire(struct workspace_pool *pool);
/* Memory that only a large request needs is let go. Any thread. */
void workspace_release(struct workspace_pool *pool, struct workspace *workspace);
/* Waits until none is busy; false after `timeout_ms`. */
bool workspace_pool_wait(struct workspace_pool *pool, int64_t timeout_ms);

leat_status workspace_intake(struct workspace *workspace, const struct config *config,
                             struct intake **out, leat_error *err);

#endif
