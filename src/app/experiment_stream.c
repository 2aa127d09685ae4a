/* `leat experiment stream`: the generator's rows as a file. */
#include "app/experiment.h"
#include "base/file.h"

#include <inttypes.h>

enum { BUFFER_BYTES = 1 << 20 };

struct writer {
    struct file *file; /* NULL: standard output */
    uint64_t offset;
    size_t held;
    char *buffer; /* BUFFER_BYTES + DRIFT_LINE_MAX */
};

static leat_status writer_flush(struct writer *writer, leat_error *err) {
    size_t held = writer->held;
    writer->held = 0;
    if (!writer->file) {
        return fwrite(writer->buffer, 1, held, stdout) == held
                   ? LEAT_OK
                   : error_set(err, LEAT_IO, "standard output takes no more");
    }
    TRY(file_write(writer->file, writer->buffer, held, writer->offset, err));
    writer->offset += held;
    return LEAT_OK;
}

static leat_status write_rows(struct drift *drift, struct writer *writer, uint64_t *rows,
                              leat_error *err) {
    struct drift_row row;
    while (drift_next(drift, &row) == LEAT_OK) {
        writer->held += drift_write(drift, &row, writer->buffer + writer->held);
        ++*rows;
        if (writer->held >= BUFFER_BYTES) {
            TRY(writer_flush(writer, err));
        }
    }
    return writer_flush(writer, err);
}

static leat_status write_all(struct drift *drift, const char *path, uint64_t *rows,
                             leat_error *err) {
    struct writer writer = {.file = NULL};
    leat_status status = LEAT_OK;
    if (path) {
        TRY(file_open(disk_real(), path, FILE_WRITE, &writer.file, err));
        TRY_OR(status, file_truncate(writer.file, 0, err), fail);
    }
    struct bytes buffer;
    bytes_init(&buffer);
    writer.buffer = (char *)bytes_reserve(&buffer, BUFFER_BYTES + DRIFT_LINE_MAX);
    status = writer.buffer ? write_rows(drift, &writer, rows, err)
                           : error_memory(err, BUFFER_BYTES + DRIFT_LINE_MAX);
    bytes_deinit(&buffer);
fail:
    file_close(writer.file);
    return status;
}

static leat_status stream(const struct drift_words *words, const char *path, leat_error *err) {
    struct drift_options options;
    struct drift *drift = NULL;
    struct bytes about;
    uint64_t rows = 0;
    TRY(drift_words_read(words, &options, err));
    TRY(drift_open(&options, &drift, err));
    leat_status status = write_all(drift, path, &rows, err);
    if (status == LEAT_OK) {
        bytes_init(&about);
        drift_words_print(&options, &about);
        fprintf(stderr, "leat experiment stream: %" PRIu64 " rows, %" PRIu64 " ids: %.*s\n", rows,
                drift_ids(drift), (int)about.size, (const char *)about.data);
        bytes_deinit(&about);
    }
    drift_close(drift);
    return status;
}

int experiment_stream_run(int argc, char **argv) {
    struct drift_words words;
    const char *path = NULL;
    struct option options[DRIFT_WORDS_MAX + 1] = {
        {"out", 0, "FILE", "Where the rows go (standard output).", &path, NULL},
    };
    int count = 1 + drift_words_options(&words, options + 1);
    const struct usage usage = {
        "leat experiment stream [--out FILE] [--rows N] [--seed N] [--drift X] ...",
        "Writes a stream of clicks that drifts, in the format of Criteo's train.txt: the rows of\n"
        "leat experiment sync with the same parameters.",
        options, count};
    int rest;
    int exit_code;
    if (!command_begin(&usage, argc, argv, 0, &rest, &exit_code)) {
        return exit_code;
    }
    leat_error err = {.message = ""};
    return stream(&words, path, &err) < 0 ? command_fail(argv[0], &err) : COMMAND_FINE;
}
