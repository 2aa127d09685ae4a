#include "log/recovery.h"

#include "log/record.h"

#include <inttypes.h>
#include <stdio.h>

/* One pass over the segments. */
struct scan {
    struct disk *disk;
    const char *folder;
    uint32_t log_id;
    struct segment_window window;
    /* the segment at hand */
    struct file *file;
    char name[SEGMENT_NAME_BYTES];
    uint64_t size;       /* of the file */
    uint64_t commit_end; /* offset behind the last whole commit */
    bool salted;         /* a frame read so far has the log's salt */
    /* the log up to there */
    struct commit_cursor cursor;
    uint32_t salt;
    uint64_t commits;
    uint64_t rewritten;
    struct forget_list *forgets;
    struct batch batch; /* of the frame at hand */
};

/* A place whose bytes are not a whole frame, and why. */
struct damage {
    uint64_t offset;
    const char *why;
};

static leat_status scan_refuse(const struct scan *scan, uint64_t offset, const char *why,
                               leat_error *err) {
    return error_set(
        err, LEAT_CORRUPT,
        "%.120s: segment %s at offset %" PRIu64 ": %s; acknowledged rows from sequence %" PRIu64
        " on are damaged. Restore the folder from a copy, or, to go on without "
        "them: keep a copy, cut this segment to %" PRIu64 " bytes and remove the segments after it",
        scan->folder, scan->name, offset, why, scan->cursor.sequence, scan->commit_end);
}

/* Nothing is damaged, so nothing may be cut. */
static leat_status scan_refuse_newer(const struct scan *scan, uint64_t offset, leat_error *err) {
    return error_set(err, LEAT_UNSUPPORTED,
                     "%.120s: segment %s at offset %" PRIu64
                     ": a frame that a newer leat wrote, this one reads versions 1 to %d; start "
                     "that one again, or use another folder",
                     scan->folder, scan->name, offset, FRAME_VERSION);
}

static leat_status scan_refuse_gap(const struct scan *scan, uint64_t first_sequence,
                                   leat_error *err) {
    return error_set(
        err, LEAT_CORRUPT,
        "%.120s: segment %s at offset 0: its name says sequence %" PRIu64 " where %" PRIu64
        " is next; put the missing one back, from a copy. To go on without the rows from %" PRIu64
        " on: keep a copy, and remove this segment and those after it",
        scan->folder, scan->name, first_sequence, scan->cursor.sequence, scan->cursor.sequence);
}

/* A frame at `offset`. LEAT_END: not whole, `why` says how. LEAT_CORRUPT: whole, and wrong. */
static leat_status scan_frame(struct scan *scan, uint64_t offset, struct frame *frame,
                              const char **why, leat_error *err) {
    const uint8_t *data;
    if (scan->size - offset < FRAME_HEADER_BYTES) {
        *why = "the file ends inside a frame's header";
        return LEAT_END;
    }
    TRY(segment_window_view(&scan->window, scan->file, offset, FRAME_HEADER_BYTES, scan->size,
                            &data, err));
    if (frame_is_newer(data)) { /* before its checksum, which may stand elsewhere */
        return scan_refuse_newer(scan, offset, err);
    }
    if (!frame_header_whole(data)) {
        *why = "a frame's header is damaged";
        return LEAT_END;
    }
    leat_error words = {.message = ""};
    if (frame_read_header(data, frame, &words) < 0) {
        return scan_refuse(scan, offset, words.message, err);
    }
    if (scan->size - offset - FRAME_HEADER_BYTES < frame->body_bytes) {
        *why = "the file ends inside a frame's body";
        return LEAT_END;
    }
    size_t bytes = FRAME_HEADER_BYTES + (size_t)frame->body_bytes;
    TRY(segment_window_view(&scan->window, scan->file, offset, bytes, scan->size, &data, err));
    if (!frame_body_whole(frame, data + FRAME_HEADER_BYTES)) {
        *why = "a frame's body is damaged";
        return LEAT_END;
    }
    if (batch_body_read(schema_by_id(frame->schema_id), frame->columns_stored, frame->rows,
                        data + FRAME_HEADER_BYTES, frame->body_bytes, &scan->batch, &words) < 0) {
        return scan_refuse(scan, offset, words.message, err);
    }
    return LEAT_OK;
}

/* Does a whole frame follow `at`, the frames before it? `inside`: its commit has begun already. */
static leat_status scan_follow(const struct scan *scan, uint64_t offset, const struct frame *frame,
                               const struct commit_cursor *at, bool inside, leat_error *err) {
    char why[128];
    if (frame->log_id != scan->log_id) {
        snprintf(why, sizeof(why), "a frame of log %" PRIu32 " in log %" PRIu32, frame->log_id,
                 scan->log_id);
    } else if (frame->first_sequence != at->sequence) {
        snprintf(why, sizeof(why), "a frame of sequence %" PRIu64 " where %" PRIu64 " is next",
                 frame->first_sequence, at->sequence);
    } else if (frame->append_ms < at->newest_ms) {
        snprintf(why, sizeof(why), "append time goes back from %" PRId64 " to %" PRId64 " ms",
                 at->newest_ms, frame->append_ms);
    } else if (frame->salt != 0 && scan->salt != 0 && frame->salt != scan->salt) {
        snprintf(why, sizeof(why), "a frame with the salt of another log");
    } else if (inside && (frame->flags & FRAME_SYNCED)) {
        snprintf(why, sizeof(why), "a commit begins inside another one");
    } else {
        return LEAT_OK;
    }
    return scan_refuse(scan, offset, why, err);
}

/* Takes in a frame that follows: its salt, its forget rows. */
static leat_status scan_take(struct scan *scan, const struct frame *frame, leat_error *err) {
    scan->rewritten += frame->generation > 0;
    if (frame->salt != 0) {
        scan->salt = frame->salt;
        scan->salted = true;
    }
    for (int64_t row = forget_row(&scan->batch, 0); row < scan->batch.rows;
         row = forget_row(&scan->batch, row + 1)) {
        TRY(forget_list_reserve(scan->forgets, 1, err));
        forget_list_add(scan->forgets,
                        (struct forget){frame->first_sequence + (uint64_t)row, frame->append_ms});
    }
    return LEAT_OK;
}

/* Takes back the forget rows of a commit that is not whole. */
static void scan_drop(struct scan *scan) {
    struct forget_list *list = scan->forgets;
    while (list->count > 0 && list->items[list->count - 1].sequence >= scan->cursor.sequence) {
        list->count--;
    }
}

/* Reads the segment at hand up to its end or the first damage. LEAT_END: `damage` says where. */
static leat_status scan_segment(struct scan *scan, struct damage *damage, leat_error *err) {
    struct commit_cursor at = scan->cursor;
    uint64_t offset = 0;
    while (offset < scan->size) {
        struct frame frame;
        leat_status status = scan_frame(scan, offset, &frame, &damage->why, err);
        if (status != LEAT_OK) {
            damage->offset = offset;
            return status;
        }
        TRY(scan_follow(scan, offset, &frame, &at, offset > scan->commit_end, err));
        TRY(scan_take(scan, &frame, err));
        at.sequence += frame.rows;
        at.newest_ms = frame.append_ms;
        offset += FRAME_HEADER_BYTES + frame.body_bytes;
        if (frame.flags & FRAME_COMMIT) {
            scan->commit_end = offset;
            scan->cursor = at;
            scan->commits++;
        }
    }
    if (scan->commit_end == scan->size) {
        return LEAT_OK;
    }
    *damage = (struct damage){scan->commit_end, "the file ends inside a commit"};
    return LEAT_END;
}

/* Is there a frame behind the damage that was written when the damaged bytes were on disk already?
 * Its header alone is proof. */
static leat_status scan_proof(struct scan *scan, uint64_t damaged, uint64_t *found,
                              leat_error *err) {
    for (uint64_t offset = damaged + 8; offset + FRAME_HEADER_BYTES <= scan->size; offset += 8) {
        const uint8_t *data;
        TRY(segment_window_view(&scan->window, scan->file, offset, FRAME_HEADER_BYTES, scan->size,
                                &data, err));
        struct frame frame;
        if (frame_header_whole(data) && frame_read_header(data, &frame, NULL) == LEAT_OK &&
            (frame.flags & FRAME_SYNCED) && frame.log_id == scan->log_id &&
            (!scan->salted || frame.salt == scan->salt) &&
            frame.first_sequence > scan->cursor.sequence) {
            *found = offset;
            return LEAT_OK;
        }
    }
    return LEAT_NOT_FOUND;
}

static leat_status scan_cut(struct scan *scan, const struct damage *damage,
                            struct log_recovery *report, leat_error *err) {
    report->bytes_cut = scan->size - scan->commit_end;
    snprintf(report->report, sizeof(report->report),
             "segment %s: cut %" PRIu64 " bytes of an unfinished write behind offset %" PRIu64
             " (at %" PRIu64 ": %s); the log ends at sequence %" PRIu64,
             scan->name, report->bytes_cut, scan->commit_end, damage->offset, damage->why,
             scan->cursor.sequence);
    return file_truncate(scan->file, scan->commit_end, err);
}

/* Damage was found in the segment at hand: refuses, or cuts. */
static leat_status scan_judge(struct scan *scan, const struct damage *damage, bool last,
                              struct log_recovery *report, leat_error *err) {
    char why[160];
    if (!last) {
        snprintf(why, sizeof(why), "%s, and a segment follows", damage->why);
        return scan_refuse(scan, damage->offset, why, err);
    }
    uint64_t found = 0;
    leat_status status = scan_proof(scan, damage->offset, &found, err);
    if (status == LEAT_OK) {
        snprintf(why, sizeof(why), "%s, and a frame at offset %" PRIu64 " was written later",
                 damage->why, found);
        return scan_refuse(scan, damage->offset, why, err);
    }
    TRY(status);
    return scan_cut(scan, damage, report, err);
}

static leat_status scan_open(struct scan *scan, uint64_t first_sequence, leat_error *err) {
    char path[PATH_BYTES_MAX];
    segment_name(first_sequence, scan->name);
    TRY(path_join(path, scan->folder, scan->name, err));
    TRY(file_open(scan->disk, path, FILE_WRITE, &scan->file, err));
    scan->commit_end = 0;
    scan->salted = false;
    segment_window_clear(&scan->window);
    if (first_sequence != scan->cursor.sequence) {
        return scan_refuse_gap(scan, first_sequence, err);
    }
    return file_size(scan->file, &scan->size, err);
}

static leat_status scan_one(struct scan *scan, struct segment *segment, bool last,
                            struct log_recovery *report, leat_error *err) {
    leat_status status = scan_open(scan, segment->first_sequence, err);
    if (status == LEAT_OK) {
        struct damage damage;
        status = scan_segment(scan, &damage, err);
        if (status == LEAT_END) {
            scan_drop(scan);
            status = scan_judge(scan, &damage, last, report, err);
        }
    }
    if (status == LEAT_OK) {
        segment->bytes = scan->commit_end;
        segment->newest_ms = scan->cursor.newest_ms;
        /* A process that died may have left it unsynced; readers must not see what can vanish. */
        status = file_sync(scan->file, err);
    }
    file_close(scan->file);
    scan->file = NULL;
    return status;
}

leat_status recovery_run(struct disk *disk, const char *folder, uint32_t log_id,
                         struct recovered *out, struct log_recovery *report, leat_error *err) {
    *report = (struct log_recovery){0};
    struct segment_list *segments = &out->segments;
    struct scan scan = {.disk = disk, .folder = folder, .log_id = log_id, .forgets = &out->forgets};
    segment_window_init(&scan.window);
    TRY(segments_clean(disk, folder, err));
    TRY(segment_list_read(segments, disk, folder, err));
    scan.cursor.sequence = segments->count > 0 ? segments->items[0].first_sequence : 0;
    leat_status status = LEAT_OK;
    for (size_t i = 0; status == LEAT_OK && i < segments->count; i++) {
        bool last = i + 1 == segments->count;
        status = scan_one(&scan, &segments->items[i], last, report, err);
    }
    if (status == LEAT_OK) {
        status = disk_sync_folder(disk, folder, err);
    }
    segment_window_deinit(&scan.window);
    report->segments = segments->count;
    report->commits = scan.commits;
    report->frames_rewritten = scan.rewritten;
    out->cursor = scan.cursor;
    out->salt = scan.salt;
    return status;
}
