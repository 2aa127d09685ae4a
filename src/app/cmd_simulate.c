/* `leat simulate`: a simulated audience uses a server in a closed loop. */
#include "app/command.h"
#include "app/progress.h"
#include "base/json.h"
#include "base/text.h"
#include "world/loop.h"

#include <inttypes.h>
#include <signal.h>

#define START_MS INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define HOUR_MS  INT64_C(3600000)

enum { WINDOWS = 12, PAGE_ITEMS = 10 };

/* As given; NULL: the default. */
struct simulate_texts {
    const char *server, *requests, *people, *items, *seed, *threads, *hours, *seconds,
        *strict_after;
    bool json;
};

/* --- progress and results --- */

static void show_progress(void *context, const struct loop_progress *p) {
    char now[32];
    text_from_time_ms(p->now_ms, now);
    now[16] = '\0'; /* to the minute */
    progress_line(context, p->seconds,
                  "simulated %s  events/s %.0f  pages/s %.0f  clicks/page %.2f (popular %.2f)  "
                  "page p50 %.2f ms p99 %.2f ms  server %.0f MB",
                  now, (double)p->events / p->seconds, (double)p->pages / p->seconds,
                  p->clicks_per_page, p->popular_per_page, p->page_p50_ms, p->page_p99_ms,
                  p->resident_bytes / 1e6);
}

static void put_number(struct json_writer *json, const char *key, double value) {
    json_key(json, key);
    json_f64(json, value);
}

static void put_paired(struct json_writer *json, const struct paired *paired) {
    json_key(json, "pages");
    json_i64(json, paired->pages);
    put_number(json, "clicks_per_page", paired_served(paired));
    put_number(json, "popular", paired_arm(paired, ARM_POPULAR));
    put_number(json, "random", paired_arm(paired, ARM_RANDOM));
    put_number(json, "oracle", paired_arm(paired, ARM_ORACLE));
    put_number(json, "minus_popular", paired_minus(paired, ARM_POPULAR));
    put_number(json, "minus_popular_se", paired_error(paired, ARM_POPULAR));
    put_number(json, "minus_random", paired_minus(paired, ARM_RANDOM));
    put_number(json, "minus_random_se", paired_error(paired, ARM_RANDOM));
    put_number(json, "oracle_gap_share", paired_gap_share(paired));
}

static void put_total(struct json_writer *json, const struct loop_report *report) {
    const struct loop_progress *last = &report->last;
    put_number(json, "page_p50_ms", last->page_p50_ms);
    put_number(json, "page_p99_ms", last->page_p99_ms);
    put_number(json, "events_per_second", (double)last->events / last->seconds);
    put_number(json, "pages_per_second", (double)last->pages / last->seconds);
    put_number(json, "seconds", last->seconds);
    put_number(json, "server_resident_bytes", last->resident_bytes);
    json_key(json, "short_pages");
    json_i64(json, report->short_pages);
    json_key(json, "checks");
    json_i64(json, report->checks);
    json_key(json, "checks_unreached");
    json_i64(json, report->unreached);
    json_key(json, "violations");
    json_i64(json, loop_violations(report));
}

/* One line; `report` for the totals, else a window that starts at `start_ms`. */
static leat_status print_json_line(const struct paired *paired, const struct loop_report *report,
                                   int64_t start_ms, leat_error *err) {
    struct bytes out;
    struct json_writer json;
    bytes_init(&out);
    json_begin(&json, &out);
    json_object_open(&json);
    json_key(&json, "name");
    json_cstring(&json, report ? "simulate" : "simulate_window");
    if (!report) {
        json_key(&json, "start");
        json_i64(&json, start_ms);
    }
    put_paired(&json, paired);
    if (report) {
        put_total(&json, report);
    }
    json_object_close(&json);
    leat_status status = bytes_status(&out, err);
    if (status == LEAT_OK) {
        printf("%.*s\n", (int)out.size, (const char *)out.data);
    }
    bytes_deinit(&out);
    return status;
}

static leat_status print_json(const struct loop_options *options, const struct loop_report *report,
                              leat_error *err) {
    for (int i = 0; i < options->windows; i++) {
        TRY(print_json_line(&report->windows[i], NULL, report->window_start_ms[i], err));
    }
    return print_json_line(&report->total, report, 0, err);
}

static void print_row(const char *when, const struct paired *paired) {
    printf("%-16s  %7" PRId64 "  %6.3f  %7.3f  %6.3f  %6.3f   %+.3f +- %.3f   %+.3f +- %.3f   "
           "%5.1f %%\n",
           when, paired->pages, paired_served(paired), paired_arm(paired, ARM_POPULAR),
           paired_arm(paired, ARM_RANDOM), paired_arm(paired, ARM_ORACLE),
           paired_minus(paired, ARM_POPULAR), paired_error(paired, ARM_POPULAR),
           paired_minus(paired, ARM_RANDOM), paired_error(paired, ARM_RANDOM),
           100 * paired_gap_share(paired));
}

static void print_table(const struct loop_options *options, const struct loop_report *report) {
    printf("Clicks per page of %d, over simulated time. The other arms would have shown the same "
           "person,\nat the same moment, out of the same unseen items; +- is one standard error, "
           "paired by page.\n\n",
           options->page_items);
    printf("%-16s  %7s  %6s  %7s  %6s  %6s   %-16s  %-16s  %s\n", "from", "pages", "leat",
           "popular", "random", "oracle", "leat - popular", "leat - random", "of the gap");
    for (int i = 0; i < options->windows; i++) {
        char when[32];
        text_from_time_ms(report->window_start_ms[i], when);
        when[16] = '\0';
        if (report->windows[i].pages > 0) {
            print_row(when, &report->windows[i]);
        }
    }
    print_row("all", &report->total);
    const struct loop_progress *last = &report->last;
    printf("\n(of the gap: how far from most-popular to an oracle that knows every taste)\n"
           "%" PRId64 " pages and %" PRId64 " events in %.1f s; page p50 %.2f ms, p99 %.2f ms; "
           "server %.0f MB\n",
           last->pages, last->events, last->seconds, last->page_p50_ms, last->page_p99_ms,
           last->resident_bytes / 1e6);
    printf("%" PRId64 " pages asked again at once with after=; %" PRId64
           " of them before the server got there; %" PRId64 " violations\n",
           report->checks, report->unreached, loop_violations(report));
}

/* What a reader must know before trusting the figures. */
static void print_notes(const struct loop_options *options, const struct loop_report *report) {
    if (report->total.pages < options->requests) {
        fprintf(stderr,
                "leat simulate: STOPPED EARLY, %" PRId64 " s were up: %" PRId64 " of %" PRId64
                " pages were asked for\n",
                options->seconds_max, report->total.pages, options->requests);
    }
    if (report->clamped > 0) {
        fprintf(stderr,
                "leat simulate: the server moved the time of %.0f events; start it with "
                "`clock: event` on an empty data folder\n",
                report->clamped);
    }
    if (report->short_pages > 0) {
        fprintf(stderr, "leat simulate: %" PRId64 " pages had fewer items than were asked for\n",
                report->short_pages);
    }
    const struct loop_faults *faults = &report->faults;
    if (loop_violations(report) > 0) {
        fprintf(stderr,
                "leat simulate: VIOLATIONS: %" PRId64 " items clicked or hidden came back, %" PRId64
                " were expired, %" PRId64 " stood on a page twice\n",
                faults->returned, faults->expired, faults->twice);
    }
}

/* --- options --- */

static leat_status read_integer(const char *name, const char *text, int64_t high, int *out,
                                leat_error *err) {
    int64_t value = *out;
    TRY(options_integer(name, text, 1, high, &value, err));
    *out = (int)value;
    return LEAT_OK;
}

static leat_status read_options(const struct simulate_texts *texts, struct loop_options *out,
                                leat_error *err) {
    struct audience_options *audience = &out->audience;
    int64_t seed = 1;
    int64_t hours = 24;
    *out = (struct loop_options){.server = texts->server ? texts->server : "http://127.0.0.1:8090",
                                 .audience = {.people = 2000, .items = 2000, .start_ms = START_MS},
                                 .requests = 100000,
                                 .threads = 2,
                                 .page_items = PAGE_ITEMS,
                                 .windows = WINDOWS,
                                 .strict_share = 0.05};
    TRY(options_integer("requests", texts->requests, 1, AUDIENCE_VISITS_MAX, &out->requests, err));
    TRY(options_integer("seed", texts->seed, 0, INT64_MAX, &seed, err));
    TRY(options_integer("seconds", texts->seconds, 0, INT32_MAX, &out->seconds_max, err));
    TRY(options_integer("hours", texts->hours, 1, AUDIENCE_SPAN_MAX_MS / HOUR_MS, &hours, err));
    TRY(read_integer("people", texts->people, AUDIENCE_PEOPLE_MAX, &audience->people, err));
    TRY(read_integer("items", texts->items, AUDIENCE_ITEMS_MAX, &audience->items, err));
    TRY(read_integer("threads", texts->threads, LOOP_THREADS_MAX, &out->threads, err));
    audience->seed = (uint64_t)seed;
    audience->span_ms = hours * HOUR_MS;
    if (texts->strict_after && (!text_to_f64(slice_of(texts->strict_after), &out->strict_share) ||
                                !(out->strict_share >= 0 && out->strict_share <= 1))) {
        return error_set(err, LEAT_INVALID, "--strict-after: '%s' is not a number from 0 to 1",
                         texts->strict_after);
    }
    return LEAT_OK;
}

static leat_status simulate(const struct simulate_texts *texts, struct loop_report *report,
                            leat_error *err) {
    struct loop_options options;
    struct progress progress;
    TRY(read_options(texts, &options, err));
    progress_begin(&progress);
    options.progress = show_progress;
    options.progress_context = &progress;
    signal(SIGPIPE, SIG_IGN);
    leat_status status = loop_run(&options, report, err);
    progress_end(&progress);
    TRY(status);
    if (texts->json) {
        TRY(print_json(&options, report, err));
    } else {
        print_table(&options, report);
    }
    fflush(stdout);
    print_notes(&options, report);
    return LEAT_OK;
}

int command_simulate(int argc, char **argv) {
    struct simulate_texts texts = {0};
    const struct option options[] = {
        {"server", 's', "URL", "The server (http://127.0.0.1:8090).", &texts.server, NULL},
        {"requests", 'n', "N", "Pages asked for (100000).", &texts.requests, NULL},
        {"people", 0, "N", "People (2000).", &texts.people, NULL},
        {"items", 0, "N", "Items live at any time (2000).", &texts.items, NULL},
        {"hours", 0, "N", "Simulated time that the pages are spread over (24).", &texts.hours,
         NULL},
        {"seed", 0, "S", "The same seed, the same audience (1).", &texts.seed, NULL},
        {"threads", 0, "T", "Client threads (2).", &texts.threads, NULL},
        {"seconds", 0, "N", "Wall clock after which it stops early, and says so (0: never).",
         &texts.seconds, NULL},
        {"strict-after", 0, "SHARE",
         "Of the pages with a click or a hide, asked again at once with after= (0.05).",
         &texts.strict_after, NULL},
        {"json", 0, NULL, "One JSON line for each window, and one for the total.", NULL,
         &texts.json},
    };
    const struct usage usage = {
        "leat simulate [--server URL] [--requests N] [--people N] [--items N] [--json] ...",
        "A simulated audience with hidden tastes uses a server in a closed loop: pages in, clicks\n"
        "and hides out. Reports clicks per page beside random, most-popular and an oracle. The\n"
        "server runs with `clock: event`, the actions click and hide, the surface for_you, and an\n"
        "empty data folder. Exit code 1 if an item that was clicked or hidden came back.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 0, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    struct loop_report report;
    if (simulate(&texts, &report, &err) < 0) {
        return command_fail(argv[0], &err);
    }
    return loop_violations(&report) > 0 ? COMMAND_FAILED : COMMAND_FINE;
}
