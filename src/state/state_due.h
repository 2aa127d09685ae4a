/* Due times of all records of a state: one heap ordered by (time, kind, hash, part). Internal.
 *
 * An entry says "look at this record at this time, not later". The truth is the record's own
 * due_ms, so most changes leave the heap alone:
 * - moved later: the entry stays; when it comes to the top it is moved to the record's time;
 * - cleared, or the record removed: the entry stays and is dropped at the top;
 * - set, or moved earlier: one more entry.
 * Entries without use are bounded: more of them than records that have a due time, and
 * state_due_filter looks at every entry once. It meets a record by each of its entries, and keeps
 * the first: it turns `mark`, and a record whose SLOT_MARK is already so was met before.
 *
 * Threads: the writer only. */
#ifndef STATE_STATE_DUE_H
#define STATE_STATE_DUE_H

#include "state/state_pages.h"

struct state_due_entry {
    int64_t time_ms;
    uint64_t hash;
    uint64_t part;
    uint32_t kind;
};

struct state_due {
    struct state_account *account;
    struct state_due_entry *entries; /* four children a node */
    size_t count;
    size_t capacity;
    size_t live;   /* records with a due time; kept by the owner */
    uint16_t mark; /* 0 or SLOT_MARK: what every record with a due time carries now */
};

void state_due_init(struct state_due *due, struct state_account *account);
void state_due_deinit(struct state_due *due);

/* LEAT_FULL, LEAT_MEMORY: nothing changed. */
leat_status state_due_push(struct state_due *due, const struct state_due_entry *entry,
                           leat_error *err);
const struct state_due_entry *state_due_top(const struct state_due *due); /* NULL: empty */
void state_due_drop(struct state_due *due);                               /* the top */
void state_due_move(struct state_due *due, int64_t time_ms);              /* the top, later */

/* There are so many entries without use that state_due_filter pays. */
bool state_due_is_stale(const struct state_due *due);
/* Turns the mark and keeps the entries for which `keep` says so; it may set their time. */
void state_due_filter(struct state_due *due,
                      bool (*keep)(void *context, struct state_due_entry *entry), void *context);

#endif
