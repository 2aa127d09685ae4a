#include "learn/table_epoch.h"

#include "base/thread.h"

enum { STRIPES = 32, LINE_BYTES = 64, TURNS_NEEDED = 3 };

/* Counts of readers inside, by column; a line for every few threads. */
static struct { _Alignas(LINE_BYTES) _Atomic uint32_t inside[2]; } stripes[STRIPES];

/* Turns so far; the lowest bit says which column new readers count in. */
static _Alignas(LINE_BYTES) _Atomic uint64_t turns;
static struct mutex turning = {.handle = PTHREAD_MUTEX_INITIALIZER};
static _Atomic uint32_t threads_seen;

static _Thread_local struct {
    uint32_t depth;
    uint32_t column;
    uint32_t stripe; /* + 1; 0: none yet */
} here;

void table_epoch_enter(void) {
    if (here.depth++ > 0) {
        return;
    }
    if (here.stripe == 0) {
        here.stripe =
            atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) % STRIPES + 1;
    }
    here.column = (uint32_t)atomic_load_explicit(&turns, memory_order_relaxed) & 1;
    atomic_fetch_add_explicit(&stripes[here.stripe - 1].inside[here.column], 1,
                              memory_order_seq_cst);
}

void table_epoch_leave(void) {
    INVARIANT(here.depth > 0, "left a table that was not entered");
    if (--here.depth == 0) {
        atomic_fetch_sub_explicit(&stripes[here.stripe - 1].inside[here.column], 1,
                                  memory_order_release);
    }
}

bool table_epoch_inside(void) {
    return here.depth > 0;
}

/* Read by an exchange that changes nothing: of it and a reader's counting one comes first, and who
 * comes second sees what the other had done before. */
static bool column_empty(uint32_t column) {
    for (int i = 0; i < STRIPES; i++) {
        if (atomic_fetch_add_explicit(&stripes[i].inside[column], 0, memory_order_seq_cst) != 0) {
            return false;
        }
    }
    return true;
}

uint64_t table_grace_begin(void) {
    return atomic_load_explicit(&turns, memory_order_seq_cst);
}

/* A turn needs the other column empty. The look that allows the first turn after a ticket may have
 * been before the ticket; those of the next two were not, and looked at one column each. */
bool table_grace_over(uint64_t ticket) {
    if (atomic_load_explicit(&turns, memory_order_acquire) >= ticket + TURNS_NEEDED) {
        return true;
    }
    mutex_lock(&turning);
    uint64_t now = atomic_load_explicit(&turns, memory_order_relaxed);
    while (now < ticket + TURNS_NEEDED && column_empty((uint32_t)(now + 1) & 1)) {
        atomic_store_explicit(&turns, ++now, memory_order_seq_cst);
    }
    mutex_unlock(&turning);
    return now >= ticket + TURNS_NEEDED;
}
