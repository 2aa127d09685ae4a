/* Reading parts of pages. Images that lie one behind the other in a file, as they were written, are
 * read together. */
#include "base/memory.h"
#include "state/checkpoint_reader.h"
#include "state/checkpoint_writer.h"

#include <inttypes.h>

/* --- files --- */

void checkpoint_close_pages(struct checkpoint *checkpoint) {
    for (int i = 0; i <= PAGES_FILES_MAX; i++) {
        file_close(checkpoint->files[i]);
        checkpoint->files[i] = NULL;
    }
    pages_directory_destroy(checkpoint->pages);
    checkpoint->pages = NULL;
}

/* A failure of file `number` of the part in hand, with its path before the words. */
static leat_status file_fail(const struct checkpoint *checkpoint, uint32_t number,
                             leat_status status, leat_error *err) {
    char path[PATH_BYTES_MAX];
    const struct pages_directory *pages = checkpoint->pages;
    TRY(checkpoint_file_path(path, checkpoint->folder, pages->name, &pages->files[number], NULL));
    return error_in(err, status, "%s", path);
}

static leat_status file_need(struct checkpoint *checkpoint, uint32_t number, leat_error *err) {
    if (checkpoint->files[number]) {
        return LEAT_OK;
    }
    char path[PATH_BYTES_MAX];
    const struct pages_directory *pages = checkpoint->pages;
    TRY(checkpoint_file_path(path, checkpoint->folder, pages->name, &pages->files[number], err));
    leat_status status =
        file_open(checkpoint->disk, path, FILE_READ, &checkpoint->files[number], err);
    return status == LEAT_NOT_FOUND ? error_set(err, LEAT_CORRUPT, "%s: the file is missing", path)
                                    : status;
}

/* All `count` bytes at an offset of a file of the part in hand. */
static leat_status file_pull(struct checkpoint *checkpoint, uint32_t number, uint64_t offset,
                             uint8_t *out, size_t count, leat_error *err) {
    TRY(file_need(checkpoint, number, err));
    size_t got;
    TRY(file_read(checkpoint->files[number], out, count, offset, &got, err));
    if (got < count) {
        leat_status status =
            error_set(err, LEAT_CORRUPT, "it ends at offset %" PRIu64 ", %zu bytes early",
                      offset + got, count - got);
        return file_fail(checkpoint, number, status, err);
    }
    return LEAT_OK;
}

/* --- the directory --- */

static leat_status directory_open(struct checkpoint *checkpoint, const struct manifest_part *part,
                                  leat_error *err) {
    checkpoint_close_pages(checkpoint);
    struct pages_directory *pages = memory_zalloc(sizeof(*pages));
    if (!pages) {
        return error_memory(err, sizeof(*pages));
    }
    checkpoint->pages = pages;
    memcpy(pages->name, part->name, sizeof(pages->name));
    pages->groups = checkpoint->manifest.identity.key_groups;
    pages->version = part->version;
    pages->file_count = part->file_count + 1;
    for (int i = 0; i < pages->file_count; i++) {
        pages->files[i] = checkpoint_file_of(checkpoint, part, i);
    }
    return LEAT_OK;
}

/* The bytes from the directory to the end of the file, bounded by what the file has. */
static leat_status directory_pull(struct checkpoint *checkpoint, const struct manifest_part *part,
                                  struct bytes *out, leat_error *err) {
    uint8_t tail[PAGES_TAIL_BYTES];
    uint64_t bytes;
    uint64_t hash;
    if (part->bytes < PAGES_TAIL_BYTES + PAGES_HEAD_BYTES) {
        return file_fail(
            checkpoint, 0,
            error_set(err, LEAT_CORRUPT, "%" PRIu64 " bytes are no page file", part->bytes), err);
    }
    TRY(file_pull(checkpoint, 0, part->bytes - sizeof(tail), tail, sizeof(tail), err));
    leat_status status = pages_tail_decode(tail, part->bytes, &bytes, &hash, err);
    if (status == LEAT_OK && hash != part->hash) {
        status =
            error_set(err, LEAT_CORRUPT,
                      "the directory at offset %" PRIu64 " is not the one that the manifest says",
                      part->bytes - bytes);
    }
    if (status < 0) {
        return file_fail(checkpoint, 0, status, err);
    }
    uint8_t *room = bytes_extend(out, (size_t)bytes);
    if (!room) {
        return error_memory(err, (size_t)bytes);
    }
    return file_pull(checkpoint, 0, part->bytes - bytes, room, (size_t)bytes, err);
}

static leat_status head_verify(struct checkpoint *checkpoint, leat_error *err) {
    uint8_t head[PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX];
    uint8_t wanted[PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX];
    size_t size = pages_head_encode(checkpoint->pages, wanted);
    TRY(file_pull(checkpoint, 0, 0, head, size, err));
    leat_status status = pages_head_check(checkpoint->pages, head, err);
    return status < 0 ? file_fail(checkpoint, 0, status, err) : LEAT_OK;
}

leat_status checkpoint_read_directory(struct checkpoint *checkpoint, const char *name,
                                      leat_error *err) {
    const struct manifest_part *part = manifest_part_find(&checkpoint->manifest, name);
    if (!part || !part->pages) {
        return LEAT_NOT_FOUND;
    }
    if (checkpoint->pages && strcmp(checkpoint->pages->name, name) == 0) {
        return LEAT_OK;
    }
    struct bytes stored;
    bytes_init(&stored);
    leat_status status = directory_open(checkpoint, part, err);
    if (status == LEAT_OK) {
        status = head_verify(checkpoint, err);
    }
    if (status == LEAT_OK) {
        status = directory_pull(checkpoint, part, &stored, err);
    }
    if (status == LEAT_OK) {
        status =
            pages_directory_decode(stored.data, stored.size, part->bytes, checkpoint->pages, err);
        status = status < 0 ? file_fail(checkpoint, 0, status, err) : status;
    }
    bytes_deinit(&stored);
    if (status < 0) {
        checkpoint_close_pages(checkpoint);
    }
    return status;
}

leat_status checkpoint_count_pages(struct checkpoint *checkpoint, const char *name, uint64_t *pages,
                                   uint64_t *bytes, leat_error *err) {
    *pages = 0;
    *bytes = 0;
    leat_status status = checkpoint_read_directory(checkpoint, name, err);
    if (status != LEAT_OK) {
        return status;
    }
    *pages = pages_count(checkpoint->pages);
    for (size_t i = 0; i < *pages; i++) {
        *bytes += pages_at(checkpoint->pages, i)->bytes;
    }
    return LEAT_OK;
}

/* --- images --- */

/* The first entry of a group or behind it. */
static size_t group_find(const struct pages_directory *pages, uint32_t group) {
    size_t low = 0;
    size_t high = pages_count(pages);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (pages_at(pages, middle)->group < group) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How many entries from `at` on lie one behind the other in a file and fit the buffer; their bytes
 * together in `*bytes`. */
static size_t run_measure(const struct pages_directory *pages, size_t at, size_t end,
                          size_t *bytes) {
    const struct pages_entry *first = pages_at(pages, at);
    size_t count = 0;
    *bytes = 0;
    for (; at + count < end; count++) {
        const struct pages_entry *entry = pages_at(pages, at + count);
        size_t stored = (size_t)pages_stored(entry->bytes);
        if (entry->file != first->file || entry->offset != first->offset + *bytes ||
            *bytes + stored > READ_BUFFER) {
            break;
        }
        *bytes += stored;
    }
    return count;
}

static leat_status run_give(struct checkpoint *checkpoint, size_t at, size_t count,
                            state_page_sink sink, void *context, leat_error *err) {
    const uint8_t *stored = checkpoint->buffer;
    for (size_t i = 0; i < count; i++) {
        const struct pages_entry *entry = pages_at(checkpoint->pages, at + i);
        leat_status status = pages_image_check(entry, stored, err);
        if (status < 0) {
            return file_fail(checkpoint, entry->file, status, err);
        }
        struct state_page_image page = {.group = entry->group,
                                        .number = entry->number,
                                        .version = entry->version,
                                        .data = stored + PAGES_IMAGE_HEAD_BYTES,
                                        .bytes = entry->bytes};
        status = sink(context, &page, err);
        if (status == LEAT_CORRUPT) {
            error_in(err, status, "offset %" PRIu64, entry->offset);
            return file_fail(checkpoint, entry->file, status, err);
        }
        TRY(status);
        stored += pages_stored(entry->bytes);
    }
    return LEAT_OK;
}

leat_status checkpoint_read_pages(struct checkpoint *checkpoint, const char *name, uint32_t first,
                                  uint32_t end, state_page_sink sink, void *context,
                                  leat_error *err) {
    leat_status status = checkpoint_read_directory(checkpoint, name, err);
    if (status != LEAT_OK) {
        return status;
    }
    checkpoint->part = NULL; /* the buffer is needed */
    const struct pages_directory *pages = checkpoint->pages;
    size_t last = group_find(pages, end);
    for (size_t at = group_find(pages, first); at < last;) {
        size_t bytes;
        size_t count = run_measure(pages, at, last, &bytes);
        const struct pages_entry *entry = pages_at(pages, at);
        TRY(file_pull(checkpoint, entry->file, entry->offset, checkpoint->buffer, bytes, err));
        TRY(run_give(checkpoint, at, count, sink, context, err));
        at += count;
    }
    return LEAT_OK;
}

/* --- the chain --- */

static leat_status parts_adopt(struct checkpoint_chain *chain, struct checkpoint *checkpoint,
                               leat_error *err) {
    for (int i = 0; i < checkpoint->manifest.part_count; i++) {
        leat_status status =
            checkpoint_read_directory(checkpoint, checkpoint->manifest.parts[i].name, err);
        TRY(status);
        if (status == LEAT_OK) {
            chain->parts[chain->count++] = checkpoint->pages;
            checkpoint->pages = NULL;
            checkpoint_close_pages(checkpoint);
        }
    }
    return LEAT_OK;
}

leat_status checkpoint_chain_adopt(struct checkpoint_chain *chain, struct checkpoint *checkpoint,
                                   leat_error *err) {
    checkpoint_chain_clear(chain);
    leat_status status = parts_adopt(chain, checkpoint, err);
    if (status < 0) {
        checkpoint_chain_clear(chain);
    }
    return status;
}
