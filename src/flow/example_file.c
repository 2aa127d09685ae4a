#include "flow/example_file.h"

#include "base/memory.h"
#include "flow/group.h"

#include <inttypes.h>

static uint64_t first_sequence(const struct batch *batch) {
    int count;
    return batch->schema->id == SCHEMA_EXAMPLE_GROUP
               ? batch_list_u64(batch, GROUP_SEQUENCES, 0, &count)[0]
               : batch_u64(batch, EXAMPLE_SEQUENCE, 0);
}

void example_frame_write(const struct batch *batch, uint32_t log_id, struct bytes *out) {
    size_t size = FRAME_HEADER_BYTES + batch_body_size(batch);
    uint8_t *at = bytes_extend(out, size);
    if (at) {
        frame_write(batch, log_id, FRAME_COMMIT, first_sequence(batch), 0, at);
    }
}

/* --- one frame --- */

/* frame_read_header knows the schemas of the log only, and examples are none of its records. */
static const struct schema *schema_of(uint16_t id) {
    return id == SCHEMA_EXAMPLE         ? schema_example()
           : id == SCHEMA_EXAMPLE_GROUP ? schema_example_group()
                                        : NULL;
}

static leat_status schema_check(const struct frame *frame, leat_error *err) {
    const struct schema *schema = schema_of(frame->schema_id);
    if (!schema || frame->schema_version == 0 || frame->schema_version > schema->version) {
        return error_set(err, LEAT_CORRUPT,
                         "a frame of schema %u, version %u; examples are %u, groups of them %u",
                         frame->schema_id, frame->schema_version, SCHEMA_EXAMPLE,
                         SCHEMA_EXAMPLE_GROUP);
    }
    bool current = frame->schema_version == schema->version;
    if (frame->columns_stored > schema->field_count ||
        (current && frame->columns_stored != schema->field_count)) {
        return error_set(err, LEAT_CORRUPT, "a frame of %u columns; schema '%s' has %d",
                         frame->columns_stored, schema->name, schema->field_count);
    }
    return LEAT_OK;
}

leat_status example_frame_read_header(const uint8_t header[FRAME_HEADER_BYTES], struct frame *out,
                                      leat_error *err) {
    uint32_t body_bytes; /* frame.h draws where they stand */
    *out = (struct frame){0};
    if (!frame_header_whole(header)) {
        return error_set(err, LEAT_CORRUPT, "no frame: its magic or its checksum is wrong");
    }
    memcpy(&out->schema_id, header + 6, sizeof(out->schema_id));
    memcpy(&out->log_id, header + 8, sizeof(out->log_id));
    memcpy(&body_bytes, header + 16, sizeof(body_bytes));
    memcpy(&out->first_sequence, header + 24, sizeof(out->first_sequence));
    memcpy(&out->rows, header + 32, sizeof(out->rows));
    memcpy(&out->schema_version, header + 36, sizeof(out->schema_version));
    memcpy(&out->columns_stored, header + 38, sizeof(out->columns_stored));
    memcpy(&out->body_checksum, header + 48, sizeof(out->body_checksum));
    out->body_bytes = body_bytes;
    if (body_bytes > EXAMPLE_FRAME_BYTES_MAX || body_bytes % 8 != 0 || out->rows == 0 ||
        out->rows > BATCH_ROWS_MAX) {
        return error_set(err, LEAT_CORRUPT,
                         "a frame of %" PRIu32 " rows in %" PRIu32 " bytes; 1 to %d rows in at "
                         "most %d bytes, a multiple of 8, are possible",
                         out->rows, body_bytes, BATCH_ROWS_MAX, EXAMPLE_FRAME_BYTES_MAX);
    }
    return schema_check(out, err);
}

leat_status example_frame_read_body(const struct frame *frame, const uint8_t *body,
                                    struct batch *out, leat_error *err) {
    if (!frame_body_whole(frame, body)) {
        return error_set(err, LEAT_CORRUPT, "the frame's body does not match its checksum");
    }
    return batch_body_read(schema_of(frame->schema_id), frame->columns_stored, frame->rows, body,
                           frame->body_bytes, out, err);
}

/* --- the reader --- */

struct example_reader {
    struct file *file;
    char *path;
    uint64_t at, size;
    struct frame frame;
    struct bytes body;
};

static leat_status reader_start(struct example_reader *reader, struct disk *disk, const char *path,
                                leat_error *err) {
    reader->path = memory_text(path);
    if (!reader->path) {
        return error_memory(err, strlen(path) + 1);
    }
    leat_status status = file_open(disk, path, FILE_READ, &reader->file, err);
    return status == LEAT_OK ? file_size(reader->file, &reader->size, err) : status;
}

leat_status example_reader_open(struct disk *disk, const char *path, struct example_reader **out,
                                leat_error *err) {
    struct example_reader *reader = memory_zalloc(sizeof(*reader));
    if (!reader) {
        return error_memory(err, sizeof(*reader));
    }
    bytes_init(&reader->body);
    leat_status status = reader_start(reader, disk, path, err);
    if (status != LEAT_OK) {
        example_reader_close(reader);
        return status;
    }
    *out = reader;
    return LEAT_OK;
}

void example_reader_close(struct example_reader *reader) {
    if (reader) {
        file_close(reader->file);
        bytes_deinit(&reader->body);
        memory_free(reader->path);
        memory_free(reader);
    }
}

const struct frame *example_reader_frame(const struct example_reader *reader) {
    return &reader->frame;
}

static leat_status read_exactly(struct example_reader *reader, void *out, size_t count,
                                leat_error *err) {
    size_t got = 0;
    if (count <= reader->size - reader->at) {
        TRY(file_read(reader->file, out, count, reader->at, &got, err));
    }
    if (got != count) {
        return error_set(err, LEAT_CORRUPT, "%" PRIu64 " of %zu bytes, and the file ends",
                         reader->size - reader->at, count);
    }
    reader->at += count;
    return LEAT_OK;
}

static leat_status read_frame(struct example_reader *reader, struct batch *out, leat_error *err) {
    uint8_t header[FRAME_HEADER_BYTES];
    TRY(read_exactly(reader, header, sizeof(header), err));
    TRY(example_frame_read_header(header, &reader->frame, err));
    bytes_clear(&reader->body);
    uint8_t *body = bytes_extend(&reader->body, reader->frame.body_bytes);
    TRY(bytes_status(&reader->body, err));
    TRY(read_exactly(reader, body, reader->frame.body_bytes, err));
    return example_frame_read_body(&reader->frame, body, out, err);
}

leat_status example_reader_next(struct example_reader *reader, struct batch *out, leat_error *err) {
    if (reader->at == reader->size) {
        return LEAT_END;
    }
    uint64_t at = reader->at;
    leat_status status = read_frame(reader, out, err);
    return status < 0 ? error_in(err, status, "%s at offset %" PRIu64, reader->path, at) : status;
}
