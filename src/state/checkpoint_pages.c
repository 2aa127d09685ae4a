#include "state/checkpoint_pages.h"

#include "base/hash.h"

#include <inttypes.h>

static const char file_magic[4] = {'L', 'S', 'T', 'P'};
static const char image_magic[4] = {'I', 'M', 'A', 'G'};
static const char tail_magic[8] = {'L', 'S', 'T', 'P', 'D', 'I', 'R', '1'};

size_t pages_head_encode(const struct pages_directory *directory,
                         uint8_t out[PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX]) {
    size_t name_size = strlen(directory->name);
    uint16_t version = PAGES_VERSION;
    uint16_t size = (uint16_t)name_size;
    memset(out, 0, PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX);
    memcpy(out, file_magic, sizeof(file_magic));
    memcpy(out + 4, &version, sizeof(version));
    memcpy(out + 6, &size, sizeof(size));
    memcpy(out + 8, &directory->groups, sizeof(directory->groups));
    memcpy(out + 16, &directory->version, sizeof(directory->version));
    memcpy(out + PAGES_HEAD_BYTES, directory->name, name_size);
    return PAGES_HEAD_BYTES + (name_size + 7) / 8 * 8;
}

leat_status pages_head_check(const struct pages_directory *directory, const uint8_t *head,
                             leat_error *err) {
    uint8_t wanted[PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX];
    size_t size = pages_head_encode(directory, wanted);
    if (memcmp(head, wanted, size) != 0) {
        return error_set(err, LEAT_CORRUPT,
                         "the head is not that of version %d of a page file of the state %s",
                         PAGES_VERSION, directory->name);
    }
    return LEAT_OK;
}

/* --- images --- */

void pages_image_head_encode(const struct pages_entry *entry, uint8_t out[PAGES_IMAGE_HEAD_BYTES]) {
    memcpy(out, image_magic, sizeof(image_magic));
    memcpy(out + 4, &entry->bytes, sizeof(entry->bytes));
    memcpy(out + 8, &entry->group, sizeof(entry->group));
    memcpy(out + 12, &entry->number, sizeof(entry->number));
    memcpy(out + 16, &entry->version, sizeof(entry->version));
    memcpy(out + 24, &entry->checksum, sizeof(entry->checksum));
}

static leat_status image_fail(const struct pages_entry *entry, const char *words, leat_error *err) {
    return error_set(err, LEAT_CORRUPT, "page %u of group %u at offset %" PRIu64 ": %s",
                     entry->number, entry->group, entry->offset, words);
}

leat_status pages_image_check(const struct pages_entry *entry, const uint8_t *stored,
                              leat_error *err) {
    uint8_t head[PAGES_IMAGE_HEAD_BYTES];
    pages_image_head_encode(entry, head);
    if (memcmp(head, stored, sizeof(head)) != 0) {
        return image_fail(entry, "its head is not as the directory says", err);
    }
    const uint8_t *data = stored + PAGES_IMAGE_HEAD_BYTES;
    if (hash_bytes(data, entry->bytes) != entry->checksum) {
        return image_fail(entry, "its bytes do not have the checksum that the directory says", err);
    }
    for (uint64_t i = entry->bytes; i < pages_stored(entry->bytes) - PAGES_IMAGE_HEAD_BYTES; i++) {
        if (data[i] != 0) {
            return image_fail(entry, "the bytes behind it are not 0", err);
        }
    }
    return LEAT_OK;
}

/* --- directories --- */

uint64_t pages_directory_encode(const struct pages_directory *directory, uint64_t offset,
                                struct bytes *out) {
    size_t begin = out->size;
    bytes_append(out, directory->entries.data, directory->entries.size);
    bytes_append(out, tail_magic, sizeof(tail_magic));
    bytes_put_u64(out, pages_count(directory));
    bytes_put_u64(out, offset);
    bytes_put_u64(out, directory->version);
    uint64_t hash = out->failed ? 0 : hash_bytes(out->data + begin, out->size - begin);
    bytes_put_u64(out, hash);
    return hash;
}

leat_status pages_tail_decode(const uint8_t tail[PAGES_TAIL_BYTES], uint64_t file_bytes,
                              uint64_t *bytes, uint64_t *hash, leat_error *err) {
    struct bytes_reader reader = bytes_reader_of(tail, PAGES_TAIL_BYTES);
    const uint8_t *magic = bytes_get_raw(&reader, sizeof(tail_magic));
    uint64_t count = bytes_get_u64(&reader);
    uint64_t offset = bytes_get_u64(&reader);
    bytes_get_u64(&reader); /* the version is compared with the rest */
    *hash = bytes_get_u64(&reader);
    if (memcmp(magic, tail_magic, sizeof(tail_magic)) != 0 || count > PAGES_ENTRIES_MAX) {
        return error_set(err, LEAT_CORRUPT, "it does not end with the directory of its pages");
    }
    *bytes = count * PAGES_ENTRY_BYTES + PAGES_TAIL_BYTES;
    if (*bytes > file_bytes || offset != file_bytes - *bytes) {
        return error_set(err, LEAT_CORRUPT,
                         "a directory of %" PRIu64 " pages cannot begin at %" PRIu64 " of %" PRIu64
                         " bytes",
                         count, offset, file_bytes);
    }
    return LEAT_OK;
}

/* `end`: where the images of this file end. */
static leat_status entry_check(const struct pages_directory *directory, size_t index, uint64_t end,
                               leat_error *err) {
    const struct pages_entry *entry = pages_at(directory, index);
    const struct pages_entry *before = index ? entry - 1 : NULL;
    const char *wrong = NULL;
    if (entry->group >= directory->groups) {
        wrong = "its group is not one of the state's";
    } else if (before &&
               pages_order(before->group, before->number, entry->group, entry->number) >= 0) {
        wrong = "it is out of order";
    } else if (entry->file >= (uint32_t)directory->file_count) {
        wrong = "it is in a file that the manifest does not name";
    } else if (entry->bytes == 0 || entry->bytes > PAGES_IMAGE_MAX ||
               entry->version > directory->version) {
        wrong = "its size or version cannot be";
    } else {
        uint64_t limit = entry->file == 0 ? end : directory->files[entry->file].bytes;
        uint64_t stored = pages_stored(entry->bytes);
        if (entry->offset % 8 != 0 || entry->offset < PAGES_HEAD_BYTES || stored > limit ||
            entry->offset > limit - stored) {
            wrong = "it does not lie within its file";
        }
    }
    return wrong ? error_set(err, LEAT_CORRUPT, "entry %zu of the directory: %s", index, wrong)
                 : LEAT_OK;
}

leat_status pages_directory_decode(const uint8_t *data, size_t size, uint64_t file_bytes,
                                   struct pages_directory *out, leat_error *err) {
    uint64_t bytes;
    uint64_t stored;
    bytes_clear(&out->entries);
    if (size < PAGES_TAIL_BYTES) {
        return error_set(err, LEAT_CORRUPT, "it has %zu bytes, which is no page file", size);
    }
    const uint8_t *tail = data + size - PAGES_TAIL_BYTES;
    TRY(pages_tail_decode(tail, file_bytes, &bytes, &stored, err));
    uint64_t version;
    memcpy(&version, tail + 24, sizeof(version));
    if (bytes != size || version != out->version ||
        stored != hash_bytes(data, size - sizeof(stored))) {
        return error_set(err, LEAT_CORRUPT,
                         "the directory at offset %" PRIu64 " is damaged, or of another checkpoint",
                         file_bytes - bytes);
    }
    bytes_append(&out->entries, data, size - PAGES_TAIL_BYTES);
    TRY(bytes_status(&out->entries, err));
    for (size_t i = 0; i < pages_count(out); i++) {
        TRY(entry_check(out, i, file_bytes - bytes, err));
    }
    return LEAT_OK;
}
