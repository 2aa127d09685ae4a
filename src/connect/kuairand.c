#include "connect/kuairand.h"

#include "base/memory.h"
#include "connect/csv.h"

#include <stdlib.h>

#define FILE_SUFFIX ".csv"
#define TIME_MAX_MS INT64_C(7258118399999)

enum { ID_MAX = UINT32_MAX, HEAD_BYTES = 4096 };

enum { COLUMN_USER, COLUMN_ITEM, COLUMN_TIME, COLUMN_DURATION, COLUMN_SIGNAL };
enum { COLUMNS = COLUMN_SIGNAL + KUAIRAND_SIGNALS, COLUMNS_NEEDED = COLUMN_DURATION };

static const struct {
    const char *name;
    int64_t high;
} columns[COLUMNS] = {
    [COLUMN_USER] = {"user_id", ID_MAX},
    [COLUMN_ITEM] = {"video_id", ID_MAX},
    [COLUMN_TIME] = {"time_ms", TIME_MAX_MS},
    [COLUMN_DURATION] = {"duration_ms", UINT32_MAX},
    [COLUMN_SIGNAL + KUAIRAND_CLICK] = {"is_click", 1},
    [COLUMN_SIGNAL + KUAIRAND_LIKE] = {"is_like", 1},
    [COLUMN_SIGNAL + KUAIRAND_FOLLOW] = {"is_follow", 1},
    [COLUMN_SIGNAL + KUAIRAND_COMMENT] = {"is_comment", 1},
    [COLUMN_SIGNAL + KUAIRAND_FORWARD] = {"is_forward", 1},
    [COLUMN_SIGNAL + KUAIRAND_HATE] = {"is_hate", 1},
    [COLUMN_SIGNAL + KUAIRAND_LONG_VIEW] = {"long_view", 1},
    [COLUMN_SIGNAL + KUAIRAND_PROFILE_ENTER] = {"is_profile_enter", 1},
};

static const char *const signal_names[KUAIRAND_SIGNALS] = {
    [KUAIRAND_CLICK] = "click",         [KUAIRAND_LIKE] = "like",
    [KUAIRAND_FOLLOW] = "follow",       [KUAIRAND_COMMENT] = "comment",
    [KUAIRAND_FORWARD] = "forward",     [KUAIRAND_HATE] = "hate",
    [KUAIRAND_LONG_VIEW] = "long_view", [KUAIRAND_PROFILE_ENTER] = "profile_enter",
};

const char *kuairand_signal_name(enum kuairand_signal signal) {
    return signal_names[signal];
}

int kuairand_signal_find(struct slice name) {
    for (int s = 0; s < KUAIRAND_SIGNALS; s++) {
        if (slice_is(name, signal_names[s])) {
            return s;
        }
    }
    return -1;
}

struct kr_reader {
    struct disk *disk;
    const char *folder;
    struct refusals *refusals;
    struct kuairand_rows *out;
    size_t capacity;
    int files;
    leat_error *err;
    /* Of the file in hand. */
    struct file *file;
    uint64_t offset;
    struct csv *csv;
    struct csv_row row;
    int at[COLUMNS]; /* -1: the file has no such column */
    int field_count;
};

static leat_status pull(void *context, void *data, size_t count, size_t *got, leat_error *err) {
    struct kr_reader *reader = context;
    TRY(file_read(reader->file, data, count, reader->offset, got, err));
    reader->offset += *got;
    return LEAT_OK;
}

/* --- rows --- */

static leat_status read_header(struct kr_reader *reader, leat_error *err) {
    leat_status status = csv_next(reader->csv, &reader->row, err);
    if (status == LEAT_END) {
        return error_set(err, LEAT_INVALID, "an empty file");
    }
    TRY(status);
    reader->field_count = reader->row.count;
    for (int i = 0; i < COLUMNS; i++) {
        reader->at[i] = csv_find(&reader->row, columns[i].name);
        if (reader->at[i] < 0 && i < COLUMNS_NEEDED) {
            return error_set(err, LEAT_INVALID, "the first line names no column '%s'",
                             columns[i].name);
        }
        if (reader->at[i] >= 0 && i >= COLUMN_SIGNAL) {
            reader->out->signals |= 1u << (i - COLUMN_SIGNAL);
        }
    }
    return LEAT_OK;
}

static leat_status read_values(const struct kr_reader *reader, int64_t value[COLUMNS],
                               leat_error *err) {
    const struct csv_row *row = &reader->row;
    if (row->count != reader->field_count) {
        return error_set(err, LEAT_INVALID, "%d fields; the first line has %d", row->count,
                         reader->field_count);
    }
    for (int i = 0; i < COLUMNS; i++) {
        value[i] = 0;
        if (reader->at[i] >= 0) {
            TRY(dataset_integer(columns[i].name, row->fields[reader->at[i]], 0, columns[i].high,
                                &value[i], err));
        }
    }
    return LEAT_OK;
}

static leat_status add_row(struct kr_reader *reader, const int64_t value[COLUMNS],
                           leat_error *err) {
    struct kuairand_rows *out = reader->out;
    if (out->count == reader->capacity) {
        size_t capacity = reader->capacity ? 2 * reader->capacity : 1 << 12;
        struct kuairand_row *rows = memory_resize(out->rows, capacity * sizeof(*rows));
        if (!rows) {
            return error_memory(err, capacity * sizeof(*rows));
        }
        out->rows = rows;
        reader->capacity = capacity;
    }
    struct kuairand_row *row = &out->rows[out->count++];
    *row = (struct kuairand_row){
        .time_ms = value[COLUMN_TIME],
        .user = (uint32_t)value[COLUMN_USER],
        .item = (uint32_t)value[COLUMN_ITEM],
        .duration_ms = (uint32_t)value[COLUMN_DURATION],
    };
    for (int s = 0; s < KUAIRAND_SIGNALS; s++) {
        row->signals |= (uint32_t)value[COLUMN_SIGNAL + s] << s;
    }
    return LEAT_OK;
}

static leat_status read_row(struct kr_reader *reader, leat_error *err) {
    leat_status status = csv_next(reader->csv, &reader->row, err);
    if (status != LEAT_OK) {
        return status;
    }
    int64_t value[COLUMNS];
    TRY(read_values(reader, value, err));
    return add_row(reader, value, err);
}

/* LEAT_INVALID is a row's fault; everything else ends the reading. */
static leat_status read_rows(struct kr_reader *reader, const char *name, leat_error *err) {
    leat_error reason;
    csv_begin(reader->csv, (struct byte_source){pull, reader});
    leat_status status = read_header(reader, &reason);
    if (status == LEAT_INVALID) {
        return refusals_add(reader->refusals, name, 1, &reason, err);
    }
    while (status == LEAT_OK) {
        status = read_row(reader, &reason);
        if (status == LEAT_INVALID) {
            status = refusals_add(reader->refusals, name, reader->row.line, &reason, &reason);
        }
    }
    return status < 0 ? error_set(err, status, "%s", reason.message) : LEAT_OK;
}

/* --- files --- */

/* TAB where the first line has one. */
static leat_status find_separator(struct kr_reader *reader, char *out, leat_error *err) {
    char head[HEAD_BYTES];
    size_t got;
    TRY(file_read(reader->file, head, sizeof(head), 0, &got, err));
    const char *end = memchr(head, '\n', got);
    size_t line = end ? (size_t)(end - head) : got;
    *out = memchr(head, '\t', line) ? '\t' : ',';
    return LEAT_OK;
}

static leat_status read_file(struct kr_reader *reader, const char *name, leat_error *err) {
    char path[PATH_BYTES_MAX];
    char separator;
    TRY(path_join(path, reader->folder, name, err));
    leat_status status = file_open(reader->disk, path, FILE_READ, &reader->file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_INVALID, "%s: no such file", path);
    }
    reader->offset = 0;
    TRY_OR(status, find_separator(reader, &separator, err), out);
    TRY_OR(status, csv_create(separator, true, &reader->csv, err), out);
    status = read_rows(reader, name, err);
    csv_destroy(reader->csv);
    reader->files++;
out:
    file_close(reader->file);
    return status < 0 ? status : LEAT_OK;
}

static leat_status read_entry(void *context, const char *name) {
    struct kr_reader *reader = context;
    size_t size = strlen(name);
    size_t suffix = strlen(FILE_SUFFIX);
    bool csv = size > suffix && strcmp(name + size - suffix, FILE_SUFFIX) == 0;
    return csv ? read_file(reader, name, reader->err) : LEAT_OK;
}

static int row_compare(const void *left, const void *right) {
    const struct kuairand_row *a = left;
    const struct kuairand_row *b = right;
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms ? -1 : 1;
    }
    if (a->user != b->user) {
        return a->user < b->user ? -1 : 1;
    }
    if (a->item != b->item) {
        return a->item < b->item ? -1 : 1;
    }
    return (a->signals > b->signals) - (a->signals < b->signals);
}

leat_status kuairand_read(struct disk *disk, const char *folder, struct refusals *refusals,
                          struct kuairand_rows *out, leat_error *err) {
    *out = (struct kuairand_rows){0};
    struct kr_reader reader = {
        .disk = disk, .folder = folder, .refusals = refusals, .out = out, .err = err};
    leat_status status = disk_list(disk, folder, read_entry, &reader, err);
    if (status == LEAT_OK && reader.files == 0) {
        status = error_set(err, LEAT_INVALID, "%s: holds no *" FILE_SUFFIX, folder);
    }
    if (status != LEAT_OK) {
        kuairand_free(out);
        return status < 0 ? status : error_set(err, LEAT_INVALID, "%s: no such folder", folder);
    }
    if (out->count > 0) {
        qsort(out->rows, out->count, sizeof(*out->rows), row_compare);
    }
    return LEAT_OK;
}

void kuairand_free(struct kuairand_rows *rows) {
    memory_free(rows->rows);
    *rows = (struct kuairand_rows){0};
}
