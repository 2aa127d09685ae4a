/* Freezing, writing, restoring and digesting a model.
 *
 *   head   0 u32 magic "lmdl"   4 u16 version (2)   6 u16 0   8 u32 bytes of the spec   12 u32 0
 *         16 the spec (model_spec.c)
 *            u64 checksum of all before it (XXH3-64)
 *   body   u64 its bytes, up to the checksum
 *            u64 steps   u64 examples   u32 dense weights   u32 floats of their optimiser's state
 *            f32 dense weights, then f32 the state           (model_internal.h draws them)
 *            f32 calibration of each task, where spec.calibrate
 *            two towers: f32 gaps, u32 last steps of the items' frequencies
 *            in batches: the examples that wait                (pending.c)
 *            u64 checksum of the body, its size included
 *          the table (table_snapshot.c)
 *
 * Version 1, of factorisation machines only, is read:
 *
 *   0 u32 magic   4 u16 version (1)   6 u16 optimiser   8 u32 tasks   12 u32 dimension
 *  16 u32 dense inputs  20 u32 0  24 f32 dense weights, then f32 their optimiser state
 *     u64 checksum of all before it, and the table */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/learner.h"

#include <string.h>

#define MODEL_MAGIC 0x6C646D6Cu
enum {
    MODEL_VERSION = 2,
    HEAD_FIXED = 16,
    CHECKSUM_BYTES = 8,
    SPEC_BYTES_MAX = 64 << 10,
    V1_FIXED = 24,
};

struct model_snapshot {
    struct table_snapshot *table;
    struct bytes head; /* all but the table */
};

static size_t dense_bytes(const struct model *model) {
    return (size_t)model->shape.dense * sizeof(float);
}

static size_t moment_bytes(const struct model *model) {
    return model->dense_state_count * sizeof(float);
}

/* --- writing --- */

static void put_checksum(struct bytes *out, size_t from) {
    uint64_t checksum = out->failed ? 0 : hash_bytes(out->data + from, out->size - from);
    bytes_put_u64(out, checksum);
}

static void write_head(const struct model *model, struct bytes *out) {
    struct bytes spec;
    bytes_init(&spec);
    model_spec_write(&model->spec, &spec);
    out->failed = out->failed || spec.failed;
    bytes_put_u32(out, MODEL_MAGIC);
    bytes_put_u16(out, MODEL_VERSION);
    bytes_put_u16(out, 0);
    bytes_put_u32(out, (uint32_t)spec.size);
    bytes_put_u32(out, 0);
    bytes_append(out, spec.data, spec.size);
    put_checksum(out, 0);
    bytes_deinit(&spec);
}

static size_t calibration_bytes(const struct model *model) {
    return model->calibration ? (size_t)model->shape.tasks * sizeof(*model->calibration) : 0;
}

static struct frequency *frequency_of(const struct model *model) {
    return model->learner ? model->learner->frequency : NULL;
}

/* More than any body of this model has. */
static size_t body_bytes_max(const struct model *model) {
    size_t example = MODEL_KEYS_MAX * sizeof(uint64_t) + 64 +
                     (size_t)(model->shape.dense_count + 2 * model->shape.tasks) * sizeof(float);
    return 1024 + dense_bytes(model) + moment_bytes(model) + calibration_bytes(model) +
           sizeof(struct frequency) + (size_t)model->spec.batch * example;
}

static void write_body(const struct model *model, struct bytes *out) {
    size_t size = out->size;
    bytes_put_u64(out, 0);
    bytes_put_u64(out, model->steps);
    bytes_put_u64(out, model->examples);
    bytes_put_u32(out, (uint32_t)model->shape.dense);
    bytes_put_u32(out, (uint32_t)model->dense_state_count);
    bytes_append(out, model->dense, dense_bytes(model));
    bytes_append(out, model->dense_state, moment_bytes(model));
    bytes_append(out, model->calibration, calibration_bytes(model));
    const struct frequency *frequency = frequency_of(model);
    bytes_append(out, frequency, frequency ? sizeof(*frequency) : 0);
    if (model->learner) {
        pending_write(&model->pending, out);
    }
    if (!out->failed) {
        uint64_t written = out->size - size;
        memcpy(out->data + size, &written, sizeof(written));
    }
}

leat_status model_freeze(struct model *model, struct model_snapshot **out, leat_error *err) {
    struct model_snapshot *snapshot = memory_zalloc(sizeof(*snapshot));
    if (!snapshot) {
        return error_memory(err, sizeof(*snapshot));
    }
    bytes_init(&snapshot->head);
    write_head(model, &snapshot->head);
    size_t body = snapshot->head.size;
    write_body(model, &snapshot->head);
    put_checksum(&snapshot->head, body);
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

leat_status model_digest(struct model *model, uint64_t *out, leat_error *err) {
    struct bytes body;
    bytes_init(&body);
    write_body(model, &body);
    uint64_t table = 0;
    leat_status status = bytes_status(&body, err);
    if (status >= 0) {
        status = table_digest(model->table, &table, err);
    }
    if (status >= 0) {
        *out = hash_mix(hash_bytes(body.data, body.size), table);
    }
    bytes_deinit(&body);
    return status;
}

/* --- reading --- */

/* A piece of the input with its checksum at its end. */
static leat_status check_checksum(const struct bytes *piece, const char *name, leat_error *err) {
    uint64_t checksum;
    size_t size = piece->size - sizeof(checksum);
    memcpy(&checksum, piece->data + size, sizeof(checksum));
    return checksum == hash_bytes(piece->data, size)
               ? LEAT_OK
               : error_set(err, LEAT_CORRUPT, "model %s: checksum %016llx is wrong", name,
                           (unsigned long long)checksum);
}

static leat_status read_more(struct bytes *piece, size_t count, state_source source, void *context,
                             leat_error *err) {
    uint8_t *at = bytes_extend(piece, count);
    return at ? source(context, at, count, err) : bytes_status(piece, err);
}

/* The first bytes, the same in all versions. */
static leat_status read_version(struct bytes *piece, state_source source, void *context,
                                uint16_t *version, leat_error *err) {
    TRY(read_more(piece, 8, source, context, err));
    struct bytes_reader reader = bytes_reader_of(piece->data, piece->size);
    uint32_t magic = bytes_get_u32(&reader);
    *version = bytes_get_u16(&reader);
    if (magic != MODEL_MAGIC) {
        return error_set(err, LEAT_CORRUPT, "model head: magic %08x", magic);
    }
    if (*version < 1 || *version > MODEL_VERSION) {
        return error_set(err, LEAT_UNSUPPORTED, "model version %u; this build reads 1 to %d",
                         *version, MODEL_VERSION);
    }
    return LEAT_OK;
}

/* After read_version said 2. */
static leat_status read_spec(struct bytes *piece, state_source source, void *context,
                             struct model_spec *out, leat_error *err) {
    TRY(read_more(piece, HEAD_FIXED - 8, source, context, err));
    struct bytes_reader reader = bytes_reader_of(piece->data + 6, piece->size - 6);
    uint16_t zero = bytes_get_u16(&reader);
    uint32_t size = bytes_get_u32(&reader);
    if (zero != 0 || bytes_get_u32(&reader) != 0 || size > SPEC_BYTES_MAX) {
        return error_set(err, LEAT_CORRUPT, "model head: a description of %u bytes", size);
    }
    TRY(read_more(piece, size + CHECKSUM_BYTES, source, context, err));
    TRY(check_checksum(piece, "head", err));
    reader = bytes_reader_of(piece->data + HEAD_FIXED, size);
    TRY(model_spec_read(&reader, out, err));
    return reader.at == reader.end
               ? LEAT_OK
               : error_set(err, LEAT_CORRUPT, "model head: bytes behind its description");
}

leat_status model_describe(state_source source, void *context, struct model_spec *out,
                           leat_error *err) {
    struct bytes piece;
    bytes_init(&piece);
    uint16_t version = 0;
    leat_status status = read_version(&piece, source, context, &version, err);
    if (status >= 0) {
        status = version == 1 ? error_set(err, LEAT_UNSUPPORTED,
                                          "a model of version 1 does not say what it is; open it "
                                          "with its configuration")
                              : read_spec(&piece, source, context, out, err);
    }
    bytes_deinit(&piece);
    return status;
}

static void copy(void *to, const void *from, size_t count) {
    if (count > 0) {
        memcpy(to, from, count);
    }
}

static leat_status body_apply(struct model *model, const struct bytes *piece, leat_error *err) {
    struct bytes_reader reader = bytes_reader_of(piece->data, piece->size - CHECKSUM_BYTES);
    (void)bytes_get_u64(&reader);
    uint64_t steps = bytes_get_u64(&reader);
    uint64_t examples = bytes_get_u64(&reader);
    uint32_t dense = bytes_get_u32(&reader);
    uint32_t state = bytes_get_u32(&reader);
    const uint8_t *weights = bytes_get_raw(&reader, dense_bytes(model));
    const uint8_t *states = bytes_get_raw(&reader, moment_bytes(model));
    const uint8_t *calibration = bytes_get_raw(&reader, calibration_bytes(model));
    struct frequency *frequency = frequency_of(model);
    const uint8_t *items = bytes_get_raw(&reader, frequency ? sizeof(*frequency) : 0);
    uint64_t refusals = memory_refusals();
    bool waits = !model->learner || pending_read(&model->pending, &reader, model->spec.batch);
    if (memory_refusals() != refusals) {
        return error_memory(err, piece->size);
    }
    if (reader.failed || !waits || reader.at != reader.end ||
        dense != (uint32_t)model->shape.dense || state != model->dense_state_count) {
        return error_set(err, LEAT_CORRUPT, "model body: %u dense weights and %u of their state",
                         dense, state);
    }
    model->steps = steps;
    model->examples = examples;
    copy(model->dense, weights, dense_bytes(model));
    copy(model->dense_state, states, moment_bytes(model));
    copy(model->calibration, calibration, calibration_bytes(model));
    copy(frequency, items, frequency ? sizeof(*frequency) : 0);
    return LEAT_OK;
}

static leat_status read_body(struct model *model, state_source source, void *context,
                             leat_error *err) {
    struct bytes piece;
    bytes_init(&piece);
    leat_status status = read_more(&piece, sizeof(uint64_t), source, context, err);
    if (status >= 0) {
        struct bytes_reader reader = bytes_reader_of(piece.data, piece.size);
        uint64_t size = bytes_get_u64(&reader);
        bool fits = size >= sizeof(size) && size <= body_bytes_max(model);
        status = fits
                     ? read_more(&piece, size - sizeof(size) + CHECKSUM_BYTES, source, context, err)
                     : error_set(err, LEAT_CORRUPT, "model body: %llu bytes, %zu at most",
                                 (unsigned long long)size, body_bytes_max(model));
    }
    if (status >= 0) {
        status = check_checksum(&piece, "body", err);
    }
    if (status >= 0) {
        status = body_apply(model, &piece, err);
    }
    bytes_deinit(&piece);
    return status;
}

/* The stored shape must be the model's: weights of another shape mean nothing here. */
static leat_status check_shape_v1(const struct model *model, struct bytes_reader *reader,
                                  leat_error *err) {
    uint16_t kind = bytes_get_u16(reader);
    uint32_t tasks = bytes_get_u32(reader);
    uint32_t dimension = bytes_get_u32(reader);
    uint32_t dense_count = bytes_get_u32(reader);
    const struct model_shape *shape = &model->shape;
    if (model->spec.network != NETWORK_FM || kind > MODEL_FTRL ||
        kind != (uint16_t)model->spec.optimiser || tasks != (uint32_t)shape->tasks ||
        dimension != (uint32_t)shape->dimension || dense_count != (uint32_t)shape->dense_count ||
        shape->thresholds != shape->dense) {
        return error_set(err, LEAT_CONFLICT,
                         "the stored model is an fm with optimiser %u, %u tasks, dimension %u, %u "
                         "dense inputs; the configuration says %s, %d, %d, %d, %d",
                         kind, tasks, dimension, dense_count,
                         model_network_name(model->spec.network), (int)model->spec.optimiser,
                         shape->tasks, shape->dimension, shape->dense_count);
    }
    return bytes_get_u32(reader) == 0
               ? LEAT_OK
               : error_set(err, LEAT_CORRUPT, "model head: bytes 20 to 23 are not zero");
}

/* The shape is looked at before the checksum: the size follows from the shape. */
static leat_status read_v1(struct model *model, struct bytes *piece, state_source source,
                           void *context, leat_error *err) {
    TRY(read_more(piece, V1_FIXED - 8, source, context, err));
    struct bytes_reader reader = bytes_reader_of(piece->data + 6, piece->size - 6);
    TRY(check_shape_v1(model, &reader, err));
    TRY(read_more(piece, 2 * dense_bytes(model) + CHECKSUM_BYTES, source, context, err));
    TRY(check_checksum(piece, "head", err));
    memcpy(model->dense, piece->data + V1_FIXED, dense_bytes(model));
    memcpy(model->dense_state, piece->data + V1_FIXED + dense_bytes(model), dense_bytes(model));
    return LEAT_OK;
}

static leat_status read_v2(struct model *model, struct bytes *piece, state_source source,
                           void *context, leat_error *err) {
    struct model_spec stored;
    TRY(read_spec(piece, source, context, &stored, err));
    TRY(model_spec_agree(&stored, &model->spec, err));
    return read_body(model, source, context, err);
}

leat_status model_restore(struct model *model, state_source source, void *context,
                          leat_error *err) {
    struct bytes piece;
    bytes_init(&piece);
    uint16_t version = 0;
    leat_status status = read_version(&piece, source, context, &version, err);
    if (status >= 0) {
        status = version == 1 ? read_v1(model, &piece, source, context, err)
                              : read_v2(model, &piece, source, context, err);
    }
    bytes_deinit(&piece);
    if (status >= 0) {
        status = table_restore(model->table, source, context, err);
    }
    if (status >= 0 && model->learner) {
        uint64_t refusals = memory_refusals();
        learner_publish(model, true);
        if (memory_refusals() != refusals) { /* scorers would see the first weights */
            status = error_memory(err, dense_bytes(model));
        }
    }
    if (status < 0) {
        model_reset(model);
    }
    return status < 0 ? status : LEAT_OK;
}
