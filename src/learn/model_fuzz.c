/* Checks: bytes given to model_restore are refused, and then leave no trace in the model, or give a
 * model that, written and restored again, has the same digest. Either way the model goes on
 * learning and scoring.
 *
 * Checksums would keep the fuzzer out, so the first bit of the input says whether to put right
 * those that a walk over the stored layout (model_snapshot.c, table_snapshot.c) finds. */
#include "base/hash.h"
#include "learn/learn_test.h"
#include "learn/model_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TASKS = 2, DIMENSION = 3, DENSE = 1 };
enum { HEAD_FIXED = 16, TABLE_HEAD_BYTES = 96, SPEC_BYTES_MAX = 1 << 16 };

/* The second bit of the input's first byte says which. */
static bool batches;

/* Adam's moments are two, AdaGrad's sum is one. */
static size_t row_floats(void) {
    return (batches ? 3u : 2u) * (TASKS + DIMENSION);
}

static struct model *open_model(void) {
    struct model_spec spec = spec_fixture(TASKS, DIMENSION, DENSE);
    spec.memory = 1 << 20;
    spec.calibrate = true;
    spec.field_count = 2;
    for (int f = 0; f < 2; f++) {
        spec.fields[f] =
            (struct model_field){.target = -1, .shares = f, .rate = 1, .of_item = f == 1};
        snprintf(spec.fields[f].name, sizeof(spec.fields[f].name), "field%d", f);
    }
    if (batches) {
        spec.network = NETWORK_DEEPFM;
        spec.hidden_count = 1;
        spec.hidden[0] = 4;
        spec.batch = 16;
        spec.shards = 2;
        spec.optimiser = MODEL_ADAM;
    }
    struct model *model = NULL;
    leat_status status = model_open(&spec, NULL, NULL, &model, NULL);
    INVARIANT(status == LEAT_OK, "status %d", status);
    return model;
}

static uint64_t digest_of(struct model *model) {
    uint64_t digest = 0;
    INVARIANT(model_digest(model, &digest, NULL) == LEAT_OK, "no digest");
    return digest;
}

/* Writes the checksum of `count` bytes at `from` to `to`; false when it does not fit. */
static bool mend(struct bytes *bytes, size_t from, size_t count, size_t to) {
    if (from + count > bytes->size || to + sizeof(uint64_t) > bytes->size) {
        return false;
    }
    uint64_t checksum = hash_bytes(bytes->data + from, count);
    memcpy(bytes->data + to, &checksum, sizeof(checksum));
    return true;
}

/* Where the table begins, after putting right what stands before it; 0: nowhere. */
static size_t mend_head(struct bytes *bytes) {
    uint32_t spec;
    uint64_t body;
    if (bytes->size < HEAD_FIXED) {
        return 0;
    }
    memcpy(&spec, bytes->data + 8, sizeof(spec));
    size_t at = HEAD_FIXED + (size_t)spec;
    if (spec > SPEC_BYTES_MAX || !mend(bytes, 0, at, at) || at + 16 > bytes->size) {
        return 0;
    }
    memcpy(&body, bytes->data + at + 8, sizeof(body));
    return body <= bytes->size && mend(bytes, at + 8, body, at + 8 + body) ? at + 16 + body : 0;
}

static void mend_all(struct bytes *bytes) {
    size_t table = mend_head(bytes);
    if (table == 0 || !mend(bytes, table, TABLE_HEAD_BYTES, table + TABLE_HEAD_BYTES)) {
        return;
    }
    size_t at = table + TABLE_HEAD_BYTES + sizeof(uint64_t);
    while (at + 16 <= bytes->size) {
        uint32_t rows;
        memcpy(&rows, bytes->data + at, sizeof(rows));
        size_t count = (size_t)rows * (sizeof(uint64_t) + row_floats() * sizeof(float));
        if (!mend(bytes, at + 16, count, at + 8)) {
            return;
        }
        at += 16 + count;
    }
}

static void write_model(struct model *model, struct bytes *out) {
    struct model_snapshot *snapshot = NULL;
    INVARIANT(model_freeze(model, &snapshot, NULL) == LEAT_OK, "no freeze");
    INVARIANT(model_snapshot_write(snapshot, sink_bytes, out, NULL) == LEAT_OK, "no write");
    model_snapshot_release(snapshot);
}

static void check_rewrite(struct model *model) {
    struct bytes bytes;
    bytes_init(&bytes);
    write_model(model, &bytes);
    struct model *again = open_model();
    struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
    INVARIANT(model_restore(again, source_bytes, &reader, NULL) == LEAT_OK, "own bytes refused");
    INVARIANT(digest_of(again) == digest_of(model), "%llu rows",
              (unsigned long long)model_rows(model));
    model_close(again);
    bytes_deinit(&bytes);
}

static void learn_on(struct model *model) {
    const uint64_t keys[] = {1, 2, 0};
    const float dense[] = {0.5f};
    struct example example = {.keys = keys,
                              .key_count = 3,
                              .dense = dense,
                              .dense_count = 1,
                              .mask = 3,
                              .labels = 1,
                              .weight = 1};
    model_learn(model, &example);
    check_rewrite(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct bytes bytes;
    batches = data[0] & 2;
    bytes_init(&bytes);
    bytes_append(&bytes, data + 1, size - 1);
    if (data[0] & 1) {
        mend_all(&bytes);
    }
    struct model *model = open_model();
    uint64_t fresh = digest_of(model);
    struct bytes_reader reader = bytes_reader_of(bytes.data, bytes.size);
    leat_error err = {.status = LEAT_OK};
    leat_status status = model_restore(model, source_bytes, &reader, &err);
    if (status < 0) {
        INVARIANT(err.status == status && err.message[0] != '\0', "status %d", status);
        INVARIANT(digest_of(model) == fresh, "a refused model left traces");
    } else {
        check_rewrite(model);
    }
    learn_on(model);
    model_close(model);
    bytes_deinit(&bytes);
    return 0;
}
