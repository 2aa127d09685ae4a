/* Files of examples: frames (log/frame.h) of schema_example, or of schema_example_group, one after
 * the other and nothing else. A frame's first sequence is that of its first example; its append
 * time is 0. What the trainer lets overflow, what a server emits and what a back-fill writes look
 * like this. */
#ifndef FLOW_EXAMPLE_FILE_H
#define FLOW_EXAMPLE_FILE_H

#include "base/file.h"
#include "flow/example.h"
#include "log/frame.h"

enum {
    EXAMPLE_FRAME_ROWS = 4096,          /* a writer ends a frame at so many rows */
    EXAMPLE_FRAME_BYTES = 1 << 20,      /* or when the builder holds about so much */
    EXAMPLE_FRAME_BYTES_MAX = 64 << 20, /* a reader refuses a longer body */
};

/* Appends the batch, which has rows, as one frame. */
void example_frame_write(const struct batch *batch, uint32_t log_id, struct bytes *out);
/* Checks a frame's header and its bounds. LEAT_CORRUPT says what is wrong. */
leat_status example_frame_read_header(const uint8_t header[FRAME_HEADER_BYTES], struct frame *out,
                                      leat_error *err);
/* Checks the body (frame->body_bytes, 8-aligned, borrowed) and points `out` into it. */
leat_status example_frame_read_body(const struct frame *frame, const uint8_t *body,
                                    struct batch *out, leat_error *err);

/* Reads a file from its start. One thread. */
struct example_reader;

/* LEAT_NOT_FOUND (positive) without the file. `path` is copied. */
leat_status example_reader_open(struct disk *disk, const char *path, struct example_reader **out,
                                leat_error *err);
/* The next frame's rows, borrowed until the next call. LEAT_END after the last one; LEAT_CORRUPT
 * names path and offset. */
leat_status example_reader_next(struct example_reader *reader, struct batch *out, leat_error *err);
/* Of the frame that example_reader_next gave last. */
const struct frame *example_reader_frame(const struct example_reader *reader);
void example_reader_close(struct example_reader *reader); /* NULL is fine */

#endif
