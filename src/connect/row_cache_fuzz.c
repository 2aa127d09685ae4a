/* Whatever a file holds: refused, or rows whose offsets hold; and what was read, written and read
 * again is the same. Checksums are mended first, so that what lies behind them is reached. */
#include "base/disk_fake.h"
#include "connect/row_cache_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct disk_fake *fake;

static void mend(uint8_t *data, size_t from, size_t size, size_t at) {
    uint64_t checksum = hash_bytes(data + from, size);
    memcpy(data + at, &checksum, sizeof(checksum));
}

static void mend_all(uint8_t *data, size_t size) {
    uint32_t head = 0;
    if (size < CACHE_HEAD_BYTES) {
        return;
    }
    memcpy(&head, data + 8, sizeof(head));
    if (head < CACHE_HEAD_BYTES + 8 || head > size) {
        return;
    }
    mend(data, 0, head - 8, head - 8);
    for (size_t at = head; size - at >= CACHE_BLOCK_HEAD;) {
        uint64_t bytes;
        memcpy(&bytes, data + at + 16, sizeof(bytes));
        if (bytes > size - at - CACHE_BLOCK_HEAD) {
            break;
        }
        mend(data, at + CACHE_BLOCK_HEAD, bytes, at + 40);
        mend(data, at, CACHE_BLOCK_HEAD - 8, at + CACHE_BLOCK_HEAD - 8);
        at += CACHE_BLOCK_HEAD + bytes;
    }
}

/* Digest of all rows; writes them again where `writer` is given. */
static leat_status read_rows(const char *path, struct row_cache_writer *writer, uint64_t *digest) {
    struct row_cache *cache;
    struct minibatch rows;
    const uint64_t *numbers;
    leat_status status = row_cache_open(disk_fake_disk(fake), path, &cache, NULL);
    if (status != LEAT_OK) {
        return status;
    }
    *digest = 0;
    while ((status = row_cache_next(cache, &rows, &numbers, NULL)) == LEAT_OK) {
        for (int i = 0; i < rows.count; i++) {
            size_t from = rows.offsets[i];
            size_t keys = rows.offsets[i + 1] - from;
            size_t tasks = (size_t)rows.tasks;
            *digest = hash_mix(*digest, hash_bytes(rows.keys + from, keys * sizeof(uint64_t)));
            *digest = hash_mix(*digest,
                               hash_bytes(rows.targets + (size_t)i * tasks, tasks * sizeof(float)));
            *digest = hash_mix(*digest, numbers[i]);
            *digest = hash_mix(*digest, rows.times ? rows.times[i] : 0);
        }
        if (writer) {
            leat_status wrote = row_cache_write(writer, &rows, numbers, NULL);
            INVARIANT(wrote == LEAT_OK, "%d", wrote);
        }
    }
    row_cache_close(cache);
    return status;
}

static void check_again(uint64_t digest) {
    struct row_cache *cache;
    struct row_cache_writer *writer;
    uint64_t again;
    leat_status status = row_cache_open(disk_fake_disk(fake), "rows", &cache, NULL);
    INVARIANT(status == LEAT_OK, "%d", status);
    status = row_cache_create(disk_fake_disk(fake), "again", row_cache_shape(cache), 0, 0, &writer,
                              NULL);
    INVARIANT(status == LEAT_OK, "%d", status);
    status = read_rows("rows", writer, &again);
    INVARIANT(status == LEAT_END && again == digest, "%d", status);
    status = row_cache_finish(writer, NULL);
    INVARIANT(status == LEAT_OK, "%d", status);
    status = read_rows("again", NULL, &again);
    INVARIANT(status == LEAT_END && again == digest, "%d", status);
    row_cache_writer_close(writer);
    row_cache_close(cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct bytes bytes;
    uint64_t digest;
    if (!fake) {
        leat_status made = disk_fake_create(1, &fake, NULL);
        INVARIANT(made == LEAT_OK, "%d", made);
    }
    bytes_clear(&bytes);
    bytes_append(&bytes, data, size);
    mend_all(bytes.data, bytes.size);
    leat_status status = disk_fake_set(fake, "rows", bytes.data, bytes.size);
    INVARIANT(status == LEAT_OK, "%d", status);
    status = read_rows("rows", NULL, &digest);
    INVARIANT(status < 0 || status == LEAT_END, "%d", status);
    if (status == LEAT_END) {
        check_again(digest);
    }
    return 0;
}
