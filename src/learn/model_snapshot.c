/* Freezing, writing, restoring and digesting a model.
 *
 *   0 u32 magic "lmdl"   4 u16 version (1)   6 u16 optimiser   8 u32 tasks   12 u32 dimension
 *  16 u32 dense inputs  20 u32 0
 *  24 f32 dense weights, then f32 their optimiser state       (model_internal.h draws them)
 *     u64 checksum of all before it (XXH3-64)
 *     the table (table_snapshot.c) */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/model_internal.h"

#include <string.h>

#define MODEL_MAGIC 0x6C646D6Cu
enum { MODEL_VERSION = 1 };

struct model_snapshot {
    struct table_snapshot *table;
    struct bytes head; /* all but the table */
};

static size_t dense_bytes(const struct model *model) {
    return (size_t)model_shape_dense(&model->shape) * sizeof(float);
}

/* Everything before the table but the checksum. */
static void write_head(const struct model *model, struct bytes *out) {
    bytes_put_u32(out, MODEL_MAGIC);
    bytes_put_u16(out, MODEL_VERSION);
    bytes_put_u16(out, (uint16_t)model->optimiser.kind);
    bytes_put_u32(out, (uint32_t)model->shape.tasks);
    bytes_put_u32(out, (uint32_t)model->shape.dimension);
    bytes_put_u32(out, (uint32_t)model->shape.dense_count);
    bytes_put_u32(out, 0);
    bytes_append(out, model->dense, dense_bytes(model));
    bytes_append(out, model->dense_state, dense_bytes(model));
}

leat_status model_freeze(struct model *model, struct model_snapshot **out, leat_error *err) {
    struct model_snapshot *snapshot = memory_zalloc(sizeof(*snapshot));
    if (!snapshot) {
        return error_memory(err, sizeof(*snapshot));
    }
    bytes_init(&snapshot->head);
    write_head(model, &snapshot->head);
    uint64_t checksum =
        snapshot->head.failed ? 0 : hash_bytes(snapshot->head.data, snapshot->head.size);
    bytes_put_u64(&snapshot->head, checksum);
    leat_status status = bytes_status(&snapshot->head, err);
    if (status >= 0) {
        status = table_freeze(model->table, &snapshot->table, err);
    }
    if (status != LEAT_OK) {
        model_snapshot_release(snapshot);
        return status;
    }
    *out = snapshot;
    return LEAT_OK;
}

leat_status model_snapshot_write(struct model_snapshot *snapshot, state_sink sink, void *context,
                                 leat_error *err) {
    TRY(sink(context, snapshot->head.data, snapshot->head.size, err));
    return table_snapshot_write(snapshot->table, sink, context, err);
}

void model_snapshot_release(struct model_snapshot *snapshot) {
    if (!snapshot) {
        return;
    }
    table_snapshot_release(snapshot->table);
    bytes_deinit(&snapshot->head);
    memory_free(snapshot);
}

/* The stored shape must be the model's: weights of another shape mean nothing here. */
static leat_status check_shape(const struct model *model, struct bytes_reader *reader,
                               leat_error *err) {
    uint16_t kind = bytes_get_u16(reader);
    uint32_t tasks = bytes_get_u32(reader);
    uint32_t dimension = bytes_get_u32(reader);
    uint32_t dense_count = bytes_get_u32(reader);
    const struct model_shape *shape = &model->shape;
    if (kind != model->optimiser.kind || tasks != (uint32_t)shape->tasks ||
        dimension != (uint32_t)shape->dimension || dense_count != (uint32_t)shape->dense_count) {
        return error_set(err, LEAT_CONFLICT,
                         "the stored model has optimiser %u, %u tasks, dimension %u, %u dense "
                         "inputs; the configuration says %d, %d, %d, %d",
                         kind, tasks, dimension, dense_count, (int)model->optimiser.kind,
                         shape->tasks, shape->dimension, shape->dense_count);
    }
    return bytes_get_u32(reader) == 0
               ? LEAT_OK
               : error_set(err, LEAT_CORRUPT, "model head: bytes 20 to 23 are not zero");
}

static leat_status check_head(const struct model *model, struct bytes_reader *reader,
                              leat_error *err) {
    uint32_t magic = bytes_get_u32(reader);
    if (magic != MODEL_MAGIC) {
        return error_set(err, LEAT_CORRUPT, "model head: magic %08x", magic);
    }
    uint16_t version = bytes_get_u16(reader);
    if (version != MODEL_VERSION) {
        return error_set(err, LEAT_UNSUPPORTED, "model version %u; this build reads %d", version,
                         MODEL_VERSION);
    }
    return check_shape(model, reader, err);
}

/* The shape is looked at before the checksum: its size follows from the shape. */
static leat_status read_head(struct model *model, const uint8_t *head, size_t size,
                             leat_error *err) {
    struct bytes_reader reader = bytes_reader_of(head, size);
    TRY(check_head(model, &reader, err));
    const uint8_t *weights = bytes_get_raw(&reader, dense_bytes(model));
    const uint8_t *state = bytes_get_raw(&reader, dense_bytes(model));
    uint64_t checksum = bytes_get_u64(&reader);
    if (reader.failed || checksum != hash_bytes(head, size - sizeof(checksum))) {
        return error_set(err, LEAT_CORRUPT, "model head: checksum %016llx is wrong",
                         (unsigned long long)checksum);
    }
    memcpy(model->dense, weights, dense_bytes(model));
    memcpy(model->dense_state, state, dense_bytes(model));
    return LEAT_OK;
}

leat_status model_restore(struct model *model, state_source source, void *context,
                          leat_error *err) {
    enum { FIXED_BYTES = 24, CHECKSUM_BYTES = 8 };
    size_t size = FIXED_BYTES + 2 * dense_bytes(model) + CHECKSUM_BYTES;
    uint8_t *head = memory_alloc(size);
    if (!head) {
        return error_memory(err, size);
    }
    leat_status status = source(context, head, FIXED_BYTES, err);
    if (status >= 0) {
        struct bytes_reader reader = bytes_reader_of(head, FIXED_BYTES);
        status = check_head(model, &reader, err);
    }
    if (status >= 0) {
        status = source(context, head + FIXED_BYTES, size - FIXED_BYTES, err);
    }
    if (status >= 0) {
        status = read_head(model, head, size, err);
    }
    memory_free(head);
    if (status >= 0) {
        status = table_restore(model->table, source, context, err);
    }
    if (status < 0) {
        model_reset_dense(model);
        return status;
    }
    return LEAT_OK;
}

leat_status model_digest(struct model *model, uint64_t *out, leat_error *err) {
    struct bytes head;
    bytes_init(&head);
    write_head(model, &head);
    uint64_t table = 0;
    leat_status status = bytes_status(&head, err);
    if (status >= 0) {
        status = table_digest(model->table, &table, err);
    }
    if (status >= 0) {
        *out = hash_mix(hash_bytes(head.data, head.size), table);
    }
    bytes_deinit(&head);
    return status;
}
