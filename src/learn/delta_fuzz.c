/* Checks: bytes given to delta_read are refused, or are a delta whose keys rise and whose weights
 * are finite, and which written anew as fp32 is read back the same.
 *
 * Checksums would keep the fuzzer out, so the first byte of the input says whether to put them
 * right. A good seed is tests/golden/delta_v1.bin behind a byte 1. */
#include "base/hash.h"
#include "base/memory.h"
#include "learn/delta.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void mend(struct bytes *bytes) {
    if (bytes->size < DELTA_HEAD_BYTES) {
        return;
    }
    uint64_t body = bytes->size - DELTA_HEAD_BYTES;
    uint64_t checksum = hash_bytes(bytes->data + DELTA_HEAD_BYTES, body);
    memcpy(bytes->data + 88, &body, sizeof(body));
    memcpy(bytes->data + 96, &checksum, sizeof(checksum));
    checksum = hash_bytes(bytes->data, 104);
    memcpy(bytes->data + 104, &checksum, sizeof(checksum));
}

struct rows {
    const struct delta *delta;
    float *values;
};

static void row_of(void *context, uint32_t index, float *out) {
    const struct rows *rows = context;
    uint32_t width = rows->delta->head.width;
    memcpy(out, rows->values + (size_t)index * width, width * sizeof(float));
}

static void check_keys(const uint64_t *keys, uint32_t count) {
    for (uint32_t i = 1; i < count; i++) {
        INVARIANT(keys[i] > keys[i - 1], "key %u", i);
    }
}

static void check_rewrite(const struct delta *delta, const uint64_t *keys, const uint64_t *removed,
                          struct rows *rows, const float *dense) {
    struct delta_head head = delta->head;
    struct bytes bytes;
    struct delta again;
    size_t count = (size_t)head.rows * head.width;
    bytes_init(&bytes);
    head.encoding = DELTA_FP32;
    INVARIANT(delta_write(&head, keys, row_of, rows, removed, dense, &bytes, NULL) == LEAT_OK,
              "not written");
    INVARIANT(delta_read(bytes.data, bytes.size, &again, NULL) == LEAT_OK, "own bytes refused");
    float *values = memory_zalloc((count + 1) * sizeof(float));
    INVARIANT(values, "no memory");
    delta_rows(&again, 0, again.head.rows, values);
    INVARIANT(memcmp(values, rows->values, count * sizeof(float)) == 0, "other rows");
    memory_free(values);
    bytes_deinit(&bytes);
}

static void check(const struct delta *delta) {
    const struct delta_head *head = &delta->head;
    size_t count = (size_t)head->rows * head->width;
    uint64_t *keys = memory_zalloc((head->rows + 1) * sizeof(uint64_t));
    uint64_t *removed = memory_zalloc((head->removed + 1) * sizeof(uint64_t));
    float *values = memory_zalloc((count + 1) * sizeof(float));
    float *dense = memory_zalloc((head->dense + 1) * sizeof(float));
    INVARIANT(keys && removed && values && dense, "no memory");
    delta_keys(delta, keys);
    delta_removed(delta, removed);
    delta_rows(delta, 0, head->rows, values);
    delta_dense(delta, dense);
    check_keys(keys, head->rows);
    check_keys(removed, head->removed);
    for (size_t i = 0; i < count; i++) {
        INVARIANT(isfinite(values[i]), "weight %zu", i);
    }
    for (uint32_t i = 0; i < head->dense; i++) {
        INVARIANT(isfinite(dense[i]), "dense weight %u", i);
    }
    struct rows rows = {delta, values};
    check_rewrite(delta, keys, removed, &rows, dense);
    memory_free(dense);
    memory_free(values);
    memory_free(removed);
    memory_free(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct bytes bytes;
    bytes_init(&bytes);
    bytes_append(&bytes, data + 1, size - 1);
    if (data[0] & 1) {
        mend(&bytes);
    }
    struct delta delta;
    leat_error err = {.status = LEAT_OK};
    leat_status status = delta_read(bytes.data, bytes.size, &delta, &err);
    if (status < 0) {
        INVARIANT(err.status == status && err.message[0] != '\0', "status %d", status);
    } else {
        check(&delta);
    }
    bytes_deinit(&bytes);
    return 0;
}
