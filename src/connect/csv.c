#include "connect/csv.h"

#include "base/memory.h"

/*   buffer: [ rows given out | at: row being read ... | end: free ... ]
 * The buffer holds a whole row, so that a malformed one can be left at its first line end. */
enum { CSV_BUFFER_BYTES = 4 * CSV_ROW_BYTES_MAX };

struct csv {
    struct byte_source source;
    char separator;
    bool quotes;
    bool ended; /* the source has no more */
    uint64_t line;
    size_t at;
    size_t end;
    char buffer[CSV_BUFFER_BYTES];
};

leat_status csv_create(char separator, bool quotes, struct csv **out, leat_error *err) {
    struct csv *csv = memory_zalloc(sizeof(*csv));
    if (!csv) {
        return error_memory(err, sizeof(*csv));
    }
    csv->separator = separator;
    csv->quotes = quotes;
    csv->ended = true;
    *out = csv;
    return LEAT_OK;
}

void csv_destroy(struct csv *csv) {
    memory_free(csv);
}

void csv_begin(struct csv *csv, struct byte_source source) {
    csv->source = source;
    csv->ended = false;
    csv->line = 1;
    csv->at = 0;
    csv->end = 0;
}

static leat_status csv_fill(struct csv *csv, leat_error *err) {
    if (csv->at > 0) {
        memmove(csv->buffer, csv->buffer + csv->at, csv->end - csv->at);
        csv->end -= csv->at;
        csv->at = 0;
    }
    while (!csv->ended && csv->end < CSV_BUFFER_BYTES) {
        size_t got = 0;
        TRY(csv->source.read(csv->source.context, csv->buffer + csv->end,
                             CSV_BUFFER_BYTES - csv->end, &got, err));
        csv->end += got;
        csv->ended = got == 0;
    }
    return LEAT_OK;
}

/* The first line end at or after `from`; the end of what is there when there is none. */
static size_t line_end(const struct csv *csv, size_t from) {
    const char *found = memchr(csv->buffer + from, '\n', csv->end - from);
    return found ? (size_t)(found - csv->buffer) : csv->end;
}

/* Finds the line end that closes the row at `csv->at`, outside of quotes (or the source's end). */
static bool row_end(const struct csv *csv, size_t *out) {
    bool quoted = false;
    size_t end = csv->at;
    for (size_t from = csv->at;; from = end + 1) {
        end = line_end(csv, from);
        const char *stop = csv->buffer + end;
        const char *at = csv->buffer + from;
        while (csv->quotes && (at = memchr(at, '"', (size_t)(stop - at)))) {
            quoted = !quoted;
            at++;
        }
        *out = end;
        if (!quoted || end == csv->end) {
            return !quoted && end - csv->at <= CSV_ROW_BYTES_MAX;
        }
    }
}

/* The field in quotes that begins at `at`, as it stands; `*escaped`: it holds "". */
static leat_status split_quoted(char *at, char *end, struct slice *out, bool *escaped,
                                leat_error *err) {
    for (char *read = at + 1; (read = memchr(read, '"', (size_t)(end - read))); read += 2) {
        if (read + 1 == end || read[1] != '"') {
            *out = (struct slice){at + 1, (size_t)(read - at - 1)};
            return LEAT_OK;
        }
        *escaped = true;
    }
    return error_set(err, LEAT_INVALID, "a quote is opened and not closed");
}

/* Gives the place after the field, where a separator or the row's end stands. */
static leat_status split_field(const struct csv *csv, char *at, char *end, struct slice *out,
                               bool *escaped, char **after, leat_error *err) {
    *escaped = false;
    if (csv->quotes && at < end && *at == '"') {
        TRY(split_quoted(at, end, out, escaped, err));
        *after = at + out->size + 2;
        if (*after < end && **after != csv->separator) {
            return error_set(err, LEAT_INVALID, "text follows a closing quote");
        }
        return LEAT_OK;
    }
    char *stop = memchr(at, csv->separator, (size_t)(end - at));
    *after = stop ? stop : end;
    *out = (struct slice){at, (size_t)(*after - at)};
    if (csv->quotes && memchr(at, '"', out->size)) {
        return error_set(err, LEAT_INVALID, "a quote stands within an unquoted field");
    }
    return LEAT_OK;
}

/* Turns "" into " where the field stands. */
static void unescape(const struct csv *csv, struct slice *field) {
    char *text = (char *)csv->buffer + (field->data - csv->buffer);
    size_t size = 0;
    for (size_t i = 0; i < field->size; i++) {
        text[size++] = text[i];
        i += text[i] == '"';
    }
    field->size = size;
}

/* Changes nothing in the buffer unless the whole row is well formed. */
static leat_status split_row(const struct csv *csv, char *at, char *end, struct csv_row *row,
                             leat_error *err) {
    bool escaped[CSV_FIELDS_MAX];
    for (;; at++) {
        if (row->count == CSV_FIELDS_MAX) {
            return error_set(err, LEAT_INVALID, "more than %d fields", CSV_FIELDS_MAX);
        }
        int field = row->count;
        leat_status status =
            split_field(csv, at, end, &row->fields[field], &escaped[field], &at, err);
        if (status < 0) {
            return error_in(err, status, "field %d", field + 1);
        }
        row->count++;
        if (at == end) {
            break;
        }
    }
    for (int i = 0; i < row->count; i++) {
        if (escaped[i]) {
            unescape(csv, &row->fields[i]);
        }
    }
    return LEAT_OK;
}

/* Leaves what ends at `end`, and the line end that stands there. */
static void pass_over(struct csv *csv, size_t end) {
    for (size_t at = csv->at; (at = line_end(csv, at)) < end; at++) {
        csv->line++;
    }
    csv->at = end;
    if (end < csv->end) {
        csv->at++;
        csv->line++;
    }
}

/* A line that is longer than the buffer is passed over in pieces. */
static leat_status pass_over_line(struct csv *csv, leat_error *err) {
    for (;;) {
        size_t end = line_end(csv, csv->at);
        bool found = end < csv->end;
        pass_over(csv, end);
        if (found || csv->ended) {
            return LEAT_OK;
        }
        TRY(csv_fill(csv, err));
    }
}

/* LEAT_AGAIN: it was an empty line. */
static leat_status take_row(struct csv *csv, struct csv_row *row, leat_error *err) {
    row->line = csv->line;
    row->count = 0;
    size_t end;
    if (!row_end(csv, &end)) {
        TRY(pass_over_line(csv, err));
        return error_set(err, LEAT_INVALID,
                         "a row of more than %d bytes, or a quote that is not closed",
                         CSV_ROW_BYTES_MAX);
    }
    char *begin = csv->buffer + csv->at;
    char *stop = csv->buffer + end;
    stop -= stop > begin && stop[-1] == '\r';
    leat_status status = stop == begin ? LEAT_AGAIN : split_row(csv, begin, stop, row, err);
    pass_over(csv, status < 0 ? line_end(csv, csv->at) : end);
    return status;
}

leat_status csv_next(struct csv *csv, struct csv_row *row, leat_error *err) {
    for (;;) {
        if (!csv->ended && csv->end - csv->at <= CSV_ROW_BYTES_MAX) {
            TRY(csv_fill(csv, err));
        }
        if (csv->at == csv->end) {
            return LEAT_END;
        }
        leat_status status = take_row(csv, row, err);
        if (status != LEAT_AGAIN) {
            return status;
        }
    }
}

int csv_find(const struct csv_row *row, const char *name) {
    for (int i = 0; i < row->count; i++) {
        if (slice_is(row->fields[i], name)) {
            return i;
        }
    }
    return -1;
}
