/* Reading a whole log back at open: what is whole is kept, a torn tail is cut, damage is refused.
 *
 * Damage and tearing look alike: a checksum is wrong. What tells them apart is FRAME_SYNCED: it
 * says that all before it was on disk when it was written. So damage with such a frame after it (or
 * with a segment after it: one is begun only when the one before is on disk) is corruption. Without
 * one the damage lies in the last group of commits, which may have reached the disk in any order,
 * and none of which was acknowledged if it did not reach it whole: it is cut there, and said so.
 * Bytes whose checksum is right but which contradict the log (a gap in the sequence, another log's
 * id, an unknown schema) were not torn: always corruption.
 *
 * What is torn may be text that somebody posted, and it may hold what looks like a later frame.
 * From version 2 on it cannot: a frame counts as proof only with the log's salt (frame.h). Frames
 * of version 1 count where no frame before the damage in its segment has a salt.
 *
 * A log may begin at any sequence: retention removes the oldest segments. Segments that were being
 * rewritten when the process died are there as they were; what stands beside them is removed.
 *
 * Internal to log/. */
#ifndef LOG_RECOVERY_H
#define LOG_RECOVERY_H

#include "log/commit.h"
#include "log/forgets.h"
#include "log/log.h"
#include "log/segment.h"

/* Where the log was found to stand. */
struct recovered {
    struct segment_list segments; /* with the durable bytes of each */
    struct commit_cursor cursor;
    uint32_t salt;              /* 0: no frame has one yet */
    struct forget_list forgets; /* those that are still to be done */
};

/* Fills `out`, which was zero and is the caller's to release, after a failure too. What is kept is
 * on disk when this returns. LEAT_CORRUPT names segment, offset and the way out. `report` is
 * complete. */
leat_status recovery_run(struct disk *disk, const char *folder, uint32_t log_id,
                         struct recovered *out, struct log_recovery *report, leat_error *err);

#endif
