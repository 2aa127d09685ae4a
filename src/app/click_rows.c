#include "app/click_rows.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/rng.h"
#include "log/event.h"
#include "log/record.h"

#include <inttypes.h>

const char click_rows_config[] =
    "actions: {click: {window: 10m, weight: 1, filter: session}}\n"
    "surfaces: {for_you: {examples: clicks}}\n"
    "model: {features: [item, last, second, region, device, referrer, item*last, item*region,\n"
    "  item*referrer]}\n";

enum {
    MADE_CLICKS = 600000,
    MADE_ITEMS = 40000,
    MADE_OPEN = 4096, /* sessions at a time */
    TEXT_MAX = 24,
};

/* Popular items are few and change with the hours; sessions are about as long as Globo's. */
static void made_click(struct rng *rng, struct globo_click *click, uint32_t *session, int64_t at) {
    uint32_t slot = (uint32_t)rng_below(rng, MADE_OPEN);
    if (session[slot] == 0 || rng_below(rng, 100) < 36) {
        session[slot] = (uint32_t)(at + 1);
    }
    double u = rng_unit(rng);
    int64_t hour = at / 10000;
    click->time_ms = 1506826800000 + at * 460;
    click->session = session[slot];
    click->user = session[slot] % 100000;
    click->item = (uint32_t)(((int64_t)(u * u * u * u * MADE_ITEMS) + hour * 37) % MADE_ITEMS) + 1;
    for (int c = 0; c < GLOBO_CONTEXTS; c++) {
        click->context[c] = (uint16_t)(hash_mix(click->user, (uint64_t)c) % (c == 4 ? 28 : 5));
    }
}

static leat_status make_up(struct click_rows *rows, leat_error *err) {
    struct globo_clicks *clicks = &rows->clicks;
    clicks->clicks = memory_zalloc(MADE_CLICKS * sizeof(*clicks->clicks));
    uint32_t *session = memory_zalloc(MADE_OPEN * sizeof(*session));
    if (!clicks->clicks || !session) {
        memory_free(session);
        return error_memory(err, MADE_CLICKS * sizeof(*clicks->clicks));
    }
    clicks->count = MADE_CLICKS;
    struct rng rng;
    rng_init(&rng, 1);
    for (int64_t i = 0; i < MADE_CLICKS; i++) {
        made_click(&rng, &clicks->clicks[i], session, i);
    }
    memory_free(session);
    return LEAT_OK;
}

leat_status click_rows_open(struct click_rows *rows, const char *input, leat_error *err) {
    *rows = (struct click_rows){.made_up = !input};
    if (!input) {
        return make_up(rows, err);
    }
    struct refusals refusals = {.show = stderr};
    TRY(globo_read(disk_real(), input, &refusals, &rows->clicks, err));
    refusals_finish(&refusals);
    return rows->clicks.count > 0 ? LEAT_OK
                                  : error_set(err, LEAT_INVALID, "%s: holds no clicks", input);
}

void click_rows_close(struct click_rows *rows) {
    globo_free(&rows->clicks);
}

const char *click_rows_name(const struct click_rows *rows) {
    return rows->made_up ? "made up: no --input" : "globo";
}

static struct slice number_text(char out[TEXT_MAX], uint64_t number) {
    int size = snprintf(out, TEXT_MAX, "%" PRIu64, number);
    return (struct slice){out, (size_t)size};
}

struct posted_event click_event(const struct globo_click *click, struct click_texts *texts) {
    struct posted_event event = {
        .kind = slice_of("click"),
        .user = number_text(texts->user, click->user),
        .item = number_text(texts->item, click->item),
        .session = number_text(texts->session, click->session),
        .has_time = true,
        .time_ms = click->time_ms,
        .context_count = GLOBO_CONTEXTS,
    };
    for (int i = 0; i < GLOBO_CONTEXTS; i++) {
        snprintf(texts->context[i], sizeof(texts->context[i]), "\"%u\"", click->context[i]);
        event.context[2 * i] = slice_of(globo_context_name((enum globo_context)i));
        event.context[2 * i + 1] = slice_of(texts->context[i]);
    }
    return event;
}

leat_status click_rows_add(const struct click_rows *rows, size_t index, const struct config *config,
                           struct builder *out, leat_error *err) {
    struct click_texts texts;
    struct posted_event event = click_event(&rows->clicks.clicks[index], &texts);
    event.surface = slice_of("for_you");
    return event_add(out, config, &event, err);
}
