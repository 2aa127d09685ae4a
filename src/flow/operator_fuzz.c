/* Checks: any bytes as a savepoint block are refused, leaving nothing, or what was restored written
 * again is the same bytes. The first byte of an input chooses kind, group and whether the two
 * checksums are made right first. A good seed is tests/golden/savepoint_v1.block. */
#include "base/hash.h"
#include "flow/operator_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { GROUPS = 4, HEAD_BYTES = 48, CHECKSUM_BYTES = 8 };

static leat_status bytes_write(void *context, const void *bytes, size_t n, leat_error *err) {
    bytes_append(context, bytes, n);
    return bytes_status(context, err);
}

static leat_status bytes_read(void *context, void *bytes, size_t n, leat_error *err) {
    const uint8_t *from = bytes_get_raw(context, n);
    if (!from) {
        return error_set(err, LEAT_CORRUPT, "the source ends");
    }
    memcpy(bytes, from, n);
    return LEAT_OK;
}

/* Writes the group again; it is to be the bytes that were read. */
static void identical_check(leat_operator *op, uint32_t group, const uint8_t *data, size_t used) {
    struct bytes again;
    leat_snapshot *snapshot;
    bytes_init(&again);
    INVARIANT(leat_operator_freeze(op, &snapshot, NULL) == LEAT_OK, "no memory");
    leat_sink sink = {bytes_write, &again};
    INVARIANT(leat_snapshot_write(snapshot, group, sink, NULL) == LEAT_OK, "no memory");
    leat_snapshot_release(snapshot);
    INVARIANT(again.size == used && memcmp(again.data, data, used) == 0,
              "%zu bytes were read, %zu are written", used, again.size);
    bytes_deinit(&again);
}

static void block_check(const char *kind, uint32_t group, const uint8_t *data, size_t size) {
    static const char config[] = "actions: {click: {}, like: {}, hide: {}}"; /* the golden file's */
    leat_operator *op;
    leat_key_groups all = {GROUPS, 0, GROUPS};
    INVARIANT(leat_operator_open(kind, config, NULL, all, &op, NULL) == LEAT_OK, "no memory");
    struct bytes_reader reader = bytes_reader_of(data, size);
    leat_status status = leat_operator_restore(op, group, (leat_source){bytes_read, &reader}, NULL);
    if (status == LEAT_OK) {
        identical_check(op, group, data, size - (size_t)(reader.end - reader.at));
    } else {
        uint64_t records = state_count(op->keyed) + (op->shared ? state_count(op->shared) : 0);
        INVARIANT(records == 0, "%llu records of a bad block stay", (unsigned long long)records);
        INVARIANT(status == LEAT_CORRUPT || status == LEAT_CONFLICT || status == LEAT_UNSUPPORTED ||
                      status == LEAT_END,
                  "status %d", status);
    }
    leat_operator_close(op);
}

/* Makes the checksum of the head right, where the head is whole. */
static void mend_head(struct bytes *block) {
    if (block->size < HEAD_BYTES) {
        return;
    }
    uint32_t inputs;
    uint16_t name;
    memcpy(&inputs, block->data + 40, sizeof(inputs));
    memcpy(&name, block->data + 6, sizeof(name));
    size_t end = HEAD_BYTES + (size_t)(inputs % 8) * sizeof(int64_t) + name % 32;
    if (block->size >= end + CHECKSUM_BYTES) {
        uint64_t hash = hash_bytes(block->data, end);
        memcpy(block->data + end, &hash, sizeof(hash));
        /* And that of the one block of state behind it. */
        size_t begin = end + CHECKSUM_BYTES;
        if (block->size >= begin + CHECKSUM_BYTES) {
            hash = hash_bytes(block->data + begin, block->size - begin - CHECKSUM_BYTES);
            memcpy(block->data + block->size - CHECKSUM_BYTES, &hash, sizeof(hash));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const kinds[] = {"dedup", "join", "profile", "tally", "pairs"};
    if (size == 0) {
        return 0;
    }
    struct bytes block;
    bytes_init(&block);
    bytes_append(&block, data + 1, size - 1);
    if (data[0] & 0x80) {
        mend_head(&block);
    }
    uint32_t group = data[0] & 0x40 ? LEAT_GROUP_SHARED : (data[0] & 7) % GROUPS;
    block_check(kinds[(data[0] >> 3 & 7) % 5], group, block.data, block.size);
    bytes_deinit(&block);
    return 0;
}
