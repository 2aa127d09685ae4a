#include "connect/row_cache.h"

#include "base/memory.h"
#include "connect/row_cache_format.h"

struct row_cache {
    struct file *file;
    char path[PATH_BYTES_MAX];
    uint64_t size;  /* of the file */
    uint64_t begin; /* of the first block */
    uint64_t at;
    uint64_t examples;
    struct row_cache_shape shape;
    struct bytes head; /* holds the description */
    struct bytes body;
    uint32_t width; /* keys a row that `offsets` are of */
    uint32_t offsets[MINIBATCH_MAX + 1];
    float ones[MINIBATCH_MAX]; /* `ones_more` where there are more tasks than one */
    float *ones_more;
    uint64_t numbers[MINIBATCH_MAX];
};

static leat_status damaged(const struct row_cache *cache, const char *words, leat_error *err) {
    return error_set(err, LEAT_CORRUPT, "%s: at byte %llu %s; remove it, and it is made again",
                     cache->path, (unsigned long long)cache->at, words);
}

static leat_status read_exactly(struct row_cache *cache, struct bytes *out, size_t count,
                                leat_error *err) {
    size_t got = 0;
    bytes_clear(out);
    uint8_t *to = bytes_extend(out, count);
    if (!to) {
        return error_memory(err, count);
    }
    TRY(file_read(cache->file, to, count, cache->at, &got, err));
    return got == count ? LEAT_OK : damaged(cache, "the file is cut off", err);
}

/* --- the head --- */

static leat_status read_head(struct row_cache *cache, leat_error *err) {
    TRY(read_exactly(cache, &cache->head, CACHE_HEAD_BYTES, err));
    struct bytes_reader reader = bytes_reader_of(cache->head.data, cache->head.size);
    uint32_t magic = bytes_get_u32(&reader);
    uint32_t version = bytes_get_u32(&reader);
    if (magic != CACHE_MAGIC) {
        return error_set(err, LEAT_INVALID, "%s: is no cache of examples", cache->path);
    }
    if (version != CACHE_VERSION) {
        return error_set(err, LEAT_INVALID, "%s: version %u of the cache; %d is read", cache->path,
                         version, CACHE_VERSION);
    }
    uint32_t bytes = bytes_get_u32(&reader);
    uint32_t tasks = bytes_get_u32(&reader);
    uint32_t dense = bytes_get_u32(&reader);
    uint32_t words = bytes_get_u32(&reader);
    uint64_t fingerprint = bytes_get_u64(&reader);
    if (tasks < 1 || tasks > 64 || dense > 65536 || words > ROW_CACHE_DESCRIPTION_MAX ||
        bytes != CACHE_HEAD_BYTES + ((words + 7) & ~7u) + sizeof(uint64_t)) {
        return damaged(cache, "the head is damaged", err);
    }
    TRY(read_exactly(cache, &cache->head, bytes, err));
    uint64_t checksum;
    memcpy(&checksum, cache->head.data + bytes - sizeof(checksum), sizeof(checksum));
    if (checksum != hash_bytes(cache->head.data, bytes - sizeof(checksum))) {
        return damaged(cache, "the head is damaged", err);
    }
    cache->shape =
        (struct row_cache_shape){(int)tasks,
                                 (int)dense,
                                 fingerprint,
                                 {(const char *)cache->head.data + CACHE_HEAD_BYTES, words}};
    cache->begin = bytes;
    return LEAT_OK;
}

/* --- blocks --- */

static leat_status parse_block_head(struct row_cache *cache, const uint8_t *bytes,
                                    struct cache_block *out, leat_error *err) {
    struct bytes_reader reader = bytes_reader_of(bytes, CACHE_BLOCK_HEAD);
    uint32_t magic = bytes_get_u32(&reader);
    out->rows = bytes_get_u32(&reader);
    out->keys = bytes_get_u32(&reader);
    out->flags = bytes_get_u32(&reader);
    out->bytes = bytes_get_u64(&reader);
    out->first = bytes_get_u64(&reader);
    out->before = bytes_get_u64(&reader);
    out->checksum = bytes_get_u64(&reader);
    uint64_t checksum;
    memcpy(&checksum, bytes + CACHE_BLOCK_HEAD - sizeof(checksum), sizeof(checksum));
    if (magic != CACHE_BLOCK_MAGIC ||
        checksum != hash_bytes(bytes, CACHE_BLOCK_HEAD - sizeof(checksum))) {
        return damaged(cache, "the head of a block is damaged", err);
    }
    bool regular = out->flags & CACHE_REGULAR;
    if (out->rows > MINIBATCH_MAX || out->bytes > ROW_CACHE_BODY_MAX || out->flags > CACHE_FLAGS ||
        out->keys > ROW_CACHE_BODY_MAX / sizeof(uint64_t) ||
        (regular && out->rows > 0 && out->keys % out->rows != 0)) {
        return damaged(cache, "a block is larger than any that is written", err);
    }
    struct cache_layout layout = cache_layout_of(out, cache->shape.tasks, cache->shape.dense_count);
    if (out->bytes != (out->rows ? layout.end : 0)) {
        return damaged(cache, "a block is not as long as its rows", err);
    }
    return LEAT_OK;
}

static leat_status read_block_head(struct row_cache *cache, uint64_t at, struct cache_block *out,
                                   leat_error *err) {
    uint8_t bytes[CACHE_BLOCK_HEAD];
    size_t got = 0;
    TRY(file_read(cache->file, bytes, sizeof(bytes), at, &got, err));
    return got == sizeof(bytes) ? parse_block_head(cache, bytes, out, err)
                                : damaged(cache, "the file is cut off", err);
}

/* The end says that a run finished what it wrote. */
static leat_status read_end(struct row_cache *cache, leat_error *err) {
    struct cache_block end;
    cache->at = cache->size > CACHE_BLOCK_HEAD ? cache->size - CACHE_BLOCK_HEAD : 0;
    leat_status status =
        cache->at < cache->begin ? LEAT_CORRUPT : read_block_head(cache, cache->at, &end, NULL);
    if (status < 0 || end.rows != 0) {
        return error_set(err, LEAT_INVALID, "%s: has no end: the run that wrote it did not finish",
                         cache->path);
    }
    cache->examples = end.before;
    cache->at = cache->begin;
    return LEAT_OK;
}

static leat_status start(struct row_cache *cache, leat_error *err) {
    for (int i = 0; i < MINIBATCH_MAX; i++) {
        cache->ones[i] = 1;
    }
    TRY(file_size(cache->file, &cache->size, err));
    TRY(read_head(cache, err));
    if (cache->shape.tasks > 1) {
        size_t count = (size_t)cache->shape.tasks * MINIBATCH_MAX;
        cache->ones_more = memory_alloc(count * sizeof(float));
        for (size_t i = 0; cache->ones_more && i < count; i++) {
            cache->ones_more[i] = 1;
        }
        if (!cache->ones_more) {
            return error_memory(err, count * sizeof(float));
        }
    }
    return read_end(cache, err);
}

leat_status row_cache_open(struct disk *disk, const char *path, struct row_cache **out,
                           leat_error *err) {
    if (strlen(path) >= PATH_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "a path of %zu bytes; %d at most", strlen(path),
                         PATH_BYTES_MAX - 1);
    }
    struct row_cache *cache = memory_zalloc(sizeof(*cache));
    if (!cache) {
        return error_memory(err, sizeof(*cache));
    }
    memcpy(cache->path, path, strlen(path) + 1);
    bytes_init(&cache->head);
    bytes_init(&cache->body);
    leat_status status = file_open(disk, path, FILE_READ, &cache->file, err);
    if (status == LEAT_OK) {
        status = start(cache, err);
    }
    if (status != LEAT_OK) {
        row_cache_close(cache);
        return status;
    }
    *out = cache;
    return LEAT_OK;
}

void row_cache_close(struct row_cache *cache) {
    if (cache) {
        file_close(cache->file);
        bytes_deinit(&cache->head);
        bytes_deinit(&cache->body);
        memory_free(cache->ones_more);
        memory_free(cache);
    }
}

const struct row_cache_shape *row_cache_shape(const struct row_cache *cache) {
    return &cache->shape;
}

uint64_t row_cache_examples(const struct row_cache *cache) {
    return cache->examples;
}

uint64_t row_cache_bytes(const struct row_cache *cache) {
    return cache->size;
}

uint64_t row_cache_bytes_read(const struct row_cache *cache) {
    return cache->at;
}

static leat_status check_offsets(struct row_cache *cache, const struct cache_block *block,
                                 const uint32_t *offsets, leat_error *err) {
    bool fine = offsets[0] == 0 && offsets[block->rows] == block->keys;
    for (uint32_t i = 0; i < block->rows; i++) {
        fine = fine && offsets[i] <= offsets[i + 1];
    }
    return fine ? LEAT_OK : damaged(cache, "offsets of keys do not rise", err);
}

static const uint32_t *regular_offsets(struct row_cache *cache, const struct cache_block *block) {
    uint32_t width = block->keys / block->rows;
    if (width != cache->width) {
        for (uint32_t i = 0; i <= MINIBATCH_MAX; i++) {
            cache->offsets[i] = i * width;
        }
        cache->width = width;
    }
    return cache->offsets;
}

static leat_status point(struct row_cache *cache, const struct cache_block *block,
                         struct minibatch *rows, const uint64_t **numbers, leat_error *err) {
    const uint8_t *body = cache->body.data;
    int tasks = cache->shape.tasks;
    struct cache_layout layout = cache_layout_of(block, tasks, cache->shape.dense_count);
    const float *ones = tasks > 1 ? cache->ones_more : cache->ones;
    uint32_t flags = block->flags;
    *rows = (struct minibatch){
        .count = (int)block->rows,
        .tasks = tasks,
        .dense_count = cache->shape.dense_count,
        .keys = (const uint64_t *)(body + layout.keys),
        .offsets = flags & CACHE_REGULAR ? regular_offsets(cache, block)
                                         : (const uint32_t *)(body + layout.offsets),
        .values = flags & CACHE_VALUES ? (const float *)(body + layout.values) : NULL,
        .dense = cache->shape.dense_count ? (const float *)(body + layout.dense) : NULL,
        .targets = (const float *)(body + layout.targets),
        .weights = flags & CACHE_WEIGHTS ? (const float *)(body + layout.weights) : ones,
        .times = flags & CACHE_TIMES ? (const uint32_t *)(body + layout.times) : NULL,
    };
    if (!(flags & CACHE_REGULAR)) {
        TRY(check_offsets(cache, block, rows->offsets, err));
    }
    for (uint32_t i = 0; !(flags & CACHE_NUMBERS) && i < block->rows; i++) {
        cache->numbers[i] = block->first + i;
    }
    *numbers = flags & CACHE_NUMBERS ? (const uint64_t *)(body + layout.numbers) : cache->numbers;
    return LEAT_OK;
}

leat_status row_cache_next(struct row_cache *cache, struct minibatch *rows,
                           const uint64_t **numbers, leat_error *err) {
    struct cache_block block;
    TRY(read_block_head(cache, cache->at, &block, err));
    if (block.rows == 0) {
        return cache->at + CACHE_BLOCK_HEAD == cache->size
                   ? LEAT_END
                   : damaged(cache, "an end stands before the end", err);
    }
    cache->at += CACHE_BLOCK_HEAD;
    TRY(read_exactly(cache, &cache->body, block.bytes, err));
    if (hash_bytes(cache->body.data, block.bytes) != block.checksum) {
        return damaged(cache, "a block is damaged", err);
    }
    TRY(point(cache, &block, rows, numbers, err));
    cache->at += block.bytes;
    return LEAT_OK;
}

leat_status row_cache_seek(struct row_cache *cache, uint64_t example, uint64_t *first,
                           leat_error *err) {
    cache->at = cache->begin;
    for (;;) {
        struct cache_block block;
        TRY(read_block_head(cache, cache->at, &block, err));
        *first = block.before;
        if (block.rows == 0 || example < block.before + block.rows) {
            return LEAT_OK;
        }
        cache->at += CACHE_BLOCK_HEAD + block.bytes;
    }
}
