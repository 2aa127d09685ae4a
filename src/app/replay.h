/* Replays of data sets through an engine in this process: time comes from the events, there are no
 * threads, and nothing is synced. What was told is applied and learnt before the next question. */
#ifndef APP_REPLAY_H
#define APP_REPLAY_H

#include "app/command.h"
#include "app/progress.h"
#include "connect/dataset.h"
#include "engine/engine.h"
#include "log/event.h"

struct replay_options {
    const char *folder; /* of the data set */
    struct command_files files;
    const char *out; /* file for the pages; NULL: none */
    bool strict;
    bool json;
    double sample; /* share of the questions that are asked, in [0, 1] */
    bool has_window;
    int64_t from_ms, to_ms; /* questions of [from, to) */
    const char *only;       /* only this action is learnt, and no data is kept; NULL: all */
};

/* Each prints its results to standard output. */
leat_status replay_globo(const struct replay_options *options, leat_error *err);
leat_status replay_movielens(const struct replay_options *options, leat_error *err);
leat_status replay_kuairand(const struct replay_options *options, leat_error *err);

/* --- what both share --- */

struct replay {
    struct config *config;
    struct engine *engine;
    struct builder *builder; /* events told and not yet appended */
    int surface;             /* where questions are asked and events happen */
    bool temporary;          /* the data folder is ours, and removed at the end */
    uint64_t told;
    uint64_t begun_ns, looked_ns;
    struct progress progress;
};

/* Opens an engine on --data, or on a folder of its own that replay_close removes. `built_in` is the
 * configuration unless -c names one; clock and durability are set here. `action` (NULL: none) must
 * be among its actions. From now on SIGINT and SIGTERM end the replay at its next flush. */
leat_status replay_open(const struct replay_options *options, const char *built_in,
                        const char *action, struct replay *replay, leat_error *err);
/* Tells an event of the replay's surface; many are appended at once, by the next flush at the
 * latest. */
leat_status replay_tell(struct replay *replay, struct posted_event *event, leat_error *err);
/* Appends, applies and learns all that was told. LEAT_CLOSED: a signal came. */
leat_status replay_flush(struct replay *replay, leat_error *err);
/* Also after a failed replay_open. `err` is left alone when `status` is a failure already; gives
 * the first failure. */
leat_status replay_close(struct replay *replay, leat_status status, leat_error *err);

/* True about every second: the caller writes the progress line. */
bool replay_progress_due(struct replay *replay);
double replay_seconds(const struct replay *replay); /* since it was opened */

#endif
