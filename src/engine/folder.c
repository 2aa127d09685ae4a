#include "base/text.h"
#include "engine/engine_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* <data>/LOCK keeps a second process out; <data>/FOLDER says what was fixed when it was made. */
enum { FOLDER_VERSION = 1, FOLDER_LOG_ID = 0, FOLDER_BYTES_MAX = 4096 };

static void folder_write(const struct engine *engine, struct bytes *out) {
    bytes_printf(out, "leat folder %d\nlog_id %d\nkey_groups %" PRId64 "\nclock %s\n",
                 FOLDER_VERSION, FOLDER_LOG_ID, engine->config->root.key_groups,
                 engine->event_clock ? "event" : "wall");
}

/* The line of a text that begins at `at`. */
static struct slice line_at(const struct bytes *text, size_t at) {
    const char *begin = (const char *)text->data + at;
    const char *end = at < text->size ? memchr(begin, '\n', text->size - at) : NULL;
    return (struct slice){begin, end ? (size_t)(end - begin) : text->size - at};
}

static bool is_newer(struct slice first) {
    static const char words[] = "leat folder ";
    size_t size = sizeof(words) - 1;
    uint64_t version;
    return first.size > size && memcmp(first.data, words, size) == 0 &&
           text_to_u64((struct slice){first.data + size, first.size - size}, &version) &&
           version > FOLDER_VERSION;
}

/* What is there must be what the configuration says, word for word. */
static leat_status folder_compare(const struct bytes *have, const struct bytes *want,
                                  const char *path, leat_error *err) {
    size_t same = 0;
    size_t line = 0;
    if (is_newer(line_at(have, 0))) {
        return error_set(err, LEAT_UNSUPPORTED,
                         "%s: made by a newer leat (%.*s, this one knows %d); start that one "
                         "again, or use another folder",
                         path, (int)line_at(have, 0).size, line_at(have, 0).data, FOLDER_VERSION);
    }
    while (same < have->size && same < want->size && have->data[same] == want->data[same]) {
        line = have->data[same] == '\n' ? same + 1 : line;
        same++;
    }
    if (same == have->size && same == want->size) {
        return LEAT_OK;
    }
    struct slice is = line_at(have, line);
    struct slice wanted = line_at(want, line);
    return error_set(err, LEAT_CONFLICT,
                     "%s says '%.*s', the configuration says '%.*s': this is fixed when a data "
                     "folder is made; set it back, or use another folder",
                     path, (int)(is.size < 120 ? is.size : 120), is.data, (int)wanted.size,
                     wanted.data);
}

static leat_status folder_check(struct engine *engine, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct bytes have;
    struct bytes want;
    bytes_init(&have);
    bytes_init(&want);
    folder_write(engine, &want);
    leat_status status;
    TRY_OR(status, bytes_status(&want, err), done);
    TRY_OR(status, path_join(path, engine->config->root.data, "FOLDER", err), done);
    TRY_OR(status, disk_get(engine->disk, path, FOLDER_BYTES_MAX, &have, err), done);
    if (status == LEAT_NOT_FOUND) {
        status = disk_put(engine->disk, path, want.data, want.size, err);
    } else {
        status = folder_compare(&have, &want, path, err);
    }
done:
    bytes_deinit(&have);
    bytes_deinit(&want);
    return status;
}

/* A folder's name is durable when the folder that holds it is synced. */
static leat_status folder_make(struct engine *engine, const char *data, leat_error *err) {
    char parent[PATH_BYTES_MAX];
    size_t size = strlen(data);
    while (size > 0 && data[size - 1] == '/') {
        size--;
    }
    while (size > 0 && data[size - 1] != '/') {
        size--;
    }
    snprintf(parent, sizeof(parent), "%.*s", size > 0 ? (int)size : 1, size > 0 ? data : ".");
    TRY(disk_make_folder(engine->disk, data, err));
    return disk_sync_folder(engine->disk, parent, err);
}

/* A copy that went on by itself would be another log with the same numbers. */
static leat_status folder_refuse_copy(struct engine *engine, leat_error *err) {
    char path[PATH_BYTES_MAX];
    struct file *file;
    TRY(path_join(path, engine->config->root.data, "FOLLOWING", err));
    leat_status status = engine->options.follow
                             ? LEAT_NOT_FOUND
                             : file_open(engine->disk, path, FILE_READ, &file, err);
    if (status != LEAT_OK) {
        return status < 0 ? status : LEAT_OK;
    }
    file_close(file);
    return error_set(err, LEAT_CONFLICT,
                     "%s is a follower's copy of another server's folder: start it with --follow",
                     engine->config->root.data);
}

leat_status folder_open(struct engine *engine, leat_error *err) {
    const char *data = engine->config->root.data;
    char path[PATH_BYTES_MAX];
    TRY(path_join(engine->log_folder, data, "log", err));
    TRY(path_join(engine->checkpoint_folder, data, "checkpoints", err));
    TRY(path_join(engine->spill_path, data, "examples.spill", err));
    TRY(folder_make(engine, data, err));
    TRY(folder_refuse_copy(engine, err));
    TRY(path_join(path, data, "LOCK", err));
    TRY(disk_lock(engine->disk, path, &engine->lock, err));
    TRY(disk_make_folder(engine->disk, engine->log_folder, err));
    TRY(disk_make_folder(engine->disk, engine->checkpoint_folder, err));
    TRY(folder_check(engine, err));
    return disk_sync_folder(engine->disk, data, err);
}
