/* What people do: served pages, impressions, actions, duplicates, late and early times, items that
 * come, change and go, people who are forgotten. */
#include "base/hash.h"
#include "log/event.h"
#include "log/record.h"
#include "tests/simulation.h"

/* Indexes in the configuration (simulation_life.c). */
enum { FOR_YOU, SHOP, LOGS };
enum { ACTIONS = 4, ACTION_RATE = 3 };

static uint64_t below(struct sim *sim, uint64_t bound) {
    return rng_below(&sim->rng, bound);
}

static bool chance(struct sim *sim, int percent) {
    return below(sim, 100) < (uint64_t)percent;
}

/* --- one event --- */

static void row_kind_draw(struct sim *sim, struct sim_row *row) {
    uint64_t what = below(sim, 100);
    row->user = (int)below(sim, SIM_PEOPLE);
    row->item = (int)below(sim, SIM_ITEMS);
    row->surface = (int)below(sim, 2);
    if (what < 30) {
        row->kind = ROW_IMPRESSION;
    } else if (what < 70) {
        row->kind = ROW_ACTION;
        row->action = (int)below(sim, ACTIONS);
    } else if (what < 80) {
        row->kind = ROW_ITEM;
        row->user = SIM_NOBODY;
    } else if (what < 83) {
        row->kind = ROW_ITEM_DELETE;
        row->user = SIM_NOBODY;
    } else if (what < 86) {
        row->kind = ROW_USER;
        row->item = -1;
    } else if (what < 88) {
        row->kind = ROW_FORGET;
        row->item = -1;
    } else {
        row->kind = ROW_ACTION;
        row->action = 0;
        row->surface = LOGS;
        row->user = SIM_PEOPLE + (int)below(sim, SIM_CLICKERS);
    }
}

/* An impression or an action mostly belongs to a page of late, and to a place on it. */
static void row_request_draw(struct sim *sim, struct sim_row *row) {
    bool shown = row->kind == ROW_IMPRESSION || row->kind == ROW_ACTION;
    if (!shown || row->surface == LOGS || sim->page_count == 0 ||
        !chance(sim, sim->request_percent)) {
        return;
    }
    if (chance(sim, 5)) {
        row->request = SIM_PAGES_MAX + (int)below(sim, 3); /* of no page */
        return;
    }
    int back = (int)below(sim, sim->page_count < 4 ? (uint64_t)sim->page_count : 4);
    const struct sim_page *page = &sim->pages[sim->page_count - 1 - back];
    if (page->user == SIM_NOBODY || page->count == 0) {
        return;
    }
    row->user = page->user;
    row->surface = page->surface;
    row->item = page->items[below(sim, (uint64_t)page->count)];
    row->request = sim->page_count - 1 - back;
}

static void row_time_draw(struct sim *sim, struct sim_row *row) {
    if (!chance(sim, sim->time_percent)) {
        return;
    }
    int64_t now_ms = clock_now_ms(&sim->clock.clock);
    static const int64_t spread_ms[] = {300, 3000, 30000, 600000};
    int64_t spread = spread_ms[below(sim, 4)];
    row->has_time = true;
    row->posted_ms = now_ms - (int64_t)below(sim, (uint64_t)spread) + spread / 10;
}

static void row_draw(struct sim *sim, struct sim_row *row) {
    row_kind_draw(sim, row);
    row_request_draw(sim, row);
    row_time_draw(sim, row);
    row->id = chance(sim, 70) ? sim->next_id++ : -1;
    row->has_value = row->kind == ROW_ACTION && chance(sim, 60);
    row->value = row->has_value ? (double)below(sim, 6) : 0;
}

/* The same event once more, as a client that heard no answer sends it. */
static bool row_repeat(struct sim *sim, struct sim_row *row) {
    if (row == sim->rows || !chance(sim, sim->duplicate_percent)) {
        return false;
    }
    int count = (int)(row - sim->rows);
    int back = 1 + (int)below(sim, count < 60 ? (uint64_t)count : 60);
    const struct sim_row *before = row - back;
    if (before->kind == ROW_SERVED || before->id < 0) {
        return false;
    }
    *row = *before;
    row->time_ms = row->now_ms = 0;
    row->duplicate = false;
    return true;
}

static const char *kind_name(const struct sim *sim, const struct sim_row *row) {
    switch (row->kind) {
    case ROW_ACTION: return sim->config->actions[row->action].name;
    case ROW_IMPRESSION: return KIND_IMPRESSION;
    case ROW_ITEM: return KIND_ITEM;
    case ROW_ITEM_DELETE: return KIND_ITEM_DELETE;
    case ROW_USER: return KIND_USER;
    default: return KIND_FORGET;
    }
}

/* Texts of one event, while it is added. */
struct words {
    char user[40], item[40], id[40], number[40], request[40];
};

static void row_post(struct sim *sim, struct sim_row *row) {
    struct words words;
    struct posted_event event = {.kind = slice_of(kind_name(sim, row)),
                                 .surface = slice_of(sim->config->surfaces[row->surface].name),
                                 .has_time = row->has_time,
                                 .time_ms = row->posted_ms,
                                 .has_value = row->has_value,
                                 .value = row->value,
                                 .context_count = 1};
    snprintf(words.number, sizeof(words.number), "%d", (int)(row - sim->rows));
    event.context[0] = slice_of("n");
    event.context[1] = slice_of(words.number);
    if (row->user != SIM_NOBODY) {
        sim_text(words.user, 'u', row->user);
        event.user = slice_of(words.user);
    }
    if (row->item >= 0) {
        sim_text(words.item, 'i', row->item);
        event.item = slice_of(words.item);
    }
    if (row->id >= 0) {
        sim_text(words.id, 'd', row->id);
        event.id = slice_of(words.id);
    }
    if (row->request >= SIM_PAGES_MAX) {
        sim_text(words.request, 'x', row->request);
        event.request = slice_of(words.request);
    } else if (row->request >= 0) {
        event.request = slice_of(sim->pages[row->request].request);
    }
    if (row->kind == ROW_ITEM) {
        event.author = slice_of(row->item % 3 ? "a1" : "a2");
        event.category_count = 1;
        event.categories[0] = slice_of(row->item % 2 ? "odd" : "even");
    }
    leat_status status = event_add(sim->builder, sim->config, &event, &sim->err);
    CHECK(status == LEAT_OK, "%s", sim->err.message);
}

/* --- commits --- */

static void contents_note(struct sim *sim, const struct batch *batch,
                          const struct sim_commit *commit) {
    struct bytes json;
    bytes_init(&json);
    for (int i = 0; i < commit->count; i++) {
        bytes_clear(&json);
        event_write_json(batch, i, &json);
        sim->rows[commit->first + i].content = hash_bytes(json.data, json.size);
    }
    bytes_deinit(&json);
}

static void commit_post(struct sim *sim, struct sim_commit *commit) {
    struct batch batch;
    struct log_receipt receipt;
    leat_status status = builder_finish(sim->builder, &batch, &sim->err);
    CHECK(status == LEAT_OK, "%s", sim->err.message);
    contents_note(sim, &batch, commit);
    status = engine_append(sim->engine, &batch, &receipt, &sim->err);
    builder_clear(sim->builder);
    CHECK(status >= 0 || sim_hurt(sim), "an append failed on a healthy disk: %s", sim->err.message);
    if (status >= 0) {
        commit->acknowledged = true;
        sim_commit_there(sim, commit, receipt.first_sequence, receipt.append_ms);
        CHECK(receipt.end_sequence == sim->log_count, "a receipt beyond the commit");
    } else if (status == LEAT_FULL || status == LEAT_MEMORY) {
        CHECK(sim->err.retry, "no word that it may be tried again: %s", sim->err.message);
        commit->fate = SIM_GONE;
    }
}

void sim_append(struct sim *sim) {
    int count = 1 + (int)below(sim, (uint64_t)sim->batch_max);
    if (sim->row_count + count > SIM_ROWS_MAX - SIM_ROWS_KEPT ||
        sim->commit_count >= SIM_COMMITS_MAX - SIM_ROWS_KEPT) {
        return;
    }
    struct sim_commit *commit = sim_commit_begin(sim, false);
    for (int i = 0; i < count; i++) {
        struct sim_row *row = sim_row_add(sim);
        if (!row_repeat(sim, row)) {
            row_draw(sim, row);
        }
        row_post(sim, row);
    }
    commit_post(sim, commit);
}

void sim_beat(struct sim *sim, int64_t ahead_ms) {
    manual_clock_set(&sim->clock, clock_now_ms(&sim->clock.clock) + ahead_ms);
    struct sim_commit *commit = sim_commit_begin(sim, false);
    struct sim_row *row = sim_row_add(sim);
    row->kind = ROW_USER;
    row->user = SIM_PEOPLE;
    row->has_time = true;
    row->posted_ms = clock_now_ms(&sim->clock.clock);
    row_post(sim, row);
    commit_post(sim, commit);
}

void sim_forget(struct sim *sim, int user) {
    struct sim_commit *commit = sim_commit_begin(sim, false);
    struct sim_row *row = sim_row_add(sim);
    row->kind = ROW_FORGET;
    row->user = user;
    row_post(sim, row);
    commit_post(sim, commit);
}

void sim_clock(struct sim *sim) {
    static const int64_t steps_ms[] = {1, 50, 700, 700, 3000, 3000, 20000, 200000};
    int64_t step_ms = 1 + (int64_t)below(sim, (uint64_t)steps_ms[below(sim, 8)]);
    if (chance(sim, 10)) {
        step_ms = -step_ms;
    }
    manual_clock_set(&sim->clock, clock_now_ms(&sim->clock.clock) + step_ms);
}

/* --- pages --- */

static void page_check(struct sim *sim, const struct sim_page *page) {
    uint64_t applied = engine_applied(sim->engine);
    for (int i = 0; i < page->count; i++) {
        int item = page->items[i];
        CHECK(page->user == SIM_NOBODY || !sim_was_seen(sim, page->user, item, applied),
              "u%d is shown i%d again", page->user, item);
        CHECK(!sim_was_deleted(sim, item, applied), "i%d was deleted, and is shown", item);
        for (int k = 0; k < i; k++) {
            CHECK(page->items[k] != item, "i%d twice on a page", item);
        }
    }
    sim->pages_checked++;
}

static void page_note(struct sim *sim, const struct page *page, int user, int surface) {
    struct sim_page *note = &sim->pages[sim->page_count++];
    *note = (struct sim_page){.user = user, .surface = surface, .count = page->count};
    snprintf(note->request, sizeof(note->request), "%s", page->request);
    for (int i = 0; i < page->count; i++) {
        note->items[i] = atoi(page->items[i].item.data + 1);
    }
}

/* The served rows of the newest page, which follow it into the log. */
static void served_note(struct sim *sim, const struct page *page, uint64_t end) {
    struct sim_commit *commit = sim_commit_begin(sim, true);
    for (int i = 0; i < page->count; i++) {
        const struct sim_page *note = &sim->pages[sim->page_count - 1];
        struct sim_row *row = sim_row_add(sim);
        row->kind = ROW_SERVED;
        row->user = note->user;
        row->item = note->items[i];
        row->surface = note->surface;
        row->request = sim->page_count - 1;
        row->has_time = true;
        row->posted_ms = page->now_ms;
    }
    if (engine_end(sim->engine) > end) {
        int64_t now_ms = clock_now_ms(&sim->clock.clock);
        sim_commit_there(sim, commit, end, now_ms > sim->log_now_ms ? now_ms : sim->log_now_ms);
    } else {
        CHECK(sim_hurt(sim), "served rows did not reach a healthy log");
    }
}

void sim_feed(struct sim *sim) {
    struct page page;
    char text[40];
    if (sim->page_count == SIM_PAGES_MAX || sim->row_count + 10 > SIM_ROWS_MAX - SIM_ROWS_KEPT ||
        sim->commit_count >= SIM_COMMITS_MAX - SIM_ROWS_KEPT) {
        return;
    }
    int user = chance(sim, 10) ? SIM_NOBODY : (int)below(sim, SIM_PEOPLE);
    int surface = chance(sim, 30) ? SHOP : FOR_YOU;
    struct feed_query query = {.surface = surface, .count = 1 + (int)below(sim, 5)};
    if (user != SIM_NOBODY) {
        sim_text(text, 'u', user);
        query.user = slice_of(text);
    }
    uint64_t end = engine_end(sim->engine);
    arena_reset(&sim->arena);
    leat_status status = engine_feed(sim->engine, &query, &sim->arena, &page, &sim->err);
    CHECK(status >= 0 || sim_hurt(sim), "no page: %s", sim->err.message);
    if (status >= 0) {
        page_note(sim, &page, user, surface);
        page_check(sim, &sim->pages[sim->page_count - 1]);
        if (page.count > 0) {
            served_note(sim, &page, end);
        }
    }
}
