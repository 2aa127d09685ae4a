/* Segment files: their names, their list, making one, and reading frames out of one in large
 * blocks.
 *
 *   <folder>/<first sequence, 20 digits>.seg
 *
 * Internal to log/. One thread at a time an object. */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include "base/file.h"

enum { SEGMENT_NAME_BYTES = 25 /* 20 digits, ".seg", NUL */, SEGMENT_READ_BYTES = 256 << 10 };

void segment_name(uint64_t first_sequence, char out[SEGMENT_NAME_BYTES]);
bool segment_name_read(const char *name, uint64_t *first_sequence);
leat_status segment_path(const char *folder, uint64_t first_sequence, char out[PATH_BYTES_MAX],
                         leat_error *err);
/* Where a segment is written anew before it takes the place of the old one: "<name>.new". */
leat_status segment_path_beside(const char *folder, uint64_t first_sequence,
                                char out[PATH_BYTES_MAX], leat_error *err);
/* Removes what a process that died left beside segments. */
leat_status segments_clean(struct disk *disk, const char *folder, leat_error *err);

/* Opens a segment that is there, to read. */
leat_status segment_open(struct disk *disk, const char *folder, uint64_t first_sequence,
                         struct file **out, leat_error *err);
/* Makes an empty segment whose name is durable when this returns. */
leat_status segment_create(struct disk *disk, const char *folder, uint64_t first_sequence,
                           struct file **out, leat_error *err);

struct segment {
    uint64_t first_sequence;
    uint64_t bytes;      /* of whole, durable commits */
    int64_t newest_ms;   /* append time of its last row */
    uint32_t generation; /* times it was rewritten since the log was opened */
};

/* In rising order of first_sequence. */
struct segment_list {
    struct segment *items;
    size_t count;
    size_t capacity;
};

void segment_list_deinit(struct segment_list *list);
/* Room for one more, so that the segment_list_add that follows cannot fail. */
leat_status segment_list_reserve(struct segment_list *list, leat_error *err);
leat_status segment_list_add(struct segment_list *list, struct segment segment, leat_error *err);
/* The segments of a folder, with `bytes` 0; other files are passed over. */
leat_status segment_list_read(struct segment_list *list, struct disk *disk, const char *folder,
                              leat_error *err);
/* The newest segment that begins at or before `sequence`; NULL when all begin after it. */
const struct segment *segment_list_find(const struct segment_list *list, uint64_t sequence);

/* A piece of a file in memory. Offsets are multiples of 8 (frames are), and so is the memory. */
struct segment_window {
    uint8_t *data;
    size_t capacity;
    uint64_t offset; /* in the file, of data[0] */
    size_t size;     /* bytes of the file in `data` */
};

void segment_window_init(struct segment_window *window);
void segment_window_deinit(struct segment_window *window);
void segment_window_clear(struct segment_window *window); /* forgets the file, keeps the memory */
/* Points `out` at `count` bytes from `offset`, reading ahead up to `end` where it has to read at
 * all. Borrowed until the next call. LEAT_CORRUPT when the file ends before. */
leat_status segment_window_view(struct segment_window *window, struct file *file, uint64_t offset,
                                size_t count, uint64_t end, const uint8_t **out, leat_error *err);

#endif
