#include "app/log_walk.h"

#include "base/memory.h"
#include "base/text.h"

#include <inttypes.h>

enum { NAME_DIGITS = 20 };
static const char SUFFIX[] = ".seg";

/* --- the segments --- */

static leat_status add_segment(void *context, const char *name) {
    struct bytes *found = context;
    uint64_t first;
    if (strlen(name) == NAME_DIGITS + strlen(SUFFIX) && strcmp(name + NAME_DIGITS, SUFFIX) == 0 &&
        text_to_u64((struct slice){name, NAME_DIGITS}, &first)) {
        bytes_put_u64(found, first);
    }
    return LEAT_OK;
}

/* Names are listed sorted, and their digits are as many: so are the numbers. */
static leat_status list_segments(struct log_walk *walk, leat_error *err) {
    struct bytes found;
    bytes_init(&found);
    leat_status status = disk_list(walk->disk, walk->folder, add_segment, &found, err);
    if (status == LEAT_OK) {
        status = bytes_status(&found, err);
    }
    if (status == LEAT_NOT_FOUND || (status == LEAT_OK && found.size == 0)) {
        status = error_set(err, LEAT_INVALID, "no log at %s", walk->folder);
    }
    if (status < 0) {
        bytes_deinit(&found);
        return status;
    }
    walk->segments = (uint64_t *)(void *)found.data; /* taken: released by log_walk_close */
    walk->segment_count = found.size / sizeof(uint64_t);
    return LEAT_OK;
}

static leat_status open_segment(struct log_walk *walk, leat_error *err) {
    char name[NAME_DIGITS + sizeof(SUFFIX)];
    char path[PATH_BYTES_MAX];
    snprintf(name, sizeof(name), "%020" PRIu64 "%s", walk->segments[walk->next_segment], SUFFIX);
    TRY(path_join(path, walk->folder, name, err));
    file_close(walk->file);
    walk->file = NULL;
    leat_status status = file_open(walk->disk, path, FILE_READ, &walk->file, err);
    if (status == LEAT_NOT_FOUND) {
        return error_retry(err, LEAT_IO, "%s went away", path);
    }
    TRY(status);
    walk->next_segment++;
    walk->offset = 0;
    return file_size(walk->file, &walk->size, err);
}

leat_status log_walk_open(struct log_walk *walk, struct disk *disk, const char *folder,
                          uint64_t from, leat_error *err) {
    *walk = (struct log_walk){.disk = disk, .folder = folder};
    bytes_init(&walk->commit);
    TRY(list_segments(walk, err));
    if (from == LOG_WALK_BEGIN) {
        from = walk->segments[0];
    }
    if (walk->segments[0] > from) {
        return error_set(err, LEAT_INVALID,
                         "sequence %" PRIu64 " is before the log, which begins at %" PRIu64, from,
                         walk->segments[0]);
    }
    while (walk->next_segment + 1 < walk->segment_count &&
           walk->segments[walk->next_segment + 1] <= from) {
        walk->next_segment++;
    }
    return open_segment(walk, err);
}

void log_walk_close(struct log_walk *walk) {
    file_close(walk->file);
    memory_free(walk->segments);
    bytes_deinit(&walk->commit);
}

/* --- commits --- */

/* Appends the frame at `offset` to the commit at hand. LEAT_END: it is not whole. */
static leat_status read_frame(struct log_walk *walk, uint64_t offset, struct frame *frame,
                              leat_error *err) {
    uint8_t *header = bytes_extend(&walk->commit, FRAME_HEADER_BYTES);
    size_t got = 0;
    if (!header) {
        return bytes_status(&walk->commit, err);
    }
    TRY(file_read(walk->file, header, FRAME_HEADER_BYTES, offset, &got, err));
    if (got < FRAME_HEADER_BYTES || frame_read_header(header, frame, NULL) < 0 ||
        walk->size - offset - FRAME_HEADER_BYTES < frame->body_bytes) {
        return LEAT_END;
    }
    uint8_t *body = bytes_extend(&walk->commit, frame->body_bytes);
    if (!body) {
        return bytes_status(&walk->commit, err);
    }
    TRY(file_read(walk->file, body, frame->body_bytes, offset + FRAME_HEADER_BYTES, &got, err));
    return got == frame->body_bytes && frame_body_whole(frame, body) ? LEAT_OK : LEAT_END;
}

/* LEAT_END: no whole commit follows in this segment. */
static leat_status read_commit(struct log_walk *walk, leat_error *err) {
    bytes_clear(&walk->commit);
    walk->at = 0;
    struct frame frame;
    do {
        uint64_t offset = walk->offset + walk->commit.size;
        if (walk->size - offset < FRAME_HEADER_BYTES) {
            return LEAT_END;
        }
        leat_status status = read_frame(walk, offset, &frame, err);
        if (status != LEAT_OK) {
            return status;
        }
    } while (!(frame.flags & FRAME_COMMIT));
    walk->offset += walk->commit.size;
    return LEAT_OK;
}

static leat_status next_commit(struct log_walk *walk, leat_error *err) {
    leat_status status = read_commit(walk, err);
    while (status == LEAT_END && walk->next_segment < walk->segment_count) {
        if (walk->offset < walk->size) {
            return error_set(err, LEAT_CORRUPT,
                             "segment %020" PRIu64 "%s at offset %" PRIu64
                             ": no whole commit, and a segment follows",
                             walk->segments[walk->next_segment - 1], SUFFIX, walk->offset);
        }
        TRY(open_segment(walk, err));
        status = read_commit(walk, err);
    }
    if (status != LEAT_OK) {
        bytes_clear(&walk->commit);
        walk->unfinished = walk->size - walk->offset;
    }
    return status;
}

leat_status log_walk_next(struct log_walk *walk, struct frame *frame, struct batch *batch,
                          leat_error *err) {
    if (walk->at == walk->commit.size) {
        leat_status status = next_commit(walk, err);
        if (status != LEAT_OK) {
            return status;
        }
    }
    const uint8_t *data = walk->commit.data + walk->at;
    TRY(frame_read_header(data, frame, err));
    TRY(frame_read_body(frame, data + FRAME_HEADER_BYTES, batch, err));
    walk->at += FRAME_HEADER_BYTES + frame->body_bytes;
    return LEAT_OK;
}
