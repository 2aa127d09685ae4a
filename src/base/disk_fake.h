/* A disk in memory that forgets, tears and fails, from one seed. For tests.
 *
 * Every call but file_close counts as one step, from 1. At step `fail_at` the call fails (LEAT_IO,
 * or LEAT_FULL for a write when `full` is set) without effect, once. At step `cut_at` the power
 * goes: that call and every later one fail until disk_fake_restart, which throws away what was not
 * synced: each unsynced write is kept, dropped or torn by a hash of (seed, step), each unsynced
 * name likewise. The call that the cut meets may have reached the disk: it counts as unsynced.
 *
 * A file that is synced has durable bytes, but not a durable name: a folder that was never synced
 * may forget its files, and so may a folder whose own name is lost. A dropped rename leaves both
 * names as they were. Folders are as on a POSIX disk; ".." is not understood; "/a" and "a" are the
 * same. All calls are serialised inside; any thread. */
#ifndef BASE_DISK_FAKE_H
#define BASE_DISK_FAKE_H

#include "base/file.h"

struct disk_fake;

leat_status disk_fake_create(uint64_t seed, struct disk_fake **out, leat_error *err);
void disk_fake_destroy(struct disk_fake *fake); /* close its files before */
struct disk *disk_fake_disk(struct disk_fake *fake);

void disk_fake_fail_at(struct disk_fake *fake, uint64_t step, bool full); /* 0: never */
void disk_fake_cut_at(struct disk_fake *fake, uint64_t step);             /* 0: never */
uint64_t disk_fake_steps(const struct disk_fake *fake);
bool disk_fake_is_cut(const struct disk_fake *fake);
/* Power comes back: open handles of before are dead (their calls fail; close them all the same),
 * locks are free. */
void disk_fake_restart(struct disk_fake *fake);

/* For tests that damage stored bytes; neither counts as a step. disk_fake_content: the content of a
 * file, to read and to change until the next call on it; NULL when there is none. Both make the
 * content durable, as damage on a disk is. disk_fake_set makes the file if its folder is there, and
 * every name of that folder durable. */
uint8_t *disk_fake_content(struct disk_fake *fake, const char *path, size_t *size);
leat_status disk_fake_set(struct disk_fake *fake, const char *path, const void *data, size_t size);

#endif
