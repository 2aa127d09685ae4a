#include "connect/byte_file.h"

#include "base/memory.h"

#include <archive.h>
#include <archive_entry.h>

enum { PACKED_BYTES = 65536 };

struct byte_file {
    struct file *file;
    uint64_t offset;
    char path[PATH_BYTES_MAX];
    struct archive *archive; /* NULL: the bytes as they are */
    leat_error read_error;   /* of the file under the archive */
    uint8_t block[PACKED_BYTES];
};

static la_ssize_t pull(struct archive *archive, void *context, const void **block) {
    struct byte_file *file = context;
    size_t got = 0;
    leat_status status =
        file_read(file->file, file->block, PACKED_BYTES, file->offset, &got, &file->read_error);
    if (status < 0) {
        archive_set_error(archive, 0, "%s", file->read_error.message);
        return ARCHIVE_FATAL;
    }
    file->offset += got;
    *block = file->block;
    return (la_ssize_t)got;
}

static leat_status packed_failed(const struct byte_file *file, leat_error *err) {
    if (file->read_error.status < 0) {
        return error_set(err, file->read_error.status, "%s", file->read_error.message);
    }
    const char *words = archive_error_string(file->archive);
    return error_set(err, LEAT_CORRUPT, "%s: %s", file->path, words ? words : "damaged");
}

static leat_status open_packed(struct byte_file *file, leat_error *err) {
    struct archive_entry *entry;
    file->archive = archive_read_new();
    if (!file->archive) {
        return error_memory(err, PACKED_BYTES);
    }
    archive_read_support_filter_all(file->archive);
    archive_read_support_format_raw(file->archive);
    if (archive_read_open(file->archive, file, NULL, pull, NULL) != ARCHIVE_OK ||
        archive_read_next_header(file->archive, &entry) != ARCHIVE_OK) {
        return packed_failed(file, err);
    }
    return LEAT_OK;
}

/* No text begins with any of these. */
static bool begins_packed(const uint8_t *head, size_t size) {
    static const struct {
        size_t size;
        uint8_t bytes[6];
    } MAGICS[] = {
        {3, {0x1F, 0x8B, 8}},                /* gzip */
        {4, {0x28, 0xB5, 0x2F, 0xFD}},       /* zstd */
        {6, {0xFD, '7', 'z', 'X', 'Z', 0}},  /* xz */
        {4, {0x04, 0x22, 0x4D, 0x18}},       /* lz4 */
        {6, {'B', 'Z', 'h', '9', '1', 'A'}}, /* bzip2, as it is made by default */
    };
    for (size_t i = 0; i < sizeof(MAGICS) / sizeof(MAGICS[0]); i++) {
        if (size >= MAGICS[i].size && memcmp(head, MAGICS[i].bytes, MAGICS[i].size) == 0) {
            return true;
        }
    }
    return false;
}

static leat_status start(struct byte_file *file, struct disk *disk, leat_error *err) {
    uint8_t head[8];
    size_t got = 0;
    leat_status status = file_open(disk, file->path, FILE_READ, &file->file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_INVALID, "%s: no such file", file->path);
    }
    TRY(file_read(file->file, head, sizeof(head), 0, &got, err));
    return begins_packed(head, got) ? open_packed(file, err) : LEAT_OK;
}

leat_status byte_file_open(struct disk *disk, const char *path, struct byte_file **out,
                           leat_error *err) {
    if (strlen(path) >= PATH_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "a path of %zu bytes; %d at most", strlen(path),
                         PATH_BYTES_MAX - 1);
    }
    struct byte_file *file = memory_zalloc(sizeof(*file));
    if (!file) {
        return error_memory(err, sizeof(*file));
    }
    memcpy(file->path, path, strlen(path) + 1);
    leat_status status = start(file, disk, err);
    if (status < 0) {
        byte_file_close(file);
        return status;
    }
    *out = file;
    return LEAT_OK;
}

void byte_file_close(struct byte_file *file) {
    if (!file) {
        return;
    }
    if (file->archive) {
        archive_read_free(file->archive);
    }
    file_close(file->file);
    memory_free(file);
}

static leat_status read_bytes(void *context, void *data, size_t count, size_t *got,
                              leat_error *err) {
    struct byte_file *file = context;
    if (file->archive) {
        la_ssize_t size = archive_read_data(file->archive, data, count);
        if (size < 0) {
            return packed_failed(file, err);
        }
        *got = (size_t)size;
        return LEAT_OK;
    }
    TRY(file_read(file->file, data, count, file->offset, got, err));
    file->offset += *got;
    return LEAT_OK;
}

struct byte_source byte_file_source(struct byte_file *file) {
    return (struct byte_source){read_bytes, file};
}

uint64_t byte_file_read_so_far(const struct byte_file *file) {
    return file->offset;
}
