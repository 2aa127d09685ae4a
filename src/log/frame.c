#include "log/frame.h"

#include "base/hash.h"
#include "log/record.h"

#include <assert.h>
#include <inttypes.h>

/* The header as frame.h draws it; leat runs on little-endian machines only. */
struct header {
    uint32_t magic;
    uint16_t version;
    uint16_t schema_id;
    uint32_t log_id;
    uint16_t flags;
    uint16_t generation;
    uint32_t body_bytes;
    uint32_t salt;
    uint64_t first_sequence;
    uint32_t rows;
    uint16_t schema_version;
    uint16_t columns_stored;
    int64_t append_ms;
    uint64_t body_checksum;
    uint64_t header_checksum;
};

static_assert(sizeof(struct header) == FRAME_HEADER_BYTES, "the header has no padding");
static_assert(offsetof(struct header, generation) == 14, "as drawn in frame.h");
static_assert(offsetof(struct header, body_bytes) == 16, "as drawn in frame.h");
static_assert(offsetof(struct header, rows) == 32, "as drawn in frame.h");
static_assert(offsetof(struct header, append_ms) == 40, "as drawn in frame.h");
static_assert(offsetof(struct header, header_checksum) == 56, "as drawn in frame.h");

enum { FLAGS_KNOWN = FRAME_COMMIT | FRAME_EVENT_CLOCK | FRAME_SYNCED };

struct frame frame_of(const struct batch *batch) {
    return (struct frame){
        .schema_id = batch->schema->id,
        .schema_version = batch->schema->version,
        .columns_stored = (uint16_t)batch->schema->field_count,
        .rows = (uint32_t)batch->rows,
        .body_bytes = batch_body_size(batch),
    };
}

void frame_seal(struct frame *frame, uint8_t *out) {
    frame->body_checksum = hash_bytes(out + FRAME_HEADER_BYTES, frame->body_bytes);
    struct header header = {
        .magic = FRAME_MAGIC,
        .version = frame->version ? frame->version : FRAME_VERSION,
        .schema_id = frame->schema_id,
        .log_id = frame->log_id,
        .flags = (uint16_t)frame->flags,
        .generation = frame->generation,
        .body_bytes = (uint32_t)frame->body_bytes,
        .salt = frame->salt,
        .first_sequence = frame->first_sequence,
        .rows = frame->rows,
        .schema_version = frame->schema_version,
        .columns_stored = frame->columns_stored,
        .append_ms = frame->append_ms,
        .body_checksum = frame->body_checksum,
    };
    header.header_checksum = hash_bytes(&header, offsetof(struct header, header_checksum));
    memcpy(out, &header, sizeof(header));
}

void frame_write(const struct batch *batch, uint32_t log_id, uint32_t flags,
                 uint64_t first_sequence, int64_t append_ms, uint8_t *out) {
    struct frame frame = frame_of(batch);
    frame.log_id = log_id;
    frame.flags = flags;
    frame.first_sequence = first_sequence;
    frame.append_ms = append_ms;
    batch_body_write(batch, out + FRAME_HEADER_BYTES);
    frame_seal(&frame, out);
}

bool frame_header_whole(const uint8_t data[FRAME_HEADER_BYTES]) {
    struct header header;
    memcpy(&header, data, sizeof(header));
    return header.magic == FRAME_MAGIC &&
           header.header_checksum == hash_bytes(data, offsetof(struct header, header_checksum));
}

bool frame_is_newer(const uint8_t data[FRAME_HEADER_BYTES]) {
    struct header header;
    memcpy(&header, data, sizeof(header));
    if (header.magic != FRAME_MAGIC || header.version <= FRAME_VERSION) {
        return false;
    }
    for (uint16_t version = 1; version <= FRAME_VERSION; version++) {
        header.version = version;
        if (header.header_checksum ==
            hash_bytes(&header, offsetof(struct header, header_checksum))) {
            return false; /* the version alone is damaged */
        }
    }
    return true;
}

bool frame_body_whole(const struct frame *frame, const uint8_t *body) {
    return hash_bytes(body, frame->body_bytes) == frame->body_checksum;
}

/* What version 2 split in two, version 1 has in one: there the upper half is 0. */
static leat_status version_check(const struct header *header, leat_error *err) {
    if (header->version < 1 || header->version > FRAME_VERSION) {
        return error_set(err, LEAT_CORRUPT, "frame: version %u, this leat reads 1 to %d",
                         header->version, FRAME_VERSION);
    }
    if (header->version == 1 && (header->generation != 0 || header->salt != 0)) {
        return error_set(err, LEAT_CORRUPT, "frame: version 1 with generation %u and salt %" PRIx32,
                         header->generation, header->salt);
    }
    if (header->flags & ~FLAGS_KNOWN) {
        return error_set(err, LEAT_CORRUPT, "frame: flags %x are unknown",
                         (unsigned)(header->flags & ~FLAGS_KNOWN));
    }
    return LEAT_OK;
}

static leat_status schema_check(const struct header *header, leat_error *err) {
    const struct schema *schema = schema_by_id(header->schema_id);
    if (!schema) {
        return error_set(err, LEAT_CORRUPT, "frame: schema id %u is unknown", header->schema_id);
    }
    if (header->schema_version == 0 || header->schema_version > schema->version) {
        return error_set(err, LEAT_CORRUPT,
                         "frame: version %u of schema '%s' is unknown, the newest known is %u",
                         header->schema_version, schema->name, schema->version);
    }
    bool current = header->schema_version == schema->version;
    if (header->columns_stored > schema->field_count ||
        (current && header->columns_stored != schema->field_count)) {
        return error_set(err, LEAT_CORRUPT, "frame: %u columns of schema '%s', it has %d",
                         header->columns_stored, schema->name, schema->field_count);
    }
    return LEAT_OK;
}

static leat_status bounds_check(const struct header *header, leat_error *err) {
    if (header->rows == 0 || header->rows > BATCH_ROWS_MAX) {
        return error_set(err, LEAT_CORRUPT, "frame: %" PRIu32 " rows, 1 to %d are possible",
                         header->rows, BATCH_ROWS_MAX);
    }
    if (header->body_bytes > FRAME_BODY_BYTES_MAX || header->body_bytes % 8 != 0) {
        return error_set(err, LEAT_CORRUPT,
                         "frame: a body of %" PRIu32 " bytes; a multiple of 8, at most %d, is "
                         "possible",
                         header->body_bytes, FRAME_BODY_BYTES_MAX);
    }
    if (header->first_sequence > INT64_MAX - (uint64_t)header->rows) {
        return error_set(err, LEAT_CORRUPT, "frame: sequence %" PRIu64 " is beyond 2^63",
                         header->first_sequence);
    }
    return LEAT_OK;
}

leat_status frame_read_header(const uint8_t data[FRAME_HEADER_BYTES], struct frame *out,
                              leat_error *err) {
    struct header header;
    memcpy(&header, data, sizeof(header));
    if (header.magic != FRAME_MAGIC) {
        return error_set(err, LEAT_CORRUPT, "frame: magic is %08" PRIx32 ", not %08x", header.magic,
                         FRAME_MAGIC);
    }
    if (!frame_header_whole(data)) {
        return error_set(err, LEAT_CORRUPT, "frame: the header's checksum is wrong");
    }
    TRY(version_check(&header, err));
    TRY(schema_check(&header, err));
    TRY(bounds_check(&header, err));
    *out = (struct frame){
        .version = header.version,
        .generation = header.generation,
        .salt = header.salt,
        .schema_id = header.schema_id,
        .schema_version = header.schema_version,
        .columns_stored = header.columns_stored,
        .log_id = header.log_id,
        .flags = header.flags,
        .body_bytes = header.body_bytes,
        .first_sequence = header.first_sequence,
        .rows = header.rows,
        .append_ms = header.append_ms,
        .body_checksum = header.body_checksum,
    };
    return LEAT_OK;
}

leat_status frame_read_body(const struct frame *frame, const uint8_t *body, struct batch *out,
                            leat_error *err) {
    if (!frame_body_whole(frame, body)) {
        return error_set(err, LEAT_CORRUPT, "frame: the body's checksum is wrong");
    }
    return batch_body_read(schema_by_id(frame->schema_id), frame->columns_stored, frame->rows, body,
                           frame->body_bytes, out, err);
}
