/* Rows of separated values: RFC 4180 with any separator, with or without quotes; lines end in LF or
 * CRLF, the last one may end in neither. Empty lines are passed over.
 *
 * A malformed row costs that row only: after an unclosed quote or a row that is too long, reading
 * goes on at the line after the one where the row began. One thread a reader. */
#ifndef CONNECT_CSV_H
#define CONNECT_CSV_H

#include "connect/dataset.h"

enum { CSV_FIELDS_MAX = 64, CSV_ROW_BYTES_MAX = 65536 };

struct csv;

struct csv_row {
    uint64_t line; /* where it began, from 1 */
    int count;
    struct slice fields[CSV_FIELDS_MAX]; /* borrowed until the next csv_next */
};

/* `quotes`: a field may stand in double quotes, and then hold separators, line ends and "". */
leat_status csv_create(char separator, bool quotes, struct csv **out, leat_error *err);
void csv_destroy(struct csv *csv);
/* Begins with a new source (borrowed until the next csv_begin), at line 1. Memory is kept. */
void csv_begin(struct csv *csv, struct byte_source source);

/* LEAT_OK with a row; LEAT_END; LEAT_INVALID: this row is malformed (row->line says where), the
 * next call goes on after it. Anything else is the source's failure. */
leat_status csv_next(struct csv *csv, struct csv_row *row, leat_error *err);

/* Index of the field that is `name`; -1 when there is none. For rows that name columns. */
int csv_find(const struct csv_row *row, const char *name);

#endif
