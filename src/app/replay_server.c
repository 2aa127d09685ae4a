#include "app/replay_server.h"

#include "app/globo_stream.h"
#include "app/progress.h"
#include "app/quality.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "world/client.h"

#include <inttypes.h>

enum {
    BATCH_CLICKS = 128, /* so that the server applies some while the next are written */
    CATCH_UP_TRIES = 100,
    PATH_BYTES = 512,
    PAGE_ITEMS_ASKED_MAX = 200,
    DAYS_MAX = 32,
    READY_TIMEOUT_MS = 120000,
};
#define DAY_MS INT64_C(86400000)

/* One row of the table: the questions of a day, or all of them. */
struct day {
    struct quality_ranks leat, popular, cooccurrence;
    struct quality_pair minus_popular, minus_cooccurrence;
};

struct server_run {
    const struct replay_server_options *options;
    struct globo_stream stream;
    struct baseline *baseline;
    struct client *client;
    struct progress progress;
    struct bytes events; /* clicks not yet posted, NDJSON */
    int waiting;         /* how many */
    char told_position[CLIENT_POSITION_MAX];
    size_t told;
    uint64_t behind; /* pages answered before the server had come to the newest click */
    double resident_bytes;
    uint64_t begun_ns, shown_ns;
    struct histogram page_ns;
    struct day days[DAYS_MAX];
    struct day all;
};

static double seconds_of(const struct server_run *run) {
    return (double)(clock_monotonic_ns() - run->begun_ns) * 1e-9;
}

/* --- clicks out --- */

static leat_status post_clicks(struct server_run *run, leat_error *err) {
    if (run->waiting == 0) {
        return LEAT_OK;
    }
    TRY(bytes_status(&run->events, err));
    struct slice text = {(const char *)run->events.data, run->events.size};
    TRY(client_post_events(run->client, text, run->told_position, NULL, err));
    run->told += (size_t)run->waiting;
    run->waiting = 0;
    bytes_clear(&run->events);
    return LEAT_OK;
}

static leat_status tell_click(struct server_run *run, const struct globo_click *click,
                              leat_error *err) {
    bytes_printf(&run->events,
                 "{\"kind\":\"click\",\"user\":\"%u\",\"item\":\"%u\",\"session\":\"%" PRIu64
                 "\",\"time\":%" PRId64 ",\"surface\":\"for_you\",\"context\":{",
                 click->user, click->item, click->session, click->time_ms);
    for (int i = 0; i < GLOBO_CONTEXTS; i++) {
        bytes_printf(&run->events, "%s\"%s\":\"%u\"", i > 0 ? "," : "",
                     globo_context_name((enum globo_context)i), click->context[i]);
    }
    bytes_printf(&run->events, "}}\n");
    run->waiting++;
    return run->waiting == BATCH_CLICKS ? post_clicks(run, err) : LEAT_OK;
}

/* --- pages in --- */

static bool is_own(struct session_items session, int64_t item) {
    for (int i = 0; i < session.count; i++) {
        if (session.items[i] == item) {
            return true;
        }
    }
    return false;
}

/* The true item's place among those that are not the session's own; 0: not among the first. */
static leat_status rank_on_page(struct json_value answer, struct session_items session,
                                uint32_t item, int *out, leat_error *err) {
    struct json_value items;
    struct json_value entry;
    if (!json_find(answer, "items", &items) || json_kind_of(items) != JSON_ARRAY) {
        return error_set(err, LEAT_CORRUPT, "answer of /v1/feed: it lacks \"items\"");
    }
    struct json_iterator it = json_iterate(items);
    int place = 0;
    *out = 0;
    while (json_next(&it, NULL, &entry) && place < QUALITY_PAGE) {
        struct json_value id;
        struct slice text;
        int64_t shown;
        if (!json_find(entry, "item", &id) || !json_to_text(id, &text) ||
            !text_to_i64(text, &shown)) {
            return error_set(err, LEAT_INVALID,
                             "a page shows an item that is no article of the data set; start the "
                             "server on an empty data folder");
        }
        place += !is_own(session, shown);
        if (shown == item && !is_own(session, shown)) {
            *out = place;
        }
    }
    return LEAT_OK;
}

/* Tells all clicks before this one, and waits until they count: the server waits, at most 100 ms a
 * request, on a page that is thrown away. */
static leat_status catch_up(struct server_run *run, const struct globo_click *click,
                            leat_error *err) {
    TRY(post_clicks(run, err));
    char path[PATH_BYTES];
    int size = snprintf(path, sizeof(path),
                        "/v1/feed?user=%u&surface=for_you&n=1&now=%" PRId64 "&preview=1&after=%s",
                        click->user, click->time_ms, run->told_position);
    INVARIANT(size < PATH_BYTES, "path of %d bytes", size);
    bool reached = run->told == 0;
    for (int i = 0; i < CATCH_UP_TRIES && !reached; i++) {
        struct json_value answer;
        struct json_value value;
        TRY(client_get_json(run->client, path, &answer, err));
        if (!json_find(answer, "reached", &value) || !json_to_bool(value, &reached)) {
            return error_set(err, LEAT_CORRUPT, "answer of /v1/feed: it lacks \"reached\"");
        }
    }
    run->behind += !reached;
    return LEAT_OK;
}

static leat_status ask_page(struct server_run *run, const struct globo_click *click,
                            struct session_items session, int *rank, leat_error *err) {
    TRY(catch_up(run, click, err));
    int count = QUALITY_PAGE + session.count;
    char path[PATH_BYTES];
    int size = snprintf(path, sizeof(path), "/v1/feed?user=%u&surface=for_you&n=%d&now=%" PRId64,
                        click->user, count < PAGE_ITEMS_ASKED_MAX ? count : PAGE_ITEMS_ASKED_MAX,
                        click->time_ms);
    INVARIANT(size < PATH_BYTES, "path of %d bytes", size);
    struct json_value answer;
    uint64_t begun_ns = clock_monotonic_ns();
    TRY(client_get_json(run->client, path, &answer, err));
    histogram_record(&run->page_ns, clock_monotonic_ns() - begun_ns);
    return rank_on_page(answer, session, click->item, rank, err);
}

static void day_add(struct day *day, int rank, struct baseline_ranks ranks) {
    quality_add(&day->leat, rank);
    quality_add(&day->popular, ranks.popular);
    quality_add(&day->cooccurrence, ranks.cooccurrence);
    quality_pair_add(&day->minus_popular, rank, ranks.popular);
    quality_pair_add(&day->minus_cooccurrence, rank, ranks.cooccurrence);
}

static leat_status evaluate(struct server_run *run, const struct globo_click *click,
                            struct session_items session, leat_error *err) {
    uint64_t draw = hash_mix(click->session, (uint64_t)session.count);
    if (session.count == 0 || hash_unit(draw) >= run->options->sample) {
        return LEAT_OK;
    }
    int rank;
    TRY(ask_page(run, click, session, &rank, err));
    struct baseline_ranks ranks =
        baseline_rank(run->baseline, click->time_ms, session, click->item);
    int64_t day = (click->time_ms - run->stream.clicks.clicks[0].time_ms) / DAY_MS;
    day_add(&run->days[day < DAYS_MAX ? day : DAYS_MAX - 1], rank, ranks);
    day_add(&run->all, rank, ranks);
    return LEAT_OK;
}

/* --- the stream --- */

static void show_progress(struct server_run *run) {
    struct slice metrics;
    run->shown_ns = clock_monotonic_ns();
    if (client_get(run->client, "/metrics", &metrics, NULL) >= 0) {
        client_metric(metrics, "leat_resident_bytes", &run->resident_bytes);
    }
    progress_line(&run->progress, seconds_of(run),
                  "%.1f %% of the clicks  events/s %.0f  HR@10 %.3f (popular %.3f, co-occurrence "
                  "%.3f)  page p50 %.2f ms p99 %.2f ms  server %.0f MB",
                  100.0 * (double)run->told / (double)run->stream.clicks.count,
                  (double)run->told / seconds_of(run), quality_hr(&run->all.leat),
                  quality_hr(&run->all.popular), quality_hr(&run->all.cooccurrence),
                  (double)histogram_quantile(&run->page_ns, 0.5) * 1e-6,
                  (double)histogram_quantile(&run->page_ns, 0.99) * 1e-6,
                  run->resident_bytes * 1e-6);
}

/* True when the time is up; shows a line a second on the way. */
static bool look_up(struct server_run *run) {
    if (clock_monotonic_ns() - run->shown_ns >= 1000000000) {
        show_progress(run);
    }
    int64_t most = run->options->seconds_max;
    return most > 0 && seconds_of(run) >= (double)most;
}

static leat_status play(struct server_run *run, leat_error *err) {
    run->begun_ns = clock_monotonic_ns();
    run->shown_ns = run->begun_ns;
    for (size_t i = 0; i < run->stream.clicks.count; i++) {
        const struct globo_click *click = &run->stream.clicks.clicks[i];
        struct session_items session = globo_stream_session(&run->stream, i);
        TRY(evaluate(run, click, session, err));
        TRY(tell_click(run, click, err));
        TRY(baseline_tell(run->baseline, click->time_ms, session, click->item, err));
        if (i % 64 == 0 && look_up(run)) {
            break;
        }
    }
    TRY(post_clicks(run, err));
    show_progress(run);
    progress_end(&run->progress);
    return LEAT_OK;
}

/* --- results --- */

static void put_ranks(struct json_writer *json, const char *name, const struct quality_ranks *r) {
    char key[64];
    snprintf(key, sizeof(key), "%s_hr10", name);
    json_key(json, key);
    json_f64(json, quality_hr(r));
    snprintf(key, sizeof(key), "%s_mrr10", name);
    json_key(json, key);
    json_f64(json, quality_mrr(r));
}

static void write_day(struct json_writer *json, const char *name, int64_t start_ms,
                      const struct day *day) {
    json_object_open(json);
    json_key(json, "name");
    json_cstring(json, name);
    json_key(json, "start");
    json_i64(json, start_ms);
    json_key(json, "n");
    json_u64(json, day->leat.count);
    put_ranks(json, "leat", &day->leat);
    put_ranks(json, "popular", &day->popular);
    put_ranks(json, "cooccurrence", &day->cooccurrence);
    json_object_close(json);
}

static leat_status print_json(const struct server_run *run, leat_error *err) {
    struct bytes text;
    struct json_writer json;
    int64_t start_ms = run->stream.clicks.clicks[0].time_ms;
    bytes_init(&text);
    for (int day = 0; day < DAYS_MAX; day++) {
        if (run->days[day].leat.count > 0) {
            json_begin(&json, &text);
            write_day(&json, "replay_day", start_ms + day * DAY_MS, &run->days[day]);
            bytes_put_u8(&text, '\n');
        }
    }
    json_begin(&json, &text);
    write_day(&json, "replay_server", start_ms, &run->all);
    leat_status status = bytes_status(&text, err);
    if (status == LEAT_OK) {
        printf("%.*s\n", (int)text.size, (const char *)text.data);
    }
    bytes_deinit(&text);
    return status;
}

static void print_row(const char *when, const struct day *day) {
    printf("%-16s %6" PRIu64 "   %.3f / %.3f   %.3f / %.3f   %.3f / %.3f\n", when, day->leat.count,
           quality_hr(&day->leat), quality_mrr(&day->leat), quality_hr(&day->popular),
           quality_mrr(&day->popular), quality_hr(&day->cooccurrence),
           quality_mrr(&day->cooccurrence));
}

static void print_table(const struct server_run *run) {
    printf("HR@10 / MRR@10 of the next article, by day, on the clicks before which a page was "
           "asked for:\n\n%-16s %6s   %-13s   %-13s   %s\n",
           "from", "pages", "leat", "popular-1h", "co-occurrence");
    for (int day = 0; day < DAYS_MAX; day++) {
        char when[32];
        text_from_time_ms(run->stream.clicks.clicks[0].time_ms + day * DAY_MS, when);
        when[16] = '\0';
        if (run->days[day].leat.count > 0) {
            print_row(when, &run->days[day]);
        }
    }
    print_row("all", &run->all);
    const struct quality_pair *popular = &run->all.minus_popular;
    const struct quality_pair *pairs = &run->all.minus_cooccurrence;
    printf("\nleat - popular-1h     HR %+.4f +- %.4f   MRR %+.4f +- %.4f\n"
           "leat - co-occurrence  HR %+.4f +- %.4f   MRR %+.4f +- %.4f\n",
           popular->hr.mean, quality_mean_error(&popular->hr), popular->mrr.mean,
           quality_mean_error(&popular->mrr), pairs->hr.mean, quality_mean_error(&pairs->hr),
           pairs->mrr.mean, quality_mean_error(&pairs->mrr));
}

static void print_told(const struct server_run *run) {
    size_t count = run->stream.clicks.count;
    char end[32] = "their beginning";
    if (run->told > 0) {
        text_from_time_ms(run->stream.clicks.clicks[run->told - 1].time_ms, end);
    }
    printf("%s: %zu of %zu clicks told (%.1f %%, up to %s), %" PRIu64 " rows refused; %.0f clicks "
           "a second\npage p50 %.2f ms, p99 %.2f ms; %" PRIu64
           " pages answered before the newest click counted; server %.0f MB\n",
           run->told < count ? "STOPPED EARLY, time was up" : "The whole stream", run->told, count,
           100.0 * (double)run->told / (double)count, end, run->stream.refused,
           (double)run->told / seconds_of(run),
           (double)histogram_quantile(&run->page_ns, 0.5) * 1e-6,
           (double)histogram_quantile(&run->page_ns, 0.99) * 1e-6, run->behind,
           run->resident_bytes * 1e-6);
}

/* --- all of it --- */

static leat_status run_through(struct server_run *run, leat_error *err) {
    TRY(client_create(run->options->server, &run->client, err));
    TRY(baseline_create(&run->baseline, err));
    fprintf(stderr, "reading the clicks in %s\n", run->options->folder);
    TRY(globo_stream_read(&run->stream, run->options->folder, run->options->strict, err));
    TRY(client_wait_ready(run->client, READY_TIMEOUT_MS, err));
    progress_begin(&run->progress);
    TRY(play(run, err));
    if (run->options->json) {
        return print_json(run, err);
    }
    print_table(run);
    print_told(run);
    return LEAT_OK;
}

leat_status replay_through_server(const struct replay_server_options *options, leat_error *err) {
    struct server_run *run = memory_zalloc(sizeof(*run));
    if (!run) {
        return error_memory(err, sizeof(*run));
    }
    run->options = options;
    bytes_init(&run->events);
    histogram_init(&run->page_ns);
    leat_status status = run_through(run, err);
    progress_end(&run->progress);
    client_destroy(run->client);
    baseline_destroy(run->baseline);
    globo_stream_free(&run->stream);
    bytes_deinit(&run->events);
    memory_free(run);
    return status;
}
