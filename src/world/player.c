#include "world/player.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

#define GONE_WITHIN_NS UINT64_C(1000000000) /* what the server promises without after= */

enum {
    BATCH_PAGES = 8, /* whose events are posted together; of eight people */
    PATH_MAX_BYTES = 512,
    DRAW_STRICT = 0x57,
};

struct player {
    struct stage *stage;
    int number;
    struct thread thread;
    struct client *client;
    struct arms_scratch *scratch;
    struct bytes events; /* to be posted, NDJSON */
    int pending_count;
    uint32_t pending[BATCH_PAGES]; /* people with events to be posted */
    uint64_t *acknowledged_ns;     /* by person: when the last events were */
    char position[CLIENT_POSITION_MAX];
    int born; /* items posted; the first thread posts them */
    struct loop_report counted;
    leat_status status;
    leat_error error;
};

/* One page as it was answered. */
struct shown_page {
    char request[64];
    int count;
    bool reached;
    int items[LOOP_PAGE_MAX];
};

/* --- events out --- */

void player_write_item(const struct audience *audience, int item, int64_t time_ms,
                       struct bytes *out) {
    const struct audience_item *it = &audience->items[item];
    bytes_printf(out,
                 "{\"kind\":\"item\",\"item\":\"i%d\",\"time\":%lld,\"author\":\"a%d\","
                 "\"categories\":[\"c%d\"],\"created\":%lld,\"expires\":%lld}\n",
                 item, (long long)time_ms, it->author, it->category, (long long)it->created_ms,
                 (long long)it->expires_ms);
}

static void write_event(struct player *player, const char *kind, const struct visit *visit,
                        const struct shown_page *page, int item, int64_t delay_ms) {
    bytes_printf(&player->events,
                 "{\"kind\":\"%s\",\"user\":\"u%u\",\"item\":\"i%d\",\"time\":%lld,"
                 "\"request\":\"%s\",\"surface\":\"for_you\"}\n",
                 kind, visit->person, item, (long long)(visit->time_ms + delay_ms), page->request);
}

/* Posts what waits. What these people did counts as known a second from now. */
static leat_status flush_events(struct player *player, leat_error *err) {
    if (player->events.size == 0) {
        return LEAT_OK;
    }
    TRY(bytes_status(&player->events, err));
    int64_t accepted = 0;
    struct slice text = {(const char *)player->events.data, player->events.size};
    TRY(client_post_events(player->client, text, player->position, &accepted, err));
    atomic_fetch_add(&player->stage->events, accepted);
    uint64_t now = clock_monotonic_ns();
    for (int i = 0; i < player->pending_count; i++) {
        player->acknowledged_ns[player->pending[i]] = now;
    }
    player->pending_count = 0;
    bytes_clear(&player->events);
    return LEAT_OK;
}

static bool is_pending(const struct player *player, uint32_t person) {
    for (int i = 0; i < player->pending_count; i++) {
        if (player->pending[i] == person) {
            return true;
        }
    }
    return false;
}

static leat_status post_births(struct player *player, int64_t now_ms, leat_error *err) {
    const struct audience *audience = player->stage->audience;
    int first;
    int end;
    audience_live(audience, now_ms, &first, &end);
    if (player->number != 0 || player->born >= end) {
        return LEAT_OK;
    }
    for (; player->born < end; player->born++) {
        int64_t created_ms = audience->items[player->born].created_ms;
        player_write_item(audience, player->born, created_ms, &player->events);
    }
    return flush_events(player, err);
}

/* --- pages in --- */

static leat_status read_item(const struct player *player, struct json_value value, int *out,
                             leat_error *err) {
    struct json_value id;
    struct slice text = {0};
    int64_t number = -1;
    if (json_find(value, "item", &id) && json_to_text(id, &text) && text.size > 1 &&
        text.data[0] == 'i' && text_to_i64((struct slice){text.data + 1, text.size - 1}, &number) &&
        number >= 0 && number < player->stage->audience->item_count) {
        *out = (int)number;
        return LEAT_OK;
    }
    return error_set(err, LEAT_INVALID,
                     "a page shows item '%.*s', which this audience did not post; start the server "
                     "on an empty data folder",
                     (int)(text.size < 60 ? text.size : 60), text.size > 0 ? text.data : "");
}

static leat_status read_page(const struct player *player, struct json_value answer,
                             struct shown_page *out, leat_error *err) {
    struct json_value value;
    struct slice request;
    struct json_value items;
    *out = (struct shown_page){0};
    if (!json_find(answer, "request", &value) || !json_to_text(value, &request) ||
        request.size >= sizeof(out->request) || !json_find(answer, "items", &items) ||
        json_kind_of(items) != JSON_ARRAY) {
        return error_set(err, LEAT_CORRUPT,
                         "answer of /v1/feed: it lacks \"request\" or \"items\"");
    }
    memcpy(out->request, request.data, request.size);
    if (json_find(answer, "reached", &value)) {
        json_to_bool(value, &out->reached);
    }
    struct json_iterator it = json_iterate(items);
    while (json_next(&it, NULL, &value)) {
        if (out->count == player->stage->options->page_items) {
            return error_set(err, LEAT_CORRUPT, "answer of /v1/feed: more than %d items",
                             out->count);
        }
        TRY(read_item(player, value, &out->items[out->count], err));
        out->count++;
    }
    return LEAT_OK;
}

static leat_status ask_page(struct player *player, const struct visit *visit, bool after,
                            struct shown_page *out, leat_error *err) {
    char path[PATH_MAX_BYTES];
    int size =
        snprintf(path, sizeof(path), "/v1/feed?user=u%u&surface=for_you&n=%d&now=%lld%s%s",
                 visit->person, player->stage->options->page_items, (long long)visit->time_ms,
                 after ? "&preview=1&after=" : "", after ? player->position : "");
    INVARIANT(size < (int)sizeof(path), "path of %d bytes", size);
    struct json_value answer;
    uint64_t start = clock_monotonic_ns();
    TRY(client_get_json(player->client, path, &answer, err));
    if (!after) {
        histogram_record(&player->stage->page_ns, clock_monotonic_ns() - start);
    }
    return read_page(player, answer, out, err);
}

/* `known`: the server was bound to know by now what this person clicked and hid. */
static void check_page(struct player *player, const struct visit *visit,
                       const struct shown_page *page, bool known) {
    const struct audience *audience = player->stage->audience;
    const uint64_t *gone = audience->people[visit->person].gone;
    struct loop_faults *faults = &player->counted.faults;
    for (int i = 0; i < page->count; i++) {
        int item = page->items[i];
        faults->returned += known && audience_bit(gone, item);
        faults->expired += audience->items[item].expires_ms <= visit->time_ms;
        for (int j = 0; j < i; j++) {
            faults->twice += page->items[j] == item;
        }
    }
}

/* --- what people do --- */

static int count_clicks(const struct audience *audience, const struct visit *visit,
                        const int *items, int count) {
    int clicks = 0;
    for (int i = 0; i < count; i++) {
        clicks += audience_clicks(audience, visit, items[i]);
    }
    return clicks;
}

/* What the page earned, and what the arms would have, before the page changes anything. */
static void compare(struct player *player, const struct visit *visit,
                    const struct shown_page *page) {
    struct stage *stage = player->stage;
    const struct loop_options *options = stage->options;
    int arm_clicks[ARM_COUNT];
    for (int arm = 0; arm < ARM_COUNT; arm++) {
        int items[LOOP_PAGE_MAX];
        int count = arms_choose(stage->arms, player->scratch, (enum arm)arm, visit,
                                options->page_items, items);
        arm_clicks[arm] = count_clicks(stage->audience, visit, items, count);
    }
    int served = count_clicks(stage->audience, visit, page->items, page->count);
    int64_t passed = visit->time_ms - options->audience.start_ms;
    int64_t window = passed * options->windows / options->audience.span_ms;
    paired_add(&player->counted.windows[window], served, arm_clicks);
    atomic_fetch_add(&stage->pages, 1);
    atomic_fetch_add(&stage->clicks, served);
    atomic_fetch_add(&stage->popular_clicks, arm_clicks[ARM_POPULAR]);
}

/* Looks at the page from top to bottom, a second or two an item; true when an item is gone now. */
static bool react(struct player *player, const struct visit *visit, const struct shown_page *page) {
    struct stage *stage = player->stage;
    struct audience_person *person = &stage->audience->people[visit->person];
    bool any = false;
    for (int i = 0; i < page->count; i++) {
        write_event(player, "impression", visit, page, page->items[i], 0);
        audience_mark(person->shown, page->items[i]);
    }
    for (int i = 0; i < page->count; i++) {
        int item = page->items[i];
        bool clicks = audience_clicks(stage->audience, visit, item);
        if (clicks) {
            arms_click(stage->arms, item, visit->time_ms);
        }
        if (clicks || audience_hides(stage->audience, visit, item)) {
            write_event(player, clicks ? "click" : "hide", visit, page, item, 1000 + 700 * i);
            audience_mark(person->gone, item);
            any = true;
        }
    }
    if (page->count > 0) {
        player->pending[player->pending_count++] = visit->person;
    }
    return any;
}

/* The same person asks again at once, with the position of what was just done. A preview: nothing
 * is logged, so that the check does not change the world. */
static leat_status check_at_once(struct player *player, const struct visit *visit,
                                 leat_error *err) {
    uint64_t page = (uint64_t)visit->person << 32 | visit->page;
    uint64_t draw = hash_mix(hash_mix(player->stage->options->audience.seed, DRAW_STRICT), page);
    if (hash_unit(draw) >= player->stage->options->strict_share) {
        return LEAT_OK;
    }
    TRY(flush_events(player, err));
    struct shown_page again;
    TRY(ask_page(player, visit, true, &again, err));
    player->counted.checks++;
    player->counted.unreached += !again.reached;
    check_page(player, visit, &again, again.reached);
    return LEAT_OK;
}

static leat_status play_visit(struct player *player, const struct visit *visit, leat_error *err) {
    struct stage *stage = player->stage;
    TRY(post_births(player, visit->time_ms, err));
    if (player->pending_count == BATCH_PAGES || is_pending(player, visit->person)) {
        TRY(flush_events(player, err));
    }
    audience_drift(stage->audience, visit->person, visit->time_ms);
    uint64_t told_ns = player->acknowledged_ns[visit->person];
    bool known = told_ns > 0 && clock_monotonic_ns() - told_ns >= GONE_WITHIN_NS;
    struct shown_page page;
    TRY(ask_page(player, visit, false, &page, err));
    check_page(player, visit, &page, known);
    player->counted.short_pages += page.count < stage->options->page_items;
    compare(player, visit, &page);
    return react(player, visit, &page) ? check_at_once(player, visit, err) : LEAT_OK;
}

/* --- the thread --- */

static leat_status play(struct player *player, leat_error *err) {
    struct stage *stage = player->stage;
    for (int64_t i = 0; i < stage->options->requests; i++) {
        const struct visit *visit = &stage->visits[i];
        if ((int)(visit->person % (uint32_t)stage->options->threads) != player->number) {
            continue;
        }
        if (!pace_step(&stage->pace, player->number, visit->time_ms)) {
            break; /* time is up, or another one failed and says why */
        }
        TRY(play_visit(player, visit, err));
    }
    return flush_events(player, err);
}

static void *player_run(void *context) {
    struct player *player = context;
    player->status = play(player, &player->error);
    if (player->status < 0) {
        pace_stop(&player->stage->pace);
    }
    pace_step(&player->stage->pace, player->number, INT64_MAX);
    return NULL;
}

leat_status player_create(struct stage *stage, int number, struct player **out, leat_error *err) {
    struct player *player = memory_zalloc(sizeof(*player));
    if (!player) {
        return error_memory(err, sizeof(*player));
    }
    player->stage = stage;
    player->number = number;
    bytes_init(&player->events);
    int first;
    audience_live(stage->audience, stage->options->audience.start_ms, &first, &player->born);
    size_t bytes = (size_t)stage->options->audience.people * sizeof(*player->acknowledged_ns);
    player->acknowledged_ns = memory_zalloc(bytes);
    leat_status status = player->acknowledged_ns ? LEAT_OK : error_memory(err, bytes);
    TRY_OR(status, status, fail);
    TRY_OR(status, client_create(stage->options->server, &player->client, err), fail);
    TRY_OR(status, arms_scratch_create(stage->audience, &player->scratch, err), fail);
    *out = player;
    return LEAT_OK;
fail:
    player_destroy(player);
    return status;
}

leat_status player_start(struct player *player, leat_error *err) {
    return thread_start(&player->thread, "player", player_run, player, err);
}

leat_status player_join(struct player *player, leat_error *err) {
    thread_join(&player->thread);
    if (player->status < 0 && err) {
        *err = player->error;
    }
    return player->status;
}

void player_destroy(struct player *player) {
    if (player) {
        client_destroy(player->client);
        arms_scratch_destroy(player->scratch);
        bytes_deinit(&player->events);
        memory_free(player->acknowledged_ns);
        memory_free(player);
    }
}

void player_report(const struct player *player, struct loop_report *report) {
    const struct loop_report *counted = &player->counted;
    for (int window = 0; window < player->stage->options->windows; window++) {
        paired_merge(&report->windows[window], &counted->windows[window]);
        paired_merge(&report->total, &counted->windows[window]);
    }
    report->faults.returned += counted->faults.returned;
    report->faults.expired += counted->faults.expired;
    report->faults.twice += counted->faults.twice;
    report->checks += counted->checks;
    report->unreached += counted->unreached;
    report->short_pages += counted->short_pages;
}
