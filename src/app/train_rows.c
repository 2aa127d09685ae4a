#include "app/train_rows.h"

#include "base/hash.h"
#include "base/memory.h"

#include <string.h>

struct train_rows {
    struct train_setup *setup;
    uint64_t examples;
    struct row_batch batch; /* of rows that do not lie in one block of a cache */
    bool batched;           /* the batch in hand is that one, from files */
    /* files */
    struct row_encoder *encoder;
    struct row_reader *reader;
    /* a cache that is read */
    struct row_cache *cache;
    struct minibatch block; /* in hand; rows from `block_from` on are still to be given out */
    const uint64_t *block_numbers;
    int block_from;
    /* a cache that is written */
    const char *cache_path; /* NULL: none */
    struct row_cache_shape shape;
    struct row_cache_writer *writer;
};

/* --- opening --- */

static leat_status open_files(struct train_rows *rows, leat_error *err) {
    struct train_setup *setup = rows->setup;
    row_reader_close(rows->reader);
    row_encoder_destroy(rows->encoder);
    rows->reader = NULL;
    rows->encoder = NULL;
    TRY(row_encoder_create(&setup->plan, &rows->encoder, err));
    const struct row_reader_options options = {
        .source = setup->source,
        .paths = setup->paths,
        .path_count = setup->path_count,
        .plan = &setup->plan,
        .encoder = rows->encoder,
        .refusals = &setup->refusals,
        .tell_unused = !setup->asked->features &&
                       (setup->source.format == ROW_VW || setup->source.format == ROW_LIBSVM),
    };
    return row_reader_open(&options, &rows->reader, err);
}

/* LEAT_NOT_FOUND (positive): there is no cache of these files, by this plan. */
static leat_status open_cache(struct train_rows *rows, const char *path) {
    struct row_cache *cache;
    leat_status status = row_cache_open(disk_real(), path, &cache, NULL);
    if (status != LEAT_OK) {
        return LEAT_NOT_FOUND;
    }
    const struct row_cache_shape *found = row_cache_shape(cache);
    bool same = found->fingerprint == rows->shape.fingerprint &&
                slice_equal(train_setup_words(found->description),
                            train_setup_words(rows->shape.description));
    if (!same) {
        row_cache_close(cache);
        return LEAT_NOT_FOUND;
    }
    rows->cache = cache;
    return LEAT_OK;
}

static leat_status open_rows(struct train_rows *rows, const char *cache, leat_error *err) {
    struct train_setup *setup = rows->setup;
    const struct model_spec *spec = &setup->spec;
    rows->shape = (struct row_cache_shape){
        .tasks = spec->task_count,
        .dense_count = spec->dense_count,
        .description = {(const char *)setup->description.data, setup->description.size},
    };
    if (setup->encoded) {
        TRY(row_batch_init(&rows->batch, setup->batch, spec->task_count, spec->dense_count, true,
                           err));
        return row_cache_open(disk_real(), setup->paths[0], &rows->cache, err);
    }
    TRY(row_batch_init(&rows->batch, setup->batch, spec->task_count, spec->dense_count,
                       setup->plan.time[0] != '\0', err));
    TRY(row_files_fingerprint(setup->source.disk, setup->paths, setup->path_count,
                              &rows->shape.fingerprint, err));
    if (cache && open_cache(rows, cache) == LEAT_OK) {
        return LEAT_OK;
    }
    rows->cache_path = cache;
    return open_files(rows, err);
}

leat_status train_rows_open(struct train_setup *setup, const char *cache, struct train_rows **out,
                            leat_error *err) {
    struct train_rows *rows = memory_zalloc(sizeof(*rows));
    if (!rows) {
        return error_memory(err, sizeof(*rows));
    }
    rows->setup = setup;
    leat_status status = open_rows(rows, cache, err);
    if (status < 0) {
        train_rows_close(rows);
        return status;
    }
    *out = rows;
    return LEAT_OK;
}

void train_rows_close(struct train_rows *rows) {
    if (rows) {
        row_cache_writer_close(rows->writer);
        row_cache_close(rows->cache);
        row_reader_close(rows->reader);
        row_encoder_destroy(rows->encoder);
        row_batch_deinit(&rows->batch);
        memory_free(rows);
    }
}

/* --- batches --- */

static leat_status next_of_files(struct train_rows *rows, struct minibatch *out,
                                 const uint64_t **numbers, leat_error *err) {
    leat_status status = row_reader_next(rows->reader, &rows->batch, err);
    if (status != LEAT_OK) {
        return status;
    }
    *out = row_batch_view(&rows->batch);
    *numbers = rows->batch.numbers;
    rows->batched = true;
    if (rows->cache_path && !rows->writer) {
        TRY(row_cache_create(disk_real(), rows->cache_path, &rows->shape, 0, 0, &rows->writer,
                             err));
    }
    return rows->writer ? row_cache_write(rows->writer, out, *numbers, err) : LEAT_OK;
}

/* Has rows in hand, or LEAT_END. */
static leat_status need_block(struct train_rows *rows, leat_error *err) {
    if (rows->block_from < rows->block.count) {
        return LEAT_OK;
    }
    rows->block_from = 0;
    rows->block.count = 0;
    return row_cache_next(rows->cache, &rows->block, &rows->block_numbers, err);
}

/* Blocks as they lie, where they are as long as a batch. */
static leat_status next_of_cache(struct train_rows *rows, struct minibatch *out,
                                 const uint64_t **numbers, leat_error *err) {
    leat_status status = need_block(rows, err);
    if (status != LEAT_OK) {
        return status;
    }
    int wanted = rows->setup->batch;
    if (rows->block.count - rows->block_from >= wanted) {
        *out = minibatch_part(&rows->block, rows->block_from, rows->block_from + wanted);
        *numbers = rows->block_numbers + rows->block_from;
        rows->block_from += wanted;
        return LEAT_OK;
    }
    row_batch_clear(&rows->batch);
    rows->batch.timed = rows->block.times != NULL;
    while (!row_batch_full(&rows->batch) && (status = need_block(rows, err)) == LEAT_OK) {
        int left = rows->block.count - rows->block_from;
        int room = wanted - rows->batch.count;
        int to = rows->block_from + (left < room ? left : room);
        TRY(row_batch_append(&rows->batch, &rows->block, rows->block_numbers, rows->block_from, to,
                             err));
        rows->block_from = to;
    }
    TRY(status);
    *out = row_batch_view(&rows->batch);
    *numbers = rows->batch.numbers;
    return LEAT_OK;
}

leat_status train_rows_next(struct train_rows *rows, struct minibatch *out,
                            const uint64_t **numbers, leat_error *err) {
    rows->batched = false;
    leat_status status = rows->cache ? next_of_cache(rows, out, numbers, err)
                                     : next_of_files(rows, out, numbers, err);
    rows->examples += status == LEAT_OK ? (uint64_t)out->count : 0;
    return status;
}

const int64_t *train_rows_times(const struct train_rows *rows) {
    return rows->batched ? rows->batch.times_ms : NULL;
}

uint64_t train_rows_file_begin(const struct train_rows *rows, int file) {
    return row_reader_file_begin(rows->reader, file);
}

/* --- passes --- */

static leat_status finish_cache(struct train_rows *rows, leat_error *err) {
    leat_status status = row_cache_finish(rows->writer, err);
    row_cache_writer_close(rows->writer);
    rows->writer = NULL;
    TRY(status);
    row_reader_close(rows->reader);
    rows->reader = NULL;
    return row_cache_open(disk_real(), rows->cache_path, &rows->cache, err);
}

leat_status train_rows_again(struct train_rows *rows, leat_error *err) {
    uint64_t first;
    rows->examples = 0;
    rows->block_from = 0;
    rows->block.count = 0;
    if (rows->writer) {
        TRY(finish_cache(rows, err));
    }
    return rows->cache ? row_cache_seek(rows->cache, 0, &first, err) : open_files(rows, err);
}

void train_rows_progress(const struct train_rows *rows, uint64_t *read, uint64_t *all) {
    *read = rows->cache ? row_cache_bytes_read(rows->cache) : row_reader_bytes_read(rows->reader);
    *all = rows->cache ? row_cache_bytes(rows->cache) : row_reader_bytes(rows->reader);
}

uint64_t train_rows_examples(const struct train_rows *rows) {
    return rows->examples;
}

/* --- places --- */

leat_status train_rows_note(struct train_rows *rows, struct bytes *out, leat_error *err) {
    uint64_t cache_at = 0;
    if (rows->writer) {
        TRY(row_cache_sync(rows->writer, &cache_at, err));
    }
    bytes_put_u64(out, rows->examples);
    bytes_put_u64(out, rows->reader ? row_reader_rows(rows->reader) : 0);
    bytes_put_u64(out, rows->setup->refusals.count);
    bytes_put_u64(out, cache_at);
    bytes_put_u8(out, rows->cache != NULL);
    if (!rows->cache) {
        row_encoder_save(rows->encoder, out);
    }
    return bytes_status(out, err);
}

static leat_status seek_cache(struct train_rows *rows, uint64_t example, leat_error *err) {
    uint64_t first;
    TRY(row_cache_seek(rows->cache, example, &first, err));
    TRY(need_block(rows, err));
    if (example - first > (uint64_t)rows->block.count) {
        return error_set(err, LEAT_INVALID, "the cache has fewer examples than were learnt");
    }
    rows->block_from = (int)(example - first);
    return LEAT_OK;
}

leat_status train_rows_go_to(struct train_rows *rows, struct bytes_reader *note, leat_error *err) {
    rows->examples = bytes_get_u64(note);
    uint64_t read = bytes_get_u64(note);
    rows->setup->refusals.count = bytes_get_u64(note);
    uint64_t cache_at = bytes_get_u64(note);
    bool from_cache = bytes_get_u8(note) != 0;
    if (rows->cache) {
        return seek_cache(rows, rows->examples, err);
    }
    if (from_cache) {
        return error_set(err, LEAT_INVALID,
                         "the run read a cache, which is not there or of other files now; begin "
                         "anew without --resume");
    }
    TRY(row_encoder_load(rows->encoder, note, err));
    if (cache_at > 0 && rows->cache_path) {
        TRY(row_cache_create(disk_real(), rows->cache_path, &rows->shape, cache_at, rows->examples,
                             &rows->writer, err));
    }
    return row_reader_skip(rows->reader, read, err);
}
