#include "log/commit.h"

#include "base/memory.h"
#include "log/forgets.h"
#include "log/record.h"

enum { COMMIT_ALIGNMENT = 64 };

static leat_status batch_measure(const struct batch *batch, struct frame *frame, leat_error *err) {
    if (!batch->schema || schema_by_id(batch->schema->id) != batch->schema) {
        return error_set(err, LEAT_INVALID, "append: a batch of schema '%s', which no log has",
                         batch->schema ? batch->schema->name : "");
    }
    if (batch->rows < 1 || batch->rows > BATCH_ROWS_MAX) {
        return error_set(err, LEAT_INVALID, "append: a batch of %lld rows, 1 to %d are possible",
                         (long long)batch->rows, BATCH_ROWS_MAX);
    }
    *frame = frame_of(batch);
    if (frame->body_bytes > FRAME_BODY_BYTES_MAX) {
        return error_set(err, LEAT_FULL,
                         "append: a batch of %llu bytes, at most %d are possible; cut it in two",
                         (unsigned long long)frame->body_bytes, FRAME_BODY_BYTES_MAX);
    }
    /* The log is the truth: what it could not read back it must not take. */
    leat_status status = batch_check(batch, err);
    return status == LEAT_CORRUPT ? error_in(err, LEAT_INVALID, "append") : status;
}

leat_status commit_forgets(struct commit *commit, struct bytes *found, leat_error *err) {
    leat_status status = bytes_status(found, err);
    if (status < 0) {
        bytes_deinit(found);
        return status;
    }
    commit->forgets = (uint32_t *)(void *)found->data; /* taken: released by commit_deinit */
    commit->forget_count = found->size / sizeof(uint32_t);
    return LEAT_OK;
}

/* Notes the forget rows: hardly any commit has one. */
static leat_status forgets_find(struct commit *commit, const struct batch *batches, int count,
                                leat_error *err) {
    struct bytes found;
    bytes_init(&found);
    uint32_t before = 0;
    for (int i = 0; i < count; i++) {
        for (int64_t row = forget_row(&batches[i], 0); row < batches[i].rows;
             row = forget_row(&batches[i], row + 1)) {
            bytes_put_u32(&found, before + (uint32_t)row);
        }
        before += (uint32_t)batches[i].rows;
    }
    return commit_forgets(commit, &found, err);
}

leat_status commit_init(struct commit *commit, const struct batch *batches, int count,
                        leat_error *err) {
    commit->next = NULL;
    commit->data = NULL;
    commit->size = 0;
    commit->count = count;
    commit->clamped = 0;
    commit->ready = false;
    commit->forgets = NULL;
    commit->forget_count = 0;
    if (count < 1 || count > COMMIT_BATCHES_MAX) {
        return error_set(err, LEAT_INVALID, "append: %d batches, 1 to %d are possible", count,
                         COMMIT_BATCHES_MAX);
    }
    for (int i = 0; i < count; i++) {
        TRY(batch_measure(&batches[i], &commit->frames[i], err));
        commit->size += FRAME_HEADER_BYTES + commit->frames[i].body_bytes;
    }
    TRY(forgets_find(commit, batches, count, err));
    commit->data = memory_aligned(COMMIT_ALIGNMENT, commit->size);
    if (!commit->data) {
        commit_deinit(commit);
        return error_memory(err, commit->size);
    }
    uint8_t *at = commit->data;
    for (int i = 0; i < count; i++) {
        batch_body_write(&batches[i], at + FRAME_HEADER_BYTES);
        at += FRAME_HEADER_BYTES + commit->frames[i].body_bytes;
    }
    return LEAT_OK;
}

void commit_deinit(struct commit *commit) {
    memory_free(commit->data);
    memory_free(commit->forgets);
    commit->data = NULL;
    commit->forgets = NULL;
}

/* The values of EVENT_TIME inside the body of an event frame: behind the table of sizes and the
 * buffers before it (batch.h). */
static int64_t *event_times(uint8_t *body) {
    const struct schema *schema = schema_event();
    int buffers = 0;
    int before = 1; /* the validity buffer of EVENT_TIME itself */
    for (int i = 0; i < schema->field_count; i++) {
        int of_column = column_type_buffers(schema->fields[i].type);
        buffers += of_column;
        before += i < EVENT_TIME ? of_column : 0;
    }
    size_t offset = (size_t)buffers * sizeof(uint64_t);
    for (int i = 0; i < before; i++) {
        uint64_t size;
        memcpy(&size, body + (size_t)i * sizeof(size), sizeof(size));
        offset += (size + 7) & ~(size_t)7;
    }
    return (int64_t *)(void *)(body + offset);
}

/* Keeps times within [low, high]; returns how many were moved. */
static uint64_t times_clamp(int64_t *times, uint32_t rows, int64_t now, int64_t low, int64_t high) {
    uint64_t moved = 0;
    for (uint32_t i = 0; i < rows; i++) {
        int64_t time = times[i];
        if (time == EVENT_TIME_AT_APPEND) {
            times[i] = now;
            continue;
        }
        int64_t kept = time < low ? low : time > high ? high : time;
        moved += kept != time;
        times[i] = kept;
    }
    return moved;
}

/* Event clock: a time beyond the newest moves it, an event without one happens at the newest.
 * Returns the newest after the last row. */
static int64_t times_follow(int64_t *times, uint32_t rows, int64_t newest) {
    for (uint32_t i = 0; i < rows; i++) {
        if (times[i] == EVENT_TIME_AT_APPEND) {
            times[i] = newest;
        } else if (times[i] > newest) {
            newest = times[i];
        }
    }
    return newest;
}

void commit_stamp(struct commit *commit, const struct commit_rules *rules, int64_t clock_ms,
                  bool synced, struct commit_cursor *cursor) {
    if (commit->ready) {
        commit_pass(commit, synced, cursor);
        return;
    }
    /* A clock that stepped back must not take append time with it. */
    if (!rules->event_clock && clock_ms > cursor->newest_ms) {
        cursor->newest_ms = clock_ms;
    }
    commit->clamped = 0;
    commit->receipt.first_sequence = cursor->sequence;
    uint8_t *at = commit->data;
    for (int i = 0; i < commit->count; i++) {
        struct frame *frame = &commit->frames[i];
        int64_t now = cursor->newest_ms;
        if (frame->schema_id == SCHEMA_EVENT) {
            int64_t *times = event_times(at + FRAME_HEADER_BYTES);
            if (rules->event_clock) {
                cursor->newest_ms = times_follow(times, frame->rows, now);
            } else {
                commit->clamped += times_clamp(times, frame->rows, now, now - rules->oldest_ms,
                                               now + rules->skew_ms);
            }
        }
        frame->log_id = rules->log_id;
        frame->salt = rules->salt;
        frame->flags = (rules->event_clock ? FRAME_EVENT_CLOCK : 0u) |
                       (synced && i == 0 ? FRAME_SYNCED : 0u) |
                       (i == commit->count - 1 ? FRAME_COMMIT : 0u);
        frame->first_sequence = cursor->sequence;
        frame->append_ms = cursor->newest_ms;
        frame_seal(frame, at);
        cursor->sequence += frame->rows;
        at += FRAME_HEADER_BYTES + frame->body_bytes;
    }
    commit->receipt.end_sequence = cursor->sequence;
    commit->receipt.append_ms = cursor->newest_ms;
}
