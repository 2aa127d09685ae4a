#define _GNU_SOURCE /* memmem */
#include "app/log_find.h"

#include "app/log_walk.h"
#include "base/memory.h"
#include "log/record.h"

#include <inttypes.h>

enum {
    CHUNK_BYTES = 1 << 20,
    DEPTH_MAX = 8,
    LINES_MAX = 1000, /* of each sort */
};

struct search {
    struct disk *disk;
    struct slice text;
    FILE *out;
    struct log_find *result;
    uint8_t *chunk; /* CHUNK_BYTES and LOG_FIND_TEXT_MAX: places lie across chunks, too */
};

/* --- raw bytes --- */

static void place_print(const struct search *search, const char *path, uint64_t offset) {
    search->result->places++;
    if (search->result->places <= LINES_MAX) {
        fprintf(search->out, "%s: at byte %" PRIu64 "\n", path, offset);
    }
}

/* Places that begin in the first `size` bytes. */
static void chunk_search(const struct search *search, const char *path, uint64_t offset,
                         size_t size) {
    const uint8_t *at = search->chunk;
    const uint8_t *end = search->chunk + size;
    while (at < end) {
        const uint8_t *found = memmem(at, (size_t)(end - at), search->text.data, search->text.size);
        if (!found) {
            break;
        }
        place_print(search, path, offset + (uint64_t)(found - search->chunk));
        at = found + 1;
    }
}

static leat_status file_search(const struct search *search, const char *path, struct file *file,
                               leat_error *err) {
    uint64_t offset = 0; /* of chunk[0] in the file */
    size_t kept = 0;     /* bytes of the chunk before */
    while (true) {
        size_t got;
        TRY(file_read(file, search->chunk + kept, CHUNK_BYTES, offset + kept, &got, err));
        chunk_search(search, path, offset, kept + got);
        search->result->bytes += got;
        if (got < CHUNK_BYTES) {
            return LEAT_OK;
        }
        size_t keep = search->text.size - 1; /* shorter than the text: none is found twice */
        memmove(search->chunk, search->chunk + kept + got - keep, keep);
        offset += kept + got - keep;
        kept = keep;
    }
}

static leat_status name_take(void *names, const char *name) {
    bytes_append(names, name, strlen(name) + 1);
    return LEAT_OK;
}

static leat_status folder_search(const struct search *search, const char *folder, int depth,
                                 leat_error *err);

/* A file, or a folder. What went away meanwhile is passed over: a server may be running. */
static leat_status path_search(const struct search *search, const char *path, int depth,
                               leat_error *err) {
    leat_status status = depth < DEPTH_MAX ? folder_search(search, path, depth + 1, NULL) : LEAT_IO;
    if (status == LEAT_OK) {
        return LEAT_OK;
    }
    struct file *file;
    status = file_open(search->disk, path, FILE_READ, &file, err);
    if (status != LEAT_OK) {
        return status == LEAT_NOT_FOUND ? LEAT_OK : status;
    }
    search->result->files++;
    status = file_search(search, path, file, err);
    file_close(file);
    return status;
}

static leat_status folder_search(const struct search *search, const char *folder, int depth,
                                 leat_error *err) {
    struct bytes names;
    bytes_init(&names);
    leat_status status = disk_list(search->disk, folder, name_take, &names, err);
    if (status == LEAT_OK) {
        status = bytes_status(&names, err);
    }
    for (size_t at = 0; status == LEAT_OK && at < names.size;) {
        const char *name = (const char *)names.data + at;
        char path[PATH_BYTES_MAX];
        status = path_join(path, folder, name, err);
        if (status == LEAT_OK) {
            status = path_search(search, path, depth, err);
        }
        at += strlen(name) + 1;
    }
    bytes_deinit(&names);
    return status;
}

/* --- rows --- */

static bool slice_holds(struct slice value, struct slice text) {
    return value.size >= text.size && memmem(value.data, value.size, text.data, text.size) != NULL;
}

static bool value_holds(const struct search *search, const struct batch *batch, int column,
                        int64_t row) {
    switch (batch->schema->fields[column].type) {
    case COLUMN_TEXT: return slice_holds(batch_text(batch, column, row), search->text);
    case COLUMN_LIST_TEXT:
        for (int i = 0; i < batch_list_text_count(batch, column, row); i++) {
            if (slice_holds(batch_list_text(batch, column, row, i), search->text)) {
                return true;
            }
        }
        return false;
    default: return false;
    }
}

static void frame_search(const struct search *search, const struct frame *frame,
                         const struct batch *batch) {
    for (int column = 0; column < batch->schema->field_count; column++) {
        for (int64_t row = 0; row < batch->rows && !column_absent(&batch->columns[column]); row++) {
            if (value_holds(search, batch, column, row) && ++search->result->columns <= LINES_MAX) {
                fprintf(search->out, "row %" PRIu64 " (%s): column %s\n",
                        frame->first_sequence + (uint64_t)row, batch->schema->name,
                        batch->schema->fields[column].name);
            }
        }
    }
}

static leat_status rows_search(const struct search *search, const char *folder, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct log_walk walk;
    struct frame frame;
    struct batch batch;
    TRY(path_join(path, folder, "log", err));
    leat_status status = log_walk_open(&walk, search->disk, path, LOG_WALK_BEGIN, err);
    while (status == LEAT_OK) {
        status = log_walk_next(&walk, &frame, &batch, err);
        if (status == LEAT_OK) {
            frame_search(search, &frame, &batch);
        }
    }
    log_walk_close(&walk);
    return status == LEAT_END ? LEAT_OK : status;
}

/* --- both --- */

leat_status log_find(struct disk *disk, const char *folder, struct slice text, FILE *out,
                     struct log_find *result, leat_error *err) {
    *result = (struct log_find){.files = 0};
    if (text.size == 0 || text.size > LOG_FIND_TEXT_MAX) {
        return error_set(err, LEAT_INVALID, "a text of %zu bytes; 1 to %d can be looked for",
                         text.size, LOG_FIND_TEXT_MAX);
    }
    struct search search = {.disk = disk, .text = text, .out = out, .result = result};
    search.chunk = memory_alloc(CHUNK_BYTES + LOG_FIND_TEXT_MAX);
    if (!search.chunk) {
        return error_memory(err, CHUNK_BYTES + LOG_FIND_TEXT_MAX);
    }
    leat_status status = folder_search(&search, folder, 0, err);
    if (status == LEAT_NOT_FOUND) {
        status = error_set(err, LEAT_INVALID, "there is no folder %s", folder);
    }
    if (status == LEAT_OK) {
        status = rows_search(&search, folder, err);
    }
    memory_free(search.chunk);
    return status;
}
