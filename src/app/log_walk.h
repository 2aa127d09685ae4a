/* Reads the files of a log from outside, commit by commit, while a server may be writing them:
 * takes no lock, cuts no torn tail, changes nothing. (log.h opens a log to own it.)
 *
 * What is read is whole commits with right checksums. The newest of them may not be acknowledged
 * yet. One thread. */
#ifndef APP_LOG_WALK_H
#define APP_LOG_WALK_H

#include "base/file.h"
#include "log/frame.h"

struct log_walk {
    struct disk *disk;
    const char *folder; /* borrowed */
    uint64_t *segments; /* first sequences, rising */
    size_t segment_count;
    size_t next_segment;
    struct file *file; /* of the segment at hand */
    uint64_t offset;   /* of the next commit */
    uint64_t size;
    struct bytes commit; /* the frames of the one at hand */
    size_t at;           /* of the next frame in it */
    uint64_t unfinished; /* bytes at the end of the log that are no whole commit (yet) */
};

#define LOG_WALK_BEGIN UINT64_MAX /* for `from`: where the log begins */

/* Begins with the segment that holds `from`; LEAT_INVALID without a log, or when the log begins
 * later (log.retain). log_walk_close after success and failure alike. */
leat_status log_walk_open(struct log_walk *walk, struct disk *disk, const char *folder,
                          uint64_t from, leat_error *err);
/* The next frame, borrowed until the next call. LEAT_END; LEAT_CORRUPT: damage with a segment after
 * it. */
leat_status log_walk_next(struct log_walk *walk, struct frame *frame, struct batch *batch,
                          leat_error *err);
void log_walk_close(struct log_walk *walk);

#endif
