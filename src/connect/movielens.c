#include "connect/movielens.h"

#include "base/map.h"
#include "base/memory.h"
#include "base/text.h"
#include "connect/csv.h"

#define TIME_MAX_S 7258118399

enum {
    DATA_FIELDS = 4,
    USER_FIELDS = 5,
    ITEM_TITLE = 1,
    ITEM_FLAGS = 5, /* the first genre's; before it id, title, two dates, address */
    AGE_MAX = 150,
};

struct ml_reader {
    struct disk *disk;
    const char *folder;
    struct refusals *refusals;
    struct movielens *out;
    struct csv *csv;
    struct file *file;
    uint64_t offset;
    struct csv_row row;
    struct map users, items; /* known ids */
    size_t rating_capacity, item_capacity, user_capacity;
};

/* Adds one row's meaning; LEAT_INVALID refuses the row. */
typedef leat_status (*row_call)(struct ml_reader *reader, leat_error *err);

static leat_status pull(void *context, void *data, size_t count, size_t *got, leat_error *err) {
    struct ml_reader *reader = context;
    TRY(file_read(reader->file, data, count, reader->offset, got, err));
    reader->offset += *got;
    return LEAT_OK;
}

static leat_status read_rows(struct ml_reader *reader, const char *name, row_call add,
                             leat_error *err) {
    csv_begin(reader->csv, (struct byte_source){pull, reader});
    for (;;) {
        leat_error reason;
        leat_status status = csv_next(reader->csv, &reader->row, &reason);
        if (status == LEAT_END) {
            return LEAT_OK;
        }
        if (status == LEAT_OK) {
            status = add(reader, &reason);
        }
        if (status == LEAT_INVALID) {
            TRY(refusals_add(reader->refusals, name, reader->row.line, &reason, err));
        } else if (status < 0) {
            return error_set(err, status, "%s: %s", name, reason.message);
        }
    }
}

static leat_status read_file(struct ml_reader *reader, const char *name, char separator,
                             row_call add, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(path_join(path, reader->folder, name, err));
    leat_status status = file_open(reader->disk, path, FILE_READ, &reader->file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_INVALID, "%s: no such file", path);
    }
    reader->offset = 0;
    TRY_OR(status, csv_create(separator, false, &reader->csv, err), out);
    status = read_rows(reader, name, add, err);
    csv_destroy(reader->csv);
out:
    file_close(reader->file);
    return status;
}

static leat_status need_fields(const struct ml_reader *reader, int count, leat_error *err) {
    if (reader->row.count != count) {
        return error_set(err, LEAT_INVALID, "%d fields, not %d", reader->row.count, count);
    }
    return LEAT_OK;
}

/* One more element in an array that grows; NULL when memory is out. */
static void *grow(void **array, size_t *capacity, size_t count, size_t size) {
    if (count == *capacity) {
        size_t larger = *capacity ? 2 * *capacity : 1024;
        void *moved = memory_resize(*array, larger * size);
        if (!moved) {
            return NULL;
        }
        *array = moved;
        *capacity = larger;
    }
    return (char *)*array + count * size;
}

static leat_status copy_name(const char *what, struct slice text, char out[MOVIELENS_NAME_MAX],
                             leat_error *err) {
    if (text.size == 0 || text.size >= MOVIELENS_NAME_MAX || !text_utf8_valid(text)) {
        return error_set(err, LEAT_INVALID, "%s: %zu bytes; 1 to %d of UTF-8 are taken", what,
                         text.size, MOVIELENS_NAME_MAX - 1);
    }
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return LEAT_OK;
}

/* --- u.genre: name|number --- */

static leat_status add_genre(struct ml_reader *reader, leat_error *err) {
    TRY(need_fields(reader, 2, err));
    int64_t number;
    TRY(dataset_integer("genre", reader->row.fields[1], 0, MOVIELENS_GENRES_MAX - 1, &number, err));
    struct movielens *out = reader->out;
    if (number != out->genre_count) {
        return error_set(err, LEAT_INVALID, "genre %lld where %d is next", (long long)number,
                         out->genre_count);
    }
    TRY(copy_name("genre", reader->row.fields[0], out->genres[number], err));
    out->genre_count++;
    return LEAT_OK;
}

/* --- u.user: id|age|gender|occupation|zip --- */

/* LEAT_INVALID when the id is there already. */
static leat_status add_id(struct map *known, const char *what, int64_t id, leat_error *err) {
    bool added;
    if (!map_at(known, (uint64_t)id, &added)) {
        return error_memory(err, sizeof(uint64_t));
    }
    if (!added) {
        return error_set(err, LEAT_INVALID, "%s %lld was read before", what, (long long)id);
    }
    return LEAT_OK;
}

static leat_status add_user(struct ml_reader *reader, leat_error *err) {
    TRY(need_fields(reader, USER_FIELDS, err));
    const struct slice *fields = reader->row.fields;
    int64_t id;
    int64_t age;
    TRY(dataset_integer("user", fields[0], 0, UINT32_MAX, &id, err));
    TRY(dataset_integer("age", fields[1], 0, AGE_MAX, &age, err));
    struct movielens_user user = {.user = (uint32_t)id, .age = (uint8_t)age};
    if (!slice_is(fields[2], "M") && !slice_is(fields[2], "F")) {
        return error_set(err, LEAT_INVALID, "gender: neither M nor F");
    }
    user.gender[0] = fields[2].data[0];
    TRY(copy_name("occupation", fields[3], user.occupation, err));
    TRY(add_id(&reader->users, "user", id, err));
    struct movielens *out = reader->out;
    struct movielens_user *slot =
        grow((void **)&out->users, &reader->user_capacity, out->user_count, sizeof(*slot));
    if (!slot) {
        return error_memory(err, sizeof(*slot));
    }
    *slot = user;
    out->user_count++;
    return LEAT_OK;
}

/* --- u.item: id|title|date|date|address|a flag a genre --- */

/* Latin-1 is the first 256 code points of Unicode. */
static void put_latin1(struct bytes *out, struct slice text) {
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte < 0x80) {
            bytes_put_u8(out, byte);
        } else {
            bytes_put_u8(out, (uint8_t)(0xC0 | byte >> 6));
            bytes_put_u8(out, (uint8_t)(0x80 | (byte & 0x3F)));
        }
    }
    bytes_put_u8(out, 0);
}

static leat_status read_flags(const struct ml_reader *reader, uint32_t *genres, leat_error *err) {
    *genres = 0;
    for (int i = 0; i < reader->out->genre_count; i++) {
        struct slice flag = reader->row.fields[ITEM_FLAGS + i];
        if (!slice_is(flag, "0") && !slice_is(flag, "1")) {
            return error_set(err, LEAT_INVALID, "%s: neither 0 nor 1", reader->out->genres[i]);
        }
        *genres |= (uint32_t)(flag.data[0] - '0') << i;
    }
    return LEAT_OK;
}

static leat_status add_item(struct ml_reader *reader, leat_error *err) {
    struct movielens *out = reader->out;
    TRY(need_fields(reader, ITEM_FLAGS + out->genre_count, err));
    int64_t id;
    TRY(dataset_integer("item", reader->row.fields[0], 0, UINT32_MAX, &id, err));
    uint32_t genres;
    TRY(read_flags(reader, &genres, err));
    TRY(add_id(&reader->items, "item", id, err));
    struct movielens_item *item =
        grow((void **)&out->items, &reader->item_capacity, out->item_count, sizeof(*item));
    if (!item) {
        return error_memory(err, sizeof(*item));
    }
    *item = (struct movielens_item){(uint32_t)id, genres, out->text.size};
    put_latin1(&out->text, reader->row.fields[ITEM_TITLE]);
    out->item_count++;
    return bytes_status(&out->text, err);
}

/* --- u.data: user item rating time, TAB between --- */

static leat_status add_rating(struct ml_reader *reader, leat_error *err) {
    TRY(need_fields(reader, DATA_FIELDS, err));
    const struct slice *fields = reader->row.fields;
    int64_t user;
    int64_t item;
    int64_t rating;
    int64_t time_s;
    TRY(dataset_integer("user", fields[0], 0, UINT32_MAX, &user, err));
    TRY(dataset_integer("item", fields[1], 0, UINT32_MAX, &item, err));
    TRY(dataset_integer("rating", fields[2], 1, MOVIELENS_RATING_MAX, &rating, err));
    TRY(dataset_integer("time", fields[3], 0, TIME_MAX_S, &time_s, err));
    if (!map_find(&reader->users, (uint64_t)user) || !map_find(&reader->items, (uint64_t)item)) {
        return error_set(err, LEAT_INVALID, "user %lld or item %lld is not known", (long long)user,
                         (long long)item);
    }
    struct movielens *out = reader->out;
    struct movielens_rating *slot =
        grow((void **)&out->ratings, &reader->rating_capacity, out->rating_count, sizeof(*slot));
    if (!slot) {
        return error_memory(err, sizeof(*slot));
    }
    *slot = (struct movielens_rating){time_s, (uint32_t)user, (uint32_t)item, (uint8_t)rating};
    out->rating_count++;
    return LEAT_OK;
}

static int rating_compare(const void *left, const void *right) {
    const struct movielens_rating *a = left;
    const struct movielens_rating *b = right;
    if (a->time_s != b->time_s) {
        return a->time_s < b->time_s ? -1 : 1;
    }
    if (a->user != b->user) {
        return a->user < b->user ? -1 : 1;
    }
    return (a->item > b->item) - (a->item < b->item);
}

leat_status movielens_read(struct disk *disk, const char *folder, struct refusals *refusals,
                           struct movielens *out, leat_error *err) {
    *out = (struct movielens){0};
    struct ml_reader reader = {.disk = disk, .folder = folder, .refusals = refusals, .out = out};
    map_init(&reader.users);
    map_init(&reader.items);
    bytes_init(&out->text);
    leat_status status;
    TRY_OR(status, read_file(&reader, "u.genre", '|', add_genre, err), out);
    TRY_OR(status, read_file(&reader, "u.user", '|', add_user, err), out);
    TRY_OR(status, read_file(&reader, "u.item", '|', add_item, err), out);
    TRY_OR(status, read_file(&reader, "u.data", '\t', add_rating, err), out);
    if (out->rating_count > 0) {
        qsort(out->ratings, out->rating_count, sizeof(*out->ratings), rating_compare);
    }
out:
    map_deinit(&reader.users);
    map_deinit(&reader.items);
    if (status < 0) {
        movielens_free(out);
    }
    return status;
}

void movielens_free(struct movielens *data) {
    memory_free(data->ratings);
    memory_free(data->items);
    memory_free(data->users);
    bytes_deinit(&data->text);
    *data = (struct movielens){0};
}
