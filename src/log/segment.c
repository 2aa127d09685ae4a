#include "log/segment.h"

#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>

enum { NAME_DIGITS = 20, WINDOW_ALIGNMENT = 64 };
static const char BESIDE[] = ".new";

void segment_name(uint64_t first_sequence, char out[SEGMENT_NAME_BYTES]) {
    snprintf(out, SEGMENT_NAME_BYTES, "%020" PRIu64 ".seg", first_sequence);
}

bool segment_name_read(const char *name, uint64_t *first_sequence) {
    uint64_t value = 0;
    if (strlen(name) != SEGMENT_NAME_BYTES - 1) {
        return false;
    }
    for (int i = 0; i < NAME_DIGITS; i++) {
        unsigned digit = (unsigned)(unsigned char)name[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *first_sequence = value;
    return strcmp(name + NAME_DIGITS, ".seg") == 0;
}

leat_status segment_path(const char *folder, uint64_t first_sequence, char out[PATH_BYTES_MAX],
                         leat_error *err) {
    char name[SEGMENT_NAME_BYTES];
    segment_name(first_sequence, name);
    return path_join(out, folder, name, err);
}

leat_status segment_path_beside(const char *folder, uint64_t first_sequence,
                                char out[PATH_BYTES_MAX], leat_error *err) {
    char name[SEGMENT_NAME_BYTES + sizeof(BESIDE)];
    segment_name(first_sequence, name);
    memcpy(name + SEGMENT_NAME_BYTES - 1, BESIDE, sizeof(BESIDE));
    return path_join(out, folder, name, err);
}

struct cleaning {
    struct segment_list found;
    leat_error *err;
};

static leat_status clean_name(void *context, const char *name) {
    struct cleaning *cleaning = context;
    char segment[SEGMENT_NAME_BYTES];
    struct segment found = {0};
    if (strlen(name) != SEGMENT_NAME_BYTES - 1 + strlen(BESIDE) ||
        strcmp(name + SEGMENT_NAME_BYTES - 1, BESIDE) != 0) {
        return LEAT_OK;
    }
    memcpy(segment, name, SEGMENT_NAME_BYTES - 1);
    segment[SEGMENT_NAME_BYTES - 1] = '\0';
    return segment_name_read(segment, &found.first_sequence)
               ? segment_list_add(&cleaning->found, found, cleaning->err)
               : LEAT_OK;
}

leat_status segments_clean(struct disk *disk, const char *folder, leat_error *err) {
    struct cleaning cleaning = {.err = err};
    leat_status status = disk_list(disk, folder, clean_name, &cleaning, err);
    for (size_t i = 0; status >= 0 && i < cleaning.found.count; i++) {
        char path[PATH_BYTES_MAX];
        status = segment_path_beside(folder, cleaning.found.items[i].first_sequence, path, err);
        if (status >= 0) {
            status = disk_remove(disk, path, err);
        }
    }
    segment_list_deinit(&cleaning.found);
    return status < 0 ? status : LEAT_OK;
}

leat_status segment_open(struct disk *disk, const char *folder, uint64_t first_sequence,
                         struct file **out, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(segment_path(folder, first_sequence, path, err));
    leat_status status = file_open(disk, path, FILE_READ, out, err);
    if (status == LEAT_NOT_FOUND) {
        return error_set(err, LEAT_IO, "%s: the segment is gone", path);
    }
    return status;
}

leat_status segment_create(struct disk *disk, const char *folder, uint64_t first_sequence,
                           struct file **out, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(segment_path(folder, first_sequence, path, err));
    struct file *file;
    /* An attempt that failed on the way may have left it, empty. */
    TRY(file_open(disk, path, FILE_WRITE, &file, err));
    leat_status status = disk_sync_folder(disk, folder, err);
    if (status < 0) {
        file_close(file);
        return status;
    }
    *out = file;
    return LEAT_OK;
}

/* --- the list --- */

void segment_list_deinit(struct segment_list *list) {
    memory_free(list->items);
    *list = (struct segment_list){0};
}

leat_status segment_list_reserve(struct segment_list *list, leat_error *err) {
    if (list->count < list->capacity) {
        return LEAT_OK;
    }
    size_t capacity = list->capacity > 0 ? 2 * list->capacity : 16;
    struct segment *items = memory_resize(list->items, capacity * sizeof(*items));
    if (!items) {
        return error_memory(err, capacity * sizeof(*items));
    }
    list->items = items;
    list->capacity = capacity;
    return LEAT_OK;
}

leat_status segment_list_add(struct segment_list *list, struct segment segment, leat_error *err) {
    TRY(segment_list_reserve(list, err));
    list->items[list->count++] = segment;
    return LEAT_OK;
}

struct listing {
    struct segment_list *list;
    leat_error *err;
};

static leat_status list_name(void *context, const char *name) {
    struct listing *listing = context;
    struct segment segment = {0};
    if (!segment_name_read(name, &segment.first_sequence)) {
        return LEAT_OK;
    }
    return segment_list_add(listing->list, segment, listing->err);
}

leat_status segment_list_read(struct segment_list *list, struct disk *disk, const char *folder,
                              leat_error *err) {
    struct listing listing = {list, err};
    return disk_list(disk, folder, list_name, &listing,
                     err); /* sorted: 20 digits sort as numbers */
}

const struct segment *segment_list_find(const struct segment_list *list, uint64_t sequence) {
    size_t low = 0;
    size_t high = list->count; /* the answer stands before `high`, at or after low - 1 */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->items[middle].first_sequence <= sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? &list->items[low - 1] : NULL;
}

/* --- the window --- */

void segment_window_init(struct segment_window *window) {
    *window = (struct segment_window){0};
}

void segment_window_deinit(struct segment_window *window) {
    memory_free(window->data);
    segment_window_init(window);
}

void segment_window_clear(struct segment_window *window) {
    window->size = 0;
}

static leat_status window_grow(struct segment_window *window, size_t count, leat_error *err) {
    if (count <= window->capacity) {
        return LEAT_OK;
    }
    size_t capacity = SEGMENT_READ_BYTES;
    while (capacity < count) {
        capacity *= 2;
    }
    uint8_t *data = memory_aligned(WINDOW_ALIGNMENT, capacity);
    if (!data) {
        return error_memory(err, capacity);
    }
    memory_free(window->data);
    window->data = data;
    window->capacity = capacity;
    window->size = 0;
    return LEAT_OK;
}

leat_status segment_window_view(struct segment_window *window, struct file *file, uint64_t offset,
                                size_t count, uint64_t end, const uint8_t **out, leat_error *err) {
    bool inside = offset >= window->offset && offset + count <= window->offset + window->size;
    if (!inside) {
        uint64_t left = end > offset ? end - offset : 0;
        size_t ahead = left < SEGMENT_READ_BYTES ? (size_t)left : SEGMENT_READ_BYTES;
        size_t want = count > ahead ? count : ahead;
        TRY(window_grow(window, want, err));
        window->offset = offset;
        window->size = 0;
        TRY(file_read(file, window->data, want, offset, &window->size, err));
        if (window->size < count) {
            return error_set(err, LEAT_CORRUPT,
                             "the segment ends at offset %" PRIu64 ", inside a frame",
                             offset + window->size);
        }
    }
    *out = window->data + (offset - window->offset);
    return LEAT_OK;
}
