#include "app/eval_rows.h"

#include "base/memory.h"

#include <stdlib.h>

/* An example and when it was. */
struct moment {
    int64_t time_ms;
    uint32_t example;
};

/* While the files are read. */
struct encoding {
    struct train_setup *setup;
    const struct eval_files *files;
    struct train_rows *rows;
    uint64_t examples, main, valid; /* so far; before the valid file; before the test file */
    struct moment *moments;         /* with --time: of the main examples */
    size_t moment_capacity;
};

static leat_status keep_moment(struct encoding *encoding, int64_t time_ms, leat_error *err) {
    if (encoding->main > UINT32_MAX) {
        return error_set(err, LEAT_INVALID, "--time: more than 4294967295 examples");
    }
    if (encoding->main == encoding->moment_capacity) {
        size_t capacity = encoding->moment_capacity ? 2 * encoding->moment_capacity : 65536;
        void *moved = memory_resize(encoding->moments, capacity * sizeof(struct moment));
        if (!moved) {
            return error_memory(err, capacity * sizeof(struct moment));
        }
        encoding->moments = moved;
        encoding->moment_capacity = capacity;
    }
    encoding->moments[encoding->main] = (struct moment){time_ms, (uint32_t)encoding->main};
    return LEAT_OK;
}

/* Counts of which file each example is. */
static leat_status count_rows(struct encoding *encoding, int count, const uint64_t *numbers,
                              leat_error *err) {
    const struct eval_files *files = encoding->files;
    const int64_t *times = train_rows_times(encoding->rows);
    uint64_t main_end = train_rows_file_begin(encoding->rows, files->main_count);
    uint64_t valid_end = train_rows_file_begin(encoding->rows, files->main_count + files->valid);
    for (int i = 0; i < count; i++) {
        bool is_main = numbers[i] < main_end || files->main_count == encoding->setup->path_count;
        if (is_main && encoding->setup->plan.time[0]) {
            TRY(keep_moment(encoding, times[i], err));
        }
        encoding->main += is_main;
        encoding->valid +=
            !is_main && files->valid &&
            (numbers[i] < valid_end || files->main_count + 1 == encoding->setup->path_count);
        encoding->examples++;
    }
    return LEAT_OK;
}

/* The files into a cache. */
static leat_status encode(struct encoding *encoding, const char *path, leat_error *err) {
    leat_status status;
    TRY(train_rows_open(encoding->setup, path, &encoding->rows, err));
    do {
        struct minibatch rows;
        const uint64_t *numbers;
        status = train_rows_next(encoding->rows, &rows, &numbers, err);
        if (status == LEAT_OK) {
            status = count_rows(encoding, rows.count, numbers, err);
        }
    } while (status == LEAT_OK);
    if (status == LEAT_END && encoding->examples == 0) {
        status = error_set(err, LEAT_INVALID, "the files have no example");
    }
    if (status == LEAT_END) {
        status = train_rows_again(encoding->rows, err);
    }
    train_rows_close(encoding->rows);
    return status;
}

/* --- in order of time --- */

static int moment_compare(const void *left, const void *right) {
    const struct moment *a = left;
    const struct moment *b = right;
    if (a->time_ms != b->time_ms) {
        return a->time_ms < b->time_ms ? -1 : 1;
    }
    return (a->example > b->example) - (a->example < b->example);
}

static leat_status load_all(struct row_cache *cache, struct row_batch *all, leat_error *err) {
    struct minibatch rows;
    const uint64_t *numbers;
    leat_status status;
    while ((status = row_cache_next(cache, &rows, &numbers, err)) == LEAT_OK) {
        TRY(row_batch_append(all, &rows, numbers, 0, rows.count, err));
    }
    return status < 0 ? status : LEAT_OK;
}

static leat_status write_ordered(const struct encoding *encoding, const struct row_batch *all,
                                 struct row_batch *batch, struct row_cache_writer *writer,
                                 leat_error *err) {
    struct minibatch rows = row_batch_view(all);
    for (int i = 0; i < rows.count; i++) {
        int from = (uint64_t)i < encoding->main ? (int)encoding->moments[i].example : i;
        TRY(row_batch_append(batch, &rows, all->numbers, from, from + 1, err));
        if (row_batch_full(batch) || i + 1 == rows.count) {
            struct minibatch view = row_batch_view(batch);
            TRY(row_cache_write(writer, &view, batch->numbers, err));
            row_batch_clear(batch);
        }
    }
    return row_cache_finish(writer, err);
}

/* All examples are held in memory while they are put in order. */
static leat_status put_in_order(struct encoding *encoding, const char *from, const char *to,
                                leat_error *err) {
    struct row_cache *cache = NULL;
    struct row_cache_writer *writer = NULL;
    struct row_batch all = {.rows_max = 0};
    struct row_batch batch = {.rows_max = 0};
    leat_status status;
    if (encoding->examples > INT32_MAX) {
        return error_set(err, LEAT_INVALID, "--time: more than %d examples", INT32_MAX);
    }
    qsort(encoding->moments, encoding->main, sizeof(struct moment), moment_compare);
    TRY_OR(status, row_cache_open(disk_real(), from, &cache, err), out);
    const struct row_cache_shape *shape = row_cache_shape(cache);
    TRY_OR(status, row_cache_create(disk_real(), to, shape, 0, 0, &writer, err), out);
    TRY_OR(
        status,
        row_batch_init(&all, (int)encoding->examples, shape->tasks, shape->dense_count, true, err),
        out);
    TRY_OR(
        status,
        row_batch_init(&batch, encoding->setup->batch, shape->tasks, shape->dense_count, true, err),
        out);
    TRY_OR(status, load_all(cache, &all, err), out);
    status = write_ordered(encoding, &all, &batch, writer, err);
out:
    row_batch_deinit(&batch);
    row_batch_deinit(&all);
    row_cache_writer_close(writer);
    row_cache_close(cache);
    return status;
}

/* --- the whole --- */

static void set_parts(const struct encoding *encoding, struct eval_rows *out) {
    const struct eval_files *files = encoding->files;
    uint64_t main = encoding->main;
    out->learnt = files->test ? main : (uint64_t)((double)main * files->split);
    out->valid_from = main;
    out->valid_to = main + encoding->valid;
    out->scored_from = files->test ? out->valid_to : out->learnt;
    out->scored_to = files->test ? encoding->examples : main;
}

static leat_status open_made(const struct encoding *encoding, const char *path,
                             struct eval_rows *out, leat_error *err) {
    const struct model_spec *spec = &encoding->setup->spec;
    set_parts(encoding, out);
    out->batch = encoding->setup->batch;
    if (out->learnt == 0 || out->scored_from == out->scored_to) {
        return error_set(err, LEAT_INVALID,
                         "%llu examples would be learnt and %llu scored; both need some",
                         (unsigned long long)out->learnt,
                         (unsigned long long)(out->scored_to - out->scored_from));
    }
    TRY(row_batch_init(&out->rows, out->batch, spec->task_count, spec->dense_count, true, err));
    return row_cache_open(disk_real(), path, &out->cache, err);
}

static leat_status make_in(struct encoding *encoding, const char *folder, struct eval_rows *out,
                           leat_error *err) {
    char read[PATH_BYTES_MAX];
    char ordered[PATH_BYTES_MAX];
    TRY(path_join(read, folder, "read", err));
    TRY(path_join(ordered, folder, "ordered", err));
    TRY(encode(encoding, read, err));
    if (!encoding->setup->plan.time[0]) {
        return open_made(encoding, read, out, err);
    }
    TRY(put_in_order(encoding, read, ordered, err));
    TRY(disk_remove(disk_real(), read, err));
    return open_made(encoding, ordered, out, err);
}

static leat_status open_encoded(struct train_setup *setup, const struct eval_files *files,
                                struct eval_rows *out, leat_error *err) {
    struct row_cache *cache;
    struct encoding encoding = {.setup = setup, .files = files};
    TRY(row_cache_open(disk_real(), setup->paths[0], &cache, err));
    encoding.examples = encoding.main = row_cache_examples(cache);
    row_cache_close(cache);
    return open_made(&encoding, setup->paths[0], out, err);
}

leat_status eval_rows_make(struct train_setup *setup, const struct eval_files *files,
                           const char *folder, struct eval_rows *out, leat_error *err) {
    struct encoding encoding = {.setup = setup, .files = files};
    *out = (struct eval_rows){.cache = NULL};
    leat_status status = setup->encoded ? open_encoded(setup, files, out, err)
                                        : make_in(&encoding, folder, out, err);
    memory_free(encoding.moments);
    if (status < 0) {
        eval_rows_close(out);
    }
    return status;
}

void eval_rows_close(struct eval_rows *rows) {
    row_cache_close(rows->cache);
    row_batch_deinit(&rows->rows);
    *rows = (struct eval_rows){.cache = NULL};
}

static leat_status need_block(struct eval_rows *rows, leat_error *err) {
    if (rows->block_from < rows->block.count) {
        return LEAT_OK;
    }
    rows->block_from = 0;
    rows->block.count = 0;
    return row_cache_next(rows->cache, &rows->block, &rows->block_numbers, err);
}

leat_status eval_rows_seek(struct eval_rows *rows, uint64_t example, leat_error *err) {
    uint64_t first;
    rows->block_from = 0;
    rows->block.count = 0;
    rows->at = example;
    TRY(row_cache_seek(rows->cache, example, &first, err));
    TRY(need_block(rows, err));
    rows->block_from = (int)(example - first);
    return LEAT_OK;
}

leat_status eval_rows_next(struct eval_rows *rows, uint64_t to, struct minibatch *out,
                           const uint64_t **numbers, leat_error *err) {
    row_batch_clear(&rows->rows);
    while (!row_batch_full(&rows->rows) && rows->at < to) {
        leat_status status = need_block(rows, err);
        if (status != LEAT_OK) {
            return status;
        }
        uint64_t left = (uint64_t)(rows->block.count - rows->block_from);
        uint64_t room = (uint64_t)(rows->batch - rows->rows.count);
        left = left < room ? left : room;
        left = left < to - rows->at ? left : to - rows->at;
        rows->rows.timed = rows->block.times != NULL;
        TRY(row_batch_append(&rows->rows, &rows->block, rows->block_numbers, rows->block_from,
                             rows->block_from + (int)left, err));
        rows->block_from += (int)left;
        rows->at += left;
    }
    *out = row_batch_view(&rows->rows);
    *numbers = rows->rows.numbers;
    return rows->rows.count > 0 ? LEAT_OK : LEAT_END;
}
