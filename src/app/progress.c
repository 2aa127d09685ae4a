#include "app/progress.h"

#include <stdarg.h>
#include <unistd.h>

enum { SECONDS_BETWEEN_LINES = 5 };

void progress_begin(struct progress *progress) {
    *progress = (struct progress){.terminal = isatty(STDERR_FILENO) == 1};
}

void progress_line(struct progress *progress, double seconds, const char *format, ...) {
    /* A tenth less: called every second, the fifth call may be a moment early. */
    if (!progress->terminal && progress->shown &&
        seconds - progress->shown_seconds < SECONDS_BETWEEN_LINES - 0.1) {
        return;
    }
    va_list args;
    va_start(args, format);
    fputs(progress->terminal ? "\r\033[K" : "", stderr);
    vfprintf(stderr, format, args);
    fputs(progress->terminal ? "" : "\n", stderr);
    fflush(stderr);
    va_end(args);
    progress->shown = true;
    progress->shown_seconds = seconds;
}

void progress_end(struct progress *progress) {
    if (progress->terminal && progress->shown) {
        fputc('\n', stderr);
    }
    progress->shown = false;
}
