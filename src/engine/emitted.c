#include "engine/emitted.h"

#include "base/memory.h"
#include "base/text.h"
#include "base/thread.h"
#include "flow/example_file.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    NAME_DIGITS = 20,
    NAME_BYTES = NAME_DIGITS + 8, /* with ".frames" and the NUL */
    UNSYNCED_MAX = 16,            /* full files between two checkpoints that wait to be synced */
    ABOUT_BYTES_MAX = 4096,
};
static const char SUFFIX[] = ".frames";
static const char ABOUT[] = "EXAMPLES";

/* How far into which file. Without a file yet `at` is 0. */
struct place {
    uint64_t file; /* its first sequence */
    uint64_t at;
};

struct emitted {
    struct emitted_options options;
    uint64_t from; /* as EXAMPLES says */

    /* The pushing thread's. */
    struct builder *builder;
    struct bytes frame;
    struct file *file;
    struct place place;
    uint64_t last_sequence; /* pushed; UINT64_MAX: none since the start */
    leat_error failure;     /* an example is missing: no place after it may be marked */

    struct mutex syncing; /* held while files are synced; before `mutex` */
    struct mutex mutex;   /* guards what is below */
    struct file *current; /* the same as `file` */
    struct file *unsynced[UNSYNCED_MAX];
    int unsynced_count;
    struct place marked;
    leat_error lost; /* a sync failed: what it was to save may be gone, though the next succeeds */
    uint64_t synced[2]; /* files of the two newest marks synced: a checkpoint may need them */
};

/* --- names --- */

static leat_status path_of(const struct emitted *emitted, uint64_t first, char out[PATH_BYTES_MAX],
                           leat_error *err) {
    char name[NAME_BYTES];
    snprintf(name, sizeof(name), "%020" PRIu64 "%s", first, SUFFIX);
    return path_join(out, emitted->options.config->folder, name, err);
}

static leat_status add_name(void *context, const char *name) {
    struct bytes *found = context;
    uint64_t first;
    if (strlen(name) == NAME_BYTES - 1 && strcmp(name + NAME_DIGITS, SUFFIX) == 0 &&
        text_to_u64((struct slice){name, NAME_DIGITS}, &first)) {
        bytes_put_u64(found, first);
    }
    return LEAT_OK;
}

/* First sequences of the files, rising, as u64s appended to `out`. */
static leat_status files_list(const struct emitted *emitted, struct bytes *out, leat_error *err) {
    TRY(disk_list(emitted->options.disk, emitted->options.config->folder, add_name, out, err));
    return bytes_status(out, err);
}

/* Removes the files named `first` or later. */
static leat_status files_remove(const struct emitted *emitted, uint64_t first, leat_error *err) {
    struct bytes found;
    char path[PATH_BYTES_MAX];
    bytes_init(&found);
    leat_status status = files_list(emitted, &found, err);
    for (size_t at = found.size; status >= 0 && at > 0; at -= sizeof(uint64_t)) {
        uint64_t name;
        memcpy(&name, found.data + at - sizeof(name), sizeof(name));
        if (name < first) {
            break;
        }
        status = path_of(emitted, name, path, err);
        status = status < 0 ? status : disk_remove(emitted->options.disk, path, err);
    }
    bytes_deinit(&found);
    return status < 0 ? status : LEAT_OK;
}

/* --- beginning, and beginning again --- */

struct about {
    uint32_t log_id;
    uint64_t from;
};

static leat_status about_read(const struct emitted *emitted, struct about *out, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct bytes text;
    bytes_init(&text);
    TRY(path_join(path, emitted->options.config->folder, ABOUT, err));
    leat_status status = disk_get(emitted->options.disk, path, ABOUT_BYTES_MAX, &text, err);
    bytes_put_u8(&text, 0);
    if (status == LEAT_OK) {
        status = bytes_status(&text, err);
    }
    if (status == LEAT_OK &&
        sscanf((const char *)text.data, "leat examples 1\nlog %" SCNx32 "\nfrom %" SCNu64 "\n",
               &out->log_id, &out->from) != 2) {
        status =
            error_set(err, LEAT_CORRUPT, "%s is not what leat writes: name another folder", path);
    }
    bytes_deinit(&text);
    return status;
}

static leat_status start_over(struct emitted *emitted, uint64_t sequence, leat_error *err) {
    char path[PATH_BYTES_MAX];
    char text[128];
    TRY(files_remove(emitted, 0, err));
    TRY(path_join(path, emitted->options.config->folder, ABOUT, err));
    int size =
        snprintf(text, sizeof(text), "leat examples 1\nlog %08" PRIx32 "\nfrom %" PRIu64 "\n",
                 emitted->options.log_id, sequence);
    TRY(disk_put(emitted->options.disk, path, text, (size_t)size, err));
    emitted->from = sequence;
    emitted->place = (struct place){sequence, 0};
    return LEAT_OK;
}

static leat_status cut_file(struct emitted *emitted, struct place place, leat_error *err) {
    char path[PATH_BYTES_MAX];
    uint64_t size;
    TRY(path_of(emitted, place.file, path, err));
    leat_status status = file_open(emitted->options.disk, path, FILE_READ, &emitted->file, err);
    if (status == LEAT_OK) {
        file_close(emitted->file);
        emitted->file = NULL;
        status = file_open(emitted->options.disk, path, FILE_WRITE, &emitted->file, err);
    }
    TRY(status);
    if (status == LEAT_OK) {
        TRY(file_size(emitted->file, &size, err));
    }
    if (status == LEAT_NOT_FOUND || size < place.at) {
        return error_set(err, LEAT_CONFLICT,
                         "%s is gone or shorter than the %" PRIu64 " bytes that the newest "
                         "checkpoint knows of: put it back, or name another folder in "
                         "examples.folder",
                         path, place.at);
    }
    return file_truncate(emitted->file, place.at, err);
}

static leat_status resume(struct emitted *emitted, struct place place, leat_error *err) {
    TRY(files_remove(emitted, place.at == 0 ? place.file : place.file + 1, err));
    emitted->place = place;
    return place.at == 0 ? LEAT_OK : cut_file(emitted, place, err);
}

/* The folder, with a durable name: a power cut must not take it, and all that is in it. */
static leat_status folder_make(struct disk *disk, const char *folder, leat_error *err) {
    char parent[PATH_BYTES_MAX];
    TRY(disk_make_folder(disk, folder, err));
    snprintf(parent, sizeof(parent), "%s", folder);
    char *slash = strrchr(parent, '/');
    if (!slash) {
        return disk_sync_folder(disk, ".", err);
    }
    slash[slash == parent ? 1 : 0] = '\0'; /* "/examples" stands in "/" */
    return disk_sync_folder(disk, parent, err);
}

static leat_status begin(struct emitted *emitted, uint64_t sequence, const char *note,
                         leat_error *err) {
    const char *folder = emitted->options.config->folder;
    struct about about = {0};
    struct place place;
    uint64_t from;
    TRY(folder_make(emitted->options.disk, folder, err));
    leat_status status = about_read(emitted, &about, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : start_over(emitted, sequence, err);
    }
    if (about.log_id != emitted->options.log_id) {
        return error_set(err, LEAT_CONFLICT,
                         "%s holds examples of another log, %08" PRIx32 ": name another folder in "
                         "examples.folder",
                         folder, about.log_id);
    }
    if (about.from >= sequence) {
        return start_over(emitted, sequence, err);
    }
    emitted->from = about.from;
    if (note &&
        sscanf(note, "%" SCNu64 " %" SCNu64 " %" SCNu64, &from, &place.file, &place.at) == 3 &&
        from == about.from) {
        return resume(emitted, place, err);
    }
    return error_set(err, LEAT_CONFLICT,
                     "%s holds examples from position %" PRIu64 " on, but they were not written "
                     "there up to %" PRIu64 ", where this start goes on: name another folder in "
                     "examples.folder (leat examples makes those in between)",
                     folder, about.from, sequence);
}

leat_status emitted_open(const struct emitted_options *options, uint64_t sequence, const char *note,
                         struct emitted **out, leat_error *err) {
    struct emitted *emitted = memory_zalloc(sizeof(*emitted));
    if (!emitted) {
        return error_memory(err, sizeof(*emitted));
    }
    emitted->options = *options;
    emitted->last_sequence = UINT64_MAX;
    bytes_init(&emitted->frame);
    mutex_init(&emitted->mutex);
    mutex_init(&emitted->syncing);
    leat_status status = builder_create(schema_example(), &emitted->builder, err);
    if (status >= 0) {
        status = begin(emitted, sequence, note, err);
    }
    if (status < 0) {
        emitted_close(emitted);
        return error_in(err, status, "examples");
    }
    emitted->current = emitted->file;
    emitted->marked = emitted->place;
    emitted->synced[0] = emitted->synced[1] = emitted->place.file;
    *out = emitted;
    return LEAT_OK;
}

void emitted_close(struct emitted *emitted) {
    if (!emitted) {
        return;
    }
    for (int i = 0; i < emitted->unsynced_count; i++) {
        file_close(emitted->unsynced[i]);
    }
    file_close(emitted->file);
    builder_destroy(emitted->builder);
    bytes_deinit(&emitted->frame);
    mutex_deinit(&emitted->mutex);
    mutex_deinit(&emitted->syncing);
    memory_free(emitted);
}

/* --- syncing --- */

/* `syncing` is held: nobody else closes a file. */
static leat_status full_files_sync(struct emitted *emitted, leat_error *err) {
    struct file *files[UNSYNCED_MAX];
    mutex_lock(&emitted->mutex);
    int count = emitted->unsynced_count;
    memcpy(files, emitted->unsynced, sizeof(files));
    mutex_unlock(&emitted->mutex);
    for (int i = 0; i < count; i++) {
        TRY(file_sync(files[i], err));
    }
    mutex_lock(&emitted->mutex);
    for (int i = 0; i < count; i++) {
        file_close(files[i]);
    }
    emitted->unsynced_count -= count;
    memmove(emitted->unsynced, emitted->unsynced + count,
            (size_t)emitted->unsynced_count * sizeof(emitted->unsynced[0]));
    mutex_unlock(&emitted->mutex);
    return LEAT_OK;
}

static leat_status sync_all(struct emitted *emitted, leat_error *err) {
    mutex_lock(&emitted->mutex);
    struct file *current = emitted->current; /* closed only by who holds `syncing` */
    mutex_unlock(&emitted->mutex);
    if (current) {
        TRY(file_sync(current, err));
    }
    TRY(full_files_sync(emitted, err));
    return disk_sync_folder(emitted->options.disk, emitted->options.config->folder, err);
}

leat_status emitted_sync(struct emitted *emitted, char note[EMITTED_NOTE_MAX], leat_error *err) {
    mutex_lock(&emitted->syncing);
    mutex_lock(&emitted->mutex);
    struct place marked = emitted->marked;
    leat_error failure = emitted->lost;
    mutex_unlock(&emitted->mutex);
    if (failure.status == LEAT_OK) {
        sync_all(emitted, &failure);
    }
    mutex_unlock(&emitted->syncing);
    mutex_lock(&emitted->mutex);
    if (failure.status < 0) {
        emitted->lost = failure;
        mutex_unlock(&emitted->mutex);
        return error_set(err, failure.status, "examples: %s; a restart makes them again",
                         failure.message);
    }
    emitted->synced[0] = emitted->synced[1];
    emitted->synced[1] = marked.file;
    mutex_unlock(&emitted->mutex);
    snprintf(note, EMITTED_NOTE_MAX, "%" PRIu64 " %" PRIu64 " %" PRIu64, emitted->from, marked.file,
             marked.at);
    return LEAT_OK;
}

/* --- pushing --- */

static leat_status flush(struct emitted *emitted, leat_error *err) {
    struct batch batch;
    if (builder_rows(emitted->builder) == 0) {
        return LEAT_OK;
    }
    TRY(builder_finish(emitted->builder, &batch, err));
    bytes_clear(&emitted->frame);
    example_frame_write(&batch, emitted->options.log_id, &emitted->frame);
    TRY(bytes_status(&emitted->frame, err));
    TRY(file_write(emitted->file, emitted->frame.data, emitted->frame.size, emitted->place.at,
                   err));
    emitted->place.at += emitted->frame.size;
    builder_clear(emitted->builder);
    metrics_add(emitted->options.metrics, METRIC_examples_emitted_total, (uint64_t)batch.rows);
    metrics_add(emitted->options.metrics, METRIC_example_bytes_total, emitted->frame.size);
    return LEAT_OK;
}

static leat_status remove_oldest(struct emitted *emitted, const struct bytes *found,
                                 uint64_t kept_from, leat_error *err) {
    uint64_t keep = (uint64_t)emitted->options.config->keep;
    uint64_t bytes = 0;
    for (size_t at = found->size; at > 0; at -= sizeof(uint64_t)) {
        char path[PATH_BYTES_MAX];
        struct file *file;
        uint64_t name;
        uint64_t size = 0;
        memcpy(&name, found->data + at - sizeof(name), sizeof(name));
        TRY(path_of(emitted, name, path, err));
        leat_status status = file_open(emitted->options.disk, path, FILE_READ, &file, err);
        TRY(status);
        if (status == LEAT_OK) {
            status = file_size(file, &size, err);
            file_close(file);
        }
        bytes += size;
        if (status == LEAT_OK && bytes > keep && name < kept_from) {
            status = disk_remove(emitted->options.disk, path, err);
        }
        TRY(status);
    }
    return LEAT_OK;
}

/* Never one that the newest two checkpoints may cut back to. */
static leat_status keep_within(struct emitted *emitted, leat_error *err) {
    if (emitted->options.config->keep == 0) {
        return LEAT_OK;
    }
    struct bytes found;
    bytes_init(&found);
    mutex_lock(&emitted->mutex);
    uint64_t kept_from = emitted->synced[0];
    mutex_unlock(&emitted->mutex);
    leat_status status = files_list(emitted, &found, err);
    if (status >= 0) {
        status = remove_oldest(emitted, &found, kept_from, err);
    }
    bytes_deinit(&found);
    return status < 0 ? status : LEAT_OK;
}

/* The full file waits for the next sync; only where very many wait already it is done here. */
static leat_status put_aside(struct emitted *emitted, leat_error *err) {
    leat_status status = LEAT_OK;
    if (!emitted->file) {
        return LEAT_OK;
    }
    mutex_lock(&emitted->mutex);
    bool many = emitted->unsynced_count == UNSYNCED_MAX; /* only this thread adds to them */
    mutex_unlock(&emitted->mutex);
    if (many) {
        mutex_lock(&emitted->syncing);
        status = full_files_sync(emitted, err);
        mutex_unlock(&emitted->syncing);
    }
    if (status >= 0) {
        mutex_lock(&emitted->mutex);
        emitted->unsynced[emitted->unsynced_count++] = emitted->file;
        emitted->current = NULL;
        mutex_unlock(&emitted->mutex);
        emitted->file = NULL;
    }
    return status;
}

static leat_status next_file(struct emitted *emitted, uint64_t first, leat_error *err) {
    char path[PATH_BYTES_MAX];
    TRY(path_of(emitted, first, path, err));
    TRY(put_aside(emitted, err));
    TRY(keep_within(emitted, err));
    TRY(file_open(emitted->options.disk, path, FILE_CREATE, &emitted->file, err));
    emitted->place = (struct place){first, 0};
    mutex_lock(&emitted->mutex);
    emitted->current = emitted->file;
    mutex_unlock(&emitted->mutex);
    return LEAT_OK;
}

/* Examples of one sequence stay in one file: its name is not taken yet by another. */
static leat_status make_room(struct emitted *emitted, uint64_t sequence, leat_error *err) {
    uint64_t pending = builder_bytes(emitted->builder);
    bool turn =
        !emitted->file || (emitted->place.at + pending >= (uint64_t)emitted->options.config->file &&
                           sequence != emitted->last_sequence);
    if (turn || pending >= EXAMPLE_FRAME_BYTES ||
        builder_rows(emitted->builder) == EXAMPLE_FRAME_ROWS) {
        TRY(flush(emitted, err));
    }
    return turn ? next_file(emitted, sequence, err) : LEAT_OK;
}

static leat_status failed(struct emitted *emitted, leat_error *err) {
    return error_set(err, emitted->failure.status, "examples: %s", emitted->failure.message);
}

leat_status emitted_push(struct emitted *emitted, const struct example *example, leat_error *err) {
    if (emitted->failure.status < 0 ||
        make_room(emitted, example->sequence, &emitted->failure) < 0) {
        return failed(emitted, err);
    }
    example_add(emitted->builder, example);
    emitted->last_sequence = example->sequence;
    return LEAT_OK;
}

leat_status emitted_mark(struct emitted *emitted, leat_error *err) {
    leat_error why = {.message = ""};
    mutex_lock(&emitted->mutex);
    if (emitted->failure.status == LEAT_OK) {
        emitted->failure = emitted->lost;
    }
    mutex_unlock(&emitted->mutex);
    leat_status status = emitted->failure.status < 0 ? LEAT_OK : flush(emitted, &why);
    if (status == LEAT_FULL) { /* nothing is lost: the next one writes it again */
        return error_retry(err, status, "examples: %s", why.message);
    }
    if (status < 0) {
        emitted->failure = why;
    }
    if (emitted->failure.status < 0) {
        return failed(emitted, err);
    }
    mutex_lock(&emitted->mutex);
    emitted->marked = emitted->place;
    mutex_unlock(&emitted->mutex);
    return LEAT_OK;
}
