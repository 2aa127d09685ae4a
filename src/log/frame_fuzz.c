/* Bytes as the only segment of a log. Recovery refuses them, or keeps a prefix; then:
 * - every frame kept, written anew from what was read, is the same bytes;
 * - opening a second time cuts nothing, and finds as many rows and commits;
 * - erasing those whom its forget rows name leaves no forget row, and as many rows and commits.
 *
 * The first byte of the input says whether the checksums of what looks like frames are made right
 * first: without it hardly any input would get beyond them. */
#include "base/disk_fake.h"
#include "base/hash.h"
#include "base/memory.h"
#include "log/log_erase.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEGMENT "log/00000000000000000000.seg"

enum { LOG_ID = 7, INPUT_BYTES_MAX = 1 << 16 };

static uint64_t get_u64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* Walks the bytes as frames and sets both checksums of each, and what must be right for it to be
 * looked at: magic and version. Offsets: frame.h. */
static void repair(uint8_t *data, size_t size) {
    size_t at = 0;
    while (size - at >= FRAME_HEADER_BYTES) {
        uint8_t *header = data + at;
        uint32_t magic = FRAME_MAGIC;
        memcpy(header, &magic, sizeof(magic));
        uint64_t left = size - at - FRAME_HEADER_BYTES;
        uint64_t body = get_u64(header + 16) & UINT32_MAX;
        if (body > left) {
            body = left & ~(uint64_t)7;
            memcpy(header + 16, &body, sizeof(uint32_t));
        }
        uint64_t sum = hash_bytes(header + FRAME_HEADER_BYTES, body);
        memcpy(header + 48, &sum, sizeof(sum));
        sum = hash_bytes(header, 56);
        memcpy(header + 56, &sum, sizeof(sum));
        at += FRAME_HEADER_BYTES + body;
    }
}

static struct log *open_log(struct disk_fake *fake, struct log_recovery *recovery) {
    const struct log_options options = {.disk = disk_fake_disk(fake),
                                        .folder = "log",
                                        .log_id = LOG_ID,
                                        .event_clock = true,
                                        .inline_writer = true,
                                        .segment_bytes = 1 << 20,
                                        .queue_bytes = 1 << 20};
    struct log *log = NULL;
    leat_error err;
    leat_status status = log_open(&options, &log, recovery, &err);
    INVARIANT(status == LEAT_OK || status == LEAT_CORRUPT || status == LEAT_UNSUPPORTED,
              "status %d: %s", (int)status, err.message);
    return log;
}

/* The frame as its columns say it must be the frame as it was read. */
static void check_same(const struct log_entry *entry, const uint8_t *stored) {
    size_t size = FRAME_HEADER_BYTES + (size_t)entry->frame.body_bytes;
    uint8_t *anew = memory_aligned(64, size);
    INVARIANT(anew && FRAME_HEADER_BYTES + batch_body_size(&entry->batch) == size, "%zu bytes",
              size);
    struct frame frame = entry->frame;
    batch_body_write(&entry->batch, anew + FRAME_HEADER_BYTES);
    frame_seal(&frame, anew);
    INVARIANT(memcmp(anew, stored, size) == 0, "a frame of %zu bytes reads as another", size);
    memory_free(anew);
}

static void check_log(struct log *log, const uint8_t *stored) {
    struct log_reader *reader;
    struct log_entry entry;
    INVARIANT(log_reader_open(log, 0, &reader, NULL) == LEAT_OK, "end %llu",
              (unsigned long long)log_end(log));
    uint64_t rows = 0;
    leat_status status;
    while ((status = log_read(reader, &entry, NULL)) == LEAT_OK) {
        check_same(&entry, stored + entry.offset);
        rows += entry.frame.rows;
    }
    INVARIANT(status == LEAT_AGAIN && rows == log_end(log), "%llu rows, status %d",
              (unsigned long long)rows, (int)status);
    log_reader_close(reader);
}

static void check_erasing(struct disk_fake *fake, const struct log_recovery *before) {
    struct log_recovery recovery;
    struct log_erasure *erasure;
    struct log_forgotten forgotten;
    struct log *log = open_log(fake, &recovery);
    INVARIANT(log, "it was open before");
    uint64_t end = log_end(log);
    leat_status status = log_erase_begin(log, UINT64_MAX, &erasure, NULL);
    if (status == LEAT_OK) {
        while ((status = log_erase_step(erasure, NULL)) == LEAT_OK) {
        }
        INVARIANT(status == LEAT_END, "erasing: status %d", (int)status);
        log_erase_end(erasure);
    }
    log_close(log);
    log = open_log(fake, &recovery);
    INVARIANT(log && recovery.bytes_cut == 0 && recovery.commits == before->commits &&
                  log_end(log) == end,
              "erased: %llu commits of %llu", (unsigned long long)recovery.commits,
              (unsigned long long)before->commits);
    log_forgotten(log, &forgotten);
    INVARIANT(forgotten.count == 0, "%llu forget rows stand", (unsigned long long)forgotten.count);
    log_close(log);
}

static void check_segment(struct disk_fake *fake, const uint8_t *stored) {
    struct log_recovery first;
    struct log *log = open_log(fake, &first);
    if (!log) {
        return;
    }
    check_log(log, stored);
    uint64_t end = log_end(log);
    log_close(log);
    struct log_recovery second;
    log = open_log(fake, &second);
    INVARIANT(log && second.bytes_cut == 0 && second.commits == first.commits &&
                  log_end(log) == end,
              "opened again: %llu bytes cut", (unsigned long long)second.bytes_cut);
    log_close(log);
    check_erasing(fake, &second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > INPUT_BYTES_MAX) {
        return 0;
    }
    uint8_t *segment = memory_aligned(64, size);
    struct disk_fake *fake;
    INVARIANT(segment && disk_fake_create(1, &fake, NULL) == LEAT_OK, "no memory");
    memcpy(segment, data + 1, size - 1);
    if (data[0] & 1) {
        repair(segment, size - 1);
    }
    INVARIANT(disk_make_folder(disk_fake_disk(fake), "log", NULL) == LEAT_OK &&
                  disk_fake_set(fake, SEGMENT, segment, size - 1) == LEAT_OK,
              "no memory");
    check_segment(fake, segment);
    disk_fake_destroy(fake);
    memory_free(segment);
    return 0;
}
