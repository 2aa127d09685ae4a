/* Files, one after the other, as batches of examples. Malformed rows are refused (dataset.h) and
 * passed over. One thread. */
#ifndef CONNECT_ROW_READER_H
#define CONNECT_ROW_READER_H

#include "connect/dataset.h"
#include "connect/row_encoder.h"

struct row_reader;

struct row_reader_options {
    struct row_source_options source; /* its path is not used */
    const char *const *paths;
    int path_count;
    const struct row_plan *plan;
    struct row_encoder *encoder;
    struct refusals *refusals;
    bool tell_unused; /* where refusals are shown, name namespaces and fields of vw and libsvm that
                         come up after the survey and so are no features */
};

/* Opens the first file. Borrows all that the options point to. */
leat_status row_reader_open(const struct row_reader_options *options, struct row_reader **out,
                            leat_error *err);
void row_reader_close(struct row_reader *reader); /* NULL is fine */

/* Fills the batch up. LEAT_END when there was no row left, and then at every later call. */
leat_status row_reader_next(struct row_reader *reader, struct row_batch *batch, leat_error *err);
/* Rows that were read so far, refused ones among them: the number of the next row. */
uint64_t row_reader_rows(const struct row_reader *reader);
/* Number of the first row of a file; of one that was not reached yet, of the next row. */
uint64_t row_reader_file_begin(const struct row_reader *reader, int file);
/* Passes over rows, as they were read before: nothing is refused, counted or learnt of them.
 * LEAT_INVALID when there are fewer. */
leat_status row_reader_skip(struct row_reader *reader, uint64_t rows, leat_error *err);
/* Bytes of all files, and how many of them were read: for how long it will take. */
uint64_t row_reader_bytes(const struct row_reader *reader);
uint64_t row_reader_bytes_read(const struct row_reader *reader);

/* What the files are, for who must know whether they changed: paths, sizes, and checksums of begin
 * and end. */
leat_status row_files_fingerprint(struct disk *disk, const char *const *paths, int count,
                                  uint64_t *out, leat_error *err);

#endif
