/* Reads frames into memory of the reader's own, many small ones at a time. Never beyond what the
 * writer has published as durable, so a half-written commit is never seen. */
#include "base/memory.h"
#include "log/log_internal.h"

#include <inttypes.h>

struct log_reader {
    struct log *log;
    struct segment segment; /* at hand; its durable bytes, and the log's end, when last looked at */
    uint64_t end;
    struct file *file;
    struct segment_window window;
    uint64_t offset;   /* of the next frame */
    uint64_t sequence; /* of its first row */
};

static leat_status reader_removed(const struct log *log, uint64_t sequence, leat_error *err) {
    return error_set(err, LEAT_INVALID,
                     "position %" PRIu64 " is not in the log any more, which begins at %" PRIu64
                     ": older segments were removed (log.retain, log.retain_age)",
                     sequence, log_begin(log));
}

/* With the log's mutex held, so that the file is the one that the list speaks of: a rewritten
 * segment takes its place under the mutex, and one that is to be removed is before `begin`. */
static leat_status reader_open_segment(struct log_reader *reader, const struct segment *segment,
                                       leat_error *err) {
    struct file *file;
    TRY(segment_open(reader->log->options.disk, reader->log->folder, segment->first_sequence, &file,
                     err));
    file_close(reader->file);
    reader->file = file;
    reader->offset = 0;
    segment_window_clear(&reader->window);
    return LEAT_OK;
}

static leat_status reader_find_segment(struct log_reader *reader, bool *opened, leat_error *err) {
    struct log *log = reader->log;
    if (reader->sequence < log_begin(log)) {
        return reader_removed(log, reader->sequence, err);
    }
    const struct segment *found = segment_list_find(&log->segments, reader->sequence);
    INVARIANT(found, "sequence %llu is before the first segment",
              (unsigned long long)reader->sequence);
    reader->end = log_end(log);
    *opened = !reader->file || found->first_sequence != reader->segment.first_sequence ||
              found->generation != reader->segment.generation;
    if (*opened) {
        TRY(reader_open_segment(reader, found, err));
    }
    reader->segment = *found;
    return LEAT_OK;
}

static leat_status reader_in(const struct log_reader *reader, leat_status status, leat_error *err) {
    char name[SEGMENT_NAME_BYTES];
    segment_name(reader->segment.first_sequence, name);
    return error_in(err, status, "segment %s at offset %" PRIu64, name, reader->offset);
}

/* The header of the next frame; `reader->offset` is before the segment's durable end. */
static leat_status reader_header(struct log_reader *reader, struct frame *frame, leat_error *err) {
    const uint8_t *data;
    TRY(segment_window_view(&reader->window, reader->file, reader->offset, FRAME_HEADER_BYTES,
                            reader->segment.bytes, &data, err));
    TRY(frame_read_header(data, frame, err));
    bool fits = reader->offset + FRAME_HEADER_BYTES + frame->body_bytes <= reader->segment.bytes;
    if (!fits || frame->first_sequence != reader->sequence ||
        frame->log_id != log_id(reader->log)) {
        return error_set(err, LEAT_CORRUPT,
                         "a frame of log %" PRIu32 ", sequence %" PRIu64 ", %" PRIu64
                         " bytes, where sequence %" PRIu64 " is next; the file was changed",
                         frame->log_id, frame->first_sequence, frame->body_bytes, reader->sequence);
    }
    return LEAT_OK;
}

static void reader_step(struct log_reader *reader, const struct frame *frame) {
    reader->offset += FRAME_HEADER_BYTES + frame->body_bytes;
    reader->sequence += frame->rows;
}

/* In a segment just opened: passes over the frames before the one that holds row `from`. */
static leat_status reader_skip(struct log_reader *reader, uint64_t from, leat_error *err) {
    reader->sequence = reader->segment.first_sequence;
    if (from == reader->end) {
        reader->offset = reader->segment.bytes;
        reader->sequence = from;
        return LEAT_OK;
    }
    while (reader->sequence < from) {
        struct frame frame;
        leat_status status = reader_header(reader, &frame, err);
        if (status < 0) {
            return reader_in(reader, status, err);
        }
        if (reader->sequence + frame.rows > from) {
            break;
        }
        reader_step(reader, &frame);
    }
    return LEAT_OK;
}

/* Looks up the segment that holds the next row: the one at hand, grown, or the next one, or the one
 * at hand rewritten. */
static leat_status reader_advance(struct log_reader *reader, leat_error *err) {
    bool opened = false;
    mutex_lock(&reader->log->mutex);
    leat_status status = reader_find_segment(reader, &opened, err);
    mutex_unlock(&reader->log->mutex);
    TRY(status);
    return opened ? reader_skip(reader, reader->sequence, err) : LEAT_OK;
}

leat_status log_reader_open(struct log *log, uint64_t from, struct log_reader **out,
                            leat_error *err) {
    uint64_t end = log_end(log);
    if (from < log_begin(log) || from > end) {
        return error_set(err, LEAT_INVALID,
                         "position %" PRIu64 " is not in the log, which holds %" PRIu64
                         " to %" PRIu64,
                         from, log_begin(log), end);
    }
    struct log_reader *reader = memory_zalloc(sizeof(*reader));
    if (!reader) {
        return error_memory(err, sizeof(*reader));
    }
    reader->log = log;
    segment_window_init(&reader->window);
    reader->sequence = from;
    leat_status status = reader_advance(reader, err);
    if (status < 0) {
        log_reader_close(reader);
        return status;
    }
    *out = reader;
    return LEAT_OK;
}

uint64_t log_reader_at(const struct log_reader *reader) {
    return reader->sequence;
}

void log_reader_close(struct log_reader *reader) {
    if (reader) {
        file_close(reader->file);
        segment_window_deinit(&reader->window);
        memory_free(reader);
    }
}

static leat_status reader_frame(struct log_reader *reader, struct log_entry *out, leat_error *err) {
    TRY(reader_header(reader, &out->frame, err));
    size_t bytes = FRAME_HEADER_BYTES + (size_t)out->frame.body_bytes;
    const uint8_t *data;
    TRY(segment_window_view(&reader->window, reader->file, reader->offset, bytes,
                            reader->segment.bytes, &data, err));
    return frame_read_body(&out->frame, data + FRAME_HEADER_BYTES, &out->batch, err);
}

leat_status log_read(struct log_reader *reader, struct log_entry *out, leat_error *err) {
    if (reader->sequence >= log_end(reader->log)) {
        return LEAT_AGAIN;
    }
    if (reader->offset >= reader->segment.bytes) {
        TRY(reader_advance(reader, err));
    }
    leat_status status = reader_frame(reader, out, err);
    if (status < 0) {
        return reader_in(reader, status, err);
    }
    out->offset = reader->offset;
    reader_step(reader, &out->frame);
    return LEAT_OK;
}

/* Appends the frame that log_read would give next. */
static leat_status reader_copy(struct log_reader *reader, struct frame *frame, struct bytes *out,
                               leat_error *err) {
    if (reader->offset >= reader->segment.bytes) {
        TRY(reader_advance(reader, err));
    }
    leat_status status = reader_header(reader, frame, err);
    size_t bytes = status < 0 ? 0 : FRAME_HEADER_BYTES + (size_t)frame->body_bytes;
    const uint8_t *data;
    if (status == LEAT_OK) {
        status = segment_window_view(&reader->window, reader->file, reader->offset, bytes,
                                     reader->segment.bytes, &data, err);
    }
    if (status < 0) {
        return reader_in(reader, status, err);
    }
    bytes_append(out, data, bytes);
    reader_step(reader, frame);
    return bytes_status(out, err);
}

leat_status log_read_frames(struct log_reader *reader, size_t bytes, struct bytes *out,
                            leat_error *err) {
    if (reader->sequence >= log_end(reader->log)) {
        return LEAT_AGAIN;
    }
    size_t begun = out->size;
    struct frame frame = {.flags = 0};
    bool more = true;
    while (more) {
        TRY(reader_copy(reader, &frame, out, err));
        more = !(frame.flags & FRAME_COMMIT) ||
               (out->size - begun < bytes && reader->sequence < log_end(reader->log));
    }
    return LEAT_OK;
}
