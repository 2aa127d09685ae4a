/* The frame: the unit of the log and of a Kafka message.
 *
 *    0 u32 magic "leat"        20 u32 salt                48 u64 checksum of the body (XXH3-64)
 *    4 u16 version (2)         24 u64 first sequence      56 u64 checksum of bytes 0..55
 *    6 u16 schema id           32 u32 rows
 *    8 u32 log id              36 u16 schema version
 *   12 u16 flags               38 u16 columns stored
 *   14 u16 generation          40 i64 append time, ms
 *   16 u32 body bytes          64 body (batch.h), a multiple of 8
 *
 * Little-endian. A commit is one or more frames, the last one flagged FRAME_COMMIT.
 * The salt is one number for the whole log, drawn when it is made and known to nobody outside: a
 * text that was posted cannot hold a header of this log. The generation is 0 as appended, and one
 * more each time the segment is rewritten because a person is forgotten (log_erase.h).
 * Version 1 has no salt and no generation: flags and body bytes are a u32 and a u64. */
#ifndef LOG_FRAME_H
#define LOG_FRAME_H

#include "column/batch.h"

enum {
    FRAME_HEADER_BYTES = 64,
    FRAME_VERSION = 2,
    FRAME_GENERATION_MAX = UINT16_MAX,
    FRAME_BODY_BYTES_MAX = 256 << 20,
};
#define FRAME_MAGIC 0x7461656Cu

enum frame_flags {
    FRAME_COMMIT = 1,      /* the last frame of its commit */
    FRAME_EVENT_CLOCK = 2, /* append time is the newest event time of the log so far */
    FRAME_SYNCED = 4,      /* all frames before this one were on disk when it was written: damage
                              before it is corruption, damage after the last of these may be torn */
};

struct frame {
    uint16_t version; /* 0 to write: the newest */
    uint16_t generation;
    uint32_t salt; /* 0 in version 1 */
    uint16_t schema_id;
    uint16_t schema_version;
    uint16_t columns_stored;
    uint32_t log_id;
    uint32_t flags;
    uint64_t body_bytes;
    uint64_t first_sequence;
    uint32_t rows;
    int64_t append_ms;
    uint64_t body_checksum;
};

/* Writes header and body: FRAME_HEADER_BYTES + batch_body_size(batch) bytes to `out`, 8-aligned. */
void frame_write(const struct batch *batch, uint32_t log_id, uint32_t flags,
                 uint64_t first_sequence, int64_t append_ms, uint8_t *out);
/* Reads and checks a header; LEAT_CORRUPT names the field that is wrong. */
leat_status frame_read_header(const uint8_t header[FRAME_HEADER_BYTES], struct frame *out,
                              leat_error *err);
/* Checks the body against the header and points `out` into it. */
leat_status frame_read_body(const struct frame *frame, const uint8_t *body, struct batch *out,
                            leat_error *err);

/* The pieces of the two above, for the writer (which knows sequence and time last) and for recovery
 * (which tells a torn write, whose checksums are wrong, from a wrong one, whose are right).
 *
 * frame_of: the fields that a batch decides, the others 0. frame_seal: writes the header of a frame
 * (of version 1 where `version` says so) whose body stands at out + FRAME_HEADER_BYTES already;
 * sets frame->body_checksum. */
struct frame frame_of(const struct batch *batch);
void frame_seal(struct frame *frame, uint8_t *out);
/* Of a version that this leat does not know: the rest of its header may be another one. */
bool frame_is_newer(const uint8_t header[FRAME_HEADER_BYTES]);
bool frame_header_whole(const uint8_t header[FRAME_HEADER_BYTES]);     /* magic and checksum */
bool frame_body_whole(const struct frame *frame, const uint8_t *body); /* checksum */

#endif
