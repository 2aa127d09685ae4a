/* Removing the oldest segments. One at a time, oldest first, each durably gone before the next: a
 * crash between leaves a log that begins later and has no gap.
 *
 *   begin moves (readers are refused) -> file removed -> folder synced -> out of the list */
#include "log/log_internal.h"

/* With the mutex held: is the oldest segment one too many? `bytes`: of all of them. */
static bool segment_is_over(const struct log *log, uint64_t bytes, uint64_t before,
                            int64_t now_ms) {
    const struct segment_list *list = &log->segments;
    const struct log_options *options = &log->options;
    if (list->count < 2 || list->items[1].first_sequence > before) {
        return false;
    }
    if (list->items[0].first_sequence < log_begin(log)) {
        return true; /* a removal that failed half-way */
    }
    bool large = options->retain_bytes > 0 && bytes > options->retain_bytes;
    bool old = options->retain_ms > 0 && list->items[0].newest_ms < now_ms - options->retain_ms;
    return large || old;
}

/* Moves the begin behind the oldest segment; false when it is to stay. */
static bool segment_leave(struct log *log, uint64_t before, int64_t now_ms, uint64_t *first) {
    mutex_lock(&log->mutex);
    uint64_t bytes = 0;
    for (size_t i = 0; i < log->segments.count; i++) {
        bytes += log->segments.items[i].bytes;
    }
    bool over = segment_is_over(log, bytes, before, now_ms);
    if (over) {
        *first = log->segments.items[0].first_sequence;
        atomic_store_explicit(&log->begin, log->segments.items[1].first_sequence,
                              memory_order_release);
        forget_list_drop(&log->forgets, log->segments.items[1].first_sequence);
    }
    mutex_unlock(&log->mutex);
    return over;
}

static leat_status segment_remove(struct log *log, uint64_t first, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(segment_path(log->folder, first, path, err));
    TRY(disk_remove(log->options.disk, path, err));
    TRY(disk_sync_folder(log->options.disk, log->folder, err));
    mutex_lock(&log->mutex);
    struct segment_list *list = &log->segments;
    list->count--;
    memmove(list->items, list->items + 1, list->count * sizeof(*list->items));
    mutex_unlock(&log->mutex);
    return LEAT_OK;
}

leat_status log_retain(struct log *log, uint64_t before, int64_t now_ms, uint64_t *removed,
                       leat_error *err) {
    uint64_t count = 0;
    uint64_t first;
    leat_status status = LEAT_OK;
    mutex_lock(&log->files);
    while (status == LEAT_OK && segment_leave(log, before, now_ms, &first)) {
        status = segment_remove(log, first, err);
        count += status == LEAT_OK;
    }
    mutex_unlock(&log->files);
    if (removed) {
        *removed = count;
    }
    return status;
}
