#include "connect/globo.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "connect/archive.h"
#include "connect/csv.h"

#define FILE_PREFIX    "clicks_hour_"
#define FILE_SUFFIX    ".csv"
#define ARCHIVE_PREFIX "clicks_hours_"
#define ARCHIVE_SUFFIX ".tar.zst"

enum globo_column {
    COLUMN_USER,
    COLUMN_SESSION,
    COLUMN_ITEM,
    COLUMN_TIME,
    COLUMN_CONTEXT, /* the first of GLOBO_CONTEXTS */
    COLUMNS = COLUMN_CONTEXT + GLOBO_CONTEXTS
};

static const struct {
    const char *name;
    int64_t high;
} columns[COLUMNS] = {
    [COLUMN_USER] = {"user_id", UINT32_MAX},
    [COLUMN_SESSION] = {"session_id", INT64_MAX},
    [COLUMN_ITEM] = {"click_article_id", UINT32_MAX},
    [COLUMN_TIME] = {"click_timestamp", 7258118399999},
    [COLUMN_CONTEXT + GLOBO_ENVIRONMENT] = {"click_environment", GLOBO_CONTEXT_MAX},
    [COLUMN_CONTEXT + GLOBO_DEVICE] = {"click_deviceGroup", GLOBO_CONTEXT_MAX},
    [COLUMN_CONTEXT + GLOBO_OS] = {"click_os", GLOBO_CONTEXT_MAX},
    [COLUMN_CONTEXT + GLOBO_COUNTRY] = {"click_country", GLOBO_CONTEXT_MAX},
    [COLUMN_CONTEXT + GLOBO_REGION] = {"click_region", GLOBO_CONTEXT_MAX},
    [COLUMN_CONTEXT + GLOBO_REFERRER] = {"click_referrer_type", GLOBO_CONTEXT_MAX},
};

static const char *const context_names[GLOBO_CONTEXTS] = {
    [GLOBO_ENVIRONMENT] = "environment", [GLOBO_DEVICE] = "device", [GLOBO_OS] = "os",
    [GLOBO_COUNTRY] = "country",         [GLOBO_REGION] = "region", [GLOBO_REFERRER] = "referrer",
};

const char *globo_context_name(enum globo_context context) {
    return context_names[context];
}

struct globo_reader {
    struct disk *disk;
    struct refusals *refusals;
    struct csv *csv;
    struct csv_row row;
    int at[COLUMNS]; /* in this file */
    int field_count; /* in this file */
    struct globo_clicks *out;
    size_t capacity;
};

static leat_status read_header(struct globo_reader *reader, leat_error *err) {
    leat_status status = csv_next(reader->csv, &reader->row, err);
    if (status == LEAT_END) {
        return error_set(err, LEAT_INVALID, "an empty file");
    }
    TRY(status);
    reader->field_count = reader->row.count;
    for (int i = 0; i < COLUMNS; i++) {
        reader->at[i] = csv_find(&reader->row, columns[i].name);
        if (reader->at[i] < 0) {
            return error_set(err, LEAT_INVALID, "the first line names no column '%s'",
                             columns[i].name);
        }
    }
    return LEAT_OK;
}

static leat_status read_values(const struct globo_reader *reader, int64_t value[COLUMNS],
                               leat_error *err) {
    const struct csv_row *row = &reader->row;
    if (row->count != reader->field_count) {
        return error_set(err, LEAT_INVALID, "%d fields; the first line has %d", row->count,
                         reader->field_count);
    }
    for (int i = 0; i < COLUMNS; i++) {
        TRY(dataset_integer(columns[i].name, row->fields[reader->at[i]], 0, columns[i].high,
                            &value[i], err));
    }
    return LEAT_OK;
}

static leat_status add_click(struct globo_reader *reader, const int64_t value[COLUMNS],
                             leat_error *err) {
    struct globo_clicks *out = reader->out;
    if (out->count == reader->capacity) {
        size_t capacity = reader->capacity ? 2 * reader->capacity : 1 << 16;
        if (capacity > INT32_MAX) {
            return error_set(err, LEAT_FULL, "more than %zu clicks", out->count);
        }
        struct globo_click *clicks = memory_resize(out->clicks, capacity * sizeof(*clicks));
        if (!clicks) {
            return error_memory(err, capacity * sizeof(*clicks));
        }
        out->clicks = clicks;
        reader->capacity = capacity;
    }
    struct globo_click *click = &out->clicks[out->count];
    *click = (struct globo_click){
        .time_ms = value[COLUMN_TIME],
        .session = (uint64_t)value[COLUMN_SESSION],
        .user = (uint32_t)value[COLUMN_USER],
        .item = (uint32_t)value[COLUMN_ITEM],
        .order = (uint32_t)out->count,
    };
    for (int i = 0; i < GLOBO_CONTEXTS; i++) {
        click->context[i] = (uint16_t)value[COLUMN_CONTEXT + i];
    }
    out->count++;
    return LEAT_OK;
}

static leat_status read_row(struct globo_reader *reader, leat_error *err) {
    leat_status status = csv_next(reader->csv, &reader->row, err);
    if (status != LEAT_OK) {
        return status;
    }
    int64_t value[COLUMNS];
    TRY(read_values(reader, value, err));
    return add_click(reader, value, err);
}

/* LEAT_INVALID is a row's fault; everything else ends the reading. */
static leat_status read_file(struct globo_reader *reader, const char *name,
                             struct byte_source source, leat_error *err) {
    csv_begin(reader->csv, source);
    leat_error reason;
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

/* Takes `members`. `*files` counts what was read. */
static leat_status read_members(struct globo_reader *reader, struct members *members, int *files,
                                leat_error *err) {
    leat_status status;
    while ((status = members_next(members, err)) == LEAT_OK) {
        TRY_OR(status, read_file(reader, members_name(members), members_source(members), err), out);
        ++*files;
    }
out:
    members_close(members);
    return status < 0 ? status : LEAT_OK;
}

struct archive_list {
    struct globo_reader *reader;
    const char *folder;
    int *files;
    leat_error *err;
};

static leat_status read_archive(void *context, const char *name) {
    struct archive_list *list = context;
    if (!name_matches(name, ARCHIVE_PREFIX, ARCHIVE_SUFFIX)) {
        return LEAT_OK;
    }
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, list->folder, name, list->err));
    struct members *members;
    TRY(members_open_archive(list->reader->disk, path, FILE_PREFIX, FILE_SUFFIX, &members,
                             list->err));
    return read_members(list->reader, members, list->files, list->err);
}

static leat_status read_folder(struct globo_reader *reader, const char *folder, leat_error *err) {
    struct members *members;
    leat_status status =
        members_open_folder(reader->disk, folder, FILE_PREFIX, FILE_SUFFIX, &members, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_INVALID, "%s: no such folder", folder);
    }
    int files = 0;
    TRY(read_members(reader, members, &files, err));
    if (files == 0) {
        struct archive_list list = {reader, folder, &files, err};
        TRY(disk_list(reader->disk, folder, read_archive, &list, err));
    }
    if (files == 0) {
        return error_set(err, LEAT_INVALID,
                         "%s: holds neither " FILE_PREFIX "*" FILE_SUFFIX " nor " ARCHIVE_PREFIX
                         "*" ARCHIVE_SUFFIX " with such files",
                         folder);
    }
    return LEAT_OK;
}

static int click_compare(const void *left, const void *right) {
    const struct globo_click *a = left;
    const struct globo_click *b = right;
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms ? -1 : 1;
    }
    if (a->session != b->session) {
        return a->session < b->session ? -1 : 1;
    }
    return (a->order > b->order) - (a->order < b->order);
}

leat_status globo_read(struct disk *disk, const char *folder, struct refusals *refusals,
                       struct globo_clicks *out, leat_error *err) {
    *out = (struct globo_clicks){0};
    struct globo_reader reader = {.disk = disk, .refusals = refusals, .out = out};
    TRY(csv_create(',', true, &reader.csv, err));
    leat_status status = read_folder(&reader, folder, err);
    csv_destroy(reader.csv);
    if (status < 0) {
        globo_free(out);
        return status;
    }
    if (out->count > 0) {
        qsort(out->clicks, out->count, sizeof(*out->clicks), click_compare);
    }
    return LEAT_OK;
}

void globo_free(struct globo_clicks *clicks) {
    memory_free(clicks->clicks);
    *clicks = (struct globo_clicks){0};
}

leat_status globo_link_sessions(const struct globo_clicks *clicks, int32_t *previous,
                                uint16_t *position, leat_error *err) {
    struct map last; /* session -> its last click, plus 1 */
    map_init(&last);
    leat_status status = LEAT_OK;
    for (size_t i = 0; i < clicks->count; i++) {
        uint64_t *before = map_at(&last, clicks->clicks[i].session, NULL);
        if (!before) {
            status = error_memory(err, clicks->count);
            break;
        }
        previous[i] = (int32_t)*before - 1;
        int count = *before ? position[previous[i]] + 1 : 0;
        position[i] = (uint16_t)(count < UINT16_MAX ? count : UINT16_MAX);
        *before = i + 1;
    }
    map_deinit(&last);
    return status;
}
