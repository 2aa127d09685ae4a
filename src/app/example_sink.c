#include "app/example_sink.h"

#include "base/json.h"
#include "connect/parquet.h"
#include "flow/example_file.h"

#include <inttypes.h>

enum { WRITE_BYTES = 1 << 20 };

static const char *const NAMES[EXAMPLE_FORMATS] = {"parquet", "jsonl", "frames"};

const char *example_format_name(enum example_format format) {
    return NAMES[format];
}

/* --- JSON lines --- */

static void put_id(struct json_writer *json, const char *key, const char *hash_key,
                   struct slice text, uint64_t hash) {
    if (text.data) {
        json_key(json, key);
        json_text(json, text);
    } else if (hash != 0) {
        json_key(json, hash_key);
        json_u64(json, hash);
    }
}

static void put_integer(struct json_writer *json, const char *key, int64_t value) {
    json_key(json, key);
    json_i64(json, value);
}

static void put_tasks(struct json_writer *json, const struct example *example,
                      const struct config *config) {
    for (int t = 0; t < config->action_count; t++) {
        char name[CONFIG_NAME_MAX + 8];
        bool told = example->mask >> t & 1;
        snprintf(name, sizeof(name), "mask_%s", config->actions[t].name);
        json_key(json, name);
        json_bool(json, told);
        snprintf(name, sizeof(name), "label_%s", config->actions[t].name);
        json_key(json, name);
        if (told) {
            json_bool(json, example->labels >> t & 1);
        } else {
            json_null(json);
        }
    }
}

static void put_inputs(struct json_writer *json, const struct example *example) {
    json_key(json, "keys");
    json_array_open(json);
    for (int i = 0; i < example->key_count; i++) {
        json_u64(json, example->keys[i]);
    }
    json_array_close(json);
    json_key(json, "dense");
    json_array_open(json);
    for (int i = 0; i < example->dense_count; i++) {
        json_f32(json, example->dense[i]);
    }
    json_array_close(json);
}

void example_write_json(const struct batch *examples, int64_t row, const struct config *config,
                        struct bytes *out) {
    struct json_writer json;
    struct example example;
    example_get(examples, row, &example);
    json_begin(&json, out);
    json_object_open(&json);
    json_key(&json, "sequence");
    json_u64(&json, example.sequence);
    put_id(&json, "user", "user_hash", example.user, example.user_hash);
    put_id(&json, "request", "request_hash", example.request, example.request_hash);
    put_id(&json, "item", "item_hash", example.item, example.item_hash);
    put_integer(&json, "shown", example.shown_ms);
    put_integer(&json, "due", example.due_ms);
    json_key(&json, "part");
    json_u64(&json, example.part);
    put_integer(&json, "mask", example.mask);
    put_integer(&json, "labels", example.labels);
    put_integer(&json, "flags", example.flags);
    json_key(&json, "weight");
    json_f32(&json, example.weight);
    json_key(&json, "log_odds");
    json_f32(&json, example.log_odds);
    put_tasks(&json, &example, config);
    put_inputs(&json, &example);
    json_object_close(&json);
    bytes_put_u8(out, '\n');
}

/* --- frames and lines --- */

struct stream {
    const struct example_sink *sink;
    struct file *file;
    uint64_t at;
    struct bytes out;
};

static leat_status stream_flush(struct stream *stream, leat_error *err) {
    TRY(bytes_status(&stream->out, err));
    TRY(file_write(stream->file, stream->out.data, stream->out.size, stream->at, err));
    stream->at += stream->out.size;
    bytes_clear(&stream->out);
    return LEAT_OK;
}

static leat_status stream_batch(struct stream *stream, const struct batch *batch, leat_error *err) {
    if (stream->sink->format == EXAMPLE_FRAMES) {
        example_frame_write(batch, stream->sink->log_id, &stream->out);
        return stream_flush(stream, err);
    }
    for (int64_t row = 0; row < batch->rows; row++) {
        example_write_json(batch, row, stream->sink->config, &stream->out);
        if (stream->out.size >= WRITE_BYTES) {
            TRY(stream_flush(stream, err));
        }
    }
    return LEAT_OK;
}

static leat_status stream_all(struct stream *stream, leat_error *err) {
    struct batch batch;
    leat_status status;
    while ((status = stream->sink->next(stream->sink->context, &batch, err)) == LEAT_OK) {
        TRY(stream_batch(stream, &batch, err));
    }
    return status < 0 ? status : stream_flush(stream, err);
}

static leat_status stream_write(const struct example_sink *sink, const char *path,
                                leat_error *err) {
    struct stream stream = {.sink = sink};
    bytes_init(&stream.out);
    leat_status status = file_open(sink->disk, path, FILE_WRITE, &stream.file, err);
    if (status == LEAT_OK) {
        status = file_truncate(stream.file, 0, err);
    }
    if (status == LEAT_OK) {
        status = stream_all(&stream, err);
    }
    file_close(stream.file);
    bytes_deinit(&stream.out);
    return status;
}

/* --- any format --- */

static leat_status write_format(const struct example_sink *sink, const char *path,
                                leat_error *err) {
    if (sink->format != EXAMPLE_PARQUET) {
        return stream_write(sink, path, err);
    }
    struct duckdb duckdb;
    const struct parquet_options options = {.path = path,
                                            .schema = sink->schema,
                                            .config = sink->config,
                                            .next = sink->next,
                                            .context = sink->context};
    TRY(duckdb_load(&duckdb, err));
    return parquet_write(&duckdb, &options, err);
}

static leat_status sync_path(struct disk *disk, const char *path, leat_error *err) {
    struct file *file;
    TRY(file_open(disk, path, FILE_WRITE, &file, err));
    leat_status status = file_sync(file, err);
    file_close(file);
    return status;
}

static leat_status put_in_place(const struct example_sink *sink, const char *part,
                                leat_error *err) {
    char folder[PATH_BYTES_MAX];
    snprintf(folder, sizeof(folder), "%s", sink->path);
    char *slash = strrchr(folder, '/');
    snprintf(slash ? slash + (slash == folder) : folder,
             sizeof(folder) - (size_t)(slash ? slash - folder : 0), "%s", slash ? "" : ".");
    TRY(sync_path(sink->disk, part, err));
    TRY(disk_rename(sink->disk, part, sink->path, err));
    return disk_sync_folder(sink->disk, folder, err);
}

leat_status example_sink_write(const struct example_sink *sink, leat_error *err) {
    char part[PATH_BYTES_MAX];
    if (snprintf(part, sizeof(part), "%s.part", sink->path) >= (int)sizeof(part)) {
        return error_set(err, LEAT_INVALID, "%s: longer than %d bytes", sink->path,
                         PATH_BYTES_MAX - 6);
    }
    leat_status status = write_format(sink, part, err);
    if (status >= 0) {
        status = put_in_place(sink, part, err);
    }
    if (status < 0) {
        (void)disk_remove(sink->disk, part, NULL);
    }
    return status < 0 ? status : LEAT_OK;
}
