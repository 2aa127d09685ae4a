/* The closed loop: a simulated audience asks a server for pages over HTTP, looks at them, clicks or
 * hides, and says so; what it does changes the pages that follow.
 *
 * Simulated time runs on the event clock (the server's configuration says `clock: event`); threads
 * play people of their own and keep within a minute of simulated time of each other. */
#ifndef WORLD_LOOP_H
#define WORLD_LOOP_H

#include "world/paired.h"

enum { LOOP_THREADS_MAX = 16, LOOP_WINDOWS_MAX = 24, LOOP_PAGE_MAX = 50 };

struct loop_progress {
    double seconds; /* of wall clock, since the first page was asked for */
    int64_t now_ms; /* simulated: of the slowest thread */
    int64_t pages;
    int64_t events; /* taken by the server */
    double clicks_per_page;
    double popular_per_page;
    double page_p50_ms; /* as the client sees it */
    double page_p99_ms;
    double resident_bytes; /* of the server; 0 where it does not say */
};

struct loop_options {
    const char *server;
    struct audience_options audience;
    int64_t requests;
    int threads;
    int page_items;
    int windows;
    int64_t seconds_max; /* of wall clock: then all stop where they are; 0: no bound */
    double strict_share; /* of pages with a click or a hide: asked again at once, with after= */
    void (*progress)(void *context,
                     const struct loop_progress *progress); /* every second; or NULL */
    void *progress_context;
};

/* What must not be. */
struct loop_faults {
    int64_t returned; /* an item clicked or hidden was shown: on a page asked with after= that
                         reached it, or a second or more after its event was acknowledged */
    int64_t expired;  /* an item was shown at or after its `expires` */
    int64_t twice;    /* an item stood on a page twice */
};

struct loop_report {
    struct loop_progress last;
    struct paired total;
    struct paired windows[LOOP_WINDOWS_MAX];
    int64_t window_start_ms[LOOP_WINDOWS_MAX + 1];
    struct loop_faults faults;
    int64_t checks;      /* pages asked with after= */
    int64_t unreached;   /* of them, answered before the server had got there */
    int64_t short_pages; /* with fewer items than were asked for */
    double clamped; /* events whose time the server moved: its clock is not `event`, or later */
};

static inline int64_t loop_violations(const struct loop_report *report) {
    return report->faults.returned + report->faults.expired + report->faults.twice;
}

/* Waits for the server, posts the items, plays. Violations are counted, not errors. LEAT_INVALID:
 * options out of range, an event refused, items shown that this audience does not know (the data
 * folder was not empty); LEAT_IO: the server went away. One call at a time. */
leat_status loop_run(const struct loop_options *options, struct loop_report *out, leat_error *err);

#endif
