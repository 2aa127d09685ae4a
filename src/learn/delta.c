#include "learn/delta.h"

#include "base/hash.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

enum { INT8_MOST = 127, KEY_BYTES_MAX = 10 };
/* Below this the inverse of a scale is no float any more: such a row is as good as 0. */
#define SCALE_LEAST 1e-30f

/* The head as it lies in the file. */
struct image {
    uint32_t magic;
    uint16_t version;
    uint8_t encoding, zero;
    uint32_t log_id, salt;
    uint64_t number, from, to;
    int64_t time_ms;
    uint64_t shape;
    uint32_t width, linear, rows, removed, key_bytes, removed_bytes, dense, zeros;
    uint64_t body_bytes, body_checksum, checksum;
};
static_assert(sizeof(struct image) == DELTA_HEAD_BYTES, "the head has no gaps");

/* --- floats --- */

static float clean(float value) {
    return isfinite(value) ? value : 0.0f;
}

/* Round to nearest, ties to even; what would become infinite stays the largest. */
static uint16_t bf16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    bool infinite = (rounded & 0x7F80u) == 0x7F80u;
    return (uint16_t)(infinite ? (rounded & 0x8000u) | 0x7F7Fu : rounded);
}

static float bf16_read(const uint8_t *at) {
    uint16_t half;
    memcpy(&half, at, sizeof(half));
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static float f32_read(const uint8_t *at) {
    float value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static void put_f32(const float *values, uint32_t count, uint8_t *out) {
    for (uint32_t i = 0; i < count; i++) {
        float value = clean(values[i]);
        memcpy(out + i * sizeof(value), &value, sizeof(value));
    }
}

static void put_bf16(const float *values, uint32_t count, uint8_t *out) {
    for (uint32_t i = 0; i < count; i++) {
        uint16_t half = bf16_of(clean(values[i]));
        memcpy(out + i * sizeof(half), &half, sizeof(half));
    }
}

/* The largest magnitude of finite values, by the order of their bits, which is that of the values;
 * of others something that is not finite. */
static float magnitude(const float *values, uint32_t count) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        bits &= 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    float value;
    memcpy(&value, &most, sizeof(value));
    return value;
}

/* Returns the scale: the largest magnitude becomes 127 of them. */
static float put_int8(const float *values, uint32_t count, uint8_t *out) {
    float cleaned[DELTA_WIDTH_MAX];
    float most = magnitude(values, count);
    if (!isfinite(most)) {
        for (uint32_t i = 0; i < count; i++) {
            cleaned[i] = clean(values[i]);
        }
        values = cleaned;
        most = magnitude(values, count);
    }
    float scale = most / INT8_MOST;
    if (scale < SCALE_LEAST) {
        memset(out, 0, count);
        return 0.0f;
    }
    float inverse = 1.0f / scale;
    for (uint32_t i = 0; i < count; i++) {
        long steps = lrintf(values[i] * inverse); /* at most 127 and a rounding error */
        steps = steps > INT8_MOST ? INT8_MOST : steps < -INT8_MOST ? -INT8_MOST : steps;
        out[i] = (uint8_t)(int8_t)steps;
    }
    return scale;
}

/* --- sizes --- */

static uint64_t linear_bytes(const struct delta_head *head) {
    uint64_t each = head->encoding == DELTA_FP32 ? sizeof(float) : sizeof(uint16_t);
    return (uint64_t)head->rows * head->linear * each;
}

static uint64_t scale_bytes(const struct delta_head *head) {
    return head->encoding == DELTA_INT8 ? (uint64_t)head->rows * sizeof(float) : 0;
}

static uint64_t factor_bytes(const struct delta_head *head) {
    static const uint64_t each[DELTA_ENCODINGS] = {sizeof(float), sizeof(uint16_t), 1};
    return (uint64_t)head->rows * (head->width - head->linear) * each[head->encoding];
}

static uint64_t body_bytes(const struct delta_head *head) {
    return (uint64_t)head->key_bytes + head->removed_bytes + linear_bytes(head) +
           scale_bytes(head) + factor_bytes(head) + (uint64_t)head->dense * sizeof(float);
}

static leat_status check_bounds(const struct delta_head *head, leat_status status,
                                leat_error *err) {
    if (head->rows > DELTA_ROWS_MAX || head->removed > DELTA_ROWS_MAX ||
        head->dense > DELTA_DENSE_MAX || head->width < 1 || head->width > DELTA_WIDTH_MAX ||
        head->linear > head->width) {
        return error_set(err, status,
                         "a delta of %u rows of %u floats, %u of them linear, %u removed keys and "
                         "%u dense weights; at most %d rows and removed keys, %d floats and %d "
                         "dense weights are possible",
                         head->rows, head->width, head->linear, head->removed, head->dense,
                         DELTA_ROWS_MAX, DELTA_WIDTH_MAX, DELTA_DENSE_MAX);
    }
    return LEAT_OK;
}

/* --- keys --- */

static void put_keys(const uint64_t *keys, uint32_t count, struct bytes *out) {
    uint64_t before = 0;
    for (uint32_t i = 0; i < count; i++) {
        INVARIANT(i == 0 || keys[i] > before, "key %u does not rise", i);
        uint64_t gap = keys[i] - before;
        before = keys[i];
        uint8_t coded[KEY_BYTES_MAX];
        size_t size = 0;
        for (; gap >= 0x80; gap >>= 7) {
            coded[size++] = (uint8_t)(gap | 0x80);
        }
        coded[size++] = (uint8_t)gap;
        bytes_append(out, coded, size);
    }
}

/* False: not a number of 64 bits in its shortest form. */
static bool get_gap(const uint8_t **at, const uint8_t *end, uint64_t *out) {
    uint64_t gap = 0;
    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0)) {
            return false;
        }
        gap |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            *out = gap;
            return true;
        }
    }
    return false;
}

/* Checks keys, and stores them where `out` is given. */
static bool get_keys(const uint8_t *data, uint32_t bytes, uint32_t count, uint64_t *out) {
    const uint8_t *at = data;
    const uint8_t *end = data + bytes;
    uint64_t key = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t gap;
        if (!get_gap(&at, end, &gap) || (i > 0 && (gap == 0 || gap > UINT64_MAX - key))) {
            return false;
        }
        key += gap;
        if (out) {
            out[i] = key;
        }
    }
    return at == end;
}

/* --- writing --- */

static void head_write(const struct delta_head *head, uint64_t body_checksum, uint8_t *out) {
    struct image image = {
        .magic = DELTA_MAGIC,
        .version = DELTA_VERSION,
        .encoding = (uint8_t)head->encoding,
        .log_id = head->log_id,
        .salt = head->salt,
        .number = head->number,
        .from = head->from,
        .to = head->to,
        .time_ms = head->time_ms,
        .shape = head->shape,
        .width = head->width,
        .linear = head->linear,
        .rows = head->rows,
        .removed = head->removed,
        .key_bytes = head->key_bytes,
        .removed_bytes = head->removed_bytes,
        .dense = head->dense,
        .body_bytes = head->body_bytes,
        .body_checksum = body_checksum,
    };
    image.checksum = hash_bytes(&image, offsetof(struct image, checksum));
    memcpy(out, &image, sizeof(image));
}

/* The columns of all rows, one row after the other. */
static void rows_write(const struct delta_head *head, delta_row row, void *context, uint8_t *out) {
    float values[DELTA_WIDTH_MAX];
    uint32_t rest = head->width - head->linear;
    uint8_t *linear = out;
    uint8_t *scales = linear + linear_bytes(head);
    uint8_t *factors = scales + scale_bytes(head);
    size_t linear_step = head->rows ? linear_bytes(head) / head->rows : 0;
    size_t factor_step = head->rows ? factor_bytes(head) / head->rows : 0;
    for (uint32_t i = 0; i < head->rows; i++) {
        row(context, i, values);
        (head->encoding == DELTA_FP32 ? put_f32 : put_bf16)(values, head->linear,
                                                            linear + i * linear_step);
        uint8_t *to = factors + i * factor_step;
        switch (head->encoding) {
        case DELTA_FP32: put_f32(values + head->linear, rest, to); break;
        case DELTA_BF16: put_bf16(values + head->linear, rest, to); break;
        default: {
            float scale = put_int8(values + head->linear, rest, to);
            memcpy(scales + i * sizeof(scale), &scale, sizeof(scale));
        }
        }
    }
}

leat_status delta_write(struct delta_head *head, const uint64_t *keys, delta_row row, void *context,
                        const uint64_t *removed, const float *dense, struct bytes *out,
                        leat_error *err) {
    TRY(check_bounds(head, LEAT_FULL, err));
    size_t begin = out->size;
    bytes_fill(out, 0, DELTA_HEAD_BYTES);
    size_t body = out->size;
    put_keys(keys, head->rows, out);
    head->key_bytes = (uint32_t)(out->size - body);
    put_keys(removed, head->removed, out);
    head->removed_bytes = (uint32_t)(out->size - body) - head->key_bytes;
    size_t columns = linear_bytes(head) + scale_bytes(head) + factor_bytes(head);
    uint8_t *at = bytes_extend(out, columns + head->dense * sizeof(float));
    TRY(bytes_status(out, err));
    rows_write(head, row, context, at);
    put_f32(dense, head->dense, at + columns);
    head->body_bytes = out->size - body;
    head_write(head, hash_bytes(out->data + body, head->body_bytes), out->data + begin);
    return LEAT_OK;
}

/* --- reading --- */

static leat_status refuse(const char *what, leat_error *err) {
    return error_set(err, LEAT_CORRUPT, "a delta whose %s", what);
}

static struct delta_head head_of(const struct image *image) {
    return (struct delta_head){
        .encoding = (enum delta_encoding)image->encoding,
        .log_id = image->log_id,
        .salt = image->salt,
        .number = image->number,
        .from = image->from,
        .to = image->to,
        .time_ms = image->time_ms,
        .shape = image->shape,
        .width = image->width,
        .linear = image->linear,
        .rows = image->rows,
        .removed = image->removed,
        .key_bytes = image->key_bytes,
        .removed_bytes = image->removed_bytes,
        .dense = image->dense,
        .body_bytes = image->body_bytes,
    };
}

static leat_status head_parse(const void *data, struct image *image, struct delta_head *out,
                              leat_error *err) {
    memcpy(image, data, sizeof(*image));
    if (image->magic != DELTA_MAGIC) {
        return error_set(err, LEAT_CORRUPT, "a delta with magic %08x", image->magic);
    }
    if (image->version > DELTA_VERSION) {
        return error_set(err, LEAT_UNSUPPORTED,
                         "a delta of version %u, this leat reads up to %d; update followers before "
                         "their leader",
                         image->version, DELTA_VERSION);
    }
    if (image->checksum != hash_bytes(image, offsetof(struct image, checksum))) {
        return refuse("head's checksum is wrong", err);
    }
    if (image->version == 0 || image->encoding >= DELTA_ENCODINGS || image->zero != 0 ||
        image->zeros != 0) {
        return refuse("head holds what no version knows", err);
    }
    *out = head_of(image);
    return LEAT_OK;
}

static leat_status head_check(const struct delta_head *head, leat_error *err) {
    TRY(check_bounds(head, LEAT_CORRUPT, err));
    if (head->body_bytes != body_bytes(head)) {
        return refuse("parts do not add up to its size", err);
    }
    return head->from <= head->to ? LEAT_OK : refuse("end lies before its beginning", err);
}

leat_status delta_read_head(const uint8_t *data, struct delta_head *out, leat_error *err) {
    struct image image;
    TRY(head_parse(data, &image, out, err));
    return head_check(out, err);
}

static bool all_f32(const uint8_t *at, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(f32_read(at + i * sizeof(float)))) {
            return false;
        }
    }
    return true;
}

static bool all_bf16(const uint8_t *at, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        if (!isfinite(bf16_read(at + i * sizeof(uint16_t)))) {
            return false;
        }
    }
    return true;
}

/* Scales are such that no product is infinite. */
static bool all_int8(const struct delta *delta) {
    for (uint32_t i = 0; i < delta->head.rows; i++) {
        float scale = f32_read(delta->scales + i * sizeof(float));
        if (!(scale >= 0.0f) || !isfinite(scale * INT8_MOST)) {
            return false;
        }
    }
    uint64_t count = factor_bytes(&delta->head);
    return count == 0 || !memchr(delta->factors, 0x80, count); /* -128 is never written */
}

static bool all_finite(const struct delta *delta) {
    const struct delta_head *head = &delta->head;
    uint64_t linear = (uint64_t)head->rows * head->linear;
    uint64_t factors = (uint64_t)head->rows * (head->width - head->linear);
    bool dense = all_f32(delta->dense, head->dense);
    switch (head->encoding) {
    case DELTA_FP32:
        return dense && all_f32(delta->linear, linear) && all_f32(delta->factors, factors);
    case DELTA_BF16:
        return dense && all_bf16(delta->linear, linear) && all_bf16(delta->factors, factors);
    default: return dense && all_bf16(delta->linear, linear) && all_int8(delta);
    }
}

leat_status delta_read(const void *data, size_t size, struct delta *out, leat_error *err) {
    if (size < DELTA_HEAD_BYTES) {
        return refuse("head is cut short", err);
    }
    struct delta_head *head = &out->head;
    struct image image;
    TRY(head_parse(data, &image, head, err));
    TRY(head_check(head, err));
    if (size - DELTA_HEAD_BYTES < head->body_bytes) {
        return refuse("body is cut short", err);
    }
    out->keys = (const uint8_t *)data + DELTA_HEAD_BYTES;
    if (hash_bytes(out->keys, head->body_bytes) != image.body_checksum) {
        return refuse("body's checksum is wrong", err);
    }
    out->removed = out->keys + head->key_bytes;
    out->linear = out->removed + head->removed_bytes;
    out->scales = out->linear + linear_bytes(head);
    out->factors = out->scales + scale_bytes(head);
    out->dense = out->factors + factor_bytes(head);
    if (!get_keys(out->keys, head->key_bytes, head->rows, NULL) ||
        !get_keys(out->removed, head->removed_bytes, head->removed, NULL)) {
        return refuse("keys do not rise", err);
    }
    return all_finite(out) ? LEAT_OK : refuse("weights are not finite", err);
}

void delta_keys(const struct delta *delta, uint64_t *out) {
    get_keys(delta->keys, delta->head.key_bytes, delta->head.rows, out);
}

void delta_removed(const struct delta *delta, uint64_t *out) {
    get_keys(delta->removed, delta->head.removed_bytes, delta->head.removed, out);
}

static void get_f32(const uint8_t *at, uint32_t count, float *out) {
    memcpy(out, at, count * sizeof(float));
}

static void get_bf16(const uint8_t *at, uint32_t count, float *out) {
    for (uint32_t i = 0; i < count; i++) {
        out[i] = bf16_read(at + i * sizeof(uint16_t));
    }
}

static void get_int8(const uint8_t *at, uint32_t count, float scale, float *out) {
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (float)(int8_t)at[i] * scale;
    }
}

void delta_rows(const struct delta *delta, uint32_t first, uint32_t count, float *out) {
    const struct delta_head *head = &delta->head;
    uint32_t rest = head->width - head->linear;
    size_t linear_step = head->rows ? linear_bytes(head) / head->rows : 0;
    size_t factor_step = head->rows ? factor_bytes(head) / head->rows : 0;
    for (uint32_t i = first; i < first + count; i++, out += head->width) {
        const uint8_t *factors = delta->factors + i * factor_step;
        (head->encoding == DELTA_FP32 ? get_f32 : get_bf16)(delta->linear + i * linear_step,
                                                            head->linear, out);
        switch (head->encoding) {
        case DELTA_FP32: get_f32(factors, rest, out + head->linear); break;
        case DELTA_BF16: get_bf16(factors, rest, out + head->linear); break;
        default:
            get_int8(factors, rest, f32_read(delta->scales + i * sizeof(float)),
                     out + head->linear);
        }
    }
}

void delta_dense(const struct delta *delta, float *out) {
    memcpy(out, delta->dense, delta->head.dense * sizeof(float));
}
