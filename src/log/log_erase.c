#include "log/log_erase.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/memory.h"
#include "column/builder.h"
#include "log/event.h"
#include "log/log_internal.h"
#include "log/record.h"

enum { WRITE_BYTES = 1 << 20 };

struct person {
    uint64_t sequence; /* of the newest forget row: rows before it are erased */
    uint32_t id_at;    /* in `ids` */
    uint32_t id_size;
    uint32_t next; /* person with the same hash, plus one; 0: none */
};

struct log_erasure {
    struct log *log;
    struct bytes ids;
    struct person *persons;
    uint32_t person_count;
    struct map by_hash; /* of the id: person, plus one */
    uint64_t until;     /* behind the newest forget row of this pass */
    uint64_t next;      /* segments that begin before it are done */
    uint64_t rows;
    struct builder *events;
    struct builder *served;
    struct segment_window window;
    struct bytes out; /* of the new segment, on its way to the file */
};

void log_forgotten(struct log *log, struct log_forgotten *out) {
    mutex_lock(&log->mutex);
    const struct forget_list *list = &log->forgets;
    *out = (struct log_forgotten){.count = list->count};
    if (list->count > 0) {
        out->end_sequence = list->items[list->count - 1].sequence + 1;
        out->oldest_ms = list->items[0].append_ms;
    }
    mutex_unlock(&log->mutex);
}

/* --- who --- */

static struct slice person_id(const struct log_erasure *erasure, const struct person *person) {
    return (struct slice){(const char *)erasure->ids.data + person->id_at, person->id_size};
}

static struct person *person_find(const struct log_erasure *erasure, struct slice user) {
    const uint64_t *found = map_find(&erasure->by_hash, hash_slice(user));
    for (uint64_t at = found ? *found : 0; at > 0; at = erasure->persons[at - 1].next) {
        struct person *person = &erasure->persons[at - 1];
        if (slice_equal(person_id(erasure, person), user)) {
            return person;
        }
    }
    return NULL;
}

static leat_status person_add(struct log_erasure *erasure, struct slice user, uint64_t sequence,
                              leat_error *err) {
    struct person *known = person_find(erasure, user);
    if (known) {
        known->sequence = sequence; /* forget rows are met in rising order */
        return LEAT_OK;
    }
    uint64_t *first = map_at(&erasure->by_hash, hash_slice(user), NULL);
    if (!first) {
        return error_memory(err, sizeof(*first));
    }
    erasure->persons[erasure->person_count++] =
        (struct person){.sequence = sequence,
                        .id_at = (uint32_t)erasure->ids.size,
                        .id_size = (uint32_t)user.size,
                        .next = (uint32_t)*first};
    *first = erasure->person_count;
    bytes_append(&erasure->ids, user.data, user.size);
    return bytes_status(&erasure->ids, err);
}

/* Reads the rows at the places of `forgets`, which rise. */
static leat_status persons_read(struct log_erasure *erasure, const struct forget_list *forgets,
                                leat_error *err) {
    struct log_reader *reader = NULL;
    struct log_entry entry = {.frame = {.rows = 0}};
    leat_status status = LEAT_OK;
    for (size_t i = 0; status == LEAT_OK && i < forgets->count; i++) {
        uint64_t sequence = forgets->items[i].sequence;
        if (sequence >= entry.frame.first_sequence + entry.frame.rows) {
            log_reader_close(reader);
            reader = NULL;
            TRY_OR(status, log_reader_open(erasure->log, sequence, &reader, err), done);
            TRY_OR(status, log_read(reader, &entry, err), done);
        }
        int64_t row = (int64_t)(sequence - entry.frame.first_sequence);
        if (forget_row(&entry.batch, row) != row) {
            status = error_set(err, LEAT_CORRUPT, "row %llu is no forget row any more",
                               (unsigned long long)sequence);
            break;
        }
        status = person_add(erasure, batch_text(&entry.batch, EVENT_USER, row), sequence, err);
    }
done:
    log_reader_close(reader);
    return status;
}

/* A copy of the forget rows that this pass is for. */
static leat_status forgets_copy(struct log *log, uint64_t until, struct forget_list *out,
                                leat_error *err) {
    leat_status status = LEAT_OK;
    mutex_lock(&log->mutex);
    size_t count = 0;
    while (count < log->forgets.count && count < LOG_ERASE_PERSONS_MAX &&
           log->forgets.items[count].sequence < until) {
        count++;
    }
    status = forget_list_reserve(out, count, err);
    for (size_t i = 0; status == LEAT_OK && i < count; i++) {
        forget_list_add(out, log->forgets.items[i]);
    }
    mutex_unlock(&log->mutex);
    return status;
}

/* --- life --- */

static leat_status erasure_fill(struct log_erasure *erasure, const struct forget_list *forgets,
                                leat_error *err) {
    size_t bytes = forgets->count * sizeof(*erasure->persons);
    erasure->persons = memory_alloc(bytes);
    if (!erasure->persons) {
        return error_memory(err, bytes);
    }
    TRY(builder_create(schema_event(), &erasure->events, err));
    TRY(builder_create(schema_served(), &erasure->served, err));
    erasure->until = forgets->items[forgets->count - 1].sequence + 1;
    return persons_read(erasure, forgets, err);
}

leat_status log_erase_begin(struct log *log, uint64_t until, struct log_erasure **out,
                            leat_error *err) {
    struct forget_list forgets = {0};
    struct log_erasure *erasure = NULL;
    leat_status status;
    TRY_OR(status, forgets_copy(log, until, &forgets, err), done);
    if (forgets.count == 0) {
        status = LEAT_NOT_FOUND;
        goto done;
    }
    erasure = memory_zalloc(sizeof(*erasure));
    if (!erasure) {
        status = error_memory(err, sizeof(*erasure));
        goto done;
    }
    erasure->log = log;
    bytes_init(&erasure->ids);
    bytes_init(&erasure->out);
    map_init(&erasure->by_hash);
    segment_window_init(&erasure->window);
    status = erasure_fill(erasure, &forgets, err);
done:
    forget_list_deinit(&forgets);
    if (status != LEAT_OK) {
        log_erase_end(erasure);
        return status;
    }
    *out = erasure;
    return LEAT_OK;
}

void log_erase_end(struct log_erasure *erasure) {
    if (!erasure) {
        return;
    }
    builder_destroy(erasure->served);
    builder_destroy(erasure->events);
    segment_window_deinit(&erasure->window);
    map_deinit(&erasure->by_hash);
    bytes_deinit(&erasure->out);
    bytes_deinit(&erasure->ids);
    memory_free(erasure->persons);
    memory_free(erasure);
}

uint64_t log_erase_rows(const struct log_erasure *erasure) {
    return erasure->rows;
}

/* --- rows --- */

static int user_column(const struct batch *batch) {
    switch (batch->schema->id) {
    case SCHEMA_EVENT: return EVENT_USER;
    case SCHEMA_SERVED: return SERVED_USER;
    default: return -1;
    }
}

/* Is the row one of a person of this pass, or a forget row of it? */
static bool row_is_theirs(const struct log_erasure *erasure, const struct batch *batch, int column,
                          int64_t row, uint64_t sequence) {
    struct slice user = batch_text(batch, column, row);
    const struct person *person = user.data ? person_find(erasure, user) : NULL;
    return person && sequence <= person->sequence;
}

/* The first row at or after `row` that is to be erased; batch->rows when none is left. */
static int64_t row_find(const struct log_erasure *erasure, const struct frame *frame,
                        const struct batch *batch, int64_t row) {
    int column = user_column(batch);
    if (column < 0 || column_absent(&batch->columns[column])) {
        return batch->rows;
    }
    while (row < batch->rows &&
           !row_is_theirs(erasure, batch, column, row, frame->first_sequence + (uint64_t)row)) {
        row++;
    }
    return row;
}

static void texts_copy(struct builder *builder, int column, const struct batch *batch,
                       int64_t row) {
    int count = batch_list_text_count(batch, column, row);
    struct slice texts[EVENT_LIST_MAX];
    count = count < EVENT_LIST_MAX ? count : EVENT_LIST_MAX;
    for (int i = 0; i < count; i++) {
        texts[i] = batch_list_text(batch, column, row, i);
    }
    if (!batch_is_null(batch, column, row)) {
        builder_list_text(builder, column, texts, count);
    }
}

/* An item's own facts. */
static void item_copy(struct builder *builder, const struct batch *batch, int64_t row) {
    static const int texts[] = {EVENT_ITEM, EVENT_SURFACE, EVENT_AUTHOR, EVENT_TEXT};
    static const int times[] = {EVENT_TIME_POSTED, EVENT_CREATED, EVENT_EXPIRES};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        builder_text(builder, texts[i], batch_text(batch, texts[i], row));
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (!batch_is_null(batch, times[i], row)) {
            builder_i64(builder, times[i], batch_i64(batch, times[i], row));
        }
    }
    if (!batch_is_null(batch, EVENT_VALUE, row)) {
        builder_f64(builder, EVENT_VALUE, batch_f64(batch, EVENT_VALUE, row));
    }
    texts_copy(builder, EVENT_CATEGORIES, batch, row);
    texts_copy(builder, EVENT_TAGS, batch, row);
}

static void event_erase(struct builder *builder, const struct batch *batch, int64_t row) {
    struct slice kind = batch_text(batch, EVENT_KIND, row);
    bool item = slice_is(kind, KIND_ITEM) || slice_is(kind, KIND_ITEM_DELETE);
    builder_text(builder, EVENT_KIND, item ? kind : slice_of(KIND_ERASED));
    builder_i64(builder, EVENT_TIME, batch_i64(batch, EVENT_TIME, row)); /* it may move the clock */
    if (item) {
        item_copy(builder, batch, row);
    }
    builder_row_end(builder);
}

static void served_erase(struct builder *builder, const struct batch *batch, int64_t row) {
    builder_text(builder, SERVED_REQUEST, slice_of(""));
    builder_text(builder, SERVED_ITEM, slice_of(""));
    builder_text(builder, SERVED_SURFACE, slice_of(""));
    builder_i64(builder, SERVED_TIME, batch_i64(batch, SERVED_TIME, row));
    builder_i32(builder, SERVED_SLOT, 0);
    builder_f64(builder, SERVED_SCORE, 0);
    builder_i32(builder, SERVED_CHANNELS, 0);
    builder_list_u64(builder, SERVED_KEYS, NULL, 0);
    builder_list_f32(builder, SERVED_DENSE, NULL, 0);
    builder_row_end(builder);
}

/* The batch without what is to go; a view of a builder. */
static leat_status batch_erase(struct log_erasure *erasure, const struct frame *frame,
                               const struct batch *batch, struct batch *out, leat_error *err) {
    bool event = batch->schema->id == SCHEMA_EVENT;
    struct builder *builder = event ? erasure->events : erasure->served;
    builder_clear(builder);
    int64_t next = row_find(erasure, frame, batch, 0);
    for (int64_t row = 0; row < batch->rows; row++) {
        if (row != next) {
            builder_copy_row(builder, batch, row);
            continue;
        }
        (event ? event_erase : served_erase)(builder, batch, row);
        erasure->rows++;
        next = row_find(erasure, frame, batch, row + 1);
    }
    return builder_finish(builder, out, err);
}

/* --- one segment --- */

struct rewriting {
    const struct segment *segment;
    struct file *from;
    struct file *to;
    uint64_t written; /* without what is still in `out` */
};

static leat_status frame_at(struct log_erasure *erasure, const struct rewriting *rewriting,
                            uint64_t offset, struct frame *frame, struct batch *batch,
                            const uint8_t **body, leat_error *err) {
    const uint8_t *data;
    uint64_t end = rewriting->segment->bytes;
    TRY(segment_window_view(&erasure->window, rewriting->from, offset, FRAME_HEADER_BYTES, end,
                            &data, err));
    TRY(frame_read_header(data, frame, err));
    size_t bytes = FRAME_HEADER_BYTES + (size_t)frame->body_bytes;
    TRY(segment_window_view(&erasure->window, rewriting->from, offset, bytes, end, &data, err));
    *body = data + FRAME_HEADER_BYTES;
    return frame_read_body(frame, *body, batch, err);
}

/* Does any row of the segment have to go? */
static leat_status segment_search(struct log_erasure *erasure, const struct rewriting *rewriting,
                                  bool *found, leat_error *err) {
    struct frame frame;
    struct batch batch;
    const uint8_t *body;
    *found = false;
    for (uint64_t at = 0; at < rewriting->segment->bytes && !*found;
         at += FRAME_HEADER_BYTES + frame.body_bytes) {
        TRY(frame_at(erasure, rewriting, at, &frame, &batch, &body, err));
        *found = row_find(erasure, &frame, &batch, 0) < batch.rows;
    }
    return LEAT_OK;
}

static leat_status out_flush(struct log_erasure *erasure, struct rewriting *rewriting,
                             leat_error *err) {
    TRY(bytes_status(&erasure->out, err));
    TRY(file_write(rewriting->to, erasure->out.data, erasure->out.size, rewriting->written, err));
    rewriting->written += erasure->out.size;
    bytes_clear(&erasure->out);
    return LEAT_OK;
}

static leat_status frame_rewrite(struct log_erasure *erasure, struct frame *frame,
                                 const struct batch *batch, const uint8_t *body, leat_error *err) {
    struct batch erased;
    const struct batch *kept = NULL; /* as it is */
    if (row_find(erasure, frame, batch, 0) < batch->rows) {
        TRY(batch_erase(erasure, frame, batch, &erased, err));
        frame->columns_stored = (uint16_t)erased.schema->field_count;
        frame->schema_version = erased.schema->version;
        frame->body_bytes = batch_body_size(&erased);
        kept = &erased;
    }
    frame->version = FRAME_VERSION;
    frame->salt = erasure->log->options.salt;
    if (frame->generation < FRAME_GENERATION_MAX) {
        frame->generation++;
    }
    uint8_t *out = bytes_extend(&erasure->out, FRAME_HEADER_BYTES + (size_t)frame->body_bytes);
    TRY(bytes_status(&erasure->out, err));
    if (kept) {
        batch_body_write(kept, out + FRAME_HEADER_BYTES);
    } else {
        memcpy(out + FRAME_HEADER_BYTES, body, frame->body_bytes);
    }
    frame_seal(frame, out);
    return LEAT_OK;
}

static leat_status segment_copy(struct log_erasure *erasure, struct rewriting *rewriting,
                                leat_error *err) {
    uint64_t at = 0;
    bytes_clear(&erasure->out);
    TRY(file_truncate(rewriting->to, 0, err));
    while (at < rewriting->segment->bytes) {
        struct frame frame;
        struct batch batch;
        const uint8_t *body;
        TRY(frame_at(erasure, rewriting, at, &frame, &batch, &body, err));
        at += FRAME_HEADER_BYTES + frame.body_bytes;
        TRY(frame_rewrite(erasure, &frame, &batch, body, err));
        if (erasure->out.size >= WRITE_BYTES) {
            TRY(out_flush(erasure, rewriting, err));
        }
    }
    TRY(out_flush(erasure, rewriting, err));
    return file_sync(rewriting->to, err);
}

/* The new segment takes the place of the old one, in the folder and in the list. */
static leat_status segment_replace(struct log *log, const struct rewriting *rewriting,
                                   const char *beside, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(segment_path(log->folder, rewriting->segment->first_sequence, path, err));
    mutex_lock(&log->mutex);
    leat_status status = disk_rename(log->options.disk, beside, path, err);
    for (size_t i = 0; status == LEAT_OK && i < log->segments.count; i++) {
        struct segment *segment = &log->segments.items[i];
        if (segment->first_sequence == rewriting->segment->first_sequence) {
            segment->bytes = rewriting->written;
            segment->generation++;
        }
    }
    mutex_unlock(&log->mutex);
    TRY(status);
    return disk_sync_folder(log->options.disk, log->folder, err);
}

static leat_status segment_rewrite(struct log_erasure *erasure, struct rewriting *rewriting,
                                   leat_error *err) {
    struct log *log = erasure->log;
    char beside[PATH_BYTES_MAX];
    TRY(segment_path_beside(log->folder, rewriting->segment->first_sequence, beside, err));
    TRY(file_open(log->options.disk, beside, FILE_WRITE, &rewriting->to, err));
    uint64_t rows = erasure->rows;
    leat_status status = segment_copy(erasure, rewriting, err);
    file_close(rewriting->to);
    if (status == LEAT_OK) {
        return segment_replace(log, rewriting, beside, err);
    }
    erasure->rows = rows;
    disk_remove(log->options.disk, beside, NULL); /* else the next opening does */
    return status;
}

static leat_status segment_erase(struct log_erasure *erasure, const struct segment *segment,
                                 leat_error *err) {
    struct log *log = erasure->log;
    struct rewriting rewriting = {.segment = segment};
    TRY(segment_open(log->options.disk, log->folder, segment->first_sequence, &rewriting.from,
                     err));
    bool found;
    segment_window_clear(&erasure->window);
    leat_status status = segment_search(erasure, &rewriting, &found, err);
    if (status == LEAT_OK && found) {
        status = segment_rewrite(erasure, &rewriting, err);
    }
    file_close(rewriting.from);
    if (status < 0) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(segment->first_sequence, name);
        return error_in(err, status, "erasing in segment %s", name);
    }
    return LEAT_OK;
}

/* --- all segments --- */

/* The first segment that is not done; LEAT_END: there is none. `newest`: it is still written. */
static leat_status segment_next(struct log_erasure *erasure, struct segment *out, bool *newest) {
    struct log *log = erasure->log;
    leat_status status = LEAT_END;
    mutex_lock(&log->mutex);
    for (size_t i = 0; i < log->segments.count && status == LEAT_END; i++) {
        const struct segment *segment = &log->segments.items[i];
        if (segment->first_sequence >= erasure->until) {
            break;
        }
        if (segment->first_sequence >= erasure->next && segment->bytes > 0) {
            *out = *segment;
            *newest = i + 1 == log->segments.count;
            status = LEAT_OK;
        }
    }
    mutex_unlock(&log->mutex);
    return status;
}

leat_status log_erase_step(struct log_erasure *erasure, leat_error *err) {
    struct log *log = erasure->log;
    struct segment segment;
    bool newest = false;
    mutex_lock(&log->files);
    leat_status status = segment_next(erasure, &segment, &newest);
    if (status == LEAT_OK && newest) {
        status = log_roll(log, err);
        if (status == LEAT_OK) { /* as it ended */
            status = segment_next(erasure, &segment, &newest);
        }
    }
    if (status == LEAT_OK) {
        status = segment_erase(erasure, &segment, err);
    }
    if (status == LEAT_OK) {
        erasure->next = segment.first_sequence + 1;
    } else if (status == LEAT_END) {
        mutex_lock(&log->mutex);
        forget_list_drop(&log->forgets, erasure->until);
        mutex_unlock(&log->mutex);
    }
    mutex_unlock(&log->files);
    return status;
}
