/* The named members of a data set, one after the other: the files of a folder, or what a tar
 * archive (plain, or packed with anything that libarchive unpacks) holds. One thread. */
#ifndef CONNECT_ARCHIVE_H
#define CONNECT_ARCHIVE_H

#include "base/file.h"
#include "connect/dataset.h"

struct members;

/* Members whose last name begins with `prefix` and ends in `suffix`: of a folder in order of their
 * names, of an archive in its own order. Borrows the disk and both texts. LEAT_INVALID: not an
 * archive; LEAT_NOT_FOUND (positive): there is no such file. */
leat_status members_open_folder(struct disk *disk, const char *folder, const char *prefix,
                                const char *suffix, struct members **out, leat_error *err);
leat_status members_open_archive(struct disk *disk, const char *path, const char *prefix,
                                 const char *suffix, struct members **out, leat_error *err);
void members_close(struct members *members); /* NULL is fine */

/* Goes on to the next member (what is left of the last one is passed over). LEAT_END after the
 * last; LEAT_CORRUPT when an archive is damaged. */
leat_status members_next(struct members *members, leat_error *err);
/* The name of the current member as it stands in the folder or archive; until the next one. */
const char *members_name(const struct members *members);
/* The bytes of the current member; LEAT_CORRUPT when an archive is damaged. */
struct byte_source members_source(struct members *members);

/* True when a name begins with `prefix` and ends in `suffix`, the two not overlapping. */
bool name_matches(const char *name, const char *prefix, const char *suffix);

#endif
