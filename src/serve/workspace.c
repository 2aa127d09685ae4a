#include "serve/workspace.h"

#include "base/clock.h"
#include "base/memory.h"

enum {
    ARENA_BLOCK_BYTES = 256 << 10,
    ARENA_BYTES_MAX = 256 << 20, /* 100,000 candidates fit */
    KEPT_BYTES_MAX = 4 << 20,    /* of each part, between requests */
};

void workspace_pool_init(struct workspace_pool *pool) {
    mutex_init(&pool->mutex);
    condition_init(&pool->idle);
    pool->free = NULL;
    pool->busy = 0;
}

static void workspace_destroy(struct workspace *workspace) {
    intake_destroy(workspace->intake);
    bytes_deinit(&workspace->answer);
    bytes_deinit(&workspace->body);
    arena_deinit(&workspace->arena);
    memory_free(workspace);
}

void workspace_pool_deinit(struct workspace_pool *pool) {
    INVARIANT(pool->busy == 0, "%d workspaces are in use", pool->busy);
    while (pool->free) {
        struct workspace *next = pool->free->next;
        workspace_destroy(pool->free);
        pool->free = next;
    }
    condition_deinit(&pool->idle);
    mutex_deinit(&pool->mutex);
}

static struct workspace *workspace_create(void) {
    struct workspace *workspace = memory_zalloc(sizeof(*workspace));
    if (workspace) {
        arena_init(&workspace->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
        bytes_init(&workspace->body);
        bytes_init(&workspace->answer);
    }
    return workspace;
}

struct workspace *workspace_acquire(struct workspace_pool *pool) {
    mutex_lock(&pool->mutex);
    pool->busy++;
    struct workspace *workspace = pool->free;
    if (workspace) {
        pool->free = workspace->next;
    }
    mutex_unlock(&pool->mutex);
    if (!workspace) {
        workspace = workspace_create();
    }
    if (!workspace) {
        workspace_release(pool, NULL);
    }
    return workspace;
}

static void trim_bytes(struct bytes *bytes) {
    if (bytes->failed || bytes->capacity > KEPT_BYTES_MAX) {
        bytes_deinit(bytes);
        bytes_init(bytes);
    }
    bytes_clear(bytes);
}

/* The intake's parser holds some ten bytes for each one it has read, so it goes with a large body.
 */
static void workspace_reset(struct workspace *workspace) {
    if (workspace->body.capacity > KEPT_BYTES_MAX) {
        intake_destroy(workspace->intake);
        workspace->intake = NULL;
    }
    if (workspace->arena.bytes_used > KEPT_BYTES_MAX) {
        arena_deinit(&workspace->arena);
        arena_init(&workspace->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    }
    arena_reset(&workspace->arena);
    trim_bytes(&workspace->body);
    trim_bytes(&workspace->answer);
}

void workspace_release(struct workspace_pool *pool, struct workspace *workspace) {
    if (workspace) {
        workspace_reset(workspace);
    }
    mutex_lock(&pool->mutex);
    if (workspace) {
        workspace->next = pool->free;
        pool->free = workspace;
    }
    pool->busy--;
    if (pool->busy == 0) {
        condition_broadcast(&pool->idle);
    }
    mutex_unlock(&pool->mutex);
}

bool workspace_pool_wait(struct workspace_pool *pool, int64_t timeout_ms) {
    uint64_t end = clock_monotonic_ns() + (uint64_t)timeout_ms * 1000000;
    mutex_lock(&pool->mutex);
    uint64_t now;
    while (pool->busy > 0 && (now = clock_monotonic_ns()) < end) {
        condition_wait_ms(&pool->idle, &pool->mutex, (int64_t)((end - now) / 1000000) + 1);
    }
    bool idle = pool->busy == 0;
    mutex_unlock(&pool->mutex);
    return idle;
}

leat_status workspace_intake(struct workspace *workspace, const struct config *config,
                             struct intake **out, leat_error *err) {
    if (!workspace->intake) {
        TRY(intake_create(config, &workspace->intake, err));
    }
    *out = workspace->intake;
    return LEAT_OK;
}
