/* Commits of another log, on their way into a copy of it. */
#include "base/memory.h"
#include "log/commit.h"
#include "log/forgets.h"

#include <inttypes.h>

enum { COMMIT_ALIGNMENT = 64 };

/* One walk over the frames. */
struct walk {
    const struct commit_rules *rules;
    struct commit_cursor at;
    struct bytes *forgets;
    uint64_t first_sequence;
    bool whole; /* the last frame ended a commit */
};

static leat_status refuse_cut(leat_error *err) {
    return error_set(err, LEAT_CORRUPT, "frames that end inside a commit");
}

static leat_status walk_follow(const struct walk *walk, const struct frame *frame,
                               leat_error *err) {
    if (frame->log_id != walk->rules->log_id ||
        (frame->salt != 0 && frame->salt != walk->rules->salt)) {
        return error_set(err, LEAT_CONFLICT,
                         "a frame of log %" PRIu32 " with salt %08" PRIx32
                         ", this is a copy of log %" PRIu32 " with salt %08" PRIx32,
                         frame->log_id, frame->salt, walk->rules->log_id, walk->rules->salt);
    }
    if (frame->first_sequence != walk->at.sequence) {
        return error_set(err, LEAT_CONFLICT,
                         "a frame of sequence %" PRIu64 " where %" PRIu64 " is next",
                         frame->first_sequence, walk->at.sequence);
    }
    if (frame->append_ms < walk->at.newest_ms) {
        return error_set(err, LEAT_CONFLICT,
                         "a frame whose append time goes back from %" PRId64 " to %" PRId64 " ms",
                         walk->at.newest_ms, frame->append_ms);
    }
    return LEAT_OK;
}

static leat_status walk_frame(struct walk *walk, const uint8_t *data, size_t left, size_t *size,
                              leat_error *err) {
    struct frame frame;
    struct batch batch;
    if (left < FRAME_HEADER_BYTES) {
        return refuse_cut(err);
    }
    TRY(frame_read_header(data, &frame, err));
    if (left - FRAME_HEADER_BYTES < frame.body_bytes) {
        return refuse_cut(err);
    }
    TRY(frame_read_body(&frame, data + FRAME_HEADER_BYTES, &batch, err));
    TRY(walk_follow(walk, &frame, err));
    for (int64_t row = forget_row(&batch, 0); row < batch.rows; row = forget_row(&batch, row + 1)) {
        bytes_put_u32(walk->forgets,
                      (uint32_t)(frame.first_sequence - walk->first_sequence + (uint64_t)row));
    }
    walk->at.sequence += frame.rows;
    walk->at.newest_ms = frame.append_ms;
    walk->whole = frame.flags & FRAME_COMMIT;
    *size = FRAME_HEADER_BYTES + (size_t)frame.body_bytes;
    return LEAT_OK;
}

static leat_status walk_run(struct walk *walk, const struct commit *commit, leat_error *err) {
    for (size_t at = 0; at < commit->size;) {
        size_t size = 0;
        TRY(walk_frame(walk, commit->data + at, commit->size - at, &size, err));
        at += size;
    }
    return walk->whole ? LEAT_OK : refuse_cut(err);
}

leat_status commit_init_frames(struct commit *commit, const void *frames, size_t size,
                               const struct commit_rules *rules, const struct commit_cursor *cursor,
                               leat_error *err) {
    *commit = (struct commit){.size = size, .ready = true};
    commit->data = memory_aligned(COMMIT_ALIGNMENT, size + COMMIT_ALIGNMENT);
    if (!commit->data) {
        return error_memory(err, size);
    }
    memcpy(commit->data, frames, size);
    struct bytes forgets;
    bytes_init(&forgets);
    struct walk walk = {rules, *cursor, &forgets, cursor->sequence, false};
    leat_status status = walk_run(&walk, commit, err);
    if (status < 0) {
        bytes_deinit(&forgets);
    } else {
        status = commit_forgets(commit, &forgets, err);
    }
    if (status < 0) {
        commit_deinit(commit);
        return status;
    }
    commit->receipt = (struct log_receipt){.first_sequence = cursor->sequence,
                                           .end_sequence = walk.at.sequence,
                                           .append_ms = walk.at.newest_ms};
    return LEAT_OK;
}

/* All of them are written and synced at once, so only the first frame may speak of what is on disk
 * before it. */
void commit_pass(struct commit *commit, bool synced, struct commit_cursor *cursor) {
    INVARIANT(commit->receipt.first_sequence == cursor->sequence,
              "frames from %" PRIu64 " at %" PRIu64, commit->receipt.first_sequence,
              cursor->sequence);
    for (size_t at = 0; at < commit->size;) {
        struct frame frame;
        leat_status status = frame_read_header(commit->data + at, &frame, NULL);
        INVARIANT(status == LEAT_OK, "status %d at %zu", status, at);
        bool speaks = synced && at == 0;
        frame.flags = (frame.flags & ~(uint32_t)FRAME_SYNCED) | (speaks ? FRAME_SYNCED : 0u);
        frame_seal(&frame, commit->data + at);
        at += FRAME_HEADER_BYTES + (size_t)frame.body_bytes;
    }
    cursor->sequence = commit->receipt.end_sequence;
    cursor->newest_ms = commit->receipt.append_ms;
}
