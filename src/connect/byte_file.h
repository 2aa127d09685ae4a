/* The bytes of a file from its begin, unpacked where it is packed (gzip, zstd, xz ..., told by its
 * first bytes). One thread. */
#ifndef CONNECT_BYTE_FILE_H
#define CONNECT_BYTE_FILE_H

#include "base/file.h"
#include "connect/dataset.h"

struct byte_file;

/* LEAT_INVALID: there is no such file. Borrows the disk. */
leat_status byte_file_open(struct disk *disk, const char *path, struct byte_file **out,
                           leat_error *err);
void byte_file_close(struct byte_file *file); /* NULL is fine */
/* LEAT_CORRUPT when a packed file is damaged. */
struct byte_source byte_file_source(struct byte_file *file);
uint64_t byte_file_read_so_far(const struct byte_file *file); /* of the file as it lies there */

#endif
