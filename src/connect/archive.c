#include "connect/archive.h"

#include "base/memory.h"

#include <archive.h>
#include <archive_entry.h>

enum { READ_BYTES = 65536 };

struct members {
    struct disk *disk;
    const char *prefix;
    const char *suffix;
    char path[PATH_BYTES_MAX]; /* of the folder or the archive */
    struct file *file;         /* a folder's current member, or the archive's file */
    uint64_t offset;           /* in that file */
    char name[PATH_BYTES_MAX];
    /* a folder */
    struct bytes names; /* each with its NUL, in order */
    size_t next_name;
    /* an archive */
    struct archive *archive;
    leat_error read_error; /* of the file under the archive */
    uint8_t block[READ_BYTES];
};

bool name_matches(const char *name, const char *prefix, const char *suffix) {
    size_t size = strlen(name);
    size_t before = strlen(prefix);
    size_t after = strlen(suffix);
    return size >= before + after && memcmp(name, prefix, before) == 0 &&
           memcmp(name + size - after, suffix, after) == 0;
}

static leat_status members_create(struct disk *disk, const char *path, const char *prefix,
                                  const char *suffix, struct members **out, leat_error *err) {
    if (strlen(path) >= PATH_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "a path of %zu bytes; %d at most", strlen(path),
                         PATH_BYTES_MAX - 1);
    }
    struct members *members = memory_zalloc(sizeof(*members));
    if (!members) {
        return error_memory(err, sizeof(*members));
    }
    members->disk = disk;
    members->prefix = prefix;
    members->suffix = suffix;
    memcpy(members->path, path, strlen(path) + 1);
    bytes_init(&members->names);
    *out = members;
    return LEAT_OK;
}

void members_close(struct members *members) {
    if (!members) {
        return;
    }
    if (members->archive) {
        archive_read_free(members->archive);
    }
    file_close(members->file);
    bytes_deinit(&members->names);
    memory_free(members);
}

/* --- a folder --- */

static leat_status keep_name(void *context, const char *name) {
    struct members *members = context;
    if (name_matches(name, members->prefix, members->suffix)) {
        bytes_append(&members->names, name, strlen(name) + 1);
    }
    return LEAT_OK;
}

leat_status members_open_folder(struct disk *disk, const char *folder, const char *prefix,
                                const char *suffix, struct members **out, leat_error *err) {
    struct members *members;
    TRY(members_create(disk, folder, prefix, suffix, &members, err));
    leat_status status = disk_list(disk, folder, keep_name, members, err);
    if (status == LEAT_OK) {
        status = bytes_status(&members->names, err);
    }
    if (status != LEAT_OK) {
        members_close(members);
        return status;
    }
    *out = members;
    return LEAT_OK;
}

static leat_status folder_next(struct members *members, leat_error *err) {
    if (members->next_name == members->names.size) {
        return LEAT_END;
    }
    const char *name = (const char *)members->names.data + members->next_name;
    members->next_name += strlen(name) + 1;
    file_close(members->file);
    members->file = NULL;
    members->offset = 0;
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, members->path, name, err));
    leat_status status = file_open(members->disk, path, FILE_READ, &members->file, err);
    if (status == LEAT_NOT_FOUND) {
        return error_set(err, LEAT_IO, "%s: is gone since the folder was listed", path);
    }
    memcpy(members->name, name, strlen(name) + 1);
    return status;
}

static leat_status folder_read(void *context, void *data, size_t count, size_t *got,
                               leat_error *err) {
    struct members *members = context;
    TRY(file_read(members->file, data, count, members->offset, got, err));
    members->offset += *got;
    return LEAT_OK;
}

/* --- an archive --- */

static la_ssize_t archive_pull(struct archive *archive, void *context, const void **block) {
    struct members *members = context;
    size_t got = 0;
    leat_status status = file_read(members->file, members->block, READ_BYTES, members->offset, &got,
                                   &members->read_error);
    if (status < 0) {
        archive_set_error(archive, 0, "%s", members->read_error.message);
        return ARCHIVE_FATAL;
    }
    members->offset += got;
    *block = members->block;
    return (la_ssize_t)got;
}

/* The failure of the file below where there was one, else the archive's own. */
static leat_status archive_failed(const struct members *members, leat_status status,
                                  leat_error *err) {
    if (members->read_error.status < 0) {
        return error_set(err, members->read_error.status, "%s", members->read_error.message);
    }
    const char *words = archive_error_string(members->archive);
    return error_set(err, status, "%s: %s", members->path, words ? words : "damaged");
}

static leat_status archive_start(struct members *members, leat_error *err) {
    TRY(file_open(members->disk, members->path, FILE_READ, &members->file, err));
    if (!members->file) {
        return LEAT_NOT_FOUND;
    }
    members->archive = archive_read_new();
    if (!members->archive) {
        return error_memory(err, READ_BYTES);
    }
    archive_read_support_filter_all(members->archive);
    archive_read_support_format_tar(members->archive);
    if (archive_read_open(members->archive, members, NULL, archive_pull, NULL) != ARCHIVE_OK) {
        return archive_failed(members, LEAT_INVALID, err);
    }
    return LEAT_OK;
}

leat_status members_open_archive(struct disk *disk, const char *path, const char *prefix,
                                 const char *suffix, struct members **out, leat_error *err) {
    struct members *members;
    TRY(members_create(disk, path, prefix, suffix, &members, err));
    leat_status status = archive_start(members, err);
    if (status != LEAT_OK) {
        members_close(members);
        return status;
    }
    *out = members;
    return LEAT_OK;
}

static bool entry_wanted(const struct members *members, struct archive_entry *entry) {
    const char *path = archive_entry_pathname(entry);
    if (!path || archive_entry_filetype(entry) != AE_IFREG || strlen(path) >= PATH_BYTES_MAX) {
        return false;
    }
    const char *slash = strrchr(path, '/');
    return name_matches(slash ? slash + 1 : path, members->prefix, members->suffix);
}

static leat_status archive_next(struct members *members, leat_error *err) {
    struct archive_entry *entry;
    for (;;) {
        int answer = archive_read_next_header(members->archive, &entry);
        if (answer == ARCHIVE_EOF) {
            return LEAT_END;
        }
        if (answer != ARCHIVE_OK && answer != ARCHIVE_WARN) {
            return archive_failed(members, LEAT_CORRUPT, err);
        }
        if (entry_wanted(members, entry)) {
            const char *path = archive_entry_pathname(entry);
            memcpy(members->name, path, strlen(path) + 1);
            return LEAT_OK;
        }
    }
}

static leat_status archive_read_member(void *context, void *data, size_t count, size_t *got,
                                       leat_error *err) {
    struct members *members = context;
    la_ssize_t size = archive_read_data(members->archive, data, count);
    if (size < 0) {
        return archive_failed(members, LEAT_CORRUPT, err);
    }
    *got = (size_t)size;
    return LEAT_OK;
}

/* --- both --- */

leat_status members_next(struct members *members, leat_error *err) {
    return members->archive ? archive_next(members, err) : folder_next(members, err);
}

const char *members_name(const struct members *members) {
    return members->name;
}

struct byte_source members_source(struct members *members) {
    return (struct byte_source){members->archive ? archive_read_member : folder_read, members};
}
