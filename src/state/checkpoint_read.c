/* Finding, opening and reading checkpoints. */
#include "base/memory.h"
#include "state/checkpoint_reader.h"

#include <inttypes.h>

/* --- opening --- */

struct pages_file checkpoint_file_of(const struct checkpoint *checkpoint,
                                     const struct manifest_part *part, int number) {
    const struct manifest *manifest = &checkpoint->manifest;
    if (number > 0) {
        return manifest->files[part->file_first + number - 1];
    }
    return (struct pages_file){.sequence = manifest->identity.sequence,
                               .generation = manifest->generation,
                               .bytes = part->bytes};
}

static leat_status file_check_size(const struct checkpoint *checkpoint, const char *part,
                                   const struct pages_file *wanted, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(checkpoint_file_path(path, checkpoint->folder, part, wanted, err));
    struct file *file;
    leat_status status = file_open(checkpoint->disk, path, FILE_READ, &file, err);
    if (status == LEAT_NOT_FOUND) {
        return error_set(err, LEAT_CORRUPT, "%s: the file is missing", path);
    }
    if (status < 0) {
        return status;
    }
    uint64_t size;
    status = file_size(file, &size, err);
    file_close(file);
    if (status == LEAT_OK && size != wanted->bytes) {
        status = error_set(err, LEAT_CORRUPT, "%s: %" PRIu64 " bytes, the manifest says %" PRIu64,
                           path, size, wanted->bytes);
    }
    return status;
}

static leat_status part_check_sizes(const struct checkpoint *checkpoint,
                                    const struct manifest_part *part, leat_error *err) {
    for (int i = 0; i <= part->file_count; i++) {
        struct pages_file file = checkpoint_file_of(checkpoint, part, i);
        TRY(file_check_size(checkpoint, part->name, &file, err));
    }
    return LEAT_OK;
}

static leat_status manifest_load(struct checkpoint *checkpoint, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, checkpoint->path, MANIFEST_NAME, err));
    struct bytes text;
    bytes_init(&text);
    leat_status status = disk_get(checkpoint->disk, path, MANIFEST_BYTES_MAX, &text, err);
    if (status == LEAT_OK) {
        struct slice slice = {(const char *)text.data, text.size};
        status = manifest_decode(slice, &checkpoint->manifest, err);
    } else if (status == LEAT_FULL) {
        status = LEAT_CORRUPT; /* larger than any manifest can be */
    }
    bytes_deinit(&text);
    return status < 0 ? error_in(err, status, "checkpoint %s", checkpoint->path) : status;
}

static leat_status checkpoint_load(struct checkpoint *checkpoint, uint64_t sequence,
                                   leat_error *err) {
    leat_status status = manifest_load(checkpoint, err);
    if (status != LEAT_OK) {
        return status;
    }
    const struct manifest *manifest = &checkpoint->manifest;
    if (manifest->identity.sequence != sequence) {
        return error_set(err, LEAT_CORRUPT, "checkpoint %s: its manifest is of sequence %" PRIu64,
                         checkpoint->path, manifest->identity.sequence);
    }
    for (int i = 0; i < manifest->part_count; i++) {
        TRY(part_check_sizes(checkpoint, &manifest->parts[i], err));
    }
    return LEAT_OK;
}

leat_status checkpoint_open(struct disk *disk, const char *folder, uint64_t sequence,
                            struct checkpoint **out, leat_error *err) {
    *out = NULL;
    char path[PATH_BYTES_MAX];
    TRY(checkpoint_path(path, folder, sequence, err));
    struct checkpoint *checkpoint = memory_aligned(64, sizeof(*checkpoint));
    if (!checkpoint) {
        return error_memory(err, sizeof(*checkpoint));
    }
    memset(checkpoint, 0, offsetof(struct checkpoint, buffer));
    checkpoint->disk = disk;
    snprintf(checkpoint->folder, sizeof(checkpoint->folder), "%s", folder);
    memcpy(checkpoint->path, path, sizeof(path));
    leat_status status = checkpoint_load(checkpoint, sequence, err);
    if (status != LEAT_OK) {
        checkpoint_close(checkpoint);
        return status;
    }
    *out = checkpoint;
    return LEAT_OK;
}

void checkpoint_close(struct checkpoint *checkpoint) {
    if (checkpoint) {
        checkpoint_close_pages(checkpoint);
        file_close(checkpoint->file);
        memory_free(checkpoint);
    }
}

const struct checkpoint_identity *checkpoint_about(const struct checkpoint *checkpoint) {
    return &checkpoint->manifest.identity;
}

const char *checkpoint_get_note(const struct checkpoint *checkpoint, const char *key) {
    for (int i = 0; i < checkpoint->manifest.note_count; i++) {
        if (strcmp(checkpoint->manifest.notes[i].key, key) == 0) {
            return checkpoint->manifest.notes[i].value;
        }
    }
    return NULL;
}

int checkpoint_part_count(const struct checkpoint *checkpoint) {
    return checkpoint->manifest.part_count;
}

struct checkpoint_part_about checkpoint_part_at(const struct checkpoint *checkpoint, int index) {
    const struct manifest_part *part = &checkpoint->manifest.parts[index];
    struct checkpoint_part_about about = {.name = part->name,
                                          .pages = part->pages,
                                          .version = part->version,
                                          .bytes = part->bytes,
                                          .hash = part->hash,
                                          .referred_files = part->file_count};
    for (int i = 1; i <= part->file_count; i++) {
        about.referred_bytes += checkpoint_file_of(checkpoint, part, i).bytes;
    }
    return about;
}

/* --- reading streams --- */

leat_status checkpoint_read_part(struct checkpoint *checkpoint, const char *name, leat_error *err) {
    const struct manifest_part *part = manifest_part_find(&checkpoint->manifest, name);
    if (!part || part->pages) {
        return LEAT_NOT_FOUND;
    }
    char path[PATH_BYTES_MAX];
    struct pages_file own = checkpoint_file_of(checkpoint, part, 0);
    TRY(checkpoint_file_path(path, checkpoint->folder, name, &own, err));
    file_close(checkpoint->file);
    checkpoint->part = NULL;
    leat_status status = file_open(checkpoint->disk, path, FILE_READ, &checkpoint->file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_CORRUPT, "%s: the part is missing", path);
    }
    checkpoint->part = part;
    checkpoint->offset = 0;
    checkpoint->buffer_at = 0;
    checkpoint->buffer_end = 0;
    XXH3_64bits_reset(&checkpoint->hash);
    return LEAT_OK;
}

/* The buffer is empty and `offset` stands before the end of the part. */
static leat_status buffer_fill(struct checkpoint *checkpoint, leat_error *err) {
    uint64_t left = checkpoint->part->bytes - checkpoint->offset;
    size_t wanted = left < READ_BUFFER ? (size_t)left : READ_BUFFER;
    size_t got;
    TRY(file_read(checkpoint->file, checkpoint->buffer, wanted, checkpoint->offset, &got, err));
    if (got != wanted) {
        return error_set(err, LEAT_CORRUPT, "%s/%s: ends %" PRIu64 " bytes early", checkpoint->path,
                         checkpoint->part->name, left - got);
    }
    XXH3_64bits_update(&checkpoint->hash, checkpoint->buffer, got);
    checkpoint->buffer_at = 0;
    checkpoint->buffer_end = got;
    return LEAT_OK;
}

static leat_status part_compare(struct checkpoint *checkpoint, leat_error *err) {
    uint64_t hash = XXH3_64bits_digest(&checkpoint->hash);
    if (hash == checkpoint->part->hash) {
        return LEAT_OK;
    }
    return error_set(err, LEAT_CORRUPT,
                     "%s/%s: checksum %016" PRIx64 ", the manifest says %016" PRIx64,
                     checkpoint->path, checkpoint->part->name, hash, checkpoint->part->hash);
}

static leat_status part_check_open(const struct checkpoint *checkpoint, leat_error *err) {
    return checkpoint->part ? LEAT_OK
                            : error_set(err, LEAT_INVALID, "checkpoint %s: no part is being read",
                                        checkpoint->path);
}

leat_status checkpoint_read(void *context, void *data, size_t count, leat_error *err) {
    struct checkpoint *checkpoint = context;
    TRY(part_check_open(checkpoint, err));
    if (count > checkpoint->part->bytes - checkpoint->offset) {
        return error_set(err, LEAT_CORRUPT,
                         "%s/%s: %zu bytes wanted at %" PRIu64 ", it has %" PRIu64,
                         checkpoint->path, checkpoint->part->name, count, checkpoint->offset,
                         checkpoint->part->bytes);
    }
    uint8_t *to = data;
    while (count > 0) {
        if (checkpoint->buffer_at == checkpoint->buffer_end) {
            TRY(buffer_fill(checkpoint, err));
        }
        size_t there = checkpoint->buffer_end - checkpoint->buffer_at;
        size_t piece = count < there ? count : there;
        memcpy(to, checkpoint->buffer + checkpoint->buffer_at, piece);
        checkpoint->buffer_at += piece;
        checkpoint->offset += piece;
        to += piece;
        count -= piece;
    }
    bool at_end = checkpoint->offset == checkpoint->part->bytes;
    return at_end ? part_compare(checkpoint, err) : LEAT_OK;
}

leat_status checkpoint_read_end(struct checkpoint *checkpoint, leat_error *err) {
    TRY(part_check_open(checkpoint, err));
    if (checkpoint->offset != checkpoint->part->bytes) {
        return error_set(err, LEAT_CORRUPT, "%s/%s: %" PRIu64 " bytes more than expected",
                         checkpoint->path, checkpoint->part->name,
                         checkpoint->part->bytes - checkpoint->offset);
    }
    return part_compare(checkpoint, err);
}

/* --- the newest --- */

/* Gathers the sequences of all folders that are named like checkpoints; the listing is sorted, and
 * so are they. */
static leat_status sequence_gather(void *context, const char *name) {
    uint64_t sequence = 0;
    for (int i = 0; i < CHECKPOINT_DIGITS; i++) {
        uint64_t digit = (uint64_t)(unsigned char)name[i] - '0';
        if (digit > 9 || sequence > (UINT64_MAX - digit) / 10) {
            return LEAT_OK;
        }
        sequence = sequence * 10 + digit;
    }
    if (name[CHECKPOINT_DIGITS] == '\0') {
        bytes_put_u64(context, sequence);
    }
    return LEAT_OK;
}

leat_status checkpoint_sequences(struct disk *disk, const char *folder, struct bytes *out,
                                 leat_error *err) {
    leat_status status = disk_list(disk, folder, sequence_gather, out, err);
    return status < 0 ? status : bytes_status(out, err);
}

/* Only what is no checkpoint is passed over: a disk that fails now may hold the newest one. */
static leat_status newest_open(struct disk *disk, const char *folder, const struct bytes *sequences,
                               uint64_t before, struct checkpoint **out, int *skipped,
                               leat_error *err) {
    for (size_t i = checkpoint_sequence_count(sequences); i-- > 0;) {
        leat_error failure;
        uint64_t sequence = checkpoint_sequence_at(sequences, i);
        if (sequence > before || (sequence == before && before != UINT64_MAX)) {
            continue;
        }
        leat_status status = checkpoint_open(disk, folder, sequence, out, &failure);
        if (status != LEAT_CORRUPT && status != LEAT_NOT_FOUND) {
            return checkpoint_failure_pass(status, &failure, err);
        }
        ++*skipped;
    }
    return LEAT_NOT_FOUND;
}

leat_status checkpoint_newest_before(struct disk *disk, const char *folder, uint64_t sequence,
                                     struct checkpoint **out, int *skipped, leat_error *err) {
    *out = NULL;
    int passed = 0;
    struct bytes sequences;
    bytes_init(&sequences);
    leat_status status = checkpoint_sequences(disk, folder, &sequences, err);
    if (status == LEAT_OK) {
        status = newest_open(disk, folder, &sequences, sequence, out, &passed, err);
    }
    bytes_deinit(&sequences);
    if (skipped) {
        *skipped = passed;
    }
    return status;
}

leat_status checkpoint_newest(struct disk *disk, const char *folder, struct checkpoint **out,
                              int *skipped, leat_error *err) {
    return checkpoint_newest_before(disk, folder, UINT64_MAX, out, skipped, err);
}
