/* Whatever a file holds: no crash; how the bytes come in pieces changes nothing; and a row that is
 * accepted, written with all its fields in quotes and read again is the same row. */
#include "connect/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pieces {
    struct slice text;
    size_t at;
    size_t piece_bytes;
};

static leat_status pull(void *context, void *data, size_t count, size_t *got, leat_error *err) {
    (void)err;
    struct pieces *pieces = context;
    size_t left = pieces->text.size - pieces->at;
    *got = left < count ? left : count;
    *got = *got < pieces->piece_bytes ? *got : pieces->piece_bytes;
    if (*got > 0) {
        memcpy(data, pieces->text.data + pieces->at, *got);
    }
    pieces->at += *got;
    return LEAT_OK;
}

static struct csv *csv_of(bool quotes) {
    struct csv *csv;
    leat_error err;
    leat_status status = csv_create(',', quotes, &csv, &err);
    INVARIANT(status == LEAT_OK, "%s", err.message);
    return csv;
}

static void same_rows(const struct csv_row *a, const struct csv_row *b) {
    INVARIANT(a->count == b->count, "%d and %d fields", a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        INVARIANT(slice_equal(a->fields[i], b->fields[i]), "line %llu field %d",
                  (unsigned long long)a->line, i);
    }
}

static void write_row(const struct csv_row *row, struct bytes *out) {
    bytes_clear(out);
    for (int i = 0; i < row->count; i++) {
        bytes_append(out, i > 0 ? ",\"" : "\"", i > 0 ? 2 : 1);
        for (size_t k = 0; k < row->fields[i].size; k++) {
            uint8_t byte = (uint8_t)row->fields[i].data[k];
            bytes_fill(out, byte, byte == '"' ? 2 : 1);
        }
        bytes_put_u8(out, '"');
    }
    bytes_put_u8(out, '\n');
}

static void check_written(const struct csv_row *row) {
    static struct csv *csv;
    static struct bytes text;
    if (!csv) {
        csv = csv_of(true);
    }
    write_row(row, &text);
    if (text.size > CSV_ROW_BYTES_MAX) {
        return; /* the quotes made it too long */
    }
    struct pieces pieces = {{(const char *)text.data, text.size}, 0, SIZE_MAX};
    struct csv_row again;
    leat_error err;
    csv_begin(csv, (struct byte_source){pull, &pieces});
    leat_status status = csv_next(csv, &again, &err);
    INVARIANT(status == LEAT_OK, "%d %s", status, status < 0 ? err.message : "");
    same_rows(row, &again);
    INVARIANT(csv_next(csv, &again, &err) == LEAT_END, "%s", "more rows");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct csv *csvs[2][2]; /* without and with quotes; whole and in pieces */
    for (int i = 0; i < 4 && !csvs[1][1]; i++) {
        csvs[i / 2][i % 2] = csv_of(i / 2 == 1);
    }
    if (size == 0) {
        return 0;
    }
    struct csv **pair = csvs[data[0] & 1];
    struct slice text = {(const char *)data + 1, size - 1};
    struct pieces whole = {text, 0, SIZE_MAX};
    struct pieces parts = {text, 0, 1 + (data[0] >> 1)};
    csv_begin(pair[0], (struct byte_source){pull, &whole});
    csv_begin(pair[1], (struct byte_source){pull, &parts});
    leat_status status = LEAT_OK;
    while (status == LEAT_OK || status == LEAT_INVALID) {
        struct csv_row a;
        struct csv_row b;
        status = csv_next(pair[0], &a, NULL);
        INVARIANT(csv_next(pair[1], &b, NULL) == status, "%d", status);
        INVARIANT(status == LEAT_END || a.line == b.line, "%llu", (unsigned long long)a.line);
        if (status == LEAT_OK) {
            same_rows(&a, &b);
            check_written(&a);
        }
    }
    return 0;
}
