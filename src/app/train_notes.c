#include "app/train_notes.h"

#include "base/hash.h"

#include <inttypes.h>

enum {
    NOTES_MAGIC = 0x4E54454C, /* "LETN" */
    NOTES_VERSION = 1,
    NOTES_BYTES_MAX = 1 << 20,
};

static leat_status path_of(const struct train_run *run, const char *ending,
                           char out[PATH_BYTES_MAX], leat_error *err) {
    if (snprintf(out, PATH_BYTES_MAX, "%s.%s", run->path, ending) >= PATH_BYTES_MAX) {
        return error_set(err, LEAT_INVALID, "--model: a path of more than %d bytes",
                         PATH_BYTES_MAX - 16);
    }
    return LEAT_OK;
}

static leat_status slot_path(const struct train_run *run, int slot, char out[PATH_BYTES_MAX],
                             leat_error *err) {
    return path_of(run, slot ? "1" : "0", out, err);
}

/* All that the result depends on. */
static leat_status digest_of(const struct train_run *run, uint64_t *out, leat_error *err) {
    const struct train_setup *setup = run->setup;
    struct bytes words;
    uint64_t files;
    TRY(row_files_fingerprint(disk_real(), setup->paths, setup->path_count, &files, err));
    bytes_init(&words);
    bytes_append(&words, setup->description.data, setup->description.size);
    model_spec_write(&setup->spec, &words);
    bytes_put_u64(&words, files);
    bytes_put_u32(&words, (uint32_t)setup->batch);
    bytes_put_u8(&words, run->out != NULL);
    bytes_put_u8(&words, setup->asked->cache != NULL);
    leat_status status = bytes_status(&words, err);
    *out = hash_bytes(words.data, words.size);
    bytes_deinit(&words);
    return status;
}

static void put_score(struct bytes *out, const struct train_score *score) {
    for (int t = 0; t < MODEL_TASKS_MAX; t++) {
        bytes_put_f64(out, score->weight[t]);
        bytes_put_f64(out, score->loss[t]);
    }
}

static void get_score(struct bytes_reader *reader, struct train_score *score) {
    for (int t = 0; t < MODEL_TASKS_MAX; t++) {
        score->weight[t] = bytes_get_f64(reader);
        score->loss[t] = bytes_get_f64(reader);
    }
}

/* --- writing --- */

static leat_status put_notes(struct train_run *run, struct bytes *out, leat_error *err) {
    uint64_t digest;
    TRY(digest_of(run, &digest, err));
    bytes_put_u32(out, NOTES_MAGIC);
    bytes_put_u32(out, NOTES_VERSION);
    bytes_put_u64(out, digest);
    bytes_put_u32(out, (uint32_t)run->slot);
    bytes_put_u32(out, (uint32_t)run->epoch);
    bytes_put_u64(out, run->examples);
    bytes_put_u64(out, run->out_at);
    put_score(out, &run->score);
    put_score(out, &run->score_all);
    TRY(train_rows_note(run->rows, out, err));
    bytes_put_u64(out, hash_bytes(out->data, out->size));
    return bytes_status(out, err);
}

leat_status train_notes_write(struct train_run *run, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct bytes notes;
    TRY(slot_path(run, run->slot, path, err));
    TRY(model_save(run->model, disk_real(), path, err));
    if (run->out) {
        TRY(file_sync(run->out, err));
    }
    bytes_init(&notes);
    leat_status status = put_notes(run, &notes, err);
    if (status == LEAT_OK) {
        status = path_of(run, "notes", path, err);
    }
    if (status == LEAT_OK) {
        status = disk_put(disk_real(), path, notes.data, notes.size, err);
    }
    bytes_deinit(&notes);
    run->slot = status == LEAT_OK ? !run->slot : run->slot;
    return status;
}

/* --- reading --- */

static leat_status check_notes(const struct train_run *run, const struct bytes *notes,
                               const char *path, leat_error *err) {
    uint64_t checksum;
    uint64_t digest;
    struct bytes_reader reader = bytes_reader_of(notes->data, notes->size);
    if (notes->size < sizeof(checksum)) {
        return error_set(err, LEAT_CORRUPT, "%s: is cut off", path);
    }
    memcpy(&checksum, notes->data + notes->size - sizeof(checksum), sizeof(checksum));
    if (checksum != hash_bytes(notes->data, notes->size - sizeof(checksum)) ||
        bytes_get_u32(&reader) != NOTES_MAGIC || bytes_get_u32(&reader) != NOTES_VERSION) {
        return error_set(err, LEAT_CORRUPT, "%s: is damaged; begin anew without --resume", path);
    }
    TRY(digest_of(run, &digest, err));
    return bytes_get_u64(&reader) == digest
               ? LEAT_OK
               : error_set(err, LEAT_CONFLICT,
                           "%s: is of a run over other files, or with other options; begin anew "
                           "without --resume",
                           path);
}

static leat_status go_on(struct train_run *run, const struct bytes *notes, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct bytes_reader reader = bytes_reader_of(notes->data, notes->size);
    bytes_get_raw(&reader, 2 * sizeof(uint32_t) + sizeof(uint64_t)); /* magic, version, digest */
    int slot = bytes_get_u32(&reader) != 0;
    run->epoch = (int)bytes_get_u32(&reader);
    run->examples = bytes_get_u64(&reader);
    run->out_at = bytes_get_u64(&reader);
    get_score(&reader, &run->score);
    get_score(&reader, &run->score_all);
    TRY(train_rows_go_to(run->rows, &reader, err));
    if (run->out) {
        TRY(file_truncate(run->out, run->out_at, err));
    }
    TRY(slot_path(run, slot, path, err));
    run->slot = !slot;
    return model_load(disk_real(), path, NULL, &run->model, err);
}

leat_status train_notes_read(struct train_run *run, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct bytes notes;
    TRY(path_of(run, "notes", path, err));
    bytes_init(&notes);
    leat_status status = disk_get(disk_real(), path, NOTES_BYTES_MAX, &notes, err);
    if (status == LEAT_OK) {
        status = check_notes(run, &notes, path, err);
    }
    if (status == LEAT_OK) {
        status = go_on(run, &notes, err);
    }
    bytes_deinit(&notes);
    return status;
}

leat_status train_notes_remove(const struct train_run *run, leat_error *err) {
    static const char *const ENDINGS[] = {"notes", "0", "1"};
    for (int i = 0; i < 3; i++) {
        char path[PATH_BYTES_MAX];
        TRY(path_of(run, ENDINGS[i], path, err));
        TRY(disk_remove(disk_real(), path, err));
    }
    return LEAT_OK;
}
