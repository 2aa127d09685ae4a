/* What log.c (appending) and log_reader.c (reading) share. Internal to log/.
 *
 *   appenders --(queue, bounded by bytes)--> writer thread --(segments, end)--> readers
 */
#ifndef LOG_LOG_INTERNAL_H
#define LOG_LOG_INTERNAL_H

#include "base/thread.h"
#include "log/forgets.h"
#include "log/log.h"
#include "log/log_writer.h"
#include "log/segment.h"

struct log {
    struct log_options options; /* `folder` points to the next line */
    char folder[PATH_BYTES_MAX];
    struct file *lock;
    struct log_writer writer; /* the writer thread's; with inline_writer the mutex's */
    struct thread thread;
    _Atomic uint64_t begin; /* stored under the mutex */
    _Atomic uint64_t end;   /* stored with release behind a durable group */

    struct mutex files; /* held while segments are removed or rewritten; taken before `mutex` */

    struct mutex mutex; /* guards all below */
    struct segment_list segments;
    struct forget_list forgets;
    struct commit *first; /* waiting for the writer, oldest first */
    struct commit *last;
    size_t queued_bytes;
    size_t writing_bytes;
    uint64_t written_bytes;
    uint64_t later_queued; /* calls of log_append_later so far, and those that are settled */
    uint64_t later_settled;
    bool disk_full;         /* the newest commit found no room there */
    leat_error later_error; /* of the first that was lost since the last log_flush */
    uint64_t wakes;
    uint32_t users; /* threads inside a call that may wait */
    bool closing;
    bool roll_wanted; /* log_roll waits for the writer */
    leat_error roll_error;
    struct condition filled;  /* the queue: for the writer */
    struct condition drained; /* the queue: for appenders */
    struct condition settled; /* appends are durable or lost, or it was woken: for log_wait */
    struct condition left;    /* users fell to 0: for log_close */
};

/* Begins a new segment, so that the newest rows are in one that is no longer written. */
leat_status log_roll(struct log *log, leat_error *err);

#endif
