/* The one line that says how a long run is doing, on standard error: rewritten in place on a
 * terminal, elsewhere a line every few seconds. One thread. */
#ifndef APP_PROGRESS_H
#define APP_PROGRESS_H

#include "base/error.h"

struct progress {
    bool terminal;
    bool shown;
    double shown_seconds; /* of the run, when the last line was written */
};

void progress_begin(struct progress *progress);
/* `seconds` of the run so far; called about every second. */
void progress_line(struct progress *progress, double seconds, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Before anything else is printed. */
void progress_end(struct progress *progress);

#endif
