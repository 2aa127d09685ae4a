/* What must be true of the log and of what was counted, by plain arrays. */
#include "base/hash.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "log/record.h"
#include "tests/simulation.h"

void sim_text(char out[40], char letter, int number) {
    /* A person's name is looked for in files, where "u3" may stand by chance. */
    snprintf(out, 40, letter == 'u' ? "%c%d-person" : "%c%d", letter, number);
}

/* --- the ledger --- */

struct sim_commit *sim_commit_begin(struct sim *sim, bool served) {
    CHECK(sim->commit_count < SIM_COMMITS_MAX, "too many commits");
    struct sim_commit *commit = &sim->commits[sim->commit_count++];
    *commit = (struct sim_commit){.first = sim->row_count, .served = served};
    return commit;
}

struct sim_row *sim_row_add(struct sim *sim) {
    CHECK(sim->row_count < SIM_ROWS_MAX, "too many rows");
    struct sim_row *row = &sim->rows[sim->row_count++];
    *row = (struct sim_row){.id = -1, .request = -1, .user = SIM_NOBODY, .item = -1};
    sim->commits[sim->commit_count - 1].count++;
    return row;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

static void row_time(struct sim *sim, struct sim_row *row, int64_t append_ms) {
    const struct config_log *log = &sim->config->log;
    if (sim->config->root.clock == 1) {
        row->time_ms = row->has_time ? row->posted_ms : sim->log_now_ms;
        if (row->kind != ROW_SERVED && row->time_ms > sim->log_now_ms) {
            sim->log_now_ms = row->time_ms;
        }
    } else {
        sim->log_now_ms = append_ms;
        row->time_ms = row->kind == ROW_SERVED ? row->posted_ms
                       : row->has_time
                           ? clamp(row->posted_ms, append_ms - log->oldest, append_ms + log->skew)
                           : append_ms;
    }
    row->now_ms = sim->log_now_ms;
}

/* An id that came within the window before, and counted then. */
static bool row_duplicate(const struct sim *sim, const struct sim_row *row) {
    for (uint64_t i = 0; row->id >= 0 && i < sim->log_count; i++) {
        const struct sim_row *before = &sim->rows[sim->log[i]];
        if (before->id == row->id && !before->duplicate &&
            row->now_ms < before->now_ms + sim->config->flow.dedup) {
            return true;
        }
    }
    return false;
}

void sim_commit_there(struct sim *sim, struct sim_commit *commit, uint64_t sequence,
                      int64_t append_ms) {
    CHECK(sequence == sim->log_count, "a commit at %llu, the log ends at %llu",
          (unsigned long long)sequence, (unsigned long long)sim->log_count);
    CHECK(sim->config->root.clock == 1 || append_ms >= sim->log_now_ms, "append time went back");
    commit->fate = SIM_THERE;
    commit->sequence = sequence;
    for (int i = commit->first; i < commit->first + commit->count; i++) {
        row_time(sim, &sim->rows[i], append_ms);
        sim->rows[i].duplicate = row_duplicate(sim, &sim->rows[i]);
        sim->log[sim->log_count++] = i;
    }
}

/* --- the log on the disk --- */

/* The number of an event's row, which stands in its context. */
static int event_number(const struct batch *batch, int64_t index) {
    uint64_t number = UINT64_MAX;
    CHECK(batch_list_text_count(batch, EVENT_CONTEXT, index) >= 2 &&
              text_to_u64(batch_list_text(batch, EVENT_CONTEXT, index, 1), &number),
          "an event in the log that nobody sent");
    return (int)number;
}

static int page_find(const struct sim *sim, struct slice request) {
    for (int i = 0; i < sim->page_count; i++) {
        if (slice_is(request, sim->pages[i].request)) {
            return i;
        }
    }
    fault_found(__FILE__, __LINE__, "a served row of a page that nobody asked for");
}

static int frame_commit(const struct sim *sim, const struct batch *batch) {
    bool served = batch->schema->id == SCHEMA_SERVED;
    int page = served ? page_find(sim, batch_text(batch, SERVED_REQUEST, 0)) : -1;
    int number = served ? -1 : event_number(batch, 0);
    for (int i = 0; i < sim->commit_count; i++) {
        const struct sim_commit *commit = &sim->commits[i];
        if (served ? commit->served && sim->rows[commit->first].request == page
                   : commit->first == number) {
            return i;
        }
    }
    fault_found(__FILE__, __LINE__, "a frame begins in the midst of a commit");
}

static void event_check(const struct sim *sim, const struct batch *batch, int64_t index, int row) {
    struct bytes json;
    bytes_init(&json);
    CHECK(event_number(batch, index) == row, "row %d where %d was sent", event_number(batch, index),
          row);
    event_write_json(batch, index, &json);
    CHECK(hash_bytes(json.data, json.size) == sim->rows[row].content, "row %d changed: %.*s", row,
          (int)json.size, (char *)json.data);
    bytes_deinit(&json);
    CHECK(batch_i64(batch, EVENT_TIME, index) == sim->rows[row].time_ms,
          "row %d at %lld instead of %lld", row, (long long)batch_i64(batch, EVENT_TIME, index),
          (long long)sim->rows[row].time_ms);
}

static void served_check(const struct sim *sim, const struct batch *batch, int64_t index, int row) {
    char item[40];
    sim_text(item, 'i', sim->rows[row].item);
    CHECK(slice_is(batch_text(batch, SERVED_ITEM, index), item), "served another item than %s",
          item);
}

static void frame_check(struct sim *sim, const struct log_entry *entry, int *newest) {
    const struct batch *batch = &entry->batch;
    int index = frame_commit(sim, batch);
    struct sim_commit *commit = &sim->commits[index];
    CHECK(index > *newest, "commit %d after commit %d", index, *newest);
    CHECK(commit->fate != SIM_GONE, "commit %d was refused or lost, and is there again", index);
    CHECK(commit->count == batch->rows, "%lld of %d rows of commit %d", (long long)batch->rows,
          commit->count, index);
    if (commit->fate == SIM_UNKNOWN) {
        sim_commit_there(sim, commit, entry->frame.first_sequence, entry->frame.append_ms);
    }
    CHECK(commit->sequence == entry->frame.first_sequence, "commit %d moved", index);
    for (int i = 0; i < commit->count; i++) {
        if (commit->served) {
            served_check(sim, batch, i, commit->first + i);
        } else {
            event_check(sim, batch, i, commit->first + i);
        }
    }
    *newest = index;
}

/* Commits that must be in the log and lie behind its begin; those that are not there are gone. */
static int ledger_settle(struct sim *sim, uint64_t begin) {
    int held = 0;
    for (int i = 0; i < sim->commit_count; i++) {
        struct sim_commit *commit = &sim->commits[i];
        if (commit->fate == SIM_UNKNOWN) {
            commit->fate = SIM_GONE;
        }
        held += commit->fate == SIM_THERE && commit->sequence >= begin;
    }
    return held;
}

void sim_log_check(struct sim *sim) {
    struct log *log = engine_log(sim->engine);
    struct log_reader *reader;
    struct log_entry entry;
    int newest = -1;
    int frames = 0;
    leat_status status = log_reader_open(log, log_begin(log), &reader, &sim->err);
    CHECK(status == LEAT_OK, "%s", sim->err.message);
    while ((status = log_read(reader, &entry, &sim->err)) == LEAT_OK) {
        if (entry.batch.schema->id != SCHEMA_BEAT) {
            frame_check(sim, &entry, &newest);
            frames++;
        }
    }
    CHECK(status == LEAT_AGAIN, "%s", sim->err.message);
    log_reader_close(reader);
    int held = ledger_settle(sim, log_begin(log));
    CHECK(frames == held, "%d commits in the log, %d must be there", frames, held);
    CHECK(log_end(log) == sim->log_count, "the log ends at %llu, the model's at %llu",
          (unsigned long long)log_end(log), (unsigned long long)sim->log_count);
}

/* --- what people may not be shown --- */

static bool is_showing(const struct sim *sim, const struct sim_row *row) {
    return row->kind == ROW_IMPRESSION ||
           (row->kind == ROW_SERVED &&
            sim->config->surfaces[row->surface].fields.examples == ROW_EXAMPLES_SERVED);
}

static bool hides(const struct sim *sim, const struct sim_row *row) {
    int filter = row->kind == ROW_ACTION ? (int)sim->config->actions[row->action].fields.filter
                                         : ROW_FILTER_NONE;
    return is_showing(sim, row) || filter == ROW_FILTER_SEEN || filter == ROW_FILTER_FOREVER;
}

bool sim_was_seen(const struct sim *sim, int user, int item, uint64_t until) {
    bool seen = false;
    for (uint64_t i = 0; i < until; i++) {
        const struct sim_row *row = &sim->rows[sim->log[i]];
        if (row->user != user || row->duplicate) {
            continue;
        }
        seen = row->kind == ROW_FORGET ? false : seen || (row->item == item && hides(sim, row));
    }
    return seen;
}

bool sim_was_deleted(const struct sim *sim, int item, uint64_t until) {
    bool deleted = false;
    bool known = false; /* what nobody has named yet cannot be deleted */
    for (uint64_t i = 0; i < until; i++) {
        const struct sim_row *row = &sim->rows[sim->log[i]];
        if (row->item == item && !row->duplicate && row->kind != ROW_SERVED) {
            deleted = row->kind == ROW_ITEM_DELETE ? known
                      : row->kind == ROW_ITEM      ? false
                                                   : deleted;
            known = known || row->kind != ROW_ITEM_DELETE;
        }
    }
    return deleted;
}

/* --- counts --- */

struct counts {
    uint64_t shown;
    uint32_t positives[CONFIG_ACTIONS_MAX];
};

static bool is_positive(const struct sim *sim, const struct sim_row *row) {
    double threshold = sim->config->actions[row->action].fields.threshold;
    return threshold == 0 || (row->has_value && row->value >= threshold);
}

/* Of an item, or of a person since it was forgotten last. */
static struct counts counts_of(const struct sim *sim, int user, int item) {
    struct counts counts = {0};
    for (uint64_t i = 0; i < engine_applied(sim->engine); i++) {
        const struct sim_row *row = &sim->rows[sim->log[i]];
        if (row->duplicate || (item >= 0 ? row->item != item : row->user != user)) {
            continue;
        }
        if (row->kind == ROW_FORGET && item < 0) {
            counts = (struct counts){0};
        }
        counts.shown += is_showing(sim, row);
        if (row->kind == ROW_ACTION && is_positive(sim, row)) {
            counts.positives[row->action]++;
        }
    }
    return counts;
}

static void item_check(const struct sim *sim, int item) {
    char text[40];
    struct tally_view view;
    struct counts counts = counts_of(sim, SIM_NOBODY, item);
    sim_text(text, 'i', item);
    tally_read(flow_tally(sim->engine->flow), hash_slice(slice_of(text)), 0, 0, sim->log_now_ms,
               &view);
    CHECK(view.total_shown == counts.shown, "%s shown %llu times instead of %llu", text,
          (unsigned long long)view.total_shown, (unsigned long long)counts.shown);
    for (int t = 0; t < sim->config->action_count; t++) {
        CHECK(view.positives[t] == counts.positives[t], "%s: %u of %s instead of %u", text,
              view.positives[t], sim->config->actions[t].name, counts.positives[t]);
    }
}

static void user_check(const struct sim *sim, int user) {
    char text[40];
    struct profile_view view;
    struct counts counts = counts_of(sim, user, -1);
    sim_text(text, 'u', user);
    profile_read(flow_profile(sim->engine->flow), slice_of(text), sim->log_now_ms, &view);
    for (int t = 0; t < sim->config->action_count; t++) {
        CHECK(view.positives[t] == counts.positives[t], "%s: %u of %s instead of %u", text,
              view.positives[t], sim->config->actions[t].name, counts.positives[t]);
    }
}

void sim_counts_check(struct sim *sim) {
    for (int item = 0; item < SIM_ITEMS; item++) {
        item_check(sim, item);
    }
    for (int user = 0; user < SIM_PEOPLE + SIM_CLICKERS; user++) {
        user_check(sim, user);
    }
}
