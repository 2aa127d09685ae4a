/* A disk in memory that forgets, tears and fails, from one seed. For tests.
 *
 * Every call but file_close counts as one step, from 1. At step `fail_at` the call fails once, in
 * the way of a `disk_fault`. At step `cut_at` the power goes: that call and every later one fail
 * until disk_fake_restart, which throws away what was not synced: each unsynced write is kept,
 * dropped or torn by a hash of (seed, step), each unsynced name likewise. The call that the cut
 * meets may have reached the disk: it counts as unsynced.
 *
 * A file that is synced has durable bytes, but not a durable name: a folder that was never synced
 * may forget its files, and so may a folder whose own name is lost. A dropped rename leaves both
 * names as they were. Folders are as on a POSIX disk; ".." is not understood; "/a" and "a" are the
 * same. All calls are serialised inside; any thread. */
#ifndef BASE_DISK_FAKE_H
#define BASE_DISK_FAKE_H

#include "base/file.h"

struct disk_fake;

enum disk_fault {
    DISK_FAULT_IO,    /* nothing is done: LEAT_IO */
    DISK_FAULT_FULL,  /* nothing is done: LEAT_FULL of a write or truncation, of others LEAT_IO */
    DISK_FAULT_SHORT, /* a write stores its first half and answers LEAT_FULL; others as FULL */
    DISK_FAULT_LATE,  /* all is done, and the answer is LEAT_IO */
    DISK_FAULT_LOST,  /* a file_sync answers LEAT_IO and gives up what was to be synced: it may be
                         read until the power goes, and no later sync saves it; others as IO */
    DISK_FAULTS
};

leat_status disk_fake_create(uint64_t seed, struct disk_fake **out, leat_error *err);
void disk_fake_destroy(struct disk_fake *fake); /* close its files before */
struct disk *disk_fake_disk(struct disk_fake *fake);

void disk_fake_fail_at(struct disk_fake *fake, uint64_t step, enum disk_fault fault); /* 0: never */
void disk_fake_cut_at(struct disk_fake *fake, uint64_t step);                         /* 0: never */
/* No file grows while all files together hold this many bytes: what fits of a write is stored, and
 * it answers LEAT_FULL. 0: as much as memory holds. */
void disk_fake_bound(struct disk_fake *fake, uint64_t bytes);
uint64_t disk_fake_bytes(const struct disk_fake *fake); /* of all files */
/* Before each call, outside of the fake's lock, `hook` is called with what is to be done ("write",
 * "sync" ... as in messages): what a test lets happen while a slow disk works. Calls that it makes
 * itself do not call it. For one thread. NULL: none. */
void disk_fake_on_step(struct disk_fake *fake, void (*hook)(void *context, const char *verb),
                       void *context);
uint64_t disk_fake_steps(const struct disk_fake *fake);
bool disk_fake_is_cut(const struct disk_fake *fake);
/* The process ended where the power was to go: what it gave the disk stays, synced or not. Handles
 * and locks as after disk_fake_restart. */
void disk_fake_revive(struct disk_fake *fake);
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
