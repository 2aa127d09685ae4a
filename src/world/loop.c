#include "world/loop.h"

#include "base/clock.h"
#include "base/memory.h"
#include "world/player.h"

#include <math.h>

enum { ITEMS_PER_POST = 500, READY_TIMEOUT_MS = 120000, APPLIED_TIMEOUT_MS = 60000 };

struct loop {
    struct stage stage;
    struct audience *audience;
    struct arms *arms;
    struct visit *visits;
    struct client *client;
    struct player *players[LOOP_THREADS_MAX];
    uint64_t start_ns;
};

static leat_status check_options(const struct loop_options *options, leat_error *err) {
    if (options->threads < 1 || options->threads > LOOP_THREADS_MAX) {
        return error_set(err, LEAT_INVALID, "threads: %d is out of range; it is 1 to %d",
                         options->threads, LOOP_THREADS_MAX);
    }
    if (options->page_items < 1 || options->page_items > LOOP_PAGE_MAX) {
        return error_set(err, LEAT_INVALID, "items on a page: %d is out of range; it is 1 to %d",
                         options->page_items, LOOP_PAGE_MAX);
    }
    if (options->windows < 1 || options->windows > LOOP_WINDOWS_MAX) {
        return error_set(err, LEAT_INVALID, "windows: %d is out of range; it is 1 to %d",
                         options->windows, LOOP_WINDOWS_MAX);
    }
    if (!(options->strict_share >= 0 && options->strict_share <= 1)) {
        return error_set(err, LEAT_INVALID, "strict share: %g is out of range; it is 0 to 1",
                         options->strict_share);
    }
    return LEAT_OK;
}

/* The items that are there at the start. */
static leat_status post_items(struct loop *loop, leat_error *err) {
    const struct audience *audience = loop->audience;
    int first;
    int end;
    audience_live(audience, audience->options.start_ms, &first, &end);
    struct bytes text;
    bytes_init(&text);
    leat_status status = LEAT_OK;
    for (int item = first; item < end && status >= 0; item++) {
        player_write_item(audience, item, audience->options.start_ms, &text);
        if (item + 1 < end && (item + 1 - first) % ITEMS_PER_POST != 0) {
            continue;
        }
        int64_t accepted = 0;
        status = bytes_status(&text, err);
        if (status >= 0) {
            struct slice body = {(const char *)text.data, text.size};
            status = client_post_events(loop->client, body, NULL, &accepted, err);
        }
        atomic_fetch_add(&loop->stage.events, accepted);
        bytes_clear(&text);
    }
    bytes_deinit(&text);
    return status;
}

static leat_status loop_prepare(struct loop *loop, const struct loop_options *options,
                                leat_error *err) {
    TRY(audience_create(&options->audience, &loop->audience, err));
    TRY(arms_create(loop->audience, &loop->arms, err));
    TRY(audience_visits(loop->audience, options->requests, &loop->visits, err));
    TRY(client_create(options->server, &loop->client, err));
    loop->stage.options = options;
    loop->stage.audience = loop->audience;
    loop->stage.arms = loop->arms;
    loop->stage.visits = loop->visits;
    histogram_init(&loop->stage.page_ns);
    for (int i = 0; i < options->threads; i++) {
        TRY(player_create(&loop->stage, i, &loop->players[i], err));
    }
    TRY(client_wait_ready(loop->client, READY_TIMEOUT_MS, err));
    TRY(post_items(loop, err));
    return client_wait_applied(loop->client, false, APPLIED_TIMEOUT_MS, err);
}

static void loop_release(struct loop *loop) {
    for (int i = 0; i < LOOP_THREADS_MAX; i++) {
        player_destroy(loop->players[i]);
    }
    client_destroy(loop->client);
    memory_free(loop->visits);
    arms_destroy(loop->arms);
    audience_destroy(loop->audience);
}

static double per_page(int64_t clicks, int64_t pages) {
    return pages > 0 ? (double)clicks / (double)pages : NAN;
}

/* A server that does not answer /metrics is the players' to report. */
static void read_progress(struct loop *loop, struct loop_progress *out) {
    struct stage *stage = &loop->stage;
    int64_t slowest_ms = pace_slowest(&stage->pace);
    int64_t end_ms = stage->options->audience.start_ms + stage->options->audience.span_ms;
    int64_t pages = atomic_load(&stage->pages);
    *out = (struct loop_progress){
        .seconds = (double)(clock_monotonic_ns() - loop->start_ns) / 1e9,
        .now_ms = slowest_ms < end_ms ? slowest_ms : end_ms,
        .pages = pages,
        .events = atomic_load(&stage->events),
        .clicks_per_page = per_page(atomic_load(&stage->clicks), pages),
        .popular_per_page = per_page(atomic_load(&stage->popular_clicks), pages),
        .page_p50_ms = (double)histogram_quantile(&stage->page_ns, 0.5) / 1e6,
        .page_p99_ms = (double)histogram_quantile(&stage->page_ns, 0.99) / 1e6,
    };
    struct slice metrics;
    if (client_get(loop->client, "/metrics", &metrics, NULL) >= 0) {
        client_metric(metrics, "leat_resident_bytes", &out->resident_bytes);
    }
}

static leat_status loop_play(struct loop *loop, leat_error *err) {
    const struct loop_options *options = loop->stage.options;
    leat_status status = LEAT_OK;
    loop->start_ns = clock_monotonic_ns();
    for (int i = 0; i < options->threads && status >= 0; i++) {
        status = player_start(loop->players[i], err);
    }
    if (status < 0) {
        pace_stop(&loop->stage.pace);
    }
    while (!pace_wait_done(&loop->stage.pace, 1000)) {
        struct loop_progress progress;
        read_progress(loop, &progress);
        if (options->progress) {
            options->progress(options->progress_context, &progress);
        }
        if (options->seconds_max > 0 && progress.seconds >= (double)options->seconds_max) {
            pace_stop(&loop->stage.pace);
        }
    }
    for (int i = 0; i < options->threads; i++) {
        leat_status played = player_join(loop->players[i], status < 0 ? NULL : err);
        status = status < 0 ? status : played;
    }
    return status;
}

static void loop_report(struct loop *loop, struct loop_report *out) {
    const struct loop_options *options = loop->stage.options;
    *out = (struct loop_report){0};
    for (int i = 0; i <= options->windows; i++) {
        out->window_start_ms[i] =
            options->audience.start_ms + i * options->audience.span_ms / options->windows;
    }
    for (int i = 0; i < options->threads; i++) {
        player_report(loop->players[i], out);
    }
    read_progress(loop, &out->last);
    struct slice metrics;
    if (client_get(loop->client, "/metrics", &metrics, NULL) >= 0) {
        client_metric(metrics, "leat_events_clamped_total", &out->clamped);
    }
}

leat_status loop_run(const struct loop_options *options, struct loop_report *out, leat_error *err) {
    TRY(check_options(options, err));
    struct loop *loop = memory_zalloc(sizeof(*loop));
    if (!loop) {
        return error_memory(err, sizeof(*loop));
    }
    pace_init(&loop->stage.pace, options->threads, options->audience.start_ms);
    leat_status status = loop_prepare(loop, options, err);
    if (status >= 0) {
        status = loop_play(loop, err);
    }
    if (status >= 0) {
        loop_report(loop, out);
    }
    loop_release(loop);
    pace_deinit(&loop->stage.pace);
    memory_free(loop);
    return status;
}
