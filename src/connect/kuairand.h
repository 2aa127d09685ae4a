/* KuaiRand (Gao et al., CIKM 2022): what a short-video app showed, and what people did with it.
 *
 * A folder holds *.csv files with a first line that names their columns, separated by TABs or
 * commas (as the first line is). user_id, video_id and time_ms are needed; duration_ms and the
 * signals are read where they are there; what is known only afterwards (how long it was watched,
 * how long comments stayed open) is not read. */
#ifndef CONNECT_KUAIRAND_H
#define CONNECT_KUAIRAND_H

#include "base/file.h"
#include "connect/dataset.h"

enum kuairand_signal {
    KUAIRAND_CLICK,
    KUAIRAND_LIKE,
    KUAIRAND_FOLLOW,
    KUAIRAND_COMMENT,
    KUAIRAND_FORWARD,
    KUAIRAND_HATE,
    KUAIRAND_LONG_VIEW,
    KUAIRAND_PROFILE_ENTER,
    KUAIRAND_SIGNALS
};

struct kuairand_row {
    int64_t time_ms;
    uint32_t user, item;
    uint32_t duration_ms; /* of the video; 0: unknown, or a picture */
    uint32_t signals;     /* bit a signal */
};

struct kuairand_rows {
    struct kuairand_row *rows; /* in order of (time, user, item) */
    size_t count;
    uint32_t signals; /* that some file had a column of */
};

/* LEAT_INVALID when the folder holds no such files. `refusals` counts malformed rows (and files
 * without the columns, as their line 1). */
leat_status kuairand_read(struct disk *disk, const char *folder, struct refusals *refusals,
                          struct kuairand_rows *out, leat_error *err);
void kuairand_free(struct kuairand_rows *rows);

/* The signal as an action: "click", "long_view" ... */
const char *kuairand_signal_name(enum kuairand_signal signal);
int kuairand_signal_find(struct slice name); /* -1: none */

#endif
