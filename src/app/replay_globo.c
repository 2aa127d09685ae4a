/* `leat replay --format globo`: next-article prediction on a stream of news clicks, beside the two
 * built-in baselines on the same clicks. */
#include "app/click_rows.h"
#include "app/globo_stream.h"
#include "app/page_file.h"
#include "app/quality.h"
#include "app/replay.h"
#include "base/hash.h"
#include "base/histogram.h"
#include "base/json.h"
#include "base/memory.h"

#include <inttypes.h>

#define FEATURES                                                                                   \
    "[item, last, second, region, device, referrer, item*last, item*region, item*referrer]"

static const char built_in[] =
    "actions: {click: {window: 10m, weight: 1, filter: session}}\n"
    "surfaces: {for_you: {examples: clicks, show: 10,\n"
    "  channels: {similar: 200, trending: 150, fresh: 20, explore: 0}}}\n"
    "model: {rate: 0.1, rate_dense: 0.1, features: " FEATURES "}\n";

enum {
    ARENA_BLOCK_BYTES = 1 << 20,
    ARENA_BYTES_MAX = 1 << 28,
    TEXT_MAX = 24, /* of an id or a quoted context value */
};
/* Where --evaluate names none: the last two days, but for the stragglers. A set that was cut by the
 * start of its sessions ends in a few clicks that came days later. */
#define WINDOW_MS (INT64_C(48) * 3600000)
enum { STRAGGLERS = 1000 }; /* one click in so many */

struct globo_run {
    const struct replay_options *options;
    struct globo_stream stream;
    int64_t from_ms, to_ms;
    struct replay replay;
    struct baseline *baseline;
    struct arena arena;
    struct page_file pages;
    struct histogram page_ns;
    struct quality_ranks leat, popular, cooccurrence;
    struct quality_pair minus_popular, minus_cooccurrence;
};

/* --- one click --- */

static struct slice number_text(char out[TEXT_MAX], uint64_t number) {
    int size = snprintf(out, TEXT_MAX, "%" PRIu64, number);
    return (struct slice){out, (size_t)size};
}

static leat_status tell_click(struct globo_run *run, const struct globo_click *click,
                              leat_error *err) {
    struct click_texts texts;
    struct posted_event event = click_event(click, &texts);
    return replay_tell(&run->replay, &event, err);
}

static bool is_own(struct session_items session, struct slice item) {
    char text[TEXT_MAX];
    for (int i = 0; i < session.count; i++) {
        if (slice_equal(number_text(text, session.items[i]), item)) {
            return true;
        }
    }
    return false;
}

/* The first QUALITY_PAGE items that are not the session's own; gives the true one's rank. */
static int cut_page(const struct page *page, struct session_items session, struct page_line *line) {
    int rank = 0;
    line->count = 0;
    for (int i = 0; i < page->count && line->count < QUALITY_PAGE; i++) {
        struct slice item = page->items[i].item;
        if (is_own(session, item)) {
            continue;
        }
        line->page[line->count++] = item;
        rank = slice_equal(item, line->item) ? line->count : rank;
    }
    return rank;
}

/* Asks for the page that the person would have seen just before this click. */
static leat_status ask_page(struct globo_run *run, const struct globo_click *click,
                            struct session_items session, int *rank, leat_error *err) {
    char user[TEXT_MAX];
    char item[TEXT_MAX];
    int count = QUALITY_PAGE + session.count;
    struct feed_query query = {
        .user = number_text(user, click->user),
        .surface = run->replay.surface,
        .count = count < PAGE_ITEMS_MAX ? count : PAGE_ITEMS_MAX,
        .has_now = true,
        .now_ms = click->time_ms,
        .preview = true,
    };
    struct page page;
    TRY(replay_flush(&run->replay, err));
    arena_reset(&run->arena);
    uint64_t begun_ns = clock_monotonic_ns();
    TRY(engine_feed(run->replay.engine, &query, &run->arena, &page, err));
    histogram_record(&run->page_ns, clock_monotonic_ns() - begun_ns);
    struct page_line line = {
        .session = click->session,
        .position = session.count,
        .time_ms = click->time_ms,
        .item = number_text(item, click->item),
    };
    *rank = cut_page(&page, session, &line);
    return page_file_add(&run->pages, &line, err);
}

static leat_status evaluate(struct globo_run *run, const struct globo_click *click,
                            struct session_items session, leat_error *err) {
    struct baseline_ranks ranks =
        baseline_rank(run->baseline, click->time_ms, session, click->item);
    quality_add(&run->popular, ranks.popular);
    quality_add(&run->cooccurrence, ranks.cooccurrence);
    if (hash_unit(hash_mix(click->session, (uint64_t)session.count)) >= run->options->sample) {
        return LEAT_OK;
    }
    int rank;
    TRY(ask_page(run, click, session, &rank, err));
    quality_add(&run->leat, rank);
    quality_pair_add(&run->minus_popular, rank, ranks.popular);
    quality_pair_add(&run->minus_cooccurrence, rank, ranks.cooccurrence);
    return LEAT_OK;
}

/* --- the stream --- */

static double page_ms(const struct globo_run *run, double quantile) {
    return (double)histogram_quantile(&run->page_ns, quantile) * 1e-6;
}

static void show_progress(struct globo_run *run) {
    double seconds = replay_seconds(&run->replay);
    progress_line(&run->replay.progress, seconds,
                  "%" PRIu64 " of %zu clicks, %.0f/s, HR@10 %.4f of %" PRIu64
                  ", page p50 %.2f p99 %.2f ms, %.0f MB",
                  run->replay.told, run->stream.clicks.count, (double)run->replay.told / seconds,
                  quality_hr(&run->leat), run->leat.count, page_ms(run, 0.5), page_ms(run, 0.99),
                  (double)memory_resident() * 1e-6);
}

static leat_status play(struct globo_run *run, leat_error *err) {
    for (size_t i = 0; i < run->stream.clicks.count; i++) {
        const struct globo_click *click = &run->stream.clicks.clicks[i];
        struct session_items session = globo_stream_session(&run->stream, i);
        if (session.count > 0 && click->time_ms >= run->from_ms && click->time_ms < run->to_ms) {
            TRY(evaluate(run, click, session, err));
        }
        TRY(tell_click(run, click, err));
        TRY(baseline_tell(run->baseline, click->time_ms, session, click->item, err));
        if (i % 64 == 0 && replay_progress_due(&run->replay)) {
            show_progress(run);
        }
    }
    TRY(replay_flush(&run->replay, err));
    progress_end(&run->replay.progress);
    return page_file_flush(&run->pages, err);
}

/* --- results --- */

struct result_line {
    const char *name;
    const struct quality_ranks *ranks; /* or */
    const struct quality_pair *pair;
};

static void number_member(struct json_writer *json, const char *key, double value) {
    json_key(json, key);
    json_f64(json, value);
}

static void write_result(struct json_writer *json, const struct result_line *line) {
    json_object_open(json);
    json_key(json, "name");
    json_cstring(json, line->name);
    if (line->ranks) {
        number_member(json, "hr10", quality_hr(line->ranks));
        number_member(json, "mrr10", quality_mrr(line->ranks));
    } else {
        number_member(json, "hr10_difference", line->pair->hr.mean);
        number_member(json, "hr10_se", quality_mean_error(&line->pair->hr));
        number_member(json, "mrr10_difference", line->pair->mrr.mean);
        number_member(json, "mrr10_se", quality_mean_error(&line->pair->mrr));
    }
    json_key(json, "n");
    json_u64(json, line->ranks ? line->ranks->count : line->pair->hr.count);
    json_object_close(json);
}

static void write_run(struct json_writer *json, const struct globo_run *run) {
    double seconds = replay_seconds(&run->replay);
    json_object_open(json);
    json_key(json, "name");
    json_cstring(json, "replay");
    json_key(json, "clicks");
    json_u64(json, run->stream.clicks.count);
    json_key(json, "refused");
    json_u64(json, run->stream.refused);
    number_member(json, "clicks_per_s", (double)run->stream.clicks.count / seconds);
    number_member(json, "p50_ms", page_ms(run, 0.5));
    number_member(json, "p99_ms", page_ms(run, 0.99));
    json_key(json, "resident_bytes");
    json_u64(json, memory_resident());
    json_object_close(json);
}

static leat_status print_json(const struct globo_run *run, const struct result_line *lines,
                              int count, leat_error *err) {
    struct bytes text;
    struct json_writer json;
    bytes_init(&text);
    for (int i = 0; i < count; i++) {
        json_begin(&json, &text);
        write_result(&json, &lines[i]);
        bytes_put_u8(&text, '\n');
    }
    json_begin(&json, &text);
    write_run(&json, run);
    leat_status status = bytes_status(&text, err);
    if (status == LEAT_OK) {
        printf("%.*s\n", (int)text.size, (const char *)text.data);
    }
    bytes_deinit(&text);
    return status;
}

static void print_table(const struct globo_run *run, const struct result_line *lines, int count) {
    printf("%-20s %18s %18s %9s\n", "", "HR@10", "MRR@10", "clicks");
    for (int i = 0; i < count; i++) {
        const struct quality_ranks *ranks = lines[i].ranks;
        const struct quality_pair *pair = lines[i].pair;
        if (ranks) {
            printf("%-20s %18.4f %18.4f %9" PRIu64 "\n", lines[i].name, quality_hr(ranks),
                   quality_mrr(ranks), ranks->count);
        } else {
            printf("%-20s %+9.4f +- %.4f %+9.4f +- %.4f %9" PRIu64 "\n", lines[i].name,
                   pair->hr.mean, quality_mean_error(&pair->hr), pair->mrr.mean,
                   quality_mean_error(&pair->mrr), pair->hr.count);
        }
    }
    printf("%zu clicks told, %" PRIu64 " rows refused; page p50 %.2f ms, p99 %.2f ms\n",
           run->stream.clicks.count, run->stream.refused, page_ms(run, 0.5), page_ms(run, 0.99));
}

static leat_status print_results(const struct globo_run *run, leat_error *err) {
    const struct result_line lines[] = {
        {"leat", &run->leat, NULL},
        {"popular-1h", &run->popular, NULL},
        {"co-occurrence", &run->cooccurrence, NULL},
        {"leat-popular-1h", NULL, &run->minus_popular},
        {"leat-co-occurrence", NULL, &run->minus_cooccurrence},
    };
    int count = sizeof(lines) / sizeof(lines[0]);
    if (run->options->json) {
        return print_json(run, lines, count, err);
    }
    print_table(run, lines, count);
    return LEAT_OK;
}

/* --- all of it --- */

static leat_status read_clicks(struct globo_run *run, leat_error *err) {
    TRY(globo_stream_read(&run->stream, run->options->folder, run->options->strict, err));
    const struct globo_clicks *clicks = &run->stream.clicks;
    run->from_ms = run->options->from_ms;
    run->to_ms = run->options->to_ms;
    if (!run->options->has_window) {
        size_t last = clicks->count - 1 - clicks->count / STRAGGLERS;
        run->to_ms = clicks->clicks[last].time_ms + 1;
        run->from_ms = run->to_ms - WINDOW_MS;
    }
    return LEAT_OK;
}

leat_status replay_globo(const struct replay_options *options, leat_error *err) {
    struct globo_run *run = memory_zalloc(sizeof(*run));
    if (!run) {
        return error_memory(err, sizeof(*run));
    }
    run->options = options;
    arena_init(&run->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    histogram_init(&run->page_ns);
    leat_status status;
    TRY_OR(status, page_file_open(&run->pages, options->out, err), out);
    TRY_OR(status, read_clicks(run, err), out);
    TRY_OR(status, baseline_create(&run->baseline, err), out);
    TRY_OR(status, replay_open(options, built_in, "click", &run->replay, err), out);
    TRY_OR(status, play(run, err), out);
    status = print_results(run, err);
out:
    status = replay_close(&run->replay, status, err);
    baseline_destroy(run->baseline);
    page_file_close(&run->pages);
    arena_deinit(&run->arena);
    globo_stream_free(&run->stream);
    memory_free(run);
    return status;
}
