#include "base/memory.h"
#include "connect/row_cache_format.h"

struct row_cache_writer {
    struct disk *disk;
    struct file *file;
    uint64_t at;
    uint64_t examples;
    int tasks, dense_count;
    struct bytes block;
};

static leat_status put_head(struct row_cache_writer *writer, const struct row_cache_shape *shape,
                            leat_error *err) {
    struct bytes *out = &writer->block;
    size_t words = (shape->description.size + 7) & ~(size_t)7;
    bytes_clear(out);
    bytes_put_u32(out, CACHE_MAGIC);
    bytes_put_u32(out, CACHE_VERSION);
    bytes_put_u32(out, (uint32_t)(CACHE_HEAD_BYTES + words + sizeof(uint64_t)));
    bytes_put_u32(out, (uint32_t)shape->tasks);
    bytes_put_u32(out, (uint32_t)shape->dense_count);
    bytes_put_u32(out, (uint32_t)shape->description.size);
    bytes_put_u64(out, shape->fingerprint);
    bytes_append(out, shape->description.data, shape->description.size);
    bytes_align(out, 8);
    TRY(bytes_status(out, err));
    bytes_put_u64(out, hash_bytes(out->data, out->size));
    TRY(bytes_status(out, err));
    TRY(file_write(writer->file, out->data, out->size, 0, err));
    writer->at = out->size;
    return LEAT_OK;
}

static leat_status start(struct row_cache_writer *writer, const char *path,
                         const struct row_cache_shape *shape, uint64_t at, leat_error *err) {
    uint64_t size;
    if (shape->description.size > ROW_CACHE_DESCRIPTION_MAX) {
        return error_set(err, LEAT_INVALID, "%s: %zu bytes describe it; %d at most", path,
                         shape->description.size, ROW_CACHE_DESCRIPTION_MAX);
    }
    TRY(file_open(writer->disk, path, FILE_WRITE, &writer->file, err));
    TRY(file_size(writer->file, &size, err));
    if (at > size) {
        return error_set(err, LEAT_INVALID, "%s: %llu bytes, and %llu were written", path,
                         (unsigned long long)size, (unsigned long long)at);
    }
    TRY(file_truncate(writer->file, at, err));
    writer->at = at;
    return at > 0 ? LEAT_OK : put_head(writer, shape, err);
}

leat_status row_cache_create(struct disk *disk, const char *path,
                             const struct row_cache_shape *shape, uint64_t at,
                             uint64_t examples_before, struct row_cache_writer **out,
                             leat_error *err) {
    struct row_cache_writer *writer = memory_zalloc(sizeof(*writer));
    if (!writer) {
        return error_memory(err, sizeof(*writer));
    }
    writer->disk = disk;
    writer->tasks = shape->tasks;
    writer->dense_count = shape->dense_count;
    writer->examples = examples_before;
    bytes_init(&writer->block);
    leat_status status = start(writer, path, shape, at, err);
    if (status < 0) {
        row_cache_writer_close(writer);
        return status;
    }
    *out = writer;
    return LEAT_OK;
}

void row_cache_writer_close(struct row_cache_writer *writer) {
    if (writer) {
        file_close(writer->file);
        bytes_deinit(&writer->block);
        memory_free(writer);
    }
}

static uint32_t flags_of(const struct minibatch *rows, const uint64_t *numbers) {
    uint32_t flags = (rows->values ? CACHE_VALUES : 0) | (rows->times ? CACHE_TIMES : 0);
    uint32_t width = rows->offsets[1] - rows->offsets[0];
    bool regular = true;
    bool follow = true;
    bool ones = true;
    for (int i = 0; i < rows->count; i++) {
        regular = regular && rows->offsets[i + 1] - rows->offsets[i] == width;
        follow = follow && numbers[i] == numbers[0] + (uint64_t)i;
    }
    for (int i = 0; i < rows->count * rows->tasks; i++) {
        ones = ones && rows->weights[i] == 1;
    }
    return flags | (regular ? CACHE_REGULAR : 0) | (follow ? 0 : CACHE_NUMBERS) |
           (ones ? 0 : CACHE_WEIGHTS);
}

static void put_floats(struct bytes *out, const float *values, size_t count) {
    if (values && count > 0) {
        bytes_append(out, values, count * sizeof(float));
    }
    bytes_align(out, 8);
}

static void put_body(struct bytes *out, const struct minibatch *rows, const uint64_t *numbers,
                     uint32_t flags) {
    size_t count = (size_t)rows->count;
    uint32_t from = rows->offsets[0];
    size_t keys = rows->offsets[rows->count] - from;
    size_t tasks = (size_t)rows->tasks;
    bytes_append(out, rows->keys + from, keys * sizeof(uint64_t));
    if (flags & CACHE_NUMBERS) {
        bytes_append(out, numbers, count * sizeof(uint64_t));
    }
    for (size_t i = 0; !(flags & CACHE_REGULAR) && i <= count; i++) {
        bytes_put_u32(out, rows->offsets[i] - from);
    }
    bytes_align(out, 8);
    put_floats(out, rows->values ? rows->values + from : NULL, keys);
    put_floats(out, rows->dense, count * (size_t)rows->dense_count);
    put_floats(out, rows->targets, count * tasks);
    put_floats(out, flags & CACHE_WEIGHTS ? rows->weights : NULL, count * tasks);
    if (rows->times) {
        bytes_append(out, rows->times, count * sizeof(uint32_t));
        bytes_align(out, 8);
    }
}

/* The head is written over the room that was left for it. */
static void put_block_head(struct bytes *block, const struct cache_block *head) {
    uint8_t bytes[CACHE_BLOCK_HEAD] = {0};
    uint32_t words[] = {CACHE_BLOCK_MAGIC, head->rows, head->keys, head->flags};
    uint64_t longs[] = {head->bytes, head->first, head->before, head->checksum};
    memcpy(bytes, words, sizeof(words));
    memcpy(bytes + sizeof(words), longs, sizeof(longs));
    uint64_t checksum = hash_bytes(bytes, CACHE_BLOCK_HEAD - sizeof(uint64_t));
    memcpy(bytes + CACHE_BLOCK_HEAD - sizeof(uint64_t), &checksum, sizeof(checksum));
    memcpy(block->data, bytes, CACHE_BLOCK_HEAD);
}

static leat_status put_block(struct row_cache_writer *writer, struct cache_block *head,
                             leat_error *err) {
    struct bytes *block = &writer->block;
    TRY(bytes_status(block, err));
    head->bytes = block->size - CACHE_BLOCK_HEAD;
    head->before = writer->examples;
    head->checksum = hash_bytes(block->data + CACHE_BLOCK_HEAD, block->size - CACHE_BLOCK_HEAD);
    put_block_head(block, head);
    TRY(file_write(writer->file, block->data, block->size, writer->at, err));
    writer->at += block->size;
    writer->examples += head->rows;
    return LEAT_OK;
}

leat_status row_cache_write(struct row_cache_writer *writer, const struct minibatch *rows,
                            const uint64_t *numbers, leat_error *err) {
    INVARIANT(rows->tasks == writer->tasks && rows->dense_count == writer->dense_count,
              "%d tasks, %d dense inputs", rows->tasks, rows->dense_count);
    if (rows->count == 0) {
        return LEAT_OK;
    }
    struct cache_block head = {
        .rows = (uint32_t)rows->count,
        .keys = rows->offsets[rows->count] - rows->offsets[0],
        .flags = flags_of(rows, numbers),
        .first = numbers[0],
    };
    bytes_clear(&writer->block);
    bytes_fill(&writer->block, 0, CACHE_BLOCK_HEAD);
    put_body(&writer->block, rows, numbers, head.flags);
    return put_block(writer, &head, err);
}

leat_status row_cache_sync(struct row_cache_writer *writer, uint64_t *at, leat_error *err) {
    *at = writer->at;
    return file_sync(writer->file, err);
}

leat_status row_cache_finish(struct row_cache_writer *writer, leat_error *err) {
    struct cache_block end = {.rows = 0};
    bytes_clear(&writer->block);
    bytes_fill(&writer->block, 0, CACHE_BLOCK_HEAD);
    TRY(put_block(writer, &end, err));
    return file_sync(writer->file, err);
}
