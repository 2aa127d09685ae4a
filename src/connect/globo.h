/* The Globo.com news clicks: hourly CSV files of sessions, read whole and put in order of time.
 *
 * A folder holds clicks_hour_*.csv, or else clicks_hours_*.tar.zst with such files inside. Columns
 * are found by the names in each file's first line; session_start, session_size (a fact of the
 * future) and any other are not read. */
#ifndef CONNECT_GLOBO_H
#define CONNECT_GLOBO_H

#include "base/file.h"
#include "connect/dataset.h"

enum globo_context {
    GLOBO_ENVIRONMENT,
    GLOBO_DEVICE,
    GLOBO_OS,
    GLOBO_COUNTRY,
    GLOBO_REGION,
    GLOBO_REFERRER,
    GLOBO_CONTEXTS
};

enum { GLOBO_CONTEXT_MAX = 65535 };

struct globo_click {
    int64_t time_ms;
    uint64_t session;
    uint32_t user;
    uint32_t item;
    uint32_t order; /* as read: 0, 1, 2 ... over all files */
    uint16_t context[GLOBO_CONTEXTS];
};

struct globo_clicks {
    struct globo_click *clicks; /* in order of (time, session, order) */
    size_t count;
};

/* LEAT_INVALID when the folder holds no such files. `refusals` counts malformed rows (and files
 * without the columns, as their line 1). */
leat_status globo_read(struct disk *disk, const char *folder, struct refusals *refusals,
                       struct globo_clicks *out, leat_error *err);
void globo_free(struct globo_clicks *clicks);

/* Names of the contexts as events carry them: "region", "device" ... */
const char *globo_context_name(enum globo_context context);

/* For every click, the click before it in its session, -1 for the session's first; and how many
 * there are before it. Both arrays have `count` elements. */
leat_status globo_link_sessions(const struct globo_clicks *clicks, int32_t *previous,
                                uint16_t *position, leat_error *err);

#endif
