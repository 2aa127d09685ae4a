/* `leat log`: every record of a log as one line. */
#include "app/command.h"
#include "app/log_find.h"
#include "app/log_walk.h"
#include "base/json.h"
#include "base/text.h"
#include "log/event.h"
#include "log/position.h"
#include "log/record.h"
#include "recall/channel.h"

#include <inttypes.h>
#include <string.h>

struct log_range {
    uint64_t from, to;
    bool json;
};

/* --- one row --- */

static void put_text(struct json_writer *json, const char *key, const struct batch *batch,
                     int column, int64_t row) {
    if (!batch_is_null(batch, column, row)) {
        json_key(json, key);
        json_text(json, batch_text(batch, column, row));
    }
}

static void put_channels(struct json_writer *json, uint32_t channels) {
    json_key(json, "channels");
    json_array_open(json);
    for (int channel = 0; channel < CHANNEL_COUNT; channel++) {
        if (channels & 1u << channel) {
            json_cstring(json, channel_name((enum channel)channel));
        }
    }
    json_array_close(json);
}

/* What the model was given (keys, dense) is for the trainer, and left out. */
static void write_served(const struct batch *batch, int64_t row, struct bytes *out) {
    struct json_writer json;
    json_begin(&json, out);
    json_object_open(&json);
    json_key(&json, "kind");
    json_cstring(&json, "served");
    json_key(&json, "time");
    json_i64(&json, batch_i64(batch, SERVED_TIME, row));
    put_text(&json, "user", batch, SERVED_USER, row);
    put_text(&json, "item", batch, SERVED_ITEM, row);
    put_text(&json, "request", batch, SERVED_REQUEST, row);
    put_text(&json, "surface", batch, SERVED_SURFACE, row);
    json_key(&json, "slot");
    json_i64(&json, batch_i32(batch, SERVED_SLOT, row));
    json_key(&json, "score");
    json_f64(&json, batch_f64(batch, SERVED_SCORE, row));
    put_channels(&json, (uint32_t)batch_i32(batch, SERVED_CHANNELS, row));
    json_object_close(&json);
}

static void write_record(const struct batch *batch, int64_t row, struct bytes *out) {
    if (record_is_erased(batch, row)) {
        bytes_printf(out, "{\"kind\":\"erased\"}");
        return;
    }
    switch (batch->schema->id) {
    case SCHEMA_EVENT: event_write_json(batch, row, out); break;
    case SCHEMA_SERVED: write_served(batch, row, out); break;
    default: bytes_printf(out, "{\"kind\":\"%s\"}", batch->schema->name); break;
    }
}

/* Every record is an object with a kind at least: the place is put before its first member. */
static void write_row(const struct frame *frame, const struct batch *batch, int64_t row, bool json,
                      struct bytes *out) {
    uint64_t sequence = frame->first_sequence + (uint64_t)row;
    struct position position = position_of(frame->log_id, sequence);
    char place[POSITION_TEXT_MAX];
    char time[32];
    position_write(&position, place);
    if (!json) {
        text_from_time_ms(frame->append_ms, time);
        bytes_printf(out, "%s\t%s\t", place, time);
        write_record(batch, row, out);
        bytes_put_u8(out, '\n');
        return;
    }
    bytes_printf(out, "{\"sequence\":%" PRIu64 ",\"position\":\"%s\",\"appended\":%" PRId64,
                 sequence, place, frame->append_ms);
    size_t brace = out->size;
    write_record(batch, row, out);
    if (!out->failed) {
        out->data[brace] = ',';
    }
    bytes_put_u8(out, '\n');
}

/* --- all rows --- */

static leat_status print_frame(const struct frame *frame, const struct batch *batch,
                               const struct log_range *range, struct bytes *out, leat_error *err) {
    bytes_clear(out);
    for (int64_t row = 0; row < batch->rows; row++) {
        uint64_t sequence = frame->first_sequence + (uint64_t)row;
        bool begun = range->from == LOG_WALK_BEGIN || sequence >= range->from;
        if (begun && sequence < range->to) {
            write_row(frame, batch, row, range->json, out);
        }
    }
    TRY(bytes_status(out, err));
    if (out->size > 0 && fwrite(out->data, 1, out->size, stdout) != out->size) {
        return error_set(err, LEAT_IO, "standard output cannot be written");
    }
    return LEAT_OK;
}

static leat_status print_frames(struct log_walk *walk, const struct log_range *range,
                                struct bytes *out, leat_error *err) {
    struct frame frame;
    struct batch batch;
    leat_status status;
    while ((status = log_walk_next(walk, &frame, &batch, err)) == LEAT_OK &&
           frame.first_sequence < range->to) {
        TRY(print_frame(&frame, &batch, range, out, err));
    }
    return status;
}

static leat_status print_log(const char *folder, const struct log_range *range, leat_error *err) {
    struct log_walk walk;
    struct bytes out;
    bytes_init(&out);
    leat_status status = log_walk_open(&walk, disk_real(), folder, range->from, err);
    if (status == LEAT_OK) {
        status = print_frames(&walk, range, &out, err);
    }
    if (status == LEAT_END && walk.unfinished > 0) {
        fprintf(stderr,
                "leat log: %" PRIu64 " bytes behind the last whole commit: being written, or "
                "torn by a crash (leat serve cuts them)\n",
                walk.unfinished);
    }
    log_walk_close(&walk);
    bytes_deinit(&out);
    return status;
}

/* --- the command --- */

static leat_status read_place(const char *name, const char *text, uint64_t *out, leat_error *err) {
    struct position position;
    if (!text) {
        return LEAT_OK;
    }
    leat_status status = position_read(slice_of(text), &position, err);
    if (status < 0) {
        return error_in(err, status, "--%s", name);
    }
    *out = position_sequence(&position, 0);
    return LEAT_OK;
}

static leat_status run(const struct command_files *files, const char *from, const char *to,
                       bool json, leat_error *err) {
    struct log_range range = {.from = LOG_WALK_BEGIN, .to = UINT64_MAX, .json = json};
    TRY(read_place("from", from, &range.from, err));
    TRY(read_place("to", to, &range.to, err));
    struct config *config;
    TRY(command_config(files, &config, NULL, err));
    char folder[PATH_BYTES_MAX];
    leat_status status = command_check_data(config, err);
    if (status == LEAT_OK) {
        status = path_join(folder, config->root.data, "log", err);
    }
    if (status == LEAT_OK) {
        status = print_log(folder, &range, err);
    }
    config_destroy(config);
    return status;
}

/* --- leat log find --- */

static leat_status run_find(const struct command_files *files, const char *text, const char *folder,
                            bool *found, leat_error *err) {
    struct config *config = NULL;
    if (!folder) {
        TRY(command_config(files, &config, NULL, err));
        folder = config->root.data;
    }
    struct log_find result;
    leat_status status = log_find(disk_real(), folder, slice_of(text), stdout, &result, err);
    if (status == LEAT_OK) {
        *found = result.places + result.columns > 0;
        printf("%s: %" PRIu64 " places in %" PRIu64 " files (%" PRIu64 " bytes), %" PRIu64
               " values of rows\n",
               *found ? "found" : "not found", result.places, result.files, result.bytes,
               result.columns);
    }
    config_destroy(config);
    return status;
}

static int command_log_find(int argc, char **argv) {
    struct command_files files = {NULL, NULL};
    const struct option options[] = {COMMAND_FILE_OPTIONS(files)};
    const struct usage usage = {
        "leat log find TEXT [DIR]",
        "Looks for a text in every byte of every file of a data folder (that of the configuration, "
        "or\n"
        "DIR), and in every column of the log's rows. Exit 0: found, 1: nowhere, 2: not looked "
        "for.\n"
        "A server may be running on it. Blocks that the file system has freed are not looked into.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 2, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    bool found = false;
    leat_status status = rest == 0
                             ? error_set(&err, LEAT_INVALID, "which text? leat log find TEXT [DIR]")
                             : run_find(&files, argv[1], rest > 1 ? argv[2] : NULL, &found, &err);
    if (status < 0) {
        command_fail(argv[0], &err);
        return COMMAND_MISUSED;
    }
    return found ? COMMAND_FINE : COMMAND_FAILED;
}

int command_log(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "find") == 0) {
        argv[1] = "log find";
        return command_log_find(argc - 1, argv + 1);
    }
    struct command_files files = {NULL, NULL};
    const char *from = NULL;
    const char *to = NULL;
    bool json = false;
    const struct option options[] = {
        COMMAND_FILE_OPTIONS(files),
        {"from", 0, "POS", "First position (as in \"0:17\"); without it, the log's first.", &from,
         NULL},
        {"to", 0, "POS", "Position to stop before; without it, the log's end.", &to, NULL},
        {"json", 0, NULL, "One JSON object a line: place, and the fields it was posted with.", NULL,
         &json},
    };
    const struct usage usage = {
        "leat log [-c FILE] [--data DIR] [--from POS] [--to POS] [--json]\n"
        "       leat log find TEXT [DIR]",
        "Prints every record of a log as one line. A server may be running on it: nothing is\n"
        "locked or changed, and the newest rows may not be acknowledged yet.",
        options, sizeof(options) / sizeof(options[0])};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 0, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    return run(&files, from, to, json, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
