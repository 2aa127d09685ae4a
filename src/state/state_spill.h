/* Cold records of a state in a local file, under the same index. Internal to this room.
 *
 *   entry   63  62                32 31          20 19      0
 *           |1  | extent of the group | place / 16  | mix     |      a record that lies in the file
 *
 *   extent  [head 64 | slot | slot | ... ]   64 KiB of the file, written once, of one key group
 *
 * A slot lies in the file as it lay in memory (but for `page`), within one 4 KiB unit, so that one
 * read brings it back. What is read comes back into pages of memory; its bytes in the file are dead
 * then, and an extent without living records is written anew. So records move between memory, where
 * the wanted ones gather, and the file, as in a log-structured store: trimming writes whole extents
 * of records that nobody asked for since the hand of a clock came by last (SLOT_WANTED).
 *
 * The file is scratch: made empty at opening, removed at closing; checkpoints hold what lies in it.
 * An extent is part of a snapshot as a page of number PAGE_NUMBERS + extent; records in it that
 * died before the freeze are left out. Until a snapshot has taken an extent it is not written anew.
 *
 * Threads: all of a group inside its latch; a fetch reads one unit there. state_trim is the
 * writer's, and writes outside of latches. */
#ifndef STATE_STATE_SPILL_H
#define STATE_STATE_SPILL_H

#include "base/file.h"
#include "state/state_group.h"

enum {
    SPILL_UNIT = 4096,
    SPILL_EXTENT = 64 << 10,
    SPILL_CLASS = 0xFFFF, /* of an extent's head */
    SPILL_DEAD = 1,       /* `page` of a slot whose record is gone; 0 of others */
    STATE_TRIM_MAX = 16,  /* states of one budget */
};

struct spill_extent {
    uint32_t place;                    /* in the file */
    uint32_t live;                     /* records; 0: the number is free */
    uint32_t bytes;                    /* of them */
    uint64_t created, version, before; /* `before`: version until the open snapshot's freeze */
    uint64_t taken;
    bool lost; /* the file holds records that live here no more */
};

/* A record that came back after the freeze of the open snapshot. */
struct spill_died {
    uint32_t extent;
    uint32_t place;
};

struct spill_group {
    struct state *state;
    struct spill_extent *extents;
    struct spill_died *died;
    uint32_t count, capacity;
    uint32_t died_count, died_capacity;
    uint32_t hand; /* of the clock: a page number */
};

struct state_spill {
    struct disk *disk;
    struct file *file;
    char path[PATH_BYTES_MAX];
    struct mutex mutex; /* guards the places */
    uint32_t *free_places;
    uint32_t free_count, free_capacity;
    uint32_t places, places_max;
    uint32_t next_group;
    uint8_t *staging; /* an extent; the trimming thread's */
    _Atomic uint64_t fetched, written;
    _Atomic bool unread; /* what made the state failed was that the file could not be read */
    struct spill_group groups[];
};

leat_status state_spill_open(struct state *state, leat_error *err); /* as its budget says */
void state_spill_close(struct state *state);

/* Inside the group: the record of a spilled entry, brought back, if it is of this key; NULL else.
 * What cannot be read makes the state failed, and nothing comes back after that: a record that was
 * missed once is not found by the next look-up of the same step. */
struct slot *state_spill_fetch(struct spill_group *group, uint32_t index_at, uint64_t hash,
                               uint32_t kind, uint64_t part);
/* Makes the state failed: a call of these answered `status` where no error can be handed on. */
void state_spill_fail(const struct spill_group *group, leat_status status);
/* Inside the group: `each` for every record that lies in the file, as a copy. */
leat_status state_spill_each(const struct spill_group *group,
                             leat_status (*each)(void *context, uint64_t entry,
                                                 const struct slot *slot, leat_error *err),
                             void *context, leat_error *err);
/* The extents as they were at the freeze; see state_snapshot_pages. */
leat_status state_spill_images(struct spill_group *group, uint64_t version, uint64_t since,
                               state_page_sink sink, void *context, leat_error *err);
/* After pages were restored: what was written meanwhile is of this version. */
void state_spill_restored(struct spill_group *group, uint64_t version);
/* After a snapshot: extents that waited for it are free, and what died since is forgotten. */
void state_spill_settled(struct spill_group *group);

/* The slots in use of a page or extent as bytes, one after the other; `*cursor` begins at 0. */
const struct slot *state_image_next(const struct page_head *page, uint32_t *cursor);
/* An extent read back holds slots that lie within their units; LEAT_CORRUPT. */
leat_status state_spill_check(const struct state_page_image *image, uint32_t group,
                              leat_error *err);

static inline bool entry_spilled(uint64_t entry) {
    return entry >> 63;
}
static inline uint64_t spill_entry(uint32_t extent, uint32_t place, uint64_t mix) {
    return (uint64_t)1 << 63 | (uint64_t)extent << 32 | (uint64_t)(place / PLACE_UNIT) << 20 | mix;
}
static inline uint32_t entry_extent(uint64_t entry) {
    return (uint32_t)(entry >> 32) & 0x7FFFFFFF;
}
static inline uint32_t entry_place(uint64_t entry) {
    return ((uint32_t)(entry >> 20) & 0xFFF) * PLACE_UNIT;
}

#endif
