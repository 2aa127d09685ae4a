/* A part of pages: changed images first, as they come; then images out of files that have little
 * else alive, so that those files may go; then the directory.
 *
 * How much is moved. Let live be the bytes of all live images, all those of the files they lie in,
 * fresh what changed. Nothing is moved while all <= 3/2 live. Beyond, at most fresh / 6 from the
 * file with the smallest live share, and fresh / 3 beyond 2 live: with changes spread evenly a file
 * of share s is emptied for s of what it gives back, and at all = 2 live the emptiest has s = 0.2
 * (u = (s - 1) / ln s, u = 1/2; Rosenblum and Ousterhout, The Design and Implementation of a
 * Log-Structured File System, 1992, has the argument), so that fresh / 4 holds the balance. A state
 * that has shrunk to less than a third of its files gets live / 32, so that they go within 32. The
 * number of files is bounded, too: beyond half of what a directory may name the smallest are moved
 * within the same bound, and at the bound they must be. */
#include "base/hash.h"
#include "base/memory.h"
#include "state/checkpoint_writer.h"

#include <inttypes.h>

enum { FILES_SOFT = PAGES_FILES_MAX / 2 };

/* --- beginning --- */

/* The chain's files become files 1, 2, ... of the new directory. */
static void base_take(struct checkpoint_writer *writer, const struct pages_directory *base) {
    struct pages_directory *pages = writer->pages;
    writer->base = base;
    memcpy(pages->files + 1, base->files, (size_t)base->file_count * sizeof(base->files[0]));
    pages->file_count = base->file_count + 1;
}

static leat_status pages_begin(struct checkpoint_writer *writer, const char *name, uint64_t version,
                               leat_error *err) {
    TRY(writer_part(writer, name, err));
    struct manifest *manifest = &writer->manifest;
    struct pages_directory *pages = memory_zalloc(sizeof(*pages));
    if (!pages) {
        return error_memory(err, sizeof(*pages));
    }
    writer->pages = pages;
    snprintf(pages->name, sizeof(pages->name), "%s", name);
    pages->groups = manifest->identity.key_groups;
    pages->version = version;
    pages->files[0] = (struct pages_file){.sequence = manifest->identity.sequence,
                                          .generation = manifest->generation};
    pages->file_count = 1;
    struct manifest_part *part = &manifest->parts[manifest->part_count - 1];
    part->pages = true;
    part->version = version;
    writer->base = NULL;
    writer->base_at = 0;
    writer->fresh_bytes = 0;
    const struct checkpoint_chain *chain = writer->options.chain;
    const struct pages_directory *base =
        chain && !writer->options.whole ? chain_find(chain, name) : NULL;
    if (base && base->groups == pages->groups && base->version < version) {
        base_take(writer, base);
    }
    uint8_t head[PAGES_HEAD_BYTES + CHECKPOINT_NAME_MAX];
    return writer_append(writer, head, pages_head_encode(pages, head), err);
}

leat_status checkpoint_pages(struct checkpoint_writer *writer, const char *name, uint64_t version,
                             uint64_t *since, leat_error *err) {
    leat_error failure = {0};
    leat_status status = writer->status;
    *since = 0;
    if (status == LEAT_OK) {
        status = pages_begin(writer, name, version, &failure);
    }
    if (status != LEAT_OK) {
        return writer_fail(writer, status, &failure, err);
    }
    *since = writer->base ? writer->base->version : 0;
    return LEAT_OK;
}

/* --- pages --- */

static leat_status page_check(const struct checkpoint_writer *writer,
                              const struct state_page_image *page, leat_error *err) {
    const struct pages_directory *pages = writer->pages;
    if (!pages) {
        return error_set(err, LEAT_INVALID, "checkpoint %s: a page outside a part of pages",
                         writer->path);
    }
    size_t count = pages_count(pages);
    const struct pages_entry *last = count ? pages_at(pages, count - 1) : NULL;
    bool ordered = !last || pages_order(last->group, last->number, page->group, page->number) < 0;
    if (!ordered || page->group >= pages->groups || page->version > pages->version ||
        page->bytes == 0 || page->bytes > PAGES_IMAGE_MAX || count == PAGES_ENTRIES_MAX) {
        return error_set(err, LEAT_INVALID,
                         "checkpoint part %s: page %u of group %u, version %" PRIu64
                         ", %u bytes, does not belong behind the %zu before it",
                         pages->name, page->number, page->group, page->version, page->bytes, count);
    }
    return LEAT_OK;
}

/* Appends an image to the current file, and says in its entry where. */
static leat_status image_append(struct checkpoint_writer *writer, struct pages_entry *entry,
                                const void *data, leat_error *err) {
    static const uint8_t zeros[8];
    uint8_t head[PAGES_IMAGE_HEAD_BYTES];
    entry->file = 0;
    entry->offset = writer_offset(writer);
    pages_image_head_encode(entry, head);
    TRY(writer_append(writer, head, sizeof(head), err));
    TRY(writer_append(writer, data, entry->bytes, err));
    return writer_append(writer, zeros, (8 - entry->bytes % 8) % 8, err);
}

/* The entry of an unchanged page: as the chain has it, a file further back. */
static leat_status base_copy(struct checkpoint_writer *writer, const struct state_page_image *page,
                             struct pages_entry *out, leat_error *err) {
    const struct pages_directory *base = writer->base;
    size_t count = base ? pages_count(base) : 0;
    const struct pages_entry *entry = NULL;
    for (; writer->base_at < count; writer->base_at++) {
        entry = pages_at(base, writer->base_at);
        if (pages_order(entry->group, entry->number, page->group, page->number) >= 0) {
            break;
        }
    }
    if (writer->base_at == count || entry->group != page->group || entry->number != page->number ||
        entry->version != page->version || entry->bytes != page->bytes) {
        return error_retry(err, LEAT_CORRUPT,
                           "checkpoint part %s: page %u of group %u is said not to have changed "
                           "since version %" PRIu64 ", where it was not: the next checkpoint is "
                           "written whole",
                           writer->pages->name, page->number, page->group, page->version);
    }
    *out = *entry;
    out->file++;
    return LEAT_OK;
}

static leat_status page_append(struct checkpoint_writer *writer,
                               const struct state_page_image *page, leat_error *err) {
    TRY(page_check(writer, page, err));
    struct pages_entry entry = {.group = page->group,
                                .number = page->number,
                                .version = page->version,
                                .bytes = page->bytes};
    if (page->data) {
        entry.checksum = hash_bytes(page->data, page->bytes);
        TRY(image_append(writer, &entry, page->data, err));
        writer->fresh_bytes += pages_stored(page->bytes);
        writer->progress.changed_bytes += page->bytes;
    } else {
        TRY(base_copy(writer, page, &entry, err));
        writer->progress.referred_bytes += page->bytes;
    }
    bytes_append(&writer->pages->entries, &entry, sizeof(entry));
    return bytes_status(&writer->pages->entries, err);
}

leat_status checkpoint_page(void *context, const struct state_page_image *page, leat_error *err) {
    struct checkpoint_writer *writer = context;
    leat_error failure = {0};
    leat_status status = writer->status;
    if (status == LEAT_OK) {
        status = page_append(writer, page, &failure);
    }
    return status == LEAT_OK ? LEAT_OK : writer_fail(writer, status, &failure, err);
}

/* --- moving what is left of old files --- */

struct move_plan {
    uint64_t live[PAGES_FILES_MAX + 1];  /* bytes of live images, as stored */
    uint64_t quota[PAGES_FILES_MAX + 1]; /* of those, how many are to be moved */
    uint64_t live_all;
    uint64_t files_all; /* bytes of the files that have something alive */
    int files;          /* how many, the one being written included */
};

static void plan_count(const struct checkpoint_writer *writer, struct move_plan *plan) {
    const struct pages_directory *pages = writer->pages;
    memset(plan, 0, sizeof(*plan));
    for (size_t i = 0; i < pages_count(pages); i++) {
        const struct pages_entry *entry = pages_at(pages, i);
        plan->live[entry->file] += pages_stored(entry->bytes);
    }
    plan->files = 1;
    plan->live_all = plan->live[0];
    plan->files_all = writer_offset(writer);
    for (int f = 1; f < pages->file_count; f++) {
        plan->live_all += plan->live[f];
        plan->files_all += plan->live[f] ? pages->files[f].bytes : 0;
        plan->files += plan->live[f] ? 1 : 0;
    }
}

/* The file to move from next: the one with the least alive, or the smallest share alive; 0: none
 * that has anything, or has not been planned yet. */
static int plan_victim(const struct pages_directory *pages, const struct move_plan *plan,
                       bool smallest) {
    int best = 0;
    double best_worth = 0;
    for (int f = 1; f < pages->file_count; f++) {
        if (plan->live[f] == 0 || plan->quota[f] > 0) {
            continue;
        }
        double share = smallest ? 1.0 : (double)pages->files[f].bytes;
        double worth = share / (double)plan->live[f];
        if (worth > best_worth) {
            best_worth = worth;
            best = f;
        }
    }
    return best;
}

/* True: something is to be moved. */
static bool plan_make(const struct checkpoint_writer *writer, struct move_plan *plan) {
    const struct pages_directory *pages = writer->pages;
    plan_count(writer, plan);
    uint64_t budget = writer->fresh_bytes / (plan->files_all > 2 * plan->live_all ? 3 : 6);
    if (plan->files_all > 3 * plan->live_all && budget < plan->live_all / 32) {
        budget = plan->live_all / 32;
    }
    bool must = plan->files > PAGES_FILES_MAX;
    bool any = false;
    while (must || budget > 0) {
        bool many = plan->files > FILES_SOFT;
        bool wide = plan->files_all > plan->live_all + plan->live_all / 2;
        int victim = many || wide ? plan_victim(pages, plan, many) : 0;
        if (victim == 0) {
            break;
        }
        uint64_t live = plan->live[victim];
        bool whole = live <= budget || must;
        plan->quota[victim] = whole ? live : budget;
        budget -= live < budget ? live : budget;
        any = true;
        if (whole) {
            plan->files_all += live;
            plan->files_all -= pages->files[victim].bytes;
            plan->files--;
        }
        must = must && plan->files > FILES_SOFT;
    }
    return any;
}

/* Reads the image of an entry as it is stored in an older file. `room`: PAGES_IMAGE_MAX and head.
 */
static leat_status image_read(const struct checkpoint_writer *writer, struct file *file,
                              const struct pages_entry *entry, uint8_t *room, leat_error *err) {
    size_t wanted = (size_t)pages_stored(entry->bytes);
    size_t got;
    TRY(file_read(file, room, wanted, entry->offset, &got, err));
    leat_status status =
        got < wanted
            ? error_set(err, LEAT_CORRUPT, "it ends before offset %" PRIu64, entry->offset + wanted)
            : pages_image_check(entry, room, err);
    if (status == LEAT_CORRUPT) {
        char path[PATH_BYTES_MAX];
        TRY(checkpoint_file_path(path, writer->folder, writer->pages->name,
                                 &writer->pages->files[entry->file], err));
        return error_in(err, status, "%s", path);
    }
    return status;
}

static leat_status file_move(struct checkpoint_writer *writer, uint32_t number, uint64_t quota,
                             struct file *file, uint8_t *room, leat_error *err) {
    struct pages_directory *pages = writer->pages;
    for (size_t i = 0; i < pages_count(pages) && quota > 0; i++) {
        struct pages_entry *entry = pages_at(pages, i);
        if (entry->file != number) {
            continue;
        }
        uint64_t stored = pages_stored(entry->bytes);
        TRY(image_read(writer, file, entry, room, err));
        TRY(image_append(writer, entry, room + PAGES_IMAGE_HEAD_BYTES, err));
        quota -= stored < quota ? stored : quota; /* the last one may be a little too much */
        writer->progress.moved_bytes += entry->bytes;
        writer->progress.referred_bytes -= entry->bytes;
    }
    return LEAT_OK;
}

static leat_status pages_move(struct checkpoint_writer *writer, const struct move_plan *plan,
                              leat_error *err) {
    const struct pages_directory *pages = writer->pages;
    uint8_t *room = memory_alloc(PAGES_IMAGE_HEAD_BYTES + PAGES_IMAGE_MAX);
    leat_status status = room ? LEAT_OK : error_memory(err, PAGES_IMAGE_MAX);
    for (int f = 1; f < pages->file_count && status == LEAT_OK; f++) {
        char path[PATH_BYTES_MAX];
        struct file *file;
        if (plan->quota[f] == 0) {
            continue;
        }
        TRY_OR(status,
               checkpoint_file_path(path, writer->folder, pages->name, &pages->files[f], err),
               done);
        TRY_OR(status, file_open(writer->disk, path, FILE_READ, &file, err), done);
        if (status == LEAT_NOT_FOUND) {
            status = error_set(err, LEAT_CORRUPT, "%s: the file is missing", path);
            break;
        }
        status = file_move(writer, (uint32_t)f, plan->quota[f], file, room, err);
        file_close(file);
    }
done:
    memory_free(room);
    return status;
}

/* --- the end --- */

/* Leaves out the files that nothing refers to, and numbers the others anew. */
static void files_pack(struct pages_directory *pages) {
    uint32_t number[PAGES_FILES_MAX + 1] = {0};
    bool used[PAGES_FILES_MAX + 1] = {true};
    size_t count = pages_count(pages);
    for (size_t i = 0; i < count; i++) {
        used[pages_at(pages, i)->file] = true;
    }
    int kept = 0;
    for (int f = 0; f < pages->file_count; f++) {
        if (used[f]) {
            number[f] = (uint32_t)kept;
            pages->files[kept++] = pages->files[f];
        }
    }
    pages->file_count = kept;
    for (size_t i = 0; i < count; i++) {
        struct pages_entry *entry = pages_at(pages, i);
        entry->file = number[entry->file];
    }
}

static leat_status files_note(struct checkpoint_writer *writer, leat_error *err) {
    const struct pages_directory *pages = writer->pages;
    struct manifest *manifest = &writer->manifest;
    struct manifest_part *part = &manifest->parts[manifest->part_count - 1];
    part->file_first = manifest->file_count;
    part->file_count = pages->file_count - 1;
    if (part->file_count > MANIFEST_FILES_MAX - manifest->file_count) {
        return error_set(err, LEAT_FULL,
                         "checkpoint %s: its parts refer to more than %d older files", writer->path,
                         MANIFEST_FILES_MAX);
    }
    for (int i = 0; i < part->file_count; i++) {
        manifest->files[manifest->file_count++] = pages->files[i + 1];
    }
    return LEAT_OK;
}

static leat_status directory_append(struct checkpoint_writer *writer, leat_error *err) {
    struct manifest *manifest = &writer->manifest;
    struct bytes directory;
    bytes_init(&directory);
    manifest->parts[manifest->part_count - 1].hash =
        pages_directory_encode(writer->pages, writer_offset(writer), &directory);
    leat_status status = bytes_status(&directory, err);
    if (status == LEAT_OK) {
        status = writer_append(writer, directory.data, directory.size, err);
    }
    bytes_deinit(&directory);
    return status;
}

leat_status writer_pages_end(struct checkpoint_writer *writer, leat_error *err) {
    struct move_plan plan;
    if (plan_make(writer, &plan)) {
        TRY(pages_move(writer, &plan, err));
    }
    files_pack(writer->pages);
    TRY(files_note(writer, err));
    return directory_append(writer, err);
}
