#include "connect/row_reader.h"

#include "base/hash.h"
#include "base/memory.h"

enum { FINGERPRINT_BYTES = 65536 };

struct row_reader {
    struct row_reader_options options;
    struct row_source *source; /* NULL: all files were read */
    int path;
    uint64_t rows;
    uint64_t bytes, bytes_before; /* of all files; of those before this one */
    uint64_t file_bytes;
    uint64_t *begins; /* [path_count] numbers of the files' first rows */
    int columns;      /* of this file's, looked at for unused ones */
};

static leat_status size_of(struct disk *disk, const char *path, uint64_t *out, leat_error *err) {
    struct file *file = NULL;
    leat_status status = file_open(disk, path, FILE_READ, &file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : error_set(err, LEAT_INVALID, "%s: no such file", path);
    }
    status = file_size(file, out, err);
    file_close(file);
    return status;
}

static bool plan_asks(void *context, const char *column) {
    return plan_wants(context, column);
}

static leat_status open_file(struct row_reader *reader, leat_error *err) {
    struct row_source_options options = reader->options.source;
    options.path = reader->options.paths[reader->path];
    options.wanted = plan_asks;
    options.context = (void *)(uintptr_t)reader->options.plan;
    TRY(row_source_open(&options, &reader->source, err));
    TRY(size_of(options.disk, options.path, &reader->file_bytes, err));
    reader->begins[reader->path] = reader->rows;
    reader->columns = 3; /* label, importance, tag; label, index */
    row_encoder_bind(reader->options.encoder, &reader->source->columns);
    return LEAT_OK;
}

static leat_status next_file(struct row_reader *reader, leat_error *err) {
    row_source_close(reader->source);
    reader->source = NULL;
    reader->bytes_before += reader->file_bytes;
    reader->file_bytes = 0;
    reader->path++;
    return reader->path < reader->options.path_count ? open_file(reader, err) : LEAT_OK;
}

leat_status row_reader_open(const struct row_reader_options *options, struct row_reader **out,
                            leat_error *err) {
    struct row_reader *reader = memory_zalloc(sizeof(*reader));
    if (!reader) {
        return error_memory(err, sizeof(*reader));
    }
    reader->options = *options;
    size_t bytes_begins = ((size_t)options->path_count + 1) * sizeof(uint64_t);
    reader->begins = memory_zalloc(bytes_begins);
    leat_status status = reader->begins ? LEAT_OK : error_memory(err, bytes_begins);
    for (int i = 0; i < options->path_count && status == LEAT_OK; i++) {
        uint64_t bytes = 0;
        status = size_of(options->source.disk, options->paths[i], &bytes, err);
        reader->bytes += bytes;
    }
    if (status == LEAT_OK && options->path_count > 0) {
        status = open_file(reader, err);
    }
    if (status < 0) {
        row_reader_close(reader);
        return status;
    }
    *out = reader;
    return LEAT_OK;
}

void row_reader_close(struct row_reader *reader) {
    if (reader) {
        row_source_close(reader->source);
        memory_free(reader->begins);
        memory_free(reader);
    }
}

/* A row, or the words why it is none. LEAT_END after the last file. */
static leat_status take_row(struct row_reader *reader, struct row *row, leat_error *err) {
    while (reader->source) {
        leat_status status = row_source_next(reader->source, row, err);
        if (status != LEAT_END) {
            reader->rows++;
            return status;
        }
        TRY(next_file(reader, err));
    }
    return LEAT_END;
}

static void tell_unused(struct row_reader *reader, uint64_t line) {
    const struct row_columns *columns = &reader->source->columns;
    FILE *show = reader->options.refusals->show;
    for (; reader->columns < columns->count; reader->columns++) {
        const char *name = columns->names[reader->columns];
        if (show && !plan_wants(reader->options.plan, name)) {
            fprintf(show,
                    "%s:%llu: '%s' is no feature, as the first %d rows do not have it; --features "
                    "may name it\n",
                    reader->options.paths[reader->path], (unsigned long long)line, name,
                    PLAN_SURVEY_ROWS);
        }
    }
}

leat_status row_reader_next(struct row_reader *reader, struct row_batch *batch, leat_error *err) {
    row_batch_clear(batch);
    while (!row_batch_full(batch)) {
        struct row row;
        leat_error reason;
        leat_status status = take_row(reader, &row, &reason);
        if (status == LEAT_END) {
            break;
        }
        if (status == LEAT_OK) {
            status =
                row_encoder_add(reader->options.encoder, &row, reader->rows - 1, batch, &reason);
            if (reader->options.tell_unused && reader->columns < reader->source->columns.count) {
                tell_unused(reader, row.line);
            }
        }
        if (status == LEAT_INVALID && reader->source) {
            TRY(refusals_add(reader->options.refusals, reader->options.paths[reader->path],
                             row.line, &reason, err));
        } else if (status < 0) {
            return error_set(err, status, "%s", reason.message);
        }
    }
    return batch->count > 0 ? LEAT_OK : LEAT_END;
}

uint64_t row_reader_rows(const struct row_reader *reader) {
    return reader->rows;
}

uint64_t row_reader_file_begin(const struct row_reader *reader, int file) {
    return file <= reader->path && file < reader->options.path_count ? reader->begins[file]
                                                                     : reader->rows;
}

leat_status row_reader_skip(struct row_reader *reader, uint64_t rows, leat_error *err) {
    uint64_t to = reader->rows + rows;
    while (reader->rows < to) {
        struct row row;
        leat_status status = take_row(reader, &row, err);
        if (status == LEAT_END) {
            return error_set(err, LEAT_INVALID, "the files have %llu rows, not %llu or more",
                             (unsigned long long)reader->rows, (unsigned long long)to);
        }
        if (status < 0 && status != LEAT_INVALID) {
            return status;
        }
    }
    return LEAT_OK;
}

uint64_t row_reader_bytes(const struct row_reader *reader) {
    return reader->bytes;
}

uint64_t row_reader_bytes_read(const struct row_reader *reader) {
    uint64_t inside = reader->source ? row_source_bytes(reader->source) : 0;
    return reader->bytes_before + (inside < reader->file_bytes ? inside : reader->file_bytes);
}

/* --- fingerprint --- */

static leat_status mix_part(struct file *file, uint64_t offset, uint64_t *hash, leat_error *err) {
    uint8_t *block = memory_alloc(FINGERPRINT_BYTES);
    size_t got = 0;
    if (!block) {
        return error_memory(err, FINGERPRINT_BYTES);
    }
    leat_status status = file_read(file, block, FINGERPRINT_BYTES, offset, &got, err);
    *hash = hash_mix(*hash, hash_bytes(block, got));
    memory_free(block);
    return status;
}

leat_status row_files_fingerprint(struct disk *disk, const char *const *paths, int count,
                                  uint64_t *out, leat_error *err) {
    *out = (uint64_t)count;
    for (int i = 0; i < count; i++) {
        struct file *file = NULL;
        uint64_t size;
        leat_status status = file_open(disk, paths[i], FILE_READ, &file, err);
        if (status != LEAT_OK) {
            return status < 0 ? status : error_set(err, LEAT_INVALID, "%s: no such file", paths[i]);
        }
        status = file_size(file, &size, err);
        if (status == LEAT_OK) {
            *out = hash_mix(hash_mix(*out, size), hash_slice(slice_of(paths[i])));
            status = mix_part(file, 0, out, err);
        }
        if (status == LEAT_OK && size > FINGERPRINT_BYTES) {
            status = mix_part(file, size - FINGERPRINT_BYTES, out, err);
        }
        file_close(file);
        TRY(status);
    }
    return LEAT_OK;
}
