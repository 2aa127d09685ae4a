/* Checks: any bytes as the end of a page file, and as an image, are refused, or written again are
 * the same bytes. The first bytes say how many files there are and of how many groups; each input
 * is tried as it is, and with its checksums made right. A good seed is tests/golden/pages_v1.part.
 */
#include "base/hash.h"
#include "state/checkpoint_pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHECKSUM_BYTES = 8, FILE_BYTES = 4096 };

static void directory_check(const uint8_t *data, size_t size, uint64_t file_bytes, int files,
                            uint32_t groups, uint64_t version) {
    struct pages_directory directory = {
        .name = "join", .groups = groups, .version = version, .file_count = files};
    for (int i = 0; i < files; i++) {
        directory.files[i].bytes = FILE_BYTES;
    }
    bytes_init(&directory.entries);
    leat_status status = pages_directory_decode(data, size, file_bytes, &directory, NULL);
    INVARIANT(status == LEAT_OK || status == LEAT_CORRUPT, "status %d", status);
    if (status == LEAT_OK) {
        struct bytes again;
        bytes_init(&again);
        pages_directory_encode(&directory, file_bytes - size, &again);
        INVARIANT(again.size == size && memcmp(again.data, data, size) == 0,
                  "%zu bytes were read, %zu are written", size, again.size);
        bytes_deinit(&again);
    }
    bytes_deinit(&directory.entries);
}

static void image_check(const uint8_t *data, size_t size, bool mended) {
    struct pages_entry entry = {.group = 1, .number = 2, .version = 3};
    if (size < PAGES_IMAGE_HEAD_BYTES) {
        return;
    }
    memcpy(&entry.bytes, data + 4, sizeof(entry.bytes));
    memcpy(&entry.checksum, data + 24, sizeof(entry.checksum));
    if (entry.bytes > PAGES_IMAGE_MAX || pages_stored(entry.bytes) > size) {
        return;
    }
    if (mended) {
        entry.checksum = hash_bytes(data + PAGES_IMAGE_HEAD_BYTES, entry.bytes);
    }
    leat_status status = pages_image_check(&entry, data, NULL);
    INVARIANT(status == LEAT_OK || status == LEAT_CORRUPT, "status %d", status);
    if (status == LEAT_OK) {
        uint8_t head[PAGES_IMAGE_HEAD_BYTES];
        pages_image_head_encode(&entry, head);
        INVARIANT(memcmp(head, data, sizeof(head)) == 0, "another head");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    int files = 1 + data[0] % PAGES_FILES_MAX;
    uint32_t groups = data[1];
    data += 2;
    size -= 2;
    image_check(data, size, false);
    image_check(data, size, true);
    if (size < PAGES_TAIL_BYTES) {
        return 0;
    }
    struct bytes mended;
    bytes_init(&mended);
    bytes_append(&mended, data, size - CHECKSUM_BYTES);
    bytes_put_u64(&mended, hash_bytes(data, size - CHECKSUM_BYTES));
    uint64_t version;
    uint64_t offset;
    memcpy(&version, data + size - 16, sizeof(version));
    memcpy(&offset, data + size - 24, sizeof(offset));
    uint64_t file_bytes = offset <= FILE_BYTES ? offset + size : size;
    directory_check(data, size, file_bytes, files, groups, version);
    directory_check(mended.data, mended.size, file_bytes, files, groups, version);
    bytes_deinit(&mended);
    return 0;
}
