#include "learn/example_queue.h"

#include "base/memory.h"
#include "base/thread.h"
#include "flow/example_file.h"

#include <assert.h>
#include <string.h>

enum {
    CHUNK_BYTES = 256 << 10,
    CHUNKS_A_QUEUE = 8, /* a chunk holds at most this part of examples_max */
    SPARE_CHUNKS_MAX = 4,
};

/* Rows of the overflow file that are notes; examples have flags below these. */
enum { ROW_REACH = 1 << 30, ROW_MARK = 1 << 29 };

/* One entry in a chunk: this, then its keys, then its dense features, padded to 8 bytes. */
struct record {
    uint64_t sequence;
    uint32_t mask;
    uint32_t labels;
    float weight;
    float log_odds;
    uint32_t flags;
    uint8_t kind;
    uint8_t key_count;
    uint8_t dense_count;
    uint8_t unused;
};

static_assert(sizeof(struct record) % 8 == 0, "the keys after it are aligned");
static_assert(EXAMPLE_KEYS_MAX < 256 && EXAMPLE_DENSE_MAX < 256, "counts fit into their bytes");
static_assert(EXAMPLE_KEYS_MAX * 8 + EXAMPLE_DENSE_MAX * 4 + sizeof(struct record) < CHUNK_BYTES,
              "an entry fits into a chunk");

struct chunk {
    struct chunk *next;
    size_t used;
    int entries;
    _Alignas(8) uint8_t data[CHUNK_BYTES];
};

struct example_queue {
    struct disk *disk;
    char *path;
    int examples_max;
    int chunk_entries_max;
    struct mutex mutex;
    struct condition wake; /* of the consumer */
    bool stopped;
    bool waiting;
    struct chunk *first; /* full chunks in memory, oldest first */
    struct chunk *last;
    struct chunk *open;
    struct chunk *spare;
    int spare_count;
    int entries; /* in the full chunks */

    /* The file. The producer writes and the consumer reads it outside the mutex, at places that the
     * other does not touch; the counts say what is whole. */
    struct file *file;
    bool writing; /* the open chunk is on its way to the file */
    uint64_t frames_written;
    uint64_t frames_read;
    uint64_t write_at;
    uint64_t read_at;
    _Atomic uint64_t spilled;
    _Atomic uint64_t file_bytes;

    /* The producer's. */
    struct builder *builder;
    struct bytes frame;

    /* The consumer's: either a chunk or a frame of the file is being read. */
    struct chunk *taken;
    size_t taken_at;
    struct bytes frame_taken;
    struct batch batch;
    int64_t batch_row; /* below batch.rows: rows of the batch are left */
};

/* --- life --- */

static leat_status queue_allocate(struct example_queue *queue, const struct queue_options *options,
                                  leat_error *err) {
    queue->path = memory_text(options->spill_path);
    if (!queue->path) {
        return error_memory(err, strlen(options->spill_path) + 1);
    }
    TRY(builder_create(schema_example(), &queue->builder, err));
    leat_status status = disk_remove(queue->disk, queue->path, err);
    return status < 0 ? status : LEAT_OK;
}

leat_status queue_open(const struct queue_options *options, struct example_queue **out,
                       leat_error *err) {
    struct example_queue *queue = memory_zalloc(sizeof(*queue));
    if (!queue) {
        return error_memory(err, sizeof(*queue));
    }
    queue->disk = options->disk;
    queue->examples_max = options->examples_max;
    int part = options->examples_max / CHUNKS_A_QUEUE;
    queue->chunk_entries_max = part > 0 ? part : 1;
    mutex_init(&queue->mutex);
    condition_init(&queue->wake);
    bytes_init(&queue->frame);
    bytes_init(&queue->frame_taken);
    leat_status status = queue_allocate(queue, options, err);
    if (status < 0) {
        queue_close(queue);
        return status;
    }
    *out = queue;
    return LEAT_OK;
}

static void free_chunks(struct chunk *chunk) {
    while (chunk) {
        struct chunk *next = chunk->next;
        memory_free(chunk);
        chunk = next;
    }
}

/* The file's content is of no use to anybody: failures are passed over. */
static void drop_file(struct example_queue *queue) {
    if (queue->file) {
        file_close(queue->file);
        queue->file = NULL;
        (void)disk_remove(queue->disk, queue->path, NULL);
    }
    queue->write_at = 0;
    queue->read_at = 0;
    atomic_store_explicit(&queue->file_bytes, 0, memory_order_relaxed);
}

void queue_close(struct example_queue *queue) {
    if (!queue) {
        return;
    }
    drop_file(queue);
    free_chunks(queue->first);
    free_chunks(queue->open);
    free_chunks(queue->spare);
    free_chunks(queue->taken);
    builder_destroy(queue->builder);
    bytes_deinit(&queue->frame);
    bytes_deinit(&queue->frame_taken);
    condition_deinit(&queue->wake);
    mutex_deinit(&queue->mutex);
    memory_free(queue->path);
    memory_free(queue);
}

void queue_stop(struct example_queue *queue) {
    mutex_lock(&queue->mutex);
    queue->stopped = true;
    condition_broadcast(&queue->wake);
    mutex_unlock(&queue->mutex);
}

uint64_t queue_file_bytes(const struct example_queue *queue) {
    return atomic_load_explicit(&queue->file_bytes, memory_order_relaxed);
}

uint64_t queue_spilled(const struct example_queue *queue) {
    return atomic_load_explicit(&queue->spilled, memory_order_relaxed);
}

/* --- chunks --- */

static struct chunk *new_chunk(struct example_queue *queue) {
    struct chunk *chunk = queue->spare;
    if (chunk) {
        queue->spare = chunk->next;
        queue->spare_count--;
    } else {
        chunk = memory_alloc(sizeof(*chunk));
    }
    if (chunk) {
        chunk->next = NULL;
        chunk->used = 0;
        chunk->entries = 0;
    }
    return chunk;
}

static void recycle_chunk(struct example_queue *queue, struct chunk *chunk) {
    if (queue->spare_count >= SPARE_CHUNKS_MAX) {
        memory_free(chunk);
        return;
    }
    chunk->next = queue->spare;
    queue->spare = chunk;
    queue->spare_count++;
}

static size_t record_bytes(int key_count, int dense_count) {
    size_t bytes = sizeof(struct record) + (size_t)key_count * sizeof(uint64_t) +
                   (size_t)dense_count * sizeof(float);
    return (bytes + 7) & ~(size_t)7;
}

static void chunk_add(struct chunk *chunk, const struct queue_entry *entry) {
    const struct example *example = &entry->example;
    struct record record = {
        .sequence = example->sequence,
        .mask = example->mask,
        .labels = example->labels,
        .weight = example->weight,
        .log_odds = example->log_odds,
        .flags = example->flags,
        .kind = (uint8_t)entry->kind,
        .key_count = (uint8_t)example->key_count,
        .dense_count = (uint8_t)example->dense_count,
    };
    uint8_t *at = chunk->data + chunk->used;
    memcpy(at, &record, sizeof(record));
    at += sizeof(record);
    size_t keys = (size_t)example->key_count * sizeof(uint64_t);
    if (keys > 0) {
        memcpy(at, example->keys, keys);
    }
    if (example->dense_count > 0) {
        memcpy(at + keys, example->dense, (size_t)example->dense_count * sizeof(float));
    }
    chunk->used += record_bytes(example->key_count, example->dense_count);
    chunk->entries++;
}

/* The entry at `*at`, pointing into the chunk; moves `*at` behind it. */
static bool chunk_next(const struct chunk *chunk, size_t *at, struct queue_entry *out) {
    if (*at >= chunk->used) {
        return false;
    }
    const uint8_t *from = chunk->data + *at;
    const struct record *record = (const struct record *)(const void *)from;
    const uint8_t *keys = from + sizeof(*record);
    const uint8_t *dense = keys + record->key_count * sizeof(uint64_t);
    out->kind = (enum queue_kind)record->kind;
    out->example = (struct example){
        .sequence = record->sequence,
        .keys = (const uint64_t *)(const void *)keys,
        .key_count = record->key_count,
        .dense = (const float *)(const void *)dense,
        .dense_count = record->dense_count,
        .mask = record->mask,
        .labels = record->labels,
        .weight = record->weight,
        .log_odds = record->log_odds,
        .flags = record->flags,
    };
    *at += record_bytes(record->key_count, record->dense_count);
    return true;
}

/* --- the overflow file: writing --- */

/* What the model does not read (ids, times) is not kept: those columns are absent in the file. */
static void build_row(struct builder *builder, const struct queue_entry *entry) {
    struct example example = entry->example;
    example.flags |= entry->kind == QUEUE_REACH  ? ROW_REACH
                     : entry->kind == QUEUE_MARK ? ROW_MARK
                                                 : 0u;
    example_add(builder, &example);
}

static leat_status build_frame(struct example_queue *queue, const struct chunk *chunk,
                               leat_error *err) {
    builder_clear(queue->builder);
    struct queue_entry entry;
    for (size_t at = 0; chunk_next(chunk, &at, &entry);) {
        build_row(queue->builder, &entry);
    }
    struct batch batch;
    TRY(builder_finish(queue->builder, &batch, err));
    bytes_clear(&queue->frame);
    example_frame_write(&batch, 0, &queue->frame);
    return bytes_status(&queue->frame, err);
}

/* Outside the mutex; `writing` keeps the consumer from the open chunk and from the file's end. */
static leat_status write_chunk(struct example_queue *queue, const struct chunk *chunk,
                               leat_error *err) {
    TRY(build_frame(queue, chunk, err));
    if (!queue->file) {
        TRY(file_open(queue->disk, queue->path, FILE_WRITE, &queue->file, err));
    }
    return file_write(queue->file, queue->frame.data, queue->frame.size, queue->write_at, err);
}

/* Under the mutex, which it gives back while it writes. */
static leat_status spill_open_chunk(struct example_queue *queue, leat_error *err) {
    queue->writing = true;
    mutex_unlock(&queue->mutex);
    leat_status status = write_chunk(queue, queue->open, err);
    mutex_lock(&queue->mutex);
    queue->writing = false;
    if (status >= 0) {
        queue->write_at += queue->frame.size;
        atomic_store_explicit(&queue->file_bytes, queue->write_at, memory_order_relaxed);
        queue->frames_written++;
        atomic_fetch_add_explicit(&queue->spilled, (uint64_t)queue->open->entries,
                                  memory_order_relaxed);
        queue->open->used = 0;
        queue->open->entries = 0;
    }
    condition_signal(&queue->wake);
    return status;
}

/* --- pushing --- */

static bool has_room(const struct example_queue *queue, size_t bytes) {
    return queue->open->used + bytes <= CHUNK_BYTES &&
           queue->open->entries < queue->chunk_entries_max;
}

/* Under the mutex: makes room in the open chunk. */
static leat_status turn_over(struct example_queue *queue, leat_error *err) {
    bool fits = queue->entries + queue->open->entries <= queue->examples_max;
    if (!fits || queue->frames_read < queue->frames_written) {
        return spill_open_chunk(queue, err);
    }
    if (queue->last) {
        queue->last->next = queue->open;
    } else {
        queue->first = queue->open;
    }
    queue->last = queue->open;
    queue->entries += queue->open->entries;
    queue->open = NULL;
    return LEAT_OK;
}

static leat_status push_locked(struct example_queue *queue, const struct queue_entry *entry,
                               leat_error *err) {
    if (queue->stopped) {
        return error_set(err, LEAT_CLOSED, "the example queue is closed");
    }
    size_t bytes = record_bytes(entry->example.key_count, entry->example.dense_count);
    if (queue->open && !has_room(queue, bytes)) {
        TRY(turn_over(queue, err));
    }
    if (!queue->open) {
        queue->open = new_chunk(queue);
    }
    if (!queue->open) {
        return error_memory(err, sizeof(struct chunk));
    }
    chunk_add(queue->open, entry);
    if (queue->waiting) {
        condition_signal(&queue->wake);
    }
    return LEAT_OK;
}

leat_status queue_push(struct example_queue *queue, const struct queue_entry *entry,
                       leat_error *err) {
    const struct example *example = &entry->example;
    INVARIANT(example->key_count >= 0 && example->key_count <= EXAMPLE_KEYS_MAX, "%d keys",
              example->key_count);
    INVARIANT(example->dense_count >= 0 && example->dense_count <= EXAMPLE_DENSE_MAX, "%d dense",
              example->dense_count);
    mutex_lock(&queue->mutex);
    leat_status status = push_locked(queue, entry, err);
    mutex_unlock(&queue->mutex);
    return status;
}

/* --- the overflow file: reading --- */

static leat_status read_exactly(struct example_queue *queue, void *out, size_t count, uint64_t at,
                                leat_error *err) {
    size_t got = 0;
    TRY(file_read(queue->file, out, count, at, &got, err));
    if (got != count) {
        return error_set(err, LEAT_CORRUPT, "%s: %zu of %zu bytes at %llu", queue->path, got, count,
                         (unsigned long long)at);
    }
    return LEAT_OK;
}

static leat_status read_header(struct example_queue *queue, struct frame *out, leat_error *err) {
    uint8_t header[FRAME_HEADER_BYTES];
    TRY(read_exactly(queue, header, sizeof(header), queue->read_at, err));
    if (example_frame_read_header(header, out, NULL) < 0 || out->schema_id != SCHEMA_EXAMPLE) {
        return error_set(err, LEAT_CORRUPT, "%s: no frame of examples at %llu", queue->path,
                         (unsigned long long)queue->read_at);
    }
    return LEAT_OK;
}

/* Outside the mutex: the frame at read_at becomes the batch that is taken. */
static leat_status read_frame(struct example_queue *queue, leat_error *err) {
    struct frame frame = {0};
    TRY(read_header(queue, &frame, err));
    bytes_clear(&queue->frame_taken);
    uint8_t *body = bytes_extend(&queue->frame_taken, frame.body_bytes);
    TRY(bytes_status(&queue->frame_taken, err));
    TRY(read_exactly(queue, body, frame.body_bytes, queue->read_at + FRAME_HEADER_BYTES, err));
    leat_status status = example_frame_read_body(&frame, body, &queue->batch, err);
    if (status < 0) {
        return error_in(err, status, "%s: the frame at %llu is damaged", queue->path,
                        (unsigned long long)queue->read_at);
    }
    queue->batch_row = 0;
    queue->read_at += FRAME_HEADER_BYTES + frame.body_bytes;
    return LEAT_OK;
}

static void batch_entry(const struct batch *batch, int64_t row, struct queue_entry *out) {
    struct example *example = &out->example;
    example_get(batch, row, example);
    out->kind = example->flags & ROW_REACH  ? QUEUE_REACH
                : example->flags & ROW_MARK ? QUEUE_MARK
                                            : QUEUE_EXAMPLE;
    example->flags &= ~(uint32_t)(ROW_REACH | ROW_MARK);
}

/* --- taking --- */

/* Under the mutex, which it gives back while it reads. */
static leat_status take_frame(struct example_queue *queue, leat_error *err) {
    mutex_unlock(&queue->mutex);
    leat_status status = read_frame(queue, err);
    mutex_lock(&queue->mutex);
    if (status < 0) {
        return status;
    }
    queue->frames_read++;
    if (queue->frames_read == queue->frames_written && !queue->writing) {
        drop_file(queue);
    }
    return LEAT_OK;
}

static struct chunk *take_first(struct example_queue *queue) {
    struct chunk *chunk = queue->first;
    queue->first = chunk->next;
    queue->last = queue->first ? queue->last : NULL;
    queue->entries -= chunk->entries;
    chunk->next = NULL;
    return chunk;
}

/* Under the mutex: the oldest of chunks, frames and the open chunk; waits when there is none. */
static leat_status take_locked(struct example_queue *queue, leat_error *err) {
    while (!queue->stopped) {
        if (queue->first) {
            queue->taken = take_first(queue);
            return LEAT_OK;
        }
        if (queue->frames_read < queue->frames_written) {
            return take_frame(queue, err);
        }
        if (!queue->writing && queue->open && queue->open->entries > 0) {
            queue->taken = queue->open;
            queue->open = NULL;
            return LEAT_OK;
        }
        queue->waiting = true;
        condition_wait(&queue->wake, &queue->mutex);
        queue->waiting = false;
    }
    return LEAT_END;
}

leat_status queue_take(struct example_queue *queue, leat_error *err) {
    mutex_lock(&queue->mutex);
    if (queue->taken) {
        recycle_chunk(queue, queue->taken);
        queue->taken = NULL;
    }
    queue->taken_at = 0;
    leat_status status = take_locked(queue, err);
    mutex_unlock(&queue->mutex);
    return status;
}

bool queue_next(struct example_queue *queue, struct queue_entry *out) {
    if (queue->taken) {
        return chunk_next(queue->taken, &queue->taken_at, out);
    }
    if (queue->batch_row >= queue->batch.rows) {
        return false;
    }
    batch_entry(&queue->batch, queue->batch_row++, out);
    return true;
}
